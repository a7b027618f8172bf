"""Kernels with a stride, against plain least squares, and the reductions of Pillow and libvips."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage import data

import kernelfield as kf
from kernelfield.errors import ArgumentError
from kernelfield.learning.models import strided
from kernelfield.learning.models.resampling import FAMILIES, line_of

PICTURE = data.camera()
REDUCERS = {
    "BOX": "box (the mean)",
    "BILINEAR": "triangle (bilinear)",
    "HAMMING": "Hamming",
    "BICUBIC": "cubic, a = -0.5 (Catmull-Rom)",
    "LANCZOS": "Lanczos, 3 lobes",
}


def reduced(before: np.ndarray, kernel: np.ndarray, anchor: tuple[int, int], stride: tuple[int, int]) -> np.ndarray:
    """Return the sums at every stride-th pixel; outside the image is NaN."""
    wide = np.pad(before.astype(np.float64), 40, constant_values=np.nan)
    rows, columns = before.shape[0] // stride[0], before.shape[1] // stride[1]
    out = np.zeros((rows, columns))
    for (i, j), weight in np.ndenumerate(kernel):
        top, left = 40 + i - anchor[0], 40 + j - anchor[1]
        out += weight * wide[top:, left:][: rows * stride[0] : stride[0], : columns * stride[1] : stride[1]]
    return out


@pytest.mark.parametrize("stride", [(2, 2), (3, 2), (1, 2)])
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_it_is_plain_least_squares(stride, noise):
    rng = np.random.default_rng(stride)
    kernel = rng.normal(size=(4, 6))
    anchor = (4 - stride[0]) // 2, (6 - stride[1]) // 2
    before = PICTURE[100:240, 100:260].astype(np.float64)
    after = reduced(before, kernel, anchor, stride)
    after += rng.normal(scale=noise, size=after.shape)
    fit = kf.learn(before, after, size=(4, 6), stride=stride, clip=None)
    assert (fit.stride, fit.anchor, fit.verdict) == (stride, anchor, "approximate" if noise else "exact")
    rows, columns = np.nonzero(np.isfinite(after))
    windows = np.lib.stride_tricks.sliding_window_view(before, (4, 6))
    picked = windows[rows * stride[0] - anchor[0], columns * stride[1] - anchor[1]].reshape(rows.size, -1)
    design = np.c_[picked, np.ones(rows.size)]
    # Positions count where all phases of the blocks that the kernel touches are inside.
    inside = np.ones(rows.size, bool)
    for at, n, a, s, length in zip((rows, columns), (4, 6), anchor, stride, after.shape):
        inside &= (at + (-a) // s >= 0) & (at + (n - 1 - a) // s < length)
    found = np.linalg.lstsq(design[inside], after[rows, columns][inside], rcond=None)[0][:-1].reshape(4, 6)
    np.testing.assert_allclose(fit.kernel.weights, found, rtol=0, atol=1e-8)
    assert np.abs(fit.kernel.weights - kernel).max() < (0.02 if noise else 1e-8)


@pytest.mark.parametrize("name", REDUCERS)
def test_pillows_reductions_are_found_and_named(name):
    how = getattr(Image.Resampling, name)
    floats = Image.fromarray(PICTURE.astype(np.float32))
    fit = kf.learn(PICTURE.astype(np.float32), np.asarray(floats.resize((256, 256), how)))
    assert (fit.verdict, fit.stride) == ("exact", (2, 2))
    assert fit.description == f"reduction by 2: {REDUCERS[name]}"
    line = line_of(REDUCERS[name], 2)
    assert fit.anchor == (max(0, -line.first),) * 2
    np.testing.assert_allclose(fit.kernel.weights, np.outer(line.weights, line.weights), atol=1e-6)
    # In 8 bits it rounds twice, once along each axis.
    bytes_ = kf.learn(PICTURE, np.asarray(Image.fromarray(PICTURE).resize((256, 256), how)))
    assert REDUCERS[name] in bytes_.description
    assert bytes_.residual_sd < 0.36


def test_colours_share_the_kernel():
    colour = data.astronaut()
    fit = kf.learn(colour, np.asarray(Image.fromarray(colour).resize((256, 256), Image.Resampling.LANCZOS)))
    assert (fit.stride, fit.size, fit.channels) == ((2, 2), (12, 12), ("0", "1", "2"))
    assert "Lanczos, 3 lobes" in fit.description
    assert fit.apply(colour).shape == (256, 256, 3)


def test_other_programs():
    pyvips = pytest.importorskip("pyvips")
    picture = pyvips.Image.new_from_array(PICTURE)
    assert "box (the mean)" in kf.learn(PICTURE, picture.shrink(2, 2).numpy()).description
    assert "Lanczos, 3 lobes" in kf.learn(PICTURE, picture.resize(0.5).numpy()).description
    by_three_and_two = np.asarray(Image.fromarray(PICTURE).reduce((3, 2)))
    fit = kf.learn(PICTURE, by_three_and_two)
    assert (fit.verdict, fit.stride, fit.size) == ("exact", (2, 3), (2, 3))
    every = kf.learn(PICTURE, PICTURE[1::2, 1::2])
    assert (every.verdict, every.size) == ("exact", (2, 2))
    assert every.description.endswith("takes the pixel in row 1, column 1 of each 2×2 block")


BINOMIAL = np.outer([1, 2, 1], [1, 2, 1]) / 16.0


@pytest.mark.parametrize("mode", ["constant", "nearest", "reflect", "mirror", "wrap"])
@pytest.mark.parametrize("first", [(0, 0), (1, 1), (0, 2)])
def test_every_few_pixels_of_a_known_kernel_have_its_name_border_and_place(mode, first):
    """scipy.ndimage filters all of the picture, of which every second row and third column is kept."""
    before = np.random.default_rng(5).integers(20, 236, (150, 201), np.uint8)
    whole = ndimage.correlate(before.astype(np.float64), BINOMIAL, mode=mode, cval=31.0)
    after = np.floor(whole[first[0] :: 2, first[1] :: 3] + 0.5).astype(np.uint8)
    fit = kf.learn(before, after)
    text = "binomial 3×3, of which every second row and third column is kept"
    text += "" if first == (0, 0) else f", from row {first[0]}, column {first[1]}"
    assert (fit.verdict, fit.description, fit.name, fit.stride) == ("exact", text, "binomial", (2, 3))
    assert (fit.anchor[0], fit.anchor[1]) == (1 - first[0], max(0, 1 - first[1]))
    if first == (0, 0):
        # A pixel outside is that at the border for both.
        assert fit.boundary == ("reflect" if mode == "nearest" else mode)
        assert fit.cval == (31.0 if mode == "constant" else 0.0)
    np.testing.assert_array_equal(fit.apply(before)[: after.shape[0], : after.shape[1]], after)


@pytest.mark.parametrize("size", [3, (3, 4), 5])
@pytest.mark.parametrize("first", [0, 1])
def test_a_size_that_is_given_lies_where_the_pair_shows(size, first):
    """A kernel of 3×3 over the first pixel or the second."""
    before = PICTURE[:160, :180].astype(float)
    fit = kf.learn(before, ndimage.correlate(before, BINOMIAL)[first::2, first::2], stride=2, size=size)
    assert fit.verdict == "exact"
    found = np.zeros((9, 9))
    rows, columns = fit.size
    found[4 - fit.anchor[0] :, 4 - fit.anchor[1] :][:rows, :columns] = fit.kernel.weights
    expected = np.zeros((9, 9))
    expected[3 + first : 6 + first, 3 + first : 6 + first] = BINOMIAL
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("name", REDUCERS)
def test_the_border_of_reductions_is_found_and_used(name):
    """Pillow leaves weights outside the picture out and rescales the others; libvips repeats the last pixel."""
    picture = PICTURE[:150, :140].astype(np.float32)
    after = np.asarray(Image.fromarray(picture).resize((70, 75), getattr(Image.Resampling, name)))
    fit = kf.learn(picture, after)
    assert fit.boundary == (None if name == "BOX" else "renormalised")
    np.testing.assert_allclose(fit.apply(picture), after, rtol=0, atol=2e-4)
    if name == "LANCZOS":
        pyvips = pytest.importorskip("pyvips")
        after = pyvips.Image.new_from_array(picture).resize(0.5).numpy()
        fit = kf.learn(picture, after)
        assert (fit.verdict, fit.boundary) == ("exact", "nearest")
        np.testing.assert_allclose(fit.apply(picture), after, rtol=0, atol=2e-3)


def test_offsets_of_the_channels_stand_apart():
    colour = data.astronaut()[:160, :180]
    sums = [ndimage.correlate(colour[..., i].astype(float), BINOMIAL, mode="mirror")[::2, ::2] for i in range(3)]
    after = np.stack(sums, axis=2) + [0.0, 12.0, -7.0]
    fit = kf.learn(colour, np.clip(np.floor(after + 0.5), 0, 255).astype(np.uint8))
    assert (fit.model, fit.verdict, fit.divisor) == ("shared", "exact", 16)
    np.testing.assert_allclose(fit.offset, [0.0, 12.0, -7.0], atol=1e-9)
    noisy = after + np.random.default_rng(0).normal(size=after.shape) + [0.0, 0.3, 0.7]
    fit = kf.learn(colour.astype(float), noisy, size=3, clip=None)
    assert fit.model == "shared"
    # One least squares with a column of ones for each channel.
    rows, total = [], []
    for i in range(3):
        views = np.lib.stride_tricks.sliding_window_view(colour[..., i].astype(float), (3, 3))[1:-1:2, 1:-1:2]
        inside = noisy[1 : 1 + views.shape[0], 1 : 1 + views.shape[1], i]
        rows.append(np.c_[views.reshape(-1, 9), np.tile(np.eye(3)[i], (inside.size, 1))])
        total.append(inside.ravel())
    found = np.linalg.lstsq(np.concatenate(rows), np.concatenate(total), rcond=None)[0]
    np.testing.assert_allclose(fit.kernel.weights.ravel(), found[:9], atol=2e-3)
    np.testing.assert_allclose(fit.offset, found[9:], atol=0.05)


def test_channels_have_kernels_of_their_own_where_the_pair_says_so():
    colour = data.astronaut()[:200, :220]
    kernels = [BINOMIAL, np.full((3, 3), 1.0 / 9.0), np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 8.0]
    sums = [ndimage.correlate(colour[..., i].astype(float), k, mode="wrap")[::2, ::2] for i, k in enumerate(kernels)]
    after = np.clip(np.floor(np.stack(sums, axis=2) + 0.5), 0, 255).astype(np.uint8)
    fit = kf.learn(colour, after)
    assert (fit.model, fit.verdict, fit.stride, fit.boundary) == ("separate", "exact", (2, 2), "wrap")
    np.testing.assert_allclose(fit.bank[:, 0], kernels, atol=1e-12)
    np.testing.assert_array_equal(fit.apply(colour), after)
    same = np.stack([ndimage.correlate(colour[..., i].astype(float), BINOMIAL)[::2, ::2] for i in range(3)], axis=2)
    assert kf.learn(colour.astype(float), same).model == "shared"
    each = kf.learn(colour.astype(float), same, channels="separate", stride=2)
    assert (each.model, each.bank.shape) == ("separate", (3, 1, 3, 3))


def test_it_is_drawn_reported_and_tested_on_held_out_tiles(tmp_path):
    rng = np.random.default_rng(3)
    before = PICTURE[:160, :200].astype(np.float64)
    after = ndimage.correlate(before, BINOMIAL)[1::2, ::2]
    after += rng.normal(scale=2.0, size=after.shape)
    fit = kf.learn(before, after)
    panels = {axes.get_title() for axes in fit.plot(before, after).axes}
    assert {"Before", "After, 80×100", "Kernel 3×3", "Residual"} <= panels
    fit.report(tmp_path / "report.html", before, after)
    page = (tmp_path / "report.html").read_text()
    assert "Modulation transfer" in page
    assert "of tiles, by kernels of this size" in page
    held = fit.held_out_r2(before, after)
    # The oracle: the share that noise of 2 levels leaves.
    assert held == pytest.approx(1.0 - 4.0 / after.var(), abs=2e-4)
    assert held < fit.r2
    transfer = fit.mtf()
    # cos² of half the angle is the response of (1, 2, 1) / 4.
    np.testing.assert_allclose(transfer.value, np.cos(np.pi * transfer.frequencies) ** 2, atol=0.02)
    assert transfer.error is not None
    assert fit.compare(fit).same
    np.testing.assert_allclose(np.sqrt(np.diag(fit.covariance)), fit.stderr.ravel(), rtol=1e-9)
    with pytest.raises(ArgumentError, match="after: expected one pixel for every 2 of before"):
        fit.plot(before, after[:50])


def test_weights_that_a_pair_cannot_tell_are_said():
    """Columns of the before that are alike in pairs: their weights cannot be told apart."""
    before = np.repeat(np.random.default_rng(1).normal(size=(80, 40)), 2, axis=1)
    fit = kf.learn(before, before[::2, ::2], stride=2, size=2)
    assert (fit.verdict, fit.rank) == ("undetermined", 2)
    for direction in fit.undetermined:
        change = ndimage.correlate(before, direction, origin=(-1, -1))[:-2:2, :-2:2]
        np.testing.assert_allclose(change, 0.0, atol=1e-9)


def test_a_size_given_is_that_which_the_pair_has_to_tell():
    """Beyond the size given lie weights that the pair cannot tell, within it none."""
    before = np.repeat(np.random.default_rng(1).normal(size=(80, 40)), 2, axis=1)
    truth = np.array([[0.25], [0.5], [0.25]])
    after = ndimage.correlate(before, truth, mode="nearest")[::2, ::2] + 3.0
    fit = kf.learn(before, after, stride=2, size=(3, 1))
    assert (fit.verdict, fit.size, fit.rank) == ("exact", (3, 1), 3)
    np.testing.assert_allclose(fit.kernel.weights, truth, atol=1e-12)
    noisy = after + np.random.default_rng(2).normal(size=after.shape)
    fit = kf.learn(before, noisy, stride=2, size=(3, 1))
    assert (fit.verdict, fit.size) == ("approximate", (3, 1))
    rows = [before[1 + k : 78 + k : 2, ::2].ravel() for k in range(3)]
    design = np.stack([*rows, np.ones(rows[0].size)], axis=1)
    expected = np.linalg.lstsq(design, noisy[1:].ravel(), rcond=None)[0]
    np.testing.assert_allclose(fit.kernel.weights.ravel(), expected[:3], atol=1e-10)


def test_it_applies_and_comes_back_from_a_file(tmp_path):
    before = PICTURE.astype(np.float64)
    after = reduced(before, np.full((2, 2), 0.25), (0, 0), (2, 2))
    fit = kf.learn(before, after)
    fit.save(tmp_path / "filter.json")
    again = kf.Fit.load(tmp_path / "filter.json")
    assert again.stride == (2, 2)
    np.testing.assert_allclose(again.apply(before), after, atol=1e-9)
    assert "stride" in str(again)


def test_a_crop_of_half_the_size_stays_a_crop():
    after = kf.correlate(PICTURE.astype(float), kf.kernels.gaussian(1.0), mode="same")[128:384, 128:384]
    fit = kf.learn(PICTURE.astype(float)[:512, :512], after)
    assert fit.stride == (1, 1)
    assert fit.verdict != "not linear"


def test_every_line_sums_to_one():
    for family in FAMILIES:
        for stride in range(2, 7):
            line = line_of(family, stride)
            assert line.weights.sum() == pytest.approx(1.0)
            np.testing.assert_allclose(line.weights, line.weights[::-1], atol=1e-12)


def test_what_is_wrong_is_said():
    with pytest.raises(ArgumentError, match="stride: expected one or two integers from 1 to 64; received 1"):
        kf.learn(PICTURE, PICTURE[::2, ::2], stride=1.5)
    with pytest.raises(ArgumentError, match="stride: expected an after of 256×256"):
        kf.learn(PICTURE, PICTURE[::3, ::3], stride=2)
    with pytest.raises(ArgumentError, match="channels: expected shared, separate or auto with a stride"):
        kf.learn(PICTURE, PICTURE[::2, ::2], stride=2, channels="mixed")


@pytest.mark.parametrize(("before", "after", "stride"), [
    ((64, 64), (32, 32), (2, 2)), ((65, 64), (33, 32), (2, 2)), ((65, 64), (32, 32), (2, 2)),
    ((64, 64), (34, 32), (1, 1)), ((64, 64), (31, 32), (1, 1)), ((64, 63), (64, 21), (1, 3)),
    ((64, 64), (8, 64), (8, 1)), ((63, 64), (7, 64), (1, 1)), ((64, 64), (0, 32), (1, 1)),
])  # fmt: skip
def test_the_stride_that_sizes_speak_for(before, after, stride):
    assert strided.found_stride(before, after) == stride


def test_strides_that_can_be():
    assert strided.check_stride(1) == (1, 1)
    assert strided.check_stride((64, np.int64(2))) == (64, 2)
    assert strided.check_stride([3, 1]) == (3, 1)
    for stride in (0, 65, True, (1, False), 2.0, (1,), (1, 2, 3), (0, 2), (2, 65), "2"):
        with pytest.raises(ArgumentError, match="stride: expected one or two integers from 1 to 64"):
            strided.check_stride(stride)
