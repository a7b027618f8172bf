"""Parts of the channels turned into positions of the grid, for operations that move along an axis of channels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from kernelfield.receptive.builder.core import Core
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
    united = builder.united(x, x.labels, [t for t in range(x.ndim) if t != axis]).ravel()
    number = sum(grid[:axis])
    links = builder.links(x, grid)
    # A run of equal labels is a part of the axis.
    starts = [0, *(np.flatnonzero(np.diff(united)) + 1).tolist(), len(united)]
    edges = []
    for start, stop in pairwise(starts):
        source = builder.source(int(united[start]))
        if source is not None:
            edges.append(Edge(source, links, units=((number, start, stop),)))
    return builder.node(f"{x.node}/places", "places", x.shape, grid, tuple(edges))
