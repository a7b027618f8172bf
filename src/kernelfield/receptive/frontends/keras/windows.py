"""Convolution, pooling and resizing with Keras' arguments: a stride, a padding by name, a data format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kernelfield.receptive.builder import Value
from kernelfield.receptive.frontends.keras.walk import Call
from kernelfield.receptive.frontends.same_padding import same_padding

METHODS: dict[str, Any] = {"nearest": "nearest", "bilinear": "linear", "bicubic": "cubic"}


def layout(data_format: str | None, rank: int) -> tuple[int, list[int]]:
    """Return the axis of channels and the spatial axes."""
    if data_format is None:
        import keras

        data_format = keras.config.image_data_format()
    if data_format == "channels_first":
        return 1, list(range(2, rank))
    return rank - 1, list(range(1, rank - 1))


def each(number: int | Sequence[int], count: int) -> list[int]:
    """Return a setting as a number for each axis."""
    return [number] * count if isinstance(number, int) else [int(n) for n in number]


def paddings(
    padding: str, x: Value, axes: Sequence[int], kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> list[tuple[int, int]]:
    """Return the elements added before and after each axis."""
    if padding.lower() == "same":
        return [same_padding(x.shape[a], k, s, d) for a, k, s, d in zip(axes, kernel, stride, dilation)]
    if padding.lower() == "causal":
        return [(d * (k - 1), 0) for k, d in zip(kernel, dilation)]
    return [(0, 0)] * len(axes)


def convolution(
    call: Call,
    x: Value,
    kernel: Sequence[int],
    *,
    strides: Any,
    padding: str,
    dilation: Any,
    data_format: str | None,
    channels_out: int,
    groups: int = 1,
) -> Value:
    """Return the output of a convolution."""
    channel, spatial = layout(data_format, x.ndim)
    stride, dilations = each(strides, len(spatial)), each(dilation, len(spatial))
    pads = paddings(padding, x, spatial, kernel, stride, dilations)
    return call.builder.convolution(
        call.name,
        x,
        kernel=list(kernel),
        stride=stride,
        dilation=dilations,
        before=[b for b, _ in pads],
        after=[a for _, a in pads],
        groups=groups,
        channels_out=channels_out,
        channel_axis=channel,
        spatial_axes=spatial,
    )


def transposed_convolution(
    call: Call,
    x: Value,
    kernel: Sequence[int],
    *,
    strides: Any,
    padding: str,
    output_padding: Any,
    dilation: Any,
    data_format: str | None,
    channels_out: int,
) -> Value:
    """Return the output of a transposed convolution, of the size that Keras defines for every backend."""
    channel, spatial = layout(data_format, x.ndim)
    stride, dilations = each(strides, len(spatial)), each(dilation, len(spatial))
    extra = [None] * len(spatial) if output_padding is None else each(output_padding, len(spatial))
    before, after, more = [], [], []
    for k, s, d, wanted in zip(kernel, stride, dilations, extra):
        span = d * (k - 1) + 1
        if padding.lower() == "valid":
            cropped = -(max(s - span, 0) if wanted is None else wanted)
        else:
            cropped = span - s if wanted is None else span - span % 2 - wanted
        # Crop (n - 1) * stride + span by this, an odd element at the end; where negative, add at the end.
        before.append(max(cropped, 0) // 2)
        after.append(max(cropped, 0) - max(cropped, 0) // 2)
        more.append(max(-cropped, 0))
    return call.builder.transposed_convolution(
        call.name,
        x,
        kernel=list(kernel),
        stride=stride,
        dilation=dilations,
        before=before,
        after=after,
        output_padding=more,
        channels_out=channels_out,
        channel_axis=channel,
        spatial_axes=spatial,
    )


def pooling(call: Call, kind: Any, *, size: Any, strides: Any, padding: str, data_format: str | None) -> Value:
    """Return the output of a pooling."""
    x = call.x
    _, spatial = layout(data_format, x.ndim)
    kernel = each(size, len(spatial))
    stride = kernel if strides is None else each(strides, len(spatial))
    ones = [1] * len(spatial)
    pads = paddings(padding, x, spatial, kernel, stride, ones)
    return call.builder.pooling(
        call.name,
        x,
        kind=kind,
        kernel=kernel,
        stride=stride,
        dilation=ones,
        before=[b for b, _ in pads],
        after=[a for _, a in pads],
        spatial_axes=spatial,
    )


def adaptive_pooling(call: Call, kind: Any, output: Any, data_format: str | None) -> Value:
    """Return the output of a pooling to a given size, by PyTorch's rule."""
    _, spatial = layout(data_format, call.x.ndim)
    sizes = each(output, len(spatial))
    return call.builder.adaptive_pooling(call.name, call.x, kind=kind, output=sizes, spatial_axes=spatial)


def resize(
    call: Call, x: Value, output: Sequence[int], interpolation: str, data_format: str | None, antialias: bool = False
) -> Value | list[Value]:
    """Return an image in another size; all backends use half-pixel centres."""
    if interpolation not in METHODS:
        return call.unknown()
    _, spatial = layout(data_format, x.ndim)
    nearest = interpolation == "nearest"
    return call.builder.resize(
        call.name,
        x,
        output=list(output),
        spatial_axes=spatial,
        method=METHODS[interpolation],
        coordinates="tf_half_pixel_for_nn" if nearest else "half_pixel",
        nearest_mode="floor",
        antialias=antialias and not nearest,
    )


def cropped_to_aspect(size: Sequence[int], output: Sequence[int]) -> list[tuple[int, int]]:
    """Return the central part of an image with the aspect ratio of the output: start and end for each axis."""
    height, width = size
    rows = max(min(height, int(float(width * output[0]) / output[1])), 1)
    columns = max(min(width, int(float(height * output[1]) / output[0])), 1)
    top, left = int(float(height - rows) / 2), int(float(width - columns) / 2)
    return [(top, top + rows), (left, left + columns)]
