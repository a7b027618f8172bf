"""Pairs in colour that no kernel and no matrix made, and channels of one value, as an opaque alpha."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps
from skimage import color, data, exposure

import kernelfield as kf

PICTURE = data.astronaut()[60:156, 160:256]
OPAQUE = np.full(PICTURE.shape[:2], 255, np.uint8)
GREY = np.array([0.299, 0.587, 0.114])
FADED = np.rint(PICTURE @ (0.5 * np.eye(3) + 0.5 * GREY).T).astype(np.uint8)
BLURRED = cv2.GaussianBlur(PICTURE, (5, 5), 1.2)


def with_alpha(image: np.ndarray) -> np.ndarray:
    return np.dstack([image, OPAQUE])


def turned_hue(image: np.ndarray) -> np.ndarray:
    hsv = color.rgb2hsv(image)
    hsv[..., 0] = (hsv[..., 0] + 0.3) % 1.0
    return np.rint(255 * color.hsv2rgb(hsv)).astype(np.uint8)


def equal_lightness(image: np.ndarray) -> np.ndarray:
    parts = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)
    parts[..., 0] = cv2.equalizeHist(parts[..., 0])
    return cv2.cvtColor(parts, cv2.COLOR_YCrCb2RGB)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (turned_hue, "a change of each pixel's colour"),
        (lambda a: cv2.cvtColor(a, cv2.COLOR_RGB2LAB), "a change of each pixel's colour"),
        (lambda a: np.asarray(Image.fromarray(a).convert("HSV")), "a change of each pixel's colour"),
        (equal_lightness, "a change of each pixel's colour"),
        (lambda a: ((a.max(2).astype(int) + a.min(2)) // 2).astype(np.uint8), "a change of each pixel's colour"),
        (lambda a: np.asarray(Image.fromarray(a).quantize(64).convert("RGB")), "a palette (the after has"),
        (lambda a: exposure.adjust_gamma(a, 0.6), "no linear filter; like a tone curve"),
        (lambda a: np.asarray(ImageOps.solarize(Image.fromarray(a))), "a tone curve"),
        (lambda a: np.asarray(ImageOps.equalize(Image.fromarray(a))), "channel 0: no linear filter; like a tone curve"),
    ],
)
def test_changes_of_single_pixels_are_no_filters(change, text):
    fit = kf.learn(PICTURE, change(PICTURE))
    assert fit.verdict == "not linear"
    assert text in fit.description
    assert fit.name is None


@pytest.mark.parametrize("sd", [0.0, 3.0])
@pytest.mark.parametrize("after", [FADED, BLURRED, cv2.GaussianBlur(FADED, (5, 5), 1.2)])
def test_matrices_and_blurs_are_none(after, sd):
    noisy = after + np.random.default_rng(0).normal(scale=sd, size=after.shape)
    fit = kf.learn(PICTURE, np.clip(np.rint(noisy), 0, 255).astype(np.uint8))
    assert fit.verdict in ("exact", "approximate")


def test_a_bilateral_filter_of_colours_is_no_mix():
    fit = kf.learn(PICTURE, cv2.bilateralFilter(PICTURE, 9, 50, 5))
    assert fit.model == "shared"
    assert fit.verdict == "not linear" or "does not explain the picture completely" in fit.explanation


@pytest.mark.parametrize(
    ("before", "after", "model", "name"),
    [
        (with_alpha(PICTURE), with_alpha(FADED), "mixed", "saturation"),
        (with_alpha(PICTURE), with_alpha(BLURRED), "shared", "gaussian"),
        (with_alpha(PICTURE), with_alpha(np.rint(PICTURE * [0.93, 1.0, 0.81]).astype(np.uint8)), "separate", None),
        (with_alpha(PICTURE), FADED, "mixed", "saturation"),
        (with_alpha(PICTURE), PICTURE, "mixed", "identity"),
        (PICTURE, with_alpha(BLURRED), "mixed", "gaussian"),
        (PICTURE, np.asarray(Image.fromarray(PICTURE).convert("CMYK")), "mixed", "identity"),
        (PICTURE, PICTURE * np.array([1, 1, 0], np.uint8), "mixed", "channel order"),
        (np.dstack([PICTURE[..., 0], OPAQUE]), np.dstack([BLURRED[..., 0], OPAQUE]), "shared", "gaussian"),
    ],
)
def test_channels_of_one_value_are_set_apart(before, after, model, name):
    fit = kf.learn(before, after)
    assert (fit.model, fit.verdict, fit.name) == (model, "exact", name)
    assert any("has one value" in note for note in fit.notes)
    result = fit.apply(before)
    assert result.shape == after.shape
    assert np.mean(result[4:-4, 4:-4] != after[4:-4, 4:-4]) < 0.01
    assert "has one value" in str(fit)


def test_an_alpha_of_light_is_set_apart():
    light = (with_alpha(PICTURE) / 255.0) ** 2.2
    after = np.rint(255 * cv2.GaussianBlur(light, (5, 5), 1.2) ** (1 / 2.2)).astype(np.uint8)
    fit = kf.learn(with_alpha(PICTURE), after, light=2.2)
    assert (fit.verdict, len(fit.offset)) == ("exact", 4)
    assert (fit.apply(with_alpha(PICTURE))[..., 3] == 255).all()


def test_a_fit_with_channels_set_apart_is_saved(tmp_path):
    fit = kf.learn(with_alpha(PICTURE), with_alpha(FADED))
    fit.save(tmp_path / "fit.json")
    again = kf.Fit.load(tmp_path / "fit.json")
    np.testing.assert_array_equal(again.apply(with_alpha(PICTURE)), fit.apply(with_alpha(PICTURE)))


def test_a_local_change_of_contrast_is_not_said_to_be_a_kernel_a_channel():
    parts = cv2.cvtColor(PICTURE, cv2.COLOR_RGB2LAB)
    parts[..., 0] = cv2.createCLAHE(2).apply(parts[..., 0])
    fit = kf.learn(PICTURE, cv2.cvtColor(parts, cv2.COLOR_LAB2RGB))
    assert "channels='separate'" not in fit.explanation


def sharpened_brightness(image: np.ndarray) -> np.ndarray:
    parts = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)
    parts[..., 0] = cv2.filter2D(parts[..., 0], -1, np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], np.float32))
    return cv2.cvtColor(parts, cv2.COLOR_YCrCb2RGB)


def blurred_colours(image: np.ndarray) -> np.ndarray:
    parts = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)
    parts[..., 1:] = cv2.blur(parts[..., 1:], (3, 3))
    return cv2.cvtColor(parts, cv2.COLOR_YCrCb2RGB)


def faded_in_yuv(image: np.ndarray) -> np.ndarray:
    parts = cv2.cvtColor(image, cv2.COLOR_RGB2YUV)
    parts[..., 1:] = np.rint(128 + 0.5 * (parts[..., 1:].astype(float) - 128))
    return cv2.cvtColor(parts, cv2.COLOR_YUV2RGB)


def test_colours_that_are_filtered_beside_the_brightness_are_said_to_be():
    fit = kf.learn(PICTURE, blurred_colours(PICTURE))
    assert (fit.model, fit.verdict) == ("mixed", "approximate")
    first, second = fit.description.split("; colours beside it: ")
    assert first == "brightness (Rec. 601): identity"
    assert "box 3×3" in second


def test_a_brightness_filtered_apart_whose_colours_clip_is_learned_from_the_brightness():
    fit = kf.learn(PICTURE, sharpened_brightness(PICTURE))
    assert (fit.verdict, fit.name) == ("approximate", "sharpen")
    assert "learned from the brightness" in fit.explanation


def test_rounding_between_is_no_change_that_no_matrix_gives():
    fit = kf.learn(PICTURE, faded_in_yuv(PICTURE))
    assert (fit.model, fit.verdict, fit.size, fit.name) == ("mixed", "approximate", (1, 1), "saturation")


def of_eight_bits_between(image: np.ndarray, there: int, back: int) -> np.ndarray:
    parts = cv2.cvtColor(image, there).astype(np.float64)
    parts[..., 1:] = 128 + 0.7 * (parts[..., 1:] - 128)
    return cv2.cvtColor(np.rint(parts).clip(0, 255).astype(np.uint8), back)


@pytest.mark.parametrize("colours", [None, 64, 16])
def test_steps_of_eight_bits_are_no_change_that_no_matrix_gives(colours):
    before = PICTURE if colours is None else np.asarray(Image.fromarray(PICTURE).quantize(colours).convert("RGB"))
    for ways in ((cv2.COLOR_RGB2YUV, cv2.COLOR_YUV2RGB), (cv2.COLOR_RGB2YCrCb, cv2.COLOR_YCrCb2RGB)):
        fit = kf.learn(before, of_eight_bits_between(before, *ways))
        assert (fit.verdict, fit.size) == ("approximate", (1, 1))


def of_more_colour(image: np.ndarray, factor: float) -> np.ndarray:
    parts = color.lab2lch(color.rgb2lab(image))
    parts[..., 1] *= factor
    return np.rint(255 * color.lab2rgb(color.lch2lab(parts)).clip(0, 1)).astype(np.uint8)


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.2])
def test_what_is_left_of_a_saturation_in_lab_is_no_rounding(factor):
    # It is no more than rounding twice leaves.
    fit = kf.learn(PICTURE, of_more_colour(PICTURE, factor))
    assert fit.residual_sd < 2.1 / np.sqrt(12)
    assert (fit.verdict, "a change of each pixel's colour" in fit.description) == ("not linear", True)


def test_a_curve_that_nearly_is_a_line_is_a_curve():
    fit = kf.learn(PICTURE, np.rint(255 * (PICTURE / 255) ** 0.97).astype(np.uint8))
    assert fit.verdict == "not linear"
    assert "a tone curve" in fit.description
    # Two gains, each rounded, give each level one other too.
    twice = kf.learn(PICTURE, (PICTURE.astype(int) * 200 // 255 * 230 // 255).astype(np.uint8))
    assert twice.verdict == "approximate"


def test_a_blur_of_light_in_colour_is_said_to_be_one():
    light = cv2.GaussianBlur((PICTURE / 255.0) ** 2.2, (0, 0), 1.5)
    fit = kf.learn(PICTURE, np.rint(255 * light ** (1 / 2.2)).astype(np.uint8))
    assert fit.verdict == "not linear"
    assert "learn with light='auto'" in fit.explanation


def test_what_rounding_more_than_once_leaves_is_not_held_against_a_filter():
    grey = cv2.cvtColor(PICTURE, cv2.COLOR_RGB2GRAY)
    after = cv2.filter2D(grey, -1, np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]]) / 8.0, delta=128)
    fit = kf.learn(PICTURE, after)
    assert (fit.model, fit.verdict, fit.size) == ("mixed", "approximate", (3, 3))
    assert "no more than rounding more than once leaves" in fit.explanation
