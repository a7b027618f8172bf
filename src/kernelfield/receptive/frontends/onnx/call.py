"""One ONNX node, the argument of the rules: its inputs, its attributes, the builder."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from kernelfield.errors import ArgumentError, reason
from kernelfield.receptive.builder import Builder, Value
from kernelfield.receptive.frontends.onnx.attributes import Attributes, shown

if TYPE_CHECKING:
    from onnx import TensorProto

#: Largest number of elements of a constant whose contents are read: shapes, axes, paddings, indices; not weights.
MOST_KNOWN = 1 << 16
#: Largest extent of an axis of a tensor that depends on the image: enough for all pixels of an image in one line.
LARGEST_AXIS = 1 << 22
_MOST_AXES = 16
_MOST_ELEMENTS = 1 << 48


@dataclass(frozen=True)
class Tensor:
    """A tensor of the model: its spatial axes and, for small constants, its contents.

    Parameters
    ----------
    value : Value
        Its value in the builder.
    given : ndarray or TensorProto, optional
        Its contents, where they are known; those of a TensorProto are read on demand.
    before : Tensor, optional
        The same tensor before it was reshaped.
    """

    value: Value
    given: np.ndarray | TensorProto | None = None
    before: Tensor | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The extents."""
        return self.value.shape

    @property
    def depends(self) -> bool:
        """Whether it depends on the image."""
        return self.value.node is not None

    @cached_property
    def content(self) -> np.ndarray | None:
        """Its contents; None where they are not known or too large for a shape, an axis or an index."""
        if self.given is None or isinstance(self.given, np.ndarray):
            return self.given
        return _content(self.given, math.prod(self.shape))


def _content(proto: TensorProto, count: int) -> np.ndarray | None:
    from onnx import TensorProto, numpy_helper

    # to_array would open the file that external data names.
    external = proto.data_location == TensorProto.EXTERNAL or len(proto.external_data)
    if external or count > MOST_KNOWN or proto.data_type == TensorProto.STRING:
        return None
    if count and not any(proto.HasField(f) if f == "raw_data" else len(getattr(proto, f)) for f in _DATA):
        return None
    try:
        return np.asarray(numpy_helper.to_array(proto))
    except (KeyError, TypeError, ValueError) as error:
        raise ArgumentError(
            f"tensor {proto.name!r}: expected {count} elements of a known type; {reason(error)}; export the model again"
        ) from None


_DATA = ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data")

#: The result of a rule: one output, or several in order.
Result: TypeAlias = Value | Tensor | Sequence[Value | Tensor]


