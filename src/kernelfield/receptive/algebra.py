"""Fields in closed form: along each axis of the image, from where to where a unit sees, as if no border cut it.

Composing index maps gives, along one axis, the first and the last element as *forms*: linear in the unit's place, plus
a table with a period where upsampling makes them depend on the phase. Paths of one stride unite into one form; a path
of another stride is a form of its own. Single paths follow Araujo, Norris and Sim (2019), "Computing Receptive Fields
of Convolutional Neural Networks", Distill 4(11), e21.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np

from kernelfield.receptive.composition import compose
from kernelfield.receptive.forms import Form, unite
from kernelfield.receptive.graph import AxisMap, Edge, Graph, Node

# Beyond so many strides among the paths of one node, no closed form is kept.
_MOST_FORMS = 32


@dataclass(frozen=True)
class Line:
    """Where the middle of one path's field lies: `offset` plus the unit's place times `rates`, axis by axis."""

    rates: tuple[tuple[int, Fraction], ...]
    offset: Fraction


@dataclass(frozen=True)
class Span:
    """The field of a node's units along one axis of the image.

    Parameters
    ----------
    forms : tuple of Form or None
        What a unit sees is what all of them cover together; empty where it sees nothing; None where it has no closed
        form that is short enough to keep.
    line : Line or None
        The middle of the fields of a path (of any one, where they are not aligned); None where every path reads
        everything.
    aligned : bool
        Whether all paths agree in stride and in the middle of their fields, those aside that read everything.
    """

    forms: tuple[Form, ...] | None
    line: Line | None = None
    aligned: bool = True

    @property
    def whole(self) -> bool:
        """Whether every unit reads all there is."""
        return self.forms is not None and any(form.whole for form in self.forms)

    @property
    def axes(self) -> set[int]:
        """Axes of the node that decide the place."""
        return {axis for form in self.forms or () for axis in form.axes}

    def at(self, unit: tuple[int, ...]) -> tuple[int, int] | None:
        """Return the first and the last element that a unit sees, or None where it sees nothing."""
        found = [form.at(unit) for form in self.forms or ()]
        ends = [pair for pair in found if pair is not None]
        return (min(low for low, _ in ends), max(high for _, high in ends)) if ends else None

    def size(self, shape: tuple[int, ...]) -> int:
        """Return the elements from the first to the last of the widest field among the units of a grid."""
        if not self.forms:
            return 0
        axes = sorted(self.axes)
        # One form repeats itself: its phases are all there is. Several are compared at every place.
        extents = [shape[a] if len(self.forms) > 1 else min(shape[a], self.forms[0].period(a)) for a in axes]
        tables = [form.over(axes, extents) for form in self.forms]
        low = np.minimum.reduce([table[0] for table in tables])
        high = np.maximum.reduce([table[1] for table in tables])
        return max(0, int((high - low).max(initial=-1)) + 1)

    def stride(self) -> Fraction | None:
        """Return how far the field moves from one unit to the next; None where paths differ, or along two axes."""
        if self.forms is None:
            return None
        rates = {form.rates for form in self.forms if not form.whole} or {form.rates for form in self.forms}
        if len(rates) != 1 or len(rate := next(iter(rates))) > 1:
            return None
        return rate[0][1] if rate else Fraction(0)


def spans(graph: Graph) -> dict[str, tuple[Span, ...]]:
    """Return, for every node, the field of its units along each axis of the image.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    dict
        Name of the node to one `Span` for each axis of the image.

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
                Span((Form.identity(a),), Line(((a, Fraction(1)),), Fraction(0))) for a in range(len(image.shape))
            )
            continue
        found[node.name] = tuple(
            _span(node, [(edge, graph.by_name[edge.source], found[edge.source][a]) for edge in node.edges])
            for a in range(len(image.shape))
        )
    return found


def _span(node: Node, read: list[tuple[Edge, Node, Span]]) -> Span:
    """Return the union, over the edges of a node, of what each makes of its source's span."""
    if len(read) == 1 and read[0][0].pointwise(node, read[0][1]):
        return read[0][2]
    forms: list[Form] | None = []
    lines: set[Line] = set()
    aligned = True
    for edge, source, span in read:
        composed: Sequence[Form | None]
        line: Line | None
        if edge.pointwise(node, source):
            composed, line = span.forms or (None,) * (span.forms is None), span.line
        else:
            composed = (None,) if span.forms is None else [compose(form, edge, node, source) for form in span.forms]
            line = _line(span, edge, source, composed)
        for form in composed:
            forms = None if form is None or forms is None else unite(forms, form)
        if line is not None:
            lines.add(line)
            aligned = aligned and span.aligned
    if forms is not None and len(forms) > _MOST_FORMS:
        forms = None
    return Span(
        None if forms is None else tuple(forms), min(lines, key=repr, default=None), aligned and len(lines) <= 1
    )


def _line(span: Span, edge: Edge, source: Node, composed: Sequence[Form | None]) -> Line | None:
    """Return the middle of a span's paths continued along an edge."""
    if span.line is None or not any(form is None or (form.low <= form.high).any() for form in composed):
        return None
    links = [edge.links[axis] for axis in span.axes]
    targets = [axis for link in links if link.map is not None for axis in link.axes]
    if all(link.map is None or len(link.axes) == 1 for link in links) and len(targets) == len(set(targets)):
        return _continued(span.line, edge, source)
    # Axes are merged or split here: the middle is read off the composed form.
    form = next((form for form in composed if form is not None and not form.whole), None)
    return None if form is None else Line(form.rates, form.middle())


def _continued(line: Line, edge: Edge, source: Node) -> Line | None:
    """Return a line continued along an edge with one axis to each link; None where it now stands for everything."""
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
    """Return the middle of what unit 0 reads, on average over the phases; None where none reads anything."""
    read = [(phase, taps) for phase, taps in enumerate(map.taps) if taps]
    if not read:
        return None
    total = sum(Fraction(taps[0] + taps[-1], 2) - Fraction(map.step * phase, map.period) for phase, taps in read)
    return Fraction(total, len(read))
