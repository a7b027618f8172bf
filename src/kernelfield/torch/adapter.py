"""Adapter of PyTorch: the engine for eager and compiled code, PyTorch's own convolution for the rest.

The rest is exported, vectorised (`vmap`) and forward-differentiated code, other devices, other dtypes, many channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from kernelfield.geometry import Operation
from kernelfield.tensors.adapter import Adapter
from kernelfield.torch.convolution import convolution
from kernelfield.torch.gradients import correlation, differentiable, is_concrete

_NAMES = {torch.float32: "float32", torch.float64: "float64"}


class TorchAdapter(Adapter):
    """Tensors of PyTorch."""

    name = "torch"

    def recognises(self, value: Any) -> bool:
        return isinstance(value, torch.Tensor)

    def shape(self, tensor: Any) -> tuple[int, ...]:
        return tuple(tensor.shape)

    def dtype(self, tensor: Any) -> str:
        return _NAMES.get(tensor.dtype) or str(tensor.dtype).removeprefix("torch.")

    def tensor(self, value: Any, dtype: str, like: Any) -> Any:
        wanted = getattr(torch, dtype)
        if isinstance(value, torch.Tensor):
            return value.to(like.device, wanted)
        if torch.compiler.is_compiling():
            return torch.as_tensor(value, dtype=wanted, device=like.device)
        # NumPy has no bfloat16; torch takes no foreign byte order, no negative strides, and warns of read-only memory.
        held = "float64" if dtype == "float64" else "float32" if "float" in dtype else dtype
        array = np.ascontiguousarray(value, held).reshape(np.shape(value))
        if not array.flags.writeable:
            array = array.copy()
        return torch.from_numpy(array).to(like.device, wanted)

    def is_concrete(self, *tensors: Any) -> bool:
        """Return whether all lie on the CPU and have values, now or when compiled code runs."""
        return is_concrete(*tensors)

    def to_numpy(self, tensor: Any) -> np.ndarray:
        array: np.ndarray = tensor.detach().numpy()
        return array

    def from_numpy(self, array: np.ndarray, like: Any) -> Any:
        """Return a tensor with the memory of `array`, or a copy on the device of `like`."""
        return torch.from_numpy(array).to(like.device)

    def is_differentiated(self, *tensors: Any) -> bool:
        """Return whether a gradient may be asked for, now or by compiled code."""
        return torch.compiler.is_compiling() or (torch.is_grad_enabled() and any(t.requires_grad for t in tensors))

    def differentiable(self, operation: Operation, image: Any, kernel: Any) -> Any:
        return differentiable(operation, image, kernel)

    def run(self, operation: Operation, image: Any, kernel: Any, bias: Any, channels_last: bool = False) -> Any:
        if channels_last:
            return super().run(operation, image, kernel, bias, channels_last)
        return correlation(operation, image, kernel, bias)

    def native(self, operation: Operation, image: Any, kernel: Any, channels_last: bool = False) -> Any:
        return convolution(operation, image, kernel, None, channels_last)

    def native_with_bias(
        self, operation: Operation, image: Any, kernel: Any, bias: Any, channels_last: bool = False
    ) -> Any:
        return convolution(operation, image, kernel, bias, channels_last)

    def transpose(self, tensor: Any, axes: tuple[int, ...]) -> Any:
        return tensor.permute(axes)

    def reshape(self, tensor: Any, shape: tuple[int, ...]) -> Any:
        return tensor.reshape(shape)

    def flip(self, tensor: Any) -> Any:
        return tensor.flip(-2, -1)

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
        before, after = torch.tensor(image), torch.tensor(target)
        weights = [torch.nn.Parameter(torch.tensor(np.asarray(kernel, image.dtype))) for kernel in kernels]
        rule = torch.optim.Adam(weights, lr) if optimiser == "adam" else torch.optim.SGD(weights, lr, momentum)
        while True:
            with torch.enable_grad():
                result = before
                for operation, weight in zip(operations, weights):
                    result = self.correlate(operation, result, weight)
                loss = ((result - after) ** 2).sum()
                rule.zero_grad()
                loss.backward()
            rule.step()
            yield loss.item(), [weight.detach().numpy().copy() for weight in weights]


ADAPTER = TorchAdapter()
