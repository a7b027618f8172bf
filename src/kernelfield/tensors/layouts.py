"""The engine on layers of channels, forward and backward, with the channels before the rows (NCHW) or last (NHWC)."""

from __future__ import annotations

import numpy as np

from kernelfield import _core
from kernelfield.engine import layers
from kernelfield.geometry import Operation

TO_NCHW, TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)
#: Weights: PyTorch and MXNet have OIHW, (C_out, C_in/groups, kh, kw); TensorFlow and JAX HWIO.
TO_OIHW, TO_HWIO = (3, 2, 0, 1), (2, 3, 1, 0)


def forward(
    operation: Operation,
    image: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray | None = None,
    channels_last: bool = False,
) -> np.ndarray:
    """Return the cross-correlation as a new array in the layout of the image.

    Parameters
    ----------
    image : ndarray, shape (..., H, W) or (..., C_in, H, W); (N, H, W, C_in) with `channels_last`
    kernel : ndarray, shape (kh, kw) or (C_out, C_in/groups, kh, kw); (kh, kw, C_in/groups, C_out) with `channels_last`
    bias : ndarray, shape (C_out,), optional
    """
    if not channels_last:
        out = _core.empty(operation.output_shape(image.shape, kernel.shape), image.dtype)
        layers.forward(operation, image, kernel, out, bias)
        return out
    image, kernel = image.transpose(TO_NCHW), kernel.transpose(TO_OIHW)
    n, filters, rows, columns = operation.output_shape(image.shape, kernel.shape)
    out = _core.empty((n, rows, columns, filters), image.dtype)
    layers.forward(operation, image, kernel, out.transpose(TO_NCHW), bias)
    return out


def backward(
    operation: Operation,
    image: np.ndarray,
    kernel: np.ndarray,
    gradient: np.ndarray,
    needs: tuple[bool, bool] = (True, True),
    channels_last: bool = False,
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the gradients with respect to image and kernel in their layouts; None for one that is not needed.

    `gradient` is that of a scalar with respect to the result of `forward`. The gradient with respect to the image
    depends on the image's shape alone, and that with respect to the kernel on the kernel's.
    """
    if not channels_last:
        return layers.backward(operation, image, kernel, gradient, needs, False)
    turned = image.transpose(TO_NCHW), kernel.transpose(TO_OIHW), gradient.transpose(TO_NCHW)
    to_image, to_kernel = layers.backward(operation, *turned, needs, True)
    return (
        None if to_image is None else to_image.transpose(TO_NHWC),
        None if to_kernel is None else to_kernel.transpose(TO_HWIO),
    )
