"""The image pair prepared for learning: checked planes, excluded pixels, and the grid of the after's values."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle, islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from kernelfield.arrays import MOST_CHANNELS, as_array, channel_axis_of, check_channel_axis
from kernelfield.correlation.arguments import check_image
from kernelfield.errors import ArgumentError, DataError, DtypeError, received
from kernelfield.learning.least_squares import Moments
from kernelfield.learning.statistics import Statistics, gather, gather_parts, shift_near_mean
from kernelfield.learning.sums import Sums
from kernelfield.learning.support import Support
from kernelfield.tensors.registry import adapter_of

Total = TypeVar("Total")

# An image with fewer levels is not a sampled scale but a mask, a drawing or a label image, unless it has at least the
# second number and half of those between its ends.
_FEWEST_LEVELS, _FEW = 64, 16
# Ranges of the other values that a marker of missing ones lies off, and the fewest pixels that have it.
_OFF, _MARKED = 5.0, 5
# Multiply-adds that explicit windows may cost; the side of squares without an excluded position, the strips of them to
# use, and the positions that are enough, or their share.
_EXPLICIT, _CLEAR, _STRIPS, _PLENTY, _ENOUGH = 1_000_000_000, 64, 16, 100_000, 0.2
_SAMPLE = 1 << 22
# Rows of a picture of many columns and channels that the second-level cache holds.
_ROWS = 8
# Pixels up to which sums are kept, and the supports that they are kept for.
_REMEMBERED, _SUPPORTS = 1 << 22, 4
# Floats with more levels than this in a sample lie on no grid that matters.
_MOST_LEVELS = 1 << 17
# Spreads of numbers whose squares neither overflow nor vanish.
_SMALLEST, _LARGEST = 1e-20, 1e20


@dataclass(frozen=True)
class _Memory:
    """The pixels of planes that differ in what is excluded, and by support the mask and the sums asked for last."""

    before: np.ndarray
    after: np.ndarray
    sums: dict[Support, tuple[np.ndarray | None, Statistics]] = field(default_factory=dict)


@dataclass(frozen=True)
class Plane:
    """One channel of a pair.

    Attributes
    ----------
    before, after : numpy.ndarray, shapes (H, W) and (H', W')
        Finite; excluded pixels hold the shift.
    bad_before, bad_after : numpy.ndarray of bool or None
        Excluded pixels.
    clipped : numpy.ndarray of bool or None
        Pixels of the after at or beyond an end of the range.
    before_shift, after_shift : float
        Constants near the means.
    before_square, before_mean : float
        Mean square and mean of the before, from a sample.
    memory : _Memory or None
        The sums that are known of its pixels; None if none are kept.
    """

    before: np.ndarray
    after: np.ndarray
    bad_before: np.ndarray | None
    bad_after: np.ndarray | None
    clipped: np.ndarray | None
    before_shift: float
    after_shift: float
    before_square: float
    before_mean: float
    memory: _Memory | None = field(default=None, repr=False, compare=False)

    def excluded(self, support: Support) -> np.ndarray | None:
        """Return the excluded positions of `support` as a mask; None if there are none."""
        rows, columns = support.positions(self.before.shape, self.after.shape)
        parts = []
        if self.bad_after is not None:
            parts.append(self.bad_after[rows, columns])
        if self.bad_before is not None:
            window_rows, window_columns = support.windows((rows, columns))
            parts.append(_any_in_window(self.bad_before[window_rows, window_columns], support.size))
        if not parts:
            return None
        bad = np.logical_or.reduce(parts)
        return bad if bad.any() else None

    def without(self, left_out: np.ndarray | None) -> Plane:
        """Return the plane with more pixels of the after excluded."""
        if left_out is None:
            return self
        bad = left_out if self.bad_after is None else self.bad_after | left_out
        return replace(self, bad_after=bad)


@dataclass(frozen=True)
class Unit:
    """Where an image's numbers begin and their unit: ``number = centre + scale * pixel`` of its planes."""

    centre: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True)
class Ends:
    """The range to which an after may be clipped, infinite where it is not; whether values pile up at each end."""

    low: float
    low_piled: bool
    high: float
    high_piled: bool


