"""Pairs that rounding reproduces, beside pairs that it nearly reproduces."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage as ndi
from cases import photograph

import kernelfield as kf

CAMERA = photograph("camera")[128:384, 128:384]
SOBEL = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])


def rounded(total: np.ndarray, divisor: int, rule: str) -> np.ndarray:
    """Return the quotient in integers by a rounding rule."""
    down, left = total // divisor, total % divisor
    return {
        "nearest": lambda: (2 * total + divisor) // (2 * divisor),
        "nearest even": lambda: down + ((2 * left > divisor) | ((2 * left == divisor) & (down % 2 == 1))),
        "nearest away": lambda: np.sign(total) * ((2 * np.abs(total) + divisor) // (2 * divisor)),
        "nearest down": lambda: -((-2 * total + divisor) // (2 * divisor)),
        "truncated": lambda: down,
        "to zero": lambda: np.sign(total) * (np.abs(total) // divisor),
    }[rule]()


@pytest.mark.parametrize("offset", [0, 128])
@pytest.mark.parametrize("rule", ["nearest", "nearest even", "nearest away", "nearest down", "truncated", "to zero"])
def test_every_rule_is_told_and_applied(rule, offset):
    total = ndi.correlate(CAMERA.astype(np.int64), SOBEL, mode="mirror")
    after = (rounded(total, 4, rule) + offset).astype(np.int16)
    fit = kf.learn(CAMERA, after)
    assert (fit.verdict, fit.rounding, fit.boundary) == ("exact", rule, "mirror")
    np.testing.assert_array_equal(fit.integers * 4, SOBEL * fit.divisor)
    np.testing.assert_array_equal(fit.apply(CAMERA.astype(np.int16)), after)


def test_one_pixel_a_step_off_is_an_outlier_or_not_exact():
    after = kf.correlate(CAMERA, kf.kernels.gaussian(1.1), dtype="uint8")
    assert kf.learn(CAMERA, after).verdict == "exact"
    wrong = after.copy()
    rows, columns = np.random.default_rng(0).integers(20, 230, (2, 40))
    wrong[rows, columns] += np.uint8(1)
    assert kf.learn(CAMERA, wrong).verdict == "approximate"


def test_a_pasted_white_label_is_not_taken_for_clipped():
    after = kf.correlate(CAMERA, kf.kernels.box(3), dtype="uint8")
    after[100:120, 40:90] = 255
    fit = kf.learn(CAMERA, after)
    assert fit.name == "box"
    assert fit.outliers >= 900
    assert fit.left_out[110, 60]
    assert not fit.left_out[50, 60]


def test_few_levels_are_no_proof():
    mask = ndi.gaussian_filter(CAMERA.astype(float), 2) > 120
    fit = kf.learn(mask.astype(np.uint8), ndi.binary_dilation(mask).astype(np.uint8), max_size=7)
    assert fit.verdict != "exact"


@pytest.mark.parametrize("sigma", [0.8, 1.4])
def test_weights_that_are_no_fractions_reproduce_the_pixels(sigma):
    after = kf.correlate(CAMERA, kf.kernels.gaussian(sigma), dtype="uint8", boundary="nearest")
    fit = kf.learn(CAMERA, after)
    assert fit.verdict == "exact"
    # Border pixels are no constraints on the weights: a few lie within their error of a half.
    assert np.mean(fit.apply(CAMERA) != after) < 2e-4
