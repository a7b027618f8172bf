"""Which offsets a kernel covers: where the windows of a pair lie, and how large the kernel is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kernelfield.learning.exact import Moments


@dataclass(frozen=True)
class Support:
    """The rectangle of offsets ``u`` in ``after[p] = sum over u of kernel[u] * before[p + u]``.

    Attributes
    ----------
    top, left : int
        The first row and column offset; negative where the kernel reaches up or left of the output pixel.
    rows, columns : int
        The size of the kernel.
    """

    top: int
    left: int
    rows: int
    columns: int

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows, self.columns

    @property
    def anchor(self) -> tuple[int, int]:
        """The element that lies over the output pixel."""
        return -self.top, -self.left

    def positions(self, before: tuple[int, ...], after: tuple[int, ...]) -> tuple[slice, slice]:
        """Return the rows and columns of `after` whose window lies inside `before`."""
        ends = (
            min(after[0], before[0] - (self.top + self.rows - 1)),
            min(after[1], before[1] - (self.left + self.columns - 1)),
        )
        starts = max(0, -self.top), max(0, -self.left)
        return slice(starts[0], max(starts[0], ends[0])), slice(starts[1], max(starts[1], ends[1]))

    def windows(self, positions: tuple[slice, slice]) -> tuple[slice, slice]:
        """Return the rows and columns of the before that the windows at `positions` cover."""
        rows, columns = positions
        return (
            slice(rows.start + self.top, rows.stop + self.top + self.rows - 1),
            slice(columns.start + self.left, columns.stop + self.left + self.columns - 1),
        )


def centred(size: tuple[int, int]) -> Support:
    """Return the support of `size` whose element ``size // 2`` lies over the output pixel."""
    return Support(-(size[0] // 2), -(size[1] // 2), *size)


def shrink(moments: Moments, support: Support, noise: float, tolerance: float, share: float) -> Support:
    """Return the smallest rectangle of `support` that explains the pair as well, holding the output pixel.

    Outer rows and columns are given up one at a time, the least needed first, as long as the Wald statistic of
    their coefficients stays within what chance allows, or they hardly matter.

    Parameters
    ----------
    moments : Moments
        Of all of `support`.
    noise : float
        The variance of what no kernel explains, as far as chance is concerned.
    tolerance, share : float
        A row hardly matters if its every coefficient is at most `share` of the largest, and giving it up raises the
        squared residual by at most `tolerance`, relative.
    """
    inverse, kernel = moments.ridge_inverse()
    inverse, kernel = inverse.copy(), kernel.copy()
    index = np.arange(kernel.size).reshape(support.size)
    top, left, bottom, right = 0, 0, support.rows, support.columns
    residual = noise * max(1, moments.count)
    while True:
        box = index[top:bottom, left:right]
        anchor = -support.top - top, -support.left - left
        sides = {
            "top": (box[0], box.shape[0] > 1 and anchor[0] > 0, anchor[0]),
            "bottom": (
                box[-1],
                box.shape[0] > 1 and anchor[0] < box.shape[0] - 1,
                box.shape[0] - 1 - anchor[0],
            ),
            "left": (box[:, 0], box.shape[1] > 1 and anchor[1] > 0, anchor[1]),
            "right": (
                box[:, -1],
                box.shape[1] > 1 and anchor[1] < box.shape[1] - 1,
                box.shape[1] - 1 - anchor[1],
            ),
        }
        peak = np.abs(kernel[box]).max()
        best = None
        for name, (line, removable, distance) in sides.items():
            if not removable:
                continue
            m = line.size
            lost = float(kernel[line] @ np.linalg.solve(inverse[np.ix_(line, line)], kernel[line]))
            chance = noise * (m + 5.0 * np.sqrt(2.0 * m) + 10.0)
            slight = lost <= tolerance * residual and np.abs(kernel[line]).max() <= share * peak
            if lost <= chance or slight:
                key = (lost / chance > 0.05, -distance, lost / chance)
                if best is None or key < best[0]:
                    best = key, name, line
        if best is None:
            return Support(support.top + top, support.left + left, bottom - top, right - left)
        _, name, line = best
        weights = np.linalg.solve(inverse[np.ix_(line, line)], inverse[line])
        kernel -= weights.T @ kernel[line]
        inverse -= inverse[:, line] @ weights
        inverse[line, line] = 1.0
        top, bottom = top + (name == "top"), bottom - (name == "bottom")
        left, right = left + (name == "left"), right - (name == "right")
