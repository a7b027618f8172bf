"""The field along one axis of the image as a table with an entry for every unit: where no single form holds for all.

A form is an `Interval`: it holds for every index. After a concatenation along positions each part has its own; after a
roll, a list of indices or a window that crosses two parts, single units differ. A table holds the first and the last
element that each unit reads, and the pieces of each axis in which the entries repeat with a constant step. Padding
behind the first or the last unit continues the piece at that end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import gcd, lcm
from typing import NamedTuple

import numpy as np

from kernelfield.receptive.graph import AxisMap, Edge, Link, Node
from kernelfield.receptive.intervals import NOWHERE, Interval

# Middles that differ by less, in elements of the image, agree.
_SAME = 1e-6
# Parts of one axis by indices that a list of indices may have.
_MOST_RUNS = 64


class Piece(NamedTuple):
    """Units ``start .. stop - 1`` of an axis: the entry ``period`` units on is `step` elements on.

    A `step` of None says that none of these units reads anything.
    """

    start: int
    stop: int
    period: int
    step: int | None


@dataclass(frozen=True, eq=False)
class Table:
    """First and last element that every unit of a node reads along one axis of the image.

    Parameters
    ----------
    axes : tuple of int
        Axes of the node on which they depend, ascending.
    low, high : array of int
        Over the extents of these axes; the last lies in front of the first where a unit reads nothing.
    middle : array of float
        The middle of the field of one path; NaN where every path reads the whole axis, or none is there.
    pieces : tuple of tuple of Piece
        For each of `axes`, ascending; units between two pieces have nothing in common.
    whole : array of bool
        Whether a unit reads the whole axis, whatever its extent.
    aligned : bool
        Whether all paths to a unit have the same middle.
    """

    axes: tuple[int, ...]
    low: np.ndarray
    high: np.ndarray
    middle: np.ndarray
    pieces: tuple[tuple[Piece, ...], ...]
    whole: np.ndarray
    aligned: bool = True

    @classmethod
    def of(
        cls,
        interval: Interval,
        middle: tuple[tuple[tuple[int, Fraction], ...], Fraction] | None,
        node: Node,
        aligned: bool = True,
    ) -> Table:
        """Return the entries of a form for the units of a node; `middle` holds rates by axis and an offset."""
        axes = tuple(sorted({*interval.axes, *(axis for axis, _ in (middle[0] if middle else ()))}))
        extents = [node.shape[a] for a in axes]
        low, high = (np.broadcast_to(end, extents) for end in interval.over(axes, extents))
        centre = np.full(extents, np.nan)
        if middle is not None and not interval.whole:
            centre = np.full(extents, float(middle[1]))
            for axis, rate in middle[0]:
                along = [-1 if a == axis else 1 for a in axes]
                centre = centre + float(rate) * np.arange(node.shape[axis]).reshape(along)
        step_of = dict(zip(interval.axes, interval.steps))
        pieces = tuple((Piece(0, n, interval.period(a), step_of.get(a, 0)),) for a, n in zip(axes, extents))
        return cls(axes, low, high, centre, pieces, np.full(extents, interval.whole), aligned)

    @property
    def read(self) -> np.ndarray:
        """The units that read anything."""
        read: np.ndarray = self.low <= self.high
        return read

    def at(self, unit: tuple[int, ...]) -> tuple[int, int] | None:
        """Return the first and the last element that a unit reads, or None where it reads nothing."""
        place = tuple(unit[a] for a in self.axes)
        low, high = int(self.low[place]), int(self.high[place])
        return (low, high) if low <= high else None

    def sizes(self) -> tuple[int, int]:
        """Return the extents of the narrowest and the widest field of units that read anything."""
        read = self.read
        if not read.any():
            return 0, 0
        sizes = (self.high - self.low)[read] + 1
        return int(sizes.min()), int(sizes.max())

    def rates(self) -> tuple[tuple[int, Fraction], ...] | None:
        """Return the shift of the field from one unit to the next, for each axis; None where pieces differ in it."""
        found = []
        for axis, pieces in zip(self.axes, self.pieces):
            rates = {Fraction(p.step, p.period) for p in pieces if p.step is not None and p.stop - p.start > p.period}
            if len(rates) != 1:
                return None
            found.append((axis, rates.pop()))
        return tuple((axis, rate) for axis, rate in found if rate)

    def taken(self, axis: int, index: np.ndarray) -> Index:
        """Return where the entries for any indices of an axis stand; outside it the piece at that end continues.

        Where that piece is shorter than its period, the last entry is repeated.
        """
        position = self.axes.index(axis)
        extent, pieces = self.low.shape[position], self.pieces[position]
        place, shift = np.clip(index, 0, extent - 1), np.zeros(index.shape, np.int64)
        for at_end, outside in ((pieces[:1], index < 0), (pieces[-1:], index >= extent)):
            for start, stop, period, step in at_end:
                front = start == 0 and bool((index[outside] < 0).any())
                back = stop == extent and bool((index[outside] >= extent).any())
                if step is None or stop - start < period or not (front or back):
                    continue
                first = 0 if front else stop - period
                # The unit within the piece that stands at the same place of its period.
                there = first + (index - first) % period
                place = np.where(outside, there, place)
                shift = np.where(outside, (index - there) // period * step, shift)
        return Index(place, shift)

    def closed(self) -> Interval | None:
        """Return the form that holds for all units, or None where there is none."""
        extents = self.low.shape
        if self.whole.all():
            low, high = np.asarray(self.low.min()), np.asarray(self.high.max())
            return Interval((), (), (), low, high, True)
        if self.whole.any():
            return None
        for pieces, extent in zip(self.pieces, extents):
            if len(pieces) != 1 or pieces[0][:2] != (0, extent) or pieces[0].step is None or pieces[0].period > extent:
                return None
        first = tuple(slice(pieces[0].period) for pieces in self.pieces)
        return Interval(
            self.axes,
            tuple(pieces[0].period for pieces in self.pieces),
            tuple(int(pieces[0].step or 0) for pieces in self.pieces),
            self.low[first],
            self.high[first],
        )


class Index(NamedTuple):
    """The entries of a table to take along an axis, and the elements by which each is shifted."""

    place: np.ndarray
    shift: np.ndarray


def follow(table: Table, edge: Edge, node: Node, source: Node, extent: int) -> Table:
    """Return the table of a node that reads, along one edge, a source with this table.

    Parameters
    ----------
    table : Table
    edge : Edge
    node, source : Node
    extent : int
        Of the image, along the axis of the table.
    """
    depends = bool(table.axes)
    table = _collapsed(table, edge)
    every = depends and not table.axes
    # A map without taps for some units tells which units read nothing: it counts for every axis.
    gaps = [
        a for a, link in enumerate(edge.links) if link.map is not None and () in link.map.taps and a not in table.axes
    ]
    table = _spread(table, tuple(sorted({*table.axes, *gaps})), source)
    links = [edge.links[a] for a in table.axes]
    axes = sorted({axis for link in links for axis in link.axes} | {axis for axis, _, _ in edge.units})
    extents = [node.shape[a] for a in axes]
    taps_shape = [1] * len(links)
    read = edge.inside(node, axes, len(links))
    places, shift = [], np.zeros_like(read, np.int64)
    for number, (axis, link) in enumerate(zip(table.axes, links)):
        assert link.map is not None
        taps, there = _taps(link.map)
        unit = _flat(link, node, axes)
        spread = [*unit.shape, *taps_shape]
        spread[len(axes) + number] = taps.shape[1]
        place = ((unit // link.map.period * link.map.step)[..., None] + taps[unit % link.map.period]).reshape(spread)
        read = read & there[unit % link.map.period].reshape(spread)
        index = table.taken(axis, place)
        places.append(index.place)
        shift = shift + index.shift
    chosen = tuple(places)
    over = tuple(range(len(axes), len(axes) + len(links)))
    low, high, middle, whole = (part[chosen] for part in (table.low, table.high, table.middle, table.whole))
    full = np.broadcast_shapes(read.shape, low.shape, shift.shape)
    read = np.broadcast_to(read & (low <= high), full)
    low = np.where(read, low + shift, NOWHERE).min(axis=over)
    high = np.where(read, high + shift, -NOWHERE).max(axis=over)
    whole = (read & (whole | every)).any(axis=over)
    centre = np.where(read & ~np.isnan(middle) & (not every), middle + shift, np.nan)
    centre = _mean(centre, over)
    if every or whole.any():
        low, high = np.where(whole, np.maximum(low, 0), low), np.where(whole, np.minimum(high, extent - 1), high)
        centre = np.where(whole, np.nan, centre)
    low, high, centre, whole = (np.broadcast_to(part, extents) for part in (low, high, centre, whole))
    centre = _interpolated(table, edge, node, axes, low <= high, centre)
    pieces = tuple(_pieces(table, edge, node, axis, axes, low, high) for axis in axes)
    return Table(tuple(axes), low, high, centre, pieces, whole, table.aligned)


def unite(a: Table, b: Table, node: Node) -> Table:
    """Return the table of units that read what two tables say."""
    axes = tuple(sorted({*a.axes, *b.axes}))
    extents = [node.shape[axis] for axis in axes]
    a, b = _spread(a, axes, node), _spread(b, axes, node)
    both = ~np.isnan(a.middle) & ~np.isnan(b.middle)
    agree = not (both & (np.abs(np.where(both, a.middle - b.middle, 0)) > _SAME)).any()
    return Table(
        axes,
        np.broadcast_to(np.minimum(a.low, b.low), extents),
        np.broadcast_to(np.maximum(a.high, b.high), extents),
        np.broadcast_to(np.where(np.isnan(a.middle), b.middle, a.middle), extents),
        tuple(tuple(_common(p, q)) for p, q in zip(a.pieces, b.pieces)),
        np.broadcast_to(a.whole | b.whole, extents),
        a.aligned and b.aligned and agree,
    )


def restricted(table: Table, edge: Edge, node: Node) -> Table:
    """Return the table in which only the units of an edge read."""
    if not edge.units:
        return table
    table = _spread(table, tuple(sorted({*table.axes, *(axis for axis, _, _ in edge.units)})), node)
    read = edge.inside(node, table.axes)
    pieces = dict(zip(table.axes, table.pieces))
    for axis, start, stop in edge.units:
        kept = [Piece(max(p.start, start), min(p.stop, stop), p.period, p.step) for p in pieces[axis]]
        ends = Piece(0, start, 1, None), Piece(stop, node.shape[axis], 1, None)
        pieces[axis] = tuple(sorted(p for p in (*kept, *ends) if p.start < p.stop))
    return Table(
        table.axes,
        np.where(read, table.low, NOWHERE),
        np.where(read, table.high, -NOWHERE),
        np.where(read, table.middle, np.nan),
        tuple(pieces.values()),
        np.asarray(table.whole & read, bool),
        table.aligned,
    )


def tidy(table: Table) -> Table:
    """Return the table without the axes on which it does not depend, and with pieces where the entries show some."""
    keep = []
    for position in range(len(table.axes)):
        first = [slice(None)] * len(table.axes)
        first[position] = slice(1)
        if any(
            not np.array_equal(np.broadcast_to(part[tuple(first)], part.shape), part, equal_nan=part.dtype.kind == "f")
            for part in (table.low, table.high, table.middle, table.whole)
        ):
            keep.append(position)
    if len(keep) == len(table.axes) and all(table.pieces):
        return table
    place = tuple(slice(None) if p in keep else 0 for p in range(len(table.axes)))
    low, high = table.low[place], table.high[place]
    pieces = (
        table.pieces[p] or tuple(_repeating(low, high, position, 0, low.shape[position]))
        for position, p in enumerate(keep)
    )
    axes = tuple(table.axes[p] for p in keep)
    return Table(axes, low, high, table.middle[place], tuple(pieces), table.whole[place], table.aligned)


def _collapsed(table: Table, edge: Edge) -> Table:
    """Return the table with the union taken over the axes of the source that are read as a whole."""
    gone = tuple(p for p, axis in enumerate(table.axes) if edge.links[axis].map is None)
    if not gone:
        return table
    keep = [p for p in range(len(table.axes)) if p not in gone]
    return Table(
        tuple(table.axes[p] for p in keep),
        table.low.min(axis=gone),
        table.high.max(axis=gone),
        _mean(table.middle, gone),
        tuple(table.pieces[p] for p in keep),
        np.asarray(table.whole.any(axis=gone)),
        table.aligned,
    )


def _spread(table: Table, axes: tuple[int, ...], node: Node) -> Table:
    """Return the table with further axes of a node, on which it does not depend; extents of 1 along these."""
    if axes == table.axes:
        return table
    extents = [node.shape[a] if a in table.axes else 1 for a in axes]
    parts = (np.reshape(part, extents) for part in (table.low, table.high, table.middle, table.whole))
    low, high, middle, whole = (
        np.broadcast_to(part, [node.shape[a] for a in axes]) if node.shape else part for part in parts
    )
    of = dict(zip(table.axes, table.pieces))
    pieces = tuple(of.get(a, (Piece(0, node.shape[a], 1, 0),)) for a in axes)
    return Table(axes, low, high, middle, pieces, whole, table.aligned)


def _flat(link: Link, node: Node, axes: Sequence[int]) -> np.ndarray:
    """Return the index that a link's map takes, for the units of a grid of some axes of the node."""
    unit: np.ndarray = np.zeros((1,) * len(axes), np.int64)
    for axis in link.axes:
        along = [-1 if a == axis else 1 for a in axes]
        unit = unit * node.shape[axis] + np.arange(node.shape[axis]).reshape(along)
    return unit


