"""Parts of the channels turned into positions of the grid, for operations that move along an axis of channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from kernelfield.receptive.builder.core import Core, Part
from kernelfield.receptive.builder.value import Value
from kernelfield.receptive.graph import Edge


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
    number = sum(grid[:axis])
    links = builder.links(x, grid)
    others = [t for t in range(x.ndim) if t != axis]
    along = x.labels.transpose(axis, *others).reshape(x.labels.shape[axis], -1)
    # A run of equal labels is a part of the axis.
    starts = [0, *(np.flatnonzero((along[1:] != along[:-1]).any(axis=1)) + 1).tolist(), len(along)]
    reads = [Edge(str(x.node), links, units=((number, start, stop),)) for start, stop in pairwise(starts)]
    kinds, inverse = np.unique(along[starts[:-1]], axis=1, return_inverse=True)
    united = builder.united(x, kinds, [1]).ravel()
    sources = [(edge, builder.source(int(label))) for edge, label in zip(reads, united, strict=True)]
    edges = tuple(replace(edge, source=source) for edge, source in sources if source is not None)
    value = builder.node(f"{x.node}/places", "places", x.shape, grid, edges)
    if kinds.shape[1] == 1:
        return value
    parts = [tuple(zip(reads, map(int, kind), strict=True)) for kind in kinds.T]
    new = np.asarray([builder.new_label(Part(str(value.node), part)) for part in parts])
    return replace(
        value, labels=new[inverse.ravel()].reshape([1 if t == axis else n for t, n in enumerate(x.labels.shape)])
    )


def promoted_where(builder: Core, x: Value, grid: Sequence[bool]) -> Value:
    """Return a value that varies only by its grid along the axes that are spatial in a new tensor of the same rank."""
    for t, inside in enumerate(grid):
        if inside and x.axes[t] is None:
            x = promoted(builder, x, t)
    return x
