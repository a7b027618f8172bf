"""Whether what a filter leaves is a function of the colour: rounding, noise and neighbours leave none.

Pixels of one colour are one sample, so that what rounding leaves of each of a few colours is no function of them. The
share of the variance that a function explains is that of the samples less what chance gives (Ezekiel's adjusted R²;
Yin and Fan, *Journal of Experimental Education* 69, 203, 2001, equation 1), and counts where an F test finds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

# Colours that are compared, the fewest samples a number of the function, and standard deviations that an F statistic
# has to exceed its mean by.
_SOME, _FEWEST, _SIGNIFICANT = 20_000, 3, 6.0
# Variances of rounding that a line leaves at most where nothing else happened; those that eight bits between leave at
# most; and the share of what is left that functions of the colour explain at most then. Of 32 ways through YUV, YCbCr,
# XYZ, Lab, Luv, HSV and HLS of 8 bits, matrices and gains, of eleven pictures and their palettes of 64 and 16 colours,
# those that clip nothing between left up to 17.8, of which functions explained up to 0.33. Of 46 changes of colours
# that no matrix gives, of as many pictures, 423 left more than one rounding: 390 of them more than either. The limits
# were chosen on these.
_ROUNDED, _TWICE, _BENT = 1.05, 20.0, 0.35
# Bins along each axis of the cube of colours, by their number.
_BINS = {1: 32, 2: 10, 3: 6}


def bends(colours: np.ndarray, left: np.ndarray, rounding: float) -> bool:
    """Return whether what a linear function of the colours leaves of pixels is more than rounding, between steps too.

    Parameters
    ----------
    colours, left : numpy.ndarray
        As in `share_by_colour`, where pixels of one colour are left alike.
    rounding : float
        The variance that rounding leaves.

    Examples
    --------
    >>> levels = np.arange(20_000)[:, None] % 256.0
    >>> bends(levels, np.rint(0.9 * levels) - 0.9 * levels, 1 / 12)
    False
    >>> curve = 255 * (levels / 255) ** 0.97
    >>> bends(levels, np.rint(curve) - np.polyval(np.polyfit(levels[:, 0], curve[:, 0], 1), levels), 1 / 12)
    True
    """
    variance = float((left**2).mean())
    if variance <= _ROUNDED * rounding:
        return False
    # Of few colours functions explain anything.
    return variance > _TWICE * rounding or share_by_colour(colours, left) > _BENT


def share_by_colour(colours: np.ndarray, left: np.ndarray) -> float:
    """Return the share of the variance of what is left that a function of the colour explains; 0 for chance.

    Parameters
    ----------
    colours : numpy.ndarray, shape (N, C)
    left : numpy.ndarray, shape (N, O)
        Of least squares with a constant.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> colours = rng.integers(0, 256, (5000, 3))
    >>> left = rng.normal(size=(5000, 1))
    >>> share_by_colour(colours, left)
    0.0
    >>> round(share_by_colour(colours, left + (colours[:, :1] / 128.0 - 1) ** 2 * 3), 1)
    0.5
    """
    every = max(1, len(colours) // _SOME)
    found, which, counts = np.unique(colours[::every], axis=0, return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(which.ravel(), one, len(found)) for one in left[::every].T], axis=1)
    values = sums / counts[:, None]
    values = values - values.mean(axis=0)
    scaled = found.astype(np.float64) - found.mean(axis=0)
    scaled /= np.maximum(np.abs(scaled).max(axis=0), 1e-300)
    line = np.c_[np.ones(len(scaled)), scaled]
    linear = _rest(line, values)
    richer = [_rest(_smooth(scaled, degree), values) for degree in (1, 2, 3)]
    where = _bins(scaled)
    binned = _rest(_about_means(scaled, where), _about_means(values, where))
    richer.append(_Rest(binned.square, binned.rank + int(where.max()) + 1))
    return max(_gain(linear, one, *values.shape) for one in richer)


@dataclass(frozen=True)
class _Rest:
    """The sum of squares that least squares leaves, and the numbers that it took."""

    square: float
    rank: int


def _rest(table: np.ndarray, values: np.ndarray) -> _Rest:
    """Return what the best sums of the columns of a table leave."""
    found, _, rank, _ = np.linalg.lstsq(table, values, rcond=1e-9)
    return _Rest(float(((values - table @ found) ** 2).sum()), int(rank))


def _gain(less: _Rest, more: _Rest, samples: int, outputs: int) -> float:
    """Return the adjusted share of what one leaves that another explains; 0 for chance."""
    extra, freedom = more.rank - less.rank, samples - more.rank
    if extra <= 0 or samples < _FEWEST * more.rank or not less.square > 0.0:
        return 0.0
    statistic = (less.square - more.square) / max(more.square, 1e-300) * freedom / extra
    if statistic < 1.0 + _SIGNIFICANT * float(np.sqrt(2.0 / (extra * outputs))):
        return 0.0
    return max(0.0, 1.0 - more.square / freedom * (samples - less.rank) / less.square)


def _smooth(colours: np.ndarray, most: int) -> np.ndarray:
    """Return polynomials of colours up to a degree, and of at most 2 of their largest and smallest channel."""
    terms = [np.ones(len(colours)), *_powers(colours, most)]
    if colours.shape[1] > 1:
        terms += _powers(np.stack([colours.max(axis=1), colours.min(axis=1)], axis=1), min(most, 2))
    return np.stack(terms, axis=1)


def _powers(values: np.ndarray, most: int) -> list[np.ndarray]:
    """Return the products of up to so many columns."""
    degrees = range(1, most + 1)
    chosen = (each for n in degrees for each in combinations_with_replacement(range(values.shape[1]), n))
    return [values[:, each].prod(axis=1) for each in chosen]


def _bins(colours: np.ndarray) -> np.ndarray:
    """Return the number of the bin of the cube in which each colour lies."""
    bins = _BINS.get(colours.shape[1], 4)
    places = np.minimum(((colours + 1.0) / 2.0 * bins).astype(np.int64), bins - 1)
    found: np.ndarray = np.unique(places, axis=0, return_inverse=True)[1].ravel()
    return found


def _about_means(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Return values less the means of their bins."""
    counts = np.bincount(where)
    means = np.stack([np.bincount(where, one) / counts for one in values.T], axis=1)
    found: np.ndarray = values - means[where]
    return found
