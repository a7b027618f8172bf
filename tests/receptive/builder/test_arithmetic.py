"""Statistics, sums and gates of the builder against PyTorch's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from receptive.builder.oracle import agrees, columns, rows, torch_columns, torch_rows

from kernelfield.receptive.builder import Builder
from kernelfield.receptive.relations import reached

pytestmark = pytest.mark.torch


def test_statistics_and_sums():
    agrees(lambda x: F.instance_norm(x), lambda b, x: b.normalisation("n", x, axes=(2, 3)))
    agrees(lambda x: x.mean(3), lambda b, x: b.reduce("m", x, axes=(3,), keepdims=False))
    agrees(lambda x: x.mean((2, 3), keepdim=True), lambda b, x: b.reduce("m", x, axes=(2, 3), keepdims=True))
    agrees(lambda x: x.softmax(2), lambda b, x: b.softmax("s", x, axis=2))
    agrees(lambda x: x.softmax(1), lambda b, x: b.softmax("s", x, axis=1))
    agrees(lambda x: x.cumsum(3), lambda b, x: b.cumulative("s", x, axis=3))
    agrees(lambda x: x.flip(3).cumsum(3).flip(3), lambda b, x: b.cumulative("s", x, axis=3, reverse=True))
    both = lambda b, x: b.concatenate("both", [rows(b, x), columns(b, x)], axis=1)  # noqa: E731
    part = dict(stops=(None, 2, None, None), starts=(0,) * 4, steps=(1,) * 4)
    for groups in (1, 2, 4):
        agrees(
            lambda x, groups=groups: F.group_norm(torch.cat([torch_rows(x), torch_columns(x)], 1), groups)[:, :2],
            lambda b, x, groups=groups: b.slice(
                "s", b.normalisation("n", both(b, x), axes=(1, 2, 3), channel_groups=groups), **part
            ),
        )


def test_gates():
    builder = Builder()
    x = builder.image("image", (1, 4, 6, 8), (2, 3))
    squeezed = builder.adaptive_pooling("squeeze", x, kind="average", output=(1, 1), spatial_axes=(2, 3))
    scaled = builder.elementwise("scale", "multiply", x, squeezed)
    graph = builder.graph(scaled)
    assert [edge.gate for edge in graph.by_name["scale"].edges] == [False, True]
    one = np.zeros((6, 8), bool)
    one[0, 0] = True
    assert reached(graph, one, "scale").all()
    assert reached(graph.without_gates(), one, "scale").sum() == 1
    # Neither fills the grid: an outer product, not a gate.
    builder = Builder()
    x = builder.image("image", (1, 4, 6, 8), (2, 3))
    along = [builder.reduce(name, x, axes=(axis,), keepdims=True) for name, axis in (("rows", 2), ("columns", 3))]
    assert not any(edge.gate for edge in builder.graph(builder.elementwise("o", "multiply", *along)).nodes[-1].edges)
    # Its own rule off, and other operations.
    for operation, rule in (("multiply", False), ("maximum", True)):
        builder = Builder()
        x = builder.image("image", (1, 4, 6, 8), (2, 3))
        mean = builder.reduce("mean", x, axes=(2, 3), keepdims=True)
        last = builder.elementwise("o", operation, x, mean, gate_rule=rule)
        assert not any(edge.gate for edge in builder.graph(last).nodes[-1].edges)
