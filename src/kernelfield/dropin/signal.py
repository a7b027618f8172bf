"""The two-dimensional sums of scipy.signal, with its signatures, on kernelfield's engine; all else is SciPy's own.

``from kernelfield.dropin import signal`` replaces ``from scipy import signal``; SciPy's documentation describes the
parameters. Calls that the engine does not cover, such as complex numbers, integers whose sums may exceed
2**53, weights that are not finite and wrong arguments, fall back to SciPy: results and errors are SciPy's.

The dtype is SciPy's, the common one of both inputs. Integer results equal SciPy's in every pixel, also where they wrap
around. Sums of floats agree to rounding in that dtype: a few units in the last place of the largest term.

Examples
--------
>>> from kernelfield.dropin import signal
>>> signal.convolve2d([[1, 2, 3], [3, 4, 5]], [[2, 3, 4], [4, 5, 6]])
array([[ 2,  7, 16, 17, 12],
       [10, 30, 62, 58, 38],
       [12, 31, 58, 49, 30]])
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernelfield import _core
from kernelfield.arrays import check_plain
from kernelfield.dropin.exact_sums import exact_method
from kernelfield.dropin.scipy_arguments import real, weights_of
from kernelfield.dropin.scipy_fallback import Filtered, NotCovered, drop_in
from kernelfield.engine import plan as planner
from kernelfield.geometry import Mode, Operation, Window, check_boundary, check_mode

__all__ = ["convolve2d", "correlate2d"]

Array = NDArray[Any]

_MODES = ("full", "same", "valid")
_BOUNDARIES = {"fill": "constant", "pad": "constant", "wrap": "wrap", "circular": "wrap"}
_BOUNDARIES |= {"symm": "reflect", "symmetric": "reflect"}


def __getattr__(name: str) -> Any:
    import scipy.signal

    return getattr(scipy.signal, name)


def __dir__() -> list[str]:
    import scipy.signal

    return sorted({*__all__, *dir(scipy.signal)})


@drop_in("scipy.signal")
def convolve2d(in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: Any = 0) -> Filtered:
    """Return the convolution of two arrays of two axes: ``scipy.signal.convolve2d``.

    Examples
    --------
    >>> convolve2d([[1, 2], [3, 4]], [[1, 0, -1]], mode="same", boundary="symm")
    array([[1, 1],
           [1, 1]])
    """
    return _sums(in1, in2, mode, boundary, fillvalue, flip=True)


@drop_in("scipy.signal")
def correlate2d(in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: Any = 0) -> Filtered:
    """Return the cross-correlation of two arrays of two axes: ``scipy.signal.correlate2d``.

    Examples
    --------
    >>> correlate2d([[1, 2], [3, 4]], [[1, 0, -1]], mode="same", boundary="wrap")
    array([[0, 0],
           [0, 0]])
    """
    return _sums(in1, in2, mode, boundary, fillvalue, flip=False)


def _sums(in1: Any, in2: Any, mode: Any, boundary: Any, fillvalue: Any, *, flip: bool) -> Filtered:
    """Return the result of `convolve2d`, with `flip`, or of `correlate2d`."""
    image, kernel = _array_of(in1), _array_of(in2)
    dtype = np.promote_types(image.dtype, kernel.dtype)
    if dtype.kind not in "iu" and dtype not in (np.float32, np.float64):
        raise NotCovered
    if not isinstance(mode, str) or mode not in _MODES or not isinstance(boundary, str) or boundary not in _BOUNDARIES:
        raise NotCovered
    outside, fill = check_boundary(_BOUNDARIES[boundary]), _fill_of(fillvalue, dtype)
    swapped = _is_second_the_image(image, kernel, mode, commutes=outside == "constant" and fill == 0)
    if swapped:
        image, kernel = kernel, image
    weights = weights_of(kernel)
    exact = _Exact(dtype, None, 0) if dtype.kind == "f" else _exactly(image, weights, fill)
    work = exact.dtype
    wide = image.dtype.kind != "f" and image.dtype.itemsize == 8
    repeatable = not swapped and not wide and planner.is_readable(image)
    if wide or not planner.is_readable(image):
        image = image.astype(np.float64 if wide else image.dtype.newbyteorder("="))
    windows = [_window(n, check_mode(mode), flip) for n in weights.shape]
    operation = Operation((windows[0], windows[1]), outside, fill)
    slid = weights[::-1, ::-1].copy() if flip else weights
    plan = planner.plan(operation, image.shape, image.dtype, slid, work, work, exact.method, transforms=False)
    correlation = planner.runner(plan, operation, slid)

    def write(image: Array, out: Array) -> None:
        values = _core.empty(out.shape, work)
        correlation(image, values)
        # Integers wrap around as SciPy's sums do.
        out[...] = values.astype(np.int32 if exact.bound < 2**31 else np.int64)

    runner = correlation if work == dtype else write
    result = _core.empty(operation.output_shape(image.shape, weights.shape), dtype)
    runner(image, result)
    return Filtered(result[::-1, ::-1] if swapped and not flip else result, runner if repeatable else None)


def _window(size: int, mode: Mode, flip: bool) -> Window:
    """Return SciPy's window: the centre of an even size is the element before the middle of the kernel that slides."""
    even = size % 2 == 0
    return Window.of(size, mode, -even if mode == "same" and not flip else 0)


def _array_of(value: Any) -> Array:
    """Return an input as an array of two axes."""
    if type(value) not in (np.ndarray, list, tuple):
        raise NotCovered
    check_plain(value, "in1, in2")
    try:
        array = np.asarray(value)
    except ValueError:
        raise NotCovered from None
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "biuf":
        raise NotCovered
    return array


def _fill_of(value: Any, dtype: np.dtype[Any]) -> float:
    """Return the value outside, as `dtype` holds it."""
    try:
        fill = real(value)
    except OverflowError:
        raise NotCovered from None
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    if not float(limits.min) <= fill <= float(limits.max) or not (dtype.kind == "f" or fill.is_integer()):
        raise NotCovered
    return float(dtype.type(fill)) if dtype.kind == "f" else fill


def _is_second_the_image(image: Array, kernel: Array, mode: str, *, commutes: bool) -> bool:
    """Return whether the second input is the image: by SciPy's rule in mode "valid", for speed in mode "full"."""
    if mode != "valid":
        return mode == "full" and commutes and kernel.size > image.size and bool(np.isfinite(kernel).all())
    fits = [n >= m for n, m in zip(image.shape, kernel.shape)]
    if all(fits):
        return False
    if any(n > m for n, m in zip(image.shape, kernel.shape)):
        raise NotCovered
    return True


class _Exact(NamedTuple):
    """A float dtype and a method that give sums of integers exactly, and the largest magnitude of a sum."""

    dtype: np.dtype[Any]
    method: str | None
    bound: int


def _exactly(image: Array, weights: NDArray[np.float64], fill: float) -> _Exact:
    """Return how sums of integers are computed without rounding."""
    limits = (int(image.max()), int(image.min())) if image.dtype.itemsize == 8 else _limits(image.dtype)
    magnitude = max(*map(abs, limits), abs(int(fill)))
    bound = magnitude * max(1, int(np.abs(weights).sum()))
    if bound >= 2**53:
        raise NotCovered
    return _Exact(np.dtype(np.float32 if bound < 2**24 else np.float64), exact_method(weights), bound)


def _limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    return (0, 1) if dtype.kind == "b" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
