"""Integer results as scipy.ndimage gives them: sums in float64, truncated toward zero, wrapped around the range.

Where a sum is whole but for rounding, the order of its terms decides what truncation leaves. Such sums are taken again
in SciPy's order; all others are far enough from a whole number for any order.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernelfield.correlation import correlate
from kernelfield.dropin.exactness import method_of, whole_weights
from kernelfield.dropin.handing import Handed
from kernelfield.geometry import Window, boundary_index, check_boundary

_EPS = float(np.finfo(np.float64).eps)
# Elsewhere a compiler may fuse SciPy's products and sums, and casts saturate.
_PLAIN_SUMS = platform.machine() in ("x86_64", "AMD64")
_CHUNK = 1 << 15
# Of the pixels; beyond that SciPy's own loop is faster than sums by NumPy.
_FEW = 1 / 16


@dataclass(frozen=True)
class Sums:
    """What is summed: a kernel (kh, kw) over planes (N, H, W); `folded` and `divisor` as in `filtering.Pass`."""

    planes: NDArray[Any]
    kernel: NDArray[np.float64]
    origin: tuple[int, int]
    boundary: str
    cval: float
    folded: bool
    divisor: int

    def magnitude(self) -> float:
        """Return the largest magnitude that a pixel can have, the border's included."""
        dtype = self.planes.dtype
        if dtype.itemsize == 8:
            largest = max(abs(int(self.planes.max())), abs(int(self.planes.min())))
        else:
            largest = max(-int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
        return max(float(largest), abs(self.cval))


def needs_float64(planes: NDArray[Any]) -> bool:
    """Return whether 64-bit integers exceed what float64 holds."""
    return int(planes.max()) > 2**53 or int(planes.min()) < -(2**53)


def truncated(sums: Sums, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the sums in an integer dtype, or raise `Handed`."""
    # The truth about integers of a float image hangs on its last bits.
    if sums.planes.dtype.kind == "f":
        raise Handed
    magnitude = sums.magnitude()
    bound = magnitude * float(np.abs(sums.kernel).sum())
    if not max(magnitude, bound) < 2**53:
        raise Handed
    kernel, one, method = sums.kernel, 1.0, None
    found = whole_weights(kernel)
    exact = found is not None and bound * found[1] < 2**53 and float(sums.cval).is_integer()
    if not exact and not (_PLAIN_SUMS and sums.divisor == 1):
        raise Handed
    if exact and found is not None:
        kernel, one = found
        method = method_of(kernel)
    work = np.float32 if exact and max(bound, magnitude) * one < 2**24 else np.float64
    values = correlate(
        sums.planes, kernel, boundary=sums.boundary, cval=sums.cval, origin=sums.origin, dtype=work, method=method
    )
    if one != 1:
        values /= one
    if sums.divisor != 1:
        values = values / np.float64(sums.divisor)
    if not exact:
        _settle(sums, values, 64 * (sums.kernel.size + 2) * _EPS * (bound + magnitude))
    return _cast(values, dtype, bound / sums.divisor)


def _settle(sums: Sums, values: NDArray[Any], tolerance: float) -> None:
    """Take sums within `tolerance` of a whole number again, in SciPy's order."""
    distance = np.rint(values)
    np.subtract(values, distance, out=distance)
    np.abs(distance, out=distance)
    near = np.flatnonzero(distance <= tolerance)
    if len(near) > max(_CHUNK, values.size * _FEW):
        raise Handed
    shape, boundary = sums.planes.shape, check_boundary(sums.boundary)
    reads = []
    for size, origin, n in zip(sums.kernel.shape, sums.origin, shape[1:]):
        window = Window.of(size, "same", origin)
        reads.append(boundary_index(n, window.before, window.after, boundary))
    flat = values.reshape(-1)
    for start in range(0, len(near), _CHUNK):
        places = near[start : start + _CHUNK]
        plane, row, column = np.unravel_index(places, shape)

        def pixel(a: int, b: int, plane: Any = plane, row: Any = row, column: Any = column) -> NDArray[np.float64]:
            i, j = reads[0][row + a], reads[1][column + b]
            inside = (i >= 0) & (j >= 0)
            return np.where(inside, sums.planes[plane, i, j].astype(np.float64), sums.cval)

        flat[places] = _folded(sums.kernel, pixel) if sums.folded else _row_major(sums.kernel, pixel)


def _row_major(kernel: NDArray[np.float64], pixel: Any) -> Any:
    """Return sums over a kernel of any axes; SciPy leaves out weights below the precision of float64."""
    total: Any = 0.0
    for a, b in zip(*np.nonzero(np.abs(kernel) > _EPS)):
        total = total + kernel[a, b] * pixel(a, b)
    return total


def _folded(kernel: NDArray[np.float64], pixel: Any) -> Any:
    """Return sums over a line of weights, by pairs where it is symmetric or antisymmetric to rounding."""
    line, down = kernel.ravel(), kernel.shape[1] == 1
    size, middle = len(line), len(line) // 2

    def at(i: int) -> Any:
        return pixel(i, 0) if down else pixel(0, i)

    sign = 0
    if size % 2:
        left, right = line[:middle], line[: size - 1 - middle : -1] if middle else line[:0]
        sign = 1 if (np.abs(left - right) <= _EPS).all() else -1 if (np.abs(left + right) <= _EPS).all() else 0
    if sign:
        total = at(middle) * line[middle]
        for i in range(middle):
            total = total + (at(i) + sign * at(size - 1 - i)) * line[i]
        return total
    total = at(size - 1) * line[-1]
    for i in range(size - 1):
        total = total + at(i) * line[i]
    return total


def _cast(values: NDArray[Any], dtype: np.dtype[Any], bound: float) -> NDArray[Any]:
    """Return `values` truncated toward zero and wrapped, or raise `Handed` where the machine decides."""
    limits = np.iinfo(dtype)
    low, high = int(limits.min), int(limits.max)
    if _PLAIN_SUMS and dtype.itemsize < 4:
        low, high = -(2**31) + 1, 2**31 - 1
    if bound > min(high, -low) and (values.min() < low or values.max() >= high + 1):
        raise Handed
    if dtype.itemsize < 4 and bound < 2**31 - 1:
        return values.astype(np.int32).astype(dtype)
    return values.astype(np.int64).astype(dtype)
