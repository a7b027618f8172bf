"""Kernels of low rank: a kernel as a sum of outer products of a column and a row."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64]

#: What may be left of a weight after the outer products are taken off, as a fraction of what they are there: rounding
#: of float64, and of weights that were rounded to float32, which is less than what float32 sums lose. Where all
#: products are 0 nothing may be left: no small weight is dropped.
ROUNDING, SINGLE = 8 * 2.0**-52, 2.0**-22

# What the search for one outer product takes, in ns: of itself, and for each weight.
_STEP, _WEIGHT = 3e4, 5.0
# Weights of rows that are worked on together: they stay in the cache.
_BLOCK = 1 << 13
# A kernel is looked at in part first where that is smaller by this factor; rows and columns beyond twice the terms it
# may have (many kernels mirror); and how much more may be left there, where pivots are others.
_SMALLER, _BEYOND, _SLACK = 8, 8, 16.0


class Factors(NamedTuple):
    """``kernel == sum over t of outer(columns[t], rows[t])``, shapes (terms, kh) and (terms, kw)."""

    columns: Weights
    rows: Weights

    @property
    def terms(self) -> int:
        """How many outer products there are: the rank of the kernel."""
        return len(self.rows)


def terms_within(nanoseconds: float, shape: tuple[int, int]) -> int:
    """Return how many outer products of a kernel of that shape can be looked for in so much time; at least 1.

    Examples
    --------
    >>> terms_within(1e6, (9, 9)), terms_within(1e6, (801, 801))
    (32, 1)
    """
    return max(1, int(nanoseconds / (_STEP + _WEIGHT * shape[0] * shape[1])))


def factors(kernel: NDArray[np.float64], most: int, tolerance: float = ROUNDING) -> Factors | None:
    """Return the outer products that add up to a kernel, to rounding, if `most` of them do.

    Elimination with complete pivoting: each step takes off the cross of the largest element that is left. Kernels of
    whole numbers and of rank 1 have factors of whole numbers, so that sums of whole numbers stay exact. Some rows and
    columns of a large kernel are looked at first: where they need more outer products, so does the kernel.

    Parameters
    ----------
    kernel : ndarray, shape (kh, kw)
        Finite weights.
    most : int
        Give up after so many; `terms_within` says how many are worth it.
    tolerance : float
        `ROUNDING`, or `SINGLE` for sums in float32.

    Examples
    --------
    >>> found = factors(np.array([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]), 1)
    >>> found.columns.tolist(), found.rows.tolist()
    ([[1.0, 2.0, 1.0]], [[-1.0, 0.0, 1.0]])
    >>> factors(np.eye(5), 2) is None
    True
    """
    kernel = np.asarray(kernel, np.float64)
    peak = float(max(kernel.max(), -kernel.min()))
    if most < 1 or not np.isfinite(peak):
        return None
    part = _part(kernel, most)
    if part is not None and _eliminated(part, most, _SLACK * tolerance, _SLACK * peak) is None:
        return None
    return _eliminated(kernel, most, tolerance, peak)


def _part(kernel: Weights, most: int) -> Weights | None:
    """Return some rows and columns of a kernel that is much larger: always the same, in no pattern."""
    count = 2 * most + _BEYOND
    sizes = [min(n, count) for n in kernel.shape]
    if sizes[0] * sizes[1] * _SMALLER > kernel.size:
        return None
    rng = np.random.default_rng(0)
    rows, columns = (np.sort(rng.choice(n, size, replace=False)) for n, size in zip(kernel.shape, sizes))
    part: Weights = kernel[np.ix_(rows, columns)]
    return part


def _eliminated(kernel: Weights, most: int, tolerance: float, peak: float) -> Factors | None:
    """Return the outer products of a kernel, whose largest magnitude is given; None if they are more than `most`."""
    high = max(1, _BLOCK // kernel.shape[1])
    blocks = [slice(top, top + high) for top in range(0, kernel.shape[0], high)]
    i, j = _largest(kernel, blocks)
    column, row = _cross(kernel, i, j)
    if all(_is_product(kernel[block], column[block], row, tolerance) for block in blocks):
        return Factors(column[None], row[None])
    if most == 1:
        return None
    rest, taken = np.array(kernel, order="C"), np.zeros(kernel.shape)
    columns: list[Weights] = []
    rows: list[Weights] = []
    for _ in range(most):
        column, row = _cross(rest, i, j)
        columns.append(column)
        rows.append(row)
        for block in blocks:
            product = np.multiply.outer(column[block], row)
            rest[block] -= product
            taken[block] += np.abs(product, out=product)
        i, j = _largest(rest, blocks)
        # What cancels between products is known to the rounding of the largest only.
        least = ROUNDING * peak if len(rows) > 1 else 0.0
        # The largest first: that settles it but for the last step.
        parts: list[Any] = [np.s_[i : i + 1, j : j + 1], *blocks]
        if all(_nothing(rest[part], taken[part], tolerance, least) for part in parts):
            return Factors(np.array(columns), np.array(rows))
    return None


def _is_product(block: Weights, column: Weights, row: Weights, tolerance: float) -> bool:
    product = np.multiply.outer(column, row)
    return _nothing(block - product, np.abs(product), tolerance, 0.0)


def _largest(rest: Weights, blocks: list[slice]) -> tuple[int, int]:
    """Return where the largest magnitude is."""
    found, place = -1.0, (0, 0)
    for block in blocks:
        size = np.abs(rest[block])
        i, j = divmod(int(size.argmax()), rest.shape[1])
        if size[i, j] > found:
            found, place = float(size[i, j]), (block.start + i, j)
    return place


def _nothing(rest: Weights, taken: Weights, tolerance: float, least: float) -> bool:
    """Return whether nothing is left but rounding."""
    return bool((np.abs(rest) <= np.where(taken > 0, np.maximum(tolerance * taken, least), 0.0)).all())


def _cross(rest: Weights, i: int, j: int) -> tuple[Weights, Weights]:
    """Return column and row through an element, one of them scaled so that their product gives both."""
    column, row = rest[:, j], rest[i]
    if rest[i, j] == 0:  # a kernel of zeros
        return column.copy(), row.copy()
    if (row == np.rint(row)).all() and np.abs(row).max() < 2**53:
        step = np.gcd.reduce(row.astype(np.int64))
        return column / (rest[i, j] / step), row / step
    return column / rest[i, j], row.copy()
