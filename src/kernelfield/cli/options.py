"""Values of options: text from the command line converted to arguments of the library."""

from __future__ import annotations

import math

from kernelfield.cli.messages import UsageError


def kernel_size(text: str | None, option: str = "--size") -> int | tuple[int, int] | None:
    """Return the value of --size, or of another option with one number or two.

    Examples
    --------
    >>> kernel_size("5"), kernel_size("3,5"), kernel_size("3x5"), kernel_size(None)
    (5, (3, 5), (3, 5), None)
    """
    if text is None:
        return None
    values = _numbers(text, 1)
    if not 1 <= len(values) <= 2:
        raise UsageError(f"{option}: expected one or two whole numbers above 0, as 5 or 3,5; received {text!r}.")
    return values[0] if len(values) == 1 else (values[0], values[1])


def transfer_function(text: str | None) -> str | float | None:
    """Return the value of --light.

    Examples
    --------
    >>> transfer_function("2.2"), transfer_function("srgb"), transfer_function("none")
    (2.2, 'sRGB', None)
    """
    if text is None or text.lower() == "none":
        return None
    named = {"srgb": "sRGB", "auto": "auto"}.get(text.lower())
    if named is not None:
        return named
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"--light: expected sRGB, auto, none or an exponent as 2.2; received {text!r}.") from None


def clip_range(text: str) -> str | tuple[float, float] | None:
    """Return the value of --clip.

    Examples
    --------
    >>> clip_range("0,4095"), clip_range("none"), clip_range("auto")
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


def noise_levels(text: str | None) -> tuple[float, float] | None:
    """Return the value of --noise.

    Examples
    --------
    >>> noise_levels("2,0.5"), noise_levels(None)
    ((2.0, 0.5), None)
    """
    if text is None:
        return None
    try:
        before, after = (float(part) for part in text.split(","))
    except ValueError:
        before = after = math.nan
    if not (0.0 <= before < math.inf and 0.0 <= after < math.inf):
        raise UsageError(f"--noise: expected BEFORE,AFTER, standard deviations such as 2,0.5; received {text!r}.")
    return before, after


def variation(text: str | None) -> int | tuple[int, int] | str | None:
    """Return the value of --varying.

    Examples
    --------
    >>> variation("2"), variation("3,4"), variation("auto"), variation(None)
    (2, (3, 4), 'auto', None)
    """
    if text is None or text.lower() == "auto":
        return None if text is None else "auto"
    values = _numbers(text, 0)
    if not 1 <= len(values) <= 2:
        raise UsageError(f"--varying: expected a degree as 2, a grid as 3,4, or auto; received {text!r}.")
    return values[0] if len(values) == 1 else (values[0], values[1])


def penalty(text: str | None) -> str | float | tuple[str, float] | None:
    """Return the value of --regularise.

    Examples
    --------
    >>> penalty("auto"), penalty("0.01"), penalty("ridge,0.01"), penalty(None)
    ('auto', 0.01, ('ridge', 0.01), None)
    """
    if text is None:
        return None
    kind, comma, strength = text.rpartition(",")
    try:
        number = float(strength)
    except ValueError:
        if comma:
            raise UsageError(
                f"--regularise: expected auto, ridge, smooth, a strength as 0.01, or both; received {text!r}."
            ) from None
        return text.lower()
    return (kind.lower(), number) if comma else number


def whole_numbers(text: str | None, option: str, minimum: int) -> tuple[int, ...] | None:
    """Return the value of an option that takes whole numbers.

    Examples
    --------
    >>> whole_numbers("224,224", "--input-size", 1), whole_numbers("3", "--unit", 0), whole_numbers(None, "--unit", 0)
    ((224, 224), (3,), None)
    """
    if text is None:
        return None
    values = _numbers(text, minimum)
    if not values:
        raise UsageError(f"{option}: expected whole numbers of at least {minimum}, as 224,224; received {text!r}.")
    return values


def _numbers(text: str, minimum: int) -> tuple[int, ...]:
    """Return the whole numbers between commas or ×; none at all if one of them is missing or too small."""
    parts = text.lower().replace("×", ",").replace("x", ",").split(",")
    if not all(part.strip().isdecimal() and int(part) >= minimum for part in parts):
        return ()
    return tuple(map(int, parts))
