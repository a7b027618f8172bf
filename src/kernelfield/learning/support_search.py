"""The kernel's support: implied by the image shapes, given as ``size=``, or searched for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kernelfield._core import lag_products
from kernelfield.correlation import correlate
from kernelfield.errors import ArgumentError, DataError, received
from kernelfield.learning.estimate import LARGEST_GRAM
from kernelfield.learning.frames import Frames, compare_frames
from kernelfield.learning.free import fit_free
from kernelfield.learning.least_squares import Moments, solve
from kernelfield.learning.pair import Pair, Plane
from kernelfield.learning.residual import Map
from kernelfield.learning.shrinking import shrink
from kernelfield.learning.support import Support, centred
from kernelfield.learning.uncertainty import is_blocky
from kernelfield.learning.wide import find_wide, predicts

_LARGEST_SIZE = 255
_LEVELS, _WIDE = (7, 15, 31), (63, 127, 255)
# An after that is smaller by more is no valid part.
_LARGEST_VALID = 63
# Maximum number of multiply-adds for one level; above it a sample of the positions is used.
_MOST = 600_000_000
# Factor on the noise: residuals of rounding or of a nonlinear filter are not white and fluctuate more than white noise.
_NOT_WHITE, _FOLLOWING, _COLOURED = 3.0, 6.0, 10.0
# Limits below which an outer row is negligible, as growth of the squared residual and as share of the largest
# coefficient: for residuals of rounding, for white noise, and for coloured residuals, as of JPEG. Rounding that follows
# the signal was measured to give coefficients of 5e-4 where the true ones are 0.
_ROUNDED, _MORE, _BLOCKY = (1e-3, 1e-3), (1e-4, 5e-3), (3e-3, 3e-2)
# The same for JPEG, whose quantisation blurs what it keeps: a box of 3×3 seemed to have weights of 0.15 of the largest
# around it, which explain up to 0.06 of the residual a line; those of wider kernels, 0.12 and more.
_JPEG = (6e-3, 0.16)
# Variance of the residual, over that of rounding, from which on blocks are looked for.
_OF_JPEG = 4.0
# A larger support counts where it takes this share from a residual that is not white.
_GAIN = 0.02
# Correlation of neighbouring residuals from which on they are not white, and smooth; the share of the variance up to
# which most of it is explained, and from which on little is.
_ALIKE, _SMOOTH, _MOST_LEFT, _LITTLE_FOUND = 0.05, 0.5, 0.3, 0.7
# Rows and columns beside the largest support with a Gram matrix on which the residual is tested.
_BESIDE = 8
# A shift up to this lies inside the smallest support that is searched.
_NEAR = 2
# Residual variances within this factor of the least are the same.
_ALIKE_LEFT = 1.02


@dataclass(frozen=True)
class Found:
    """The support that a search ended with.

    Attributes
    ----------
    support : Support
    pair : Pair
        The pair, without clipped values where they would bias the fit.
    noise : float or None
        Variance of the residual; None if nothing was searched.
    sampled : int
        Positions that the search used; 0 if all.
    limit : int
        The size at which the search ended although the outermost weights mattered; 0 if it ended inside.
    frames : Frames or None
    """

    support: Support
    pair: Pair
    noise: float | None = None
    sampled: int = 0
    limit: int = 0
    frames: Frames | None = None


def choose_support(pair: Pair, size: Any, max_size: int) -> Found:
    """Return the support: implied by the image shapes, given as `size`, or searched for up to `max_size`."""
    max_size = check_max_size(max_size)
    before, after = pair.shapes
    given = None if size is None else check_size(size)
    frames = None
    if not pair.same_size:
        support, frames = _of_smaller(pair, given)
    elif given is not None:
        support = centred(given)
    else:
        return find_support(pair, max_size)
    positions = support.positions(before, after)
    room = [p.stop - p.start for p in positions]
    coefficients = support.rows * support.columns
    if min(room) <= 0 or room[0] * room[1] * len(pair.planes) < coefficients + len(pair.planes):
        raise DataError(
            f"size: expected at least {coefficients + 1} positions for {support.rows}×{support.columns} coefficients "
            f"and an offset; received {max(0, room[0]) * max(0, room[1])} in an image of {before[0]}×{before[1]}; "
            "take a smaller size or a larger image"
        )
    found = Found(support, pair.without_clipped() if _needs_censoring(pair, support) else pair, frames=frames)
    return found if pair.same_size else _crop(found, pair, given, max_size)


def check_size(size: Any) -> tuple[int, int]:
    """Return a checked size as (rows, columns)."""
    values = size if isinstance(size, (tuple, list)) else (size, size)
    if len(values) != 2 or not all(
        isinstance(v, (int, np.integer)) and not isinstance(v, bool) and 1 <= v <= _LARGEST_SIZE for v in values
    ):
        raise ArgumentError(f"size: expected one or two integers from 1 to {_LARGEST_SIZE}; received {received(size)}")
    return int(values[0]), int(values[1])


def check_max_size(max_size: Any) -> int:
    """Return a checked largest size of a search."""
    if isinstance(max_size, bool) or not isinstance(max_size, (int, np.integer)) or not 1 <= max_size <= _LARGEST_SIZE:
        raise ArgumentError(f"max_size: expected an integer from 1 to {_LARGEST_SIZE}; received {received(max_size)}")
    return int(max_size)


def _of_smaller(pair: Pair, given: tuple[int, int] | None) -> tuple[Support, Frames | None]:
    """Return the support of a smaller after: of its valid part, or of a crop about the place where it lies."""
    before, after = pair.shapes
    implied = before[0] - after[0] + 1, before[1] - after[1] + 1
    if given in (None, implied) and max(implied) <= _LARGEST_VALID:
        return Support(0, 0, *implied), None
    frames = compare_frames(pair) if min(after) >= 16 else Frames(0, 0, 0.0)
    ratio = before[0] / after[0], before[1] / after[1]
    if not frames.found:
        # The valid part of a tiny picture has a smaller share of its rows and columns.
        if max(ratio) > (1.1 if min(after) >= 16 else 1.5) and abs(ratio[0] - ratio[1]) < 0.05 * ratio[0]:
            raise DataError(
                f"after: expected the scale of before; received {after[0]}×{after[1]}, about 1/{ratio[0]:.3g} of "
                f"{before[0]}×{before[1]} on both axes, as a resized picture is; bring both to one size"
            )
        if given is not None and max(implied) <= _LARGEST_VALID:
            raise ArgumentError(
                f"size: expected {implied[0]}×{implied[1]}, as an after of {after[0]}×{after[1]} from a before of "
                f"{before[0]}×{before[1]} implies; received {given[0]}×{given[1]}; leave it out"
            )
        raise ArgumentError(
            f"after: expected at most {_LARGEST_VALID - 1} rows and columns less than before's "
            f"{before[0]}×{before[1]}, or a larger crop of it; received {after[0]}×{after[1]}; "
            "crop both to the same scene"
        )
    place = frames.rows, frames.columns
    return _about((_LEVELS[0], _LEVELS[0]), place) if given is None else _best_about(pair, given, place), frames


def _best_about(pair: Pair, size: tuple[int, int], place: tuple[int, int]) -> Support:
    """Return the support of a size that explains a crop best, about an offset or up to two pixels beside it.

    The peak of a crop's phase need not be the middle of its kernel. Of supports that explain the pair alike, as do
    those larger than the kernel, the one with the kernel in its middle is taken.
    """
    middle = _about(size, place)
    wide = _around(middle, _NEAR)
    room = [_length(one) for one in wide.positions(*pair.shapes)]
    if wide.parameters > LARGEST_GRAM or room[0] * room[1] * len(pair.planes) <= 2 * wide.parameters:
        return middle
    moments = (pair.without_clipped() if pair.clipped else pair).moments(wide, _MOST)
    if moments.count <= 2 * wide.parameters:
        return middle
    allowed = pair.exact_variance(moments.square, moments.count) * moments.count
    places = np.arange(wide.parameters).reshape(wide.size)
    tried = []
    for row, column in np.ndindex(2 * _NEAR + 1, 2 * _NEAR + 1):
        kept = places[row : row + size[0], column : column + size[1]].ravel()
        part = replace(moments, gram=moments.gram[np.ix_(kept, kept)], cross=moments.cross[kept])
        kernel = part.ridge_kernel.reshape(size)
        energy = kernel**2 / max(float((kernel**2).sum()), 1e-300)
        down = float(energy.sum(axis=1) @ np.arange(size[0])) - (size[0] - 1) / 2.0
        right = float(energy.sum(axis=0) @ np.arange(size[1])) - (size[1] - 1) / 2.0
        support = replace(middle, top=wide.top + row, left=wide.left + column)
        tried.append((max(part.unexplained(kernel.ravel()), allowed), float(np.hypot(down, right)), support))
    least = min(left for left, _, _ in tried)
    return min((one for one in tried if one[0] <= _ALIKE_LEFT * least), key=lambda one: one[1])[2]


def _crop(found: Found, pair: Pair, given: tuple[int, int] | None, max_size: int) -> Found:
    """Return the support about the place of a smaller after, where its valid part does not explain it."""
    support = found.support
    if given is not None and found.frames is not None:
        return found
    noise, allowed = _left(found.pair, support)
    if (found.frames is None and noise <= allowed) or min(pair.shapes[1]) < 16:
        return found
    frames = found.frames or compare_frames(pair)
    before, after = pair.shapes
    middle = Support(0, 0, before[0] - after[0] + 1, before[1] - after[1] + 1)
    if not frames.found:
        frames = Frames(middle.rows // 2, middle.columns // 2, 0.0)
    if given is None:
        other = find_support(pair, max_size, frames)
    else:
        about = _best_about(pair, given, (frames.rows, frames.columns))
        other = replace(found, support=about, noise=_left(found.pair, about)[0], frames=frames)
    if found.frames is not None or (other.noise is not None and other.noise < 0.97 * noise):
        return other
    return found


def _needs_censoring(pair: Pair, support: Support) -> bool:
    """Return whether clipped values bias the fit and must be excluded."""
    if not pair.clipped:
        return False
    noise, allowed = _left(pair, support)
    return noise > allowed


def _left(pair: Pair, support: Support) -> tuple[float, float]:
    """Return the variance of the residual over a support, from a sample, and that which rounding explains."""
    if support.parameters > LARGEST_GRAM:
        free = fit_free(pair, support, _MOST // support.parameters)
        return (np.inf, 0.0) if free is None else (free.variance, pair.exact_variance(free.square, free.count))
    moments = pair.moments(support, _MOST)
    kernel = solve(moments).kernel
    noise = moments.unexplained(kernel) / moments.freedom
    return noise, pair.exact_variance(moments.square, moments.count, float(kernel @ kernel))


def find_support(pair: Pair, max_size: int, frames: Frames | None = None) -> Found:
    """Search for the support about the place of the after in the before.

    Supports of growing size are tried until the residual is no more than rounding, or a larger one explains no more.
    The Gram matrix of a support contains those of all smaller ones: the support is then shrunk from the outside.
    """
    if frames is None:
        frames = compare_frames(pair) if min(pair.shapes[1]) >= 32 else Frames(0, 0, 0.0)
    place = (frames.rows, frames.columns) if frames.found else (0, 0)
    if pair.same_size and max(abs(place[0]), abs(place[1])) <= _NEAR:
        place = (0, 0)
    supports = _levels(pair, max_size, place, _LEVELS)
    wide = [one for one in _levels(pair, max_size, place, _WIDE) if max(one.size) > max(supports[-1].size)]
    used, best = pair, None
    for censor in (False, True) if pair.clipped else (False,):
        used = pair.without_clipped() if censor else pair
        for support in supports[:1] if pair.clipped and not censor else supports:
            level = _level(used, support)
            if level is None:
                continue
            if level.noise <= level.allowed:
                return _at_rounding(level, used, frames)
            same = best is not None and best.used is used and level.noise > (1.0 - _GAIN) * best.noise
            if best is not None and same and not best.white and not best.hidden:
                return _shrunk(best, frames, 0)
            best = level
            if (pair.clipped and not censor) or support is supports[-1]:
                continue
            if not level.hidden and not _reaches_beyond(level, supports[supports.index(support) + 1]):
                break
    if best is None:
        rows, columns = pair.shapes[0]
        raise DataError(
            f"before, after: expected at least 3 usable pixels for each coefficient; received {rows}×{columns} "
            "pixels, minus excluded ones; take a larger image or give size="
        )
    limit = 0
    if best.support is supports[-1]:
        largest = max(best.support.size)
        limit = largest if largest >= min(max_size, _LEVELS[-1]) else 0
        reaches = bool(wide) and _reaches_beyond(best, _around(best.support, _BESIDE))
        if reaches:
            found = find_wide(best.used, wide, best.noise, best.white, supports[0])
            if found is not None:
                room = [_length(places) for places in best.support.positions(*pair.shapes)]
                whole = room[0] * room[1] * len(pair.planes)
                sampled = found.count if found.count < 0.5 * whole else 0
                return Found(found.support, best.used, found.noise, sampled, found.limit, frames)
            limit = 0
        share = 1.0 if best.white else 1.0 - _GAIN
        last = reaches or not wide
        if last and best.support is not supports[0] and not predicts(best.used, best.support, supports[0], share):
            narrow = _level(best.used, supports[0])
            if narrow is not None:
                return _shrunk(narrow, frames, 0)
    return _shrunk(best, frames, limit)


@dataclass(frozen=True)
class _Level:
    """One support of the search with its moments, and the correlation of neighbouring residuals."""

    support: Support
    used: Pair
    moments: Moments
    kernel: np.ndarray
    noise: float
    allowed: float
    alike: float

    @property
    def white(self) -> bool:
        """Whether neighbouring residuals are as good as independent."""
        return abs(self.alike) < _ALIKE

    @property
    def smooth(self) -> bool:
        """Whether the residual is smooth, as that of a blur wider than the support, though most is explained."""
        return self.alike > _SMOOTH and self._left < _MOST_LEFT

    @property
    def hidden(self) -> bool:
        """Whether little is explained and the residual is smooth, as that of a wide kernel of both signs."""
        return self.alike > _SMOOTH and self._left > _LITTLE_FOUND

    @property
    def _left(self) -> float:
        """The share of the variance that is not explained."""
        return self.noise * max(1, self.moments.count) / max(self.moments.square, 1e-300)


def _level(pair: Pair, support: Support) -> _Level | None:
    """Return the fit of a support to a sample of the pair; None if too few positions are left."""
    moments = pair.moments(support, _MOST)
    if moments.count <= 2 * moments.cross.size:
        return None
    kernel = moments.ridge_kernel
    noise = moments.unexplained(kernel) / moments.freedom
    allowed = pair.exact_variance(moments.square, moments.count, float(kernel @ kernel))
    alike = 0.0 if noise <= allowed else _likeness(pair, support, kernel)
    return _Level(support, pair, moments, kernel, noise, allowed, alike)


def _sample(pair: Pair, support: Support, kernel: np.ndarray) -> list[tuple[Plane, slice, np.ndarray]]:
    """Return planes, rows and the residual, 0 where excluded, of a band in the middle of each plane."""
    parts = []
    for plane in pair.planes:
        rows, columns = support.positions(plane.before.shape, plane.after.shape)
        height = min(rows.stop - rows.start, max(64, (1 << 18) // max(1, columns.stop - columns.start)))
        start = rows.start + (rows.stop - rows.start - height) // 2
        part = slice(start, start + height)
        windows = plane.before[support.windows((part, columns))]
        residual = plane.after[part, columns] - correlate(windows, kernel, mode="valid", dtype=np.float64)
        excluded = plane.excluded(support)
        if excluded is not None:
            bad = excluded[start - rows.start : start - rows.start + height]
            residual -= residual[~bad].mean() if not bad.all() else 0.0
            residual[bad] = 0.0
        else:
            residual -= residual.mean()
        parts.append((plane, part, residual))
    return parts


def _likeness(pair: Pair, support: Support, kernel: np.ndarray) -> float:
    """Return the correlation of neighbouring residuals, the larger of the two directions, 0 where chance gives it."""
    across, down, square, count = 0.0, 0.0, 0.0, 0
    for _, _, residual in _sample(pair, support, kernel.reshape(support.size)):
        square += float((residual**2).sum())
        across += float((residual[:, 1:] * residual[:, :-1]).sum())
        down += float((residual[1:] * residual[:-1]).sum())
        count += residual.size
    largest = max(across, down, key=abs) / max(square, 1e-300)
    return largest if abs(largest) > 4.0 / np.sqrt(max(1, count)) else 0.0


def _reaches_beyond(level: _Level, wider: Support) -> bool:
    """Return whether the residual depends on pixels around the support, up to a wider one.

    The residual is correlated with the before after a Laplacian, which makes its neighbouring values nearly
    independent: each lag is then a test of one weight.
    """
    if level.smooth:
        return True
    support = level.support
    margins = support.top - wider.top, support.left - wider.left
    if min(margins) < 0:
        return True
    found = _scores(level.used, support, wider, level.kernel.reshape(support.size))
    if found is None:
        return True
    ring = np.ones(wider.size, bool)
    ring[margins[0] : margins[0] + support.rows, margins[1] : margins[1] + support.columns] = False
    squares = found[ring] ** 2 / (1.0 if level.white else _COLOURED)
    m = squares.size
    return bool(squares.sum() - m > 5.0 * np.sqrt(2.0 * m) or squares.max() > 2.0 * np.log(m) + 9.0)


def _scores(pair: Pair, support: Support, wider: Support, kernel: np.ndarray) -> np.ndarray | None:
    """Return the correlation of the residual with the detail of the before at the offsets of `wider`.

    In standard deviations of chance, of residuals that may be larger where there is more detail, or not count where
    there is less; None if too few positions are left.
    """
    sums, variances = np.zeros(wider.size), np.zeros(wider.size)
    for plane, rows, residual in _sample(pair, support, kernel):
        columns = support.positions(plane.before.shape, plane.after.shape)[1]
        # Positions with the wider window and a pixel more inside the before.
        first_row, first_column = max(rows.start, 1 - wider.top), max(columns.start, 1 - wider.left)
        last_row = min(rows.stop, plane.before.shape[0] - 1 - (wider.top + wider.rows - 1))
        last_column = min(columns.stop, plane.before.shape[1] - 1 - (wider.left + wider.columns - 1))
        if last_row - first_row < 8 or last_column - first_column < 8:
            return None
        inner = residual[
            first_row - rows.start : last_row - rows.start, first_column - columns.start : last_column - columns.start
        ]
        around = plane.before[
            first_row + wider.top - 1 : last_row + wider.top + wider.rows,
            first_column + wider.left - 1 : last_column + wider.left + wider.columns,
        ].astype(np.float64)
        detail = 4.0 * around[1:-1, 1:-1] - around[:-2, 1:-1] - around[2:, 1:-1] - around[1:-1, :-2] - around[1:-1, 2:]
        # The scores have no unit: numbers of up to 1 are summed as float32, block by block.
        units = [max(float(np.abs(image).max()), 1e-300) for image in (inner, detail)]
        a, b = ((image / unit).astype(np.float32) for image, unit in zip((inner, detail), units))
        both = units[0] * units[1]
        sums += both * lag_products(a, b, wider.size, max(16, len(a)), single=True)[0]
        variances += both**2 * lag_products(a**2, b**2, wider.size, max(16, len(a)), single=True)[0]
    scores: np.ndarray = sums / np.sqrt(np.maximum(variances, 1e-300))
    return scores


def _at_rounding(level: _Level, pair: Pair, frames: Frames) -> Found:
    """Return the support of a level whose residual is no more than rounding."""
    sampled = _sampled(level)
    if solve(level.moments).rank < level.moments.cross.size:
        # The pair does not determine the kernel: do not shrink it.
        return Found(level.support, pair, level.noise, sampled, 0, frames)
    noise = max(level.noise, 0.2 * level.allowed)
    limits = (_FOLLOWING * noise, *_ROUNDED) if pair.step > 0.0 else (noise, 0.0, 0.0)
    return Found(
        shrink(level.moments, level.support, *limits, hold=level.used.same_size), pair, level.noise, sampled, 0, frames
    )


def _shrunk(level: _Level, frames: Frames, limit: int) -> Found:
    """Return the part of a level's support that matters."""
    white = level.white and level.noise > 3.0 * level.allowed
    limits = (level.noise, 0.0, 0.0) if white else (_NOT_WHITE * level.noise, *_MORE)
    if not level.white:
        limits = (
            _COLOURED * level.noise,
            *(_JPEG if _has_blocks(level.used, level.support, level.kernel) else _BLOCKY),
        )
    support = shrink(level.moments, level.support, *limits, hold=level.used.same_size)
    ended = limit if limit and max(support.size) >= limit - 1 and _matters(level, support) else 0
    return Found(support, level.used, level.noise, _sampled(level), ended, frames)


