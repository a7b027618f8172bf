"""Rules of ONNX operators that combine elements along axes: reductions, matrix products, attention, recurrence."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from kernelfield.receptive.builder import Value
from kernelfield.receptive.frontends.onnx.attributes import shown
from kernelfield.receptive.frontends.onnx.call import Call, Result

_REDUCTIONS: dict[str, tuple[str, Callable[..., Any] | None]] = {
    "ReduceMean": ("mean", np.mean),
    "ReduceSum": ("sum", np.sum),
    "ReduceMax": ("maximum", np.max),
    "ReduceMin": ("minimum", np.min),
    "ReduceProd": ("product", np.prod),
    "ReduceL1": ("L1 norm", None),
    "ReduceL2": ("L2 norm", None),
    "ReduceLogSum": ("logarithm of sum", None),
    "ReduceLogSumExp": ("log-sum-exp", None),
    "ReduceSumSquare": ("sum of squares", None),
}


def reduction(call: Call) -> Result:
    """Return the output of a reduction, over the axes of an attribute or of an input, or over all."""
    x = call.tensor()
    operation, fold = _REDUCTIONS[call.operation]
    given = call.given(1, "axes")
    if not given and call.attributes.flag("noop_with_empty_axes"):
        # Only the element-wise part is left: the square, the logarithm.
        return call.builder.elementwise(call.name, operation, x.value) if x.depends else x
    axes = call.axes(given) if given else list(range(len(x.shape)))
    keepdims = call.attributes.flag("keepdims", True)
    if 0 in x.shape:
        shape = [1 if i in axes else n for i, n in enumerate(x.shape) if keepdims or i not in axes]
        return call.builder.constant(call.checked(shape, empty=True))
    return call.shaped(
        lambda: call.builder.reduce(call.name, x.value, axes=axes, keepdims=keepdims, operation=operation),
        (lambda a: _folded(fold, a, axes, keepdims)) if fold is not None else lambda a: a,
        x,
        # Reductions that do not occur in shapes are not folded.
        size=0 if fold is not None else 1 << 62,
    )


def _folded(fold: Callable[..., Any], a: np.ndarray, axes: list[int], keepdims: bool) -> np.ndarray:
    return np.asarray(fold(a, axis=tuple(axes), keepdims=keepdims)).astype(a.dtype)


def extreme(call: Call) -> Result:
    """Return the output of ArgMax and ArgMin."""
    axis = call.axis(call.attributes.integer("axis", 0))
    keepdims = call.attributes.flag("keepdims", True)
    return call.builder.reduce(call.name, call.x, axes=[axis], keepdims=keepdims, operation=call.operation.lower())


def cumulative(call: Call) -> Result:
    """Return the output of CumSum and CumProd; an exclusive one does not read its own position."""
    x = call.x
    axis = call.axis(call.integers(1, "an axis", 1)[0])
    reverse, exclusive = call.attributes.flag("reverse"), call.attributes.flag("exclusive")
    if exclusive and x.shape[axis] > 1:
        size = [*x.shape]
        size[axis] -= 1
        start = [0] * len(size)
        start[axis] = int(reverse)
        stops = [s + n for s, n in zip(start, size)]
        x = call.builder.slice(f"{call.name} cut", x, starts=start, stops=stops, steps=[1] * len(size))
        one = [int(i == axis) for i in range(len(size))]
        none = [0] * len(size)
        before, after = (none, one) if reverse else (one, none)
        x = call.builder.pad(f"{call.name} shifted", x, before=before, after=after, mode="constant")
    elif exclusive:
        return call.builder.constant(x.shape)
    return call.builder.cumulative(call.name, x, axis=axis, reverse=reverse)


def matmul(call: Call) -> Result:
    """Return the output of MatMul, MatMulInteger and QLinearMatMul, by NumPy's rules."""
    a, b = call.tensor(0), call.tensor(3 if call.operation == "QLinearMatMul" else 1)
    _product_shape(call, a.shape, b.shape)
    made = call.builder.matmul(call.name, a.value, b.value)
    points = (2, 3) if call.operation == "MatMulInteger" else (1, 2, 4, 5) if call.operation == "QLinearMatMul" else ()
    dynamic = [t.value for t in map(call.optional, points) if t is not None and t.depends]
    if any(math.prod(d.shape) != 1 for d in dynamic):
        return call.unknown(shape=made.shape)
    return call.builder.elementwise(f"{call.name} zero point", "subtract", made, *dynamic) if dynamic else made


def _product_shape(call: Call, a: tuple[int, ...], b: tuple[int, ...]) -> None:
    try:
        if not a or not b or a[-1] != b[-2 if len(b) > 1 else 0]:
            raise ValueError
        call.checked((*np.broadcast_shapes(a[:-2], b[:-2]), *a[-2:-1], *(b[-1:] if len(b) > 1 else ())))
    except ValueError:
        raise call.error(
            "matrices that can be multiplied",
            f"{shown(a)} and {shown(b)}",
            "give the input size that the model was exported for",
        ) from None