@dataclass(frozen=True)
class Pair:
    """The planes of a pair and the grid, precision and range of its values.

    Attributes
    ----------
    planes : tuple of Plane
        One per channel.
    step : float
        Distance between neighbouring values of the after; 0 for floats that lie on no grid.
    epsilon : float
        Relative rounding error of one value.
    ends : Ends or None
        Range of the after, if values may be clipped to it.
    before_step : float
        As `step`, of the before.
    levels : int
        Different values of the after, from a sample.
    before_unit, after_unit : Unit
        Floats far from 0, or of a scale whose squares overflow, are shifted by a constant and scaled by a power of two.
    seek_ends : bool
        Whether ends that are not seen in the values may be looked for in the fit.
    corner : (int, int)
        Row and column of the before below the first pixel of the after; not (0, 0) only for a tile with its halo.
    at : (int, int)
        Row and column of the first pixel of the after in the whole picture; not (0, 0) only for a tile.
    markers : (float or None, float or None)
        Values of the before and the after that mark missing pixels, which are excluded.
    """

    planes: tuple[Plane, ...]
    step: float
    epsilon: float
    ends: Ends | None
    before_step: float = 0.0
    levels: int = 1 << 30
    before_unit: Unit = Unit()
    after_unit: Unit = Unit()
    seek_ends: bool = True
    corner: tuple[int, int] = (0, 0)
    at: tuple[int, int] = (0, 0)
    markers: tuple[float | None, ...] = (None, None)

    @property
    def sample(self) -> Pair:
        """The pair that decisions are made on; where tiles stand for a picture, some of them."""
        return self

    @property
    def frame(self) -> Pair:
        """A pair with the border of the picture."""
        return self

    def total(self, function: Callable[..., Total], *arguments: Any) -> Total:
        """Return the sum of ``function(tile, *arguments)`` over the tiles; the picture is one tile here.

        Supports among the arguments are those of the whole picture: `local` gives that of a tile.
        """
        return function(self, *arguments)

    def mapped(self, function: Callable[[Pair], Pair]) -> Pair:
        """Return the pair with every tile changed by a function."""
        return function(self)

    def local(self, support: Support) -> Support:
        """Return a support as the offsets from pixels of the after to those of the before of this pair."""
        return replace(support, top=support.top + self.corner[0], left=support.left + self.corner[1])

    @property
    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shapes of a before and an after."""
        return self.planes[0].before.shape, self.planes[0].after.shape

    @property
    def same_size(self) -> bool:
        """Whether before and after have the same shape."""
        return self.shapes[0] == self.shapes[1]

    @property
    def gain(self) -> float:
        """Steps of the before in one of the after: integer weights over a divisor are to be expected of that unit."""
        return self.step / self.before_step if self.step > 0.0 and self.before_step > 0.0 else 1.0

    @property
    def weight_unit(self) -> float:
        """The factor from weights of the planes to weights of the images; raises DataError where it is out of range."""
        with np.errstate(over="ignore", under="ignore"):
            factor = float(np.float64(self.after_unit.scale) / np.float64(self.before_unit.scale))
        if not 1e-305 < factor < 1e305:
            raise DataError(
                f"before, after: expected scales whose quotient float64 holds; received {self.before_unit.scale:.3g} "
                f"and {self.after_unit.scale:.3g}; scale one of them"
            )
        return factor

    @property
    def clipped(self) -> bool:
        """Whether any value of the after lies at an end of the range."""
        return any(plane.clipped is not None for plane in self.planes)

    def without(
        self, left_out: Sequence[np.ndarray | None], rule: Callable[[Pair], Sequence[np.ndarray | None]] | None = None
    ) -> Pair:
        """Return the pair with more pixels of each plane's after excluded.

        `rule` gives the masks of any tile; the masks of this pair are `left_out`.
        """
        return replace(self, planes=tuple(plane.without(bad) for plane, bad in zip(self.planes, left_out)))

    def without_clipped(self) -> Pair:
        """Return the pair with the values at the ends of the range excluded."""
        return self.without([plane.clipped for plane in self.planes])

    def clipped_at(self, ends: Ends | None) -> Pair:
        """Return the pair with the range to which its after may be clipped."""
        return replace(self, ends=ends, planes=tuple(_with_clipped(plane, ends) for plane in self.planes))

    def spread(self, energy: float = 1.0) -> float:
        """Return the variance that a kernel of squared norm `energy` gives to values that do not depend."""
        return max(plane.before_square - plane.before_mean**2 for plane in self.planes) * energy

    def floor(self, square: float, count: int, energy: float = 1.0) -> float:
        """Return the largest residual variance that the rounding of floating point explains.

        `square` is the sum of squares of the after about its mean over `count` pixels, `energy` the sum of the squared
        weights, which scales the rounding of products. The producer's sums are of the numbers as they were, with the
        constant that `prepare` takes from them.
        """
        after = max(abs(plane.after_shift + self.after_unit.centre / self.after_unit.scale) for plane in self.planes)
        before = max(abs(plane.before_mean + self.before_unit.centre / self.before_unit.scale) for plane in self.planes)
        spread = square / max(1, count) + self.spread(energy)
        return (4.0 * self.epsilon) ** 2 * (spread + after**2 + energy * before**2)

    def exact_variance(self, square: float, count: int, energy: float = 1.0) -> float:
        """Return the largest residual variance of sums that rounding explains.

        It is 1/12 of a squared step (Widrow and Kollár, *Quantization Noise*, 2008, section 3) or that of floating
        point, and at least the resolution of float64 sums. Other arguments as in `floor`.
        """
        resolution = 1e-12 * (square / max(1, count) + self.spread(energy))
        return max(1.05 * self.step**2 / 12.0, self.floor(square, count, energy), resolution)

    def statistics(self, support: Support, most: int | None = None) -> list[Statistics]:
        """Return the statistics of each plane, with at most about `most` multiply-adds if given."""
        return [_statistics(plane, support, most) for plane in self.planes]

    def moments(self, support: Support, most: int | None = None) -> Moments:
        """Return the moments of all planes together, for one shared kernel."""
        first, *rest = (Moments.of(s) for s in self.statistics(support, most))
        return sum(rest, start=first)


def few_moments(pair: Pair, support: Support, count: int) -> Moments:
    """Return the moments of about so many positions, spread over the planes of a pair in memory."""
    total = None
    for plane in pair.planes:
        where = support.positions(plane.before.shape, plane.after.shape)
        x, y = plane.before[support.windows(where)], plane.after[where]
        excluded = plane.excluded(support)
        good = np.ones(y.shape, bool) if excluded is None else ~excluded
        shifts = plane.before_shift, plane.after_shift
        part = Moments.of(_scattered(x, y, support, shifts, good, -(-count // len(pair.planes))))
        total = part if total is None else total + part
    assert total is not None
    return total


def as_image(value: Any, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return an image and the mask of pixels that count, None for all.

    A path is read, a tensor and a Pillow image become arrays, and a batch of one image with one channel that image.
    """
    if isinstance(value, (str, os.PathLike)):
        from kernelfield.images import read

        value = read(value).pixels
    adapter = adapter_of(value)
    if adapter is not None:
        if not adapter.is_concrete(value):
            raise ArgumentError("before, after: expected tensors with values in CPU memory; move them there")
        value = adapter.to_numpy(value)
    good = ~np.ma.getmaskarray(value) if np.ma.is_masked(value) else None
    array = as_array(value if good is None else value.data, name)
    if array.ndim == 4 and array.shape[0] == 1 and 1 in (array.shape[1], array.shape[3]):
        within = (0, 0) if array.shape[1] == 1 else (0, slice(None), slice(None), 0)
        return check_image(array[within], name), None if good is None else good[within]
    return check_image(array, name), good


