"""Arrays of other libraries, recognised without importing one: converted, or refused where a conversion loses meaning.

Masks, units and palettes are more than numbers: `numpy.asarray` drops them without a word, `as_array` does not.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from kernelfield.errors import ArgumentError, DtypeError, reason, received

#: Largest size of the last axis of an array of three axes that is read as channels.
MOST_CHANNELS = 4

_NUMBERS = frozenset((bool, int, float, complex, str, bytes, type(None)))


def as_array(value: Any, name: str) -> np.ndarray:
    """Return an array_like or a Pillow image as an array; refuse one that holds more than numbers.

    Parameters
    ----------
    value : array_like or PIL.Image.Image
        Images with a palette become red, green and blue, with alpha where they have it.
    name : str
        The argument, for the message.

    Raises
    ------
    ArgumentError
        For masked elements, units, `numpy.matrix`, and nested sequences of unequal lengths.

    Examples
    --------
    >>> as_array([[1, 2]], "image")
    array([[1, 2]])
    >>> as_array(np.ma.masked_equal([[1, 2]], 2), "kernel")
    Traceback (most recent call last):
    kernelfield.errors.ArgumentError: kernel: expected no masked elements; received a masked array; ...
    """
    if type(value) is np.ndarray:
        return value
    check_plain(value, name)
    if is_pillow(value):
        value = _without_palette(value)
    try:
        return np.asarray(value)
    # A warning is one that was made an error: NumPy before 1.24 warns of sequences of unequal lengths.
    except (TypeError, ValueError, OverflowError, RuntimeError, OSError, AttributeError, UserWarning) as error:
        raise ArgumentError(
            f"{name}: expected an array of numbers; received {received(value)}: {reason(error)}"
        ) from error


def check_plain(value: Any, name: str) -> None:
    """Raise if `numpy.asarray` would drop a mask, a unit or the meaning of `numpy.matrix`."""
    kind = type(value)
    if kind is np.ndarray or kind in _NUMBERS:
        return
    if kind in (list, tuple):
        if not _NUMBERS.issuperset(map(type, value)):
            for element in value:
                check_plain(element, name)
        return
    if is_masked(value):
        raise ArgumentError(
            f"{name}: expected no masked elements; received a masked array; fill or crop it, as with {name}.filled(0)"
        )
    unit = _unit(value)
    if unit is not None:
        raise ArgumentError(
            f"{name}: expected numbers without a unit; received {kind.__name__} in {received(str(unit))}; "
            "give its numbers, and put the unit on the result"
        )
    if isinstance(value, np.matrix):
        raise ArgumentError(
            f"{name}: expected an ndarray; received numpy.matrix, whose products differ; numpy.asarray makes it one"
        )
    if is_xarray(value):
        check_plain(value.data, name)


def is_masked(value: Any) -> bool:
    """Return whether elements of an array are masked, by NumPy's rules or by a property ``mask`` of its class."""
    if isinstance(value, np.ma.MaskedArray):
        return bool(np.ma.is_masked(value))
    if isinstance(getattr(type(value), "mask", None), property):
        mask = value.mask
        return mask is not None and bool(np.any(mask))
    # Of a lazy array nothing else is known.
    return isinstance(getattr(value, "_meta", None), np.ma.MaskedArray)


def _unit(value: Any) -> Any:
    """Return the unit of an array or number of astropy, pint, unyt or the like; None if it has none."""
    for name in ("unit", "units"):
        if isinstance(getattr(type(value), name, None), property):
            return getattr(value, name)
    return None


def is_pillow(value: Any) -> bool:
    """Return whether `value` is an image of Pillow."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(value, module.Image)


def is_xarray(value: Any) -> bool:
    """Return whether `value` is a `xarray.DataArray`."""
    module = sys.modules.get("xarray")
    return module is not None and isinstance(value, getattr(module, "DataArray", ()))


def is_dask(value: Any) -> bool:
    """Return whether `value` is an array of Dask."""
    module = sys.modules.get("dask.array")
    return module is not None and isinstance(value, getattr(module, "Array", ()))


def _without_palette(image: Any) -> Any:
    """Return a Pillow image whose pixels are no indices."""
    if image.mode == "PA":
        return image.convert("RGBA")
    if image.mode == "P":
        return image.convert("RGBA" if "transparency" in image.info else "RGB")
    return image


def check_channel_axis(channel_axis: Any) -> None:
    """Raise for a value that is neither "auto", None nor an integer, whatever the shape of the image."""
    if channel_axis is None or (isinstance(channel_axis, str) and channel_axis == "auto"):
        return
    if isinstance(channel_axis, (bool, np.bool_)) or not isinstance(channel_axis, (int, np.integer)):
        raise ArgumentError(f"channel_axis: expected 'auto', None or an axis; received {received(channel_axis)}")


def channel_axis_of(shape: tuple[int, ...], channel_axis: Any) -> int | None:
    """Return the axis of an image's channels, counted from the front; None if there is none.

    With ``"auto"`` an array of three axes whose last one has at most 4 elements, and the others more, is a photograph
    (H, W, C). An array with such a last axis and another short or further axis may be either, and is refused.

    Parameters
    ----------
    shape : tuple of int
        At least two axes.
    channel_axis : "auto", int or None

    Raises
    ------
    ArgumentError
        For an axis that is not there, or one that ``"auto"`` cannot tell.

    Examples
    --------
    >>> channel_axis_of((480, 640, 3), "auto"), channel_axis_of((10, 480, 640), "auto")
    (2, None)
    """
    axes = len(shape)
    check_channel_axis(channel_axis)
    if channel_axis is None or (channel_axis == "auto" and axes < 3):
        return None
    if channel_axis == "auto":
        if shape[-1] > MOST_CHANNELS:
            return None
        if axes == 3 and min(shape[:2]) > MOST_CHANNELS:
            return 2
        raise ArgumentError(
            f"channel_axis: expected -1 if the last axis of shape {shape} holds channels, None if each image is "
            f"{shape[-2]}×{shape[-1]}; received 'auto', which cannot tell"
        )
    if axes < 3:
        raise ArgumentError(
            f"channel_axis: expected None for shape {shape}, which has no channels; received {received(channel_axis)}"
        )
    if not -axes <= channel_axis < axes:
        raise ArgumentError(
            f"channel_axis: expected {-axes} to {axes - 1} for shape {shape}; received {received(channel_axis)}"
        )
    return int(channel_axis) % axes


def as_numbers(value: Any, name: str) -> np.ndarray:
    """Return an array_like of real numbers as an array.

    Raises
    ------
    ArgumentError
        As `as_array` does.
    DtypeError
        For complex numbers, objects, text and dates.
    """
    array = as_array(value, name)
    if array.dtype.kind not in "biuf":
        raise DtypeError(f"{name}: expected real numbers; received {array.dtype}; convert it")
    return array
