"""The planner: chooses a method from shapes, dtypes and the rank of the kernel, and runs it.

Every cross-correlation of NumPy arrays passes here. `CACHE` keeps the runners of recent ones, keyed by array layout,
options and the kernel's bytes: a repeated call is one call of compiled code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

import numpy as np

from kernelfield import _core
from kernelfield.engine import cost, spectral, tuning
from kernelfield.engine.low_rank import ROUNDING, SINGLE, Factors, factors, terms_within
from kernelfield.errors import ArgumentError, received
from kernelfield.geometry import Boundary, Operation

#: A correlation that is ready to run: takes an image and the array to write.
Runner = Callable[[np.ndarray, np.ndarray], object]
#: The methods that a caller can ask for.
METHODS = ("direct", "separable", "spectral")

#: Runners of recent correlations, at most 32, with the shape and dtype of their results.
CACHE = _core.Cache()
#: The kernel in the keys of functions that take none.
NO_KERNEL = np.empty(0)
tuning.on_change(CACHE.clear)

_FLOAT64 = np.dtype(np.float64)
# ns that the search for factors takes at least, and for each weight; it is worth its time if `direct` takes longer.
_SEARCH, _SEARCH_WEIGHT = 2.5e4, 5.0
# Share of the time of `direct` below which another method is worth other rounding errors.
_CLEARLY = 0.8
# Largest exponent of the power of two in `whole_weights`.
_MOST_BITS = 52
# Weights, and ns of `direct`, from which transforms are considered.
_LARGE, _LONG = 200, 2e6


@dataclass(frozen=True)
class Plan:
    """The method of one cross-correlation with a kernel of two axes, with its cost and the reason.

    Attributes
    ----------
    method : str
        One of `METHODS`.
    image_shape, kernel_shape, output_shape : tuple of int
        Shapes (N, H, W), (kh, kw) and (N, OH, OW).
    dtype, output_dtype, sums : str
        Dtypes of the image, of the result, and of the sums.
    cost : int
        Multiply-adds of the definition.
    milliseconds : float
        Expected time on one thread, by the cost model.
    reason : str
        The reason for the method.
    factors : Factors or None
        The outer products of ``"separable"``.
    """

    method: str
    image_shape: tuple[int, int, int]
    kernel_shape: tuple[int, int]
    output_shape: tuple[int, int, int]
    dtype: str
    output_dtype: str
    sums: str
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
    operation: Operation,
    image_shape: tuple[int, ...],
    dtype: np.dtype,
    kernel: np.ndarray,
    output_dtype: np.dtype,
    sums: np.dtype | None = None,
    method: str | None = None,
    transforms: bool = True,
    known: Factors | None = None,
) -> Plan:
    """Return the plan for images (..., H, W) and a kernel (kh, kw) of float64; no pixel is read.

    Parameters
    ----------
    operation : Operation
        With stride or dilation the method is ``"direct"``.
    sums : dtype, optional
        Dtype of the sums; by default that of the results, float64 for integers.
    method : str, optional
        One of `METHODS`; by default the one that the cost model expects to be fastest, ``"direct"`` if not clearly so.
    transforms : bool
        Whether ``"spectral"`` may be chosen.
    known : Factors, optional
        Outer products that add up to the kernel; by default they are searched for.
    """
    if method is not None and method not in METHODS:
        raise ArgumentError(f"method: expected one of {', '.join(METHODS)}; received {received(method)}")
    if sums is None:
        sums = output_dtype if output_dtype.kind == "f" else _FLOAT64
    size = kernel.shape[0], kernel.shape[1]
    rows, columns = operation.output_shape(image_shape, size)[-2:]
    outputs = math.prod(image_shape[:-2]), rows, columns
    itemsize = cost.size_of_sums(dtype, output_dtype, sums)
    time = cost.nanoseconds("direct", outputs, size, itemsize)
    base = Plan(
        "direct",
        (outputs[0], image_shape[-2], image_shape[-1]),
        size,
        outputs,
        _name(dtype),
        _name(output_dtype),
        _name(sums),
        math.prod((*outputs, *size)),
        time / 1e6,
        f"sliding products, about {time / 1e6:.2g} ms of one thread",
    )
    if method == "direct" or not operation.plain:
        return base

    def alternative(method: str, reason: str, found: Factors | None = None) -> Plan:
        time = cost.nanoseconds(method, outputs, size, itemsize, found.terms if found else 0) / 1e6
        reason = f"{reason}, about {time:.2g} ms of one thread"
        return replace(base, method=method, reason=reason, milliseconds=time, factors=found)

    tolerance = SINGLE if sums == np.float32 and output_dtype.kind == "f" else ROUNDING
    if method is not None:
        if not np.isfinite(kernel).all():
            raise ArgumentError(
                f"method: expected a finite kernel for {method!r}; received NaN or infinity; use 'direct'"
            )
        found = factors(kernel, min(size), tolerance) if method == "separable" else None
        return alternative(method, "asked for", found)

    # Planning must not take longer than the work.
    search = known is None and min(size) > 1 and time >= _SEARCH + _SEARCH_WEIGHT * kernel.size
    large = transforms and time >= _LONG and kernel.size >= _LARGE
    most = min(cost.most_terms(outputs, size), terms_within(time, size)) if search else 0
    if not (most or large or known):
        return base
    # Sums of whole numbers stay exact: whole weights have whole factors for rank 1 only.
    whole = whole_weights(kernel) if dtype.kind != "f" else None
    found = known
    if most and whole is not None and (exact := factors(whole[0], 1, 0.0)) is not None:
        found = Factors(exact.columns / whole[1], exact.rows)
    elif most and (whole is None or output_dtype.kind == "f"):
        found = factors(kernel, most, tolerance)
    plans = [base] if found is None else [base, alternative("separable", f"rank {found.terms}", found)]
    suits = dtype.kind == "f" or (dtype.itemsize < 4 and (whole is None or output_dtype.kind != "f"))
    if large and suits and np.isfinite(kernel).all():
        plans.append(alternative("spectral", "a large kernel"))
    return min(plans, key=lambda one: one.milliseconds * (_CLEARLY if one is base else 1.0))


def whole_weights(weights: np.ndarray) -> tuple[np.ndarray, float] | None:
    """Return the weights times the least power of two that makes them whole, and that power; None if there is none.

    The magnitudes of the whole weights add up to less than 2**53.

    Examples
    --------
    >>> whole_weights(np.array([[0.25, 0.5]]))
    (array([[1., 2.]]), 4.0)
    >>> whole_weights(np.array([[0.1]])) is None
    True
    """
    if not np.isfinite(weights).all():
        return None
    fraction, exponent = np.frexp(weights)
    digits = (fraction * 2.0**53).astype(np.int64)
    bits = 53 - exponent - np.log2(np.maximum(digits & -digits, 1))
    most = max(0.0, float(bits[digits != 0].max(initial=0.0)))
    if most > _MOST_BITS:
        return None
    power = 2.0**most
    whole = weights * power
    return (whole, power) if float(np.abs(whole).sum()) < 2**53 else None


def runner(
    plan: Plan,
    operation: Operation,
    kernel: np.ndarray,
    bias: np.ndarray | None = None,
    scale: float = 1.0,
    up: bool = False,
) -> Runner:
    """Return the runner of a plan; it may keep the kernel (float64) and the bias, which must not change."""
    if plan.method == "spectral":
        border = operation.before, operation.boundary, operation.cval
        added = None if bias is None else float(bias[0])
        return partial(_run_spectral, kernel, border, {"bias": added, "scale": scale, "up": up})
    return _compiled(operation, kernel, np.dtype(plan.sums), bias, scale, up, plan.factors)


def _compiled(
    operation: Operation,
    kernel: np.ndarray,
    sums: np.dtype,
    bias: np.ndarray | None,
    scale: float = 1.0,
    up: bool = False,
    found: Factors | None = None,
) -> Runner:
    return _core.Correlation(
        kernel,
        before=operation.before,
        stride=operation.stride,
        dilation=operation.dilation,
        groups=operation.groups,
        boundary=operation.boundary,
        cval=operation.cval,
        factors=None if found is None else (found.columns, found.rows),
        bias=bias,
        scale=scale,
        up=up,
        sums=_name(sums),
    )


def _run_spectral(
    kernel: np.ndarray,
    border: tuple[tuple[int, int], Boundary, float],
    finish: dict[str, Any],
    image: np.ndarray,
    out: np.ndarray,
) -> None:
    """Write results by transforms, image by image."""
    if image.ndim > 3:
        for part, into in zip(image, out):
            _run_spectral(kernel, border, finish, part, into)
    elif image.ndim == 2:
        spectral.correlate(image[None], kernel, out[None], *border, **finish)
    else:
        spectral.correlate(image, kernel, out, *border, **finish)


def forward(
    operation: Operation,
    image: np.ndarray,
    kernel: np.ndarray,
    out: np.ndarray,
    bias: np.ndarray | None = None,
    method: str | None = None,
    sums: np.dtype | None = None,
) -> Runner | None:
    """Write the cross-correlation into `out`, of the shape that ``operation.output_shape`` gives.

    Return the runner that repeats it on arrays of the same layout, whatever becomes of the kernel; None if `out` is
    empty or arrays had to be copied.

    Parameters
    ----------
    image, out : ndarray
        Any strides; they must not overlap. The image has a dtype that `kernelfield._core.Correlation` reads.
    kernel : ndarray
        (kh, kw), (n, kh, kw) or (C_out, C_in/groups, kh, kw).
    bias : ndarray, shape (n,), (C_out,) or (1,), optional
        Added to the sums.
    method, sums
        As `plan` takes them; banks and layers have one method.
    """
    if not out.size:
        return None
    weights = np.array(kernel, np.float64, order="C")
    added = None if bias is None else np.array(bias, np.float64)
    pixels, dtype = _native(image.dtype), _native(out.dtype)
    if weights.ndim == 2:
        found = plan(operation, image.shape, pixels, weights, dtype, sums, method)
        run = runner(found, operation, weights, added)
    else:
        run = _compiled(operation, weights, sums or (dtype if dtype.kind == "f" else _FLOAT64), added)
    source = image if is_readable(image) else np.array(image, dtype=pixels)
    target = out if is_readable(out) else np.empty(out.shape, dtype)
    run(source, target)
    if target is not out:
        out[...] = target
    return run if source is image and target is out else None


@cache
def _name(dtype: np.dtype) -> str:
    """Return ``dtype.name``, which NumPy finds out anew each time."""
    return dtype.name


def _native(dtype: np.dtype) -> np.dtype:
    return dtype if dtype.isnative else dtype.newbyteorder("=")


def is_readable(array: np.ndarray) -> bool:
    """Return whether compiled code can read or write an array in place."""
    return array.flags.aligned and array.dtype.isnative


def is_interleaved(array: np.ndarray) -> bool:
    """Return whether an array (C, H, W) or (N, C, H, W) is a view of images whose channels lie side by side."""
    if array.ndim not in (3, 4) or array.shape[-3] == 1:
        return False
    channels, size, strides = array.shape[-3], array.itemsize, array.strides
    return strides[-3] == size and strides[-1] == channels * size


def new_result(shape: tuple[int, ...], dtype: np.dtype, interleaved: bool) -> np.ndarray:
    """Return an empty array (..., H, W); interleaved, its channels (..., C, H, W) lie side by side in memory."""
    if interleaved:
        return np.moveaxis(_core.empty((*shape[:-3], *shape[-2:], shape[-3]), dtype), -1, -3)
    return _core.empty(shape, dtype)
