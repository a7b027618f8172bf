"""The linear filters of OpenCV, with its signatures, on kernelfield's engine.

``from kernelfield.dropin import cv2`` replaces ``import cv2``: OpenCV need not be installed for the functions and
constants here; all other names are looked up in it. Images are (H, W) or, with interleaved channels, (H, W, C), of
uint8, uint16, int16, float32 or float64, in any byte order; results are rounded to nearest, halves to even, and
saturated. OpenCV's documentation describes the parameters; ``BORDER_WRAP`` works, where OpenCV refuses it.

8-bit images with 8-bit results equal OpenCV's in every pixel in `filter2D` with whole or dyadic weights,
`GaussianBlur`, and `Sobel`, `Scharr` and `Laplacian` with a whole scale. All other integer results are within 1 of
OpenCV's, which sums in float32 or in fixed point; sums here are float64. Floats agree to rounding, that of
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

from kernelfield.dropin.opencv_arguments import (
    ISOLATED,
    Array,
    check_dst,
    dtype_of,
    image_of,
    integer,
    number,
    pair,
    placement_of,
    weights_of,
)
from kernelfield.dropin.opencv_correlation import Call, Weights, filtered
from kernelfield.dropin.opencv_kernels import gaussian_lines, laplacian, sobel_lines
from kernelfield.engine.plan import CACHE, NO_KERNEL
from kernelfield.errors import ArgumentError, received

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
    call = Call(src, kernel, dst, ("cv2.filter2D", ddepth, anchor, delta, borderType))
    found = CACHE.run(*call)
    return _applied(call, ddepth, weights_of("kernel", kernel), anchor, delta, borderType) if found is None else found


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
    # The key in `CACHE`: kernelX as the kernel, kernelY by its numbers among the options.
    kernel, row = (kernelX, None) if type(kernelX) is np.ndarray else (NO_KERNEL, kernelX)
    column = (kernelY.shape, *kernelY.ravel().tolist()) if type(kernelY) is np.ndarray else kernelY
    call = Call(src, kernel, dst, ("cv2.sepFilter2D", ddepth, row, column, anchor, delta, borderType))
    found = CACHE.run(*call)
    if found is not None:
        return found
    lines = [weights_of(name, value) for name, value in (("kernelX", kernelX), ("kernelY", kernelY))]
    for name, line in zip(("kernelX", "kernelY"), lines):
        if 1 not in line.shape:
            raise ArgumentError(f"{name}: expected one line of weights; received shape {line.shape}")
    return _applied(call, ddepth, (lines[1].ravel(), lines[0].ravel()), anchor, delta, borderType)


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
    call = Call(src, NO_KERNEL, dst, ("cv2.GaussianBlur", ksize, sigmaX, sigmaY, borderType))
    found = CACHE.run(*call)
    if found is not None:
        return found
    image = image_of(src)
    width, height = pair("ksize", ksize)
    sigma_x, sigma_y = number("sigmaX", sigmaX), number("sigmaY", sigmaY)
    lines = gaussian_lines(height, width, sigma_y if sigma_y > 0 else sigma_x, sigma_x, image.dtype)
    check_dst(dst, image, image.dtype)
    placement = placement_of(borderType, (len(lines[0]), len(lines[1])))
    return filtered(call, image, lines, placement, image.dtype, up=image.dtype.kind == "u")


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
    call = Call(src, NO_KERNEL, dst, ("cv2.Sobel", ddepth, dx, dy, ksize, scale, delta, borderType))
    found = CACHE.run(*call)
    if found is not None:
        return found
    column, row = sobel_lines(integer("dx", dx), integer("dy", dy), integer("ksize", ksize))
    return _applied(call, ddepth, (column * number("scale", scale), row), (-1, -1), delta, borderType)


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
    call = Call(src, NO_KERNEL, dst, ("cv2.Laplacian", ddepth, ksize, scale, delta, borderType))
    found = CACHE.run(*call)
    if found is not None:
        return found
    kernel = laplacian(integer("ksize", ksize))
    if number("scale", scale) != 1:
        kernel = kernel * scale
    return _applied(call, ddepth, kernel, (-1, -1), delta, borderType)


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
    call = Call(src, NO_KERNEL, dst, ("cv2.boxFilter", ddepth, ksize, anchor, normalize, borderType))
    found = CACHE.run(*call)
    if found is not None:
        return found
    width, height = pair("ksize", ksize)
    if min(width, height) < 1:
        raise ArgumentError(f"ksize: expected a width and a height from 1; received {received(ksize)}")
    area = width * height if normalize else 1
    return _applied(call, ddepth, (np.ones(height), np.ones(width)), anchor, 0.0, borderType, area)


def _applied(
    call: Call,
    ddepth: int,
    kernel: Weights,
    anchor: Any,
    delta: float,
    border: int,
    divisor: int = 1,
) -> Array:
    """Return the cross-correlation with checked arguments."""
    image = image_of(call.src)
    dtype = dtype_of(ddepth, image)
    added = number("delta", delta)
    shape = (len(kernel[0]), len(kernel[1])) if isinstance(kernel, tuple) else kernel.shape
    placement = placement_of(border, shape, anchor)
    check_dst(call.dst, image, dtype)
    return filtered(call, image, kernel, placement, dtype, added, divisor)
