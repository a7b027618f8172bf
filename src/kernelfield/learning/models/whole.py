"""Weights of several kernels that, rounded, reproduce every pixel of a plane of the after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kernelfield.learning.exactness import Span, Tight, offset_within, outermost, satisfied
from kernelfield.learning.models.joint import Band, Joint, Task, bands, rows_of
from kernelfield.learning.support import Support

# Divisors of programs: small ones, powers of two of fixed-point arithmetic, and decimals.
_DIVISORS = (*range(1, 257), 500, 512, 1000, 1024, 2000, 2048, 4096, 5000, 8192, 10000, 16384, 32768, 65536, 100000)
# Distance from integers in which candidates lie, errors of a weight times the divisor, and the most that are tried.
_NEAR, _KNOWN, _TRIES = 0.1, 0.05, 24
# Slack for exact halves that were computed in fewer bits, distance from the bounds that moved weights keep, in steps.
_SLACK, _INSIDE = 0.01, 1e-4
# Constraints found at once, rounds, and the share of pixels that may be violated when they begin.
_MOST, _ROUNDS, _SHARE = 3000, 8, 0.05


@dataclass(frozen=True)
class Whole:
    """Weights that reproduce a plane: shape (C, kh, kw), the offset, the rule of rounding, and the divisor if any."""

    kernels: np.ndarray
    offset: float
    rounding: str
    divisor: int | None = None


def find_row(
    task: Task,
    support: Support,
    number: int,
    kernels: np.ndarray,
    stderr: np.ndarray,
    joint: Joint,
    known: Sequence[np.ndarray] = (),
) -> Whole | None:
    """Return weights near `kernels` with which rounding reproduces every pixel of plane `number` that counts, or None.

    Parameters
    ----------
    kernels, stderr : numpy.ndarray, shape (C, kh, kw)
        Of least squares.
    joint : Joint
        The sums they come from.
    known : sequence of numpy.ndarray, shape (C, kh, kw)
        Weights that are tried first.
    """
    loose = None
    for weights, divisor in (*((one, None) for one in known), *_candidates(kernels, float(stderr.max()))):
        span = _span(task, support, number, weights)
        placed = None if span is None else offset_within(span, task.pair.step)
        if span is None or placed is None:
            continue
        found = Whole(weights, placed[0], placed[1], divisor)
        # Halves of the weights themselves go up; of weights near them, some go down or the sums need the slack.
        half, tiny = task.pair.step / 2.0, 1e-9 * task.pair.step
        if span.low - placed[0] > tiny - half and span.high - placed[0] <= half + tiny:
            return found
        loose = loose or found
    return loose or _moved(task, support, number, kernels, joint)


def _candidates(kernels: np.ndarray, error: float) -> Iterator[tuple[np.ndarray, int]]:
    """Yield quotients near the weights, small divisors first."""
    tries = 0
    for divisor in _DIVISORS:
        scaled = kernels * divisor
        whole = np.rint(scaled)
        near = min(_NEAR, max(150.0 * error * divisor, 1e-6))
        if error * divisor > _KNOWN or np.abs(scaled - whole).max() > near or not whole.any():
            continue
        if np.gcd.reduce(np.append(whole.astype(np.int64).ravel(), divisor)) == 1:
            yield whole / divisor, divisor
            tries += 1
            if tries == _TRIES:
                return


def _span(task: Task, support: Support, number: int, kernels: np.ndarray) -> Span | None:
    """Return the range of ``after - kernels * before``, or None if it is wider than a step."""
    low, high, low_end, high_end = np.inf, -np.inf, np.inf, -np.inf
    most = task.pair.step * (1.0 + 2.0 * _SLACK)
    for band in bands(task, support, number, kernels, 0.0, np.dtype(np.float64)):
        below, above, inside = _ends(task, number, band)
        if inside.size:
            low, high = min(low, float(inside.min())), max(high, float(inside.max()))
        if below.size:
            low_end = min(low_end, float(below.min()))
        if above.size:
            high_end = max(high_end, float(above.max()))
        if high - low > most:
            return None
    return Span(low, high, low_end, high_end) if high >= low else None


def _ends(task: Task, number: int, band: Band) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the residuals at the lower end of the range, at its upper end, and inside."""
    ends, residual = task.pair.ends, band.residual
    good = np.ones(residual.shape, bool) if band.bad is None else ~band.bad
    if ends is None or task.targets[number].clipped is None:
        return np.empty(0), np.empty(0), residual[good]
    low, high = band.after <= ends.low, band.after >= ends.high
    return residual[good & low], residual[good & high], residual[good & ~low & ~high]


