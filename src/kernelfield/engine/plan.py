"""The chooser: shapes, dtypes and the rank of a kernel in, a printable plan out, and the plan executed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from kernelfield.engine import border, cost, direct, lags, portable, separable, spectral
from kernelfield.engine.choice import engine
from kernelfield.engine.low_rank import Factors, factors
from kernelfield.errors import ArgumentError
from kernelfield.geometry import Boundary, Window

#: What can be asked for.
METHODS = ("direct", "separable", "spectral")

# A kernel that takes one thread less than this with `direct`, in ms, is not looked at: that would take as long.
_WORTH_A_LOOK = 0.08


@dataclass(frozen=True)
class Plan:
    """How one cross-correlation will be computed.

    Attributes
    ----------
    method : str
        The file of the engine that does the work: one of `METHODS`, or ``"portable"`` where nothing can be compiled.
    image_shape, kernel_shape, output_shape : tuple of int
        Shapes (N, H, W), (kh, kw) and (N, OH, OW).
    dtype, output_dtype : str
        Of the image and of the result.
    cost : int
        Multiply-adds of the definition.
    milliseconds : float
        What a model of the time expects one thread to take, on the machine it was fitted to; nan for ``"portable"``.
    reason : str
        Why this method.
    factors : Factors or None
        For ``"separable"``.
    """

    method: str
    image_shape: tuple[int, ...]
    kernel_shape: tuple[int, int]
    output_shape: tuple[int, int, int]
    dtype: str
    output_dtype: str
    cost: int
    milliseconds: float
    reason: str
    factors: Factors | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        image = "×".join(map(str, self.image_shape))
        kernel = "×".join(map(str, self.kernel_shape))
        return (
            f"{self.method}: {image} {self.dtype} with {kernel} -> {self.output_dtype}, "
            f"{self.cost:,} multiply-adds ({self.reason})"
        )


def plan(
    image_shape: tuple[int, ...],
    kernel: np.ndarray,
    dtype: np.dtype,
    output_dtype: np.dtype,
    windows: tuple[Window, Window],
    method: str | None = None,
) -> Plan:
    """Return the plan for images (N, H, W) and a kernel (kh, kw); no pixel is read.

    Parameters
    ----------
    method : str, optional
        One of `METHODS`; by default the one that a model of the time finds fastest.
    """
    size = kernel.shape[0], kernel.shape[1]
    return improved(plan_by_shape(image_shape, size, dtype, output_dtype, windows, *engine()), kernel, method)


def improved(base: Plan, kernel: np.ndarray, method: str | None = None) -> Plan:
    """Return the plan that `plan` gives for weights, from the one for their shape; ``"portable"`` has one method."""
    if method is not None and method not in METHODS:
        raise ArgumentError(f"method: expected one of {', '.join(METHODS)}; received {method!r}")
    if base.method == "portable":
        return base
    if method is not None:
        return _asked(base, kernel, method)
    if base.milliseconds < _WORTH_A_LOOK or min(base.kernel_shape) == 1:
        return base
    most = cost.most_terms(base.output_shape, base.kernel_shape)
    plans = [base]
    if most and (found := factors(np.asarray(kernel, np.float64), most)):
        plans.append(_with(base, "separable", f"rank {found.terms}", found))
    if "float" in base.dtype and np.isfinite(kernel).all():
        plans.append(_with(base, "spectral", "a large kernel"))
    return min(plans, key=lambda one: one.milliseconds)


def _asked(base: Plan, kernel: np.ndarray, method: str) -> Plan:
    """Return the plan for the method that was asked for, or raise."""
    if method == "direct":
        return base
    if not np.isfinite(kernel).all():
        raise ArgumentError(f"method: expected a finite kernel for {method!r}; received NaN or infinity; use 'direct'")
    found = factors(np.asarray(kernel, np.float64), min(base.kernel_shape)) if method == "separable" else None
    return _with(base, method, "asked for", found)


def _with(base: Plan, method: str, reason: str, found: Factors | None = None) -> Plan:
    itemsize = np.dtype(base.output_dtype).itemsize
    terms = found.terms if found else 0
    time = cost.nanoseconds(method, base.output_shape, base.kernel_shape, itemsize, terms) / 1e6
    reason = f"{reason}, about {time:.2g} ms of one thread"
    return replace(base, method=method, reason=reason, milliseconds=time, factors=found)


def plan_by_shape(
    image_shape: tuple[int, ...],
    kernel_shape: tuple[int, ...],
    dtype: np.dtype,
    output_dtype: np.dtype,
    windows: tuple[Window, Window],
    method: str,
    reason: str,
) -> Plan:
    """Return the plan by an engine, for any weights of a shape."""
    rows, columns = (w.output_size(n) for w, n in zip(windows, image_shape[1:]))
    output, size = (image_shape[0], rows, columns), (kernel_shape[0], kernel_shape[1])
    time = math.nan
    if method == "direct":
        time = cost.nanoseconds(method, output, size, output_dtype.itemsize, 0) / 1e6
        reason = f"sliding products, about {time:.2g} ms of one thread"
    return Plan(
        method, image_shape, size, output, str(dtype), str(output_dtype), math.prod((*output, *size)), time, reason
    )


def method_of(plan: Plan) -> border.Method:
    """Return what writes the cross-correlation of images (N, H, W) where the window fits."""
    if plan.method == "separable":
        assert plan.factors is not None
        return partial(separable.correlate, plan.factors)
    return {"direct": direct.correlate, "spectral": spectral.correlate, "portable": portable.correlate}[plan.method]


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
    border.correlate(method_of(plan), image, kernel, out, windows, boundary, cval)


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
