"""The chooser: shapes and dtypes in, a printable plan out, and the plan executed."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from functools import cache

import numpy as np

from kernelfield.engine import border, direct, lags, portable
from kernelfield.errors import ArgumentError
from kernelfield.geometry import Boundary, Window

ENVIRONMENT_VARIABLE = "KERNELFIELD_ENGINE"
_METHODS = {"direct": direct.correlate, "portable": portable.correlate}


@dataclass(frozen=True)
class Plan:
    """How one cross-correlation will be computed.

    Attributes
    ----------
    method : str
        The file of the engine that does the work.
    image_shape, kernel_shape, output_shape : tuple of int
        Shapes (N, H, W), (kh, kw) and (N, OH, OW).
    dtype, output_dtype : str
        Of the image and of the result.
    cost : int
        Multiply-adds.
    reason : str
        Why this method.
    """

    method: str
    image_shape: tuple[int, ...]
    kernel_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    dtype: str
    output_dtype: str
    cost: int
    reason: str

    def __str__(self) -> str:
        image = "×".join(map(str, self.image_shape))
        kernel = "×".join(map(str, self.kernel_shape))
        return (
            f"{self.method}: {image} {self.dtype} with {kernel} -> {self.output_dtype}, "
            f"{self.cost:,} multiply-adds ({self.reason})"
        )


@cache
def halide_is_installed() -> bool:
    """Return whether the compiled engine can be used on this platform."""
    return importlib.util.find_spec("halide") is not None


def engine() -> tuple[str, str]:
    """Return the engine in use, ``"direct"`` or ``"portable"``, and why."""
    wish = os.environ.get(ENVIRONMENT_VARIABLE, "")
    if wish not in ("", "portable", "halide"):
        raise ArgumentError(
            f"{ENVIRONMENT_VARIABLE}: expected portable, halide or nothing; received {wish!r}; unset it"
        )
    if wish == "portable":
        return "portable", f"{ENVIRONMENT_VARIABLE}=portable"
    if halide_is_installed():
        return "direct", "Halide, compiled for each dtype"
    if wish == "halide":
        raise ArgumentError(f"{ENVIRONMENT_VARIABLE}=halide: the package halide is not installed; unset it")
    return "portable", "halide is not installed"


def plan(
    image_shape: tuple[int, int, int],
    kernel_shape: tuple[int, int],
    dtype: np.dtype,
    output_dtype: np.dtype,
    windows: tuple[Window, Window],
) -> Plan:
    """Return the plan for these shapes; no pixel is read."""
    method, reason = engine()
    rows, columns = (w.output_size(n) for w, n in zip(windows, image_shape[1:]))
    cost = image_shape[0] * rows * columns * kernel_shape[0] * kernel_shape[1]
    output = (image_shape[0], rows, columns)
    return Plan(method, image_shape, kernel_shape, output, str(dtype), str(output_dtype), cost, reason)


def run(
    plan: Plan,
    image: np.ndarray,
    kernel: np.ndarray,
    out: np.ndarray,
    windows: tuple[Window, Window],
    boundary: Boundary,
    cval: float,
) -> None:
    """Execute `plan`: write the cross-correlation of `image` (N, H, W) with `kernel` into `out`."""
    border.correlate(_METHODS[plan.method], image, kernel, out, windows, boundary, cval)


def lag_products(
    a: np.ndarray,
    b: np.ndarray,
    window: tuple[int, int],
    block_rows: int,
    a_shift: float = 0.0,
    b_shift: float = 0.0,
) -> np.ndarray:
    """Return lag products by the engine in use; `lags.lag_products` says what they are."""
    method = portable.lag_products if engine()[0] == "portable" else lags.lag_products
    return method(a, b, window, block_rows, a_shift, b_shift)


def forward(
    image: np.ndarray,
    weights: np.ndarray,
    out: np.ndarray,
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> None:
    """Write the cross-correlation of a layer into `out`; `channels.forward` says what it is."""
    if out.size:
        portable.forward(image, weights, out, stride, dilation, groups)


def weight_gradient(
    image: np.ndarray,
    gradient: np.ndarray,
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> np.ndarray:
    """Return the gradient of a layer with respect to its weights (C_out, C_in / groups, kh, kw)."""
    if not gradient.size:
        return np.zeros((gradient.shape[1], image.shape[1] // groups, *kernel_size), gradient.dtype)
    return portable.weight_gradient(image, gradient, kernel_size, stride, dilation, groups)


def image_gradient(
    gradient: np.ndarray,
    weights: np.ndarray,
    image_shape: tuple[int, int, int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> np.ndarray:
    """Return the gradient of a layer with respect to its image (N, C_in, H, W)."""
    if not gradient.size:
        return np.zeros(image_shape, gradient.dtype)
    return portable.image_gradient(gradient, weights, image_shape, stride, dilation, groups)
