"""Walk through the nodes of Keras models: nested models, wrappers, and calls made of operations of Keras."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kernelfield.errors import KernelfieldError
from kernelfield.receptive.builder import Builder, Value
from kernelfield.receptive.guard import guarded
from kernelfield.receptive.registry import registered

# Methods that a subclass of a layer may override without changing its result.
_HARMLESS = {
    "build",
    "compute_mask",
    "compute_output_shape",
    "compute_output_spec",
    "count_params",
    "from_config",
    "get_config",
    "load_own_variables",
    "save_own_variables",
}
_DEEPEST = 40

Result = Value | list[Value]


@dataclass(frozen=True)
class Call:
    """One call of a layer or an operation, the argument of the rules."""

    walker: Walker
    name: str
    operation: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    @property
    def builder(self) -> Builder:
        """The graph under construction."""
        return self.walker.builder

    @property
    def x(self) -> Value:
        """The first tensor."""
        return self.values[0]

    @property
    def values(self) -> list[Value]:
        """The tensors, in order."""
        return list(_values((self.args, self.kwargs)))

    def operand(self, index: int, name: str = "") -> Value:
        """Return an argument as a value; a variable, an array or a number is a constant."""
        argument = self.args[index] if index < len(self.args) else self.kwargs[name]
        return self.constant(argument)

    def constant(self, argument: Any) -> Value:
        """Return a tensor, an array or a number as a value."""
        if isinstance(argument, Value):
            return argument
        shape = getattr(argument, "shape", None)
        if shape is None:
            import numpy as np

            shape = np.shape(argument)
        return self.builder.constant(tuple(int(n) for n in shape))

    def argument(self, index: int, name: str, default: Any = None) -> Any:
        """Return an argument that is not a tensor."""
        return self.args[index] if index < len(self.args) else self.kwargs.get(name, default)

    def unknown(self) -> list[Value]:
        """Return the outputs by the operations that the call is made of, else as the builder's `unknown` says."""
        return self.walker.unknown(self)


