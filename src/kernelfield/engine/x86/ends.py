"""Where rows end: what of a row is beyond the image, and where that is to be found."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernelfield.engine._arguments import address_of
from kernelfield.geometry import Boundary, positions_read

#: Columns of a chunk of `passes`: rows of so many, and of a tile, stay in the first-level cache.
CHUNK = 512

_FAR = 1 << 31  # bytes: pairs are of 32 bits
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
    """What happens at the ends of rows.

    Attributes
    ----------
    edge : int
        Tiles at one end that read beyond the image, at the most; only whether there are any, for `passes`.
    fields : dict
        Words of a task.
    memory : tuple of ndarray
        What those point to.
    """

    edge: int
    fields: dict[str, int]
    memory: tuple[NDArray[Any], ...] = ()


def tiles(columns: int, results: int, width: int, reach: int, step: int, itemsize: int, border: Border) -> Ends | None:
    """Return what `sliding` does at the ends of rows; None where they are too short for tiles between.

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
    if results < width or columns * itemsize >= _FAR:
        return None
    before = border.before[1] * step
    after = results + reach - before - columns
    left, right = -(-before // width), -(-max(after, 0) // width)
    first, last = left * width, results - right * width
    known = {"first": first, "columns": last, "last_column": last - width, "width": results}
    if not (left or right):
        return Ends(0, known)
    least = _AT_ONCE if width * itemsize >= _AT_ONCE else 8
    inside = [n for n, there in ((first + reach - before, left), (columns + before - last, right)) if there]
    if last - first < width or any(n * itemsize < least or n > columns for n in inside):
        return None
    pairs = []
    for outside, start in (
        (np.arange(-before, 0), -before),
        (np.arange(columns, columns + max(after, 0)), last - before),
    ):
        source = _elements(outside, columns, step, border.boundary)
        kept = source >= 0
        pairs.append((np.stack([source[kept] + before, outside[kept] - start], axis=1) * itemsize).astype(np.int32))
    listed = np.ascontiguousarray(np.concatenate(pairs))
    known |= {
        "left_from": before * itemsize, "left_to": before * itemsize, "left_pairs": len(pairs[0]),
        "left_bytes": (first + reach - before) * itemsize if left else 0,
        "right_from": last * itemsize, "right_to": 0, "right_pairs": len(pairs[1]),
        "right_bytes": (columns + before - last) * itemsize if right else 0, "pairs": address_of(listed),
    }  # fmt: skip
    return Ends(max(left, right), known, (listed,))


def rows(
    columns: int,
    results: int,
    width: int,
    reach: int,
    step: int,
    itemsizes: tuple[int, int],
    border: Border,
    least: int,
) -> Ends | None:
    """Return what `converted` does with a row; None where it has fewer elements than are converted at a time.

    Parameters
    ----------
    columns, results, width, reach, step, border
        As `tiles` takes them.
    itemsizes : (int, int)
        Bytes of an element of the image, and of a sum.
    least : int
        Elements that are converted at a time.
    """
    before = border.before[1] * step
    after = results + reach - before - columns
    needed = min(columns, columns + after)
    outside = np.concatenate([np.arange(-before, 0), np.arange(columns, columns + max(after, 0))])
    source = _elements(outside, columns, step, border.boundary)
    if source.max(initial=-1) >= needed:
        needed = columns
    if results < width or needed < least or (before + needed + max(after, 0)) * itemsizes[1] >= _FAR:
        return None
    kept = source >= 0
    listed = np.ascontiguousarray(np.stack([source[kept], outside[kept]], axis=1) * itemsizes[1], dtype=np.int32)
    pitch = -(-(before + max(needed, results + reach - before)) * itemsizes[1] // 64) * 64 + 64
    known = {
        "columns": results, "last_column": results - width, "pitch": pitch + 64 * (pitch % 4096 == 0),
        "row_from": before * itemsizes[0], "row_to": before * itemsizes[1], "row_last": needed - least,
        "row_columns": needed, "row_pairs": len(listed), "pairs": address_of(listed),
    }  # fmt: skip
    return Ends(0, known, (listed,))


def chunks(
    columns: int, results: int, width: int, reach: int, step: int, itemsize: int, border: Border, zero: int
) -> Ends | None:
    """Return what `passes` does for each chunk of a row; None where a chunk is too short, or needs another.

    Parameters
    ----------
    columns, results, width, reach, step, border
        As `tiles` takes them.
    itemsize : int
        Bytes of a sum.
    zero : int
        Where a row between the passes has a 0, in bytes from its first element.
    """
    if results < width:
        return None
    before = border.before[1] * step
    records, listed = [], [np.zeros((0, 2), np.int32)]
    for begin in range(0, results, CHUNK):
        start = min(begin, results - width)
        read = min(begin + CHUNK, results) - start + reach
        place = start - before + np.arange(read)
        inside = (place >= 0) & (place < columns)
        low, high = int(inside.argmax()), int(inside.argmax() + inside.sum())
        if high - low < width:
            return None
        source = _elements(place[~inside], columns, step, border.boundary) - (start - before)
        if border.boundary == "constant":
            source = np.full(len(source), zero // itemsize)
        elif ((source < low) | (source >= high)).any():
            return None
        records.append((low, high, sum(map(len, listed)), len(source)))
        listed.append((np.stack([source, np.flatnonzero(~inside)], axis=1) * itemsize).astype(np.int32))
    pairs = np.ascontiguousarray(np.concatenate(listed))
    table = np.array(records, np.int64)
    table[:, 2] = address_of(pairs) + 8 * table[:, 2]
    known = {"columns": results, "last_column": results - width, "chunks": address_of(table)}
    return Ends(int(len(pairs) > 0), known, (table, pairs))


def _elements(places: NDArray[Any], columns: int, step: int, boundary: Boundary) -> NDArray[Any]:
    """Return the elements of a row of so many that places read; negative ones for the constant."""
    read = positions_read(places // step, columns // step, boundary)
    elements: NDArray[Any] = read * step + places % step
    return np.where(read < 0, -(1 << 40), elements)
