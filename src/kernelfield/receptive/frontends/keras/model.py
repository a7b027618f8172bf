"""Keras 3 models as graphs, on any backend: functional ones by their nodes, others by a call on symbolic tensors."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from kernelfield.errors import ArgumentError, KernelfieldError, UnsupportedOperation
from kernelfield.receptive.builder import Builder
from kernelfield.receptive.frontends.image_size import checked_size
from kernelfield.receptive.frontends.keras.layers import LAYERS
from kernelfield.receptive.frontends.keras.operations import OPERATIONS
from kernelfield.receptive.frontends.keras.walk import Walker, calls_anew, layers_of
from kernelfield.receptive.graph import Graph


def graph(
    model: Any,
    input_size: int | Sequence[int] | None = None,
    *,
    unknown: Literal["error", "global"] = "error",
    channels: int | None = None,
    data_format: Literal["channels_last", "channels_first"] | None = None,
    image: str | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> Graph:
    """Return the graph of a Keras model.

    Parameters
    ----------
    model : keras.Model or keras.Layer
        A subclassed model is called on symbolic tensors; where that fails (it uses operations of the backend), the
        backend, JAX or TensorFlow, traces its call.
    input_size : sequence of int, optional
        Spatial sizes, or the shape of the whole tensor with its batch of 1; not needed where the model fixes it.
    channels : int, optional
        Needed with spatial sizes where the model was not built.
    data_format : {"channels_last", "channels_first"}, optional
        By default that of the model's layers.
    image : str, optional
        Name of the input, where a model has several; the others count as constants.
    arguments : mapping, optional
        Keyword arguments of a subclassed model's call.
    """
    import keras

    layout = data_format or _layout(model, keras.config.image_data_format())
    size, alone = checked_size(input_size)
    builder = Builder(unknown=unknown)
    walker = Walker(builder, LAYERS, OPERATIONS)
    functional = _functional(model)
    if functional is None:
        return _subclassed(model, walker, _full(size, None, channels, layout), layout, dict(arguments or {}), unknown)
    inputs = [_name(x) for x in functional.inputs]
    chosen = _chosen(functional.inputs, image)
    values = []
    for i, tensor in enumerate(functional.inputs):
        if i == chosen:
            static = tuple(tensor.shape)
            spread = size * max(1, len(static) - 2) if alone and size is not None else size
            shape = _full(spread, static, channels, layout)
            values.append(builder.image(inputs[i], shape, _space(len(shape), layout)))
        else:
            values.append(builder.constant(tuple(n or 1 for n in tensor.shape)))
    return builder.graph(*walker.function(functional, values, ""))


def _functional(model: Any) -> Any:
    """Return the functional model of a model, None where it has none."""
    inner = getattr(model, "_functional", None) or model
    return inner if hasattr(inner, "_nodes_by_depth") and not calls_anew(model) else None


def _subclassed(
    model: Any, walker: Walker, shape: tuple[int, ...], layout: str, arguments: dict[str, Any], unknown: Any
) -> Graph:
    """Return the graph of a subclassed model: its call on symbolic tensors, or as traced by the backend."""
    import keras

    source = walker.builder.image("image", shape, _space(len(shape), layout))
    values = walker.written_out(model, "", (source,), arguments)
    if values is not None:
        return walker.builder.graph(*values)
    call = _inferring(model, arguments)
    backend = keras.config.backend()
    spatial = _space(len(shape), layout)
    remedy = "call it on a keras.Input to make it functional, or export it to ONNX"
    try:
        # Keras warns that the model is built by its first call.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if backend == "jax":
                from kernelfield.receptive.frontends import jax

                return jax.graph(call, shape, unknown=unknown, spatial_axes=spatial)
            if backend == "tensorflow":
                import tensorflow as tf

                from kernelfield.receptive.frontends import tensorflow

                return tensorflow.graph(tf.function(call), shape, unknown=unknown, spatial_axes=spatial)
    except KernelfieldError:
        raise
    except Exception as error:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise UnsupportedOperation(
            f"model: expected a call that can be traced; received {type(model).__name__}: {reason}; {remedy}"
        ) from error
    raise UnsupportedOperation(
        f"model: expected a functional model; received {type(model).__name__}, whose call takes no symbolic "
        f"tensors; {remedy}"
    )


def _inferring(model: Any, arguments: dict[str, Any]) -> Callable[[Any], Any]:
    return lambda x: model(x, **arguments)


def _chosen(inputs: Sequence[Any], wanted: str | None) -> int:
    names = [_name(x) for x in inputs]
    if wanted is not None:
        if wanted not in names:
            raise ArgumentError(f"image: expected one of {names}; received {wanted!r}")
        return names.index(wanted)
    images = [i for i, x in enumerate(inputs) if len(x.shape) >= 3] or list(range(len(inputs)))
    if len(images) != 1:
        raise ArgumentError(f"image: expected the name of one of the inputs {names}; received None")
    return images[0]


def _layout(model: Any, default: str) -> str:
    formats = [f for layer in layers_of(model) if isinstance(f := getattr(layer, "data_format", None), str)]
    return formats[0] if formats else default


def _space(rank: int, layout: str) -> tuple[int, ...]:
    if rank < 2:
        raise ArgumentError(
            f"model: expected an image with batch and channels as input; received a tensor of {rank} axes"
        )
    if rank == 2:
        # A wave (N, L) has no channels.
        return (1,)
    return tuple(range(2, rank)) if layout == "channels_first" else tuple(range(1, rank - 1))


def _full(
    size: tuple[int, ...] | None, static: tuple[int | None, ...] | None, channels: int | None, layout: str
) -> tuple[int, ...]:
    """Return the shape of the image tensor from the model's own input shape and the given size."""
    first = layout == "channels_first"
    if size is None:
        if static is None or any(n is None for n in static[1:]):
            raise ArgumentError(
                f"input_size: expected the size of the image; received None, the model's input is {static}"
            )
        return (1, *(n for n in static[1:] if n is not None))
    rank = len(static) if static is not None else len(size) if size[0] == 1 and len(size) > 2 else len(size) + 2
    if len(size) == rank - 1:
        size = (1, *size)
    if len(size) == rank:
        shape = (1, *size[1:])
        if size[0] not in (1, None):
            raise ArgumentError(f"input_size: expected a batch of 1; received {size}")
    elif len(size) == rank - 2:
        known = channels or (None if static is None else static[1] if first else static[-1])
        if known is None:
            raise ArgumentError(
                f"input_size: expected the channels too, the model does not fix them; received {size}; pass the "
                "shape of the whole tensor or channels="
            )
        shape = (1, known, *size) if first else (1, *size, known)
    else:
        raise ArgumentError(f"input_size: expected {rank - 2} sizes or a shape of {rank}; received {size}")
    if static is not None and any(n is not None and n != m for n, m in zip(static[1:], shape[1:])):
        raise ArgumentError(
            f"input_size: expected {static}, which the model is fixed to; received {shape}; build it with None for its "
            "sizes"
        )
    return shape


def _name(tensor: Any) -> str:
    """Return the name of an input, which is that of its layer."""
    layer = getattr(getattr(tensor, "_keras_history", None), "operation", None)
    return str(tensor.name if layer is None else layer.name)
