"""What a caller asks for: images out of what was given, the support by shapes, by wish, or by search."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernelfield.arrays.select import adapter_of
from kernelfield.errors import ArgumentError, DataError
from kernelfield.learning.exact import solve
from kernelfield.learning.pair import Pair
from kernelfield.learning.search import find_support
from kernelfield.learning.support import Support, centred

_LARGEST_SIZE = 63


def as_image(value: Any) -> Any:
    """Return what `value` holds as an array: of a tensor its numbers, of one image in a batch of one the image."""
    adapter = adapter_of(value)
    if adapter is not None:
        if not adapter.is_concrete(value):
            raise ArgumentError(
                "before, after: expected tensors with numbers in the memory of the CPU; move them there"
            )
        value = adapter.to_numpy(value)
    array = np.asarray(value)
    if array.ndim == 4 and array.shape[0] == 1 and 1 in (array.shape[1], array.shape[3]):
        return array[0, 0] if array.shape[1] == 1 else array[0, :, :, 0]
    return array


def choose_support(pair: Pair, size: Any, max_size: int) -> tuple[Support, bool, float | None]:
    """Return the support by shapes, by the caller's wish, or by search."""
    if not isinstance(max_size, (int, np.integer)) or not 1 <= max_size <= _LARGEST_SIZE:
        raise ArgumentError(f"max_size: expected an integer from 1 to {_LARGEST_SIZE}; received {max_size!r}")
    before, after = pair.shapes
    wish = None if size is None else check_size(size)
    if not pair.same_size:
        implied = before[0] - after[0] + 1, before[1] - after[1] + 1
        if wish not in (None, implied):
            raise ArgumentError(
                f"size: expected {implied[0]}×{implied[1]}, as an after of {after[0]}×{after[1]} from a before of "
                f"{before[0]}×{before[1]} says; received {wish[0]}×{wish[1]}; leave it out"
            )
        if max(implied) > _LARGEST_SIZE:
            raise ArgumentError(
                f"after: expected at most {_LARGEST_SIZE - 1} rows and columns less than before's "
                f"{before[0]}×{before[1]}; received {after[0]}×{after[1]}; crop both to the same scene"
            )
        support = Support(0, 0, *implied)
    elif wish is not None:
        support = centred(wish)
    else:
        return find_support(pair, int(max_size))
    positions = support.positions(before, after)
    room = [p.stop - p.start for p in positions]
    coefficients = support.rows * support.columns
    if min(room) <= 0 or room[0] * room[1] * len(pair.planes) < coefficients + len(pair.planes):
        raise DataError(
            f"size: expected at least {coefficients + 1} positions for {support.rows}×{support.columns} coefficients "
            f"and an offset; received {max(0, room[0]) * max(0, room[1])} in an image of {before[0]}×{before[1]}; "
            "take a smaller size or a larger image"
        )
    return support, _needs_censoring(pair, support), None


def check_size(size: Any) -> tuple[int, int]:
    """Return `size` for both axes."""
    values = size if isinstance(size, tuple) else (size, size)
    if len(values) != 2 or not all(isinstance(v, (int, np.integer)) and 1 <= v <= _LARGEST_SIZE for v in values):
        raise ArgumentError(f"size: expected one or two integers from 1 to {_LARGEST_SIZE}; received {size!r}")
    return int(values[0]), int(values[1])


def _needs_censoring(pair: Pair, support: Support) -> bool:
    """Return whether clipped values spoil the fit, so that they have to be left out."""
    if not pair.clipped:
        return False
    moments = pair.moments(support, False)
    kernel = solve(moments).kernel
    noise = moments.unexplained(kernel) / moments.freedom
    return noise > pair.exact_variance(moments.square, moments.count, float(kernel @ kernel))
