"""Results of float64 transforms as exact as those of products: uncertain sums are computed again by products.

The error of a transform depends on the largest values of its tile, not on those under the kernel. So every sum is
compared with the error bound: for float32 results it may be a few roundings of the terms under the kernel, for integers
it may not reach the next half. All other sums are uncertain, and are computed again as ``direct`` does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernelfield import _core

Doubles = NDArray[np.float64]
#: Returns the sums of a tile, its first argument, and weights, where the weights fit.
Transform = Callable[[NDArray[Any], NDArray[Any]], Doubles]

# Units of error in log2(n) steps: three transforms with 1 + 4 * sqrt(2) units a step, and the products between them.
_UNITS = 24
# Results processed at a time, so that they stay in the processor's cache.
_BLOCK = 1 << 13
# Unit roundoffs.
_DOUBLE, _SINGLE = 2.0**-53, 2.0**-24
# Norms of a tile, and error bounds, below which underflow may have lost terms.
_SMALLEST_NORM, _SMALLEST_ERROR = 1e-140, 1e-280
# Roundings of float32 that the error may amount to.
_ROUNDINGS = 32
# Largest terms of an uncertain sum that are examined, if all of them are at most this fraction of the pixels.
_TERMS, _EXAMINED = 16, 0.5
# Error bound of integers up to which few sums are uncertain.
_SMALL = 1e-3
# Uncertain sums that are computed one by one: at most this number, and this many products for each pixel of the tile.
_FEW, _PRODUCTS = 256, 4


def error(tile: Doubles, kernel: Doubles, size: int) -> float:
    """Return a bound of the error of the sums of a tile by float64 transforms of `size` elements.

    Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., theorem 24.2, for transforms in sequence: the
    error is relative to the norm of the tile, and no frequency of a kernel is larger than the sum of its magnitudes.
    The bound is NaN or infinite if the tile is, and if overflow or underflow invalidates it.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        length = math.sqrt(float(np.einsum("ij,ij", tile, tile)))  # not BLAS, which starts threads
        found = _UNITS * math.log2(max(2, size)) * _DOUBLE * length * float(np.abs(kernel).sum())
    return math.inf if length < _SMALLEST_NORM or found < _SMALLEST_ERROR else found


class Buffers:
    """Memory for a tile, kept because a thread would otherwise get it from the system for each tile."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._tile, self._mask = np.empty(shape), np.empty(shape, bool)

    def tile(self, shape: tuple[int, int]) -> Doubles:
        """Return an array for a part of an image."""
        return self._tile[: shape[0], : shape[1]]

    def mask(self, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Return an array that marks the uncertain results."""
        return self._mask[: shape[0], : shape[1]]


