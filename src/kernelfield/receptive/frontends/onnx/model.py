"""ONNX models as graphs, from a file or in memory: shapes are inferred, weights are never read.

Shapes that a model computes (a `Pad` fed by `Shape` and `Concat`, a `Resize` by sizes) are evaluated for the given size
of the image. External data is never opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from kernelfield.errors import ArgumentError, DataError
from kernelfield.receptive.builder import Builder
from kernelfield.receptive.frontends.image_size import checked_size
from kernelfield.receptive.frontends.onnx.attributes import LARGEST_EXTENT, shown
from kernelfield.receptive.frontends.onnx.call import Tensor
from kernelfield.receptive.frontends.onnx.file import load
from kernelfield.receptive.frontends.onnx.walk import Walk
from kernelfield.receptive.graph import Graph

if TYPE_CHECKING:
    from onnx import ValueInfoProto


def graph(
    model: Any,
    input_size: int | Sequence[int] | None = None,
    *,
    unknown: Literal["error", "global"] = "error",
    image: str | None = None,
    channel_axis: int | None = None,
) -> Graph:
    """Return the graph of an ONNX model.

    Parameters
    ----------
    model : str, path-like, bytes or onnx.ModelProto
        A file, the contents of a file, or a parsed model, of operator set 7 to 28. Weights and external data are not
        read.
    input_size : int or sequence of int, optional
        Extents of the image: spatial ones only (a number for all of them), with the channels, or those of the whole
        tensor; optional where the model fixes them.
    unknown : {"error", "global"}
        Treatment of an operator that is not known, or that reads elements depending on values (GridSample, RoiAlign,
        Loop).
    image : str, optional
        Name of the input that is the image, where the model has several. The others count as constants.
    channel_axis : int, optional
        The axis of the channels: by default 1, unless the model fixes an extent of 1 to 4 for the last axis and either
        none or more than 4 for axis 1.

    Returns
    -------
    Graph
        Nodes have the names of the ONNX nodes (or of their first outputs, where they have none); names of tensors are
        aliases.

    Raises
    ------
    FileError, DataError
        If the file cannot be read or holds no ONNX model; a pickle is reported as one and never loaded.
    ArgumentError
        If a node has attributes or inputs that ONNX does not allow, or the size does not fit the model.
    UnsupportedOperation
        If an operator is not known and `unknown` is ``"error"``.

    Examples
    --------
    >>> from onnx import TensorProto, helper
    >>> def tensor(name, *shape):
    ...     return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    >>> nodes = [
    ...     helper.make_node("MaxPool", ["x"], ["a"], "first", kernel_shape=[2, 2]),
    ...     helper.make_node("MaxPool", ["a"], ["y"], "second", kernel_shape=[2, 2]),
    ... ]
    >>> made = helper.make_graph(nodes, "two", [tensor("x", 1, 1, "height", "width")], [tensor("y", 1, 1, None, None)])
    >>> model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)])
    >>> [(node.name, node.shape) for node in graph(model, (6, 8))]
    [('x', (6, 8)), ('first', (5, 7)), ('second', (4, 6))]
    """
    parsed = load(model)
    builder = Builder(unknown=unknown)
    walk = Walk(parsed, builder)
    tensors = walk.run(_inputs(walk, input_size, image, channel_axis))
    names = [o.name for o in parsed.graph.output]
    missing = [name for name in names if name not in tensors]
    if missing or not names:
        received = repr(missing[0]) if missing else "none"
        raise DataError(f"model: expected outputs that a node makes; received {received}; export it again")
    outputs = [tensors[name].value for name in names if tensors[name].depends]
    if not outputs:
        raise DataError("model: expected an output that depends on the image; received none; choose another image=")
    return builder.graph(*outputs)


def _inputs(
    walk: Walk, input_size: int | Sequence[int] | None, image: str | None, channel_axis: int | None
) -> dict[str, Tensor]:
    """Return the tensors of all inputs of the model without a stored value."""
    if not all(isinstance(i.name, str) and i.name.isprintable() for i in walk.model.graph.input):
        raise DataError("model: expected inputs with names that can be printed; received others; export it again")
    stored = {tensor.name for tensor in walk.model.graph.initializer}
    stored |= {sparse.values.name for sparse in walk.model.graph.sparse_initializer}
    given = {i.name: i for i in walk.model.graph.input if i.name not in stored}
    name = _chosen(given, image)
    dims = _dims(given[name])
    shape, spatial = _shape(name, dims, input_size, channel_axis)
    if dims is not None:
        walk.symbols.update({d: n for d, n in zip(dims, shape) if isinstance(d, str) and d})
    tensors = {name: Tensor(walk.builder.image(name, shape, spatial))}
    for other, info in given.items():
        if other != name:
            found = walk.shape(info)
            if found is None:
                raise ArgumentError(
                    f"model: expected a shape for its input {other!r}, which counts as a constant; received "
                    f"{shown(_dims(info) or [])}; export the model with that input fixed"
                )
            tensors[other] = Tensor(walk.builder.constant(found))
    return tensors


def _chosen(given: dict[str, ValueInfoProto], image: str | None) -> str:
    if image is not None:
        if image not in given:
            raise ArgumentError(
                f"image: expected one of {', '.join(map(repr, given)) or 'no inputs'}; received {image!r}"
            )
        return image
    candidates = [name for name, info in given.items() if len(given) == 1 or len(_dims(info) or ()) >= 3] or [
        name for name, info in given.items() if len(_dims(info) or ()) == 2
    ]
    if len(candidates) != 1:
        inputs = ", ".join(map(repr, given)) or "none"
        raise ArgumentError(f"image: expected the input that is the image; the model has {inputs}; give image=")
    return candidates[0]


def _dims(info: ValueInfoProto) -> list[int | str] | None:
    """Return the declared extents of an input: numbers, or names of open extents; None without a rank."""
    if not info.type.HasField("tensor_type"):
        raise DataError(f"model: expected tensors as inputs; {info.name!r} is none; export the model again")
    if not info.type.tensor_type.HasField("shape"):
        return None
    return [
        int(d.dim_value) if d.HasField("dim_value") and d.dim_value > 0 else d.dim_param
        for d in info.type.tensor_type.shape.dim
    ]


def _shape(
    name: str, dims: list[int | str] | None, input_size: int | Sequence[int] | None, channel_axis: int | None
) -> tuple[tuple[int, ...], list[int]]:
    """Return the shape of the image and its spatial axes."""
    size, alone = checked_size(input_size)
    if dims is None:
        if size is None or len(size) < 3:
            raise ArgumentError(
                f"input_size: expected the whole shape of {name!r} (batch, channels, …), which the model leaves open; "
                f"received {input_size}"
            )
        dims = list(size)
    rank = len(dims)
    if rank < 2 or (rank == 2 and size is not None and len(size) == 2 and size[0] != 1):
        raise ArgumentError(
            f"image: expected an input with batch, channels and spatial axes; received {name!r} with {rank} axes; "
            "choose another image="
        )
    # A wave (N, L) has no channels.
    channels = None if rank == 2 else _channel_axis(dims, channel_axis)
    spatial = [a for a in range(1, rank) if a != channels]
    if size is not None:
        size = size * len(spatial) if alone else (1, *size) if len(size) == rank - 1 > len(spatial) else size
    if size is not None and len(size) not in (len(spatial), rank):
        raise ArgumentError(
            f"input_size: expected {len(spatial)} spatial extents or all {rank} of {name!r}; received {shown(size)}"
        )
    wanted: dict[int, int] = {} if size is None else dict(zip(spatial if len(size) < rank else range(rank), size))
    shape = []
    for a, stated in enumerate(dims):
        extent = wanted.get(a, stated if isinstance(stated, int) else 1 if a == 0 else 0)
        if isinstance(stated, int) and extent != stated:
            raise ArgumentError(
                f"input_size: expected {stated} along axis {a} of {name!r}, as the model has it; received {extent}; "
                "leave it out or export the model with open extents"
            )
        if not extent:
            raise ArgumentError(
                f"input_size: expected an extent for axis {a} of {name!r}, which the model leaves open; received "
                f"{'none' if size is None else shown(size)}; give the whole shape"
            )
        if a in spatial and extent > LARGEST_EXTENT:
            raise ArgumentError(f"input_size: expected at most {LARGEST_EXTENT} along axis {a}; received {extent}")
        shape.append(extent)
    return tuple(shape), spatial


def _channel_axis(dims: list[int | str], channel_axis: int | None) -> int:
    if channel_axis is None:
        last, second = dims[-1], dims[1]
        behind = isinstance(last, int) and last <= 4 and not (isinstance(second, int) and second <= 4)
        return len(dims) - 1 if behind else 1
    if not -len(dims) <= channel_axis < len(dims) or channel_axis % len(dims) == 0:
        raise ArgumentError(f"channel_axis: expected 1 to {len(dims) - 1}; received {channel_axis}")
    return channel_axis % len(dims)
