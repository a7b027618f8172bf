"""Pixels left out, in images so large that a few of them are a small share."""

import numpy as np
import pytest
import scipy.ndimage as ndi
from cases import photograph

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


@pytest.mark.parametrize("count", [1, 4, 30])
@pytest.mark.parametrize("side", [256, 1024])
@pytest.mark.parametrize("value", [1e3, 1e5])
def test_a_few_enormous_pixels_are_left_out_and_change_nothing(side, count, value):
    rng = np.random.default_rng(side + count)
    picture = photograph("camera")
    before = picture[128:384, 128:384] if side == 256 else np.tile(picture, (2, 2))
    before = before.astype(np.float32) + rng.normal(scale=2.0, size=before.shape).astype(np.float32)
    after = kf.correlate(before, kf.kernels.gaussian(1.2)) + rng.normal(size=before.shape).astype(np.float32)
    where = np.unravel_index(rng.choice((side - 40) ** 2, count, replace=False), (side - 40, side - 40))
    rows, columns = (index + 20 for index in where)
    after[rows, columns] += np.float32(value)
    fit = kf.learn(before, after)
    assert fit.verdict == "approximate"
    assert fit.r2 > 0.99
    assert fit.outliers == count
    assert fit.left_out[rows, columns].all()
    assert fit.name == "gaussian"
    assert fit.parameters["sigma"] == pytest.approx(1.2, abs=0.03)


@pytest.mark.parametrize("gain", [1.0, 1e-9, 1e6])
def test_outliers_are_found_at_any_gain(gain):
    before = np.random.default_rng(0).normal(size=(70, 80))
    after = gain * ndi.uniform_filter(before, 3, mode="mirror")
    after[20:24, 30:40] += 1e-3 * gain
    after[50, 60] += 50.0 * gain
    fit = kf.learn(before, after, size=3)
    assert (fit.verdict, fit.outliers) == ("exact", 41)
    np.testing.assert_allclose(fit.kernel.weights, gain / 9.0, rtol=1e-9)