class Products:
    """Results by products, as ``direct`` computes them, for sums that transforms leave uncertain.

    Parameters
    ----------
    kernel : ndarray, shape (kh, kw)
        Weights.
    sums : str
        Dtype of the sums, for float results.
    bias, scale, up
        Applied to the sums, as in `kernelfield._core.Correlation`.
    """

    def __init__(self, kernel: Doubles, sums: str, bias: float, scale: float, up: bool) -> None:
        self._kernel = kernel
        self._options: dict[str, Any] = {"sums": sums, "scale": scale, "up": up}
        if bias:
            self._options["bias"] = np.array([bias])
        self._run: _core.Correlation | None = None

    def __call__(self, tile: NDArray[Any], out: NDArray[Any]) -> None:
        """Write all results of a tile."""
        if self._run is None:  # rarely needed; no harm if two threads each make one
            self._run = _core.Correlation(self._kernel, **self._options)
        self._run(tile, out)

    def few(self, tile: NDArray[Any]) -> int:
        """Return the number of uncertain results of a tile that are computed without further tests."""
        return min(_FEW, _PRODUCTS * tile.size // self._kernel.size)

    def recompute(self, tile: NDArray[Any], uncertain: NDArray[np.bool_], out: NDArray[Any]) -> None:
        """Write the uncertain results: few one by one, many by their bounding rectangle."""
        kh, kw = self._kernel.shape
        rows, columns = np.divmod(np.flatnonzero(uncertain), uncertain.shape[1])
        if len(rows) <= self.few(tile):
            for y, x in zip(rows.tolist(), columns.tolist()):
                self(tile[y : y + kh, x : x + kw], out[y : y + 1, x : x + 1])
            return
        top, bottom, left, right = rows[0], rows[-1] + 1, columns.min(), columns.max() + 1
        self(tile[top : bottom + kh - 1, left : right + kw - 1], out[top:bottom, left:right])


def write_float32(
    sums: Doubles,
    error: float,
    tile: Doubles,
    kernel: Doubles,
    bias: float,
    out: NDArray[np.float32],
    buffers: Buffers,
    transform: Transform,
    products: Products,
) -> None:
    """Write float32 results into `out`, with an error of at most 33 roundings; uncertain ones by products.

    33 roundings are ``33 * u * S`` with ``u = 2**-24`` and ``S`` the sum of the magnitudes of the terms: 32 for the
    transform and one for the result. Products are within ``(n + 1) * u * S``. ``S`` is at least the magnitude of the
    sum, which proves most results. Otherwise the largest terms are examined; if many sums remain, a transform gives
    ``S``, with the same error as the sums.

    Parameters
    ----------
    sums : ndarray, shape (OH, OW)
        By transforms.
    error : float
        Bound of their error; positive and finite.
    tile : ndarray, shape (OH + kh - 1, OW + kw - 1)
        The part of the image that they are sums of.
    """
    # error <= roundings * u * (|sum| - error)
    least = error * (1 + 1 / (min(kernel.size, _ROUNDINGS) * _SINGLE)) * (1 + 1e-9)
    uncertain = buffers.mask(sums.shape)
    high = max(1, _BLOCK // sums.shape[1])
    with np.errstate(over="ignore"):
        for top in range(0, len(sums), high):
            part, into = sums[top : top + high], out[top : top + high]
            np.less(np.abs(part), least, out=uncertain[top : top + high])
            into[...] = part
            if bias:
                into += np.float32(bias)
    if not uncertain.any():
        return
    few = products.few(tile)
    mixed = not (_one_sign(kernel) and _one_sign(tile))  # else S is the magnitude of the sum

    def many() -> bool:
        return int(np.count_nonzero(uncertain)) > few

    def write_zero_sums(zero: NDArray[np.bool_]) -> None:
        out[zero] = bias
        uncertain[zero] = False

    if mixed:
        _examine_terms(tile, kernel, least, uncertain)
    if many():
        write_zero_sums(zero_windows(tile, kernel.shape))
        if mixed:
            _examine_terms(tile, kernel, least, uncertain)
    if mixed and many():
        np.logical_and(uncertain, transform(np.abs(tile), np.abs(kernel)) < least, out=uncertain)
    if many() and not kernel.all():
        # The number of products that are not 0: whole, so the transform's error does not matter.
        write_zero_sums(transform(tile != 0, kernel != 0) < 0.5)
    if uncertain.any():
        products.recompute(tile, uncertain, out)


def _examine_terms(tile: Doubles, kernel: Doubles, least: float, uncertain: NDArray[np.bool_]) -> None:
    """Clear `uncertain` where the terms with the largest weights add up to `least`, if few sums are uncertain."""
    y, x = np.divmod(np.flatnonzero(uncertain), uncertain.shape[1])
    count = min(_TERMS, kernel.size)
    if len(y) * count > _EXAMINED * tile.size:
        return
    sizes = np.abs(kernel).ravel()
    chosen = np.argpartition(sizes, -count)[-count:]
    a, b = np.divmod(chosen, kernel.shape[1])
    terms = np.abs(tile[y[:, None] + a, x[:, None] + b])
    enough = np.einsum("ij,j->i", terms, sizes[chosen]) >= least
    uncertain[y[enough], x[enough]] = False


def zero_windows(tile: Doubles, kernel: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the mask of the windows of a tile that hold only zeros."""
    nonzero = tile != 0
    nonzero = _any_of_rows(_any_of_rows(nonzero, kernel[0]).T, kernel[1]).T
    return np.logical_not(nonzero)


def _any_of_rows(mask: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    """Return the logical or of each `size` consecutive rows."""
    reach = 1
    while reach < size:
        step = min(reach, size - reach)
        mask = mask[:-step] | mask[step:]
        reach += step
    return mask


def _one_sign(values: NDArray[Any]) -> bool:
    return bool(values.min() >= 0 or values.max() <= 0)


def write_integers(
    sums: Doubles,
    error: float,
    tile: Doubles,
    bias: float,
    scale: float,
    up: bool,
    out: NDArray[Any],
    buffers: Buffers,
    products: Products,
) -> None:
    """Write the integers that exact sums round to into `out`: to nearest, halves to even or up, saturated.

    Parameters
    ----------
    sums : ndarray, shape (OH, OW)
        By transforms; overwritten.
    error : float
        Bound of their error.
    tile : ndarray, shape (OH + kh - 1, OW + kw - 1)
        The part of the image that they are sums of.
    bias, scale : float
        Added to the sums, which are then multiplied by `scale`.
    up : bool
        Whether halves are rounded up.
    """
    limits = np.iinfo(out.dtype)
    error = error * abs(scale) + 2 * _DOUBLE * max(-float(limits.min), float(limits.max))
    if not error <= _SMALL:
        products(tile, out)
        return
    uncertain = buffers.mask(sums.shape)
    high = max(1, _BLOCK // sums.shape[1])
    for top in range(0, len(sums), high):
        part = sums[top : top + high]
        if bias:
            part += bias
        if scale != 1:
            part *= scale
        whole = np.rint(part)
        # From -1/2 to 1/2: sums near either half are uncertain, unless they are far beyond the limits.
        part -= whole
        near = np.greater_equal(np.abs(part, out=part), 0.5 - error, out=uncertain[top : top + high])
        if near.any():
            near &= (whole > limits.min - 2) & (whole < limits.max + 2)
        out[top : top + high] = np.clip(whole, limits.min, limits.max, out=whole)
    if uncertain.any():
        products.recompute(tile, uncertain, out)
