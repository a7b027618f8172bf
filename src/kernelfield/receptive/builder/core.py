"""The graph being built: its nodes and their names, and which channels of a tensor read which sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from kernelfield.errors import ArgumentError
from kernelfield.receptive.builder.value import Value
from kernelfield.receptive.graph import IDENTITY, AxisMap, Edge, Link, Node

#: The label of channels that read nothing (zeros that extend the channels of a shortcut).
NOTHING = 0


@dataclass(frozen=True)
class Read:
    """The elements of one value that a new node reads.

    Parameters
    ----------
    value : Value
    links : tuple of Link
        One for each axis of the value's grid.
    gate : bool
        See `Edge`.
    labels : numpy.ndarray, optional
        For each channel of the new node the label of the channels of the value that it reads, in a shape that
        broadcasts to that of the new tensor; None where each reads all of them.
    units : tuple of (int, int, int)
        See `Edge`.
    """

    value: Value
    links: tuple[Link, ...]
    gate: bool = False
    labels: np.ndarray | None = None
    units: tuple[tuple[int, int, int], ...] = ()

    def edge(self, source: str) -> Edge:
        """Return the edge to a node that stands for the value, or for some of its channels."""
        return Edge(source, self.links, self.gate, self.units)


@dataclass(frozen=True)
class Part:
    """Some channels of a node: the edges of these channels, each with the label of the channels it reads."""

    node: str
    reads: tuple[tuple[Edge, int], ...]


def identity(rank: int) -> tuple[Link, ...]:
    """Return the links with which every element reads the element at its own position.

    >>> identity(1)
    (Link(axes=(0,), map=AxisMap(period=1, step=1, taps=((0,),), outside='constant')),)
    """
    return tuple(Link((axis,)) for axis in range(rank))


class Core:
    """The nodes of a graph in the order in which they are added, and the labels of channels.

    Channels are distinguished only where they differ: a value whose channels read different elements carries a label
    for each channel. Channels with the same label form a part of the node. A slice that takes only channels of one
    label reads the sources of that part, not those of the whole node.

    Parameters
    ----------
    unknown : {"error", "global"}
        See `kernelfield.receptive.Builder`.
    """

    def __init__(self, *, unknown: Literal["error", "global"] = "error") -> None:
        if unknown not in ("error", "global"):
            raise ArgumentError(f"unknown: expected 'error' or 'global'; received {unknown!r}")
        self.on_unknown = unknown
        self.nodes: dict[str, Node] = {}
        self.aliases: dict[str, str] = {}
        # By label: the part, a function that returns it, or the name of the node that stands for it.
        self._parts: list[Part | Callable[[], Part] | str | None] = [None]
        self._label_of_node: dict[str, int] = {}
        self._label_of_union: dict[frozenset[int], int] = {}
        self._node_of_part: dict[int, str | None] = {}

    def image(self, name: str, shape: Sequence[int], spatial: Sequence[int]) -> Value:
        """Return an input of the network.

        Parameters
        ----------
        name : str
        shape : sequence of int
            Of the tensor, batch and channels included.
        spatial : sequence of int
            The spatial axes of the tensor.
        """
        if not all(isinstance(n, int) and n > 0 for n in shape):
            raise ArgumentError(f"input_size: expected extents of at least 1; received {tuple(shape)}")
        grid = [t in {s % len(shape) for s in spatial} for t in range(len(shape))]
        return self.node(name, "input", shape, grid, ())

    def constant(self, shape: Sequence[int]) -> Value:
        """Return a value that does not depend on the image."""
        return Value(None, tuple(shape), (None,) * len(shape))

    def alias(self, name: str, value: Value) -> Value:
        """Add a second name for the node of a value, and return the value."""
        if value.node is not None and name and name not in self.nodes and name != value.node:
            self.aliases[name] = value.node
        return value

    def bounded(self, value: Value, reason: str) -> Value:
        """Mark the node of a value as an upper bound of the elements it reads, and return the value."""
        if value.node is not None:
            self.nodes[value.node] = replace(self.nodes[value.node], bound=f"upper bound: {reason}")
        return value

    def node(
        self,
        name: str,
        operation: str,
        shape: Sequence[int],
        grid: Sequence[bool],
        edges: tuple[Edge, ...],
        *,
        detail: str = "",
        bound: str = "",
    ) -> Value:
        """Add a node with given edges, and return its tensor; `grid` tells which of its axes are spatial."""
        name = self._unique(name)
        self.aliases.pop(name, None)
        extents = tuple(n for n, inside in zip(shape, grid, strict=True) if inside)
        self.nodes[name] = Node(name, operation, extents, edges, detail, bound)
        return Value(name, tuple(shape), _axes(grid))

    def add(
        self,
        name: str,
        operation: str,
        shape: Sequence[int],
        grid: Sequence[bool],
        reads: Sequence[Read],
        *,
        detail: str = "",
        bound: str = "",
    ) -> Value:
        """Add a node that reads values, and return its tensor; `grid` tells which of its axes are spatial."""
        reads = [read for read in reads if read.value.node is not None]
        if not reads:
            return self.constant(shape)
        bad = [n for n in shape if n < 1]
        if bad:
            raise ArgumentError(
                f"input_size: expected an image large enough for {name!r}; received one that leaves it {tuple(shape)}; "
                "make the image larger"
            )
        apart = [self._apart(read, grid) for read in reads]
        if apart != reads and not bound:
            bound = "upper bound: parts along an axis are not told apart"
        reads = apart
        edges = dict.fromkeys(edge for read in reads for edge in self._edges(read))
        value = self.node(name, operation, shape, grid, tuple(edges), detail=detail, bound=bound)
        return replace(value, labels=self._labels_of_reads(value, reads))

    def _apart(self, read: Read, grid: Sequence[bool]) -> Read:
        """Return a read whose labels are the same for all positions of the new node's grid: their union otherwise."""
        labels = read.labels
        if labels is None:
            return read
        spatial = [t for t, inside in enumerate(grid) if inside and labels.shape[t] > 1]
        return replace(read, labels=self.united(read.value, labels, spatial)) if spatial else read

    def same_node(
        self, name: str, value: Value, shape: Sequence[int], grid: Sequence[bool], labels: np.ndarray | None
    ) -> Value:
        """Return the node of a value in another shape, with the same axes of its grid."""
        return self.alias(name, Value(value.node, tuple(shape), _axes(grid), labels))

    def links(
        self, value: Value, grid: Sequence[bool], maps: Mapping[int, AxisMap | Link] | None = None
    ) -> tuple[Link, ...]:
        """Return the links from a new tensor with the axes of a value to that value; `maps` holds those of some axes.

        An axis without a map reads its own position, or all of the axis where it is not spatial in the new tensor.
        """
        maps = maps or {}
        numbers = _axes(grid)
        links = []
        for t in value.grid:
            how = maps.get(t, IDENTITY)
            number = numbers[t]
            if isinstance(how, Link):
                links.append(how)
            else:
                links.append(Link((), None) if number is None else Link((number,), how))
        return tuple(links)

    def labels(self, value: Value) -> np.ndarray:
        """Return the labels of a value, of extent 1 along every axis where all its channels are alike."""
        if value.labels is not None:
            return value.labels
        return np.full((1,) * value.ndim, NOTHING if value.node is None else self._whole(value.node))

    def new_label(self, part: Part | Callable[[], Part]) -> int:
        """Return a new label for a part; a function is called when the part is first read."""
        self._parts.append(part)
        return len(self._parts) - 1

    def united(self, value: Value, labels: np.ndarray, axes: Sequence[int]) -> np.ndarray:
        """Return labels of a value, in any shape, with one label for the union along some axes (of extent 1 then)."""
        front = [t for t in range(labels.ndim) if t not in axes]
        rows = labels.transpose(front + [t for t in range(labels.ndim) if t in axes])
        rows = rows.reshape(int(np.prod(rows.shape[: len(front)], initial=1)), -1)
        known: dict[bytes, int] = {}
        every = self._every(value)
        united = []
        for row in rows:
            key = row.tobytes()
            if key not in known:
                known[key] = self._union(value, frozenset(row.tolist()), every)
            united.append(known[key])
        return np.asarray(united).reshape([1 if t in axes else n for t, n in enumerate(labels.shape)])

    def along(self, value: Value, labels: np.ndarray, grid: Sequence[bool]) -> np.ndarray:
        """Return labels for the elements of a tensor without the axes of its grid along which they do not vary."""
        for t, inside in enumerate(grid):
            if inside and (labels == labels.take([0], t)).all():
                labels = labels.take([0], t)
        return labels

    def united_channels(self, value: Value, axes: Sequence[int], labels: np.ndarray | None = None) -> np.ndarray | None:
        """Return `united` of a value's labels along some axes; None where each union is the whole node."""
        labels = value.labels if labels is None else labels
        if labels is None:
            return None
        united = self.united(value, labels, axes)
        return None if (united == self._whole(str(value.node))).all() else united

    def source(self, label: int) -> str | None:
        """Return the node that stands for a part, added when first read; None where there is nothing to read."""
        part = self._parts[label]
        if part is None or isinstance(part, str):
            return part
        if label not in self._node_of_part:
            part = part() if callable(part) else part
            edges: dict[Edge, None] = {}
            for edge, inner in part.reads:
                source = self.source(inner)
                if source is not None:
                    edges[replace(edge, source=source)] = None
            self._node_of_part[label] = self._part_node(part.node, tuple(edges))
        return self._node_of_part[label]

    def _part_node(self, node: str, edges: tuple[Edge, ...]) -> str | None:
        if not edges:
            return None
        whole, only = self.nodes[node], edges[0]
        if len(edges) == 1 and not only.gate and self._same_positions(only, node):
            return only.source
        name = self._unique(f"{node}/part")
        self.nodes[name] = Node(name, "part", whole.shape, edges, f"some channels of {node}", whole.bound)
        return name

    def _unique(self, name: str) -> str:
        # A given name may itself end in "#2": count on until the name is free.
        name, count, first = name or "unnamed", 1, name or "unnamed"
        while name in self.nodes:
            count += 1
            name = f"{first}#{count}"
        return name

    def _edges(self, read: Read) -> list[Edge]:
        """Return an edge to the whole node, or one to each part where only some of its channels are read."""
        source = str(read.value.node)
        whole = read.edge(source)
        if read.labels is None:
            return [whole]
        kept = frozenset(map(int, np.unique(read.labels)))
        if self._union(read.value, kept, self._every(read.value)) == self._whole(source):
            return [whole]
        sources = (self.source(label) for label in sorted(kept))
        return [replace(whole, source=part) for part in sources if part is not None]

    def _labels_of_reads(self, value: Value, reads: Sequence[Read]) -> np.ndarray | None:
        """Return the labels of a new node's channels, None where all channels read the same."""
        if all(read.labels is None for read in reads):
            return None
        columns = np.broadcast_arrays(*(self._read_labels(read, value.ndim) for read in reads))
        only = reads[0].edge(str(reads[0].value.node))
        if len(reads) == 1 and not only.gate and self._same_positions(only, str(value.node)):
            labels = columns[0]
            return labels.copy() if (labels != labels.flat[0]).any() else None
        stacked = np.stack([column.ravel() for column in columns])
        kinds, inverse = np.unique(stacked, axis=1, return_inverse=True)
        if kinds.shape[1] == 1:
            return None
        new = []
        for kind in kinds.T:
            edges = [read.edge(str(read.value.node)) for read in reads]
            new.append(self.new_label(Part(str(value.node), tuple(zip(edges, map(int, kind), strict=True)))))
        return np.asarray(new)[inverse.ravel()].reshape(columns[0].shape)

    def _read_labels(self, read: Read, ndim: int) -> np.ndarray:
        return np.full((1,) * ndim, self._whole(str(read.value.node))) if read.labels is None else read.labels

    def _same_positions(self, edge: Edge, node: str) -> bool:
        same = self.nodes[edge.source].shape == self.nodes[node].shape
        return same and not edge.units and edge.links == identity(len(edge.links))

    def _whole(self, node: str) -> int:
        """Return the label of a whole node: that of its source, as long as every element reads its own position."""
        while len(self.nodes[node].edges) == 1 and not self.nodes[node].bound:
            edge = self.nodes[node].edges[0]
            if edge.gate or not self._same_positions(edge, node):
                break
            node = edge.source
        if node not in self._label_of_node:
            self._parts.append(node)
            self._label_of_node[node] = len(self._parts) - 1
        return self._label_of_node[node]

    def _every(self, value: Value) -> frozenset[int] | None:
        """Return all labels of a value, None where its channels are alike."""
        return None if value.labels is None else frozenset(np.unique(value.labels).tolist()) - {NOTHING}

    def _union(self, value: Value, labels: frozenset[int], every: frozenset[int] | None) -> int:
        """Return the label of the union of some parts of a value, of which `every` holds all."""
        labels = labels - {NOTHING}
        if len(labels) < 2:
            return next(iter(labels), NOTHING)
        if every is not None and labels >= every:
            return self._whole(str(value.node))
        if labels not in self._label_of_union:
            node = str(value.node)
            edge = Edge(node, identity(len(self.nodes[node].shape)))
            self._label_of_union[labels] = self.new_label(Part(node, tuple((edge, label) for label in sorted(labels))))
        return self._label_of_union[labels]


def _axes(grid: Sequence[bool]) -> tuple[int | None, ...]:
    """Return the axis of the grid for each axis of a tensor, None for those that are not spatial."""
    numbers = iter(range(len(grid)))
    return tuple(next(numbers) if inside else None for inside in grid)
