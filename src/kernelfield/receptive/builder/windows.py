"""Operations with a sliding window: convolution, its transpose, pooling, resizing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Literal

import numpy as np

from kernelfield.errors import ArgumentError
from kernelfield.geometry import Window
from kernelfield.receptive import resampling
from kernelfield.receptive.builder.core import NOTHING, Core, Read
from kernelfield.receptive.builder.promotion import promoted_axes
from kernelfield.receptive.builder.value import Value
from kernelfield.receptive.graph import AxisMap, Link
from kernelfield.receptive.relations import elements_read
from kernelfield.receptive.resampling import Coordinates, Method, Rounding

Pooling = Literal["max", "average", "lp"]


def convolution(
    builder: Core,
    name: str,
    x: Value,
    *,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    before: Sequence[int],
    after: Sequence[int],
    groups: int = 1,
    channels_out: int,
    channel_axis: int,
    spatial_axes: Sequence[int],
    weights: Value | None = None,
) -> Value:
    """Return the output of a convolution; a negative padding crops.

    `weights` that depend on the image are read as a whole: a gate, if they are the same for any place of it.
    """
    windows = _windows(name, kernel, before, after, stride, dilation)
    axes, shape = [x.axis(t) for t in spatial_axes], list(x.shape)
    maps = {}
    for t, w in zip(axes, windows, strict=True):
        maps[t] = AxisMap.window(w.size, w.stride, w.dilation, w.before)
        shape[t] = w.output_size(x.shape[t])
    detail = _detail(kernel, stride, dilation, groups)
    computed = weights is not None and weights.node is not None
    window = f"{name}/window" if computed else name
    value = _convolved(builder, window, "convolution", x, shape, maps, groups, channels_out, channel_axis, detail)
    return _joined(builder, name, value, weights) if computed and weights is not None else value


def transposed_convolution(
    builder: Core,
    name: str,
    x: Value,
    *,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    before: Sequence[int],
    after: Sequence[int],
    output_padding: Sequence[int],
    groups: int = 1,
    channels_out: int,
    channel_axis: int,
    spatial_axes: Sequence[int],
    weights: Value | None = None,
) -> Value:
    """Return the output of a transposed convolution; `before` and `after` crop it. `weights` as in `convolution`."""
    windows = _windows(name, kernel, before, after, stride, dilation)
    axes, shape = [x.axis(t) for t in spatial_axes], list(x.shape)
    maps = {}
    for t, w, more in zip(axes, windows, output_padding, strict=True):
        maps[t] = AxisMap.transposed(w.size, w.stride, w.dilation, w.before)
        shape[t] = (x.shape[t] - 1) * w.stride + w.span - w.before - w.after + more
    detail = _detail(kernel, stride, dilation, groups)
    computed = weights is not None and weights.node is not None
    window = f"{name}/window" if computed else name
    value = _convolved(
        builder, window, "transposed convolution", x, shape, maps, groups, channels_out, channel_axis, detail
    )
    return _joined(builder, name, value, weights) if computed and weights is not None else value


def unpooling(
    builder: Core,
    name: str,
    x: Value,
    indices: Value,
    *,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    before: Sequence[int],
    output: Sequence[int],
    spatial_axes: Sequence[int],
) -> Value:
    """Return values put where a max pooling found them: a place reads each window that holds it, and its index."""
    axes, shape = [x.axis(t) for t in spatial_axes], list(x.shape)
    maps: dict[int, AxisMap | Link] = {}
    for t, size, step, apart, first, n in zip(axes, kernel, stride, dilation, before, output, strict=True):
        maps[t] = AxisMap.transposed(size, step, apart, first)
        shape[t] = n
    grid = [a is not None or b is not None for a, b in zip(x.axes, indices.axes, strict=True)]
    reads = [Read(y, builder.links(y, grid, maps), labels=y.labels) for y in (x, indices)]
    return builder.add(name, "unpooling", shape, grid, reads, detail=_detail(kernel, stride, dilation))


def _joined(builder: Core, name: str, x: Value, weights: Value) -> Value:
    """Return a value whose elements read all of a further one, as a convolution reads computed weights."""
    grid = [axis is not None for axis in x.axes]
    whole = Read(weights, (Link((), None),) * len(weights.grid), gate=x.node is not None and not weights.grid)
    return builder.add(
        name, "computed weights", x.shape, grid, [Read(x, builder.links(x, grid), labels=x.labels), whole]
    )


def _convolved(
    builder: Core,
    name: str,
    operation: str,
    x: Value,
    shape: list[int],
    maps: dict[int, AxisMap],
    groups: int,
    channels_out: int,
    channel_axis: int,
    detail: str,
) -> Value:
    channel = x.axis(channel_axis)
    channels = x.shape[channel]
    if groups < 1 or channels % groups or channels_out % groups:
        raise ArgumentError(
            f"{name}: expected groups that divide {channels} channels and {channels_out}; received {groups}"
        )
    moved = _moved(builder, x, maps, shape)
    shape[channel] = channels_out
    links: dict[int, AxisMap | Link] = {**maps, channel: Link((), None)}
    grid = [axis is not None and t != channel for t, axis in enumerate(x.axes)]
    labels = None
    if moved is not None and groups > 1 and x.axes[channel] is None:
        full = [channels if t == channel else n for t, n in enumerate(moved.shape)]
        apart = np.moveaxis(np.broadcast_to(moved, full), channel, -1)
        apart = apart.reshape(*apart.shape[:-1], groups, channels // groups)
        united = builder.united(x, apart, [apart.ndim - 1])[..., 0]
        labels = np.moveaxis(np.repeat(united, channels_out // groups, axis=-1), -1, channel)
    else:
        labels = builder.united_channels(x, [channel], moved)
    return builder.add(
        name, operation, shape, grid, [Read(x, builder.links(x, grid, links), False, labels)], detail=detail
    )


def _moved(builder: Core, x: Value, maps: Mapping[int, AxisMap], shape: Sequence[int]) -> np.ndarray | None:
    """Return the labels of a value after windows have moved along some of its axes."""
    labels = x.labels
    for t, how in maps.items():
        if x.axes[t] is None and labels is not None and labels.shape[t] > 1:
            labels = _labels_along(builder, x, labels, t, how, max(1, shape[t]))
    return labels


def _labels_along(builder: Core, x: Value, labels: np.ndarray, axis: int, how: AxisMap, output: int) -> np.ndarray:
    """Return labels after a window has moved along an axis of channels: the union of those that each output reads."""
    taps = elements_read(how, output, x.shape[axis])
    padded = np.concatenate([labels, np.full_like(labels.take([0], axis), NOTHING)], axis)
    read = padded.take(taps.ravel(), axis)
    apart = read.reshape(*labels.shape[:axis], *taps.shape, *labels.shape[axis + 1 :])
    return builder.united(x, apart, [axis + 1]).squeeze(axis + 1)


def pooling(
    builder: Core,
    name: str,
    x: Value,
    *,
    kind: Pooling,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    before: Sequence[int],
    after: Sequence[int],
    ceil_mode: bool = False,
    spatial_axes: Sequence[int],
) -> Value:
    """Return the output of a pooling.

    With `ceil_mode` a window may extend over the end, unless it starts in the padding behind it.
    """
    windows = _windows(name, kernel, before, after, stride, dilation)
    axes, shape = [x.axis(t) for t in spatial_axes], list(x.shape)
    maps = {}
    for t, w in zip(axes, windows, strict=True):
        maps[t] = AxisMap.window(w.size, w.stride, w.dilation, w.before)
        shape[t] = _pooled(x.shape[t], w) if ceil_mode else w.output_size(x.shape[t])
    grid = [axis is not None for axis in x.axes]
    read = Read(x, builder.links(x, grid, maps), labels=_moved(builder, x, maps, shape))
    return builder.add(name, f"{kind} pooling", shape, grid, [read], detail=_detail(kernel, stride, dilation))


def adaptive_pooling(
    builder: Core, name: str, x: Value, *, kind: Pooling, output: Sequence[int], spatial_axes: Sequence[int]
) -> Value:
    """Return the output of a pooling to a given size, by PyTorch's rule; an axis pooled to size 1 leaves the grid."""
    axes, shape = [x.axis(t) for t in spatial_axes], list(x.shape)
    grid = [axis is not None for axis in x.axes]
    maps = {}
    for t, n in zip(axes, output, strict=True):
        if n < 1:
            raise ArgumentError(f"{name}: expected an output of at least 1; received {n}")
        shape[t] = n
        maps[t] = resampling.adaptive(x.shape[t], n)
        grid[t] = grid[t] and n > 1
    read = Read(x, builder.links(x, grid, maps), labels=_moved(builder, x, maps, shape))
    detail = "global" if all(n == 1 for n in output) else f"to {_times(output)}"
    return builder.add(name, f"{kind} pooling", shape, grid, [read], detail=detail)


