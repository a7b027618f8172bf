"""What the translation of one node of a symbol is given, and the operators that slide a window."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from kernelfield.errors import ArgumentError
from kernelfield.receptive.builder import Builder
from kernelfield.receptive.value import Value

Result: TypeAlias = Value | Sequence[Value]


@dataclass
class Call:
    """One node of a symbol.

    Parameters
    ----------
    operation, name : str
        Its operator and its name.
    inputs : list of Value
        What it takes, weights included.
    attributes : mapping of str to str
        As the symbol's JSON has them.
    shapes : list of tuple of int
        Of its outputs, as MXNet infers them.
    builder : Builder
    """

    operation: str
    name: str
    inputs: list[Value]
    attributes: Mapping[str, str]
    shapes: list[tuple[int, ...]]
    builder: Builder

    @property
    def x(self) -> Value:
        """The first input."""
        return self.inputs[0]

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute as the Python value that its text stands for."""
        text = self.attributes.get(name)
        if text is None or text == "None":
            return default
        try:
            return ast.literal_eval(text)
        except (SyntaxError, ValueError):
            return text

    def numbers(self, name: str, count: int, default: int) -> list[int]:
        """Return `count` whole numbers; `default` each where there are none."""
        value = self.get(name, ())
        found = [value] if isinstance(value, int) else list(value)
        if not found:
            return [default] * count
        if len(found) != count:
            raise self.error(f"{name} of {count} numbers", str(found))
        return [int(n) for n in found]

    def axes(self, name: str = "axis") -> list[int]:
        """Return the axes of a reduction, all where none are named."""
        value = self.get(name, ())
        found = [value] if isinstance(value, int) else list(value)
        rank = len(self.x.shape)
        named = sorted({a % rank for a in found}) or list(range(rank))
        return [a for a in range(rank) if a not in named] if self.get("exclude", False) and found else named

    def error(self, expected: str, received: str) -> ArgumentError:
        """Return the error to raise."""
        return ArgumentError(
            f"{self.name!r} ({self.operation}): expected {expected}; received {received}; mend the model"
        )

    def unknown(self) -> Result:
        """Return the outputs of an operator that is not known: an error, or all of the image."""
        return [
            self.builder.unknown(f"{self.name} {i}" if i else self.name, self.operation, self.inputs, shape)
            for i, shape in enumerate(self.shapes)
        ]


def _layout(call: Call) -> tuple[int, list[int]]:
    """Return the axis of the channels and those in space."""
    rank = len(call.x.shape)
    layout = call.get("layout", "")
    channel = layout.index("C") if layout else 1
    return channel, [a for a in range(1, rank) if a != channel]


def convolution(call: Call) -> Result:
    """Convolution."""
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
    """Deconvolution: padding given, or what leaves target_shape."""
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
    """Pooling: max, average, sum, lp; global; rounded down, or up to a window that may lie beyond the end."""
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
    """AdaptiveAvgPooling2D."""
    return call.builder.adaptive_pooling(
        call.name, call.x, kind="average", output=call.shapes[0][2:], spatial_axes=(2, 3)
    )


def upsampling(call: Call) -> Result:
    """UpSampling: nearest, or the transposed convolution that stands for bilinear."""
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
    """BilinearResize2D: corners on corners, unless told otherwise."""
    aligned = call.get("align_corners", True)
    return call.builder.resize(
        call.name,
        call.x,
        output=call.shapes[0][2:],
        spatial_axes=(2, 3),
        method="linear",
        coordinates="align_corners" if aligned else "half_pixel",
    )
