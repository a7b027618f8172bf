"""Cross-correlation with large kernels by the fast Fourier transform: overlap-save, one tile a thread.

A tile of the image is transformed, multiplied by the conjugate spectrum of the kernel, and transformed back; the result
is the part in which the kernel did not wrap around. The grid of tiles depends on the shapes alone, so the bits depend
neither on the number of threads nor on the batch. Transforms are SciPy's, always in float64; `exactness` computes the
uncertain sums again.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernelfield import _core
from kernelfield.engine import exactness, tuning
from kernelfield.geometry import Boundary, positions_read

Doubles = NDArray[np.float64]

# Limits of the sides of tiles: longer ones take more memory and no less time.
_SHORTEST, _LONGEST = 100, 540
# Number of threads that the choice of tiles assumes; fixed, so that bits do not depend on their number.
_WORKERS = 4
# ns of all threads together to start them.
_START = 12e6


def correlate(
    image: NDArray[Any],
    kernel: NDArray[Any],
    out: NDArray[Any],
    before: tuple[int, int] = (0, 0),
    boundary: Boundary = "constant",
    cval: float = 0.0,
    bias: float | None = None,
    scale: float = 1.0,
    up: bool = False,
    tile: tuple[int, int] | None = None,
) -> None:
    """Write ``out[n, i, j] = sum over a, b of kernel[a, b] * image[n, i + a - before[0], j + b - before[1]] + bias``.

    Parameters
    ----------
    image : ndarray, shape (N, H, W)
        Any real dtype.
    kernel : ndarray, shape (kh, kw)
        Weights, finite.
    out : ndarray, shape (N, OH, OW)
        ``float32``, ``float64``, or integers of at most 32 bits. It must not overlap `image`.
    before : tuple of int
        Rows and columns that the first output reads in front of the image.
    boundary : str
        The rule for pixels outside the image.
    cval : float
        The pixels outside for ``"constant"``.
    bias : float, optional
        Added to the sums: in the dtype of float results, in float64 for integers.
    scale : float
        By which sums are multiplied before they are rounded to integers.
    up : bool
        Whether halves of integers are rounded up; by default to even.
    tile : tuple of int, optional
        Rows and columns of a tile, no less than those of `kernel`; by default `tile_shape`.

    Notes
    -----
    Results whose window holds only zeros are 0. ``float32`` results have an error of at most
    ``33 * u * sum(abs(kernel) * abs(window))`` with ``u = 2**-24``, so sums of positive products are positive. Integers
    are those that exact sums round to. Sums that a transform leaves uncertain are computed again by products, as
    ``direct`` does.

    ``float64`` results have no such bound: their error is at most `exactness.error`, which depends on the largest
    values of the tile and not on those under the kernel.

    Tiles with NaN, infinities, or numbers whose squares overflow are computed by products as a whole: a transform would
    spread them over the tile.
    """
    kernel = np.ascontiguousarray(kernel, np.float64)
    kh, kw = kernel.shape
    shape = tile or tile_shape(out.shape[1:], (kh, kw))
    high, wide = shape[0] - kh + 1, shape[1] - kw + 1
    single = out.dtype == np.float32
    products = exactness.Products(kernel, "float32" if single else "float64", bias or 0.0, scale, up)
    free: list[exactness.Buffers] = []

    def work(corner: tuple[int, int, int]) -> None:
        n, y, x = corner
        into = out[n, y : y + high, x : x + wide]
        size = into.shape[0] + kh - 1, into.shape[1] + kw - 1
        try:
            buffers = free.pop()  # atomic: safe between threads
        except IndexError:
            buffers = exactness.Buffers(shape)
        part = buffers.tile(size)
        _extend(image[n], (y - before[0], x - before[1]), boundary, cval, part)
        fill(part, into, buffers)
        free.append(buffers)

    def fill(part: Doubles, into: NDArray[Any], buffers: exactness.Buffers) -> None:
        error = exactness.error(part, kernel, math.prod(shape))
        if math.isfinite(error):
            sums = sums_of(part, kernel)
        elif part.any():
            products(part, into)
            return
        else:
            error, sums = 0.0, np.zeros(into.shape)
        if out.dtype.kind != "f":
            exactness.write_integers(sums, error, part, bias or 0.0, scale, up, into, buffers, products)
        elif single:
            exactness.write_float32(sums, error, part, kernel, bias or 0.0, into, buffers, sums_of, products)
        else:
            if not part.all():
                sums[exactness.zero_windows(part, (kh, kw))] = 0
            np.add(sums, bias or 0.0, out=into)

    sums_of = partial(_sums, shape=shape)
    corners = [
        (n, y, x)
        for n in range(out.shape[0])
        for y in range(0, out.shape[1], high)
        for x in range(0, out.shape[2], wide)
    ]
    workers = min(_core.threads(), len(corners))
    if workers < 2:
        for corner in corners:
            work(corner)
        return
    with ThreadPoolExecutor(workers) as pool:
        try:
            list(pool.map(work, corners))
        except BaseException:
            pool.shutdown(cancel_futures=True)  # Ctrl-C does not wait for the other tiles
            raise


def _sums(part: NDArray[Any], kernel: NDArray[Any], shape: tuple[int, int]) -> Doubles:
    """Return the sums of a tile at the positions where the kernel fits."""
    rows, columns = (n - k + 1 for n, k in zip(part.shape, kernel.shape))
    spectrum = _spectrum(kernel.astype(np.float64, copy=False).tobytes(), kernel.shape, shape)
    return circular(part, spectrum, shape, rows)[:, :columns]


def _extend(image: NDArray[Any], first: tuple[int, int], boundary: Boundary, cval: float, part: NDArray[Any]) -> None:
    """Fill `part` with the rows and columns of an extended image from `first` on."""
    size = part.shape
    if min(first) >= 0 and all(f + s <= n for f, s, n in zip(first, size, image.shape)):
        part[...] = image[first[0] : first[0] + size[0], first[1] : first[1] + size[1]]
        return
    reads = [positions_read(np.arange(f, f + s), n, boundary) for f, s, n in zip(first, size, image.shape)]
    (top, bottom), (left, right) = (
        (min(max(0, -f), s), max(0, min(s, n - f))) for f, s, n in zip(first, size, image.shape)
    )
    row_index, column_index = (np.maximum(read, 0) for read in reads)
    # Copy the block inside as a slice: gathering all of it would take as long as the transforms.
    inside = slice(left + first[1], right + first[1]) if left < right else slice(0)
    part[top:bottom, left:right] = image[top + first[0] : bottom + first[0], inside] if top < bottom else 0
    for rows in (slice(0, top), slice(bottom, None)):
        part[rows, left:right] = image[row_index[rows], inside]
    for columns in (slice(0, left), slice(right, None)):
        part[:, columns] = image[np.ix_(row_index, column_index[columns])]
    part[reads[0] < 0] = cval
    part[:, reads[1] < 0] = cval


def circular(tile: NDArray[Any], spectrum: NDArray[Any], shape: tuple[int, int], rows: int | None = None) -> Doubles:
    """Return the first rows of the circular cross-correlation of a tile, padded with zeros, by a conjugate spectrum.

    Parameters
    ----------
    tile, spectrum : ndarray
        The spectrum has the shape of ``rfft2``.
    """
    from scipy import fft

    # Axis by axis in place: irfft2 would allocate an array for each tile.
    values = fft.rfft(tile, shape[1])
    values = fft.fft(values, shape[0], axis=0, overwrite_x=True)
    values *= spectrum
    values = fft.ifft(values, axis=0, overwrite_x=True)
    result: Doubles = fft.irfft(values[:rows], shape[1], overwrite_x=True)
    return result


@lru_cache(maxsize=8)
def _spectrum(weights: bytes, kernel: tuple[int, int], shape: tuple[int, int]) -> NDArray[np.complex128]:
    """Return the conjugate spectrum of a kernel, padded to a shape."""
    from scipy import fft

    spectrum: NDArray[np.complex128] = fft.rfft2(np.frombuffer(weights).reshape(kernel), shape)
    np.conj(spectrum, out=spectrum)
    return spectrum


def nanoseconds(outputs: tuple[int, int], kernel: tuple[int, int]) -> float:
    """Return the expected time on one thread for that many outputs of one image."""
    return _cheapest(outputs, kernel)[0]


def tile_shape(outputs: tuple[int, ...], kernel: tuple[int, int]) -> tuple[int, int]:
    """Return the rows and columns of the cheapest tile for that many outputs and that shape of kernel."""
    return _cheapest((outputs[0], outputs[1]), kernel)[1]


@lru_cache(maxsize=256)
def _cheapest(outputs: tuple[int, int], kernel: tuple[int, int]) -> tuple[float, tuple[int, int]]:
    (high, tiles_down), (wide, tiles_across) = (_sides(n, k) for n, k in zip(outputs, kernel))
    pixels = np.multiply.outer(high, wide)
    tiles = np.multiply.outer(tiles_down, tiles_across)
    known = tuning.current().spectral
    work = tiles * pixels * np.interp(np.log(pixels), np.log(list(known)), list(known.values()))
    # Threads without a tile wait: count whole rounds of `_WORKERS`, whatever the number of threads.
    together = work * (-(-tiles // _WORKERS) * _WORKERS / tiles) + _START * (tiles > 1)
    row, column = np.unravel_index(together.argmin(), together.shape)
    # Other methods are shared by two threads: a single tile, which is not, counts twice.
    time = 2 * work[row, column] if tiles[row, column] == 1 else work[row, column] + _START / 2
    return float(time), (int(high[row]), int(wide[column]))


tuning.on_change(_cheapest.cache_clear)


def _sides(outputs: int, kernel: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return sides of tiles with fast transforms, the smallest for each number of tiles, and these numbers."""
    longest = outputs + kernel - 1  # the side of a single tile
    fast = _fast(1 << (2 * max(longest, _LONGEST)).bit_length())
    whole = fast[np.searchsorted(fast, longest)]
    most = min(whole, max(_LONGEST, 2 * kernel))
    least = min(most, max(_SHORTEST, 1.2 * kernel))
    sides = fast[(fast >= least) & (fast <= most)]
    counts, first = np.unique(-(-outputs // (sides - kernel + 1)), return_index=True)
    return sides[first], counts


@lru_cache(maxsize=32)
def _fast(limit: int) -> NDArray[np.int64]:
    """Return all numbers up to a limit without a prime factor above 5, ascending."""
    found = np.array([1], np.int64)
    for prime in (2, 3, 5):
        powers = prime ** np.arange(int(math.log(limit, prime)) + 1, dtype=np.int64)
        found = np.multiply.outer(found, powers).ravel()
        found = found[found <= limit]
    return np.sort(found)
