"""Tensors of PyTorch.

Eager tensors go through a `torch.autograd.Function`, whose call costs a quarter of a custom operator's; under
`torch.compile` the engine is the operator ``kernelfield::correlate``, which the compiler leaves as it is. Exported,
vectorised (`vmap`) and forward-differentiated code takes PyTorch's own convolution.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.autograd import forward_ad
from torch.nn import functional

from kernelfield.arrays.base import Adapter
from kernelfield.engine import layers
from kernelfield.geometry import Operation

_NAMES = {torch.float32: "float32", torch.float64: "float64"}
_PLAIN = (torch.Tensor, torch.nn.Parameter)


class TorchAdapter(Adapter):
    """See `Adapter`."""

    name = "torch"

    def recognises(self, value: Any) -> bool:
        """Return whether `value` is a tensor of this framework."""
        return isinstance(value, torch.Tensor)

    def shape(self, tensor: Any) -> tuple[int, ...]:
        """Return the shape."""
        return tuple(tensor.shape)

    def dtype(self, tensor: Any) -> str:
        """Return the name of the dtype, as NumPy spells it."""
        return _NAMES.get(tensor.dtype) or str(tensor.dtype).removeprefix("torch.")

    def tensor(self, value: Any, dtype: str, like: Any) -> Any:
        """Return `value` as a tensor of `dtype` on the device of `like`."""
        wanted = getattr(torch, dtype)
        if isinstance(value, torch.Tensor):
            return value.to(like.device, wanted)
        if torch.compiler.is_compiling():
            return torch.as_tensor(value, dtype=wanted, device=like.device)
        # NumPy has no bfloat16; torch takes no other byte order, no negative strides, and warns of read-only memory.
        exact = "float64" if dtype == "float64" else "float32" if "float" in dtype else dtype
        array = np.ascontiguousarray(value, exact).reshape(np.shape(value))
        if not array.flags.writeable:
            array = array.copy()
        return torch.from_numpy(array).to(like.device, wanted)

    def is_concrete(self, *tensors: Any) -> bool:
        """Return whether the engine can have them: on the CPU, with numbers in them, now or when compiled code runs."""
        if torch._C._are_functorch_transforms_active():
            return False
        if torch.compiler.is_compiling():
            # What is exported leaves this process: it holds PyTorch's own operations only.
            return not torch.compiler.is_exporting() and all(t.is_cpu for t in tensors)
        if torch._C._len_torch_dispatch_stack() or torch.jit.is_tracing() or forward_ad._current_level >= 0:
            return False
        return all(type(t) in _PLAIN and t.is_cpu and t.layout is torch.strided and not t.is_neg() for t in tensors)

    def to_numpy(self, tensor: Any) -> np.ndarray:
        """Return the tensor's memory as an array."""
        array: np.ndarray = tensor.detach().numpy()
        return array

    def from_numpy(self, array: np.ndarray, like: Any) -> Any:
        """Return a tensor with the memory of `array`, or a copy on the device of `like`."""
        return torch.from_numpy(array).to(like.device)

    def is_differentiated(self, *tensors: Any) -> bool:
        """Return whether a gradient may be asked for, now or by compiled code."""
        return torch.compiler.is_compiling() or (torch.is_grad_enabled() and any(t.requires_grad for t in tensors))

    def differentiable(self, operation: Operation, image: Any, kernel: Any) -> Any:
        """Return the result of our engine, with its gradients registered."""
        if torch.compiler.is_compiling():
            return _operator(image, kernel, *operation.numbers())
        if torch.is_grad_enabled() and (image.requires_grad or kernel.requires_grad):
            return _Correlation.apply(image, kernel, operation)
        return torch.from_numpy(self.run(operation, image, kernel))

    def native(self, operation: Operation, image: Any, kernel: Any, channels_last: bool = False) -> Any:
        """Return the result by `torch.nn.functional.conv2d`, differentiable any number of times."""
        return self.native_with_bias(operation, image, kernel, None, channels_last)

    def native_with_bias(
        self, operation: Operation, image: Any, kernel: Any, bias: Any, channels_last: bool = False
    ) -> Any:
        """Return the result by `torch.nn.functional.conv2d`, which adds the bias itself."""
        if channels_last:
            image, kernel = image.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1)
        weights = kernel[None, None] if kernel.ndim == 2 else kernel
        lead = image.shape[:-2] if kernel.ndim == 2 else image.shape[:-3]
        pixels = image.reshape(math.prod(lead), weights.shape[1] * operation.groups, *image.shape[-2:])
        if bias is not None and tuple(bias.shape) != (weights.shape[0],):
            bias = bias.expand(weights.shape[0])
        padding: tuple[int, ...] = (0, 0)
        if operation.pads:
            pixels, padding = _extended(operation, pixels)
        options = operation.stride, padding, operation.dilation, operation.groups
        result = functional.conv2d(pixels, weights, bias, *options)
        if channels_last:
            return result.permute(0, 2, 3, 1)
        return result.reshape(*lead, *result.shape[-2 if kernel.ndim == 2 else -3 :])

    def transpose(self, tensor: Any, axes: tuple[int, ...]) -> Any:
        """Return the tensor with its axes in another order."""
        return tensor.permute(axes)

    def reshape(self, tensor: Any, shape: tuple[int, ...]) -> Any:
        """Return the tensor in another shape."""
        return tensor.reshape(shape)

    def flip(self, tensor: Any) -> Any:
        """Return the tensor reversed along its last two axes."""
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
        """Yield the loss before each step and the kernels after it."""
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


