"""Channels that read different elements, names, and errors of the builder."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from receptive.builder.oracle import agrees, columns, rows, torch_columns, torch_rows, weights

from kernelfield.errors import ArgumentError
from kernelfield.receptive.builder import Builder

pytestmark = pytest.mark.torch


def shuffled(b, x, first, second):
    """Return the second half of the shuffled channels of two concatenated branches."""
    both = b.concatenate("both", [first(b, x), second(b, x)], axis=1)
    n, c, h, w = both.shape
    apart = b.reshape("apart", both, shape=(n, 2, c // 2, h, w))
    mixed = b.reshape("mixed", b.transpose("turned", apart, permutation=(0, 2, 1, 3, 4)), shape=both.shape)
    return b.slice("half", mixed, starts=(0, c // 2, 0, 0), stops=(None,) * 4, steps=(1,) * 4)


def test_a_channel_slice_reads_only_its_parts():
    cat = lambda x: torch.cat([torch_rows(x), torch_columns(x)], 1)  # noqa: E731
    both = lambda b, x: b.concatenate("both", [rows(b, x), columns(b, x)], axis=1)  # noqa: E731
    part = dict(stops=(None, 2, None, None), starts=(0,) * 4, steps=(1,) * 4)
    agrees(lambda x: cat(x)[:, :2], lambda b, x: b.slice("s", both(b, x), **part))
    agrees(lambda x: cat(x)[:, 1:3], lambda b, x: b.slice("s", both(b, x), starts=(0, 1, 0, 0),
                                                          stops=(None, 3, None, None), steps=(1,) * 4))  # fmt: skip
    # Through operations that keep channels separate …
    agrees(
        lambda x: torch_columns(cat(x).relu())[:, :2],
        lambda b, x: b.slice("s", columns(b, b.elementwise("relu", "relu", both(b, x)), "again"), **part),
    )
    w = weights(8, 1, 3, 3)
    convolve = dict(kernel=(3, 3), stride=(1, 1), dilation=(1, 1), before=(1, 1), after=(1, 1), channels_out=8,
                    channel_axis=1, spatial_axes=(2, 3))  # fmt: skip
    agrees(
        lambda x: F.conv2d(cat(x), w, padding=1, groups=4)[:, :4],
        lambda b, x: b.slice("s", b.convolution("c", both(b, x), groups=4, **convolve), starts=(0,) * 4,
                             stops=(None, 4, None, None), steps=(1,) * 4),
    )  # fmt: skip
    # … and not through one that mixes them.
    w = weights(8, 4, 3, 3)
    agrees(
        lambda x: F.conv2d(cat(x), w, padding=1)[:, :2],
        lambda b, x: b.slice("s", b.convolution("c", both(b, x), **convolve), **part),
    )
    agrees(lambda x: F.channel_shuffle(cat(x), 2)[:, 2:], lambda b, x: shuffled(b, x, rows, columns))
    agrees(
        lambda x: (cat(x) + torch.cat([x, torch_rows(x)], 1))[:, 2:],
        lambda b, x: b.slice("s", b.elementwise("add", "add", both(b, x), b.concatenate("o", [x, rows(b, x)], axis=1)),
                             starts=(0, 2, 0, 0), stops=(None,) * 4, steps=(1,) * 4),
    )  # fmt: skip


def test_parts_that_become_places():
    """Values stacked along an axis that a window, or a reshape, then treats as spatial."""

    def stack(b, x):
        xs = [b.reshape("u", v, shape=(1, 2, 1, 5, 7)) for v in (rows(b, x), columns(b, x), x)]
        return b.concatenate("stack", xs, axis=2)

    def torch_stack(x):
        return torch.stack([torch_rows(x), torch_columns(x), x], 2)

    agrees(
        lambda x: F.max_pool3d(torch_stack(x), (2, 1, 1), 1),
        lambda b, x: b.pooling("p", stack(b, x), kind="max", kernel=(2, 1, 1), stride=(1,) * 3, dilation=(1,) * 3,
                               before=(0,) * 3, after=(0,) * 3, spatial_axes=(2, 3, 4)),
    )  # fmt: skip
    agrees(
        lambda x: torch_stack(x).transpose(2, 3).reshape(1, 2, 15, 7),
        lambda b, x: b.reshape("r", b.transpose("t", stack(b, x), permutation=(0, 1, 3, 2, 4)), shape=(1, 2, 15, 7)),
    )


def test_names_and_pruning():
    b = Builder()
    x = b.image("image", (1, 1, 9, 9), (2, 3))
    first = rows(b, x, "pool")
    second = rows(b, first, "pool")
    rows(b, x, "unused")
    b.alias("block", second)
    graph = b.graph(second)
    assert [node.name for node in graph] == ["image", "pool", "pool#2"]
    assert graph.aliases == {"block": "pool#2"}
    assert "unused" in [node.name for node in b.graph(second, keep=["unused"])]
    assert [node.name for node in b.graph(second, first)][-1] == "pool#2"
    with pytest.raises(ArgumentError, match="depend on the image"):
        b.graph(b.constant((1, 2)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda b, x: b.pooling("p", x, kind="max", kernel=(9, 9), stride=(1, 1), dilation=(1, 1), before=(0, 0),
                                after=(0, 0), spatial_axes=(2, 3)), "large enough for 'p'"),
        (lambda b, x: b.pooling("p", x, kind="max", kernel=(2, 2), stride=(0, 1), dilation=(1, 1), before=(0, 0),
                                after=(0, 0), spatial_axes=(2, 3)), "p: expected a stride of at least 1"),
        (lambda b, x: b.reshape("r", x, shape=(3, 11)), "r: expected a shape of the 32 elements"),
        (lambda b, x: b.expand("e", x, shape=(1, 2, 4, 5)), "e: expected a shape that"),
        (lambda b, x: b.take("t", x, axis=2, indices=[4]), "t: expected indices of an axis of 4"),
        (lambda b, x: b.transpose("t", x, permutation=(0, 1, 2, 2)), "t: expected a permutation of 4 axes"),
        (lambda b, x: b.depth_to_space("d", x, block=2, channel_axis=1, spatial_axes=(2, 3)), "d: expected a block"),
        (lambda b, x: b.space_to_depth("d", x, block=3, channel_axis=1, spatial_axes=(2, 3)), "d: expected extents"),
        (lambda b, x: b.elementwise("a", "add", x, b.constant((3, 4))), "a: expected shapes that broadcast"),
        (lambda b, x: b.matmul("m", x, x), "m: expected extents that agree"),
        (lambda b, x: b.resize("r", x, output=(2, 2), spatial_axes=(2, 3), method="lanczos", coordinates="half_pixel"),
         "method: expected one of"),
        (lambda b, x: b.pad("p", x, before=(0,) * 4, after=(1,) * 4, mode="reflected"), "boundary: expected one of"),
    ],
)  # fmt: skip
def test_errors_name_the_node(call, message):
    b = Builder()
    with pytest.raises(ArgumentError, match=message):
        call(b, b.image("image", (1, 2, 4, 4) if "extents that agree" not in message else (1, 2, 3, 4), (2, 3)))
