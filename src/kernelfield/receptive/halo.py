"""Halos of tiles: the overlap with which a network run tile by tile gives the result of the whole image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import product
from math import ceil, floor, lcm

import numpy as np

from kernelfield.errors import ArgumentError
from kernelfield.receptive.graph import AxisMap, Edge, Graph, Node

# First and, negated, last index of an empty interval.
_NOWHERE = 1 << 60
# More phases than any upsampling in use has: tiles are refused where the period of the outputs is longer.
_LONGEST_CELL = 1 << 14

Places = tuple[slice, ...]


@dataclass(frozen=True)
class Halo:
    """The extents of tiles along each axis of the image.

    A tile for the outputs ``o0 .. o1 - 1`` of a layer starts at the last multiple of `alignment` up to
    ``stride * o0 - before`` and ends a multiple of `alignment` before the end of the image, at or behind
    ``stride * o1 + after``; both are clipped to the image. `tiles` yields such tiles.

    Parameters
    ----------
    extent : tuple of int
        Of the image.
    shape : tuple of int
        Of the layer's grid.
    stride : tuple of Fraction
        Elements of the image from one output to the next.
    before, after : tuple of int
        Elements needed before and after those of the outputs themselves.
    alignment : tuple of int
        Smallest shift of the image that shifts every layer by whole units.
    least : tuple of int
        Smallest extent of a tile, at the ends of the image too.
    """

    extent: tuple[int, ...]
    shape: tuple[int, ...]
    stride: tuple[Fraction, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    alignment: tuple[int, ...]
    least: tuple[int, ...]

    def tiles(self, outputs: tuple[int, ...]) -> Iterator[tuple[Places, Places, Places]]:
        """Yield tiles with a given number of outputs along each axis, fewer at the end.

        Parameters
        ----------
        outputs : tuple of int
            Outputs of a tile along each axis.

        Yields
        ------
        cut : tuple of slice
            The part of the image to run the network on.
        keep : tuple of slice
            The part of the network's result to keep.
        put : tuple of slice
            The position of that part in the whole result.

        Examples
        --------
        >>> halo = Halo((20,), (20,), (Fraction(1),), (1,), (1,), (1,), (1,))
        >>> for cut, keep, put in halo.tiles((8,)):
        ...     print(cut, keep, put)
        (slice(0, 9, None),) (slice(0, 8, None),) (slice(0, 8, None),)
        (slice(7, 17, None),) (slice(1, 9, None),) (slice(8, 16, None),)
        (slice(15, 20, None),) (slice(1, 5, None),) (slice(16, 20, None),)
        """
        if len(outputs) != len(self.shape) or not all(n >= 1 for n in outputs):
            raise ArgumentError(f"outputs: expected {len(self.shape)} numbers, at least 1; received {outputs}")
        along = [list(self._along(axis, count)) for axis, count in enumerate(outputs)]
        for places in product(*along):
            cut, keep, put = zip(*places)
            yield cut, keep, put

    def _along(self, axis: int, count: int) -> Iterator[tuple[slice, slice, slice]]:
        extent, aligned, stride = self.extent[axis], self.alignment[axis], self.stride[axis]
        for first in range(0, self.shape[axis], count):
            last = min(first + count, self.shape[axis])
            stop = ceil(stride * last) + self.after[axis]
            start = floor(stride * first) - self.before[axis]
            start = min(start, extent - self.least[axis])
            start = max(0, start // aligned * aligned)
            stop = max(stop, start + self.least[axis])
            stop = extent - max(0, (extent - stop) // aligned * aligned)
            moved = int(start / stride)
            yield slice(start, stop), slice(first - moved, last - moved), slice(first, last)


def halo(graph: Graph, name: str) -> Halo:
    """Return the extents of tiles with which the outputs of a layer are exact.

    Raises
    ------
    ArgumentError
        If no overlap is large enough: a layer reads the whole image, wraps around its end, reverses it or depends on
        its size.
    """
    node = graph.by_name[name]
    if len(node.shape) != len(graph.image.shape):
        raise _impossible(name, f"it has {len(node.shape)} axes, the image {len(graph.image.shape)}")
    found = [_Axis(graph, node, axis) for axis in range(len(node.shape))]
    return Halo(
        graph.image.shape,
        node.shape,
        tuple(axis.stride for axis in found),
        tuple(axis.before for axis in found),
        tuple(axis.after for axis in found),
        tuple(axis.alignment for axis in found),
        tuple(axis.least for axis in found),
    )


class _Axis:
    """The elements of every node that the outputs of a layer need, along one axis."""

    def __init__(self, graph: Graph, output: Node, axis: int) -> None:
        self.output = output
        self.graph = graph
        self.axes = {output.name: axis}
        #: Shift of each node, in its own units, for a shift of the output by one unit.
        self.rates = {output.name: Fraction(1)}
        self.cell = 1
        self.order = graph.nodes[graph.nodes.index(output) :: -1]
        self.mirrored: dict[str, int] = {}
        for node in self.order:
            for edge in node.edges if node.name in self.axes else ():
                self._follow(node, edge)
        image = graph.image.name
        if self.axes.get(image) != axis:
            raise _impossible(output.name, f"axis {axis} does not follow that of the image")
        self.alignment = int(self.cell * self.rates[image])
        self.stride = self.rates[image]
        if self.cell > _LONGEST_CELL or self.alignment >= graph.image.shape[axis] > 1:
            raise _impossible(
                output.name,
                f"its layers repeat only after {self.alignment} elements, and the image has {graph.image.shape[axis]}",
            )
        self.before = self.after = 0
        self.least = 1
        # First the outputs far from the ends of the image, then all outputs, whose boundary rule may mirror the ends.
        self._measure(np.arange(self.cell), ends=False)
        self._measure(np.arange(output.shape[axis]), ends=True)
        # A tile of one output and its halo leaves elements in every layer.
        self.least = min(graph.image.shape[axis], max(self.least, self.before + ceil(self.stride) + self.after))

    def _follow(self, node: Node, edge: Edge) -> None:
        """Record the axis of a source that follows the axis of a node, its rate, and the shift by whole units."""
        axis = self.axes[node.name]
        along = [(a, link.map) for a, link in enumerate(edge.links) if axis in link.axes and link.map is not None]
        if len(along) != 1 or edge.links[along[0][0]].axes != (axis,):
            raise _impossible(self.output.name, f"{node.name!r} reads {edge.source!r} everywhere, or across its axes")
        source, map = along[0]
        assert map is not None
        if map.step <= 0:
            raise _impossible(self.output.name, f"{node.name!r} reads {edge.source!r} backwards, or at a fixed place")
        rate = self.rates[node.name] * Fraction(map.step, map.period)
        if self.axes.setdefault(edge.source, source) != source or self.rates.setdefault(edge.source, rate) != rate:
            raise _impossible(self.output.name, f"paths from {edge.source!r} differ in stride")
        self.cell = lcm(self.cell, (self.rates[node.name] / map.period).denominator)
        if map.outside == "constant":
            return
        reach = _overhang(map, node.shape[axis], self.graph.by_name[edge.source].shape[source])
        if map.outside == "wrap" and max(reach) > 0:
            raise _impossible(self.output.name, f"{node.name!r} wraps around the end of {edge.source!r}")
        self.mirrored[edge.source] = max(self.mirrored.get(edge.source, 1), *(n + 1 for n in reach))

    def _measure(self, place: np.ndarray, ends: bool) -> None:
        """Compute the elements of every node that some outputs need, and from them the extents of a tile.

        With `ends`, elements outside a node are replaced by those that its boundary rule reads.
        """
        extent = self.graph.image.shape[self.axes[self.graph.image.name]]
        needed = {self.output.name: (place, place)}
        for node in self.order:
            if node.name not in needed:
                continue
            first, last = needed.pop(node.name)
            for edge in node.edges:
                self._widen(needed, node, edge, first, last, ends)
            scale = self.stride / self.rates[node.name]
            # How much shorter than the image the layer is: its last units need the elements behind them.
            short = extent - scale * node.shape[self.axes[node.name]]
            some = first <= last
            self.before = max(self.before, _largest(self.stride, place[some], scale, first[some]))
            self.after = max(self.after, _largest(scale, last[some] + 1, self.stride, place[some] + 1, short))
            self.least = max(self.least, ceil(scale * self.mirrored.get(node.name, 1) + short))

    def _widen(
        self,
        needed: dict[str, tuple[np.ndarray, np.ndarray]],
        node: Node,
        edge: Edge,
        first: np.ndarray,
        last: np.ndarray,
        ends: bool,
    ) -> None:
        """Add the elements of an edge's source that the units from `first` to `last` of a node need."""
        map = edge.links[self.axes[edge.source]].map
        assert map is not None
        low, high = np.full(len(first), _NOWHERE), np.full(len(first), -_NOWHERE)
        lowest = np.array([taps[0] if taps else _NOWHERE for taps in map.taps])
        highest = np.array([taps[-1] if taps else -_NOWHERE for taps in map.taps])
        # Units further inside than one period reach no further out.
        for inwards in range(map.period):
            front, back = first + inwards, last - inwards
            inside = first + inwards <= last
            for unit, reach, best, into in ((front, lowest, np.minimum, low), (back, highest, np.maximum, high)):
                end = reach[unit % map.period]
                there = inside & (np.abs(end) < _NOWHERE)
                best(into, unit // map.period * map.step + end, out=into, where=there)
        if ends:
            extent = self.graph.by_name[edge.source].shape[self.axes[edge.source]]
            low, high = _inside(low, high, extent, map.outside)
        others = needed.get(edge.source)
        if others is not None:
            low, high = np.minimum(low, others[0]), np.maximum(high, others[1])
        needed[edge.source] = low, high


def _largest(a: Fraction, x: np.ndarray, b: Fraction, y: np.ndarray, more: Fraction = Fraction(0)) -> int:
    """Return the largest of ``a * x - b * y + more``, rounded up, and no less than 0."""
    unit = lcm(a.denominator, b.denominator, more.denominator)
    values = int(a * unit) * x - int(b * unit) * y + int(more * unit)
    return -(-int(values.max(initial=0)) // unit)


def _inside(low: np.ndarray, high: np.ndarray, extent: int, outside: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the elements of an axis that intervals read, after the boundary rule for those outside."""
    last = extent - 1
    if outside == "nearest":
        parts = [(np.clip(low, 0, last), np.clip(high, 0, last), low <= high)]
    else:
        parts = [(np.maximum(low, 0), np.minimum(high, last), np.maximum(low, 0) <= np.minimum(high, last))]
    if outside in ("reflect", "mirror"):
        turn = 1 if outside == "reflect" else 0
        far = 2 * last + turn
        in_front, behind = (-turn - np.minimum(high, -1), -turn - low), (far - high, far - np.maximum(low, extent))
        # An index that is mirrored more than once may be anywhere.
        for (start, end), some in ((in_front, low < 0), (behind, high > last)):
            twice = (start < 0) | (end > last)
            parts.append((np.where(twice, 0, start), np.where(twice, last, end), some & (low <= high)))
    return (
        np.minimum.reduce([np.where(some, start, _NOWHERE) for start, _, some in parts]),
        np.maximum.reduce([np.where(some, end, -_NOWHERE) for _, end, some in parts]),
    )


@lru_cache(maxsize=256)
def _overhang(map: AxisMap, units: int, extent: int) -> tuple[int, int]:
    """Return how far outside its source the units of an axis read, before and after."""
    places = [unit // map.period * map.step + tap for unit in range(units) for tap in map.taps[unit % map.period]]
    return max(0, -min(places, default=0)), max(0, max(places, default=0) - extent + 1)


def _impossible(name: str, reason: str) -> ArgumentError:
    return ArgumentError(
        f"layer: expected one whose units see a window of the image; received {name!r}: {reason}; no overlap of tiles "
        "makes it exact; name an earlier layer"
    )
