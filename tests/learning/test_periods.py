"""Pictures that repeat themselves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage import data

import kernelfield as kf
from kernelfield.learning.held_out import holds_elsewhere
from kernelfield.learning.pair import prepare
from kernelfield.learning.periods import distinct, folded, period, repeats
from kernelfield.learning.support import centred

TILE = data.coins()[60:76, 60:80]


@pytest.mark.parametrize("axis", [0, 1])
def test_the_period_is_that_of_the_tile(axis):
    picture = np.tile(TILE, (6, 5))
    assert period(picture, axis, 60) == TILE.shape[axis]
    assert period(picture, axis, TILE.shape[axis] - 1) == 0
    picture[40, 50] += 1
    assert period(picture, axis, 60) == 0


def test_a_kernel_wider_than_the_period_is_said_to_be_folded():
    picture = np.tile(TILE, (10, 8))
    after = np.rint(ndimage.gaussian_filter(picture.astype(float), 6.0, mode="wrap"))
    notes = " ".join(kf.learn(picture, after.astype(np.uint8), size=31).notes)
    assert "the before repeats after 16 rows and 20 columns" in notes
    narrow = kf.learn(picture, np.rint(ndimage.uniform_filter(picture.astype(float), 3)).astype(np.uint8))
    assert narrow.name == "box"
    assert "repeats" not in " ".join(narrow.notes)


@pytest.mark.parametrize("mode", ["wrap", "reflect"])
def test_a_blur_far_wider_than_the_period_is_undetermined(mode):
    picture = np.tile(data.camera()[128:168, 128:168], (5, 5))
    after = np.rint(ndimage.gaussian_filter(picture.astype(float), 10.0, mode=mode)).astype(np.uint8)
    fit = kf.learn(picture, after)
    assert fit.verdict == "undetermined"
    assert "repeat after 40 rows and 40 columns" in fit.explanation


def test_an_after_that_does_not_repeat_is_told():
    picture = np.tile(TILE, (10, 8))
    after = picture.copy()
    assert repeats(picture, after) == "16 rows and 20 columns"
    after[70, 80] += 1
    assert repeats(picture, after) == ""
    assert repeats(data.camera()[:64, :64], data.camera()[:64, :64]) == ""


def test_the_median_of_a_picture_that_repeats_is_a_median():
    picture = np.tile(TILE, (6, 5))
    assert "median of 3×3" in kf.learn(picture, ndimage.median_filter(picture, 3, mode="wrap")).explanation


def test_few_windows_that_come_again_prove_no_kernel():
    tile = data.camera()[128:158, 128:158]
    pair = prepare(np.tile(tile, (4, 4)), np.tile(tile, (4, 4)))
    # 900 different windows, for 121 weights and for 81.
    assert not holds_elsewhere(pair, centred((11, 11)))
    assert holds_elsewhere(pair, centred((9, 9)))


@pytest.mark.parametrize("width", [5, 7, 9])
def test_narrow_pictures_have_periods_too(width):
    tile = np.random.default_rng(0).permutation(4 * width).reshape(4, width)
    picture = np.tile(tile, (5, 1))
    assert (period(picture, 0, 10), period(picture.T, 1, 10)) == (4, 4)
    assert (period(picture, 0, 3), period(picture, 0, 4)) == (0, 4)
    # Half of the lines must repeat: of seven, no period of four is known.
    assert period(picture[:7], 0, 10) == 0
    assert period(picture[:8], 0, 10) == 4
    assert distinct(np.tile(tile, (3, 2))) == 4 * width
    assert distinct(picture) == 0


def test_periods_in_words():
    picture = np.tile(np.random.default_rng(0).permutation(12).reshape(3, 4), (6, 6))
    assert folded(picture, (3, 4)) == ""
    assert "repeats after 3 rows: weights" in folded(picture, (4, 4))
    assert "repeats after 4 columns: weights" in folded(picture, (3, 5))
    assert "repeats after 3 rows and 4 columns: weights" in folded(picture, (4, 5))
    assert "repeats after 1 row and 4 columns" in folded(np.tile(picture[:1], (18, 1)), (3, 9))
    assert repeats(picture, picture[:-1]) == ""
