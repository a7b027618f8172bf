"""Rules of ONNX operators that work element-wise, and of normalisation; constants are folded."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from kernelfield.receptive.builder import Value
from kernelfield.receptive.frontends.onnx.attributes import shown
from kernelfield.receptive.frontends.onnx.call import Call, Result, Tensor


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.dtype.kind not in "iu":
        return np.asarray(a / b)
    if not np.all(b):
        raise ZeroDivisionError("a division by 0")
    # Integer division truncates, as in C.
    return np.asarray(np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))).astype(a.dtype)


def _modulo(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.dtype.kind in "iu" and not np.all(b):
        raise ZeroDivisionError("a division by 0")
    return np.asarray(np.mod(a, b))


def _power(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(np.power(a.astype("float64"), b)).astype(a.dtype)


#: Element-wise operators: the name in the table, and the function that folds constants, where shapes may need it.
_NAMED: dict[str, tuple[str, Callable[..., Any] | None]] = {
    "Add": ("add", np.add),
    "Sub": ("subtract", np.subtract),
    "Mul": ("multiply", np.multiply),
    "Div": ("divide", _divide),
    "Mod": ("modulo", _modulo),
    "Pow": ("power", _power),
    "Sum": ("add", lambda *a: sum(a[1:], a[0])),
    "Mean": ("mean", None),
    "Max": ("maximum", lambda *a: np.maximum.reduce(np.broadcast_arrays(*a))),
    "Min": ("minimum", lambda *a: np.minimum.reduce(np.broadcast_arrays(*a))),
    "Where": ("where", np.where),
    "Equal": ("equal", np.equal),
    "Less": ("less", np.less),
    "LessOrEqual": ("less or equal", np.less_equal),
    "Greater": ("greater", np.greater),
    "GreaterOrEqual": ("greater or equal", np.greater_equal),
    "And": ("and", np.logical_and),
    "Or": ("or", np.logical_or),
    "Xor": ("xor", np.logical_xor),
    "Not": ("not", np.logical_not),
    "Neg": ("negative", np.negative),
    "Abs": ("absolute", np.abs),
    "Sign": ("sign", np.sign),
    "Floor": ("floor", np.floor),
    "Ceil": ("ceil", np.ceil),
    "Round": ("round", np.round),
    "Sqrt": ("square root", np.sqrt),
    "Reciprocal": ("reciprocal", np.reciprocal),
    "Exp": ("exponential", np.exp),
    "Log": ("logarithm", np.log),
}
_NAMED |= {
    name: (name.lower(), None)
    for name in (
        *("Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Cos", "Cosh", "Sin", "Sinh", "Tan", "Tanh", "Erf"),
        *("Relu", "LeakyRelu", "PRelu", "Elu", "Celu", "Selu", "Gelu", "Sigmoid", "HardSigmoid", "HardSwish"),
        *("Softplus", "Softsign", "Mish", "Swish", "SwiGLU", "Shrink", "ThresholdedRelu", "IsInf", "IsNaN"),
        *("BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot"),
    )
}
# Operators of which only the first input is read; the others are limits, ratios, seeds.
_FIRST = ["Clip", "Dropout", "LRN", "Bernoulli", "BitCast"]


def elementwise(call: Call) -> Result:
    """Return the output of an element-wise operator, with inputs that broadcast."""
    tensors = call.present()
    shape = _broadcast(call, [t.shape for t in tensors])
    operation, fold = _NAMED[call.operation]
    if call.operation == "Mod" and call.attributes.flag("fmod"):
        fold = np.fmod
    values = [t.value for t in tensors]
    if fold is None or any(t.depends for t in tensors):
        return call.builder.elementwise(call.name, operation, *values)
    return call.shaped(
        lambda: call.builder.constant(call.checked(shape, empty=True)), fold, *tensors, size=math.prod(shape)
    )


def _broadcast(call: Call, shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise call.error(
            "shapes that broadcast to one", ", ".join(map(shown, shapes)), "give the input size it was exported for"
        ) from None


def first(call: Call) -> Result:
    """Return the outputs of an operator that is element-wise in its first input: the result, and a mask."""
    x = call.tensor()
    if any(t.depends for t in call.present()[1:]):
        return call.unknown(shape=x.shape)
    if call.operation == "Clip" and not x.depends:
        return call.shaped(lambda: x.value, lambda a, *k: _clipped(call, a), x)
    if not x.depends:
        return [x if call.operation == "Dropout" else x.value] * max(1, len(call.outputs))
    made = call.builder.elementwise(call.name, call.operation.lower(), x.value)
    return [made] * max(1, len(call.outputs))


def _clipped(call: Call, a: np.ndarray) -> np.ndarray:
    low, high = (call.content(i, "a limit") if call.optional(i) is not None else None for i in (1, 2))
    return a if low is None and high is None else np.clip(a, low, high)


def cast(call: Call) -> Result:
    """Return the output of Cast and CastLike; constants are converted."""
    x = call.tensor()
    if x.depends:
        return call.builder.elementwise(call.name, "cast", x.value)
    if call.operation == "Cast":
        return call.shaped(lambda: x.value, lambda a: a.astype(_dtype(call, call.attributes.integer("to", 0))), x)
    return call.shaped(lambda: x.value, lambda a, b: a.astype(b.dtype), x, call.tensor(1))


def _dtype(call: Call, number: int) -> np.dtype[Any]:
    from onnx import helper

    try:
        return np.dtype(helper.tensor_dtype_to_np_dtype(number))
    except (KeyError, TypeError, ValueError):
        raise call.attributes.error("to", "a type of ONNX", str(number)) from None


def batch_normalisation(call: Call) -> Result:
    """Return the outputs of BatchNormalization, with the statistics of training, or else those of the image."""
    x = call.x
    if call.depends(1, 2, 3, 4):
        return call.unknown(shape=x.shape)
    if not call.attributes.flag("training_mode"):
        return [call.builder.elementwise(call.name, "batch normalisation", x)]
    others = [a for a in range(len(x.shape)) if a != 1]
    made = call.builder.normalisation(call.name, x, axes=others, operation="batch normalisation")
    return [made, *(_reduced(call, i, x, others, False) for i in range(1, len(call.outputs)))]


def _reduced(call: Call, index: int, x: Value, axes: list[int], keepdims: bool) -> Value:
    if not call.wants(index):
        return call.builder.constant(())
    return call.builder.reduce(call.label(index), x, axes=axes, keepdims=keepdims, operation="mean")


def normalisation(call: Call) -> Result:
    """Return the outputs of a normalisation: statistics over some axes, applied element-wise."""
    x, rank = call.x, call.rank(1)
    axis = call.attributes.integer("axis", 0 if call.operation == "MeanVarianceNormalization" else -1)
    groups = None
    if call.operation in ("LayerNormalization", "RMSNormalization"):
        axes = list(range(call.axis(axis), rank))
    elif call.operation == "LpNormalization":
        axes = [call.axis(axis)]
    elif call.operation == "MeanVarianceNormalization":
        given = call.attributes.integers("axes")
        axes = call.axes([0, 2, 3] if given is None else given)
    else:
        call.rank(3)
        axes = list(range(2, rank))
        if call.operation == "GroupNormalization":
            groups = call.attributes.integer("num_groups", 0, 1)
            if not groups or x.shape[1] % groups:
                raise call.attributes.error("num_groups", f"a divisor of {x.shape[1]} channels", str(groups))
            axes = [1, *axes]
    if any(t.depends for t in call.present()[1:]):
        return call.unknown(shape=x.shape)
    before = call.tensor().before
    if call.operation == "InstanceNormalization" and before is not None and _in_groups(before.shape, x.shape):
        # A group normalisation as torch.onnx.export writes it, between a reshape to groups and its inverse.
        axes = list(range(1, len(before.shape)))
        word = "group normalisation"
        made = call.builder.normalisation(call.name, before.value, axes=axes, channel_groups=x.shape[1], operation=word)
        return Tensor(call.builder.reshape(f"{call.name} groups", made, shape=x.shape), before=Tensor(made))
    made = call.builder.normalisation(call.name, x, axes=axes, channel_groups=groups, operation=_words(call.operation))
    return [made, *(_reduced(call, i, x, axes, True) for i in range(1, len(call.outputs)))]


def _in_groups(shape: tuple[int, ...], groups: tuple[int, ...]) -> bool:
    """Return whether (N, C, …) was reshaped to (N, groups, …) with each channel in one of the groups."""
    return len(shape) > 2 and shape[0] == groups[0] and shape[1] % groups[1] == 0


def _words(operation: str) -> str:
    kind = operation.removesuffix("Normalization")
    return f"{ {'Lp': 'lp', 'RMS': 'RMS', 'MeanVariance': 'mean-variance'}.get(kind, kind.lower()) } normalisation"


def softmax(call: Call) -> Result:
    """Return the output of a softmax: along one axis since operator set 13, before along all from one on."""
    x, rank = call.x, len(call.x.shape)
    axis = call.axis(call.attributes.integer("axis", -1 if call.opset >= 13 else 1), max(rank, 1))
    axes = [axis] if call.opset >= 13 else list(range(axis, rank))
    if not rank:
        return x
    for inner in axes[:0:-1]:
        x = call.builder.softmax(f"{call.name} axis {inner}", x, axis=inner)
    return call.builder.softmax(call.name, x, axis=axes[0])


def quantised(call: Call) -> Result:
    """Return the output of QuantizeLinear and DequantizeLinear, whose scales may depend on the image."""
    x, *others = call.present()
    if not x.depends and not any(t.depends for t in others):
        return x.value
    dynamic = [t.value for t in others if t.depends]
    if any(math.prod(d.shape) != 1 for d in dynamic):
        return call.unknown(shape=x.shape)
    word = "quantise" if call.operation == "QuantizeLinear" else "dequantise"
    return call.builder.elementwise(call.name, word, x.value, *dynamic)


def dynamically_quantised(call: Call) -> Result:
    """Return the outputs of DynamicQuantizeLinear, whose scale depends on the smallest and the largest element."""
    x = call.x
    axes = list(range(len(x.shape)))
    made = call.builder.normalisation(call.name, x, axes=axes, operation="quantise")
    return [made, *(_reduced(call, i, x, axes, False) for i in (1, 2))]


def rotary(call: Call) -> Result:
    """Return the output of RotaryEmbedding, which mixes the channels of one position."""
    x = call.tensor()
    if call.depends(1, 2, 3):
        return call.unknown(shape=x.shape)
    return call.builder.elementwise(call.name, "rotary embedding", x.value)


OPERATIONS: dict[str, Callable[[Call], Result]] = {
    **dict.fromkeys(_NAMED, elementwise),
    **dict.fromkeys(_FIRST, first),
    "Cast": cast,
    "CastLike": cast,
    "BatchNormalization": batch_normalisation,
    **dict.fromkeys(
        [f"{kind}Normalization" for kind in ("Layer", "RMS", "Lp", "MeanVariance", "Instance", "Group")],
        normalisation,
    ),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), softmax),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), quantised),
    "DynamicQuantizeLinear": dynamically_quantised,
    "RotaryEmbedding": rotary,
}
