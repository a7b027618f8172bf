"""Matrix products, Einstein sums and attention against PyTorch's own."""

from __future__ import annotations

import pytest
import torch
from receptive.builder.oracle import agrees, weights

pytestmark = pytest.mark.torch


def test_products():
    w = weights(7, 4)
    agrees(lambda x: x @ w, lambda b, x: b.matmul("m", x, b.constant((7, 4))))
    agrees(lambda x: w.T[:, :5] @ x, lambda b, x: b.matmul("m", b.constant((4, 5)), x))
    v = weights(2, 6)
    agrees(
        lambda x: torch.einsum("nchw,cd->nhwd", x, v),
        lambda b, x: b.einsum("e", "nchw,cd->nhwd", x, b.constant((2, 6))),
    )
    agrees(lambda x: torch.einsum("bchw,bcHw->bhHw", x, x), lambda b, x: b.einsum("e", "bchw,bcHw->bhHw", x, x))
    agrees(lambda x: torch.einsum("...ij,...kj", x, x), lambda b, x: b.einsum("e", "...ij,...kj", x, x))
    agrees(lambda x: x[0, 0] @ x[0, 1, 0], lambda b, x: b.matmul(
        "m",
        b.reshape("r", b.slice("s", x, starts=(0,) * 4, stops=(1, 1, None, None), steps=(1,) * 4), shape=(5, 7)),
        b.take("u", b.take("t", b.reshape("v", x, shape=(2, 5, 7)), axis=0, indices=[1], keep_axis=False), axis=0,
               indices=[0], keep_axis=False)))  # fmt: skip
