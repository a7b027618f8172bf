"""Pixels that do not count: predicted beyond the range of the after, or of a value that the filter cannot have given.

Values left out because *they* lie at an end of the range bias a fit with noise: those moved inwards by the noise stay.
A pixel is left out where its *prediction* lies near an end, which does not depend on its noise; the fit and the set of
pixels are found in turn. Outliers are residuals of more than six robust standard deviations, which may vary with the
brightness, if they do not gather where the picture is busy: a filter that is not linear leaves its residuals there.
A few enormous ones bend the first fit until parts of the picture lie as far off as lesser outliers do: where all that
are too large are no outliers together, the gross ones and the largest are tested alone, and the fit without them
tells the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from kernelfield.learning.estimate import Estimate, estimate_kernel
from kernelfield.learning.ordering import bin_means, bin_starts, order_of
from kernelfield.learning.pair import Pair, Plane, number_of
from kernelfield.learning.residual import blocks, sampled
from kernelfield.learning.sums import Sums
from kernelfield.learning.support import Support

# Robust standard deviations beyond which a pixel is an outlier, and within which of an end a prediction is censored.
_OUTLIER, _MARGIN = 6.0, 3.0
# Standard deviations beyond which a residual says nothing of the shape of the curve, and is tested alone.
_GROSS = 40.0
# Share of the largest residual beyond which one is tested alone.
_DECADE = 0.1
# Levels of the after below which nothing is an outlier.
_LEVELS = 16
# The largest share of outliers, and their largest mean rank of contrast: 0.5 where they lie anywhere; standard
# deviations of it that chance does not give.
_SHARE, _RANK, _FAR = 0.25, 0.75, 3.5
_ROUNDS, _SAMPLE, _BINS = 8, 1 << 16, 8
# Residuals of which half the standard deviation is the least that a bin is taken to have.
_ROUGH = 1 << 13
# Pixels up to which the sample is of all rows; bands of rows that it is of where there are more.
_ALL, _BANDS = 1 << 20, 48
# The smallest share of the pixels, and pixels for each weight, that may be left; times that margins are halved for it.
_KEPT, _FOR_A_WEIGHT, _HALVINGS = 0.05, 20, 4
# Share of the pixels predicted beyond an end that may be elsewhere.
_CONTRADICTED = 0.05
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
    outliers : tuple of numpy.ndarray of bool or None
        One per plane, of the shape of the after.
    censoring : bool
        Whether predictions lie near an end of the range.
    rule : Rule or None
        Gives the outliers of any tile of the picture.
    """

    estimate: Estimate
    pair: Pair
    outliers: tuple[np.ndarray | None, ...]
    censoring: bool
    rule: Rule | None = None

    @property
    def outlying(self) -> int:
        """Number of outliers."""
        return number_of(self.outliers)


def count_out(pair: Pair, estimate: Estimate, settled: bool = False) -> Counted:
    """Return the estimate over the pixels that count.

    Parameters
    ----------
    pair : Pair
        With its clipped values.
    estimate : Estimate
        The first estimate; those after it have its support.
    settled : bool
        Whether it is that of pixels that count, of a part of the pair: then all pixels are compared with it once.
    """
    known: tuple[float, ...] = (-np.inf, np.inf)
    if pair.ends is not None and pair.clipped:
        known = (
            pair.ends.low if pair.ends.low_piled else -np.inf,
            pair.ends.high if pair.ends.high_piled else np.inf,
        )
    seek = pair.seek_ends and not np.isfinite(known).all()
    nothing: tuple[np.ndarray | None, ...] = (None,) * len(pair.planes)
    part, rule, first = pair.sample, None, estimate
    total = sum(_positions(estimate.support, plane) for plane in part.planes)
    most = total - max(_KEPT * total, _FOR_A_WEIGHT * estimate.support.parameters)
    ends, used, previous = known, pair, -1
    found: _Found | None = None
    for _ in range(1 if settled else _ROUNDS):
        sample = _sampled(part, estimate)
        if sample.predicted.size < 100:
            break
        energy = float((estimate.kernel**2).sum())
        limits, trial = _limits(sample, pair, ends, energy), None
        if seek:
            seen = _seen(sample, limits, known)
            if seen != known and previous < 0 and not settled:
                # Outliers that the fit still follows bend its curve: they go first.
                trial = _find(part, estimate, limits)
            if trial is None or not trial.credible:
                ends, trial = seen, None
                limits = _limits(sample, pair, ends, energy)
        found = trial or _find(part, estimate, limits)
        for _ in range(_HALVINGS):
            if number_of(found.left_out(pair)) <= most:
                break
            # The residual of a first fit that clipped values flatten is large, and so are the margins by it.
            limits = replace(limits, margins=tuple(margin / 2.0 for margin in limits.margins))
            found = _find(part, estimate, limits)
        both = found.left_out(pair)
        # A sample without outliers says nothing of the rest.
        counts = found.counts(pair) or (pair.levels >= _LEVELS and not number_of(found.outliers))
        rule = Rule(estimate.kernel, estimate.offsets, estimate.support, found.limits, counts)
        left = number_of(both)
        if left > most:
            return Counted(estimate, used, nothing, False)
        used = pair.without(both, rule)
        if not left and previous < 0 and not settled and part.shapes == pair.shapes:
            break
        estimate = estimate_kernel(used, estimate.support, estimate)
        # In a large image some pixels go to and fro for ever.
        if not left or (previous >= 0 and abs(left - previous) <= 1e-5 * total):
            break
        previous = left
    if found is None:
        return Counted(estimate, used, nothing, False)
    censoring = any(mask is not None for mask in found.censored)
    if censoring and not found.counts(pair) and found.contradicted > _CONTRADICTED:
        return Counted(first, pair, nothing, False)
    if rule is not None:
        rule = replace(rule, censors=False)
    return Counted(estimate, used, found.outliers if found.counts(pair) else nothing, censoring, rule)


