"""One node of an MXNet symbol: its inputs, its attributes, the shapes of its outputs."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from kernelfield.errors import ArgumentError
from kernelfield.receptive.builder import Builder, Value

Result: TypeAlias = Value | Sequence[Value]


@dataclass
class Call:
    """One node of a symbol.

    Parameters
    ----------
    operation, name : str
        Its operator and its name.
    inputs : list of Value
        Its inputs, weights included.
    attributes : mapping of str to str
        As in the symbol's JSON.
    shapes : list of tuple of int
        Of its outputs, as MXNet infers them.
    builder : Builder
    """

    operation: str
    name: str
    inputs: list[Value]
    attributes: Mapping[str, str]
    shapes: list[tuple[int, ...]]
    builder: Builder

    @property
    def x(self) -> Value:
        """The first input."""
        return self.inputs[0]

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute as a Python value."""
        text = self.attributes.get(name)
        if text is None or text == "None":
            return default
        try:
            return ast.literal_eval(text)
        except (SyntaxError, ValueError):
            return text

    def numbers(self, name: str, count: int, default: int) -> list[int]:
        """Return `count` integers; all `default` where the attribute is missing."""
        value = self.get(name, ())
        found = [value] if isinstance(value, int) else list(value)
        if not found:
            return [default] * count
        if len(found) != count:
            raise self.error(f"{name} of {count} numbers", str(found))
        return [int(n) for n in found]

    def axes(self, name: str = "axis") -> list[int]:
        """Return the axes of a reduction, all axes where none are named."""
        value = self.get(name, ())
        found = [value] if isinstance(value, int) else list(value)
        rank = len(self.x.shape)
        named = sorted({a % rank for a in found}) or list(range(rank))
        return [a for a in range(rank) if a not in named] if self.get("exclude", False) and found else named

    def error(self, expected: str, received: str) -> ArgumentError:
        """Return the error to raise."""
        return ArgumentError(
            f"{self.name!r} ({self.operation}): expected {expected}; received {received}; correct the model"
        )

    def unknown(self) -> Result:
        """Return the outputs of an operator that is not known, as the builder's `unknown` says."""
        return [
            self.builder.unknown(f"{self.name} {i}" if i else self.name, self.operation, self.inputs, shape)
            for i, shape in enumerate(self.shapes)
        ]
