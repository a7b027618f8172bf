"""Attributes of an ONNX node, each checked for type, length and range before it is used."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kernelfield.errors import ArgumentError

if TYPE_CHECKING:
    from onnx import AttributeProto, GraphProto, NodeProto, TensorProto

#: Kernels and strides above this, and paddings and extents above LARGEST_EXTENT, indicate a damaged file.
LARGEST_KERNEL = 1 << 12
LARGEST_EXTENT = 1 << 20

# AttributeProto.AttributeType in onnx.proto.
_FLOAT, _INT, _STRING, _TENSOR, _GRAPH, _FLOATS, _INTS, _STRINGS, _SPARSE = 1, 2, 3, 4, 5, 6, 7, 8, 11
_TYPES = {
    _FLOAT: "a number",
    _INT: "a whole number",
    _STRING: "a name",
    _TENSOR: "a tensor",
    _GRAPH: "a graph",
    _FLOATS: "numbers",
    _INTS: "whole numbers",
    _STRINGS: "names",
    _SPARSE: "a sparse tensor",
}
_REMEDY = "export the model again"


class Attributes:
    """The attributes of one node, by name.

    Parameters
    ----------
    node : onnx.NodeProto
        The node.
    where : str
        Name of the node in messages.
    outer : mapping, optional
        Attributes of the enclosing function, for references to them.
    """

    def __init__(self, node: NodeProto, where: str, outer: Mapping[str, AttributeProto] | None = None) -> None:
        self.where = where
        self.by_name: dict[str, AttributeProto] = {}
        for attribute in node.attribute:
            name = attribute.name
            if attribute.ref_attr_name:
                # An attribute that the caller omits is omitted here too.
                if attribute.ref_attr_name not in (outer or {}):
                    continue
                attribute = (outer or {})[attribute.ref_attr_name]
            if name in self.by_name:
                raise self.error(name, "one value", "two", _REMEDY)
            self.by_name[name] = attribute

    def __contains__(self, name: str) -> bool:
        return name in self.by_name

    def error(self, name: str, expected: str, received: str, remedy: str = _REMEDY) -> ArgumentError:
        """Return the error for the attribute `name`."""
        return ArgumentError(f"{self.where}, {name}: expected {expected}; received {received}; {remedy}")

    def _of(self, name: str, kind: int) -> AttributeProto | None:
        attribute = self.by_name.get(name)
        if attribute is not None and attribute.type != kind:
            raise self.error(name, _TYPES[kind], _TYPES.get(attribute.type, f"type {attribute.type}"))
        return attribute

    def integer(self, name: str, default: int, low: int = -LARGEST_EXTENT, high: int = LARGEST_EXTENT) -> int:
        """Return an integer from `low` to `high`."""
        attribute = self._of(name, _INT)
        if attribute is None:
            return default
        if not low <= attribute.i <= high:
            raise self.error(name, f"a whole number from {low} to {high}", str(attribute.i))
        return int(attribute.i)

    def flag(self, name: str, default: bool = False) -> bool:
        """Return whether the attribute is 1; numbers other than 0 and 1 are refused."""
        return bool(self.integer(name, int(default), 0, 1))

    def integers(
        self, name: str, low: int = -LARGEST_EXTENT, high: int = LARGEST_EXTENT, count: int | None = None
    ) -> list[int] | None:
        """Return `count` integers from `low` to `high`; None where the attribute is missing."""
        attribute = self._of(name, _INTS)
        if attribute is None:
            return None
        values = list(attribute.ints)
        if (count is not None and len(values) != count) or not all(low <= value <= high for value in values):
            many = "" if count is None else f"{count} "
            raise self.error(name, f"{many}whole numbers from {low} to {high}", shown(values))
        return values

    def number(self, name: str, default: float) -> float:
        """Return a finite number."""
        attribute = self._of(name, _FLOAT)
        if attribute is None:
            return default
        if not math.isfinite(attribute.f):
            raise self.error(name, "a finite number", str(attribute.f))
        return float(attribute.f)

    def numbers(self, name: str) -> list[float] | None:
        """Return finite numbers; None where the attribute is missing."""
        attribute = self._of(name, _FLOATS)
        if attribute is None:
            return None
        if not all(map(math.isfinite, attribute.floats)):
            raise self.error(name, "finite numbers", shown(attribute.floats))
        return list(attribute.floats)

    def word(self, name: str, default: str, choices: Sequence[str]) -> str:
        """Return one of `choices`."""
        text = self.text(name, default)
        if text not in choices:
            raise self.error(name, f"one of {', '.join(c or repr(c) for c in choices)}", repr(text)[:80])
        return text

    def text(self, name: str, default: str) -> str:
        """Return any name."""
        attribute = self._of(name, _STRING)
        return default if attribute is None else bytes(attribute.s).decode("utf-8", "replace")

    def tensor(self, name: str) -> TensorProto | None:
        """Return a tensor; None where the attribute is missing."""
        attribute = self._of(name, _TENSOR)
        return None if attribute is None else attribute.t

    def graph(self, name: str) -> GraphProto:
        """Return a graph."""
        attribute = self._of(name, _GRAPH)
        if attribute is None:
            raise self.error(name, "a graph", "none")
        return attribute.g


def shown(values: Sequence[object]) -> str:
    """Return a list for a message, truncated where it is long."""
    text = ", ".join(map(str, values[:8]))
    return f"[{text}{', …' if len(values) > 8 else ''}]"
