"""A pair of pictures that no machine holds, as tiles: the same learner, with sums over all of them.

Decisions are made on a sample, windows spread over the picture; what is added, compared and counted is over all
tiles. Tiles lie on a fixed grid and are put together in a fixed tree: the result does not depend on how the pictures
are stored, on who computes a tile, or on the order in which they arrive.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any, Protocol

import numpy as np

from kernelfield.errors import ArgumentError, DataError
from kernelfield.learning.pair import (
    Pair,
    Plane,
    Unit,
    find_ends,
    grid_step,
    in_unit,
    is_marker,
    last_place,
    may_be_marked,
    plane_of,
    possible_marker,
    statistics_of_tile,
    unit_of,
    unmarked,
)
from kernelfield.learning.statistics import Statistics
from kernelfield.learning.sums import Sums, in_tree, joined
from kernelfield.learning.support import Support

#: Rows and columns of a tile, and tiles that are put together before anything leaves the machine that read them.
TILE, GROUP = 1024, 4
# The sample: windows along each axis, and their side, a multiple of JPEG's blocks.
_ACROSS, _SIDE = 3, 640
# A last tile of fewer rows or columns belongs to the one before: every tile has positions inside it.
_NARROW = 256
# Pixels along a side that tell its boundary rule, and rows and columns at the far side that they read: a kernel more.
_NEAR, _FAR = 1024, 3

#: A sum over leaves: given the function of a leaf's number and the number of leaves, the sum in the tree.
Engine = Callable[[Callable[[int], Any], int], Any]
Spans = tuple[tuple[int, int], ...]


class Picture(Protocol):
    """A picture that is read in parts."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    @property
    def channels(self) -> int:
        """Number of planes."""

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the pixels."""

    def planes(self, rows: slice, columns: slice) -> list[np.ndarray]:
        """Return a part of each plane, as (H, W)."""


@dataclass(frozen=True)
class Tiles:
    """The recipe of the tiles of a pair, for any worker: the pictures to read, and the steps after reading.

    Attributes
    ----------
    before, after, mask : Picture
        `mask` is not 0 for pixels to use, of the size of before or after, or None.
    base : Pair
        With planes that have no pixels, but the shifts.
    steps : tuple of callable
        Functions from pair to pair, applied to a tile in turn.
    rows, columns : Spans
        The grid of the after.
    """

    before: Picture
    after: Picture
    mask: Picture | None
    base: Pair
    steps: tuple[Callable[[Pair], Pair], ...]
    rows: Spans
    columns: Spans

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    def tile(self, index: int, supports: Sequence[Support]) -> Pair:
        """Return a tile with the pixels around it that windows of some supports read."""
        spans = self.rows[index // len(self.columns)], self.columns[index % len(self.columns)]
        return self.part(spans, supports)

    def part(self, spans: Spans, supports: Sequence[Support] = (), beyond: tuple[int, int] = (0, 0)) -> Pair:
        """Return a part of the pair with what its windows read, and of the before `beyond` rows and columns more."""
        around = []
        for axis, (start, stop) in enumerate(spans):
            ends = [((s.top, s.left)[axis], s.size[axis]) for s in supports]
            first = min([0, *(first for first, _ in ends)])
            last = max([beyond[axis], *(first + n - 1 for first, n in ends)])
            n = self.before.shape[axis]
            around.append((max(0, start + first), n if stop == self.after.shape[axis] else min(n, stop + last)))
        (r0, r1), (c0, c1) = spans
        (b0, b1), (d0, d1) = around
        x = self.before.planes(slice(b0, b1), slice(d0, d1))
        y = self.after.planes(slice(r0, r1), slice(c0, c1))
        good_x, good_y = self._good(slice(b0, b1), slice(d0, d1), slice(r0, r1), slice(c0, c1))
        marker_x, marker_y = self.base.markers
        planes = tuple(
            plane_of(
                in_unit(a, self.base.before_unit),
                in_unit(b, self.base.after_unit),
                unmarked(a, marker_x, good_x),
                unmarked(b, marker_y, good_y),
                like,
            )
            for a, b, like in zip(x, y, self.base.planes)
        )
        pair = replace(self.base, planes=planes, corner=(r0 - b0, c0 - d0), at=(r0, c0)).clipped_at(self.base.ends)
        for step in self.steps:
            pair = step(pair)
        return pair

    def _good(self, *where: slice) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Return the masks of a part of the before and of the after."""
        if self.mask is None:
            return None, None
        of_before = self.mask.shape == self.before.shape
        of_after = self.mask.shape == self.after.shape
        return (
            self.mask.planes(*where[:2])[0] != 0 if of_before else None,
            self.mask.planes(*where[2:])[0] != 0 if of_after else None,
        )


