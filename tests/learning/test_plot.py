from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageFilter

import kernelfield as kf
from kernelfield.errors import ArgumentError
from kernelfield.learning.plot import encode, plot, residual

PHOTOGRAPH = skimage.data.camera()[100:200, 200:340]
SHARP = np.asarray(Image.fromarray(PHOTOGRAPH).filter(ImageFilter.SHARPEN))


@pytest.fixture(scope="module")
def fit() -> kf.Fit:
    return kf.learn(PHOTOGRAPH, SHARP)


def panels(figure):
    """Return the axes by title."""
    return {axes.get_title(): axes for axes in figure.axes if axes.get_title()}


def test_four_pictures(fit):
    figure = plot(fit, PHOTOGRAPH, SHARP)
    axes = panels(figure)
    assert list(axes) == ["Before", "After", "Kernel 3×3, numbers over 8", "Residual: after less filtered before"]
    assert figure.get_suptitle().startswith("Sharpen, amount 0.125")
    np.testing.assert_array_equal(axes["Before"].images[0].get_array(), PHOTOGRAPH)
    np.testing.assert_array_equal(axes["After"].images[0].get_array(), SHARP)


def test_the_kernel_is_drawn_with_its_numbers(fit):
    axes = panels(plot(fit))["Kernel 3×3, numbers over 8"]
    np.testing.assert_array_equal(axes.images[0].get_array(), fit.kernel.weights)
    assert [text.get_text() for text in axes.texts] == ["−1"] * 4 + ["16"] + ["−1"] * 4
    low, high = axes.images[0].get_clim()
    assert low == -high == -2.0
    row, column = fit.anchor
    assert axes.patches[0].get_bbox().contains(column, row)


def test_the_residual_of_rounding_is_half_a_level(fit):
    left = residual(fit, PHOTOGRAPH, SHARP)
    assert np.isfinite(left).all()
    assert np.abs(left).max() <= 0.5
    # Pillow copies the border pixels, and the fit knows.
    assert not left[0].any()
    assert not left[:, -1].any()
    axes = panels(plot(fit, PHOTOGRAPH, SHARP))["Residual: after less filtered before"]
    low, high = axes.images[0].get_clim()
    assert low == -high


def test_a_border_that_is_not_known_is_left_out():
    image = PHOTOGRAPH.astype(np.float32)
    noise = np.random.default_rng(2).normal(0, 60, image.shape).astype(np.float32)
    fit = kf.learn(image, kf.correlate(image, [[0.0, 0.4, 0.1], [0.1, 0.2, 0.2]]) + noise, size=(3, 3))
    left = residual(replace(fit, boundary=None), image, image)
    assert np.isnan(left[0]).all()
    assert np.isnan(left[:, -1]).all()
    assert np.isfinite(left[1:-1, 1:-1]).all()


def test_a_smaller_after():
    image = PHOTOGRAPH.astype(np.float64)
    after = kf.correlate(image, [[1.0, -1.0, 0.5]], mode="valid")
    left = residual(kf.learn(image, after), image, after)
    assert left.shape == after.shape
    assert np.abs(left).max() < 1e-9


@pytest.mark.parametrize("channels", [2, 3])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_channels_and_types(dtype, channels):
    rng = np.random.default_rng(4)
    image = (rng.random((40, 60, channels)) * (1 if dtype == "float32" else 200)).astype(dtype)
    after = np.stack([kf.correlate(image[..., i], [[0.5, 0.5]], dtype=dtype) for i in range(channels)], axis=2)
    figure = plot(kf.learn(image, after, size=(1, 2)), image, after)
    assert len(encode(figure, "png")) > 10_000


def test_extreme_pictures_can_be_drawn():
    fit = kf.learn(np.zeros((20, 300)), np.zeros((20, 300)), size=3)
    before = np.zeros((20, 300))
    before[3, 4] = np.nan
    assert encode(plot(fit, before, np.zeros((20, 300))), "png")
    wide = kf.learn(PHOTOGRAPH, SHARP, size=(1, 31))
    assert not panels(plot(wide))["Kernel 1×31"].texts


@pytest.mark.parametrize(("form", "start"), [("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_files_are_the_same_every_time(fit, form, start):
    first, second = (encode(plot(fit, PHOTOGRAPH, SHARP), form) for _ in range(2))
    assert first.startswith(start)
    assert first == second


def test_another_pair_is_refused(fit):
    with pytest.raises(ArgumentError, match="give the pair learned"):
        plot(fit, PHOTOGRAPH, SHARP[:50])
    with pytest.raises(ArgumentError, match="give the pair learned"):
        plot(fit, PHOTOGRAPH, np.stack([SHARP] * 3, axis=2))
    with pytest.raises(ArgumentError, match="expected both"):
        fit.plot(PHOTOGRAPH)


def test_no_window_and_no_state_of_the_caller():
    code = (
        "import sys, numpy as np, kernelfield as kf\n"
        "import kernelfield.learning.plot\n"
        "assert 'matplotlib' not in sys.modules\n"
        "x = np.random.default_rng(0).random((20, 20))\n"
        "kf.learn(x, x, size=3).plot(x, x)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