@lru_cache(maxsize=1024)
def _taps(map: AxisMap) -> tuple[np.ndarray, np.ndarray]:
    """Return the taps of each phase, (phases, taps), and a mask of those that exist."""
    count = max(1, *(len(taps) for taps in map.taps))
    place = np.zeros((map.period, count), np.int64)
    there = np.zeros(place.shape, bool)
    for phase, taps in enumerate(map.taps):
        place[phase, : len(taps)] = taps
        there[phase, : len(taps)] = True
    return place, there


def _mean(middle: np.ndarray, over: tuple[int, ...]) -> np.ndarray:
    """Return the mean of the first and the last middle over some axes, NaN where there is none."""
    there = ~np.isnan(middle)
    low = np.where(there, middle, np.inf).min(axis=over, initial=np.inf)
    high = np.where(there, middle, -np.inf).max(axis=over, initial=-np.inf)
    some = np.isfinite(low)
    mean: np.ndarray = np.where(some, (np.where(some, low, 0) + np.where(some, high, 0)) / 2, np.nan)
    return mean


def _interpolated(
    table: Table, edge: Edge, node: Node, axes: Sequence[int], read: np.ndarray, centre: np.ndarray
) -> np.ndarray:
    """Return the middles of maps with several phases, taken at the mean of the phases' middles."""
    links = [edge.links[a] for a in table.axes]
    if len(links) != 1 or len(axes) != 1 or len(links[0].axes) != 1:
        return centre
    map = links[0].map
    assert map is not None
    if map.period == 1 or map.step == 0 or table.low.shape[0] < 2:
        return centre
    middles = [
        Fraction(taps[0] + taps[-1], 2) - Fraction(map.step * p, map.period) for p, taps in enumerate(map.taps) if taps
    ]
    where = float(sum(middles, Fraction(0)) / len(middles)) + np.arange(node.shape[axes[0]]) * map.step / map.period
    first = np.clip(np.floor(where).astype(np.int64), 0, table.low.shape[0] - 2)
    a, b = table.middle[first], table.middle[first + 1]
    return np.where(read & ~np.isnan(centre), a + (where - first) * (b - a), np.nan)