def _of_group(tiles: Tiles, function: Callable[..., Sums], arguments: tuple[Any, ...], group: int) -> Sums:
    """Return the sum of a function over the tiles of a group."""
    supports = [s for s in (_support_of(one) for one in (*arguments, *tiles.steps)) if s is not None]
    numbers = range(group * GROUP, min(len(tiles), (group + 1) * GROUP))
    total: Sums = joined([function(tiles.tile(number, supports), *arguments) for number in numbers])
    return total


def _support_of(value: Any) -> Support | None:
    """Return the support that an argument or a step is, or has."""
    found = value if isinstance(value, Support) else getattr(value, "support", None)
    return found if isinstance(found, Support) else None


@dataclass(frozen=True)
class _LeftOut:
    """The step that leaves out the pixels of a rule."""

    rule: Callable[[Pair], Sequence[np.ndarray | None]]

    @property
    def support(self) -> Support | None:
        return _support_of(self.rule)

    def __call__(self, pair: Pair) -> Pair:
        return pair.without(self.rule(pair))


@dataclass(frozen=True)
class TiledPair(Pair):
    """A pair as tiles: its planes are those of the sample, its sums those of all tiles.

    Attributes
    ----------
    tiles : Tiles
    part : Pair
        The sample.
    engine : callable
        Puts the sums of groups of tiles together.
    ends_seen : bool
        Whether any value of the whole after lies at an end of the range.
    """

    tiles: Tiles = field(kw_only=True)
    part: Pair = field(kw_only=True)
    engine: Engine = field(kw_only=True)
    ends_seen: bool = field(kw_only=True)

    @classmethod
    def of(cls, tiles: Tiles, part: Pair, engine: Engine, ends_seen: bool) -> TiledPair:
        """Return the pair of some tiles and their sample."""
        same = {one.name: getattr(part, one.name) for one in fields(Pair)}
        return cls(**same, tiles=tiles, part=part, engine=engine, ends_seen=ends_seen)

    @property
    def sample(self) -> Pair:
        """The windows of the sample."""
        return self.part

    @property
    def frame(self) -> Pair:
        """The corners of the picture, which have all pixels that tell the boundary rule."""
        return _glued(self.tiles, [_corners(n) for n in self.tiles.after.shape], 0)

    @property
    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shapes of the whole before and after."""
        return self.tiles.before.shape, self.tiles.after.shape

    @property
    def clipped(self) -> bool:
        """Whether any value of the whole after lies at an end of the range."""
        return self.ends_seen

    def total(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return the sum of ``function(tile, *arguments)`` over the tiles."""
        work = partial(_of_group, self.tiles, function, arguments)
        return self.engine(work, -(-len(self.tiles) // GROUP))

    def mapped(self, function: Callable[[Pair], Pair]) -> Pair:
        """Return the pair with every tile changed by a function, which workers import by its name."""
        tiles = replace(self.tiles, steps=(*self.tiles.steps, function))
        return TiledPair.of(tiles, function(self.part), self.engine, self.ends_seen)

    def without(
        self, left_out: Sequence[np.ndarray | None], rule: Callable[[Pair], Sequence[np.ndarray | None]] | None = None
    ) -> Pair:
        """Return the pair without the pixels of a rule, and the sample without those of its masks."""
        tiles = self.tiles
        if rule is not None:
            tiles = replace(tiles, steps=(*tiles.steps, _LeftOut(rule)))
        return TiledPair.of(tiles, self.part.without(left_out), self.engine, self.ends_seen)

    def without_clipped(self) -> Pair:
        """Return the pair with the values at the ends of the range excluded."""
        return self.mapped(Pair.without_clipped)

    def statistics(self, support: Support, most: int | None = None) -> list[Statistics]:
        """Return the statistics of each plane: of the sample if their cost is limited, else of all tiles."""
        if most is not None:
            return self.part.statistics(support, most)
        found = self.total(statistics_of_tile, support).added
        six = [found[6 * which : 6 * which + 6] for which in range(len(self.planes))]
        return [
            Statistics(
                size=support.size,
                count=int(count),
                gram=gram,
                cross=cross,
                total=total,
                after_total=float(after_total),
                after_square=float(after_square),
                before_shift=plane.before_shift,
                after_shift=plane.after_shift,
            )
            for plane, (count, gram, cross, total, after_total, after_square) in zip(self.planes, six)
        ]


def prepare_tiles(
    before: Picture,
    after: Picture,
    mask: Picture | None = None,
    clip: str | tuple[float, float] | None = "auto",
    margin: int = 31,
    engine: Engine = in_tree,
    tile: int | None = None,
    window: int = _SIDE,
) -> TiledPair:
    """Return the checked pair; `mask` and `clip` are as in `kernelfield.learn`.

    Parameters
    ----------
    before, after, mask : Picture
    margin : int
        How far kernels reach from the output pixel, at most, in the sample.
    engine : callable
        See `TiledPair`.
    tile, window : int
        Sides of the tiles, by default `TILE`, and of the windows of the sample.

    Raises
    ------
    ArgumentError
        If shapes, channels, mask or clip do not fit.
    DataError
        If no pixel is left.
    """
    if before.channels != after.channels:
        raise ArgumentError(
            f"after: expected {before.channels} channel(s) like before; received {after.channels}; "
            "convert both to grey or both to colour"
        )
    beyond = before.shape[0] - after.shape[0], before.shape[1] - after.shape[1]
    if min(beyond) < 0 or max(beyond) > 2 * margin:
        raise ArgumentError(
            f"after: expected the size of before, {before.shape[0]}×{before.shape[1]}, or up to {2 * margin} less, as "
            f"the valid part has; received {after.shape[0]}×{after.shape[1]}; crop both to the same scene"
        )
    if mask is not None and mask.shape not in (before.shape, after.shape):
        raise ArgumentError(
            f"mask: expected the shape of before {before.shape} or after {after.shape}; received {mask.shape}"
        )
    windows = [_windows(n, window) for n in after.shape]
    bare = Plane(np.zeros((0, 0)), np.zeros((0, 0)), None, None, None, 0.0, 0.0, 0.0, 0.0)
    base = Pair((bare,) * after.channels, 0.0, max(last_place(before.dtype), last_place(after.dtype)), None)
    tiles = Tiles(before, after, mask, base, (), *(grid(n, tile or TILE) for n in after.shape))
    survey, markers = _surveyed(tiles, engine)
    raw_x, raw_y = (
        np.concatenate([plane.ravel() for plane in _raw(picture, windows, more)])
        for picture, more in ((before, beyond), (after, (0, 0)))
    )
    raw_x, raw_y = (raw if one is None else raw[raw != one] for raw, one in zip((raw_x, raw_y), markers))
    step, before_step = grid_step(raw_y), grid_step(raw_x)
    unit_x, unit_y = unit_of(raw_x, before_step), unit_of(raw_y, step)
    base = replace(
        base,
        step=step / unit_y.scale,
        before_step=before_step / unit_x.scale,
        levels=np.unique(raw_y[:: max(1, raw_y.size >> 16)]).size,
        before_unit=unit_x,
        after_unit=unit_y,
        seek_ends=isinstance(clip, str),
        markers=markers,
    )
    base = _with_shifts(base, survey, before.dtype, after.dtype)
    empty = TiledPair.of(replace(tiles, base=base), base, engine, False)
    low, high = (float(end) for end in in_unit(np.array(survey.ends[1]), unit_y))
    below, above = -low, high
    ends = find_ends(empty, after.dtype, clip, (below, above))
    seen = ends is not None and (-below <= ends.low or above >= ends.high)
    tiles = replace(tiles, base=replace(base, ends=ends))
    return TiledPair.of(tiles, _glued(tiles, windows, margin), engine, seen)


def grid(n: int, tile: int) -> Spans:
    """Return an axis cut into tiles; a narrow last one belongs to the one before."""
    starts = list(range(0, n, tile))
    if len(starts) > 1 and n - starts[-1] < min(_NARROW, tile // 2):
        starts.pop()
    return tuple(zip(starts, [*starts[1:], n]))


def _windows(n: int, side: int) -> Spans:
    """Return the windows of the sample along an axis: all of it, or some of it, evenly spread."""
    if n <= _ACROSS * side:
        return ((0, n),)
    starts = [round(i * (n - side) / (_ACROSS - 1) / 8) * 8 for i in range(_ACROSS)]
    return tuple((start, min(n, start + side)) for start in starts)


def _corners(n: int) -> Spans:
    """Return the parts of an axis that tell the boundary rule: from its beginning, and its end."""
    near, far = _NEAR + _FAR * 256, _FAR * 256
    return ((0, n),) if n <= near + far else ((0, near), (n - far, n))


def _raw(picture: Picture, windows: list[Spans], beyond: tuple[int, int]) -> list[np.ndarray]:
    """Return the pixels of the windows, channel by channel."""
    parts = [
        picture.planes(slice(r0, r1 + beyond[0]), slice(c0, c1 + beyond[1]))
        for r0, r1 in windows[0]
        for c0, c1 in windows[1]
    ]
    return [plane for planes in parts for plane in planes]


def _glued(tiles: Tiles, windows: list[Spans], margin: int) -> Pair:
    """Return windows of the pair side by side; positions within `margin` of a seam do not count."""
    beyond = tuple(a - b for a, b in zip(tiles.before.shape, tiles.after.shape))
    rows = []
    for r in windows[0]:
        row = [tiles.part((r, c), (), (beyond[0], beyond[1])) for c in windows[1]]
        rows.append(_beside(row, 1, beyond[1], margin))
    return replace(_beside(rows, 0, beyond[0], margin), corner=(0, 0), at=(0, 0))


def _beside(parts: list[Pair], axis: int, gap: int, margin: int) -> Pair:
    """Return pairs put together along an axis: between their afters a gap, which and whose sides do not count."""
    if len(parts) == 1:
        return parts[0]
    planes = []
    for which, first in enumerate(parts[0].planes):
        same = [part.planes[which] for part in parts]
        befores = np.concatenate([plane.before for plane in same], axis)
        afters, bads, clipped = [], [], []
        for number, plane in enumerate(same):
            bad = np.zeros(plane.after.shape, bool) if plane.bad_after is None else plane.bad_after.copy()
            lines = np.moveaxis(bad, axis, 0)
            last = number == len(same) - 1
            if number:
                lines[:margin] = True
            if not last:
                lines[max(0, len(lines) - margin) :] = True
            ends = [(0, 0), (0, 0)]
            ends[axis] = (0, 0 if last else gap)
            afters.append(
                np.pad(plane.after, ends, constant_values=np.array(plane.after_shift).astype(plane.after.dtype))
            )
            bads.append(np.pad(bad, ends, constant_values=True))
            clipped.append(np.pad(_or_none(plane.clipped, plane.after), ends))
        bad_before = np.concatenate([_or_none(plane.bad_before, plane.before) for plane in same], axis)
        bad_after, at_ends = np.concatenate(bads, axis), np.concatenate(clipped, axis)
        planes.append(
            replace(
                first,
                before=befores,
                after=np.concatenate(afters, axis),
                bad_before=bad_before if bad_before.any() else None,
                bad_after=bad_after if bad_after.any() else None,
                clipped=at_ends if at_ends.any() else None,
            )
        )
    return replace(parts[0], planes=tuple(planes))


def _or_none(mask: np.ndarray | None, like: np.ndarray) -> np.ndarray:
    """Return a mask, False everywhere if it is None."""
    return np.zeros(like.shape, bool) if mask is None else mask


@dataclass(frozen=True)
class _Survey:
    """A survey of all tiles of a pair, in the numbers of its pictures.

    Attributes
    ----------
    counts : numpy.ndarray, shape (planes, 2)
        Pixels that count, of the before and the after.
    ends : numpy.ndarray, shape (2, 2)
        Lowest and highest value of the before and the after.
    rows : numpy.ndarray
        Rows of the sample: the plane, 0 for the before and 1 for the after, row, column, value, whether it counts.
    """

    counts: np.ndarray
    ends: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, tiles: Tiles, engine: Engine) -> _Survey:
        """Return the survey of tiles."""
        pair = TiledPair.of(tiles, tiles.base, engine, False)
        found = pair.total(_survey, tiles.before.shape, tiles.after.shape)
        counts = np.array(found.added).reshape(-1, 2)
        return cls(counts, found.largest.reshape(2, 2) * (-1.0, 1.0), found.rows)

    def sample(self, which: int) -> np.ndarray:
        """Return the values in the sample of the before, 0, or the after, 1, that count."""
        values: np.ndarray = self.rows[(self.rows[:, 1] == which) & (self.rows[:, 5] > 0.0), 4]
        return values


def _surveyed(tiles: Tiles, engine: Engine) -> tuple[_Survey, tuple[float | None, ...]]:
    """Return the survey of what counts, and the values of the before and the after that mark missing pixels."""
    first = _Survey.of(tiles, engine)
    markers = tuple(
        possible_marker(float(low), float(high), first.sample(which)) if may_be_marked(picture.dtype) else None
        for which, (picture, (low, high)) in enumerate(zip((tiles.before, tiles.after), first.ends))
    )
    if markers == (None, None):
        return first, markers
    # The others are known when those at the end are left out.
    rest = _Survey.of(replace(tiles, base=replace(tiles.base, markers=markers)), engine)
    marked = (first.counts - rest.counts).sum(axis=0)
    settled = tuple(
        end if end is not None and is_marker(end, int(count), float(low), float(high)) else None
        for end, count, (low, high) in zip(markers, marked, rest.ends)
    )
    if settled == markers:
        return rest, markers
    if settled == (None, None):
        return first, settled
    return _Survey.of(replace(tiles, base=replace(tiles.base, markers=settled)), engine), settled


def _survey(pair: Pair, before: tuple[int, int], after: tuple[int, int]) -> Sums:
    """Return the contribution of a tile to a `_Survey`: counts, the reach of its values below and above 0, and rows.

    The sample is that of `shift_near_mean`.
    """
    found, counts, reach = [], [], np.full((2, 2), -np.inf)
    for number, plane in enumerate(pair.planes):
        for which, (pixels, bad, shape) in enumerate(
            ((plane.before, plane.bad_before, before), (plane.after, plane.bad_after, after))
        ):
            counting = pixels if bad is None else pixels[~bad]
            counts.append(counting.size)
            if counting.size:
                ends = -float(counting.min()), float(counting.max())
                reach[which] = np.maximum(reach[which], ends)
            every = [max(1, n // 64) for n in shape]
            starts = [-at % step for at, step in zip(pair.at, every)]
            where = slice(starts[0], None, every[0]), slice(starts[1], None, every[1])
            values = pixels[where].astype(np.float64)
            good = np.ones(values.shape, bool) if bad is None else ~bad[where]
            rows, columns = np.mgrid[0 : values.shape[0], 0 : values.shape[1]]
            places = [(first + start) // step for first, start, step in zip(pair.at, starts, every)]
            listed = [np.full(values.size, number), np.full(values.size, which), (rows + places[0]).ravel()]
            listed += [(columns + places[1]).ravel(), values.ravel(), good.ravel()]
            found.append(np.stack([one.astype(np.float64) for one in listed], axis=1))
    return Sums.of(*counts, largest=reach.ravel().tolist(), rows=np.concatenate(found))


def _with_shifts(base: Pair, survey: _Survey, before: np.dtype, after: np.dtype) -> Pair:
    """Return the pair with the shifts and mean squares that the pictures as a whole have."""
    planes = []
    for number, plane in enumerate(base.planes):
        shifts, filled = [], []
        for which, (name, dtype, unit) in enumerate(
            (("before", before, base.before_unit), ("after", after, base.after_unit))
        ):
            if not int(survey.counts[number, which]):
                raise DataError(f"{name}: expected usable pixels; received only NaN, infinite or masked ones")
            rows = survey.rows[(survey.rows[:, 0] == number) & (survey.rows[:, 1] == which)]
            rows = rows[np.lexsort((rows[:, 3], rows[:, 2]))]
            good = rows[:, 5] > 0.0
            values = np.where(good, in_unit(rows[:, 4], unit), 0.0)
            mean = float(values[good].mean(dtype=np.float64)) if good.any() else 0.0
            whole = dtype.kind in "iu" and unit == Unit()
            shift = float(round(mean)) if whole else float(np.float32(mean))
            shifts.append(shift)
            filled.append(np.where(good, values, shift))
        square, mean = float(np.mean(filled[0] ** 2)), float(np.mean(filled[0]))
        planes.append(
            replace(plane, before_shift=shifts[0], after_shift=shifts[1], before_square=square, before_mean=mean)
        )
    return replace(base, planes=tuple(planes))
