"""Option values as typed, turned into what the library takes."""

from __future__ import annotations

import math

from kernelfield.apps.messages import UsageError


def kernel_size(text: str | None) -> int | tuple[int, int] | None:
    """Return the size of a kernel that was typed.

    Examples
    --------
    >>> kernel_size("5"), kernel_size("3,5"), kernel_size("3x5"), kernel_size(None)
    (5, (3, 5), (3, 5), None)
    """
    if text is None:
        return None
    parts = text.lower().replace("×", ",").replace("x", ",").split(",")
    if len(parts) > 2 or not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise UsageError(f"--size: expected one or two whole numbers above 0, as 5 or 3,5; received {text!r}.")
    values = [int(part) for part in parts]
    return values[0] if len(values) == 1 else (values[0], values[1])


def clip_ends(text: str) -> str | tuple[float, float] | None:
    """Return the ends of a range that were typed.

    Examples
    --------
    >>> clip_ends("0,4095"), clip_ends("none"), clip_ends("auto")
    ((0.0, 4095.0), None, 'auto')
    """
    if text.lower() in ("auto", "none"):
        return None if text.lower() == "none" else "auto"
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = math.nan
    if not low < high:
        raise UsageError(f"--clip: expected LOW,HIGH with LOW below HIGH, auto or none; received {text!r}.")
    return low, high


def whole_numbers(text: str | None, name: str, least: int) -> tuple[int, ...] | None:
    """Return the whole numbers of an option that were typed.

    Examples
    --------
    >>> whole_numbers("224,224", "--input-size", 1), whole_numbers("3", "--unit", 0), whole_numbers(None, "--unit", 0)
    ((224, 224), (3,), None)
    """
    if text is None:
        return None
    parts = text.lower().replace("×", ",").replace("x", ",").split(",")
    if not all(part.strip().isdecimal() and int(part) >= least for part in parts):
        raise UsageError(f"{name}: expected whole numbers of at least {least}, as 224,224; received {text!r}.")
    return tuple(map(int, parts))
