"""The chooser: shapes, dtypes and the rank of a kernel in, a printable plan out, and the plan executed."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from kernelfield.engine import border, cost, direct, interleaved, lags, portable, separable, spectral
from kernelfield.engine.choice import Engine, engine
from kernelfield.engine.low_rank import ROUNDING, SINGLE, Factors, factors
from kernelfield.engine.rounding import Finish, finished
from kernelfield.engine.x86.ends import Border
from kernelfield.engine.x86.numbers import serves
from kernelfield.errors import ArgumentError
from kernelfield.geometry import Boundary, Window

if sys.platform == "linux":
    from kernelfield.engine.x86 import calls

#: Does what was done, with another image and other results of the same dtypes, laid out alike.
Again = Callable[[np.ndarray, np.ndarray], object]
#: What can be asked for.
METHODS = ("direct", "separable", "spectral")
# A kernel that takes one thread less than this with `direct`, in ms, is not looked at: that would take as long.
_WORTH_A_LOOK = 0.08
# Weights from which a kernel may be worth transforms.
_LARGE = 200


@dataclass(frozen=True)
class Plan:
    """How one cross-correlation will be computed.

    Attributes
    ----------
    method : str
        The file of the engine that does the work: one of `METHODS`, or ``"portable"`` where nothing can be compiled.
    image_shape, kernel_shape, output_shape : tuple of int
        Shapes (N, H, W), (kh, kw) and (N, OH, OW).
    dtype, output_dtype, sums : str
        Dtypes of the image, of the result, and of the sums.
    cost : int
        Multiply-adds of the definition.
    milliseconds : float
        What a model of the time expects one thread to take, on the machine it was fitted to; nan for ``"portable"``.
    reason : str
        Why this method.
    native : bool
        Whether the machine code of `kernelfield.engine.x86` is in use, as far as it goes.
    factors : Factors or None
        For ``"separable"``.
    """

    method: str
    image_shape: tuple[int, ...]
    kernel_shape: tuple[int, int]
    output_shape: tuple[int, int, int]
    dtype: str
    output_dtype: str
    sums: str
    cost: int
    milliseconds: float
    reason: str
    native: bool = False
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
    base = plan_by_shape(image_shape, kernel.shape, dtype, output_dtype, output_dtype, windows, engine())
    return improved(base, kernel, method)


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
    most = cost.most_terms(base.output_shape, base.kernel_shape, base.native)
    pixels, results = np.dtype(base.dtype), np.dtype(base.output_dtype)
    # Sums of whole numbers are to be exact. Factors of whole weights are whole for rank 1 only.
    whole = pixels.kind != "f" and bool((kernel == np.rint(kernel)).all())
    if whole and results.kind != "f":
        most = min(most, 1)
    plans = [base]
    if most and (found := factors(np.asarray(kernel, np.float64), most, _tolerance(base))):
        plans.append(_with(base, "separable", f"rank {found.terms}", found))
    transforms = pixels.kind == "f" or (pixels.itemsize < 4 and not (whole and results.kind == "f"))
    if transforms and math.prod(base.kernel_shape) >= _LARGE and np.isfinite(kernel).all():
        plans.append(_with(base, "spectral", "a large kernel"))
    return min(plans, key=lambda one: one.milliseconds)


def _asked(base: Plan, kernel: np.ndarray, method: str) -> Plan:
    """Return the plan for the method that was asked for, or raise."""
    if method == "direct":
        return base
    if not np.isfinite(kernel).all():
        raise ArgumentError(f"method: expected a finite kernel for {method!r}; received NaN or infinity; use 'direct'")
    found = None
    if method == "separable":
        found = factors(np.asarray(kernel, np.float64), min(base.kernel_shape), _tolerance(base))
    return _with(base, method, "asked for", found)


def _tolerance(base: Plan) -> float:
    return SINGLE if base.sums == "float32" and "float" in base.output_dtype else ROUNDING


def _with(base: Plan, method: str, reason: str, found: Factors | None = None) -> Plan:
    terms = found.terms if found else 0
    size = cost.size_of_sums(
        method, np.dtype(base.dtype), np.dtype(base.output_dtype), np.dtype(base.sums), base.native
    )
    time = cost.nanoseconds(method, base.output_shape, base.kernel_shape, size, terms, base.native) / 1e6
    reason = f"{reason}, about {time:.2g} ms of one thread"
    return replace(base, method=method, reason=reason, milliseconds=time, factors=found)


def plan_by_shape(
    image_shape: tuple[int, ...],
    kernel_shape: tuple[int, ...],
    dtype: np.dtype,
    output_dtype: np.dtype,
    sums: np.dtype,
    windows: tuple[Window, Window],
    chosen: Engine,
) -> Plan:
    """Return the plan by an engine, for any weights of a shape."""
    method, reason, native = chosen
    rows, columns = (w.output_size(n) for w, n in zip(windows, image_shape[1:]))
    output, size = (image_shape[0], rows, columns), (kernel_shape[0], kernel_shape[1])
    time = math.nan
    if method == "direct":
        bytes_of_sum = cost.size_of_sums(method, dtype, output_dtype, sums, native)
        time = cost.nanoseconds(method, output, size, bytes_of_sum, 0, native) / 1e6
        reason = f"sliding products, about {time:.2g} ms of one thread"
    macs = math.prod((*output, *size))
    return Plan(method, image_shape, size, output, dtype.name, output_dtype.name, sums.name, macs, time, reason, native)


def method_of(plan: Plan, finish: Finish | None = None) -> border.Method:
    """Return what writes the finished cross-correlation where the window fits; by default it is stored as it is.

    It takes images (N, H, W), a kernel (kh, kw) and `out` (N, OH, OW); for kernels (n, kh, kw) `out` is (N, n, OH, OW).
    Images (N, H, W, C) have interleaved channels, and so has `out`.
    """
    return partial(_execute, plan, finish or Finish(np.dtype(plan.sums)))


def _execute(plan: Plan, finish: Finish, image: np.ndarray, kernel: np.ndarray, out: np.ndarray) -> None:
    if out.size == 0:
        return
    if _is_native(plan, finish, image, out):
        _native(plan, finish, image, kernel, out)
    elif plan.method == "spectral" and image.ndim == 3 == out.ndim:
        _transformed(finish, image, kernel, out)
    elif image.ndim == 4:
        for c in range(image.shape[3]):
            result = np.empty(out.shape[:3], out.dtype)
            _execute(plan, finish, np.ascontiguousarray(image[..., c]), kernel, result)
            out[..., c] = result
    elif kernel.ndim == 3:
        for o, weights in enumerate(kernel):
            bias = None if finish.bias is None else finish.bias[o : o + 1]
            _execute(plan, replace(finish, bias=bias), image, weights, out[:, o])
    else:
        finished(_method(plan), finish, image, kernel, out)


def _transformed(finish: Finish, image: np.ndarray, kernel: np.ndarray, out: np.ndarray, **around: Any) -> None:
    """Write what becomes of sums by transforms, which round integers themselves."""
    if out.dtype.kind == "f":
        finished(partial(spectral.correlate, **around), finish, image, kernel, out)
    else:
        spectral.correlate(image, kernel, out, **around, finish=finish)


def _is_native(plan: Plan, finish: Finish, image: np.ndarray, out: np.ndarray) -> bool:
    return plan.native and plan.method != "spectral" and serves(image.dtype, finish.sums, out.dtype)


def _native(
    plan: Plan,
    finish: Finish,
    image: np.ndarray,
    kernel: np.ndarray,
    out: np.ndarray,
    around: Border | None = None,
) -> Again | bool:
    """Do what `runs_whole` does, on an extended image where it is said what is around it."""
    step, image, out = interleaved.lines(image, out)
    rest = finish.sums, finish.bias, finish.scale, step, around, finish.down
    if plan.factors is not None:
        return calls.passes(image, plan.factors, out, *rest)
    kernels, results = (kernel[None], out[:, None]) if kernel.ndim == 2 else (kernel, out)
    return calls.sliding(image, kernels, results, *rest)


def _method(plan: Plan) -> Any:
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
    finish: Finish | None = None,
) -> Again | None:
    """Execute `plan`: write the finished cross-correlation into `out`; `method_of` says what arrays may be.

    Return what does the same at once for arrays laid out alike, where there is such a thing.
    """
    finish = finish or Finish(np.dtype(plan.sums))
    rounds = out.dtype.kind != "f"
    if plan.method == "spectral" and image.ndim == 3 == out.ndim and (rounds or out.dtype == finish.sums):
        before = windows[0].before, windows[1].before
        _transformed(finish, image, kernel, out, before=before, boundary=boundary, cval=cval)
        return None
    done = runs_whole(plan, finish, image, kernel, out, windows, boundary, cval)
    if not done:
        border.correlate(method_of(plan, finish), image, kernel, out, windows, boundary, cval)
    return None if isinstance(done, bool) else done


def runs_whole(
    plan: Plan,
    finish: Finish,
    image: np.ndarray,
    kernel: np.ndarray,
    out: np.ndarray,
    windows: tuple[Window, Window],
    boundary: Boundary,
    cval: float,
) -> Again | bool:
    """Do what `run` does in one go, by our own code on an image extended by its borders, if there are any.

    Return what does it again, True where nothing does, and False if it could not.
    """
    cval = cval if boundary == "constant" else 0.0
    if not (out.size and _is_native(plan, finish, image, out) and border.holds(image.dtype, cval)):
        return False
    if not any(w.before or w.after for w in windows):
        return _native(plan, finish, image, kernel, out)
    around = Border((windows[0].before, windows[1].before), boundary, cval)
    if boundary != "constant" or len(image) == 1:
        return _native(plan, finish, image, kernel, out, around)
    return all(_native(plan, finish, image[n : n + 1], kernel, out[n : n + 1], around) for n in range(len(image)))


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
