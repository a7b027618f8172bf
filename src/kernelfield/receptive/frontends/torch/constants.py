"""Constants of an exported program on which the elements read depend: indices, masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import fx

from kernelfield.receptive.builder import Builder

# Larger constants are weights, not indices.
_LARGEST = 1 << 22


class Constants:
    """The tensors of a program that do not depend on its input, computed on demand.

    With `zeros`, weights count as zeros: whatever they are, they hide nothing that a mask does not hide.
    """

    def __init__(self, program: Any, zeros: bool = False) -> None:
        self._zeros = zeros
        signature = program.graph_signature
        self._inputs = set(signature.user_inputs)
        self._names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        self._lifted = dict(getattr(signature, "inputs_to_lifted_tensor_constants", {}))
        self._program = program
        self._known: dict[fx.Node, Any] = {}

    def is_input(self, node: fx.Node) -> bool:
        """Return whether a placeholder is an argument of the model."""
        return node.name in self._inputs

    def attribute(self, graph: fx.Graph, node: fx.Node, builder: Builder) -> Any:
        """Return an attribute of a graph's module: a submodule itself, a tensor as a constant."""
        found: Any = graph.owning_module
        for part in str(node.target).split("."):
            found = getattr(found, part)
        if not isinstance(found, torch.Tensor):
            return found
        self._known[node] = found
        return builder.constant(tuple(found.shape))

    def array(self, node: Any) -> np.ndarray | None:
        """Return the contents of a node that does not depend on the image, None where they are not known."""
        if not isinstance(node, fx.Node):
            return None
        tensor = self._tensor(node)
        return None if tensor is None else tensor.detach().cpu().numpy()

    def rearranged(self, call: fx.Node, moved: Any) -> np.ndarray | None:
        """Return the result of a call that only moves elements, with their numbers in row-major order in place of one.

        None where other arguments are not known.
        """
        traced = moved.meta["val"] if isinstance(moved, fx.Node) else None
        if not isinstance(traced, torch.Tensor) or traced.numel() > _LARGEST or not traced.numel():
            return None
        numbers = torch.arange(1, traced.numel() + 1).reshape(tuple(traced.shape))
        # Operations on memory, such as as_strided, see its order.
        laid = torch.empty_strided(tuple(traced.shape), tuple(traced.stride()), dtype=numbers.dtype)
        try:
            if all(traced.stride()):
                numbers = laid.copy_(numbers)
            known = {moved: numbers}
            arguments, keywords = fx.node.map_arg(
                (call.args, call.kwargs), lambda node: known[node] if node in known else self._value(node)
            )
            with torch.no_grad():
                result = call.target(*arguments, **keywords)
        except (_UnknownError, RuntimeError):
            return None
        found: np.ndarray = result.numpy() - 1
        return found

    def hidden(self, node: Any) -> np.ndarray | None:
        """Return the contents of a mask, to which weights of finite values may be added."""
        known = self.array(node)
        return Constants(self._program, zeros=True).array(node) if known is None else known

    def _tensor(self, node: fx.Node) -> torch.Tensor | None:
        try:
            value = self._value(node)
        except _UnknownError:
            return None
        return value if isinstance(value, torch.Tensor) else None

    def _value(self, node: fx.Node) -> Any:
        if node not in self._known:
            self._known[node] = self._worked_out(node)
        return self._known[node]

    def _worked_out(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            name = self._names.get(node.name)
            tensor = self._lifted_tensor(node) if name is None else self._program.state_dict.get(name)
            tensor = self._program.constants.get(name) if tensor is None and name else tensor
            if not isinstance(tensor, torch.Tensor) or tensor.is_meta or tensor.numel() > _LARGEST:
                traced = node.meta.get("val")
                if not self._zeros or self.is_input(node) or not isinstance(traced, torch.Tensor):
                    raise _UnknownError
                return torch.zeros(tuple(traced.shape), dtype=traced.dtype)
            return tensor.detach().cpu()
        if node.op != "call_function":
            raise _UnknownError
        shape = getattr(node.meta.get("val"), "shape", ())
        if int(np.prod(tuple(shape), initial=1)) > _LARGEST:
            raise _UnknownError
        arguments, keywords = fx.node.map_arg((node.args, node.kwargs), self._value)
        keywords = {key: torch.device("cpu") if key == "device" else value for key, value in keywords.items()}
        arguments = tuple(torch.device("cpu") if isinstance(a, torch.device) else a for a in arguments)
        with torch.no_grad():
            return node.target(*arguments, **keywords)

    def _lifted_tensor(self, node: fx.Node) -> Any:
        return self._program.constants.get(self._lifted.get(node.name))


class _UnknownError(Exception):
    """The contents of a constant are not known: a weight on the meta device, or an input."""
