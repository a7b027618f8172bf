"""Each operation of the builder against PyTorch's own, element by element.

The oracle shares no code: one element of the image is made NaN (or, where weights of 0 would spread a NaN, very large),
the operation is run, and what changed is what reads the element.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import strategies as st

from kernelfield.receptive.builder import Builder
from kernelfield.receptive.relations import reached

NAN, LARGE = float("nan"), 1e6


def relation(function, shape, spatial, axes, amount=NAN):
    """Return the outputs of a function that change with each element of its input: (elements, *grid of the output)."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(shape, generator=generator, dtype=torch.float64)
    plain = function(x)
    places = list(np.ndindex(*(shape[t] for t in spatial)))
    changed = []
    for place in places:
        index = [slice(None)] * len(shape)
        for t, i in zip(spatial, place, strict=True):
            index[t] = i
        y = x.clone()
        y[tuple(index)] += amount
        out = function(y)
        different = (out != plain) & ~(out.isnan() & plain.isnan())
        channels = tuple(t for t, axis in enumerate(axes) if axis is None)
        changed.append(different.amax(channels).numpy() if channels else different.numpy())
    return np.array(changed)


def agrees(function, build, shape=(1, 2, 5, 7), spatial=(2, 3), amount=NAN, exact=True):
    """Assert that a function of PyTorch and its graph read the same elements, and return the graph."""
    builder = Builder()
    value = build(builder, builder.image("image", shape, spatial))
    graph = builder.graph(value)
    assert tuple(function(torch.zeros(shape, dtype=torch.float64)).shape) == value.shape
    assert graph.by_name[value.node].shape == tuple(
        n for n, axis in zip(value.shape, value.axes, strict=True) if axis is not None
    )
    expected = relation(function, shape, spatial, value.axes, amount)
    extents = [shape[t] for t in spatial]
    for place, changed in zip(np.ndindex(*extents), expected, strict=True):
        element = np.zeros(extents, bool)
        element[place] = True
        known = reached(graph, element, value.node)
        assert not (changed & ~known).any(), f"{place}: a unit that reads it is missing"
        if exact:
            assert (changed == known).all(), f"{place}: the graph names a unit that does not read it"
    assert exact == (not any(node.bound for node in graph))
    return graph


def weights(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 0.1


PAIR = st.tuples(st.integers(1, 3), st.integers(1, 3))


def rows(b, x, name="rows"):
    return b.pooling(name, x, kind="max", kernel=(3, 1), stride=(1, 1), dilation=(1, 1), before=(1, 0), after=(1, 0),
                     spatial_axes=(2, 3))  # fmt: skip


def columns(b, x, name="columns"):
    return b.pooling(name, x, kind="max", kernel=(1, 3), stride=(1, 1), dilation=(1, 1), before=(0, 1), after=(0, 1),
                     spatial_axes=(2, 3))  # fmt: skip


def torch_rows(x):
    return F.max_pool2d(x, (3, 1), 1, (1, 0))


def torch_columns(x):
    return F.max_pool2d(x, (1, 3), 1, (0, 1))
