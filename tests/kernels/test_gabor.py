"""Gabor filters against OpenCV's and scikit-image's; log-Gabor filters against their transfer function."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.filters import gabor_kernel

from kernelfield import kernels as k

shapes = st.tuples(st.integers(1, 12), st.integers(1, 12)).map(lambda s: (2 * s[0] + 1, 2 * s[1] + 1))
waves = (st.floats(2, 20), st.floats(-200, 400), st.floats(0.5, 6), st.floats(0.3, 3), st.floats(-180, 180), shapes)


@given(*waves)
def test_opencv_has_the_same_weights(wavelength, orientation, sigma, aspect, phase, shape):
    kernel = k.gabor(wavelength, orientation, sigma, None, aspect, phase, shape, scale=2 * np.pi * sigma**2 / aspect)
    turns = np.radians(orientation), -np.radians(phase)
    expected = cv2.getGaborKernel(shape[::-1], sigma, turns[0], wavelength, aspect, turns[1])
    np.testing.assert_allclose(kernel.weights, expected, atol=1e-12)


@given(*waves)
def test_skimage_has_the_same_weights(wavelength, orientation, sigma, aspect, phase, shape):
    kernel = k.gabor(wavelength, orientation, sigma, None, aspect, phase, shape)
    turns = np.radians(orientation), np.radians(phase)
    expected = gabor_kernel(
        1 / wavelength, turns[0], sigma_x=sigma, sigma_y=sigma / aspect, n_stds=9, offset=turns[1]
    ).real
    # Theirs is larger, or smaller where the window is narrow: compare what both have.
    sizes = [min(a, b) for a, b in zip(shape, expected.shape)]
    mine, theirs = (
        w[tuple(slice((n - m) // 2, (n + m) // 2) for n, m in zip(w.shape, sizes))] for w in (kernel.weights, expected)
    )
    np.testing.assert_allclose(mine, theirs, atol=1e-12)


@pytest.mark.parametrize(("wavelength", "bandwidth"), [(4, 1), (8, 1.5), (6, 0.7)])
def test_sigma_from_bandwidth_as_skimage(wavelength, bandwidth):
    kernel = k.gabor(wavelength, bandwidth=bandwidth)
    expected = gabor_kernel(1 / wavelength, bandwidth=bandwidth).real
    np.testing.assert_allclose(kernel.weights, expected, atol=1e-15)


def test_the_window_holds_the_ellipse():
    for orientation in (0, 20, 45, 90, 130):
        kernel = k.gabor(8, orientation, sigma=3, aspect=0.5, phase=90)
        border = np.ones(kernel.shape, bool)
        border[1:-1, 1:-1] = False
        assert np.abs(kernel.weights[border]).max() < 0.02 * np.abs(kernel.weights).max()


def transfer(frequencies, wavelength, orientation, bandwidth, angle):
    """Field's function, on one side, from its definition with widths at half height."""
    rows, columns = np.meshgrid(frequencies, frequencies, indexing="ij")
    radius = np.hypot(rows, columns)
    turn = np.angle(np.exp(1j * (np.arctan2(rows, columns) - np.radians(orientation))))
    with np.errstate(divide="ignore"):
        octaves = np.log2(radius * wavelength)
    return 0.5 ** ((2 * octaves / bandwidth) ** 2 + (2 * np.degrees(turn) / angle) ** 2)


@pytest.mark.parametrize("arguments", [(6, 0, 1, 45), (5, 30, 1.5, 60), (8, 100, 0.8, 40), (4, 225, 1, 30)])
def test_log_gabor_has_its_transfer_function(arguments):
    frequencies = np.linspace(-0.45, 0.45, 37)
    even, odd = (k.log_gabor(*arguments, phase=phase, size=127) for phase in (0, 90))
    one_sided = transfer(frequencies, *arguments)
    both = [(one_sided + sign * one_sided[::-1, ::-1]) / 2 for sign in (1, -1)]
    found = [kernel.frequency_response(frequencies)[2] for kernel in (even, odd)]
    np.testing.assert_allclose(found[0], both[0], atol=3e-3)
    # cos(x + 90°) is -sin x.
    np.testing.assert_allclose(found[1], -1j * both[1], atol=3e-3)
    assert abs(even.weights.sum()) < 1e-3
    assert np.abs(odd.weights + odd.weights[::-1, ::-1]).max() < 1e-15


def test_a_wave_that_fits_gives_half_its_amplitude():
    for kernel in (k.gabor(6, 30, phase=40), k.log_gabor(6, 30, phase=40, size=61)):
        at = np.sin(np.radians(30)) / 6, np.cos(np.radians(30)) / 6
        assert abs(kernel.frequency_response([at[0]], [at[1]])[2][0, 0]) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("family", [k.gabor, k.log_gabor])
def test_orientation_and_phase_repeat(family):
    base = family(6, 30, phase=50).weights
    np.testing.assert_allclose(family(6, 390, phase=410).weights, base, atol=1e-15)
    np.testing.assert_allclose(family(6, 210, phase=-50).weights, base, atol=1e-15)
    np.testing.assert_allclose(family(6, 30, phase=230).weights, -base, atol=1e-15)
