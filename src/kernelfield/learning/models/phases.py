"""A before as the phases of a stride, over which a kernel with a stride is a bank of kernels of stride 1.

The phase ``a`` is the plane of the pixels ``stride * q + a``.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kernelfield.learning.models.joint import Task
from kernelfield.learning.pair import Pair, Plane
from kernelfield.learning.support import Support


def phases_of(pair: Pair, stride: tuple[int, int]) -> Task:
    """Return the phases of the before as sources; channels lie below each other, apart by a row that does not count."""
    height, width = pair.shapes[1]
    sources, shift = [], pair.planes[0].before_shift
    bad = np.zeros((len(pair.planes) * (height + 1), width), bool)
    for row in range(stride[0]):
        for column in range(stride[1]):
            parts = []
            for number, plane in enumerate(pair.planes):
                phase = plane.before[row :: stride[0], column :: stride[1]][:height, :width]
                margins = [(0, height + 1 - phase.shape[0]), (0, width - phase.shape[1])]
                parts.append(np.pad(phase, margins, constant_values=int(shift)))
                own = bad[number * (height + 1) : (number + 1) * (height + 1)]
                own[phase.shape[0] :] = True
                own[:, phase.shape[1] :] = True
                if plane.bad_before is not None:
                    missing = plane.bad_before[row :: stride[0], column :: stride[1]][:height, :width]
                    own[: missing.shape[0], : missing.shape[1]] |= missing
            sources.append(np.concatenate(parts))
    target = _stacked(pair.planes, sources[0], bad)
    return Task(tuple(sources), (shift,) * len(sources), (target,), pair)


def _stacked(planes: tuple[Plane, ...], source: np.ndarray, bad: np.ndarray) -> Plane:
    """Return the afters of all planes below each other, each with a row that does not count."""
    below = [(0, 1), (0, 0)]
    afters = [np.pad(plane.after, below, constant_values=int(planes[0].after_shift)) for plane in planes]
    masks = []
    for plane in planes:
        mask = np.zeros(plane.after.shape, bool) if plane.bad_after is None else plane.bad_after
        masks.append(np.pad(mask, below, constant_values=True))
    clipped = None
    if any(plane.clipped is not None for plane in planes):
        none = np.zeros(planes[0].after.shape, bool)
        clipped = np.concatenate([np.pad(none if p.clipped is None else p.clipped, below) for p in planes])
    return replace(
        planes[0],
        before=source,
        after=np.concatenate(afters),
        bad_before=bad if bad.any() else None,
        bad_after=np.concatenate(masks),
        clipped=clipped,
    )


def covering(given: Support, stride: tuple[int, int]) -> Support:
    """Return the support over the phases that covers a support over the before."""
    spans = []
    for first, n, s in ((given.top, given.rows, stride[0]), (given.left, given.columns, stride[1])):
        start = first // s
        spans.append((start, (first + n - 1) // s - start + 1))
    return Support(spans[0][0], spans[1][0], spans[0][1], spans[1][1])


def interleaved(support: Support, stride: tuple[int, int]) -> tuple[np.ndarray, Support]:
    """Return the numbers of the weights over the phases, by row and column of the before, and the support there.

    Examples
    --------
    >>> interleaved(Support(0, 0, 1, 2), (1, 2))
    (array([[0, 2, 1, 3]]), Support(top=0, left=0, rows=1, columns=4, separable=False))
    """
    (down, right), (rows, columns) = stride, support.size
    numbers = np.arange(down * right * rows * columns).reshape(down, right, rows, columns).transpose(2, 0, 3, 1)
    table = numbers.reshape(rows * down, columns * right)
    return table, Support(support.top * down, support.left * right, *table.shape)
