"""Rules of MXNet's operators, by name; those that work element-wise or along whole axes are defined here."""

from __future__ import annotations

import math
from collections.abc import Callable

from kernelfield.receptive.frontends.mxnet import rearranging, windows
from kernelfield.receptive.frontends.mxnet.call import Call, Result

_ARITHMETIC = {"add": "add", "plus": "add", "sub": "subtract", "minus": "subtract", "mul": "multiply", "div": "divide"}
_ARITHMETIC |= {"subtract": "subtract", "multiply": "multiply", "true_divide": "divide", "mod": "modulo"}
_ARITHMETIC |= {"power": "power", "maximum": "maximum", "minimum": "minimum", "hypot": "hypotenuse"}
_ARITHMETIC |= {"equal": "equal", "not_equal": "not equal", "greater": "greater", "lesser": "less", "less": "less"}
_ARITHMETIC |= {"greater_equal": "greater or equal", "lesser_equal": "less or equal", "less_equal": "less or equal"}
_ARITHMETIC |= {"logical_and": "and", "logical_or": "or", "logical_xor": "xor"}

_UNARY = (
    *("relu", "sigmoid", "hard_sigmoid", "softsign", "tanh", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh"),
    *(
        "cosh",
        "arcsinh",
        "arccosh",
        "arctanh",
        "exp",
        "expm1",
        "log",
        "log10",
        "log2",
        "log1p",
        "sqrt",
        "rsqrt",
        "cbrt",
    ),
    *("rcbrt", "square", "reciprocal", "abs", "absolute", "sign", "negative", "floor", "ceil", "round", "rint", "fix"),
    *("trunc", "erf", "erfinv", "gamma", "gammaln", "clip", "logical_not", "degrees", "radians", "smooth_l1"),
    *("Cast", "cast", "identity", "copy", "BlockGrad", "stop_gradient", "make_loss", "MakeLoss", "amp_cast"),
    *("contrib_div_sqrt_dim", "div_sqrt_dim", "LRN", "IdentityAttachKLSparseReg", "mish"),
)
_REDUCTIONS = ("mean", "sum", "max", "min", "prod", "nansum", "nanprod", "norm", "std", "var", "argmax", "argmin")


def elementwise(call: Call) -> Result:
    """Return the output of an element-wise operator, also of one with a scalar operand."""
    word = _stem(call.operation)
    return call.builder.elementwise(call.name, _ARITHMETIC.get(word, word), *call.inputs)


def _stem(operation: str) -> str:
    """Return the name of an operator without the prefixes and suffixes of its interface.

    >>> _stem("_npi_add_scalar"), _stem("broadcast_mul"), _stem("_rminus_scalar")
    ('add', 'mul', 'minus')
    """
    stem = operation.lstrip("_")
    for prefix in ("npi_", "npx_", "np_", "contrib_", "elemwise_", "broadcast_"):
        stem = stem.removeprefix(prefix)
    if stem.endswith("_scalar"):
        stem = stem.removesuffix("_scalar")
        stem = stem[1:] if stem[:1] == "r" and stem[1:] in _ARITHMETIC else stem
    return stem


def pointwise(call: Call) -> Result:
    """Return the output of an operator that reads only its first input: activations, dropout, batch normalisation."""
    words = {"BatchNorm": "batch normalisation", "LeakyReLU": "activation", "Activation": "activation"}
    words["Activation"] = str(call.get("act_type", "activation"))
    word = words.get(call.operation, call.operation.lower())
    if call.operation == "LeakyReLU":
        word = str(call.get("act_type", "leaky"))
    made = call.builder.elementwise(call.name, word, call.x)
    return [made] * max(1, len(call.shapes))


def normalisation(call: Call) -> Result:
    """Return the outputs of InstanceNorm, LayerNorm, GroupNorm and L2Normalization."""
    rank = len(call.x.shape)
    groups = None
    if call.operation == "LayerNorm":
        axes = [int(call.get("axis", -1)) % rank]
    elif call.operation == "InstanceNorm":
        axes = list(range(2, rank))
    elif call.operation == "GroupNorm":
        axes, groups = list(range(1, rank)), int(call.get("num_groups", 1))
    else:
        modes = {"instance": list(range(1, rank)), "channel": [1], "spatial": list(range(2, rank))}
        axes = modes[call.get("mode", "instance")]
    word = f"{call.operation.removesuffix('Norm').removesuffix('Normalization').lower()} normalisation"
    made = call.builder.normalisation(call.name, call.x, axes=axes, channel_groups=groups, operation=word)
    extra = [
        call.builder.reduce(f"{call.name}:{i}", call.x, axes=axes, keepdims=False) for i in range(1, len(call.shapes))
    ]
    return [made, *extra]


def softmax(call: Call) -> Result:
    """Return the output of softmax, its logarithm and the legacy output layers."""
    axis = -1
    if call.operation in ("SoftmaxOutput", "SoftmaxActivation", "Softmax"):
        channel = call.get("mode", "instance") == "channel" or call.get("multi_output", False)
        if not channel and len(call.x.shape) > 2:
            return call.unknown()
        axis = 1
    return call.builder.softmax(call.name, call.x, axis=int(call.get("axis", axis)))


def dense(call: Call) -> Result:
    """Return the output of FullyConnected, over all axes but the batch, or over the last axis."""
    x = call.x
    if call.get("flatten", True) and len(x.shape) != 2:
        x = call.builder.reshape(f"{call.name} flat", x, shape=(x.shape[0], math.prod(x.shape[1:])))
    return call.builder.matmul(call.name, x, call.builder.constant((x.shape[-1], call.shapes[0][-1])))


def product(call: Call) -> Result:
    """Return a matrix product of the legacy interface, with operands transposed on request."""
    a, b = call.inputs
    if call.operation == "dot" and len(a.shape) > 2 and (call.get("transpose_a") or call.get("transpose_b")):
        return call.unknown()
    if call.get("transpose_a", False):
        a = call.builder.transpose(f"{call.name} a", a, permutation=_swapped(len(a.shape)))
    if call.get("transpose_b", False):
        b = call.builder.transpose(f"{call.name} b", b, permutation=_swapped(len(b.shape)))
    if call.operation == "dot" and len(b.shape) > 2:
        return call.unknown()
    return call.builder.matmul(call.name, a, b)


def _swapped(rank: int) -> list[int]:
    return [*range(rank - 2), rank - 1, rank - 2]


def reduction(call: Call) -> Result:
    """Return a mean, sum, maximum … over some axes, by default over all."""
    word = call.operation.lstrip("_").removeprefix("npi_").removeprefix("np_")
    axes, keepdims = call.axes(), bool(call.get("keepdims", False))
    made = call.builder.reduce(call.name, call.x, axes=axes, keepdims=keepdims, operation=word)
    # In the legacy interface a reduction of all axes leaves one of extent 1.
    return made if made.shape == call.shapes[0] else call.builder.reshape(call.name, made, shape=call.shapes[0])


def like(call: Call) -> Result:
    """Return constants: only the shape of the input matters."""
    return [call.builder.constant(shape) for shape in call.shapes]


def operator(name: str) -> Callable[[Call], Result] | None:
    """Return the rule of an operator, None where it is not known."""
    if name in _TABLE:
        return _TABLE[name]
    stem = _stem(name)
    return elementwise if stem in _ARITHMETIC or stem in _UNARY else None


_TABLE: dict[str, Callable[[Call], Result]] = {
    "Convolution": windows.convolution,
    "Convolution_v1": windows.convolution,
    "Deconvolution": windows.deconvolution,
    "Pooling": windows.pooling,
    "_contrib_AdaptiveAvgPooling2D": windows.adaptive,
    "UpSampling": windows.upsampling,
    "_contrib_BilinearResize2D": windows.bilinear,
    "FullyConnected": dense,
    **dict.fromkeys(("dot", "batch_dot", "_npi_matmul"), product),
    **dict.fromkeys(("Flatten", "Reshape", "_npx_reshape", "_np_reshape", "_npi_reshape"), rearranging.reshape),
    **dict.fromkeys(("expand_dims", "squeeze", "_npi_expand_dims", "_np_squeeze", "_npi_squeeze"), rearranging.reshape),
    **dict.fromkeys(("reshape_like", "_npx_batch_flatten"), rearranging.reshape),
    **dict.fromkeys(("tile", "broadcast_to", "broadcast_like", "broadcast_axis"), rearranging.expand),
    **dict.fromkeys(("_npi_tile", "_npi_broadcast_to"), rearranging.expand),
    **dict.fromkeys(
        ("transpose", "_np_transpose", "_npi_transpose", "SwapAxis", "_npi_swapaxes"), rearranging.transpose
    ),
    **dict.fromkeys(("slice", "slice_axis", "slice_like", "Crop", "_npi_slice"), rearranging.slices),
    **dict.fromkeys(("SliceChannel", "_split_v2", "_npi_split"), rearranging.split),
    **dict.fromkeys(("Concat", "_npi_concatenate", "stack", "_npi_stack"), rearranging.concatenate),
    **dict.fromkeys(("reverse", "_npi_flip"), rearranging.flip),
    **dict.fromkeys(("repeat", "_np_repeat"), rearranging.repeat),
    "Pad": rearranging.pad,
    **dict.fromkeys(("depth_to_space", "space_to_depth"), rearranging.shuffle),
    **dict.fromkeys(("BatchNorm", "Activation", "LeakyReLU", "Dropout"), pointwise),
    **dict.fromkeys(("InstanceNorm", "LayerNorm", "GroupNorm", "L2Normalization"), normalisation),
    **dict.fromkeys(("softmax", "log_softmax", "softmin", "SoftmaxOutput", "SoftmaxActivation"), softmax),
    **dict.fromkeys([p + r for p in ("", "_npi_", "_np_") for r in _REDUCTIONS], reduction),
    **dict.fromkeys(("zeros_like", "ones_like", "_zeros", "_ones", "_npi_zeros", "_npi_ones"), like),
    **dict.fromkeys(("add_n", "where", "_npi_where", "SliceLike"), elementwise),
}
