"""Element-wise operations, and those that combine elements along axes: normalisation, softmax, sums."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import numpy as np

from kernelfield.errors import ArgumentError
from kernelfield.receptive.builder.core import Core, Read
from kernelfield.receptive.builder.promotion import promoted_where
from kernelfield.receptive.builder.value import Value
from kernelfield.receptive.graph import AxisMap, Link

#: Operations in which an operand that is constant along spatial axes only scales or shifts the others.
GATED = frozenset({"add", "subtract", "multiply", "divide"})
# Largest extent for a triangular index map, whose table grows with its square; beyond it the whole axis counts.
_LONGEST_TRIANGLE = 512


def elementwise(builder: Core, name: str, operation: str, *xs: Value, gate_rule: bool = True) -> Value:
    """Return the result of an element-wise operation, broadcast by NumPy's rules.

    With `gate_rule`, an operand of an addition or multiplication that is constant along a spatial axis is a gate if
    another operand varies along all of them.
    """
    shape = _broadcast(name, [x.shape for x in xs])
    wide = [_widened(x, len(shape)) for x in xs]
    grid = [any(x.axes[t] is not None and x.shape[t] == n for x in wide) for t, n in enumerate(shape)]
    wide = [promoted_where(builder, x, grid) for x in wide]
    lacking = [
        [t for t, inside in enumerate(grid) if inside and (x.axes[t] is None or x.shape[t] != shape[t])] for x in wide
    ]
    full = any(x.node is not None and not lacks for x, lacks in zip(wide, lacking, strict=True))
    reads = []
    for x, lacks in zip(wide, lacking, strict=True):
        if x.node is None:
            continue
        once: dict[int, AxisMap | Link] = {t: Link((), None) for t in lacks if x.axes[t] is not None}
        gate = gate_rule and full and operation in GATED and any(shape[t] > 1 for t in lacks)
        reads.append(Read(x, builder.links(x, grid, once), gate, x.labels))
    return builder.add(name, operation, shape, grid, reads)


def normalisation(
    builder: Core,
    name: str,
    x: Value,
    *,
    axes: Sequence[int],
    channel_axis: int = 1,
    channel_groups: int | None = None,
    operation: str = "normalisation",
) -> Value:
    """Return a value minus its mean and divided by its standard deviation along some axes of the tensor.

    The statistics are a gate. Where `channel_axis` is among the axes, they are those of `channel_groups` groups of
    channels, by default of all channels.
    """
    numbers = sorted({x.axis(t) for t in axes})
    channel = x.axis(channel_axis)
    grid = [axis is not None for axis in x.axes]
    reads = [Read(x, builder.links(x, grid), labels=x.labels)]
    wholly: dict[int, AxisMap | Link] = {t: Link((), None) for t in numbers if grid[t]}
    if wholly or any(x.varies(t) for t in numbers):
        labels: np.ndarray | None
        if channel_groups is not None and channel_groups > 1 and channel in numbers and x.varies(channel):
            labels = _grouped(builder, name, x, channel, channel_groups, [t for t in numbers if t != channel])
        else:
            labels = builder.united_channels(x, numbers)
        # The statistics carry no labels where their union is the whole node.
        reads.append(Read(x, builder.links(x, grid, wholly), True, labels))
    return builder.add(
        name, operation, x.shape, grid, reads, detail=f"groups {channel_groups}" if channel_groups else ""
    )


def _grouped(builder: Core, name: str, x: Value, channel: int, groups: int, others: Sequence[int]) -> np.ndarray:
    """Return labels that are equal within each group of channels."""
    labels = builder.labels(x)
    channels = x.shape[channel]
    if channels % groups:
        raise ArgumentError(f"{name}: expected groups that divide {channels} channels; received {groups}")
    full = np.broadcast_to(labels, [channels if t == channel else n for t, n in enumerate(labels.shape)])
    apart = np.moveaxis(full, channel, -1)
    apart = apart.reshape(*apart.shape[:-1], groups, channels // groups)
    moved = [t if t < channel else t - 1 for t in others]
    united = builder.united(x, apart, [*moved, apart.ndim - 1])[..., 0]
    return np.moveaxis(np.repeat(united, channels // groups, axis=-1), -1, channel)


def softmax(builder: Core, name: str, x: Value, *, axis: int) -> Value:
    """Return the softmax along one axis."""
    t = x.axis(axis)
    grid = [number is not None for number in x.axes]
    whole: dict[int, AxisMap | Link] = {t: Link((), None)}
    labels = x.labels if x.labels is None or not x.varies(t) else builder.united_channels(x, [t])
    return builder.add(name, "softmax", x.shape, grid, [Read(x, builder.links(x, grid, whole), labels=labels)])


def reduce(
    builder: Core, name: str, x: Value, *, axes: Sequence[int], keepdims: bool, operation: str = "mean"
) -> Value:
    """Return a mean, sum, maximum … over some axes of the tensor; spatial axes among them leave the grid."""
    numbers = {x.axis(t) for t in axes}
    grid = [number is not None and t not in numbers for t, number in enumerate(x.axes)]
    labels = builder.united_channels(x, sorted(numbers))
    links = builder.links(x, grid)
    shape = [1 if t in numbers else n for t, n in enumerate(x.shape)]
    if not keepdims:
        shape = [n for t, n in enumerate(shape) if t not in numbers]
        grid = [inside for t, inside in enumerate(grid) if t not in numbers]
        labels = None if labels is None else labels.squeeze(tuple(numbers))
    elsewhere = "global" if any(x.axes[t] is not None for t in numbers) else ""
    return builder.add(name, operation, shape, grid, [Read(x, links, labels=labels)], detail=elsewhere)


def cumulative(
    builder: Core, name: str, x: Value, *, axis: int, reverse: bool = False, operation: str = "cumulative"
) -> Value:
    """Return a running sum, or a recurrence: each position reads itself and those before it along the axis."""
    t = x.axis(axis)
    n = x.shape[t]
    grid = [number is not None for number in x.axes]
    labels = x.labels if x.labels is None or not x.varies(t) else builder.united_channels(x, [t])
    maps: dict[int, AxisMap | Link] = {t: Link((), None)}
    bound = ""
    if grid[t] and n <= _LONGEST_TRIANGLE:
        maps[t] = AxisMap(n, 0, tuple(tuple(range(i, n) if reverse else range(i + 1)) for i in range(n)))
    elif grid[t]:
        bound = f"upper bound: all {n} elements of the axis count as read"
    return builder.add(
        name, operation, x.shape, grid, [Read(x, builder.links(x, grid, maps), labels=labels)], bound=bound
    )


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
