"""Filters that no kernel explains are never called exact, and the output says so; noise is not called nonlinear."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import scipy.ndimage as ndi
from cases import photograph
from helpers.compression import jpeg
from learning.simulator import problem_of
from PIL import Image, ImageFilter
from skimage import data

import kernelfield as kf
from kernelfield.learning.warps import find_warp

PHOTOGRAPHS = ("china", "flower", "camera", "astronaut")


NOT_LINEAR = {
    "median 3": lambda a: ndi.median_filter(a, 3),
    "median 5": lambda a: cv2.medianBlur(a, 5),
    "bilateral": lambda a: cv2.bilateralFilter(a, 7, 40, 5),
    "clahe": lambda a: cv2.createCLAHE(3.0, (8, 8)).apply(a),
    "equalised": cv2.equalizeHist,
    "gamma": lambda a: np.rint(255 * (a / 255) ** 0.5).astype(np.uint8),
    "maximum": lambda a: ndi.maximum_filter(a, 3),
    "threshold": lambda a: np.where(a > 127, 255, 0).astype(np.uint8),
    "magnitude": lambda a: np.hypot(ndi.sobel(a.astype(float), 0), ndi.sobel(a.astype(float), 1)),
    "blur in linear light": lambda a: np.rint(255 * ndi.gaussian_filter((a / 255) ** 2.2, 2) ** (1 / 2.2)).astype(
        np.uint8
    ),
}
COMPRESSED = {f"JPEG {quality}": quality for quality in (5, 10, 20)}


@pytest.mark.parametrize("photo", PHOTOGRAPHS)
@pytest.mark.parametrize("name", sorted(NOT_LINEAR))
def test_not_linear(photo, name):
    before = photograph(photo)
    fit = kf.learn(before, NOT_LINEAR[name](before), max_size=15)
    # A picture with little contrast can leave so little that the signs stay below their limits.
    assert fit.verdict == "not linear" or (photo == "astronaut" and fit.verdict == "approximate")
    assert "does not explain the picture" in fit.explanation


@pytest.mark.parametrize("photo", PHOTOGRAPHS)
@pytest.mark.parametrize("name", sorted(COMPRESSED))
def test_strong_compression_after_a_blur(photo, name):
    before = photograph(photo)
    fit = kf.learn(before, jpeg(cv2.blur(before, (3, 3)), COMPRESSED[name]), max_size=15)
    assert fit.verdict in ("not linear", "approximate")
    assert "does not explain the picture" in fit.explanation


def test_unsharp_with_a_threshold():
    before = photograph("china")
    fit = kf.learn(before, np.asarray(Image.fromarray(before).filter(ImageFilter.UnsharpMask(2, 150, 6))), max_size=15)
    assert fit.verdict in ("not linear", "approximate")
    assert "does not explain the picture" in fit.explanation


@pytest.mark.parametrize("photo", PHOTOGRAPHS)
@pytest.mark.parametrize("noise", [1.0, 4.0, 15.0])
def test_a_linear_filter_with_noise_is_approximate(photo, noise):
    before = photograph(photo).astype(float)
    after = ndi.gaussian_filter(before, 1.0) + np.random.default_rng(0).normal(scale=noise, size=before.shape)
    fit = kf.learn(before, after, max_size=15)
    assert fit.verdict == "approximate"
    assert "as noise is" in fit.explanation


def test_the_picture_of_another_scene():
    fit = kf.learn(photograph("china"), photograph("flower"), max_size=15)
    assert fit.verdict == "not linear"
    assert fit.r2 < 0.5


LOOKS = {
    "mirrored left to right": lambda a: a[:, ::-1].copy(),
    "upside down": lambda a: a[::-1].copy(),
    "power 0.45": lambda a: np.rint(255 * (a / 255) ** 0.45).astype(np.uint8),
    "maximum of 3×3": lambda a: ndi.maximum_filter(a, 3),
    "value 3 of 9": lambda a: ndi.rank_filter(a, 2, size=3),
    "threshold": lambda a: np.where(a > 100, 255, 0).astype(np.uint8),
    "rotated by 2° counter-clockwise": lambda a: turned(a, 2),
    "rotated by 7° clockwise": lambda a: turned(a, -7),
    "resized by a factor of 1.02": lambda a: zoomed(a, 1.02),
    "distorted: its parts moved differently": lambda a: swirled(a, 0.06),
    "a background that varies": lambda a: ndi.gaussian_filter(a.astype(float), 1) + 25 * slope(a) + 15 * slope(a) ** 2,
    "a brightness that varies": lambda a: levels_of(ndi.gaussian_filter(a.astype(float), 1) * (0.8 + 0.2 * slope(a))),
    "a filter and then a tone curve": lambda a: levels_of(255 * (ndi.gaussian_filter(a / 255, 1.3)) ** 0.6),
    "light (brightness to the power 2.2": lambda a: levels_of(
        255 * ndi.gaussian_filter((a / 255) ** 2.2, 2) ** (1 / 2.2)
    ),
}


def levels_of(values: np.ndarray) -> np.ndarray:
    return np.rint(values).clip(0, 255).astype(np.uint8)


def slope(image: np.ndarray) -> np.ndarray:
    return np.linspace(-1, 1, image.shape[0])[:, None] * np.ones(image.shape[1])


def turned(image: np.ndarray, degrees: float) -> np.ndarray:
    return np.asarray(Image.fromarray(image).rotate(degrees, Image.Resampling.BICUBIC))


def zoomed(image: np.ndarray, factor: float) -> np.ndarray:
    offset = [(n - 1) / 2 * (1 - 1 / factor) for n in image.shape]
    return levels_of(ndi.affine_transform(image.astype(float), np.eye(2) / factor, offset, order=3, mode="nearest"))


def swirled(image: np.ndarray, strength: float) -> np.ndarray:
    places = np.indices(image.shape) - np.array([(n - 1) / 2 for n in image.shape])[:, None, None]
    angle = strength * np.exp(-(places**2).sum(axis=0) / 60**2)
    row = places[0] + angle * places[1] + (image.shape[0] - 1) / 2
    column = places[1] - angle * places[0] + (image.shape[1] - 1) / 2
    return levels_of(ndi.map_coordinates(image.astype(float), [row, column], order=3, mode="nearest"))


@pytest.mark.parametrize("words", sorted(LOOKS))
def test_what_it_looks_like_is_in_the_first_lines(words):
    before = photograph("camera")[128:384, 128:384]
    fit = kf.learn(before, LOOKS[words](before), max_size=11)
    assert fit.verdict == "not linear"
    assert words in fit.description
    assert (fit.name, fit.integers) == (None, None)
    assert "kernel, as" not in str(fit)


@pytest.mark.parametrize(("photo", "sigma"), [("camera", 1.5), ("astronaut", 1.0), ("china", 3.0)])
def test_a_blur_of_light_moves_edges_but_distorts_nothing(photo, sigma):
    share = photograph(photo)[100:300, 100:320] / 255.0
    light = ndi.gaussian_filter(np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4), sigma)
    after = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    fit = kf.learn(np.rint(255 * share).astype(np.uint8), np.rint(255 * after).astype(np.uint8), max_size=15)
    assert fit.verdict == "not linear"
    assert "filter of light" in fit.description


GEOMETRY = ("rotated", "resized", "stretched", "distorted", "varies", "then a tone curve")


def test_no_linear_filter_looks_like_geometry_background_or_curve():
    # None of 60: a rate below 5 % at a confidence of 95 %.
    kinds = ("white noise, size given", "Poisson", "correlated noise", "noise in the before", "JPEG", "colour, shared")
    for stratum in kinds:
        for seed in range(10):
            one = problem_of(stratum, seed)
            fit = kf.learn(one.before, one.after, **one.arguments)
            assert not any(word in fit.description for word in GEOMETRY), (stratum, seed, str(fit))


@pytest.mark.parametrize("name", ["camera", "flower", "china"])
@pytest.mark.parametrize(("degrees", "factor"), [(0.3, 1.0), (-3.0, 1.0), (11.0, 1.0), (0.0, 0.98), (2.0, 1.05)])
def test_the_turn_and_zoom_are_measured(name, degrees, factor):
    before = photograph(name)[100:340, 150:400]
    turn = np.radians(degrees)
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) / factor
    middle = (np.array(before.shape) - 1) / 2
    after = ndi.affine_transform(before.astype(float), matrix, middle - matrix @ middle, mode="mirror")
    # What the rotation left without a picture is no part of it.
    inner = slice(30, -30), slice(30, -30)
    warp = find_warp(before[inner], after[inner])
    assert warp.rotation == pytest.approx(degrees, abs=0.03)
    assert warp.zoom == pytest.approx(factor, abs=1.5e-3)
    assert ("rotated" in warp.describe()) == (degrees != 0.0)
    assert ("resized" in warp.describe()) == (factor != 1.0)
    assert "stretched" not in warp.describe()


def test_a_shift_and_a_blur_are_no_warp():
    before = photograph("camera")[100:340, 150:400].astype(float)
    assert find_warp(before[5:], before[:-5]) is None
    assert find_warp(before, ndi.gaussian_filter(before, 2.0)) is None
    assert find_warp(before[:15], before[:15]) is None


def test_pixels_that_do_not_count_are_left_out_of_the_warp():
    before = photograph("camera")[100:340, 150:400]
    after = turned(before, 2.0).copy()
    after[50:120, 80:160] = 255
    good = np.ones(after.shape, bool)
    good[45:125, 75:165] = False
    assert find_warp(before, after, good).rotation == pytest.approx(2.0, abs=0.06)


@pytest.mark.parametrize("seed", range(4))
def test_shuffled_pixels_and_noise_are_unrelated(seed):
    rng = np.random.default_rng(seed)
    before = photograph("camera")[128:384, 128:384]
    for after in (rng.permutation(before.ravel()).reshape(before.shape), rng.normal(128, 30, before.shape)):
        fit = kf.learn(before, after, max_size=7)
        assert fit.verdict == "not linear"
        assert "does not follow the before" in fit.explanation


def test_a_faint_filter_in_noise_is_no_other_scene():
    before = photograph("camera")[128:384, 128:384].astype(float)
    after = ndi.laplace(before) + np.random.default_rng(0).normal(scale=60.0, size=before.shape)
    fit = kf.learn(before, after, size=3)
    assert fit.r2 < 0.3
    assert fit.verdict == "approximate"


@pytest.mark.parametrize("shift", [(0, 0), (9, -6)])
def test_mixed_channels_are_not_said_to_differ(shift):
    from cases import colour_photograph

    before = colour_photograph("china")[60:300, 150:420]
    grey = before @ np.array([0.299, 0.587, 0.114])
    mixed = np.rint(0.4 * before + 0.6 * grey[..., None]).clip(0, 255).astype(np.uint8)
    fit = kf.learn(before, np.roll(mixed, shift, (0, 1)), max_size=11, channels="shared")
    assert "channels that are mixed" in fit.explanation
    assert "one by one" not in str(fit)


CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]])
DIAMOND = np.abs(np.mgrid[-2:3, -2:3]).sum(axis=0) <= 2
DISK = (np.mgrid[-3:4, -3:4] ** 2).sum(axis=0) <= 9


@pytest.mark.parametrize(("row", "column"), [(128, 128), (0, 300)])
@pytest.mark.parametrize(
    ("held", "words"),
    [
        (np.ones((3, 3)), "3×3"),
        (np.ones((5, 5)), "5×5"),
        (CROSS, "a cross of 3×3"),
        (DIAMOND, "a diamond of 5×5"),
        (DISK, "a disk of 7×7"),
    ],
    ids=["3", "5", "cross", "diamond", "disk"],
)
@pytest.mark.parametrize("name", ["minimum", "median", "maximum"])
def test_values_in_order_are_said_with_the_pixels_that_are_ordered(row, column, held, words, name):
    before = data.camera()[row : row + 100, column : column + 120]
    after = getattr(ndi, f"{name}_filter")(before, footprint=held)
    fit = kf.learn(before, after, max_size=15)
    assert fit.verdict == "not linear"
    assert f"the {name} of {words} pixels" in fit.explanation
    assert "gives every pixel" in fit.explanation


def test_a_dilated_page_is_no_vignetting_and_a_curve_of_colours_no_mix():
    page = data.page()[:, :160]
    assert "maximum of 3×3" in kf.learn(page, ndi.maximum_filter(page, 3), max_size=15).explanation
    colours = data.astronaut()[:128, 150:278]
    curve = np.rint(255 * (colours / 255) ** 0.8).astype(np.uint8)
    assert "to the power 0.8" in kf.learn(colours, curve).explanation


@pytest.mark.parametrize(("down", "right"), [(2, 2), (4, 4), (3, 8)])
@pytest.mark.parametrize("corner", [(0, 0), (1, 2)])
@pytest.mark.parametrize("colours", [False, True])
def test_a_pixelated_picture_is_said_to_be_one(down, right, corner, colours):
    before = data.astronaut()[:144, 150:310]
    before = before if colours else before[..., 1]
    rows, columns = 144 // down, 160 // right
    means = before.reshape(rows, down, columns, right, -1).mean(axis=(1, 3)).round()
    after = np.repeat(np.repeat(means, down, 0), right, 1).reshape(before.shape).astype(np.uint8)
    part = slice(corner[0], None), slice(corner[1], None)
    fit = kf.learn(before[part], after[part], max_size=9)
    assert fit.verdict == "not linear"
    assert f"blocks of {down}×{right} pixels" in fit.explanation
