"""Walk through the nodes of an ONNX graph, into local functions and the branch taken of an If."""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from kernelfield.errors import ArgumentError, DataError
from kernelfield.receptive.builder import Builder
from kernelfield.receptive.frontends.onnx import indexing, pointwise, products, resize, shapes, windows
from kernelfield.receptive.frontends.onnx.attributes import Attributes, shown
from kernelfield.receptive.frontends.onnx.call import LARGEST_AXIS, Call, Result, Tensor
from kernelfield.receptive.guard import guarded
from kernelfield.receptive.registry import Function, registered

if TYPE_CHECKING:
    from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, ValueInfoProto

#: The supported operator sets. Before 7 broadcasting followed other rules.
OPSETS = range(7, 29)
#: Largest number of nodes, functions inlined; more indicate a damaged file or an attack.
MOST_NODES = 50_000
#: Largest number of elements of a tensor at one position.
MOST_CHANNELS = 1 << 26
_DEEPEST = 32

OPERATIONS: dict[str, Callable[[Call], Result]] = {
    **windows.OPERATIONS,
    **resize.OPERATIONS,
    **shapes.OPERATIONS,
    **indexing.OPERATIONS,
    **pointwise.OPERATIONS,
    **products.OPERATIONS,
}


@dataclass(frozen=True)
class _Scope:
    """The surroundings of a node: tensors by name, operator sets, attributes and declared shapes."""

    tensors: MutableMapping[str, Tensor]
    opsets: Mapping[str, int]
    attributes: Mapping[str, AttributeProto] | None = None
    prefix: str = ""
    depth: int = 0
    declared: Mapping[str, ValueInfoProto] = field(default_factory=dict)