def resize(
    builder: Core,
    name: str,
    x: Value,
    *,
    output: Sequence[int],
    spatial_axes: Sequence[int],
    method: Method,
    coordinates: Coordinates,
    scale: Sequence[float | Fraction | None] | None = None,
    nearest_mode: Rounding = "round_prefer_floor",
    antialias: bool = False,
) -> Value:
    """Return a value resampled to a given size, by the exact support: elements of weight 0 are not read."""
    axes, shape = [x.axis(t) for t in spatial_axes], list(x.shape)
    maps = {}
    for t, n, factor in zip(axes, output, scale or [None] * len(output), strict=True):
        if n < 1:
            raise ArgumentError(f"{name}: expected an output of at least 1; received {n}")
        shape[t] = n
        if factor is None and n == x.shape[t]:
            continue
        maps[t] = resampling.resize(
            x.shape[t], n, method, coordinates, scale=factor, rounding=nearest_mode, antialias=antialias
        )
    grid = [axis is not None for axis in x.axes]
    read = Read(x, builder.links(x, grid, maps), labels=_moved(builder, x, maps, shape))
    return builder.add(name, "resize", shape, grid, [read], detail=f"{method} to {_times(output)}")


def sampled(
    builder: Core,
    name: str,
    x: Value,
    *,
    taps: Sequence[tuple[tuple[int, ...], ...]],
    output: Sequence[int],
    detail: str,
) -> Value:
    """Return a value sampled at points: `taps` holds, for each spatial axis, the indices that each output reads.

    The spatial axes are the last ones; the outputs are in row-major order.
    """
    first = x.ndim - len(output)
    x, _ = promoted_axes(builder, x, range(first, x.ndim))
    grid = [*(axis is not None for axis in x.axes[:first]), *(True for _ in output)]
    inner = [sum(grid[:t]) for t in range(first, x.ndim)]
    count = int(np.prod(output))
    maps: dict[int, AxisMap | Link] = {
        t: Link(tuple(inner), AxisMap(count, 0, along)) for t, along in zip(range(first, x.ndim), taps, strict=True)
    }
    read = Read(x, builder.links(x, grid, maps), labels=x.labels)
    return builder.add(name, "grid sample", [*x.shape[:first], *output], grid, [read], detail=detail)


def _windows(
    name: str,
    kernel: Sequence[int],
    before: Sequence[int],
    after: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
) -> list[Window]:
    for what, numbers in (("kernel", kernel), ("stride", stride), ("dilation", dilation)):
        if any(n < 1 for n in numbers):
            raise ArgumentError(f"{name}: expected a {what} of at least 1; received {tuple(numbers)}")
    return [Window(*numbers) for numbers in zip(kernel, before, after, stride, dilation, strict=True)]


def _pooled(n: int, window: Window) -> int:
    output = -((window.span - n - window.before - window.after) // window.stride) + 1
    if (output - 1) * window.stride >= n + window.before:
        output -= 1
    return max(0, output)


def _times(numbers: Sequence[int]) -> str:
    return "×".join(map(str, numbers))


def _detail(kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int], groups: int = 1) -> str:
    words = [_times(kernel)]
    for what, numbers in (("stride", stride), ("dilation", dilation)):
        if any(n != 1 for n in numbers):
            words.append(f"{what} {numbers[0] if len(set(numbers)) == 1 else _times(numbers)}")
    if groups > 1:
        words.append(f"groups {groups}")
    return ", ".join(words)
