"""Pictures that repeat themselves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage import data

import kernelfield as kf
from kernelfield.learning.periods import period

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
