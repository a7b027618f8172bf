"""Kernels of low rank: a kernel as a sum of outer products of a column and a row."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64]

#: What may be left of a weight after the outer products are taken off, as a fraction of what they are there: rounding
#: of float64, and of weights that were rounded to float32, which is less than what float32 sums lose. Where all
#: products are 0 nothing may be left: no small weight is dropped.
ROUNDING, SINGLE = 8 * 2.0**-52, 2.0**-22


class Factors(NamedTuple):
    """``kernel == sum over t of outer(columns[t], rows[t])``, shapes (terms, kh) and (terms, kw)."""

    columns: Weights
    rows: Weights

    @property
    def terms(self) -> int:
        """How many outer products there are: the rank of the kernel."""
        return len(self.rows)


def factors(kernel: NDArray[np.float64], most: int, tolerance: float = ROUNDING) -> Factors | None:
    """Return the outer products that add up to a kernel, to rounding, if `most` of them do.

    Elimination with complete pivoting: each step takes off the cross of the largest element that is left. Kernels of
    whole numbers and of rank 1 have factors of whole numbers, so that sums of whole numbers stay exact.

    Parameters
    ----------
    kernel : ndarray, shape (kh, kw)
        Finite weights.
    most : int
        Give up after so many.
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
    return _factors(kernel.tobytes(), kernel.shape, most, tolerance)


@lru_cache(maxsize=64)
def _factors(content: bytes, shape: tuple[int, int], most: int, tolerance: float) -> Factors | None:
    rest = np.frombuffer(content, np.float64).reshape(shape).copy()
    peak = np.abs(rest).max()
    if not np.isfinite(peak):
        return None
    columns, rows = [], []
    taken = np.zeros(shape)
    for _ in range(most):
        pivot = np.unravel_index(np.abs(rest).argmax(), shape)
        column, row = _cross(rest, int(pivot[0]), int(pivot[1]))
        columns.append(column)
        rows.append(row)
        product = np.multiply.outer(column, row)
        rest -= product
        taken += np.abs(product)
        # What cancels between products is known to the rounding of the largest only.
        least = ROUNDING * peak if len(rows) > 1 else 0.0
        if (np.abs(rest) <= np.where(taken > 0, np.maximum(tolerance * taken, least), 0.0)).all():
            return Factors(np.array(columns), np.array(rows))
    return None


def _cross(rest: Weights, i: int, j: int) -> tuple[Weights, Weights]:
    """Return column and row through an element, one of them scaled so that their product gives both."""
    column, row = rest[:, j], rest[i]
    if rest[i, j] == 0:  # a kernel of zeros
        return column.copy(), row.copy()
    if (row == np.rint(row)).all() and np.abs(row).max() < 2**53:
        step = np.gcd.reduce(row.astype(np.int64))
        return column / (rest[i, j] / step), row / step
    return column / rest[i, j], row.copy()
