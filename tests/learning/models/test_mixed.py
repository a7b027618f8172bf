"""Channels that mix, against plain least squares on the matrix of all windows, and colour matrices by name."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from skimage import data

import kernelfield as kf
from kernelfield.errors import ArgumentError, DataError
from kernelfield.learning.gram import joint_gram
from kernelfield.learning.models import bank as bank_module
from kernelfield.learning.models import joint as joint_module
from kernelfield.learning.models.joint import gather_joint
from kernelfield.learning.models.mixed import prepared, task_of
from kernelfield.learning.models.model import Asked
from kernelfield.learning.support import centred

PICTURE = data.astronaut()[::2, ::2]
SEPIA = np.array([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]])
LUMA = np.array([0.299, 0.587, 0.114])


def filtered(before: np.ndarray, bank: np.ndarray) -> np.ndarray:
    """Return the sums of nested loops over channels and weights, with the border mirrored."""
    rows, columns = (n // 2 for n in bank.shape[2:])
    wide = np.pad(before.astype(np.float64), [(rows, rows), (columns, columns), (0, 0)], mode="reflect")
    out = np.zeros((*before.shape[:2], len(bank)))
    for o, own in enumerate(bank):
        for c, kernel in enumerate(own):
            for (i, j), weight in np.ndenumerate(kernel):
                out[..., o] += weight * wide[i : i + before.shape[0], j : j + before.shape[1], c]
    return out


def rounded(values: np.ndarray) -> np.ndarray:
    return np.clip(np.floor(values + 0.5), 0, 255).astype(np.uint8)


def mixed_by_lstsq(before: np.ndarray, after: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the bank by NumPy's lstsq on the matrix of all windows that lie inside."""
    windows = np.lib.stride_tricks.sliding_window_view(before.astype(np.float64), size, axis=(0, 1))
    design = windows.reshape(-1, before.shape[2] * size[0] * size[1])
    design = np.c_[design, np.ones(len(design))]
    rows, columns = (n // 2 for n in size)
    inner = after[rows : after.shape[0] - rows, columns : after.shape[1] - columns].reshape(-1, after.shape[2])
    found = np.linalg.lstsq(design, inner, rcond=None)[0][:-1]
    return found.T.reshape(after.shape[2], before.shape[2], *size)


@pytest.mark.parametrize("size", [(1, 1), (3, 3), (3, 5)])
@pytest.mark.parametrize("noise", [0.0, 2.0])
@pytest.mark.parametrize(("inputs", "outputs"), [(3, 3), (3, 2), (2, 3)])
def test_it_is_plain_least_squares(size, noise, inputs, outputs):
    rng = np.random.default_rng([*size, inputs, outputs])
    before = PICTURE[:70, :90, :inputs].astype(np.float64)
    bank = rng.normal(size=(outputs, inputs, *size))
    after = filtered(before, bank) + rng.normal(scale=noise, size=(70, 90, outputs))
    fit = kf.learn(before, after, size=size, channels="mixed")
    assert (fit.model, fit.verdict) == ("mixed", "approximate" if noise else "exact")
    np.testing.assert_allclose(fit.bank, mixed_by_lstsq(before, after, size), rtol=0, atol=1e-8)
    if not noise:
        np.testing.assert_allclose(fit.bank, bank, rtol=0, atol=1e-10)


def test_the_size_is_found():
    rng = np.random.default_rng(2)
    bank = rng.normal(size=(3, 3, 5, 3))
    fit = kf.learn(PICTURE / 255.0, filtered(PICTURE / 255.0, bank), channels="mixed")
    assert (fit.size, fit.anchor, fit.boundary, fit.verdict) == ((5, 3), (2, 1), "mirror", "exact")
    np.testing.assert_allclose(fit.apply(PICTURE / 255.0), filtered(PICTURE / 255.0, bank), atol=1e-9)


@pytest.mark.parametrize(
    ("matrix", "name", "text"),
    [
        (SEPIA, "sepia", "sepia"),
        (0.4 * np.eye(3) + 0.6 * np.tile(LUMA, (3, 1)), "saturation", "saturation times 0.4 (brightness by Rec. 601)"),
        (LUMA[None], "luma", "brightness by Rec. 601"),
        ([[0.2126, 0.7152, 0.0722]], "luma", "brightness by Rec. 709"),
        (np.eye(3)[::-1], "channel order", "the channels in the order 2, 1, 0"),
        ([[0.5, 0.2, 0.3], [0.1, 0.8, 0.1], [0.0, 0.4, 0.6]], None, "a mix of channels, 3 to 3 of each pixel"),
    ],
)
def test_colour_matrices_come_back_exact_and_by_name(matrix, name, text):
    matrix = np.array(matrix)
    after = rounded(PICTURE @ matrix.T)
    after = after[..., 0] if after.shape[2] == 1 else after
    fit = kf.learn(PICTURE, after)
    assert (fit.model, fit.verdict, fit.name, fit.size) == ("mixed", "exact", name, (1, 1))
    assert fit.description.startswith(text)
    np.testing.assert_allclose(fit.bank[:, :, 0, 0], matrix, atol=1e-4)
    assert np.mean(fit.apply(PICTURE) != after) < 1e-4


def test_hue_is_turned():
    # Computed with the formula of W3C Filter Effects 1 written out, element by element.
    c, s = np.cos(np.radians(40)), np.sin(np.radians(40))
    matrix = [
        [0.213 + 0.787 * c - 0.213 * s, 0.715 - 0.715 * c - 0.715 * s, 0.072 - 0.072 * c + 0.928 * s],
        [0.213 - 0.213 * c + 0.143 * s, 0.715 + 0.285 * c + 0.140 * s, 0.072 - 0.072 * c - 0.283 * s],
        [0.213 - 0.213 * c - 0.787 * s, 0.715 - 0.715 * c + 0.715 * s, 0.072 + 0.928 * c + 0.072 * s],
    ]
    fit = kf.learn(PICTURE, rounded(PICTURE @ np.array(matrix).T))
    assert (fit.name, fit.verdict) == ("hue rotation", "exact")
    assert fit.parameters["degrees"] == pytest.approx(40, abs=0.02)


def test_pillows_grey_is_learned():
    grey = np.asarray(Image.fromarray(PICTURE).convert("L"))
    fit = kf.learn(PICTURE, grey)
    assert (fit.verdict, fit.name, fit.offset) == ("exact", "luma", 0.0)
    np.testing.assert_array_equal(fit.apply(PICTURE), grey)
    assert fit.apply(PICTURE).shape == PICTURE.shape[:2]


def test_a_matrix_and_a_blur_are_told_apart():
    blur = kf.kernels.gaussian(1.0, 5).weights
    bank = SEPIA[:, :, None, None] * blur
    fit = kf.learn(PICTURE / 255.0, filtered(PICTURE / 255.0, bank), channels="mixed")
    assert fit.description.startswith("sepia (W3C Filter Effects); the kernel of each: Gaussian blur, sigma 1.00")


def test_ninety_five_percent_intervals_cover():
    rng = np.random.default_rng(5)
    inside = []
    for _ in range(30):
        bank = rng.normal(size=(3, 3, 3, 3))
        before = PICTURE[:60, :60].astype(np.float64)
        after = filtered(before, bank) + rng.normal(scale=3.0, size=before.shape)
        fit = kf.learn(before, after, size=3, channels="mixed")
        inside.append(np.mean(np.abs(fit.bank - bank) < 1.959964 * fit.bank_stderr))
    assert 0.93 < np.mean(inside) < 0.97


def test_evidence_picks_the_model_that_made_the_data():
    rng = np.random.default_rng(6)
    right = 0
    for number in range(60):
        kind = ("shared", "separate", "mixed")[number % 3]
        bank = np.zeros((3, 3, 3, 3))
        for o in range(3):
            for c in range(3):
                if kind == "mixed" or o == c:
                    bank[o, c] = rng.normal(size=(3, 3))
        if kind == "shared":
            bank[1, 1] = bank[2, 2] = bank[0, 0]
        top, left = rng.integers(0, 150, 2)
        before = PICTURE[top : top + 90, left : left + 90].astype(np.float64)
        after = filtered(before, bank) + rng.normal(scale=1.0, size=before.shape)
        right += kf.learn(before, after, max_size=5).model == kind
    assert right == 60


def test_pixels_that_do_not_count_are_left_out():
    before = PICTURE[:80, :80].astype(np.float64)
    after = before @ SEPIA.T
    after[3:9, 5:20, 1] = np.nan
    before[40, 40, 2] = np.nan
    after[40, 40] = 1e6
    fit = kf.learn(before, after, channels="mixed", size=1)
    np.testing.assert_allclose(fit.bank[:, :, 0, 0], SEPIA, atol=1e-12)
    assert fit.excluded == 3 + 6 * 15


def test_equal_channels_do_not_tell_the_mix():
    grey = np.repeat(PICTURE[..., :1], 3, axis=2)
    fit = kf.learn(grey, rounded(grey @ SEPIA.T), channels="mixed", size=1)
    assert fit.verdict == "undetermined"
    assert "channels are equal" in " ".join(fit.notes)


@pytest.mark.parametrize("channels", ["mixed", "separate", "auto"])
def test_what_is_saved_is_what_is_loaded(channels, tmp_path):
    bank = np.zeros((3, 3, 3, 3))
    bank[[0, 1, 2], [0, 1, 2]] = np.random.default_rng(8).normal(size=(3, 3, 3))
    before = PICTURE[:80, :80].astype(np.float64)
    fit = kf.learn(before, filtered(before, bank), size=3, channels=channels)
    fit.save(tmp_path / "filter.json")
    again = kf.Fit.load(tmp_path / "filter.json")
    np.testing.assert_array_equal(again.bank, fit.bank)
    np.testing.assert_array_equal(again.bank_stderr, fit.bank_stderr)
    np.testing.assert_array_equal(again.apply(before), fit.apply(before))
    assert (again.model, str(again)) == (fit.model, str(fit))


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (1, 4), (4, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_the_gram_matrix_of_several_images_is_that_of_their_windows(size, dtype):
    parts = [np.random.default_rng(9).integers(0, 255, (3, rows, 23)).astype(dtype) for rows in (19, 12)]
    shifts, expected = (100.0, 0.0, 128.0), 0
    for planes in parts:
        windows = [
            np.lib.stride_tricks.sliding_window_view(plane.astype(float) - shift, size).reshape(-1, size[0] * size[1])
            for plane, shift in zip(planes, shifts)
        ]
        expected = expected + np.hstack(windows).T @ np.hstack(windows)
    np.testing.assert_array_equal(joint_gram([tuple(planes) for planes in parts], size, shifts), expected)


@pytest.mark.parametrize("many", [0, 100, 2000])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_sums_are_those_of_explicit_windows(dtype, many, monkeypatch):
    # Lag products, less the windows that do not count; or windows alone, where most do not.
    monkeypatch.setattr(joint_module, "_SMALL", 0)
    rng = np.random.default_rng(many)
    before, after = (rng.integers(0, 256, (60, 70, n)).astype(dtype) for n in (3, 2))
    mask = np.ones((60, 70), bool)
    mask.ravel()[rng.permutation(mask.size)[:many]] = False
    asked = Asked(before, after, (3, 5), mask=mask, clip=None)
    task, support = task_of(*prepared(asked)), centred((3, 5))
    windows = np.lib.stride_tricks.sliding_window_view(before.astype(float), (3, 5), axis=(0, 1)).reshape(-1, 45)
    used = np.lib.stride_tricks.sliding_window_view(mask, (3, 5)).all(axis=(2, 3)).ravel()
    for joint, plane in zip(gather_joint(task, support), np.moveaxis(after[1:-1, 2:-2].astype(float), 2, 0)):
        x, y = windows[used] - joint.shifts, plane.ravel()[used] - joint.after_shift
        assert joint.count == np.count_nonzero(used)
        for found, expected in ((joint.gram, x.T @ x), (joint.cross, y @ x), (joint.total, x.sum(axis=0))):
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.trace(x.T @ x))
        np.testing.assert_allclose([joint.after_total, joint.after_square], [y.sum(), y @ y], rtol=1e-12, atol=1e-6)


def test_what_is_wrong_is_said():
    with pytest.raises(ArgumentError, match="channels: expected one of shared, separate, mixed, auto; received 'rgb'"):
        kf.learn(PICTURE, PICTURE, channels="rgb")
    with pytest.raises(ArgumentError, match="after: expected 3 channel"):
        kf.learn(PICTURE, PICTURE[..., 0], channels="shared")
    with pytest.raises(DataError, match="usable pixels for 3 kernels of 5×5"):
        kf.learn(PICTURE[:9, :9], PICTURE[:9, :9], channels="mixed", size=5)


def test_a_smaller_after_than_the_kernel_implies_is_a_crop():
    before = PICTURE[:60, :64]
    bank = SEPIA[:, :, None, None] * np.outer([1, 2, 1], [1, 2, 1]) / 16
    after = filtered(before, bank)[3:-2, 4:-4]
    fit = kf.learn(before, after, channels="mixed", size=3)
    assert fit.frame == (3, 4)
    np.testing.assert_allclose(fit.bank, bank, atol=1e-9)


@pytest.mark.parametrize("tile", [4, 128])
def test_clipped_pixels_are_left_out_by_their_prediction(tile, monkeypatch):
    monkeypatch.setattr(bank_module, "_TILE", tile)
    rng = np.random.default_rng(12)
    before, bank = PICTURE[:120, :140], rng.normal(size=(2, 3, 3, 3)) / 4
    after = rounded(filtered(before, bank) + 120 + rng.normal(scale=3.0, size=(120, 140, 2)))
    inner = after[1:-1, 1:-1].astype(np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(before.astype(np.float64), (3, 3), axis=(0, 1))
    design = np.c_[windows.reshape(-1, 27), np.ones(inner[..., 0].size)]
    expected, left_out = [], 0
    for values in np.moveaxis(inner, 2, 0).reshape(2, -1):
        used = (values > 0) & (values < 255)
        assert 30 < np.count_nonzero(~used) < 2000
        first, square, *_ = np.linalg.lstsq(design[used], values[used], rcond=None)
        margin = 4 * np.sqrt(square[0] / (used.sum() - 28))
        used = (design @ first >= margin) & (design @ first <= 255 - margin)
        expected.append(np.linalg.lstsq(design[used], values[used], rcond=None)[0][:-1].reshape(3, 3, 3))
        left_out += np.count_nonzero(~used)
    fit = kf.learn(before, after, size=3, channels="mixed")
    assert (fit.verdict, fit.excluded) == ("approximate", left_out)
    np.testing.assert_allclose(fit.bank, expected, rtol=0, atol=1e-8)
