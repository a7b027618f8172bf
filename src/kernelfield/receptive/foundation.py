"""Nodes, their names, and the parts that channels fall into: what every operation of the builder stands on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from kernelfield.errors import ArgumentError
from kernelfield.receptive.graph import IDENTITY, AxisMap, Edge, Link, Node
from kernelfield.receptive.parts import NOTHING, Part, Read, identity
from kernelfield.receptive.value import Value


class Foundation:
    """Nodes as they are made, in order.

    Channels are told apart only where it matters: every value of which some channels read other things than the rest
    carries labels, and a slice that takes the channels of one label reads the source of that part alone.
    """

    def __init__(self, *, unknown: Literal["error", "global"] = "error") -> None:
        if unknown not in ("error", "global"):
            raise ArgumentError(f"unknown: expected 'error' or 'global'; received {unknown!r}")
        self.on_unknown = unknown
        self.nodes: dict[str, Node] = {}
        self.aliases: dict[str, str] = {}
        self._parts: list[Part | Callable[[], Part] | str | None] = [None]
        self._whole: dict[str, int] = {}
        self._unions: dict[frozenset[int], int] = {}
        self._made: dict[int, str | None] = {}

    def image(self, name: str, shape: Sequence[int], spatial: Sequence[int]) -> Value:
        """Return an input of the network.

        Parameters
        ----------
        name : str
        shape : sequence of int
            Of the tensor, batch and channels included.
        spatial : sequence of int
            The axes of the tensor that lie in space.
        """
        if not all(isinstance(n, int) and n > 0 for n in shape):
            raise ArgumentError(f"input_size: expected extents of at least 1; received {tuple(shape)}")
        grid = [t in {s % len(shape) for s in spatial} for t in range(len(shape))]
        return self._node(name, "input", shape, grid, (), None)

    def constant(self, shape: Sequence[int]) -> Value:
        """Return a value that does not depend on the image."""
        return Value(None, tuple(shape), (None,) * len(shape))

    def alias(self, name: str, value: Value) -> Value:
        """Let a second name stand for the node of a value."""
        if value.node is not None and name and name not in self.nodes and name != value.node:
            self.aliases[name] = value.node
        return value

    def bounded(self, value: Value, reason: str) -> Value:
        """Say of a value's node that it may be told to read more than it does."""
        if value.node is not None:
            self.nodes[value.node] = replace(self.nodes[value.node], bound=f"upper bound: {reason}")
        return value

    def _unique(self, name: str) -> str:
        # A name may end in what this makes ("#2"), so it counts until it is free.
        name, count, first = name or "unnamed", 1, name or "unnamed"
        while name in self.nodes:
            count += 1
            name = f"{first}#{count}"
        return name

    def _node(
        self,
        name: str,
        operation: str,
        shape: Sequence[int],
        grid: Sequence[bool],
        edges: tuple[Edge, ...],
        labels: np.ndarray | None,
        detail: str = "",
        bound: str = "",
    ) -> Value:
        name = self._unique(name)
        self.aliases.pop(name, None)
        extents = tuple(n for n, inside in zip(shape, grid, strict=True) if inside)
        self.nodes[name] = Node(name, operation, extents, edges, detail, bound)
        return Value(name, tuple(shape), _axes(grid), labels)

    def _add(
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
        """Add a node that reads values, and return its tensor.

        `grid` says for each axis of the tensor whether it is one of the new grid.
        """
        reads = [read for read in reads if read.value.node is not None]
        if not reads:
            return self.constant(shape)
        bad = [n for n in shape if n < 1]
        if bad:
            raise ArgumentError(
                f"input_size: expected an image large enough for {name!r}; received one that leaves it {tuple(shape)}; "
                "make the image larger"
            )
        edges = dict.fromkeys(edge for read in reads for edge in self._edges(read))
        value = self._node(name, operation, shape, grid, tuple(edges), None, detail, bound)
        assert value.node is not None
        return replace(value, labels=self._labelled(value, reads))

    def _edges(self, read: Read) -> list[Edge]:
        source = read.value.node
        assert source is not None
        whole = Edge(source, read.links, read.gate)
        if read.labels is None:
            return [whole]
        kept = frozenset(map(int, np.unique(read.labels)))
        if self._union(read.value, kept) == self._label(source):
            return [whole]
        sources = (self._source(label) for label in sorted(kept))
        return [replace(whole, source=part) for part in sources if part is not None]

    def _labelled(self, value: Value, reads: Sequence[Read]) -> np.ndarray | None:
        """Return the labels of a new node's channels, None where all read the same."""
        if all(read.labels is None for read in reads):
            return None
        columns = np.broadcast_arrays(*(self._read_labels(read, value.ndim) for read in reads))
        if len(reads) == 1 and not reads[0].gate and self._is_identity(reads[0], value):
            labels = columns[0]
            return labels.copy() if (labels != labels.flat[0]).any() else None
        stacked = np.stack([column.ravel() for column in columns])
        kinds, inverse = np.unique(stacked, axis=1, return_inverse=True)
        if kinds.shape[1] == 1:
            return None
        new = []
        for kind in kinds.T:
            edges = [Edge(str(read.value.node), read.links, read.gate) for read in reads]
            new.append(self._part(Part(str(value.node), tuple(zip(edges, map(int, kind), strict=True)))))
        return np.asarray(new)[inverse.ravel()].reshape(columns[0].shape)

    def _read_labels(self, read: Read, ndim: int) -> np.ndarray:
        if read.labels is not None:
            return read.labels
        # All of its parts: the node itself.
        return np.full((1,) * ndim, self._label(str(read.value.node)))

    def _is_identity(self, read: Read, value: Value) -> bool:
        assert read.value.node is not None
        assert value.node is not None
        return self._same_places(read.value.node, value.node, read.links)

    def _same_places(self, source: str, node: str, links: tuple[Link, ...]) -> bool:
        return self.nodes[source].shape == self.nodes[node].shape and links == identity(len(links))

    def _part(self, part: Part | Callable[[], Part] | str) -> int:
        self._parts.append(part)
        return len(self._parts) - 1

    def _label(self, node: str) -> int:
        """Return the label that stands for all of a node: of where its values come from, if it reads its own place."""
        while len(self.nodes[node].edges) == 1 and not self.nodes[node].bound:
            edge = self.nodes[node].edges[0]
            if edge.gate or not self._same_places(edge.source, node, edge.links):
                break
            node = edge.source
        if node not in self._whole:
            self._whole[node] = self._part(node)
        return self._whole[node]

    def _labels(self, value: Value) -> np.ndarray:
        """Return the labels of a value, one of extent 1 where all its channels are alike."""
        if value.labels is not None:
            return value.labels
        return np.full((1,) * value.ndim, NOTHING if value.node is None else self._label(value.node))

    def _union(self, value: Value, labels: frozenset[int]) -> int:
        """Return one label for the parts of a value taken together."""
        labels = labels - {NOTHING}
        if len(labels) < 2:
            return next(iter(labels), NOTHING)
        if value.labels is not None and labels >= set(map(int, np.unique(value.labels))) - {NOTHING}:
            return self._label(str(value.node))
        if labels not in self._unions:
            node = str(value.node)
            edge = Edge(node, identity(len(self.nodes[node].shape)))
            self._unions[labels] = self._part(Part(node, tuple((edge, label) for label in sorted(labels))))
        return self._unions[labels]

    def _mixed(self, value: Value, axes: Sequence[int], labels: np.ndarray | None = None) -> np.ndarray | None:
        """Return labels (a value's own) where all along some axes is taken together; None where that is everything."""
        labels = value.labels if labels is None else labels
        if labels is None:
            return None
        united = self._united(value, labels, axes)
        return None if (united == self._label(str(value.node))).all() else united

    def _united(self, value: Value, labels: np.ndarray, axes: Sequence[int]) -> np.ndarray:
        """Return labels of a value, in any shape, with one label for all along some axes (which keep extent 1)."""
        front = [t for t in range(labels.ndim) if t not in axes]
        rows = labels.transpose(front + [t for t in range(labels.ndim) if t in axes])
        rows = rows.reshape(int(np.prod(rows.shape[: len(front)], initial=1)), -1)
        united = [self._union(value, frozenset(map(int, row))) for row in rows]
        return np.asarray(united).reshape([1 if t in axes else n for t, n in enumerate(labels.shape)])

    def _source(self, label: int) -> str | None:
        """Return the node that stands for a part, made at its first use; None where there is nothing to read."""
        part = self._parts[label]
        if part is None or isinstance(part, str):
            return part
        if label not in self._made:
            part = part() if callable(part) else part
            edges: dict[Edge, None] = {}
            for edge, inner in part.reads:
                source = self._source(inner)
                if source is not None:
                    edges[replace(edge, source=source)] = None
            self._made[label] = self._hidden(part.node, tuple(edges))
        return self._made[label]

    def _hidden(self, node: str, edges: tuple[Edge, ...]) -> str | None:
        if not edges:
            return None
        whole, only = self.nodes[node], edges[0]
        if len(edges) == 1 and not only.gate and self._same_places(only.source, node, only.links):
            return only.source
        name = self._unique(f"{node}/part")
        self.nodes[name] = Node(name, "part", whole.shape, edges, f"some channels of {node}", whole.bound)
        return name

    def _links(
        self, value: Value, grid: Sequence[bool], maps: Mapping[int, AxisMap | Link] | None = None
    ) -> tuple[Link, ...]:
        """Return the links to a value whose axes are those of the new tensor, by `maps` where it names the axis."""
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

    def _keep(
        self, name: str, value: Value, shape: Sequence[int], grid: Sequence[bool], labels: np.ndarray | None
    ) -> Value:
        """Return the same node under another shape, where no axis of its grid is touched."""
        return self.alias(name, Value(value.node, tuple(shape), _axes(grid), labels))


def _axes(grid: Sequence[bool]) -> tuple[int | None, ...]:
    numbers = iter(range(len(grid)))
    return tuple(next(numbers) if inside else None for inside in grid)
