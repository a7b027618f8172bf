"""A test of the residual against pixels that are independent of their neighbours, as noise is.

The sum of products of residuals a lag apart, over the root of the sum of their squared products, is standard normal for
residuals that are independent, whether or not their variances are equal (Moran, *Biometrika* 37, 17, 1950, for
neighbours in the plane; the scaling by squared products is that of Lobato, Nankervis and Savin, *International Economic
Review* 42, 187, 2001, equation 6). The squares over several lags add to a χ², as in the test of Box and Pierce.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.stats

if TYPE_CHECKING:
    from kernelfield.learning.fit import Fit
    from kernelfield.learning.plot import Compared

# Rows and columns up to which residuals are compared.
_REACH = 2
# Standard deviations of the residual that a prediction lies inside the range.
_INSIDE = 4.0
#: The lags of half a plane; the others are their mirror images.
LAGS = tuple((i, j) for i in range(_REACH + 1) for j in range(-_REACH, _REACH + 1) if (i, j) > (0, 0))


@dataclass(frozen=True)
class Structure:
    """The test of a residual against pixels that are independent of their neighbours.

    Attributes
    ----------
    statistic : float
        χ² over the lags, of the channel with the most structure.
    freedom : int
        Lags.
    p_value : float
        Probability of a statistic as large, in any channel, for independent residuals: below 0.01 for one in 100.
    moran : float
        Moran's I: the correlation of residuals beside and below each other.
    strongest : (int, int)
        The lag, rows and columns, of the strongest correlation, which `correlation` is.
    correlation : float
    count : int
        Pixels that count.
    """

    statistic: float
    freedom: int
    p_value: float
    moran: float
    strongest: tuple[int, int]
    correlation: float
    count: int

    def __str__(self) -> str:
        down, right = self.strongest
        if not self.count:
            return "not known: no prediction lies inside the range of the numbers"
        if self.p_value >= 0.01:
            return f"no structure: its pixels are independent of their neighbours, as noise is (p {self.p_value:.2g})"
        return (
            f"structure: pixels {down} down and {abs(right)} to the {'left' if right < 0 else 'right'} of each other "
            f"have a correlation of {self.correlation:.2g} (p {self.p_value:.2g})"
        )


def structure(residuals: list[np.ndarray]) -> Structure:
    """Return the test of the residuals of each channel, shape (H, W); NaN does not count."""
    channels = [_of_channel(residual) for residual in residuals]
    worst = min(channels, key=lambda one: one.p_value)
    # Channels share their noise, and so the least of their p-values is taken for as many trials (Bonferroni).
    return replace(worst, p_value=min(1.0, worst.p_value * len(channels)))


def _of_channel(residual: np.ndarray) -> Structure:
    """Return the test of one channel."""
    known = np.isfinite(residual)
    count = int(known.sum())
    r = np.where(known, residual, 0.0).astype(np.float64)
    r[known] -= r[known].mean() if count else 0.0
    # Squares of squares neither overflow nor vanish.
    r /= max(float(np.abs(r).max(initial=0.0)), 1e-300)
    variance = float((r**2).sum()) / max(count, 1)
    statistic, correlations, near = 0.0, [], [0.0, 0.0]
    for down, right in LAGS:
        both = _beside(r, down, right)
        total, scale = float(both.sum()), float((both**2).sum())
        pairs = float(_beside(known.astype(np.float64), down, right).sum())
        statistic += total**2 / scale if scale > 0.0 else 0.0
        correlations.append(total / max(pairs, 1.0) / max(variance, 1e-300))
        if down + abs(right) == 1:
            near = [near[0] + total, near[1] + pairs]
    strongest = int(np.argmax(np.abs(correlations)))
    return Structure(
        statistic=statistic,
        freedom=len(LAGS),
        p_value=float(scipy.stats.chi2.sf(statistic, len(LAGS))),
        moran=near[0] / max(near[1], 1.0) / max(variance, 1e-300),
        strongest=LAGS[strongest],
        correlation=correlations[strongest],
        count=count,
    )


def _beside(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """Return the products of pixels and those a lag away."""
    rows, columns = image.shape
    first = image[: rows - down, max(0, -right) : columns - max(0, right)]
    second = image[down:, max(0, right) : columns - max(0, -right)]
    if 0 in first.shape or 0 in second.shape:
        return np.zeros((0, 0))
    both: np.ndarray = first * second
    return both


def structure_of_pair(fit: Fit, before: Any, after: Any, channel_axis: int | str | None) -> Structure:
    """Return the test of what a fit leaves of a pair; arguments as in `Fit.residual_structure`."""
    from kernelfield.learning.plot import of_pair

    return structure_of(of_pair(fit, before, after, channel_axis))


def structure_of(pair: Compared) -> Structure:
    """Return the test of the residual of a pair, of pixels whose prediction lies inside the range of an integer type.

    Noise near an end is cut off there. To leave out the values at the end would keep the other half of it.
    """
    left, after = pair.residual, pair.after
    if after.dtype.kind in "iu":
        limits, predicted = np.iinfo(after.dtype), after - left
        known = left[np.isfinite(left)]
        margin = _INSIDE * float(known.std()) if known.size else 0.0
        inside = (predicted > limits.min + margin) & (predicted < limits.max - margin)
        left = np.where(inside, left, np.nan)
    return structure([left] if left.ndim == 2 else list(np.moveaxis(left, 2, 0)))
