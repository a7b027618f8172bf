"""Cross-correlation by `jax.lax.conv_general_dilated`: for traces, other devices, other dtypes and many channels."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kernelfield.geometry import Operation


@partial(jax.jit, static_argnums=(2, 3), inline=True)
def convolution(image: Any, kernel: Any, operation: Operation, channels_last: bool) -> Any:
    """Return the cross-correlation by JAX's own convolution."""
    shape, rows = image.shape, 1 if channels_last else 2
    if not channels_last:
        channels = shape[-3:-2] if kernel.ndim == 4 else (1,)
        image = jnp.reshape(image, (math.prod(shape) // math.prod((*channels, *shape[-2:])), *channels, *shape[-2:]))
    indices = operation.indices(image.shape[rows : rows + 2])
    padding = [_constant_padding(index) for index in indices]
    if operation.cval and padding != [(0, 0), (0, 0)]:
        all_axes = [(0, 0), *padding, (0, 0)] if channels_last else [(0, 0), (0, 0), *padding]
        image, padding = jnp.pad(image, all_axes, constant_values=operation.cval), [(0, 0), (0, 0)]
    for axis, index in enumerate(indices, start=rows):
        if index.min() >= 0:
            image = _gathered(image, index, axis)
    result = jax.lax.conv_general_dilated(
        image,
        kernel if kernel.ndim == 4 else kernel[None, None],
        operation.stride,
        padding,
        rhs_dilation=operation.dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC") if channels_last else ("NCHW", "OIHW", "NCHW"),
        feature_group_count=operation.groups,
    )
    return result if channels_last else jnp.reshape(result, operation.output_shape(shape, kernel.shape))


def _constant_padding(index: np.ndarray) -> tuple[int, int]:
    """Return the number of constants (index -1) before and after the axis."""
    inside = np.flatnonzero(index >= 0)
    return int(inside[0]), len(index) - 1 - int(inside[-1])


def _gathered(image: Any, index: np.ndarray, axis: int) -> Any:
    """Return the elements `index` of an axis, which are the axis itself with a border: only the border is gathered."""
    n = image.shape[axis]
    if len(index) == n:
        return image
    start = next(i for i in np.flatnonzero(index == 0) if np.array_equal(index[i : i + n], np.arange(n)))
    before, after = (jnp.take(image, i, axis=axis, mode="clip") for i in (index[:start], index[start + n :]))
    return jnp.concatenate([block for block in (before, image, after) if block.shape[axis]], axis=axis)
