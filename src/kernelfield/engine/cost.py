"""Cost model: the time of each method on one thread, by the figures of `tuning` (python -m benchmarks.methods)."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernelfield import _core
from kernelfield.engine import spectral, tuning

# Overhead of a call in ns.
_FIXED = {"direct": 500.0, "separable": 500.0, "spectral": 3e5}


def nanoseconds(
    method: str, outputs: tuple[int, int, int], kernel: tuple[int, int], itemsize: int, terms: int = 0
) -> float:
    """Return the expected time of a method on one thread.

    Parameters
    ----------
    method : {"direct", "separable", "spectral"}
        The method.
    outputs : tuple of int
        Images, rows and columns of results.
    kernel : tuple of int
        Rows and columns of the kernel.
    itemsize : int
        Bytes of a sum, from `size_of_sums`: float64 takes twice as long as float32. Transforms are always float64.
    terms : int
        Number of outer products, for ``"separable"``.
    """
    count, rows, columns = outputs
    if method == "spectral":
        return _FIXED[method] + count * spectral.nanoseconds((rows, columns), kernel)
    figures = tuning.figures_of(_core.instruction_set())
    fixed, each = figures.direct if method == "direct" else figures.separable
    macs = kernel[0] * kernel[1] if method == "direct" else terms * (kernel[0] + kernel[1])
    return _FIXED[method] + count * rows * columns * (fixed + each * macs) * itemsize / 4


def most_terms(outputs: tuple[int, int, int], kernel: tuple[int, int]) -> int:
    """Return the largest number of outer products with which `separable` is faster than `direct`."""
    none, one = (nanoseconds("separable", outputs, kernel, 4, terms) for terms in (0, 1))
    room = (nanoseconds("direct", outputs, kernel, 4) - none) / (one - none)
    return max(0, min(int(room), min(kernel)))


def size_of_sums(image: np.dtype[Any], out: np.dtype[Any], sums: np.dtype[Any]) -> int:
    """Return the bytes of a sum for the cost model: 4 for 8- and 16-bit integers, mostly summed in float32."""
    integers = all(dtype.kind in "biu" and dtype.itemsize < 4 for dtype in (image, out))
    return 4 if integers else sums.itemsize
