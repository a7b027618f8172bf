"""Rules of the operations of `keras.ops`, by the name of the class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kernelfield.receptive.frontends.keras.rearranging import (
    axes_of,
    concatenate,
    expand_dims,
    flip,
    indexed,
    pad,
    repeat,
    reshape,
    roll,
    slices,
    split,
    squeeze,
    stack,
    take,
    tile,
    transpose,
    unstack,
)
from kernelfield.receptive.frontends.keras.walk import Call, Result
from kernelfield.receptive.frontends.keras.windows import (
    adaptive_pooling,
    convolution,
    layout,
    pooling,
    resize,
    transposed_convolution,
)
from kernelfield.receptive.graph import Edge, Link

_PLACE_BY_PLACE = (
    "Relu Relu6 Sigmoid SparseSigmoid Softplus Softsign SoftShrink SparsePlus Silu Squareplus LogSigmoid LeakyRelu "
    "HardSigmoid HardSilu Elu Selu Gelu Celu TanhShrink HardTanh HardShrink Threshold BatchNorm Absolute Abs Fabs "
    "Add Angle Arccos Arccosh Arcsin Arcsinh Arctan Arctan2 Arctanh Array BitwiseAnd BitwiseInvert BitwiseNot "
    "BitwiseOr BitwiseXor BitwiseLeftShift LeftShift BitwiseRightShift RightShift Cast Cbrt Ceil Clip Conj "
    "Conjugate ConvertToTensor Copy Cos Cosh Deg2rad Rad2deg Digitize Divide DivideNoNan Equal Erf Erfc Erfinv Exp "
    "Exp2 Expm1 Floor FloorDivide Fmax Fmin Fmod FullLike Gcd Greater GreaterEqual Heaviside Hypot I0 Imag Isclose "
    "Isfinite Isinf Isnan Isneginf Isposinf Isreal Lcm Ldexp Less LessEqual Log Log10 Log1p Log2 Logaddexp "
    "Logaddexp2 LogicalAnd LogicalNot LogicalOr LogicalXor Maximum Minimum Mod Multiply NanToNum Negative Nextafter "
    "NotEqual OnesLike Polar Power Real Reciprocal Round Rsqrt SaturateCast Sign Signbit Sin Sinc Sinh Sqrt Square "
    "StopGradient Subtract Tan Tanh TrueDivide Trunc Where ZerosLike"
)
_STATISTICS = (
    "All Any Amax Amin Argmax Argmin CountNonzero Logsumexp Max Mean Median Min Nanargmax Nanargmin Nanmax Nanmean "
    "Nanmedian Nanmin Nanprod Nanstd Nansum Nanvar Prod Ptp Std Sum Var"
)


def _pointwise(call: Call) -> Result:
    name = type(call.operation).__name__.lower()
    operands = [
        call.constant(a) for a in (*call.args, *call.kwargs.values()) if a is not None and not isinstance(a, str)
    ]
    # The statistics of a batch normalisation lie along the axis of channels.
    if name == "batchnorm":
        return call.builder.elementwise(call.name, "normalisation", call.x)
    return call.builder.elementwise(call.name, "divide" if name == "truedivide" else name, *operands)


def _reduction(call: Call) -> Result:
    op, x = call.operation, call.x
    return call.builder.reduce(
        call.name,
        x,
        axes=axes_of(op.axis, x.ndim),
        keepdims=bool(getattr(op, "keepdims", False)),
        operation=type(op).__name__.lower(),
    )


def _moments(call: Call) -> Result:
    op = call.operation
    axes = axes_of(op.axes, call.x.ndim)
    return [
        call.builder.reduce(f"{call.name}/{part}", call.x, axes=axes, keepdims=op.keepdims, operation=part)
        for part in ("mean", "variance")
    ]


def _convolution(call: Call) -> Result:
    op, kernel = call.operation, call.operand(1, "kernel")
    if kernel.node is not None:
        return call.unknown()
    channel, _ = layout(op.data_format, call.x.ndim)
    return convolution(
        call,
        call.x,
        kernel.shape[:-2],
        strides=op.strides,
        padding=op.padding,
        dilation=op.dilation_rate,
        data_format=op.data_format,
        channels_out=kernel.shape[-1],
        groups=call.x.shape[channel] // kernel.shape[-2],
    )


def _depthwise(call: Call) -> Result:
    op, kernel = call.operation, call.operand(1)
    if kernel.node is not None:
        return call.unknown()
    separable = type(op).__name__ == "SeparableConv"
    last = call.operand(2) if separable else kernel
    return convolution(
        call,
        call.x,
        kernel.shape[:-2],
        strides=op.strides,
        padding=op.padding,
        dilation=op.dilation_rate,
        data_format=op.data_format,
        channels_out=last.shape[-1] if separable else kernel.shape[-1] * kernel.shape[-2],
        groups=1 if separable else kernel.shape[-2],
    )


def _transposed_convolution(call: Call) -> Result:
    op, kernel = call.operation, call.operand(1, "kernel")
    if kernel.node is not None:
        return call.unknown()
    return transposed_convolution(
        call,
        call.x,
        kernel.shape[:-2],
        strides=op.strides,
        padding=op.padding,
        output_padding=op.output_padding,
        dilation=op.dilation_rate,
        data_format=op.data_format,
        channels_out=kernel.shape[-2],
    )


def _pooling(kind: str) -> Callable[[Call], Result]:
    def rule(call: Call) -> Result:
        op = call.operation
        return pooling(
            call, kind, size=op.pool_size, strides=op.strides, padding=op.padding, data_format=op.data_format
        )

    return rule


def _resize(call: Call) -> Result:
    op = call.operation
    if op.crop_to_aspect_ratio or op.pad_to_aspect_ratio:
        return call.unknown()
    return resize(call, call.x, op.size, op.interpolation, op.data_format, op.antialias)


def _patches(call: Call) -> Result:
    """Return patches as channels: they read the same elements as a convolution."""
    op = call.operation
    size = [op.size] * 2 if isinstance(op.size, int) else list(op.size)
    if call.x.ndim != 4 or len(size) != 2:
        return call.unknown()
    channel, _ = layout(op.data_format, 4)
    strides = op.strides if op.strides else size
    return convolution(
        call,
        call.x,
        size,
        strides=strides,
        padding=op.padding,
        dilation=op.dilation_rate,
        data_format=op.data_format,
        channels_out=call.x.shape[channel] * size[0] * size[1],
    )


def _matmul(call: Call) -> Result:
    return call.builder.matmul(call.name, call.operand(0, "x1"), call.operand(1, "x2"))


def _einsum(call: Call) -> Result:
    return call.builder.einsum(call.name, call.operation.subscripts, *(call.constant(a) for a in call.args))


def _tensordot(call: Call) -> Result:
    a, b = call.operand(0, "x1"), call.operand(1, "x2")
    axes = call.operation.axes
    if isinstance(axes, int):
        pairs = list(zip(range(a.ndim - axes, a.ndim), range(axes)))
    else:
        left, right = ([n] if isinstance(n, int) else n for n in axes)
        pairs = [(i % a.ndim, j % b.ndim) for i, j in zip(left, right)]
    letters = "abcdefghijklmnopqrstuvwxyz"
    first = list(letters[: a.ndim])
    second = list(letters[a.ndim : a.ndim + b.ndim])
    for i, j in pairs:
        second[j] = first[i]
    shared = {first[i] for i, _ in pairs}
    out = [c for c in (*first, *second) if c not in shared]
    return call.builder.einsum(call.name, f"{''.join(first)},{''.join(second)}->{''.join(out)}", a, b)


def _softmax(call: Call) -> Result:
    axis = call.operation.axis
    return call.builder.softmax(call.name, call.x, axis=axis) if isinstance(axis, int) else call.unknown()


def _normalisation(call: Call) -> Result:
    return call.builder.normalisation(call.name, call.x, axes=axes_of(call.operation.axis, call.x.ndim))


def _blocks(call: Call) -> Result:
    op = call.operation
    channel, spatial = layout(op.data_format, call.x.ndim)
    how = call.builder.depth_to_space if type(op).__name__ == "DepthToSpace" else call.builder.space_to_depth
    return how(call.name, call.x, block=op.block_size, channel_axis=channel, spatial_axes=spatial, mode="DCR")


def _dot_product_attention(call: Call) -> Result:
    """Return the attention of queries (B, T, N, H), with the heads moved to the batch in between."""
    order = (0, 2, 1, 3)
    parts = [
        call.builder.transpose(f"{call.name}/{n}", call.operand(i, n), permutation=order)
        for i, n in enumerate(("query", "key", "value"))
    ]
    y = call.builder.attention(call.name, *parts)
    return call.builder.transpose(f"{call.name}/heads", y, permutation=order)


def _cumulative(call: Call) -> Result:
    axis = call.operation.axis
    return call.unknown() if axis is None else call.builder.cumulative(call.name, call.x, axis=axis)


def _whole(call: Call) -> Result:
    """Return the output of an operation that reads a whole axis and keeps it: sorting."""
    x, axis = call.x, call.operation.axis
    if axis is None or x.node is None:
        return call.unknown()
    gone = x.axes[axis % x.ndim]
    links = tuple(Link((i,), None) if i == gone else Link((i,)) for i in range(sum(a is not None for a in x.axes)))
    name = type(call.operation).__name__.lower()
    return call.builder.custom(call.name, name, [x], [Edge(x.node, links)], shape=x.shape, axes=x.axes)


def _grayscale(call: Call) -> Result:
    channel, _ = layout(call.operation.data_format, call.x.ndim)
    return call.builder.reduce(call.name, call.x, axes=(channel,), keepdims=True, operation="grayscale")


OPERATIONS: dict[str, Callable[[Call], Any]] = {
    **dict.fromkeys(_PLACE_BY_PLACE.split(), _pointwise),
    **dict.fromkeys(_STATISTICS.split(), _reduction),
    "Moments": _moments,
    "Conv": _convolution,
    **dict.fromkeys(("DepthwiseConv", "SeparableConv"), _depthwise),
    "ConvTranspose": _transposed_convolution,
    "MaxPool": _pooling("max"),
    "AveragePool": _pooling("average"),
    "AdaptiveMaxPool": lambda call: adaptive_pooling(
        call, "max", call.operation.output_size, call.operation.data_format
    ),
    "AdaptiveAveragePool": lambda call: adaptive_pooling(
        call, "average", call.operation.output_size, call.operation.data_format
    ),
    "Resize": _resize,
    "ExtractPatches": _patches,
    "Pad": pad,
    "GetItem": indexed,
    "Slice": slices,
    **dict.fromkeys(("Split", "ArraySplit"), split),
    "Concatenate": concatenate,
    "Stack": stack,
    "Unstack": unstack,
    "Reshape": reshape,
    "Ravel": lambda call: call.builder.reshape(call.name, call.x, shape=(-1,)),
    "ExpandDims": expand_dims,
    "Squeeze": squeeze,
    **dict.fromkeys(("Transpose", "Swapaxes", "Moveaxis"), transpose),
    "Repeat": repeat,
    "Tile": tile,
    "BroadcastTo": lambda call: call.builder.expand(call.name, call.x, shape=call.operation.shape),
    "Flip": flip,
    "Roll": roll,
    "Take": take,
    "Matmul": _matmul,
    "Einsum": _einsum,
    "Tensordot": _tensordot,
    **dict.fromkeys(("Softmax", "LogSoftmax", "Sparsemax"), _softmax),
    **dict.fromkeys(("LayerNorm", "RMSNorm", "Normalize"), _normalisation),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), _blocks),
    "DotProductAttention": _dot_product_attention,
    **dict.fromkeys(("Cumsum", "Cumprod", "Nancumsum", "Nancumprod"), _cumulative),
    **dict.fromkeys(("Sort", "Argsort"), _whole),
    "RGBToGrayscale": _grayscale,
    **dict.fromkeys(
        ("RGBToHSV", "HSVToRGB"), lambda call: call.builder.elementwise(call.name, "colour conversion", call.x)
    ),
}