def _positions(support: Support, plane: Plane) -> int:
    """Return the number of positions of a support in a plane."""
    rows, columns = support.positions(plane.before.shape, plane.after.shape)
    return int((rows.stop - rows.start) * (columns.stop - columns.start))


@dataclass(frozen=True)
class _Found:
    """The masks of residuals beyond the limits, and of predictions near an end, of the shape of each after."""

    outliers: tuple[np.ndarray | None, ...]
    censored: tuple[np.ndarray | None, ...]
    credible: bool
    limits: _Limits

    @property
    def contradicted(self) -> float:
        """The share of the predictions near an end that the after is not near to."""
        near = sum(
            int(np.count_nonzero(large & end))
            for large, end in zip(self.outliers, self.censored)
            if large is not None and end is not None
        )
        return near / max(1, number_of(self.censored))

    def counts(self, pair: Pair) -> bool:
        """Return whether the outliers are taken for that: in a drawing of few levels what is rare is the picture."""
        return self.credible and pair.levels >= _LEVELS

    def left_out(self, pair: Pair) -> list[np.ndarray | None]:
        """Return the masks of pixels that do not count."""
        if not self.counts(pair):
            return list(self.censored)
        return [_either(a, b) for a, b in zip(self.outliers, self.censored)]


@dataclass(frozen=True)
class _Spread:
    """The robust standard deviation of the residual as a function of the predicted value, between middles of bins."""

    middles: np.ndarray
    widths: np.ndarray

    def __call__(self, predicted: np.ndarray) -> np.ndarray:
        found: np.ndarray = np.interp(predicted, self.middles, self.widths)
        return found


@dataclass(frozen=True)
class _Limits:
    """The spread of the residual by predicted value and its least, the ends of the range, and the margins of these.

    `beyond` is the number of spreads beyond which a residual is too large.
    """

    spread: _Spread
    least: float
    ends: tuple[float, ...]
    margins: tuple[float, ...]
    beyond: float = _OUTLIER


@dataclass(frozen=True)
class _Sample:
    """Predicted values in ascending order, and the residual of each."""

    predicted: np.ndarray
    residual: np.ndarray

    def part(self, chosen: np.ndarray) -> _Sample:
        """Return the chosen ones."""
        return _Sample(self.predicted[chosen], self.residual[chosen])


