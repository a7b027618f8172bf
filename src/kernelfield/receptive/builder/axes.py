"""Operations that rearrange axes: transpose, reshape, broadcast, and exchange of channels and space."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np

from kernelfield.errors import ArgumentError
from kernelfield.receptive.builder.core import Core, Part, Read, identity
from kernelfield.receptive.builder.promotion import promoted, promoted_axes
from kernelfield.receptive.builder.value import Value
from kernelfield.receptive.graph import AxisMap, Edge, Link


def transpose(builder: Core, name: str, x: Value, *, permutation: Sequence[int]) -> Value:
    """Return a value with its axes in another order."""
    order = [x.axis(t) for t in permutation]
    if sorted(order) != list(range(x.ndim)):
        raise ArgumentError(f"{name}: expected a permutation of {x.ndim} axes; received {tuple(permutation)}")
    shape = [x.shape[t] for t in order]
    grid = [x.axes[t] is not None for t in order]
    labels = None if x.labels is None else x.labels.transpose(order)
    numbers = [x.axes[t] for t in order if x.axes[t] is not None]
    if numbers == sorted(numbers, key=lambda number: number or 0):
        return builder.same_node(name, x, shape, grid, labels)
    links = tuple(Link((numbers.index(number),)) for number in range(len(numbers)))
    return builder.add(name, "transpose", shape, grid, [Read(x, links, labels=labels)])


def reshape(builder: Core, name: str, x: Value, *, shape: Sequence[int]) -> Value:
    """Return a value in another shape; one extent may be ``-1``, and follows from the others.

    Spatial axes that are split or merged stay spatial. Where channels and spatial axes are merged into one axis, the
    positions become parts of the channels if no other axis is left (a flatten), or if there are more channels.
    """
    target = _completed(name, x.shape, shape)
    if x.node is None:
        return builder.constant(target)
    groups = list(_groups(x.shape, target))
    for old, new in groups:
        # Parts that are merged with spatial axes, or split along with them, become positions first.
        if any(x.axes[t] is not None for t in old) and not _features(builder, x, old, target, new):
            for t in old:
                x = promoted(builder, x, t)
    assert x.node is not None
    grid, gone, places = [False] * len(target), [], [t for t, n in enumerate(x.shape) if n == 1]
    for old, new in groups:
        inside = [t for t in old if x.axes[t] is not None]
        if inside and _features(builder, x, old, target, new):
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
        value = builder.node(name, "reshape", target, grid, (Edge(x.node, every),))
        assert value.node is not None
        return replace(value, labels=moved(_folded(builder, value.node, x, every, gone)))
    labels = None if x.labels is None else moved(x.labels)
    same = [n for n, inside in zip(target, grid, strict=True) if inside]
    if same == [x.shape[t] for t in x.grid] and every == identity(len(every)):
        return builder.same_node(name, x, target, grid, labels)
    return builder.add(name, "reshape", target, grid, [Read(x, every, labels=labels)])


def _features(builder: Core, x: Value, old: Sequence[int], target: Sequence[int], new: Sequence[int]) -> bool:
    """Return whether spatial axes and channels, merged into one axis, are treated as channels."""
    if len(new) != 1:
        return False
    space = math.prod(x.shape[t] for t in old if x.axes[t] is not None)
    channels = math.prod(x.shape[t] for t in old if x.axes[t] is None)
    if channels == 1:
        return False
    alone = all(n == 1 for u, n in enumerate(target) if u not in new)
    return alone or channels > space


def _folded(builder: Core, node: str, x: Value, links: tuple[Link, ...], gone: Sequence[int]) -> np.ndarray:
    """Return labels for positions of axes that became channels: each is read by its own channels."""
    assert x.node is not None
    extents = [n if t in gone else 1 for t, n in enumerate(x.shape)]
    places = np.arange(math.prod(extents)).reshape(extents)
    inner = builder.labels(x)
    most = int(inner.max()) + 1
    kinds, inverse = np.unique(places * most + inner, return_inverse=True)

    def part(place: int, label: int) -> Part:
        at = dict(zip(range(x.ndim), np.unravel_index(place, extents), strict=True))
        fixed = (
            Link((), AxisMap.fixed(int(at[t]))) if t in gone else link for t, link in zip(x.grid, links, strict=True)
        )
        return Part(node, ((Edge(str(x.node), tuple(fixed)), label),))

    new = [builder.new_label(partial(part, *divmod(int(kind), most))) for kind in kinds]
    return np.asarray(new)[inverse.ravel()].reshape(np.broadcast_shapes(places.shape, inner.shape))


def expand(builder: Core, name: str, x: Value, *, shape: Sequence[int]) -> Value:
    """Return a value repeated to a shape: broadcast along axes of extent 1, tiled along others."""
    more = len(shape) - x.ndim
    old = (1,) * more + x.shape
    if more < 0 or any(n < 1 or n % m for n, m in zip(shape, old, strict=True)):
        raise ArgumentError(f"{name}: expected a shape that {x.shape} fills in whole repeats; received {tuple(shape)}")
    if tuple(shape) == x.shape:
        return builder.alias(name, x)
    labels = None if x.labels is None else x.labels.reshape((1,) * more + x.labels.shape)
    wide = Value(x.node, old, (None,) * more + x.axes, labels)
    grid = [wide.axes[t] is not None and (m > 1 or n == 1) for t, (n, m) in enumerate(zip(shape, old, strict=True))]
    maps: dict[int, AxisMap | Link] = {}
    for t, (n, m) in enumerate(zip(shape, old, strict=True)):
        if n != m and grid[t]:
            maps[t] = AxisMap(n, 0, tuple((i % m,) for i in range(n)))
        elif n != m and labels is not None and labels.shape[t] > 1:
            labels = np.concatenate([labels] * (n // m), axis=t)
    return builder.add(name, "expand", shape, grid, [Read(wide, builder.links(wide, grid, maps), labels=labels)])


def depth_to_space(
    builder: Core,
    name: str,
    x: Value,
    *,
    block: int,
    channel_axis: int,
    spatial_axes: Sequence[int],
    mode: Literal["DCR", "CRD"] = "DCR",
) -> Value:
    """Return a value whose channels became positions: blocks of `block` along every spatial axis.

    ``"DCR"`` and ``"CRD"`` are ONNX's names for the order of the channels: the position in the block first, or the
    channel first (PyTorch's pixel shuffle).
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
        x, spatial = promoted_axes(builder, x, spatial)
        grid = [axis is not None for axis in x.axes]
        upwards = AxisMap(block, 1, ((0,),) * block)
        read = Read(x, builder.links(x, grid, dict.fromkeys(spatial, upwards)), labels=x.labels)
        return builder.add(name, "depth to space", shape, grid, [read], detail=f"blocks of {block}")
    # Split the channels into one axis for each offset in the block, and merge each with its spatial axis.
    apart = [block] * rank
    split = [*apart, shape[channel]] if mode == "DCR" else [shape[channel], *apart]
    blocks = reshape(builder, f"{name}/blocks", x, shape=[*x.shape[:channel], *split, *x.shape[channel + 1 :]])
    place = {t: t if t < channel else t + rank for t in range(x.ndim)}
    place[channel] = channel + (rank if mode == "DCR" else 0)
    offset = channel + (0 if mode == "DCR" else 1)
    order = []
    for t in range(x.ndim):
        order.append(place[t])
        if t in spatial:
            order.append(offset + spatial.index(t))
    turned = transpose(builder, f"{name}/turned", blocks, permutation=order)
    return reshape(builder, name, turned, shape=shape)


def space_to_depth(
    builder: Core,
    name: str,
    x: Value,
    *,
    block: int,
    channel_axis: int,
    spatial_axes: Sequence[int],
    mode: Literal["DCR", "CRD"] = "DCR",
) -> Value:
    """Return a value whose blocks of positions became channels: the inverse of `depth_to_space`."""
    channel = x.axis(channel_axis)
    x, spatial = promoted_axes(builder, x, spatial_axes)
    shape, grid = list(x.shape), [axis is not None and t != channel for t, axis in enumerate(x.axes)]
    if block < 1 or any(x.shape[t] % block for t in spatial):
        raise ArgumentError(f"{name}: expected extents that {block} divides; received {x.shape}")
    for t in spatial:
        shape[t] //= block
    shape[channel] *= block ** len(spatial)
    whole: dict[int, AxisMap | Link] = {channel: Link((), None)}
    every = builder.links(x, grid, whole | dict.fromkeys(spatial, AxisMap.window(block, block)))
    value = builder.add(name, "space to depth", shape, grid, [Read(x, every)], detail=f"blocks of {block}")
    if value.node is None or x.axes[channel] is not None:
        return value
    inner = builder.labels(x)
    inner = np.broadcast_to(inner, [x.shape[t] if t == channel else n for t, n in enumerate(inner.shape)])
    apart = []
    for taps in np.ndindex(*[block] * len(spatial)):
        at = {t: AxisMap(1, block, ((tap,),)) for t, tap in zip(spatial, taps, strict=True)}
        edge = Edge(str(x.node), builder.links(x, grid, whole | at))
        new = {label: builder.new_label(Part(value.node, ((edge, label),))) for label in map(int, np.unique(inner))}
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
    """Yield the smallest runs of axes of both shapes with the same number of elements; axes of extent 1 are in none."""
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
    """Return the map from the flat index over a group of axes to the index along one of them."""
    later = math.prod(shape[t] for t in group if t > axis)
    if axis == group[0]:
        return AxisMap(later, 1, ((0,),) * later)
    period = later * shape[axis]
    return AxisMap(period, 0, tuple((r // later,) for r in range(period)))
