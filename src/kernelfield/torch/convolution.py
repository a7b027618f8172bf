"""Cross-correlation by `torch.nn.functional.conv2d`: for traces, other devices, other dtypes and many channels."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional

from kernelfield.geometry import Operation
from kernelfield.tensors import layouts


def convolution(operation: Operation, image: Any, kernel: Any, bias: Any = None, channels_last: bool = False) -> Any:
    """Return the cross-correlation plus a bias, differentiable any number of times."""
    if channels_last:
        image, kernel = image.permute(layouts.TO_NCHW), kernel.permute(layouts.TO_OIHW)
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
        return result.permute(layouts.TO_NHWC)
    return result.reshape(*lead, *result.shape[-2 if kernel.ndim == 2 else -3 :])


def _extended(operation: Operation, pixels: torch.Tensor) -> tuple[torch.Tensor, tuple[int, ...]]:
    """Return (N, C, H, W) extended by the boundary, and the zero padding that is left to `conv2d`."""
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
