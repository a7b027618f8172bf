"""Checks of the arguments of kernel families; each raises `ArgumentError` with the remedy."""

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kernelfield.arrays import as_array
from kernelfield.errors import ArgumentError, received

# A kernel with more weights than a large image has pixels is a typing error.
_MOST_WEIGHTS = 1 << 24

_P = ParamSpec("_P")
_Result = TypeVar("_Result")


def kernel_family(function: Callable[_P, _Result]) -> Callable[_P, _Result]:
    """Return a kernel family whose overflows and undefined values are an `ArgumentError`.

    Each argument may be in range by itself and the weights still beyond that of float64, as those of a Gaussian with
    sigma 1e308 are.
    """

    @functools.wraps(function)
    def checked(*args: _P.args, **kwargs: _P.kwargs) -> _Result:
        try:
            with np.errstate(over="raise", invalid="raise", divide="raise"):
                return function(*args, **kwargs)
        except (ArithmeticError, MemoryError) as error:
            given = inspect.signature(function).bind(*args, **kwargs).arguments
            listed = ", ".join(f"{key}={received(value)}" for key, value in given.items())
            raise ArgumentError(
                f"{function.__name__}: expected parameters whose weights are finite and fit into memory; received "
                f"{listed} ({error or type(error).__name__}); take values nearer to 1"
            ) from None

    return checked


def whole(name: str, value: object, least: int | None = None, most: int | None = None) -> int:
    """Return `value` as an int, of at least `least` and at most `most` if these are given."""
    wanted = "an integer" if least is None else f"an integer of at least {least}"
    if isinstance(value, bool) or not isinstance(value, Integral) or (least is not None and value < least):
        raise ArgumentError(f"{name}: expected {wanted}, received {received(value)}")
    if most is not None and int(value) > most:
        raise ArgumentError(f"{name}: expected {wanted} and at most {most}, received {received(value)}")
    return int(value)


def one_of(name: str, value: Any, choices: Sequence[Any]) -> Any:
    """Return the element of `choices` equal to `value`; a bool does not count as an integer."""
    if isinstance(value, bool) or not isinstance(value, (str, Real)) or value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ArgumentError(f"{name}: expected one of {listed}; received {received(value)}")
    return next(choice for choice in choices if choice == value)


def number(name: str, value: object, *, above: float = -math.inf, least: float = -math.inf) -> float:
    """Return `value` as a finite float, greater than `above` and at least `least`."""
    wanted = "a finite number"
    if above > -math.inf:
        wanted += f" greater than {above:g}"
    if least > -math.inf:
        wanted += f" of at least {least:g}"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ArgumentError(f"{name}: expected {wanted}, received {received(value)}")
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result) or result <= above or result < least:
        raise ArgumentError(f"{name}: expected {wanted}, received {received(result)}")
    return result


def pair(name: str, value: Any) -> tuple[Any, Any]:
    """Return (rows, columns); a single value stands for both."""
    if isinstance(value, (str, bytes)) or not hasattr(value, "__len__"):
        return value, value
    items = tuple(value)
    if len(items) != 2:
        raise ArgumentError(f"{name}: expected one value or a pair (rows, columns), received {received(value)}")
    return items


def window(name: str, value: Any) -> tuple[int, int]:
    """Return a kernel size as (rows, columns)."""
    rows, columns = pair(name, value)
    return _limited(name, whole(name, rows, 1), whole(name, columns, 1))


def offset(name: str, value: Any) -> tuple[int, int]:
    """Return two integers of any sign, (row, column)."""
    items = tuple(value) if hasattr(value, "__len__") else (value,)
    if len(items) != 2 or not all(isinstance(x, Integral) and not isinstance(x, bool) for x in items):
        raise ArgumentError(f"{name}: expected two integers (row, column), received {received(value)}")
    return int(items[0]), int(items[1])


def odd(name: str, value: Any, least: int) -> int:
    """Return `value` as an odd int of at least `least`."""
    size = whole(name, value, least)
    if size % 2 == 0:
        raise ArgumentError(f"{name}: expected an odd number, received {size}; take {size + 1}")
    return size


def odd_window(name: str, value: Any) -> tuple[int, int]:
    """Return a kernel size as (rows, columns), both odd."""
    rows, columns = pair(name, value)
    return _limited(name, odd(name, rows, 1), odd(name, columns, 1))


def _limited(name: str, rows: int, columns: int) -> tuple[int, int]:
    """Return (rows, columns) if a kernel may have that many weights."""
    if rows * columns > _MOST_WEIGHTS:
        raise ArgumentError(f"{name}: expected at most {_MOST_WEIGHTS:,} weights, received {rows}×{columns}")
    return rows, columns


def unit(angle: float) -> tuple[float, float]:
    """Return the unit vector (rows, columns) at `angle` degrees from the columns' axis towards the rows'.

    At multiples of 45 degrees the components are exact or equal in magnitude, which keeps kernels symmetric.
    """
    eighths = (angle % 360) / 45
    if eighths == int(eighths):
        signs = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))[int(eighths) % 8]
        length = math.sqrt(abs(signs[0]) + abs(signs[1]))
        return signs[0] / length, signs[1] / length
    return math.sin(math.radians(angle)), math.cos(math.radians(angle))


def frequencies(name: str, value: int | ArrayLike) -> NDArray[np.float64]:
    """Return frequencies in cycles per pixel: the array given, or `value` of them, evenly spaced from -1/2."""
    if np.ndim(value) == 0:
        n = whole(name, value, 1)
        return np.asarray((np.arange(n) - n // 2) / n)
    given = as_array(value, name)
    try:
        array = given.astype(np.float64)
    except (TypeError, ValueError):
        array = np.array([np.nan])
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise ArgumentError(
            f"{name}: expected their number, or finite frequencies on one axis, in cycles per pixel; "
            f"received {received(value)}"
        )
    return array


def frozen_weights(weights: ArrayLike) -> NDArray[np.float64]:
    """Return a read-only float64 copy of the weights of a kernel."""
    given = as_array(weights, "weights")
    try:
        if np.iscomplexobj(given):
            raise TypeError
        array = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ArgumentError("weights: expected a 2-D array of real numbers, received something else") from None
    if array.ndim != 2 or array.size == 0:
        raise ArgumentError(f"weights: expected a 2-D array that is not empty, received shape {array.shape}")
    if not np.isfinite(array).all():
        raise ArgumentError("weights: expected finite numbers, received NaN or infinity; replace them")
    # Adding zero turns -0.0 into 0.0; an array over bytes can never be made writable.
    return np.frombuffer((array + 0.0).tobytes(), dtype=np.float64).reshape(array.shape)
