"""The held-out test: whether weights fitted to a part of the pixels reproduce the others by rounding.

Of few pixels a weight, free weights reproduce by rounding what no filter made: a bilateral filter over a small crop is
one of several hundred weights to them. Weights of the filter itself, fitted to some tiles, give the other tiles but for
their errors, of ``p / n`` of the variance of rounding; of pixels that were held out the share outside half a step is
then about ``sqrt(p / (6 pi n))``. Where it is more, either no filter made the after or the pixels cannot tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kernelfield.errors import ArgumentError, DataError, received
from kernelfield.learning.estimate import estimate_kernel, of_statistics
from kernelfield.learning.filtering import check_plain
from kernelfield.learning.pair import Pair, prepare
from kernelfield.learning.residual import blocks
from kernelfield.learning.support import Support

if TYPE_CHECKING:
    from kernelfield.learning.fit import Fit

# Pixels a weight from which on no test is needed, parts that are held out in turn, and the sides of their tiles.
_PLENTY, _FOLDS, _TILES = 30, 4, (4, 16)
# The largest share of held-out pixels outside half a step. In trials over crops of photographs Gaussian blurs of
# 10 pixels a weight and more left 0.03 to 0.107; free weights that reproduced a bilateral filter across edges 0.125 to
# 0.28. Blurs of 3 to 8 pixels a weight leave 0.1 to 0.3 too: so few pixels are no proof.
_SHARE = 0.11


def holds_elsewhere(pair: Pair, support: Support) -> bool:
    """Return whether weights over `support` that reproduce all pixels of a pair reproduce held-out ones."""
    share = share_outside(pair, support)
    return share is None or share <= _SHARE


def share_outside(pair: Pair, support: Support) -> float | None:
    """Return the share of held-out pixels farther than half a step from their prediction.

    None where there are so many pixels a weight that no test is needed.
    """
    rows, columns = support.positions(*pair.shapes)
    if (rows.stop - rows.start) * (columns.stop - columns.start) * len(pair.planes) > 2 * _PLENTY * support.parameters:
        return None
    least, most = _TILES
    side = min(most, max(least, min(pair.shapes[1]) // _FOLDS))
    tile = [np.arange(n) // side for n in pair.shapes[1]]
    fold = (tile[0][:, None] + 2 * tile[1]) % _FOLDS
    outside = count = 0
    for k in range(_FOLDS):
        held, others = (pair.without([mask] * len(pair.planes)) for mask in (fold != k, fold == k))
        try:
            estimate = estimate_kernel(others, support)
        except DataError:
            return 1.0
        for plane, offset in zip(held.planes, estimate.offsets):
            for block in blocks(plane, estimate.kernel, offset, support, dtype=np.float64):
                left = np.abs(block.residual if block.bad is None else block.residual[~block.bad])
                outside += int(np.count_nonzero(left > pair.step / 2.0))
                count += left.size
    return outside / max(1, count)


# Tiles along each axis of which folds are made.
_ACROSS = 8


def held_out_r2(fit: Fit, before: Any, after: Any, folds: int, channel_axis: int | str | None) -> float:
    """Return R² of tiles by the kernels of the others; arguments as in `Fit.held_out_r2`."""
    check_plain(fit, "fit")
    pair = prepare(before, after, channel_axis=channel_axis).without_clipped()
    if isinstance(folds, bool) or not isinstance(folds, int) or not 2 <= folds <= _ACROSS:
        raise ArgumentError(f"folds: expected an integer from 2 to {_ACROSS}; received {received(folds)}")
    rows, columns = fit.size
    if pair.same_size:
        support = Support(-fit.anchor[0], -fit.anchor[1], rows, columns)
    else:
        row, column = fit.anchor if fit.frame is None else fit.frame
        support = Support(row - fit.anchor[0], column - fit.anchor[1], rows, columns)
    cuts = [np.arange(n) * _ACROSS // n for n in pair.shapes[1]]
    fold = (cuts[0][:, None] + 3 * cuts[1]) % folds
    parts = [pair.without([fold != k] * len(pair.planes)).statistics(support) for k in range(folds)]
    left = whole = 0.0
    for k, held in enumerate(parts):
        rest = [sum(others[1:], start=others[0]) for others in zip(*(part for i, part in enumerate(parts) if i != k))]
        estimate = of_statistics(rest, support, pair.epsilon)
        for own, of_rest, offset in zip(held, rest, estimate.offsets):
            left += own.unexplained(estimate.kernel, offset)
            # About the mean of the others: that of the held-out pixels is not known either.
            mean = of_rest.after_shift + of_rest.after_total / max(1, of_rest.count)
            whole += own.unexplained(np.zeros(support.size), mean)
    return 1.0 - left / whole if whole > 0.0 else float(left == 0.0)
