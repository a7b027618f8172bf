"""How far sums in float32 may be from those in float64, and how many are then too near a half to be rounded.

Every step of a sum is a fused multiply-add, which errs by half a unit in the last place of what it gives (Higham,
*Accuracy and Stability of Numerical Algorithms*, 2nd ed., section 3.1); the weights themselves are rounded before.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernelfield.engine.low_rank import Factors
from kernelfield.engine.x86.tile import HIGHEST, full_rows, parts_of, rows_of_part

# Above the bounds of sums: what they err by themselves, many times over.
_MORE = 1 + 2.0**-10
# Multiples of one weight that are looked at, whether they come near a half.
_MULTIPLES = 1 << 16
# Sums that are taken again together, and up to how many of them in doubt float32 saves time, on average.
_KERNELS_GROUP, _MOST_KERNELS = 48, 0.5
_FACTORS_GROUP, _MOST_FACTORS = 96, 0.15
# Results in a row, for a register of sums in float32, and products, from which on it does.
_NARROWEST = 8
_WORTH = 1 << 20
# Weights, and products of two, that float32 holds.
_LARGEST = 1e15
# Weights are multiples of one if they are so nearly.
_NEARLY = 1e-9


class Sum(NamedTuple):
    """A sum of products.

    Attributes
    ----------
    low, high : float
        Between which it is.
    error : float
        How far it is in float32 from float64, at most.
    """

    low: float
    high: float
    error: float


def of_products(weights: NDArray[Any], low: Any, high: Any, error: Any = 0.0, parts: NDArray[Any] | None = None) -> Sum:
    """Return what is known of a sum of products of weights, in their order, with numbers between limits.

    Parameters
    ----------
    weights : ndarray, shape (n,)
        float64.
    low, high, error : float or ndarray, shape (n,)
        Of the numbers; `error` says how far they are in float32 from what they are in float64.
    parts : ndarray of int, shape (ways, n), optional
        Where sums go in parts from 0, which are then added, the product that begins the one that each product is in:
        for every way to do that.
    """
    single = weights.astype(np.float32).astype(np.float64)
    terms = np.stack([weights * low, weights * high])
    least, most = (np.concatenate([[0.0], np.cumsum(t)]) for t in (terms.min(axis=0), terms.max(axis=0)))
    begin = np.zeros((1, len(weights)), int) if parts is None else parts
    reach = np.maximum(abs(least[1:] - least[begin]), abs(most[1:] - most[begin])) + abs(single) * error
    largest = np.maximum(abs(least), abs(most)).max() + (abs(single) * error).sum()
    # Where a part ends it is added to those before, and the last ones to all at the end.
    ends = np.diff(begin, axis=1) != 0
    totals = np.maximum(abs(least[1:-1]), abs(most[1:-1]))
    added = (ends * _ulp(totals)).sum(axis=1) + 2 * ends.any(axis=1) * _ulp(largest)
    steps = _ulp(reach).sum(axis=1) / 2 + added / 2
    moved = np.stack([(single - weights) * low, (single - weights) * high])
    weighed = max(moved.max(axis=0).sum(), -moved.min(axis=0).sum())
    double = len(weights) * np.finfo(np.float64).eps * largest
    return Sum(least[-1], most[-1], float(steps.max() + weighed + double + (abs(single) * error).sum()))


def _ulp(bounds: Any) -> Any:
    """Return units in the last place, in float32, of the largest sums within bounds."""
    return np.spacing(np.asarray(bounds * _MORE, np.float32)).astype(np.float64)


def of_kernel(kernel: NDArray[Any], limits: tuple[int, int], fold: int) -> Sum:
    """Return what is known of sums of a kernel (kh, kw), folded as `Shape` says, over pixels between limits."""
    low, high = limits
    rows, columns = kernel.shape
    half = columns // 2 if fold else 0
    weights = kernel[:, : columns - half]
    lows, highs = np.full(weights.shape, float(low)), np.full(weights.shape, float(high))
    lows[:, :half] = 2 * low if fold > 0 else low - high
    highs[:, :half] = 2 * high if fold > 0 else high - low
    begin = np.repeat(_parts(rows, columns) * weights.shape[1], weights.shape[1], axis=1)
    return of_products(weights.ravel(), lows.ravel(), highs.ravel(), parts=begin)


@lru_cache(maxsize=64)
def _parts(rows: int, columns: int) -> NDArray[Any]:
    """Return the row of a kernel that begins the part that each row is in, for every row of every tile."""
    ways = set()
    for tile in range(1, HIGHEST + 1):
        parts = parts_of(full_rows(rows, tile), columns)
        for first in range(tile):
            begins = first + rows_of_part(columns) * np.arange(1, parts + 1)
            ways.add(tuple(max([0, *begins[begins <= row]]) for row in range(rows)))
    return np.array(sorted(ways))


def of_factors(factors: Factors, limits: tuple[int, int]) -> Sum:
    """Return what is known of sums of products of columns and rows."""
    down = [of_products(column, *limits) for column in factors.columns]
    low, high, error = (np.repeat(values, factors.rows.shape[1]) for values in zip(*down))
    return of_products(factors.rows.ravel(), low, high, error)


def with_bias(known: Sum, bias: float) -> Sum:
    """Return what is known of a sum to which a number is added last."""
    if not bias:
        return known
    reach = max(abs(known.low), abs(known.high)) + abs(bias)
    error = known.error + abs(bias - float(np.float32(bias))) + float(np.spacing(np.float32(reach * _MORE)))
    return Sum(known.low + bias, known.high + bias, error)


def share(known: Sum, weights: NDArray[Any]) -> float:
    """Return how many of all sums are in doubt, about: those within the error of a half.

    Sums are taken to lie anywhere, but for weights that are multiples of one (1/6, or a Gaussian over 273): theirs are
    multiples too, which may meet halves.
    """
    anywhere = 2 * known.error
    if not weights.any():
        return anywhere
    one = abs(weights[weights != 0]).min()
    multiples = np.rint(weights / one)
    if abs(weights / one - multiples).max() > _NEARLY or abs(multiples).sum() > _MULTIPLES:
        return anywhere
    sums = one * np.arange(min(_MULTIPLES, int(max(abs(known.low), abs(known.high)) / one) + 1))
    return max(anywhere, float((abs(sums - np.floor(sums) - 0.5) <= known.error).mean()))


def certain_kernels(
    kernels: NDArray[Any], biases: NDArray[Any], image: NDArray[Any], out: NDArray[Any], fold: int
) -> float | None:
    """Return from how far from an integer on sums of kernels (n, kh, kw) in float32 are in doubt.

    None where that is to be asked of too many sums, or where float64 from the first takes no longer.
    """
    if not _worthwhile(kernels, image, out, kernels[0].size):
        return None
    errors = [0.0]
    for kernel, bias in zip(kernels, biases):
        orders = {0, fold}
        sums = (with_bias(of_kernel(kernel, _limits(image), order), bias) for order in orders)
        known = max(sums, key=lambda one: one.error)
        if not share(known, kernel) * _KERNELS_GROUP <= _MOST_KERNELS:
            return None
        errors.append(known.error)
    return _below_half(max(errors))


def certain_factors(factors: Factors, bias: float, image: NDArray[Any], out: NDArray[Any]) -> float | None:
    """Return the same for a sum of products of columns and rows."""
    terms = factors.columns, factors.rows
    if not all(_worthwhile(part, image, out, part.size) for part in terms):
        return None
    known = with_bias(of_factors(factors, _limits(image)), bias)
    if not share(known, factors.columns.T @ factors.rows) * _FACTORS_GROUP <= _MOST_FACTORS:
        return None
    return _below_half(known.error)


def _limits(image: NDArray[Any]) -> tuple[int, int]:
    limits = np.iinfo(image.dtype)
    return int(limits.min), int(limits.max)


def _worthwhile(weights: NDArray[Any], image: NDArray[Any], out: NDArray[Any], products: int) -> bool:
    fits = image.itemsize < 4 and out.itemsize < 4 and out.shape[-1] >= _NARROWEST
    return fits and products * out.size > _WORTH and bool((abs(weights) < _LARGEST).all())


def _below_half(error: float) -> float:
    return float(np.nextafter(np.float32(0.5 - error), np.float32(0)))
