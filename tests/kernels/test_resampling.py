"""Kernels of resampling against Pillow, SciPy and their moments; shifts by fractions against scipy.ndimage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import interpolate, ndimage, signal

import kernelfield as kf
from kernelfield import kernels as k

rng = np.random.default_rng(0)
METHODS = ("linear", "cubic", "mitchell", "lanczos", "spline")


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("LANCZOS", lambda f, o: k.lanczos((1, f), 3, (0, o))),
        ("BICUBIC", lambda f, o: k.cubic((1, f), -0.5, (0, o))),
        ("BILINEAR", lambda f, o: k.bspline(1, (1, f), (0, o))),
    ],
)
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_pillow_reduces_by_the_same_weights(name, family, factor):
    row = rng.random((1, 40 * factor), np.float32)
    reduced = np.asarray(Image.fromarray(row).resize((40, 1), getattr(Image.Resampling, name)))
    filtered = kf.correlate(row.astype(float), family(factor, (factor - 1) / 2 % 1), boundary="mirror")
    start = (factor - 1) // 2
    np.testing.assert_allclose(filtered[0, start::factor][8:-8], reduced[0, 8:-8], atol=1e-6)


@given(st.floats(1, 4), st.integers(1, 9), st.floats(-0.5, 0.5))
def test_bsplines_are_scipys(factor, degree, offset):
    kernel = k.bspline(degree, (1, factor), (0, offset))
    x = (np.arange(kernel.shape[1]) - kernel.anchor[1] - offset) / factor
    knots = np.arange(degree + 2) - (degree + 1) / 2
    expected = np.nan_to_num(interpolate.BSpline.basis_element(knots, extrapolate=False)(x))
    row = kernel.weights.sum(axis=0)
    np.testing.assert_allclose(row, expected / expected.sum(), atol=1e-9)


def test_the_variance_of_a_bspline():
    for degree in (2, 3, 5):
        assert k.bspline(degree, 8).properties.sigma[0] ** 2 == pytest.approx(64 * (degree + 1) / 12, rel=0.003)


def test_windowed_sincs_are_scipys():
    row = k.sinc(0.2, (1, 21), beta=5).weights[0]
    np.testing.assert_allclose(row, signal.firwin(21, 0.4, window=("kaiser", 5)), atol=1e-14)
    row = k.sinc(0.2, (1, 21), "hann").weights[0]
    np.testing.assert_allclose(row, signal.firwin(23, 0.4, window="hann")[1:-1], atol=1e-14)


@given(st.floats(0.1, 0.4), st.sampled_from([21, 31, 41]), st.sampled_from(["kaiser", "hann"]))
def test_windowed_sincs_pass_and_stop(cutoff, size, window):
    low, middle, high = (max(cutoff - 2.6 / size, 0), cutoff, min(cutoff + 2.6 / size, 0.5))
    found = k.sinc(cutoff, (1, size), window).frequency_response([0], [low, middle, high])[2].real[0]
    assert found[0] == pytest.approx(1, abs=0.02) or cutoff < 2.6 / size
    assert found[1] == pytest.approx(0.5, abs=0.02)
    assert abs(found[2]) < 0.02 or high == 0.5


@given(st.floats(1, 4), st.floats(1, 4), st.floats(-1, 1))
def test_all_sum_to_one(down, right, offset):
    for family in (k.lanczos, k.cubic, k.mitchell, lambda f, offset: k.bspline(3, f, offset)):
        assert family((down, right), offset=offset).weights.sum() == pytest.approx(1)


@given(st.floats(-2, 2), st.floats(-2, 2))
def test_a_shift_by_keys_cubic_is_exact_on_parabolas(rows, columns):
    r, c = np.mgrid[-8.0:9, -8:9]
    image = 1 + 2 * r - c + r**2 - r * c + 3 * c**2
    y, x = r - rows, c - columns
    moved = 1 + 2 * y - x + y**2 - y * x + 3 * x**2
    found = kf.correlate(image, k.shift(rows, columns))
    np.testing.assert_allclose(found[6:-6, 6:-6], moved[6:-6, 6:-6], atol=1e-9)


@given(st.floats(-2, 2), st.sampled_from(METHODS))
def test_the_content_moves_as_said(distance, method):
    kernel = k.shift(distance, 0, method)
    # Lanczos' weights are nearest to the place, not exactly there.
    slack = 0.05 if method == "lanczos" else 1e-6
    assert -kernel.properties.centre[0] == pytest.approx(distance, abs=slack)
    assert kernel.properties.centre[1] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("distance", [(0.3, -1.7), (0.5, 0.5), (-2.2, 0)])
def test_a_shift_by_splines_is_scipys(distance):
    image = rng.random((70, 70))
    found = kf.correlate(image, k.shift(*distance, "spline"), boundary="mirror")
    expected = ndimage.shift(image, distance, order=3, mode="mirror")
    np.testing.assert_allclose(found[20:-20, 20:-20], expected[20:-20, 20:-20], atol=1e-6)


def test_whole_distances_are_exact():
    for method in METHODS:
        assert k.shift(2, -3, method) == k.shift(2, -3)
    assert k.mitchell(1, 0, 0.5) == k.identity()
    assert k.cubic(2.5, -0.75) == k.mitchell(2.5, 0, 0.75)
