"""A kernel along one or two axes of an array, in the dtype and with the rounding of scipy.ndimage."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernelfield.correlation import correlate
from kernelfield.dropin.handing import Handed
from kernelfield.dropin.truncation import Sums, needs_float64, truncated

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


def run(image: NDArray[Any], step: Pass, output: NDArray[Any]) -> NDArray[Any]:
    """Write the cross-correlation of `image` into `output`, which may overlap it, and return that."""
    planes, kernel, origin = _arranged(image, step)
    cval = step.cval if step.boundary == "constant" else 0.0
    if output.dtype.kind != "f":
        sums = Sums(planes, kernel, origin, step.boundary, cval, step.folded, step.divisor)
        result = truncated(sums, output.dtype)
    else:
        target = _arranged(output, step)[0]
        into = target if np.may_share_memory(target, output) else None
        result = _floats(planes, kernel, origin, step, cval, output.dtype, into)
        if result is into:
            return output
    output[...] = _restored(result, image.shape, step)
    return output


def _floats(
    planes: NDArray[Any],
    kernel: NDArray[np.float64],
    origin: tuple[int, int],
    step: Pass,
    cval: float,
    dtype: np.dtype[Any],
    into: NDArray[Any] | None,
) -> NDArray[Any]:
    """Return sums, in `into` where that is of the dtype that they are taken in."""
    if planes.dtype.kind != "f" and planes.dtype.itemsize == 8 and needs_float64(planes):
        raise Handed
    many_bits = planes.dtype == np.float64 or (planes.dtype.kind != "f" and planes.dtype.itemsize > 2)
    wide = dtype.itemsize == 8 or many_bits
    work = np.dtype(np.float64 if wide else np.float32)
    out = into if into is not None and into.dtype == work else None
    result = correlate(planes, kernel, boundary=step.boundary, cval=cval, origin=origin, dtype=work, out=out)
    if step.divisor != 1:
        result /= step.divisor
    return np.asarray(result)


def _arranged(image: NDArray[Any], step: Pass) -> tuple[NDArray[Any], NDArray[np.float64], tuple[int, int]]:
    """Return the image as planes (N, H, W), and kernel and origin of two axes."""
    if not step.axes:
        return image.reshape(1, 1, -1), step.weights.reshape(1, 1), (0, 0)
    if len(step.axes) == 2:
        front = np.moveaxis(image, step.axes, (-2, -1))
        return front.reshape(-1, *front.shape[-2:]), step.weights, (step.origins[0], step.origins[1])
    if _along_rows(image.shape, step.axes[0]):
        lines = np.moveaxis(image, step.axes[0], -1)
        return lines.reshape(1, -1, lines.shape[-1]), step.weights.reshape(1, -1), (0, step.origins[0])
    shape = image.shape[step.axes[0]], math.prod(image.shape[step.axes[0] + 1 :])
    return image.reshape(-1, *shape), step.weights.reshape(-1, 1), (step.origins[0], 0)


def _restored(planes: NDArray[Any], shape: tuple[int, ...], step: Pass) -> NDArray[Any]:
    """Return planes laid out as the image is."""
    turned = len(step.axes) == 2 or (len(step.axes) == 1 and _along_rows(shape, step.axes[0]))
    if not turned:
        return planes.reshape(shape)
    rest = [n for axis, n in enumerate(shape) if axis not in step.axes]
    stacked = planes.reshape(*rest, *(shape[axis] for axis in step.axes))
    return np.moveaxis(stacked, tuple(range(len(rest), len(shape))), step.axes)


def _along_rows(shape: tuple[int, ...], axis: int) -> bool:
    return math.prod(shape[axis + 1 :]) < _NARROW
