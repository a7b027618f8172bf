"""Cross-correlation with large kernels by the fast Fourier transform: overlap-save, one tile a thread.

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

from kernelfield.engine import direct, settled, tuning
from kernelfield.engine.rounding import Finish
from kernelfield.engine.threads import threads
from kernelfield.geometry import Boundary, positions_read

# Sides of tiles: others gain nothing.
_SHORTEST, _LONGEST = 100, 1100
# Threads that tiles are laid out for, whatever their number is.
_WORKERS = 4
# Nanoseconds of all of them that pass before they are at work.
_HANDING_OUT = 12e6


def correlate(
    image: NDArray[Any],
    kernel: NDArray[Any],
    out: NDArray[Any],
    before: tuple[int, int] = (0, 0),
    boundary: Boundary = "constant",
    cval: float = 0.0,
    finish: Finish | None = None,
) -> None:
    """Write ``out[n, i, j] = sum over a, b of kernel[a, b] * image[n, i + a - before[0], j + b - before[1]]``.

    Parameters
    ----------
    image : ndarray, shape (N, H, W)
        Of any type of real numbers.
    kernel : ndarray, shape (kh, kw)
        Weights, finite.
    out : ndarray, shape (N, OH, OW)
        ``float32`` or ``float64``; transforms are taken in its type. Or integers: then in float64, and sums are rounded
        as those of products would be. It must not overlap `image`.
    before : tuple of int
        Rows and columns in front of the image that are read.
    boundary : str
        What lies outside, before and behind.
    cval : float
        For ``"constant"``.
    finish : Finish, optional
        What becomes of sums that are rounded to integers.

    Notes
    -----
    Tiles that hold NaN or infinities, or where a transform overflows, are left to `direct`: a transform would spread
    them over the whole tile.

    An error is at most about ``u * (log2(T**2) + 1) * norm(tile) * norm(kernel)``, with ``u`` the unit roundoff, ``T``
    the side of a tile and Euclidean norms (Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., theorem
    24.2): it follows the largest values of the tile, not those under the kernel.
    """
    kh, kw = kernel.shape
    shape = rows, columns = tile_shape(out.shape[1:], (kh, kw))
    dtype = out.dtype if out.dtype.kind == "f" else np.dtype(np.float64)
    spectrum = _spectrum(kernel.astype(dtype).tobytes(), (kh, kw), dtype, shape)
    high, wide = rows - kh + 1, columns - kw + 1

    rooms: list[settled.Room] = []

    def integers(part: NDArray[Any], into: NDArray[Any]) -> None:
        try:
            room = rooms.pop()  # one step of the interpreter: safe between threads
        except IndexError:
            room = settled.Room(shape)
        values = room.tile(part)
        result = circular(values, spectrum, shape)[: into.shape[0], : into.shape[1]]
        uncertain = settled.error(values, kernel, rows * columns)
        settled.settle(result, uncertain, values, kernel, finish or Finish(dtype), into, room)
        rooms.append(room)

    def tile(place: tuple[int, int, int]) -> None:
        n, y, x = place
        into = out[n, y : y + high, x : x + wide]
        first = y - before[0], x - before[1]
        size = into.shape[0] + kh - 1, into.shape[1] + kw - 1
        part = _extended(image[n], first, size, boundary, cval, dtype)
        if out.dtype.kind != "f":
            integers(part, into)
            return
        result = circular(part.astype(dtype, copy=False), spectrum, shape)[: into.shape[0], : into.shape[1]]
        # Every result of a transform depends on the whole tile: where one is finite, no NaN or infinity was in it.
        if np.isfinite(result[0, 0]):
            into[...] = result
        else:
            direct.correlate(np.ascontiguousarray(part)[None], kernel, into[None])

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


def _extended(
    image: NDArray[Any],
    first: tuple[int, int],
    size: tuple[int, int],
    boundary: Boundary,
    cval: float,
    dtype: np.dtype[Any],
) -> NDArray[Any]:
    """Return so many rows and columns of an extended image from `first` on: a view where they lie inside."""
    if min(first) >= 0 and all(f + s <= n for f, s, n in zip(first, size, image.shape)):
        return image[first[0] : first[0] + size[0], first[1] : first[1] + size[1]]
    reads = [positions_read(np.arange(f, f + s), n, boundary) for f, s, n in zip(first, size, image.shape)]
    (top, bottom), (left, right) = (
        (min(max(0, -f), s), max(0, min(s, n - f))) for f, s, n in zip(first, size, image.shape)
    )
    across, along = (np.maximum(read, 0) for read in reads)
    part = np.empty(size, dtype)
    # Most of it lies inside, in a block; gathering all would take as long as the transforms.
    inside = slice(left + first[1], right + first[1]) if left < right else slice(0)
    part[top:bottom, left:right] = image[top + first[0] : bottom + first[0], inside] if top < bottom else 0
    for rows in (slice(0, top), slice(bottom, None)):
        part[rows, left:right] = image[across[rows], inside]
    for columns in (slice(0, left), slice(right, None)):
        part[:, columns] = image[np.ix_(across, along[columns])]
    part[reads[0] < 0] = cval
    part[:, reads[1] < 0] = cval
    return part


def circular(tile: NDArray[Any], spectrum: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Return the circular cross-correlation of a tile, filled up with zeros, by a conjugate spectrum."""
    from scipy import fft

    with np.errstate(over="ignore", invalid="ignore"):
        # Axis by axis in place: irfft2 takes memory in between, which a thread gets anew from the system each time.
        values = fft.rfft(tile, shape[1])
        values = fft.fft(values, shape[0], axis=0, overwrite_x=True)
        values *= spectrum
        values = fft.ifft(values, axis=0, overwrite_x=True)
        result: NDArray[Any] = fft.irfft(values, shape[1], overwrite_x=True)
    return result


