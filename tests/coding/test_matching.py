"""Fits of Gabor functions: known parameters recovered, and kernels learned from photographs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cases import photograph
from hypothesis import given, settings
from hypothesis import strategies as st

import kernelfield as kf
from kernelfield.errors import ArgumentError, DataError, DtypeError


def gabor(size, centre, wavelength, angle, width, length, phase):
    """Return a Gabor function by its formula; angles in radians."""
    y, x = np.mgrid[: size[0], : size[1]].astype(float)
    y, x = y - centre[0], x - centre[1]
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    envelope = np.exp(-0.5 * ((along / width) ** 2 + (across / length) ** 2))
    return envelope * np.cos(2 * np.pi * along / wavelength + phase)


def apart(a, b, period):
    """Return how far two angles lie apart."""
    return np.abs((a - b + period / 2) % period - period / 2)


@settings(max_examples=30)
@given(
    st.floats(3, 8), st.floats(0, 179.9), st.floats(0.45, 0.8), st.floats(0.5, 1.5), st.floats(-180, 180),
    st.tuples(st.floats(-2, 2), st.floats(-2, 2)), st.floats(1e-6, 1e6),
)  # fmt: skip
def test_known_functions_are_found(wavelength, orientation, waves, aspect, phase, offset, scale):
    width = waves * wavelength
    centre = (8 + offset[0], 9 + offset[1])
    kernel = scale * gabor(
        (17, 19), centre, wavelength, np.radians(orientation), width, width / aspect, np.radians(phase)
    )
    found = kf.coding.match(kernel[None])
    assert found.r2[0] > 1 - 1e-6
    assert apart(found.orientation[0], orientation, 180) < 0.1
    assert found.carrier[0] * wavelength == pytest.approx(1, rel=1e-3)
    assert found.size[0] == pytest.approx(width, rel=1e-3)
    assert found.aspect[0] == pytest.approx(aspect, rel=3e-3)
    assert found.amplitude[0] == pytest.approx(scale, rel=1e-3)
    np.testing.assert_allclose(found.centre[0], centre, atol=0.01)
    turned = -phase if apart(found.orientation[0], orientation, 360) > 90 else phase
    assert apart(found.phase[0], turned, 360) < 0.3
    np.testing.assert_allclose(found.fitted[0], kernel, atol=1e-3 * scale)


@pytest.mark.parametrize("bandwidth", [0.6, 1.0, 1.4])
@pytest.mark.parametrize("phase", [0.0, 90.0])
def test_frequency_and_bandwidth_of_the_answer(bandwidth, phase):
    kernel = kf.kernels.gabor(wavelength=6, bandwidth=bandwidth, phase=phase, size=41).weights
    found = kf.coding.match(kernel[None])
    answer = np.abs(np.fft.rfft(kernel.sum(axis=0), 16384))
    above = np.flatnonzero(answer > answer.max() / 2) / 16384
    assert found.bandwidth[0] == pytest.approx(np.log2(above[-1] / above[0]), abs=0.02)
    assert found.frequency[0] == pytest.approx(np.argmax(answer) / 16384, rel=0.01)
    assert found.bandwidth[0] == pytest.approx(bandwidth, abs=0.06)


def test_the_sensors_of_a_bank_are_gabors_nearly():
    kernels = np.zeros((6, 61, 61))
    bank = kf.coding.bank(6, wavelength=6)
    for kernel, sensor in zip(kernels, bank):
        rows, columns = sensor.even.weights.shape
        top, left = (61 - rows) // 2, (61 - columns) // 2
        inside = slice(max(top, 0), 61 - max(top, 0)), slice(max(left, 0), 61 - max(left, 0))
        cut = slice(max(-top, 0), rows - max(-top, 0)), slice(max(-left, 0), columns - max(-left, 0))
        kernel[inside] = sensor.even.weights[cut]
    found = kf.coding.match(kernels)
    assert (found.r2 > 0.97).all()
    assert found.good().all()
    # The log-Gabor's spectrum leans to high frequencies, and the Gabor's stands in its middle.
    ratio = found.frequency * [sensor.wavelength for sensor in bank]
    assert (ratio > 1.05).all()
    assert (ratio < 1.12).all()
    np.testing.assert_allclose(found.bandwidth, 1, atol=0.15)
    assert max(apart(a, s.orientation, 180) for a, s in zip(found.orientation, bank)) < 1


def test_colours_are_reduced_by_their_main_direction():
    plane = gabor((11, 11), (5, 5), 4.0, 0.5, 2.0, 2.5, 0.3)
    coloured = np.array([0.2, 0.9, 0.4])[:, None, None] * plane
    grey, colour = kf.coding.match(plane[None]), kf.coding.match(torch.tensor(coloured[None], requires_grad=True))
    assert colour.share[0] == pytest.approx(1)
    assert colour.orientation[0] == pytest.approx(grey.orientation[0])
    # Brightness counts as positive.
    assert apart(colour.phase[0], grey.phase[0], 360) < 0.1
    opposed = coloured + np.array([0.9, -0.2, 0.0])[:, None, None] * np.roll(plane, 3, axis=1)[::-1]
    assert 0.4 < kf.coding.match(opposed[None]).share[0] < 0.95


def test_what_is_no_gabor_function():
    kernels = np.stack([np.full((7, 7), 0.3), np.random.default_rng(0).normal(size=(7, 7))])
    found = kf.coding.match(kernels)
    assert found.r2[0] == 0
    assert np.isnan([found.orientation[0], found.frequency[0], found.bandwidth[0]]).all()
    assert not found.good().any()
    assert found.r2[1] < 0.8
    blob = kf.coding.match(gabor((15, 15), (7, 7), 1e9, 0, 2.5, 2.5, 0)[None])
    assert blob.r2[0] > 0.99
    assert blob.bandwidth[0] == np.inf
    assert not blob.good().any()


def test_the_table():
    found = kf.coding.match(np.stack([kf.kernels.gabor(5, 30, size=15).weights, np.zeros((15, 15))]))
    lines = found.table().splitlines()
    assert lines[1].split()[:4] == ["0", "30.0°", "0.200", "1.00"]
    assert "nan" in lines[2]
    assert lines[3].startswith("1 of 2 are Gabor functions")
    assert repr(found) == "Matches of 2 kernels: 1 are Gabor functions"


@pytest.mark.parametrize(
    ("weights", "error", "says"),
    [
        (np.ones((4, 3, 3)), ArgumentError, "at least 5×5; received shape"),
        (np.ones((5, 5)), ArgumentError, r"weights: expected \(n, kh, kw\)"),
        (np.ones((0, 7, 7)), ArgumentError, "weights: expected"),
        (np.ones((1, 7, 7), complex), DtypeError, "weights: expected real numbers"),
        (np.full((1, 7, 7), np.nan), DataError, "weights: expected finite numbers"),
    ],
)
def test_what_cannot_be_matched(weights, error, says):
    with pytest.raises(error, match=says):
        kf.coding.match(weights)


@pytest.fixture(scope="module")
def images():
    return [photograph(name) for name in ("china", "flower", "astronaut", "camera")]


@pytest.mark.parametrize(("method", "patches"), [("ica", 20_000), ("dictionary", 6_000)])
def test_what_is_learned_from_photographs_looks_like_sensors(images, method, patches):
    found = kf.coding.learn_dictionary(images, method, size=10, components=30, patches=patches)
    assert found.kernels.shape == (30, 10, 10)
    np.testing.assert_allclose((found.kernels**2).sum(axis=(1, 2)), 1)
    np.testing.assert_allclose(found.kernels.mean(axis=(1, 2)), 0, atol=1e-9)
    matches = found.match()
    assert np.median(matches.r2) > 0.7
    # Noise of the same spectrum gives nothing of the kind.
    radius = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256))
    radius[0, 0] = 1
    noise = np.fft.ifft2(np.fft.fft2(np.random.default_rng(0).normal(size=(256, 256))) / radius).real
    other = kf.coding.learn_dictionary(noise, method, size=10, components=30, patches=patches, iterations=40)
    assert np.median(other.match().r2) < np.median(matches.r2) - 0.1


def test_learning_is_repeatable_and_says_whether_it_came_to_rest(images):
    first, second = (kf.coding.learn_dictionary(images[0], size=6, components=8, patches=3000) for _ in range(2))
    np.testing.assert_array_equal(first.kernels, second.kernels)
    assert first.converged
    assert first.patches == 3000
    assert not kf.coding.learn_dictionary(images[0], size=6, components=8, patches=3000, iterations=1).converged


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (dict(method="pca"), "method: expected one of 'ica', 'dictionary'"),
        (dict(size=1), "size: expected an integer of at least 2"),
        (dict(size=5, components=25), "components: expected fewer than 25"),
        (dict(components=0), "components: expected"),
        (dict(patches=10), "patches: expected an integer of at least 128"),
        (dict(iterations=0), "iterations: expected"),
        (dict(size=3000), "images: expected sides of at least 3000 pixels"),
    ],
)
def test_what_cannot_be_learned(images, options, says):
    with pytest.raises(ArgumentError, match=says):
        kf.coding.learn_dictionary(images[:1], **options)


def test_images_are_checked():
    with pytest.raises(ArgumentError, match="images: expected at least one"):
        kf.coding.learn_dictionary([])
    with pytest.raises(DataError, match="image: expected contrast"):
        kf.coding.learn_dictionary([np.ones((50, 50))])
