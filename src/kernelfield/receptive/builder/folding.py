"""Unfolding an axis into windows, and folding windows back by summing where they overlap."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from kernelfield.errors import ArgumentError
from kernelfield.receptive.builder.core import Core
from kernelfield.receptive.builder.custom import custom
from kernelfield.receptive.builder.promotion import promoted_axes
from kernelfield.receptive.builder.value import Value
from kernelfield.receptive.graph import AxisMap, Edge, Link


def unfold(builder: Core, name: str, x: Value, *, axis: int, size: int, stride: int = 1, dilation: int = 1) -> Value:
    """Return the windows along one axis, with a new last axis for the position within the window."""
    x, (t,) = promoted_axes(builder, x, [axis])
    if min(size, stride, dilation) < 1 or x.shape[t] < dilation * (size - 1) + 1:
        raise ArgumentError(f"{name}: expected a window that fits an axis of {x.shape[t]}; received {size}")
    shape = [*x.shape, size]
    shape[t] = (x.shape[t] - dilation * (size - 1) - 1) // stride + 1
    inside = x.axes[t] is not None
    grid = [*(number is not None for number in x.axes), inside]
    numbers = [sum(grid[:u]) if within else None for u, within in enumerate(grid)]
    links = [Link((sum(grid[:u]),)) for u in x.grid]
    if inside:
        taps = tuple((dilation * tap,) for tap in range(size))
        links[x.grid.index(t)] = Link((sum(grid[:t]), sum(grid[:-1])), AxisMap(size, stride, taps))
    return custom(builder, name, "unfold", [x], [links], shape, numbers)


def fold(
    builder: Core,
    name: str,
    x: Value,
    *,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    before: Sequence[int],
    output: Sequence[int],
) -> Value:
    """Return an image from windows, summed where they overlap.

    Parameters
    ----------
    name : str
    x : Value
        ``(…, channels, *kernel, *positions)``: for each element of the window all positions of the window.
    kernel, stride, dilation : sequence of int
    before : sequence of int
        Elements to crop in front.
    output : sequence of int
        Spatial extents of the result.
    """
    rank = len(kernel)
    first = x.ndim - 2 * rank
    x, _ = promoted_axes(builder, x, range(first, first + rank))
    shape = [*x.shape[:first], *output]
    grid = [x.axes[t] is not None for t in range(first)] + [x.axes[t] is not None for t in range(first + rank, x.ndim)]
    grid[first - 1] = False
    numbers = [sum(grid[:u]) if within else None for u, within in enumerate(grid)]
    edges: dict[Edge, None] = {}
    for taps in product(*map(range, kernel)):
        links = []
        for t in x.grid:
            a = (t - first) % rank
            if t < first - 1:
                links.append(Link((sum(grid[:t]),)))
            elif t == first - 1:
                links.append(Link((), None))
            elif t < first + rank:
                links.append(Link((), AxisMap.fixed(taps[a])))
            else:
                links.append(Link((sum(grid[: t - rank]),), _scattered(taps[a] * dilation[a], stride[a], before[a])))
        edges[Edge(str(x.node), tuple(links))] = None
    return custom(builder, name, "fold", [x] * len(edges), list(edges), shape, numbers)


def _scattered(offset: int, stride: int, before: int) -> AxisMap:
    """Return the map from each position to the window that holds it at an offset: one position in `stride` has one."""
    taps = tuple(
        (((r + before - offset) // stride,) if (r + before - offset) % stride == 0 else ()) for r in range(stride)
    )
    return AxisMap(stride, 1, taps)
