"""One call of a PyTorch operation, the argument of the rules: arguments by name, shapes of the result, constants."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import fx

from kernelfield.errors import UnsupportedOperation
from kernelfield.receptive.builder import Builder, Value
from kernelfield.receptive.frontends.torch.constants import Constants


class Call:
    """A call of an operation.

    Parameters
    ----------
    builder : Builder
    constants : Constants
    node : torch.fx.Node
        The call in the program.
    name : str
        Name of its node in the graph.
    arguments, keywords : tuple, dict
        With values for tensors.
    """

    def __init__(
        self,
        builder: Builder,
        constants: Constants,
        node: fx.Node,
        name: str,
        arguments: Sequence[Any],
        keywords: Mapping[str, Any],
    ) -> None:
        self.builder = builder
        self.constants = constants
        self.node = node
        self.name = name
        self.target: Any = node.target
        schema = getattr(self.target, "_schema", None)
        names = [argument.name for argument in schema.arguments] if schema else [str(i) for i in range(len(arguments))]
        bound = {**dict(zip(names, arguments, strict=False)), **keywords}
        defaults = {a.name: a.default_value for a in schema.arguments if a.has_default_value()} if schema else {}
        # In the order of the schema, so that the first tensor is the first argument.
        self.given: dict[str, Any] = {name: bound.get(name, defaults.get(name)) for name in names}
        self._nodes = dict(zip(names, node.args, strict=False)) | dict(node.kwargs)

    @property
    def operation(self) -> str:
        """The operation's name without its overload: ``"aten::conv2d"``."""
        schema = getattr(self.target, "_schema", None)
        return schema.name if schema else str(self.target)

    @property
    def overload(self) -> str:
        """Name of the overload of the operation."""
        return str(getattr(self.target, "_overloadname", ""))

    def __getitem__(self, name: str) -> Any:
        return self.given[name]

    def get(self, name: str, default: Any = None) -> Any:
        """Return an argument, or a default where it is omitted or None."""
        value = self.given.get(name)
        return default if value is None else value

    @property
    def x(self) -> Value:
        """The first tensor."""
        return self.values[0]

    @property
    def values(self) -> list[Value]:
        """All tensors, including those in lists."""
        found: list[Value] = []
        for argument in self.given.values():
            for item in argument if isinstance(argument, (list, tuple)) else (argument,):
                if isinstance(item, Value):
                    found.append(item)
        return found

    @property
    def result(self) -> Any:
        """The traced result of the call: a tensor, or several."""
        return self.node.meta.get("val")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the (first) tensor of the result."""
        first = self.result
        while isinstance(first, (tuple, list)):
            first = first[0]
        return self._sizes(first)

    def _sizes(self, tensor: Any) -> tuple[int, ...]:
        if not all(isinstance(n, int) for n in tensor.shape):
            raise UnsupportedOperation(
                f"model: expected shapes that the values do not decide; received {self.operation!r} in {self.name!r}; "
                "analyse the part of the model before it"
            )
        return tuple(tensor.shape)

    def source(self, name: str) -> fx.Node | None:
        """Return the operation of which an argument is a result, or one of several results."""
        node = self._nodes.get(name)
        while isinstance(node, fx.Node) and node.target is operator.getitem:
            node = node.args[0]
        return node if isinstance(node, fx.Node) else None

    def rearranged(self, name: str) -> np.ndarray | None:
        """Return the result of the call on the numbers of the elements of one argument; the others are constants.

        None where their contents are not known, or the argument is not the whole of its memory.
        """
        return self.constants.rearranged(self.node, self._nodes.get(name))

    def array(self, name: str) -> np.ndarray | None:
        """Return the contents of a constant argument, None where they are not known."""
        return self.constants.array(self._nodes.get(name))

    def hidden(self, name: str) -> np.ndarray | None:
        """Return the contents of a constant mask, with zeros for weights that are not known."""
        return self.constants.hidden(self._nodes.get(name))

    def arrays(self, name: str) -> list[np.ndarray | None]:
        """Return the contents of a list of constant tensors."""
        return [self.constants.array(node) for node in self._nodes.get(name) or ()]

    def unknown(self) -> Any:
        """Return the result as an operation that is not known, or raise, as the builder's `unknown` says."""
        if isinstance(self.result, torch.Tensor):
            return self.builder.unknown(self.name, self.operation, self.values, self.shape)
        return [
            self.builder.unknown(self.name, self.operation, self.values, self._sizes(item))
            if isinstance(item, torch.Tensor)
            else item
            for item in self.result or ()
        ]

    def with_rest(self, value: Value) -> tuple[Value, ...]:
        """Return all outputs of an operation from the first: indices are the same value, statistics are constants."""
        rest = [v for v in self.result[1:] if isinstance(v, torch.Tensor)]
        return (
            value,
            *(value if tuple(v.shape) == value.shape else self.builder.constant(tuple(v.shape)) for v in rest),
        )


def several(numbers: Any, rank: int) -> tuple[int, ...]:
    """Return a number for each of `rank` axes, where PyTorch accepts one for all.

    >>> several([2], 3)
    (2, 2, 2)
    """
    listed = tuple(numbers) if isinstance(numbers, (list, tuple)) else (numbers,)
    return tuple(int(n) for n in (listed * rank if len(listed) == 1 else listed))
