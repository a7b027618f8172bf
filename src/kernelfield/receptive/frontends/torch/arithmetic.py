"""Rules of PyTorch's element-wise operations, normalisation, sums, products and recurrences."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernelfield.receptive.builder import Value
from kernelfield.receptive.frontends.torch.call import Call
from kernelfield.receptive.graph import Link

# PyTorch's names -> the builder's, for operations that may be gates.
_ARITHMETIC = {
    "add": "add",
    "sub": "subtract",
    "subtract": "subtract",
    "rsub": "subtract",
    "mul": "multiply",
    "multiply": "multiply",
    "div": "divide",
    "divide": "divide",
    "true_divide": "divide",
    "addcmul": "multiply",
    "addcdiv": "divide",
}


def plain_name(call: Call) -> str:
    """Return the name of an operation without its namespace and the underscore of the variant in place."""
    return call.operation.rpartition("::")[2].rstrip("_")


def elementwise(call: Call) -> Any:
    """Return the output of an element-wise operation."""
    name = plain_name(call)
    value = call.builder.elementwise(call.name, _ARITHMETIC.get(name, name), *call.values)
    if value.shape != call.shape:
        # An operation in place on a tensor with more axes than the other operands.
        value = call.builder.expand(f"{call.name}/expanded", value, shape=call.shape)
    return value


def chosen(call: Call) -> Any:
    """Return the output of `where` and `masked_fill`: with a constant mask an upper bound."""
    value = elementwise(call)
    mask = call.get("condition") or call.get("mask")
    hides = isinstance(mask, Value) and mask.node is None and value.node is not None
    places = hides and any(
        axis is not None and n > 1 for axis, n in zip(value.axes[::-1], mask.shape[::-1], strict=False)
    )
    return call.builder.bounded(value, "elements that the mask hides count as read") if places else value


def same(call: Call) -> Any:
    """Return the argument itself: dropout, casts, copies."""
    return call.builder.alias(call.name, call.x)


def constant(call: Call) -> Any:
    """Return a constant that has the shape of a tensor."""
    return call.builder.constant(call.shape)


def batch_normalisation(call: Call) -> Any:
    """Return the output of a batch normalisation: element-wise, or with the statistics of the image."""
    x = call["input"] if "input" in call.given else call.x
    own = call.get("training", False) or call.get("use_input_stats", False)
    if own and call.shape:
        value = call.builder.normalisation(call.name, x, axes=range(2, x.ndim), operation="normalisation")
    else:
        value = call.builder.elementwise(call.name, "normalisation", x, gate_rule=False)
    return call.with_rest(value) if isinstance(call.result, (tuple, list)) else value


def layer_normalisation(call: Call) -> Any:
    """Return the output of a layer or root-mean-square normalisation, over the last axes."""
    x = call.x
    value = call.builder.normalisation(
        call.name, x, axes=range(x.ndim - len(call["normalized_shape"]), x.ndim), channel_axis=-1
    )
    return call.with_rest(value) if isinstance(call.result, (tuple, list)) else value


def group_normalisation(call: Call) -> Any:
    """Return the output of a group normalisation."""
    x = call.x
    groups = call.get("num_groups") or call.get("group")
    value = call.builder.normalisation(call.name, x, axes=range(1, x.ndim), channel_groups=groups)
    return call.with_rest(value) if isinstance(call.result, (tuple, list)) else value


def softmax(call: Call) -> Any:
    """Return the output of `softmax` and its variants."""
    return call.builder.softmax(call.name, call.x, axis=call["dim"])


def reduction(call: Call) -> Any:
    """Return a sum, mean, maximum, norm … along axes; without axes, over all."""
    x, dim = call.x, call.get("dim")
    if isinstance(dim, int):
        dim = [dim]
    axes = [x.axis(t) for t in dim] if dim else list(range(x.ndim))
    keep = len(call.shape) == x.ndim and bool(axes)
    value = call.builder.reduce(call.name, x, axes=axes, keepdims=keep, operation=plain_name(call))
    return tuple([value] * len(call.result)) if isinstance(call.result, (tuple, list)) else value


def cumulative(call: Call) -> Any:
    """Return a running sum, product or maximum."""
    value = call.builder.cumulative(call.name, call.x, axis=call["dim"], operation=plain_name(call))
    return (value, value) if isinstance(call.result, (tuple, list)) else value


def whole_axes(call: Call) -> Any:
    """Return the output of an operation that reads whole axes and keeps them: sorting, Fourier transforms."""
    x, dims = call.x, call.get("dim", -1)
    axes = {x.axis(t) for t in (dims if isinstance(dims, (list, tuple)) else [dims])}
    return whole(call, x, axes, call.shape)


def whole(call: Call, x: Value, axes: set[int], shape: tuple[int, ...]) -> Any:
    """Return a node that reads all of some axes and its own position along the others."""
    places = list(x.grid)
    links = [Link((), None) if t in axes else Link((places.index(t),)) for t in places]
    value = call.builder.custom(call.name, plain_name(call), [x], [links], shape, x.axes)
    return tuple([value] * len(call.result)) if isinstance(call.result, (tuple, list)) else value


def gated_halves(call: Call) -> Any:
    """Return the output of `glu`: one half of an axis times the sigmoid of the other."""
    x = call.x
    t = x.axis(call.get("dim", -1))
    half = x.shape[t] // 2
    parts = []
    for i in range(2):
        starts = [i * half if u == t else 0 for u in range(x.ndim)]
        stops = [(i + 1) * half if u == t else None for u in range(x.ndim)]
        parts.append(call.builder.slice(f"{call.name}/{i}", x, starts=starts, stops=stops, steps=[1] * x.ndim))
    return call.builder.elementwise(call.name, "multiply", *parts)


def linear(call: Call) -> Any:
    """Return the output of a linear layer: a product with the transpose of its weights."""
    x, weight = call["input"], call["weight"]
    turned = call.builder.transpose(f"{call.name}/weight", weight, permutation=range(weight.ndim)[::-1])
    return call.builder.matmul(call.name, x, turned, operation="linear")


def matmul(call: Call) -> Any:
    """Return the product of two tensors."""
    a, b = call.values[:2]
    return call.builder.matmul(call.name, a, b)


def added_product(call: Call) -> Any:
    """Return the output of `addmm`, `baddbmm` and `addmv`: a product added to a first tensor."""
    first, a, b = call.values[:3]
    product = call.builder.matmul(f"{call.name}/product", a, b)
    return call.builder.elementwise(call.name, "add", first, product)


def einsum(call: Call) -> Any:
    """Return the output of `einsum`, with letters that differ within each operand."""
    equation = call["equation"].replace(" ", "")
    terms = equation.partition("->")[0].split(",")
    if any(len(set(term.replace("...", ""))) != len(term.replace("...", "")) for term in terms):
        return call.unknown()
    return call.builder.einsum(call.name, equation, *call.values)


def attention(call: Call) -> Any:
    """Return the output of a scaled dot-product attention; keys that a constant mask hides are not read."""
    query, key, value = call["query"], call["key"], call["value"]
    mask = call.get("attn_mask")
    length, keys = query.shape[-2], key.shape[-2]
    allowed, bound = None, ""
    if isinstance(mask, Value) and mask.node is None:
        array = call.hidden("attn_mask")
        if array is None:
            bound = "the contents of a mask are not known"
        else:
            allowed = array if array.dtype == bool else array > -np.inf
            allowed = np.broadcast_to(allowed, (*allowed.shape[:-2], length, keys))
    if call.get("is_causal", False):
        causal = np.tri(length, keys, dtype=bool)
        allowed = causal if allowed is None else allowed & causal
    result = call.builder.attention(call.name, query, key, value, allowed=allowed, mask=mask)
    return call.builder.bounded(result, bound) if bound else result


def recurrence(call: Call) -> Any:
    """Return the outputs of `gru`, `lstm` and `rnn`: a step reads itself and earlier ones, or all if bidirectional."""
    builder, x = call.builder, call.values[0]
    axis = 1 if call.get("batch_first", False) else 0
    axis = axis if x.ndim == 3 else 0
    width = call.shape[-1]
    wide = builder.matmul(f"{call.name}/weights", x, builder.constant((x.shape[-1], width)))
    if call.get("bidirectional", False):
        whole_result = whole(call, wide, {axis}, wide.shape)
        value = whole_result[0] if isinstance(whole_result, tuple) else whole_result
    else:
        value = builder.cumulative(call.name, wide, axis=axis, operation=plain_name(call))
    last = builder.reduce(f"{call.name}.last", wide, axes=[axis], keepdims=False, operation="last")
    states = []
    for state in call.result[1:]:
        shape = tuple(int(n) for n in state.shape)
        states.append(
            builder.custom(
                f"{call.name}.state", "state", [last], [[Link((), None)] * len(last.grid)], shape, (None,) * len(shape)
            )
            if last.node is not None
            else builder.constant(shape)
        )
    return (value, *states)
