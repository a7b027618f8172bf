"""The engine in PyTorch's differentiation: an autograd function for eager tensors, an operator for `torch.compile`.

A `torch.autograd.Function` costs a quarter of the call of a custom operator. The operator is
``kernelfield::correlate``; the compiler calls it and does not trace into it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.autograd import forward_ad

from kernelfield.geometry import Operation
from kernelfield.tensors import layouts
from kernelfield.torch.convolution import convolution

_PLAIN = (torch.Tensor, torch.nn.Parameter)
_TO_LAST = layouts.TO_NHWC, layouts.TO_HWIO, layouts.TO_NHWC
_TO_FIRST = layouts.TO_NCHW, layouts.TO_OIHW


def is_concrete(*tensors: Any) -> bool:
    """Return whether the engine can have the tensors: on the CPU, with values now or when compiled code runs."""
    if torch._C._are_functorch_transforms_active():
        return False
    if torch.compiler.is_compiling():
        # An exported program runs without kernelfield, so it must hold PyTorch's own operations only.
        return not torch.compiler.is_exporting() and all(t.is_cpu for t in tensors)
    if torch._C._len_torch_dispatch_stack() or torch.jit.is_tracing() or forward_ad._current_level >= 0:
        return False
    return all(type(t) in _PLAIN and t.is_cpu and t.layout is torch.strided and not t.is_neg() for t in tensors)


def differentiable(operation: Operation, image: torch.Tensor, kernel: torch.Tensor) -> Any:
    """Return the engine's result on concrete tensors, with its gradients registered."""
    if torch.compiler.is_compiling():
        return _operator(image, kernel, *operation.numbers())
    if torch.is_grad_enabled() and (image.requires_grad or kernel.requires_grad):
        return _Correlation.apply(image, kernel, operation)
    return correlation(operation, image, kernel)


def correlation(
    operation: Operation, image: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the engine's result, without gradients, in the memory format of the image."""
    pixels, weights = image.detach().numpy(), kernel.detach().numpy()
    added = None if bias is None else bias.detach().numpy()
    if is_channels_last(image, kernel):
        pixels, weights = pixels.transpose(layouts.TO_NHWC), weights.transpose(layouts.TO_HWIO)
        return torch.from_numpy(layouts.forward(operation, pixels, weights, added, True)).permute(layouts.TO_NCHW)
    return torch.from_numpy(layouts.forward(operation, pixels, weights, added))


def is_channels_last(image: torch.Tensor, kernel: torch.Tensor) -> bool:
    """Return whether a layer's result has the format `torch.channels_last`: where image or weights have it."""
    last = torch.channels_last
    return image.ndim == kernel.ndim == 4 and any(
        not t.is_contiguous() and t.is_contiguous(memory_format=last) for t in (image, kernel)
    )


def _empty(image: torch.Tensor, kernel: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Return a tensor of a shape in the memory format of the image."""
    form = torch.channels_last if is_channels_last(image, kernel) else torch.contiguous_format
    return torch.empty(shape, dtype=image.dtype, device=image.device, memory_format=form)


def _backward(
    operation: Operation, image: torch.Tensor, kernel: torch.Tensor, gradient: torch.Tensor, needs: tuple[bool, bool]
) -> list[torch.Tensor | None]:
    pixels, weights, upstream = (t.detach().numpy() for t in (image, kernel, gradient))
    if is_channels_last(image, kernel):
        pixels, weights, upstream = (a.transpose(o) for a, o in zip((pixels, weights, upstream), _TO_LAST))
        to_image, to_kernel = layouts.backward(operation, pixels, weights, upstream, needs, True)
        arrays = to_image, to_kernel
        return [None if a is None else torch.from_numpy(a).permute(o) for a, o in zip(arrays, _TO_FIRST)]
    found = layouts.backward(operation, pixels, weights, upstream, needs)
    return [None if array is None else torch.from_numpy(array) for array in found]


def _gradients_of_convolution(
    operation: Operation, image: torch.Tensor, kernel: torch.Tensor, gradient: torch.Tensor, needs: Sequence[bool]
) -> list[torch.Tensor | None]:
    """Return the gradients by PyTorch's own operations, which can be differentiated again."""
    with torch.enable_grad():
        # Views, because one tensor may be both image and kernel, and its two gradients are returned apart.
        pair = [t.view_as(t) if t.requires_grad else t.detach().requires_grad_() for t in (image, kernel)]
        result = convolution(operation, *pair)
        inputs = [t for t, needed in zip(pair, needs) if needed]
        gradients = iter(torch.autograd.grad(result, inputs, gradient, create_graph=torch.is_grad_enabled()))
    return [next(gradients) if needed else None for needed in needs]


class _Correlation(torch.autograd.Function):
    """The engine on eager tensors."""

    @staticmethod
    def forward(ctx: Any, image: torch.Tensor, kernel: torch.Tensor, operation: Operation) -> torch.Tensor:
        ctx.save_for_backward(image, kernel)
        ctx.operation = operation
        return correlation(operation, image, kernel)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        image, kernel = ctx.saved_tensors
        needs = ctx.needs_input_grad[:2]
        batched = torch._C._functorch.is_legacy_batchedtensor(gradient)  # is_grads_batched=True
        if batched or torch.is_grad_enabled() or not is_concrete(image, kernel, gradient):
            return *_gradients_of_convolution(ctx.operation, image, kernel, gradient, needs), None
        return *_backward(ctx.operation, image, kernel, gradient, needs), None


@torch.library.custom_op("kernelfield::correlate", mutates_args=())
def _operator(
    image: torch.Tensor, kernel: torch.Tensor, sizes: Sequence[int], boundary: str, cval: float
) -> torch.Tensor:
    return correlation(Operation.from_numbers(sizes, boundary, cval), image, kernel)


@_operator.register_fake
def _(image: torch.Tensor, kernel: torch.Tensor, sizes: Sequence[int], boundary: str, cval: float) -> torch.Tensor:
    operation = Operation.from_numbers(sizes, boundary, cval)
    return _empty(image, kernel, operation.output_shape(tuple(image.shape), tuple(kernel.shape)))


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
    operation = Operation.from_numbers(sizes, boundary, cval)
    gradients = _backward(operation, image, kernel, gradient, (bool(needs[0]), bool(needs[1])))
    # An operator cannot return None: an empty tensor stands for a gradient that is not needed.
    to_image, to_kernel = (image.new_empty(0) if g is None else g for g in gradients)
    return to_image, to_kernel


@_operator_backward.register_fake
def _(image: Any, kernel: Any, gradient: Any, needs: Any, *settings: Any) -> tuple[torch.Tensor, torch.Tensor]:
    to_image = _empty(image, kernel, image.shape) if needs[0] else image.new_empty(0)
    return to_image, kernel.new_empty(kernel.shape if needs[1] else 0)


def _save_for_backward(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    image, kernel, *ctx.settings = inputs
    ctx.save_for_backward(image, kernel)


def _differentiate(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    needs = list(ctx.needs_input_grad[:2])
    gradients = _operator_backward(*ctx.saved_tensors, gradient, needs, *ctx.settings)
    return *(g if needed else None for g, needed in zip(gradients, needs)), None, None, None


_operator.register_autograd(_differentiate, setup_context=_save_for_backward)
