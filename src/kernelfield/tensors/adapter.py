"""The interface of a framework's adapter, and the choice between the engine and the framework's own convolution."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from kernelfield.engine.layers import engine_is_better
from kernelfield.geometry import Operation
from kernelfield.tensors import layouts
from kernelfield.tensors.layer import fits

#: Dtypes of tensors that the engine computes in; the framework's own convolution takes every other.
ENGINE_DTYPES = ("float32", "float64")


class Adapter(ABC):
    """One framework: its tensors as arrays and back, and cross-correlation of them with gradients.

    Concrete tensors (in the memory of the CPU, with values) go to the engine, with its gradients registered. The
    framework's own convolution takes other devices, traces, other dtypes, and numbers of channels for which it is
    faster.
    """

    name: str

    @abstractmethod
    def recognises(self, value: Any) -> bool:
        """Return whether `value` is a tensor of this framework."""

    @abstractmethod
    def shape(self, tensor: Any) -> tuple[int, ...]:
        """Return the shape, -1 for leading axes that a trace leaves open; ArgumentError if rows or columns are open."""

    @abstractmethod
    def dtype(self, tensor: Any) -> str:
        """Return the name of the dtype, as NumPy spells it."""

    @abstractmethod
    def tensor(self, value: Any, dtype: str, like: Any) -> Any:
        """Return a tensor, an array or numbers as a tensor of `dtype` on the device of `like`; it is differentiable."""

    @abstractmethod
    def is_concrete(self, *tensors: Any) -> bool:
        """Return whether all have values and lie in the memory of the CPU: no trace, no other device."""

    @abstractmethod
    def to_numpy(self, tensor: Any) -> np.ndarray:
        """Return a concrete tensor as an array: a view of its memory where the framework allows it."""

    @abstractmethod
    def from_numpy(self, array: np.ndarray, like: Any) -> Any:
        """Return an array as a tensor on the device of `like`: on the same memory where the framework allows it."""

    @abstractmethod
    def differentiable(self, operation: Operation, image: Any, kernel: Any) -> Any:
        """Return the engine's result on concrete tensors, with its gradients registered."""

    def differentiable_channels_last(self, operation: Operation, image: Any, kernel: Any) -> Any:
        """Return `differentiable` of tensors laid out (N, H, W, C) and (kh, kw, C_in/groups, C_out)."""
        pixels, weights = self.transpose(image, layouts.TO_NCHW), self.transpose(kernel, layouts.TO_OIHW)
        return self.transpose(self.differentiable(operation, pixels, weights), layouts.TO_NHWC)

    @abstractmethod
    def native(self, operation: Operation, image: Any, kernel: Any, channels_last: bool = False) -> Any:
        """Return the result of the framework's own convolution on tensors laid out as in `correlate`."""

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
        """Yield, without end, the summed squared error before a step of gradient descent and the kernels after it.

        The operations are applied one after another, each with its kernel of two axes. `optimiser` is ``"sgd"``, with
        `momentum` or 0, or ``"adam"``: the framework's own, on gradients of its own differentiation.
        """

    @abstractmethod
    def reshape(self, tensor: Any, shape: tuple[int, ...]) -> Any:
        """Return the tensor in another shape."""

    @abstractmethod
    def flip(self, tensor: Any) -> Any:
        """Return the tensor reversed along its last two axes."""

    def route(self, operation: Operation, image: Any, kernel: Any, channels_last: bool = False) -> tuple[str, str]:
        """Return ``"engine"`` or the framework's name, and the reason."""
        if not self.is_concrete(image, kernel):
            return self.name, "another device or a trace"
        if self.dtype(image) not in ENGINE_DTYPES:
            return self.name, f"dtype {self.dtype(image)}"
        pixels, weights = self.shape(image), self.shape(kernel)
        if channels_last:
            pixels, weights = (pixels[0], pixels[3], *pixels[1:3]), (weights[3], weights[2], *weights[:2])
        if not engine_is_better(operation, pixels, weights):
            return self.name, "many channels"
        return "engine", "tensors in the memory of the CPU"

    def correlate(
        self, operation: Operation, image: Any, kernel: Any, bias: Any = None, channels_last: bool = False
    ) -> Any:
        """Return the cross-correlation of two tensors of one dtype, plus a bias for each output channel.

        The image is (..., H, W) or (..., C, H, W), the kernel (kh, kw) or (C_out, C_in/groups, kh, kw). With
        `channels_last`, the layout of TensorFlow and JAX, image and result are (N, H, W, C) and the kernel is
        (kh, kw, C_in/groups, C_out).
        """
        if self.route(operation, image, kernel, channels_last)[0] != "engine":
            return self.native_with_bias(operation, image, kernel, bias, channels_last)
        return self._by_engine(operation, image, kernel, bias, channels_last)

    def layer(
        self, operation: Operation, image: Any, weight: Any, bias: Any = None, channels_last: bool = False
    ) -> Any:
        """Return the engine's result for a layer; None where the framework's own layer computes or refuses.

        That is where `route` says so, and for an image, weights and a bias (C_out,) or None that do not go together.
        """
        parameters = (weight,) if bias is None else (weight, bias)
        if not self.is_concrete(image, *parameters):
            return None
        shape, size = self.shape(image), self.shape(weight)
        if len(shape) == len(size) == 4 and channels_last:
            shape, size = (shape[0], shape[3], *shape[1:3]), (size[3], size[2], *size[:2])
        matches = fits(operation, shape, size) and all(self.dtype(p) == self.dtype(image) for p in parameters)
        if not matches or (bias is not None and self.shape(bias) != size[:1]):
            return None
        if self.dtype(image) not in ENGINE_DTYPES or not engine_is_better(operation, shape, size):
            return None
        return self._by_engine(operation, image, weight, bias, channels_last)

    def _by_engine(self, operation: Operation, image: Any, kernel: Any, bias: Any, channels_last: bool) -> Any:
        """Return `correlate` by the engine, on concrete tensors."""
        size = self.shape(kernel)
        filters = size[-1 if channels_last else 0] if len(size) == 4 else None
        if bias is not None and self.shape(bias) == (filters,) and not self.is_differentiated(image, kernel, bias):
            return self.run(operation, image, kernel, bias, channels_last)
        run = self.differentiable_channels_last if channels_last else self.differentiable
        return self._plus(run(operation, image, kernel), kernel, bias, channels_last)

    def native_with_bias(
        self, operation: Operation, image: Any, kernel: Any, bias: Any, channels_last: bool = False
    ) -> Any:
        """Return `native` plus the bias, if any; to be overridden where the framework's convolution adds it."""
        return self._plus(self.native(operation, image, kernel, channels_last), kernel, bias, channels_last)

    def _plus(self, result: Any, kernel: Any, bias: Any, channels_last: bool) -> Any:
        if bias is None:
            return result
        if channels_last or len(self.shape(kernel)) == 2:
            return result + bias
        return result + self.reshape(bias, (-1, 1, 1))

    def is_differentiated(self, *tensors: Any) -> bool:
        """Return whether gradients with respect to one of these concrete tensors may be asked for."""
        return True

    def run(self, operation: Operation, image: Any, kernel: Any, bias: Any, channels_last: bool = False) -> Any:
        """Return the engine's result on concrete tensors laid out as in `correlate`, without gradients."""
        arrays = self.to_numpy(image), self.to_numpy(kernel), self.to_numpy(bias)
        return self.from_numpy(layouts.forward(operation, *arrays, channels_last), image)
