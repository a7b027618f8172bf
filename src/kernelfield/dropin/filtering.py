"""A kernel along one or two axes of an array, in the dtype and with the rounding of scipy.ndimage."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernelfield import _core
from kernelfield.dropin.handing import Handed
from kernelfield.dropin.truncation import truncating
from kernelfield.engine import plan as planner
from kernelfield.engine.plan import Runner
from kernelfield.geometry import Operation, Window, check_boundary

# Columns below which lines are turned to lie along rows: the engine works on registers of columns.
_NARROW = 32


@dataclass(frozen=True)
class Pass:
    """One cross-correlation.

    Attributes
    ----------
    axes : tuple of int
        None, one or two, ascending.
    weights : ndarray
        As many axes as `axes`.
    origins : tuple of int
        One an axis.
    boundary, cval
        As `kernelfield.correlate` takes them.
    folded : bool
        SciPy adds the two ends of a symmetric line of weights before it multiplies.
    divisor : int
        Of the sums, for means.
    """

    axes: tuple[int, ...]
    weights: NDArray[np.float64]
    origins: tuple[int, ...]
    boundary: str
    cval: float
    folded: bool = False
    divisor: int = 1


def run(image: NDArray[Any], step: Pass, output: NDArray[Any]) -> Runner | None:
    """Write the cross-correlation of `image` into `output`, which may overlap it.

    Return what does the same for arrays laid out alike; None where that may hang on the pixels.
    """
    pixels, known = image, True
    if image.dtype.kind != "f" and image.dtype.itemsize == 8:
        # What they hold decides whether the engine can have them.
        known = False
        if output.dtype.kind == "f" and _exceeds(image):
            raise Handed
    if not image.flags.c_contiguous or not image.flags.aligned:
        pixels, known = np.array(image, order="C"), False
    into = output
    if not (output.flags.c_contiguous and planner.is_readable(output)) or np.may_share_memory(output, pixels):
        into, known = np.empty(output.shape, output.dtype.newbyteorder("=")), False
    runner = _prepared(pixels, step, into.dtype)
    runner(pixels, into)
    if into is not output:
        output[...] = into
    return runner if known else None


def _prepared(image: NDArray[Any], step: Pass, dtype: np.dtype[Any]) -> Runner:
    """Return what filters C-contiguous images of a shape and dtype into such results of another dtype."""
    view, kernel, origin = _arranged(image.shape, step)
    boundary = check_boundary(step.boundary)
    operation = Operation(
        (Window.of(kernel.shape[0], "same", origin[0]), Window.of(kernel.shape[1], "same", origin[1])),
        boundary,
        step.cval if boundary == "constant" else 0.0,
    )
    if dtype.kind != "f":
        write = truncating(view(image), operation, kernel, step.folded, step.divisor, dtype)
        return lambda image, out: write(view(image), view(out))
    many_bits = image.dtype == np.float64 or (image.dtype.kind != "f" and image.dtype.itemsize > 2)
    sums = np.dtype(np.float64 if dtype.itemsize == 8 or many_bits else np.float32)
    pixels = np.dtype(np.float64) if image.dtype.itemsize == 8 else image.dtype
    divided = step.divisor != 1 and dtype != sums
    plan = planner.plan(
        operation, view(image).shape, pixels, kernel, sums if divided else dtype, sums, transforms=False
    )
    correlation = planner.runner(plan, operation, kernel)

    def write_floats(image: NDArray[Any], out: NDArray[Any]) -> None:
        planes = view(image)
        result = _core.empty(out.shape, sums) if divided else out
        correlation(planes if planes.dtype == pixels else planes.astype(pixels), view(result))
        if step.divisor != 1:
            np.divide(result, sums.type(step.divisor), out=result)
        if divided:
            out[...] = result

    if step.divisor == 1 and pixels == image.dtype and view is _as_it_is:
        return correlation
    return write_floats


def _exceeds(image: NDArray[Any]) -> bool:
    """Return whether 64-bit integers exceed what float64 holds."""
    return int(image.max()) > 2**53 or int(image.min()) < -(2**53)


def _arranged(
    shape: tuple[int, ...], step: Pass
) -> tuple[Callable[[NDArray[Any]], NDArray[Any]], NDArray[np.float64], tuple[int, int]]:
    """Return what views arrays of a shape as planes (..., H, W), and kernel and origin of two axes."""
    count, axes = len(shape), step.axes
    if not axes:
        return (lambda array: array.reshape(1, -1)), step.weights.reshape(1, 1), (0, 0)
    if len(axes) == 2:
        order = (*(i for i in range(count) if i not in axes), *axes)
        return _turned(order), step.weights, (step.origins[0], step.origins[1])
    behind = math.prod(shape[axes[0] + 1 :])
    if count == 1:
        return (lambda array: array[None]), step.weights.reshape(1, -1), (0, step.origins[0])
    if behind < _NARROW:
        order = (*(i for i in range(count) if i not in axes), *axes)
        return _turned(order), step.weights.reshape(1, -1), (0, step.origins[0])
    if count == 2:
        return _as_it_is, step.weights.reshape(-1, 1), (step.origins[0], 0)
    stacked = -1, shape[axes[0]], behind
    return (lambda array: array.reshape(stacked)), step.weights.reshape(-1, 1), (step.origins[0], 0)


def _as_it_is(array: NDArray[Any]) -> NDArray[Any]:
    return array


def _turned(order: tuple[int, ...]) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Return what views arrays with their axes in another order."""
    return _as_it_is if order == tuple(range(len(order))) else lambda array: array.transpose(order)
