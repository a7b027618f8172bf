"""Convolution, pooling and resizing of the builder against PyTorch's own, element by element."""

from __future__ import annotations

import pytest
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from receptive.builder.oracle import LARGE, PAIR, agrees, weights

pytestmark = pytest.mark.torch


@given(PAIR, PAIR, PAIR, st.tuples(*[st.integers(-1, 3)] * 4))
def test_convolution(kernel, stride, dilation, pads):
    before, after = pads[:2], pads[2:]
    size = (7, 9)
    if any(n + b + a < d * (k - 1) + 1 for n, b, a, d, k in zip(size, before, after, dilation, kernel, strict=True)):
        return
    w = weights(3, 2, *kernel)
    agrees(
        lambda x: F.conv2d(F.pad(x, (pads[1], pads[3], pads[0], pads[2])), w, stride=stride, dilation=dilation),
        lambda b, x: b.convolution(
            "c", x, kernel=kernel, stride=stride, dilation=dilation, before=before, after=after, channels_out=3,
            channel_axis=1, spatial_axes=(2, 3),
        ),
        shape=(1, 2, *size),
    )  # fmt: skip


@given(PAIR, PAIR, PAIR, st.data())
def test_transposed_convolution(kernel, stride, dilation, data):
    padding = tuple(data.draw(st.integers(0, d * (k - 1))) for d, k in zip(dilation, kernel, strict=True))
    more = tuple(data.draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True))
    size = (3, 4)
    out = [(n - 1) * s - 2 * p + d * (k - 1) + 1 + m
           for n, s, p, d, k, m in zip(size, stride, padding, dilation, kernel, more, strict=True)]  # fmt: skip
    if min(out) < 1:
        return
    w = weights(2, 3, *kernel)
    agrees(
        lambda x: F.conv_transpose2d(x, w, stride=stride, dilation=dilation, padding=padding, output_padding=more),
        lambda b, x: b.transposed_convolution(
            "c", x, kernel=kernel, stride=stride, dilation=dilation, before=padding, after=padding, output_padding=more,
            channels_out=3, channel_axis=1, spatial_axes=(2, 3),
        ),
        shape=(1, 2, *size),
    )  # fmt: skip


@given(PAIR, PAIR, PAIR, st.booleans(), st.data())
def test_pooling(kernel, stride, dilation, ceil_mode, data):
    padding = tuple(data.draw(st.integers(0, k // 2)) for k in kernel)
    size = (6, 8)
    if any(n + 2 * p < d * (k - 1) + 1 for n, p, d, k in zip(size, padding, dilation, kernel, strict=True)):
        return
    agrees(
        lambda x: F.max_pool2d(x, kernel, stride, padding, dilation, ceil_mode),
        lambda b, x: b.pooling(
            "p", x, kind="max", kernel=kernel, stride=stride, dilation=dilation, before=padding, after=padding,
            ceil_mode=ceil_mode, spatial_axes=(2, 3),
        ),
        shape=(1, 2, *size),
    )  # fmt: skip


@given(st.tuples(st.integers(1, 6), st.integers(1, 9)))
def test_adaptive_pooling(output):
    agrees(
        lambda x: F.adaptive_avg_pool2d(x, output),
        lambda b, x: b.adaptive_pooling("p", x, kind="average", output=output, spatial_axes=(2, 3)),
    )


@pytest.mark.parametrize("output", [(5, 7), (10, 14), (15, 21), (3, 4), (4, 11), (1, 1), (20, 2)])
@pytest.mark.parametrize(
    ("torch_mode", "align", "method", "coordinates", "rounding"),
    [
        ("nearest", None, "nearest", "asymmetric", "floor"),
        ("nearest-exact", None, "nearest", "half_pixel", "round_prefer_ceil"),
        ("bilinear", False, "linear", "half_pixel", "floor"),
        ("bilinear", True, "linear", "align_corners", "floor"),
        ("bicubic", False, "cubic", "half_pixel", "floor"),
        ("bicubic", True, "cubic", "align_corners", "floor"),
        ("area", None, "area", "half_pixel", "floor"),
    ],
)
def test_resize(torch_mode, align, method, coordinates, rounding, output):
    agrees(
        lambda x: F.interpolate(x, output, mode=torch_mode, align_corners=align),
        lambda b, x: b.resize(
            "r", x, output=output, spatial_axes=(2, 3), method=method, coordinates=coordinates, nearest_mode=rounding
        ),
        amount=LARGE,
    )


@pytest.mark.parametrize("scale", [2.0, 0.5, 1.7, 3.0, 0.3])
@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_resize_by_a_factor_that_the_sizes_do_not_give(mode, scale):
    method = {"nearest": "nearest", "bilinear": "linear", "bicubic": "cubic"}[mode]
    coordinates = "asymmetric" if mode == "nearest" else "half_pixel"
    output = (int(7 * scale), int(9 * scale))
    agrees(
        lambda x: F.interpolate(x, scale_factor=scale, mode=mode),
        lambda b, x: b.resize(
            "r", x, output=output, spatial_axes=(2, 3), method=method, coordinates=coordinates, scale=(scale, scale),
            nearest_mode="floor",
        ),
        shape=(1, 1, 7, 9), amount=LARGE,
    )  # fmt: skip


@pytest.mark.parametrize("output", [(3, 4), (4, 3), (10, 5), (2, 9)])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_resize_with_antialiasing(mode, output):
    agrees(
        lambda x: F.interpolate(x, output, mode=mode, antialias=True),
        lambda b, x: b.resize(
            "r", x, output=output, spatial_axes=(2, 3), method={"bilinear": "linear", "bicubic": "cubic"}[mode],
            coordinates="half_pixel", antialias=True,
        ),
        shape=(1, 1, 8, 9), amount=LARGE,
    )  # fmt: skip
