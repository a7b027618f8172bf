"""The two-dimensional sums of scipy.signal, with its signatures, on kernelfield's engine; all else is SciPy's own.

``from kernelfield.dropin import signal`` replaces ``from scipy import signal``. What the parameters mean is said in
SciPy's documentation. What the engine does not cover, such as complex numbers, integers whose sums may wrap around or
exceed 2**53, weights that are not finite and arguments that are wrong, is handed to SciPy: results and errors are
SciPy's.

The dtype is SciPy's, the common one of both inputs. Integer results are SciPy's in every pixel. Sums of floats agree to
rounding in that dtype: a few units in the last place of the largest term.

Examples
--------
>>> from kernelfield.dropin import signal
>>> signal.convolve2d([[1, 2, 3], [3, 4, 5]], [[2, 3, 4], [4, 5, 6]])
array([[ 2,  7, 16, 17, 12],
       [10, 30, 62, 58, 38],
       [12, 31, 58, 49, 30]])
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernelfield import correlation
from kernelfield.dropin.exactness import method_of
from kernelfield.dropin.handing import Handed, drop_in, real, weights_of

__all__ = ["convolve2d", "correlate2d"]

Array = NDArray[Any]

_MODES = ("full", "same", "valid")
_BOUNDARIES = {"fill": "constant", "pad": "constant", "wrap": "wrap", "circular": "wrap"}
_BOUNDARIES |= {"symm": "reflect", "symmetric": "reflect"}

_drop_in = functools.partial(drop_in, module="scipy.signal")


def __getattr__(name: str) -> Any:
    import scipy.signal

    return getattr(scipy.signal, name)


def __dir__() -> list[str]:
    import scipy.signal

    return sorted({*__all__, *dir(scipy.signal)})


@_drop_in
def convolve2d(in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: Any = 0) -> Array:
    """Return the convolution of two arrays of two axes: ``scipy.signal.convolve2d``.

    Examples
    --------
    >>> convolve2d([[1, 2], [3, 4]], [[1, 0, -1]], mode="same", boundary="symm")
    array([[1, 1],
           [1, 1]])
    """
    return _sums(in1, in2, mode, boundary, fillvalue, flip=True)


@_drop_in
def correlate2d(in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: Any = 0) -> Array:
    """Return the cross-correlation of two arrays of two axes: ``scipy.signal.correlate2d``.

    Examples
    --------
    >>> correlate2d([[1, 2], [3, 4]], [[1, 0, -1]], mode="same", boundary="wrap")
    array([[0, 0],
           [0, 0]])
    """
    return _sums(in1, in2, mode, boundary, fillvalue, flip=False)


def _sums(in1: Any, in2: Any, mode: Any, boundary: Any, fillvalue: Any, *, flip: bool) -> Array:
    """Return what `convolve2d` (with a flip) or `correlate2d` does."""
    image, kernel = _array_of(in1), _array_of(in2)
    dtype = np.promote_types(image.dtype, kernel.dtype)
    if dtype.kind not in "iu" and dtype not in (np.float32, np.float64):
        raise Handed
    if not isinstance(mode, str) or mode not in _MODES or not isinstance(boundary, str) or boundary not in _BOUNDARIES:
        raise Handed
    outside, fill = _BOUNDARIES[boundary], _fill_of(fillvalue, dtype)
    swapped = _is_second_the_image(image, kernel, mode, commutes=outside == "constant" and fill == 0)
    if swapped:
        image, kernel = kernel, image
    weights = weights_of(kernel)
    work, method = (dtype, None) if dtype.kind == "f" else _exactly(image, weights, fill, dtype)
    if image.dtype.itemsize == 8:
        image = image.astype(work, copy=False)
    # SciPy's centre of an even size is the element before the middle, the engine's the one behind it.
    origin = tuple(-(n % 2 == 0) for n in weights.shape) if mode == "same" else None
    apply = correlation.convolve if flip else correlation.correlate
    found = apply(image, weights, mode=mode, boundary=outside, cval=fill, origin=origin, dtype=work, method=method)
    result = np.asarray(found).astype(dtype, copy=False)
    return result[::-1, ::-1] if swapped and not flip else result


def _array_of(value: Any) -> Array:
    """Return an input as an array of two axes."""
    if type(value) not in (np.ndarray, list, tuple):
        raise Handed
    try:
        array = np.asarray(value)
    except ValueError:
        raise Handed from None
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "biuf":
        raise Handed
    return array


def _fill_of(value: Any, dtype: np.dtype[Any]) -> float:
    """Return the value outside, as `dtype` holds it."""
    try:
        fill = real(value)
    except OverflowError:
        raise Handed from None
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    if not float(limits.min) <= fill <= float(limits.max) or not (dtype.kind == "f" or fill.is_integer()):
        raise Handed
    return float(dtype.type(fill)) if dtype.kind == "f" else fill


def _is_second_the_image(image: Array, kernel: Array, mode: str, *, commutes: bool) -> bool:
    """Return whether the second input is the image: by SciPy's rule in mode "valid", for speed in mode "full"."""
    if mode != "valid":
        return mode == "full" and commutes and kernel.size > image.size and bool(np.isfinite(kernel).all())
    fits = [n >= m for n, m in zip(image.shape, kernel.shape)]
    if all(fits):
        return False
    if any(n > m for n, m in zip(image.shape, kernel.shape)):
        raise Handed
    return True


def _exactly(
    image: Array, weights: NDArray[np.float64], fill: float, dtype: np.dtype[Any]
) -> tuple[np.dtype[Any], str]:
    """Return a float dtype and a method that give the sums of integers exactly."""
    magnitude = max(abs(int(image.max())), abs(int(image.min())), abs(int(fill)))
    bound = magnitude * max(1, int(np.abs(weights).sum()))
    if not (bound < 2**53 and bound <= np.iinfo(dtype).max):
        raise Handed
    # Of larger weights, what `factors` takes for rounding may be a part of a whole number.
    whole_factors = np.abs(weights).max() < 2**24 and method_of(weights) is None
    method = "separable" if whole_factors and min(weights.shape) > 1 else "direct"
    return np.dtype(np.float32 if bound < 2**24 else np.float64), method
