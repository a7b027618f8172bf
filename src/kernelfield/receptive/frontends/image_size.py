"""The size of the image as users give it: a number, extents, the whole shape, or nothing."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

from kernelfield.errors import ArgumentError, received


def checked_size(input_size: Any) -> tuple[tuple[int, ...] | None, bool]:
    """Return the extents as a tuple of integers, None if not given, and whether it was one number for all axes.

    Raises
    ------
    ArgumentError
        If these are no whole numbers from 1.
    """
    if input_size is None:
        return None, False
    alone = not isinstance(input_size, Iterable)
    try:
        values = (input_size,) if alone else tuple(input_size)
        size = () if any(isinstance(n, bool) for n in values) else tuple(operator.index(n) for n in values)
    except TypeError:
        size = ()
    if min(size, default=0) < 1:
        raise ArgumentError(
            "input_size: expected whole numbers from 1: spatial extents, such as (224, 224), or the shape of the "
            f"tensor; received {received(input_size)}"
        )
    return size, alone
