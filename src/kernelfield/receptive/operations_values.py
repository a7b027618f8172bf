"""Operations on values place by place, and those that gather a whole axis: arithmetic, statistics, sums."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import numpy as np

from kernelfield.errors import ArgumentError, UnsupportedOperation
from kernelfield.receptive.foundation import Foundation
from kernelfield.receptive.graph import AxisMap, Edge, Link
from kernelfield.receptive.parts import Read
from kernelfield.receptive.value import Value

#: Operations of which an operand that is the same at all places only scales or shifts.
GATED = frozenset({"add", "subtract", "multiply", "divide"})
# Beyond this extent a triangle is told as the whole axis: its table would grow with the square.
_LONGEST_TRIANGLE = 512


class Values(Foundation):
    """Arithmetic, statistics, sums along axes, and operations that are not known."""

    def elementwise(self, name: str, operation: str, *xs: Value, gate_rule: bool = True) -> Value:
        """Return an operation place by place, broadcast by NumPy's rules.

        With `gate_rule`, an operand of an addition or multiplication that is the same along an axis of space, where
        another one fills all of it, is a gate.
        """
        shape = _broadcast(name, [x.shape for x in xs])
        wide = [_widened(x, len(shape)) for x in xs]
        grid = [any(x.axes[t] is not None and x.shape[t] == n for x in wide) for t, n in enumerate(shape)]
        lacking = [
            [t for t, inside in enumerate(grid) if inside and (x.axes[t] is None or x.shape[t] != shape[t])]
            for x in wide
        ]
        full = any(x.node is not None and not lacks for x, lacks in zip(wide, lacking, strict=True))
        reads = []
        for x, lacks in zip(wide, lacking, strict=True):
            if x.node is None:
                continue
            once: dict[int, AxisMap | Link] = {t: Link((), None) for t in lacks if x.axes[t] is not None}
            gate = gate_rule and full and operation in GATED and any(shape[t] > 1 for t in lacks)
            reads.append(Read(x, self._links(x, grid, once), gate, x.labels))
        return self._add(name, operation, shape, grid, reads)

    def normalisation(
        self,
        name: str,
        x: Value,
        *,
        axes: Sequence[int],
        channel_axis: int = 1,
        channel_groups: int | None = None,
        operation: str = "normalisation",
    ) -> Value:
        """Return a value less its mean and over its deviation along some axes of the tensor.

        The statistics are a gate. Where `channel_axis` is among the axes they are taken of `channel_groups` groups of
        channels, of all together by default.
        """
        numbers = sorted({x.axis(t) for t in axes})
        channel = x.axis(channel_axis)
        grid = [axis is not None for axis in x.axes]
        reads = [Read(x, self._links(x, grid), labels=x.labels)]
        wholly: dict[int, AxisMap | Link] = {t: Link((), None) for t in numbers if grid[t]}
        if wholly or any(x.varies(t) for t in numbers):
            labels: np.ndarray | None
            if channel_groups is not None and channel_groups > 1 and channel in numbers and x.varies(channel):
                labels = self._grouped(name, x, channel, channel_groups, [t for t in numbers if t != channel])
            else:
                labels = self._mixed(x, numbers)
            # All labels together are told as one where all of the statistics' labels are the same.
            reads.append(Read(x, self._links(x, grid, wholly), True, labels))
        return self._add(
            name, operation, x.shape, grid, reads, detail=f"groups {channel_groups}" if channel_groups else ""
        )

    def _grouped(self, name: str, x: Value, channel: int, groups: int, others: Sequence[int]) -> np.ndarray:
        """Return labels with one label for each group of channels."""
        labels = self._labels(x)
        channels = x.shape[channel]
        if channels % groups:
            raise ArgumentError(f"{name}: expected groups that divide {channels} channels; received {groups}")
        full = np.broadcast_to(labels, [channels if t == channel else n for t, n in enumerate(labels.shape)])
        apart = np.moveaxis(full, channel, -1)
        apart = apart.reshape(*apart.shape[:-1], groups, channels // groups)
        moved = [t if t < channel else t - 1 for t in others]
        united = self._united(x, apart, [*moved, apart.ndim - 1])[..., 0]
        return np.moveaxis(np.repeat(united, channels // groups, axis=-1), -1, channel)

    def softmax(self, name: str, x: Value, *, axis: int) -> Value:
        """Return exponentials over their sum along one axis."""
        t = x.axis(axis)
        grid = [number is not None for number in x.axes]
        whole: dict[int, AxisMap | Link] = {t: Link((), None)}
        labels = x.labels if x.labels is None or not x.varies(t) else self._mixed(x, [t])
        return self._add(name, "softmax", x.shape, grid, [Read(x, self._links(x, grid, whole), labels=labels)])

    def reduce(self, name: str, x: Value, *, axes: Sequence[int], keepdims: bool, operation: str = "mean") -> Value:
        """Return a mean, sum, maximum … over some axes of the tensor; those of space leave the grid."""
        numbers = {x.axis(t) for t in axes}
        grid = [number is not None and t not in numbers for t, number in enumerate(x.axes)]
        labels = self._mixed(x, sorted(numbers))
        links = self._links(x, grid)
        shape = [1 if t in numbers else n for t, n in enumerate(x.shape)]
        if not keepdims:
            shape = [n for t, n in enumerate(shape) if t not in numbers]
            grid = [inside for t, inside in enumerate(grid) if t not in numbers]
            labels = None if labels is None else labels.squeeze(tuple(numbers))
        elsewhere = "global" if any(x.axes[t] is not None for t in numbers) else ""
        return self._add(name, operation, shape, grid, [Read(x, links, labels=labels)], detail=elsewhere)

    def cumulative(
        self, name: str, x: Value, *, axis: int, reverse: bool = False, operation: str = "cumulative"
    ) -> Value:
        """Return a running sum, or a recurrence: each place reads those before it along the axis and itself."""
        t = x.axis(axis)
        n = x.shape[t]
        grid = [number is not None for number in x.axes]
        labels = x.labels if x.labels is None or not x.varies(t) else self._mixed(x, [t])
        maps: dict[int, AxisMap | Link] = {t: Link((), None)}
        bound = ""
        if grid[t] and n <= _LONGEST_TRIANGLE:
            maps[t] = AxisMap(n, 0, tuple(tuple(range(i, n) if reverse else range(i + 1)) for i in range(n)))
        elif grid[t]:
            bound = f"upper bound: told as all {n} places of the axis"
        return self._add(
            name, operation, x.shape, grid, [Read(x, self._links(x, grid, maps), labels=labels)], bound=bound
        )

    def unknown(self, name: str, operation: str, xs: Sequence[Value], shape: Sequence[int]) -> Value:
        """Return the output of an operation that is not known: an error, or everything and a bound.

        Raises
        ------
        UnsupportedOperation
            If the builder was made with ``unknown="error"`` and the operation reads the image.
        """
        read = [x for x in xs if x.node is not None]
        if not read:
            return self.constant(shape)
        if self.on_unknown == "error":
            raise UnsupportedOperation(
                f"model: expected operations that are known; received {operation!r} in {name!r}; say unknown='global' "
                "for an upper bound, or tell what it reads by kernelfield.receptive.register"
            )
        like = next((x for x in read if x.ndim == len(shape)), None)
        grid = [like is not None and like.axes[t] is not None and n > 1 for t, n in enumerate(shape)]
        reads = [Read(x, (Link((), None),) * len(x.grid)) for x in read]
        return self._add(name, operation, shape, grid, reads, bound=f"upper bound: {operation} is not known")

    def custom(
        self,
        name: str,
        operation: str,
        xs: Sequence[Value],
        edges: Sequence[Edge | Sequence[Link]],
        shape: Sequence[int],
        axes: Sequence[int | None],
    ) -> Value:
        """Return the output of an operation whose index maps are given: what a registered function builds.

        Parameters
        ----------
        name, operation : str
        xs : sequence of Value
            What is read.
        edges : sequence of Edge or of sequences of Link
            One for each of `xs`: a link for each axis of its grid.
        shape : sequence of int
            Of the new tensor.
        axes : sequence of (int or None)
            For each of its axes the axis of the new grid.
        """
        grid = [axis is not None for axis in axes]
        if [axis for axis in axes if axis is not None] != list(range(sum(grid))) or len(axes) != len(shape):
            raise ArgumentError(
                f"{name}: expected axes of the grid in order, one or None a tensor axis; received {axes}"
            )
        reads = []
        for x, edge in zip(xs, edges, strict=True):
            links = edge.links if isinstance(edge, Edge) else tuple(edge)
            if len(links) != len(x.grid):
                raise ArgumentError(f"{name}: expected {len(x.grid)} links to {x.node!r}; received {len(links)}")
            reads.append(Read(x, links, edge.gate if isinstance(edge, Edge) else False))
        return self._add(name, operation, shape, grid, reads)


def _broadcast(name: str, shapes: Sequence[tuple[int, ...]]) -> list[int]:
    shape = []
    for extents in zip_longest(*(reversed(s) for s in shapes), fillvalue=1):
        longest = max(extents)
        if any(n not in (1, longest) for n in extents):
            raise ArgumentError(f"{name}: expected shapes that broadcast; received {', '.join(map(str, shapes))}")
        shape.append(longest)
    return shape[::-1]


def _widened(x: Value, rank: int) -> Value:
    more = rank - x.ndim
    labels = None if x.labels is None else x.labels.reshape((1,) * more + x.labels.shape)
    return Value(x.node, (1,) * more + x.shape, (None,) * more + x.axes, labels)
