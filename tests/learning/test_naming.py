"""Names: gain and shift stand apart, three boxes are no Gaussian, and what is near is said to be near."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage as ndi
from cases import photograph
from PIL import Image, ImageFilter

import kernelfield as kf

CAMERA = photograph("camera")[128:384, 128:384]


@pytest.mark.parametrize(
    ("gain", "offset", "dtype"), [(0.8, 10.0, "uint8"), (1 / 255, 0.0, "float64"), (257.0, 0.0, "uint16")]
)
def test_gain_and_offset_stand_apart(gain, offset, dtype):
    after = kf.correlate(CAMERA.astype(float), kf.kernels.box(3)) * gain + offset
    fit = kf.learn(CAMERA, np.rint(after).astype(dtype) if dtype != "float64" else after)
    assert (fit.verdict, fit.name) == ("exact", "box")
    assert fit.scale == pytest.approx(gain, rel=1e-4)
    assert "times" in fit.description
    if fit.integers is not None:
        np.testing.assert_allclose(fit.gain * fit.integers / fit.divisor, fit.kernel.weights, rtol=1e-9)


@pytest.mark.parametrize("gain", [2.0, -0.5])
def test_sharpening_has_a_gain_though_its_sum_is_small(gain):
    after = kf.correlate(CAMERA / 255.0, gain * kf.kernels.sharpen(1.0))
    fit = kf.learn(CAMERA / 255.0, after)
    assert (fit.verdict, fit.name) == ("exact", "sharpen")
    assert fit.scale == pytest.approx(gain)
    assert fit.description.endswith(f"times {gain:g}")


def test_pillows_blur_is_three_boxes():
    fit = kf.learn(CAMERA, np.asarray(Image.fromarray(CAMERA).filter(ImageFilter.GaussianBlur(2))))
    assert fit.name is None
    assert fit.description == "three boxes in a row, as Pillow's GaussianBlur(2)"


def test_a_blur_between_the_pixels_is_a_gaussian():
    places = np.arange(-6, 7)
    down, right = np.exp(-((places - 0.3) ** 2) / 3.92), np.exp(-(places**2) / 3.92)
    weights = np.outer(down, right) / (down.sum() * right.sum())
    fit = kf.learn(CAMERA, kf.correlate(CAMERA, weights, dtype="uint8"))
    assert (fit.verdict, fit.name) == ("exact", "gaussian")
    assert "shifted 0.30 pixels up" in fit.description


def test_few_weights_are_no_gabor_filter():
    emboss = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
    after = kf.correlate(CAMERA.astype(float), emboss).clip(0, 255)
    fit = kf.learn(CAMERA, np.rint(after).astype(np.uint8))
    assert fit.verdict == "exact"
    assert "Gabor" not in fit.description


def test_the_nearest_is_simple_and_said_once():
    weights = np.zeros((5, 5))
    weights[2, 2], weights[2, 3], weights[1, 2] = 1.0, 0.05, -0.04
    rng = np.random.default_rng(0)
    fit = kf.learn(CAMERA, kf.correlate(CAMERA.astype(float), weights) + rng.normal(0, 2, CAMERA.shape), size=5)
    assert "nearest: identity" in fit.description
    assert "1×1" not in fit.description
    moved = np.zeros((5, 5))
    moved[2, 0], moved[2, 1], moved[1, 0] = 1.0, 0.05, -0.04
    fit = kf.learn(CAMERA, kf.correlate(CAMERA.astype(float), moved) + rng.normal(0, 2, CAMERA.shape), size=5)
    assert "nearest: shift by 2 columns" in fit.description


def test_a_filter_that_leaves_the_picture_in_its_residual_has_no_name():
    # Flat parts: total variation leaves the flats and rounds the edges, nearly as a narrow blur does.
    steps = np.kron(np.random.default_rng(0).integers(0, 5, (12, 12)) * 50.0, np.ones((12, 12)))
    after = ndi.gaussian_filter(steps, 0.6)
    after = after + 0.02 * np.hypot(ndi.sobel(after, 0), ndi.sobel(after, 1))
    fit = kf.learn(steps, after)
    assert fit.name is None


def test_the_nearest_is_no_claim():
    weights = kf.kernels.gaussian(1.0, 5).weights.copy()
    weights[0, 1] += 0.01
    fit = kf.learn(CAMERA, kf.correlate(CAMERA.astype(float), weights))
    assert fit.name is None
    assert "nearest: " in fit.description
    assert "% away" in fit.description
