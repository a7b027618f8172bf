"""The chooser: shapes, dtypes and the rank of a kernel in, a printable plan out, and the plan executed.

Every cross-correlation of NumPy arrays passes here. What was found out about one is kept in `CACHE`, by the layout of
its arrays, what was asked for, and the kernel's bytes: done again, it is one call of compiled code.
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
from kernelfield.errors import ArgumentError
from kernelfield.geometry import Boundary, Operation

#: Writes results into its second argument, from an image, its first.
Runner = Callable[[np.ndarray, np.ndarray], object]
#: What can be asked for.
METHODS = ("direct", "separable", "spectral")

#: The correlations done lately: at most 32, the runner of each and what its results are.
CACHE = _core.Cache()
tuning.on_change(CACHE.clear)

_FLOAT64 = np.dtype(np.float64)
# ns of `direct` from which a kernel is looked at, and of each of its weights: that would take as long.
_LOOK, _LOOK_WEIGHT = 2.5e4, 5.0
# Share of the time of `direct` from which another method is worth other roundings.
_CLEARLY = 0.8
# Of a power of two that makes weights whole: more places than any pixel leaves room for.
_PLACES = 52
# Weights from which a kernel may be worth transforms, and ns of `direct` from which it is worth to ask.
_LARGE, _LONG = 200, 2e6


@dataclass(frozen=True)
class Plan:
    """How one cross-correlation with a kernel of two axes will be computed.

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
        What a model of the time expects one thread to take, on the machine it was fitted to.
    reason : str
        Why this method.
    factors : Factors or None
        For ``"separable"``.
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
    lines: Factors | None = None,
) -> Plan:
    """Return the plan for images (..., H, W) and a kernel (kh, kw) of float64; no pixel is read.

    Parameters
    ----------
    operation : Operation
        With stride or dilation, there is one method: ``"direct"``.
    sums : dtype, optional
        In which sums are taken; by default that of the results, and float64 for integers.
    method : str, optional
        One of `METHODS`; by default the one that a model of the time finds fastest, ``"direct"`` if not clearly so.
    transforms : bool
        Whether ``"spectral"`` may be chosen.
    lines : Factors, optional
        Outer products that are known to add up to the kernel: none are looked for.
    """
    if method is not None and method not in METHODS:
        raise ArgumentError(f"method: expected one of {', '.join(METHODS)}; received {method!r}")
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

    def other(method: str, reason: str, found: Factors | None = None) -> Plan:
        time = cost.nanoseconds(method, outputs, size, itemsize, found.terms if found else 0) / 1e6
        reason = f"{reason}, about {time:.2g} ms of one thread"
        return replace(base, method=method, reason=reason, milliseconds=time, factors=found)

    tolerance = SINGLE if sums == np.float32 and output_dtype.kind == "f" else ROUNDING
    if method is not None:
        if not np.isfinite(kernel).all():
            raise ArgumentError(
                f"method: expected a finite kernel for {method!r}; received NaN or infinity; use 'direct'"
            )
        return other(method, "asked for", factors(kernel, min(size), tolerance) if method == "separable" else None)

    # Planning must not cost more than the work: neither the search for factors nor what transforms are asked for.
    low = lines is None and min(size) > 1 and time >= _LOOK + _LOOK_WEIGHT * kernel.size
    large = transforms and time >= _LONG and kernel.size >= _LARGE
    most = min(cost.most_terms(outputs, size), terms_within(time, size)) if low else 0
    if not (most or large or lines):
        return base
    # Sums of whole numbers are to be exact. Factors of whole weights are whole for rank 1 only.
    whole = whole_weights(kernel) if dtype.kind != "f" else None
    found = lines
    if most and whole is not None and (exact := factors(whole[0], 1, 0.0)) is not None:
        found = Factors(exact.columns / whole[1], exact.rows)
    elif most and (whole is None or output_dtype.kind == "f"):
        found = factors(kernel, most, tolerance)
    plans = [base] if found is None else [base, other("separable", f"rank {found.terms}", found)]
    suits = dtype.kind == "f" or (dtype.itemsize < 4 and (whole is None or output_dtype.kind != "f"))
    if large and suits and np.isfinite(kernel).all():
        plans.append(other("spectral", "a large kernel"))
    return min(plans, key=lambda one: one.milliseconds * (_CLEARLY if one is base else 1.0))


