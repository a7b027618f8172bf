"""Receptive fields in closed form: the interval that a unit reads along each axis of an image without borders.

Composing index maps gives the first and the last element along one axis as an `Interval`: linear in the unit's index,
plus a periodic table where upsampling makes them depend on the phase. Paths of the same stride unite into one interval;
a path of another stride has its own. Single paths follow Araujo, Norris and Sim (2019), "Computing Receptive Fields of
Convolutional Neural Networks", Distill 4(11), e21.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np

from kernelfield.receptive.composition import compose
from kernelfield.receptive.graph import AxisMap, Edge, Graph, Node
from kernelfield.receptive.intervals import Interval, unite

# Nodes with more different strides among their paths have no closed form.
_MOST_INTERVALS = 32


@dataclass(frozen=True)
class Line:
    """The middle of the field of one path: `offset` plus the unit's index times the rate, summed over the axes."""

    rates: tuple[tuple[int, Fraction], ...]
    offset: Fraction


@dataclass(frozen=True)
class Span:
    """The field of a node's units along one axis of the image.

    Parameters
    ----------
    intervals : tuple of Interval or None
        The field is their union; empty where a unit reads nothing; None where the closed form would be too long.
    line : Line or None
        The middle of the fields of a path (of any path, where they are not aligned); None where every path reads the
        whole axis.
    aligned : bool
        Whether all paths agree in stride and in the middle of their fields; paths that read the whole axis are left
        out.
    """

    intervals: tuple[Interval, ...] | None
    line: Line | None = None
    aligned: bool = True

    @property
    def whole(self) -> bool:
        """Whether every unit reads the whole axis."""
        return self.intervals is not None and any(interval.whole for interval in self.intervals)

    @property
    def axes(self) -> set[int]:
        """Axes of the node on which the field depends."""
        return {axis for interval in self.intervals or () for axis in interval.axes}

    def at(self, unit: tuple[int, ...]) -> tuple[int, int] | None:
        """Return the first and the last element that a unit reads, or None where it reads nothing."""
        found = [interval.at(unit) for interval in self.intervals or ()]
        ends = [pair for pair in found if pair is not None]
        return (min(low for low, _ in ends), max(high for _, high in ends)) if ends else None

    def size(self, shape: tuple[int, ...]) -> int:
        """Return the number of elements from the first to the last of the widest field among the units of a grid."""
        if not self.intervals:
            return 0
        axes = sorted(self.axes)
        # One interval is periodic: its phases are enough. Several intervals are compared at every index.
        extents = [shape[a] if len(self.intervals) > 1 else min(shape[a], self.intervals[0].period(a)) for a in axes]
        tables = [interval.over(axes, extents) for interval in self.intervals]
        low = np.minimum.reduce([table[0] for table in tables])
        high = np.maximum.reduce([table[1] for table in tables])
        return max(0, int((high - low).max(initial=-1)) + 1)

    def stride(self) -> Fraction | None:
        """Return the shift of the field from one unit to the next; None where paths differ, or along two axes."""
        if self.intervals is None:
            return None
        rates = {interval.rates for interval in self.intervals if not interval.whole} or {
            interval.rates for interval in self.intervals
        }
        if len(rates) != 1 or len(rate := next(iter(rates))) > 1:
            return None
        return rate[0][1] if rate else Fraction(0)


