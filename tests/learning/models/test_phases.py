"""The phases of a stride against the definition: pixel by pixel, with kernels over the before."""

from __future__ import annotations

import numpy as np
import pytest

from kernelfield.learning.models.phases import covering, interleaved, phases_of
from kernelfield.learning.pair import Pair, Plane
from kernelfield.learning.support import Support

pytestmark = pytest.mark.core


def plane_of(rng, before, after, holes=True, clipped=False):
    return Plane(
        rng.normal(size=before) + 20.0,
        rng.normal(size=after) + 40.0,
        rng.random(before) < 0.1 if holes else None,
        rng.random(after) < 0.1 if holes else None,
        rng.random(after) < 0.3 if clipped else None,
        21.0, 43.0, 441.0, 20.0,
    )  # fmt: skip


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("holes", [True, False])
@pytest.mark.parametrize(
    ("stride", "before"), [((2, 3), (12, 15)), ((2, 3), (11, 14)), ((3, 1), (16, 7)), ((1, 2), (5, 13))]
)
def test_phases_hold_every_pixel_once(channels, holes, stride, before):
    after = -(-before[0] // stride[0]), -(-before[1] // stride[1])
    rng = np.random.default_rng(0)
    planes = tuple(plane_of(rng, before, after, holes, number == 1) for number in range(channels))
    pair = Pair(planes, 0.0, 1e-16, None)
    task = phases_of(pair, stride)
    assert len(task.sources) == stride[0] * stride[1]
    assert task.shifts == (21.0,) * len(task.sources)
    assert task.pair is pair
    [target] = task.targets
    tall = after[0] + 1
    source = iter(task.sources)
    missing = np.zeros((channels * tall, after[1]), bool)
    for a in range(stride[0]):
        for b in range(stride[1]):
            phase = next(source)
            assert phase.shape == missing.shape
            for number, plane in enumerate(planes):
                for i in range(tall):
                    for j in range(after[1]):
                        row, column = stride[0] * i + a, stride[1] * j + b
                        place = number * tall + i, j
                        if i < after[0] and row < before[0] and column < before[1]:
                            assert phase[place] == plane.before[row, column]
                            missing[place] |= holes and plane.bad_before[row, column]
                        else:
                            # What lies beyond does not count, and has the mean that is taken off.
                            assert phase[place] == 21.0
                            missing[place] = True
    np.testing.assert_array_equal(target.bad_before, missing)
    assert target.before is task.sources[0]
    for number, plane in enumerate(planes):
        own = slice(number * tall, number * tall + after[0])
        np.testing.assert_array_equal(target.after[own], plane.after)
        assert (target.after[own.stop] == 43.0).all()
        np.testing.assert_array_equal(target.bad_after[own], plane.bad_after if holes else False)
        assert target.bad_after[own.stop].all()
        if channels == 1:
            assert target.clipped is None
        else:
            np.testing.assert_array_equal(target.clipped[own], False if plane.clipped is None else plane.clipped)
            assert not target.clipped[own.stop].any()


@pytest.mark.parametrize("stride", [(1, 2), (2, 2), (3, 2), (2, 5)])
@pytest.mark.parametrize(
    "given",
    [Support(-1, -2, 3, 4), Support(0, 0, 1, 1), Support(-4, 1, 5, 2), Support(2, -7, 6, 3), Support(-3, -3, 7, 7)],
)
def test_a_kernel_over_the_before_is_a_bank_over_the_phases(stride, given):
    cover = covering(given, stride)
    numbers, whole = interleaved(cover, stride)
    assert sorted(numbers.ravel()) == list(range(numbers.size))
    # The least that covers: without its first or last row or column, of each phase, it would not.
    for first, n, top, rows, s in zip((given.top, given.left), given.size, (whole.top, whole.left), whole.size, stride):
        assert top <= first < top + s
        assert top + rows - s < first + n <= top + rows
    rng = np.random.default_rng(1)
    weights = rng.normal(size=numbers.size)
    kernel = weights[numbers]
    before = rng.normal(size=(40, 48))
    q = 7, 5
    row, column = stride[0] * q[0] + whole.top, stride[1] * q[1] + whole.left
    over_before = (kernel * before[row : row + whole.rows, column : column + whole.columns]).sum()
    bank = weights.reshape(stride[0] * stride[1], *cover.size)
    over_phases = 0.0
    for number, one in enumerate(bank):
        phase = before[number // stride[1] :: stride[0], number % stride[1] :: stride[1]]
        over_phases += (one * phase[q[0] + cover.top :, q[1] + cover.left :][: cover.rows, : cover.columns]).sum()
    assert over_before == pytest.approx(over_phases)
