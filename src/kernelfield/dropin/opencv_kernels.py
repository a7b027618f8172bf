"""The kernels of OpenCV's derivatives and Gaussian blurs."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from kernelfield.errors import ArgumentError
from kernelfield.kernels.gaussians import fixed_point, sampled_gaussian

Line = NDArray[np.float64]

# OpenCV, modules/imgproc/src/smooth.dispatch.cpp: used where no sigma is given.
_SMALL_GAUSSIANS = {
    1: [1.0],
    3: [0.25, 0.5, 0.25],
    5: [0.0625, 0.25, 0.375, 0.25, 0.0625],
    7: [0.03125, 0.109375, 0.21875, 0.28125, 0.21875, 0.109375, 0.03125],
    9: [n / 256 for n in (4, 13, 30, 51, 60, 51, 30, 13, 4)],
}


def gaussian_lines(
    rows: int, columns: int, sigma_rows: float, sigma_columns: float, dtype: np.dtype[np.generic]
) -> tuple[Line, Line]:
    """Return the column and the row of Gaussian weights."""
    return gaussian_line(rows, sigma_rows, dtype), gaussian_line(columns, sigma_columns, dtype)


def gaussian_line(size: int, sigma: float, dtype: np.dtype[np.generic]) -> Line:
    """Return Gaussian weights; in binary fixed point, of as many bits as a pixel has, for unsigned images.

    Parameters
    ----------
    size : int
        Odd; 0 derives it from `sigma`: 3 standard deviations to each side for 8 bits, 4 for all else.
    sigma : float
        0 or less derives it from `size`, ``0.3 * ((size - 1) / 2 - 1) + 0.8`` (OpenCV, `getGaussianKernel`).
    """
    if size == 0 and sigma > 0:
        size = round(sigma * (3 if dtype == np.uint8 else 4) * 2 + 1) | 1
    if size < 1 or size % 2 == 0:
        raise ArgumentError(f"ksize: expected odd numbers, or 0 with a sigma above 0; received {size}")
    if sigma <= 0 and size in _SMALL_GAUSSIANS:
        weights = np.array(_SMALL_GAUSSIANS[size])
    else:
        weights = sampled_gaussian(sigma if sigma > 0 else 0.3 * ((size - 1) * 0.5 - 1) + 0.8, size)
    return fixed_point(weights, 8 * dtype.itemsize) if dtype.kind == "u" else weights


def difference(order: int, size: int) -> Line:
    """Return the difference of an order, smoothed to `size` weights: ``(1, 1)`` and ``(-1, 1)`` convolved."""
    count = max(size, 3) if order else size
    line = np.array([1.0])
    for i in range(count - 1):
        line = np.convolve(line, [-1.0, 1.0] if i < order else [1.0, 1.0])
    return line


def sobel_lines(dx: int, dy: int, size: int) -> tuple[Line, Line]:
    """Return the column and the row of Sobel's weights, or of Scharr's for size -1 (OpenCV, `getDerivKernels`)."""
    if size == -1:
        if (dx, dy) not in ((1, 0), (0, 1)):
            raise ArgumentError(f"dx, dy: expected 1 and 0, or 0 and 1, for Scharr; received {dx} and {dy}")
        slope, smooth = np.array([-1.0, 0.0, 1.0]), np.array([3.0, 10.0, 3.0])
        return (smooth, slope) if dx else (slope, smooth)
    if size < 1 or size % 2 == 0 or size > 31:
        raise ArgumentError(f"ksize: expected an odd number from 1 to 31, or FILTER_SCHARR; received {size}")
    if min(dx, dy) < 0 or dx + dy < 1 or max(dx, dy) >= max(size, 3):
        raise ArgumentError(f"dx, dy: expected orders from 0, below ksize and not both 0; received {dx} and {dy}")
    return difference(dy, size), difference(dx, size)


@lru_cache(maxsize=64)
def laplacian(size: int) -> NDArray[np.float64]:
    """Return the Laplacian, read-only: second differences up to size 3, then the sum of Sobel's second derivatives."""
    weights = _laplacian(size)
    weights.flags.writeable = False
    return weights


def _laplacian(size: int) -> NDArray[np.float64]:
    if size < 1 or size % 2 == 0 or size > 31:
        raise ArgumentError(f"ksize: expected an odd number from 1 to 31; received {size}")
    if size == 1:
        return np.array([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])
    if size == 3:
        return np.array([[2.0, 0.0, 2.0], [0.0, -8.0, 0.0], [2.0, 0.0, 2.0]])
    second, smooth = difference(2, size), difference(0, size)
    return np.outer(second, smooth) + np.outer(smooth, second)
