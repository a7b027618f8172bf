"""What the units of every layer of a network see of the image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from kernelfield.errors import ArgumentError
from kernelfield.receptive.algebra import Span, spans
from kernelfield.receptive.graph import Graph, Node
from kernelfield.receptive.halo import Halo, halo
from kernelfield.receptive.layer import LayerField, single
from kernelfield.receptive.relations import reached
from kernelfield.receptive.table import record, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kernelfield.receptive.energy import EffectiveField

__all__ = ["LayerField", "ReceptiveField", "receptive_field"]


def receptive_field(
    model: Any,
    input_size: Any = None,
    *,
    unknown: Literal["error", "global"] = "error",
    gates: bool = True,
    **options: Any,
) -> ReceptiveField:
    """Return what the units of every layer of a network see of the image, exactly.

    Parameters
    ----------
    model : object
        A PyTorch module, a Keras model, a Flax module or JAX function, a TensorFlow function or GraphDef, an MXNet
        symbol or block, an ONNX model or its path, or a `Graph`. Weights are not needed and taken as not zero.
    input_size : sequence of int, optional
        Extents of the image, ``(H, W)``, or the shape of the whole input; may be left out where the model fixes it.
    unknown : {"error", "global"}
        What an operation that is not known is: an error that names it, or one that reads everything; what builds on it
        is then an upper bound and says so.
    gates : bool
        Whether to count what only scales or shifts (squeeze and excitation, statistics of a normalisation over space).
        The table tells both.
    **options
        Of the model's framework.

    Returns
    -------
    ReceptiveField

    Raises
    ------
    ArgumentError
        If the model is of no framework that is known, or does not take an image of that size.
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
        from kernelfield.receptive.frontends.select import graph as graph_of

        graph = graph_of(model, input_size, unknown=unknown, **options)
    return ReceptiveField(graph if gates else graph.without_gates(), None if isinstance(model, Graph) else model, gates)


@dataclass(frozen=True, eq=False)
class ReceptiveField:
    """The fields of all layers of a network; ``field[name]`` is that of one, ``print(field)`` the table.

    Parameters
    ----------
    graph : Graph
        The network.
    model : object, optional
        What the graph was made from, for `effective`.
    gates : bool
        Whether what only scales or shifts is counted.
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
        """For each node why its field is an upper bound, or nothing."""
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
        """Whether the network holds anything that only scales or shifts and is counted."""
        return any(edge.gate for node in self.graph for edge in node.edges)

    def without_gates(self) -> ReceptiveField:
        """Return the fields with what only scales or shifts left out."""
        return ReceptiveField(self.graph.without_gates(), self.model, gates=False)

    def projective(self, *element: int, layer: str | None = None) -> np.ndarray:
        """Return the units of a layer that an element of the image reaches.

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
        """Return how tiles of the image must overlap for the outputs of a layer on them to be exact.

        It holds for networks that do the same at every size: that pool or resize by a factor, not to a size.

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
            If no overlap is enough, as where a layer reads all of the image.
        """
        return halo(self.graph, self._node(layer).name)

    def effective(self, images: Any, layer: str | None = None, *arguments: Any, **options: Any) -> EffectiveField:
        """Return where the gradient really goes; see `kernelfield.receptive.effective.effective`."""
        from kernelfield.receptive.effective import effective

        return effective(self, images, layer, *arguments, **options)

    def draw(self, layer: str | None = None, *arguments: Any, **options: Any) -> Figure:
        """Return a figure of what a unit sees; see `kernelfield.receptive.draw.draw`."""
        from kernelfield.receptive.draw import draw

        return draw(self, layer, *arguments, **options)

    def draw_network(self, **options: Any) -> Figure:
        """Return a figure of the network; see `kernelfield.receptive.network.draw_network`."""
        from kernelfield.receptive.network import draw_network

        return draw_network(self, **options)

    def table(self, pointwise: bool = True) -> str:
        """Return every layer's figures as text.

        Parameters
        ----------
        pointwise : bool
            Whether to list layers whose units only read the unit at their own place.
        """
        return table(self, pointwise)

    def record(self) -> dict[str, Any]:
        """Return every layer's figures as plain lists, numbers and strings, for JSON."""
        return record(self)

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        return f"<ReceptiveField: {len(self)} layers, input of {'×'.join(map(str, self.shape))}>"
