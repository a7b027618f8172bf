"""Correction of least squares for the rounding of the after to a grid.

Rounding errors look like noise where the image changes by more than a step from pixel to pixel; elsewhere they follow
the signal, and the error of least squares exceeds its standard errors. Two remedies: weights that are integers over a
divisor and reproduce every pixel are the kernel; otherwise the fitted kernel is applied and rounded as by the producer,
and the resulting bias of least squares is subtracted (indirect inference: Gourieroux, Monfort and Renault, *Journal of
Applied Econometrics* 8, S85, 1993).
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

# Candidates lie within this many standard errors of integers, and within this distance; this many are tried. Errors
# of up to 20 standard errors were measured with rounding that follows the signal.
_ERRORS, _NEAR, _TRIES = 30.0, 0.1, 24
# Producers compute in float32: an exact half may be rounded either way.
_SLACK = 1e-3
_DIVISORS = (*range(1, 257), 273, 289, 320, 331, 512, 1000, 1003, 1024)
_SEPARABLE = (*range(1, 257), 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)


@dataclass(frozen=True)
class Whole:
    """Integers over a divisor that reproduce every used pixel.

    Attributes
    ----------
    integers : numpy.ndarray of int64, shape (kh, kw)
    divisor : int
    offsets : tuple of float
        One per channel: a multiple of the step if the producer rounds, half a step lower if it truncates, if that fits.
    rounding : {"nearest", "nearest even", "truncated"}
        Rounding mode of the producer.
    """

    integers: np.ndarray
    divisor: int
    offsets: tuple[float, ...]
    rounding: str


def find_whole(pair: Pair, kernel: np.ndarray, stderr: np.ndarray, support: Support, censor: bool) -> Whole | None:
    """Return integers over a divisor near `kernel` that explain every used pixel within half a step, or None."""
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
    """Yield integers and divisors near the kernel, small divisors first, then outer products of integers."""
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
    """Return the range of ``after - kernel * before`` for each plane, or None if one spans more than a step."""
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
    """Return the simplest offset with which rounding explains residuals from `low` to `high`, and the rounding mode."""
    least, most = high - step / 2.0, low + step / 2.0
    slack = _SLACK * step
    whole = np.ceil((least - slack) / step) * step
    if whole <= most + slack:
        # Halves rounded both ways leave a single possible offset.
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
            # Sixths and thirteenths are not exact in binary: round away errors before looking for halves.
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
    """Return the kernel whose rounded output has the least-squares fit `kernel`.

    Parameters
    ----------
    kernel : numpy.ndarray, shape (kh, kw)
        The least-squares fit.
    statistics : list of Statistics
        One per plane.
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
