"""Calls done lately are done again at once; those that the engine does not cover are handed to SciPy, errors too."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, ParamSpec

import numpy as np
from numpy.typing import NDArray

from kernelfield.engine.plan import CACHE, Runner

Parameters = ParamSpec("Parameters")

#: Stands for the weights of a function that has none, in `CACHE`.
NOTHING = np.empty(0)

_DTYPES = frozenset(np.dtype(kind + size) for kind in "iu" for size in "1248") | {np.dtype("f4"), np.dtype("f8")}
_MODES = {name: name for name in ("reflect", "constant", "nearest", "mirror", "wrap")}
_MODES |= {"grid-mirror": "reflect", "grid-constant": "constant", "grid-wrap": "wrap"}


class Handed(Exception):
    """The call belongs to SciPy; raised before anything is written."""


class Filtered(NamedTuple):
    """A result, and what does the same for arrays laid out alike; None where that may hang on the pixels."""

    result: NDArray[Any]
    again: Runner | None


def drop_in(module: str) -> Callable[[Callable[Parameters, Filtered]], Callable[Parameters, NDArray[Any]]]:
    """Return a decorator: results are kept in `CACHE`, and SciPy's function answers where `Handed` is raised.

    The first argument is the image, one called ``weights`` or ``in2`` the kernel, one called ``output`` the result.
    """

    def decorated(function: Callable[Parameters, Filtered]) -> Callable[Parameters, NDArray[Any]]:
        signature = inspect.signature(function)
        names = tuple(signature.parameters)
        label = f"{module}.{function.__name__}"

        @functools.wraps(function)
        def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> NDArray[Any]:
            arrays: dict[str, Any] = {}
            options: list[Any] = [label]
            for name, value in (*zip(names, args), *kwargs.items()):
                if type(value) is np.ndarray:
                    arrays[name] = value
                else:
                    options += name, value
            image = arrays.pop(names[0], None)
            kernel, out = arrays.pop(names[1], NOTHING), arrays.pop("output", None)
            asked = tuple(options)
            try:
                if image is not None and not arrays:
                    found = CACHE.run(image, kernel, out, asked)
                    if found is not None:
                        return found
                result, again = function(*args, **kwargs)
            except Handed:
                answer: NDArray[Any] = getattr(importlib.import_module(module), label.rpartition(".")[2])(
                    *args, **kwargs
                )
                return answer
            if again is not None and image is not None and not arrays and image.dtype.isnative and image.flags.aligned:
                CACHE.keep(image, kernel, out, asked, again, result.shape, result.dtype)
            return result

        call.__signature__ = signature.replace(return_annotation=np.ndarray)  # type: ignore[attr-defined]
        return call

    return decorated


def image_of(value: Any) -> NDArray[Any]:
    """Return the input as an array in native byte order."""
    if type(value) not in (np.ndarray, list, tuple):
        raise Handed
    image = np.asarray(value)
    dtype = image.dtype.newbyteorder("=")
    if dtype not in _DTYPES or image.ndim == 0 or image.size == 0:
        raise Handed
    return image.astype(dtype, copy=False)


def output_of(output: Any, image: NDArray[Any]) -> NDArray[Any]:
    """Return the array that `output` asks for: itself, or a new one of its dtype or of the image's."""
    if output is None:
        return np.empty(image.shape, image.dtype)
    if type(output) is np.ndarray:
        if output.shape != image.shape or output.dtype not in _DTYPES or not output.flags.writeable:
            raise Handed
        return output
    if not isinstance(output, (type, str, np.dtype)):
        raise Handed
    try:
        dtype = np.dtype(output)
    except TypeError:
        raise Handed from None
    if dtype not in _DTYPES:
        raise Handed
    return np.empty(image.shape, dtype)


def weights_of(value: Any) -> NDArray[np.float64]:
    """Return weights as finite float64."""
    if type(value) not in (np.ndarray, list, tuple):
        raise Handed
    try:
        weights = np.asarray(value)
    except ValueError:
        raise Handed from None
    if weights.dtype.kind not in "biuf" or weights.dtype.itemsize > 8 or weights.size == 0:
        raise Handed
    weights = weights.astype(np.float64)
    if not np.isfinite(weights).all():
        raise Handed
    return weights


def boundary_of(mode: Any) -> str:
    """Return the boundary that a mode of scipy.ndimage's filters names."""
    if not isinstance(mode, str) or mode not in _MODES:
        raise Handed
    return _MODES[mode]


def whole(value: Any) -> int:
    """Return an integer."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise Handed
    return int(value)


def real(value: Any) -> float:
    """Return a number."""
    if isinstance(value, (int, float, np.integer, np.floating)):
        return float(value)
    raise Handed


def origin_of(value: Any, size: int) -> int:
    """Return an origin that keeps the anchor inside a kernel of `size` weights."""
    origin = whole(value)
    if not -(size // 2) <= origin <= (size - 1) // 2:
        raise Handed
    return origin


def axis_of(value: Any, ndim: int) -> int:
    """Return an axis counted from the front."""
    axis = whole(value)
    if not -ndim <= axis < ndim:
        raise Handed
    return axis % ndim


def axes_of(value: Any, ndim: int) -> list[int]:
    """Return the axes to be filtered, in the order given; all of them for None."""
    if value is None:
        return list(range(ndim))
    if not isinstance(value, (int, np.integer, tuple, list)):
        raise Handed
    axes = [axis_of(axis, ndim) for axis in (value if isinstance(value, (tuple, list)) else (value,))]
    if len(set(axes)) != len(axes):
        raise Handed
    return axes


def each(value: Any, count: int) -> list[Any]:
    """Return one value for each axis from one for all or from a sequence."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        return [value] * count
    values = list(value)
    if len(values) != count:
        raise Handed
    return values
