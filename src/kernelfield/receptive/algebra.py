"""Receptive fields in closed form: the interval that a unit reads along each axis of an image without borders.

Composing index maps gives the first and the last element along one axis as an `Interval`: linear in the unit's index,
plus a periodic table where upsampling makes them depend on the phase. Paths of the same stride unite into one interval;
a path of another stride has its own. Where no form holds for all units, after a concatenation along positions, the
units have a `Table`. Single paths follow Araujo, Norris and Sim (2019), "Computing Receptive Fields of
Convolutional Neural Networks", Distill 4(11), e21.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache, partial, reduce
from math import prod

import numpy as np

from kernelfield.receptive.composition import compose
from kernelfield.receptive.graph import IDENTITY, AxisMap, Edge, Graph, Link, Node
from kernelfield.receptive.intervals import NOWHERE, Interval, unite
from kernelfield.receptive.tables import Table, follow, restricted, tidy
from kernelfield.receptive.tables import unite as unite_tables

# Nodes with more different strides among their paths have no closed form.
_MOST_INTERVALS = 32
# Largest denominator of a middle.
_FINEST = 1 << 16
# Reasons why there is no form that holds for all units.
_PARTS = "parts are joined along an axis"
_REARRANGED = "positions change places"
_PERIOD = "the pattern repeats only after many units"
_STRIDES = f"paths of more than {_MOST_INTERVALS} strides meet"


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
        The field is their union; empty where a unit reads nothing; None where no form holds for all units.
    line : Line or None
        The middle of the fields of a path (of any path, where they are not aligned); None where every path reads the
        whole axis.
    aligned : bool
        Whether all paths agree in stride and in the middle of their fields; paths that read the whole axis are left
        out.
    table : Table or None
        The entries of all units, where no form holds for all of them.
    cause : tuple of (str, str) or None
        With a table, the reason and the name of the node where it begins.
    """

    intervals: tuple[Interval, ...] | None
    line: Line | None = None
    aligned: bool = True
    table: Table | None = None
    cause: tuple[str, str] | None = None

    @property
    def whole(self) -> bool:
        """Whether every unit reads the whole axis."""
        return any(interval.whole for interval in self.intervals or ())

    @property
    def axes(self) -> set[int]:
        """Axes of the node on which the field depends."""
        if self.table is not None:
            return set(self.table.axes)
        return {axis for interval in self.intervals or () for axis in interval.axes}

    def at(self, unit: tuple[int, ...]) -> tuple[int, int] | None:
        """Return the first and the last element that a unit reads, or None where it reads nothing."""
        if self.table is not None:
            return self.table.at(unit)
        found = [interval.at(unit) for interval in self.intervals or ()]
        ends = [pair for pair in found if pair is not None]
        return (min(low for low, _ in ends), max(high for _, high in ends)) if ends else None

    def sizes(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Return the elements from the first to the last of the narrowest and the widest field of units that read."""
        if self.table is not None:
            return self.table.sizes()
        if not self.intervals:
            return 0, 0
        axes = sorted(self.axes)
        # One interval is periodic: its phases are enough. Several intervals are compared at every index.
        extents = [shape[a] if len(self.intervals) > 1 else min(shape[a], self.intervals[0].period(a)) for a in axes]
        tables = [interval.over(axes, extents) for interval in self.intervals]
        low = np.minimum.reduce([table[0] for table in tables])
        high = np.maximum.reduce([table[1] for table in tables])
        sizes = (high - low)[high >= low] + 1
        return (int(sizes.min()), int(sizes.max())) if sizes.size else (0, 0)

    def ends(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], np.ndarray, np.ndarray]:
        """Return axes of a node of this shape, and the first and the last element read by all its units over them."""
        if self.table is not None:
            return self.table.axes, self.table.low, self.table.high
        axes = tuple(sorted(self.axes))
        tables = [interval.over(axes, [shape[a] for a in axes]) for interval in self.intervals or ()]
        nothing = np.full((1,) * len(axes), NOWHERE)
        low = np.minimum.reduce([table[0] for table in tables]) if tables else nothing
        high = np.maximum.reduce([table[1] for table in tables]) if tables else -nothing
        return axes, low, high

    def stride(self) -> Fraction | None:
        """Return the shift of the field from one unit to the next; None where paths differ, or along two axes."""
        if self.table is not None:
            found = self.table.rates()
            rates = set() if found is None else {found}
        else:
            rates = {interval.rates for interval in self.intervals or () if not interval.whole} or {
                interval.rates for interval in self.intervals or ()
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
    >>> span.sizes((3,)), span.stride(), span.at((0,)), span.at((1,))
    ((7, 7), Fraction(4, 1), (-3, 3), (1, 7))
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
            _span(node, [(edge, graph.by_name[edge.source], found[edge.source][a]) for edge in node.edges], extent)
            for a, extent in enumerate(image.shape)
        )
    return found


def _span(node: Node, read: list[tuple[Edge, Node, Span]], extent: int) -> Span:
    """Return the span of a node: the union, over its edges, of the source's span composed with the edge."""
    if len(read) == 1 and read[0][0].pointwise(node, read[0][1]):
        return read[0][2]
    cause = next((span.cause for _, _, span in read if span.cause is not None), None)
    parts = next((node.name for edge, _, _ in read if edge.units), None)
    if cause is None and parts is not None:
        cause = _PARTS, parts
    if cause is None:
        found = _closed(node, read)
        if isinstance(found, Span):
            return found
        cause = found, node.name
    tables = [
        table for edge, source, span in read for table in _entries(node, edge, source, span, extent) if table.read.any()
    ]
    if not tables:
        return Span(())
    table = tidy(reduce(partial(unite_tables, node=node), tables))
    form = table.closed()
    if form is None:
        return Span(None, None, table.aligned, table, cause)
    first = float(table.middle.flat[0])
    line = None if first != first else Line(form.rates, Fraction(first).limit_denominator(_FINEST))
    return Span((form,), line, table.aligned)


def _closed(node: Node, read: list[tuple[Edge, Node, Span]]) -> Span | str:
    """Return the span of a node in closed form, or the reason why there is none."""
    intervals: list[Interval] = []
    lines: set[Line] = set()
    aligned = True
    for edge, source, span in read:
        composed, line = _composed(node, edge, source, span)
        for interval in composed:
            if interval is None:
                return _REARRANGED if any(_listed(link, node) for link in edge.links) else _PERIOD
            intervals = unite(intervals, interval)
        if line is not None:
            lines.add(line)
            aligned = aligned and span.aligned
    if len(intervals) > _MOST_INTERVALS:
        return _STRIDES
    return Span(tuple(intervals), min(lines, key=repr, default=None), aligned and len(lines) <= 1)


def _composed(node: Node, edge: Edge, source: Node, span: Span) -> tuple[Sequence[Interval | None], Line | None]:
    """Return the forms and the line of a closed span, composed with an edge; None for a form that is none any more."""
    assert span.intervals is not None
    if all(link.axes == (a,) and link.map == IDENTITY for a, link in enumerate(edge.links)):
        return span.intervals, span.line
    if any(_listed(edge.links[axis], node) for axis in span.axes):
        return (None,) * len(span.intervals), None
    composed = [compose(interval, edge, node, source) for interval in span.intervals]
    return composed, _line(span, edge, source, composed)


def _listed(link: Link, node: Node) -> bool:
    """Return whether a link holds an index for each unit: units outside the axis continue no rule."""
    map = link.map
    return map is not None and map.step == 0 and 1 < map.period >= prod(node.shape[axis] for axis in link.axes)


def _entries(node: Node, edge: Edge, source: Node, span: Span, extent: int) -> list[Table]:
    """Return the entries of a node's units for one edge: one table for each form of the source."""
    if span.table is not None:
        return [span.table if edge.pointwise(node, source) else follow(span.table, edge, node, source, extent)]
    composed, line = _composed(node, edge, source, span)
    tables = []
    for before, after in zip(span.intervals or (), composed):
        if after is not None:
            tables.append(restricted(Table.of(after, _rates(line), node, span.aligned), edge, node))
        else:
            tables.append(follow(Table.of(before, _rates(span.line), source, span.aligned), edge, node, source, extent))
    return tables


def _rates(line: Line | None) -> tuple[tuple[tuple[int, Fraction], ...], Fraction] | None:
    return None if line is None else (line.rates, line.offset)


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
