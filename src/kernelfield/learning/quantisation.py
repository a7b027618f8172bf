"""What rounding to a grid does to least squares, undone.

Rounding looks like noise where the picture changes by more than a step from pixel to pixel; where it does not, the
error follows the signal and least squares errs by more than its standard errors say. Two remedies: if weights that
are integers over a divisor reproduce every pixel, they are the kernel; otherwise the fitted kernel is applied and
rounded as the producer did, and what least squares then gets wrong is taken away (indirect inference: Gourieroux,
Monfort and Renault, *Journal of Applied Econometrics* 8, S85, 1993).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kernelfield._core import lag_products
from kernelfield.learning.pair import Pair
from kernelfield.learning.residual import blocks
from kernelfield.learning.statistics import Statistics
from kernelfield.learning.support import Support

# How far an estimate times its divisor may lie from integers to be worth a try: standard errors and at the most.
# Rounding that follows the signal was seen to cost up to 20 of them. And how many tries.
_ERRORS, _NEAR, _TRIES = 30.0, 0.1, 24
# Producers compute in float32: a value that is a half in exact arithmetic falls to either side.
_SLACK = 1e-3
_DIVISORS = (*range(1, 257), 273, 289, 320, 331, 512, 1000, 1003, 1024)
_SEPARABLE = (*range(1, 257), 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)


@dataclass(frozen=True)
class Whole:
    """Integers over a divisor that reproduce every pixel that counts.

    Attributes
    ----------
    integers : numpy.ndarray of int64, shape (kh, kw)
    divisor : int
    offsets : tuple of float
        One a channel; whole (in steps) if the producer rounds, half a step lower if it truncates, where that fits.
    rounding : {"nearest", "nearest even", "truncated"}
        Halves go up or to even.
    """

    integers: np.ndarray
    divisor: int
    offsets: tuple[float, ...]
    rounding: str


def find_whole(pair: Pair, kernel: np.ndarray, stderr: np.ndarray, support: Support, censor: bool) -> Whole | None:
    """Return integers over a divisor near `kernel` that explain every pixel within half a step, or None."""
    step = pair.step
    for tries, (integers, divisor) in enumerate(_candidates(kernel, float(stderr.max()))):
        if tries == _TRIES:
            return None
        ranges = _residual_ranges(pair, integers / divisor, support, censor)
        if ranges is None:
            continue
        offsets, rules = zip(*(_offset(low, high, step) for low, high in ranges))
        rounding = rules[0] if len(set(rules)) == 1 else "nearest"
        if rounding == "nearest even" and not _halves_go_to_even(pair, integers / divisor, offsets, support, censor):
            rounding = "nearest"
        return Whole(integers, divisor, offsets, rounding)
    return None


def _candidates(kernel: np.ndarray, error: float) -> Iterator[tuple[np.ndarray, int]]:
    """Yield integers and divisors near the kernel, small divisors first; then products of a column and a row."""
    for divisor in _DIVISORS:
        scaled = kernel * divisor
        integers = np.rint(scaled)
        near = min(_NEAR, max(_ERRORS * error * divisor, 1e-6))
        if np.abs(scaled - integers).max() <= near and np.gcd.reduce(np.append(integers.astype(int), divisor)) == 1:
            yield integers.astype(np.int64), divisor
    if min(kernel.shape) == 1 or abs(kernel.sum()) < 0.1:
        return
    left, values, right = np.linalg.svd(kernel)
    if values[1] > 0.02 * values[0]:
        return
    column, row = left[:, 0] / left[:, 0].sum(), right[0] / right[0].sum()
    total = float(kernel.sum())
    for divisor in _SEPARABLE:
        a, b = np.rint(column * divisor), np.rint(row * total * divisor)
        near = max(np.abs(column * divisor - a).max(), np.abs(row * total * divisor - b).max())
        if near <= 2 * _NEAR:
            yield np.outer(a, b).astype(np.int64), divisor * divisor


def _residual_ranges(
    pair: Pair, kernel: np.ndarray, support: Support, censor: bool
) -> list[tuple[float, float]] | None:
    """Return the least and largest ``after - kernel * before`` of each plane, or None once they span over a step."""
    ranges = []
    for plane in pair.planes:
        low, high = np.inf, -np.inf
        for block in blocks(plane, kernel, 0.0, support, censor, dtype=np.float64):
            residual = block.residual if block.bad is None else block.residual[~block.bad]
            if residual.size:
                low, high = min(low, float(residual.min())), max(high, float(residual.max()))
            if high - low > pair.step * (1.0 + _SLACK):
                return None
        if not np.isfinite(low):
            return None
        ranges.append((low, high))
    return ranges


def _offset(low: float, high: float, step: float) -> tuple[float, str]:
    """Return the plainest offset for which rounding explains residuals from `low` to `high`, and the kind of it."""
    least, most = high - step / 2.0, low + step / 2.0
    slack = _SLACK * step
    whole = np.ceil((least - slack) / step) * step
    if whole <= most + slack:
        # Halves that went both ways leave a single point.
        return float(whole) + 0.0, "nearest even" if most - least <= slack else "nearest"
    half = np.ceil((least + step / 2.0 - slack) / step) * step - step / 2.0
    if half <= most + slack:
        return float(half), "truncated"
    middle = (least + most) / 2.0
    return middle, "truncated" if 0.25 < (middle / step) % 1.0 < 0.75 else "nearest"


def _halves_go_to_even(
    pair: Pair, kernel: np.ndarray, offsets: tuple[float, ...], support: Support, censor: bool
) -> bool:
    """Return whether rounding halves to even reproduces more pixels than rounding them up."""
    even, up = 0, 0
    for plane, offset in zip(pair.planes, offsets):
        for block in blocks(plane, kernel, offset, support, censor, dtype=np.float64):
            keep = slice(None) if block.bad is None else ~block.bad
            after = block.after[keep] / pair.step
            # Sixths and thirteenths are not exact in binary: a half is what lies within 1e-9 of one.
            predicted = np.rint((after - block.residual[keep] / pair.step) * 2.0**24) / 2.0**24
            even += int(np.count_nonzero(np.rint(predicted) == np.rint(after)))
            up += int(np.count_nonzero(np.floor(predicted + 0.5) == np.rint(after)))
    return even > up


def corrected(
    pair: Pair,
    kernel: np.ndarray,
    statistics: list[Statistics],
    inverse: np.ndarray,
    support: Support,
    censor: bool,
    rounds: int = 2,
) -> np.ndarray:
    """Return the kernel whose rounded output has `kernel` for its least-squares fit.

    Parameters
    ----------
    kernel : numpy.ndarray, shape (kh, kw)
        The least-squares fit.
    statistics : list of Statistics
        One a plane.
    inverse : numpy.ndarray, shape (p, p)
        Of the Gram matrix.
    rounds : int
        Steps of the fixed-point iteration.
    """
    current = kernel
    for _ in range(rounds):
        gradient = np.zeros(kernel.size)
        for plane, sums in zip(pair.planes, statistics):
            total = 0.0
            for block in blocks(plane, current, sums.offset(current), support, censor, dtype=np.float64):
                predicted = block.after - block.residual
                error = np.rint(predicted / pair.step) * pair.step - predicted
                if block.bad is not None:
                    error[block.bad] = 0.0
                total += float(error.sum())
                products = lag_products(error, block.windows, support.size, len(error), 0.0, plane.before_shift)
                gradient += products[0].ravel()
            gradient -= sums.total * (total / max(1, sums.count))
        current = kernel - (inverse @ gradient).reshape(kernel.shape)
    return current
