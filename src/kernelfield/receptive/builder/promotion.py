"""Parts of the channels turned into positions of the grid, for operations that move along an axis of channels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from kernelfield.receptive.builder.core import Core
from kernelfield.receptive.builder.value import Value
from kernelfield.receptive.graph import AxisMap, Edge, Link


def promoted_axes(builder: Core, x: Value, axes: Sequence[int]) -> tuple[Value, list[int]]:
    """Return a value that varies along some axes only by its grid, and these axes counted from the front."""
    numbers = [x.axis(t) for t in axes]
    for t in numbers:
        x = promoted(builder, x, t)
    return x, numbers


def promoted(builder: Core, x: Value, axis: int) -> Value:
    """Return a value whose parts along an axis of channels are positions of its grid."""
    if not x.varies(axis):
        return x
    assert x.labels is not None
    grid = [number is not None or t == axis for t, number in enumerate(x.axes)]
    united = builder.united(x, x.labels, [t for t in range(x.ndim) if t != axis]).ravel()
    extents = [n for n, within in zip(x.shape, grid, strict=True) if within]
    number = sum(grid[:axis])
    bound = ""
    edges: dict[Edge, None] = {}
    for label in np.unique(united):
        source = builder.source(int(label))
        if source is None:
            continue
        links = builder.links(x, grid)
        if links:
            inside = frozenset(map(int, np.flatnonzero(united == label)))
            links = read_only_at(builder, x, links, number, inside, extents)
        elif (united != label).any():
            bound = f"upper bound: the channels of {x.node} are not distinguished"
        edges[Edge(source, links)] = None
    return builder.node(f"{x.node}/places", "places", x.shape, grid, tuple(edges), bound=bound)


def read_only_at(
    builder: Core, x: Value, links: tuple[Link, ...], number: int, inside: frozenset[int], shape: Sequence[int]
) -> tuple[Link, ...]:
    """Return links to `x` that read only where the index along axis `number` of a grid of `shape` is in `inside`."""
    first = links[0]
    m = math.prod(shape[a] for a in first.axes)
    if first.map is None:
        read = [tuple(range(builder.nodes[str(x.node)].shape[0]))] * m
    else:
        phases = (divmod(i, first.map.period) for i in range(m))
        read = [tuple(q * first.map.step + tap for tap in first.map.taps[r]) for q, r in phases]
    n = shape[number]
    table = tuple(read[i] if j in inside else () for j in range(n) for i in range(m))
    outside = "constant" if first.map is None else first.map.outside
    return Link((number, *first.axes), AxisMap(n * m, 0, table, outside)), *links[1:]
