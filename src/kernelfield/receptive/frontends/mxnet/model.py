"""MXNet symbols and hybrid blocks of Gluon as graphs; parameters need not be initialised."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from kernelfield.errors import ArgumentError, DtypeError, reason
from kernelfield.receptive.builder import Builder, Value
from kernelfield.receptive.frontends.image_size import checked_size
from kernelfield.receptive.frontends.mxnet.call import Call
from kernelfield.receptive.frontends.mxnet.operations import operator
from kernelfield.receptive.graph import Graph
from kernelfield.receptive.guard import guarded
from kernelfield.receptive.registry import registered


def graph(
    model: Any,
    input_size: Sequence[int],
    *,
    unknown: Literal["error", "global"] = "error",
    image: str | None = None,
    channels: int = 3,
) -> Graph:
    """Return the graph of an MXNet model.

    Parameters
    ----------
    model : mxnet.sym.Symbol or mxnet.gluon.HybridBlock
        With one input, the image, of axes (N, C, …); the input of a block is named ``"data"``.
    input_size : sequence of int
        Spatial extents, or the whole shape.
    unknown : {"error", "global"}
        Treatment of an operator that is not known, or that reads elements depending on values (ROIPooling, take).
    image : str, optional
        The argument of a symbol that is the image: by default ``"data"``, or the only one that is not declared as a
        parameter.
    channels : int
        Of the image, where `input_size` holds only spatial extents.

    Returns
    -------
    Graph
        Nodes are named after those of the symbol; names of blocks and names without ``"_fwd"`` are aliases.

    Raises
    ------
    DtypeError
        If a block cannot be turned into a symbol.
    ArgumentError
        If the model does not accept the size.
    UnsupportedOperation
        If an operator is not known and `unknown` is ``"error"``.
    """
    symbol = _symbol(model)
    name = _image(symbol, image)
    shape = _shape(input_size, channels)
    shapes = _shapes(symbol, {name: shape})
    builder = Builder(unknown=unknown)
    record = json.loads(symbol.tojson())
    values: list[list[Value]] = []
    for node in record["nodes"]:
        known = shapes.get(node["name"], [])
        if node["op"] == "null":
            given = node["name"] == name
            made = builder.image(name, shape, range(2, len(shape))) if given else builder.constant(_first(known))
            values.append([made])
        else:
            inputs = [values[i][output] for i, output, *_ in node["inputs"]]
            with guarded(node["op"], node["name"]):
                values.append(_node(node, inputs, known, builder))
    for block, prefix in _blocks(model):
        last = next((v for v in reversed(list(builder.nodes)) if v.startswith(prefix)), None)
        if last is not None and block not in builder.nodes:
            builder.aliases[block] = last
    return builder.graph(*(values[i][output] for i, output, *_ in record["heads"]))


def _node(node: Mapping[str, Any], inputs: list[Value], shapes: list[tuple[int, ...]], builder: Builder) -> list[Value]:
    call = Call(node["op"], node["name"], inputs, node.get("attrs", {}), shapes, builder)
    depends = any(x.node is not None for x in inputs)
    if depends and (not shapes or any(min(s, default=1) < 1 for s in shapes)):
        raise call.error("a shape that MXNet can infer", str(shapes))
    if not depends:
        return [builder.constant(s) for s in shapes or [()]]
    own, known = registered(call.operation), operator(call.operation)
    if own is not None:
        made: Any = own(builder, call.name, inputs, {**call.attributes, "shape": shapes[0]})
    else:
        made = call.unknown() if known is None else known(call)
    found = list(made) if isinstance(made, Sequence) else [made]
    if [v.shape for v in found[: len(shapes)]] != shapes[: len(found)]:
        raise call.error(f"the shape {shapes[0]}, which MXNet infers", f"{found[0].shape} by kernelfield")
    builder.alias(call.name.removesuffix("_fwd"), found[0])
    return found


def _symbol(model: Any) -> Any:
    import mxnet

    if isinstance(model, mxnet.sym.Symbol):
        return model
    if not isinstance(model, mxnet.gluon.HybridBlock):
        raise DtypeError(
            f"model: expected a HybridBlock or a symbol of MXNet; received the block {type(model).__name__}, which "
            "cannot be traced; derive it from HybridBlock"
        )
    data = mxnet.sym.var("data")
    try:
        made = model(data.as_np_ndarray() if mxnet.util.is_np_array() else data)
    except (AttributeError, TypeError, ValueError, mxnet.base.MXNetError) as error:
        raise DtypeError(
            f"model: expected a block that can be called on a symbol; {reason(error)}; use operators of F only"
        ) from None
    return mxnet.sym.Group(list(made)) if isinstance(made, (list, tuple)) else made


def _image(symbol: Any, image: str | None) -> str:
    names = symbol.list_arguments()
    if image is None and "data" in names:
        return "data"
    stated = symbol.attr_dict()
    ends = ("weight", "bias", "gamma", "beta", "mean", "var", "label")
    free = [n for n in names if "__shape__" not in stated.get(n, {}) and not n.endswith(ends)]
    if image is None and len(free) == 1:
        return str(free[0])
    if image is None or image not in names:
        raise ArgumentError(
            f"image: expected the argument that is the image, of {', '.join(names)}; received {image!r}"
        )
    return image


def _shape(input_size: Sequence[int], channels: int) -> tuple[int, ...]:
    size, _ = checked_size(input_size)
    if size is None:
        raise ArgumentError("input_size: expected the extents of the image; received None")
    # (H, W), (D, H, W) and (L,), or (N, C, H, W); (1, C, L) is recognised by its first extent.
    whole = len(size) > 3 or (len(size) == 3 and size[0] == 1)
    return size if whole else (1, channels, *size)


def _shapes(symbol: Any, given: Mapping[str, tuple[int, ...]]) -> dict[str, list[tuple[int, ...]]]:
    """Return the shapes of the outputs of every node, by its name."""
    import mxnet

    inner = symbol.get_internals()
    try:
        _, found, _ = inner.infer_shape_partial(**given)
    except mxnet.base.MXNetError as error:
        reason = str(error).splitlines()[-1].strip()[:160]
        shape = next(iter(given.values()))
        raise ArgumentError(f"input_size: expected one that suits the model; received {shape}; {reason}") from None
    shapes: dict[str, list[tuple[int, ...]]] = {}
    scalars = mxnet.util.is_np_shape()
    names = [node["name"] for node in json.loads(inner.tojson())["nodes"]]
    following = iter([*names[1:], ""])
    name, after = names[0], next(following)
    # Outputs come node by node, without the hidden ones (the statistics of a BatchNorm).
    for output, shape in zip(inner.list_outputs(), found):
        if name in shapes and after and (output == after or output.startswith(f"{after}_")):
            name, after = after, next(following)
        # An unknown shape is None, or () in the legacy interface.
        known = shape is not None and (shape != () or scalars)
        shapes.setdefault(name, []).append(tuple(shape) if known else (0,))
    return shapes


def _first(shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    """Return the shape of a parameter; an unknown one is (), which broadcasts."""
    return shapes[0] if shapes and min(shapes[0], default=0) > 0 else ()


def _blocks(model: Any) -> list[tuple[str, str]]:
    """Return the names of a block and of all blocks inside it, each with the prefix of its nodes' names."""
    import mxnet

    found, waiting = [], [model] if isinstance(model, mxnet.gluon.Block) else []
    while waiting:
        block = waiting.pop()
        found.append((block.name, block.prefix))
        waiting += list(block._children.values())
    return found
