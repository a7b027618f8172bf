"""Exactness: kernels that, rounded by a rule, reproduce every pixel that counts.

Rounding errors look like noise where the image changes by more than a step from pixel to pixel; elsewhere they follow
the signal, their standard deviation is not 1/√12 of a step, and the error of least squares exceeds its standard errors.
Exactness is therefore judged pixel by pixel. Weights that are integers over a divisor and reproduce every pixel are the
kernel; otherwise the fitted kernel is applied and rounded as by the producer, the resulting bias of least
squares is subtracted (indirect inference: Gourieroux, Monfort and Renault, *Journal of Applied Econometrics* 8, S85,
1993), and the weights are moved within their errors until every pixel is reproduced, if they can be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from kernelfield._core import lag_products
from kernelfield.learning.pair import Pair, Plane
from kernelfield.learning.residual import Block, blocks
from kernelfield.learning.rounding import HALVES, RULES
from kernelfield.learning.statistics import Statistics
from kernelfield.learning.sums import Sums
from kernelfield.learning.support import Support

# Candidates lie within this many standard errors of integers, and within this distance; this many are tried. Errors
# of up to 100 standard errors were measured with rounding that follows the signal, as halves away from 0 do.
_ERRORS, _NEAR, _TRIES = 150.0, 0.1, 24
# Producers compute in float32 or in 16 bits: an exact half may be rounded either way. In steps.
_SLACK = 0.01
# Distance from the bounds that moved weights keep, in steps, and pixels up to which they are moved to within it.
_INSIDE, _MOST_PIXELS = 1e-4, 1 << 20
_DIVISORS = (*range(1, 257), 273, 289, 320, 331, 361, 441, 512, 529, 625, 729, 841, 961, 1000, 1003, 1024)
_SEPARABLE = (*range(1, 257), 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
# Constraints that are found at once, steps to satisfy them, rounds of that, and the share of pixels that may be
# violated when it begins.
_MOST_ROWS, _STEPS, _ROUNDS, _SHARE = 3000, 40, 8, 0.05
# A residual with a larger standard deviation than this, in steps, is not that of rounding: rounding to zero across 0
# leaves 1/√3.
LARGEST_SD = 0.6


@dataclass(frozen=True)
class Exact:
    """A kernel that reproduces every counting pixel.

    Attributes
    ----------
    kernel : numpy.ndarray, shape (kh, kw)
    integers, divisor : numpy.ndarray of int64 or None, int or None
        Their quotient times `Pair.gain` is the kernel.
    offsets : tuple of float
        One per plane: a multiple of the step if the producer rounds, half a step lower if it rounds down.
    rounding : str
        A key of `rounding.RULES`.
    """

    kernel: np.ndarray
    integers: np.ndarray | None
    divisor: int | None
    offsets: tuple[float, ...]
    rounding: str


@dataclass(frozen=True)
class Span:
    """Residuals of a plane: of values inside the range, and of those at its ends, which bound on one side only."""

    low: float
    high: float
    low_end: float
    high_end: float


def find_whole(
    pair: Pair, kernel: np.ndarray, stderr: np.ndarray, support: Support, to_zero: bool = False
) -> Exact | None:
    """Return integers over a divisor near `kernel` that reproduce every counting pixel, or None.

    With `to_zero` the values of the after are those that rounding to zero moved half a step outwards.
    """
    for tries, (integers, divisor) in enumerate(_candidates(kernel / pair.gain, float(stderr.max()) / pair.gain)):
        if tries == _TRIES:
            return None
        weights = integers * (pair.gain / divisor)
        found = rounded_by(pair, weights, support, to_zero)
        if found is not None:
            return replace(found, integers=integers, divisor=divisor)
    return None


def rounded_by(
    pair: Pair, weights: np.ndarray, support: Support, to_zero: bool = False, halves: str | None = None
) -> Exact | None:
    """Return these weights with the offsets and the rule of rounding that reproduce every counting pixel, or None.

    `halves` is the rule for exact halves where that is known.
    """
    ranges = _ranges(pair, weights, support, to_zero)
    if ranges is None:
        return None
    placed = [offset_within(span, pair.step) for span in ranges]
    if any(one is None for one in placed):
        return None
    offsets = tuple(one[0] for one in placed if one is not None)
    rules = {one[1] for one in placed if one is not None}
    rounding = rules.pop() if len(rules) == 1 else "nearest"
    if to_zero:
        if any(abs(offset / pair.step - np.rint(offset / pair.step)) > 1e-9 for offset in offsets):
            return None
        rounding = "to zero"
    elif rounding == "nearest":
        rounding = halves or _rule_of_halves(pair, weights, offsets, support)
    return Exact(weights, None, None, offsets, rounding)


def confirm(pair: Pair, exact: Exact, support: Support) -> Exact | None:
    """Return the kernel that reproduces a part of a pair, with the offsets and the rule of the whole, or None."""
    if exact.integers is None:
        return exact if _largest_excess(pair, exact, support) <= _SLACK * pair.step else None
    zeros = exact.rounding == "to zero"
    about = centred_on_offset(pair, exact.offsets) if zeros else pair
    halves = exact.rounding if exact.rounding in HALVES else None
    found = None if about is None else rounded_by(about, exact.kernel, support, zeros, halves)
    if found is None:
        return None
    offsets = exact.offsets if zeros else found.offsets
    return replace(found, integers=exact.integers, divisor=exact.divisor, offsets=offsets)


def _largest_excess(pair: Pair, exact: Exact, support: Support) -> float:
    """Return by how much a residual exceeds half a step at most."""
    return float(pair.total(_excess_of_tile, exact, support).largest[0])


def _excess_of_tile(pair: Pair, exact: Exact, support: Support) -> Sums:
    """Return by how much a residual of a tile exceeds half a step at most."""
    support = pair.local(support)
    worst = -pair.step / 2.0
    for plane, offset in zip(pair.planes, exact.offsets):
        for block in blocks(plane, exact.kernel, offset, support, dtype=np.float64):
            residual = block.residual
            if plane.clipped is not None and pair.ends is not None:
                # Of a value at the end of the range only the other side is a constraint.
                np.minimum(residual, 0.0, out=residual, where=block.after <= pair.ends.low)
                np.maximum(residual, 0.0, out=residual, where=block.after >= pair.ends.high)
            if block.bad is not None:
                np.copyto(residual, 0.0, where=block.bad)
            worst = max(worst, float(residual.max()) - pair.step / 2.0, -float(residual.min()) - pair.step / 2.0)
    return Sums.of(largest=(worst,))


def _candidates(kernel: np.ndarray, error: float) -> Iterator[tuple[np.ndarray, int]]:
    """Yield integers and divisors near the kernel, small divisors first, then outer products of integers."""
    # Means over boxes, disks and other sets of pixels of any number.
    peak = float(kernel.max())
    equal = 1.0 / float(kernel[kernel > peak / 2.0].mean()) if peak > 0.0 else 1.0
    scaled = kernel * equal
    even = {round(equal)} if equal > 256.0 and np.minimum(np.abs(scaled), np.abs(scaled - 1.0)).max() < _NEAR else set()
    divisors = np.array([*even, *_DIVISORS])
    far = np.zeros(divisors.size)
    # All divisors at once, row by row: no table is larger than the kernel.
    for weights in kernel:
        multiples = divisors[:, None] * weights
        np.maximum(far, np.abs(multiples - np.rint(multiples)).max(axis=1), out=far)
    near = np.clip(_ERRORS * error * divisors, 1e-6, _NEAR)
    for divisor in divisors[far <= near].tolist():
        integers = np.rint(kernel * divisor)
        small = np.abs(integers).max() < 2**31
        if small and integers.any() and np.gcd.reduce(np.append(integers.astype(int).ravel(), divisor)) == 1:
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
        if near <= 2 * _NEAR and a.any() and b.any():
            yield np.outer(a, b).astype(np.int64), divisor * divisor


def _parts(plane: Plane, block: Block, pair: Pair, step: float, to_zero: bool) -> tuple[np.ndarray, ...]:
    """Return the residuals inside the range, at its lower and at its upper end, and where rounding to zero gave 0."""
    residual, after = block.residual, block.after
    good = np.ones(after.shape, bool) if block.bad is None else ~block.bad
    inside = good
    empty = np.empty(0)
    at_low = at_high = at_zero = empty
    if plane.clipped is not None and pair.ends is not None:
        low, high = after <= pair.ends.low, after >= pair.ends.high
        at_low, at_high = residual[good & low], residual[good & high]
        inside = good & ~low & ~high
    if to_zero:
        sign = np.sign(after.astype(np.float64))
        at_zero = residual[inside & (sign == 0)]
        residual = residual + sign * (step / 2.0)
        inside = inside & (sign != 0)
        at_low, at_high = at_low - step / 2.0, at_high + step / 2.0
    return (residual if inside.all() else residual[inside]).ravel(), at_low, at_high, at_zero


def _ranges(pair: Pair, kernel: np.ndarray, support: Support, to_zero: bool) -> list[Span] | None:
    """Return the range of ``after - kernel * before`` for each plane, or None if one spans more than a step."""
    # Most kernels fail on any part of the picture.
    if pair.sample is not pair and _ranges(pair.sample, kernel, support, to_zero) is None:
        return None
    found = pair.total(_ranges_of_tile, kernel, support, to_zero).largest.reshape(len(pair.planes), 4)
    ranges = [Span(-low, high, -low_end, high_end) for low, high, low_end, high_end in found.tolist()]
    most = pair.step * (1.0 + 2.0 * _SLACK)
    return ranges if all(0.0 <= one.high - one.low <= most for one in ranges) else None


def _ranges_of_tile(pair: Pair, kernel: np.ndarray, support: Support, to_zero: bool) -> Sums:
    """Return the ends of the residuals of each plane, the lower ones with their sign changed."""
    support = pair.local(support)
    ranges = []
    step = pair.step
    for plane in pair.planes:
        low, high, low_end, high_end = np.inf, -np.inf, np.inf, -np.inf
        for block in blocks(plane, kernel, 0.0, support, dtype=np.float64):
            residual, at_low, at_high, at_zero = _parts(plane, block, pair, step, to_zero)
            if residual.size:
                low, high = min(low, float(residual.min())), max(high, float(residual.max()))
            if at_low.size:
                low_end = min(low_end, float(at_low.min()))
            if at_high.size:
                high_end = max(high_end, float(at_high.max()))
            if at_zero.size:
                # Where the after is 0 the value may be anything up to a step on either side.
                low_end = min(low_end, float(at_zero.min()) + step / 2.0)
                high_end = max(high_end, float(at_zero.max()) - step / 2.0)
            if high - low > step * (1.0 + 2.0 * _SLACK):
                # One block is enough to refuse the kernel.
                return Sums.of(largest=(np.inf,) * (4 * len(pair.planes)))
        ranges += [-low, high, -low_end, high_end]
    return Sums.of(largest=ranges)


def offset_within(span: Span, step: float) -> tuple[float, str] | None:
    """Return the simplest offset with which rounding explains the residuals, and the rule; None if there is none."""
    slack = _SLACK * step
    least = max(span.high, span.high_end) - step / 2.0
    most = min(span.low, span.low_end) + step / 2.0
    if least > most + 2.0 * slack:
        return None
    whole = np.ceil((least - slack) / step) * step
    if whole <= most + slack:
        return float(whole) + 0.0, "nearest"
    half = np.ceil((least + step / 2.0 - slack) / step) * step - step / 2.0
    if half <= most + slack:
        return float(half), "up" if 0.0 < half < step else "truncated"
    middle = (least + most) / 2.0
    return middle, "truncated" if 0.25 < (middle / step) % 1.0 < 0.75 else "nearest"


def _rule_of_halves(pair: Pair, kernel: np.ndarray, offsets: tuple[float, ...], support: Support) -> str:
    """Return the rule that reproduces most halves; the first of those that reproduce as many."""
    right = pair.total(_halves, kernel, offsets, support).added
    return HALVES[int(np.argmax([int(count) for count in right]))]


def _halves(pair: Pair, kernel: np.ndarray, offsets: tuple[float, ...], support: Support) -> Sums:
    """Return how many halves each rule reproduces."""
    support = pair.local(support)
    right = dict.fromkeys(HALVES, 0)
    for plane, offset in zip(pair.planes, offsets):
        for block in blocks(plane, kernel, offset, support, dtype=np.float64):
            left = block.residual / pair.step
            left -= np.floor(left)
            halves = np.flatnonzero(np.abs(left - 0.5) < 5e-7)
            after = block.after.ravel()[halves]
            good = np.ones(after.shape, bool) if block.bad is None else ~block.bad.ravel()[halves]
            if plane.clipped is not None and pair.ends is not None:
                good &= (after > pair.ends.low) & (after < pair.ends.high)
            after = np.rint(after[good] / pair.step) - np.rint(offset / pair.step)
            predicted = after - np.rint(2.0 * block.residual.ravel()[halves[good]] / pair.step) / 2.0
            for rule in HALVES:
                right[rule] += int(np.count_nonzero(RULES[rule](predicted) == after))
    return Sums.of(*right.values())


def reproduce(
    pair: Pair, kernel: np.ndarray, statistics: list[Statistics], gram: np.ndarray, support: Support
) -> Exact | None:
    """Return a kernel near `kernel` with which rounding reproduces every counting pixel, or None.

    The pixels with the largest residuals are constraints: half a step, or one side of it at an end of the range. The
    sum of squared excesses is convex, and zero where all are satisfied; Levenberg's steps lead there, and pixels that
    are violated elsewhere are added, round after round.
    """
    step = pair.step
    means = np.stack([s.before_shift + s.total / max(1, s.count) for s in statistics])
    p, count = kernel.size, sum(s.count for s in statistics)
    # The offsets belong to the centred windows: they are nearly independent of the weights.
    at = np.append(kernel.ravel(), [s.offset(kernel) + float(m @ kernel.ravel()) for s, m in zip(statistics, means)])
    metric = np.eye(at.size)
    metric[:p, :p] = gram / count
    rows, bounds = np.zeros((0, at.size)), np.zeros((0, 2))
    previous, tightest, stuck = np.inf, np.inf, 0
    best: Exact | None = None
    for _ in range(_ROUNDS):
        own = at[p:] - means @ at[:p]
        found = _tightest(pair, at[:p].reshape(support.size), own, support, means)
        if found.worst <= _SLACK * step and found.worst < tightest:
            offsets, tightest = tuple(float(v) for v in own), found.worst
            best = Exact(at[:p].reshape(support.size), None, None, offsets, _rounding(offsets, step))
        if best is not None and (tightest <= _INSIDE * step or found.total > _MOST_PIXELS):
            return best
        stuck = stuck + 1 if found.worst > 0.8 * previous else 0
        if found.violated > _SHARE * found.total or stuck == 2:
            return best
        previous = found.worst
        rows, bounds = (
            np.vstack([rows, found.rows])[-2 * _MOST_ROWS :],
            np.vstack([bounds, found.bounds])[-2 * _MOST_ROWS :],
        )
        at = satisfied(at, rows, bounds, metric, step)
    return best


def satisfied(at: np.ndarray, rows: np.ndarray, bounds: np.ndarray, metric: np.ndarray, step: float) -> np.ndarray:
    """Return the point that satisfies the bounds on ``rows @ point``, or comes near, from the point `at`."""

    def excess(point: np.ndarray) -> np.ndarray:
        value = rows @ point
        over: np.ndarray = np.clip(value, *bounds.T) - value
        return over

    miss = excess(at)
    cost, damping = float(miss @ miss), 1e-2
    for _ in range(_STEPS):
        active = np.flatnonzero(miss)
        if not active.size or np.abs(miss).max() < 0.5 * _INSIDE * step:
            break
        held = rows[active]
        system = held.T @ held + (damping * active.size) * metric
        system[np.diag_indices_from(system)] += 1e-10 * float(np.trace(system)) / at.size
        change = np.linalg.solve(system, held.T @ miss[active])
        trial = excess(at + change)
        better = float(trial @ trial)
        if better < cost:
            at, miss, cost, damping = at + change, trial, better, damping / 4.0
        else:
            damping *= 6.0
            if damping > 1e4:
                break
    return at


@dataclass(frozen=True)
class Tight:
    """Constraints of the pixels with the largest residuals; the largest excess, and pixels violated and in all."""

    rows: np.ndarray
    bounds: np.ndarray
    worst: float
    violated: int
    total: int


def _tightest(pair: Pair, kernel: np.ndarray, offsets: np.ndarray, support: Support, means: np.ndarray) -> Tight:
    """Return the constraints of the pixels nearest to a violation, or violated."""
    after = pair.shapes[1]
    size = after[0] * after[1] * len(pair.planes)
    found = pair.total(_tightest_of_tile, kernel, offsets, support, means, size)
    violated, total = (int(count) for count in found.added)
    rows = found.rows
    return Tight(rows[:, :-2], rows[:, -2:], max(0.0, float(found.largest[0])), violated, total)


def outermost(excess: np.ndarray, residual: np.ndarray, most: int) -> np.ndarray:
    """Return the flat positions of the largest excesses, half of them of each sign of the residual.

    Of both signs: against those of one sign alone an offset would do.
    """
    share, positive = max(1, min(excess.size, most) // 2), residual > 0.0
    sides = np.where(positive, excess, -np.inf), np.where(positive, -np.inf, excess)
    return np.concatenate([np.argpartition(-side, share - 1, axis=None)[:share] for side in sides])


def _tightest_of_tile(
    pair: Pair, kernel: np.ndarray, offsets: np.ndarray, support: Support, means: np.ndarray, size: int
) -> Sums:
    """Return the constraints of a tile: rows with their bounds; pixels violated and in all; the largest excess."""
    support = pair.local(support)
    half = pair.step / 2.0
    rows, bounds, worst, violated, total = [], [], 0.0, 0, 0
    for which, (plane, offset) in enumerate(zip(pair.planes, offsets)):
        for block in blocks(plane, kernel, float(offset), support, dtype=np.float64):
            excess = np.abs(block.residual) - half
            if plane.clipped is not None and pair.ends is not None:
                # Of a value at the end of the range only the other side is a constraint.
                low, high = block.after <= pair.ends.low, block.after >= pair.ends.high
                inside = (low & (block.residual >= 0.0)) | (high & (block.residual <= 0.0))
                excess[inside] = -half
            if block.bad is not None:
                excess[block.bad] = -half
                total -= int(block.bad.sum())
            total += excess.size
            worst = max(worst, float(excess.max()))
            violated += int(np.count_nonzero(excess > 0.0))
            flat = outermost(excess, block.residual, max(64, _MOST_ROWS * excess.size // size))
            where = np.unravel_index(flat, excess.shape)
            windows = np.lib.stride_tricks.sliding_window_view(block.windows, support.size)[where]
            unit = np.zeros((flat.size, len(offsets)))
            unit[:, which] = 1.0
            rows.append(np.hstack([windows.reshape(flat.size, -1).astype(np.float64) - means[which], unit]))
            after = block.after[where].astype(np.float64)
            lower, upper = after - half * (1.0 - _INSIDE), after + half * (1.0 - _INSIDE)
            if plane.clipped is not None and pair.ends is not None:
                lower = np.where(after <= pair.ends.low, -np.inf, lower)
                upper = np.where(after >= pair.ends.high, np.inf, upper)
            bounds.append(np.stack([lower, upper], axis=1))
    return Sums.of(violated, total, largest=(worst,), rows=np.hstack([np.vstack(rows), np.vstack(bounds)]))


def centred_on_offset(pair: Pair, offsets: tuple[float, ...]) -> Pair | None:
    """Return the pair with the nearest whole offset taken from the after; None where all of that has one sign."""
    zeros = tuple(float(np.rint(offset / pair.step)) * pair.step for offset in offsets)
    # The ends move with the offset: they stay usable only where all planes have the same.
    if pair.ends is not None and len(set(zeros)) > 1:
        return None
    moved = pair.mapped(partial(_moved, zeros=zeros))
    low, high = moved.total(_extremes).largest.reshape(2, -1)
    return moved if bool(((low > 0.0) & (high > 0.0)).any()) else None


def _moved(pair: Pair, zeros: tuple[float, ...]) -> Pair:
    """Return the pair with a constant taken from each plane of the after."""
    planes = []
    for plane, zero in zip(pair.planes, zeros):
        planes.append(replace(plane, after=plane.after.astype(np.float64) - zero, after_shift=plane.after_shift - zero))
    ends = pair.ends
    if ends is not None:
        ends = replace(ends, low=ends.low - zeros[0], high=ends.high - zeros[0])
    return replace(pair, planes=tuple(planes), ends=ends)


def _extremes(pair: Pair) -> Sums:
    """Return how far each plane of the after reaches below and above 0."""
    afters = [plane.after for plane in pair.planes]
    return Sums.of(largest=[-float(after.min()) for after in afters] + [float(after.max()) for after in afters])


def outwards(pair: Pair) -> Pair:
    """Return the pair with the after half a step further from 0, its zeros left out."""
    return pair.mapped(_outwards)


def _outwards(pair: Pair) -> Pair:
    planes = []
    for plane in pair.planes:
        after = plane.after.astype(np.float64)
        zero = plane.after == 0
        bad = zero if plane.bad_after is None else plane.bad_after | zero
        planes.append(replace(plane, after=after + np.sign(after) * (pair.step / 2.0), bad_after=bad))
    return replace(pair, planes=tuple(planes))


def _rounding(offsets: tuple[float, ...], step: float) -> str:
    """Return the rounding rule of the producer: rounding down leaves offsets half a step low."""
    fractions = [offset / step - np.floor(offset / step) for offset in offsets]
    return "truncated" if all(0.25 < fraction < 0.75 for fraction in fractions) else "nearest"


def corrected(
    pair: Pair,
    kernel: np.ndarray,
    statistics: list[Statistics],
    inverse: np.ndarray,
    support: Support,
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
        offsets = tuple(sums.offset(current) for sums in statistics)
        gradient, *totals = pair.total(_rounding_errors, current, offsets, support).added
        for sums, total in zip(statistics, totals):
            gradient = gradient - sums.total * (float(total) / max(1, sums.count))
        current = kernel - (inverse @ gradient).reshape(kernel.shape)
    return current


def _rounding_errors(pair: Pair, kernel: np.ndarray, offsets: tuple[float, ...], support: Support) -> Sums:
    """Return the sum of rounding errors times the windows, and that of the errors of each plane."""
    support = pair.local(support)
    gradient, totals = np.zeros(kernel.size), []
    for plane, offset in zip(pair.planes, offsets):
        total = 0.0
        for block in blocks(plane, kernel, offset, support, dtype=np.float64):
            predicted = block.after - block.residual
            error = np.rint(predicted / pair.step) * pair.step - predicted
            if block.bad is not None:
                error[block.bad] = 0.0
            total += float(error.sum())
            products = lag_products(error, block.windows, support.size, len(error), 0.0, plane.before_shift)
            gradient += products[0].ravel()
        totals.append(total)
    return Sums.of(gradient, *totals)
