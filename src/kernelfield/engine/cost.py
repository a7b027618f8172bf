"""Models of the time each method takes one thread, fitted to measurements (python -m benchmarks.methods)."""

from __future__ import annotations

from kernelfield.engine import spectral

# ns for one float32 output, and for each multiply-add of it: of Halide on an AMD EPYC (Zen 4, AVX-512), and of the code
# of our own on another (Zen 3, AVX2).
_COSTS = {
    ("direct", False): (0.45, 0.0175),
    ("separable", False): (0.70, 0.0367),
    ("direct", True): (0.35, 0.0218),
    ("separable", True): (0.75, 0.0440),
}
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
        fixed, each = _COSTS[method, native]
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
