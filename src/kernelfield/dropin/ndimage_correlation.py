"""One cross-correlation along one or two axes of an array, with the dtypes and the rounding of scipy.ndimage."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernelfield import _core
from kernelfield.dropin.ndimage_integers import integer_runner
from kernelfield.dropin.scipy_fallback import NotCovered
from kernelfield.engine import plan as planner
from kernelfield.engine.plan import Runner
from kernelfield.geometry import Operation, Window, check_boundary

# Columns below which a line along another axis is transposed to lie along rows: the engine works on vectors of columns.
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
        SciPy adds the two pixels under equal weights of a symmetric line before it multiplies.
    divisor : int
        By which the sums are divided, for means.
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

    Return the runner that repeats it on arrays of the same layout; None if it depends on the pixels.
    """
    pixels, repeatable = image, True
    if image.dtype.kind != "f" and image.dtype.itemsize == 8:
        # Their values decide whether the engine can read them.
        repeatable = False
        if output.dtype.kind == "f" and _exceeds(image):
            raise NotCovered
    if not image.flags.c_contiguous or not image.flags.aligned:
        pixels, repeatable = np.array(image, order="C"), False
    into = output
    if not (output.flags.c_contiguous and planner.is_readable(output)) or np.may_share_memory(output, pixels):
        into, repeatable = np.empty(output.shape, output.dtype.newbyteorder("=")), False
    runner = _runner(pixels, step, into.dtype)
    runner(pixels, into)
    if into is not output:
        output[...] = into
    return runner if repeatable else None


def _runner(image: NDArray[Any], step: Pass, dtype: np.dtype[Any]) -> Runner:
    """Return the runner for C-contiguous images of a shape and dtype and C-contiguous results of another dtype."""
    planes = _planes(image.shape, step)
    boundary = check_boundary(step.boundary)
    view, kernel = planes.view, planes.kernel
    operation = Operation(
        (Window.of(kernel.shape[0], "same", planes.origin[0]), Window.of(kernel.shape[1], "same", planes.origin[1])),
        boundary,
        step.cval if boundary == "constant" else 0.0,
    )
    if dtype.kind != "f":
        write = integer_runner(view(image), operation, kernel, step.folded, step.divisor, dtype)
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

    if step.divisor == 1 and pixels == image.dtype and view is _unchanged:
        return correlation
    return write_floats


def _exceeds(image: NDArray[Any]) -> bool:
    """Return whether 64-bit integers exceed what float64 holds."""
    return int(image.max()) > 2**53 or int(image.min()) < -(2**53)


class _Planes(NamedTuple):
    """A pass over an array as a kernel of two axes over planes (..., H, W), which `view` makes of the array."""

    view: Callable[[NDArray[Any]], NDArray[Any]]
    kernel: NDArray[np.float64]
    origin: tuple[int, int]


def _planes(shape: tuple[int, ...], step: Pass) -> _Planes:
    """Return the planes of arrays of a shape, and the kernel and origin of two axes."""
    count, axes = len(shape), step.axes
    if not axes:
        return _Planes(lambda array: array.reshape(1, -1), step.weights.reshape(1, 1), (0, 0))
    if len(axes) == 2:
        order = (*(i for i in range(count) if i not in axes), *axes)
        return _Planes(_transposed(order), step.weights, (step.origins[0], step.origins[1]))
    behind = math.prod(shape[axes[0] + 1 :])
    row, column = step.weights.reshape(1, -1), step.weights.reshape(-1, 1)
    if count == 1:
        return _Planes(lambda array: array[None], row, (0, step.origins[0]))
    if behind < _NARROW:
        order = (*(i for i in range(count) if i not in axes), *axes)
        return _Planes(_transposed(order), row, (0, step.origins[0]))
    if count == 2:
        return _Planes(_unchanged, column, (step.origins[0], 0))
    stacked = -1, shape[axes[0]], behind
    return _Planes(lambda array: array.reshape(stacked), column, (step.origins[0], 0))


def _unchanged(array: NDArray[Any]) -> NDArray[Any]:
    return array


def _transposed(order: tuple[int, ...]) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Return the function that views arrays with their axes in another order."""
    return _unchanged if order == tuple(range(len(order))) else lambda array: array.transpose(order)
