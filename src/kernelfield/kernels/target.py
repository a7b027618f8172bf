"""The target of the search for a name: estimated weights with their anchor and tolerance.

All positions are offsets from the output pixel, in pixels.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kernelfield.kernels.arithmetic import common_grid
from kernelfield.kernels.kernel import Kernel, Weights

# Weights up to this fraction of the largest count as zero.
NEGLIGIBLE = 2e-3


@dataclass(frozen=True, eq=False)
class Target:
    """Estimated weights, the element over the output pixel, and the allowed error of each weight."""

    weights: Weights
    anchor: tuple[int, int]
    tolerance: Weights

    @cached_property
    def peak(self) -> float:
        """The largest magnitude."""
        return float(np.abs(self.weights).max())

    @cached_property
    def spread(self) -> float:
        """The largest tolerance."""
        return float(self.tolerance.max())

    @cached_property
    def sums_to_one(self) -> bool:
        """Whether the weights sum to one within their tolerance."""
        return abs(float(self.weights.sum()) - 1) <= NEGLIGIBLE + float(self.tolerance.sum())

    @cached_property
    def sums_to_zero(self) -> bool:
        """Whether the weights sum to zero within their tolerance."""
        total = float(np.abs(self.weights).sum())
        return abs(float(self.weights.sum())) <= 1e-3 * total + float(self.tolerance.sum())

    @cached_property
    def centre(self) -> NDArray[np.float64]:
        """The centroid (row, column) of the squared weights."""
        return centroid(self.weights, self.anchor)

    def bounds(self, threshold: float = NEGLIGIBLE) -> tuple[slice, slice]:
        """Return the bounding rows and columns of the weights above their tolerance plus `threshold` times the peak."""
        held = np.abs(self.weights) > self.tolerance + threshold * self.peak
        rows, columns = (np.flatnonzero(held.any(axis=axis)) for axis in (1, 0))
        if not len(rows):
            return slice(0, 0), slice(0, 0)
        return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)

    def extent(self) -> tuple[int, int]:
        """Return the size of the bounding rectangle of all weights that are not negligible."""
        return self._extent

    @cached_property
    def _extent(self) -> tuple[int, int]:
        rows, columns = self.bounds()
        return rows.stop - rows.start, columns.stop - columns.start

    def sizes(self) -> list[tuple[int, int]]:
        """Return sizes to try, largest first, for kernels with decaying tails.

        The whole target and the part above the tolerance, each made symmetric about the centre.
        """
        return list(self._sizes)

    @cached_property
    def _sizes(self) -> list[tuple[int, int]]:
        centre = self.centre + self.anchor
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
        """Return the kernel shifted by whole pixels onto the target, or None if the shift is not near an integer."""
        gap = self.centre - centroid(kernel.weights, kernel.anchor)
        whole = np.rint(gap)
        if np.abs(gap - whole).max() > 0.25:
            return None
        return kernel.shifted(-int(whole[0]), -int(whole[1])) if whole.any() else kernel

    def against(self, kernel: Kernel) -> tuple[Weights, Weights, Weights]:
        """Return the weights of target and kernel and the tolerance on one grid, zero-padded."""
        allowed = self.tolerance - self.spread
        parts = [(self.weights, self.anchor), (kernel.weights, kernel.anchor), (allowed, self.anchor)]
        (mine, theirs, tolerance), _ = common_grid(*parts)
        return mine, theirs, tolerance + self.spread

    def deviation(self, kernel: Kernel) -> tuple[float, float]:
        """Return the largest difference, and the largest excess of a difference over its tolerance."""
        mine, theirs, tolerance = self.against(kernel)
        difference = np.abs(mine - theirs)
        return float(difference.max()), float((difference - tolerance).max())

    def strength(self, direction: Kernel, base: Kernel | None = None) -> tuple[float, float]:
        """Return the factor f of the best fit base + f * direction, and the error of f."""
        rest = Kernel(self.weights, anchor=self.anchor)
        if base is not None:
            rest = rest - base
        (mine, step), _ = common_grid((rest.weights, rest.anchor), (direction.weights, direction.anchor))
        return float((mine * step).sum() / (step**2).sum()), self.spread / float(np.abs(step).max())

    def patch(self, size: tuple[int, int]) -> Weights:
        """Return the weights of a rectangle about the centre, zero-padded."""
        centre = self.centre + self.anchor
        out = np.zeros(size)
        top, left = (round(c - (n - 1) / 2) for c, n in zip(centre, size))
        taken = self.weights[max(top, 0) : top + size[0], max(left, 0) : left + size[1]]
        down, right = max(-top, 0), max(-left, 0)
        out[down : down + taken.shape[0], right : right + taken.shape[1]] = taken
        return out


def centroid(weights: Weights, anchor: tuple[int, int]) -> NDArray[np.float64]:
    """Return the centroid (row, column) of the squared weights.

    For a symmetric or antisymmetric kernel it is the centre; squaring suppresses the influence of distant noise.
    """
    energy = (weights / np.abs(weights).max()) ** 2
    total = energy.sum()
    places = [np.arange(n) - a for n, a in zip(weights.shape, anchor)]
    balance = [energy.sum(axis=1) @ places[0], energy.sum(axis=0) @ places[1]]
    return np.asarray(np.array(balance) / total)
