"""The definition, as loops over the kernel in float64: slow, obvious, the oracle of the tests.

It shares no code with the methods it checks, not even the index arithmetic. The planner never chooses it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def outside(position: int, n: int, boundary: str) -> int | None:
    """Return the element that `position` reads on an axis of `n`, step by step; None for the constant."""
    while not 0 <= position < n:
        if boundary == "constant":
            return None
        if boundary == "nearest":
            return 0 if position < 0 else n - 1
        if boundary == "wrap":
            position += n if position < 0 else -n
        elif boundary == "reflect":
            position = -1 - position if position < 0 else 2 * n - 1 - position
        elif n == 1:
            return 0
        else:
            position = -position if position < 0 else 2 * n - 2 - position
    return position


def correlate(
    image: np.ndarray,
    kernel: np.ndarray,
    mode: str = "same",
    boundary: str = "reflect",
    cval: float = 0.0,
    origin: tuple[int, int] = (0, 0),
) -> np.ndarray:
    """Return the cross-correlation of the last two axes of `image` with `kernel`, in float64.

    ``out[..., i, j] = sum over a, b of kernel[a, b] * image[..., i + a - top, j + b - left]``, where ``(top, left)``
    is the element of the kernel that lies over the output pixel.
    """
    height, width = image.shape[-2:]
    kh, kw = kernel.shape
    if mode == "valid":
        top, left, rows, columns = 0, 0, height - kh + 1, width - kw + 1
    elif mode == "same":
        top, left, rows, columns = kh // 2 + origin[0], kw // 2 + origin[1], height, width
    else:
        top, left, rows, columns = kh - 1, kw - 1, height + kh - 1, width + kw - 1
    out = np.zeros((*image.shape[:-2], rows, columns))
    pixels = np.asarray(image, dtype=np.float64)
    for a in range(kh):
        for b in range(kw):
            for i in range(rows):
                row = outside(i + a - top, height, boundary)
                for j in range(columns):
                    column = outside(j + b - left, width, boundary)
                    inside = row is not None and column is not None
                    out[..., i, j] += float(kernel[a, b]) * (pixels[..., row, column] if inside else cval)
    return out


def lag_products(
    a: np.ndarray, b: np.ndarray, lags: tuple[int, int], a_shift: float = 0.0, b_shift: float = 0.0
) -> np.ndarray:
    """Return ``sum over p of (a[p] - a_shift) * (b[p + lag] - b_shift)`` for every lag of the window `lags`."""
    out = np.zeros(lags)
    for r in range(lags[0]):
        for c in range(lags[1]):
            for i in range(a.shape[0]):
                for j in range(a.shape[1]):
                    out[r, c] += (float(a[i, j]) - a_shift) * (float(b[i + r, j + c]) - b_shift)
    return out


def layer_terms(
    image_shape: tuple[int, ...],
    weights_shape: tuple[int, ...],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> Iterator[tuple[tuple[int, int, int, int], tuple[int, int, int, int], tuple[int, int, int, int]]]:
    """Yield the indices (output, weight, pixel) of every product in the sums of a layer."""
    count, _, height, width = image_shape
    filters, channels, kh, kw = weights_shape
    for n in range(count):
        for o in range(filters):
            group = o // (filters // groups)
            for c in range(channels):
                for a in range(kh):
                    for b in range(kw):
                        i = 0
                        while i * stride[0] + (kh - 1) * dilation[0] < height:
                            j = 0
                            while j * stride[1] + (kw - 1) * dilation[1] < width:
                                row, column = i * stride[0] + a * dilation[0], j * stride[1] + b * dilation[1]
                                yield (n, o, i, j), (o, c, a, b), (n, group * channels + c, row, column)
                                j += 1
                            i += 1


def forward(
    image: np.ndarray,
    weights: np.ndarray,
    out: np.ndarray,
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> None:
    """Write the cross-correlation of a layer: image (N, C, H, W), weights (O, C/groups, kh, kw), out (N, O, OH, OW)."""
    total = np.zeros(out.shape)
    for output, weight, pixel in layer_terms(image.shape, weights.shape, stride, dilation, groups):
        total[output] += float(weights[weight]) * float(image[pixel])
    out[...] = total


def weight_gradient(
    image: np.ndarray,
    gradient: np.ndarray,
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> np.ndarray:
    """Return the gradient of ``(gradient * forward(image, weights)).sum()`` with respect to the weights, float64."""
    total = np.zeros((gradient.shape[1], image.shape[1] // groups, *kernel_size))
    for output, weight, pixel in layer_terms(image.shape, total.shape, stride, dilation, groups):
        total[weight] += float(gradient[output]) * float(image[pixel])
    return total


def image_gradient(
    gradient: np.ndarray,
    weights: np.ndarray,
    image_shape: tuple[int, int, int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> np.ndarray:
    """Return the gradient of ``(gradient * forward(image, weights)).sum()`` with respect to the image, float64."""
    total = np.zeros(image_shape)
    for output, weight, pixel in layer_terms(image_shape, weights.shape, stride, dilation, groups):
        total[pixel] += float(gradient[output]) * float(weights[weight])
    return total
