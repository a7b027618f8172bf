"""Pixels that do not count: predicted beyond the range of the after, or of a value that the filter cannot have given.

Values left out because *they* lie at an end of the range bias a fit with noise: those moved inwards by the noise stay.
A pixel is left out where its *prediction* lies near an end, which does not depend on its noise; the fit and the set of
pixels are found in turn. Outliers are residuals of more than six robust standard deviations, which may vary with the
brightness, if they do not gather where the picture is busy: a filter that is not linear leaves its residuals there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kernelfield.learning.estimate import Estimate, estimate_kernel
from kernelfield.learning.pair import Pair
from kernelfield.learning.residual import Map, residual_maps
from kernelfield.learning.sums import Sums
from kernelfield.learning.support import Support

# Robust standard deviations beyond which a pixel is an outlier, and within which of an end a prediction is censored.
_OUTLIER, _MARGIN = 6.0, 3.0
# Standard deviations beyond which a residual says nothing of the shape of the curve.
_GROSS = 40.0
# Levels of the after below which nothing is an outlier.
_LEVELS = 16
# The largest share of outliers, and their largest mean rank of contrast: 0.5 where they lie anywhere.
_SHARE, _RANK = 0.25, 0.75
_ROUNDS, _SAMPLE, _BINS = 8, 1 << 16, 8
# Bins for the shape of the curve, and those at each end that may be level.
_CURVE_BINS, _LEVEL_BINS = 64, 20


@dataclass(frozen=True)
class Counted:
    """The estimate from the pixels that count, and those left out.

    Attributes
    ----------
    estimate : Estimate
    pair : Pair
        The pair without the pixels left out.
    outliers, censored : tuple of numpy.ndarray of bool or None
        One per plane, of the shape of the after.
    ends : (float, float)
        The range of the after that was used; infinite where none is seen.
    rule : Rule or None
        What is left out, for any tile of the picture.
    """

    estimate: Estimate
    pair: Pair
    outliers: tuple[np.ndarray | None, ...]
    censored: tuple[np.ndarray | None, ...]
    ends: tuple[float, float]
    rule: Rule | None = None

    @property
    def outlying(self) -> int:
        """Number of outliers."""
        return sum(int(mask.sum()) for mask in self.outliers if mask is not None)

    @property
    def censoring(self) -> bool:
        """Whether a prediction lies near an end."""
        return any(mask is not None for mask in self.censored)


@dataclass(frozen=True)
class Spread:
    """The robust standard deviation of the residual as a function of the predicted value, between centres of bins."""

    centres: np.ndarray
    widths: np.ndarray

    def __call__(self, predicted: np.ndarray) -> np.ndarray:
        """Return the standard deviation at predicted values."""
        found: np.ndarray = np.interp(predicted, self.centres, self.widths)
        return found


@dataclass(frozen=True)
class Rule:
    """Which pixels are left out of a fit, as a rule that gives the masks of any tile.

    Attributes
    ----------
    kernel, offsets, support
        The fit that predicts.
    spread : Spread
    ends, margin : tuple of float
        The range of the after, and the distance from its ends at which predictions are censored.
    outliers, censors : bool
        Whether residuals that are too large are left out, and predictions near the ends.
    """

    kernel: np.ndarray
    offsets: tuple[float, ...]
    support: Support
    spread: Spread
    ends: tuple[float, ...]
    margin: tuple[float, ...]
    outliers: bool = True
    censors: bool = True

    def __call__(self, pair: Pair) -> list[np.ndarray | None]:
        """Return the masks of the after of a tile."""
        support = pair.local(self.support)
        masks = []
        for part in residual_maps(pair, self.kernel, self.offsets, support):
            large = _outlying(part, self.spread, self.ends) if self.outliers else None
            masks.append(_either(large, _beyond(part, self.ends, list(self.margin)) if self.censors else None))
        return placed(pair, support, tuple(masks))


def count_outliers(pair: Pair, rule: Rule) -> int:
    """Return how many pixels of the pair the outliers of a rule are."""
    return int(pair.total(_outliers_of_tile, replace(rule, outliers=True, censors=False)).added[0])


def _outliers_of_tile(pair: Pair, rule: Rule) -> Sums:
    return Sums.of(sum(int(np.count_nonzero(mask)) for mask in rule(pair) if mask is not None))


def count_out(pair: Pair, estimate: Estimate) -> Counted:
    """Return the estimate over the pixels that count.

    Parameters
    ----------
    pair : Pair
        With its clipped values.
    estimate : Estimate
        The first estimate; those after it have its support.
    """
    known = (-np.inf, np.inf)
    if pair.ends is not None and pair.clipped:
        known = (
            pair.ends.low if pair.ends.low_piled else -np.inf,
            pair.ends.high if pair.ends.high_piled else np.inf,
        )
    ends: tuple[float, ...] = known
    outliers: list[np.ndarray | None] = [None] * len(pair.planes)
    censored: list[np.ndarray | None] = [None] * len(pair.planes)
    used = pair
    rule: Rule | None = None
    previous, last = -1, estimate
    for _ in range(_ROUNDS):
        last = estimate
        maps = residual_maps(pair.sample, estimate.kernel, estimate.offsets, estimate.support)
        sample = _sampled(maps)
        if sample.predicted.size < 100:
            break
        spread = _spread(sample, pair.step)
        if pair.seek_ends and not np.isfinite(known).all():
            # Outliers that the fit still follows bend its curve: they go first.
            trial = [_outlying(part, spread, known) for part in maps]
            first = previous < 0 and _credible(maps, trial)
            inside = np.abs(sample.residual) <= _GROSS * spread(sample.predicted)
            sample = _Sample(sample.predicted[inside], sample.residual[inside])
        if pair.seek_ends and not np.isfinite(known).all() and not first:
            seen = _found_ends(sample, float(np.median(spread(sample.predicted))))
            ends = tuple(a if np.isfinite(a) else b for a, b in zip(known, seen))
        outliers = [_outlying(part, spread, ends) for part in maps]
        # In a drawing of few levels what is rare is the picture. A sample without outliers says nothing of the rest.
        none = all(mask is None for mask in outliers)
        credible = pair.levels >= _LEVELS and (none or _credible(maps, outliers))
        if not credible:
            outliers = [None] * len(maps)
        margin = [_MARGIN * float(spread(np.array([end]))[0]) + pair.step for end in ends]
        censored = [_beyond(part, ends, margin) for part in maps]
        both = placed(pair.sample, estimate.support, tuple(_either(a, b) for a, b in zip(outliers, censored)))
        left = sum(int(mask.sum()) for mask in both if mask is not None)
        whole = sum(part.residual.size for part in maps)
        if left > 0.8 * whole:
            return Counted(estimate, used, (None,) * len(maps), (None,) * len(maps), known)
        rule = Rule(estimate.kernel, estimate.offsets, estimate.support, spread, ends, tuple(margin), credible)
        used = pair.without(both, rule)
        if not left and previous < 0 and pair.sample is pair:
            break
        estimate = estimate_kernel(used, estimate.support)
        # In a large image some pixels go to and fro for ever.
        if not left or (previous >= 0 and abs(left - previous) <= 1e-5 * whole):
            break
        previous = left
    whole_outliers, whole_censored = (
        tuple(placed(pair.sample, last.support, tuple(masks))) for masks in (outliers, censored)
    )
    return Counted(estimate, used, whole_outliers, whole_censored, (ends[0], ends[1]), rule)


@dataclass(frozen=True)
class _Sample:
    predicted: np.ndarray
    residual: np.ndarray


def _sampled(maps: list[Map]) -> _Sample:
    """Return predicted values and residuals of pixels spread over the image."""
    total = sum(part.residual.size for part in maps)
    every = max(1, total // _SAMPLE) | 1
    predicted, residual = [], []
    for part in maps:
        keep = slice(None) if part.bad is None else ~part.bad.ravel()[::every]
        predicted.append(part.predicted.ravel()[::every][keep])
        residual.append(part.residual.ravel()[::every][keep])
    return _Sample(np.concatenate(predicted), np.concatenate(residual))


def _spread(sample: _Sample, step: float) -> Spread:
    """Return the robust standard deviation of the residual as a function of the predicted value."""
    order = np.argsort(sample.predicted)
    bins = np.array_split(order, _BINS if order.size >= 50 * _BINS else 1)
    centres = np.array([sample.predicted[part].mean() for part in bins])
    middles = np.array([np.median(sample.residual[part]) for part in bins])
    widths = np.array([1.4826 * np.median(np.abs(sample.residual[part] - m)) for part, m in zip(bins, middles)])
    whole = 1.4826 * float(np.median(np.abs(sample.residual - np.median(sample.residual))))
    # A bin of flat parts, where the residual is 0, does not make others outliers.
    return Spread(centres, np.maximum(widths, max(0.5 * whole, step / np.sqrt(12.0))))


def _found_ends(sample: _Sample, noise: float) -> tuple[float, float]:
    """Return the levels at which the after stops following the prediction, infinite where it does not stop.

    The after as a function of the prediction is fitted as a line between two levels; a first fit that clipped values
    have flattened makes the line steeper than 1.
    """
    bins = np.array_split(np.argsort(sample.predicted), _CURVE_BINS)
    counts = np.array([part.size for part in bins], dtype=np.float64)
    x = np.array([sample.predicted[part].mean() for part in bins])
    y = np.array([(sample.predicted[part] + sample.residual[part]).mean() for part in bins])

    def cost(low: int, high: int) -> float:
        """Return the misfit with so many bins level at each end."""
        middle = slice(low, len(x) - high)
        total = 0.0
        for part in (slice(0, low), slice(len(x) - high, len(x))):
            if y[part].size:
                level = float(counts[part] @ y[part] / counts[part].sum())
                total += float((counts[part] * (y[part] - level) ** 2).sum())
        roots = np.sqrt(counts[middle])
        design = np.stack([roots, roots * x[middle]], axis=1)
        found = np.linalg.lstsq(design, roots * y[middle], rcond=None)[0]
        return total + float(((roots * y[middle] - design @ found) ** 2).sum())

    costs = {(low, high): cost(low, high) for low in range(_LEVEL_BINS) for high in range(_LEVEL_BINS)}
    low, high = min(costs, key=lambda key: costs[key])
    # Bins of pure noise differ by their standard errors, of both sides of a bin's middle.
    chance = 9.0 * noise**2 * len(bins) / 4.0
    if costs[low, high] > 0.4 * costs[0, 0] or costs[0, 0] - costs[low, high] < chance:
        return -np.inf, np.inf
    ends = [-np.inf, np.inf]
    if low and costs[0, high] - costs[low, high] > chance:
        ends[0] = float(counts[:low] @ y[:low] / counts[:low].sum())
    if high and costs[low, 0] - costs[low, high] > chance:
        ends[1] = float(counts[-high:] @ y[-high:] / counts[-high:].sum())
    return ends[0], ends[1]


def _outlying(part: Map, spread: Spread, ends: tuple[float, ...]) -> np.ndarray | None:
    """Return the mask of residuals that are too large; a clipped value is none."""
    clear = np.clip(part.predicted, ends[0], ends[1])
    residual = part.residual + (part.predicted - clear)
    large = np.abs(residual) > _OUTLIER * spread(clear)
    if part.bad is not None:
        large &= ~part.bad
    return large if large.any() else None


def _credible(maps: list[Map], outliers: list[np.ndarray | None]) -> bool:
    """Return whether the outliers are few and do not gather where the picture is busy."""
    count = sum(int(mask.sum()) for mask in outliers if mask is not None)
    total = sum(part.residual.size for part in maps)
    if not count or count > _SHARE * total:
        return False
    if count <= 3:
        return True
    ranks = []
    for part, mask in zip(maps, outliers):
        if mask is not None:
            usual = np.sort(part.contrast.ravel()[:: max(1, part.contrast.size >> 14)])
            ranks.append(np.searchsorted(usual, part.contrast[mask]) / max(1, usual.size))
    return bool(np.concatenate(ranks).mean() < _RANK + 0.6 / np.sqrt(12.0 * count))


def _beyond(part: Map, ends: tuple[float, ...], margin: list[float]) -> np.ndarray | None:
    """Return the mask of predictions near or beyond an end."""
    if not np.isfinite(ends).any():
        return None
    mask = (part.predicted < ends[0] + margin[0]) | (part.predicted > ends[1] - margin[1])
    return mask if mask.any() else None


def _either(a: np.ndarray | None, b: np.ndarray | None) -> np.ndarray | None:
    return b if a is None else a if b is None else np.logical_or(a, b)


def placed(pair: Pair, support: Support, masks: tuple[np.ndarray | None, ...]) -> list[np.ndarray | None]:
    """Return masks of the positions of a support as masks of the whole after."""
    rows, columns = support.positions(*pair.shapes)
    whole: list[np.ndarray | None] = []
    for mask in masks:
        if mask is None:
            whole.append(None)
            continue
        full = np.zeros(pair.shapes[1], bool)
        full[rows, columns] = mask
        whole.append(full)
    return whole


def without_ends(pair: Pair) -> Pair:
    """Return the pair with all its values taken as they are."""
    return replace(pair, ends=None, planes=tuple(replace(plane, clipped=None) for plane in pair.planes))
