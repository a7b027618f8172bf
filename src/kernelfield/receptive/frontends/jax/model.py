"""JAX functions and Flax modules (Linen and NNX) as graphs, from the jaxpr of the forward pass, traced by shapes alone.

Parameters are never created: those of Linen come from `jax.eval_shape`, those of NNX are replaced by their shapes.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from kernelfield.errors import ArgumentError
from kernelfield.receptive.builder import Builder
from kernelfield.receptive.frontends.image_size import checked_size
from kernelfield.receptive.frontends.jax.operations import rule
from kernelfield.receptive.frontends.jax.walk import Operand, Walker
from kernelfield.receptive.frontends.select import flax_kind
from kernelfield.receptive.graph import Graph

# Arguments that select inference, given where the signature of the call has them.
_INFERENCE = {
    "train": False,
    "training": False,
    "is_training": False,
    "deterministic": True,
    "use_running_average": True,
}


def graph(
    model: Any,
    input_size: int | Sequence[int] | None = None,
    *,
    unknown: Literal["error", "global"] = "error",
    channels: int | None = None,
    spatial_axes: Sequence[int] | None = None,
    dtype: Any = "float32",
    arguments: Mapping[str, Any] | None = None,
) -> Graph:
    """Return the graph of a Flax module or of a function of one image.

    Parameters
    ----------
    model : flax.nnx.Module, flax.linen.Module or callable
        A function takes the image as its first and only array; bind other arguments with `functools.partial`.
    input_size : sequence of int
        Spatial sizes, or the shape of the whole tensor with its batch of 1. For a function the sizes alone are the
        shape of an array without batch and channels.
    channels : int, optional
        Needed with spatial sizes where the module does not define it (Linen).
    spatial_axes : sequence of int, optional
        Spatial axes of the tensor; by default all but the first and the last, as in Flax.
    dtype : dtype
        Of the image.
    arguments : mapping, optional
        Keyword arguments of the call. Names like ``train`` and ``deterministic`` are set for inference by default.
    """
    size, _ = checked_size(input_size)
    if size is None:
        raise ArgumentError("input_size: expected the extents of the image; received None")
    shape, spatial = _image(model, size, channels, spatial_axes)
    import jax

    image = jax.ShapeDtypeStruct(shape, dtype)
    function, weights = _function(model, image, dict(arguments or {}))
    jaxpr = jax.make_jaxpr(function)(weights, image)
    builder = Builder(unknown=unknown)
    source = Operand(builder.image("image", shape, spatial))
    count = len(jaxpr.jaxpr.invars) - 1
    operands = [Operand(builder.constant(v.aval.shape)) for v in jaxpr.jaxpr.invars[:count]] + [source]
    walker = Walker(builder, rule, full_paths=flax_kind(model) == "nnx", strip=flax_kind(model) == "linen")
    outputs = [out.value for out in walker.closed(jaxpr, operands, ()) if out.value.node is not None]
    if not outputs:
        raise ArgumentError("model: expected an output that depends on the image; received one that is constant")
    return walker.named(builder.graph(*outputs))


def _image(
    model: object, size: tuple[int, ...], channels: int | None, spatial_axes: Sequence[int] | None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shape of the image tensor and its spatial axes."""
    if spatial_axes is not None:
        return size, tuple(a % len(size) for a in spatial_axes)
    if len(size) >= 3 and size[0] == 1:
        return size, tuple(range(1, len(size) - 1))
    if len(size) > 3:
        raise ArgumentError(f"input_size: expected a batch of 1; received {size}; pass 1 as its first element")
    if not flax_kind(model) and channels is None:
        return size, tuple(range(len(size)))
    channels = channels or _channels(model)
    if channels is None:
        raise ArgumentError(
            f"input_size: expected the channels too, which the module does not define; received {size}; pass "
            f"(1, {', '.join(map(str, size))}, channels) or channels="
        )
    return (1, *size, channels), tuple(range(1, len(size) + 1))


def _channels(model: Any) -> int | None:
    """Return the input channels of the first layer of an NNX module."""
    if flax_kind(model) != "nnx":
        return None
    layers = [
        m for _, m in sys.modules["flax.nnx"].iter_modules(model) if isinstance(getattr(m, "in_features", 0), int)
    ]
    wanted = {m.in_features for m in layers if getattr(m, "in_features", 0) in (1, 3, 4)}
    return wanted.pop() if len(wanted) == 1 else None


def _inference(call: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    known = inspect.signature(call).parameters
    return {name: value for name, value in _INFERENCE.items() if name in known} | arguments


def _function(model: Any, image: Any, arguments: dict[str, Any]) -> tuple[Callable[[Any, Any], Any], Any]:
    """Return the model as a function of parameters and image, and the shapes of its parameters."""
    import jax

    kind = flax_kind(model)
    if kind == "linen":
        arguments = _inference(model.__call__, arguments)
        variables = jax.eval_shape(lambda key, x: model.init(key, x, **arguments), jax.random.key(0), image)
        return lambda v, x: model.apply(v, x, **arguments), variables
    if kind == "nnx":
        from flax import nnx

        definition, state = nnx.split(model)
        shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), state)
        arguments = _inference(model.__call__, arguments)

        def call(state: Any, x: Any) -> Any:
            copy = nnx.merge(definition, state)
            copy.eval()
            _scope_calls(copy)
            return copy(x, **arguments)

        return call, shapes
    return lambda _, x: model(x, **arguments), ()


def _scope_calls(model: Any) -> None:
    """Add the calls of a (copied) NNX module and of its submodules to the names of the operations."""
    import jax
    from flax import nnx

    for path, module in list(nnx.iter_modules(model)):
        kind = type(module)
        if not path or "__call__" not in dir(kind):
            continue

        def call(self: Any, *args: Any, _kind: Any = kind, _name: str = ".".join(map(str, path)), **kwargs: Any) -> Any:
            with jax.named_scope(_name):
                return _kind.__call__(self, *args, **kwargs)

        object.__setattr__(module, "__class__", type(kind.__name__, (kind,), {"__call__": call}))
