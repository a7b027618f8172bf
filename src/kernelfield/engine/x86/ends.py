"""Where rows end: which tiles read columns beyond the image, and where what they read is to be found."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernelfield.geometry import Boundary, positions_read

_AT_ONCE = 32  # bytes that `sliding` copies at once, where a tile has so many


class Border(NamedTuple):
    """What lies beyond an image.

    Attributes
    ----------
    before : (int, int)
        Rows above and columns in front that the image is extended by. What the results read behind it is there too.
    boundary : str
    cval : float
        As `kernelfield.correlate` takes them; the dtype of the image holds it.
    """

    before: tuple[int, int] = (0, 0)
    boundary: Boundary = "constant"
    cval: float = 0.0


class Ends(NamedTuple):
    """Tiles at the ends of rows.

    Attributes
    ----------
    edge : int
        How many there are at one end, at the most.
    first, last : int
        Between these columns of results tiles read the image itself.
    pairs : ndarray of int32, shape (n, 2)
        Bytes from where a row begins to an element, and from where a row of scratch memory begins to its copy; first
        those of the left end.
    fields : dict
        Words of a task about the ends.
    """

    edge: int
    first: int
    last: int
    pairs: NDArray[Any]
    fields: dict[str, int]


def ends(columns: int, results: int, width: int, reach: int, step: int, itemsize: int, border: Border) -> Ends | None:
    """Return what happens at the ends of rows; None where they are too short for tiles between.

    Parameters
    ----------
    columns, results, width : int
        Elements of a row of the image and of the results, and results of a tile.
    reach : int
        Elements from the first to the last that a result reads.
    step : int
        Channels.
    itemsize : int
        Bytes of an element of the image.
    """
    before = border.before[1] * step
    after = results + reach - before - columns
    left, right = -(-before // width), -(-max(after, 0) // width)
    first, last = left * width, results - right * width
    nothing = np.zeros((0, 2), np.int32)
    if not (left or right):
        return Ends(0, 0, results, nothing, {})
    least = _AT_ONCE if width * itemsize >= _AT_ONCE else 8
    inside = [first + reach - before if left else 0, columns + before - last if right else 0]
    if last - first < width or any(0 < n * itemsize < least or n > columns for n in inside):
        return None
    if (left and inside[0] <= 0) or (right and inside[1] <= 0):
        return None
    outside = [np.arange(-before if left else 0, 0), np.arange(columns, columns + after if right else columns)]
    pairs = []
    for position, start in zip(outside, (-before, last - before)):
        read = positions_read(position // step, columns // step, border.boundary)
        source = read * step + position % step
        kept = read >= 0
        pairs.append((np.stack([source[kept] + before, position[kept] - start], axis=1) * itemsize).astype(np.int32))
    fields = {
        "left_from": before * itemsize, "left_to": before * itemsize, "left_bytes": inside[0] * itemsize,
        "left_pairs": len(pairs[0]), "right_from": last * itemsize, "right_to": 0,
        "right_bytes": inside[1] * itemsize, "right_pairs": len(pairs[1]),
    }  # fmt: skip
    return Ends(max(left, right), first, last, np.ascontiguousarray(np.concatenate(pairs)), fields)
