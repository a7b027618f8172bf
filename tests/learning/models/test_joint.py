"""Sums of several planes against the matrix of all windows, whether they come from lags or from windows."""

from __future__ import annotations

import numpy as np
import pytest

from kernelfield.learning.models import joint
from kernelfield.learning.models.joint import Joint, Task, bands, gather_joint, map_of, rows_of, working_dtype
from kernelfield.learning.models.mixed import task_of
from kernelfield.learning.pair import prepare
from kernelfield.learning.support import Support

SUPPORT = Support(-1, 0, 2, 3)


def task(shape: tuple[int, int], dtype: str = "float64", out: float = 0.0) -> Task:
    """Return two sources and three targets, of which the second and the third leave pixels out."""
    rng = np.random.default_rng([*shape, int(100 * out)])
    before = rng.integers(20, 230, (*shape, 2)).astype(dtype)
    after = rng.integers(20, 230, (*shape, 3)).astype(dtype)
    made = task_of(prepare(before, after, clip=None, mixed=True), 2, 3)
    bad = rng.random((2, *shape)) < out
    return made.without([None, *bad]) if out else made


def table(given: Task, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the windows of all sources and the after at the positions of a plane that count."""
    rows, columns = given.positions(SUPPORT)
    parts = [
        np.lib.stride_tricks.sliding_window_view(source.astype(float), SUPPORT.size)[
            rows.start + SUPPORT.top : rows.stop + SUPPORT.top,
            columns.start + SUPPORT.left : columns.stop + SUPPORT.left,
        ]
        for source in given.sources
    ]
    x = np.concatenate([part.reshape(-1, 6) for part in parts], axis=1)
    bad = given.targets[number].excluded(SUPPORT)
    good = np.ones(len(x), bool) if bad is None else ~bad.ravel()
    return x[good], given.targets[number].after[rows, columns].ravel()[good].astype(float)


def equal(found: Joint, x: np.ndarray, y: np.ndarray) -> None:
    """Compare sums with those of a table, about the means, where all digits count."""
    assert found.count == len(y)
    moments = found.moments()
    a, b = x - x.mean(axis=0), y - y.mean()
    np.testing.assert_allclose(moments.gram, a.T @ a, rtol=1e-9, atol=1e-9 * np.abs(a.T @ a).max())
    np.testing.assert_allclose(moments.cross, a.T @ b, rtol=1e-9, atol=1e-9 * np.abs(a.T @ a).max())
    assert moments.square == pytest.approx(b @ b, rel=1e-9)
    assert (moments.count, moments.offsets) == (len(y), 1)
    np.testing.assert_allclose(found.means(), x.mean(axis=0))
    weights = np.linspace(-1.0, 2.0, 12)
    assert found.offset(weights) == pytest.approx((y - x @ weights).mean())


@pytest.mark.parametrize("shape", [(9, 14), (330, 340)])
@pytest.mark.parametrize("out", [0.0, 0.01, 0.7])
def test_sums_are_those_of_all_windows(shape, out):
    """Of few positions, of many by lags, of many less a few, and of the few that are left."""
    given = task(shape, out=out)
    for number, found in enumerate(gather_joint(given, SUPPORT)):
        equal(found, *table(given, number))


def test_planes_without_pixels_left_out_share_their_gram_matrix():
    first, second, third = gather_joint(task((330, 340)), SUPPORT)
    assert first.gram is second.gram is third.gram


@pytest.mark.parametrize("out", [0.0, 0.4])
def test_where_windows_cost_more_than_they_may_every_n_th_is_taken(out):
    """Multiply-adds are the square of the weights a position; at least 12 positions a weight are taken."""
    given = task((60, 61), out=out)
    for number, found in enumerate(gather_joint(given, SUPPORT, most=100_000)):
        x, y = table(given, number)
        every = min(-(-len(y) * 144 // 100_000), len(y) // 144)
        assert every > 1
        equal(found, x[::every], y[::every])
    few = gather_joint(given, SUPPORT, most=1)[2]
    assert 144 <= few.count < 2 * 144


def test_sums_add_and_leave_what_the_residual_leaves():
    given = task((20, 21), out=0.2)
    x, y = table(given, 1)
    [_, one, _] = gather_joint(given, SUPPORT)
    weights, offset = np.linspace(0.5, -0.3, 12), 7.0
    left = float(((y - x @ weights - offset) ** 2).sum())
    assert one.unexplained(weights, offset) == pytest.approx(left, rel=1e-10)
    both = one + one
    assert both.unexplained(weights, offset) == pytest.approx(2.0 * left, rel=1e-10)
    assert (both.count, both.offset(weights)) == (2 * one.count, pytest.approx(one.offset(weights)))
    np.testing.assert_array_equal(both.total, 2.0 * one.total)


def test_rows_are_windows_at_places():
    sources = list(np.random.default_rng(0).integers(0, 99, (2, 7, 9)))
    found = rows_of(sources, (2, 3), 7, np.array([0, 6, 7, 41]))
    assert found.dtype == np.float64
    for row, (i, j) in zip(found, [(0, 0), (0, 6), (1, 0), (5, 6)]):
        np.testing.assert_array_equal(row, np.concatenate([s[i : i + 2, j : j + 3].ravel() for s in sources]))


@pytest.mark.parametrize("dtype", ["uint8", "float64"])
@pytest.mark.parametrize("block", [1, 200, 1 << 18])
def test_bands_are_the_residual_row_by_row(dtype, block, monkeypatch):
    """In bands of at least the rows of the kernel, of as many pixels as a block has, or all at once."""
    monkeypatch.setattr(joint, "_BLOCK", block)
    given = task((25, 31), dtype, out=0.1)
    kernels = np.random.default_rng(1).normal(size=(2, 2, 3)) / 4.0
    # The first plane counts everywhere.
    x, _ = table(given, 0)
    after = given.targets[1].after[given.positions(SUPPORT)].astype(float)
    expected = after - (x @ kernels.ravel() + 3.5).reshape(after.shape)
    kind = working_dtype(given)
    assert kind == ("float32" if dtype == "uint8" else "float64")
    found = list(bands(given, SUPPORT, 1, kernels, 3.5, kind))
    assert [one.start for one in found] == list(range(0, 24, {1: 2, 200: 6, 1 << 18: 24}[block]))
    np.testing.assert_allclose(np.vstack([one.residual for one in found]), expected, atol=1e-3)
    np.testing.assert_array_equal(np.vstack([one.after for one in found]), after)
    bad = given.targets[1].excluded(SUPPORT)
    np.testing.assert_array_equal(np.vstack([one.bad for one in found]), bad)
    assert all(one.bad is None for one in bands(given, SUPPORT, 0, kernels, 3.5, kind))
    one = map_of(given, SUPPORT, 1, kernels, 3.5)
    np.testing.assert_allclose(one.residual, expected, atol=1e-3)
    np.testing.assert_allclose(one.predicted, after - expected, atol=1e-3)
    np.testing.assert_array_equal(one.bad, bad)


def test_both_images_of_8_bits_are_summed_in_float32():
    small, wide = task((9, 9), "uint8"), task((9, 9))
    assert working_dtype(small) == np.float32
    for sources, targets in ((small.sources, wide.targets), (wide.sources, small.targets)):
        assert working_dtype(Task(sources, small.shifts, targets, small.pair)) == np.float64


def test_a_part_has_the_pixels_and_the_masks_of_the_whole():
    given = task((20, 22), out=0.3)
    gather_joint(given, SUPPORT)
    place = slice(3, 12), slice(5, 19)
    part = given.cut(*place)
    for source, own in zip(given.sources, part.sources):
        np.testing.assert_array_equal(own, source[place])
    for target, own in zip(given.targets, part.targets):
        np.testing.assert_array_equal(own.after, target.after[place])
        assert (own.bad_after is None) == (target.bad_after is None)
        if target.bad_after is not None:
            np.testing.assert_array_equal(own.bad_after, target.bad_after[place])
    for number, found in enumerate(gather_joint(part, SUPPORT)):
        equal(found, *table(part, number))


def test_one_source_and_one_target():
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(2, 9, 14))
    given = task_of(prepare(before, after, clip=None), 1, 1)
    assert given.positions(SUPPORT) == SUPPORT.positions((9, 14), (9, 14))
    (found,) = gather_joint(given, SUPPORT)
    x = np.lib.stride_tricks.sliding_window_view(before, (2, 3)).reshape(-1, 6)
    y = after[1:, :12].ravel()
    assert found.count == 96
    design = np.c_[x, np.ones(96)]
    weights = np.linalg.lstsq(design, y, rcond=None)[0]
    left = float(((y - design @ weights) ** 2).sum())
    assert found.unexplained(weights[:-1], weights[-1]) == pytest.approx(left)
    (exact,) = gather_joint(task_of(prepare(before, before, clip=None), 1, 1), Support(0, 0, 1, 1))
    assert 0.0 <= exact.unexplained(np.ones(1), 0.0) < 1e-9


def test_contrast_is_that_of_the_source_with_the_number_of_the_plane():
    given = task((12, 15))
    for number, source in ((0, 0), (1, 1), (2, 1)):
        found = map_of(given, SUPPORT, number, np.ones((2, 2, 3)), 4.0)
        own = joint.contrast(given.windows(SUPPORT)[source], found.predicted.shape, SUPPORT)
        np.testing.assert_array_equal(found.contrast, own)
