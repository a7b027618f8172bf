"""MXNet's operators that slide a window: convolution, its transpose, pooling and resizing."""

from __future__ import annotations

import math
from typing import Literal

from kernelfield.receptive.frontends.mxnet.call import Call, Result


def _layout(call: Call) -> tuple[int, list[int]]:
    """Return the axis of the channels and the spatial axes."""
    rank = len(call.x.shape)
    layout = call.get("layout", "")
    channel = layout.index("C") if layout else 1
    return channel, [a for a in range(1, rank) if a != channel]


def convolution(call: Call) -> Result:
    """Return the output of Convolution."""
    channel, spatial = _layout(call)
    count = len(spatial)
    pad = call.numbers("pad", count, 0)
    return call.builder.convolution(
        call.name,
        call.x,
        kernel=call.numbers("kernel", count, 1),
        stride=call.numbers("stride", count, 1),
        dilation=call.numbers("dilate", count, 1),
        before=pad,
        after=pad,
        groups=call.get("num_group", 1),
        channels_out=call.shapes[0][channel],
        channel_axis=channel,
        spatial_axes=spatial,
    )


def deconvolution(call: Call) -> Result:
    """Return the output of Deconvolution, with the given padding or the one that target_shape implies."""
    channel, spatial = _layout(call)
    count = len(spatial)
    kernel, stride = call.numbers("kernel", count, 1), call.numbers("stride", count, 1)
    dilation = call.numbers("dilate", count, 1)
    pad, extra = call.numbers("pad", count, 0), call.numbers("adj", count, 0)
    if call.get("target_shape"):
        target = call.numbers("target_shape", count, 0)
        whole = [s * (call.x.shape[a] - 1) + d * (k - 1) + 1 for a, s, d, k in zip(spatial, stride, dilation, kernel)]
        extra = [(n - t) % 2 for n, t in zip(whole, target)]
        pad = [(n - t + 1) // 2 for n, t in zip(whole, target)]
    return call.builder.transposed_convolution(
        call.name,
        call.x,
        kernel=kernel,
        stride=stride,
        dilation=dilation,
        before=pad,
        after=pad,
        output_padding=extra,
        groups=call.get("num_group", 1),
        channels_out=call.shapes[0][channel],
        channel_axis=channel,
        spatial_axes=spatial,
    )


def pooling(call: Call) -> Result:
    """Return the output of Pooling: max, average, sum or lp, global or windowed, its size rounded down or up."""
    _, spatial = _layout(call)
    count = len(spatial)
    kinds: dict[str, Literal["max", "average", "lp"]] = {"max": "max", "avg": "average", "sum": "average", "lp": "lp"}
    kind = kinds[call.get("pool_type", "max")]
    if call.get("global_pool", False):
        return call.builder.adaptive_pooling(call.name, call.x, kind=kind, output=[1] * count, spatial_axes=spatial)
    kernel, stride = call.numbers("kernel", count, 1), call.numbers("stride", count, 1)
    pad = call.numbers("pad", count, 0)
    after = list(pad)
    convention = call.get("pooling_convention", "valid")
    if convention not in ("valid", "full"):
        return call.unknown()
    if convention == "full":
        for i, axis in enumerate(spatial):
            free = call.x.shape[axis] + 2 * pad[i] - kernel[i]
            after[i] += -(-free // stride[i]) * stride[i] - free
    return call.builder.pooling(
        call.name,
        call.x,
        kind=kind,
        kernel=kernel,
        stride=stride,
        dilation=[1] * count,
        before=pad,
        after=after,
        spatial_axes=spatial,
    )


def adaptive(call: Call) -> Result:
    """Return the output of AdaptiveAvgPooling2D."""
    return call.builder.adaptive_pooling(
        call.name, call.x, kind="average", output=call.shapes[0][2:], spatial_axes=(2, 3)
    )


def upsampling(call: Call) -> Result:
    """Return the output of UpSampling: nearest, or the transposed convolution that implements bilinear."""
    scale = int(call.get("scale", 1))
    if call.get("sample_type") == "nearest":
        if len(call.inputs) > 1:
            return call.unknown()
        return call.builder.resize(
            call.name,
            call.x,
            output=[scale * n for n in call.x.shape[2:]],
            spatial_axes=(2, 3),
            method="nearest",
            coordinates="asymmetric",
            nearest_mode="floor",
        )
    pad = math.ceil((scale - 1) / 2)
    return call.builder.transposed_convolution(
        call.name,
        call.x,
        kernel=[2 * scale - scale % 2] * 2,
        stride=[scale] * 2,
        dilation=[1, 1],
        before=[pad] * 2,
        after=[pad] * 2,
        output_padding=[0, 0],
        groups=call.x.shape[1],
        channels_out=call.x.shape[1],
        channel_axis=1,
        spatial_axes=(2, 3),
    )


def bilinear(call: Call) -> Result:
    """Return the output of BilinearResize2D, with aligned corners by default."""
    aligned = call.get("align_corners", True)
    return call.builder.resize(
        call.name,
        call.x,
        output=call.shapes[0][2:],
        spatial_axes=(2, 3),
        method="linear",
        coordinates="align_corners" if aligned else "half_pixel",
    )
