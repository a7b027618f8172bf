"""Composition of intervals with index maps: the interval that a node reads, from the intervals of its sources."""

from __future__ import annotations

from functools import lru_cache
from math import gcd, lcm, prod

import numpy as np

from kernelfield.receptive.graph import AxisMap, Edge, Node
from kernelfield.receptive.intervals import LONGEST, NOWHERE, Interval, moved


def compose(interval: Interval, edge: Edge, node: Node, source: Node) -> Interval | None:
    """Return the interval of a node whose `edge` reads a source with this interval; None for too long a table."""
    collapsed = _collapse(interval, edge, source)
    whole = interval.whole or (not collapsed.axes and bool(interval.axes))
    interval = _with_axes(
        collapsed, [a for a, link in enumerate(edge.links) if link.map is not None and _gaps(link.map)]
    )
    links = [edge.links[axis] for axis in interval.axes]
    targets = [axis for link in links for axis in link.axes]
    if all(len(link.axes) == 1 for link in links) and len(targets) == len(set(targets)):
        result = _along_axes(interval, edge)
    else:
        result = _across_axes(interval, edge, node, source)
    return None if result is None else _tidy(result, whole)


def _collapse(interval: Interval, edge: Edge, source: Node) -> Interval:
    """Return the interval with the union taken over the axes of the source that are read as a whole."""
    for axis in interval.axes:
        if edge.links[axis].map is not None:
            continue
        position = interval.axes.index(axis)
        extents = [source.shape[a] if a == axis else p for a, p in zip(interval.axes, interval.periods)]
        low, high = interval.over(interval.axes, extents)
        rest = [p for p in range(len(interval.axes)) if p != position]
        interval = Interval(
            tuple(interval.axes[p] for p in rest),
            tuple(interval.periods[p] for p in rest),
            tuple(interval.steps[p] for p in rest),
            low.min(axis=position),
            high.max(axis=position),
        )
    return interval


def _gaps(map: AxisMap) -> bool:
    """Return whether a phase of a map has no taps."""
    return () in map.taps


def _with_axes(interval: Interval, axes: list[int]) -> Interval:
    """Return the interval with further axes on which it does not depend."""
    if set(axes) <= set(interval.axes):
        return interval
    every = sorted({*interval.axes, *axes})
    periods = tuple(interval.period(a) for a in every)
    step_of = dict(zip(interval.axes, interval.steps))
    steps = tuple(step_of.get(a, 0) for a in every)
    return Interval(
        tuple(every), periods, steps, interval.low.reshape(periods), interval.high.reshape(periods), interval.whole
    )


