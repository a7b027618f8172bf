"""A network as a graph of index maps: the elements of earlier feature maps that every element reads.

Values are not kept: a node holds the extents of its grid (its spatial axes) and, for each of its sources, the elements
of the source's grid that one of its own elements reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np

from kernelfield.errors import ArgumentError

Outside = Literal["constant", "nearest", "reflect", "mirror", "wrap"]


@dataclass(frozen=True)
class AxisMap:
    """The indices of one axis of a source that an index reads, as a periodic pattern.

    Index ``i = q * period + r`` reads ``q * step + tap`` for every tap of ``taps[r]``.

    Parameters
    ----------
    period : int
        Number of indices after which the pattern repeats, at least 1: 1 for convolution and pooling, the factor for
        upsampling and transposed convolution.
    step : int
        Shift in the source for each period; the stride where `period` is 1. May be 0 or negative.
    taps : tuple of tuple of int
        For each of the `period` phases the indices read, ascending; empty where none is read (a transposed convolution
        whose stride exceeds its kernel).
    outside : str
        The boundary rule for taps outside the source, by the names of `kernelfield.geometry.BOUNDARIES`;
        ``"constant"`` reads no element of the source.

    Examples
    --------
    >>> AxisMap.window(3, stride=2, before=1)
    AxisMap(period=1, step=2, taps=((-1, 0, 1),), outside='constant')
    >>> AxisMap.transposed(2, stride=2).taps
    ((0,), (0,))
    """

    period: int
    step: int
    taps: tuple[tuple[int, ...], ...]
    outside: Outside = "constant"

    def __post_init__(self) -> None:
        if self.period < 1 or len(self.taps) != self.period:
            raise ArgumentError(
                f"taps: expected one tuple for each of the {self.period} phases; received {len(self.taps)}"
            )

    @classmethod
    def window(cls, size: int, stride: int = 1, dilation: int = 1, before: int = 0) -> AxisMap:
        """Return the map of a sliding window on an axis with `before` elements of padding in front."""
        return cls(1, stride, (tuple(range(-before, -before + dilation * (size - 1) + 1, dilation)),))

    @classmethod
    def transposed(cls, size: int, stride: int = 1, dilation: int = 1, before: int = 0) -> AxisMap:
        """Return the map of the transpose of `window` (of a transposed convolution with this padding)."""
        phases = [
            sorted(
                {(r + before - dilation * t) // stride for t in range(size) if not (r + before - dilation * t) % stride}
            )
            for r in range(stride)
        ]
        return cls(stride, 1, tuple(map(tuple, phases)))

    @classmethod
    def fixed(cls, *taps: int) -> AxisMap:
        """Return the map that reads the same indices for every index."""
        return cls(1, 0, (tuple(sorted(taps)),))


IDENTITY = AxisMap(1, 1, ((0,),))


@dataclass(frozen=True)
class Link:
    """The dependence of the indices read along one axis of a source on the indices of the reading node.

    Parameters
    ----------
    axes : tuple of int
        Axes of the reading node; their indices, combined in row-major order, are the index that `map` takes. Usually
        one axis; two where a reshape split an axis; none where all elements read the same indices.
    map : AxisMap or None
        None reads the whole axis.
    """

    axes: tuple[int, ...]
    map: AxisMap | None = IDENTITY


@dataclass(frozen=True)
class Edge:
    """The elements of one source that a node reads.

    Parameters
    ----------
    source : str
        Name of the node read.
    links : tuple of Link
        One for each axis of the source's grid.
    gate : bool
        Whether the source only scales or shifts the values (squeeze and excitation, statistics of a normalisation,
        weights of an attention): fields are reported with and without gates.
    units : tuple of (int, int, int)
        The units of the node that read along this edge: an axis of the node, the first index and the one behind the
        last. Units elsewhere read nothing along it, as in the other parts of a concatenation. Empty for all units.
    """

    source: str
    links: tuple[Link, ...]
    gate: bool = False
    units: tuple[tuple[int, int, int], ...] = ()

    def pointwise(self, node: Node, source: Node) -> bool:
        """Return whether every element reads the element at its own position, and no other."""
        return (
            not self.units
            and node.shape == source.shape
            and all(link.axes == (axis,) and link.map == IDENTITY for axis, link in enumerate(self.links))
        )

    def inside(self, node: Node, axes: Sequence[int], more: int = 0) -> np.ndarray:
        """Return which units along `axes` of the node read along this edge, broadcastable, with `more` axes of 1."""
        read: np.ndarray = np.ones((1,) * (len(axes) + more), bool)
        for axis, start, stop in self.units:
            index = np.arange(node.shape[axis])
            along = [-1 if a == axis else 1 for a in axes] + [1] * more
            read = read & ((index >= start) & (index < stop)).reshape(along)
        return read


@dataclass(frozen=True)
class Node:
    """One operation of a network.

    Parameters
    ----------
    name : str
        Its name in the framework.
    operation : str
        ``"input"``, ``"convolution"``, ``"pooling"``, ``"add"`` …
    shape : tuple of int
        Extents of its grid; empty without spatial axes (after a global pooling).
    edges : tuple of Edge
        Its sources; none for an input or a constant.
    detail : str
        For the table: ``"3×3, stride 2"``.
    bound : str
        Empty, or the reason why `edges` is an upper bound of the elements read.
    """

    name: str
    operation: str
    shape: tuple[int, ...]
    edges: tuple[Edge, ...] = ()
    detail: str = ""
    bound: str = ""


@dataclass(frozen=True)
class Graph:
    """A network: its nodes, each after its sources.

    Parameters
    ----------
    nodes : tuple of Node
        The image is the first, the output the last.
    aliases : mapping of str to str
        Further names of nodes: the name of a module stands for the node of its output.

    Examples
    --------
    Two layers of 2×2 on an image of 4×4:

    >>> window = AxisMap.window(2)
    >>> graph = Graph((
    ...     Node("image", "input", (4, 4)),
    ...     Node("first", "convolution", (3, 3), (Edge("image", (Link((0,), window), Link((1,), window))),)),
    ...     Node("second", "convolution", (2, 2), (Edge("first", (Link((0,), window), Link((1,), window))),)),
    ... ))
    >>> graph.by_name["second"].shape
    (2, 2)
    """

    nodes: tuple[Node, ...]
    aliases: Mapping[str, str] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        seen: dict[str, Node] = {}
        for node in self.nodes:
            for edge in node.edges:
                source = seen.get(edge.source)
                if source is None:
                    raise ArgumentError(f"graph: expected {node.name!r} after its sources; received {edge.source!r}")
                if len(edge.links) != len(source.shape):
                    raise ArgumentError(
                        f"graph: expected {len(source.shape)} links from {node.name!r} to {source.name!r}, one "
                        f"for each axis; received {len(edge.links)}"
                    )
                if any(not 0 <= axis < len(node.shape) for link in edge.links for axis in link.axes):
                    raise ArgumentError(
                        f"graph: expected links by the {len(node.shape)} axes of {node.name!r}; received axes "
                        f"{[link.axes for link in edge.links]}"
                    )
                if any(not 0 <= a < len(node.shape) or not 0 <= i < j <= node.shape[a] for a, i, j in edge.units):
                    raise ArgumentError(
                        f"graph: expected units within the extents {node.shape} of {node.name!r}; received {edge.units}"
                    )
            if node.name in seen:
                raise ArgumentError(f"graph: expected names that differ; received {node.name!r} twice")
            seen[node.name] = node
        if not self.nodes or self.nodes[0].operation != "input":
            raise ArgumentError("graph: expected the image as the first node, of operation 'input'")
        for alias, name in self.aliases.items():
            if name not in seen:
                raise ArgumentError(f"graph: expected aliases of its nodes; received {name!r} for {alias!r}")

    @cached_property
    def by_name(self) -> dict[str, Node]:
        """The nodes by name."""
        return {node.name: node for node in self.nodes}

    @property
    def image(self) -> Node:
        """The node of the image."""
        return self.nodes[0]

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def without_gates(self) -> Graph:
        """Return the graph without gates: without edges that only scale or shift."""
        nodes = tuple(replace(n, edges=tuple(e for e in n.edges if not e.gate)) for n in self.nodes)
        return Graph(nodes, self.aliases)
