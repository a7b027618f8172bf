"""Kernels with a stride, against plain least squares, and the reductions of Pillow and libvips."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from skimage import data

import kernelfield as kf
from kernelfield.errors import ArgumentError
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
    with pytest.raises(ArgumentError, match="channels: expected shared with a stride"):
        kf.learn(PICTURE, PICTURE[::2, ::2], stride=2, channels="mixed")
