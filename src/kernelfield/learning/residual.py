"""The residual of a kernel, computed block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kernelfield._core import lag_products
from kernelfield.correlation import correlate
from kernelfield.learning.pair import Pair, Plane
from kernelfield.learning.sums import Sums
from kernelfield.learning.support import Support

# Pixels of one block: the residual fits the second-level cache.
_BLOCK = 1 << 18


@dataclass(frozen=True)
class Block:
    """A block of rows of the residual.

    Attributes
    ----------
    rows : slice
        Rows of the after.
    windows : numpy.ndarray, shape (M + kh - 1, N + kw - 1)
        The pixels of the before that they read.
    after, residual : numpy.ndarray, shape (M, N)
    bad : numpy.ndarray of bool, shape (M, N), or None
        Excluded positions.
    """

    rows: slice
    windows: np.ndarray
    after: np.ndarray
    residual: np.ndarray
    bad: np.ndarray | None


@dataclass(frozen=True)
class Residual:
    """The residual ``after - (kernel applied to before) - offset`` over the used positions.

    Attributes
    ----------
    count : int
        Positions that count.
    sd : float
        Root mean square.
    largest : float
        Largest magnitude.
    gradient : numpy.ndarray, shape (p,)
        ``sum of residual[p] * (x[p + u] - before_shift)``, zero at the least-squares solution; empty if not requested.
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
    gradient: bool = False,
) -> Residual:
    """Return the residual of all planes, computed block by block to save memory."""
    found = pair.total(_measured, kernel, offsets, support, gradient)
    count, square, slope = found.added
    n = int(count)
    return Residual(n, float(np.sqrt(float(square) / max(1, n))), float(found.largest[0]), slope)


def _measured(pair: Pair, kernel: np.ndarray, offsets: tuple[float, ...], support: Support, gradient: bool) -> Sums:
    """Return count, sum of squares and gradient of the residual of a tile, and the largest."""
    support = pair.local(support)
    count, square, largest = 0, 0.0, 0.0
    slope = np.zeros(kernel.size if gradient else 0)
    for plane, offset in zip(pair.planes, offsets):
        for block in blocks(plane, kernel, offset, support):
            residual = block.residual
            if block.bad is not None:
                np.copyto(residual, 0, where=block.bad)
            count += residual.size - (0 if block.bad is None else int(block.bad.sum()))
            flat = residual.ravel()
            square += float(flat @ flat)
            largest = max(largest, float(flat.max()), -float(flat.min()))
            if gradient:
                products = lag_products(residual, block.windows, support.size, len(residual), 0.0, plane.before_shift)
                slope += products[0].ravel()
    return Sums.of(count, square, slope, largest=(largest,))


def blocks(
    plane: Plane,
    kernel: np.ndarray,
    offset: float,
    support: Support,
    dtype: type[np.floating] | np.dtype | None = None,
    bands: Sequence[slice] | None = None,
) -> Iterator[Block]:
    """Yield the residual in blocks of rows, or over `bands`, rows of the after.

    By default the residual is float32 if before and after are uint8, else float64.
    """
    rows, columns = support.positions(plane.before.shape, plane.after.shape)
    if columns.start == columns.stop:
        return
    excluded = plane.excluded(support)
    dtype = np.dtype(dtype or working_dtype(plane))
    if bands is None:
        step = max(support.rows, _BLOCK // max(1, columns.stop - columns.start))
        bands = [slice(start, min(rows.stop, start + step)) for start in range(rows.start, rows.stop, step)]
    for part in bands:
        windows = plane.before[support.windows((part, columns))]
        residual = correlate(windows, kernel, mode="valid", dtype=dtype)
        after = plane.after[part, columns]
        np.subtract(after, residual, out=residual)
        residual -= dtype.type(offset)
        bad = None if excluded is None else excluded[part.start - rows.start : part.stop - rows.start]
        yield Block(part, windows, after, residual, bad)


def sampled(every: int, bad: np.ndarray | None, *images: np.ndarray) -> list[np.ndarray]:
    """Return one in `every` of the pixels of images of one shape, row by row, without those that are `bad`."""
    keep = slice(None) if bad is None else ~bad.ravel()[::every]
    return [image.ravel()[::every][keep] for image in images]


def working_dtype(plane: Plane) -> np.dtype:
    """Return a dtype of sufficient precision for the residual of a plane: float32 for uint8, else float64."""
    both = plane.before.dtype == np.uint8 and plane.after.dtype == np.uint8
    return np.dtype(np.float32 if both else np.float64)


@dataclass(frozen=True)
class Map:
    """Predicted value, residual and local contrast of the before at every position of a plane.

    Attributes
    ----------
    predicted, residual, contrast : numpy.ndarray, shape (M, N)
    bad : numpy.ndarray of bool or None
        Positions that do not count.
    """

    predicted: np.ndarray
    residual: np.ndarray
    contrast: np.ndarray
    bad: np.ndarray | None


def residual_maps(pair: Pair, kernel: np.ndarray, offsets: tuple[float, ...], support: Support) -> list[Map]:
    """Return the map of each plane over the positions of `support`."""
    maps = []
    for plane, offset in zip(pair.planes, offsets):
        rows, columns = support.positions(plane.before.shape, plane.after.shape)
        windows = plane.before[support.windows((rows, columns))]
        dtype = working_dtype(plane)
        predicted = correlate(windows, kernel, mode="valid", dtype=dtype)
        predicted += dtype.type(offset)
        residual = np.subtract(plane.after[rows, columns], predicted, dtype=dtype)
        maps.append(Map(predicted, residual, contrast(windows, predicted.shape, support), plane.excluded(support)))
    return maps


def contrast(windows: np.ndarray, shape: tuple[int, ...], support: Support) -> np.ndarray:
    """Return the sum of the gradient's magnitudes along both axes at the middle of each window."""
    row, column = (n // 2 for n in support.size)
    under = windows[row : row + shape[0], column : column + shape[1]].astype(np.float32)
    total = np.zeros(shape, np.float32)
    change = np.empty(shape, np.float32)
    if shape[0] > 2:
        np.subtract(under[2:], under[:-2], out=total[1:-1])
        np.abs(total[1:-1], out=total[1:-1])
        total[0], total[-1] = total[1], total[-2]
    if shape[1] > 2:
        np.subtract(under[:, 2:], under[:, :-2], out=change[:, 1:-1])
        np.abs(change[:, 1:-1], out=change[:, 1:-1])
        change[:, 0], change[:, -1] = change[:, 1], change[:, -2]
        total += change
    return total
