"""Checks of values read from JSON: each returns the value in Python's types, or raises ValueError with the reason."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Check = Callable[[Any], Any]

_MOST = float(np.finfo(np.float64).max)


def received(value: Any) -> str:
    """Return a value of JSON in a few words.

    Examples
    --------
    >>> received([1, 2]), received({}), received("x" * 99), received(None)
    ('an array of 2', 'an object', "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx[...]", 'null')
    """
    if isinstance(value, list):
        return f"an array of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:40]}[...]"


def text(value: Any) -> str:
    """Return a string."""
    if not isinstance(value, str):
        raise ValueError(f"expected a string, received {received(value)}")
    return value


def number(least: float = -math.inf, most: float = math.inf) -> Check:
    """Return the check of a finite number between two limits, which gives a float."""
    limits = "" if least == -math.inf else f" of at least {least:g}"
    limits += "" if most == math.inf else f" and at most {most:g}"

    def check(value: Any) -> float:
        # The largest integers have no float.
        finite = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= _MOST
        if not finite or not least <= value <= most:
            raise ValueError(f"expected a finite number{limits}, received {received(value)}")
        return float(value)

    return check


def whole(least: int | None = None) -> Check:
    """Return the check of an integer of 64 bits, of at least `least` if that is given."""
    limits = "" if least is None else f" of at least {least}"

    def check(value: Any) -> int:
        integer = isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
        if not integer or (least is not None and value < least):
            raise ValueError(f"expected an integer{limits}, received {received(value)}")
        return int(value)

    return check


def one_of(*choices: Any) -> Check:
    """Return the check of a value that is one of `choices`."""
    listed = ", ".join(map(received, choices))

    def check(value: Any) -> Any:
        # True equals 1.
        if isinstance(value, (bool, list, dict)) or value not in choices:
            raise ValueError(f"expected {'one of ' * (len(choices) > 1)}{listed}; received {received(value)}")
        return value

    return check


def optional(check: Check) -> Check:
    """Return the check of a value that may be null."""
    return lambda value: None if value is None else check(value)


def list_of(check: Check, least: int = 0, most: int | None = None) -> Check:
    """Return the check of an array of between `least` and `most` values, which gives a tuple."""
    limits = f"{least}" if least == most else f"at least {least}"

    def check_all(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) < least or (most is not None and len(value) > most):
            raise ValueError(f"expected an array of {limits}, received {received(value)}")
        return tuple(check(item) for item in value)

    return check_all


def table(check: Check, dtype: type[np.generic] = np.float64) -> Check:
    """Return the check of rows of equally many values, which gives a two-dimensional NumPy array."""
    rows_of = list_of(list_of(check, 1), 1)

    def check_table(value: Any) -> np.ndarray:
        rows = rows_of(value)
        if len({len(row) for row in rows}) > 1:
            raise ValueError(f"expected rows of one length, received {len(rows[0])} and others")
        return np.array(rows, dtype)

    return check_table


def mapping_of(check: Check) -> Check:
    """Return the check of an object whose values pass `check`."""

    def check_mapping(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError(f"expected an object, received {received(value)}")
        return {key: _named(key, check, item) for key, item in value.items()}

    return check_mapping


def object_of(fields: dict[str, Check], others: dict[str, tuple[Check, Any]]) -> Check:
    """Return the check of an object that has these fields and no more; the others have values if they are missing."""

    def check_object(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError(f"expected an object, received {received(value)}")
        for key in fields:
            if key not in value:
                raise ValueError(f"no {key!r}")
        for key in value:
            if key not in fields and key not in others:
                raise ValueError(f"{received(key)} is not a field of it")
        found = {key: _named(key, check, value[key]) for key, check in fields.items()}
        for key, (check, default) in others.items():
            found[key] = _named(key, check, value[key]) if key in value else default
        return found

    return check_object


def _named(key: str, check: Check, value: Any) -> Any:
    """Return the checked value; the error names its key."""
    try:
        return check(value)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
