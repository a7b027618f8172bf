"""The order of many values, and means over bins of as many values each."""

from __future__ import annotations

import numpy as np


def order_of(values: np.ndarray) -> np.ndarray:
    """Return the indices that sort values as float32, equal ones in their order.

    Sorting by the lower and then by the higher 16 bits of a key is several times as fast as comparing numbers.

    Examples
    --------
    >>> order_of(np.array([3.0, -1.5, -2.0, 3.0, 0.25]))
    array([2, 1, 4, 0, 3])
    """
    with np.errstate(over="ignore"):
        bits = values.astype(np.float32).view(np.int32)
    # The order of the key, without a sign, is that of the numbers: of negative ones the magnitude counts down.
    key = (bits ^ ((bits >> 31) | np.int32(-(2**31)))).view(np.uint32)
    lower = np.argsort(key.astype(np.uint16), kind="stable")
    return lower[np.argsort((key >> 16).astype(np.uint16)[lower], kind="stable")]


def bin_starts(count: int, bins: int) -> np.ndarray:
    """Return where bins of as many values each begin, as `numpy.array_split` cuts them.

    Examples
    --------
    >>> bin_starts(10, 4)
    array([0, 3, 6, 8])
    """
    size, more = divmod(count, bins)
    which = np.arange(bins)
    return which * size + np.minimum(which, more)


def bin_means(ordered: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return the mean of each bin of values in order, of at least one each.

    Examples
    --------
    >>> bin_means(np.arange(10.0), bin_starts(10, 4))
    array([1. , 4. , 6.5, 8.5])
    """
    means: np.ndarray = np.add.reduceat(ordered, starts, dtype=np.float64) / np.diff(starts, append=ordered.size)
    return means
