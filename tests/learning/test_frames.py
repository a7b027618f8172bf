"""Crops, shifts and units: the place of the after and the level of its numbers change nothing."""

from __future__ import annotations

import numpy as np
import pytest
from cases import photograph
from PIL import Image

import kernelfield as kf
from kernelfield.errors import DataError, KernelfieldError
from kernelfield.learning import frames as module
from kernelfield.learning.frames import Frames, compare_frames
from kernelfield.learning.pair import prepare

CAMERA = photograph("camera")[128:384, 128:384]
BLURRED = kf.correlate(CAMERA, kf.kernels.box(5), dtype="uint8")


@pytest.mark.parametrize("place", [(10, 3), (0, 40), (25, 25)])
def test_a_crop_says_where_it_lies(place, tmp_path):
    after = BLURRED[place[0] : place[0] + 190, place[1] : place[1] + 200]
    fit = kf.learn(CAMERA, after)
    assert (fit.verdict, fit.size, fit.name, fit.frame) == ("exact", (5, 5), "box", place)
    fit.save(tmp_path / "fit.json")
    assert kf.Fit.load(tmp_path / "fit.json").frame == place
    assert fit.plot(CAMERA, after).axes


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("place", [(0, 0), (2, 2), (0, 2), (10, 3), (25, 25)])
@pytest.mark.parametrize("shape", [(254, 254), (190, 200)])
def test_a_crop_with_a_given_size_lies_where_the_kernel_explains_it(size, place, shape):
    blurred = kf.correlate(CAMERA, kf.kernels.box(3), dtype="uint8")
    after = blurred[place[0] : place[0] + shape[0], place[1] : place[1] + shape[1]]
    fit = kf.learn(CAMERA, after, size=size)
    assert (fit.verdict, fit.size) == ("exact", (size, size))
    first = fit.frame or fit.anchor
    expected = np.zeros((size, size))
    middle = fit.anchor[0] + place[0] - first[0], fit.anchor[1] + place[1] - first[1]
    expected[middle[0] - 1 : middle[0] + 2, middle[1] - 1 : middle[1] + 2] = 1 / 9
    np.testing.assert_allclose(fit.kernel.weights, expected, atol=1e-3)


@pytest.mark.parametrize("move", [(20, -17), (0, 45)])
def test_shifts_beyond_the_kernel(move):
    fit = kf.learn(CAMERA, np.roll(BLURRED, move, (0, 1)), max_size=15)
    assert (fit.verdict, fit.name) == ("exact", "box")
    assert fit.parameters["shift"] == move


def test_a_resized_after_is_refused_by_name():
    smaller = np.asarray(Image.fromarray(BLURRED).resize((160, 160), Image.Resampling.BICUBIC))
    with pytest.raises(DataError, match=r"about 1/1\.6 of 256×256 on both axes, as a resized picture"):
        kf.learn(CAMERA, smaller)


@pytest.mark.parametrize(("constant", "scale"), [(1e6, 1.0), (-3e9, 1.0), (0.0, 1e200), (0.0, 1e-200), (0.0, 1e39)])
@pytest.mark.parametrize("sd", [0.0, 1.0])
def test_constants_and_units_change_nothing(constant, scale, sd):
    weights = np.random.default_rng(0).normal(size=(3, 3))
    noise = np.random.default_rng(1).normal(scale=sd, size=CAMERA.shape)
    before = (CAMERA + constant) * scale
    after = (kf.correlate(CAMERA.astype(float), weights) + noise + constant * weights.sum()) * scale
    fit = kf.learn(before, after, size=3)
    assert (fit.verdict == "exact") == (sd == 0.0)
    error = np.abs(fit.kernel.weights - weights)
    assert error.max() < (0.01 if sd else 1e-5)
    assert fit.r2 > 0.99


def test_scales_without_a_quotient_are_refused():
    with pytest.raises(DataError, match="scale one of them"):
        kf.learn(CAMERA * 1e-300, CAMERA * 1e300, size=3)


# The same by the module's own functions, of small noise where every place is known.

NOISE = np.random.default_rng(0).normal(size=(60, 70))


def compared(before: np.ndarray, after: np.ndarray) -> Frames:
    return compare_frames(prepare(before, after, clip=None))


@pytest.mark.parametrize("place", [(0, 0), (1, 0), (0, 3), (5, 9), (10, 12)])
@pytest.mark.parametrize("shape", [(50, 58), (41, 47)])
def test_the_place_of_a_crop(place, shape):
    after = NOISE[place[0] : place[0] + shape[0], place[1] : place[1] + shape[1]]
    found = compared(NOISE, after)
    assert (found.rows, found.columns) == place
    assert found.found
    assert found.peak > 3.0 * found.following > 3.0


