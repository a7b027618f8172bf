"""Models of the time each method takes one thread, by the figures of `tuning` (python -m benchmarks.methods)."""

from __future__ import annotations

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
        Bytes of a result: float64 takes twice as long as float32.
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