class Walker:
    """The walk through a model: calls the rule of every layer and operation in turn.

    Parameters
    ----------
    builder : Builder
    layers, operations : mapping of str to callable
        The rules by the name of the class of a layer, and of an operation of `keras.ops`.
    """

    def __init__(
        self,
        builder: Builder,
        layers: Mapping[str, Callable[[Call], Any]],
        operations: Mapping[str, Callable[[Call], Any]],
    ) -> None:
        self.builder, self.layers, self.operations = builder, layers, operations
        self._depth = 0

    def function(self, function: Any, inputs: Sequence[Value], prefix: str) -> list[Value]:
        """Return the outputs of a graph of nodes for these inputs; `prefix` precedes the names of its layers."""
        import keras

        tensors: dict[int, Any] = dict(zip(map(id, function.inputs), inputs))
        for depth in sorted(function._nodes_by_depth, reverse=True):
            for node in function._nodes_by_depth[depth]:
                if not node.operation or node.is_input or any(id(x) not in tensors for x in node.input_tensors):
                    continue
                args, kwargs = node.arguments.fill_in(tensors)
                name = f"{prefix}/{node.operation.name}" if prefix else node.operation.name
                with guarded(type(node.operation).__name__, name):
                    outputs = self.apply(node.operation, name, args, kwargs)
                tensors.update(zip(map(id, node.outputs), outputs))
        return [tensors[id(x)] for x in keras.tree.flatten(function._outputs_struct)]

    def apply(self, operation: Any, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Value]:
        """Return the outputs of one call."""
        call = Call(self, name, operation, args, kwargs)
        values = call.values
        given = registered(type(operation).__name__)
        if given is not None:
            attributes = {"shape": self.shapes(call)[0], **_configuration(operation)}
            return [given(self.builder, name, values, attributes)]
        inner = getattr(operation, "_functional", None) or operation
        if hasattr(inner, "_nodes_by_depth") and not calls_anew(operation):
            outputs = self.function(inner, values, name)
            for output in outputs[:1]:
                self.builder.alias(name, output)
            return outputs
        if values and all(value.node is None for value in values):
            return [self.builder.constant(shape) for shape in self.shapes(call)]
        kind = _library_class(type(operation))
        table = self.layers if ".layers." in kind[1] else self.operations
        rule = table.get(kind[0])
        result = call.unknown() if rule is None else rule(call)
        return result if isinstance(result, list) else [result]

    def written_out(
        self, operation: Any, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> list[Value] | None:
        """Return the outputs of a call by the operations of Keras that it is made of.

        None where it accepts no symbolic tensors, or is itself a single operation.
        """
        import keras

        values = list(_values((args, kwargs)))
        if self._depth >= _DEEPEST or not values:
            return None
        dtype = getattr(operation, "compute_dtype", None) or "float32"
        tensors = {id(v): keras.KerasTensor(v.shape, dtype=dtype) for v in values}

        def swap(x: Any) -> Any:
            return tensors[id(x)] if isinstance(x, Value) else x

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                call = operation.call if hasattr(operation, "call") else operation
                symbolic = keras.tree.map_structure(swap, (tuple(args), dict(kwargs)))
                outputs = call(*symbolic[0], **symbolic[1])
                function = keras.Function(list(tensors.values()), outputs)
        except KernelfieldError:
            raise
        except Exception:
            # A call that is not meant for symbolic tensors may raise anything.
            return None
        made = [node.operation for nodes in function._nodes_by_depth.values() for node in nodes if node.operation]
        if len(made) <= 1 and any(type(o) is type(operation) for o in made):
            return None
        self._depth += 1
        try:
            return self.function(function, [next(v for v in values if id(v) == i) for i in tensors], name)
        finally:
            self._depth -= 1

    def unknown(self, call: Call) -> list[Value]:
        """Return the outputs by the operations that a call is made of, else as the builder's `unknown` says."""
        outputs = self.written_out(call.operation, call.name, call.args, call.kwargs)
        if outputs is not None:
            self.builder.alias(call.name, outputs[0])
            return outputs
        kind = type(call.operation).__name__
        if self.builder.on_unknown == "error":
            return [self.builder.unknown(call.name, kind, call.values, ())]
        return [self.builder.unknown(call.name, kind, call.values, shape) for shape in self.shapes(call)]

    def shapes(self, call: Call) -> list[tuple[int, ...]]:
        """Return the shapes of a call's outputs, as Keras infers them."""
        import keras

        def swap(x: Any) -> Any:
            return keras.KerasTensor(x.shape) if isinstance(x, Value) else x

        args, kwargs = keras.tree.map_structure(swap, (tuple(call.args), dict(call.kwargs)))
        outputs = keras.tree.flatten(call.operation.compute_output_spec(*args, **kwargs))
        return [tuple(n or 1 for n in output.shape) for output in outputs]


def layers_of(model: Any) -> Iterator[Any]:
    """Yield the layers of a model in order, including those of nested models."""
    yield from getattr(model, "_flatten_layers", lambda **_: [])(include_self=True, recursive=True)


def _values(structure: Any) -> Iterator[Value]:
    if isinstance(structure, Value):
        yield structure
    elif isinstance(structure, Mapping):
        for key in structure:
            yield from _values(structure[key])
    elif isinstance(structure, list | tuple):
        for item in structure:
            yield from _values(item)


def calls_anew(operation: Any) -> bool:
    """Return whether a user's subclass of a class of Keras overrides `call`."""
    return "call" in _redefined(type(operation))


def _redefined(kind: type) -> set[str]:
    """Return the methods that a user's subclass of a class of Keras overrides and that may change its result."""
    own: set[str] = set()
    for parent in kind.__mro__:
        if parent.__module__.startswith("keras.src."):
            return {name for name in own if hasattr(parent, name)} - _HARMLESS
        own |= {name for name, value in vars(parent).items() if callable(value) and not name.startswith("__")}
        own |= {"__call__"} & set(vars(parent))
    return own


def _library_class(kind: type) -> tuple[str, str]:
    """Return name and module of the class of Keras that defines a layer; the name is empty if a user overrides it."""
    for parent in kind.__mro__:
        if parent.__module__.startswith("keras.src."):
            return ("" if _redefined(kind) else parent.__name__), parent.__module__
    return "", ""


def _configuration(operation: Any) -> dict[str, Any]:
    return dict(operation.get_config()) if hasattr(operation, "get_config") else {}
