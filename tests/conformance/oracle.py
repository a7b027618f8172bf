"""What every framework must give: the definition as loops, `kernelfield.engine.reference`, and its gradients."""

from __future__ import annotations

import math

import numpy as np

from kernelfield.engine import reference
from kernelfield.geometry import Operation


def forward(operation: Operation, image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Return the cross-correlation in float64."""
    pixels, weights = _extended(operation, _four(image, kernel)), _weights(kernel)
    shape = operation.output_shape(image.shape, kernel.shape)
    out = np.empty((pixels.shape[0], weights.shape[0], *shape[-2:]))
    reference.forward(pixels, weights, out, operation.stride, operation.dilation, operation.groups)
    return out.reshape(shape)


def backward(
    operation: Operation, image: np.ndarray, kernel: np.ndarray, cotangent: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradients of ``(cotangent * forward(...)).sum()`` with respect to image and kernel."""
    four, weights = _four(image, kernel), _weights(kernel)
    pixels = _extended(operation, four)
    slope = cotangent.reshape(pixels.shape[0], weights.shape[0], *cotangent.shape[-2:])
    options = operation.stride, operation.dilation, operation.groups
    to_kernel = reference.weight_gradient(pixels, slope, weights.shape[2:], *options).reshape(kernel.shape)
    whole = reference.image_gradient(slope, weights, pixels.shape, *options)
    to_image = np.zeros(four.shape)
    rows, columns = _sources(operation, four.shape)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            if row is not None and column is not None:
                to_image[..., row, column] += whole[..., i, j]
    return to_image.reshape(image.shape), to_kernel


def _four(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    if kernel.ndim == 2:
        return image.reshape(math.prod(image.shape[:-2]), 1, *image.shape[-2:])
    return image.reshape(math.prod(image.shape[:-3]), *image.shape[-3:])


def _weights(kernel: np.ndarray) -> np.ndarray:
    return kernel[None, None] if kernel.ndim == 2 else kernel


def _sources(operation: Operation, shape: tuple[int, ...]) -> list[list[int | None]]:
    return [
        [reference.outside(p, n, operation.boundary) for p in range(-w.before, n + w.after)]
        for n, w in zip(shape[-2:], operation.windows)
    ]


def _extended(operation: Operation, image: np.ndarray) -> np.ndarray:
    rows, columns = _sources(operation, image.shape)
    whole = np.full((*image.shape[:2], len(rows), len(columns)), float(operation.cval))
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            if row is not None and column is not None:
                whole[..., i, j] = image[..., row, column]
    return whole
