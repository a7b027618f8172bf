"""The image pair prepared for learning: checked planes, excluded pixels, and the grid of the after's values."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from kernelfield.correlation.arguments import check_image
from kernelfield.errors import ArgumentError, DataError, DtypeError
from kernelfield.learning.least_squares import Moments
from kernelfield.learning.statistics import Statistics, gather, shift_near_mean
from kernelfield.learning.support import Support
from kernelfield.tensors.registry import adapter_of

# An image with fewer levels is not a sampled scale but a mask, a drawing or a label image.
_FEWEST_LEVELS = 64
_SAMPLE = 1 << 22


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
    before_square : float
        Mean square of the before, from a sample.
    """

    before: np.ndarray
    after: np.ndarray
    bad_before: np.ndarray | None
    bad_after: np.ndarray | None
    clipped: np.ndarray | None
    before_shift: float
    after_shift: float
    before_square: float

    def excluded(self, support: Support, censor: bool) -> np.ndarray | None:
        """Return the excluded positions of `support` as a mask; None if there are none."""
        rows, columns = support.positions(self.before.shape, self.after.shape)
        parts = []
        if self.bad_after is not None:
            parts.append(self.bad_after[rows, columns])
        if censor and self.clipped is not None:
            parts.append(self.clipped[rows, columns])
        if self.bad_before is not None:
            window_rows, window_columns = support.windows((rows, columns))
            parts.append(_any_in_window(self.bad_before[window_rows, window_columns], support.size))
        if not parts:
            return None
        bad = np.logical_or.reduce(parts)
        return bad if bad.any() else None


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
        Relative rounding error of one value of the after.
    ends : (float, float) or None
        Range of the after, if values may be clipped to it.
    """

    planes: tuple[Plane, ...]
    step: float
    epsilon: float
    ends: tuple[float, float] | None

    @property
    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shapes of a before and an after."""
        return self.planes[0].before.shape, self.planes[0].after.shape

    @property
    def same_size(self) -> bool:
        """Whether before and after have the same shape."""
        return self.shapes[0] == self.shapes[1]

    @property
    def clipped(self) -> bool:
        """Whether any value of the after lies at an end of the range."""
        return any(plane.clipped is not None for plane in self.planes)

    def exact_variance(self, square: float, count: int, energy: float = 1.0) -> float:
        """Return the largest residual variance that rounding explains.

        `square` is the sum of squares of the after about its mean over `count` pixels, `energy` the sum of the squared
        weights, which scales the rounding of products in floating point. The variance is 1/12 of a squared step
        (Widrow and Kollár, *Quantization Noise*, 2008, section 3) or that of floating point, and at least the
        resolution of float64 sums.
        """
        spread = square / max(1, count)
        mean = max(abs(plane.after_shift) for plane in self.planes)
        terms = max(plane.before_square for plane in self.planes) * energy
        floating = (4.0 * self.epsilon) ** 2 * (spread + mean**2 + terms)
        return max(1.05 * self.step**2 / 12.0, floating, 1e-14 * (spread + terms))

    def statistics(self, support: Support, censor: bool, most: int | None = None) -> list[Statistics]:
        """Return the statistics of each plane, with at most about `most` multiply-adds if given."""
        return [_statistics(plane, support, censor, most) for plane in self.planes]

    def moments(self, support: Support, censor: bool, most: int | None = None) -> Moments:
        """Return the moments of all planes together, for one shared kernel."""
        first, *rest = (Moments.of(s) for s in self.statistics(support, censor, most))
        return sum(rest, start=first)


