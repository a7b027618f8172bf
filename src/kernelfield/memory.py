"""Memory for results, such that every framework takes it over without a copy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

# JAX and TensorFlow take memory over where it is aligned to this many bytes, and copy it where it is not.
ALIGNMENT = 64


def is_aligned(array: np.ndarray) -> bool:
    """Return whether the memory of an array starts at a multiple of `ALIGNMENT`."""
    return bool(array.__array_interface__["data"][0] % ALIGNMENT == 0)


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Return an array, not set, that starts at a multiple of `ALIGNMENT`.

    Examples
    --------
    >>> array = empty((3, 5), np.dtype(np.float32))
    >>> array.shape, is_aligned(array)
    ((3, 5), True)
    """
    size = math.prod(shape) * dtype.itemsize
    raw = np.empty(size + ALIGNMENT, np.uint8)
    start = -raw.__array_interface__["data"][0] % ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)