def prepare(
    before: ArrayLike,
    after: ArrayLike,
    mask: ArrayLike | None = None,
    clip: str | tuple[float, float] | None = "auto",
    channel_axis: int | str | None = "auto",
    mixed: bool = False,
) -> Pair:
    """Return the checked pair; arguments as in `kernelfield.learn`.

    With `mixed` the after may have more or fewer channels than the before: the planes of the one that has fewer come
    again, from the first, until each has its other.
    """
    (x, good_x), (y, good_y) = as_image(before, "before"), as_image(after, "after")
    planes_x, planes_y = channels(x, "before", channel_axis), channels(y, "after", channel_axis)
    if len(planes_x) != len(planes_y) and not mixed:
        raise ArgumentError(
            f"after: expected {len(planes_x)} channel(s) like before; received {len(planes_y)}; "
            'convert both to grey or both to colour, or give channels="mixed"'
        )
    shape_x, shape_y = planes_x[0].shape, planes_y[0].shape
    if shape_y[0] > shape_x[0] or shape_y[1] > shape_x[1]:
        raise ArgumentError(
            f"after: expected at most before's {shape_x[0]}×{shape_x[1]}; received {shape_y[0]}×{shape_y[1]}; "
            "crop the after, or swap the two"
        )
    good = _check_mask(mask, shape_x, shape_y)
    goods_x, goods_y = (
        [good if good is not None and good.shape == shape else None] * len(planes_x) for shape in (shape_x, shape_y)
    )
    if good_x is not None:
        goods_x = [both(a, b) for a, b in zip(goods_x, channels(good_x, "before", channel_axis))]
    if good_y is not None:
        goods_y = [both(a, b) for a, b in zip(goods_y, channels(good_y, "after", channel_axis))]
    markers = _marker(planes_x, goods_x), _marker(planes_y, goods_y)
    goods_x = [unmarked(plane, markers[0], own) for plane, own in zip(planes_x, goods_x)]
    goods_y = [unmarked(plane, markers[1], own) for plane, own in zip(planes_y, goods_y)]
    x, y = (image if marker is None else image[image != marker] for image, marker in zip((x, y), markers))
    step, before_step = grid_step(y), grid_step(x)
    levels = np.unique(y.ravel()[:: max(1, y.size >> 16)]).size
    epsilon = max(last_place(x.dtype), last_place(y.dtype))
    unit_x, unit_y = unit_of(x, before_step), unit_of(y, step)
    before_step /= unit_x.scale
    planes_x = [in_unit(plane, unit_x) for plane in planes_x]
    planes_y = [in_unit(plane, unit_y) for plane in planes_y]
    step /= unit_y.scale
    count = max(len(planes_x), len(planes_y))
    lists = (islice(cycle(each), count) for each in (planes_x, planes_y, goods_x, goods_y))
    bare = tuple(plane_of(*plane) for plane in zip(*lists))
    seek = isinstance(clip, str)
    pair = Pair(bare, step, epsilon, None, before_step, levels, unit_x, unit_y, seek, markers=markers)
    return pair.clipped_at(find_ends(pair, y.dtype, clip))