def _moved(task: Task, support: Support, number: int, kernels: np.ndarray, joint: Joint) -> Whole | None:
    """Return weights moved within their errors until rounding reproduces every pixel, or None.

    As `kernelfield.learning.exactness.reproduce` does for one kernel.
    """
    step, means, p = task.pair.step, joint.means(), kernels.size
    flat = kernels.ravel()
    at = np.append(flat, joint.offset(flat) + float(means @ flat))
    metric = np.eye(p + 1)
    metric[:p, :p] = joint.moments().gram / max(1, joint.count)
    rows, bounds = np.zeros((0, p + 1)), np.zeros((0, 2))
    previous, stuck = np.inf, 0
    for _ in range(_ROUNDS):
        weights, offset = at[:p].reshape(kernels.shape), float(at[p] - means @ at[:p])
        tight = _tightest(task, support, number, weights, offset, means)
        if tight.worst <= _SLACK * step:
            share = (offset / step) % 1.0
            return Whole(weights, offset, "truncated" if 0.25 < share < 0.75 else "nearest")
        stuck = stuck + 1 if tight.worst > 0.8 * previous else 0
        if tight.violated > _SHARE * tight.total or stuck == 2:
            return None
        previous = tight.worst
        rows = np.vstack([rows, tight.rows])[-2 * _MOST :]
        bounds = np.vstack([bounds, tight.bounds])[-2 * _MOST :]
        at = satisfied(at, rows, bounds, metric, step)
    return None


def _tightest(
    task: Task, support: Support, number: int, kernels: np.ndarray, offset: float, means: np.ndarray
) -> Tight:
    """Return the constraints of the pixels nearest to a violation, or violated."""
    half, windows = task.pair.step / 2.0, task.windows(support)
    ends, clipped = task.pair.ends, task.targets[number].clipped
    rows, bounds, worst, violated, total = [], [], 0.0, 0, 0
    size = task.targets[number].after.size
    for band in bands(task, support, number, kernels, offset, np.dtype(np.float64)):
        excess = np.abs(band.residual) - half
        at_low = at_high = None
        if ends is not None and clipped is not None:
            at_low, at_high = band.after <= ends.low, band.after >= ends.high
            # Of a value at the end of the range only the other side is a constraint.
            excess[(at_low & (band.residual >= 0.0)) | (at_high & (band.residual <= 0.0))] = -half
        if band.bad is not None:
            excess[band.bad] = -half
            total -= int(band.bad.sum())
        total += excess.size
        worst, violated = max(worst, float(excess.max())), violated + int(np.count_nonzero(excess > 0.0))
        flat = outermost(excess, band.residual, max(64, _MOST * excess.size // size))
        columns = band.after.shape[1]
        read = rows_of(windows, support.size, columns, flat + band.start * columns)
        rows.append(np.hstack([read - means, np.ones((flat.size, 1))]))
        after = band.after.ravel()[flat].astype(np.float64)
        lower, upper = after - half * (1.0 - _INSIDE), after + half * (1.0 - _INSIDE)
        if at_low is not None and at_high is not None:
            lower = np.where(at_low.ravel()[flat], -np.inf, lower)
            upper = np.where(at_high.ravel()[flat], np.inf, upper)
        bounds.append(np.stack([lower, upper], axis=1))
    return Tight(np.vstack(rows), np.vstack(bounds), max(0.0, worst), violated, total)
