"""Integer results as scipy.ndimage gives them: sums in float64, truncated toward zero, wrapped around the range.

For a sum within rounding of a whole number, the order of its terms decides the truncated result. Such sums are computed
again in SciPy's order; all others are far enough from a whole number for any order.
"""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernelfield import _core
from kernelfield.dropin.exact_sums import exact_method
from kernelfield.dropin.scipy_fallback import NotCovered
from kernelfield.engine import plan as planner
from kernelfield.engine.plan import Runner, whole_weights
from kernelfield.geometry import Operation

_EPS = float(np.finfo(np.float64).eps)
# Elsewhere a compiler may fuse SciPy's products and sums, and casts saturate.
_UNFUSED_SUMS = platform.machine() in ("x86_64", "AMD64")
_CHUNK = 1 << 15
# Fraction of the pixels up to which sums by NumPy are faster than SciPy's own loop.
_FEW = 1 / 16


def integer_runner(
    planes: NDArray[Any],
    operation: Operation,
    kernel: NDArray[np.float64],
    folded: bool,
    divisor: int,
    dtype: np.dtype[Any],
) -> Runner:
    """Return the runner that writes integer results over planes (..., H, W); both may raise `NotCovered`.

    Parameters
    ----------
    planes : ndarray
        Only the dtype is used, except for 64-bit integers, whose values are: the runner is then for these planes alone.
    folded, divisor
        As in `ndimage_correlation.Pass`.
    """
    # For a float image the last bits of the sums decide the integers.
    if planes.dtype.kind == "f":
        raise NotCovered
    magnitude = _magnitude(planes, operation)
    bound = magnitude * float(np.abs(kernel).sum())
    if not max(magnitude, bound) < 2**53:
        raise NotCovered
    found = whole_weights(kernel)
    exact = found is not None and bound * found[1] < 2**53 and float(operation.cval).is_integer()
    if not exact and not (_UNFUSED_SUMS and divisor == 1):
        raise NotCovered
    work: np.dtype[Any] = np.dtype(np.float64)
    rest = divisor
    if exact and found is not None and max(bound, magnitude) * found[1] < 2**31:
        # Sum the whole weights, and divide by their power of two too.
        work, kernel, rest = np.dtype(np.int32), found[0], divisor * int(found[1])
    pixels = np.dtype(np.float64) if planes.dtype.itemsize == 8 else planes.dtype
    method = exact_method(kernel) if exact else None
    sums = work if work.kind == "f" else np.dtype(np.float64)
    plan = planner.plan(operation, planes.shape, pixels, kernel, work, sums, method, transforms=False)
    correlation = planner.runner(plan, operation, kernel)
    negative = planes.dtype.kind == "i" or operation.cval < 0 or bool((kernel < 0).any())
    tolerance = 64 * (kernel.size + 2) * _EPS * (bound + magnitude)

    def write(planes: NDArray[Any], out: NDArray[Any]) -> None:
        values = _core.empty(planes.shape, work)
        correlation(planes if planes.dtype == pixels else planes.astype(pixels), values)
        if rest != 1 and work.kind == "i" and not negative:
            values //= rest
        elif rest != 1:
            values = values / np.float64(rest)
        if not exact:
            _sum_again(planes, operation, kernel, folded, values, tolerance)
        _store(values, out, bound / divisor)

    return write


def _magnitude(planes: NDArray[Any], operation: Operation) -> float:
    """Return the largest magnitude that a pixel can have, the border's included."""
    if planes.dtype.itemsize == 8:
        largest = max(abs(int(planes.max())), abs(int(planes.min())))
    else:
        largest = max(-int(np.iinfo(planes.dtype).min), int(np.iinfo(planes.dtype).max))
    return max(float(largest), abs(operation.cval))


def _sum_again(
    planes: NDArray[Any],
    operation: Operation,
    kernel: NDArray[np.float64],
    folded: bool,
    values: NDArray[Any],
    tolerance: float,
) -> None:
    """Compute the sums within `tolerance` of a whole number again, in SciPy's order."""
    distance = np.rint(values)
    np.subtract(values, distance, out=distance)
    np.abs(distance, out=distance)
    near = np.flatnonzero(distance <= tolerance)
    if len(near) > max(_CHUNK, values.size * _FEW):
        raise NotCovered
    if not len(near):
        return
    reads = operation.indices(planes.shape)
    flat = values.reshape(-1)
    for start in range(0, len(near), _CHUNK):
        chunk = near[start : start + _CHUNK]
        *plane, row, column = np.unravel_index(chunk, planes.shape)

        def pixel(a: int, b: int, plane: Any = plane, row: Any = row, column: Any = column) -> NDArray[np.float64]:
            i, j = reads[0][row + a], reads[1][column + b]
            inside = (i >= 0) & (j >= 0)
            return np.where(inside, planes[(*plane, i, j)].astype(np.float64), operation.cval)

        flat[chunk] = _folded(kernel, pixel) if folded else _row_major(kernel, pixel)


def _row_major(kernel: NDArray[np.float64], pixel: Any) -> Any:
    """Return sums over a kernel; SciPy leaves out weights below the precision of float64."""
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


def _store(values: NDArray[Any], out: NDArray[Any], bound: float) -> None:
    """Write `values` truncated toward zero and wrapped, or raise `NotCovered` where the result is undefined."""
    limits = np.iinfo(out.dtype)
    low, high = int(limits.min), int(limits.max)
    if _UNFUSED_SUMS and out.itemsize < 4:
        low, high = -(2**31) + 1, 2**31 - 1
    if bound > min(high, -low) and (values.min() < low or values.max() >= high + 1):
        raise NotCovered
    if values.dtype.kind == "f":
        values = values.astype(np.int32 if out.itemsize < 4 and bound < 2**31 - 1 else np.int64)
    np.copyto(out, values, casting="unsafe")
