"""Colours that were coded coarsely, told from channels that were filtered apart or mixed."""

import cv2
import numpy as np
import pytest
import scipy.ndimage as ndi
from helpers.compression import jpeg
from PIL import Image, ImageFilter
from skimage import data

import kernelfield as kf
from kernelfield.learning.models.brightness import _is_detailed

SHARPEN = np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], np.float32)


def astronaut() -> np.ndarray:
    return data.astronaut()[:200, 150:350].copy()


def by_pillow(image: np.ndarray, name: str) -> np.ndarray:
    return np.asarray(Image.fromarray(image).filter(getattr(ImageFilter, name)))


@pytest.mark.parametrize(("name", "amount"), [("EDGE_ENHANCE", 0.5), ("EDGE_ENHANCE_MORE", 1.0)])
def test_colours_that_coding_clips_hide_no_filter(name, amount):
    before = data.chelsea()[20:220, 100:300]
    fit = kf.learn(before, jpeg(by_pillow(before, name), 92))
    true = np.pad([[1 + 8 * amount]], 1, constant_values=-amount)
    assert (fit.model, fit.verdict, fit.size) == ("shared", "approximate", (3, 3))
    assert np.linalg.norm(fit.kernel.weights - true) < 0.03 * np.linalg.norm(true)
    assert "learned from the brightness" in fit.explanation


def test_colours_kept_for_four_pixels_together_are_no_mix():
    blurred = cv2.GaussianBlur(astronaut(), (5, 5), 1.0)
    after = cv2.cvtColor(cv2.cvtColor(blurred, cv2.COLOR_RGB2YUV_I420), cv2.COLOR_YUV2RGB_I420)
    fit = kf.learn(astronaut(), after)
    assert (fit.model, fit.verdict) == ("shared", "approximate")
    assert "nearest: Gaussian blur" in fit.description
    assert "coarsely" in fit.explanation


def test_blurred_colours_are_said_and_never_exact():
    coded = cv2.cvtColor(astronaut(), cv2.COLOR_RGB2YCrCb).astype(float)
    coded[..., 1:] = ndi.gaussian_filter(coded[..., 1:], (2, 2, 0))
    fit = kf.learn(astronaut(), cv2.cvtColor(np.rint(coded).astype(np.uint8), cv2.COLOR_YCrCb2RGB))
    assert fit.verdict == "approximate"
    assert fit.model == "mixed" or "blurred" in fit.explanation
    assert fit.integers is None


@pytest.mark.parametrize("channel", [0, 1])
@pytest.mark.parametrize("quality", [None, 90])
def test_a_channel_that_was_sharpened_alone_is_no_filter_of_the_brightness(channel, quality):
    after = astronaut()
    after[..., channel] = cv2.filter2D(after[..., channel], -1, SHARPEN)
    fit = kf.learn(astronaut(), after if quality is None else jpeg(after, quality), max_size=7)
    assert "learned from the brightness" not in fit.explanation


@pytest.mark.parametrize("quality", [None, 90])
def test_more_saturation_is_a_mix(quality):
    before = data.coffee()[100:260, 150:310]
    grey = before @ np.array([0.299, 0.587, 0.114])
    after = np.clip(np.rint(before + 0.15 * (before - grey[..., None])), 0, 255).astype(np.uint8)
    fit = kf.learn(before, after if quality is None else jpeg(after, quality))
    assert fit.model == "mixed" or "channels that are mixed" in fit.explanation


@pytest.mark.parametrize(
    ("before", "channel"), [(data.retina()[505:705, 602:802], 0), (data.chelsea()[:200, 100:300], 2)]
)
def test_a_channel_that_was_blurred_alone_is_no_filter_of_the_brightness(before, channel):
    after = before.copy()
    after[..., channel] = np.rint(ndi.gaussian_filter(before[..., channel].astype(float), 1.5))
    fit = kf.learn(before, jpeg(after, 92), max_size=7)
    assert "learned from the brightness" not in fit.explanation


@pytest.mark.parametrize("channel", [0, 2])
def test_channels_that_jpeg_mixed_are_in_doubt(channel):
    before = astronaut()
    after = before.copy()
    after[..., channel] = np.rint(ndi.gaussian_filter(before[..., channel].astype(float), 1.5))
    fit = kf.learn(before, jpeg(after, 92), max_size=7)
    assert fit.verdict == "approximate"
    assert "what each takes, and all weights, may be off" in fit.explanation
    assert "what each takes, and all weights, may be off" in fit.errors_note
    assert "may be off" not in kf.learn(before, after, max_size=7).explanation


@pytest.mark.parametrize(("share", "found"), [(0.02, False), (0.04, True)])
@pytest.mark.parametrize("channel", [1, 2])
def test_detail_of_the_brightness_in_the_colours_tells_channels_apart(share, found, channel):
    rng = np.random.default_rng(7)
    foreseen = list(rng.normal(0.0, 20.0, (3, 300, 300)))
    detail = foreseen[0] - ndi.uniform_filter(foreseen[0], 3, mode="reflect")
    noise = rng.normal(0.0, 1.0, detail.shape)
    seen = [image.copy() for image in foreseen]
    # What coding takes of the colours depends on these alone.
    seen[channel] += 0.5 * (ndi.uniform_filter(foreseen[channel], 3) - foreseen[channel])
    seen[channel] += noise + detail * np.sqrt(share / (1.0 - share)) / detail.std()
    assert _is_detailed(foreseen, seen, foreseen[1:], np.ones(detail.shape, bool)) is found


def test_a_picture_with_few_pixels_of_known_colours_tells_nothing():
    images = list(np.random.default_rng(3).normal(0.0, 20.0, (3, 40, 40)))
    assert _is_detailed(images, images, images[1:], np.zeros((40, 40), bool))
