"""From where to where, as a function of the unit's place: linear, plus a table over phases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm, prod

import numpy as np

# First and last element of what is empty: larger and smaller than any place, with room for additions.
NOWHERE = 1 << 60
# Tables of more entries are not kept.
LONGEST = 1 << 16


@dataclass(frozen=True, eq=False)
class Form:
    """First and last element seen along one axis of the image, for every unit of a node.

    The unit at ``q * period + phase`` on each of `axes` sees from ``low[phases] + sum(q * step)`` to the same of
    `high`; nothing where that lies in front of the first.

    Parameters
    ----------
    axes : tuple of int
        Axes of the node that decide the place, ascending.
    periods, steps : tuple of int
        For each of `axes`.
    low, high : array of int, shape `periods`
    whole : bool
        Whether everything is read, wherever the unit lies.
    """

    axes: tuple[int, ...]
    periods: tuple[int, ...]
    steps: tuple[int, ...]
    low: np.ndarray
    high: np.ndarray
    whole: bool = False

    @classmethod
    def identity(cls, axis: int) -> Form:
        """Return the form of the image's own elements along `axis`."""
        zero = np.zeros(1, np.int64)
        return cls((axis,), (1,), (1,), zero, zero)

    @property
    def rates(self) -> tuple[tuple[int, Fraction], ...]:
        """How far the field moves from one unit to the next along each axis, where it moves."""
        return tuple((a, Fraction(s, p)) for a, p, s in zip(self.axes, self.periods, self.steps) if s)

    def period(self, axis: int) -> int:
        """Return after how many units along `axis` the table repeats."""
        return self.periods[self.axes.index(axis)] if axis in self.axes else 1

    def at(self, unit: tuple[int, ...]) -> tuple[int, int] | None:
        """Return the first and the last element that a unit sees, or None where it sees nothing."""
        phases = tuple(unit[a] % p for a, p in zip(self.axes, self.periods))
        low, high = int(self.low[phases]), int(self.high[phases])
        if low > high:
            return None
        by = sum(unit[a] // p * s for a, p, s in zip(self.axes, self.periods, self.steps))
        return low + by, high + by

    def over(self, axes: Sequence[int], extents: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return first and last element for the units ``0 .. extent - 1`` along `axes`, which hold all of its own."""
        low, high = self.low, self.high
        # Axes that it does not depend on come in with one phase.
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
        """Return where the middle of unit 0's field lies, on average over the phases."""
        read = self.low <= self.high
        twice = Fraction(int((self.low + self.high)[read].sum()))
        for position, (period, step) in enumerate(zip(self.periods, self.steps)):
            phases = np.nonzero(read)[position]
            twice -= 2 * Fraction(step, period) * int(phases.sum())
        return twice / (2 * max(1, int(read.sum())))


def moved(low: np.ndarray, high: np.ndarray, by: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]:
    """Return both ends moved, empty ones left as they are."""
    read = low <= high
    return np.where(read, low + by, NOWHERE), np.where(read, high + by, -NOWHERE)


def unite(forms: list[Form], form: Form) -> list[Form]:
    """Return the forms with one more; those of one stride become one."""
    if not (form.low <= form.high).any():
        return forms
    result = []
    for other in forms:
        if form is other:
            continue
        both = _union(other, form) if other.rates == form.rates and other.whole == form.whole else None
        if both is None:
            result.append(other)
        else:
            form = both
    return [*result, form]


def _union(a: Form, b: Form) -> Form | None:
    """Return the smallest form that holds two of the same stride, or None where its table would be too long."""
    if a.periods == b.periods and a.axes == b.axes:
        return Form(a.axes, a.periods, a.steps, np.minimum(a.low, b.low), np.maximum(a.high, b.high), a.whole)
    axes = sorted({*a.axes, *b.axes})
    periods = [lcm(a.period(axis), b.period(axis)) for axis in axes]
    if prod(periods) > LONGEST:
        return None
    rates = dict(a.rates)
    steps = tuple(int(rates.get(axis, 0) * period) for axis, period in zip(axes, periods))
    (low_a, high_a), (low_b, high_b) = a.over(axes, periods), b.over(axes, periods)
    return Form(tuple(axes), tuple(periods), steps, np.minimum(low_a, low_b), np.maximum(high_a, high_b), a.whole)
