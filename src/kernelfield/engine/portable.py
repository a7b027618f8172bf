"""The engine in NumPy and SciPy alone, for platforms that have no Halide wheel.

The same functions as `direct` and `lags`, with the same meaning: NaN keep to their footprint, no weight is dropped.
"""

from __future__ import annotations

import numpy as np
import scipy.fft

# Rows of this many bytes stay in the second-level cache while every weight passes over them.
_CACHE = 1 << 18


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
