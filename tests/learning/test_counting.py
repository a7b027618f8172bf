"""Pixels that do not count are found, and those that do are kept."""

from __future__ import annotations

import numpy as np
import pytest
from cases import photograph

import kernelfield as kf

CAMERA = photograph("camera")[128:384, 128:384].astype(float)
SHARP = np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], float)


def noise(sd: float) -> np.ndarray:
    return np.random.default_rng(0).normal(scale=sd, size=CAMERA.shape)


def test_clipping_before_noise_does_not_bias():
    after = np.clip(kf.correlate(CAMERA, SHARP), 0, 255) + noise(3.0)
    fit = kf.learn(CAMERA, after, size=3)
    assert fit.verdict == "approximate"
    np.testing.assert_allclose(fit.kernel.weights, SHARP, atol=0.02)
    assert fit.excluded > 5000
    trusting = kf.learn(CAMERA, after, size=3, clip=None)
    assert abs(trusting.kernel.weights[1, 1] - 5) > 0.3
    assert trusting.verdict != "exact"


def test_nothing_is_left_out_of_noise():
    fit = kf.learn(CAMERA, kf.correlate(CAMERA, SHARP) + noise(3.0), size=3)
    assert (fit.excluded, fit.outliers, fit.left_out) == (0, 0, None)


@pytest.mark.parametrize("value", [-9999.0, 300.0])
def test_a_patch_without_data_is_found_and_mapped(value):
    after = kf.correlate(CAMERA, kf.kernels.box(3)) + noise(1.0)
    after[30:60, 180:230] = value
    fit = kf.learn(CAMERA, after, size=3)
    np.testing.assert_allclose(fit.kernel.weights, 1 / 9, atol=0.01)
    assert fit.left_out[31:59, 181:229].mean() > 0.99
    assert fit.outliers <= 1600
    assert "outliers" in str(fit)


def test_the_residual_of_a_median_is_no_outlier():
    import scipy.ndimage as ndi

    fit = kf.learn(CAMERA, ndi.median_filter(CAMERA, 3), size=3)
    assert fit.verdict == "not linear"
    assert "median of 3×3" in fit.description
    assert "kernel, as" not in str(fit)
