"""Operations that slide a window: convolution, its transpose, pooling, resizing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Literal

import numpy as np

from kernelfield.errors import ArgumentError
from kernelfield.geometry import Window
from kernelfield.receptive.graph import AxisMap, Link
from kernelfield.receptive.operations_places import Places
from kernelfield.receptive.parts import Read
from kernelfield.receptive.resampling import Coordinates, Method, Rounding, adaptive, resize
from kernelfield.receptive.value import Value

Pooling = Literal["max", "average", "lp"]


class Windows(Places):
    """Convolution, transposed convolution, pooling and resizing."""

    def convolution(
        self,
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
    ) -> Value:
        """Return a convolution; the paddings may be negative, which crops."""
        windows = _windows(name, kernel, before, after, stride, dilation)
        axes, shape = [x.axis(t) for t in spatial_axes], list(x.shape)
        maps = {}
        for t, w in zip(axes, windows, strict=True):
            maps[t] = AxisMap.window(w.size, w.stride, w.dilation, w.before)
            shape[t] = w.output_size(x.shape[t])
        detail = _detail(kernel, stride, dilation, groups)
        return self._convolved(name, "convolution", x, shape, maps, groups, channels_out, channel_axis, detail)

    def transposed_convolution(
        self,
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
    ) -> Value:
        """Return a transposed convolution, of which `before` and `after` crop the output."""
        windows = _windows(name, kernel, before, after, stride, dilation)
        axes, shape = [x.axis(t) for t in spatial_axes], list(x.shape)
        maps = {}
        for t, w, more in zip(axes, windows, output_padding, strict=True):
            maps[t] = AxisMap.transposed(w.size, w.stride, w.dilation, w.before)
            shape[t] = (x.shape[t] - 1) * w.stride + w.span - w.before - w.after + more
        detail = _detail(kernel, stride, dilation, groups)
        return self._convolved(
            name, "transposed convolution", x, shape, maps, groups, channels_out, channel_axis, detail
        )

    def _convolved(
        self,
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
        moved = self._moved(x, maps, shape)
        shape[channel] = channels_out
        links: dict[int, AxisMap | Link] = {**maps, channel: Link((), None)}
        grid = [axis is not None and t != channel for t, axis in enumerate(x.axes)]
        labels = None
        if moved is not None and groups > 1 and x.axes[channel] is None:
            full = [channels if t == channel else n for t, n in enumerate(moved.shape)]
            apart = np.moveaxis(np.broadcast_to(moved, full), channel, -1)
            apart = apart.reshape(*apart.shape[:-1], groups, channels // groups)
            united = self._united(x, apart, [apart.ndim - 1])[..., 0]
            labels = np.moveaxis(np.repeat(united, channels_out // groups, axis=-1), -1, channel)
        else:
            labels = self._mixed(x, [channel], moved)
        return self._add(
            name, operation, shape, grid, [Read(x, self._links(x, grid, links), False, labels)], detail=detail
        )

    def _moved(self, x: Value, maps: Mapping[int, AxisMap], shape: Sequence[int]) -> np.ndarray | None:
        """Return the labels of a value after windows have moved along some of its axes."""
        labels = x.labels
        for t, how in maps.items():
            if x.axes[t] is None:
                labels = self._along(x, labels, t, how, max(1, shape[t]))
        return labels

    def pooling(
        self,
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
        """Return a pooling; with `ceil_mode` a window may reach over the end, unless it starts in the padding there."""
        windows = _windows(name, kernel, before, after, stride, dilation)
        axes, shape = [x.axis(t) for t in spatial_axes], list(x.shape)
        maps = {}
        for t, w in zip(axes, windows, strict=True):
            maps[t] = AxisMap.window(w.size, w.stride, w.dilation, w.before)
            shape[t] = _pooled(x.shape[t], w) if ceil_mode else w.output_size(x.shape[t])
        grid = [axis is not None for axis in x.axes]
        read = Read(x, self._links(x, grid, maps), labels=self._moved(x, maps, shape))
        return self._add(name, f"{kind} pooling", shape, grid, [read], detail=_detail(kernel, stride, dilation))

    def adaptive_pooling(
        self, name: str, x: Value, *, kind: Pooling, output: Sequence[int], spatial_axes: Sequence[int]
    ) -> Value:
        """Return a pooling to a given size, by PyTorch's rule; 1 is global and takes the axis off the grid."""
        axes, shape = [x.axis(t) for t in spatial_axes], list(x.shape)
        grid = [axis is not None for axis in x.axes]
        maps = {}
        for t, n in zip(axes, output, strict=True):
            if n < 1:
                raise ArgumentError(f"{name}: expected an output of at least 1; received {n}")
            shape[t] = n
            maps[t] = adaptive(x.shape[t], n)
            grid[t] = grid[t] and n > 1
        read = Read(x, self._links(x, grid, maps), labels=self._moved(x, maps, shape))
        detail = "global" if all(n == 1 for n in output) else f"to {_times(output)}"
        return self._add(name, f"{kind} pooling", shape, grid, [read], detail=detail)

    def resize(
        self,
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
        """Return a resampling to a given size, by its true support: elements of weight 0 are not read."""
        axes, shape = [x.axis(t) for t in spatial_axes], list(x.shape)
        maps = {}
        for t, n, factor in zip(axes, output, scale or [None] * len(output), strict=True):
            if n < 1:
                raise ArgumentError(f"{name}: expected an output of at least 1; received {n}")
            shape[t] = n
            if factor is None and n == x.shape[t]:
                continue
            maps[t] = resize(
                x.shape[t], n, method, coordinates, scale=factor, rounding=nearest_mode, antialias=antialias
            )
        grid = [axis is not None for axis in x.axes]
        read = Read(x, self._links(x, grid, maps), labels=self._moved(x, maps, shape))
        return self._add(name, "resize", shape, grid, [read], detail=f"{method} to {_times(output)}")


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
