"""Figure of a network as a graph, coloured by the share of the image that its units see."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelfield.figures import ink, style
from kernelfield.receptive.draw.label import label
from kernelfield.receptive.draw.layout import Layout, layout
from kernelfield.receptive.graph import Graph, Node

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from kernelfield.receptive.field import LayerField, ReceptiveField

_COLOURS = "YlGnBu"
# Inches of a box with and without text; number of ranks in a column.
_WIDE, _HIGH = 1.75, 0.46
_SMALL = 0.16
_LABELLED = 160
_RANKS, _SMALL_RANKS = 22, 60
# Inches for the colour bar; the colour of an empty field; letters in a box.
_KEY, _LIGHTEST, _LONGEST = 0.75, 0.06, 32


def draw_network(receptive: ReceptiveField) -> Figure:
    """Return a figure of the network: a box for each layer, darker for a larger share of the image.

    Element-wise layers (normalisation at inference, activations) are left out, and so is the text for more than 160
    layers. Long networks continue in the next column. Dashed lines are gates; the field is that without them.

    Parameters
    ----------
    receptive : ReceptiveField

    Returns
    -------
    matplotlib.figure.Figure
        `savefig` writes PNG, SVG or PDF, by the suffix.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    plain = receptive.without_gates() if receptive.gated else receptive
    nodes, edges = condensed(receptive.graph)
    plan = layout([node.name for node in nodes], edges)
    labelled = len(nodes) <= _LABELLED
    ranks = 1 + max(rank for rank, _ in plan.places.values())
    columns = ceil(ranks / (_RANKS if labelled else _SMALL_RANKS))
    ranks_each = ceil(ranks / columns)
    page = _Page(plan, ranks_each, _WIDE if labelled else _SMALL * 1.6, _HIGH if labelled else _SMALL)
    width, height = page.width, page.height
    with style():
        figure = Figure(figsize=(width, height + _KEY), dpi=150)
        axes = figure.add_axes((0.0, _KEY / (height + _KEY), 1.0, height / (height + _KEY)))
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
        axes.set_axis_off()
        for pair, gate in edges.items():
            _draw_edge(axes, page, plan.routes[pair], gate)
        colours = colormaps[_COLOURS]
        for node in nodes:
            field = plain[node.name]
            gated = all(receptive[node.name].whole) and not all(field.whole)
            _draw_node(axes, page, node, field, colours(_LIGHTEST + (1 - _LIGHTEST) * field.share), labelled, gated)
        _draw_key(figure, colours, width, height, plain is not receptive)
    return figure


def condensed(graph: Graph) -> tuple[list[Node], dict[tuple[str, str], bool]]:
    """Return the nodes that read more than their own position, and the edges between them: whether each is a gate.

    The image, and nodes that combine several sources, are kept.
    """
    stands_for: dict[str, str] = {}
    nodes: list[Node] = []
    edges: dict[tuple[str, str], bool] = {}
    for node in graph:
        sources = dict.fromkeys(stands_for[edge.source] for edge in node.edges)
        if len(sources) == 1 and all(edge.pointwise(node, graph.by_name[edge.source]) for edge in node.edges):
            stands_for[node.name] = next(iter(sources))
            continue
        stands_for[node.name] = node.name
        nodes.append(node)
        for edge in node.edges:
            pair = stands_for[edge.source], node.name
            edges[pair] = edges.get(pair, True) and edge.gate
    return nodes, edges


class _Page:
    """Positions on the page, in inches, of ranks and of positions within a rank, column by column."""

    def __init__(self, plan: Layout, ranks: int, wide: float, high: float) -> None:
        self.plan, self.ranks, self.wide, self.high = plan, ranks, wide, high
        self.box = 0.88 * wide, 0.66 * high
        ends: dict[int, tuple[float, float]] = {}
        for rank, across in (point for route in (*plan.routes.values(), list(plan.places.values())) for point in route):
            column = rank // ranks
            low, high_ = ends.get(column, (across, across))
            ends[column] = min(low, across), max(high_, across)
        self.left: list[float] = []
        x = 0.15
        for column in range(max(ends) + 1):
            low, high_ = ends[column]
            self.left.append(x + wide / 2 - low * wide)
            x += (high_ - low + 1) * wide + 0.25
        # Room for the colour bar.
        spare = max(0.0, 2.9 - (x - 0.1))
        self.left = [left + spare / 2 for left in self.left]
        self.width = x - 0.1 + spare
        self.height = (ranks + 1.0) * high + 0.1

    def at(self, rank: float, across: float, column: int) -> tuple[float, float]:
        """Return the position of a point of a column."""
        return self.left[column] + across * self.wide, (rank - column * self.ranks + 1.0) * self.high


