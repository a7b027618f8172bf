"""Whether what a filter leaves depends on the order and the contrast of the pixels around, as no linear filter does.

The residual is regressed on the extremes, the median and the spread of small windows, beside the window itself, means
over wider ones, and squares of both: what these explain beyond them is no linear filter's, nor one's between curves.
"""

from __future__ import annotations

import numpy as np

from kernelfield.learning.pair import Plane
from kernelfield.learning.residual import Map
from kernelfield.learning.support import Support

# Side of the part that is looked at, the widest window, and the fewest pixels a number that is fitted.
_SIDE, _WIDEST, _FEWEST = 192, 15, 20
# The share of the residual from which on it depends on the order of the pixels around. Of 90 pairs of linear filters
# of three photographs and of the simulator, with noise in before or after, JPEG before or after, outliers, rounding
# between and sizes that were given too small, order explained up to 0.13, and of filters of light up to 0.27; of 21
# of mean bilateral filters, total variation, Wiener's filter, diffusion, thresholds in a sharpening and medians
# before a blur 0.27 to 0.78, of 18 more than 0.3. It was chosen on these; of the linear filters of `make producers`,
# which had no part in that, none was taken for another.
_ORDERED = 0.3


def adapts(plane: Plane, part: Map, support: Support) -> str | None:
    """Return how a filter adapts to the pixels around, as a phrase; None if it does not, or if nothing tells."""
    rows, columns = support.positions(plane.before.shape, plane.after.shape)
    cut = []
    for place, n in zip((rows, columns), plane.before.shape):
        first, last = max(place.start, _WIDEST // 2), min(place.stop, n - _WIDEST // 2)
        middle = max(first, (first + last - _SIDE) // 2)
        cut.append(slice(middle, min(last, middle + _SIDE)))
    if min(one.stop - one.start for one in cut) < 2 * _WIDEST:
        return None
    inner = tuple(slice(one.start - place.start, one.stop - place.start) for one, place in zip(cut, (rows, columns)))
    predicted, residual = (image[inner].astype(np.float64) for image in (part.predicted, part.residual))
    keep = np.ones(residual.shape, bool) if part.bad is None else ~part.bad[inner]
    reach = _WIDEST // 2
    wide = plane.before[cut[0].start - reach : cut[0].stop + reach, cut[1].start - reach : cut[1].stop + reach].astype(
        np.float64
    )
    if keep.sum() < _FEWEST * 68:
        return None
    if by_order(wide - wide.mean(), predicted, residual, keep) > _ORDERED:
        return (
            "a filter that depends on the order or the contrast of the pixels around (order statistics, morphology, "
            "noise removal, edges that are kept, a threshold)"
        )
    return None


def by_order(wide: np.ndarray, predicted: np.ndarray, residual: np.ndarray, keep: np.ndarray) -> float:
    """Return the share of a residual that order and contrast of small windows explain beside the pixels themselves.

    Parameters
    ----------
    wide : numpy.ndarray, shape (H + 14, W + 14)
        The before with a margin, about its mean.
    predicted, residual, keep : numpy.ndarray, shape (H, W)
    """
    from scipy.ndimage import maximum_filter, median_filter, minimum_filter, uniform_filter

    reach = _WIDEST // 2

    def placed(image: np.ndarray, down: int = 0, right: int = 0) -> np.ndarray:
        rows, columns = residual.shape
        part: np.ndarray = image[reach + down : reach + down + rows, reach + right : reach + right + columns][keep]
        return part

    sizes = (3, 7, 11, _WIDEST)
    means, squares = ({size: uniform_filter(image, size) for size in sizes} for image in (wide, wide**2))
    near, far = (np.sqrt(np.maximum(squares[size] - means[size] ** 2, 0.0)) for size in (3, 7))
    scale = max(float(near.mean()), 1e-300)
    off = (wide - means[3]) / scale
    ordered = [
        maximum_filter(wide, 3),
        minimum_filter(wide, 3),
        median_filter(wide, 3),
        near,
        far,
        off**3 / (1.0 + off**2),
        off * near / scale,
        np.abs(off),
    ]
    # Of filters between curves, as of light, squares tell the most.
    around = [placed(image, i, j) for image in (wide, wide**2) for i in range(-2, 3) for j in range(-2, 3)]
    others = [placed(image) for image in (*means.values(), *squares.values())]
    known = np.stack([np.ones(int(keep.sum())), *around, *others, (predicted[keep] - predicted[keep].mean()) ** 2])
    values = residual[keep]
    less = _left(known, values)
    more = _left(np.concatenate([known, np.stack([placed(image) for image in ordered])]), values)
    return 1.0 - more / less if less > 0.0 else 0.0


def _left(terms: np.ndarray, values: np.ndarray) -> float:
    """Return the sum of squares that the best sum of some terms, one a row, leaves of values."""
    scaled = terms / np.maximum(np.sqrt((terms**2).sum(axis=1, keepdims=True)), 1e-300)
    found = np.linalg.lstsq(scaled @ scaled.T, scaled @ values, rcond=1e-10)[0]
    return float(((values - found @ scaled) ** 2).sum())
