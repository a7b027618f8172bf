"""Models of the time each method takes one thread, by the figures of `tuning` (python -m benchmarks.methods)."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernelfield.engine import spectral, tuning

# ns of a call.
_FIXED = {"direct": 5e3, "separable": 8e3, "spectral": 3e5}


def nanoseconds(
    method: str, outputs: tuple[int, int, int], kernel: tuple[int, int], itemsize: int, terms: int, native: bool
) -> float:
    """Return what a method is expected to take one thread.

    Parameters
    ----------
    method : {"direct", "separable", "spectral"}
        The file of the engine.
    outputs : tuple of int
        Images, rows and columns of results.
    kernel : tuple of int
        Its rows and columns.
    itemsize : int
        Bytes of a sum, as `size_of_sums` says: float64 takes twice as long as float32.
    terms : int
        Outer products, for ``"separable"``.
    native : bool
        Whether the machine code of `kernelfield.engine.x86` does it.
    """
    count, rows, columns = outputs
    if method == "spectral":
        one_thread = count * spectral.nanoseconds((rows, columns), kernel)
    else:
        figures = tuning.current(native)
        fixed, each = figures.direct if method == "direct" else figures.separable
        macs = kernel[0] * kernel[1] if method == "direct" else terms * (kernel[0] + kernel[1])
        one_thread = count * rows * columns * (fixed + each * macs)
    return _FIXED[method] + one_thread * itemsize / 4


def most_terms(outputs: tuple[int, int, int], kernel: tuple[int, int], native: bool) -> int:
    """Return with how many outer products `separable` is still faster than `direct`."""
    direct = nanoseconds("direct", outputs, kernel, 4, 0, native)
    most = 0
    while most < min(kernel) and nanoseconds("separable", outputs, kernel, 4, most + 1, native) < direct:
        most += 1
    return most


def size_of_sums(method: str, image: np.dtype[Any], out: np.dtype[Any], sums: np.dtype[Any], native: bool) -> int:
    """Return how many bytes of a sum take time.

    Integers are transformed in float64; our own code sums them in float32 where that leaves no doubt.
    """
    if method == "spectral":
        return sums.itemsize if out.kind == "f" else 8
    integers = all(dtype.kind in "iu" and dtype.itemsize < 4 for dtype in (image, out))
    return 4 if native and integers else sums.itemsize
