"""Filters of light, made here with the formulas of IEC 61966-2-1 and SciPy's filters."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage import data

import kernelfield as kf
from kernelfield.errors import ArgumentError
from kernelfield.learning.light import Light

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
