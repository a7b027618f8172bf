"""What a kernel leaves unexplained, pixel by pixel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kernelfield._core import lag_products
from kernelfield.correlation import correlate
from kernelfield.learning.pair import Pair, Plane
from kernelfield.learning.support import Support

# Pixels of one block: its residual stays in the second-level cache.
_BLOCK = 1 << 18


@dataclass(frozen=True)
class Block:
    """Some rows of a residual.

    Attributes
    ----------
    windows : numpy.ndarray, shape (M + kh - 1, N + kw - 1)
        The part of the before that they read.
    after, residual : numpy.ndarray, shape (M, N)
    bad : numpy.ndarray of bool, shape (M, N), or None
        What does not count.
    """

    windows: np.ndarray
    after: np.ndarray
    residual: np.ndarray
    bad: np.ndarray | None


@dataclass(frozen=True)
class Residual:
    """The residual ``after - (kernel applied to before) - offset`` over the positions that count.

    Attributes
    ----------
    count : int
    sd : float
        Root mean square.
    largest : float
        Largest magnitude.
    gradient : numpy.ndarray, shape (p,)
        ``sum of residual[p] * (x[p + u] - before_shift)``, zero at the least-squares solution; empty if not asked for.
    """

    count: int
    sd: float
    largest: float
    gradient: np.ndarray


def measure(
    pair: Pair,
    kernel: np.ndarray,
    offsets: tuple[float, ...],
    support: Support,
    censor: bool,
    gradient: bool = False,
) -> Residual:
    """Return the residual of all planes, taken block by block so that memory stays small."""
    count, square, largest = 0, 0.0, 0.0
    slope = np.zeros(kernel.size if gradient else 0)
    for plane, offset in zip(pair.planes, offsets):
        for block in blocks(plane, kernel, offset, support, censor):
            residual = block.residual
            if block.bad is not None:
                residual[block.bad] = 0
            count += residual.size - (0 if block.bad is None else int(block.bad.sum()))
            flat = residual.ravel()
            square += float(flat @ flat)
            largest = max(largest, float(flat.max()), -float(flat.min()))
            if gradient:
                products = lag_products(residual, block.windows, support.size, len(residual), 0.0, plane.before_shift)
                slope += products[0].ravel()
    return Residual(count, float(np.sqrt(square / max(1, count))), largest, slope)


def blocks(
    plane: Plane,
    kernel: np.ndarray,
    offset: float,
    support: Support,
    censor: bool,
    every: int = 1,
    dtype: type[np.floating] | np.dtype | None = None,
) -> Iterator[Block]:
    """Yield the residual by blocks of rows, each `every`-th.

    Without `dtype` the residual is float32 where before and after have at most 8 bits, else float64.
    """
    rows, columns = support.positions(plane.before.shape, plane.after.shape)
    excluded = plane.excluded(support, censor)
    dtype = np.dtype(dtype or working_dtype(plane))
    step = max(support.rows, _BLOCK // every // max(1, columns.stop - columns.start))
    for start in range(rows.start, rows.stop, step * every):
        part = slice(start, min(rows.stop, start + step))
        windows = plane.before[support.windows((part, columns))]
        residual = correlate(windows, kernel, mode="valid", dtype=dtype)
        after = plane.after[part, columns]
        np.subtract(after, residual, out=residual)
        residual -= dtype.type(offset)
        bad = None if excluded is None else excluded[part.start - rows.start : part.stop - rows.start]
        yield Block(windows, after, residual, bad)


def working_dtype(plane: Plane) -> np.dtype:
    """Return the dtype in which a residual of this plane loses nothing that matters: float32 for 8 bits."""
    both = plane.before.dtype == np.uint8 and plane.after.dtype == np.uint8
    return np.dtype(np.float32 if both else np.float64)


def unclipped_share(pair: Pair, kernel: np.ndarray, offsets: tuple[float, ...], support: Support) -> float:
    """Return which share of the clipped values the kernel predicts well inside the range: more than rounding can."""
    inside, count = 0, 0
    assert pair.ends is not None
    slack = 1.5 * pair.step
    for plane, offset in zip(pair.planes, offsets):
        for block in blocks(plane, kernel, offset, support, censor=False):
            low, high = block.after <= pair.ends[0], block.after >= pair.ends[1]
            if block.bad is not None:
                low, high = low & ~block.bad, high & ~block.bad
            count += int(low.sum()) + int(high.sum())
            inside += int((block.residual[low] < -slack).sum()) + int((block.residual[high] > slack).sum())
    return inside / count if count else 0.0