def gemm(call: Call) -> Result:
    """Return the output of Gemm: transposes, a product and a sum."""
    call.rank(2, 2, 0)
    call.rank(2, 2, 1)
    a, b = call.tensor(0).value, call.tensor(1).value
    if call.attributes.flag("transA"):
        a = call.builder.transpose(f"{call.name} A", a, permutation=(1, 0))
    if call.attributes.flag("transB"):
        b = call.builder.transpose(f"{call.name} B", b, permutation=(1, 0))
    _product_shape(call, a.shape, b.shape)
    c = call.optional(2)
    if c is None or not c.depends:
        return call.builder.matmul(call.name, a, b)
    made = call.builder.matmul(f"{call.name} product", a, b)
    return call.builder.elementwise(call.name, "add", made, c.value)


def einsum(call: Call) -> Result:
    """Return the output of Einsum, after a check of its letters against the shapes."""
    equation = call.attributes.text("equation", "").replace(" ", "")
    tensors = call.present()
    terms = equation.split("->")[0].split(",")
    letters = set(equation) - set(",->.")
    if len(terms) != len(tensors) or equation.count("->") > 1 or not all(c.isascii() and c.isalpha() for c in letters):
        raise call.attributes.error("equation", f"{len(tensors)} terms of letters", repr(equation)[:80])
    if any(not term or len(set(term)) < len(term) for term in (t.replace("...", "") or t for t in terms)):
        # A scalar, a diagonal.
        return call.unknown()
    return call.builder.einsum(call.name, equation, *(t.value for t in tensors))


def attention(call: Call) -> Result:
    """Return the outputs of Attention on (N, heads, positions, channels) or (N, positions, channels)."""
    query, key, value = (call.tensor(i).value for i in range(3))
    rank = call.rank(3, 4)
    if len(key.shape) != rank or len(value.shape) != rank or key.shape[-2] != value.shape[-2]:
        raise call.error("a query, a key and a value of as many axes", f"{shown(key.shape)} and {shown(value.shape)}")
    heads = call.attributes.integer("q_num_heads", 1, 1) if rank == 3 else query.shape[1]
    others = call.attributes.integer("kv_num_heads", heads, 1) if rank == 3 else key.shape[1]
    if others < 1 or heads % others or value.shape[-1] % (others if rank == 3 else 1):
        raise call.error("heads of the query that are a multiple of those of the key", f"{heads} and {others}")
    channels = value.shape[-1] * heads // others if rank == 3 else value.shape[-1]
    shape = call.checked((*query.shape[:-1], channels))
    causal = call.attributes.flag("is_causal") or "left_window_size" in call.attributes
    plain = not causal and heads == others and not any(call.wants(i) for i in (1, 2, 3))
    if not plain or call.depends(3, 4, 5, 6) or call.optional(4) is not None:
        return [call.unknown(0, shape), *(call.unknown(i) for i in range(1, len(call.outputs)) if call.wants(i))]
    return call.builder.attention(call.name, query, key, value)


def recurrent(call: Call) -> Result:
    """Return the outputs of RNN, GRU and LSTM over (time, N, channels): each step reads itself and those before it."""
    x, weights = call.tensor(), call.tensor(1)
    call.rank(3, 3)
    call.rank(3, 3, 1)
    way = call.attributes.word("direction", "forward", ("forward", "reverse", "bidirectional"))
    ways = [False, True] if way == "bidirectional" else [way == "reverse"]
    first = call.attributes.flag("layout")
    hidden = call.attributes.integer("hidden_size", 0, 1)
    states = len(call.outputs)
    if not hidden or weights.shape[0] != len(ways) or weights.shape[2] != x.shape[2]:
        raise call.error(f"weights for {x.shape[2]} channels and hidden_size", shown(weights.shape))
    if any(t.depends for t in call.present()[1:]) or call.optional(4) is not None:
        return [call.unknown(i) for i in range(states)]
    time = 1 if first else 0
    outputs, last = [], []
    for reverse in ways:
        name = f"{call.name} backwards" if reverse and len(ways) > 1 else call.name
        read = call.builder.matmul(f"{name} input", x.value, call.builder.constant((x.shape[2], hidden)))
        run = call.builder.cumulative(name, read, axis=time, reverse=reverse)
        a, b, c = run.shape
        outputs.append(call.builder.reshape(f"{name} Y", run, shape=(a, b, 1, c) if first else (a, 1, b, c)))
        end = call.builder.reduce(f"{name} Y_h", read, axes=[time], keepdims=False, operation="last state")
        n = end.shape[0]
        last.append(call.builder.reshape(f"{name} state", end, shape=(n, 1, c) if first else (1, n, c)))
    joined = _joined(call, f"{call.name} Y", outputs, 2 if first else 1)
    ended = _joined(call, f"{call.name} Y_h", last, 1 if first else 0)
    return [joined, *([ended] * max(0, states - 1))]


def _joined(call: Call, name: str, values: list[Value], axis: int) -> Value:
    return values[0] if len(values) == 1 else call.builder.concatenate(name, values, axis=axis)


OPERATIONS: dict[str, Callable[[Call], Result]] = {
    **dict.fromkeys(_REDUCTIONS, reduction),
    **dict.fromkeys(("ArgMax", "ArgMin"), extreme),
    **dict.fromkeys(("CumSum", "CumProd"), cumulative),
    **dict.fromkeys(("MatMul", "MatMulInteger", "QLinearMatMul"), matmul),
    "Gemm": gemm,
    "Einsum": einsum,
    "Attention": attention,
    **dict.fromkeys(("RNN", "GRU", "LSTM"), recurrent),
}
