"""Rules of TensorFlow's operations, by type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from kernelfield.receptive.builder import Value
from kernelfield.receptive.frontends.tensorflow.rearranging import (
    concatenate,
    gather,
    pack,
    pad,
    reshape,
    reverse,
    slices,
    split,
    strided_slice,
    transpose,
    unpack,
)
from kernelfield.receptive.frontends.tensorflow.walk import Call, NotConstant, Operand, Result
from kernelfield.receptive.frontends.tensorflow.windows import (
    RESIZES,
    convolution,
    layout,
    patches,
    pooling,
    resize,
    scale_and_translate,
    transposed_convolution,
)
from kernelfield.receptive.graph import Edge, Link
from kernelfield.receptive.registry import registered

_PLACE_BY_PLACE = (
    "Abs Acos Acosh Add AddN AddV2 Angle Asin Asinh Atan Atan2 Atanh BiasAdd BitwiseAnd BitwiseOr BitwiseXor Cast "
    "Ceil ClipByValue Complex Conj Cos Cosh Digamma Div DivNoNan Elu Equal Erf Erfc Erfinv Exp Expm1 "
    "FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars Floor FloorDiv FloorMod Greater GreaterEqual Inv Invert "
    "IsFinite IsInf IsNan LeakyRelu Less LessEqual Lgamma Log Log1p LogicalAnd LogicalNot LogicalOr Maximum Minimum "
    "Mod Mul MulNoNan Ndtri Neg NextAfter NotEqual OnesLike Pow Real RealDiv Reciprocal Relu Relu6 Rint Round Rsqrt "
    "Select SelectV2 Selu Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Square SquaredDifference Sub Tan Tanh "
    "TruncateDiv TruncateMod Xdivy Xlog1py Xlogy ZerosLike LRN _FusedBatchNormEx"
)
_POINTWISE = frozenset(_PLACE_BY_PLACE.split())

# The builder's names, for operations that may be gates.
_NAMES = {"AddV2": "add", "Add": "add", "AddN": "add", "Sub": "subtract", "Mul": "multiply", "RealDiv": "divide"}


_NAMES |= {"BiasAdd": "add", "Div": "divide", "DivNoNan": "divide", "MulNoNan": "multiply"}


def rule(call: Call) -> Result:
    """Return the outputs of one operation; one without a rule is refused, or reads all of its inputs."""
    given = registered(call.operation)
    if given is not None:
        attributes = {name: call.node.get_attr(name) for name in call.node.node_def.attr}
        return given(call.builder, call.name, call.values, {**attributes, "shape": call.shape()})
    if call.operation in _POINTWISE:
        return call.builder.elementwise(call.name, _NAMES.get(call.operation, call.operation), *_aligned(call))
    found = _RULES.get(call.operation)
    if found is None:
        return call.unknown()
    try:
        result: Result = found(call)
    except NotConstant:
        return call.unknown()
    return result


def _aligned(call: Call) -> list[Value]:
    """Return the operands, without a constant bias along the axis of channels."""
    x, *others = call.values
    first = call.operation == "BiasAdd" and call.has("data_format") and call.attribute("data_format").startswith("NC")
    if first and others[0].node is None:
        return [x]
    return [x, *others]


def folded_rule(call: Call) -> Operand:
    """Return the output of an operation between ``SpaceToBatchND`` and ``BatchToSpaceND``, on the unfolded tensor."""
    x = next((o for o in call.operands if o.folded), call.operands[0])
    others = [o for o in call.operands if o is not x]
    if call.operation == "SpaceToBatchND" and not x.folded:
        block = tuple(call.ints(1))
        pairs = tuple((int(a), int(b)) for a, b in call.array(2).reshape(-1, 2))
        return replace(x, folded=(block, pairs))
    # Constants that vary in space would have to be folded too.
    if x.folded is None or any(
        o.value.node is not None or (o.value.ndim > 1 and call.operation in _POINTWISE) for o in others
    ):
        return Operand(call.unknown()[0])
    block, pads = x.folded
    count = len(block)
    if call.operation == "BatchToSpaceND" and tuple(call.ints(1)) == block:
        crops = call.array(2).reshape(-1, 2)
        before = [0, *(-int(a) for a, _ in crops), *[0] * (x.value.ndim - 1 - count)]
        after = [0, *(-int(b) for _, b in crops), *[0] * (x.value.ndim - 1 - count)]
        if any(a or b for a, b in pads):
            before = [b + p for b, p in zip(before, [0, *(p for p, _ in pads), *[0] * (x.value.ndim - 1 - count)])]
            after = [a + p for a, p in zip(after, [0, *(p for _, p in pads), *[0] * (x.value.ndim - 1 - count)])]
        if not any(before) and not any(after):
            return Operand(x.value)
        return Operand(call.builder.pad(call.name, x.value, before=before, after=after))
    # A one-dimensional convolution inserts and removes an axis of extent 1.
    if call.operation in ("ExpandDims", "Squeeze") or call.operation in _POINTWISE:
        values = rule(call)
        assert isinstance(values, Value)
        return Operand(values, folded=x.folded)
    if call.operation in ("Conv2D", "DepthwiseConv2dNative", "Conv3D", "MaxPool", "AvgPool"):
        value = _windowed(call, block, pads)
        if value is not None:
            return Operand(value, folded=(block, ((0, 0),) * count))
    return Operand(call.unknown()[0])


def _windowed(call: Call, block: Sequence[int], pads: Sequence[tuple[int, int]]) -> Value | None:
    """Return a convolution or pooling with the dilation and padding of folded axes; None where it has strides."""
    x = call.values[0]
    _, spatial = layout(call, x.ndim)
    strides = call.node.get_attr("strides")
    # The folded axes follow the batch; an axis of extent 1 from `ExpandDims` is not one of them.
    places = [a for a in spatial if x.axes[a] is not None]
    if call.attribute("padding") != "VALID" or any(strides[a] != 1 for a in spatial) or len(places) != len(block):
        return None
    extra = {a: (b, *p) for a, b, p in zip(places, block, pads)}
    value = convolution(call, extra) if "Conv" in call.operation else pooling(call, extra)
    return value if isinstance(value, Value) else None


def _batch_normalisation(call: Call) -> Result:
    x = call.values[0]
    channel, spatial = layout(call, x.ndim)
    if call.node.get_attr("is_training"):
        y = call.builder.normalisation(call.name, x, axes=[0, *spatial])
    else:
        y = call.builder.elementwise(call.name, "normalisation", x)
    others = len(call.node.outputs) - 1
    return [y, *[call.builder.constant((x.shape[channel],))] * others]


_REDUCTIONS = "Mean Sum Max Min Prod All Any EuclideanNorm ArgMax ArgMin"


def _reduction(call: Call) -> Result:
    x = call.values[0]
    arg = call.operation.startswith("Arg")
    axes = [a % x.ndim for a in call.ints(1)]
    keep = not arg and bool(call.node.get_attr("keep_dims"))
    return call.builder.reduce(call.name, x, axes=axes, keepdims=keep, operation=call.operation.lower())


def _matmul(call: Call) -> Result:
    a, b = call.values[:2]
    names = ("transpose_a", "transpose_b") if call.operation == "MatMul" else ("adj_x", "adj_y")
    flips = [call.node.get_attr(name) for name in names]
    a, b = (_flipped(call, v) if flip else v for v, flip in zip((a, b), flips))
    return call.builder.matmul(call.name, a, b)


def _flipped(call: Call, x: Value) -> Value:
    order = [*range(x.ndim - 2), x.ndim - 1, x.ndim - 2]
    return call.builder.transpose(f"{call.name}/transpose", x, permutation=order)


def _blocks(call: Call) -> Result:
    x = call.values[0]
    channel, spatial = layout(call, x.ndim)
    how = call.builder.depth_to_space if call.operation == "DepthToSpace" else call.builder.space_to_depth
    block = call.node.get_attr("block_size")
    return how(call.name, x, block=block, channel_axis=channel, spatial_axes=spatial, mode="DCR")


def _whole(axis: Callable[[Call], Sequence[int]]) -> Callable[[Call], Result]:
    """Return the rule of an operation that reads whole axes and keeps them: sorting, Fourier transforms."""

    def rule(call: Call) -> Result:
        x = call.values[0]
        if x.node is None:
            return call.unknown()
        whole = {x.axes[a % x.ndim] for a in axis(call)}
        links = tuple(
            Link((i,), None) if i in whole else Link((i,)) for i in sorted(a for a in x.axes if a is not None)
        )
        edges = [Edge(x.node, links)]
        results = []
        for output in call.node.outputs:
            shape = tuple(output.shape)
            shape = shape if all(shape) and None not in shape else x.shape
            results.append(call.builder.custom(call.name, call.operation, [x], edges, shape=shape, axes=x.axes))
        return results

    return rule


_RULES: dict[str, Callable[[Call], Any]] = {
    **dict.fromkeys(("Conv2D", "Conv3D", "DepthwiseConv2dNative"), convolution),
    **dict.fromkeys(
        ("Conv2DBackpropInput", "Conv3DBackpropInputV2", "DepthwiseConv2dNativeBackpropInput"), transposed_convolution
    ),
    **dict.fromkeys(("MaxPool", "AvgPool", "MaxPool3D", "AvgPool3D"), pooling),
    **dict.fromkeys(("ExtractImagePatches", "ExtractVolumePatches"), patches),
    **dict.fromkeys(("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"), _batch_normalisation),
    **dict.fromkeys(_REDUCTIONS.split(), _reduction),
    **dict.fromkeys(("Pad", "PadV2", "MirrorPad"), pad),
    **dict.fromkeys(RESIZES, resize),
    "ScaleAndTranslate": scale_and_translate,
    "StridedSlice": strided_slice,
    "Slice": slices,
    **dict.fromkeys(("Split", "SplitV"), split),
    "ConcatV2": concatenate,
    "Pack": pack,
    "Unpack": unpack,
    "ReverseV2": reverse,
    **dict.fromkeys(("GatherV2", "Gather"), gather),
    "Roll": lambda call: call.builder.roll(call.name, call.values[0], shifts=call.ints(1), axes=call.ints(2)),
    **dict.fromkeys(("Reshape", "Squeeze", "ExpandDims"), reshape),
    **dict.fromkeys(("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"), _matmul),
    "Einsum": lambda call: call.builder.einsum(call.name, call.attribute("equation"), *call.values),
    **dict.fromkeys(("Softmax", "LogSoftmax"), lambda call: call.builder.softmax(call.name, call.values[0], axis=-1)),
    "Transpose": transpose,
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), _blocks),
    "Tile": lambda call: call.builder.expand(
        call.name, call.values[0], shape=[n * m for n, m in zip(call.values[0].shape, call.ints(1))]
    ),
    "BroadcastTo": lambda call: call.builder.expand(call.name, call.values[0], shape=call.ints(1)),
    **dict.fromkeys(
        ("Cumsum", "Cumprod"),
        lambda call: call.builder.cumulative(
            call.name, call.values[0], axis=call.ints(1)[0], reverse=bool(call.node.get_attr("reverse"))
        ),
    ),
    "TopKV2": _whole(lambda call: [-1]),
    **dict.fromkeys(("FFT", "IFFT"), _whole(lambda call: [-1])),
    **dict.fromkeys(("FFT2D", "IFFT2D"), _whole(lambda call: [-1, -2])),
}
