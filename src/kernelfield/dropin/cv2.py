"""The linear filters of OpenCV, with its signatures, on kernelfield's engine.

``from kernelfield.dropin import cv2`` replaces ``import cv2``: OpenCV needs not be installed for the functions and
constants here, and everything else is looked up in it. Images are (H, W) or, with interleaved channels, (H, W, C), of
uint8, uint16, int16, float32 or float64, in any byte order; results are rounded to nearest, halves to even, and
saturated. What the parameters mean is said in OpenCV's documentation; ``BORDER_WRAP`` works, where OpenCV refuses it.

8-bit images with 8-bit results equal OpenCV's in every pixel in `filter2D` with whole or dyadic weights,
`GaussianBlur`, and `Sobel`, `Scharr` and `Laplacian` with a whole scale. All other integer results are within 1 of
OpenCV's: it takes sums in float32 or in fixed point, sums here are taken in float64. Floats agree to rounding, that of
float32 for OpenCV's weights included (1e-5 of the range).

Examples
--------
>>> import numpy as np
>>> from kernelfield.dropin import cv2
>>> image = np.array([[0, 0, 255], [0, 0, 255]], np.uint8)
>>> cv2.Sobel(image, cv2.CV_16S, 1, 0)
array([[   0, 1020,    0],
       [   0, 1020,    0]], dtype=int16)
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernelfield.dropin.opencv_kernels import gaussian, laplacian, sobel
from kernelfield.dropin.opencv_rules import (
    ISOLATED,
    Array,
    check_dst,
    divides_well,
    dtype_of,
    image_of,
    number,
    pair,
    rounded_sums,
    stored,
    sums,
    weights_of,
    where_of,
    whole,
)
from kernelfield.errors import ArgumentError

BORDER_CONSTANT = 0
BORDER_REPLICATE = 1
BORDER_REFLECT = 2
BORDER_WRAP = 3
BORDER_REFLECT_101 = BORDER_REFLECT101 = BORDER_DEFAULT = 4
BORDER_ISOLATED = ISOLATED
CV_8U, CV_16U, CV_16S, CV_32F, CV_64F = 0, 2, 3, 5, 6
FILTER_SCHARR = -1

__all__ = [
    "BORDER_CONSTANT",
    "BORDER_DEFAULT",
    "BORDER_ISOLATED",
    "BORDER_REFLECT",
    "BORDER_REFLECT101",
    "BORDER_REFLECT_101",
    "BORDER_REPLICATE",
    "BORDER_WRAP",
    "CV_8U",
    "CV_16S",
    "CV_16U",
    "CV_32F",
    "CV_64F",
    "FILTER_SCHARR",
    "GaussianBlur",
    "Laplacian",
    "Scharr",
    "Sobel",
    "blur",
    "boxFilter",
    "filter2D",
    "sepFilter2D",
]


def __getattr__(name: str) -> Any:
    try:
        return getattr(importlib.import_module("cv2"), name)
    except ImportError:
        raise AttributeError(f"module 'kernelfield.dropin.cv2' has no attribute {name!r}; install OpenCV") from None


def filter2D(
    src: Array,
    ddepth: int,
    kernel: Any,
    dst: Array | None = None,
    anchor: Any = (-1, -1),
    delta: float = 0.0,
    borderType: int = BORDER_DEFAULT,
) -> Array:
    """Return the cross-correlation of each channel with a kernel: ``cv2.filter2D``.

    8 bits equal OpenCV's in every pixel for whole and dyadic weights, else they are within 1.

    Examples
    --------
    >>> filter2D(np.array([[1, 2, 4]], np.uint8), -1, np.array([[0, 0, 1]]), borderType=BORDER_WRAP)
    array([[2, 4, 1]], dtype=uint8)
    """
    return _applied(src, ddepth, weights_of("kernel", kernel), dst, anchor, delta, borderType)


def sepFilter2D(
    src: Array,
    ddepth: int,
    kernelX: Any,
    kernelY: Any,
    dst: Array | None = None,
    anchor: Any = (-1, -1),
    delta: float = 0.0,
    borderType: int = BORDER_DEFAULT,
) -> Array:
    """Return the cross-correlation with a row and a column of weights: ``cv2.sepFilter2D``.

    8 bits equal OpenCV's in every pixel for whole weights, else they are within 1.

    Examples
    --------
    >>> sepFilter2D(np.array([[1, 2, 4]], np.uint8), -1, [1, 2, 1], [1])
    array([[ 6,  9, 12]], dtype=uint8)
    """
    lines = [weights_of(name, value) for name, value in (("kernelX", kernelX), ("kernelY", kernelY))]
    for name, line in zip(("kernelX", "kernelY"), lines):
        if 1 not in line.shape:
            raise ArgumentError(f"{name}: expected one line of weights; received shape {line.shape}")
    kernel = np.outer(lines[1].ravel(), lines[0].ravel())
    return _applied(src, ddepth, kernel, dst, anchor, delta, borderType)


def GaussianBlur(
    src: Array,
    ksize: Any,
    sigmaX: float,
    dst: Array | None = None,
    sigmaY: float = 0.0,
    borderType: int = BORDER_DEFAULT,
    hint: int = 0,
) -> Array:
    """Blur with a Gaussian: ``cv2.GaussianBlur``.

    uint8 and uint16 images are blurred as OpenCV does it, with weights in fixed point of 8 and 16 bits, and rounded
    halves up: 8 bits equal OpenCV's in every pixel. `hint` changes nothing.

    Examples
    --------
    >>> GaussianBlur(np.array([[0, 0, 255, 0, 0]], np.uint8), (5, 1), 1.1)
    array([[36, 63, 94, 63, 36]], dtype=uint8)
    """
    image = image_of(src)
    width, height = pair("ksize", ksize)
    sigma_x, sigma_y = number("sigmaX", sigmaX), number("sigmaY", sigmaY)
    kernel = gaussian(height, width, sigma_y if sigma_y > 0 else sigma_x, sigma_x, image.dtype)
    check_dst(dst, image, image.dtype)
    where = where_of(borderType, kernel.shape)
    if image.dtype.kind != "f":
        return rounded_sums(image, kernel, where, image.dtype, dst, up=image.dtype.kind == "u")
    return stored(sums(image, kernel, where, image.dtype, dst), image, image.dtype, dst)


def Sobel(
    src: Array,
    ddepth: int,
    dx: int,
    dy: int,
    dst: Array | None = None,
    ksize: int = 3,
    scale: float = 1.0,
    delta: float = 0.0,
    borderType: int = BORDER_DEFAULT,
) -> Array:
    """Return Sobel's derivative of an order along x and y: ``cv2.Sobel``.

    Whole scales give integers that equal OpenCV's in every pixel, other scales are within 1.

    Examples
    --------
    >>> Sobel(np.array([[0, 1, 3, 6]], np.float32), -1, 2, 0, ksize=3)
    array([[  8.,   4.,   4., -24.]], dtype=float32)
    """
    kernel = sobel(whole("dx", dx), whole("dy", dy), whole("ksize", ksize))
    if number("scale", scale) != 1:
        kernel = kernel * scale
    return _applied(src, ddepth, kernel, dst, (-1, -1), delta, borderType)


def Scharr(
    src: Array,
    ddepth: int,
    dx: int,
    dy: int,
    dst: Array | None = None,
    scale: float = 1.0,
    delta: float = 0.0,
    borderType: int = BORDER_DEFAULT,
) -> Array:
    """Return Scharr's first derivative along x or y: ``cv2.Scharr``; exact as `Sobel` is.

    Examples
    --------
    >>> Scharr(np.array([[0, 1, 3, 6]], np.int16), -1, 1, 0)
    array([[ 0, 48, 80,  0]], dtype=int16)
    """
    return Sobel(src, ddepth, dx, dy, dst, FILTER_SCHARR, scale, delta, borderType)


def Laplacian(
    src: Array,
    ddepth: int,
    dst: Array | None = None,
    ksize: int = 1,
    scale: float = 1.0,
    delta: float = 0.0,
    borderType: int = BORDER_DEFAULT,
) -> Array:
    """Return the sum of second derivatives: ``cv2.Laplacian``; exact as `Sobel` is.

    Examples
    --------
    >>> Laplacian(np.array([[0, 0, 9, 0, 0]], np.int16), -1)
    array([[  0,   9, -18,   9,   0]], dtype=int16)
    """
    kernel = laplacian(whole("ksize", ksize))
    if number("scale", scale) != 1:
        kernel = kernel * scale
    return _applied(src, ddepth, kernel, dst, (-1, -1), delta, borderType)


def blur(
    src: Array, ksize: Any, dst: Array | None = None, anchor: Any = (-1, -1), borderType: int = BORDER_DEFAULT
) -> Array:
    """Return means over a box of width and height `ksize`: ``cv2.blur``. Integers are within 1 of OpenCV's.

    Examples
    --------
    >>> blur(np.array([[0, 0, 90, 0, 0]], np.uint8), (3, 1))
    array([[ 0, 30, 30, 30,  0]], dtype=uint8)
    """
    return boxFilter(src, -1, ksize, dst, anchor, True, borderType)


def boxFilter(
    src: Array,
    ddepth: int,
    ksize: Any,
    dst: Array | None = None,
    anchor: Any = (-1, -1),
    normalize: bool = True,
    borderType: int = BORDER_DEFAULT,
) -> Array:
    """Return means, or sums, over a box of width and height `ksize`: ``cv2.boxFilter``.

    Sums of integers equal OpenCV's; means are within 1.

    Examples
    --------
    >>> boxFilter(np.array([[1, 2, 4]], np.uint8), CV_32F, (3, 1), normalize=False)
    array([[5., 7., 8.]], dtype=float32)
    """
    width, height = pair("ksize", ksize)
    if min(width, height) < 1:
        raise ArgumentError(f"ksize: expected a width and a height from 1; received {ksize!r}")
    area = width * height if normalize else 1
    return _applied(src, ddepth, np.ones((height, width)), dst, anchor, 0.0, borderType, area)


def _applied(
    src: Array,
    ddepth: int,
    kernel: NDArray[np.float64],
    dst: Array | None,
    anchor: Any,
    delta: float,
    border: int,
    divisor: int = 1,
) -> Array:
    """Return the cross-correlation, divided and moved, in the dtype asked for."""
    image = image_of(src)
    dtype = dtype_of(ddepth, image)
    added = number("delta", delta)
    where = where_of(border, kernel.shape, anchor)
    check_dst(dst, image, dtype)
    if dtype.kind != "f" and added == 0 and (divisor == 1 or divides_well(image.dtype, divisor)):
        return rounded_sums(image, kernel, where, dtype, dst, 1 / divisor)
    if image.dtype.kind == "f" and divisor != 1:
        kernel, divisor = kernel / divisor, 1
    plain = added == 0 and divisor == 1
    return stored(sums(image, kernel, where, dtype, dst if plain else None), image, dtype, dst, added, 1 / divisor)
