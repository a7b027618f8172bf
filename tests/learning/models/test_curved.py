"""Pointwise curves before and after a kernel, made here with SciPy's filters."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage import data

import kernelfield as kf
from kernelfield.errors import ArgumentError

PICTURE = data.camera()[100:210, 100:210]
SHARES = PICTURE / 255.0
BLUR = np.outer([1, 2, 1], [1, 2, 1]) / 16


def bytes_of(shares):
    return np.floor(255 * np.clip(shares, 0, 1) + 0.5).astype(np.uint8)


def sigmoid(x):
    return 1 / (1 + np.exp(-6 * (x - 0.45)))


def test_a_power_after_the_kernel(tmp_path):
    after = bytes_of(ndimage.correlate(SHARES, BLUR) ** 0.45)
    fit = kf.learn(PICTURE, after, curve="auto", size=3)
    assert (fit.curve.place, fit.curve.description) == ("after", "brightness to the power 0.45")
    np.testing.assert_allclose(fit.kernel.weights, BLUR, atol=5e-3)
    assert fit.residual_sd < 0.3
    assert np.abs(fit.apply(PICTURE).astype(int) - after).max() <= 1
    fit.save(tmp_path / "filter.json")
    again = kf.Fit.load(tmp_path / "filter.json")
    assert again.curve == fit.curve
    np.testing.assert_array_equal(again.apply(PICTURE), fit.apply(PICTURE))


def test_a_power_before_the_kernel():
    after = bytes_of(ndimage.correlate(SHARES**2.2, BLUR))
    fit = kf.learn(PICTURE, after, curve="auto", size=3)
    assert (fit.curve.place, fit.curve.description) == ("before", "brightness to the power 2.2")
    assert fit.residual_sd < 0.3
    assert kf.learn(PICTURE, after, size=3).residual_sd > 2 * fit.residual_sd


def test_a_tone_curve_is_points():
    after = sigmoid(ndimage.correlate(SHARES, BLUR))
    fit = kf.learn(SHARES, after, curve="auto", size=3)
    assert fit.curve.place == "after"
    assert fit.curve.description.startswith("a tone curve")
    plain = kf.learn(SHARES, after, size=3)
    assert fit.residual_sd < 0.2 * plain.residual_sd
    assert fit.verdict == "approximate"
    np.testing.assert_allclose(fit.kernel.weights / fit.kernel.weights.sum(), BLUR, atol=0.01)


def test_a_smaller_after():
    after = bytes_of(ndimage.correlate(SHARES, BLUR) ** 0.45)[1:-1, 1:-1]
    fit = kf.learn(PICTURE, after, curve="auto")
    assert (fit.curve.place, fit.curve.description) == ("after", "brightness to the power 0.45")
    np.testing.assert_allclose(fit.kernel.weights, BLUR, atol=5e-3)


@pytest.mark.parametrize("function", [lambda x: ndimage.correlate(x, BLUR), lambda x: ndimage.median_filter(x, 3)])
def test_no_curve_is_found_where_none_is(function):
    fit = kf.learn(PICTURE, bytes_of(function(SHARES)), curve="auto", size=3)
    assert fit.curve is None


def test_what_is_wrong_is_said():
    with pytest.raises(ArgumentError, match='curve: expected "auto" or None'):
        kf.learn(PICTURE, PICTURE, curve="gamma")
    with pytest.raises(ArgumentError, match="curve: expected none with light"):
        kf.learn(PICTURE, PICTURE, curve="auto", light="sRGB")
