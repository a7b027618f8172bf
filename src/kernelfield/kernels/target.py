"""Estimated weights that look for a name, and the fits that the search is made of.

All positions here are offsets from the output pixel, in pixels.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from kernelfield.kernels.arithmetic import common_grid
from kernelfield.kernels.kernel import Kernel, Weights

# What decides that a weight is more than nothing, relative to the largest weight.
NEGLIGIBLE = 2e-3


@dataclass(frozen=True, eq=False)
class Target:
    """Weights, the element over the output pixel, and how far off each weight may be."""

    weights: Weights
    anchor: tuple[int, int]
    tolerance: Weights

    @property
    def peak(self) -> float:
        """The largest magnitude."""
        return float(np.abs(self.weights).max())

    @property
    def spread(self) -> float:
        """The largest tolerance."""
        return float(self.tolerance.max())

    def bounds(self, threshold: float = NEGLIGIBLE) -> tuple[slice, slice]:
        """Return the rows and columns that hold more than the tolerance and `threshold` of the peak."""
        held = np.abs(self.weights) > self.tolerance + threshold * self.peak
        rows, columns = (np.flatnonzero(held.any(axis=axis)) for axis in (1, 0))
        if not len(rows):
            return slice(0, 0), slice(0, 0)
        return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)

    def extent(self) -> tuple[int, int]:
        """Return the size of the smallest rectangle that holds all but negligible weights."""
        rows, columns = self.bounds()
        return rows.stop - rows.start, columns.stop - columns.start

    def sizes(self) -> list[tuple[int, int]]:
        """Return sizes to try, largest first, for kernels whose far weights fade away.

        All that was given, or what rises above the tolerance, each made symmetric about the centre.
        """
        centre = centroid(self.weights, self.anchor) + self.anchor
        rows, columns = self.weights.shape
        spans = [(slice(0, rows), slice(0, columns)), self.bounds(1e-6), self.bounds()]
        found: list[tuple[int, int]] = []
        for span in spans:
            halves = [max(round(2 * (c - s.start)), round(2 * (s.stop - 1 - c))) for c, s in zip(centre, span)]
            size = (halves[0] + 1, halves[1] + 1)
            if min(size) > 0 and size not in found:
                found.append(size)
        return found

    def place(self, kernel: Kernel) -> Kernel | None:
        """Return the kernel shifted by whole pixels to where the target is, None if it falls between."""
        gap = centroid(self.weights, self.anchor) - centroid(kernel.weights, kernel.anchor)
        whole = np.rint(gap)
        if np.abs(gap - whole).max() > 0.25:
            return None
        return kernel.shifted(-int(whole[0]), -int(whole[1])) if whole.any() else kernel

    def against(self, kernel: Kernel) -> tuple[Weights, Weights, Weights]:
        """Return target, kernel and tolerance on one grid; beyond the target its weights are 0."""
        allowed = self.tolerance - self.spread
        parts = [(self.weights, self.anchor), (kernel.weights, kernel.anchor), (allowed, self.anchor)]
        (mine, theirs, tolerance), _ = common_grid(*parts)
        return mine, theirs, tolerance + self.spread

    def deviation(self, kernel: Kernel) -> tuple[float, float]:
        """Return the largest difference, and by how much the worst one exceeds its tolerance."""
        mine, theirs, tolerance = self.against(kernel)
        difference = np.abs(mine - theirs)
        return float(difference.max()), float((difference - tolerance).max())

    def strength(self, direction: Kernel, base: Kernel | None = None) -> tuple[float, float]:
        """Return the factor f for which base + f * direction fits best, and the error of f."""
        rest = Kernel(self.weights, anchor=self.anchor)
        if base is not None:
            rest = rest - base
        (mine, step), _ = common_grid((rest.weights, rest.anchor), (direction.weights, direction.anchor))
        return float((mine * step).sum() / (step**2).sum()), self.spread / float(np.abs(step).max())

    def patch(self, size: tuple[int, int]) -> Weights:
        """Return the weights of a rectangle about the centre, 0 beyond what was given."""
        centre = centroid(self.weights, self.anchor) + self.anchor
        out = np.zeros(size)
        top, left = (round(c - (n - 1) / 2) for c, n in zip(centre, size))
        taken = self.weights[max(top, 0) : top + size[0], max(left, 0) : left + size[1]]
        down, right = max(-top, 0), max(-left, 0)
        out[down : down + taken.shape[0], right : right + taken.shape[1]] = taken
        return out


def centroid(weights: Weights, anchor: tuple[int, int]) -> NDArray[np.float64]:
    """Return the offset (row, column) around which the squared weights balance.

    Of a symmetric or antisymmetric kernel it is the centre; squares keep noise far out from moving it.
    """
    energy = (weights / np.abs(weights).max()) ** 2
    total = energy.sum()
    places = [np.arange(n) - a for n, a in zip(weights.shape, anchor)]
    balance = [energy.sum(axis=1) @ places[0], energy.sum(axis=0) @ places[1]]
    return np.asarray(np.array(balance) / total)


def centred(weights: Weights, shape: tuple[int, ...]) -> Weights:
    """Return an array of that shape about the same middle: outer weights are cut off, or zeros stand around."""
    out = np.zeros(shape)
    # What each axis of the one has more than the other on either side.
    over = [max(0, (n - m) // 2) for n, m in zip(weights.shape, shape)]
    under = [max(0, (m - n) // 2) for n, m in zip(weights.shape, shape)]
    inner = weights[over[0] : weights.shape[0] - over[0], over[1] : weights.shape[1] - over[1]]
    out[under[0] : under[0] + inner.shape[0], under[1] : under[1] + inner.shape[1]] = inner
    return out


def scaled(target: Target, family: Callable[..., Kernel]) -> Iterator[Kernel]:
    """Propose the family's member with the scale that fits best, first as a simple fraction."""
    unit = target.place(family(scale=1.0))
    if unit is None:
        return
    scale, error = target.strength(unit)
    for value in dict.fromkeys([tidy(scale, error), scale]):
        if value:
            yield family(scale=value)


def tidy(value: float, error: float) -> float:
    """Return the simple fraction within `error` of `value`, or `value` where none stands out.

    Among denominators up to d there is a fraction within `error` of a random number with a chance of
    about ``error * d**2``: the search ends where that reaches a tenth.
    """
    error = max(error, 1e-9 * abs(value), 1e-12)
    if error > 0.3:
        return value
    largest = max(1, min(1024, int(math.sqrt(0.1 / error))))
    for denominator in range(1, largest + 1):
        nearest = Fraction(round(value * denominator), denominator)
        if nearest and abs(float(nearest) - value) <= error:
            return float(nearest)
    return value


def minimise(cost: Callable[[float], float], low: float, high: float) -> float:
    """Return the positive number between `low` and `high` where `cost` is least.

    A coarse logarithmic scan finds the valley, a golden section its bottom.
    """
    scan = np.geomspace(low, high, 25)
    best = int(np.argmin([cost(float(x)) for x in scan]))
    left, right = float(scan[max(best - 1, 0)]), float(scan[min(best + 1, 24)])
    golden = (math.sqrt(5) - 1) / 2
    a, b = right - golden * (right - left), left + golden * (right - left)
    cost_a, cost_b = cost(a), cost(b)
    for _ in range(45):
        if cost_a < cost_b:
            right, b, cost_b = b, a, cost_a
            a = right - golden * (right - left)
            cost_a = cost(a)
        else:
            left, a, cost_a = a, b, cost_b
            b = left + golden * (right - left)
            cost_b = cost(b)
    return (left + right) / 2
