"""The interval of image elements along one axis that a unit reads, as a function of the unit's index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm, prod

import numpy as np

# First and, negated, last element of an empty interval: beyond any index, with room for additions.
NOWHERE = 1 << 60
# Largest number of entries of a table.
LONGEST = 1 << 16


@dataclass(frozen=True, eq=False)
class Interval:
    """First and last element read along one axis of the image, for every unit of a node.

    The unit at ``q * period + phase`` on each of `axes` reads the elements from ``low[phases] + sum(q * step)`` to
    ``high[phases] + sum(q * step)``; none where the last lies in front of the first.

    Parameters
    ----------
    axes : tuple of int
        Axes of the node on which the interval depends, ascending.
    periods, steps : tuple of int
        For each of `axes`.
    low, high : array of int, shape `periods`
    whole : bool
        Whether every unit reads the whole axis.
    """

    axes: tuple[int, ...]
    periods: tuple[int, ...]
    steps: tuple[int, ...]
    low: np.ndarray
    high: np.ndarray
    whole: bool = False

    @classmethod
    def identity(cls, axis: int) -> Interval:
        """Return the interval of the image's own elements along `axis`: each reads itself."""
        zero = np.zeros(1, np.int64)
        return cls((axis,), (1,), (1,), zero, zero)

    @property
    def rates(self) -> tuple[tuple[int, Fraction], ...]:
        """Shift of the interval from one unit to the next, for each axis along which it moves."""
        return tuple((a, Fraction(s, p)) for a, p, s in zip(self.axes, self.periods, self.steps) if s)

    def period(self, axis: int) -> int:
        """Return the period of the table along `axis`."""
        return self.periods[self.axes.index(axis)] if axis in self.axes else 1

    def at(self, unit: tuple[int, ...]) -> tuple[int, int] | None:
        """Return the first and the last element that a unit reads, or None where it reads nothing."""
        phases = tuple(unit[a] % p for a, p in zip(self.axes, self.periods))
        low, high = int(self.low[phases]), int(self.high[phases])
        if low > high:
            return None
        by = sum(unit[a] // p * s for a, p, s in zip(self.axes, self.periods, self.steps))
        return low + by, high + by

    def over(self, axes: Sequence[int], extents: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return first and last element for the units ``0 .. extent - 1`` along `axes`, a superset of its own axes."""
        low, high = self.low, self.high
        # Axes on which it does not depend get one phase.
        shape = [self.period(a) for a in axes]
        low, high = low.reshape(shape), high.reshape(shape)
        by: np.ndarray = np.zeros((1,) * len(shape), np.int64)
        for position, (axis, extent) in enumerate(zip(axes, extents)):
            unit = np.arange(extent)
            low = np.take(low, unit % shape[position], axis=position)
            high = np.take(high, unit % shape[position], axis=position)
            if axis in self.axes:
                index = self.axes.index(axis)
                along = [-1 if p == position else 1 for p in range(len(shape))]
                by = by + (unit // self.periods[index] * self.steps[index]).reshape(along)
        return moved(low, high, by)

    def middle(self) -> Fraction:
        """Return the middle of the interval of unit 0, averaged over the phases."""
        read = self.low <= self.high
        twice = Fraction(int((self.low + self.high)[read].sum()))
        for position, (period, step) in enumerate(zip(self.periods, self.steps)):
            phases = np.nonzero(read)[position]
            twice -= 2 * Fraction(step, period) * int(phases.sum())
        return twice / (2 * max(1, int(read.sum())))


def moved(low: np.ndarray, high: np.ndarray, by: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]:
    """Return both ends shifted; empty intervals stay empty."""
    read = low <= high
    return np.where(read, low + by, NOWHERE), np.where(read, high + by, -NOWHERE)


def unite(intervals: list[Interval], interval: Interval) -> list[Interval]:
    """Return the intervals with one more; intervals of the same stride are merged."""
    if not (interval.low <= interval.high).any():
        return intervals
    result = []
    for other in intervals:
        if interval is other:
            continue
        both = _union(other, interval) if other.rates == interval.rates and other.whole == interval.whole else None
        if both is None:
            result.append(other)
        else:
            interval = both
    return [*result, interval]


def _union(a: Interval, b: Interval) -> Interval | None:
    """Return the smallest interval that holds two of the same stride, or None where its table would be too long."""
    if a.periods == b.periods and a.axes == b.axes:
        return Interval(a.axes, a.periods, a.steps, np.minimum(a.low, b.low), np.maximum(a.high, b.high), a.whole)
    axes = sorted({*a.axes, *b.axes})
    periods = [lcm(a.period(axis), b.period(axis)) for axis in axes]
    if prod(periods) > LONGEST:
        return None
    rates = dict(a.rates)
    steps = tuple(int(rates.get(axis, 0) * period) for axis, period in zip(axes, periods))
    (low_a, high_a), (low_b, high_b) = a.over(axes, periods), b.over(axes, periods)
    return Interval(tuple(axes), tuple(periods), steps, np.minimum(low_a, low_b), np.maximum(high_a, high_b), a.whole)
