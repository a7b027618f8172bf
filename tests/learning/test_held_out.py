"""Exactness of small pictures: weights that reproduce what no filter made, beside those of blurs."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from cases import photograph
from skimage import data

import kernelfield as kf
from kernelfield.learning import held_out
from kernelfield.learning.held_out import holds_elsewhere, share_outside
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


@pytest.mark.parametrize(
    ("rows", "columns", "channels", "tested"),
    [(20, 27, 1, True), (23, 24, 1, False), (10, 27, 2, True), (12, 23, 2, False)],
)
def test_sixty_positions_a_weight_need_no_test(rows, columns, channels, tested):
    """More than 540 positions for nine weights."""
    before = np.random.default_rng(0).integers(0, 256, (rows + 2, columns + 2, channels), dtype=np.uint8)
    pair = prepare(before, before, channel_axis=2)
    assert (share_outside(pair, Support(-1, -1, 3, 3)) is not None) == tested


def test_too_few_others_hold_nothing():
    before = np.random.default_rng(0).integers(0, 256, (9, 9), dtype=np.uint8)
    assert share_outside(prepare(before, before), Support(-3, -3, 7, 7)) == 1.0
    # The other three quarters reproduce the pixels that were held out.
    before = np.random.default_rng(0).integers(0, 256, (20, 20), dtype=np.uint8)
    assert share_outside(prepare(before, before), Support(-1, -1, 3, 3)) == 0.0


@pytest.mark.parametrize(("share", "holds"), [(None, True), (0.0, True), (0.11, True), (0.1101, False), (1.0, False)])
def test_the_share_that_errors_of_weights_leave(monkeypatch, share, holds):
    before = np.random.default_rng(0).integers(0, 256, (20, 22), dtype=np.uint8)
    monkeypatch.setattr(held_out, "share_outside", lambda *_: share)
    assert holds_elsewhere(prepare(before, before), Support(-1, -1, 3, 3)) == holds


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("columns", "holds"), [(3, True), (4, False)])
def test_a_picture_that_repeats_proves_nothing_of_many_weights(channels, columns, holds):
    """Ten different windows a weight are needed: 5×6 of them in one channel, and as many in each."""
    before = np.tile(np.random.default_rng(0).integers(0, 256, (5, 6, channels), dtype=np.uint8), (8, 7, 1))
    support = Support(0, 0, channels, columns)
    assert holds_elsewhere(prepare(before, before, channel_axis=2), support) == holds


@pytest.mark.parametrize(("columns", "holds"), [(29, False), (30, True)])
def test_ten_windows_a_weight_are_enough(monkeypatch, columns, holds):
    monkeypatch.setattr(held_out, "share_outside", lambda *_: 0.0)
    before = np.tile(np.random.default_rng(0).integers(0, 256, (1, columns), dtype=np.uint8), (9, 3))
    assert holds_elsewhere(prepare(before, before), Support(0, -1, 1, 3)) == holds
