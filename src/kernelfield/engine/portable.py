"""The engine in NumPy and SciPy alone, for platforms that have no Halide wheel.

The same functions as `direct`, `lags`, `channels` and `gradients`, with the same meaning: NaN keep to their footprint,
no weight is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import as_strided

# Rows of this many bytes stay in the second-level cache while every weight passes over them.
_CACHE = 1 << 18

# Of windows laid out as the columns of a matrix: large enough for BLAS, small enough for the cache.
_MATRIX = 1 << 20

# Terms that BLAS sums at once: short sums keep the rounding of float32 small.
_SUM = 128


def correlate(image: np.ndarray, kernel: np.ndarray, out: np.ndarray) -> None:
    """Write the valid cross-correlation of `image` (N, H, W) with `kernel` (kh, kw) into `out`.

    Each weight multiplies a shifted view and adds to `out`, row-major over the kernel, in the dtype of `out`.
    """
    weights = kernel.astype(out.dtype)
    count, rows, columns = out.shape
    step = max(1, _CACHE // max(1, columns * out.itemsize))
    for n in range(count):
        for start in range(0, rows, step):
            block = out[n, start : start + step]
            product = np.empty(block.shape, out.dtype)
            block[...] = 0
            with np.errstate(invalid="ignore", over="ignore"):
                for a in range(kernel.shape[0]):
                    lines = image[n, start + a : start + a + block.shape[0]].astype(out.dtype, copy=False)
                    for b in range(kernel.shape[1]):
                        np.multiply(lines[:, b : b + columns], weights[a, b], out=product)
                        block += product


def lag_products(
    a: np.ndarray,
    b: np.ndarray,
    lags: tuple[int, int],
    block_rows: int,
    a_shift: float = 0.0,
    b_shift: float = 0.0,
) -> np.ndarray:
    """Return the lag products of `a` (M, N) with `b` by blocks of rows, float64 (blocks, nr, nc).

    ``out[i, r, c] = sum over rows y of block i and columns x of (a[y, x] - a_shift) * (b[y + r, x + c] - b_shift)``.
    The sum over columns is a product of spectra of rows, zero-padded so that nothing wraps around.
    """
    rows, columns = a.shape
    length = scipy.fft.next_fast_len(columns + lags[1] - 1, real=True)
    blocks = -(-rows // block_rows)
    out = np.empty((blocks, *lags))
    part = max(1, min(block_rows, (1 << 24) // (8 * length)))
    for i in range(blocks):
        stop = min(rows, (i + 1) * block_rows)
        spectrum = np.zeros((lags[0], length // 2 + 1), np.complex128)
        for start in range(i * block_rows, stop, part):
            end = min(stop, start + part)
            left = scipy.fft.rfft(a[start:end].astype(np.float64) - a_shift, length).conj()
            below = b[start : end + lags[0] - 1, : columns + lags[1] - 1].astype(np.float64) - b_shift
            right = scipy.fft.rfft(below, length)
            for r in range(lags[0]):
                spectrum[r] += np.einsum("yf,yf->f", left, right[r : r + end - start])
        out[i] = scipy.fft.irfft(spectrum, length)[:, : lags[1]]
    return out


def forward(
    image: np.ndarray,
    weights: np.ndarray,
    out: np.ndarray,
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    bias: np.ndarray | None = None,
) -> None:
    """Write the layer `channels.forward` defines into `out`: windows as columns of a matrix, times the weights."""
    rows_of_weights = weights.reshape(groups, weights.shape[0] // groups, -1).astype(out.dtype, copy=False)
    windows = _windows(image, weights.shape[2:], out.shape[2:], stride, dilation, groups)
    for n, g, rows in _blocks(windows, out.dtype.itemsize):
        into = out[n].reshape(groups, -1, *out.shape[2:])[g, :, rows]
        with np.errstate(invalid="ignore", over="ignore"):
            into[...] = _product(rows_of_weights[g], _columns(windows[n, g], rows, out.dtype)).reshape(into.shape)
    if bias is not None:
        out += bias.astype(out.dtype)[:, None, None]


def weight_gradient(
    image: np.ndarray,
    gradient: np.ndarray,
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> np.ndarray:
    """Return the gradient `gradients.weight_gradient` defines; products in the type of `gradient`, their sum wider."""
    windows = _windows(image, kernel_size, gradient.shape[2:], stride, dilation, groups)
    taps = windows.shape[2:5]
    total = np.zeros((groups, gradient.shape[1] // groups, taps[0] * taps[1] * taps[2]))
    for n, g, rows in _blocks(windows, gradient.dtype.itemsize):
        part = gradient[n].reshape(groups, -1, *gradient.shape[2:])[g, :, rows]
        with np.errstate(invalid="ignore", over="ignore"):
            total[g] += _sums(part.reshape(len(part), -1), _columns(windows[n, g], rows, gradient.dtype))
    with np.errstate(invalid="ignore", over="ignore"):
        return total.reshape(gradient.shape[1], *taps).astype(gradient.dtype)


def image_gradient(
    gradient: np.ndarray,
    weights: np.ndarray,
    image_shape: tuple[int, ...],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    before: tuple[int, int] = (0, 0),
) -> np.ndarray:
    """Return the gradient `gradients.image_gradient` defines: columns, each added to the window it belongs to."""
    reached = [
        max((n - 1) * s + (k - 1) * d + 1, b + size)
        for n, s, k, d, b, size in zip(
            gradient.shape[2:], stride, weights.shape[2:], dilation, before, image_shape[2:], strict=True
        )
    ]
    out = np.zeros((*image_shape[:2], *reached), gradient.dtype)
    columns_of_weights = weights.reshape(groups, weights.shape[0] // groups, -1).astype(gradient.dtype, copy=False)
    windows = _windows(out, weights.shape[2:], gradient.shape[2:], stride, dilation, groups, writeable=True)
    for n, g, rows in _blocks(windows, gradient.dtype.itemsize):
        part = gradient[n].reshape(groups, -1, *gradient.shape[2:])[g, :, rows]
        into = windows[n, g, :, :, :, rows]
        with np.errstate(invalid="ignore", over="ignore"):
            columns = _product(columns_of_weights[g].T, part.reshape(len(part), -1)).reshape(into.shape)
            for tap in np.ndindex(into.shape[1:3]):
                into[:, tap[0], tap[1]] += columns[:, tap[0], tap[1]]
    rows, columns_of_image = (slice(b, b + size) for b, size in zip(before, image_shape[2:], strict=True))
    return out[:, :, rows, columns_of_image]


def _windows(
    image: np.ndarray,
    kernel_size: tuple[int, ...],
    output_size: tuple[int, ...],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    writeable: bool = False,
) -> np.ndarray:
    """Return the view (N, groups, channels, kh, kw, OH, OW) of all windows of an image (N, C, H, W)."""
    count, channels = image.shape[:2]
    shape = count, groups, channels // groups, *kernel_size, *output_size
    batch, channel, row, column = image.strides
    steps = batch, channel * (channels // groups), channel
    taps = row * dilation[0], column * dilation[1]
    return as_strided(
        image, shape, (*steps, *taps, row * stride[0], column * stride[1]), subok=False, writeable=writeable
    )


def _blocks(windows: np.ndarray, itemsize: int) -> Iterator[tuple[int, int, slice]]:
    """Yield image, group and rows of outputs whose matrix of columns takes about `_MATRIX` bytes."""
    count, groups = windows.shape[:2]
    height = windows.shape[5]
    row_bytes = int(np.prod(windows.shape[2:5])) * windows.shape[6] * itemsize
    step = max(1, min(height, _MATRIX // max(1, row_bytes)))
    for n in range(count):
        for g in range(groups):
            for start in range(0, height, step):
                yield n, g, slice(start, min(height, start + step))


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return ``a @ b``, summed over blocks of `_SUM` terms."""
    if len(a) == 1:  # products of a vector and a matrix are shared out between threads in another way
        return _product(np.repeat(a, 2, axis=0), b)[:1]
    total: np.ndarray = a[:, :_SUM] @ b[:_SUM]
    for start in range(_SUM, len(b), _SUM):
        total += a[:, start : start + _SUM] @ b[start : start + _SUM]
    return total


def _sums(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return ``a @ b.T`` for long rows, by such blocks, which are summed in float64."""
    if len(a) == 1:
        return _sums(np.repeat(a, 2, axis=0), b)[:1]
    if len(b) == 1:
        return _sums(a, np.repeat(b, 2, axis=0))[:, :1]
    whole = a.shape[1] - a.shape[1] % _SUM
    left, right = (m[:, :whole].reshape(len(m), -1, _SUM).swapaxes(0, 1) for m in (a, b))
    total: np.ndarray = (left @ right.swapaxes(1, 2)).sum(axis=0, dtype=np.float64)
    total += a[:, whole:] @ b[:, whole:].T
    return total


def _columns(windows: np.ndarray, rows: slice, dtype: np.dtype) -> np.ndarray:
    """Return windows (channels, kh, kw, OH, OW) of some rows as the columns of a matrix."""
    part = windows[..., rows, :]
    matrix = np.empty(part.shape, dtype)
    matrix[...] = part
    return matrix.reshape(part.shape[0] * part.shape[1] * part.shape[2], -1)
