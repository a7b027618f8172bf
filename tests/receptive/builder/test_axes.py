"""Reshaping, transposing and exchanging channels and space against PyTorch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from receptive.builder.oracle import agrees

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
@pytest.mark.parametrize("layout", ["first", "last"])
def test_depth_to_space_and_back(mode, layout):
    """Against NumPy's reshape and transpose, with channels first and last, and parts of the channels."""

    def to_space(x):
        n, c, h, w = x.shape
        split = (n, 2, 2, c // 4, h, w) if mode == "DCR" else (n, c // 4, 2, 2, h, w)
        order = (0, 3, 4, 1, 5, 2) if mode == "DCR" else (0, 1, 4, 2, 5, 3)
        return x.reshape(split).permute(order).reshape(n, c // 4, 2 * h, 2 * w)

    def to_depth(x):
        n, c, h, w = x.shape
        order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
        return x.reshape(n, c, h // 2, 2, w // 2, 2).permute(order).reshape(n, 4 * c, h // 2, w // 2)

    if mode == "CRD":
        x = torch.rand(1, 8, 4, 6)
        assert (to_space(x) == F.pixel_shuffle(x, 2)).all()
        assert (to_depth(x) == F.pixel_unshuffle(x, 2)).all()
    where = {"channel_axis": 1, "spatial_axes": (2, 3), "mode": mode}
    shifted = (slice(None), slice(None), slice(None, None, -1), slice(None))

    def both(b, x):
        turned = b.slice("turned", x, starts=(0, 0, -1, 0), stops=(None,) * 4, steps=(1, 1, -1, 1))
        return b.concatenate("both", [x, turned], axis=1)

    if layout == "last":
        axes = {"channel_axis": 3, "spatial_axes": (1, 2), "mode": mode}
        first, last = (0, 3, 1, 2), (0, 2, 3, 1)
        agrees(lambda x: to_space(x.permute(first)).permute(last),
               lambda b, x: b.depth_to_space("d", x, block=2, **axes), (1, 3, 2, 8), (1, 2))  # fmt: skip
        agrees(lambda x: to_depth(x.permute(first)).permute(last),
               lambda b, x: b.space_to_depth("d", x, block=2, **axes), (1, 4, 6, 3), (1, 2))  # fmt: skip
        return
    agrees(to_space, lambda b, x: b.depth_to_space("d", x, block=2, **where), (1, 8, 2, 3))
    agrees(to_depth, lambda b, x: b.space_to_depth("d", x, block=2, **where), (1, 2, 4, 6))
    agrees(
        lambda x: to_space(torch.cat([x, x.flip(2)], 1)),
        lambda b, x: b.depth_to_space("d", both(b, x), block=2, **where),
        (1, 2, 4, 3),
    )
    for channel in range(16):
        agrees(
            lambda x, channel=channel: to_depth(torch.cat([x, x[shifted[:2]].flip(2)], 1))[:, [channel]],
            lambda b, x, channel=channel: b.take(
                "t", b.space_to_depth("d", both(b, x), block=2, **where), axis=1, indices=[channel]
            ),
            (1, 2, 4, 6),
        )


@pytest.mark.parametrize(
    ("shape", "spatial", "steps"),
    [
        ((1, 3, 4, 6), (2, 3), [(1, 3, 24)]),
        ((1, 3, 4, 6), (2, 3), [(1, 3, 24), (1, 3, 4, 6)]),
        ((1, 3, 4, 6), (2, 3), [(1, 3, 24), (3, 8, 3)]),
        ((1, 3, 4, 6), (2, 3), [(1, 3, 2, 2, 3, 2)]),
        ((1, 3, 4, 6), (2, 3), [(1, 3, 8, 3)]),
        ((1, 3, 4, 6), (2, 3), [(72,)]),
        ((1, 3, 4, 6), (2, 3), [(72,), (1, 3, 4, 6)]),
        ((1, 3, 4, 6), (2, 3), [(1, -1, 1, 6)]),
        ((1, 3, 4, 6), (2, 3), [(12, 6), (2, 36), (2, 6, 6)]),
        ((1, 4, 6, 3), (1, 2), [(1, 4, 18)]),
        ((1, 4, 6, 3), (1, 2), [(1, 24, 3), (1, 24, 1, 3), (72,)]),
        ((1, 2, 2, 4, 2), (2, 3, 4), [(1, 2, 16), (1, 2, 4, 4)]),
        ((1, 2, 12), (2,), [(1, 2, 3, 4), (1, 6, 4), (1, 24)]),
        ((1, 5, 1, 1), (2, 3), [(1, 5), (1, 5, 1)]),
    ],
)
def test_reshape(shape, spatial, steps):
    def build(b, x):
        for step in steps:
            x = b.reshape("r", x, shape=step)
        return x

    def run(x):
        for step in steps:
            x = x.reshape(step)
        return x

    agrees(run, build, shape, spatial)


def test_windows_of_a_transformer():
    """Reshape, transpose, reshape: attention within windows that were rolled, and back."""

    def split(x):
        return x.reshape(1, 2, 2, 3, 2, 4).permute(0, 1, 3, 2, 4, 5).reshape(6, 4, 4)

    def join(x):
        return x.reshape(1, 2, 3, 2, 2, 4).permute(0, 1, 3, 2, 4, 5).reshape(1, 4, 6, 4)

    def run(x):
        w = split(x.roll((-1, -1), (1, 2)))
        a = (w @ w.transpose(1, 2)).softmax(-1) @ w
        return join(a).roll((1, 1), (1, 2))

    def build(b, x):
        x = b.roll("roll", x, shifts=(-1, -1), axes=(1, 2))
        x = b.reshape("a", x, shape=(1, 2, 2, 3, 2, 4))
        x = b.reshape("b", b.transpose("t", x, permutation=(0, 1, 3, 2, 4, 5)), shape=(6, 4, 4))
        s = b.softmax("s", b.matmul("qk", x, b.transpose("kt", x, permutation=(0, 2, 1))), axis=-1)
        x = b.matmul("v", s, x)
        x = b.reshape("c", x, shape=(1, 2, 3, 2, 2, 4))
        x = b.reshape("d", b.transpose("u", x, permutation=(0, 1, 3, 2, 4, 5)), shape=(1, 4, 6, 4))
        return b.roll("back", x, shifts=(1, 1), axes=(1, 2))

    agrees(run, build, (1, 4, 6, 4), (1, 2))
    agrees(
        lambda x: join(F.scaled_dot_product_attention(split(x), split(x), split(x))),
        lambda b, x: (
            lambda w: b.reshape(
                "d",
                b.transpose("u", b.reshape("c", b.attention("a", w, w, w), shape=(1, 2, 3, 2, 2, 4)),
                            permutation=(0, 1, 3, 2, 4, 5)),
                shape=(1, 4, 6, 4),
            )
        )(b.reshape("b", b.transpose("t", b.reshape("a", x, shape=(1, 2, 2, 3, 2, 4)), permutation=(0, 1, 3, 2, 4, 5)),
                    shape=(6, 4, 4))),
        (1, 4, 6, 4), (1, 2),
    )  # fmt: skip


def test_expand_and_tile():
    agrees(lambda x: x.repeat(1, 2, 3, 1), lambda b, x: b.expand("t", x, shape=(1, 4, 15, 7)))
    agrees(
        lambda x: x.mean(3, keepdim=True).expand(1, 2, 5, 4),
        lambda b, x: b.expand("e", b.reduce("m", x, axes=(3,), keepdims=True), shape=(1, 2, 5, 4)),
    )
    agrees(lambda x: x[:, :, :1].expand(4, 1, 2, 3, 7), lambda b, x: b.expand(
        "e", b.slice("s", x, starts=(0,) * 4, stops=(None, None, 1, None), steps=(1,) * 4), shape=(4, 1, 2, 3, 7)
    ))  # fmt: skip