def as_image(value: Any, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return an image and the mask of pixels that count, None for all.

    A path is read, a tensor and a Pillow image become arrays, and a batch of one image with one channel that image.
    """
    if isinstance(value, (str, os.PathLike)):
        from kernelfield.images import read

        value = read(value).pixels
    pillow = sys.modules.get("PIL.Image")
    if pillow is not None and isinstance(value, pillow.Image) and value.mode == "P":
        value = value.convert("RGB")
    adapter = adapter_of(value)
    if adapter is not None:
        if not adapter.is_concrete(value):
            raise ArgumentError("before, after: expected tensors with values in CPU memory; move them there")
        value = adapter.to_numpy(value)
    good = ~np.ma.getmaskarray(value) if np.ma.is_masked(value) else None
    array = np.asarray(value)
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
) -> Pair:
    """Return the checked pair; arguments as in `kernelfield.learn`."""
    (x, good_x), (y, good_y) = as_image(before, "before"), as_image(after, "after")
    planes_x, planes_y = _channels(x, "before", channel_axis), _channels(y, "after", channel_axis)
    if len(planes_x) != len(planes_y):
        raise ArgumentError(
            f"after: expected {len(planes_x)} channel(s) like before; received {len(planes_y)}; "
            "convert both to grey or both to colour"
        )
    shape_x, shape_y = planes_x[0].shape, planes_y[0].shape
    if shape_y[0] > shape_x[0] or shape_y[1] > shape_x[1]:
        raise ArgumentError(
            f"after: expected at most before's {shape_x[0]}×{shape_x[1]}; received {shape_y[0]}×{shape_y[1]}; "
            "crop the after, or swap the two"
        )
    good = _check_mask(mask, shape_x, shape_y)
    step = grid_step(y)
    ends = _ends(y, step, clip)
    epsilon = max(_epsilon(x.dtype), _epsilon(y.dtype))
    goods_x = [good] * len(planes_x) if good is not None and good.shape == shape_x else [None] * len(planes_x)
    goods_y = [good] * len(planes_y) if good is not None and good.shape == shape_y else [None] * len(planes_y)
    if good_x is not None:
        goods_x = [_both(a, b) for a, b in zip(goods_x, _channels(good_x, "before", channel_axis))]
    if good_y is not None:
        goods_y = [_both(a, b) for a, b in zip(goods_y, _channels(good_y, "after", channel_axis))]
    planes = tuple(_plane(*plane, ends) for plane in zip(planes_x, planes_y, goods_x, goods_y))
    return Pair(planes, step, epsilon, ends)


def grid_step(image: np.ndarray) -> float:
    """Return the step of the grid that the values lie on, or 0 if there is none.

    For integers it is 1 or their greatest common divisor (12 bits shifted into 16), for floats 1, 1/255 or 1/65535. An
    image with few levels does not count as a sampled scale.
    """
    every = max(1, image.size // (_SAMPLE if image.dtype.kind in "iu" else _SAMPLE >> 5))
    sample = image.ravel()[::every]
    if image.dtype.kind in "iu":
        step = int(np.gcd.reduce(sample.astype(np.int64) - int(sample[0])))
        return float(step) if step > 1 and np.unique(sample[: 1 << 16]).size >= _FEWEST_LEVELS else 1.0
    sample = sample[np.isfinite(sample)].astype(np.float64)
    slack = 2e-2 if image.dtype == np.float32 else 1e-6
    for step_size in (1.0, 1 / 255, 1 / 65535):
        levels = sample / step_size
        if levels.size and np.abs(levels - np.rint(levels)).max() < slack:
            return step_size if np.unique(np.rint(levels)).size >= _FEWEST_LEVELS else 0.0
    return 0.0


def _channels(image: np.ndarray, name: str, channel_axis: int | str | None) -> list[np.ndarray]:
    """Return the planes of an image, by the channel rule of `kernelfield.learn`."""
    if image.ndim == 2:
        return [np.ascontiguousarray(image)]
    if image.ndim != 3:
        raise ArgumentError(f"{name}: expected (H, W) or an image with channels; received shape {image.shape}")
    if channel_axis == "auto":
        if image.shape[2] > 4:
            raise ArgumentError(
                f"{name}: expected (H, W) or (H, W, C) with up to 4 channels; received shape {image.shape}; "
                "give channel_axis="
            )
        channel_axis = 2
    if channel_axis is None:
        raise ArgumentError(
            f"{name}: expected (H, W) with channel_axis=None; received shape {image.shape}; learn each image by itself"
        )
    if isinstance(channel_axis, (str, bool)) or not -3 <= channel_axis < 3:
        raise ArgumentError(f"channel_axis: expected -3 to 2 for shape {image.shape}; received {channel_axis!r}")
    planes = np.moveaxis(image, channel_axis, 0)
    return [np.ascontiguousarray(plane) for plane in planes]


def _check_mask(mask: ArrayLike | None, before: tuple[int, ...], after: tuple[int, ...]) -> np.ndarray | None:
    """Return the mask as bool, or None."""
    if mask is None:
        return None
    good = np.ma.filled(mask, False) if isinstance(mask, np.ma.MaskedArray) else np.asarray(mask)
    if good.dtype != np.bool_:
        raise DtypeError(f"mask: expected bool, True for pixels to use; received {good.dtype}; compare it to 0")
    if good.shape not in (before, after):
        raise ArgumentError(f"mask: expected the shape of before {before} or after {after}; received {good.shape}")
    return good


def _both(a: np.ndarray | None, b: np.ndarray) -> np.ndarray:
    """Return where both masks are True; None is True everywhere."""
    return b if a is None else a & b


def _ends(after: np.ndarray, step: float, clip: str | tuple[float, float] | None) -> tuple[float, float] | None:
    """Return the range to which the after may be clipped, or None."""
    if clip is None:
        return None
    if isinstance(clip, str):
        if clip != "auto":
            raise ArgumentError(f'clip: expected "auto", None or (low, high); received {clip!r}')
        if after.dtype.kind in "iu":
            limits = np.iinfo(after.dtype)
            return float(limits.min), float(limits.max)
        return (0.0, 1.0) if 0.0 < step < 1.0 else None
    low, high = (float(end) for end in clip)
    if not low < high:
        raise ArgumentError(f"clip: expected low < high; received ({low:g}, {high:g})")
    return low, high


def _epsilon(dtype: np.dtype) -> float:
    """Return the relative rounding error of one value, 0 for integers."""
    return float(np.finfo(dtype).eps) / 2 if dtype.kind == "f" else 0.0


def _plane(
    before: np.ndarray,
    after: np.ndarray,
    good_before: np.ndarray | None,
    good_after: np.ndarray | None,
    ends: tuple[float, float] | None,
) -> Plane:
    """Return one channel with its masks; raise if no pixel is left."""
    bad_before, bad_after = _not_finite(before), _not_finite(after)
    if good_before is not None:
        bad_before = ~good_before if bad_before is None else bad_before | ~good_before
    if good_after is not None:
        bad_after = ~good_after if bad_after is None else bad_after | ~good_after
    for name, bad in (("before", bad_before), ("after", bad_after)):
        if bad is not None and bad.all():
            raise DataError(f"{name}: expected usable pixels; received only NaN, infinite or masked ones")
    before_shift, after_shift = shift_near_mean(before, bad_before), shift_near_mean(after, bad_after)
    if bad_before is not None:
        before = np.where(bad_before, np.array(before_shift).astype(before.dtype), before)
    if bad_after is not None:
        after = np.where(bad_after, np.array(after_shift).astype(after.dtype), after)
    clipped = None
    if ends is not None:
        clipped = (after <= ends[0]) | (after >= ends[1])
        clipped = clipped if clipped.any() else None
    sample = before[:: max(1, before.shape[0] // 64), :: max(1, before.shape[1] // 64)].astype(np.float64)
    return Plane(before, after, bad_before, bad_after, clipped, before_shift, after_shift, float(np.mean(sample**2)))


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


def _statistics(plane: Plane, support: Support, censor: bool, most: int | None) -> Statistics:
    """Return the statistics of one plane, of a part of its positions where the whole would cost more than `most`."""
    rows, columns = support.positions(plane.before.shape, plane.after.shape)
    window_rows, window_columns = support.windows((rows, columns))
    x, y = plane.before[window_rows, window_columns], plane.after[rows, columns]
    excluded = plane.excluded(support, censor)
    shifts = plane.before_shift, plane.after_shift
    p = support.rows * support.columns
    if most is None:
        return gather(x, y, support.size, *shifts, excluded)
    if excluded is not None and min(excluded.sum(), (~excluded).sum()) * p * p > most:
        left = np.flatnonzero(~excluded)
        chosen = np.random.default_rng(0).choice(left, min(left.size, max(most // (p * p), 8 * p)), replace=False)
        excluded = np.ones(y.shape, bool)
        excluded.ravel()[chosen] = False
        return gather(x, y, support.size, *shifts, excluded)
    bands = -(-y.size * 3 * p // most)
    if bands <= 1 or y.shape[0] < 8 * support.rows:
        return gather(x, y, support.size, *shifts, excluded)
    height = max(support.rows, y.shape[0] // (8 * bands))
    starts = np.linspace(0, y.shape[0] - height, 8).astype(int)
    parts = []
    for start in starts:
        band = slice(start, start + height)
        within = slice(start, start + height + support.rows - 1)
        parts.append(gather(x[within], y[band], support.size, *shifts, None if excluded is None else excluded[band]))
    return sum(parts[1:], start=parts[0])
