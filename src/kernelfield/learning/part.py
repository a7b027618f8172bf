"""The part of a large pair on which its filter is searched for and judged; all pixels are summed once for its support.

A rectangle, whose windows need no seams, of the usual detail: of places spread over the picture the one that exceeds
three quarters of the others in gradients that count.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kernelfield.learning.pair import Pair, Plane, memory_of

# Samples of a part, of all channels together; pairs of fewer than twice as many are taken whole.
_SAMPLES = 1 << 20
# Places along each axis, and the step between the pixels that their detail is taken from.
_PLACES, _EVERY = 5, 8
# Parts begin where a block of JPEG may.
_BLOCK = 8


def part_of(pair: Pair) -> Pair | None:
    """Return the part of a large pair whose detail is that of three quarters of it; None if the pair is small.

    Before and after have the same size in it; where they have not in the pair there is none.
    """
    height, width = pair.shapes[1]
    count = len(pair.planes)
    if not pair.same_size or height * width * count < 2 * _SAMPLES:
        return None
    side = int(np.sqrt(_SAMPLES / count))
    rows, columns = (
        min(height, max(side, _SAMPLES // (count * width))),
        min(width, max(side, _SAMPLES // (count * height))),
    )
    places = [
        (top, left)
        for top in np.linspace(0, height - rows, _PLACES).astype(int) // _BLOCK * _BLOCK
        for left in np.linspace(0, width - columns, _PLACES).astype(int) // _BLOCK * _BLOCK
    ]
    plane = pair.planes[count // 2]
    details = [_detail(plane, slice(top, top + rows), slice(left, left + columns)) for top, left in places]
    top, left = places[int(np.argsort(details, kind="stable")[len(places) * 3 // 4])]
    where = slice(top, top + rows), slice(left, left + columns)
    return replace(pair, planes=tuple(cut(one, where) for one in pair.planes))


def _detail(plane: Plane, rows: slice, columns: slice) -> float:
    """Return the sum of the gradients along the rows of the before, of pixels that count."""
    some = slice(rows.start, rows.stop, _EVERY), columns
    gradient = np.abs(np.diff(plane.before[some].astype(np.float32), axis=1))
    for bad in (plane.bad_before, plane.bad_after, plane.clipped):
        if bad is not None:
            gradient[bad[some][:, 1:]] = 0.0
    return float(gradient.sum(dtype=np.float64))


def cut(plane: Plane, where: tuple[slice, slice]) -> Plane:
    """Return a rectangle of a plane."""
    bad_before, bad_after, clipped = (
        None if mask is None or not mask[where].any() else mask[where]
        for mask in (plane.bad_before, plane.bad_after, plane.clipped)
    )
    before, after = plane.before[where], plane.after[where]
    return replace(
        plane,
        before=before,
        after=after,
        memory=memory_of(before, after),
        bad_before=bad_before,
        bad_after=bad_after,
        clipped=clipped,
    )
