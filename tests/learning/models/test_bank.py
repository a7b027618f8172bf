"""Supports of several kernels, one row or column after another, and errors of scores summed over tiles."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from kernelfield.errors import DataError
from kernelfield.learning.models import bank as module
from kernelfield.learning.models.bank import (
    Nested,
    _near,
    clustered,
    find_support,
    outside,
    part_of_task,
    signs_of,
    smaller_supports,
    solve_bank,
)
from kernelfield.learning.models.joint import Task
from kernelfield.learning.models.mixed import task_of
from kernelfield.learning.pair import prepare
from kernelfield.learning.support import Support

SUPPORT = Support(-1, 0, 2, 3)


def made(
    shape: tuple[int, int], noise: float = 1.0, seed: int = 0, support: Support = SUPPORT
) -> tuple[Task, np.ndarray, np.ndarray, np.ndarray]:
    """Return a task of two sources and targets, the bank, the windows and the afters at the positions inside."""
    rng = np.random.default_rng(seed)
    before = rng.normal(100.0, 20.0, (*shape, 2))
    bank = rng.normal(size=(2, 2, *support.size)) + 0.5
    after = np.full((*shape, 2), 50.0)
    rows, columns = support.positions(shape, shape)
    where = support.windows((rows, columns))
    views = np.lib.stride_tricks.sliding_window_view(before[where], support.size, axis=(0, 1))
    x = views.reshape(views.shape[0] * views.shape[1], -1)
    y = x @ bank.reshape(2, -1).T + noise * rng.normal(size=(len(x), 2))
    after[rows, columns] = y.reshape(rows.stop - rows.start, -1, 2)
    return task_of(prepare(before, after, clip=None, mixed=True), 2, 2), bank, x, y


@pytest.mark.parametrize("noise", [1.0, 0.0])
def test_the_bank_is_that_of_least_squares(noise):
    task, truth, x, y = made((40, 43), noise)
    bank = solve_bank(task, SUPPORT)
    design = np.c_[x, np.ones(len(x))]
    inverse = np.linalg.inv(design.T @ design)
    for number in range(2):
        found, left = np.linalg.lstsq(design, y[:, number], rcond=None)[:2]
        np.testing.assert_allclose(bank.kernels[number].ravel(), found[:-1], atol=1e-8)
        assert bank.offsets[number] == pytest.approx(found[-1], abs=1e-6)
        if noise:
            variance = float(left[0]) / (len(x) - 13)
            assert bank.variances[number] == pytest.approx(variance, rel=1e-8)
            errors = np.sqrt(np.diag(inverse)[:-1] * variance)
            np.testing.assert_allclose(bank.stderr[number].ravel(), errors, rtol=1e-6)
        else:
            np.testing.assert_allclose(bank.kernels, truth, atol=1e-12)
            assert bank.stderr.max() < 1e-11
    assert (bank.at_floor, bank.exact) == (not noise,) * 2
    assert (bank.rank, bank.complete) == (12, True)


def test_noise_of_the_before_is_taken_from_the_gram_matrix():
    task, _, x, y = made((40, 43))
    bank = solve_bank(task, SUPPORT, noise=100.0)
    a, b = x - x.mean(axis=0), y - y.mean(axis=0)
    expected = np.linalg.solve(a.T @ a - 100.0 * len(x) * np.eye(12), a.T @ b)
    np.testing.assert_allclose(bank.kernels.reshape(2, 12).T, expected, rtol=1e-8)
    assert not bank.exact
    for number in range(2):
        kernel = expected[:, number]
        variance = float(((b[:, number] - a @ kernel) ** 2).sum()) / (len(x) - 13)
        assert bank.variances[number] == pytest.approx(variance, rel=1e-8)
        inverse = np.linalg.inv(a.T @ a - 100.0 * len(x) * np.eye(12))
        spread = inverse @ (variance * a.T @ a + len(x) * 100.0**2 * np.outer(kernel, kernel)) @ inverse
        np.testing.assert_allclose(bank.stderr[number].ravel(), np.sqrt(np.diag(spread)), rtol=1e-6)


@pytest.mark.parametrize("left", [0.0, 3.0])
@pytest.mark.parametrize("shape", [(32, 34), (100, 110)])
def test_intervals_of_kernels_that_are_corrected_for_noise_cover(left, shape):
    """Also where the after has no noise: what is left is that of the before, through the kernel."""
    z = []
    for seed in range(12):
        task, truth, _, _ = made(shape, left, seed)
        rng = np.random.default_rng(seed)
        noisy = tuple(source + rng.normal(scale=6.0, size=shape) for source in task.sources)
        bank = solve_bank(dataclasses.replace(task, sources=noisy, everywhere={}), SUPPORT, noise=36.0)
        z.append((bank.kernels - truth) / clustered(bank))
    assert np.sqrt(np.mean(np.square(z))) == pytest.approx(1.0, abs=0.2)
    assert 0.9 < np.mean(np.abs(z) < 1.96) < 0.99


def test_a_bank_needs_a_pixel_for_each_weight_and_the_offset():
    task, _, x, _ = made((7, 6))
    assert len(x) == 24
    inner = np.zeros((7, 6), bool)
    inner[1:, :4] = np.arange(24).reshape(6, 4) >= 13
    bank = solve_bank(task.without([inner] * 2), SUPPORT)
    assert bank.joints[0].count == 13
    inner[1, 0] = True
    with pytest.raises(
        DataError, match=r"expected at least 13 usable pixels for 2 kernels of 2×3 and an offset; rec.* 12"
    ):
        solve_bank(task.without([inner] * 2), SUPPORT)


def test_weights_that_are_not_told_have_no_error():
    task, _, _, _ = made((40, 43))
    same = Task((task.sources[0],) * 2, task.shifts, task.targets, task.pair)
    bank = solve_bank(same, SUPPORT)
    assert (bank.rank, bank.complete, bank.exact) == (6, False, False)
    assert np.isinf(bank.stderr).all()
    assert clustered(bank) is bank.stderr


def test_nested_weights_are_those_of_fits_of_fewer():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(50, 7)) @ rng.normal(size=(7, 7))
    y = rng.normal(size=50)
    kernel, left = np.linalg.lstsq(x, y, rcond=None)[:2]
    whole = Nested(kernel, np.linalg.inv(x.T @ x), float(left[0]))
    out = np.array([1, 4, 5])
    fewer, more = np.linalg.lstsq(x[:, [0, 2, 3, 6]], y, rcond=None)[:2]
    part = whole.without(out)
    np.testing.assert_allclose(part.kernel, fewer)
    np.testing.assert_allclose(part.inverse, np.linalg.inv(x[:, [0, 2, 3, 6]].T @ x[:, [0, 2, 3, 6]]))
    assert part.left == pytest.approx(float(more[0]))
    assert whole.more(out) == pytest.approx(float(more[0] - left[0]))


def test_outer_lines_are_taken_up_to_the_output_pixel():
    support = Support(-1, -2, 3, 4)
    found = {(s.top, s.left, s.rows, s.columns) for s in smaller_supports(support)}
    assert found == {(0, -2, 2, 4), (-1, -2, 2, 4), (-1, -1, 3, 3), (-1, -2, 3, 3)}
    assert smaller_supports(Support(0, 0, 1, 1)) == []
    assert smaller_supports(Support(0, -1, 1, 2)) == [Support(0, 0, 1, 1)]
    assert smaller_supports(Support(-1, 0, 2, 1)) == [Support(0, 0, 1, 1)]
    assert smaller_supports(Support(0, 0, 2, 2)) == [Support(0, 0, 1, 2), Support(0, 0, 2, 1)]
    for smaller in smaller_supports(support):
        table = np.ones(support.size, bool)
        for i, j in np.ndindex(support.size):
            down, right = i + support.top - smaller.top, j + support.left - smaller.left
            table[i, j] = not (0 <= down < smaller.rows and 0 <= right < smaller.columns)
        expected = np.flatnonzero(np.stack([table, table]))
        np.testing.assert_array_equal(outside(support, smaller, 2), expected)


@pytest.mark.parametrize(
    ("shape", "pixels", "part"),
    [
        ((100, 100), 10_000, (0, 100, 0, 100)),
        ((100, 101), 10_000, (1, 100, 0, 101)),
        ((400, 400), 10_000, (150, 250, 150, 250)),
        ((400, 100), 10_000, (100, 300, 18, 82)),
        ((400, 100), 100, (168, 232, 18, 82)),
        ((50, 400), 10_000, (0, 50, 122, 278)),
    ],
)
def test_the_part_is_the_middle(shape, pixels, part):
    plane = np.arange(shape[0] * shape[1], dtype=float).reshape(shape)
    task = task_of(prepare(plane, plane, clip=None), 1, 1)
    found = part_of_task(task, pixels).sources[0]
    top, left = np.argwhere(task.sources[0] == found[0, 0])[0]
    if shape == (50, 400):
        # Columns that make up for rows that are not there.
        assert (top, found.shape[0]) == (0, 50)
        assert found.size <= pixels
        assert abs(2 * left + found.shape[1] - shape[1]) <= 1
        return
    if shape == (100, 101):
        assert found.shape == (99, 101)
        return
    assert (top, top + found.shape[0], left, left + found.shape[1]) == part


@pytest.mark.parametrize(
    "support", [Support(0, 0, 1, 1), Support(-1, 0, 2, 3), Support(-2, -1, 3, 2), Support(0, -4, 1, 5)]
)
@pytest.mark.parametrize("noise", [0.0, 2.0])
def test_the_support_is_where_weights_matter(support, noise):
    task = made((60, 66), noise, support=support)[0]
    assert find_support(task, 31) == support
    cut = find_support(task, max(1, 2 * max(-support.top, -support.left)))
    assert max(cut.size) <= max(1, 2 * max(-support.top, -support.left) + 1)


def test_errors_of_residuals_that_are_alike_in_tiles():
    """The covariance of scores summed over tiles of sixteen, of pixels in rows, by hand."""
    rng = np.random.default_rng(2)
    task, _, x, _ = made((100, 120), 1.0)
    rows, columns = task.positions(SUPPORT)
    shape = rows.stop - rows.start, columns.stop - columns.start
    alike = np.repeat(np.repeat(rng.normal(size=(7, 8)), 16, axis=0), 16, axis=1)[: shape[0], : shape[1]]
    after = task.targets[0].after.copy()
    brightness = x[:, 2].reshape(shape) - 100.0
    after[rows, columns] += alike * brightness / 3.0
    target = dataclasses.replace(task.targets[0], after=after, memory=None)
    both = dataclasses.replace(task, targets=(target, task.targets[1]), everywhere={})
    bank = solve_bank(both, SUPPORT)
    found = clustered(bank)
    cuts = [np.linspace(0, n, min(10, n // 16) + 1).astype(int) for n in shape]
    value = after[rows, columns].ravel() - x @ bank.kernels[0].ravel() - bank.offsets[0]
    centred, scores = x - x.mean(axis=0), []
    for top, bottom in zip(cuts[0][:-1], cuts[0][1:]):
        for left, right in zip(cuts[1][:-1], cuts[1][1:]):
            inside = np.zeros(shape, bool)
            inside[top:bottom, left:right] = True
            scores.append(centred[inside.ravel()].T @ value[inside.ravel()])
    influence = np.stack(scores) @ np.linalg.inv(centred.T @ centred)
    n = len(scores)
    seen = np.sqrt((influence**2).sum(axis=0) * n / (n - 1.0))
    plain = np.sqrt(np.diag(np.linalg.inv(centred.T @ centred)) * float(value @ value) / len(value))
    ratio = np.maximum(seen / plain, 1.0)
    np.testing.assert_allclose(found[0].ravel() / bank.stderr[0].ravel(), ratio, rtol=1e-6)
    assert ratio.max() > 2.0
    # Independent residuals keep theirs.
    np.testing.assert_array_equal(found[1], bank.stderr[1])
    assert clustered(solve_bank(both.cut(slice(0, 60), slice(0, 60)), SUPPORT)).tolist() != found.tolist()


def test_few_tiles_tell_no_errors():
    for rows, columns, same in ((65, 82, False), (64, 81, True)):
        # 4 by 5 tiles of 16 positions, and 3 by 5 of them.
        rng = np.random.default_rng(3)
        before = rng.normal(size=(rows, columns))
        strips = np.repeat(np.repeat(rng.normal(size=(5, 6)), 16, axis=0), 16, axis=1)[:rows, :columns]
        task = task_of(prepare(before, before + 3.0 * strips * before, clip=None), 1, 1)
        bank = solve_bank(task, Support(0, -1, 2, 2) if not same else Support(-1, 0, 2, 2))
        assert (clustered(bank) is bank.stderr) == same


def test_tiles_near_an_end_are_those_with_a_value_there(monkeypatch):
    monkeypatch.setattr(module, "_TILE", 4)
    after = np.full((10, 19), 50.0)
    after[2, 3], after[5, 4], after[5, 8], after[9, 18], after[8, 0] = 9.9, 90.1, 9.0, 99.0, 10.0
    found = list(_near(after, 10.0, 90.0))
    assert found == [
        (slice(0, 4), slice(0, 4)),
        (slice(4, 8), slice(4, 12)),
        (slice(8, 10), slice(16, 19)),
    ]


def test_signs_are_those_of_neighbours():
    task, _, _, _ = made((60, 61))
    bank = solve_bank(task, SUPPORT)
    assert abs(signs_of(bank).correlation) < 0.05
    smooth = np.cumsum(np.random.default_rng(4).normal(size=task.targets[0].after.shape), axis=0)
    target = dataclasses.replace(task.targets[0], after=task.targets[0].after + 5.0 * smooth, memory=None)
    alike = dataclasses.replace(task, targets=(target, task.targets[1]), everywhere={})
    assert signs_of(solve_bank(alike, SUPPORT)).correlation > 0.8


@pytest.mark.parametrize("support", [
    Support(-3, 0, 4, 1), Support(0, -3, 1, 4), Support(0, 0, 4, 1), Support(0, 0, 1, 4), Support(-3, -3, 7, 7),
])  # fmt: skip
def test_a_search_goes_on_where_weights_reach_an_end(support):
    task, _, _, _ = made((90, 96), 0.5, support=support)
    assert find_support(task, 15) == support
    small = find_support(task, 3)
    assert max(small.size) <= 3
    assert max(find_support(task, 1).size) == 1


def test_so_many_positions_determine_the_weights():
    # Two sources, so 48 weights need more than 96 positions: of 6×4 weights 97 at least.
    for shape, known in (((13, 17), True), ((13, 15), False)):
        task, _, _, _ = made(shape)
        count = (shape[0] - 5) * (shape[1] - 3)
        assert (count > 96) == known
        assert module._determined(task, Support(0, 0, 6, 4)) == known


def test_every_plane_has_to_be_reproduced():
    bank = solve_bank(made((30, 34))[0], SUPPORT)
    one = module.Whole(bank.kernels[0], 0.0, "nearest")
    for whole, exact in (((one, one), True), ((one, None), False), ((None, None), False)):
        assert dataclasses.replace(bank, whole=whole, at_floor=False).exact == exact
    assert dataclasses.replace(bank, whole=(None, None), at_floor=True).exact


def test_tiles_near_an_end_in_several_runs(monkeypatch):
    monkeypatch.setattr(module, "_TILE", 4)
    after = np.full((8, 30), 5.0)
    after[1, 2], after[2, 13], after[5, 29] = 0.0, 9.0, 9.0
    found = list(_near(after, 1.0, 8.0))
    expected = [(slice(0, 4), slice(0, 4)), (slice(0, 4), slice(12, 16)), (slice(4, 8), slice(28, 30))]
    assert found == expected


@pytest.mark.parametrize("axis", [0, 1])
def test_signs_have_the_correlation_of_neighbours_by_definition(axis):
    task = made((60, 64), 0.0)[0]
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(60, 64))
    smooth = noise + np.roll(noise, 1, axis)
    targets = tuple(dataclasses.replace(one, after=one.after + smooth) for one in task.targets)
    bank = solve_bank(dataclasses.replace(task, targets=targets, everywhere={}), SUPPORT)
    sums = np.zeros(3)
    for number, own in enumerate(bank.kernels):
        residual = module.map_of(bank.task, SUPPORT, number, own, bank.offsets[number]).residual
        sums += (residual[:, 1:] * residual[:, :-1]).sum(), (residual[1:] * residual[:-1]).sum(), (residual**2).sum()
    assert signs_of(bank).correlation == pytest.approx(sums[1 - axis] / sums[2], rel=1e-9)
    assert sums[1 - axis] > 0.4 * sums[2]