def spans(graph: Graph) -> dict[str, tuple[Span, ...]]:
    """Return the field of the units of every node along each axis of the image.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    dict
        Name of the node to a `Span` for each axis of the image.

    Examples
    --------
    >>> from kernelfield.receptive.graph import AxisMap, Edge, Graph, Link, Node
    >>> link = Link((0,), AxisMap.window(3, stride=2, before=1))
    >>> graph = Graph((
    ...     Node("image", "input", (9,)),
    ...     Node("a", "convolution", (5,), (Edge("image", (link,)),)),
    ...     Node("b", "convolution", (3,), (Edge("a", (link,)),)),
    ... ))
    >>> (span,) = spans(graph)["b"]
    >>> span.size((3,)), span.stride(), span.at((0,)), span.at((1,))
    (7, Fraction(4, 1), (-3, 3), (1, 7))
    """
    image = graph.image
    found: dict[str, tuple[Span, ...]] = {}
    for node in graph:
        if node is image:
            found[node.name] = tuple(
                Span((Interval.identity(a),), Line(((a, Fraction(1)),), Fraction(0))) for a in range(len(image.shape))
            )
            continue
        found[node.name] = tuple(
            _span(node, [(edge, graph.by_name[edge.source], found[edge.source][a]) for edge in node.edges])
            for a in range(len(image.shape))
        )
    return found


def _span(node: Node, read: list[tuple[Edge, Node, Span]]) -> Span:
    """Return the span of a node: the union, over its edges, of the source's span composed with the edge."""
    if len(read) == 1 and read[0][0].pointwise(node, read[0][1]):
        return read[0][2]
    intervals: list[Interval] | None = []
    lines: set[Line] = set()
    aligned = True
    for edge, source, span in read:
        composed: Sequence[Interval | None]
        line: Line | None
        if edge.pointwise(node, source):
            composed, line = span.intervals or (None,) * (span.intervals is None), span.line
        else:
            composed = (
                (None,)
                if span.intervals is None
                else [compose(interval, edge, node, source) for interval in span.intervals]
            )
            line = _line(span, edge, source, composed)
        for interval in composed:
            intervals = None if interval is None or intervals is None else unite(intervals, interval)
        if line is not None:
            lines.add(line)
            aligned = aligned and span.aligned
    if intervals is not None and len(intervals) > _MOST_INTERVALS:
        intervals = None
    return Span(
        None if intervals is None else tuple(intervals), min(lines, key=repr, default=None), aligned and len(lines) <= 1
    )


def _line(span: Span, edge: Edge, source: Node, composed: Sequence[Interval | None]) -> Line | None:
    """Return the middle of the field for the paths of a span, composed with an edge."""
    if span.line is None or not any(interval is None or (interval.low <= interval.high).any() for interval in composed):
        return None
    links = [edge.links[axis] for axis in span.axes]
    targets = [axis for link in links if link.map is not None for axis in link.axes]
    if all(link.map is None or len(link.axes) == 1 for link in links) and len(targets) == len(set(targets)):
        return _continued(span.line, edge, source)
    # Axes are merged or split: the middle is taken from the composed interval.
    interval = next((interval for interval in composed if interval is not None and not interval.whole), None)
    return None if interval is None else Line(interval.rates, interval.middle())


def _continued(line: Line, edge: Edge, source: Node) -> Line | None:
    """Return a line composed with an edge that has one axis for each link; None where the whole axis is read."""
    rates: list[tuple[int, Fraction]] = []
    offset = line.offset
    for axis, rate in line.rates:
        link = edge.links[axis]
        if link.map is None:
            offset += rate * Fraction(source.shape[axis] - 1, 2)
            continue
        middle = _middle(link.map)
        if middle is None:
            return None
        offset += rate * middle
        if link.map.step and len(link.axes) == 1:
            rates.append((link.axes[0], rate * Fraction(link.map.step, link.map.period)))
    if not rates and any(edge.links[axis].map is None for axis, _ in line.rates):
        return None
    return Line(tuple(sorted(rates)), offset)


@lru_cache(maxsize=4096)
def _middle(map: AxisMap) -> Fraction | None:
    """Return the middle of the taps of unit 0, averaged over the phases; None where no phase has taps."""
    read = [(phase, taps) for phase, taps in enumerate(map.taps) if taps]
    if not read:
        return None
    total = sum(Fraction(taps[0] + taps[-1], 2) - Fraction(map.step * phase, map.period) for phase, taps in read)
    return Fraction(total, len(read))