def _marker(planes: Sequence[np.ndarray], goods: Sequence[np.ndarray | None]) -> float | None:
    """Return the value that marks missing pixels of an image, or None."""
    if not may_be_marked(planes[0].dtype):
        return None
    pixels, seen = [], []
    for plane, good in zip(planes, goods):
        bad = _not_finite(plane)
        used = good if bad is None else both(good, ~bad)
        every = tuple(slice(None, None, max(1, n // 64)) for n in plane.shape)
        pixels.append(plane.ravel() if used is None else plane[used])
        seen.append(plane[every].ravel() if used is None else plane[every][used[every]])
    pixels = [one for one in pixels if one.size]
    if not pixels:
        return None
    low, high = min(float(one.min()) for one in pixels), max(float(one.max()) for one in pixels)
    end = possible_marker(low, high, np.concatenate(seen))
    if end is None:
        return None
    others = [other for one in pixels if (other := one[one != end]).size]
    marked = sum(one.size for one in pixels) - sum(one.size for one in others)
    low, high = min(float(one.min()) for one in others), max(float(one.max()) for one in others)
    return end if is_marker(end, marked, low, high) else None


def may_be_marked(dtype: np.dtype) -> bool:
    """Return whether pixels of a dtype may be marked as missing: a byte has no values far off the others."""
    return dtype.itemsize > 1


def possible_marker(low: float, high: float, sample: np.ndarray) -> float | None:
    """Return the end of the values that may mark missing pixels, as -9999: far off the median of a sample of them.

    A fourth of the pixels may be marked, but no median is. Of `sample`, one pixel in so many, other values are several.
    """
    if not sample.size:
        return None
    middle = float(np.median(sample))
    near, far = sorted((middle - low, high - middle))
    if not far > _OFF * near:
        return None
    end = low if middle - low == far else high
    return end if np.unique(sample[sample != end]).size >= _FEW else None


def is_marker(end: float, marked: int, low: float, high: float) -> bool:
    """Return whether an end that `marked` pixels have lies far off the others, which are from `low` to `high`."""
    gap = low - end if end < low else end - high
    return marked >= _MARKED and gap > _OFF * (high - low) > 0.0


def unmarked(plane: np.ndarray, marker: float | None, good: np.ndarray | None) -> np.ndarray | None:
    """Return the mask of the pixels that count, without those that are marked as missing."""
    return good if marker is None else both(good, plane != marker)


def grid_step(image: np.ndarray) -> float:
    """Return the step of the grid that the values lie on, or 0 if there is none.

    For integers it is 1 or their greatest common divisor (12 bits shifted into 16), for floats the greatest common
    divisor of their differences, unless it is near their last place. An image with few levels does not count as a
    sampled scale.
    """
    every = max(1, image.size // (_SAMPLE if image.dtype.kind in "iu" else _SAMPLE >> 5))
    sample = image.ravel()[::every]
    if image.dtype.kind in "iu":
        # A few tell nearly always.
        few = sample[:: max(1, sample.size >> 12)]
        whole = 1 if _divisor(few) == 1 else _divisor(sample)
        if whole <= 1:
            return 1.0
        seen = np.unique(sample[:: max(1, sample.size >> 16)])
        return float(whole) if _is_scale(seen.size, (float(seen[-1]) - float(seen[0])) / whole) else 1.0
    values = np.unique(sample[np.isfinite(sample)]).astype(np.float64)
    if not _FEW <= values.size <= _MOST_LEVELS:
        return 0.0
    # Differences of numbers near the ends of float64 would overflow, and so would the next power of two.
    scale = 2.0 ** float(np.frexp(np.abs(values).max())[1] - 1)
    values = values / scale
    place = max(float(np.finfo(image.dtype).eps) * float(np.abs(values).max()), 1e-300)
    step = _common_step(np.diff(values), 8.0 * place)
    if step == 0.0:
        return 0.0
    levels = np.rint((values - values[0]) / step)
    if not _is_scale(values.size, float(levels[-1])):
        return 0.0
    if levels[-1] > 1.0 / (64.0 * np.finfo(image.dtype).eps):
        return 0.0
    fitted = float(levels @ (values - values[0]) / (levels @ levels))
    if np.abs(values - values[0] - levels * fitted).max() > 4.0 * place:
        return 0.0
    fitted *= scale
    # The nearest of the usual steps, where they are the same to within the last place.
    for usual in (round(fitted) or 1.0, 1 / 255, 1 / 65535, 2.0 ** float(np.rint(np.log2(fitted)))):
        if abs(fitted / usual - 1.0) * levels[-1] * usual <= 4.0 * place * scale:
            return float(usual)
    return float(fitted)


def _divisor(values: np.ndarray) -> int:
    """Return the greatest common divisor of the differences of integers, 0 if all are the same."""
    return int(np.gcd.reduce(values.astype(np.int64) - int(values[0])))


def _is_scale(levels: int, span: float) -> bool:
    """Return whether values with so many levels, in steps from end to end, are a sampled scale."""
    return levels >= _FEWEST_LEVELS or levels >= max(_FEW, 0.5 * (span + 1.0))


def _common_step(differences: np.ndarray, least: float) -> float:
    """Return the greatest common divisor of differences to within `least`, by Euclid's algorithm, or 0."""
    step = float(differences.min())
    for _ in range(40):
        if step <= 4.0 * least:
            return 0.0
        left = np.abs(differences - np.rint(differences / step) * step)
        left = left[left > least]
        if not left.size:
            return step
        step = float(left.min())
    return 0.0


def unit_of(image: np.ndarray, step: float) -> Unit:
    """Return the unit of the numbers: that of the image itself unless it is too far from 0, too large or too small."""
    if image.dtype.kind != "f":
        return Unit()
    sample = image.ravel()[:: max(1, image.size >> 16)]
    sample = sample[np.isfinite(sample)].astype(np.float64)
    if not sample.size:
        return Unit()
    exponent = float(np.frexp(max(float(np.abs(sample).max()), 1e-300))[1] - 1)
    scale = 2.0**exponent
    sample = sample / scale
    low, middle, high = np.percentile(sample, (5, 50, 95))
    power = float(np.log2(high - low or 1.0)) + exponent
    centre = middle * scale if max(abs(low), abs(high)) > 64.0 * (high - low) > 0.0 else 0.0
    if step > 0.0:
        centre = float(np.rint(centre / step)) * step
    usual = np.log2(_SMALLEST) <= power <= np.log2(_LARGEST)
    return Unit(centre, 1.0 if usual else 2.0 ** min(1023.0, float(np.rint(power))))


def in_unit(plane: np.ndarray, unit: Unit) -> np.ndarray:
    """Return a plane in a unit, as float64 unless that changes nothing."""
    if unit == Unit():
        return plane
    wide: np.ndarray = plane.astype(np.float64)
    # Halves do not overflow.
    with np.errstate(invalid="ignore", over="ignore"):
        return (wide / 2.0 - unit.centre / 2.0) / (unit.scale / 2.0)


def channels(image: np.ndarray, name: str, channel_axis: int | str | None) -> list[np.ndarray]:
    """Return the planes of an image, by the channel rule of `kernelfield.learn`."""
    planes = views(image, name, channel_axis)
    if len(planes) == 1 or planes[0].flags.c_contiguous:
        return [np.ascontiguousarray(plane) for plane in planes]
    # Some rows of all planes at a time: pixels of interleaved ones are brought from memory once.
    laid = [np.empty(plane.shape, plane.dtype) for plane in planes]
    for start in range(0, planes.shape[1], _ROWS):
        for plane, to in zip(planes, laid):
            to[start : start + _ROWS] = plane[start : start + _ROWS]
    return laid


def views(image: np.ndarray, name: str, channel_axis: int | str | None) -> np.ndarray:
    """Return the planes of an image as `channels` does, shape (C, H, W), where they lie."""
    check_channel_axis(channel_axis)
    if image.ndim == 2:
        return image[None]
    if image.ndim != 3:
        raise ArgumentError(f"{name}: expected (H, W) or an image with channels; received shape {image.shape}")
    place = channel_axis_of(image.shape, channel_axis)
    if place is None:
        colour = f"or (H, W, C) with up to {MOST_CHANNELS} channels"
        expected = "(H, W) with channel_axis=None" if channel_axis is None else f"(H, W) {colour}"
        raise ArgumentError(
            f"{name}: expected {expected}; received shape {image.shape}; give channel_axis=, "
            "or learn each image by itself"
        )
    return np.moveaxis(image, place, 0)


def _check_mask(mask: ArrayLike | None, before: tuple[int, ...], after: tuple[int, ...]) -> np.ndarray | None:
    """Return the mask as bool, or None."""
    if mask is None:
        return None
    good = np.ma.filled(mask, False) if isinstance(mask, np.ma.MaskedArray) else as_array(mask, "mask")
    if good.dtype != np.bool_:
        raise DtypeError(f"mask: expected bool, True for pixels to use; received {good.dtype}; compare it to 0")
    if good.shape not in (before, after):
        raise ArgumentError(f"mask: expected the shape of before {before} or after {after}; received {good.shape}")
    return good


def both(a: np.ndarray | None, b: np.ndarray) -> np.ndarray:
    """Return where both masks are True; None is True everywhere."""
    return b if a is None else a & b


def find_ends(
    pair: Pair,
    dtype: np.dtype,
    clip: str | tuple[float, float] | None,
    reach: tuple[float, float] | None = None,
) -> Ends | None:
    """Return the range to which the after may be clipped, or None: the limits of its dtype, or where values pile up.

    `reach` is how far the after reaches below and above 0, where that is known.
    """
    if clip is None:
        return None
    if isinstance(clip, str):
        if clip != "auto":
            raise ArgumentError(f'clip: expected "auto", None or (low, high); received {clip!r}')
        limits = (float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)) if dtype.kind in "iu" else (-np.inf, np.inf)
        below, above = reach or _reach(pair)
        found = Ends(*_end(pair, -1, limits[0], below), *_end(pair, 1, limits[1], above))
        return found if np.isfinite((found.low, found.high)).any() else None
    try:
        low, high = (float(end) for end in clip)
    except (TypeError, ValueError):
        raise ArgumentError(f'clip: expected "auto", None or (low, high); received {received(clip)}') from None
    if not low < high:
        raise ArgumentError(f"clip: expected low < high; received ({low:g}, {high:g})")
    unit = pair.after_unit
    return Ends((low - unit.centre) / unit.scale, True, (high - unit.centre) / unit.scale, True)


def _end(pair: Pair, side: int, limit: float, extreme: float) -> tuple[float, bool]:
    """Return the lowest or highest value, and whether more pixels have it than its neighbours in value let expect."""
    if pair.levels < _FEWEST_LEVELS:
        return limit, True
    if side * extreme == limit:
        return limit, True
    at, near = (int(count) for count in pair.total(_at_end, side, extreme).added)
    usual = (near - at) / 8.0 if pair.step > 0.0 else 0.0
    piled = at >= 5 and at > 4.0 * (usual + 1.0)
    return (side * extreme, piled) if piled or pair.step > 0.0 else (side * np.inf, False)


def _reach(pair: Pair) -> tuple[float, float]:
    """Return how far the after reaches below and above 0."""
    afters = [plane.after for plane in pair.planes]
    return max(-float(after.min()) for after in afters), max(float(after.max()) for after in afters)


def _at_end(pair: Pair, side: int, extreme: float) -> Sums:
    """Return how many values are at an end, and how many within eight steps of it, which are those at it too."""
    at, near = 0, 0
    # Without a grid no two values are the same by chance.
    width = 8.0 * pair.step
    for plane in pair.planes:
        at += int(np.count_nonzero(plane.after == _like(side * extreme, plane.after)))
        if pair.step > 0.0:
            edge = _like(side * (extreme - width), plane.after)
            near += int(np.count_nonzero(plane.after >= edge if side > 0 else plane.after <= edge))
    return Sums.of(at, near)


def _with_clipped(plane: Plane, ends: Ends | None) -> Plane:
    """Return the plane with its pixels at the ends of the range."""
    if ends is None:
        return plane
    clipped = plane.after <= _like(ends.low, plane.after)
    clipped |= plane.after >= _like(ends.high, plane.after)
    return replace(plane, clipped=clipped if clipped.any() else None)


def _like(value: float, image: np.ndarray) -> float:
    """Return a number to compare bytes with: an integer, for which NumPy does not convert them, where it is one."""
    return int(value) if image.dtype == np.uint8 and 0.0 <= value <= 255.0 and value.is_integer() else value


def last_place(dtype: np.dtype) -> float:
    """Return the relative rounding error of one value, 0 for integers."""
    return float(np.finfo(dtype).eps) / 2 if dtype.kind == "f" else 0.0


def plane_of(
    before: np.ndarray,
    after: np.ndarray,
    good_before: np.ndarray | None,
    good_after: np.ndarray | None,
    like: Plane | None = None,
) -> Plane:
    """Return one channel with its masks; raise if no pixel is left. A tile has the shifts of the plane it is `like`."""
    # Pixels sent to a worker may lie at odd addresses, which the engine does not read.
    before, after = (np.require(pixels, requirements=["C", "A"]) for pixels in (before, after))
    bad_before, bad_after = _not_finite(before), _not_finite(after)
    if good_before is not None:
        bad_before = ~good_before if bad_before is None else bad_before | ~good_before
    if good_after is not None:
        bad_after = ~good_after if bad_after is None else bad_after | ~good_after
    for name, bad in (("before", bad_before), ("after", bad_after)):
        if bad is not None and bad.all() and like is None:
            raise DataError(f"{name}: expected usable pixels; received only NaN, infinite or masked ones")
    if like is None:
        before_shift, after_shift = shift_near_mean(before, bad_before), shift_near_mean(after, bad_after)
    else:
        before_shift, after_shift = like.before_shift, like.after_shift
    if bad_before is not None:
        before = np.where(bad_before, np.array(before_shift).astype(before.dtype), before)
    if bad_after is not None:
        after = np.where(bad_after, np.array(after_shift).astype(after.dtype), after)
    if like is not None:
        tile = replace(like, before=before, after=after, clipped=None, memory=None)
        return replace(tile, bad_before=bad_before, bad_after=bad_after)
    sample = before[:: max(1, before.shape[0] // 64), :: max(1, before.shape[1] // 64)].astype(np.float64)
    square, mean = float(np.mean(sample**2)), float(np.mean(sample))
    shifts = before_shift, after_shift
    return Plane(before, after, bad_before, bad_after, None, *shifts, square, mean, memory_of(before, after))


def memory_of(before: np.ndarray, after: np.ndarray) -> _Memory | None:
    """Return the memory of planes of these pixels; None if they are too many."""
    return _Memory(before, after) if after.size <= _REMEMBERED else None


def _not_finite(image: np.ndarray) -> np.ndarray | None:
    """Return the mask of NaN and infinite pixels; None if there are none."""
    if image.dtype.kind != "f":
        return None
    if all(np.isfinite(image[start : start + 128]).all() for start in range(0, image.shape[0], 128)):
        return None
    finite: np.ndarray = np.isfinite(image)
    return ~finite


def _any_in_window(bad: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the mask of windows that contain a True."""
    sums = np.zeros((bad.shape[0] + 1, bad.shape[1] + 1), np.int64)
    sums[1:, 1:] = bad.cumsum(axis=0, dtype=np.int64).cumsum(axis=1)
    kh, kw = size
    counts: np.ndarray = sums[kh:, kw:] - sums[:-kh, kw:] - sums[kh:, :-kw] + sums[:-kh, :-kw]
    return counts > 0


def statistics_of_tile(pair: Pair, support: Support) -> Sums:
    """Return the statistics of the planes of a tile, six sums each."""
    found: list[Any] = []
    for plane in pair.planes:
        s = _statistics(plane, pair.local(support), None)
        found += [s.count, s.gram, s.cross, s.total, s.after_total, s.after_square]
    return Sums.of(*found)


def _statistics(plane: Plane, support: Support, most: int | None) -> Statistics:
    """Return the statistics of one plane, of a part of its positions where the whole would cost more than `most`."""
    rows, columns = support.positions(plane.before.shape, plane.after.shape)
    window_rows, window_columns = support.windows((rows, columns))
    x, y = plane.before[window_rows, window_columns], plane.after[rows, columns]
    excluded = plane.excluded(support)
    shifts = plane.before_shift, plane.after_shift
    p = support.rows * support.columns
    bad = 0 if excluded is None else int(np.count_nonzero(excluded))
    if excluded is not None and min(bad, excluded.size - bad) * p * p > (most or _EXPLICIT):
        return _of_clear_parts(x, y, support, shifts, excluded, most or _EXPLICIT)
    if most is None:
        return _of_all(plane, support, excluded)
    share = -(-y.size * 3 * p // most)
    if share <= 1 or y.shape[0] < 8 * support.rows:
        return _of_all(plane, support, excluded)
    # Lag products of large supports cost as much for a low band as for a high one.
    count = 8 if p <= 225 else 2
    height = max(support.rows, y.shape[0] // (count * share))
    starts = np.linspace(0, y.shape[0] - height, count).astype(int)
    bands = [slice(start, start + height) for start in starts]
    around = [slice(start, start + height + support.rows - 1) for start in starts]
    if excluded is None:
        return gather_parts([(x[a], y[b]) for a, b in zip(around, bands)], support.size, *shifts)
    first, *rest = (gather(x[a], y[b], support.size, *shifts, excluded[b]) for a, b in zip(around, bands))
    return sum(rest, start=first)


def _of_all(plane: Plane, support: Support, excluded: np.ndarray | None) -> Statistics:
    """Return the statistics of all positions but those excluded, from known ones where fewer positions differ."""
    rows, columns = support.positions(plane.before.shape, plane.after.shape)
    x, y = plane.before[support.windows((rows, columns))], plane.after[rows, columns]
    arguments = support.size, plane.before_shift, plane.after_shift
    memory = plane.memory
    if memory is None or memory.before is not plane.before or memory.after is not plane.after:
        return gather(x, y, *arguments, excluded)
    statistics = None
    if support in memory.sums:
        then, statistics = memory.sums[support]
        more, fewer = _only(excluded, then), _only(then, excluded)
        if number_of((more, fewer)) > number_of((excluded,)):
            statistics = None
        # A position that counts, or does not, is one window.
        elif more is not None:
            statistics = statistics - gather(x, y, *arguments, ~more)
        if statistics is not None and fewer is not None:
            statistics = statistics + gather(x, y, *arguments, ~fewer)
    if statistics is None:
        statistics = gather(x, y, *arguments, excluded)
    memory.sums[support] = excluded, statistics
    if len(memory.sums) > _SUPPORTS:
        del memory.sums[next(iter(memory.sums))]
    return statistics


def number_of(masks: Sequence[np.ndarray | None]) -> int:
    """Return the number of True in masks, of which some may be None."""
    return sum(int(np.count_nonzero(mask)) for mask in masks if mask is not None)


def _only(these: np.ndarray | None, others: np.ndarray | None) -> np.ndarray | None:
    """Return where the first of two masks alone is True; None if nowhere."""
    if these is None:
        return None
    alone = these if others is None else these & ~others
    return alone if alone.any() else None


def _of_clear_parts(
    x: np.ndarray, y: np.ndarray, support: Support, shifts: tuple[float, float], excluded: np.ndarray, most: int
) -> Statistics:
    """Return the statistics of rectangles without an excluded position, and of some positions elsewhere.

    Explicit windows of all that counts would cost far more, and add little to what is known.
    """
    p = support.rows * support.columns
    side = max(_CLEAR, 2 * max(support.size))
    strips: list[tuple[int, int, int, int]] = []
    for top in range(0, y.shape[0], side):
        bottom = min(y.shape[0], top + side)
        bounds = np.arange(0, y.shape[1], side)
        dirty = np.logical_or.reduceat(excluded[top:bottom].any(axis=0), bounds)
        start = None
        for j, spoilt in enumerate([*dirty.tolist(), True]):
            left = min(y.shape[1], j * side)
            if not spoilt and start is None:
                start = left
            elif spoilt and start is not None:
                strips.append((top, bottom, start, left))
                start = None
    strips.sort(key=lambda strip: -(strip[1] - strip[0]) * (strip[3] - strip[2]))
    parts = [
        (x[top : bottom + support.rows - 1, first : last + support.columns - 1], y[top:bottom, first:last])
        for top, bottom, first, last in strips[:_STRIPS]
    ]
    total = gather_parts(parts, support.size, *shifts) if parts else None
    left_over = ~excluded
    enough = min(_PLENTY, _ENOUGH * np.count_nonzero(left_over))
    if total is not None and total.count > 40 * p and total.count > enough:
        return total
    for top, bottom, first, last in strips[:_STRIPS]:
        left_over[top:bottom, first:last] = False
    part = _scattered(x, y, support, shifts, left_over, max(most // (p * p), 8 * p))
    return part if total is None else total + part


def _scattered(
    x: np.ndarray, y: np.ndarray, support: Support, shifts: tuple[float, float], good: np.ndarray, count: int
) -> Statistics:
    """Return the statistics of so many of the good positions, spread over all of them."""
    where = np.flatnonzero(good)
    count = min(where.size, count)
    # One of each of equal parts: spread over the picture, and not in step with it.
    places = (np.arange(count) + np.random.default_rng(0).random(count)) * (where.size / max(1, count))
    chosen = where[places.astype(int)]
    rest = np.ones(y.shape, bool)
    rest.ravel()[chosen] = False
    return gather(x, y, support.size, *shifts, rest)
