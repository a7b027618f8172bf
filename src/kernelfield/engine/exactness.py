"""Sums by float64 transforms held to what sums of products are: which of them are certain, and the others again.

The error of a transform follows the largest values of its tile, not those under the kernel. So every sum is compared
with what the error may be. For float32 results that is a few roundings of what is under the kernel; for integers it may
not reach the next half. Sums that fail are taken again by the compiled engine, as ``direct`` takes them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernelfield import _core

Doubles = NDArray[np.float64]
#: Takes a tile and weights, and returns the sums where the weights fit.
Transform = Callable[[NDArray[Any], NDArray[Any]], Doubles]

# Three transforms, each of log2(n) steps that err by 1 + 4 * sqrt(2) units, and the products between them.
_UNITS = 24
# Results that are worked on together: they stay in the cache.
_BLOCK = 1 << 13
# Unit roundoffs.
_DOUBLE, _SINGLE = 2.0**-53, 2.0**-24
# Below these, squares of pixels may have been lost, and products of transforms.
_SHORT, _LOST = 1e-140, 1e-280
# Roundings of float32 that the error may come to.
_ROUNDINGS = 32
# Terms that are looked at of sums in doubt, if there are no more of them than pixels, by this factor.
_TERMS, _LOOKED_AT = 16, 0.5
# Errors of integers up to which few sums are in doubt.
_SMALL = 1e-3
# Sums that are taken again one by one: so many, if that is no more than so many products for a pixel of the tile.
_FEW, _PRODUCTS = 256, 4


def error(tile: Doubles, kernel: Doubles, size: int) -> float:
    """Return how far sums of a tile by float64 transforms of so many elements may be from the exact ones.

    Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., theorem 24.2, for transforms one after the other:
    what errs is as long as the tile, and no frequency of a kernel is larger than the sum of its magnitudes. It is NaN
    or infinite where the tile is, and where numbers are too large or too small for it to hold.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        length = math.sqrt(float(np.einsum("ij,ij", tile, tile)))  # not by BLAS, whose threads would be in the way
        found = _UNITS * math.log2(max(2, size)) * _DOUBLE * length * float(np.abs(kernel).sum())
    return math.inf if length < _SHORT or found < _LOST else found


class Room:
    """Memory for a tile, which a thread would else get anew from the system each time."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._tile, self._doubts = np.empty(shape), np.empty(shape, bool)

    def tile(self, shape: tuple[int, int]) -> Doubles:
        """Return room for a part of an image."""
        return self._tile[: shape[0], : shape[1]]

    def doubts(self, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Return room for which results are in doubt."""
        return self._doubts[: shape[0], : shape[1]]