def _common(a: Sequence[Piece], b: Sequence[Piece]) -> list[Piece]:
    """Return the pieces in which two lists of pieces both repeat with the same step."""
    found = []
    for p in a:
        for q in b:
            start, stop = max(p.start, q.start), min(p.stop, q.stop)
            if start >= stop:
                continue
            if p.step is None or q.step is None:
                period, step = (q if p.step is None else p)[2:]
                found.append(Piece(start, stop, period, step))
                continue
            period = lcm(p.period, q.period)
            if p.step * (period // p.period) == q.step * (period // q.period):
                found.append(Piece(start, stop, period, p.step * (period // p.period)))
    return found


def _pieces(
    table: Table, edge: Edge, node: Node, axis: int, axes: Sequence[int], low: np.ndarray, high: np.ndarray
) -> tuple[Piece, ...]:
    """Return the pieces of one axis of a node: those of the source's axis that follows it, or those in the entries."""
    extent = node.shape[axis]
    inside = [(start, stop) for a, start, stop in edge.units if a == axis]
    first, last = inside[0] if inside else (0, extent)
    along = [(a, edge.links[a]) for a in table.axes if axis in edge.links[a].axes]
    if not along:
        found = [Piece(first, last, 1, 0)]
    elif len(along) == 1 and along[0][1].axes == (axis,):
        source, link = along[0]
        assert link.map is not None
        of = table.pieces[table.axes.index(source)]
        bound = table.low.shape[table.axes.index(source)]
        found = [
            piece
            for start, stop, map in _runs(link.map, first, last)
            for piece in _followed(of, map, start, stop, bound)
        ]
    else:
        position = axes.index(axis)
        found = _repeating(low, high, position, first, last)
    if first > 0:
        found.insert(0, Piece(0, first, 1, None))
    if last < extent:
        found.append(Piece(last, extent, 1, None))
    return tuple(found)


@lru_cache(maxsize=1024)
def _runs(map: AxisMap, first: int, last: int) -> tuple[tuple[int, int, AxisMap], ...]:
    """Return runs of units with a map for each: a list of indices is cut where its steps change."""
    if map.step or map.period < 2:
        return ((first, last, map),)
    units = [map.taps[u % map.period] for u in range(first, last)]
    runs: list[tuple[int, int, AxisMap]] = []
    start = 0
    while start < len(units):
        stop, step = start + 1, 0
        if stop < len(units) and len(units[stop]) == len(units[start]) > 0:
            step = units[stop][0] - units[start][0]
        while stop < len(units) and units[stop] == tuple(tap + step for tap in units[stop - 1]):
            stop += 1
        if stop - start > 1:
            offset = step * (first + start)
            runs.append((first + start, first + stop, AxisMap(1, step, (tuple(tap - offset for tap in units[start]),))))
        start = stop
        if len(runs) > _MOST_RUNS:
            return ()
    return tuple(runs)


def _followed(of: Sequence[Piece], map: AxisMap, first: int, last: int, extent: int) -> list[Piece]:
    """Return the pieces of units whose taps all lie in one piece of the source; beyond its ends a piece continues."""
    if not any(map.taps):
        return [Piece(first, last, 1, None)]
    unit = np.arange(first, last)
    shift = unit // map.period * map.step
    low = np.array([min(taps, default=NOWHERE) for taps in map.taps])[unit % map.period] + shift
    high = np.array([max(taps, default=-NOWHERE) for taps in map.taps])[unit % map.period] + shift
    found = []
    for piece in of:
        start = -2 * NOWHERE if piece.start == 0 else piece.start
        stop = 2 * NOWHERE if piece.stop == extent else piece.stop
        places = np.flatnonzero((low >= start) & (high < stop))
        if not len(places):
            continue
        a, b = first + int(places[0]), first + int(places[-1]) + 1
        if len(places) != b - a:
            continue
        if piece.step is None:
            found.append(Piece(a, b, 1, None))
            continue
        cycles = piece.period // gcd(piece.period, map.step)
        found.append(Piece(a, b, map.period * cycles, map.step * cycles // piece.period * piece.step))
    return sorted(found)


def _repeating(low: np.ndarray, high: np.ndarray, position: int, first: int, last: int) -> list[Piece]:
    """Return the pieces that the entries themselves show along an axis."""
    low, high = (np.moveaxis(end, position, 0)[first:last].reshape(last - first, -1) for end in (low, high))
    count = last - first
    if count == 1:
        return [Piece(first, last, 1, 0)]
    read = low <= high
    if not read.any():
        return [Piece(first, last, 1, None)]
    for period in _divisors(count):
        step = _step(low, high, read, period)
        if step is not None:
            return [Piece(first, last, period, step)]
    steps = [_step(low[u : u + 2], high[u : u + 2], read[u : u + 2], 1) for u in range(count - 1)]
    found: list[Piece] = []
    start = 0
    while start < count - 1 and len(found) <= _MOST_RUNS:
        stop = start + 1
        while stop < count - 1 and steps[stop] == steps[start]:
            stop += 1
        if steps[start] is not None:
            found.append(Piece(first + start, first + stop + 1, 1, steps[start]))
        start = stop
    return [] if len(found) > _MOST_RUNS else _apart(found)


def _apart(pieces: list[Piece]) -> list[Piece]:
    """Return the pieces without the unit that two neighbours share."""
    found: list[Piece] = []
    for piece in pieces:
        start = max(piece.start, found[-1].stop) if found else piece.start
        if piece.stop - start > 1:
            found.append(piece._replace(start=start))
    return found


@lru_cache(maxsize=256)
def _divisors(n: int) -> tuple[int, ...]:
    return tuple(d for d in range(1, n // 2 + 1) if n % d == 0)


def _step(low: np.ndarray, high: np.ndarray, read: np.ndarray, period: int) -> int | None:
    """Return the step with which entries repeat after a period, None where they do not."""
    if not np.array_equal(read[:-period], read[period:]):
        return None
    there = read[period:]
    if not there.any():
        return 0
    a, b = (low[period:] - low[:-period])[there], (high[period:] - high[:-period])[there]
    step = int(a.flat[0])
    return step if (a == step).all() and (b == step).all() else None
