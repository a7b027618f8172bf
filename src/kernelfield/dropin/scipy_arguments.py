"""Arguments of SciPy's functions, converted; `NotCovered` is raised for those that are left to SciPy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernelfield.arrays import as_array, check_plain
from kernelfield.dropin.scipy_fallback import NotCovered

_DTYPES = frozenset(np.dtype(kind + size) for kind in "iu" for size in "1248") | {np.dtype("f4"), np.dtype("f8")}
_MODES = {name: name for name in ("reflect", "constant", "nearest", "mirror", "wrap")}
_MODES |= {"grid-mirror": "reflect", "grid-constant": "constant", "grid-wrap": "wrap"}


def image_of(value: Any) -> NDArray[Any]:
    """Return the input as an array in native byte order."""
    if type(value) not in (np.ndarray, list, tuple):
        raise NotCovered
    image = as_array(value, "input")
    dtype = image.dtype.newbyteorder("=")
    if dtype not in _DTYPES or image.ndim == 0 or image.size == 0:
        raise NotCovered
    return image.astype(dtype, copy=False)


def output_of(output: Any, image: NDArray[Any]) -> NDArray[Any]:
    """Return the array to write: `output` itself, or a new one of the dtype it names, by default the image's."""
    if output is None:
        return np.empty(image.shape, image.dtype)
    if type(output) is np.ndarray:
        if output.shape != image.shape or output.dtype not in _DTYPES or not output.flags.writeable:
            raise NotCovered
        return output
    if not isinstance(output, (type, str, np.dtype)):
        raise NotCovered
    try:
        dtype = np.dtype(output)
    except TypeError:
        raise NotCovered from None
    if dtype not in _DTYPES:
        raise NotCovered
    return np.empty(image.shape, dtype)


def weights_of(value: Any) -> NDArray[np.float64]:
    """Return weights as finite float64."""
    if type(value) not in (np.ndarray, list, tuple):
        raise NotCovered
    check_plain(value, "weights")
    try:
        weights = np.asarray(value)
    except ValueError:
        raise NotCovered from None
    if weights.dtype.kind not in "biuf" or weights.dtype.itemsize > 8 or weights.size == 0:
        raise NotCovered
    weights = weights.astype(np.float64)
    if not np.isfinite(weights).all():
        raise NotCovered
    return weights


def boundary_of(mode: Any) -> str:
    """Return the boundary that a mode of scipy.ndimage's filters names."""
    if not isinstance(mode, str) or mode not in _MODES:
        raise NotCovered
    return _MODES[mode]


def integer(value: Any) -> int:
    """Return an integer."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise NotCovered
    return int(value)


def real(value: Any) -> float:
    """Return a number."""
    if isinstance(value, (int, float, np.integer, np.floating)):
        return float(value)
    raise NotCovered


def origin_of(value: Any, size: int) -> int:
    """Return an origin that keeps the anchor inside a kernel of `size` weights."""
    origin = integer(value)
    if not -(size // 2) <= origin <= (size - 1) // 2:
        raise NotCovered
    return origin


def axis_of(value: Any, ndim: int) -> int:
    """Return an axis counted from the front."""
    axis = integer(value)
    if not -ndim <= axis < ndim:
        raise NotCovered
    return axis % ndim


def axes_of(value: Any, ndim: int) -> list[int]:
    """Return the axes to filter, in the order given; all of them for None."""
    if value is None:
        return list(range(ndim))
    if not isinstance(value, (int, np.integer, tuple, list)):
        raise NotCovered
    axes = [axis_of(axis, ndim) for axis in (value if isinstance(value, (tuple, list)) else (value,))]
    if len(set(axes)) != len(axes):
        raise NotCovered
    return axes


def per_axis(value: Any, count: int) -> list[Any]:
    """Return one value for each axis, from a sequence or from one value for all."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        return [value] * count
    values = list(value)
    if len(values) != count:
        raise NotCovered
    return values
