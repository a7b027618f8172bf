"""The receptive fields of all layers of a network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from kernelfield.errors import ArgumentError
from kernelfield.receptive.algebra import Span, spans
from kernelfield.receptive.frontends.select import graph as graph_of
from kernelfield.receptive.graph import Graph, Node
from kernelfield.receptive.halo import Halo, halo
from kernelfield.receptive.layer import LayerField, is_window, single
from kernelfield.receptive.relations import reached, seen_by
from kernelfield.receptive.table import html, record, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kernelfield.receptive.effective_field import EffectiveField

__all__ = ["LayerField", "ReceptiveField", "receptive_field"]


def receptive_field(
    model: Any,
    input_size: Any = None,
    *,
    unknown: Literal["error", "global"] = "error",
    gates: bool = True,
    **options: Any,
) -> ReceptiveField:
    """Return the exact receptive fields of the units of every layer of a network.

    Parameters
    ----------
    model : object
        A PyTorch module, a Keras model, a Flax module or JAX function, a TensorFlow function or GraphDef, an MXNet
        symbol or block, an ONNX model or its path, or a `Graph`. Weights are not needed; all count as not zero.
    input_size : sequence of int, optional
        Extents of the image, ``(H, W)``, or the shape of the whole input; may be left out where the model fixes it.
    unknown : {"error", "global"}
        Treatment of an operation that is not known: an error that names it, or an operation that reads all of its
        inputs; the layers behind it are then marked as upper bounds.
    gates : bool
        Whether to count sources that only scale or shift (squeeze and excitation, statistics of a normalisation over
        spatial axes). The table shows both.
    **options
        Options of the frontend of the model's framework.

    Returns
    -------
    ReceptiveField

    Raises
    ------
    ArgumentError
        If the model belongs to no supported framework, or does not accept an image of that size.
    UnsupportedOperation
        If an operation is not known.

    Examples
    --------
    Two layers of 2×2 see nine elements [1]_:

    >>> from kernelfield.receptive import AxisMap, Edge, Graph, Link, Node
    >>> links = (Link((0,), AxisMap.window(2)), Link((1,), AxisMap.window(2)))
    >>> graph = Graph((
    ...     Node("image", "input", (4, 4)),
    ...     Node("first", "convolution", (3, 3), (Edge("image", links),)),
    ...     Node("second", "convolution", (2, 2), (Edge("first", links),)),
    ... ))
    >>> field = receptive_field(graph)
    >>> field["second"].size, int(field["second"].mask(0, 0).sum())
    ((3, 3), 9)
    >>> print(field)
    input of 4×4
    layer   operation    map  field  stride  padding  aligned   share
    first   convolution  3×3  2×2    1       0        yes        25 %
    second  convolution  2×2  3×3    1       0        yes      56.2 %

    References
    ----------
    .. [1] A. Zhang, Z. C. Lipton, M. Li, A. J. Smola (2023). Dive into Deep Learning, section 7.2.6. Cambridge
           University Press.
    """
    if isinstance(model, Graph):
        graph = model
        size = tuple(input_size) if input_size is not None else graph.image.shape
        if size[-len(graph.image.shape) :] != graph.image.shape and size != graph.image.shape:
            raise ArgumentError(f"input_size: expected {graph.image.shape}, that of the graph; received {size}")
        if options:
            raise ArgumentError(f"options: expected none for a graph; received {', '.join(options)}")
    else:
        graph = graph_of(model, input_size, unknown=unknown, **options)
    return ReceptiveField(graph if gates else graph.without_gates(), None if isinstance(model, Graph) else model, gates)


@dataclass(frozen=True, eq=False)
class ReceptiveField:
    """The receptive fields of all layers of a network: ``field[name]`` for one layer, ``print(field)`` for the table.

    Parameters
    ----------
    graph : Graph
        The network.
    model : object, optional
        The model that the graph was made from, for `effective`.
    gates : bool
        Whether sources that only scale or shift are counted.
    """

    graph: Graph
    model: Any = None
    gates: bool = True

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents of the image."""
        return self.graph.image.shape

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, in order, without the image."""
        return tuple(node.name for node in self.graph.nodes[1:])

    @cached_property
    def _spans(self) -> dict[str, tuple[Span, ...]]:
        return spans(self.graph)

    @cached_property
    def _bounds(self) -> dict[str, str]:
        """For each node the reason why its field is an upper bound; empty where it is exact."""
        found: dict[str, str] = {}
        for node in self.graph:
            found[node.name] = node.bound or next((b for e in node.edges if (b := found[e.source])), "")
        return found

    def __len__(self) -> int:
        return len(self.graph.nodes) - 1

    def __iter__(self) -> Iterator[LayerField]:
        return (self[name] for name in self.layers)

    def __contains__(self, name: str) -> bool:
        return name in self.graph.by_name or name in self.graph.aliases

    def __getitem__(self, name: str) -> LayerField:
        node = self._node(name)
        return LayerField(node, self._spans[node.name], self.graph, self._bounds[node.name])

    def _node(self, name: str | None) -> Node:
        if name is None:
            return self.graph.nodes[-1]
        node = self.graph.by_name.get(self.graph.aliases.get(name, name)) if isinstance(name, str) else None
        if node is None:
            names = [*self.graph.by_name, *self.graph.aliases]
            near = get_close_matches(str(name), names, 3, 0.5) or names[-3:]
            raise ArgumentError(
                f"layer: expected one of the {len(names)} names ({', '.join(near)} …); received {name!r}"
            )
        return node

    @property
    def output(self) -> LayerField:
        """The field of the last layer."""
        return self[self.graph.nodes[-1].name]

    @cached_property
    def gated(self) -> bool:
        """Whether sources that only scale or shift are counted, and there are any."""
        return any(edge.gate for node in self.graph for edge in node.edges)

    def without_gates(self) -> ReceptiveField:
        """Return the fields without sources that only scale or shift."""
        return self._plain

    @cached_property
    def _plain(self) -> ReceptiveField:
        if not self.gated:
            return ReceptiveField(self.graph, self.model, gates=False)
        return ReceptiveField(self.graph.without_gates(), self.model, gates=False)

    def modules(self) -> dict[str, LayerField]:
        """Return the fields of the outputs of modules, by the module's path, and of layers that stand in none.

        A path is the part of a name in front of a ``.`` or ``/``; modules stand in the order of their outputs, inner
        ones first.
        """
        last: dict[str, str] = {}
        for node in self.graph.nodes[1:]:
            places = [i for i, letter in enumerate(node.name) if letter in "./" and i]
            for place in places:
                last[node.name[:place]] = node.name
            if not places:
                last[node.name] = node.name
        order = {node.name: i for i, node in enumerate(self.graph)}
        ends = {path: self.graph.aliases.get(path, name) for path, name in last.items() if path not in order}
        ends |= {path: path for path in last if path in order}
        return {path: self[ends[path]] for path in sorted(ends, key=lambda path: (order[ends[path]], -len(path)))}

    @cached_property
    def last(self) -> LayerField | None:
        """The last layer with as many axes as the image, None where there is none."""
        axes = len(self.shape)
        return next((layer for layer in map(self.__getitem__, self.layers[::-1]) if len(layer.shape) == axes), None)

    @cached_property
    def unread(self) -> float:
        """Fraction of the image that no output depends on, 0 to 1: elements that strides and borders leave out."""
        read = {edge.source for node in self.graph for edge in node.edges}
        ends = [node for node in self.graph.nodes[1:] if node.name not in read]
        units = {node.name: np.ones(node.shape, bool) for node in ends}
        return float(1 - seen_by(self.graph, units).mean()) if units else 0.0

    @property
    def input_range(self) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None]:
        """The smallest image in which every layer sees something new, and the largest that the last layer uses.

        A convolution or pooling adds something where the image is larger than the field of the units that it reads.
        An image larger than the field of the last feature map has elements that none of its units brings together.
        Both without gates; None where there is no such layer, or its units read everything. After M. L. Richter et al.
        (2021), "(Input) Size Matters for CNN Classifiers".
        """
        plain = self.without_gates()
        smallest: list[int] = []
        for node in filter(is_window, plain.graph):
            for below in (plain[edge.source] for edge in node.edges):
                if not any(below.whole):
                    sizes = [n + 1 for n in below.size]
                    smallest = [max(pair) for pair in zip(smallest, sizes)] if smallest else sizes
        last = plain.last
        largest = None if last is None or any(last.whole) else last.size
        return tuple(smallest) or None, largest

    def projective(self, *element: int, layer: str | None = None) -> np.ndarray:
        """Return the projective field of an element of the image: the units of a layer that see it.

        Parameters
        ----------
        *element : int
            Index along each axis of the image.
        layer : str, optional
            The last one if not given.

        Returns
        -------
        array of bool
            Over the layer's grid.
        """
        elements = single(element, self.shape, "element", "the image")
        return reached(self.graph, elements, self._node(layer).name)

    def halo(self, layer: str | None = None) -> Halo:
        """Return the overlap of image tiles with which a layer computed tile by tile is exact.

        It holds for networks that work alike at every size: that pool or resize by a factor, not to a size.

        Parameters
        ----------
        layer : str, optional
            The last one if not given.

        Returns
        -------
        Halo

        Raises
        ------
        ArgumentError
            If no overlap is large enough, for example where a layer reads the whole image.
        """
        return halo(self.graph, self._node(layer).name)

    def effective(self, images: Any, layer: str | None = None, *arguments: Any, **options: Any) -> EffectiveField:
        """Return where the gradient of a unit lies; see `kernelfield.receptive.effective.effective`."""
        from kernelfield.receptive.effective import effective

        return effective(self, images, layer, *arguments, **options)

    def draw(self, layer: str | None = None, *arguments: Any, **options: Any) -> Figure:
        """Return a figure of the field of a unit; see `kernelfield.receptive.draw.unit.draw_unit`."""
        from kernelfield.receptive.draw.unit import draw_unit

        return draw_unit(self, layer, *arguments, **options)

    def draw_network(self, **options: Any) -> Figure:
        """Return a figure of the network; see `kernelfield.receptive.draw.network.draw_network`."""
        from kernelfield.receptive.draw.network import draw_network

        return draw_network(self, **options)

    def table(
        self,
        pointwise: bool = True,
        *,
        by: Literal["operation", "module"] = "operation",
        layout: Literal["text", "records", "csv", "json", "pandas"] = "text",
    ) -> Any:
        """Return the table of all layers.

        Parameters
        ----------
        pointwise : bool
            Whether to list layers whose units read only the unit at their own position.
        by : {"operation", "module"}
            A row for each operation, or for the output of each module of the model.
        layout : {"text", "records", "csv", "json", "pandas"}
            Text with notes; a list of mappings; CSV with a column for each axis; JSON; a pandas DataFrame, whose index
            is the name. All but the text hold ``jump`` and ``start`` too.

        Returns
        -------
        str, list of dict or pandas.DataFrame

        Raises
        ------
        MissingDependencyError
            If pandas is asked for and not installed.
        """
        return table(self, pointwise, by, layout)

    def record(self) -> dict[str, Any]:
        """Return the numbers of all layers as plain lists, numbers and strings, for JSON."""
        return record(self)

    def _repr_html_(self) -> str:
        return html(self)

    def __str__(self) -> str:
        return str(self.table())

    def __repr__(self) -> str:
        return f"<ReceptiveField: {len(self)} layers, input of {'×'.join(map(str, self.shape))}>"
