"""The checks that every kernel family makes on its arguments; each raises one line with the remedy."""

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

from kernelfield.errors import ArgumentError


def whole(name: str, value: object, least: int) -> int:
    """Return `value` as an int of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ArgumentError(f"{name}: expected an integer of at least {least}, received {value!r}")
    return int(value)


def one_of(name: str, value: Any, choices: Sequence[Any]) -> Any:
    """Return `value` if it is one of `choices` (a bool is not taken for an integer)."""
    if isinstance(value, bool) or value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ArgumentError(f"{name}: expected one of {listed}; received {value!r}")
    return next(choice for choice in choices if choice == value)


def number(name: str, value: object, *, above: float = -math.inf, least: float = -math.inf) -> float:
    """Return `value` as a finite float, greater than `above` and at least `least`."""
    wanted = "a finite number"
    if above > -math.inf:
        wanted += f" greater than {above:g}"
    if least > -math.inf:
        wanted += f" of at least {least:g}"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ArgumentError(f"{name}: expected {wanted}, received {value!r}")
    result = float(value)
    if not math.isfinite(result) or result <= above or result < least:
        raise ArgumentError(f"{name}: expected {wanted}, received {result!r}")
    return result


def pair(name: str, value: Any) -> tuple[Any, Any]:
    """Return (rows, columns): `value` twice if it is a single one."""
    if isinstance(value, (str, bytes)) or not hasattr(value, "__len__"):
        return value, value
    items = tuple(value)
    if len(items) != 2:
        raise ArgumentError(f"{name}: expected one value or a pair (rows, columns), received {value!r}")
    return items


def window(name: str, value: Any) -> tuple[int, int]:
    """Return a kernel size as (rows, columns)."""
    rows, columns = pair(name, value)
    return whole(name, rows, 1), whole(name, columns, 1)


def offset(name: str, value: Any) -> tuple[int, int]:
    """Return two integers of any sign, (row, column)."""
    items = tuple(value) if hasattr(value, "__len__") else (value,)
    if len(items) != 2 or not all(isinstance(x, Integral) and not isinstance(x, bool) for x in items):
        raise ArgumentError(f"{name}: expected two integers (row, column), received {value!r}")
    return int(items[0]), int(items[1])
