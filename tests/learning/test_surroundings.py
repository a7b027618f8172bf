"""Order and contrast of the pixels around in a residual: of linear filters none, whatever noise or compression adds."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import scipy.ndimage as ndi
import scipy.signal
from helpers.compression import jpeg
from skimage import data, restoration

import kernelfield as kf
from kernelfield.learning import surroundings

PICTURES = {"coins": data.coins()[60:200, 60:200], "gravel": data.gravel()[120:260, 40:180]}
PHRASE = "depends on the order or the contrast of the pixels around"


def levels(values: np.ndarray) -> np.ndarray:
    return np.rint(values).clip(0, 255).astype(np.uint8)


def blurred(image: np.ndarray, sigma: float = 1.0) -> np.ndarray:
    return ndi.gaussian_filter(image.astype(float), sigma)


def noise(scale: float) -> np.ndarray:
    return np.random.default_rng(0).normal(scale=scale, size=(140, 140))


LINEAR = {
    "noise after": lambda a: (a, levels(blurred(a) + noise(4))),
    "noise before a sharpening": lambda a: (levels(a + noise(8)), levels(2 * a - blurred(a))),
    "noise before": lambda a: (levels(a + noise(8)), levels(blurred(a))),
    "JPEG": lambda a: (a, jpeg(levels(blurred(a)), 40)),
    "JPEG of a sharpening": lambda a: (a, jpeg(cv2.filter2D(a, -1, -np.ones((3, 3)) + 10 * np.eye(3)[1][:, None]), 80)),
    "two passes": lambda a: (
        a,
        levels(ndi.gaussian_filter1d(levels(ndi.gaussian_filter1d(a * 1.0, 2, 0)) * 1.0, 2, 1)),
    ),
    "a narrow part of a wide kernel": lambda a: (a, a - blurred(a, 6)),
    "light": lambda a: (a, levels(255 * blurred((a / 255) ** 2.2) ** (1 / 2.2))),
    "rotated": lambda a: (a, levels(ndi.rotate(a * 1.0, 1, reshape=False, mode="mirror"))),
}
OTHERS = {
    "Wiener's filter": lambda a: scipy.signal.wiener(a.astype(float), 5),
    "median, then a blur": lambda a: levels(blurred(ndi.median_filter(a, 3))),
    "total variation": lambda a: levels(255 * restoration.denoise_tv_chambolle(a / 255, 0.05)),
    "a minimum, then a blur": lambda a: levels(blurred(ndi.minimum_filter(a, 3))),
}


def share(before: np.ndarray, after: np.ndarray, size: int = 5) -> float:
    """Return the share of what least squares of a kernel leaves, computed by windows."""
    windows = np.lib.stride_tricks.sliding_window_view(before.astype(float), (size, size))
    reach, margin = size // 2, 7 - size // 2
    rows = windows[margin : len(windows) - margin, margin : windows.shape[1] - margin]
    design = np.c_[rows.reshape(-1, size * size), np.ones(rows.shape[0] * rows.shape[1])]
    target = after[7:-7, 7:-7].astype(float)
    assert rows.shape[:2] == target.shape
    assert reach + margin == 7
    left = target.ravel() - design @ np.linalg.lstsq(design, target.ravel(), rcond=None)[0]
    left = left.reshape(target.shape)
    return surroundings.by_order(before - before.mean(), target - left, left, np.ones(target.shape, bool))


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("kind", LINEAR)
def test_linear_filters_leave_nothing_that_the_order_explains(kind, picture):
    assert share(*LINEAR[kind](PICTURES[picture])) < 0.28


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("kind", OTHERS)
def test_what_depends_on_the_order_is_said_to(kind, picture):
    before = PICTURES[picture]
    after = OTHERS[kind](before)
    assert share(before, after) > 0.3
    fit = kf.learn(before, after, max_size=11)
    assert fit.verdict == "not linear"
    assert PHRASE in fit.description or "order statistic" in fit.description


@pytest.mark.parametrize("kind", ["noise after", "noise before", "JPEG", "two passes", "rotated"])
def test_linear_filters_and_turns_are_not_said_to(kind):
    fit = kf.learn(*LINEAR[kind](PICTURES["coins"]), max_size=15)
    assert PHRASE not in str(fit)
    assert (fit.verdict == "not linear") == (kind == "rotated")


@pytest.mark.parametrize(("weight", "known"), [(0.0, 0.0), (0.6, 0.2), (1.0, 0.37), (2.0, 0.7)])
def test_the_share_is_that_of_the_variance(weight, known):
    # What a median adds, in noise of a known variance.
    before = PICTURES["coins"]
    added = ndi.median_filter(before, 3) - ndi.uniform_filter(before * 1.0, 3)
    found = share(before, blurred(before) + weight * added + noise(6))
    assert found == pytest.approx(known, abs=0.05)
    # Beside what the window and its squares explain of it.
    assert found <= weight**2 * added.var() / (weight**2 * added.var() + 36) + 0.01


def test_pixels_that_do_not_count_and_small_parts_tell_nothing():
    before = PICTURES["coins"] * 1.0
    residual = np.zeros((126, 126))
    keep = np.zeros(residual.shape, bool)
    keep[20:100, 20:100] = True
    residual[~keep] = 1e6
    assert surroundings.by_order(before - before.mean(), before[7:-7, 7:-7], residual, keep) == 0.0
    residual += np.random.default_rng(0).normal(size=residual.shape)
    assert surroundings.by_order(before - before.mean(), before[7:-7, 7:-7], residual, keep) < 0.01
