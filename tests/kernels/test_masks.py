"""Masks of the literature, Savitzky-Golay, isotropic Laplacians, Farid, quadrature: published numbers, and laws."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal
from skimage import filters

from kernelfield import kernels as k


def spread(kernel, frequency):
    """Return the spread of the response over directions, as a share of its mean."""
    angles = np.radians(np.arange(0, 91, 3))
    found = [
        abs(kernel.frequency_response([frequency * np.sin(a)], [frequency * np.cos(a)])[2][0, 0])
        for a in angles.tolist()
    ]
    return (max(found) - min(found)) / np.mean(found)


def test_compass_masks_as_published():
    north = [[5, 5, 5], [-3, 0, -3], [-3, -3, -3]]
    assert np.array_equal(k.kirsch(270).weights, north)
    assert np.array_equal(k.kirsch(315).weights, [[-3, 5, 5], [-3, 0, 5], [-3, -3, -3]])
    for angle in range(0, 360, 45):
        kernel, turned = k.kirsch(angle), k.kirsch((angle + 90) % 360)
        assert kernel.weights.sum() == 0
        assert np.array_equal(turned.weights, np.rot90(kernel.weights, -1))
        for levels in (3, 5):
            opposite = k.robinson((angle + 180) % 360, levels)
            assert opposite == -k.robinson(angle, levels)
    assert k.robinson(0) == k.sobel()
    assert k.robinson(90, 3) == k.prewitt(0)
    assert k.robinson(45) == k.diagonal((1, 1))


def test_frei_chen_masks_are_an_orthonormal_basis():
    rows = np.array([k.frei_chen(mask).weights.ravel() for mask in range(1, 10)])
    np.testing.assert_allclose(rows @ rows.T, np.eye(9), atol=1e-15)
    np.testing.assert_allclose(k.frei_chen(1).weights[1, 2] * 2 * np.sqrt(2), np.sqrt(2))
    assert all(abs(row.sum()) < 1e-15 for row in rows[:8])


def test_laws_vectors():
    assert np.array_equal(k.laws("L5E5").weights, np.outer([1, 4, 6, 4, 1], [-1, -2, 0, 2, 1]))
    pairs = ["".join(pair) for pair in itertools.product(("L5", "E5", "S5", "W5", "R5"), repeat=2)]
    for pair in pairs:
        assert (k.laws(pair).weights.sum() == 0) == (pair != "L5L5")
    # The longer vectors are products of the shorter ones.
    assert np.array_equal(k.laws("L3E3").compose(k.laws("L3L3")).weights, k.laws("L5E5").weights)
    assert k.laws("e5l5") == k.laws("E5L5")


@pytest.mark.parametrize(("axis", "operation"), [(0, filters.farid_h), (1, filters.farid_v)])
def test_farid_is_scikit_images(axis, operation):
    image = np.random.default_rng(0).random((30, 30))
    from kernelfield import correlate

    expected = operation(image)[4:-4, 4:-4]
    np.testing.assert_allclose(correlate(image, k.farid(axis))[4:-4, 4:-4], expected, atol=1e-12)


@pytest.mark.parametrize("size", [5, 7])
def test_farids_derivatives_turn_better_than_sobels(size):
    found = k.compare([k.sobel(), k.scharr(), k.farid(size=size)])
    sobel, scharr, farid = (one.direction[:32].max() for one in found.kernels)
    assert farid < scharr < sobel / 5
    second = k.farid(order=2, size=size, scale="unit")
    assert dict(second.properties.leading) == pytest.approx({(0, 2): 1})
    assert abs(second.weights.sum()) < 1e-15


def test_isotropic_laplacians():
    for weighting, sides, corners in (("patra_karttunen", 4 / 6, 1 / 6), ("oono_puri", 1 / 2, 1 / 4)):
        kernel = k.isotropic_laplacian(weighting)
        np.testing.assert_allclose([kernel.weights[0, 1], kernel.weights[0, 0]], [sides, corners], rtol=1e-15)
        assert dict(kernel.properties.leading) == pytest.approx({(0, 2): 1, (2, 0): 1})
    error = dict(k.isotropic_laplacian().properties.error)
    # The bilaplacian over 12: its mixed term is twice the others.
    assert error == pytest.approx({(0, 4): 1 / 12, (2, 2): 1 / 6, (4, 0): 1 / 12})
    assert spread(k.isotropic_laplacian(), 0.2) < spread(k.isotropic_laplacian("oono_puri"), 0.2)
    assert spread(k.isotropic_laplacian("oono_puri"), 0.2) < spread(k.laplacian(), 0.2)


@given(st.integers(1, 12), st.integers(0, 6), st.integers(0, 4))
def test_savitzky_golay_along_an_axis_is_scipys(half, degree, order):
    size = 2 * half + 1
    if order > degree or degree >= size:
        return
    expected = signal.savgol_coeffs(size, degree, deriv=order, use="dot")
    scale = np.abs(expected).max()
    for kernel in (k.savitzky_golay((1, size), degree, (0, order)), k.savitzky_golay((size, 1), degree, (order, 0))):
        np.testing.assert_allclose(kernel.weights.ravel(), expected, atol=1e-10 * scale)


@given(
    st.sampled_from([3, 5, 7, 9]),
    st.sampled_from([3, 5, 7]),
    st.integers(0, 5),
    st.integers(0, 2),
    st.integers(0, 2),
)
def test_savitzky_golay_reproduces_polynomials(rows, columns, degree, down, right):
    if degree >= max(rows, columns) or down + right > degree:
        return
    kernel = k.savitzky_golay((rows, columns), degree, (down, right))
    r, c = np.arange(rows) - rows // 2, np.arange(columns) - columns // 2
    for i in range(degree + 1):
        for j in range(degree + 1 - i):
            wanted = (1, 1, 2)[down] * (1, 1, 2)[right] if (i, j) == (down, right) else 0
            if (i, j) == (down, right) or (i < rows and j < columns):
                assert r**i @ kernel.weights @ c**j == pytest.approx(wanted, abs=1e-8)


@given(st.integers(1, 4), st.integers(1, 4), st.sampled_from([2, 4, 6]))
def test_mixed_derivatives_are_exact_on_polynomials(down, right, accuracy):
    found = k.mixed_derivative((down, right), accuracy).properties
    assert dict(found.leading) == pytest.approx({(down, right): 1}) or found.order is None
    assert found.accuracy in (accuracy, None)


@pytest.mark.parametrize(("order", "published"), [(2, (0, -2.254, 0, 1)), (4, (0, 7.189, 0, -7.501, 0, 1))])
def test_quadrature_partners_as_published(order, published):
    x = np.arange(-8, 9)
    sigma = 2.0
    row = k.quadrature(order, 0, sigma, (1, 17)).weights[0]
    t = x / (np.sqrt(2) * sigma)
    expected = np.polynomial.polynomial.polyval(t, published) * np.exp(-(t**2))
    factor = (row @ expected) / (expected @ expected)
    np.testing.assert_allclose(row, factor * expected, atol=3e-3 * np.abs(row).max())


@given(st.integers(2, 4), st.floats(-180, 180), st.floats(1, 3))
def test_partners_are_in_quadrature_and_steer(order, angle, sigma):
    even, odd = k.steerable(order, angle, sigma), k.quadrature(order, angle, sigma)
    frequency = np.sqrt(order) / (2 * np.pi * sigma)
    at = [frequency * np.sin(np.radians(angle))], [frequency * np.cos(np.radians(angle))]
    found = odd.frequency_response(*at)[2][0, 0] / even.frequency_response(*at)[2][0, 0]
    # On the wave of the peak the partner is a quarter of a wave away, and nearly as strong.
    assert abs(found.real) < 1e-9
    assert -1.05 < found.imag < -0.85
    assert abs(odd.weights.sum()) < 1e-12 * np.abs(odd.weights).sum()
    basis = [k.quadrature(order, 180 * j / (order + 2), sigma) for j in range(order + 2)]
    total = sum(float(w) * one for w, one in zip(k.steering(order + 1, angle), basis))
    np.testing.assert_allclose(total.weights, odd.weights, atol=1e-9 * np.abs(odd.weights).max())


def test_differences_of_gaussians_are_near_the_laplacian():
    found, expected = k.dog(1.5, 1.5 * 1.6, 25).weights, -k.log(1.5 * np.sqrt(1.6**2 / 2 + 0.5) * 0.93, 25).weights
    cosine = (found * expected).sum() / np.linalg.norm(found) / np.linalg.norm(expected)
    assert cosine > 0.98
    image = np.random.default_rng(0).random((60, 60))
    from kernelfield import correlate

    mine = correlate(image, k.dog(1, 1.6), boundary="nearest")
    np.testing.assert_allclose(mine, filters.difference_of_gaussians(image, 1, 1.6), atol=2e-4)
