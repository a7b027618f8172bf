"""R² of held-out tiles against explicit least squares over the windows of all other pixels."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.polynomial import legendre

import kernelfield as kf
from kernelfield.errors import ArgumentError, DataError
from kernelfield.kernels import Kernel
from kernelfield.learning.fit import designed
from kernelfield.learning.models.held_out_r2 import _fold_of

pytestmark = pytest.mark.core
KERNEL = np.array([[0.5, 1.0, -0.25], [0.0, 2.0, 0.75]])


def crossed(planes: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]], folds: int) -> float:
    """R² of rows (design, values, own constants, fold) of each plane; the first columns are shared."""
    left = total = 0.0
    for k in range(folds):
        tables, values = [], []
        for number, (design, y, own, fold) in enumerate(planes):
            wide = np.zeros((len(y), own.shape[1] * len(planes)))
            wide[:, number * own.shape[1] : (number + 1) * own.shape[1]] = own
            rest = fold != k
            tables.append(np.hstack([design, wide])[rest])
            values.append(y[rest])
        best = np.linalg.lstsq(np.vstack(tables), np.concatenate(values), rcond=None)[0]
        for number, (design, y, own, fold) in enumerate(planes):
            held, p = fold == k, design.shape[1]
            offset = best[p + number * own.shape[1] : p + (number + 1) * own.shape[1]]
            left += float(((y - design @ best[:p] - own @ offset)[held] ** 2).sum())
            total += float(((y[held] - y[~held].mean()) ** 2).sum())
    return 1.0 - left / total


def pair_of(channels: int, shape=(26, 33), noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    before = rng.normal(size=(*shape, channels)) + 5.0
    after = noise * rng.normal(size=before.shape)
    for c in range(channels):
        windows = np.lib.stride_tricks.sliding_window_view(before[..., c], KERNEL.shape)
        after[1:, 1:-1, c] += (windows * KERNEL).sum(axis=(2, 3)) + 3.0 * c
    return before, after


def windows_of(before: np.ndarray) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(before, KERNEL.shape).reshape(-1, 6)


@pytest.mark.parametrize("shape", [(8, 8), (26, 33), (70, 9)])
@pytest.mark.parametrize("folds", [2, 3, 8])
def test_folds_are_of_whole_tiles_and_alike(shape, folds):
    fold = _fold_of(shape, folds)
    assert fold.shape == shape
    shares = np.bincount(fold.ravel(), minlength=folds) / fold.size
    assert shares.size == folds
    np.testing.assert_allclose(shares, 1.0 / folds, atol=0.11)
    for axis, n in enumerate(shape):
        changes = np.flatnonzero((np.diff(fold, axis=axis) != 0).any(axis=1 - axis)) + 1
        assert set(changes) <= {-(-i * n // 8) for i in range(1, 8)}


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("folds", [2, 5, 8])
def test_one_kernel(channels, folds):
    before, after = pair_of(channels)
    fit = designed(Kernel(KERNEL), "")
    fold = _fold_of(after.shape[:2], folds)[1:, 1:-1].ravel()
    rows = [
        (windows_of(before[..., c]), after[1:, 1:-1, c].ravel(), np.ones((len(fold), 1)), fold) for c in range(channels)
    ]
    assert fit.held_out_r2(before, after, folds=folds, channel_axis=2) == pytest.approx(crossed(rows, folds), abs=1e-9)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("stride", [(2, 1), (2, 3)])
def test_a_kernel_with_a_stride(channels, stride):
    before, after = pair_of(channels, (40, 48))
    after = after[:: stride[0], :: stride[1]]
    fit = dataclasses.replace(designed(Kernel(KERNEL), ""), stride=stride)
    fold, rows = _fold_of(after.shape[:2], 3), []
    for c in range(channels):
        design, values, folds = [], [], []
        for i, j in np.ndindex(after.shape[:2]):
            top, left = i * stride[0] - 1, j * stride[1] - 1
            if top >= 0 and left >= 0 and top + 2 <= 40 and left + 3 <= 48:
                design.append(before[top : top + 2, left : left + 3, c].ravel())
                values.append(after[i, j, c])
                folds.append(fold[i, j])
        rows.append((np.array(design), np.array(values), np.ones((len(values), 1)), np.array(folds)))
    found = fit.held_out_r2(before, after, folds=3, channel_axis=2)
    assert found == pytest.approx(crossed(rows, 3), abs=1e-6)


@pytest.mark.parametrize("background", [0, 1])
def test_a_kernel_that_varies(background):
    rng = np.random.default_rng(1)
    before = rng.normal(size=(40, 48)) + 5.0
    rows, columns = (np.linspace(-1.0, 1.0, n) for n in before.shape)
    after = rng.normal(size=before.shape) + 0.5 * columns * background
    windows = np.lib.stride_tricks.sliding_window_view(before, (3, 3))
    base, slope = rng.normal(size=(2, 3, 3))
    after[1:-1, 1:-1] += ((base + rows[1:-1, None, None, None] * slope) * windows).sum(axis=(2, 3))
    fit = kf.learn(before, after, size=3, varying=1, background=background)
    one, down, across = (np.ones((38, 46)), *np.broadcast_arrays(rows[1:-1, None], columns[None, 1:-1]))
    flat = windows.reshape(-1, 9)
    design = np.hstack([flat * legendre.legval(f.ravel(), [0.0, 1.0])[:, None] for f in (one, down, across)])
    own = np.stack([f.ravel() for f in ((one,) if not background else (one, down, across))], axis=1)
    # Middles of tiles: without their first rows and columns.
    fold = _fold_of(before.shape, 4)
    inner = [np.arange(n) * 8 % n != 0 for n in before.shape]
    fold = np.where(inner[0][:, None] & inner[1], fold, -1)[1:-1, 1:-1].ravel()
    expected = crossed([(design, after[1:-1, 1:-1].ravel(), own, fold)], 4)
    assert fit.held_out_r2(before, after) == pytest.approx(expected, abs=1e-7)
    with pytest.raises(ArgumentError, match="after: expected the field of the kernel, 40×48; received 39×48"):
        fit.held_out_r2(before[:39], after[:39])


def test_units_of_the_after_change_nothing():
    before, after = pair_of(1)
    fit = designed(Kernel(KERNEL), "")
    whole = fit.held_out_r2(before[..., 0], after[..., 0])
    for unit in (1e-4, 1e4):
        assert fit.held_out_r2(before[..., 0], unit * after[..., 0]) == pytest.approx(whole)
        strided = [
            dataclasses.replace(fit, stride=(2, 2)).held_out_r2(before[..., 0], s * after[::2, ::2, 0])
            for s in (1.0, unit)
        ]
        assert strided[1] == pytest.approx(strided[0], rel=1e-5)


@pytest.mark.parametrize("folds", [1, 9, 0, True, 2.0, "4", None])
def test_other_numbers_of_folds_are_refused(folds):
    before, after = pair_of(1)
    with pytest.raises(ArgumentError, match="folds: expected an integer from 2 to 8"):
        designed(Kernel(KERNEL), "").held_out_r2(before[..., 0], after[..., 0], folds=folds)


def test_too_few_pixels_outside_a_fold_are_refused():
    before, after = pair_of(1, (8, 9))
    fit = dataclasses.replace(designed(Kernel(np.ones((5, 5))), ""), stride=(2, 2))
    with pytest.raises(DataError, match="take fewer folds"):
        fit.held_out_r2(before[..., 0], after[::2, ::2, 0], folds=2)
