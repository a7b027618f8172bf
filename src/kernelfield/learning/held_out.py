"""The held-out test: whether weights fitted to a part of the pixels reproduce the others by rounding.

Of few pixels a weight, free weights reproduce by rounding what no filter made: a bilateral filter over a small crop is
one of several hundred weights to them. Weights of the filter itself, fitted to some tiles, give the other tiles but for
their errors, of ``p / n`` of the variance of rounding; of pixels that were held out the share outside half a step is
then about ``sqrt(p / (6 pi n))``. Where it is more, either no filter made the after or the pixels cannot tell.
"""

from __future__ import annotations

import numpy as np

from kernelfield.errors import DataError
from kernelfield.learning.estimate import estimate_kernel
from kernelfield.learning.pair import Pair
from kernelfield.learning.periods import distinct
from kernelfield.learning.residual import blocks
from kernelfield.learning.support import Support

# Pixels a weight from which on no test is needed, parts that are held out in turn, and the sides of their tiles.
_PLENTY, _FOLDS, _TILES = 30, 4, (4, 16)
# Different windows a weight below which a picture that repeats proves nothing.
_FEW = 10
# The largest share of held-out pixels outside half a step. In trials over crops of photographs Gaussian blurs of
# 10 pixels a weight and more left 0.03 to 0.107; free weights that reproduced a bilateral filter across edges 0.125 to
# 0.28. Blurs of 3 to 8 pixels a weight leave 0.1 to 0.3 too: so few pixels are no proof.
_SHARE = 0.11


def holds_elsewhere(pair: Pair, support: Support) -> bool:
    """Return whether weights over `support` that reproduce all pixels of a pair reproduce held-out ones."""
    # What repeats holds nothing out: its tiles are the same.
    windows = sum(distinct(plane.before) for plane in pair.planes)
    if 0 < windows < _FEW * support.parameters:
        return False
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
