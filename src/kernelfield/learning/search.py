"""Finding the size of a kernel and where it lies, when nobody says."""

from __future__ import annotations

from kernelfield.errors import DataError
from kernelfield.learning.exact import solve
from kernelfield.learning.pair import Pair
from kernelfield.learning.support import Support, centred, shrink

_LEVELS = (7, 15, 31)
# Multiply-adds that one level may take; beyond it a part of the positions serves.
_MOST = 12_000_000_000
# A residual on a grid or after something not linear is not white, and chance reaches further than for white noise.
_NOT_WHITE = 3.0
# Growth of the squared residual and share of the largest coefficient below which an outer row hardly matters: where
# only rounding is left, where more is left. Rounding that follows the signal was seen to give 5e-4 where nothing is.
_ROUNDED, _MORE = (1e-3, 1e-3), (1e-4, 5e-3)


def find_support(pair: Pair, max_size: int) -> tuple[Support, bool, float]:
    """Return the support of the kernel, whether clipped values have to be left out for it, and the residual's variance.

    The largest support is tried in steps. The first that leaves no more than rounding ends the search; otherwise the
    largest counts. Its Gram matrix holds those of all smaller supports, and it is shrunk from the outside.
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
                    # Larger kernels explain the pair as well as smaller ones: none of them is the answer.
                    return support, censor, noise
                if pair.step > 0.0:
                    return shrink(moments, support, _NOT_WHITE * max(noise, 0.2 * allowed), *_ROUNDED), censor, noise
                return shrink(moments, support, max(noise, 0.2 * allowed), 0.0, 0.0), censor, noise
            found = moments, support, noise
    if found is None:
        rows, columns = pair.shapes[0]
        raise DataError(
            f"before, after: expected at least 3 pixels that count for each coefficient; received {rows}×{columns} "
            "pixels, less what is left out; take a larger image or say size="
        )
    if pair.clipped and not _enough(pair, supports[0]):
        moments = pair.moments(supports[0], False, _MOST)
        _, kernel = moments.ridge_inverse()
        noise = moments.unexplained(kernel) / moments.freedom
        return shrink(moments, supports[0], _NOT_WHITE * noise, *_MORE), False, noise
    moments, support, noise = found
    return shrink(moments, support, _NOT_WHITE * noise, *_MORE), pair.clipped, noise


def widened(support: Support, pair: Pair, max_size: int) -> Support:
    """Return the next larger support that producers use: odd and centred; `support` itself where there is none."""
    closure = [2 * max(-first, first + n - 1) + 1 for first, n in zip((support.top, support.left), support.size)]
    if tuple(closure) == support.size:
        closure = [n + 2 for n in closure]
    sizes = [n for n, length in zip(closure, pair.shapes[0]) if n <= min(max_size, _largest_odd(length))]
    return centred((sizes[0], sizes[1])) if len(sizes) == 2 else support


def _levels(pair: Pair, max_size: int) -> list[Support]:
    """Return the supports to try, smallest first, as far as the pair has positions for them."""
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
    """Return the largest odd size that leaves a third of an axis of `n` for positions."""
    return max(1, 2 * (n // 3) - 1)


def _length(positions: slice) -> int:
    return int(positions.stop - positions.start)


def _enough(pair: Pair, support: Support) -> bool:
    """Return whether enough positions remain once clipped values are left out."""
    left = 0
    for plane in pair.planes:
        excluded = plane.excluded(support, censor=True)
        rows, columns = support.positions(*pair.shapes)
        left += _length(rows) * _length(columns) - (0 if excluded is None else int(excluded.sum()))
    return left > 2 * support.rows * support.columns