@pytest.mark.parametrize("move", [(7, 0), (-7, 4), (0, -20), (15, 25)])
def test_moves_in_each_direction(move):
    found = compared(NOISE, np.roll(NOISE, move, (0, 1)))
    assert (found.rows, found.columns) == (-move[0], -move[1])
    assert found.found


@pytest.mark.parametrize("largest", [32, 45])
def test_the_middle_of_large_pictures_is_compared(monkeypatch, largest):
    monkeypatch.setattr(module, "_LARGEST", largest)
    beside = NOISE.copy()
    # What lies outside of the middle says nothing.
    top, left = (60 - largest) // 2, (70 - largest) // 2
    spoilt = np.random.default_rng(1).normal(scale=50.0, size=NOISE.shape)
    spoilt[top : top + largest, left : left + largest] = NOISE[top : top + largest, left : left + largest]
    found = compared(beside, np.roll(spoilt, (0, 0), (0, 1)))
    assert (found.rows, found.columns, found.found) == (0, 0, True)
    crop = NOISE[4:58, 3:69]
    found = compared(NOISE, crop)
    assert (found.rows, found.columns) == (4, 3)


def test_pictures_that_do_not_agree_have_no_place():
    other = np.random.default_rng(1).normal(size=NOISE.shape)
    assert not compared(NOISE, other).found
    flat = compared(NOISE, np.full(NOISE.shape, 3.0))
    assert flat == Frames(0, 0, 0.0)
    assert not flat.found


@pytest.mark.parametrize(
    ("peak", "following", "found"),
    [(7.1, 0.0, True), (6.9, 0.0, False), (9.1, 6.0, True), (8.9, 6.0, False), (7.1, 4.6, True), (6.95, 4.6, False)],
)
def test_how_far_a_peak_stands_out(peak, following, found):
    assert Frames(0, 0, peak, following).found == found


def test_the_rest_begins_beyond_a_wide_peak():
    # Two copies: the second peak is 16 or 17 pixels from the first.
    for away, counts in ((16, False), (17, True)):
        for axis in (0, 1):
            found = compared(NOISE, NOISE + 0.9 * np.roll(NOISE, away, axis))
            assert (found.rows, found.columns) == (0, 0)
            assert (found.following > 0.35 * found.peak) == counts


def test_pixels_that_do_not_count_and_levels_change_nothing():
    before, after = NOISE + 500.0, np.roll(NOISE, (3, -2), (0, 1)) - 300.0
    before[10:14, 20:40], after[30:33, 5:9] = np.nan, np.inf
    found = compared(before, after)
    assert (found.rows, found.columns, found.found) == (-3, 2, True)
    assert found.peak == pytest.approx(compared(before - 500.0, after + 300.0).peak, rel=1e-6)


def test_the_second_channel_is_compared():
    other = np.random.default_rng(1).normal(size=(3, *NOISE.shape))
    after = np.roll(other, 4, 1)
    after[[0, 2]] = np.random.default_rng(2).normal(size=(2, *NOISE.shape))
    found = compare_frames(prepare(other, after, clip=None, channel_axis=0))
    assert (found.rows, found.columns, found.found) == (-4, 0, True)
    two = compare_frames(prepare(other[:2], after[:2], clip=None, channel_axis=0))
    assert (two.rows, two.found) == (-4, True)


@pytest.mark.parametrize("side", [48, 64, 100])
@pytest.mark.parametrize("corner", [(10, 5), (9, 140), (140, 20), (70, 90)])
def test_a_small_crop_is_laid_over_every_place(side, corner):
    after = kf.correlate(CAMERA, kf.kernels.box(3), dtype="uint8")
    part = after[corner[0] : corner[0] + side, corner[1] : corner[1] + side]
    fit = kf.learn(CAMERA, part)
    assert (fit.verdict, fit.name, fit.size) == ("exact", "box", (3, 3))
    assert fit.frame == (None if part.shape[0] == CAMERA.shape[0] else corner)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("missing", [False, True])
def test_a_small_crop_of_either_sign_and_with_holes_is_found(sign, missing):
    before = CAMERA.astype(float)
    after = sign * kf.correlate(before, kf.kernels.gaussian(1.0))[150:214, 12:76]
    if missing:
        before[100, 100], after[3, 7] = np.nan, np.nan
    frames = compare_frames(prepare(before, after))
    assert frames.found
    assert (frames.rows, frames.columns) == (150, 12)


def test_a_crop_of_another_picture_is_refused():
    with pytest.raises(KernelfieldError, match="after: expected"):
        kf.learn(CAMERA, photograph("china")[60:124, 200:264])
