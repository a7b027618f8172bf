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
from kernelfield.receptive.layer import LayerField, single
from kernelfield.receptive.relations import reached
from kernelfield.receptive.table import record, table

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
        return ReceptiveField(self.graph.without_gates(), self.model, gates=False)

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

    def table(self, pointwise: bool = True) -> str:
        """Return the table of all layers.

        Parameters
        ----------
        pointwise : bool
            Whether to list layers whose units read only the unit at their own position.
        """
        return table(self, pointwise)

    def record(self) -> dict[str, Any]:
        """Return the numbers of all layers as plain lists, numbers and strings, for JSON."""
        return record(self)

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        return f"<ReceptiveField: {len(self)} layers, input of {'×'.join(map(str, self.shape))}>"