def _has_blocks(pair: Pair, support: Support, kernel: np.ndarray) -> bool:
    """Return whether the residual has the blocks of JPEG."""
    if pair.step == 0.0:
        return False
    parts = _sample(pair, support, kernel.reshape(support.size))
    square = sum(float((residual**2).sum()) for _, _, residual in parts)
    # Near rounding the residual tells of weights that are missing.
    if square < _OF_JPEG * pair.step**2 / 12.0 * sum(residual.size for _, _, residual in parts):
        return False
    columns = support.positions(*pair.shapes)[1]
    empty = np.zeros((0, 0))
    maps = [Map(empty, residual, empty, residual == 0.0) for _, _, residual in parts]
    return is_blocky(pair, maps, (parts[0][1].start, columns.start))


def reduced(pair: Pair, support: Support, moments: Moments, kernel: np.ndarray, noise: float) -> Support:
    """Return the part of a support that matters for the pixels of `pair`, whose moments and fit these are."""
    allowed = pair.exact_variance(moments.square, moments.count, float((kernel**2).sum()))
    alike = 0.0 if noise <= allowed else _likeness(pair, support, kernel)
    level = _Level(support, pair, moments, kernel.ravel(), noise, allowed, alike)
    return _shrunk(level, Frames(0, 0, 0.0), 0).support


