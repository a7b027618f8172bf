"""Weights of several kernels that reproduce every pixel: whole ones, moved ones, and none where one pixel is off."""

from __future__ import annotations

import numpy as np
import pytest

from kernelfield.learning.models import whole
from kernelfield.learning.models.bank import solve_bank
from kernelfield.learning.models.joint import Task
from kernelfield.learning.models.mixed import task_of
from kernelfield.learning.models.whole import Whole, _candidates, find_row
from kernelfield.learning.pair import prepare
from kernelfield.learning.support import Support

SUPPORT = Support(0, -1, 1, 2)
WHOLE = np.array([[[3, -1]], [[2, 4]]])


def made(bank: np.ndarray, offset: float = 30.0, rule=lambda x: np.floor(x + 0.5), shape=(60, 70), clip=False):
    """Return a task of two sources and one target of 8 bits, and the sums before rounding."""
    rng = np.random.default_rng(0)
    before = rng.integers(0, 256 if clip else 100, (*shape, 2)).astype(np.uint8)
    sums = np.full(shape, 90.0)
    sums[:, 1:] = (
        sum(bank[c, 0, j] * before[:, j : shape[1] - 1 + j, c].astype(float) for c in range(2) for j in range(2))
        + offset
    )
    after = np.clip(rule(sums), 0, 255).astype(np.uint8)
    pair = prepare(before, after[..., None], clip="auto" if clip else None, channel_axis=2, mixed=True)
    return task_of(pair, 2, 1), sums, after


def found(task: Task, known: tuple[np.ndarray, ...] = ()) -> Whole | None:
    bank = solve_bank(task, SUPPORT)
    return find_row(task, SUPPORT, 0, bank.kernels[0], bank.stderr[0], bank.joints[0], known)


@pytest.mark.parametrize("divisor", [8, 11, 100])
@pytest.mark.parametrize("offset", [20.0, 30.0])
def test_quotients_come_back_with_the_least_divisor(divisor, offset):
    task, _, _ = made(WHOLE / divisor, offset)
    whole = found(task)
    assert (whole.divisor, whole.offset, whole.rounding) == (divisor, offset, "nearest")
    np.testing.assert_array_equal(whole.kernels, WHOLE / divisor)


def test_numbers_that_are_cut_off():
    task, _, _ = made(WHOLE / 8, 7.0, np.floor)
    whole = found(task)
    assert (whole.divisor, whole.offset, whole.rounding) == (8, 6.5, "truncated")


@pytest.mark.parametrize("by", [1, -1])
def test_one_pixel_that_is_off_is_none(by):
    task, _, after = made(WHOLE / 8)
    after = after.copy()
    after[30, 30] = after[30, 30].astype(int) + by
    wrong = made(WHOLE / 8)[0]
    object.__setattr__(wrong.targets[0], "after", after)
    assert found(task) is not None
    assert found(wrong) is None
    # Where it does not count it does not matter.
    mask = np.zeros(after.shape, bool)
    mask[30, 30] = True
    assert found(wrong.without([mask])).divisor == 8


def test_known_weights_go_first():
    task, _, _ = made(WHOLE / 8)
    assert found(task, (WHOLE / 8,)).divisor is None
    assert found(task, (WHOLE / 8 + 0.01,)).divisor == 8
    # These leave exact halves beyond a half, by less than the slack: those that need none go before.
    assert found(task, (WHOLE / 8 - 1e-5,)).divisor == 8


def test_weights_that_are_no_quotients_are_moved_until_they_reproduce_every_pixel():
    truth = WHOLE / 8 + np.array([[[0.0123, -0.0231]], [[0.0071, 0.0317]]])
    task, _, after = made(truth, 10.3)
    whole = found(task)
    assert whole.divisor is None
    rows, columns = task.positions(SUPPORT)
    values = sum(
        whole.kernels[c, 0, j] * task.sources[c][:, j : after.shape[1] - 1 + j].astype(float)
        for c in range(2)
        for j in range(2)
    )
    # Within half a step, and the hundredth of one that is left to sums of fewer bits.
    assert np.abs(after[rows, columns] - values - whole.offset).max() <= 0.51
    np.testing.assert_allclose(whole.kernels, truth, atol=1e-3)
    assert whole.offset == pytest.approx(10.3, abs=0.1)


