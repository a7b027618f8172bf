"""Valid cross-correlation with large kernels by the fast Fourier transform: overlap-save, one tile a thread.

A tile of the image is transformed, multiplied by the conjugate spectrum of the kernel, and transformed back; where the
kernel did not wrap around, that is the result. Tiles lie on a grid that depends on the shapes alone, so the bits depend
neither on the number of threads nor on the batch.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernelfield.engine import direct
from kernelfield.engine.threads import threads

#: Sizes of a tile, and what a pixel of it costs there and back in float32, in ns of one of two threads, as measured.
TILES = {128: 9.0, 192: 9.0, 256: 7.0, 320: 7.0, 384: 7.3, 512: 11.0, 768: 13.0, 1024: 15.0}
_LARGE = 18.0


def correlate(image: NDArray[Any], kernel: NDArray[Any], out: NDArray[Any]) -> None:
    """Write ``out[n, i, j] = sum over a, b of kernel[a, b] * image[n, i + a, j + b]``.

    Parameters
    ----------
    image : ndarray, shape (N, H, W)
        Of any type of real numbers.
    kernel : ndarray, shape (kh, kw)
        Weights, finite.
    out : ndarray, shape (N, H - kh + 1, W - kw + 1)
        ``float32`` or ``float64``; transforms are taken in its type. It must not overlap `image`.

    Notes
    -----
    Tiles that hold NaN or infinities, or where a transform overflows, are left to `direct`: a transform would spread
    them over the whole tile.

    An error is at most about ``u * log2(T**2) * norm(tile) * norm(kernel)``, with ``u`` the unit roundoff, ``T`` the
    side of a tile and Euclidean norms (Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., theorem
    24.2): it follows the largest values of the tile, not those under the kernel.
    """
    from scipy import fft

    kh, kw = kernel.shape
    rows, columns = tile_shape(out.shape[1:], (kh, kw))
    spectrum = np.conj(fft.rfft2(kernel.astype(out.dtype), (rows, columns)))
    high, wide = rows - kh + 1, columns - kw + 1

    def tile(place: tuple[int, int, int]) -> None:
        n, y, x = place
        into = out[n, y : y + high, x : x + wide]
        part = image[n, y : y + into.shape[0] + kh - 1, x : x + into.shape[1] + kw - 1]
        with np.errstate(over="ignore", invalid="ignore"):
            values = fft.rfft2(part.astype(out.dtype, copy=False), (rows, columns))
            values *= spectrum
            result = fft.irfft2(values, (rows, columns), overwrite_x=True)[: into.shape[0], : into.shape[1]]
        # Every result of a transform depends on the whole tile: where one is finite, no NaN or infinity was in it.
        if np.isfinite(result[0, 0]):
            into[...] = result
        else:
            direct.correlate(part[None], kernel, into[None])

    places = [
        (n, y, x)
        for n in range(out.shape[0])
        for y in range(0, out.shape[1], high)
        for x in range(0, out.shape[2], wide)
    ]
    workers = min(threads(), len(places))
    if workers < 2:
        for place in places:
            tile(place)
        return
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(tile, places))


def nanoseconds(outputs: tuple[int, int], kernel: tuple[int, int]) -> float:
    """Return what one thread is expected to take for that many outputs in float32."""
    return _cheapest(outputs, kernel)[0]


def tile_shape(outputs: tuple[int, int], kernel: tuple[int, int]) -> tuple[int, int]:
    """Return the rows and columns of a tile that cost least for that many outputs and such a kernel."""
    return _cheapest(outputs, kernel)[1]


@lru_cache(maxsize=256)
def _cheapest(outputs: tuple[int, int], kernel: tuple[int, int]) -> tuple[float, tuple[int, int]]:
    def cost(shape: tuple[int, int]) -> float:
        count = 1
        for n, size, k in zip(outputs, shape, kernel):
            count *= -(-n // (size - k + 1))
        return count * shape[0] * shape[1] * (TILES.get(shape[0], _LARGE) + TILES.get(shape[1], _LARGE)) / 2

    # A tile that just holds a large kernel is nearly all overlap.
    sizes = [[t for t in TILES if t > k] or [1 << (2 * k).bit_length()] for k in kernel]
    shapes = [(rows, columns) for rows in sizes[0] for columns in sizes[1]]
    return min((cost(shape), shape) for shape in shapes)
