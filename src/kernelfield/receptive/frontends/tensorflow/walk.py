"""Walk through a TensorFlow graph from its outputs: functions are inlined, arithmetic on shapes is evaluated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernelfield.errors import ArgumentError
from kernelfield.receptive.builder import Builder, Value
from kernelfield.receptive.guard import guarded

Result = Value | list[Value]

# Largest number of elements of a constant that is read: shapes, axes, paddings, indices; not weights.
_READ = 1 << 16


class NotConstant(Exception):
    """A rule needs a constant (a size, an axis), but the graph computes it."""


@dataclass(frozen=True)
class Operand:
    """A value, its array where it is a small constant, and the folding of its spatial axes into its batch.

    `folded` holds block and paddings between ``SpaceToBatchND`` and ``BatchToSpaceND``, by which TensorFlow implements
    dilation: the value is the unfolded one, and operations are applied to it with a dilation.
    """

    value: Value
    array: np.ndarray | None = None
    folded: tuple[tuple[int, ...], tuple[tuple[int, int], ...]] | None = None


@dataclass(frozen=True)
class Call:
    """One operation of a graph, the argument of the rules."""

    builder: Builder
    name: str
    operation: str
    operands: Sequence[Operand]
    node: Any

    @property
    def values(self) -> list[Value]:
        """Its operands as values of the builder."""
        return [operand.value for operand in self.operands]

    def attribute(self, name: str) -> Any:
        """Return an attribute, decoded to text where it is bytes."""
        value = self.node.get_attr(name)
        return value.decode() if isinstance(value, bytes) else value

    def has(self, name: str) -> bool:
        """Return whether the operation has an attribute."""
        return name in self.node.node_def.attr

    def array(self, index: int) -> np.ndarray:
        """Return the array of a constant operand; raise `NotConstant` where it is not constant, or too large."""
        array = self.operands[index].array
        if array is None:
            raise NotConstant
        return array

    def ints(self, index: int) -> list[int]:
        """Return the elements of a constant operand."""
        return [int(n) for n in self.array(index).reshape(-1)]

    def shape(self, index: int = 0) -> tuple[int, ...]:
        """Return the shape of an output, as TensorFlow infers it."""
        shape = self.node.outputs[index].shape
        if not shape.is_fully_defined():
            raise ArgumentError(
                f"model: expected to know the shape of {self.name!r}; received {shape}; fix the input's"
            )
        return tuple(shape)

    def unknown(self) -> list[Value]:
        """Return outputs that read all of all operands, or raise, as the builder's `unknown` says."""
        named = [v for v in self.values if v.node is not None]
        if self.builder.on_unknown == "error":
            return [self.builder.unknown(self.name, self.operation, named, ())]
        return [
            self.builder.unknown(self.name, self.operation, named, self.shape(i)) for i in range(len(self.node.outputs))
        ]


@dataclass(frozen=True)
class Rules:
    """The functions that return the outputs of an operation.

    Parameters
    ----------
    plain : callable
        For an operation on tensors as they are.
    folded : callable
        For an operation on a tensor whose space is folded into its batch; see `Operand`.
    """

    plain: Callable[[Call], Result]
    folded: Callable[[Call], Operand]


