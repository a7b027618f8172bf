"""Crops, shifts and units: the place of the after and the level of its numbers change nothing."""

from __future__ import annotations

import numpy as np
import pytest
from cases import photograph
from PIL import Image

import kernelfield as kf
from kernelfield.errors import DataError

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
