"""Residuals block by block against the windows written out."""

from __future__ import annotations

import numpy as np
import pytest

from kernelfield.learning import residual as module
from kernelfield.learning.pair import prepare
from kernelfield.learning.residual import blocks, contrast, measure, residual_maps, sampled, working_dtype
from kernelfield.learning.support import Support

pytestmark = pytest.mark.core
SUPPORT = Support(-1, -2, 3, 4)
KERNEL = np.random.default_rng(3).normal(size=(3, 4))


def pair_of(dtype: str, holes: bool = False):
    rng = np.random.default_rng(0)
    before, after = (rng.integers(0, 255, (23, 19)).astype(dtype) for _ in range(2))
    mask = None
    if holes:
        mask = rng.random(after.shape) > 0.1
    return prepare(before, after, mask, clip=None)


def by_definition(plane, kernel=KERNEL, support=SUPPORT):
    """Return the windows of all positions, and the afters."""
    top, left = -support.top, -support.left
    windows = np.lib.stride_tricks.sliding_window_view(plane.before.astype(float), kernel.shape)
    return windows, plane.after[top : top + windows.shape[0], left : left + windows.shape[1]].astype(float)


@pytest.mark.parametrize("dtype", ["uint8", "float64", "uint16"])
@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("block", [1, 32, 1 << 18])
def test_the_sums_of_the_residual(monkeypatch, dtype, holes, block):
    monkeypatch.setattr(module, "_BLOCK", block)
    pair = pair_of(dtype, holes)
    plane = pair.planes[0]
    windows, after = by_definition(plane)
    expected = after - np.einsum("ijab,ab->ij", windows, KERNEL) - 3.5
    excluded = plane.excluded(SUPPORT)
    good = np.ones(after.shape, bool) if excluded is None else ~excluded
    assert good.all() != holes
    found = measure(pair, KERNEL, (3.5,), SUPPORT, gradient=True)
    assert found.count == good.sum()
    assert found.sd == pytest.approx(np.sqrt(np.mean(expected[good] ** 2)), rel=1e-5)
    assert found.largest == pytest.approx(np.abs(expected[good]).max(), rel=1e-5)
    slope = np.einsum("ij,ijab->ab", np.where(good, expected, 0.0), windows - plane.before_shift)
    np.testing.assert_allclose(found.gradient, slope.ravel(), rtol=1e-4, atol=1e-2)
    assert measure(pair, KERNEL, (3.5,), SUPPORT).gradient.size == 0
    # The largest of either sign.
    low = measure(pair, KERNEL, (1e4,), SUPPORT)
    assert low.largest == pytest.approx(-(expected[good] + 3.5 - 1e4).min(), rel=1e-5)
    assert measure(pair, KERNEL, (-1e4,), SUPPORT).largest == pytest.approx(
        (expected[good] + 3.5 + 1e4).max(), rel=1e-5
    )


def test_small_residuals_and_none_at_all():
    pair = prepare(np.eye(9), np.eye(9) / 8, clip=None)
    one = measure(pair, np.ones((1, 1)), (0.0,), Support(0, 0, 1, 1))
    assert (one.count, one.largest) == (81, 0.875)
    none = measure(pair.without([np.ones((9, 9), bool)]), np.ones((1, 1)), (0.0,), Support(0, 0, 1, 1))
    assert (none.count, none.sd, none.largest) == (0, 0.0, 0.0)


