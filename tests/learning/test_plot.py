from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import skimage.data
from legibility import faults
from PIL import Image, ImageFilter

import kernelfield as kf
from kernelfield.errors import ArgumentError
from kernelfield.figures import encode
from kernelfield.learning.fit import designed
from kernelfield.learning.plot import plot, residual

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
    assert list(axes) == ["Before", "After", "Kernel 3×3, numbers over 8", "Residual"]
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
    axes = panels(plot(fit, PHOTOGRAPH, SHARP))["Residual"]
    low, high = axes.images[0].get_clim()
    assert low == -high


def test_the_pair_may_be_paths_pictures_masked_arrays_or_have_channels_in_front(fit, tmp_path):
    wanted = residual(fit, PHOTOGRAPH, SHARP)
    for name, pixels in (("before", PHOTOGRAPH), ("after", SHARP)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    hole = np.zeros(SHARP.shape, bool)
    hole[20:30, 40:50] = True
    pairs = {
        "paths": (str(tmp_path / "before.png"), tmp_path / "after.png"),
        "pictures": (Image.fromarray(PHOTOGRAPH), Image.fromarray(SHARP)),
        "masked": (PHOTOGRAPH, np.ma.array(SHARP, mask=hole)),
    }
    for pair in pairs.values():
        drawn = np.ma.filled(panels(fit.plot(*pair))["Residual"].images[0].get_array(), np.nan)
        same = (drawn == wanted) | np.isnan(drawn)
        assert same.all()
        assert np.isnan(drawn).sum() == (100 if pair is pairs["masked"] else 0)
    stacks = np.stack([PHOTOGRAPH] * 3), np.stack([SHARP] * 3)
    figure = kf.learn(*stacks, channel_axis=0, size=3).plot(*stacks, channel_axis=0)
    assert panels(figure)["Residual"].images[0].get_array().shape == PHOTOGRAPH.shape
    with pytest.raises(ArgumentError, match="channel_axis"):
        fit.plot(*stacks)


def test_a_border_whose_weights_are_rescaled_is_predicted():
    before = PHOTOGRAPH.astype(np.float64)
    inside = kf.correlate(np.ones(before.shape), kf.kernels.box(5), boundary="constant")
    after = kf.correlate(before, kf.kernels.box(5), boundary="constant") / inside
    fit = kf.learn(before, after)
    assert fit.boundary == "renormalised"
    assert np.abs(residual(fit, before, after)).max() < 1e-9


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
    wide = designed(kf.kernels.box((1, 31)), "box")
    assert not panels(plot(wide))["Kernel 1×31"].texts


def small_pair():
    before = np.ones((6, 8))
    before[:, 2:6] = 0
    return before, kf.corr2d(before, [[1.0, -1.0]])


def test_panels_of_small_arrays_are_in_line_and_their_pixels_over_each_other():
    before, after = small_pair()
    figure = plot(kf.learn(before, after), before, after)
    assert faults(figure) == []
    axes = panels(figure)
    first, second, third, fourth = axes.values()
    for left, right in ((first, second), (third, fourth)):
        assert left.bbox.y1 == pytest.approx(right.bbox.y1)
        assert left.title.get_window_extent().y1 == pytest.approx(right.title.get_window_extent().y1)
    for upper, lower in ((first, third), (second, fourth)):
        assert upper.bbox.x0 == pytest.approx(lower.bbox.x0)
    # Pixel 0 of the after lies over pixel 1 of the before: the anchor of a kernel of two weights.
    for panel in (second, fourth):
        assert panel.bbox.size == pytest.approx(first.bbox.size)
        assert (panel.get_xlim(), panel.get_ylim()) == (first.get_xlim(), first.get_ylim())
        assert tuple(panel.images[0].get_extent()[:2]) == (0.5, 7.5)
    assert [text.get_text() for text in second.texts[:7]] == ["0", "1", "0", "0", "0", "−1", "0"]


MEDIAN = np.asarray(Image.fromarray(PHOTOGRAPH).filter(ImageFilter.MedianFilter(5)))


def test_no_kernel_is_drawn_for_a_pair_that_is_not_linear():
    fit = kf.learn(PHOTOGRAPH, MEDIAN)
    assert fit.verdict == "not linear"
    for figure in (plot(fit), plot(fit, PHOTOGRAPH, MEDIAN)):
        assert faults(figure) == []
        assert "No kernel: the pair is not linear" in panels(figure)
        shapes = [image.get_array().shape for axes in figure.axes for image in axes.images]
        assert fit.size not in shapes
    written = " ".join(text.get_text() for text in plot(fit).axes[0].texts)
    assert " ".join(written.split()) == fit.explanation


@pytest.mark.parametrize("shape", [(30, 40), (100, 15), (12, 140), (5, 5), (3, 11)])
@pytest.mark.parametrize("kernel", [kf.kernels.gaussian(0.8), kf.kernels.sobel(), kf.kernels.box((1, 3))])
def test_nothing_overlaps_or_is_cut_off(shape, kernel):
    before = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    after = kf.correlate(before, kernel, dtype=np.float64)
    fit = designed(kernel, "A description so long that it has to be broken into lines, " * 3)
    assert faults(plot(fit, before, after)) == []
    assert faults(plot(fit)) == []


def test_residuals_of_rounding_errors_are_not_coloured():
    before, after = small_pair()
    axes = panels(plot(kf.learn(before, after), before, after + 1e-15))["Residual"]
    image = axes.images[0]
    assert np.ptp(image.to_rgba(image.get_array()), axis=(0, 1)).max() < 0.01
    assert np.abs(image.get_array()).max() > 0


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


def test_a_crop_is_drawn_where_it_was_cut():
    before = PHOTOGRAPH.astype(np.float64)
    after = kf.correlate(before, kf.kernels.sobel())[20:80, 31:120]
    fit = replace(designed(kf.kernels.sobel(), "Sobel"), frame=(20, 31))
    drawn = panels(plot(fit, before, after))
    assert tuple(drawn["After"].images[0].get_extent()) == (30.5, 119.5, 79.5, 19.5)
    assert np.abs(drawn["Residual"].images[0].get_array()).max() < 1e-9


def test_numbers_of_a_kernel_between_images_of_another_scale_say_so():
    fit = replace(designed(kf.kernels.binomial(3), "binomial"), gain=0.25)
    (title,) = panels(plot(fit))
    assert title == "Kernel 3×3, numbers times 0.25 over 16"
    assert "each times 0.25 over 16:" in str(fit)
