"""im2col and col2im: windows of an image as columns of a matrix, and the adjoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from kernelfield.arrays import as_array
from kernelfield.correlation.arguments import (
    check_channels_first,
    check_image,
    check_image_shape,
    check_index,
    check_operation,
)
from kernelfield.errors import ArgumentError
from kernelfield.geometry import Boundary, Window, boundary_index, positive_pair
from kernelfield.matrix.toeplitz import read_index


def im2col(
    image: ArrayLike,
    kernel_size: int | tuple[int, int],
    *,
    mode: str = "same",
    boundary: str = "reflect",
    cval: float = 0.0,
    origin: int | tuple[int, int] | None = None,
    padding: Any = None,
    stride: int | tuple[int, int] = 1,
    dilation: int | tuple[int, int] = 1,
) -> np.ndarray:
    """Return the windows of an image as columns: cross-correlation becomes one matrix product.

    ``kernel.ravel() @ im2col(image, kernel.shape)`` is ``correlate(image, kernel).ravel()``; with channels,
    ``weights.reshape(C_out, -1) @ im2col(image, (kh, kw))`` is a layer.

    Parameters
    ----------
    image : array_like, shape (H, W) or (..., C, H, W)
        Of any numeric dtype.
    kernel_size : int or (int, int)
        Rows and columns of the window.
    mode, boundary, cval, origin, padding, stride, dilation
        As in `correlate`, with its defaults.

    Returns
    -------
    numpy.ndarray, shape (kh * kw, OH * OW) or (..., C * kh * kw, OH * OW)
        Rows: elements of the window, in C order, channels outermost; columns: positions of the window, in C order. It
        has the dtype of the image, or float64 if that cannot hold `cval`, and takes ``kh * kw`` times its memory.

    Raises
    ------
    ArgumentError, DtypeError
        For what `correlate` refuses.

    Examples
    --------
    >>> import kernelfield as kf
    >>> kf.im2col([[0, 1, 2], [3, 4, 5]], 2, mode="valid")
    array([[0, 1],
           [1, 2],
           [3, 4],
           [4, 5]])
    """
    array = as_array(image, "image")
    pixels = check_image(array, "image")
    windows, rule, outside = _checked(
        pixels.shape,
        kernel_size,
        mode=mode,
        boundary=boundary,
        cval=cval,
        origin=origin,
        padding=padding,
        stride=stride,
        dilation=dilation,
    )
    down, across = (read_index(w, n, rule) for w, n in zip(windows, pixels.shape[-2:]))
    # (..., OH, kh, OW, kw)
    taken = array[..., down[:, :, None, None], across[None, None]]
    if (down < 0).any() or (across < 0).any():
        if not _holds(taken.dtype, outside):
            taken = taken.astype(np.float64)
        taken[..., (down[:, :, None, None] < 0) | (across[None, None] < 0)] = outside
    (rows, kh), (columns, kw) = down.shape, across.shape
    order = (*range(taken.ndim - 4), -3, -1, -4, -2)
    channels = taken.shape[-5] if array.ndim > 2 else 1
    return np.ascontiguousarray(taken.transpose(order)).reshape(*array.shape[:-3], channels * kh * kw, rows * columns)


def col2im(
    columns: ArrayLike,
    image_shape: Sequence[int],
    kernel_size: int | tuple[int, int],
    *,
    mode: str = "same",
    boundary: str = "reflect",
    origin: int | tuple[int, int] | None = None,
    padding: Any = None,
    stride: int | tuple[int, int] = 1,
    dilation: int | tuple[int, int] = 1,
) -> np.ndarray:
    """Return the image with all windows added back at their positions: the exact adjoint of `im2col`.

    It is not the inverse of `im2col`: a pixel inside nine windows is added nine times. The inverse is
    ``col2im(im2col(image)) / col2im(im2col(ones))``. Elements read outside the image are added to the pixel that the
    boundary rule reads for them; with ``boundary="constant"`` they are dropped.

    Parameters
    ----------
    columns : array_like, shape (kh * kw, OH * OW) or (..., C * kh * kw, OH * OW)
        As `im2col` lays them out.
    image_shape : sequence of int
        ``(H, W)`` or ``(..., C, H, W)``.
    kernel_size, mode, boundary, origin, padding, stride, dilation
        As given to `im2col`.

    Returns
    -------
    numpy.ndarray, float64, shape `image_shape`

    Raises
    ------
    ArgumentError
        If the shapes do not match.

    Examples
    --------
    Number of windows that contain each pixel:

    >>> import kernelfield as kf, numpy as np
    >>> kf.col2im(np.ones((4, 4)), (3, 3), 2, mode="valid")
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    """
    shape = check_image_shape(image_shape)
    windows, rule, _ = _checked(
        shape,
        kernel_size,
        mode=mode,
        boundary=boundary,
        cval=0.0,
        origin=origin,
        padding=padding,
        stride=stride,
        dilation=dilation,
    )
    values = check_image(columns, "columns").astype(np.float64)
    (kh, kw), (rows, places) = zip(*((w.size, w.output_size(n)) for w, n in zip(windows, shape[-2:])))
    channels = shape[-3] if len(shape) > 2 else 1
    wanted = (*shape[:-3], channels * kh * kw, rows * places)
    if values.shape != wanted:
        raise ArgumentError(f"columns: expected shape {wanted}; received {values.shape}; give what im2col returns")
    windowed = values.reshape(-1, kh, kw, rows, places)
    reach = [n + w.before + w.after for n, w in zip(shape[-2:], windows)]
    whole = np.zeros((len(windowed), *reach))
    for a in range(kh):
        for b in range(kw):
            start = a * windows[0].dilation, b * windows[1].dilation
            across_rows, across_columns = (
                slice(first, first + (count - 1) * w.stride + 1, w.stride)
                for first, count, w in zip(start, (rows, places), windows)
            )
            whole[:, across_rows, across_columns] += windowed[:, a, b]
    for axis, (n, window) in enumerate(zip(shape[-2:], windows), start=1):
        whole = _folded(whole, boundary_index(n, window.before, window.after, rule), n, axis)
    return whole.reshape(shape)


def _folded(whole: np.ndarray, index: np.ndarray, n: int, axis: int) -> np.ndarray:
    """Return an extended axis summed back onto the elements that it reads; index -1 reads none."""
    lines = np.moveaxis(whole, axis, 0)
    out = np.zeros((n, *lines.shape[1:]))
    inside = index >= 0
    np.add.at(out, index[inside], lines[inside])
    return np.moveaxis(out, 0, axis)


def _holds(dtype: np.dtype[Any], value: float) -> bool:
    """Return whether `dtype` can hold `value` exactly."""
    if dtype.kind == "f":
        return True
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return float(value).is_integer() and low <= value <= high


def _checked(
    shape: tuple[int, ...], kernel_size: int | tuple[int, int], **how: Any
) -> tuple[tuple[Window, Window], Boundary, float]:
    """Return the checked windows, boundary rule and value outside the image."""
    check_channels_first(shape)
    size = positive_pair(kernel_size, "kernel_size")
    operation = check_operation(shape, size, own_origin=(0, 0), groups=1, **how)
    check_index(operation, shape, (*operation.output_shape(shape, size), *size))
    return operation.windows, operation.boundary, operation.cval