class Walker:
    """The walk through a graph: calls the rule of every operation that the outputs depend on.

    Parameters
    ----------
    builder : Builder
    rules : Rules
    library : FunctionDefLibrary
        The functions of the graph.
    variables : dict
        The shapes of captured variables, by the name of their placeholder.
    """

    def __init__(self, builder: Builder, rules: Rules, library: Any, variables: dict[str, tuple[int, ...]]) -> None:
        self.builder, self.rules, self.variables = builder, rules, variables
        self.functions = {function.signature.name: function for function in library.function}

    def tensors(self, wanted: Sequence[Any], env: dict[str, Operand]) -> list[Operand]:
        """Return the operands for tensors of a graph, given those in `env` (by name), to which all others are added."""
        for operation in _ordered(wanted, env):
            operands = [env[t.name] for t in operation.inputs]
            with guarded(operation.type, operation.name):
                results = self._operation(operation, operands)
            for tensor, result in zip(operation.outputs, results):
                env[tensor.name] = result
        return [env[t.name] for t in wanted]

    def _operation(self, operation: Any, operands: list[Operand]) -> Sequence[Operand]:
        kind = operation.type
        if kind in ("PartitionedCall", "StatefulPartitionedCall"):
            return self._function(operation.get_attr("f").name, operands)
        call = Call(self.builder, operation.name, kind, operands, operation)
        if kind in _SAME:
            return operands
        if kind in ("Shape", "ShapeN", "Size", "Rank") or all(o.value.node is None for o in operands):
            return self._constant(call)
        if any(o.folded for o in operands) or kind == "SpaceToBatchND":
            return [self.rules.folded(call)]
        if kind in self.functions:
            return self._function(kind, operands)
        results = self.rules.plain(call)
        values = results if isinstance(results, list) else [results]
        return [Operand(value) for value in values]

    def _function(self, name: str, operands: list[Operand]) -> list[Operand]:
        from tensorflow.python.framework.function_def_to_graph import function_def_to_graph

        shapes = [None if o.value.shape == () and o.array is None else o.value.shape for o in operands]
        inner = function_def_to_graph(self.functions[name], shapes)
        env = {tensor.name: operand for tensor, operand in zip(inner.inputs, operands)}
        return self.tensors(inner.outputs, env)

    def _constant(self, call: Call) -> list[Operand]:
        """Return outputs that do not depend on the image, with their arrays where they are known and small."""
        node = call.node
        if call.operation == "Const":
            proto = node.get_attr("value")
            shape = tuple(d.size for d in proto.tensor_shape.dim)
            if int(np.prod(shape)) > _READ:
                return [Operand(self.builder.constant(shape))]
            from tensorflow.python.framework.tensor_util import MakeNdarray

            return [self._known(MakeNdarray(proto))]
        if call.operation in ("VarHandleOp", "VariableV2"):
            shape = tuple(d.size for d in node.get_attr("shape").dim)
            return [Operand(self.builder.constant(shape))]
        if call.operation in ("Placeholder", "PlaceholderWithDefault") and call.name in self.variables:
            return [Operand(self.builder.constant(self.variables[call.name]))]
        if call.operation == "ReadVariableOp":
            return [Operand(call.values[0])]
        if call.operation == "Shape":
            return [self._known(np.asarray(call.values[0].shape, np.int64))]
        if call.operation == "ShapeN":
            return [self._known(np.asarray(value.shape, np.int64)) for value in call.values]
        if call.operation in ("Size", "Rank"):
            shape = call.values[0].shape
            return [self._known(np.asarray(np.prod(shape) if call.operation == "Size" else len(shape), np.int64))]
        compute = _ARITHMETIC.get(call.operation)
        if compute is not None and all(o.array is not None for o in call.operands):
            arrays = compute(call, *(np.asarray(o.array) for o in call.operands))
            return [self._known(np.asarray(a)) for a in (arrays if isinstance(arrays, list) else [arrays])]
        results = []
        for tensor in node.outputs:
            known = tensor.shape.is_fully_defined()
            # TensorFlow may lose the shape of an operation on one operand (a cast of a weight, its square root).
            alike = len(call.values) == 1
            shape = tuple(tensor.shape) if known else call.values[0].shape if alike else ()
            results.append(Operand(self.builder.constant(shape)))
        return results

    def _known(self, array: np.ndarray) -> Operand:
        return Operand(self.builder.constant(array.shape), array)


# Operations that return their operands.
_SAME = {"Identity", "IdentityN", "StopGradient", "PreventGradient", "Snapshot", "EnsureShape", "CheckNumerics"}
_SAME |= {"PlaceholderWithDefault", "PreventGradient"}


def _ordered(wanted: Sequence[Any], env: dict[str, Operand]) -> list[Any]:
    """Return the operations that tensors depend on, each after its inputs; those in `env` are known."""
    order: list[Any] = []
    done: set[str] = set()
    stack = [(t.op, False) for t in reversed(list(wanted)) if t.name not in env]
    while stack:
        operation, ready = stack.pop()
        if operation.name in done:
            continue
        if ready:
            done.add(operation.name)
            order.append(operation)
            continue
        stack.append((operation, True))
        stack.extend((t.op, False) for t in reversed(operation.inputs) if t.name not in env and t.op.name not in done)
    return order


