"""Walk through an exported PyTorch program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, cast

import torch
from torch import fx

from kernelfield.errors import ArgumentError, UnsupportedOperation
from kernelfield.receptive.builder import Builder, Value
from kernelfield.receptive.frontends.torch.call import Call
from kernelfield.receptive.frontends.torch.constants import Constants
from kernelfield.receptive.frontends.torch.image_shape import spatial_axes
from kernelfield.receptive.frontends.torch.inplace import functional
from kernelfield.receptive.frontends.torch.operations import apply
from kernelfield.receptive.graph import Graph
from kernelfield.receptive.guard import guarded

# The result of an operation: a value, several, or a number.
Result = Any


def walk(
    program: Any, unknown: Literal["error", "global"], input_size: Any = None, spatial: Sequence[int] | None = None
) -> Graph:
    """Return the graph of an exported program; its image has the axes batch, channels and then the spatial ones."""
    program = functional(program)
    builder = Builder(unknown=unknown)
    constants = Constants(program)
    placeholders = [node for node in program.graph.nodes if node.op == "placeholder"]
    images = [node for node in placeholders if constants.is_input(node) and _is_image(node)]
    # A tensor with channels before one without: token ids, times.
    images.sort(key=lambda node: len(node.meta["val"].shape) < 3)
    if not images:
        raise ArgumentError("model: expected a program whose input has spatial axes; received one without")
    size = tuple(images[0].meta["val"].shape)
    if input_size is not None and not _fits(input_size, size):
        raise ArgumentError(
            f"input_size: expected {size[2:] or size}, the exported program's own; received {input_size}; "
            "export it anew"
        )
    spatial = spatial_axes(images[0]) if spatial is None else tuple(t % len(size) for t in spatial)
    values: dict[fx.Node, Result] = {}
    for node in placeholders:
        shape = tuple(getattr(node.meta.get("val"), "shape", ()))
        if node in images[:1]:
            values[node] = builder.image(node.name, shape, spatial)
        else:
            values[node] = builder.constant(shape)
    output = _Walk(builder, constants).run(program.graph, values)
    outputs = [value for value in _flat(output) if isinstance(value, Value) and value.node is not None]
    # The first output becomes the last node of the graph.
    return builder.graph(*reversed(outputs))


def _fits(input_size: Any, size: tuple[int, ...]) -> bool:
    """Return whether a size is that of a program: its shape, without the batch, the spatial extents, or one number."""
    if not isinstance(input_size, Sequence):
        return all(n == input_size for n in size[2:] or size[1:])
    return tuple(input_size) in (size, size[1:], size[2:] or size)


def _is_image(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and value.ndim > 1


class _Walk:
    """The walk through one program, with the names of its modules."""

    def __init__(self, builder: Builder, constants: Constants) -> None:
        self.builder = builder
        self.constants = constants

    def run(self, graph: fx.Graph, values: dict[fx.Node, Result], prefix: str = "") -> Result:
        """Return the result of a graph for values of its placeholders."""
        calls = [node for node in graph.nodes if node.op == "call_function"]
        alone = _alone(calls)
        for node in graph.nodes:
            if node.op == "get_attr":
                values[node] = self.constants.attribute(graph, node, self.builder)
            elif node.op == "call_function":
                values[node] = self._call(node, values, _name(node, alone, prefix))
            elif node.op == "output":
                if not prefix:
                    self._name_modules(calls, values)
                return fx.node.map_arg(node.args[0], values.__getitem__)
        return None

    def _call(self, node: fx.Node, values: dict[fx.Node, Result], name: str) -> Result:
        if node.target is getattr or not isinstance(
            node.target, (torch._ops.OpOverload, torch._ops.HigherOrderOperator)
        ):
            return self._plain(node, values)
        arguments = fx.node.map_arg(node.args, values.__getitem__)
        keywords = fx.node.map_arg(node.kwargs, values.__getitem__)
        if isinstance(node.target, torch._ops.HigherOrderOperator):
            inner = next((a for a in arguments if isinstance(a, fx.GraphModule)), None)
            if inner is not None and node.target.name() in _INLINED:
                inputs = arguments[arguments.index(inner) + 1 :]
                return self._inline(inner, inputs, name)
        call = Call(
            self.builder,
            self.constants,
            node,
            name,
            cast("tuple[Any, ...]", arguments),
            cast("dict[str, Any]", keywords),
        )
        try:
            with guarded(call.operation, name):
                return apply(call, self._inline)
        except UnsupportedOperation:
            if self.builder.on_unknown == "error":
                raise
            return call.unknown()

    def _inline(self, module: fx.GraphModule, inputs: Sequence[Result], name: str) -> Result:
        placeholders = [node for node in module.graph.nodes if node.op == "placeholder"]
        values = dict(zip(placeholders, inputs, strict=True))
        return self.run(module.graph, values, prefix=name)

    def _plain(self, node: fx.Node, values: dict[fx.Node, Result]) -> Result:
        """Return the result of a plain Python function: one of several outputs, a sum of sizes."""
        arguments = fx.node.map_arg(node.args, values.__getitem__)
        return node.target(*cast("tuple[Any, ...]", arguments))

    def _name_modules(self, calls: Sequence[fx.Node], values: dict[fx.Node, Result]) -> None:
        """Add the name of every module as an alias of the last value that leaves it."""
        last: dict[str, str] = {}
        left: dict[str, str] = {}
        for node in calls:
            value = values.get(node)
            value = value[0] if isinstance(value, (tuple, list)) and value else value
            if not isinstance(value, Value) or value.node is None:
                continue
            outside = [set(_stack(user)) for user in node.users]
            for key, path in _stack(node).items():
                last[path] = value.node
                if any(key not in user for user in outside):
                    left[path] = value.node
        for path, name in (last | left).items():
            if path and path not in self.builder.nodes:
                self.builder.aliases[path] = name


_INLINED = ("wrap_with_set_grad_enabled", "wrap_with_autocast", "invoke_subgraph")


def _stack(node: fx.Node) -> dict[str, str]:
    """Return the modules around the call of a node: a key for each call, and the module's path."""
    return {key: path for key, (path, _) in (node.meta.get("nn_module_stack") or {}).items()}


def _alone(calls: Sequence[fx.Node]) -> set[fx.Node]:
    """Return the nodes that are the only operation of their module."""
    of: dict[str, list[fx.Node]] = {}
    for node in calls:
        for key in _stack(node) if isinstance(node.target, torch._ops.OperatorBase) else ():
            of.setdefault(key, []).append(node)
    # Of nested modules around one operation the innermost names it.
    return {nodes[0] for key, nodes in of.items() if len(nodes) == 1 and list(_stack(nodes[0]))[-1] == key}


def _name(node: fx.Node, alone: set[fx.Node], prefix: str) -> str:
    paths = list(_stack(node).values())
    path = paths[-1] if paths else prefix
    if node in alone and path:
        return path
    packet = getattr(node.target, "overloadpacket", node.target)
    operation = str(getattr(packet, "__name__", packet)).rstrip("_")
    return f"{path}.{operation}" if path else operation


def _flat(result: Result) -> Iterator[Any]:
    if isinstance(result, (tuple, list)):
        for item in result:
            yield from _flat(item)
    elif isinstance(result, dict):
        yield from _flat(list(result.values()))
    else:
        yield result