class Walk:
    """The walk through a model, which calls the rule of each node in turn."""

    def __init__(self, model: ModelProto, builder: Builder) -> None:
        self.model = model
        self.builder = builder
        self.functions = {(f.domain, f.name, f.overload): f for f in model.functions}
        self.symbols: dict[str, int] = {}
        self.count = 0

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return all tensors of the main graph by name, given those of its inputs."""
        graph = self.model.graph
        tensors = {**inputs}
        scope = _Scope(tensors, _opsets(self.model.opset_import), declared=_declared(graph))
        self._graph(graph, scope)
        return tensors

    def initialisers(self, graph: GraphProto) -> Iterator[tuple[str, Tensor]]:
        """Yield the constants stored in a graph, their contents unread."""
        for proto in graph.initializer:
            yield proto.name, Tensor(self.builder.constant(_dims(proto.name, proto.dims)), proto)
        for sparse in graph.sparse_initializer:
            yield sparse.values.name, Tensor(self.builder.constant(_dims(sparse.values.name, sparse.dims)))

    def _graph(self, graph: GraphProto, scope: _Scope) -> None:
        for name, tensor in self.initialisers(graph):
            # An input of the same name may replace the stored constant.
            scope.tensors.setdefault(name, tensor)
        for node in graph.node:
            self._node(node, scope)

    def _node(self, node: NodeProto, scope: _Scope) -> None:
        self.count += 1
        if self.count > MOST_NODES:
            raise DataError(f"model: expected at most {MOST_NODES} nodes; received more; split the model")
        words = (node.name, node.op_type, node.domain, node.overload, *node.input, *node.output)
        if not all(isinstance(word, str) and word.isprintable() for word in words):
            # Names that are not UTF-8 are bytes.
            raise DataError(f"model: expected names that can be printed; received {str(words)[:120]}; export it again")
        name = scope.prefix + (node.name or next(filter(None, node.output), "") or f"{node.op_type}_{self.count}")
        where = f"{name!r} ({node.op_type})"
        inputs = []
        for source in node.input:
            if source and source not in scope.tensors:
                raise ArgumentError(
                    f"{where}: expected inputs that come before it; received {source!r}; export the model again"
                )
            inputs.append(scope.tensors[source] if source else None)
        attributes = Attributes(node, where, scope.attributes)
        function = self.functions.get((node.domain, node.op_type, node.overload))
        with guarded(node.op_type, name):
            if function is not None:
                found: Sequence[Tensor] = self._function(function, node, inputs, attributes, scope, name)
            else:
                found = self._operator(node, inputs, attributes, scope, name)
        for output, tensor in zip(node.output, found):
            if output:
                scope.tensors[output] = tensor
                if not scope.prefix:
                    self.builder.alias(output, tensor.value)

    def _operator(
        self, node: NodeProto, inputs: list[Tensor | None], attributes: Attributes, scope: _Scope, name: str
    ) -> list[Tensor]:
        domain = "" if node.domain == "ai.onnx" else node.domain
        call = Call(
            f"{domain}::{node.op_type}" if domain else node.op_type,
            name,
            tuple(inputs),
            tuple(node.output),
            attributes,
            _opset(scope.opsets, attributes.where) if not domain else 0,
            self.builder,
            lambda output: self.shape(scope.declared.get(output)),
        )
        own = registered(call.operation)
        if call.operation == "If" and own is None:
            return self._branch(call, scope)
        translate = OPERATIONS.get(call.operation) if own is None else partial(_registered, own)
        if translate is None:
            return self._opaque(call, scope)
        made = translate(call)
        results = list(made) if isinstance(made, Sequence) else [made]
        tensors = [r if isinstance(r, Tensor) else Tensor(r) for r in results]
        if len(tensors) < len(node.output) and any(list(node.output)[len(tensors) :]):
            raise call.error(f"at most {len(tensors)} outputs", str(len(node.output)))
        for t in tensors:
            channels = math.prod(n for n, axis in zip(t.shape, t.value.axes) if axis is None)
            if t.depends and (max(t.shape, default=1) > LARGEST_AXIS or channels > MOST_CHANNELS):
                raise call.error(f"axes of {LARGEST_AXIS}, {MOST_CHANNELS} channels at most", shown(t.shape))
        return tensors

    def _opaque(self, call: Call, scope: _Scope) -> list[Tensor]:
        """Return the outputs of an unknown operator, which may also read tensors that its inner graphs use."""
        graphs = [a.g for a in call.attributes.by_name.values() if a.HasField("g")]
        graphs += [g for a in call.attributes.by_name.values() for g in a.graphs]
        names = dict.fromkeys(name for graph in graphs for name in _used(graph) if name in scope.tensors)
        call.inputs = (*call.inputs, *(scope.tensors[name] for name in names))
        if not any(call.inputs):
            # An operator without inputs: random numbers, a constant of another domain.
            shapes = [call.declared(output) for output in call.outputs]
            if None not in shapes:
                return [Tensor(self.builder.constant(call.checked(s or ()))) for s in shapes]
        return [Tensor(call.unknown(i)) for i in range(len(call.outputs))]

    def _branch(self, call: Call, scope: _Scope) -> list[Tensor]:
        """Return the outputs of an If: those of one branch if the condition is known."""
        condition = call.tensor()
        content = None if condition.depends else condition.content
        if content is None or content.size != 1:
            return self._opaque(call, scope)
        graph = call.attributes.graph("then_branch" if bool(content.ravel()[0]) else "else_branch")
        inner = self._inner(call, scope, ChainMap({}, scope.tensors), scope.opsets, scope.attributes, _declared(graph))
        self._graph(graph, inner)
        return _outputs(call.where, [o.name for o in graph.output], inner.tensors, len(call.outputs))

    def _function(
        self,
        function: FunctionProto,
        node: NodeProto,
        inputs: list[Tensor | None],
        attributes: Attributes,
        scope: _Scope,
        name: str,
    ) -> list[Tensor]:
        """Return the outputs of a local function of the model, inlined."""
        if len(inputs) > len(function.input):
            raise attributes.error("inputs", f"at most {len(function.input)}", str(len(inputs)))
        given = {a.name: a for a in function.attribute_proto} | attributes.by_name
        tensors = {n: t for n, t in zip(function.input, inputs) if t is not None}
        call = Call(node.op_type, name, (), tuple(node.output), attributes, 0, self.builder, lambda _: None)
        declared = {v.name: v for v in function.value_info}
        inner = self._inner(call, scope, tensors, _opsets(function.opset_import), given, declared)
        for step in function.node:
            # Inputs omitted by the caller are omitted inside.
            self._node(_without(step, set(function.input) - set(tensors)), inner)
        return _outputs(call.where, function.output, inner.tensors, len(node.output))

    def _inner(
        self,
        call: Call,
        scope: _Scope,
        tensors: MutableMapping[str, Tensor],
        opsets: Mapping[str, int],
        attributes: Mapping[str, AttributeProto] | None,
        declared: Mapping[str, ValueInfoProto],
    ) -> _Scope:
        if scope.depth >= _DEEPEST:
            raise call.error(f"graphs and functions nested at most {_DEEPEST} deep", "more")
        return _Scope(tensors, opsets, attributes, f"{call.name}/", scope.depth + 1, declared)

    def shape(self, info: ValueInfoProto | None) -> tuple[int, ...] | None:
        """Return the shape that the model declares, None where an extent is open."""
        if info is None or not info.type.HasField("tensor_type") or not info.type.tensor_type.HasField("shape"):
            return None
        found = []
        for dim in info.type.tensor_type.shape.dim:
            extent = dim.dim_value if dim.HasField("dim_value") else self.symbols.get(dim.dim_param, 0)
            if extent < 1:
                return None
            found.append(int(extent))
        return tuple(found)


def _registered(own: Function, call: Call) -> Result:
    """Return the result of a registered rule."""
    from onnx import helper

    attributes = {name: helper.get_attribute_value(a) for name, a in call.attributes.by_name.items()}
    shape = call.declared(call.outputs[0]) if call.wants(0) else None
    return own(call.builder, call.name, [t.value for t in call.present()], {**attributes, "shape": shape})


def _without(node: NodeProto, missing: set[str]) -> NodeProto:
    if missing.isdisjoint(node.input):
        return node
    copy = type(node)()
    copy.CopyFrom(node)
    del copy.input[:]
    copy.input.extend("" if name in missing else name for name in node.input)
    return copy


def _outputs(where: str, names: Iterable[str], tensors: Mapping[str, Tensor], count: int) -> list[Tensor]:
    found = list(names)
    missing = [n for n in found if n not in tensors]
    if missing or len(found) < count:
        what = repr(missing[0]) if missing else f"{len(found)}"
        raise ArgumentError(f"{where}: expected {count} outputs made inside it; received {what}; export it again")
    return [tensors[n] for n in found]


def _used(graph: GraphProto) -> Iterator[str]:
    """Yield the names that the nodes of a graph, and of the graphs inside it, read."""
    waiting = [(graph, 0)]
    while waiting:
        graph, depth = waiting.pop()
        yield from (o.name for o in graph.output)
        for node in graph.node:
            yield from node.input
            for a in node.attribute:
                if depth < _DEEPEST:
                    waiting += [(g, depth + 1) for g in ([a.g] if a.HasField("g") else []) + list(a.graphs)]


def _declared(graph: GraphProto) -> dict[str, ValueInfoProto]:
    return {v.name: v for v in (*graph.value_info, *graph.output)}


def _dims(name: str, dims: Iterable[int]) -> tuple[int, ...]:
    shape = tuple(int(n) for n in dims)
    if min(shape, default=0) < 0 or len(shape) > 16:
        raise ArgumentError(
            f"tensor {name!r}: expected extents from 0; received {shown(shape)}; export the model again"
        )
    return shape


def _opsets(imports: Iterable[Any]) -> dict[str, int]:
    return {("" if i.domain == "ai.onnx" else i.domain): int(i.version) for i in imports}


def _opset(opsets: Mapping[str, int], where: str) -> int:
    version = opsets.get("", 0)
    if version not in OPSETS:
        raise DataError(
            f"{where}: expected an operator set from {OPSETS[0]} to {OPSETS[-1]}; received {version or 'none'}; "
            "convert the model with onnx.version_converter"
        )
    return version
