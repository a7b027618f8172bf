"""Operations that move places: padding, slices, gathering, rolling, concatenation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from kernelfield.errors import ArgumentError
from kernelfield.geometry import boundary_index, check_boundary
from kernelfield.receptive.foundation import Foundation
from kernelfield.receptive.graph import AxisMap, Edge, Link
from kernelfield.receptive.parts import NOTHING, Read
from kernelfield.receptive.relations import elements_read
from kernelfield.receptive.value import Value


class Places(Foundation):
    """Padding, slices, gathering, rolling and concatenation."""

    def pad(self, name: str, x: Value, *, before: Sequence[int], after: Sequence[int], mode: str = "constant") -> Value:
        """Return an extended value; negative numbers crop.

        Parameters
        ----------
        name : str
        x : Value
        before, after : sequence of int
            For each axis of the tensor.
        mode : str
            What lies outside, by the names of `kernelfield.geometry.BOUNDARIES`: what PyTorch and NumPy call reflect
            is ``"mirror"``.
        """
        outside = check_boundary(mode)
        shape = [n + b + a for n, b, a in zip(x.shape, before, after, strict=True)]
        grid = [axis is not None for axis in x.axes]
        labels = x.labels
        maps: dict[int, AxisMap | Link] = {}
        for t, (n, b, a) in enumerate(zip(x.shape, before, after, strict=True)):
            if not b and not a:
                continue
            if grid[t]:
                maps[t] = AxisMap(1, 1, ((-b,),), outside)
            elif x.node is not None and (x.varies(t) or outside == "constant") and n + b + a > 0:
                labels = self._extended(
                    self._labels(x) if labels is None else labels, t, n, boundary_index(n, b, a, outside)
                )
        return self._add(name, "pad", shape, grid, [Read(x, self._links(x, grid, maps), labels=labels)], detail=mode)

    def _extended(self, labels: np.ndarray, axis: int, n: int, index: np.ndarray) -> np.ndarray:
        full = np.broadcast_to(labels, [n if t == axis else m for t, m in enumerate(labels.shape)])
        taken = full.take(np.maximum(index, 0), axis)
        inside = (index >= 0).reshape([-1 if t == axis else 1 for t in range(labels.ndim)])
        return np.where(inside, taken, NOTHING)

    def slice(
        self, name: str, x: Value, *, starts: Sequence[int], stops: Sequence[int | None], steps: Sequence[int]
    ) -> Value:
        """Return a slice by Python's rules, for each axis of the tensor; None as a stop runs to the end."""
        indices = []
        for n, start, stop, step in zip(x.shape, starts, stops, steps, strict=True):
            if step == 0:
                raise ArgumentError(f"{name}: expected steps that are not 0; received {tuple(steps)}")
            indices.append(range(*slice(start, stop, step).indices(n)))
        return self._gathered(name, "slice", x, indices)

    def take(self, name: str, x: Value, *, axis: int, indices: Sequence[int], keep_axis: bool = True) -> Value:
        """Return the elements of some indices along an axis; without `keep_axis` one element, and no axis."""
        t = x.axis(axis)
        n = x.shape[t]
        chosen = [int(i) for i in indices]
        if not chosen or not all(-n <= i < n for i in chosen):
            raise ArgumentError(f"{name}: expected indices of an axis of {n}; received {chosen[:8]}")
        if not keep_axis and len(chosen) != 1:
            raise ArgumentError(f"{name}: expected one index to drop an axis; received {len(chosen)}")
        ranges: list[Sequence[int]] = [range(m) for m in x.shape]
        ranges[t] = [i % n for i in chosen]
        return self._gathered(name, "take", x, ranges, None if keep_axis else t)

    def _gathered(
        self, name: str, operation: str, x: Value, indices: Sequence[Sequence[int]], dropped: int | None = None
    ) -> Value:
        grid = [axis is not None and t != dropped for t, axis in enumerate(x.axes)]
        labels, maps = x.labels, {}
        for t, index in enumerate(indices):
            if index == range(x.shape[t]) and t != dropped:
                continue
            if x.axes[t] is not None:
                maps[t] = Link((), AxisMap.fixed(index[0])) if t == dropped else _listed(index)
            elif labels is not None and labels.shape[t] > 1:
                labels = labels.take(np.asarray(index), t)
        links = self._links(x, grid, maps)
        shape = [len(index) for index in indices]
        if dropped is None:
            return self._add(name, operation, shape, grid, [Read(x, links, labels=labels)])
        del shape[dropped], grid[dropped]
        labels = None if labels is None else labels.squeeze(dropped)
        return self._add(name, operation, shape, grid, [Read(x, links, labels=labels)])

    def roll(self, name: str, x: Value, *, shifts: Sequence[int], axes: Sequence[int]) -> Value:
        """Return a value shifted around: what leaves at one end comes in at the other."""
        grid = [axis is not None for axis in x.axes]
        labels = x.labels
        maps: dict[int, AxisMap | Link] = {}
        total: dict[int, int] = {}
        for shift, t in zip(shifts, map(x.axis, axes), strict=True):
            total[t] = total.get(t, 0) + shift
        for t, shift in total.items():
            if grid[t]:
                maps[t] = AxisMap(1, 1, ((-shift,),), "wrap")
            elif labels is not None:
                labels = np.roll(labels, shift, t)
        return self._add(name, "roll", x.shape, grid, [Read(x, self._links(x, grid, maps), labels=labels)])

    def concatenate(self, name: str, xs: Sequence[Value], *, axis: int) -> Value:
        """Return values put one behind the other along an axis of space or of channels."""
        t = xs[0].axis(axis)
        places = [sum(x.shape[t] for x in xs[:i]) for i in range(len(xs))]
        shape = [sum(x.shape[t] for x in xs) if u == t else n for u, n in enumerate(xs[0].shape)]
        grid = [any(x.axes[u] is not None and x.shape[u] == n for x in xs) for u, n in enumerate(shape)]
        grid[t] = any(x.axes[t] is not None for x in xs)
        if grid[t]:
            return self._joined(name, xs, t, places, shape, grid)
        reads = []
        for x, place in zip(xs, places, strict=True):
            if x.node is not None:
                index = np.full(shape[t], -1)
                index[place : place + x.shape[t]] = range(x.shape[t])
                reads.append(
                    Read(x, self._links(x, grid), labels=self._extended(self._labels(x), t, x.shape[t], index))
                )
        return self._add(name, "concatenate", shape, grid, reads)

    def _joined(
        self, name: str, xs: Sequence[Value], t: int, places: Sequence[int], shape: list[int], grid: list[bool]
    ) -> Value:
        """Return a concatenation along an axis of space."""
        number = sum(grid[:t])
        extents = [n for n, within in zip(shape, grid, strict=True) if within]
        reads, bound = [], ""
        for x, place in zip(xs, places, strict=True):
            links = self._links(x, grid, {t: AxisMap.window(1, before=place)})
            if x.axes[t] is None and x.node is not None:
                if links:
                    inside = frozenset(range(place, place + x.shape[t]))
                    links = self._where(x, links, number, inside, extents)
                else:
                    bound = f"upper bound: not told apart which places of {name} read {x.node}"
            labels = self._mixed(x, [t]) if x.axes[t] is None else x.labels
            reads.append(Read(x, links, labels=labels))
        return self._add(name, "concatenate", shape, grid, reads, bound=bound)

    def _where(
        self, x: Value, links: tuple[Link, ...], number: int, inside: frozenset[int], shape: Sequence[int]
    ) -> tuple[Link, ...]:
        """Return links to `x` that read only where axis `number` of a grid of `shape` is at one of `inside`."""
        first = links[0]
        m = math.prod(shape[a] for a in first.axes)
        if first.map is None:
            read = [tuple(range(self.nodes[str(x.node)].shape[0]))] * m
        else:
            phases = (divmod(i, first.map.period) for i in range(m))
            read = [tuple(q * first.map.step + tap for tap in first.map.taps[r]) for q, r in phases]
        n = shape[number]
        table = tuple(read[i] if j in inside else () for j in range(n) for i in range(m))
        outside = "constant" if first.map is None else first.map.outside
        return Link((number, *first.axes), AxisMap(n * m, 0, table, outside)), *links[1:]

    def _along(self, x: Value, labels: np.ndarray | None, axis: int, how: AxisMap, output: int) -> np.ndarray | None:
        """Return labels after a window has moved along an axis of parts: each output has those that it reads."""
        if labels is None or labels.shape[axis] == 1:
            return labels
        taps = elements_read(how, output, x.shape[axis])
        padded = np.concatenate([labels, np.full_like(labels.take([0], axis), NOTHING)], axis)
        read = padded.take(taps.ravel(), axis)
        apart = read.reshape(*labels.shape[:axis], *taps.shape, *labels.shape[axis + 1 :])
        return self._united(x, apart, [axis + 1]).squeeze(axis + 1)

    def _spatial(self, x: Value, axes: Sequence[int]) -> tuple[Value, list[int]]:
        """Return a value fit for windows along some axes, and these axes counted from the front."""
        numbers = [x.axis(t) for t in axes]
        for t in numbers:
            x = self._promoted(x, t)
        return x, numbers

    def _promoted(self, x: Value, axis: int) -> Value:
        """Return a value whose parts along an axis became places of its grid."""
        if not x.varies(axis):
            return x
        assert x.labels is not None
        grid = [number is not None or t == axis for t, number in enumerate(x.axes)]
        united = self._united(x, x.labels, [t for t in range(x.ndim) if t != axis]).ravel()
        extents = [n for n, within in zip(x.shape, grid, strict=True) if within]
        number = sum(grid[:axis])
        bound = ""
        edges: dict[Edge, None] = {}
        for label in np.unique(united):
            source = self._source(int(label))
            if source is None:
                continue
            links = self._links(x, grid)
            if links:
                inside = frozenset(map(int, np.flatnonzero(united == label)))
                links = self._where(x, links, number, inside, extents)
            elif (united != label).any():
                bound = f"upper bound: the parts of {x.node} are not told apart"
            edges[Edge(source, links)] = None
        return self._node(f"{x.node}/places", "places", x.shape, grid, tuple(edges), None, bound=bound)


def _listed(index: Sequence[int]) -> AxisMap:
    """Return the map that reads a list of indices, by its step where it has one."""
    if isinstance(index, range):
        return AxisMap(1, index.step, ((index.start,),))
    step = index[1] - index[0] if len(index) > 1 else 1
    if all(b - a == step for a, b in pairwise(index)):
        return AxisMap(1, step, ((index[0] if index else 0,),))
    return AxisMap(len(index), 0, tuple((i,) for i in index))
