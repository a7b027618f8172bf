"""Rules of JAX's slices, gathers and scatters with known indices."""

from __future__ import annotations

import numpy as np

from kernelfield.receptive.builder import Value
from kernelfield.receptive.frontends.jax.walk import Call, Result
from kernelfield.receptive.frontends.jax.windows import transposed


def slices(call: Call) -> Result:
    p, x = call.params, call.values[0]
    steps = p["strides"] or (1,) * len(x.shape)
    return call.builder.slice(call.name, x, starts=p["start_indices"], stops=p["limit_indices"], steps=steps)


def reverse(call: Call) -> Result:
    x = call.values[0]
    for axis in call.params["dimensions"]:
        if x.axes[axis] is not None:
            x = call.builder.take(call.name, x, axis=axis, indices=range(x.shape[axis] - 1, -1, -1))
    return x


def splits(call: Call) -> Result:
    x, axis = call.values[0], call.params["axis"]
    results, start = [], 0
    for size in call.params["sizes"]:
        results.append(part_of(call, x, {axis: (start, start + size)}))
        start += size
    return results


def part_of(call: Call, x: Value, ranges: dict[int, tuple[int, int]]) -> Value:
    starts = [ranges.get(i, (0, n))[0] for i, n in enumerate(x.shape)]
    stops = [ranges.get(i, (0, n))[1] for i, n in enumerate(x.shape)]
    return call.builder.slice(call.name, x, starts=starts, stops=stops, steps=[1] * len(starts))


def dynamic_slice(call: Call) -> Result:
    x, starts = call.values[0], [o.array for o in call.operands[1:]]
    ranges = {}
    for i, (start, size) in enumerate(zip(starts, call.params["slice_sizes"])):
        if size != x.shape[i]:
            if start is None:
                return call.unknown()
            first = int(np.clip(start, 0, x.shape[i] - size))
            ranges[i] = (first, first + size)
    return part_of(call, x, ranges)


def dynamic_update_slice(call: Call) -> Result:
    x, update = call.values[:2]
    starts = [o.array for o in call.operands[2:]]
    axes = [i for i in range(len(x.shape)) if x.shape[i] != update.shape[i]]
    if not axes:
        return update
    start = starts[axes[0]]
    if len(axes) > 1 or start is None:
        return call.unknown()
    axis, size = axes[0], update.shape[axes[0]]
    first = int(np.clip(start, 0, x.shape[axis] - size))
    return _replaced(call, x, update, axis, first)


def scatter(call: Call) -> Result:
    """Return an array with some rows along one axis replaced, at known indices: ``x.at[:, 2].set(row)``."""
    x, update, indices = call.values[0], call.values[2], call.operands[1].array
    numbers = call.params["dimension_numbers"]
    axes = numbers.scatter_dims_to_operand_dims
    if indices is None or len(axes) != 1 or numbers.operand_batching_dims or indices.ndim != 1:
        return call.unknown()
    axis, start = axes[0], int(indices[0])
    if numbers.inserted_window_dims:
        update = call.builder.reshape(
            f"{call.name}/axis", update, shape=[*update.shape[:axis], 1, *update.shape[axis:]]
        )
    if any(n != m for i, (n, m) in enumerate(zip(x.shape, update.shape)) if i != axis):
        return call.unknown()
    return x if not 0 <= start <= x.shape[axis] - update.shape[axis] else _replaced(call, x, update, axis, start)


def _replaced(call: Call, x: Value, update: Value, axis: int, start: int) -> Value:
    stop, end = start + update.shape[axis], x.shape[axis]
    pieces = [
        *([part_of(call, x, {axis: (0, start)})] if start else []),
        update,
        *([part_of(call, x, {axis: (stop, end)})] if stop < end else []),
    ]
    return call.builder.concatenate(call.name, pieces, axis=axis) if len(pieces) > 1 else update


def gather(call: Call) -> Result:
    """Return rows at known indices along one axis, or along several axes with one list of indices for each."""
    x, indices = call.values[0], call.operands[1].array
    p = call.params
    numbers, sizes = p["dimension_numbers"], p["slice_sizes"]
    if x.node is None or indices is None or numbers.operand_batching_dims or not indices.size:
        return call.unknown()
    lists = _separated(indices)
    if lists is None:
        return call.unknown()
    batch = indices.shape[:-1]
    # For each indexed axis the axis of the indices along which it varies.
    runs: dict[int, int | None] = {}
    for axis, (along, places) in zip(numbers.start_index_map, lists):
        limit = x.shape[axis] - sizes[axis]
        inside = np.clip(places, 0, limit)
        if "FILL" in str(p["mode"]) and (inside != places).any():
            return call.unknown()
        if axis in numbers.collapsed_slice_dims:
            x = call.builder.take(call.name, x, axis=axis, indices=inside.tolist())
            runs[axis] = along
        elif along is None:
            x = part_of(call, x, {axis: (int(inside[0]), int(inside[0]) + sizes[axis])})
        else:
            return call.unknown()
    for axis, size in enumerate(sizes):
        if axis not in numbers.start_index_map and size != x.shape[axis]:
            x = part_of(call, x, {axis: (0, size)})
    used = [along for along in runs.values() if along is not None]
    if len(set(used)) != len(used) or any(n > 1 and i not in used for i, n in enumerate(batch)):
        return call.unknown()
    # Batch axes stand where no offset axis does; the final reshape inserts those of extent 1.
    offsets = [a for a in range(len(sizes)) if a not in numbers.collapsed_slice_dims]
    order, shape = [], list(call.shapes[0])
    batch_axes = iter([next((a for a, along in runs.items() if along == i), None) for i in range(len(batch))])
    kept = iter(offsets)
    for place in range(len(shape)):
        axis_or_none = next(kept) if place in numbers.offset_dims else next(batch_axes)
        if axis_or_none is not None:
            order.append(axis_or_none)
    order += [a for a in range(len(x.shape)) if a not in order]
    return call.builder.reshape(f"{call.name}/shape", transposed(call, x, order), shape=shape)


def _separated(indices: np.ndarray) -> list[tuple[int | None, np.ndarray]] | None:
    """Return, for each component of indices (..., k), the only axis along which it varies, or None, and its values."""
    grids = [indices[..., k] for k in range(indices.shape[-1])]
    varying = [[i for i in range(g.ndim) if (g != np.take(g, [0], axis=i)).any()] for g in grids]
    if any(len(axes) > 1 for axes in varying):
        return None
    # Along an axis on which no component depends the same index is repeated.
    free = [i for i, n in enumerate(indices.shape[:-1]) if n > 1 and [i] not in varying]
    lists: list[tuple[int | None, np.ndarray]] = []
    for grid, axes in zip(grids, varying):
        along = axes[0] if axes else free.pop(0) if free else None
        first = (
            grid.reshape(-1)[:1] if along is None else np.moveaxis(grid, along, 0).reshape(grid.shape[along], -1)[:, 0]
        )
        lists.append((along, first))
    return lists
