"""Rules of the operations of `keras.ops` that move elements: padding, indexing, reshaping, repeating."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from kernelfield.receptive.builder import Value
from kernelfield.receptive.frontends.keras.walk import Call, Result

_MODES = {"constant": "constant", "edge": "nearest", "reflect": "mirror", "symmetric": "reflect", "wrap": "wrap"}


def pad(call: Call) -> Result:
    op, x = call.operation, call.x
    width = np.broadcast_to(np.asarray(op.pad_width), (x.ndim, 2))
    before, after = ([int(n) for n in width[:, i]] for i in (0, 1))
    if op.mode not in _MODES or len(call.values) > 1:
        return call.unknown()
    return call.builder.pad(call.name, x, before=before, after=after, mode=_MODES[op.mode])


def indexed(call: Call) -> Result:
    """Return ``x[key]``: integers, slices, new axes, an ellipsis, one list of indices."""
    x, key = call.x, call.argument(1, "key")
    keys = list(key) if isinstance(key, tuple) else [key]
    if any(isinstance(k, Value | bool) for k in keys):
        return call.unknown()
    named = sum(k is not None and k is not Ellipsis for k in keys)
    if not any(k is Ellipsis for k in keys):
        keys.append(Ellipsis)
    at = next(i for i, k in enumerate(keys) if k is Ellipsis)
    keys[at : at + 1] = [slice(None)] * (x.ndim - named)
    starts: list[int] = []
    stops: list[int | None] = []
    steps: list[int] = []
    shape: list[int] = []
    lists: list[tuple[int, list[int]]] = []
    for k in keys:
        axis = len(starts)
        if k is None:
            shape.append(1)
            continue
        n = x.shape[axis]
        if isinstance(k, slice):
            taken = range(*k.indices(n))
            shape.append(len(taken))
        elif hasattr(k, "__index__") and np.ndim(k) == 0:
            index = operator.index(k) % n
            taken = range(index, index + 1)
        else:
            indices = np.asarray(k)
            if indices.ndim != 1 or indices.dtype == bool or lists:
                return call.unknown()
            lists.append((axis, [int(i) for i in indices]))
            taken = range(n)
            shape.append(len(indices))
        starts.append(taken.start)
        stops.append(None if taken.stop < 0 else taken.stop)
        steps.append(taken.step)
    y = call.builder.slice(call.name, x, starts=starts, stops=stops, steps=steps)
    for axis, chosen in lists:
        y = call.builder.take(f"{call.name}/take", y, axis=axis, indices=chosen)
    return _shaped(call, y, shape)


def _shaped(call: Call, x: Value, shape: Sequence[int]) -> Value:
    return x if x.shape == tuple(shape) else call.builder.reshape(f"{call.name}/shape", x, shape=tuple(shape))


def slices(call: Call) -> Result:
    x, starts, shape = call.x, call.argument(1, "start_indices"), call.operation.shape
    if any(isinstance(s, Value) for s in starts):
        return call.unknown()
    first = [int(s) for s in starts]
    stops = [n if size == -1 else start + int(size) for n, start, size in zip(x.shape, first, shape)]
    return call.builder.slice(call.name, x, starts=first, stops=stops, steps=[1] * x.ndim)


def split(call: Call) -> Result:
    op, x = call.operation, call.x
    axis, n = op.axis % x.ndim, x.shape[op.axis]
    given = op.indices_or_sections
    if isinstance(given, int):
        # The remainder goes to the first sections, as in array_split.
        edges = [i * (n // given) + min(i, n % given) for i in range(given + 1)]
    else:
        edges = [0, *(int(i) for i in given), n]
    results = []
    for start, stop in itertools.pairwise(edges):
        starts, stops = [0] * x.ndim, list(x.shape)
        starts[axis], stops[axis] = start, stop
        results.append(call.builder.slice(call.name, x, starts=starts, stops=stops, steps=[1] * x.ndim))
    return results


def concatenate(call: Call) -> Result:
    items = [call.constant(item) for item in call.argument(0, "xs")]
    return call.builder.concatenate(call.name, items, axis=call.operation.axis % items[0].ndim)


def stack(call: Call) -> Result:
    items = [call.constant(item) for item in call.argument(0, "x")]
    axis = call.operation.axis % (items[0].ndim + 1)
    rows = [call.builder.reshape(f"{call.name}/axis", v, shape=[*v.shape[:axis], 1, *v.shape[axis:]]) for v in items]
    return call.builder.concatenate(call.name, rows, axis=axis)


def unstack(call: Call) -> Result:
    x, axis = call.x, call.operation.axis % call.x.ndim
    return [call.builder.take(call.name, x, axis=axis, indices=[i], keep_axis=False) for i in range(x.shape[axis])]


def reshape(call: Call) -> Result:
    shape = call.operation.newshape
    return call.builder.reshape(call.name, call.x, shape=[shape] if isinstance(shape, int) else list(shape))


def expand_dims(call: Call) -> Result:
    x = call.x
    axes = call.operation.axis
    axes = list(axes) if isinstance(axes, list | tuple) else [axes]
    rank = x.ndim + len(axes)
    sizes = iter(x.shape)
    new = {a % rank for a in axes}
    return call.builder.reshape(call.name, x, shape=[1 if i in new else next(sizes) for i in range(rank)])


def squeeze(call: Call) -> Result:
    x, axis = call.x, call.operation.axis
    gone = set(axes_of(axis, x.ndim)) if axis is not None else {i for i, n in enumerate(x.shape) if n == 1}
    return call.builder.reshape(call.name, x, shape=[n for i, n in enumerate(x.shape) if i not in gone])


def transpose(call: Call) -> Result:
    op, rank = call.operation, call.x.ndim
    kind = type(op).__name__
    order = list(range(rank))
    if kind == "Transpose":
        order = [a % rank for a in op.axes] if op.axes is not None else order[::-1]
    elif kind == "Swapaxes":
        a, b = op.axis1 % rank, op.axis2 % rank
        order[a], order[b] = b, a
    else:
        order = [int(i) for i in np.moveaxis(np.empty(tuple(range(rank))), op.source, op.destination).shape]
    return call.builder.transpose(call.name, call.x, permutation=order)


def repeat(call: Call) -> Result:
    op, x = call.operation, call.x
    if op.axis is None:
        return call.unknown()
    axis, repeats = op.axis % x.ndim, np.atleast_1d(np.asarray(op.repeats))
    if repeats.size == 1 and x.axes[axis] is not None:
        factor = int(repeats[0])
        return call.builder.resize(
            call.name,
            x,
            output=[x.shape[axis] * factor],
            spatial_axes=[axis],
            method="nearest",
            coordinates="asymmetric",
            nearest_mode="floor",
        )
    return call.builder.take(call.name, x, axis=axis, indices=np.repeat(np.arange(x.shape[axis]), repeats).tolist())


def tile(call: Call) -> Result:
    x = call.x
    repeats = call.operation.repeats
    repeats = [repeats] if isinstance(repeats, int) else list(repeats)
    rank = max(len(repeats), x.ndim)
    sizes = (1,) * (rank - x.ndim) + x.shape
    times = [1] * (rank - len(repeats)) + repeats
    return call.builder.expand(call.name, x, shape=[n * m for n, m in zip(sizes, times)])


def flip(call: Call) -> Result:
    x = call.x
    for axis in axes_of(call.operation.axis, x.ndim):
        if x.shape[axis] > 1:
            x = call.builder.take(call.name, x, axis=axis, indices=range(x.shape[axis] - 1, -1, -1))
    return x


def roll(call: Call) -> Result:
    op = call.operation
    if op.axis is None:
        return call.unknown()
    axes = axes_of(op.axis, call.x.ndim)
    shifts = list(op.shift) if isinstance(op.shift, list | tuple) else [op.shift] * len(axes)
    return call.builder.roll(call.name, call.x, shifts=shifts, axes=axes)


def take(call: Call) -> Result:
    x, indices = call.operand(0, "x"), call.argument(1, "indices")
    if isinstance(indices, Value) or call.operation.axis is None:
        return call.unknown()
    chosen = np.asarray(indices)
    axis = call.operation.axis % x.ndim
    y = call.builder.take(call.name, x, axis=axis, indices=[int(i) for i in chosen.reshape(-1)])
    return _shaped(call, y, [*x.shape[:axis], *chosen.shape, *x.shape[axis + 1 :]])


def axes_of(axis: Any, rank: int) -> list[int]:
    if axis is None:
        return list(range(rank))
    return [a % rank for a in (axis if isinstance(axis, list | tuple) else [axis])]