def _extended(operation: Operation, pixels: torch.Tensor) -> tuple[torch.Tensor, tuple[int, ...]]:
    """Return (N, C, H, W) with what lies outside around it, and the zeros that the convolution is to add itself."""
    (top, bottom), (left, right) = ((w.before, w.after) for w in operation.windows)
    if operation.boundary == "constant":
        if operation.cval == 0 and top == bottom and left == right:
            return pixels, (top, left)
        return functional.pad(pixels, (left, right, top, bottom), value=operation.cval), (0, 0)
    shape = tuple(map(int, pixels.shape)) if torch.jit.is_tracing() else tuple(pixels.shape)
    for axis, index in zip((-2, -1), operation.indices(shape)):
        if len(index) != pixels.shape[axis]:
            pixels = pixels.index_select(axis, torch.as_tensor(index, device=pixels.device))
    return pixels, (0, 0)


def _gradients_of_native(
    operation: Operation, image: torch.Tensor, kernel: torch.Tensor, gradient: torch.Tensor, needs: Sequence[bool]
) -> list[torch.Tensor | None]:
    """Return the gradients by PyTorch's operations, themselves differentiable."""
    with torch.enable_grad():
        # Views: an image that is its own kernel has two gradients here.
        pair = [t.view_as(t) if t.requires_grad else t.detach().requires_grad_() for t in (image, kernel)]
        result = ADAPTER.native(operation, *pair)
        wanted = [t for t, needed in zip(pair, needs) if needed]
        found = iter(torch.autograd.grad(result, wanted, gradient, create_graph=torch.is_grad_enabled()))
    return [next(found) if needed else None for needed in needs]


class _Correlation(torch.autograd.Function):
    """The engine on eager tensors."""

    @staticmethod
    def forward(ctx: Any, image: torch.Tensor, kernel: torch.Tensor, operation: Operation) -> torch.Tensor:
        ctx.save_for_backward(image, kernel)
        ctx.operation = operation
        return torch.from_numpy(ADAPTER.run(operation, image, kernel))

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        image, kernel = ctx.saved_tensors
        needs = ctx.needs_input_grad[:2]
        batched = torch._C._functorch.is_legacy_batchedtensor(gradient)  # is_grads_batched=True
        if batched or torch.is_grad_enabled() or not ADAPTER.is_concrete(image, kernel, gradient):
            return *_gradients_of_native(ctx.operation, image, kernel, gradient, needs), None
        pixels, weights, slopes = map(ADAPTER.to_numpy, (image, kernel, gradient))
        found = layers.backward(ctx.operation, pixels, weights, slopes, needs)
        return *(None if one is None else torch.from_numpy(one) for one in found), None


@torch.library.custom_op("kernelfield::correlate", mutates_args=())
def _operator(
    image: torch.Tensor, kernel: torch.Tensor, sizes: Sequence[int], boundary: str, cval: float
) -> torch.Tensor:
    return torch.from_numpy(ADAPTER.run(Operation.from_numbers(sizes, boundary, cval), image, kernel))


@_operator.register_fake
def _(image: torch.Tensor, kernel: torch.Tensor, sizes: Sequence[int], boundary: str, cval: float) -> torch.Tensor:
    operation = Operation.from_numbers(sizes, boundary, cval)
    return image.new_empty(operation.output_shape(tuple(image.shape), tuple(kernel.shape)))


@_operator.register_vmap
def _(info: Any, in_dims: Any, image: Any, kernel: Any, *settings: Any) -> tuple[torch.Tensor, int]:
    if in_dims[1] is None:
        return _operator(image.movedim(in_dims[0], 0), kernel, *settings), 0
    images = [image] * info.batch_size if in_dims[0] is None else image.unbind(in_dims[0])
    results = [_operator(one, weights, *settings) for one, weights in zip(images, kernel.unbind(in_dims[1]))]
    return torch.stack(results), 0


@torch.library.custom_op("kernelfield::correlate_backward", mutates_args=())
def _operator_backward(
    image: torch.Tensor,
    kernel: torch.Tensor,
    gradient: torch.Tensor,
    needs: Sequence[bool],
    sizes: Sequence[int],
    boundary: str,
    cval: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    operation, pair = Operation.from_numbers(sizes, boundary, cval), (bool(needs[0]), bool(needs[1]))
    pixels, weights, slopes = map(ADAPTER.to_numpy, (image, kernel, gradient))
    found = layers.backward(operation, pixels, weights, slopes, pair)
    # An operator returns tensors, also where nothing was asked for.
    to_image, to_kernel = (image.new_empty(0) if one is None else torch.from_numpy(one) for one in found)
    return to_image, to_kernel


@_operator_backward.register_fake
def _(image: Any, kernel: Any, gradient: Any, needs: Any, *settings: Any) -> tuple[torch.Tensor, torch.Tensor]:
    to_image, to_kernel = (t.new_empty(t.shape if needed else 0) for t, needed in zip((image, kernel), needs))
    return to_image, to_kernel


def _remember(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    image, kernel, *ctx.settings = inputs
    ctx.save_for_backward(image, kernel)


def _differentiate(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    needs = list(ctx.needs_input_grad[:2])
    found = _operator_backward(*ctx.saved_tensors, gradient, needs, *ctx.settings)
    return *(one if needed else None for one, needed in zip(found, needs)), None, None, None


_operator.register_autograd(_differentiate, setup_context=_remember)

ADAPTER = TorchAdapter()
