"""TensorFlow functions, graphs, modules and SavedModels as graphs; variables are never read or restored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from kernelfield.errors import ArgumentError, FileError
from kernelfield.receptive.builder import Builder
from kernelfield.receptive.frontends.image_size import checked_size
from kernelfield.receptive.frontends.tensorflow.operations import folded_rule, rule
from kernelfield.receptive.frontends.tensorflow.walk import Operand, Rules, Walker
from kernelfield.receptive.graph import Graph

# Operations without readers that are not results of a network.
_NO_OUTPUTS = {
    "NoOp",
    "Assert",
    "Placeholder",
    "Const",
    "SaveV2",
    "RestoreV2",
    "AssignVariableOp",
    "Assign",
    "VarHandleOp",
}


@dataclass(frozen=True)
class _Source:
    """A graph definition, its image, its outputs, and the shapes of the variables among its inputs."""

    definition: Any
    image: str
    shape: tuple[int | None, ...] | None
    dtype: Any
    outputs: list[str]
    variables: dict[str, tuple[int, ...]] = field(default_factory=dict)


def graph(
    model: Any,
    input_size: int | Sequence[int] | None = None,
    *,
    unknown: Literal["error", "global"] = "error",
    channels: int | None = None,
    spatial_axes: Sequence[int] | None = None,
    dtype: Any = "float32",
    input: str | None = None,
    outputs: Sequence[str] | None = None,
) -> Graph:
    """Return the graph of a TensorFlow function, graph, module or SavedModel.

    Parameters
    ----------
    model : tf.function, ConcreteFunction, tf.Module, GraphDef, tf.Graph, or path of the folder of a SavedModel
        Of a SavedModel the graph of its first signature is read, and no variable.
    input_size : sequence of int, optional
        Spatial sizes, or the shape of the whole tensor with its batch of 1; not needed where the graph fixes it.
    channels : int, optional
        Needed with spatial sizes where the model does not fix them.
    spatial_axes : sequence of int, optional
        Spatial axes of the tensor; by default those of the graph's convolutions (NHWC or NCHW).
    dtype : dtype
        Of the image, where the model does not fix it.
    input, outputs : str and sequence of str, optional
        Names of operations, where a graph has several.
    """
    import tensorflow as tf

    size, _ = checked_size(input_size)
    source = _source(tf, model, size, channels, dtype, input, outputs)
    first = spatial_axes is None and _channels_first(source.definition)
    shape = _shape(source.shape, size, channels, first)
    axes = tuple(spatial_axes) if spatial_axes is not None else _space(len(shape), first)
    with tf.Graph().as_default() as whole:
        image = tf.compat.v1.placeholder(source.dtype, shape, "image")
        try:
            tf.graph_util.import_graph_def(source.definition, {f"{source.image}:0": image}, name="")
        except (ValueError, tf.errors.InvalidArgumentError) as error:
            raise ArgumentError(
                f"input_size: expected one that the graph takes; received {shape}: {str(error).splitlines()[0]}"
            ) from error
        builder = Builder(unknown=unknown)
        walker = Walker(builder, Rules(rule, folded_rule), source.definition.library, source.variables)
        env = {image.name: Operand(builder.image(source.image, shape, axes))}
        tensors = [whole.get_tensor_by_name(name if ":" in name else f"{name}:0") for name in source.outputs]
        results = [out.value for out in walker.tensors(tensors, env) if out.value.node is not None]
    if not results:
        raise ArgumentError("model: expected an output that depends on the image; received one that is constant")
    return builder.graph(*results)


def _is_function(model: object) -> bool:
    return hasattr(model, "get_concrete_function") or hasattr(model, "structured_input_signature")


def _source(
    tf: Any,
    model: Any,
    size: tuple[int, ...] | None,
    channels: int | None,
    dtype: Any,
    image: str | None,
    outputs: Sequence[str] | None,
) -> _Source:
    if isinstance(model, str | Path):
        return _saved(tf, Path(model), image)
    if isinstance(model, tf.Graph) and not hasattr(model, "structured_input_signature"):
        model = model.as_graph_def()
    if isinstance(model, tf.compat.v1.GraphDef):
        return _definition(tf, model, dtype, image, outputs)
    if not _is_function(model):
        if not callable(model):
            raise ArgumentError(f"model: expected a tf.Module that can be called; received {type(model).__name__}")
        call = type(model).__call__
        model = model.__call__ if hasattr(call, "get_concrete_function") else tf.function(model)
    if hasattr(model, "get_concrete_function") and not hasattr(model, "structured_input_signature"):
        model = _traced(tf, model, size, channels, dtype)
    return _function(model, image)


def _traced(tf: Any, function: Any, size: tuple[int, ...] | None, channels: int | None, dtype: Any) -> Any:
    if getattr(function, "input_signature", None) is not None:
        return function.get_concrete_function()
    if size is None:
        raise ArgumentError("input_size: expected the shape of the image tensor, the function does not fix it")
    full = len(size) >= 3 and size[0] == 1
    if not full and channels is None:
        raise ArgumentError(
            f"input_size: expected the whole shape, the function does not fix its channels; received {size}; pass "
            f"(1, {', '.join(map(str, size))}, channels) or channels="
        )
    shape = size if full else (1, *size, channels)
    return function.get_concrete_function(tf.TensorSpec(shape, dtype))


def _function(function: Any, wanted: str | None) -> _Source:
    """Return the source of a ConcreteFunction, with the shapes of the variables that it captures."""
    inner = function.graph
    captured = {id(t) for t in inner.internal_captures}
    images = [t for t in inner.inputs if id(t) not in captured and (wanted is None or t.op.name == wanted)]
    if len(images) != 1:
        raise ArgumentError(
            f"input: expected the name of the image among {[t.op.name for t in images]}; received {wanted}"
        )
    variables = {}
    shapes = {id(v.handle): tuple(v.shape) for v in inner.variables}
    for outside, inside in inner.captures:
        shape = shapes.get(id(outside), tuple(outside.shape))
        variables[inside.op.name] = shape
    image = images[0]
    static = None if image.shape.rank is None else tuple(image.shape)
    return _Source(inner.as_graph_def(), image.op.name, static, image.dtype, [t.name for t in inner.outputs], variables)


def _definition(tf: Any, definition: Any, dtype: Any, wanted: str | None, outputs: Sequence[str] | None) -> _Source:
    images = [n for n in definition.node if n.op == "Placeholder" and (wanted is None or n.name == wanted)]
    if len(images) > 1:
        images = [n for n in images if len(n.attr["shape"].shape.dim) >= 3] or images
    if len(images) != 1:
        names = [n.name for n in definition.node if n.op == "Placeholder"]
        raise ArgumentError(f"input: expected the name of the image among {names}; received {wanted}")
    image = images[0]
    dims = image.attr["shape"].shape
    static = None if dims.unknown_rank or not dims.dim else tuple(None if d.size < 1 else d.size for d in dims.dim)
    read = {name.split(":")[0].lstrip("^") for node in definition.node for name in node.input}
    found = [n.name for n in definition.node if n.name not in read and n.op not in _NO_OUTPUTS]
    kind = tf.dtypes.as_dtype(image.attr["dtype"].type) if image.attr["dtype"].type else tf.dtypes.as_dtype(dtype)
    names = list(outputs) if outputs is not None else found
    known = {node.name for node in definition.node}
    for name in names:
        if name.split(":")[0] not in known:
            raise ArgumentError(f"outputs: expected names of operations; received {name!r}; leaves are {found}")
    return _Source(definition, image.name, static, kind, names)


def _saved(tf: Any, folder: Path, wanted: str | None) -> _Source:
    from tensorflow.core.protobuf import saved_model_pb2

    try:
        saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    except (OSError, import_module("google.protobuf.message").DecodeError) as error:
        raise FileError(f"model: expected a SavedModel in {folder}; received {error}") from error
    for meta in saved.meta_graphs:
        for name, signature in sorted(meta.signature_def.items()):
            if name.startswith("__") or not signature.inputs:
                continue
            inputs = {
                k: v for k, v in signature.inputs.items() if wanted is None or wanted in (k, v.name.split(":")[0])
            }
            if len(inputs) != 1:
                raise ArgumentError(f"input: expected one of {sorted(signature.inputs)}; received {wanted}")
            image = next(iter(inputs.values()))
            dims = image.tensor_shape
            static = None if dims.unknown_rank else tuple(None if d.size < 1 else d.size for d in dims.dim)
            outputs = [info.name for _, info in sorted(signature.outputs.items())]
            kind = tf.dtypes.as_dtype(image.dtype)
            return _Source(meta.graph_def, image.name.split(":")[0], static, kind, outputs)
    raise ArgumentError(f"model: expected a signature with an image; received none in {folder}")


def _channels_first(definition: Any) -> bool:
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    formats = [n.attr["data_format"].s for n in nodes if "data_format" in n.attr and n.op != "BiasAdd"]
    return bool(formats) and formats[0].startswith(b"NC")


def _space(rank: int, first: bool) -> tuple[int, ...]:
    if rank < 3:
        raise ArgumentError(
            "input_size: expected an image with batch and channels; pass spatial_axes for other tensors"
        )
    return tuple(range(2, rank)) if first else tuple(range(1, rank - 1))


def _shape(
    static: tuple[int | None, ...] | None, size: tuple[int, ...] | None, channels: int | None, first: bool
) -> tuple[int, ...]:
    """Return the shape of the image tensor from the graph's own input shape and the given size."""
    if size is None:
        size = () if static is None else tuple(n or 0 for n in static[1:])
        if not size or not all(size):
            raise ArgumentError("input_size: expected the size of the image, the graph does not fix it")
        return (1, *size)
    if static is not None and len(size) == 1 < len(static) - 2:
        size = size * (len(static) - 2)
    if static is not None and len(size) == len(static) - 1:
        size = (1, *size)
    if static is None or len(size) == len(static):
        full = size
    elif len(size) == len(static) - 2:
        known = channels or (static[1] if first else static[-1])
        if known is None:
            raise ArgumentError("channels: expected their number, the graph does not fix it")
        full = (1, known, *size) if first else (1, *size, known)
    else:
        raise ArgumentError(f"input_size: expected {len(static) - 2} sizes or a shape {static}; received {size}")
    if static is not None and any(n is not None and i and n != full[i] for i, n in enumerate(static)):
        raise ArgumentError(f"input_size: expected {static}, which the graph is fixed to; received {full}")
    if full[0] != 1:
        raise ArgumentError(f"input_size: expected a batch of 1; received {full}")
    return full
