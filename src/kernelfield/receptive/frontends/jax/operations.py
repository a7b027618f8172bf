"""Rules of JAX's primitives, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kernelfield.receptive.frontends.jax.indexing import (
    dynamic_slice,
    dynamic_update_slice,
    gather,
    reverse,
    scatter,
    slices,
    splits,
)
from kernelfield.receptive.frontends.jax.products import dot
from kernelfield.receptive.frontends.jax.walk import Call, Result
from kernelfield.receptive.frontends.jax.windows import convolution, mapped, pad, windows
from kernelfield.receptive.registry import registered

_PLACE_BY_PLACE = (
    "abs acos acosh add add_any and asin asinh atan atan2 atanh bessel_i0e bessel_i1e bitcast_convert_type cbrt "
    "ceil clamp clz complex conj convert_element_type copy copy_p cos cosh digamma div eq eq_to erf erf_inv erfc "
    "exp exp2 expm1 floor ge gt igamma igamma_grad_a igammac imag integer_pow is_finite layout_constraint le le_to "
    "lgamma log log1p logistic lt lt_to max min mul mulhi ne neg nextafter not optimization_barrier or polygamma "
    "population_count pow real reduce_precision regularized_incomplete_beta rem round rsqrt select_n "
    "sharding_constraint shift_left shift_right_arithmetic shift_right_logical sign sin sinh sqrt square "
    "stop_gradient sub tan tanh xor zeta name device_put pvary"
)
_POINTWISE = frozenset(_PLACE_BY_PLACE.split())


def rule(call: Call) -> Result:
    """Return the outputs of one equation; a primitive without a rule is refused, or reads all of its inputs."""
    given = registered(call.operation)
    if given is not None:
        return given(call.builder, call.name, call.values, {**call.params, "shape": call.shapes[0]})
    if call.operation in _POINTWISE:
        return _pointwise(call)
    found = _RULES.get(call.operation)
    return call.unknown() if found is None else found(call)


def _pointwise(call: Call) -> Result:
    if call.operation == "bitcast_convert_type" and call.shapes[0] != call.values[0].shape:
        return call.unknown()
    sources = [v for v in call.values if v.node is not None]
    if call.operation == "optimization_barrier":
        return list(call.values)
    first = sources[0]
    plain = first.shape == call.shapes[0] and all((v.node, v.axes) == (first.node, first.axes) for v in sources)
    if plain and (call.alias or (len(call.values) == 1 and call.operation in _TRIVIAL)):
        return first
    operation = call.function if len(sources) == 1 and call.function else _NAMES.get(call.operation, call.operation)
    return call.builder.elementwise(call.name, operation, *call.values)


_NAMES = {"add_any": "add", "sub": "subtract", "mul": "multiply", "div": "divide", "max": "maximum", "min": "minimum"}

# Primitives that keep values, or only round them.
_SAME = "convert_element_type copy copy_p stop_gradient reduce_precision sharding_constraint name layout_constraint"
_TRIVIAL = frozenset([*_SAME.split(), "device_put", "pvary"])
_REDUCTIONS = "reduce_sum reduce_max reduce_min reduce_prod reduce_and reduce_or reduce_xor reduce argmax argmin"


def _reduce(call: Call) -> Result:
    axes = call.params.get("axes", call.params.get("dimensions"))
    if len(call.shapes) != 1:
        return call.unknown()
    operation = call.operation.removeprefix("reduce_")
    return call.builder.reduce(call.name, call.values[0], axes=tuple(axes or ()), keepdims=False, operation=operation)


def _whole(axis_of: str) -> Callable[[Call], Result]:
    """Return the rule of a primitive that reads a whole axis and keeps it: sorting, Fourier transforms."""

    def rule(call: Call) -> Result:
        axes = call.params[axis_of]
        axes = tuple(axes) if isinstance(axes, Sequence) else (axes,)
        results = []
        for shape in call.shapes:
            sources = [v for v in call.values if v.node is not None]
            parts = [mapped(call, call.operation, v, shape, dict.fromkeys(axes)) for v in sources]
            results.append(parts[0] if len(parts) == 1 else call.builder.elementwise(call.name, call.operation, *parts))
        return results

    return rule


def _fft(call: Call) -> Result:
    x = call.values[0]
    axes = range(len(x.shape) - len(call.params["fft_lengths"]), len(x.shape))
    return mapped(call, "fft", x, call.shapes[0], dict.fromkeys(axes))


def _cumulative(call: Call) -> Result:
    p = call.params
    return call.builder.cumulative(call.name, call.values[0], axis=p["axis"], reverse=p["reverse"])


def _broadcast(call: Call) -> Result:
    x, shape = call.values[0], call.shapes[0]
    ones = [1] * len(shape)
    for axis, place in enumerate(call.params["broadcast_dimensions"]):
        ones[place] = x.shape[axis]
    if tuple(ones) != x.shape:
        x = call.builder.reshape(f"{call.name}/shape", x, shape=ones)
    return x if x.shape == shape else call.builder.expand(call.name, x, shape=shape)


def _reshape(call: Call) -> Result:
    if call.params.get("dimensions") is not None:
        return call.unknown()
    return call.builder.reshape(call.name, call.values[0], shape=call.shapes[0])


def _transpose(call: Call) -> Result:
    return call.builder.transpose(call.name, call.values[0], permutation=call.params["permutation"])


def _concatenate(call: Call) -> Result:
    return call.builder.concatenate(call.name, call.values, axis=call.params["dimension"])


_RULES: dict[str, Callable[[Call], Any]] = {
    "conv_general_dilated": convolution,
    "reduce_window_max": windows("max"),
    "reduce_window_min": windows("max"),
    "reduce_window_sum": windows("average"),
    "reduce_window": windows("max"),
    **dict.fromkeys(_REDUCTIONS.split(), _reduce),
    "dot_general": dot,
    "pad": pad,
    "slice": slices,
    "rev": reverse,
    "split": splits,
    "dynamic_slice": dynamic_slice,
    "dynamic_update_slice": dynamic_update_slice,
    "gather": gather,
    "scatter": scatter,
    "sort": _whole("dimension"),
    "top_k": _whole("axis"),
    "approx_top_k": _whole("reduction_dimension"),
    "fft": _fft,
    **dict.fromkeys(["cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp"], _cumulative),
    "broadcast_in_dim": _broadcast,
    "tile": lambda call: call.builder.expand(call.name, call.values[0], shape=call.shapes[0]),
    "reshape": _reshape,
    "squeeze": _reshape,
    "transpose": _transpose,
    "concatenate": _concatenate,
}
