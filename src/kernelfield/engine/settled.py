"""Sums by transforms rounded to integers: to those that sums of products are rounded to."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernelfield.engine import direct
from kernelfield.engine.rounding import Finish, rounded

# Three transforms, each of log2(n) steps that err by 1 + 4 * sqrt(2) units, and the products between them.
_UNITS = 24
# Errors up to which few sums are in doubt, and how many may be: more are taken by `direct`.
_SMALL, _FEW = 1e-3, 64


def error(tile: NDArray[Any], kernel: NDArray[Any], size: int) -> float:
    """Return how far sums of a tile by float64 transforms of so many elements may be from the exact ones.

    Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., theorem 24.2, for transforms one after the other:
    what errs is as long as the tile, and no frequency of a kernel is larger than the sum of its magnitudes.
    """
    length = math.sqrt(float(np.einsum("ij,ij", tile, tile)))  # not by BLAS, whose threads would be in the way
    return _UNITS * math.log2(size) * np.finfo(np.float64).eps / 2 * length * float(abs(kernel).sum())


class Room:
    """Memory for a tile, which a thread would else get anew from the system each time."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._tile, self._whole, self._doubts = np.empty(shape), np.empty(shape), np.empty(shape, bool)

    def tile(self, part: NDArray[Any]) -> NDArray[Any]:
        """Return a part of an image in float64."""
        tile = self._tile[: part.shape[0], : part.shape[1]]
        tile[...] = part
        return tile

    def results(self, shape: tuple[int, int]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return room for whole numbers, and for what is in doubt."""
        place = np.s_[: shape[0], : shape[1]]
        return self._whole[place], self._doubts[place]


def settle(
    sums: NDArray[Any],
    uncertain: float,
    tile: NDArray[Any],
    kernel: NDArray[Any],
    finish: Finish,
    out: NDArray[Any],
    room: Room,
) -> None:
    """Write integers into `out`; sums that may be rounded to the other side are taken again, one by one.

    Parameters
    ----------
    sums : ndarray, shape (OH, OW)
        float64, by transforms; overwritten.
    uncertain : float
        How far they may be from the exact ones.
    tile : ndarray, shape (OH + kh - 1, OW + kw - 1)
        What they are sums of, in float64.
    """
    bias, scale, limits = _bias(finish), finish.scale, np.iinfo(out.dtype)
    uncertain = uncertain * abs(scale) + np.finfo(np.float64).eps * max(-float(limits.min), float(limits.max))
    if uncertain > _SMALL:
        _by_products(tile, kernel, finish, out)
        return
    if bias:
        sums += bias
    if scale != 1:
        sums *= scale
    whole, doubts = room.results(out.shape)
    (np.floor if finish.down else np.rint)(sums, out=whole)
    # From 0 to 1, or from -1/2 to 1/2: sums near the ends are in doubt, unless they are far beyond the limits.
    sums -= whole
    if finish.down:
        sums -= 0.5
    np.greater_equal(np.abs(sums, out=sums), 0.5 - uncertain, out=doubts)
    if doubts.any():
        places = np.argwhere(doubts & (whole > limits.min - 2) & (whole < limits.max + 2))
        if len(places) > _FEW:
            _by_products(tile, kernel, finish, out)
            return
        kh, kw = kernel.shape
        for y, x in places:
            exact = ((kernel * tile[y : y + kh, x : x + kw]).sum() + bias) * scale
            whole[y, x] = np.floor(exact) if finish.down else np.rint(exact)
    out[...] = np.clip(whole, limits.min, limits.max, out=whole)


def _by_products(tile: NDArray[Any], kernel: NDArray[Any], finish: Finish, out: NDArray[Any]) -> None:
    exact = np.empty((1, *out.shape))
    direct.correlate(np.ascontiguousarray(tile)[None], kernel, exact)
    out[...] = rounded((exact[0] + _bias(finish)) * finish.scale, out.dtype, 1.0, finish.down)


def _bias(finish: Finish) -> float:
    return 0.0 if finish.bias is None else float(finish.bias[0])
