"""Pixels left out, in images so large that a few of them are a small share."""

import numpy as np
import pytest

import kernelfield as kf


@pytest.mark.parametrize("noise", [0.01])
def test_a_few_outliers_among_many_pixels_are_not_in_the_fit(noise):
    rng = np.random.default_rng(0)
    before = rng.random((1100, 1100)).astype(np.float32)
    kernel = np.array([[1.0, 2.0, 1.0], [2.0, 5.0, 2.0], [1.0, 2.0, 1.0]]) / 17
    after = kf.correlate(before, kernel) + rng.normal(scale=noise, size=before.shape).astype(np.float32)
    clean = kf.learn(before, after, size=3)
    spoiled = after.copy()
    spoiled.ravel()[rng.choice(after.size, 5, replace=False)] += 1000.0
    fit = kf.learn(before, spoiled, size=3)
    assert fit.outliers == 5
    assert fit.stderr.max() < 1.1 * clean.stderr.max()
    np.testing.assert_allclose(fit.kernel.weights, clean.kernel.weights, atol=clean.stderr.max())
