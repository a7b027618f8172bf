"""What every framework's adapter does, and the part of it that is the same for all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from kernelfield import _core
from kernelfield.engine import layers
from kernelfield.geometry import Operation

#: Dtypes of tensors that the engine computes in; every other one goes to the framework's own convolution.
ENGINE_DTYPES = ("float32", "float64")


class Adapter(ABC):
    """One framework.

    The work is done by our engine, with its gradients registered, on tensors that lie in the memory of the CPU and
    hold numbers; by the framework's own convolution on other devices, inside a trace, for other dtypes and where many
    channels make that faster.
    """

    name: str

    @abstractmethod
    def recognises(self, value: Any) -> bool:
        """Return whether `value` is a tensor of this framework."""

    @abstractmethod
    def shape(self, tensor: Any) -> tuple[int, ...]:
        """Return the shape, -1 for leading axes that a trace leaves open; raise ArgumentError if more is not known."""

    @abstractmethod
    def dtype(self, tensor: Any) -> str:
        """Return the name of the dtype, as NumPy spells it."""

    @abstractmethod
    def tensor(self, value: Any, dtype: str, like: Any) -> Any:
        """Return `value` (a tensor, an array, numbers) as a tensor of `dtype` where `like` is; gradients go through."""

    @abstractmethod
    def is_concrete(self, *tensors: Any) -> bool:
        """Return whether all lie in the memory of the CPU and hold numbers: no other device, no trace."""

    @abstractmethod
    def to_numpy(self, tensor: Any) -> np.ndarray:
        """Return a concrete tensor's memory as an array, without a copy where the framework allows it."""

    @abstractmethod
    def from_numpy(self, array: np.ndarray, like: Any) -> Any:
        """Return a tensor on the device of `like` with the memory of `array` where the framework allows it."""

    @abstractmethod
    def differentiable(self, operation: Operation, image: Any, kernel: Any) -> Any:
        """Return the result of our engine on concrete tensors, with its gradients registered."""

    def differentiable_channels_last(self, operation: Operation, image: Any, kernel: Any) -> Any:
        """Return the same on tensors laid out (N, H, W, C) and (kh, kw, C_in/groups, C_out)."""
        first, weights = self.transpose(image, (0, 3, 1, 2)), self.transpose(kernel, (3, 2, 0, 1))
        return self.transpose(self.differentiable(operation, first, weights), (0, 2, 3, 1))

    @abstractmethod
    def native(self, operation: Operation, image: Any, kernel: Any, channels_last: bool = False) -> Any:
        """Return the result by the framework's own operations, on tensors laid out as in `correlate`."""

    @abstractmethod
    def transpose(self, tensor: Any, axes: tuple[int, ...]) -> Any:
        """Return the tensor with its axes in another order."""

    @abstractmethod
    def descend(
        self,
        operations: Sequence[Operation],
        image: np.ndarray,
        target: np.ndarray,
        kernels: Sequence[np.ndarray],
        optimiser: str,
        lr: float,
        momentum: float,
    ) -> Iterator[tuple[float, list[np.ndarray]]]:
        """Yield the summed squared error before each step of descent, and the kernels after it, without an end.

        `operations` are applied in a row, each with its kernel of two axes. `optimiser` is ``"sgd"`` (plain, or with
        `momentum`) or ``"adam"``: the framework's own, on gradients that its own differentiation gives.
        """

    @abstractmethod
    def reshape(self, tensor: Any, shape: tuple[int, ...]) -> Any:
        """Return the tensor in another shape."""

    @abstractmethod
    def flip(self, tensor: Any) -> Any:
        """Return the tensor reversed along its last two axes."""

    def route(self, operation: Operation, image: Any, kernel: Any, channels_last: bool = False) -> tuple[str, str]:
        """Return ``"engine"`` or the framework's name, and why."""
        if not self.is_concrete(image, kernel):
            return self.name, "another device or a trace"
        if self.dtype(image) not in ENGINE_DTYPES:
            return self.name, f"dtype {self.dtype(image)}"
        pixels, weights = self.shape(image), self.shape(kernel)
        if channels_last:
            pixels, weights = (pixels[0], pixels[3], *pixels[1:3]), (weights[3], weights[2], *weights[:2])
        if not layers.engine_is_better(operation, pixels, weights):
            return self.name, "many channels"
        return "engine", "tensors in the memory of the CPU"

    def correlate(
        self, operation: Operation, image: Any, kernel: Any, bias: Any = None, channels_last: bool = False
    ) -> Any:
        """Return the cross-correlation of two tensors of one dtype, plus a bias for each output channel.

        With `channels_last` the image is (N, H, W, C) and the kernel (kh, kw, C_in/groups, C_out), as TensorFlow and
        JAX lay them out, and so is the result; else (..., H, W) or (..., C, H, W) and (kh, kw) or (C_out, C_in/groups,
        kh, kw).
        """
        where, _ = self.route(operation, image, kernel, channels_last)
        if where != "engine":
            return self.native_with_bias(operation, image, kernel, bias, channels_last)
        size = self.shape(kernel)
        filters = size[-1 if channels_last else 0] if len(size) == 4 else None
        if bias is not None and self.shape(bias) == (filters,) and not self.is_differentiated(image, kernel, bias):
            return self.from_numpy(self.run(operation, image, kernel, bias, channels_last), image)
        run = self.differentiable_channels_last if channels_last else self.differentiable
        return self._plus(run(operation, image, kernel), kernel, bias, channels_last)

    def native_with_bias(
        self, operation: Operation, image: Any, kernel: Any, bias: Any, channels_last: bool = False
    ) -> Any:
        """Return `native` plus the bias, if any; for frameworks whose convolution adds it on the way."""
        return self._plus(self.native(operation, image, kernel, channels_last), kernel, bias, channels_last)

    def _plus(self, result: Any, kernel: Any, bias: Any, channels_last: bool) -> Any:
        if bias is None:
            return result
        if channels_last or len(self.shape(kernel)) == 2:
            return result + bias
        return result + self.reshape(bias, (-1, 1, 1))

    def is_differentiated(self, *tensors: Any) -> bool:
        """Return whether somebody may ask for gradients of what is made of concrete tensors."""
        return True

    def run(
        self, operation: Operation, image: Any, kernel: Any, bias: Any = None, channels_last: bool = False
    ) -> np.ndarray:
        """Return what our engine makes of concrete tensors laid out as in `correlate`, as an array."""
        pixels, weights = self.to_numpy(image), self.to_numpy(kernel)
        added = None if bias is None else self.to_numpy(bias)
        if not channels_last:
            out = _core.empty(operation.output_shape(pixels.shape, weights.shape), pixels.dtype)
            layers.forward(operation, pixels, weights, out, added)
            return out
        pixels, weights = pixels.transpose(0, 3, 1, 2), weights.transpose(3, 2, 0, 1)
        n, filters, rows, columns = operation.output_shape(pixels.shape, weights.shape)
        out = _core.empty((n, rows, columns, filters), pixels.dtype)
        layers.forward(operation, pixels, weights, out.transpose(0, 3, 1, 2), added)
        return out