def _matters(level: _Level, support: Support) -> bool:
    """Return whether the residual depends on pixels around a support that ends at the limit, or is not like noise."""
    wider = _around(support, 2)
    kernel = level.kernel.reshape(level.support.size)
    top, left = support.top - level.support.top, support.left - level.support.left
    scores = _scores(level.used, support, wider, kernel[top : top + support.rows, left : left + support.columns])
    ring = np.ones(wider.size, bool)
    ring[2:-2, 2:-2] = False
    return level.smooth or scores is None or _beyond_chance(scores[ring] ** 2)


def _sampled(level: _Level) -> int:
    """Return the number of positions of a level, 0 if they were all that count."""
    rows, columns = level.support.positions(*level.used.shapes)
    whole = (rows.stop - rows.start) * (columns.stop - columns.start) * len(level.used.planes)
    return level.moments.count if level.moments.count < 0.5 * whole else 0


def grown(pair: Pair, support: Support, kernel: np.ndarray, noise: float, max_size: int) -> Support:
    """Return the support with the rows and columns around it that the residual depends on, up to two on each side.

    The test is that of `_beyond_chance`, for each row and column by itself. After JPEG the residual depends on all
    pixels of its blocks, and says nothing.
    """
    wider = _around(support, 2)
    scores = _scores(pair, support, wider, kernel)
    if scores is None:
        return support
    if _has_blocks(pair, support, kernel):
        return support
    # Near rounding it is missing weights that make neighbouring residuals alike.
    coloured = 0.0 < _OF_JPEG * pair.step**2 / 12.0 < noise and abs(_likeness(pair, support, kernel)) >= _ALIKE
    squares = scores**2 / (_COLOURED if coloured else 1.0)
    lines = (squares[1, 2:-2], squares[-2, 2:-2], squares[2:-2, 1], squares[2:-2, -2])
    outer = (squares[0, 1:-1], squares[-1, 1:-1], squares[1:-1, 0], squares[1:-1, -1])
    more = [2 if _beyond_chance(second) else 1 if _beyond_chance(first) else 0 for first, second in zip(lines, outer)]
    rows, columns = support.rows + more[0] + more[1], support.columns + more[2] + more[3]
    if max(rows, columns) > max_size:
        return support
    return Support(support.top - more[0], support.left - more[2], rows, columns)


