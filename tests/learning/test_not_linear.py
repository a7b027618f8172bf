"""Filters that no kernel explains are never called exact, and the output says so; noise is not called nonlinear."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
import scipy.ndimage as ndi
from cases import photograph
from PIL import Image, ImageFilter

import kernelfield as kf

PHOTOGRAPHS = ("china", "flower", "camera", "astronaut")


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


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
}


@pytest.mark.parametrize("words", sorted(LOOKS))
def test_what_it_looks_like_is_in_the_first_lines(words):
    before = photograph("camera")[128:384, 128:384]
    fit = kf.learn(before, LOOKS[words](before), max_size=11)
    assert fit.verdict == "not linear"
    assert words in fit.description
    assert (fit.name, fit.integers) == (None, None)
    assert "kernel, as" not in str(fit)


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


def test_mixed_channels_are_not_said_to_differ():
    from cases import colour_photograph

    before = colour_photograph("china")[60:300, 150:420]
    grey = before @ np.array([0.299, 0.587, 0.114])
    mixed = np.rint(0.4 * before + 0.6 * grey[..., None]).clip(0, 255).astype(np.uint8)
    fit = kf.learn(before, mixed, max_size=11)
    assert "channels that are mixed" in fit.explanation
    assert "one by one" not in str(fit)
