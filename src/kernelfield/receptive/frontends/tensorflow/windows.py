"""Rules of TensorFlow's convolution, its transpose, pooling, patches and resizing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kernelfield.receptive.builder import Coordinates, Method, Pooling
from kernelfield.receptive.frontends.same_padding import same_padding
from kernelfield.receptive.frontends.tensorflow.walk import Call, Result

RESIZES: dict[str, Method] = {
    "ResizeBilinear": "linear",
    "ResizeNearestNeighbor": "nearest",
    "ResizeBicubic": "cubic",
    "ResizeArea": "area",
}


def layout(call: Call, rank: int) -> tuple[int, list[int]]:
    """Return the axis of channels and the spatial axes."""
    layout = call.attribute("data_format") if call.has("data_format") else "NHWC"
    if layout.startswith("NC"):
        return 1, list(range(2, rank))
    return rank - 1, list(range(1, rank - 1))


def _settings(
    call: Call, kernel: Sequence[int], spatial: Sequence[int], extra: dict[int, tuple[int, int, int]] | None
) -> dict[str, Any]:
    """Return stride, dilation and padding of a window, from the attributes of the operation."""
    x = call.values[0]
    strides = call.node.get_attr("strides")
    dilations = call.node.get_attr("dilations") if call.has("dilations") else [1] * x.ndim
    stride, dilation = [strides[a] for a in spatial], [dilations[a] for a in spatial]
    padding = call.attribute("padding")
    if padding == "SAME":
        pads = [same_padding(x.shape[a], k, s, d) for a, k, s, d in zip(spatial, kernel, stride, dilation)]
    elif padding == "EXPLICIT":
        explicit = call.node.get_attr("explicit_paddings")
        pads = [(explicit[2 * a], explicit[2 * a + 1]) for a in spatial]
    else:
        pads = [(0, 0)] * len(spatial)
    for i, a in enumerate(spatial):
        if extra and a in extra:
            dilation[i], pads[i] = dilation[i] * extra[a][0], extra[a][1:]
    return {
        "stride": stride,
        "dilation": dilation,
        "before": [b for b, _ in pads],
        "after": [a for _, a in pads],
        "spatial_axes": spatial,
    }


def convolution(call: Call, extra: dict[int, tuple[int, int, int]] | None = None) -> Result:
    x, w = call.values[:2]
    if w.node is not None or w.ndim != x.ndim:
        return call.unknown()
    channel, spatial = layout(call, x.ndim)
    kernel = w.shape[: len(spatial)]
    depthwise = call.operation == "DepthwiseConv2dNative"
    groups = x.shape[channel] // w.shape[-2] if not depthwise else x.shape[channel]
    return call.builder.convolution(
        call.name,
        x,
        kernel=kernel,
        groups=groups,
        channels_out=w.shape[-2] * w.shape[-1] if depthwise else w.shape[-1],
        channel_axis=channel,
        **_settings(call, kernel, spatial, extra),
    )


def transposed_convolution(call: Call) -> Result:
    output, w, x = call.operands[0].array, call.values[1], call.values[2]
    if output is None or w.node is not None or x.node is None:
        return call.unknown()
    channel, spatial = layout(call, x.ndim)
    strides, dilations = call.node.get_attr("strides"), call.node.get_attr("dilations")
    # The output sizes of all axes, or of the spatial axes only.
    sizes = [int(n) for n in output.reshape(-1)]
    extents = [sizes[a] for a in spatial] if len(sizes) == x.ndim else sizes
    kernel = list(w.shape[: len(spatial)])
    before, after, more = [], [], []
    for i, a in enumerate(spatial):
        span = dilations[a] * (kernel[i] - 1) + 1
        pad = (0, 0)
        if call.attribute("padding") == "SAME":
            pad = same_padding(extents[i], kernel[i], strides[a], dilations[a])
        elif call.attribute("padding") == "EXPLICIT":
            explicit = call.node.get_attr("explicit_paddings")
            pad = (explicit[2 * a], explicit[2 * a + 1])
        before.append(pad[0])
        after.append(pad[1])
        more.append(extents[i] - ((x.shape[a] - 1) * strides[a] + span - sum(pad)))
    depthwise = call.operation == "DepthwiseConv2dNativeBackpropInput"
    return call.builder.transposed_convolution(
        call.name,
        x,
        kernel=kernel,
        stride=[strides[a] for a in spatial],
        dilation=[dilations[a] for a in spatial],
        before=before,
        after=after,
        output_padding=more,
        groups=w.shape[-2] if depthwise else 1,
        channels_out=w.shape[-2],
        channel_axis=channel,
        spatial_axes=spatial,
    )


def pooling(call: Call, extra: dict[int, tuple[int, int, int]] | None = None) -> Result:
    x = call.values[0]
    sizes = call.node.get_attr("ksize")
    _, spatial = layout(call, x.ndim)
    others = [a for a in range(x.ndim) if a not in spatial]
    if any(sizes[a] != 1 for a in others):
        return call.unknown()
    kernel = [sizes[a] for a in spatial]
    kind: Pooling = "max" if call.operation.startswith("Max") else "average"
    return call.builder.pooling(call.name, x, kind=kind, kernel=kernel, **_settings(call, kernel, spatial, extra))


def patches(call: Call) -> Result:
    """Return patches as channels: they read the same elements as a convolution."""
    x = call.values[0]
    sizes, strides, rates = (call.node.get_attr(n)[1:-1] for n in ("ksizes", "strides", "rates"))
    spatial = list(range(1, x.ndim - 1))
    pads = [(0, 0)] * len(spatial)
    if call.attribute("padding") == "SAME":
        pads = [same_padding(x.shape[a], k, s, r) for a, k, s, r in zip(spatial, sizes, strides, rates)]
    return call.builder.convolution(
        call.name,
        x,
        kernel=sizes,
        stride=strides,
        dilation=rates,
        before=[b for b, _ in pads],
        after=[a for _, a in pads],
        channels_out=x.shape[-1] * int(np.prod(sizes)),
        channel_axis=x.ndim - 1,
        spatial_axes=spatial,
    )


def resize(call: Call) -> Result:
    x = call.values[0]
    half = bool(call.has("half_pixel_centers") and call.node.get_attr("half_pixel_centers"))
    corners = bool(call.has("align_corners") and call.node.get_attr("align_corners"))
    method = RESIZES[call.operation]
    coordinates: Coordinates = "align_corners" if corners else "half_pixel" if half else "asymmetric"
    if method == "nearest" and half:
        coordinates = "tf_half_pixel_for_nn"
    return call.builder.resize(
        call.name,
        x,
        output=call.ints(1),
        spatial_axes=[1, 2],
        method=method,
        coordinates=coordinates,
        nearest_mode="round_prefer_ceil" if corners else "floor",
    )


def scale_and_translate(call: Call) -> Result:
    x, size, scale, translation = call.values[0], call.ints(1), call.array(2), call.array(3)
    kernels: dict[str, Method] = {"triangle": "linear", "keyscubic": "cubic"}
    kind = call.attribute("kernel_type")
    whole = all(abs(s - n / m) < 1e-6 * s for s, n, m in zip(scale.reshape(-1), size, x.shape[1:3]))
    if kind not in kernels or not whole or translation.any():
        return call.unknown()
    return call.builder.resize(
        call.name,
        x,
        output=size,
        spatial_axes=[1, 2],
        method=kernels[kind],
        coordinates="half_pixel",
        antialias=bool(call.node.get_attr("antialias")),
    )