@lru_cache(maxsize=8)
def _spectrum(weights: bytes, kernel: tuple[int, int], dtype: np.dtype[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Return the conjugate spectrum of a kernel, padded to a shape."""
    from scipy import fft

    spectrum: NDArray[Any] = fft.rfft2(np.frombuffer(weights, dtype).reshape(kernel), shape)
    np.conj(spectrum, out=spectrum)
    return spectrum


def nanoseconds(outputs: tuple[int, int], kernel: tuple[int, int]) -> float:
    """Return what one thread is expected to take for that many outputs in float32."""
    return _cheapest(outputs, kernel)[0]


def tile_shape(outputs: tuple[int, ...], kernel: tuple[int, int]) -> tuple[int, int]:
    """Return the rows and columns of a tile that cost least for that many outputs and such a kernel."""
    return _cheapest((outputs[0], outputs[1]), kernel)[1]


@lru_cache(maxsize=256)
def _cheapest(outputs: tuple[int, int], kernel: tuple[int, int]) -> tuple[float, tuple[int, int]]:
    sides = [np.array(_sides(n, k)) for n, k in zip(outputs, kernel)]
    pixels = np.multiply.outer(sides[0][:, 0], sides[1][:, 0])
    tiles = np.multiply.outer(sides[0][:, 1], sides[1][:, 1])
    known = tuning.current().spectral
    work = tiles * pixels * np.interp(np.log(pixels), np.log(list(known)), list(known.values()))
    # Threads that find no tile wait; how many there are must not decide.
    together = work * (-(-tiles // _WORKERS) * _WORKERS / tiles) + _HANDING_OUT * (tiles > 1)
    row, column = np.unravel_index(together.argmin(), together.shape)
    # Of two threads, which other methods share among them.
    time = 2 * work[row, column] if tiles[row, column] == 1 else work[row, column] + _HANDING_OUT / 2
    return float(time), (int(sides[0][row, 0]), int(sides[1][column, 0]))


tuning.on_change(_cheapest.cache_clear)


def _sides(outputs: int, kernel: int) -> list[tuple[int, int]]:
    """Return sides of tiles that have fast transforms, and how many tiles of such a side there are."""
    from scipy import fft

    sides: dict[int, int] = {}
    for count in range(1, outputs + 1):
        side = fft.next_fast_len(-(-outputs // count) + kernel - 1, real=True)
        if side <= max(_LONGEST, 2 * kernel):
            sides.setdefault(side, count)
            if side < 1.2 * kernel or side < _SHORTEST:
                break
    return list(sides.items())
