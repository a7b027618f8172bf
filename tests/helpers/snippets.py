"""The programs that `kernelfield.kernels.programs` writes, run and compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.ndimage

from kernelfield.kernels import Kernel
from kernelfield.kernels.programs import program

KERNELS = (
    Kernel([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]),
    Kernel([[1, -1]]),
    Kernel(np.arange(12).reshape(4, 3) / 7 - 0.3, anchor=(0, 2)),
)


def run(kernel: Kernel, target: str) -> dict[str, Any]:
    """Run the program of a kernel and return its names."""
    names: dict[str, Any] = {}
    exec(compile(program(kernel, target), f"{target}.py", "exec"), names)
    return names


def expected(image: np.ndarray, kernel: Kernel) -> np.ndarray:
    """Return what SciPy computes in float64."""
    origin = [a - n // 2 for a, n in zip(kernel.anchor, kernel.shape)]
    return scipy.ndimage.correlate(image.astype(np.float64), kernel.weights, mode="constant", origin=origin)


def check(target: str) -> None:
    """Compare the programs of all kernels with SciPy."""
    image = np.random.default_rng(0).integers(0, 256, (11, 13), np.uint8)
    for kernel in KERNELS:
        found = run(kernel, target)["correlate"](image)
        found = found.asnumpy() if hasattr(found, "asnumpy") else np.asarray(found)
        np.testing.assert_allclose(found, expected(image, kernel), rtol=1e-5, atol=1e-3)
