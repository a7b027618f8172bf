"""Padding, slices, gathering and concatenation of the builder against PyTorch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from receptive.builder.oracle import agrees

pytestmark = pytest.mark.torch


@pytest.mark.parametrize(
    ("torch_mode", "mode"),
    [("constant", "constant"), ("reflect", "mirror"), ("replicate", "nearest"), ("circular", "wrap")],
)
@pytest.mark.parametrize("pads", [(1, 2, 3, 0), (0, 0, 2, 2)])
def test_pad(torch_mode, mode, pads):
    left, right, top, bottom = pads
    agrees(
        lambda x: F.pad(x, pads, mode=torch_mode),
        lambda b, x: b.pad("p", x, before=(0, 0, top, left), after=(0, 0, bottom, right), mode=mode),
    )


def test_pad_that_crops_and_pads_channels():
    agrees(
        lambda x: F.pad(x, (-1, 2, -2, -1, 1, 0)),
        lambda b, x: b.pad("p", x, before=(0, 1, -2, -1), after=(0, 0, -1, 2)),
    )


@pytest.mark.parametrize(
    ("index", "arguments"),
    [
        ((slice(None), slice(None), slice(1, None, 2), slice(-3, None)), ((0, 0, 1, -3), (None,) * 4, (1, 1, 2, 1))),
        ((slice(None), slice(0, 1), slice(4), slice(2, 6, 3)), ((0, 0, 0, 2), (None, 1, 4, 6), (1, 1, 1, 3))),
    ],
)
def test_slice(index, arguments):
    starts, stops, steps = arguments
    agrees(lambda x: x[index], lambda b, x: b.slice("s", x, starts=starts, stops=stops, steps=steps))


def test_flip_roll_take_and_transpose():
    agrees(
        lambda x: x.flip(2, 3),
        lambda b, x: b.slice("s", x, starts=(0, 0, -1, -1), stops=(None,) * 4, steps=(1, 1, -1, -1)),
    )
    agrees(lambda x: x.roll((2, -3), (2, 3)), lambda b, x: b.roll("r", x, shifts=(2, -3), axes=(2, 3)))
    agrees(lambda x: x[:, :, [3, 0, 0, 2]], lambda b, x: b.take("t", x, axis=2, indices=[3, 0, 0, 2]))
    agrees(lambda x: x[:, :, -2], lambda b, x: b.take("t", x, axis=2, indices=[-2], keep_axis=False))
    agrees(lambda x: x.permute(3, 0, 2, 1), lambda b, x: b.transpose("t", x, permutation=(3, 0, 2, 1)))


def test_concatenation_in_space():
    agrees(
        lambda x: torch.cat([x, torch.zeros(1, 2, 3, 7), x.flip(2)], 2),
        lambda b, x: b.concatenate(
            "c",
            [
                x,
                b.constant((1, 2, 3, 7)),
                b.slice("f", x, starts=(0, 0, -1, 0), stops=(None,) * 4, steps=(1, 1, -1, 1)),
            ],
            axis=2,
        ),
    )
    # A row that is the mean of all rows, put in front.
    agrees(
        lambda x: torch.cat([x.mean(2, keepdim=True), x], 2),
        lambda b, x: b.concatenate("c", [b.reduce("m", x, axes=(2,), keepdims=True), x], axis=2),
    )
    agrees(
        lambda x: torch.cat([x.mean(2, keepdim=True), x], 2),
        lambda b, x: b.concatenate("c", [b.reduce("m", x, axes=(2,), keepdims=True), x], axis=2),
        shape=(1, 2, 6), spatial=(2,),
    )  # fmt: skip