@pytest.mark.parametrize(("block", "height"), [(1, 3), (16 * 5, 5), (16 * 5 + 15, 5), (1 << 18, 21)])
def test_blocks_hold_every_row_once(monkeypatch, block, height):
    monkeypatch.setattr(module, "_BLOCK", block)
    plane = pair_of("uint8", True).planes[0]
    excluded = plane.excluded(SUPPORT)
    parts = list(blocks(plane, KERNEL, 0.25, SUPPORT))
    assert [part.rows.start for part in parts] == list(range(1, 22, height))
    assert parts[-1].rows.stop == 22
    windows, after = by_definition(plane)
    left = after - np.einsum("ijab,ab->ij", windows, KERNEL) - 0.25
    np.testing.assert_allclose(np.concatenate([part.residual for part in parts]), left, atol=1e-3)
    np.testing.assert_array_equal(np.concatenate([part.bad for part in parts]), excluded)
    np.testing.assert_array_equal(np.concatenate([part.after for part in parts]), after)
    for part in parts:
        rows = part.rows.stop - part.rows.start
        np.testing.assert_array_equal(part.windows, plane.before[part.rows.start - 1 :][: rows + 2])
    some = list(blocks(plane, KERNEL, 0.25, SUPPORT, bands=[slice(4, 6), slice(9, 10)]))
    np.testing.assert_allclose(np.concatenate([part.residual for part in some]), left[[3, 4, 8]], atol=1e-3)
    np.testing.assert_array_equal(np.concatenate([part.bad for part in some]), excluded[[3, 4, 8]])
    assert list(blocks(plane, np.ones((3, 20)), 0.0, Support(-1, -2, 3, 20))) == []


def test_eight_bits_are_computed_in_float32():
    for dtypes, expected in ((("uint8", "uint8"), "f4"), (("uint8", "uint16"), "f8"), (("uint16", "uint8"), "f8")):
        plane = prepare(*(np.eye(9, dtype=dtype) for dtype in dtypes), clip=None).planes[0]
        assert working_dtype(plane) == np.dtype(expected)
        assert next(blocks(plane, np.ones((1, 1)), 0.0, Support(0, 0, 1, 1))).residual.dtype == np.dtype(expected)
        assert next(blocks(plane, np.ones((1, 1)), 0.0, Support(0, 0, 1, 1), np.float64)).residual.dtype == np.float64


@pytest.mark.parametrize("every", [1, 2, 7])
def test_samples_leave_out_what_is_bad(every):
    image = np.arange(30.0).reshape(5, 6)
    bad = image % 4 == 0
    (plain,) = sampled(every, None, image)
    np.testing.assert_array_equal(plain, np.arange(0.0, 30.0, every))
    first, second = sampled(every, bad, image, image + 1)
    np.testing.assert_array_equal(first, [v for v in range(0, 30, every) if v % 4])
    np.testing.assert_array_equal(second, first + 1)


@pytest.mark.parametrize("shape", [(9, 8), (3, 3), (2, 8), (9, 2), (1, 1)])
def test_contrast_is_that_of_both_axes_in_the_middle_of_the_windows(shape):
    support = Support(-1, -2, 3, 4)
    windows = np.random.default_rng(1).normal(size=(shape[0] + 2, shape[1] + 3))
    under = windows[1 : 1 + shape[0], 2 : 2 + shape[1]]
    expected = np.zeros(shape)
    for i, j in np.ndindex(shape):
        if shape[0] > 2:
            at = min(max(i, 1), shape[0] - 2)
            expected[i, j] += abs(under[at + 1, j] - under[at - 1, j])
        if shape[1] > 2:
            at = min(max(j, 1), shape[1] - 2)
            expected[i, j] += abs(under[i, at + 1] - under[i, at - 1])
    np.testing.assert_allclose(contrast(windows, shape, support), expected, atol=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_maps_hold_predictions_and_residuals(dtype):
    pair = pair_of(dtype, True)
    (found,) = residual_maps(pair, KERNEL, (2.5,), SUPPORT)
    windows, after = by_definition(pair.planes[0])
    predicted = np.einsum("ijab,ab->ij", windows, KERNEL) + 2.5
    np.testing.assert_allclose(found.predicted, predicted, atol=1e-3)
    np.testing.assert_allclose(found.residual, after - predicted, atol=1e-3)
    np.testing.assert_array_equal(found.bad, pair.planes[0].excluded(SUPPORT))
    np.testing.assert_allclose(found.contrast, contrast(pair.planes[0].before, after.shape, SUPPORT))