def _sampled(pair: Pair, estimate: Estimate) -> _Sample:
    """Return predicted values, in order, and residuals of pixels spread over the image, in bands if it is large."""
    support = estimate.support
    total = sum(_positions(support, plane) for plane in pair.planes)
    predicted, residual = [], []
    for plane, offset in zip(pair.planes, estimate.offsets):
        rows, columns = support.positions(plane.before.shape, plane.after.shape)
        bands, taken = None, total
        if total > _ALL:
            height = max(1, _ALL // (2 * _BANDS * len(pair.planes) * (columns.stop - columns.start)))
            starts = np.linspace(rows.start, rows.stop - height, _BANDS).astype(int).tolist()
            bands = [slice(start, start + height) for start in starts]
            taken = _BANDS * height * (columns.stop - columns.start) * len(pair.planes)
        every = max(1, taken // _SAMPLE) | 1
        for block in blocks(plane, estimate.kernel, offset, support, bands=bands):
            values, left = sampled(every, block.bad, block.after, block.residual)
            predicted.append(values - left)
            residual.append(left)
    sample = _Sample(np.concatenate(predicted), np.concatenate(residual))
    return sample.part(order_of(sample.predicted))


def _limits(sample: _Sample, pair: Pair, ends: tuple[float, ...], energy: float) -> _Limits:
    """Return the limits for a range; values near its ends say nothing of the spread.

    `energy` is the sum of the squared weights, which scales the rounding of the sums.
    """
    floor = float(np.sqrt(pair.exact_variance(0.0, 1, energy)))
    spread, least = _spread(sample, floor)
    margins = _margins(spread, ends, pair)
    inside = (sample.predicted >= ends[0] + margins[0]) & (sample.predicted <= ends[1] - margins[1])
    if 100 <= np.count_nonzero(inside) < inside.size:
        spread, least = _spread(sample.part(inside), floor)
        margins = _margins(spread, ends, pair)
    return _Limits(spread, least, ends, margins)


def _margins(spread: _Spread, ends: tuple[float, ...], pair: Pair) -> tuple[float, ...]:
    """Return the distance from each end within which a prediction is censored."""
    return tuple(_MARGIN * float(spread(np.array([end]))[0]) + pair.step for end in ends)


def _spread(sample: _Sample, floor: float) -> tuple[_Spread, float]:
    """Return the robust standard deviation of the residual as a function of the predicted value, and its least."""
    starts = bin_starts(sample.residual.size, _BINS if sample.residual.size >= 50 * _BINS else 1)
    centres = bin_means(sample.predicted, starts)
    widths = np.array([_width(part) for part in np.split(sample.residual, starts[1:])])
    whole = _width(sample.residual[:: max(1, sample.residual.size // _ROUGH)])
    # A bin of flat parts, where the residual is 0, does not make others outliers.
    widths = np.maximum(widths, max(0.5 * whole, floor))
    return _Spread(centres, widths), float(widths.min())


def _width(residual: np.ndarray) -> float:
    """Return the robust standard deviation of residuals, from their median absolute deviation."""
    return 1.4826 * float(np.median(np.abs(residual - np.median(residual))))


def _seen(sample: _Sample, limits: _Limits, known: tuple[float, ...]) -> tuple[float, ...]:
    """Return the range with the ends that are seen where the after stops following the prediction."""
    width = limits.spread(sample.predicted)
    inside = sample.part(np.abs(sample.residual) <= _GROSS * width)
    if inside.residual.size < _CURVE_BINS:
        # Of a flat picture, as a mask, most residuals are 0 and the others none that a width holds.
        return known
    seen = _found_ends(inside, float(np.median(limits.spread(inside.predicted))))
    return tuple(a if np.isfinite(a) else b for a, b in zip(known, seen))


def _found_ends(sample: _Sample, noise: float) -> tuple[float, float]:
    """Return the levels at which the after stops following the prediction, infinite where it does not stop.

    The after as a function of the prediction is fitted as a line between two levels; a first fit that clipped values
    have flattened makes the line steeper than 1.
    """
    starts = bin_starts(sample.predicted.size, _CURVE_BINS)
    counts = np.diff(starts, append=sample.predicted.size).astype(np.float64)
    x = bin_means(sample.predicted, starts)
    y = x + bin_means(sample.residual, starts)
    costs = _costs_of_ends(counts, x, y)
    low, high = (int(i) for i in np.unravel_index(int(costs.argmin()), costs.shape))
    # Bins of pure noise differ by their standard errors, of both sides of a bin's middle.
    chance = 9.0 * noise**2 * _CURVE_BINS / 4.0
    if costs[low, high] > 0.4 * costs[0, 0] or costs[0, 0] - costs[low, high] < chance:
        return -np.inf, np.inf
    ends = [-np.inf, np.inf]
    if low and costs[0, high] - costs[low, high] > chance:
        ends[0] = float(counts[:low] @ y[:low] / counts[:low].sum())
    if high and costs[low, 0] - costs[low, high] > chance:
        ends[1] = float(counts[-high:] @ y[-high:] / counts[-high:].sum())
    return ends[0], ends[1]


def _costs_of_ends(counts: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the misfit of ``y`` with so many bins level at the lower and at the upper end, and a line between them."""
    x, y = x - counts @ x / counts.sum(), y - counts @ y / counts.sum()
    terms = np.stack([counts, counts * x, counts * y, counts * x * x, counts * x * y, counts * y * y])
    sums = np.concatenate([np.zeros((6, 1)), np.cumsum(terms, axis=1)], axis=1)
    ends = np.arange(_LEVEL_BINS)
    low, high = sums[:, ends], sums[:, -1:] - sums[:, counts.size - ends]
    n, sx, sy, sxx, sxy, syy = sums[:, -1][:, None, None] - low[:, :, None] - high[:, None, :]
    across, along = np.maximum(sxx - sx * sx / n, 0.0), sxy - sx * sy / n
    line = syy - sy * sy / n - np.where(across > 0.0, along**2 / np.where(across > 0.0, across, 1.0), 0.0)
    level = [part[5] - part[2] ** 2 / np.maximum(part[0], 1.0) for part in (low, high)]
    costs: np.ndarray = line + level[0][:, None] + level[1]
    return costs


class _Fitted(Protocol):
    """A kernel with its offsets over a support: an estimate or a rule."""

    @property
    def kernel(self) -> np.ndarray: ...
    @property
    def offsets(self) -> tuple[float, ...]: ...
    @property
    def support(self) -> Support: ...


@dataclass(frozen=True)
class Rule:
    """Which pixels are left out of a fit, as a rule that gives the masks of any tile.

    Attributes
    ----------
    kernel, offsets, support
        The fit that predicts.
    limits : _Limits
    outliers, censors : bool
        Whether residuals that are too large are left out, and predictions near the ends.
    """

    kernel: np.ndarray
    offsets: tuple[float, ...]
    support: Support
    limits: _Limits
    outliers: bool
    censors: bool = True

    def __call__(self, pair: Pair) -> list[np.ndarray | None]:
        """Return the masks of the afters of a tile."""
        marks = _marks(pair, replace(self, support=pair.local(self.support)), self.limits)
        none: list[np.ndarray | None] = [None] * len(marks.large)
        large, near = marks.large if self.outliers else none, marks.near if self.censors else none
        return [_either(a, b) for a, b in zip(large, near)]


def count_outliers(pair: Pair, rule: Rule) -> int:
    """Return how many pixels of a pair are outliers by a rule."""
    return int(pair.total(_outliers_of_tile, rule).added[0])


def _outliers_of_tile(pair: Pair, rule: Rule) -> Sums:
    return Sums.of(number_of(rule(pair)))


def _find(pair: Pair, estimate: Estimate, limits: _Limits) -> _Found:
    """Return the residuals that are too large, of which a clipped value is none, and predictions near an end."""
    marks = _marks(pair, estimate, limits)
    outliers, censored = tuple(marks.large), tuple(marks.near)
    credible = _credible(pair, estimate.support, outliers)
    if number_of(outliers) and not credible:
        level = _DECADE * marks.largest
        constant = _Spread(np.zeros(1), np.full(1, level))
        for gross in (replace(limits, beyond=_GROSS), replace(limits, spread=constant, least=level, beyond=1.0)):
            alone = marks.beyond(gross) if level > limits.beyond * limits.least else _marks(pair, estimate, gross).large
            if _credible(pair, estimate.support, alone):
                return _Found(tuple(alone), censored, True, gross)
    return _Found(outliers, censored, credible, limits)


@dataclass(frozen=True)
class _Marks:
    """The pixels of each after that are marked.

    Attributes
    ----------
    large, near : list of numpy.ndarray of bool or None
        Residuals that are too large, and predictions near an end.
    far : list of (places, sizes, at)
        Of the largest residuals of each plane the place in the flat after, the magnitude and the prediction.
    shapes : list of tuple of int
        Of the afters.
    largest : float
        The largest magnitude of a residual.
    """

    large: list[np.ndarray | None]
    near: list[np.ndarray | None]
    far: list[tuple[np.ndarray, ...]]
    shapes: list[tuple[int, ...]]
    largest: float

    def beyond(self, limits: _Limits) -> list[np.ndarray | None]:
        """Return the masks of residuals beyond higher limits."""
        masks: list[np.ndarray | None] = []
        for (places, sizes, at), shape in zip(self.far, self.shapes):
            chosen = places[sizes > limits.beyond * limits.spread(at)]
            mask = np.zeros(shape, bool)
            mask.ravel()[chosen] = True
            masks.append(mask if chosen.size else None)
        return masks


def _marks(pair: Pair, estimate: _Fitted, limits: _Limits) -> _Marks:
    """Return the residuals that are too large, of which a clipped value is none, and predictions near an end."""
    marks = _Marks([], [], [], [plane.after.shape for plane in pair.planes], 0.0)
    low, high = limits.ends
    bounded = bool(np.isfinite(limits.ends).any())
    least, largest = limits.beyond * limits.least, 0.0
    for plane, offset in zip(pair.planes, estimate.offsets):
        columns = estimate.support.positions(plane.before.shape, plane.after.shape)[1]
        large = np.zeros(plane.after.shape, bool)
        beyond = np.zeros(plane.after.shape, bool) if bounded else None
        listed: list[tuple[np.ndarray, ...]] = [(np.zeros(0, np.intp), np.zeros(0), np.zeros(0))]
        for block in blocks(plane, estimate.kernel, offset, estimate.support):
            residual, after = block.residual, block.after
            size = np.abs(residual)
            if block.bad is not None:
                np.copyto(size, 0.0, where=block.bad)
            largest = max(largest, float(size.max()))
            far = size > least
            if beyond is not None:
                predicted = after - residual
                where = beyond[block.rows, columns]
                np.less(predicted, low + limits.margins[0], out=where)
                where |= predicted > high - limits.margins[1]
                if float(after.min()) < low or float(after.max()) > high:
                    # Others come no nearer to a prediction that ends with the range.
                    outside = (after < low) | (after > high)
                    far |= outside if block.bad is None else outside & ~block.bad
            candidates = np.flatnonzero(far)
            if not candidates.size:
                continue
            values, left = after.ravel()[candidates], residual.ravel()[candidates]
            left = values - np.clip(values - left, low, high)
            at, left = values - left, np.abs(left)
            width = limits.spread(at)
            rows, places = np.divmod(candidates[left > limits.beyond * width], residual.shape[1])
            large[rows + block.rows.start, places + columns.start] = True
            gross = left > np.minimum(_GROSS * width, max(_DECADE * largest, least))
            rows, places = np.divmod(candidates[gross], residual.shape[1])
            flat = (rows + block.rows.start) * plane.after.shape[1] + places + columns.start
            listed.append((flat, left[gross], at[gross]))
        marks.large.append(large if large.any() else None)
        marks.near.append(beyond if beyond is not None and beyond.any() else None)
        marks.far.append(tuple(map(np.concatenate, zip(*listed))))
    return replace(marks, largest=largest)


def _credible(pair: Pair, support: Support, outliers: Sequence[np.ndarray | None]) -> bool:
    """Return whether the outliers are few and do not gather where the picture is busy."""
    count = number_of(outliers)
    total = sum(_positions(support, plane) for plane in pair.planes)
    if not count or count > _SHARE * total:
        return False
    if count <= 3:
        return True
    ranks = []
    for plane, mask in zip(pair.planes, outliers):
        if mask is not None:
            size = _positions(support, plane)
            usual = np.sort(_contrast(plane, support, np.arange(0, size, max(1, size >> 14))))
            rows, columns = support.positions(plane.before.shape, plane.after.shape)
            found = np.flatnonzero(mask[rows, columns])
            here = _contrast(plane, support, found[:: max(1, found.size // _SAMPLE)])
            ranks.append(np.searchsorted(usual, here) / max(1, usual.size))
    every = np.concatenate(ranks)
    # The mean rank of so many that lie anywhere has this standard deviation.
    chance = 1.0 / np.sqrt(12.0 * max(1, every.size))
    return bool(every.mean() < max(_RANK + 0.6 * chance, 0.5 + _FAR * chance))


def _contrast(plane: Plane, support: Support, flat: np.ndarray) -> np.ndarray:
    """Return the sum of the gradient's magnitudes along both axes in the middle of the windows of positions."""
    rows, columns = support.positions(plane.before.shape, plane.after.shape)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    i, j = np.divmod(flat, width)
    top, left = (p.start + a + n // 2 for p, a, n in zip((rows, columns), (support.top, support.left), support.size))
    under = plane.before[top : top + height, left : left + width]
    total = np.zeros(flat.size, np.float32)
    if height > 2:
        inner = np.clip(i, 1, height - 2)
        total += np.abs(under[inner + 1, j].astype(np.float32) - under[inner - 1, j].astype(np.float32))
    if width > 2:
        inner = np.clip(j, 1, width - 2)
        total += np.abs(under[i, inner + 1].astype(np.float32) - under[i, inner - 1].astype(np.float32))
    return total


def _either(a: np.ndarray | None, b: np.ndarray | None) -> np.ndarray | None:
    return b if a is None else a if b is None else np.logical_or(a, b)
