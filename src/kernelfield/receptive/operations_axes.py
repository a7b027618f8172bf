"""Operations that rearrange axes: transposing, reshaping, broadcasting, exchanging channels and space."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np

from kernelfield.errors import ArgumentError
from kernelfield.receptive.graph import AxisMap, Edge, Link
from kernelfield.receptive.operations_places import Places
from kernelfield.receptive.parts import Part, Read, identity
from kernelfield.receptive.value import Value


class Axes(Places):
    """Transposing, reshaping, broadcasting, exchanging channels and space."""

    def transpose(self, name: str, x: Value, *, permutation: Sequence[int]) -> Value:
        """Return a value with its axes in another order."""
        order = [x.axis(t) for t in permutation]
        if sorted(order) != list(range(x.ndim)):
            raise ArgumentError(f"{name}: expected a permutation of {x.ndim} axes; received {tuple(permutation)}")
        shape = [x.shape[t] for t in order]
        grid = [x.axes[t] is not None for t in order]
        labels = None if x.labels is None else x.labels.transpose(order)
        numbers = [x.axes[t] for t in order if x.axes[t] is not None]
        if numbers == sorted(numbers, key=lambda number: number or 0):
            return self._keep(name, x, shape, grid, labels)
        links = tuple(Link((numbers.index(number),)) for number in range(len(numbers)))
        return self._add(name, "transpose", shape, grid, [Read(x, links, labels=labels)])

    def reshape(self, name: str, x: Value, *, shape: Sequence[int]) -> Value:
        """Return a value in another shape; ``-1`` for one extent that follows from the rest.

        Axes of space that are split or merged stay axes of space. Where channels and space are merged into one axis,
        the places become parts of the channels if nothing else is left (a flatten), or if the channels outnumber them.
        """
        target = _completed(name, x.shape, shape)
        if x.node is None:
            return self.constant(target)
        groups = list(_groups(x.shape, target))
        for old, new in groups:
            # Parts that are merged with space, or split along with it, have to become places first.
            if any(x.axes[t] is not None for t in old) and not self._features(x, old, target, new):
                for t in old:
                    x = self._promoted(x, t)
        assert x.node is not None
        grid, gone, places = [False] * len(target), [], [t for t, n in enumerate(x.shape) if n == 1]
        for old, new in groups:
            inside = [t for t in old if x.axes[t] is not None]
            if inside and self._features(x, old, target, new):
                gone += inside
            elif inside:
                places += old
                for u in new:
                    grid[u] = True
        links: dict[int, Link] = {}
        for old, new in groups:
            if grid[new[0]]:
                numbers = tuple(sum(grid[:u]) for u in new)
                links |= {t: Link(numbers, _digit(x.shape, old, t)) for t in old if x.axes[t] is not None}
        every = tuple(links.get(t, Link((), None)) for t in x.grid)

        def moved(labels: np.ndarray) -> np.ndarray:
            full = np.broadcast_to(labels, [1 if t in places else n for t, n in enumerate(x.shape)])
            return full.reshape([1 if inside else n for n, inside in zip(target, grid, strict=True)])

        if gone:
            value = self._node(name, "reshape", target, grid, (Edge(x.node, every),), None)
            assert value.node is not None
            return replace(value, labels=moved(self._folded(value.node, x, every, gone)))
        labels = None if x.labels is None else moved(x.labels)
        same = [n for n, inside in zip(target, grid, strict=True) if inside]
        if same == [x.shape[t] for t in x.grid] and every == identity(len(every)):
            return self._keep(name, x, target, grid, labels)
        return self._add(name, "reshape", target, grid, [Read(x, every, labels=labels)])

    def _features(self, x: Value, old: Sequence[int], target: Sequence[int], new: Sequence[int]) -> bool:
        """Return whether axes of space and of channels, merged into one, are told as channels."""
        if len(new) != 1:
            return False
        space = math.prod(x.shape[t] for t in old if x.axes[t] is not None)
        channels = math.prod(x.shape[t] for t in old if x.axes[t] is None)
        if channels == 1:
            return False
        alone = all(n == 1 for u, n in enumerate(target) if u not in new)
        return alone or channels > space

    def _folded(self, node: str, x: Value, links: tuple[Link, ...], gone: Sequence[int]) -> np.ndarray:
        """Return labels of the places of axes that became channels, each read by channels of its own."""
        assert x.node is not None
        extents = [n if t in gone else 1 for t, n in enumerate(x.shape)]
        places = np.arange(math.prod(extents)).reshape(extents)
        inner = self._labels(x)
        most = int(inner.max()) + 1
        kinds, inverse = np.unique(places * most + inner, return_inverse=True)

        def part(place: int, label: int) -> Part:
            at = dict(zip(range(x.ndim), np.unravel_index(place, extents), strict=True))
            fixed = (
                Link((), AxisMap.fixed(int(at[t]))) if t in gone else link
                for t, link in zip(x.grid, links, strict=True)
            )
            return Part(node, ((Edge(str(x.node), tuple(fixed)), label),))

        new = [self._part(partial(part, *divmod(int(kind), most))) for kind in kinds]
        return np.asarray(new)[inverse.ravel()].reshape(np.broadcast_shapes(places.shape, inner.shape))

    def expand(self, name: str, x: Value, *, shape: Sequence[int]) -> Value:
        """Return a value repeated to fill a shape: broadcast from extents of 1, tiled where they are larger."""
        more = len(shape) - x.ndim
        old = (1,) * more + x.shape
        if more < 0 or any(n < 1 or n % m for n, m in zip(shape, old, strict=True)):
            raise ArgumentError(
                f"{name}: expected a shape that {x.shape} fills in whole repeats; received {tuple(shape)}"
            )
        if tuple(shape) == x.shape:
            return self.alias(name, x)
        labels = None if x.labels is None else x.labels.reshape((1,) * more + x.labels.shape)
        wide = Value(x.node, old, (None,) * more + x.axes, labels)
        grid = [wide.axes[t] is not None and (m > 1 or n == 1) for t, (n, m) in enumerate(zip(shape, old, strict=True))]
        maps: dict[int, AxisMap | Link] = {}
        for t, (n, m) in enumerate(zip(shape, old, strict=True)):
            if n != m and grid[t]:
                maps[t] = AxisMap(1, 1, ((0,),), "wrap")
            elif n != m and labels is not None and labels.shape[t] > 1:
                labels = np.concatenate([labels] * (n // m), axis=t)
        return self._add(name, "expand", shape, grid, [Read(wide, self._links(wide, grid, maps), labels=labels)])

    def depth_to_space(
        self,
        name: str,
        x: Value,
        *,
        block: int,
        channel_axis: int,
        spatial_axes: Sequence[int],
        mode: Literal["DCR", "CRD"] = "DCR",
    ) -> Value:
        """Return a value whose channels became places: blocks of `block` along every axis of space.

        ``"DCR"`` and ``"CRD"`` are ONNX's names for the order of the channels: the block's place first, or the channel
        (PyTorch's pixel shuffle).
        """
        channel, *spatial = (x.axis(t) for t in (channel_axis, *spatial_axes))
        rank = len(spatial)
        if block < 1 or x.shape[channel] % block**rank:
            raise ArgumentError(f"{name}: expected a block that divides {x.shape[channel]} channels; received {block}")
        shape = list(x.shape)
        shape[channel] //= block**rank
        for t in spatial:
            shape[t] *= block
        if not x.varies(channel) and x.axes[channel] is None:
            x, spatial = self._spatial(x, spatial)
            grid = [axis is not None for axis in x.axes]
            upwards = AxisMap(block, 1, ((0,),) * block)
            read = Read(x, self._links(x, grid, dict.fromkeys(spatial, upwards)), labels=x.labels)
            return self._add(name, "depth to space", shape, grid, [read], detail=f"blocks of {block}")
        # The blocks' offsets as axes of their own, each then merged with its axis of space.
        apart = [block] * rank
        split = [*apart, shape[channel]] if mode == "DCR" else [shape[channel], *apart]
        blocks = self.reshape(f"{name}/blocks", x, shape=[*x.shape[:channel], *split, *x.shape[channel + 1 :]])
        place = {t: t if t < channel else t + rank for t in range(x.ndim)}
        place[channel] = channel + (rank if mode == "DCR" else 0)
        offset = channel + (0 if mode == "DCR" else 1)
        order = []
        for t in range(x.ndim):
            order.append(place[t])
            if t in spatial:
                order.append(offset + spatial.index(t))
        turned = self.transpose(f"{name}/turned", blocks, permutation=order)
        return self.reshape(name, turned, shape=shape)

    def space_to_depth(
        self,
        name: str,
        x: Value,
        *,
        block: int,
        channel_axis: int,
        spatial_axes: Sequence[int],
        mode: Literal["DCR", "CRD"] = "DCR",
    ) -> Value:
        """Return a value whose blocks of places became channels: the inverse of `depth_to_space`."""
        channel = x.axis(channel_axis)
        x, spatial = self._spatial(x, spatial_axes)
        shape, grid = list(x.shape), [axis is not None and t != channel for t, axis in enumerate(x.axes)]
        if block < 1 or any(x.shape[t] % block for t in spatial):
            raise ArgumentError(f"{name}: expected extents that {block} divides; received {x.shape}")
        for t in spatial:
            shape[t] //= block
        shape[channel] *= block ** len(spatial)
        whole: dict[int, AxisMap | Link] = {channel: Link((), None)}
        every = self._links(x, grid, whole | dict.fromkeys(spatial, AxisMap.window(block, block)))
        value = self._add(name, "space to depth", shape, grid, [Read(x, every)], detail=f"blocks of {block}")
        if value.node is None or x.axes[channel] is not None:
            return value
        inner = self._labels(x)
        inner = np.broadcast_to(inner, [x.shape[t] if t == channel else n for t, n in enumerate(inner.shape)])
        apart = []
        for taps in np.ndindex(*[block] * len(spatial)):
            at = {t: AxisMap(1, block, ((tap,),)) for t, tap in zip(spatial, taps, strict=True)}
            edge = Edge(str(x.node), self._links(x, grid, whole | at))
            new = {label: self._part(Part(value.node, ((edge, label),))) for label in map(int, np.unique(inner))}
            apart.append(np.vectorize(new.__getitem__, otypes=[np.int64])(inner))
        stacked = np.stack(apart, channel if mode == "DCR" else channel + 1)
        labels = stacked.reshape([shape[t] if t == channel else n for t, n in enumerate(inner.shape)])
        return replace(value, labels=labels) if (labels != labels.flat[0]).any() else value


def _completed(name: str, old: Sequence[int], new: Sequence[int]) -> list[int]:
    total, target = math.prod(old), list(new)
    if target.count(-1) == 1:
        rest = math.prod(n for n in target if n != -1)
        target[target.index(-1)] = total // rest if rest else -1
    if math.prod(target) != total or any(n < 1 for n in target):
        raise ArgumentError(f"{name}: expected a shape of the {total} elements of {tuple(old)}; received {tuple(new)}")
    return target


def _groups(old: Sequence[int], new: Sequence[int]) -> Iterator[tuple[list[int], list[int]]]:
    """Yield the smallest runs of axes of both shapes that hold as many elements; axes of 1 belong to none."""
    olds = [t for t, n in enumerate(old) if n > 1]
    news = [u for u, n in enumerate(new) if n > 1]
    while olds:
        left, right = [olds.pop(0)], [news.pop(0)]
        a, b = old[left[0]], new[right[0]]
        while a != b:
            if a < b:
                left.append(olds.pop(0))
                a *= old[left[-1]]
            else:
                right.append(news.pop(0))
                b *= new[right[-1]]
        yield left, right


def _digit(shape: Sequence[int], group: Sequence[int], axis: int) -> AxisMap:
    """Return which index along one axis belongs to an index counted along all axes of a group together."""
    later = math.prod(shape[t] for t in group if t > axis)
    if axis == group[0]:
        return AxisMap(later, 1, ((0,),) * later)
    period = later * shape[axis]
    return AxisMap(period, 0, tuple((r // later,) for r in range(period)))