def _draw_edge(axes: Axes, page: _Page, route: list[tuple[int, float]], gate: bool) -> None:
    """Draw an edge through its points, in pieces where it continues in the next column."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    pieces: list[list[tuple[float, float]]] = [[]]
    for (rank, across), following in zip(route, [*route[1:], None]):
        column = rank // page.ranks
        pieces[-1].append(page.at(rank, across, column))
        if following is not None and following[0] // page.ranks != column:
            pieces[-1].append(page.at(rank + 0.75, across, column))
            pieces.append([page.at(following[0] - 0.75, following[1], column + 1)])
    half = page.box[1] / 2
    pieces[0][0] = pieces[0][0][0], pieces[0][0][1] + half
    pieces[-1][-1] = pieces[-1][-1][0], pieces[-1][-1][1] - half
    for points in pieces:
        vertices, codes = [points[0]], [Path.MOVETO]
        for (x0, y0), (x1, y1) in pairwise(points):
            middle = (y0 + y1) / 2
            vertices += [(x0, middle), (x1, middle), (x1, y1)]
            codes += [Path.CURVE4] * 3
        style: dict[str, Any] = {"linestyle": (0, (3, 2))} if gate else {}
        path = Path(vertices, codes)
        axes.add_patch(
            FancyArrowPatch(
                path=path,
                arrowstyle="-|>,head_length=2.2,head_width=1.3",
                color="0.45",
                linewidth=0.8,
                zorder=1,
                **style,
            )
        )


def _draw_node(
    axes: Axes, page: _Page, node: Node, field: LayerField, colour: Any, labelled: bool, gated: bool
) -> None:
    """Draw the box of a layer, with its name, window and field."""
    from matplotlib.patches import FancyBboxPatch

    (width, height), (rank, across) = page.box, page.plan.places[node.name]
    x, y = page.at(rank, across, rank // page.ranks)
    round_ = "round,pad=0,rounding_size=0.05"
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle=round_,
            facecolor=colour,
            edgecolor="0.3",
            linewidth=0.6,
            zorder=2,
        )
    )
    if not labelled:
        return
    sees = "the image" if not node.edges else "sees all" if all(field.whole) else f"sees {_extents(field.size)}"
    sees = f"{sees}, gated" if gated else sees
    window = f"{node.detail or node.operation} · " if node.edges else f"{_extents(node.shape)} · "
    if len(window) + len(sees) > _LONGEST + 2:
        window = ""
    common: dict[str, Any] = {"ha": "center", "va": "center", "color": ink(np.array(colour[:3])), "zorder": 3}
    axes.text(x, y - 0.24 * height, label(node.name, _LONGEST), fontsize=6.2, fontweight="bold", **common)
    axes.text(x, y + 0.24 * height, label(window + sees, 2 * _LONGEST), fontsize=5.8, **common)


def _extents(numbers: Sequence[int]) -> str:
    return "×".join(map(str, numbers))


def _draw_key(figure: Figure, colours: Any, width: float, height: float, gated: bool) -> None:
    """Draw the colour bar."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    shades = ListedColormap(colours([_LIGHTEST + (1 - _LIGHTEST) * i / 255 for i in range(256)]))
    length = min(2.6, 0.7 * width)
    place = (0.5 - length / 2 / width, 0.42 / (height + _KEY), length / width, 0.1 / (height + _KEY))
    bar = figure.colorbar(
        ScalarMappable(Normalize(0, 100), shades), cax=figure.add_axes(place), orientation="horizontal"
    )
    bar.set_label("% of the image that a unit sees" + (", without gates" if gated else ""), fontsize=7)
    bar.ax.tick_params(labelsize=6.5, length=2)
    bar.outline.set_linewidth(0.6)
