"""Gaussians against SciPy's normal distribution and Bessel functions, and the laws they are made for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from kernelfield import kernels as k

sigmas = st.floats(0.2, 6)
odd = st.integers(0, 20).map(lambda n: 2 * n + 3)


@given(sigmas, st.integers(2, 45))
def test_integrated_weights_are_differences_of_the_distribution(sigma, size):
    x = np.arange(size) - (size - 1) / 2
    expected = special.ndtr((x + 0.5) / sigma) - special.ndtr((x - 0.5) / sigma)
    found = k.gaussian(sigma, (1, size), method="integrated").weights[0]
    np.testing.assert_allclose(found, expected / expected.sum(), atol=1e-15)
    # Far out the weights keep their digits.
    positive = expected > 1e-300
    tail = special.ndtr(-(np.abs(x) - 0.5) / sigma) - special.ndtr(-(np.abs(x) + 0.5) / sigma)
    np.testing.assert_allclose(found[positive], (tail / expected.sum())[positive], rtol=1e-9, atol=1e-290)


@given(sigmas, odd)
def test_discrete_weights_are_bessel_functions(sigma, size):
    expected = special.ive(np.abs(np.arange(size) - size // 2), sigma**2)
    found = k.gaussian(sigma, (size, 1), method="discrete").weights[:, 0]
    np.testing.assert_allclose(found, expected / expected.sum(), atol=1e-15)


@given(st.floats(0.3, 2), st.floats(0.3, 2))
def test_discrete_gaussians_add_their_variances(first, second):
    """The semigroup, which sampled Gaussians have only in the limit."""
    parts = [k.gaussian(sigma, 61, method="discrete") for sigma in (first, second)]
    both = k.gaussian(np.hypot(first, second), 121, method="discrete")
    np.testing.assert_allclose(parts[0].compose(parts[1]).weights, both.weights, atol=1e-15)


def test_sampled_gaussians_do_not():
    part = k.gaussian(0.5, 61)
    gap = np.abs(part.compose(part).weights - k.gaussian(np.sqrt(0.5), 121).weights).max()
    assert gap > 1e-3


@pytest.mark.parametrize("method", ["sampled", "integrated", "discrete"])
def test_weights_sum_to_one_and_have_the_variance(method):
    for sigma in (0.05, 0.7, 1.0, 3.0):
        kernel = k.gaussian(sigma, 61, method=method)
        assert kernel.weights.sum() == pytest.approx(1, abs=1e-14)
        variance = kernel.weights.sum(axis=0) @ (np.arange(61) - 30.0) ** 2
        extra = {"sampled": 0, "integrated": 1 / 12, "discrete": 0}[method]
        if sigma >= 0.7:
            assert variance == pytest.approx(sigma**2 + extra, rel=0.01)
        assert np.array_equal(kernel.weights, kernel.weights[::-1, ::-1])
