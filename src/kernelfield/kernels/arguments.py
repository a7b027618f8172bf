"""Checks of the arguments of kernel families; each raises `ArgumentError` with the remedy."""

import functools
import inspect
import math
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from numbers import Integral, Real
from typing import Any, Literal, ParamSpec, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kernelfield.arrays import as_array
from kernelfield.errors import AccuracyWarning, ArgumentError, received

# A kernel with more weights than a large image has pixels is a typing error.
_MOST_WEIGHTS = 1 << 24

# The factor of a derivative, or "unit": the factor that makes its response to the unit slope (or curvature) 1.
Scale = float | Literal["unit"]

# Whether members of families are tried, not asked for: none of them warns.
_TRIED: ContextVar[bool] = ContextVar("tried", default=False)

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


@contextmanager
def trying() -> Iterator[None]:
    """Return the context in which kernels are tried by a search: no `AccuracyWarning` is given."""
    token = _TRIED.set(True)
    try:
        yield
    finally:
        _TRIED.reset(token)


def inaccurate(text: str) -> None:
    """Warn that a kernel's weights miss what was asked for; `text` says by how much, and the remedy."""
    if _TRIED.get():
        return
    # The line that the warning shows is the one that calls a family.
    depth, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("kernelfield.kernels"):
        depth, frame = depth + 1, frame.f_back
    warnings.warn(text, AccuracyWarning, stacklevel=depth)


def flag(name: str, value: object) -> bool:
    """Return `value` if it is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ArgumentError(f"{name}: expected True or False, received {received(value)}")
    return bool(value)


def scale_of(value: object, unit: Callable[[], float]) -> float:
    """Return a factor: the number given, or for "unit" that of `unit`."""
    if isinstance(value, str):
        if value != "unit":
            raise ArgumentError(f"scale: expected a finite number or 'unit', received {received(value)}")
        return unit()
    return number("scale", value)


def whole(name: str, value: object, least: int | None = None, most: int | None = None) -> int:
    """Return `value` as an int, of at least `least` and at most `most` if they are given."""
    wanted = "an integer" if least is None else f"an integer of at least {least}"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ArgumentError(f"{name}: expected {wanted}, received {received(value)}")
    number = int(value)
    if least is not None and number < least:
        raise ArgumentError(f"{name}: expected {wanted}, received {received(value)}")
    if most is not None and number > most:
        raise ArgumentError(f"{name}: expected at most {most:,}, received {received(value)}")
    return number


def several(name: str, value: Any) -> tuple[Any, ...]:
    """Return the elements of a list, a tuple, a range or an array of one axis."""
    if not isinstance(value, (list, tuple, range)) and getattr(value, "ndim", 0) != 1:
        raise ArgumentError(f"{name}: expected several numbers, as [1, 2]; received {received(value)}")
    return tuple(value)


def extent(name: str, length: float) -> int:
    """Return the elements of a kernel that reaches `length` to both sides of its centre; raise if it is too large."""
    if not length < _MOST_WEIGHTS:
        raise ArgumentError(
            f"{name}: expected at most {_MOST_WEIGHTS:,} weights, received {length:g} on each side; take a smaller one"
        )
    return 2 * int(length) + 1


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
    if not isinstance(value, (list, tuple)) and not (isinstance(value, np.ndarray) and value.ndim):
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
    many = isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim)
    items = tuple(value) if many else (value,)
    if len(items) != 2 or not all(isinstance(x, Integral) and not isinstance(x, bool) for x in items):
        raise ArgumentError(f"{name}: expected two integers (row, column), received {received(value)}")
    return int(items[0]), int(items[1])


def odd(name: str, value: Any, least: int) -> int:
    """Return `value` as an odd int of at least `least`."""
    size = whole(name, value, least)
    if size % 2 == 0:
        raise ArgumentError(f"{name}: expected an odd number, received {received(size)}; take one more")
    return size


def odd_window(name: str, value: Any) -> tuple[int, int]:
    """Return a kernel size as (rows, columns), both odd."""
    rows, columns = pair(name, value)
    return _limited(name, odd(name, rows, 1), odd(name, columns, 1))


def _limited(name: str, rows: int, columns: int) -> tuple[int, int]:
    """Return (rows, columns) if a kernel may have that many weights."""
    if rows * columns > _MOST_WEIGHTS:
        raise ArgumentError(
            f"{name}: expected at most {_MOST_WEIGHTS:,} weights, received {received(rows)}×{received(columns)}"
        )
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


def ellipse(size: Any, truncate: float, orientation: float, along: float, across: float) -> tuple[int, int]:
    """Return `size`, or the box around the ellipse of `truncate` standard deviations along and across an angle."""
    if size is not None:
        return odd_window("size", size)
    truncate = number("truncate", truncate, above=0)
    down, right = (abs(part) for part in unit(orientation))
    rows = max(math.hypot(along * down, across * right), 1 / truncate)
    columns = max(math.hypot(along * right, across * down), 1 / truncate)
    return window("size", [extent("size", np.ceil(truncate * n - 1e-9)) for n in (rows, columns)])


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
