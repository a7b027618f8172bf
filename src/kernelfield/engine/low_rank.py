"""Kernels of low rank: a kernel as a sum of outer products of a column and a row."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64]

#: Largest residual of a weight, relative to the outer products there: rounding of float64, and of weights rounded to
#: float32, which is less than the error of float32 sums. Where all products are 0 the residual must be 0: no small
#: weight is dropped.
ROUNDING, SINGLE = 8 * 2.0**-52, 2.0**-22

# ns of the search for one outer product: fixed, and for each weight.
_STEP, _WEIGHT = 3e4, 5.0
# Weights processed at a time, so that they stay in the processor's cache.
_BLOCK = 1 << 13
# A sample of a kernel is tested first if it is smaller by this factor; its rows and columns in addition to twice the
# number of terms (many kernels are symmetric); and the factor of its tolerance, for its pivots differ.
_SMALLER, _EXTRA, _SLACK = 8, 8, 16.0


class Factors(NamedTuple):
    """``kernel == sum over t of outer(columns[t], rows[t])``, shapes (terms, kh) and (terms, kw)."""

    columns: Weights
    rows: Weights

    @property
    def terms(self) -> int:
        """Number of outer products: the rank of the kernel."""
        return len(self.rows)


def terms_within(nanoseconds: float, shape: tuple[int, int]) -> int:
    """Return the number of outer products that can be searched for in a time, for a kernel of that shape; at least 1.

    Examples
    --------
    >>> terms_within(1e6, (9, 9)), terms_within(1e6, (801, 801))
    (32, 1)
    """
    return max(1, int(nanoseconds / (_STEP + _WEIGHT * shape[0] * shape[1])))


def factors(kernel: NDArray[np.float64], most: int, tolerance: float = ROUNDING) -> Factors | None:
    """Return at most `most` outer products that add up to a kernel, to rounding; None if there are not.

    Elimination with complete pivoting: each step subtracts the outer product of the row and the column of the largest
    residual. Kernels of whole numbers and of rank 1 have whole factors, so that sums of whole numbers stay exact. A
    sample of the rows and columns of a large kernel is tested first: if it needs more outer products, so does the
    kernel.

    Parameters
    ----------
    kernel : ndarray, shape (kh, kw)
        Finite weights.
    most : int
        Largest number of outer products; `terms_within` says how many are worth the time.
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
    sample = _sample(kernel, most)
    if sample is not None and _eliminated(sample, most, _SLACK * tolerance, _SLACK * peak) is None:
        return None
    return _eliminated(kernel, most, tolerance, peak)


def _sample(kernel: Weights, most: int) -> Weights | None:
    """Return the weights of some rows and columns, the same for each shape; None if the kernel is not much larger."""
    count = 2 * most + _EXTRA
    sizes = [min(n, count) for n in kernel.shape]
    if sizes[0] * sizes[1] * _SMALLER > kernel.size:
        return None
    rng = np.random.default_rng(0)
    rows, columns = (np.sort(rng.choice(n, size, replace=False)) for n, size in zip(kernel.shape, sizes))
    sample: Weights = kernel[np.ix_(rows, columns)]
    return sample


def _eliminated(kernel: Weights, most: int, tolerance: float, peak: float) -> Factors | None:
    """Return the outer products of a kernel with the largest magnitude `peak`; None if they are more than `most`."""
    high = max(1, _BLOCK // kernel.shape[1])
    blocks = [slice(top, top + high) for top in range(0, kernel.shape[0], high)]
    i, j = _largest(kernel, blocks)
    column, row = _pivot(kernel, i, j)
    if all(_is_product(kernel[block], column[block], row, tolerance) for block in blocks):
        return Factors(column[None], row[None])
    if most == 1:
        return None
    residual, subtracted = np.array(kernel, order="C"), np.zeros(kernel.shape)
    columns: list[Weights] = []
    rows: list[Weights] = []
    for _ in range(most):
        column, row = _pivot(residual, i, j)
        columns.append(column)
        rows.append(row)
        for block in blocks:
            product = np.multiply.outer(column[block], row)
            residual[block] -= product
            subtracted[block] += np.abs(product, out=product)
        i, j = _largest(residual, blocks)
        # Products that cancel leave the rounding of the largest.
        least = ROUNDING * peak if len(rows) > 1 else 0.0
        # The largest residual first: before the last step it is enough.
        regions: list[Any] = [np.s_[i : i + 1, j : j + 1], *blocks]
        if all(_negligible(residual[region], subtracted[region], tolerance, least) for region in regions):
            return Factors(np.array(columns), np.array(rows))
    return None


def _is_product(block: Weights, column: Weights, row: Weights, tolerance: float) -> bool:
    product = np.multiply.outer(column, row)
    return _negligible(block - product, np.abs(product), tolerance, 0.0)


def _largest(residual: Weights, blocks: list[slice]) -> tuple[int, int]:
    """Return the row and the column of the largest magnitude."""
    found, position = -1.0, (0, 0)
    for block in blocks:
        size = np.abs(residual[block])
        i, j = divmod(int(size.argmax()), residual.shape[1])
        if size[i, j] > found:
            found, position = float(size[i, j]), (block.start + i, j)
    return position


def _negligible(residual: Weights, subtracted: Weights, tolerance: float, least: float) -> bool:
    """Return whether a residual is no more than rounding of the products subtracted."""
    limit = np.where(subtracted > 0, np.maximum(tolerance * subtracted, least), 0.0)
    return bool((np.abs(residual) <= limit).all())


def _pivot(residual: Weights, i: int, j: int) -> tuple[Weights, Weights]:
    """Return the column and the row of a pivot, scaled so that their outer product reproduces both."""
    column, row = residual[:, j], residual[i]
    if residual[i, j] == 0:  # a kernel of zeros
        return column.copy(), row.copy()
    if (row == np.rint(row)).all() and np.abs(row).max() < 2**53:
        step = np.gcd.reduce(row.astype(np.int64))
        return column / (residual[i, j] / step), row / step
    return column / residual[i, j], row.copy()