def _along_axes(interval: Interval, edge: Edge) -> Interval | None:
    """Return the composition where every axis of the interval depends on one axis of the node, each on another."""
    low, high = interval.low, interval.high
    axes, periods, steps = [], [], []
    for position, (axis, period, step) in enumerate(zip(interval.axes, interval.periods, interval.steps)):
        link = edge.links[axis]
        assert link.map is not None
        cycles = period // gcd(period, link.map.step)
        axes.append(link.axes[0])
        periods.append(link.map.period * cycles)
        steps.append(link.map.step * cycles // period * step)
        if low.size // period * periods[-1] > LONGEST:
            return None
        place, read = _taps(link.map, cycles)
        ends = []
        for table, best, empty in ((low, np.minimum, NOWHERE), (high, np.maximum, -NOWHERE)):
            taken = np.take(table, place % period, axis=position)
            tail = (1,) * (table.ndim - 1 - position)
            shift = (place // period * step).reshape(*place.shape, *tail)
            there = (read.reshape(*read.shape, *tail)) & (np.abs(taken) < NOWHERE)
            ends.append(best.reduce(np.where(there, taken + shift, empty), axis=position + 1))
        low, high = ends
    order = sorted(range(len(axes)), key=axes.__getitem__)
    return Interval(
        tuple(axes[p] for p in order),
        tuple(periods[p] for p in order),
        tuple(steps[p] for p in order),
        low.transpose(order),
        high.transpose(order),
    )


@lru_cache(maxsize=1024)
def _taps(map: AxisMap, cycles: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the taps of the units of some periods, (units, taps), and a mask of those that exist."""
    count = max(1, *(len(taps) for taps in map.taps))
    place = np.zeros((cycles, map.period, count), np.int64)
    read = np.zeros(place.shape, bool)
    for phase, taps in enumerate(map.taps):
        place[:, phase, : len(taps)] = np.add.outer(map.step * np.arange(cycles), taps)
        read[:, phase, : len(taps)] = True
    return place.reshape(-1, count), read.reshape(-1, count)


def _across_axes(interval: Interval, edge: Edge, node: Node, source: Node) -> Interval | None:
    """Return the composition where axes are merged or split: a table over several axes of the node at once.

    Along all but the first axis of a split the table holds every unit; its period is found in the table.
    """
    links = [edge.links[axis] for axis in interval.axes]
    tabled = sorted({axis for link in links for axis in link.axes[1:]})
    axes = sorted({axis for link in links for axis in link.axes})
    extents = dict.fromkeys(axes, 1)
    for link, period in zip(links, interval.periods):
        for axis in link.axes[:1]:
            multiple = prod(node.shape[a] for a in link.axes[1:])
            extents[axis] = lcm(extents[axis], _period(link.map, multiple, period))
    extents.update((axis, node.shape[axis]) for axis in tabled)
    most_taps = prod(max(1, *map(len, link.map.taps)) for link in links if link.map is not None)
    if prod(extents.values()) * most_taps > 64 * LONGEST:
        return None
    # One axis for each axis of the node, then one for the taps of each link.
    shape = [extents[axis] for axis in axes]
    indices, by, read = [], np.zeros((1,) * (len(axes) + len(links)), np.int64), np.True_
    steps = dict.fromkeys(axes, 0)
    for number, (link, period, step) in enumerate(zip(links, interval.periods, interval.steps)):
        assert link.map is not None
        unit: np.ndarray = np.zeros((1,) * len(axes), np.int64)
        for axis in link.axes:
            along = [-1 if a == axis else 1 for a in axes]
            unit = unit * node.shape[axis] + np.arange(extents[axis]).reshape(along)
        taps, there = _taps(link.map, 1)
        spread = [1] * len(links)
        spread[number] = taps.shape[1]
        place = (unit // link.map.period * link.map.step)[..., None] + taps[unit % link.map.period]
        place = place.reshape(*unit.shape, *spread)
        read = read & there[unit % link.map.period].reshape(place.shape)
        indices.append(place % period)
        by = by + place // period * step
        if link.axes and link.axes[0] not in tabled:
            first = link.axes[0]
            shift = extents[first] * prod(node.shape[a] for a in link.axes[1:])
            steps[first] += shift // link.map.period * link.map.step // period * step
    low, high = interval.low[tuple(indices)], interval.high[tuple(indices)]
    read = read & (low <= high)
    taps_axes = tuple(range(len(axes), len(axes) + len(links)))
    full = np.broadcast_shapes(low.shape, by.shape)
    low = np.broadcast_to(np.where(read, low + by, NOWHERE), full).min(axis=taps_axes)
    high = np.broadcast_to(np.where(read, high + by, -NOWHERE), full).max(axis=taps_axes)
    low, high = np.broadcast_to(low, shape), np.broadcast_to(high, shape)
    for axis in tabled:
        found = _repetition(low, high, axes.index(axis))
        if found is None:
            return None
        extents[axis], steps[axis] = found
        first_period = [slice(None)] * len(axes)
        first_period[axes.index(axis)] = slice(extents[axis])
        low, high = low[tuple(first_period)], high[tuple(first_period)]
    if low.size > LONGEST:
        return None
    return Interval(tuple(axes), tuple(extents[a] for a in axes), tuple(steps[a] for a in axes), low, high)


def _period(map: AxisMap | None, multiple: int, period: int) -> int:
    """Return the period, in units of `multiple` indices of the map, of a table with that period under the map."""
    assert map is not None
    units = map.period // gcd(map.period, multiple)
    shift = units * multiple // map.period * map.step
    return units * (period // gcd(period, shift))


def _repetition(low: np.ndarray, high: np.ndarray, position: int) -> tuple[int, int] | None:
    """Return the shortest period of two tables along an axis and the step per period, or None where there is none."""
    low, high = np.moveaxis(low, position, 0), np.moveaxis(high, position, 0)
    extent = len(low)
    if extent == 1:
        return 1, 0
    for period in range(1, extent // 2 + 1):
        before, after = (low[:-period], high[:-period]), (low[period:], high[period:])
        read = before[0] <= before[1]
        if not np.array_equal(read, after[0] <= after[1]):
            continue
        if not read.any():
            return period, 0
        step = int((after[0] - before[0])[read][0])
        if all(((b - a)[read] == step).all() for a, b in zip(before, after)):
            return period, step
    return None


def _tidy(interval: Interval, whole: bool) -> Interval:
    """Return the interval with the shortest periods, without the axes on which it does not depend."""
    axes, periods, steps = list(interval.axes), list(interval.periods), list(interval.steps)
    low, high = interval.low, interval.high
    for position in reversed(range(len(axes))):
        period, step = periods[position], steps[position]
        for shorter in (d for d in range(1, period) if period % d == 0 and step * d % period == 0):
            by = step * shorter // period
            start = [slice(None)] * low.ndim
            start[position] = slice(shorter, None)
            stop = [slice(None)] * low.ndim
            stop[position] = slice(None, -shorter)
            ahead = moved(low[tuple(stop)], high[tuple(stop)], by)
            if np.array_equal(low[tuple(start)], ahead[0]) and np.array_equal(high[tuple(start)], ahead[1]):
                start[position] = slice(shorter)
                low, high = low[tuple(start)], high[tuple(start)]
                periods[position], steps[position] = shorter, by
                break
        if periods[position] == 1 and steps[position] == 0:
            low, high = low.squeeze(position), high.squeeze(position)
            del axes[position], periods[position], steps[position]
    return Interval(tuple(axes), tuple(periods), tuple(steps), low, high, whole)
