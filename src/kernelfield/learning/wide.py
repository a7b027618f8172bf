"""The search for supports too wide for a Gram matrix: 63, 127, then 255 rows and columns.

Each is fitted twice to a part of the pair: with any weights, and as the product of a column and a row, which a small
picture determines where it cannot tell any weights. The separable kernel is taken where it leaves no more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kernelfield.correlation import correlate
from kernelfield.learning.free import Free, fit_free
from kernelfield.learning.pair import Pair
from kernelfield.learning.part import cut
from kernelfield.learning.separable import Lines, fit_lines, leading
from kernelfield.learning.shrinking import shrink
from kernelfield.learning.support import Support

# Positions of a part of the pair, at least and for each weight; the share of the residual that a larger support has to
# take from it.
_POSITIONS, _FOR_A_WEIGHT, _GAIN = 1 << 17, 12, 0.02
# Limits below which the end of a column or row is negligible, as in `support_search`: for a residual of rounding, for
# others as a factor on the noise, the share of the squared residual, and of the largest weight.
_ROUNDED, _WHITE, _COLOURED = (6.0, 1e-3, 1e-3), (1.0, 0.0, 0.0), (10.0, 3e-3, 3e-2)
# Share of the largest weight below which a weight is an error of the fit.
_LAST_PLACES = 1e-9


@dataclass(frozen=True)
class Wide:
    """The wide support that a search ended with.

    Attributes
    ----------
    support : Support
    noise : float
        Variance of the residual.
    count : int
        Positions that were used.
    limit : int
        The size at which the search ended although the outermost weights mattered; 0 if it ended inside.
    """

    support: Support
    noise: float
    count: int
    limit: int


def find_wide(pair: Pair, supports: list[Support], noise: float, white: bool, narrow: Support) -> Wide | None:
    """Return the best of wide supports, tried in turn; None if none leaves less than `noise`.

    A residual that is not `white` has to be less by a share that counts, and by half of the picture for the other half.
    """
    best: Wide | None = None
    share = 1.0 if white else 1.0 - _GAIN
    for support in supports:
        found = _fitted(pair, support)
        if found is None:
            break
        variance, allowed = found.variance, _allowed(pair, found)
        if variance > allowed and variance > share * noise:
            break
        if variance > allowed and isinstance(found, Free) and not predicts(pair, support, narrow, share):
            break
        part = _narrowed(pair, found, allowed, white)
        if isinstance(found, Free) and part != support and _loses(pair, part, found, allowed):
            part = support
        ended = _reaches(part, support)
        best = Wide(part, variance, found.count, max(support.size) if ended else 0)
        noise = variance
        if not ended:
            break
    return best


def predicts(pair: Pair, support: Support, narrow: Support, share: float) -> bool:
    """Return whether each half of a pair gives weights over a support that explain the other better than narrow ones.

    They have to leave less than a `share` of what those leave. What no filter of one kernel made has no weights far
    away: those that explain a part of one half explain less than nothing of the other. True where the halves are too
    small to tell.
    """
    if not pair.same_size:
        return True
    left = [_held_out(pair, one) for one in (support, narrow)]
    return left[0] is None or left[1] is None or left[0] < share * left[1]


def _held_out(pair: Pair, support: Support) -> float | None:
    """Return the variance of the residual of each half with the weights of the other, less what their errors add."""
    middle, end = pair.shapes[1][0] // 2, pair.shapes[1][0]
    halves = [
        replace(pair, planes=tuple(cut(plane, (rows, slice(None))) for plane in pair.planes))
        for rows in (slice(0, middle), slice(middle, end))
    ]
    total, count = 0.0, 0
    for own, other in (halves, halves[::-1]):
        free = fit_free(own, support, _positions(support))
        if free is None or free.count < 2 * free.kernel.size:
            return None
        # Weights of n positions add p / (n - p - 1) of the variance of independent errors.
        more = free.kernel.size / max(1.0, free.count - free.kernel.size - 1.0)
        for plane in other.planes:
            places = support.positions(plane.before.shape, plane.after.shape)
            residual = plane.after[places] - correlate(
                plane.before[support.windows(places)], free.kernel, mode="valid", dtype=np.float64
            )
            excluded = plane.excluded(support)
            residual = residual.ravel() if excluded is None else residual[~excluded]
            if residual.size:
                total += float(residual.var()) * residual.size / (1.0 + more)
                count += residual.size
    return total / count if count else None


def _fitted(pair: Pair, support: Support) -> Lines | Free | None:
    """Return the fit over a support: separable if that explains as much."""
    free = fit_free(pair, support, _positions(support))
    if free is not None and free.count < 2 * free.kernel.size:
        free = None
    start = None if free is None else leading(free.kernel)
    lines = fit_lines(pair, replace(support, separable=True), start, _POSITIONS)
    if free is None or lines is None:
        return lines or free
    if lines.variance <= max(_allowed(pair, lines), (1.0 + _GAIN / 2.0) * free.variance):
        return lines
    return free


def _allowed(pair: Pair, found: Lines | Free) -> float:
    """Return the variance of the residual that rounding leaves."""
    return pair.exact_variance(found.square, found.count, float((found.kernel**2).sum()))


def _reaches(part: Support, support: Support) -> bool:
    """Return whether a part of a support ends at one of its sides."""
    return (
        part.top == support.top
        or part.left == support.left
        or part.top + part.rows == support.top + support.rows
        or part.left + part.columns == support.left + support.columns
    )


def _narrowed(pair: Pair, found: Lines | Free, allowed: float, white: bool) -> Support:
    """Return the part of a support that matters."""
    support = found.support
    if isinstance(found, Free):
        return _outline(found)
    if found.variance <= allowed:
        factor, tolerance, share = _ROUNDED if pair.step > 0.0 else _WHITE
        noise = factor * max(found.variance, 0.2 * allowed)
    else:
        factor, tolerance, share = _WHITE if white and found.variance > 3.0 * allowed else _COLOURED
        noise = factor * found.variance
    column = shrink(found.moments(0), Support(support.top, 0, support.rows, 1), noise, tolerance, share, pair.same_size)
    row = shrink(
        found.moments(1), Support(0, support.left, 1, support.columns), noise, tolerance, share, pair.same_size
    )
    return Support(column.top, row.left, column.rows, row.columns, True)


def _loses(pair: Pair, part: Support, found: Free, allowed: float) -> bool:
    """Return whether a part of a support leaves more: single weights may be below the noise, but not all together."""
    narrow = fit_free(pair, part, _positions(found.support))
    return narrow is not None and narrow.variance > max((1.0 + _GAIN / 2.0) * found.variance, allowed)


def _positions(support: Support) -> int:
    """Return the number of positions to which a support is fitted."""
    return max(_POSITIONS, _FOR_A_WEIGHT * support.rows * support.columns)


def _outline(found: Free) -> Support:
    """Return the bounding box of the rows and columns with weights that chance does not give."""
    # The steps of the fit end before the last places of the weights.
    least = max(found.error, _LAST_PLACES * float(np.abs(found.kernel).max()), 1e-300)
    support, squares = found.support, (found.kernel / least) ** 2
    spans = []
    for axis in (1, 0):
        m = squares.shape[axis]
        sums, largest = squares.sum(axis=axis), squares.max(axis=axis)
        kept = np.flatnonzero((sums > m + 5.0 * np.sqrt(2.0 * m) + 4.0) | (largest > 2.0 * np.log(m) + 20.0))
        spans.append((int(kept[0]), int(kept[-1]) + 1) if kept.size else (0, squares.shape[1 - axis]))
    (top, bottom), (left, right) = spans
    return Support(support.top + top, support.left + left, bottom - top, right - left)
