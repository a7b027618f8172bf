"""PyTorch operations whose indices, weights or masks say which elements are read, against changes of the input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from receptive.frontends.test_torch import changed, known
from torch import nn

from kernelfield.errors import UnsupportedOperation
from kernelfield.receptive import receptive_field
from kernelfield.receptive.frontends.torch import graph

SIZE = (6, 7)


class Of(nn.Module):
    """A function between two convolutions, so that indices meet fields of several elements."""

    def __init__(self, function):
        super().__init__()
        torch.manual_seed(0)
        self.before, self.function = nn.Conv2d(1, 2, 3, padding=1), function

    def forward(self, x):
        return self.function(self.before(x))


ROWS = torch.tensor([5, 0, 3, 3])
GATHERED = torch.randint(0, 6, (1, 2, 4, 7), generator=torch.Generator().manual_seed(1))
GATHERED[:, 1] = GATHERED[:, 0]
POINTS = torch.rand((1, 3, 4, 2), generator=torch.Generator().manual_seed(2), dtype=torch.float64) * 2.4 - 1.2
TURN = torch.tensor([[[0.0, 1.0, 0.1], [-1.0, 0.0, 0.2]]])
INTO = torch.tensor([0, 2, 2, 5, 0, 1])


def pooled(x):
    y, places = F.max_pool2d(x, 2, 2, return_indices=True)
    return F.max_unpool2d(y, places, 2, output_size=x.shape[-2:])


def averaged(x):
    return x.mean((2, 3))[:, :, None, None]


def tokens(x):
    return x.flatten(2).transpose(1, 2)


def attended(mask=None, causal=False):
    def attend(x):
        y = tokens(x)
        given = mask.to(y.dtype) if mask is not None and mask.is_floating_point() else mask
        return F.scaled_dot_product_attention(y, y, y, attn_mask=given, is_causal=causal)

    return attend


BAND = (torch.arange(42)[:, None] - torch.arange(42)).abs() < 4
CASES = {
    "index_select": (lambda x: x.index_select(2, ROWS), (2, 3)),
    "gather": (lambda x: x.gather(2, GATHERED), (2, 3)),
    "take_along_dim": (lambda x: torch.take_along_dim(x, GATHERED, 2), (2, 3)),
    "two axes of indices": (lambda x: x[:, :, ROWS, torch.tensor([0, 6, 2, 1])], (2,)),
    "a grid of indices": (lambda x: x[:, :, ROWS[:, None], torch.tensor([1, 1, 4])], (2, 3)),
    "indices of channels and rows": (lambda x: x[:, torch.tensor([1, 0, 1, 1]), ROWS], (1, 2)),
    "as_strided": (lambda x: x.contiguous().as_strided((1, 2, 4, 3), (84, 42, 7, 2)), (2, 3)),
    "diagonal": (lambda x: x.diagonal(1, 2, 3), (2,)),
    "tril": (lambda x: x.tril(-1), (2, 3)),
    "scatter_add": (lambda x: torch.zeros_like(x).scatter_add(2, INTO[:, None].expand(1, 2, 6, 7), x), (2, 3)),
    "scatter_add onto itself": (lambda x: x.scatter_add(2, INTO[:, None].expand(1, 2, 6, 7), x), (2, 3)),
    "index_add": (lambda x: x.index_add(2, INTO[:2], x[:, :, 3:5]), (2, 3)),
    "scatter": (lambda x: x.scatter(2, torch.tensor([4, 1])[:, None].expand(1, 2, 2, 7), x[:, :, 3:5]), (2, 3)),
    "grid_sample": (lambda x: F.grid_sample(x, POINTS, align_corners=False), (2, 3)),
    "grid_sample aligned": (lambda x: F.grid_sample(x, POINTS, align_corners=True, padding_mode="border"), (2, 3)),
    "grid_sample nearest": (lambda x: F.grid_sample(x, POINTS, "nearest", "reflection", align_corners=False), (2, 3)),
    "grid_sample cubic": (lambda x: F.grid_sample(x, POINTS, "bicubic", "reflection", align_corners=True), (2, 3)),
    "affine_grid": (
        lambda x: F.grid_sample(x, F.affine_grid(TURN.to(x.dtype), (1, 2, 7, 6), False), align_corners=False),
        (2, 3),
    ),
    "a mask of attention": (attended(BAND), (1,)),
    "a mask of minus infinity": (attended(torch.zeros(42, 42).masked_fill(~BAND, -torch.inf)), (1,)),
    "causal attention": (attended(causal=True), (1,)),
    "a convolution with computed weights": (lambda x: F.conv2d(x, averaged(x).expand(2, 2, 3, 3)), (2, 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_read_is_what_changes_the_output(name):
    function, kept = CASES[name]
    model = Of(function)
    network = graph(model, (1, 1, *SIZE))
    expected, output = changed(model, (1, 1, *SIZE), kept, amount=0.37)
    found = known(network, (1, 1, *SIZE), network.nodes[-1].name)
    assert found.shape[1:] == tuple(output[t] for t in kept)
    assert np.array_equal(found, expected), np.argwhere(found != expected)[:4].tolist()
    assert not any(node.bound for node in network)


def test_un_pooling_reads_the_windows_that_hold_a_place():
    model = Of(pooled)
    network = graph(model, (1, 1, 6, 8))
    # Which of a window's elements is the largest depends on all of them.
    field = receptive_field(model, (1, 1, 6, 8))
    assert field.output.operation == "unpooling"
    assert field.output.region(3, 4) == (range(1, 5), range(3, 7))
    expected, _ = changed(model, (1, 1, 6, 8), (2, 3), amount=5.0)
    assert not (expected & ~known(network, (1, 1, 6, 8), network.nodes[-1].name)).any()


def test_computed_weights_are_a_gate_beside_the_window():
    field = receptive_field(Of(CASES["a convolution with computed weights"][0]), (1, 1, 12, 12))
    assert field.output.whole == (True, True)
    assert field.without_gates().output.size == (5, 5)


def test_a_mask_that_the_image_decides_is_read():
    class Masked(nn.Module):
        def forward(self, x):
            y = tokens(x)
            return F.scaled_dot_product_attention(y, y, y, attn_mask=y @ y.transpose(1, 2))

    field = receptive_field(Masked(), (1, 2, 3, 4))
    assert field.output.mask(5).all()
    assert not field.output.bound


def test_indices_that_the_image_decides_are_refused_by_name():
    class Sorted(nn.Module):
        def forward(self, x):
            return x.gather(2, x.argsort(2))

    with pytest.raises(UnsupportedOperation, match="'aten::gather' in 'gather'"):
        graph(Sorted(), (1, 1, 4, 4))