@dataclass
class Call:
    """One node of a model.

    Parameters
    ----------
    operation, name : str
        Its type and its name in the model.
    inputs : tuple of (Tensor or None)
        None for an optional input that is omitted.
    outputs : tuple of str
        Names of its outputs, empty for one that is not used.
    attributes : Attributes
        Its attributes.
    opset : int
        Version of its operator set.
    builder : Builder
    declared : callable
        Returns the shape that the model declares for an output, or None.
    """

    operation: str
    name: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[str, ...]
    attributes: Attributes
    opset: int
    builder: Builder
    declared: Callable[[str], tuple[int, ...] | None]

    @property
    def where(self) -> str:
        """Name of the node in messages."""
        return self.attributes.where

    def error(self, expected: str, received: str, remedy: str = "export the model again") -> ArgumentError:
        """Return the error for the node."""
        return ArgumentError(f"{self.where}: expected {expected}; received {received}; {remedy}")

    def optional(self, index: int) -> Tensor | None:
        """Return an input; None where it is omitted."""
        return self.inputs[index] if index < len(self.inputs) else None

    def tensor(self, index: int = 0) -> Tensor:
        """Return a required input."""
        tensor = self.optional(index)
        if tensor is None:
            raise self.error(f"input {index + 1}", f"{len(self.inputs)} inputs")
        return tensor

    @property
    def x(self) -> Value:
        """The first input."""
        return self.tensor(0).value

    def present(self) -> list[Tensor]:
        """Return the inputs that are not omitted, at least one."""
        tensors = [t for t in self.inputs if t is not None]
        if not tensors:
            raise self.error("an input", "none")
        return tensors

    def depends(self, *indices: int) -> bool:
        """Return whether one of these inputs depends on the image."""
        return any(t is not None and t.depends for t in map(self.optional, indices))

    def label(self, index: int) -> str:
        """Return the name for the node of an output: the ONNX node's own for the first."""
        return self.name if index == 0 else (self.outputs[index] if index < len(self.outputs) else "") or self.name

    def wants(self, index: int) -> bool:
        """Return whether the model uses an output."""
        return index < len(self.outputs) and bool(self.outputs[index])

    def axis(self, value: int, rank: int | None = None, extra: int = 0) -> int:
        """Return an axis counted from the front, of `rank` plus `extra` axes."""
        rank = (len(self.x.shape) if rank is None else rank) + extra
        if not -rank <= value < rank:
            raise self.error(f"an axis from {-rank} to {rank - 1}", str(value))
        return value % rank

    def axes(self, values: Sequence[int], rank: int | None = None) -> list[int]:
        """Return axes counted from the front, ascending; a repeated axis is refused."""
        found = sorted(self.axis(v, rank) for v in values)
        if len(set(found)) != len(found):
            raise self.error("axes that differ", shown(values))
        return found

    def content(self, index: int, what: str) -> np.ndarray:
        """Return the contents of an input, which must not depend on the image."""
        tensor = self.tensor(index)
        if tensor.content is None:
            why = "values that depend on the image" if tensor.depends else "values that are not in the file"
            raise self.error(f"{what} that is known from the shapes", why, "export the model for a fixed input size")
        return tensor.content

    def integers(self, index: int, what: str, count: int | None = None) -> list[int]:
        """Return the integers in an input, a list or a single one."""
        values = self.content(index, what)
        if values.ndim > 1 or values.dtype.kind not in "iu":
            raise self.error(f"{what} as a list of whole numbers", f"{values.dtype} of shape {values.shape}")
        found = [int(v) for v in values.ravel()]
        if count is not None and len(found) != count:
            raise self.error(f"{what} of {count} whole numbers", shown(found))
        return found

    def given(self, index: int, attribute: str) -> list[int] | None:
        """Return the integers of an input or, in older operator sets, of an attribute; None without either."""
        if self.optional(index) is not None:
            return self.integers(index, attribute)
        return self.attributes.integers(attribute, -(1 << 63), 1 << 63)

    def rank(self, least: int, most: int = _MOST_AXES, index: int = 0) -> int:
        """Return the number of axes of an input, which must be `least` to `most`."""
        rank = len(self.tensor(index).shape)
        if not least <= rank <= most:
            many = str(least) if least == most else f"{least} to {most}"
            raise self.error(f"input {index + 1} of {many} axes", str(rank))
        return rank

    def checked(self, shape: Sequence[int], like: Value | None = None, empty: bool = False) -> tuple[int, ...]:
        """Return `shape` if a tensor can have it; where `like` depends on the image, extents are limited too."""
        shape = tuple(int(n) for n in shape)
        least = 0 if empty else 1
        if len(shape) > _MOST_AXES or min(shape, default=1) < least or math.prod(shape) > _MOST_ELEMENTS:
            raise self.error("a tensor with elements, but fewer than 2^48", f"the shape {shown(shape)}")
        placed = like is not None and like.node is not None
        if placed and max(shape, default=1) > LARGEST_AXIS:
            raise self.error(f"extents up to {LARGEST_AXIS}", f"the shape {shown(shape)}")
        return shape

    def constant(self, content: np.ndarray) -> Tensor:
        """Return a tensor that does not depend on the image."""
        return Tensor(self.builder.constant(self.checked(content.shape, empty=True)), content)

    def shaped(
        self, build: Callable[[], Value], fold: Callable[..., Any], *tensors: Tensor, size: int = 0
    ) -> Value | Tensor:
        """Return the node that `build` adds or, where the contents of `tensors` are known, `fold` of them.

        `size` is the number of elements of the result where it may be far larger than the tensors.
        """
        contents = [None if t.depends else t.content for t in tensors] if size <= MOST_KNOWN else [None]
        if any(content is None for content in contents):
            return build()
        try:
            with np.errstate(all="ignore"):
                return self.constant(np.asarray(fold(*contents)))
        except (ArithmeticError, IndexError, TypeError, ValueError) as error:
            raise self.error("constants that go together", reason(error)) from None

    def unknown(self, index: int = 0, shape: Sequence[int] | None = None) -> Value:
        """Return an output of an operator that is not known, as the builder's `unknown` says."""
        xs = [t.value for t in self.present() if t.depends]
        if shape is None and self.wants(index):
            shape = self.declared(self.outputs[index])
        if not xs and shape is not None:
            return self.builder.constant(self.checked(shape, empty=True))
        placed = self.builder.unknown(self.label(index), self.operation, xs, self.checked(shape or (1,)))
        if shape is None:
            raise self.error("a shape for its output", "none", "run onnx.shape_inference.infer_shapes on the model")
        return placed
