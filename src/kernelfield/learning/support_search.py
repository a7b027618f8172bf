"""The kernel's support: implied by the image shapes, given as ``size=``, or searched for."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernelfield.errors import ArgumentError, DataError
from kernelfield.learning.least_squares import Moments, solve
from kernelfield.learning.pair import Pair
from kernelfield.learning.support import Support, centred

_LARGEST_SIZE = 63
_LEVELS = (7, 15, 31)
# Maximum number of multiply-adds for one level; above it a sample of the positions is used.
_MOST = 12_000_000_000
# Factor on the noise: residuals of rounding or of a nonlinear filter are not white and fluctuate more than white noise.
_NOT_WHITE = 3.0
# Limits below which an outer row is negligible, as growth of the squared residual and as share of the largest
# coefficient: for residuals of rounding, and for larger ones. Rounding that follows the signal was measured to give
# coefficients of 5e-4 where the true ones are 0.
_ROUNDED, _MORE = (1e-3, 1e-3), (1e-4, 5e-3)


def choose_support(pair: Pair, size: Any, max_size: int) -> tuple[Support, bool, float | None]:
    """Return the support, whether clipped values must be excluded, and after a search the residual variance.

    The support is implied by the image shapes, given as `size`, or searched for up to `max_size`.
    """
    if not isinstance(max_size, (int, np.integer)) or not 1 <= max_size <= _LARGEST_SIZE:
        raise ArgumentError(f"max_size: expected an integer from 1 to {_LARGEST_SIZE}; received {max_size!r}")
    before, after = pair.shapes
    given = None if size is None else check_size(size)
    if not pair.same_size:
        implied = before[0] - after[0] + 1, before[1] - after[1] + 1
        if given not in (None, implied):
            raise ArgumentError(
                f"size: expected {implied[0]}×{implied[1]}, as an after of {after[0]}×{after[1]} from a before of "
                f"{before[0]}×{before[1]} implies; received {given[0]}×{given[1]}; leave it out"
            )
        if max(implied) > _LARGEST_SIZE:
            raise ArgumentError(
                f"after: expected at most {_LARGEST_SIZE - 1} rows and columns less than before's "
                f"{before[0]}×{before[1]}; received {after[0]}×{after[1]}; crop both to the same scene"
            )
        support = Support(0, 0, *implied)
    elif given is not None:
        support = centred(given)
    else:
        return find_support(pair, int(max_size))
    positions = support.positions(before, after)
    room = [p.stop - p.start for p in positions]
    coefficients = support.rows * support.columns
    if min(room) <= 0 or room[0] * room[1] * len(pair.planes) < coefficients + len(pair.planes):
        raise DataError(
            f"size: expected at least {coefficients + 1} positions for {support.rows}×{support.columns} coefficients "
            f"and an offset; received {max(0, room[0]) * max(0, room[1])} in an image of {before[0]}×{before[1]}; "
            "take a smaller size or a larger image"
        )
    return support, _needs_censoring(pair, support), None


def check_size(size: Any) -> tuple[int, int]:
    """Return a checked size as (rows, columns)."""
    values = size if isinstance(size, tuple) else (size, size)
    if len(values) != 2 or not all(isinstance(v, (int, np.integer)) and 1 <= v <= _LARGEST_SIZE for v in values):
        raise ArgumentError(f"size: expected one or two integers from 1 to {_LARGEST_SIZE}; received {size!r}")
    return int(values[0]), int(values[1])


def _needs_censoring(pair: Pair, support: Support) -> bool:
    """Return whether clipped values bias the fit and must be excluded."""
    if not pair.clipped:
        return False
    moments = pair.moments(support, False)
    kernel = solve(moments).kernel
    noise = moments.unexplained(kernel) / moments.freedom
    return noise > pair.exact_variance(moments.square, moments.count, float(kernel @ kernel))


def find_support(pair: Pair, max_size: int) -> tuple[Support, bool, float]:
    """Search for the support; return it, whether clipped values must be excluded, and the residual variance.

    Supports of growing size are tried until the residual is no more than rounding, or up to the largest. The Gram
    matrix of a support contains those of all smaller ones: the support is then shrunk from the outside.
    """
    supports = _levels(pair, max_size)
    found = None
    for censor in (False, True) if pair.clipped else (False,):
        for support in supports[:1] if pair.clipped and not censor else supports:
            moments = pair.moments(support, censor, _MOST)
            if moments.count <= 2 * moments.cross.size:
                continue
            _, kernel = moments.ridge_inverse()
            noise = moments.unexplained(kernel) / moments.freedom
            allowed = pair.exact_variance(moments.square, moments.count, float(kernel @ kernel))
            if noise <= allowed:
                if solve(moments).rank < moments.cross.size:
                    # The pair does not determine the kernel: do not shrink it.
                    return support, censor, noise
                if pair.step > 0.0:
                    return shrink(moments, support, _NOT_WHITE * max(noise, 0.2 * allowed), *_ROUNDED), censor, noise
                return shrink(moments, support, max(noise, 0.2 * allowed), 0.0, 0.0), censor, noise
            found = moments, support, noise
    if found is None:
        rows, columns = pair.shapes[0]
        raise DataError(
            f"before, after: expected at least 3 usable pixels for each coefficient; received {rows}×{columns} "
            "pixels, minus excluded ones; take a larger image or give size="
        )
    if pair.clipped and not _enough(pair, supports[0]):
        moments = pair.moments(supports[0], False, _MOST)
        _, kernel = moments.ridge_inverse()
        noise = moments.unexplained(kernel) / moments.freedom
        return shrink(moments, supports[0], _NOT_WHITE * noise, *_MORE), False, noise
    moments, support, noise = found
    return shrink(moments, support, _NOT_WHITE * noise, *_MORE), pair.clipped, noise


def widened(support: Support, pair: Pair, max_size: int) -> Support:
    """Return the next larger odd, centred support, or `support` itself if there is none."""
    closure = [2 * max(-first, first + n - 1) + 1 for first, n in zip((support.top, support.left), support.size)]
    if tuple(closure) == support.size:
        closure = [n + 2 for n in closure]
    sizes = [n for n, length in zip(closure, pair.shapes[0]) if n <= min(max_size, _largest_odd(length))]
    return centred((sizes[0], sizes[1])) if len(sizes) == 2 else support


def _levels(pair: Pair, max_size: int) -> list[Support]:
    """Return the supports to try, smallest first, limited by the number of positions in the pair."""
    shape = pair.shapes[0]
    sizes = sorted({min(level, max_size) for level in _LEVELS})
    supports: list[Support] = []
    for size in sizes:
        rows, columns = (min(size, _largest_odd(n)) for n in shape)
        while True:
            where = centred((rows, columns)).positions(shape, shape)
            count = len(pair.planes) * _length(where[0]) * _length(where[1])
            if count > 2 * rows * columns or rows == columns == 1:
                break
            rows, columns = max(1, rows - 2 * (rows >= columns)), max(1, columns - 2 * (columns > rows))
        support = centred((rows, columns))
        if support not in supports:
            supports.append(support)
    return supports


def _largest_odd(n: int) -> int:
    """Return the largest odd size with a third of an axis of `n` left for positions."""
    return max(1, 2 * (n // 3) - 1)


def _length(positions: slice) -> int:
    return int(positions.stop - positions.start)


def _enough(pair: Pair, support: Support) -> bool:
    """Return whether enough positions remain without clipped values."""
    left = 0
    for plane in pair.planes:
        excluded = plane.excluded(support, censor=True)
        rows, columns = support.positions(*pair.shapes)
        left += _length(rows) * _length(columns) - (0 if excluded is None else int(excluded.sum()))
    return left > 2 * support.rows * support.columns


def shrink(moments: Moments, support: Support, noise: float, tolerance: float, share: float) -> Support:
    """Return the smallest part of `support` that explains the pair as well and contains the output pixel.

    Outer rows and columns are dropped one at a time, the least significant first, as long as the Wald statistic of
    their coefficients is not significant, or they are negligible.

    Parameters
    ----------
    moments : Moments
        Of all of `support`.
    noise : float
        Variance of the residual, for the significance of coefficients.
    tolerance, share : float
        A row is negligible if each of its coefficients is at most `share` of the largest, and dropping it raises the
        squared residual by at most the fraction `tolerance`.
    """
    inverse, kernel = moments.ridge_inverse()
    inverse, kernel = inverse.copy(), kernel.copy()
    index = np.arange(kernel.size).reshape(support.size)
    top, left, bottom, right = 0, 0, support.rows, support.columns
    residual = noise * max(1, moments.count)
    while True:
        box = index[top:bottom, left:right]
        anchor = -support.top - top, -support.left - left
        sides = {
            "top": (box[0], box.shape[0] > 1 and anchor[0] > 0, anchor[0]),
            "bottom": (
                box[-1],
                box.shape[0] > 1 and anchor[0] < box.shape[0] - 1,
                box.shape[0] - 1 - anchor[0],
            ),
            "left": (box[:, 0], box.shape[1] > 1 and anchor[1] > 0, anchor[1]),
            "right": (
                box[:, -1],
                box.shape[1] > 1 and anchor[1] < box.shape[1] - 1,
                box.shape[1] - 1 - anchor[1],
            ),
        }
        peak = np.abs(kernel[box]).max()
        best = None
        for name, (line, removable, distance) in sides.items():
            if not removable:
                continue
            m = line.size
            lost = float(kernel[line] @ np.linalg.solve(inverse[np.ix_(line, line)], kernel[line]))
            chance = noise * (m + 5.0 * np.sqrt(2.0 * m) + 10.0)
            slight = lost <= tolerance * residual and np.abs(kernel[line]).max() <= share * peak
            if lost <= chance or slight:
                key = (lost / chance > 0.05, -distance, lost / chance)
                if best is None or key < best[0]:
                    best = key, name, line
        if best is None:
            return Support(support.top + top, support.left + left, bottom - top, right - left)
        _, name, line = best
        weights = np.linalg.solve(inverse[np.ix_(line, line)], inverse[line])
        kernel -= weights.T @ kernel[line]
        inverse -= inverse[:, line] @ weights
        inverse[line, line] = 1.0
        top, bottom = top + (name == "top"), bottom - (name == "bottom")
        left, right = left + (name == "left"), right - (name == "right")