def _beyond_chance(squares: np.ndarray) -> bool:
    """Return whether squared scores are more than those of noise."""
    m = squares.size
    return bool(squares.sum() > m + 5.0 * np.sqrt(2.0 * m) + 4.0 or squares.max() > 2.0 * np.log(m) + 16.0)


def widened(support: Support, pair: Pair, max_size: int) -> Support:
    """Return the next larger odd, centred support, or `support` itself if there is none."""
    closure = [2 * max(-first, first + n - 1) + 1 for first, n in zip((support.top, support.left), support.size)]
    if tuple(closure) == support.size:
        closure = [n + 2 for n in closure]
    sizes = [n for n, length in zip(closure, pair.shapes[0]) if n <= min(max_size, _largest_odd(length))]
    return centred((sizes[0], sizes[1])) if len(sizes) == 2 else support


def _levels(pair: Pair, max_size: int, place: tuple[int, int], sizes: Sequence[int]) -> list[Support]:
    """Return the supports of these sizes, limited by the number of positions in the pair."""
    shape = pair.shapes[0]
    sizes = sorted({min(size, max_size) for size in sizes})
    supports: list[Support] = []
    for size in sizes:
        rows, columns = (min(size, _largest_odd(n)) for n in pair.shapes[1])
        while True:
            inside = pair.same_size and all(abs(at) <= n // 2 - _NEAR for at, n in zip(place, (rows, columns)))
            # The peak of a kernel's phase need not be its middle: about the output pixel where it is not far.
            support = _about((rows, columns), (0, 0) if inside else place)
            where = support.positions(shape, pair.shapes[1])
            count = len(pair.planes) * _length(where[0]) * _length(where[1])
            weights = rows * columns if max(rows, columns) <= _LEVELS[-1] else rows + columns
            if count > 2 * weights or rows == columns == 1:
                break
            rows, columns = max(1, rows - 2 * (rows >= columns)), max(1, columns - 2 * (columns > rows))
        if support not in supports:
            supports.append(support)
    return supports


def _around(support: Support, margin: int) -> Support:
    """Return the support with so many rows and columns more at each side."""
    return Support(support.top - margin, support.left - margin, support.rows + 2 * margin, support.columns + 2 * margin)


def _about(size: tuple[int, int], place: tuple[int, int]) -> Support:
    """Return the support of a size about an offset."""
    middle = centred(size)
    return replace(middle, top=middle.top + place[0], left=middle.left + place[1])


def _largest_odd(n: int) -> int:
    """Return the largest odd size with a third of an axis of `n` left for positions."""
    return max(1, 2 * (n // 3) - 1)


def _length(positions: slice) -> int:
    return int(positions.stop - positions.start)
