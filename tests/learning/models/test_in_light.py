"""Filters of light, made here with the formulas of IEC 61966-2-1 and SciPy's filters."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage import data

import kernelfield as kf
from kernelfield.errors import ArgumentError, DataError
from kernelfield.learning.light import Light
from kernelfield.learning.models import in_light
from kernelfield.learning.models.model import Asked

PICTURE = data.camera()[100:230, 100:230]


def light_of(x):
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def stored_of(y):
    return np.where(y <= 0.0031308, y * 12.92, 1.055 * y ** (1 / 2.4) - 0.055)


def bytes_of(light):
    return np.floor(255 * stored_of(light) + 0.5).astype(np.uint8)


def test_the_transfer_function_is_that_of_the_standard():
    x = np.linspace(0, 1, 1001)
    # The two pieces of the standard meet to within 1e-6 where it rounds their end.
    np.testing.assert_allclose(Light("sRGB").decode(x), light_of(x), atol=1e-6)
    np.testing.assert_allclose(Light("sRGB").encode(light_of(x)), x, atol=1e-6)
    np.testing.assert_allclose(Light(2.2).encode(Light(2.2).decode(255 * x, 255), 255), 255 * x, atol=1e-9)


@pytest.mark.parametrize("light", ["sRGB", "auto"])
def test_a_blur_of_light_is_the_gaussian_that_it_is(light):
    before = PICTURE / 255.0
    after = stored_of(ndimage.gaussian_filter(light_of(before), 1.5, mode="nearest"))
    fit = kf.learn(before, after, light=light)
    assert (fit.verdict, fit.light.transfer, fit.boundary, fit.name) == ("exact", "sRGB", "nearest", "gaussian")
    assert fit.parameters["sigma"] == pytest.approx(1.5, abs=1e-3)
    np.testing.assert_allclose(fit.apply(before), after, atol=1e-5)
    plain = kf.learn(before, after)
    assert plain.verdict != "exact"
    assert plain.residual_sd > 50 * fit.residual_sd


def test_eight_bits_are_reproduced_through_the_curve():
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    after = bytes_of(ndimage.correlate(light_of(PICTURE / 255.0), kernel, mode="mirror"))
    fit = kf.learn(PICTURE, after, light="auto")
    assert (fit.verdict, fit.light.transfer, fit.boundary) == ("exact", "sRGB", "mirror")
    np.testing.assert_allclose(fit.kernel.weights, kernel, atol=1e-4)
    # Moved weights are those of one of many kernels that reproduce the inside; halves and the border may differ.
    assert np.mean(fit.apply(PICTURE) != after) < 1e-3
    assert np.abs(fit.apply(PICTURE).astype(int) - after).max() <= 1


def test_a_power_is_found():
    after = np.floor(255 * ndimage.uniform_filter((PICTURE / 255.0) ** 1.8, 3) ** (1 / 1.8) + 0.5).astype(np.uint8)
    fit = kf.learn(PICTURE, after, light="auto")
    assert (fit.light.transfer, fit.name) == (1.8, "box")


@pytest.mark.parametrize("picture", [data.moon()[60:260, 60:280], data.astronaut()[60:260, 60:280]])
def test_a_power_near_the_standard_is_told_from_it(picture):
    """The comparison on a part cannot: the fits do."""
    weights = np.outer([1, 2, 1], [1, 2, 1]).reshape(3, 3, *[1] * (picture.ndim - 2)) / 16
    light = ndimage.correlate((picture / 255.0) ** 2.2, weights, mode="nearest")
    fit = kf.learn(picture, np.rint(255 * light ** (1 / 2.2)).astype(np.uint8), light="auto")
    assert (fit.light.transfer, fit.name, fit.verdict) == (2.2, "binomial", "exact")


def test_where_the_numbers_were_filtered_no_light_is_found():
    after = np.floor(ndimage.uniform_filter(PICTURE.astype(float), 3) + 0.5).astype(np.uint8)
    fit = kf.learn(PICTURE, after, light="auto")
    assert (fit.light, fit.verdict, fit.divisor) == (None, "exact", 9)


@pytest.mark.parametrize("light", ["sRGB", "auto"])
@pytest.mark.parametrize("crop", [(slice(2, -2), slice(2, -2)), (slice(4, -3), slice(3, -2))])
def test_a_smaller_after_lies_where_it_lies(light, crop):
    before = PICTURE / 255.0
    after = stored_of(ndimage.gaussian_filter(light_of(before), 0.8, radius=2))[crop]
    fit = kf.learn(before, after, light=light, size=None if crop[0].start == 2 else 5)
    assert (fit.verdict, fit.name, fit.light.transfer) == ("exact", "gaussian", "sRGB")
    assert fit.r2 == pytest.approx(1.0)


def test_colours_and_files(tmp_path):
    colour = data.astronaut()[:160, :160]
    after = bytes_of(ndimage.correlate(light_of(colour / 255.0), np.full((3, 3, 1), 1 / 9)))
    fit = kf.learn(colour, after, light="sRGB", size=3)
    fit.save(tmp_path / "filter.json")
    again = kf.Fit.load(tmp_path / "filter.json")
    assert again.light == fit.light == Light("sRGB", 255.0, 255.0)
    np.testing.assert_array_equal(again.apply(colour), fit.apply(colour))
    assert np.mean(fit.apply(colour) != after) < 1e-3
    assert "light     sRGB" in str(fit)


def test_what_is_wrong_is_said():
    with pytest.raises(ArgumentError, match="light: expected"):
        kf.learn(PICTURE, PICTURE, light="bright")
    with pytest.raises(ArgumentError, match="noise: expected none with light"):
        kf.learn(PICTURE, PICTURE, light="sRGB", noise=(1, 1))


# The parts by themselves.


def test_transfer_functions_that_can_be_asked_for():
    assert [in_light.check_light(light) for light in (None, "auto", "sRGB")] == [None, "auto", "sRGB"]
    for light in (0.05, 20, np.float32(2.0), np.int64(3)):
        assert in_light.check_light(light) == float(light)
    for light in (0.049, 20.1, True, "srgb", (2.2,), np.nan):
        with pytest.raises(ArgumentError, match="light: expected"):
            in_light.check_light(light)


def asked(before, after, **options) -> Asked:
    return Asked(before, after, **{"size": None, "max_size": 31, "noise": None, "mask": None, "clip": None,
                                   "channel_axis": "auto", **options})  # fmt: skip


def test_the_numbers_of_white():
    image = np.linspace(-3.0, 1.0, 42).reshape(6, 7)
    whites = [(1.0, 1.0), (1.5, 1.0), (1.51, 255.0), (300.0, 255.0), (301.0, 301.0)]
    for top, white in whites:
        high = image.copy()
        high[0, 0] = top
        assert in_light.whites_of(asked(high, image)) == (white, 1.0)
        high[1, 1] = np.inf
        assert in_light.whites_of(asked(image, high)) == (1.0, white)
    whole = np.arange(42).reshape(6, 7)
    assert in_light.whites_of(asked(whole.astype(np.uint8), whole.astype(np.uint16))) == (255.0, 65535.0)
    with pytest.raises(DataError, match="after: expected usable pixels"):
        in_light.whites_of(asked(image, np.full((6, 7), np.nan)))
    for scale in (1e-101, 1e101):
        with pytest.raises(DataError, match="before: expected numbers whose squares"):
            in_light.whites_of(asked(image * scale, image))
    assert in_light.whites_of(asked(np.zeros((6, 7)), image)) == (1.0, 1.0)


def test_the_part_in_shares_of_white():
    rng = np.random.default_rng(0)
    before, after = rng.uniform(0.0, 250.0, (2, 60, 70))
    before[0, 0] = after[0, 0] = 255.0
    task = in_light.part_in_white(asked(before, after), (255.0, 51.0))
    np.testing.assert_allclose(task.sources[0], before / 255.0)
    np.testing.assert_allclose(task.targets[0].after, after / 51.0)
    # The kernels that are tried have less than 15 rows and columns.
    assert in_light.part_in_white(asked(before, after[:46]), (255.0, 255.0)) is not None
    assert in_light.part_in_white(asked(before, after[:, :-15]), (255.0, 255.0)) is None
    for one, other in ((before + 1e6, after), (before, after + 1e6)):
        assert in_light.part_in_white(asked(one, other), (255.0, 255.0)) is None
    # Of colours the second, of two channels too.
    for count in (2, 3):
        colours = rng.uniform(0.0, 250.0, (count, 60, 70))
        task = in_light.part_in_white(asked(colours, colours, channel_axis=0), (255.0, 255.0))
        np.testing.assert_allclose(task.sources[0], colours[1] / 255.0)


@pytest.mark.parametrize("transfer", [None, "sRGB", 1.8])
@pytest.mark.parametrize("holes", [False, True])
def test_what_a_filter_in_some_light_leaves_of_the_stored_numbers(transfer, holes):
    rng = np.random.default_rng(0)
    before = rng.uniform(0.05, 0.95, (50, 56))
    after = stored_of(ndimage.correlate(light_of(before), np.outer([1, 2, 1], [1, 2, 1]) / 16))
    mask = rng.random(before.shape) > 0.05 if holes else None
    trial = in_light._Trial.of(asked(before, after, mask=mask), (1.0, 1.0))
    support = trial.support
    assert support.size == (3, 3)
    decode = {None: lambda x: x, "sRGB": light_of, 1.8: lambda x: x**1.8}[transfer]
    encode = {None: lambda x: x, "sRGB": stored_of, 1.8: lambda x: np.maximum(x, 0.0) ** (1 / 1.8)}[transfer]
    windows = np.lib.stride_tricks.sliding_window_view(decode(before), (3, 3)).reshape(48, 54, 9)
    design = np.concatenate([windows, np.ones((48, 54, 1))], axis=2)
    inner = after[1:-1, 1:-1]
    good = np.ones(inner.shape, bool)
    if holes:
        good = mask[1:-1, 1:-1] & np.lib.stride_tricks.sliding_window_view(mask, (3, 3)).all(axis=(2, 3))
    weights = np.linalg.lstsq(design[good], decode(inner)[good], rcond=None)[0]
    expected = float(np.mean((inner - encode(design @ weights))[good] ** 2))
    found = trial.left(None if transfer is None else Light(transfer))
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-11)


@pytest.mark.parametrize("clip", ["auto", None, (0.0, 255.0), (51.0, 204.0)])
def test_pairs_are_decoded_with_their_range(clip):
    rng = np.random.default_rng(0)
    before = np.ma.masked_array(rng.integers(0, 256, (20, 21)).astype(np.uint8), rng.random((20, 21)) < 0.1)
    after = rng.integers(0, 256, (20, 21)).astype(np.uint8)
    found = in_light.decoded(asked(before, after, clip=clip), Light(2.0, 255.0, 255.0))
    np.testing.assert_allclose(found.after, (after / 255.0) ** 2)
    np.testing.assert_array_equal(np.ma.getmaskarray(found.before), before.mask)
    np.testing.assert_allclose(found.before.data[~before.mask], (before.data[~before.mask] / 255.0) ** 2)
    expected = {"auto": (0.0, 1.0), None: None}.get(clip) if not isinstance(clip, tuple) else None
    if isinstance(clip, tuple):
        np.testing.assert_allclose(found.clip, [(end / 255.0) ** 2 for end in clip])
    else:
        assert found.clip == expected
