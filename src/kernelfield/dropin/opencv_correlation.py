"""The cross-correlation behind the functions of `cv2`: sums, divided, rounded and stored as OpenCV stores them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernelfield import _core
from kernelfield.dropin.exact_sums import exact_method
from kernelfield.dropin.opencv_arguments import Array, Placement
from kernelfield.engine import plan as planner
from kernelfield.engine.low_rank import Factors
from kernelfield.engine.plan import CACHE, whole_weights
from kernelfield.geometry import Operation, Window

#: A kernel, or a column and a row that it is the outer product of.
Weights = NDArray[np.float64] | tuple[NDArray[np.float64], NDArray[np.float64]]


class Call(NamedTuple):
    """A call as it was made: its key in `CACHE`."""

    src: Any
    kernel: Any
    dst: Any
    options: tuple[Any, ...]


def filtered(
    call: Call,
    image: Array,
    weights: Weights,
    placement: Placement,
    dtype: np.dtype[Any],
    added: float = 0.0,
    divisor: int = 1,
    up: bool = False,
) -> Array:
    """Return the cross-correlation of each channel in `dtype`, and cache its runner.

    Parameters
    ----------
    image : ndarray, shape (H, W) or (H, W, C)
        As `image_of` returns it.
    weights : ndarray, or two
        A kernel, or a column and a row that it is the outer product of.
    added : float
        Added to the sums; not with a divisor.
    divisor : int
        By which the sums are divided.
    up : bool
        Whether halves of integer results are rounded up instead of to even.
    """
    rest, scale = 1, 1.0
    dst: Array | None = call.dst
    column, row = weights if isinstance(weights, tuple) else (None, weights)
    if divisor != 1 and image.dtype.kind == "f":
        row = row / divisor
    elif divisor != 1 and dtype.kind != "f" and divides_well(image.dtype, divisor):
        scale = 1 / divisor
    else:
        rest = divisor
    kernel = row if column is None else np.outer(column, row)
    lines = None if column is None or min(kernel.shape) == 1 else Factors(column[None], row[None])
    sums, method = _sums_of(kernel, image.dtype, dtype)
    rows, columns = (Window.of(n, "same", o) for n, o in zip(kernel.shape, placement.origin))
    operation = Operation((rows, columns), placement.boundary, 0.0)
    bias = np.array([added]) if added else None
    work = sums if rest != 1 else dtype
    planes = _planes(image)
    plan = planner.plan(operation, planes.shape, image.dtype, kernel, work, sums, method, False, lines)
    correlation = planner.runner(plan, operation, kernel, bias, scale, up)

    def divided(image: Array, out: Array) -> None:
        values = _core.empty(out.shape, work)
        correlation(_planes(image), _planes(values))
        if dtype.kind == "f":
            np.multiply(values, work.type(1 / rest), out=out, casting="same_kind")
        else:
            limits = np.iinfo(dtype)
            out[...] = np.clip(np.rint(values.astype(np.float64) * (1 / rest)), limits.min, limits.max)

    def of_channels(image: Array, out: Array) -> None:
        correlation(image.transpose(2, 0, 1), out.transpose(2, 0, 1))

    runner = divided if rest != 1 else of_channels if image.ndim == 3 else correlation
    pixels = image if image.flags.aligned else image.copy()
    result = dst
    if result is None or not planner.is_readable(result) or np.may_share_memory(result, image):
        result = _core.empty(image.shape, dtype)
    runner(pixels, result.reshape(image.shape) if result.shape != image.shape else result)
    if pixels is call.src and (dst is None or (result is dst and dst.shape == image.shape)):
        CACHE.keep(call.src, call.kernel, dst, call.options, runner, image.shape, dtype)
    if dst is None or result is dst:
        return result
    dst[...] = result.reshape(dst.shape)
    return dst


def _sums_of(
    kernel: NDArray[np.float64], image: np.dtype[Any], dtype: np.dtype[Any]
) -> tuple[np.dtype[Any], str | None]:
    """Return the dtype of the sums, and the method: sums of whole numbers are exact."""
    single = dtype == np.float32 and image != np.float64
    if image.kind != "f" and (found := whole_weights(kernel)):
        limits = np.iinfo(image)
        bound = float(np.abs(found[0]).sum()) * max(int(limits.max), -int(limits.min))
        if bound < 2**53:
            return np.dtype(np.float32 if single and bound < 2**24 else np.float64), exact_method(kernel)
    return np.dtype(np.float32 if single else np.float64), None


@lru_cache(maxsize=64)
def divides_well(dtype: np.dtype[Any], divisor: int) -> bool:
    """Return whether a sum of `divisor` pixels, multiplied by 1 / divisor, rounds as the quotient does.

    Powers of two divide exactly. For odd numbers no quotient is a half; the nearest is ``1 / (2 * divisor)`` away, and
    float32 errs by less below 2**22 / divisor. From 2**24 on sums are float64.
    """
    if dtype.kind == "f" or divisor & (divisor - 1) == 0:
        return dtype.kind != "f"
    limits = np.iinfo(dtype)
    largest = max(-int(limits.min), int(limits.max)) * divisor
    return divisor % 2 == 1 and not 2**22 <= largest < 2**24


def _planes(image: Array) -> Array:
    return image.transpose(2, 0, 1) if image.ndim == 3 else image