def strided(call: Call, shape: Sequence[int], begin: Any, end: Any, strides: Any) -> tuple[list[Any], list[int]]:
    """Return the index of a ``StridedSlice`` as a slice for each axis, and the shape of the result."""
    masks = {name: call.attribute(name) for name in ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask")}
    shrink = call.attribute("shrink_axis_mask")
    given = len(begin)
    spread = len(shape) - sum(not (masks["new_axis_mask"] | masks["ellipsis_mask"]) >> i & 1 for i in range(given))
    slices: list[Any] = []
    left: list[int] = []

    def whole(count: int) -> None:
        for _ in range(count):
            left.append(shape[len(slices)])
            slices.append(slice(0, shape[len(slices)], 1))

    for i in range(given):
        if masks["ellipsis_mask"] >> i & 1:
            whole(spread)
            spread = 0
        elif masks["new_axis_mask"] >> i & 1:
            left.append(1)
        else:
            extent, step = shape[len(slices)], int(strides[i])
            if shrink >> i & 1:
                start = int(begin[i]) % extent
                slices.append(slice(start, start + 1, 1))
                continue
            first = None if masks["begin_mask"] >> i & 1 else int(begin[i])
            last = None if masks["end_mask"] >> i & 1 else int(end[i])
            taken = range(*slice(first, last, step).indices(extent))
            slices.append(slice(taken.start, taken.stop, step))
            left.append(len(taken))
    whole(len(shape) - len(slices))
    return slices, left


def _strided_array(call: Call, x: np.ndarray, begin: np.ndarray, end: np.ndarray, strides: np.ndarray) -> np.ndarray:
    slices, left = strided(call, x.shape, begin, end, strides)
    for axis, taken in enumerate(slices):
        x = np.take(x, range(taken.start, taken.stop, taken.step), axis=axis)
    return x.reshape(left)


_ARITHMETIC: dict[str, Callable[..., Any]] = {
    "StridedSlice": _strided_array,
    "Pack": lambda call, *xs: np.stack(xs, axis=call.attribute("axis")),
    "Unpack": lambda call, x: list(np.moveaxis(x, call.attribute("axis"), 0)),
    "ConcatV2": lambda _, *xs: np.concatenate(xs[:-1], axis=int(xs[-1])),
    "Cast": lambda call, x: x.astype(call.node.get_attr("DstT").as_numpy_dtype),
    "Prod": lambda call, x, axes: np.prod(x, axis=tuple(axes.reshape(-1)), keepdims=call.attribute("keep_dims")),
    "Sum": lambda call, x, axes: np.sum(x, axis=tuple(axes.reshape(-1)), keepdims=call.attribute("keep_dims")),
    "AddV2": lambda _, a, b: a + b,
    "Add": lambda _, a, b: a + b,
    "Sub": lambda _, a, b: a - b,
    "Mul": lambda _, a, b: a * b,
    "RealDiv": lambda _, a, b: a / b,
    "FloorDiv": lambda _, a, b: a // b,
    "FloorMod": lambda _, a, b: a % b,
    "Maximum": lambda _, a, b: np.maximum(a, b),
    "Minimum": lambda _, a, b: np.minimum(a, b),
    "Neg": lambda _, a: -a,
    "Floor": lambda _, a: np.floor(a),
    "Ceil": lambda _, a: np.ceil(a),
    "Range": lambda _, a, b, step: np.arange(a, b, step),
    "Fill": lambda _, shape, value: np.full(shape, value),
    "Reshape": lambda _, x, shape: x.reshape(shape),
    "ExpandDims": lambda _, x, axis: np.expand_dims(x, int(axis)),
    "Squeeze": lambda call, x: np.squeeze(x, axis=tuple(call.node.get_attr("squeeze_dims")) or None),
    "GatherV2": lambda _, x, indices, axis: np.take(x, indices, axis=int(axis)),
    "Slice": lambda _, x, begin, size: x[
        tuple(slice(b, None if n < 0 else b + n) for b, n in zip(map(int, begin), map(int, size)))
    ],
    "Tile": lambda _, x, multiples: np.tile(x, multiples),
    "Transpose": lambda _, x, permutation: x.transpose(permutation),
    "BroadcastTo": lambda _, x, shape: np.broadcast_to(x, shape),
}
