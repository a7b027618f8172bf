"""A fit applied to an image: filtered in float64, then rounded and saturated to the dtype of the result."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from kernelfield.correlation import correlate
from kernelfield.correlation.arguments import check_image
from kernelfield.errors import ArgumentError, received
from kernelfield.kernels import Kernel
from kernelfield.learning.rounding import RULES

if TYPE_CHECKING:
    from kernelfield.learning.fit import Fit
    from kernelfield.learning.varying import Varying


@dataclass(frozen=True)
class Filtered:
    """A filtered image.

    Attributes
    ----------
    pixels : numpy.ndarray, shape (H, W) or (H, W, C)
    saturated : numpy.ndarray of bool, shape (H, W)
        Pixels with a result, in any channel, beyond the range of the dtype.
    """

    pixels: np.ndarray
    saturated: np.ndarray


def apply(fit: Fit, image: ArrayLike, boundary: str | None = None, dtype: DTypeLike | None = None) -> Filtered:
    """Return the filtered image; arguments as of `Fit.apply`."""
    pixels = check_image(image, "image")
    if pixels.ndim not in (2, 3):
        raise ArgumentError(f"image: expected (H, W) or (H, W, C); received shape {pixels.shape}")
    kind = pixels.dtype if dtype is None else result_type(dtype)
    rule = fit.boundary or "reflect" if boundary is None else boundary
    if not isinstance(rule, str):
        raise ArgumentError(f"boundary: expected None or the name of a rule, as 'reflect'; received {received(rule)}")
    if not fit.one_kernel:
        return _apply_model(fit, pixels, rule, kind)
    if rule == "copy" and fit.stride != (1, 1):
        raise _no_copy()
    offsets = np.atleast_1d(np.asarray(fit.offset, dtype=np.float64))
    planes = [pixels] if pixels.ndim == 2 else list(np.moveaxis(pixels, 2, 0))
    if offsets.size not in (1, len(planes)):
        raise ArgumentError(
            f"image: expected {offsets.size} channels, one for each offset learned; received {len(planes)}"
        )
    results = [
        _filter(fit, plane, float(offset), rule, kind)
        for plane, offset in zip(planes, np.broadcast_to(offsets, len(planes)))
    ]
    if pixels.ndim == 2:
        return results[0]
    saturated = np.logical_or.reduce([result.saturated for result in results])
    return Filtered(np.stack([result.pixels for result in results], axis=2), saturated)


def _no_copy() -> ArgumentError:
    """Return the error for border pixels of the before, which a filter that gives others does not have."""
    return ArgumentError("boundary: expected a rule of scipy.ndimage for this filter; received copy")


def check_plain(fit: Fit, name: str, strided: bool = False) -> None:
    """Raise unless a fit is one kernel and offsets, which is all that the caller can apply; a stride may be allowed."""
    if not (fit.one_kernel if strided else fit.plain):
        more = "channels that differ or mix, " + "a stride, " * (not strided)
        raise ArgumentError(
            f"{name}: expected one kernel for all channels and places; received a filter with more ({more}linear "
            "light, a curve, or a kernel that varies); filter with fit.apply, or take fit.at(row, column) of one that "
            "varies"
        )


def _apply_model(fit: Fit, pixels: np.ndarray, rule: str, dtype: np.dtype) -> Filtered:
    """Return an image filtered by a fit that is more than one kernel."""
    planes = [pixels] if pixels.ndim == 2 else list(np.moveaxis(pixels, 2, 0))
    sums = summed(fit, _decoded(fit, planes), rule)
    results = [_finished(fit, one, dtype) for one in sums]
    if rule == "copy":
        results = [_framed(fit, result, plane) for result, plane in zip(results, planes)]
    if len(results) == 1 and (pixels.ndim == 2 or fit.model == "mixed"):
        return results[0]
    saturated = np.logical_or.reduce([result.saturated for result in results])
    return Filtered(np.stack([result.pixels for result in results], axis=2), saturated)


def _decoded(fit: Fit, planes: list[np.ndarray]) -> list[np.ndarray]:
    """Return the planes that the kernels read."""
    if fit.light is not None:
        planes = [fit.light.decode(plane, fit.light.before_white) for plane in planes]
    if fit.curve is not None and fit.curve.place == "before":
        planes = [fit.curve(plane) for plane in planes]
    return planes


def summed(fit: Fit, planes: list[np.ndarray], rule: str) -> list[np.ndarray]:
    """Return the sums of the kernels with the planes they read, with offsets, one for each channel of the after."""
    count = len(planes) if fit.bank is None else len(fit.bank)
    offsets = np.atleast_1d(np.asarray(fit.offset, dtype=np.float64))
    expected = None if fit.bank is None else fit.bank.shape[1] * (count if fit.model == "separate" else 1)
    if expected not in (None, len(planes)) or offsets.size not in (1, count):
        raise ArgumentError(
            f"image: expected {expected or offsets.size} channels, as were learned; received {len(planes)}"
        )
    if rule == "copy" and (count != len(planes) or fit.stride != (1, 1)):
        raise _no_copy()
    if fit.varying is not None:
        return [_varied(fit, fit.varying, plane, channel, rule) for channel, plane in enumerate(planes)]
    own, divisor = exact_kernel(fit)
    results = []
    for channel, offset in enumerate(np.broadcast_to(offsets, count)):
        tables = [own] if fit.bank is None else [Kernel(weights, anchor=fit.anchor) for weights in fit.bank[channel]]
        sources = planes if fit.model == "mixed" else planes[channel : channel + 1]
        total = _summed(sources, tables, rule, fit.cval, fit.stride)
        total /= divisor if fit.bank is None else 1.0
        total += float(offset)
        results.append(total)
    return results


def _summed(
    sources: Sequence[np.ndarray], kernels: Sequence[Kernel], rule: str, cval: float, stride: tuple[int, int] = (1, 1)
) -> np.ndarray:
    """Return the sum of kernels over as many planes, with a border rule that is one of a `Fit`."""
    inner = {"copy": "reflect", "renormalised": "constant"}.get(rule, rule)

    def total(planes: Iterable[np.ndarray], outside: float) -> np.ndarray:
        sums: list[np.ndarray] = [
            correlate(plane, kernel, boundary=inner, cval=outside, stride=stride, dtype=np.float64)
            for plane, kernel in zip(planes, kernels)
        ]
        for other in sums[1:]:
            sums[0] += other
        return sums[0]

    if rule != "renormalised":
        return total(sources, cval)
    held = total((np.ones(plane.shape) for plane in sources), 0.0)
    return renormalised(total(sources, 0.0), held, sum(float(kernel.weights.sum()) for kernel in kernels))


def _varied(fit: Fit, varying: Varying, plane: np.ndarray, channel: int, rule: str) -> np.ndarray:
    """Return a channel filtered by a kernel that varies: a sum of fixed kernels, weighted over the field."""
    if plane.shape != varying.shape:
        raise ArgumentError(
            f"image: expected the field of the kernel, {varying.shape[0]}×{varying.shape[1]} pixels; received "
            f"{plane.shape[0]}×{plane.shape[1]}; crop or pad it to the picture that was learned from"
        )
    background = varying.background_map(min(channel, len(varying.background) - 1))
    inner = {"copy": "reflect", "renormalised": "constant"}.get(rule, rule)
    cval = 0.0 if rule == "renormalised" else fit.cval
    total = _over_field(fit, varying, plane, inner, cval)
    if rule == "renormalised":
        held = _over_field(fit, varying, np.ones(plane.shape), inner, 0.0)
        total = renormalised(total, held, varying.ratio_map())
    total += background
    return total


def _over_field(fit: Fit, varying: Varying, plane: np.ndarray, boundary: str, cval: float) -> np.ndarray:
    """Return the sum of the fixed kernels of a fit, weighted over the field."""
    total = np.zeros(plane.shape)
    functions = varying.functions
    rows, columns = (functions.along(axis, np.arange(n)) for axis, n in enumerate(varying.shape))
    for (a, b), weights in zip(functions.terms, varying.bank):
        kernel = Kernel(weights, anchor=fit.anchor)
        part = correlate(plane, kernel, boundary=boundary, cval=cval, dtype=np.float64)
        part *= rows[a][:, None]
        part *= columns[b]
        total += part
    return total


def _finished(fit: Fit, sums: np.ndarray, dtype: np.dtype) -> Filtered:
    """Return sums after the curve, encoded and in a dtype."""
    if fit.curve is not None and fit.curve.place == "after":
        sums = fit.curve(sums)
    if fit.light is not None:
        sums = fit.light.encode(sums, fit.light.after_white)
    return in_dtype(sums, dtype, fit.rounding)


def result_type(dtype: DTypeLike) -> np.dtype:
    """Return the dtype of results that was asked for."""
    try:
        kind = np.dtype(dtype)
    except (TypeError, ValueError):
        kind = np.dtype(object)
    if kind.kind not in "iuf":
        raise ArgumentError(f"dtype: expected a type of integers or floats, as 'float32'; received {dtype!r}")
    return kind


def _filter(fit: Fit, plane: np.ndarray, offset: float, rule: str, dtype: np.dtype) -> Filtered:
    """Return one channel filtered."""
    result = finished(fit, _summed([plane], [exact_kernel(fit)[0]], rule, fit.cval, fit.stride), offset, dtype)
    return _framed(fit, result, plane) if rule == "copy" else result


def _framed(fit: Fit, result: Filtered, plane: np.ndarray) -> Filtered:
    """Return a result with the pixels of the plane where the kernel reaches outside."""
    dtype = result.pixels.dtype
    rows, columns = (slice(a, max(a, n - (k - 1 - a))) for a, k, n in zip(fit.anchor, fit.size, plane.shape))
    same = plane.dtype == dtype
    whole = Filtered(plane.copy(), np.zeros(plane.shape, bool)) if same else in_dtype(plane.astype(float), dtype, None)
    whole.pixels[rows, columns] = result.pixels[rows, columns]
    whole.saturated[rows, columns] = result.saturated[rows, columns]
    return whole


def exact_kernel(fit: Fit) -> tuple[Kernel, float]:
    """Return the kernel to sum with, and the number to divide sums by: whole weights where they are known."""
    if fit.integers is not None and fit.divisor and fit.gain == 1.0:
        # Sums of whole numbers are exact, and so are the halves after one division.
        return Kernel(fit.integers, anchor=fit.anchor), float(fit.divisor)
    return fit.kernel, 1.0


def renormalised(sums: np.ndarray, held: np.ndarray, total: float | np.ndarray) -> np.ndarray:
    """Return sums over pixels inside the image, rescaled from `held`, the weights over these, to `total`, all."""
    if not held.all():
        raise ArgumentError("boundary: expected weights that do not cancel for 'renormalised'; received a sum of 0")
    sums *= total / held
    return sums


def finished(fit: Fit, sums: np.ndarray, offset: float, dtype: np.dtype) -> Filtered:
    """Return the results of sums with `exact_kernel`, which may be changed: offset added, rounded and stored."""
    sums /= exact_kernel(fit)[1]
    sums += offset
    return in_dtype(sums, dtype, fit.rounding, middle_of_rounding(fit, offset))


def middle_of_rounding(fit: Fit, offset: float) -> float:
    """Return the number about which results are rounded: 0, or the whole offset that was added to what was rounded."""
    # These rules are not the same about every integer.
    return float(np.rint(offset)) if fit.rounding in ("to zero", "nearest away", "nearest even") else 0.0


def in_dtype(values: np.ndarray, dtype: np.dtype, rounding: str | None, about: float = 0.0) -> Filtered:
    """Return float64 values in a dtype: integers are rounded about `about` as the producer did, and saturated."""
    if dtype.kind not in "iu":
        with np.errstate(over="ignore"):
            stored = values.astype(dtype)
        return Filtered(stored, np.isinf(stored) & ~np.isinf(values) if dtype.kind == "f" else np.zeros_like(stored))
    if missing := int(np.count_nonzero(np.isnan(values))):
        raise ArgumentError(f"dtype: expected a float type, since {missing:,} results are NaN; received {dtype}")
    limits = np.iinfo(dtype)
    rounded = RULES[rounding or "nearest"](values - about) + about
    below, above = rounded < limits.min, rounded >= limits.max + 1
    stored = np.where(below | above, 0, rounded).astype(dtype)
    stored[below], stored[above] = limits.min, limits.max
    return Filtered(stored, below | above)
