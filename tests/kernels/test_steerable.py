"""Steerable filters against SciPy's derivatives of Gaussians, the published G2, and the law of steering."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from kernelfield import kernels as k

orders = st.integers(1, 7)
angles = st.floats(-360, 720)


@given(orders, angles, st.floats(0.6, 3))
def test_every_orientation_is_the_weighted_sum_of_the_basis(order, orientation, sigma):
    basis = k.steerable_basis(order, sigma, 25)
    assert len(basis) == order + 1
    total = sum(float(w) * part for w, part in zip(k.steering(order, orientation), basis))
    expected = k.steerable(order, orientation, sigma, 25).weights
    np.testing.assert_allclose(total.weights, expected, atol=1e-12 * np.abs(expected).max() + 1e-14)


@pytest.mark.parametrize("order", range(1, 6))
@pytest.mark.parametrize("axis", [0, 1])
def test_scipy_has_the_same_along_the_axes(order, axis):
    image = np.zeros((41, 41))
    image[20, 20] = 1
    response = ndimage.gaussian_filter(image, 1.7, order=(order, 0) if axis == 0 else (0, order))[::-1, ::-1]
    kernel = k.steerable(order, 90 if axis == 0 else 0, 1.7, normalise=False)
    reach = kernel.shape[0] // 2
    inner = slice(20 - reach, 21 + reach)
    np.testing.assert_allclose(kernel.weights, response[inner, inner], atol=1e-14)


def test_the_published_second_derivative():
    # Freeman and Adelson, table of G2: 0.9213 (2 x² - 1) exp(-(x² + y²)), and its interpolation functions.
    x = np.arange(-4, 5) * 0.67
    published = 0.9213 * np.multiply.outer(np.ones(9), 2 * x**2 - 1) * np.exp(-np.add.outer(x**2, x**2))
    found = k.steerable(2, 0, np.sqrt(0.5) / 0.67, 9, normalise=False).weights
    np.testing.assert_allclose(found / found[4, 4], published / published[4, 4], atol=1e-12)
    for angle in (0, 10, 77):
        turns = np.radians(angle - np.array([0, 60, 120]))
        np.testing.assert_allclose(k.steering(2, angle), (1 + 2 * np.cos(2 * turns)) / 3, atol=1e-12)
    # The weights of a first derivative, cos and sin, are those of the two axes.
    np.testing.assert_allclose(k.steering(1, 30), [np.cos(np.radians(30)), np.sin(np.radians(30))], atol=1e-12)


@given(orders, angles)
def test_half_a_turn_changes_the_sign_of_odd_orders(order, orientation):
    here, there = k.steerable(order, orientation), k.steerable(order, orientation + 180)
    np.testing.assert_allclose(there.weights, (-1) ** order * here.weights, atol=1e-12)