def whole_weights(weights: np.ndarray) -> tuple[np.ndarray, float] | None:
    """Return whole weights and the least power of two that they were multiplied by; None if they have no such.

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
    places = 53 - exponent - np.log2(np.maximum(digits & -digits, 1))
    most = max(0.0, float(places[digits != 0].max(initial=0.0)))
    if most > _PLACES:
        return None
    one = 2.0**most
    whole = weights * one
    return (whole, one) if float(np.abs(whole).sum()) < 2**53 else None


def runner(
    plan: Plan,
    operation: Operation,
    kernel: np.ndarray,
    bias: np.ndarray | None = None,
    scale: float = 1.0,
    up: bool = False,
) -> Runner:
    """Return what does the work as planned; it may keep the kernel (float64) and the bias, which must not change."""
    if plan.method == "spectral":
        around = operation.before, operation.boundary, operation.cval
        added = None if bias is None else float(bias[0])
        return partial(_transformed, kernel, around, {"bias": added, "scale": scale, "up": up})
    return _compiled(operation, kernel, np.dtype(plan.sums), bias, scale, up, plan.factors)


def _compiled(
    operation: Operation,
    kernel: np.ndarray,
    sums: np.dtype,
    bias: np.ndarray | None,
    scale: float,
    up: bool,
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


def _transformed(
    kernel: np.ndarray,
    around: tuple[tuple[int, int], Boundary, float],
    finish: dict[str, Any],
    image: np.ndarray,
    out: np.ndarray,
) -> None:
    """Write results by transforms, which take images (N, H, W)."""
    if image.ndim > 3:
        for part, into in zip(image, out):
            _transformed(kernel, around, finish, part, into)
    elif image.ndim == 2:
        spectral.correlate(image[None], kernel, out[None], *around, **finish)
    else:
        spectral.correlate(image, kernel, out, *around, **finish)


def forward(
    operation: Operation,
    image: np.ndarray,
    kernel: np.ndarray,
    out: np.ndarray,
    bias: np.ndarray | None = None,
    method: str | None = None,
    sums: np.dtype | None = None,
    scale: float = 1.0,
    up: bool = False,
    transforms: bool = True,
) -> Runner | None:
    """Write the cross-correlation into `out`, of the shape that ``operation.output_shape`` gives.

    Return what does the same again for arrays laid out alike, without a look at anything else, whatever becomes of the
    kernel; None where there is nothing to do, and where arrays had to be copied.

    Parameters
    ----------
    image, out : ndarray
        Of any strides; they must not overlap. Images of what `kernelfield._core.Correlation` reads.
    kernel : ndarray
        (kh, kw), (n, kh, kw) or (C_out, C_in/groups, kh, kw).
    bias : ndarray, shape (n,), (C_out,) or (1,), optional
        Added to the sums.
    method, sums, transforms
        As `plan` takes them; banks and layers have one method.
    scale : float
        What sums are multiplied by before they are rounded to integers.
    up : bool
        Integers: halves are rounded up, not to even.
    """
    if not out.size:
        return None
    weights = np.array(kernel, np.float64, order="C")
    added = None if bias is None else np.array(bias, np.float64)
    pixels, dtype = _native(image.dtype), _native(out.dtype)
    if weights.ndim == 2:
        found = plan(operation, image.shape, pixels, weights, dtype, sums, method, transforms)
        run = runner(found, operation, weights, added, scale, up)
    else:
        taken = sums or (dtype if dtype.kind == "f" else _FLOAT64)
        run = _compiled(operation, weights, taken, added, scale, up)
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
    """Return whether compiled code can read, or write, an array where it lies."""
    return array.flags.aligned and array.dtype.isnative


def is_interleaved(array: np.ndarray) -> bool:
    """Return whether an array (C, H, W) or (N, C, H, W) is a view of pictures with channels side by side."""
    if array.ndim not in (3, 4) or array.shape[-3] == 1:
        return False
    channels, size, strides = array.shape[-3], array.itemsize, array.strides
    return strides[-3] == size and strides[-1] == channels * size


def results(shape: tuple[int, ...], dtype: np.dtype, interleaved: bool) -> np.ndarray:
    """Return an array for results (..., H, W), which may have its channels (..., C, H, W) side by side in memory."""
    if interleaved:
        return np.moveaxis(_core.empty((*shape[:-3], *shape[-2:], shape[-3]), dtype), -1, -3)
    return _core.empty(shape, dtype)