@pytest.mark.parametrize(("offset", "rounding"), [(10.3, "truncated"), (10.1, "nearest"), (9.8, "nearest")])
def test_the_rule_of_moved_weights_is_told_by_their_offset(offset, rounding):
    truth = WHOLE / 8 + np.array([[[0.0123, -0.0231]], [[0.0071, 0.0317]]])
    assert found(made(truth, offset)[0]).rounding == rounding


@pytest.mark.parametrize("offset", [0.0, 10.3])
def test_values_at_the_ends_bound_on_one_side(offset):
    """Sums from below 0 to above 255, of whole weights and of others."""
    truth = WHOLE / 4 + (np.array([[[0.0123, -0.0231]], [[0.0071, 0.0317]]]) if offset else 0.0)
    task, sums, after = made(truth, offset, clip=True)
    assert (sums < -0.5).any()
    assert (sums > 255.5).any()
    whole = found(task)
    assert (whole.divisor is None) == bool(offset)
    np.testing.assert_allclose(whole.kernels, truth, atol=1e-3 if offset else 0.0)
    # A value at an end that lies far inside is no rounding of any.
    wrong = after.copy()
    place = np.argwhere((sums > 100.0) & (sums < 150.0) & (np.arange(70) > 0))[0]
    for end in (0, 255):
        wrong[tuple(place)] = end
        other = made(truth, offset, clip=True)[0]
        object.__setattr__(other.targets[0], "after", wrong)
        assert found(other) is None


def test_candidates_are_near_and_in_lowest_terms():
    kernels = WHOLE / 8
    first = next(iter(_candidates(kernels, 1e-6)))
    assert first[1] == 8
    assert [divisor for _, divisor in _candidates(kernels, 1e-6)] == [8]
    assert list(_candidates(kernels, 0.051 / 8)) == []
    # Multiples of 0.05 in errors, and a tenth, of the divisor.
    assert [d for _, d in _candidates(kernels + 0.09 / 8, 0.049 / 8)] == [8]
    assert 8 not in [d for _, d in _candidates(kernels + 0.11 / 8, 0.049 / 8)]
    # A distance of 150 errors of the weights.
    assert 8 in [d for _, d in _candidates(kernels + 149e-6, 1e-6)]
    assert 8 not in [d for _, d in _candidates(kernels + 151e-6, 1e-6)]
    assert list(_candidates(np.zeros((2, 1, 2)), 1e-9)) == []
    many = list(_candidates(np.full((1, 1, 1), np.sqrt(0.5)), 0.05 / 200))
    assert len(many) == 24


@pytest.mark.parametrize(
    "divisor", [1, 2, 255, 256, 500, 512, 1000, 1024, 2000, 2048, 4096, 5000, 8192, 10000, 16384, 32768, 65536, 100000]
)
def test_divisors_of_programs_are_tried(divisor):
    kernels = np.array([[[1.0, 1.0 + divisor]], [[3.0, 1.0 - divisor]]]) / divisor
    assert divisor in [d for _, d in _candidates(kernels, 1e-12)]
    assert not list(_candidates(np.array([[[1 / 257, 2 / 257]]]), 1e-12))


def test_pixels_that_are_left_out_are_no_constraints():
    task, _, _ = made(WHOLE / 8)
    bad = np.random.default_rng(0).random((60, 70)) < 0.2
    given = task.without([bad])
    tight = whole._tightest(given, SUPPORT, 0, WHOLE / 8, 30.0, np.zeros(4))
    assert tight.total == (~bad[:, 1:]).sum()
    assert tight.violated == 0
    assert tight.worst <= 1e-9
    off = whole._tightest(given, SUPPORT, 0, WHOLE / 8, 31.0, np.zeros(4))
    # Sums end with whole eighths: what was rounded down by three is off by eleven, less a half.
    assert off.worst == pytest.approx(0.875)
    assert off.violated > 0.8 * off.total
