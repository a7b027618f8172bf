"""Exactness of small pictures: weights that reproduce what no filter made, beside those of blurs."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from cases import photograph
from skimage import data

import kernelfield as kf
from kernelfield.learning.held_out import share_outside
from kernelfield.learning.pair import prepare
from kernelfield.learning.support import Support

CROPS = {
    "coffee": (slice(102, 175), slice(454, 559)),
    "rocket": (slice(99, 147), slice(299, 398)),
    "clock": (slice(146, 207), slice(111, 213)),
    "page": (slice(30, 94), slice(200, 290)),
    "camera": (slice(200, 264), slice(150, 240)),
    "chelsea": (slice(110, 152), slice(130, 208)),
}
SIGMAS = {"coffee": 60, "rocket": 53, "clock": 36}


def crop(name):
    picture = np.asarray(getattr(data, name)())
    return np.ascontiguousarray((picture if picture.ndim == 2 else picture[..., 1])[CROPS[name]])


@pytest.mark.parametrize("name", CROPS)
def test_a_bilateral_filter_of_a_small_crop_is_not_exact(name):
    before = crop(name)
    sigma = SIGMAS.get(name, 50)
    fit = kf.learn(before, cv2.bilateralFilter(before, 9, sigma, sigma))
    assert fit.verdict in ("approximate", "not linear")


@pytest.mark.parametrize("name", CROPS)
def test_a_blur_of_a_small_crop_is_exact(name):
    before = crop(name)
    after = kf.correlate(before, kf.kernels.gaussian(1.3), dtype="uint8", boundary="nearest")
    fit = kf.learn(before, after)
    assert fit.verdict == "exact"
    assert "Gaussian blur, sigma 1.3" in fit.description


def test_the_share_of_held_out_pixels_outside_is_that_of_the_errors_of_the_weights():
    rng = np.random.default_rng(0)
    before = rng.integers(0, 256, (64, 90), dtype=np.uint8)
    for size in (3, 9, 13):
        kernel = rng.random((size, size))
        after = kf.correlate(before, 4 * kernel / kernel.sum(), dtype="int32")
        support = Support(-(size // 2), -(size // 2), size, size)
        share = share_outside(prepare(before, after), support)
        count = 0.75 * (65 - size) * (91 - size)
        if size == 3:
            assert share is None
        else:
            # The mean magnitude of errors of variance p / (12 n), of normal distribution.
            assert share == pytest.approx(np.sqrt(size**2 / (6 * np.pi * (count - size**2))), rel=0.2)
        assert share is None or share < share_outside(prepare(before, rng.permutation(after)), support)


@pytest.mark.parametrize("seed", range(4))
def test_a_size_that_was_not_given_is_never_too_large(seed):
    rng = np.random.default_rng(seed)
    picture = photograph("camera")
    for _ in range(3):
        row, column = rng.integers(0, 400, 2)
        before = np.ascontiguousarray(picture[row : row + rng.integers(40, 70), column : column + rng.integers(40, 70)])
        kf.learn(before, cv2.bilateralFilter(before, 9, 40, 40))