class Products:
    """Sums of products as ``direct`` takes them, finished, for what transforms leave in doubt.

    Parameters
    ----------
    kernel : ndarray, shape (kh, kw)
        Weights.
    sums : str
        In what sums for float results are taken.
    bias, scale, up
        What becomes of sums, as `kernelfield._core.Correlation` says.
    """

    def __init__(self, kernel: Doubles, sums: str, bias: float, scale: float, up: bool) -> None:
        self._kernel = kernel
        self._options: dict[str, Any] = {"sums": sums, "scale": scale, "up": up}
        if bias:
            self._options["bias"] = np.array([bias])
        self._run: _core.Correlation | None = None

    def __call__(self, tile: NDArray[Any], out: NDArray[Any]) -> None:
        """Write all results of a tile."""
        if self._run is None:  # seldom needed; that two threads make one each does no harm
            self._run = _core.Correlation(self._kernel, **self._options)
        self._run(tile, out)

    def few(self, tile: NDArray[Any]) -> int:
        """Return how many results of a tile are better taken one by one than looked at more closely."""
        return min(_FEW, _PRODUCTS * tile.size // self._kernel.size)

    def again(self, tile: NDArray[Any], doubts: NDArray[np.bool_], out: NDArray[Any]) -> None:
        """Write the results in doubt: few of them one by one, many with all that lie in the rectangle around them."""
        kh, kw = self._kernel.shape
        rows, columns = np.divmod(np.flatnonzero(doubts), doubts.shape[1])
        if len(rows) <= self.few(tile):
            for y, x in zip(rows.tolist(), columns.tolist()):
                self(tile[y : y + kh, x : x + kw], out[y : y + 1, x : x + 1])
            return
        top, bottom, left, right = rows[0], rows[-1] + 1, columns.min(), columns.max() + 1
        self(tile[top : bottom + kh - 1, left : right + kw - 1], out[top:bottom, left:right])


def settle_single(
    sums: Doubles,
    uncertain: float,
    tile: Doubles,
    kernel: Doubles,
    bias: float,
    out: NDArray[np.float32],
    room: Room,
    transform: Transform,
    products: Products,
) -> None:
    """Write float32 results into `out`: those that err by 33 roundings at most, and what products give for the others.

    33 roundings are ``33 * u * S`` with ``u = 2**-24`` and ``S`` the sum of the magnitudes of the terms: 32 for the
    transform and one for the result. Products are within ``(n + 1) * u * S``. ``S`` is no less than the magnitude of
    the sum, which settles most. Where that is too small a few terms are looked at, and if these sums are many ``S`` is
    had by a transform too, which errs as the sums do.

    Parameters
    ----------
    sums : ndarray, shape (OH, OW)
        By transforms.
    uncertain : float
        How far they may be from the exact ones; positive and finite.
    tile : ndarray, shape (OH + kh - 1, OW + kw - 1)
        What they are sums of.
    """
    # uncertain <= roundings * u * (|sum| - uncertain)
    least = uncertain * (1 + 1 / (min(kernel.size, _ROUNDINGS) * _SINGLE)) * (1 + 1e-9)
    doubts = room.doubts(sums.shape)
    high = max(1, _BLOCK // sums.shape[1])
    with np.errstate(over="ignore"):
        for top in range(0, len(sums), high):
            part, into = sums[top : top + high], out[top : top + high]
            np.less(np.abs(part), least, out=doubts[top : top + high])
            into[...] = part
            if bias:
                into += np.float32(bias)
    if not doubts.any():
        return
    few = products.few(tile)
    mixed = not (_one_sign(kernel) and _one_sign(tile))  # else S is the magnitude of the sum

    def many() -> bool:
        return int(np.count_nonzero(doubts)) > few

    def hold_nothing(places: NDArray[np.bool_]) -> None:
        out[places] = bias
        doubts[places] = False

    if mixed:
        _look(tile, kernel, least, doubts)
    if many():
        hold_nothing(zero_windows(tile, kernel.shape))
        if mixed:
            _look(tile, kernel, least, doubts)
    if mixed and many():
        np.logical_and(doubts, transform(np.abs(tile), np.abs(kernel)) < least, out=doubts)
    if many() and not kernel.all():
        # How many products are not 0 is a whole number, and certain.
        hold_nothing(transform(tile != 0, kernel != 0) < 0.5)
    if doubts.any():
        products.again(tile, doubts, out)


def _look(tile: Doubles, kernel: Doubles, least: float, doubts: NDArray[np.bool_]) -> None:
    """Look at the terms with the largest weights, where few sums are in doubt: often they come to enough."""
    y, x = np.divmod(np.flatnonzero(doubts), doubts.shape[1])
    count = min(_TERMS, kernel.size)
    if len(y) * count > _LOOKED_AT * tile.size:
        return
    sizes = np.abs(kernel).ravel()
    chosen = np.argpartition(sizes, -count)[-count:]
    a, b = np.divmod(chosen, kernel.shape[1])
    terms = np.abs(tile[y[:, None] + a, x[:, None] + b])
    enough = np.einsum("ij,j->i", terms, sizes[chosen]) >= least
    doubts[y[enough], x[enough]] = False


def zero_windows(tile: Doubles, kernel: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which windows of a tile hold nothing but zeros."""
    held = tile != 0
    held = _any_of(_any_of(held, kernel[0]).T, kernel[1]).T
    return np.logical_not(held)


def _any_of(held: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    """Return whether any of so many rows from each one on holds something."""
    reach = 1
    while reach < size:
        step = min(reach, size - reach)
        held = held[:-step] | held[step:]
        reach += step
    return held


def _one_sign(values: NDArray[Any]) -> bool:
    return bool(values.min() >= 0 or values.max() <= 0)


def settle_whole(
    sums: Doubles,
    uncertain: float,
    tile: Doubles,
    bias: float,
    scale: float,
    up: bool,
    out: NDArray[Any],
    room: Room,
    products: Products,
) -> None:
    """Write integers into `out`, those that exact sums are rounded to: to nearest, halves to even or up, and saturated.

    Parameters
    ----------
    sums : ndarray, shape (OH, OW)
        By transforms; overwritten.
    uncertain : float
        How far they may be from the exact ones.
    tile : ndarray, shape (OH + kh - 1, OW + kw - 1)
        What they are sums of.
    bias, scale : float
        Added first, and what sums are then multiplied by.
    up : bool
        Halves are rounded up.
    """
    limits = np.iinfo(out.dtype)
    uncertain = uncertain * abs(scale) + 2 * _DOUBLE * max(-float(limits.min), float(limits.max))
    if not uncertain <= _SMALL:
        products(tile, out)
        return
    doubts = room.doubts(sums.shape)
    high = max(1, _BLOCK // sums.shape[1])
    for top in range(0, len(sums), high):
        part = sums[top : top + high]
        if bias:
            part += bias
        if scale != 1:
            part *= scale
        whole = np.rint(part)
        # From -1/2 to 1/2: sums near the ends are in doubt, unless they are far beyond the limits.
        part -= whole
        near = np.greater_equal(np.abs(part, out=part), 0.5 - uncertain, out=doubts[top : top + high])
        if near.any():
            near &= (whole > limits.min - 2) & (whole < limits.max + 2)
        out[top : top + high] = np.clip(whole, limits.min, limits.max, out=whole)
    if doubts.any():
        products.again(tile, doubts, out)
