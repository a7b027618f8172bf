"""Operations that move elements: padding, slices, gathering, rolling, concatenation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from kernelfield.errors import ArgumentError
from kernelfield.geometry import boundary_index, check_boundary
from kernelfield.receptive.builder.core import NOTHING, Core, Read
from kernelfield.receptive.builder.promotion import promoted_where
from kernelfield.receptive.builder.value import Value
from kernelfield.receptive.graph import AxisMap, Link


def pad(
    builder: Core, name: str, x: Value, *, before: Sequence[int], after: Sequence[int], mode: str = "constant"
) -> Value:
    """Return a padded value; a negative padding crops.

    Parameters
    ----------
    name : str
    x : Value
    before, after : sequence of int
        For each axis of the tensor.
    mode : str
        The boundary rule, by the names of `kernelfield.geometry.BOUNDARIES`: PyTorch's and NumPy's reflect is
        ``"mirror"``.
    """
    outside = check_boundary(mode)
    shape = [n + b + a for n, b, a in zip(x.shape, before, after, strict=True)]
    grid = [axis is not None for axis in x.axes]
    labels = x.labels
    maps: dict[int, AxisMap | Link] = {}
    for t, (n, b, a) in enumerate(zip(x.shape, before, after, strict=True)):
        if not b and not a:
            continue
        if grid[t]:
            maps[t] = AxisMap(1, 1, ((-b,),), outside)
        elif x.node is not None and (x.varies(t) or outside == "constant") and n + b + a > 0:
            labels = _extended(builder.labels(x) if labels is None else labels, t, n, boundary_index(n, b, a, outside))
    return builder.add(name, "pad", shape, grid, [Read(x, builder.links(x, grid, maps), labels=labels)], detail=mode)


def _extended(labels: np.ndarray, axis: int, n: int, index: np.ndarray) -> np.ndarray:
    full = np.broadcast_to(labels, [n if t == axis else m for t, m in enumerate(labels.shape)])
    taken = full.take(np.maximum(index, 0), axis)
    inside = (index >= 0).reshape([-1 if t == axis else 1 for t in range(labels.ndim)])
    return np.where(inside, taken, NOTHING)


def strided_slice(
    builder: Core, name: str, x: Value, *, starts: Sequence[int], stops: Sequence[int | None], steps: Sequence[int]
) -> Value:
    """Return a slice along every axis of the tensor, by Python's rules; a stop of None is the end."""
    indices = []
    for n, start, stop, step in zip(x.shape, starts, stops, steps, strict=True):
        if step == 0:
            raise ArgumentError(f"{name}: expected steps that are not 0; received {tuple(steps)}")
        indices.append(range(*slice(start, stop, step).indices(n)))
    return _gathered(builder, name, "slice", x, indices)


def take(builder: Core, name: str, x: Value, *, axis: int, indices: Sequence[int], keep_axis: bool = True) -> Value:
    """Return the elements at some indices along an axis; without `keep_axis` the one element, without that axis."""
    t = x.axis(axis)
    n = x.shape[t]
    chosen = [int(i) for i in indices]
    if not chosen or not all(-n <= i < n for i in chosen):
        raise ArgumentError(f"{name}: expected indices of an axis of {n}; received {chosen[:8]}")
    if not keep_axis and len(chosen) != 1:
        raise ArgumentError(f"{name}: expected one index to drop an axis; received {len(chosen)}")
    ranges: list[Sequence[int]] = [range(m) for m in x.shape]
    ranges[t] = [i % n for i in chosen]
    return _gathered(builder, name, "take", x, ranges, None if keep_axis else t)


def _gathered(
    builder: Core, name: str, operation: str, x: Value, indices: Sequence[Sequence[int]], dropped: int | None = None
) -> Value:
    grid = [axis is not None and t != dropped for t, axis in enumerate(x.axes)]
    labels, maps = x.labels, {}
    for t, index in enumerate(indices):
        if index == range(x.shape[t]) and t != dropped:
            continue
        if x.axes[t] is not None:
            maps[t] = Link((), AxisMap.fixed(index[0])) if t == dropped else _listed(index)
        elif labels is not None and labels.shape[t] > 1:
            labels = labels.take(np.asarray(index), t)
    links = builder.links(x, grid, maps)
    shape = [len(index) for index in indices]
    if dropped is None:
        return builder.add(name, operation, shape, grid, [Read(x, links, labels=labels)])
    del shape[dropped], grid[dropped]
    labels = None if labels is None else labels.squeeze(dropped)
    return builder.add(name, operation, shape, grid, [Read(x, links, labels=labels)])


def pick(
    builder: Core, name: str, operation: str, x: Value, *, sources: np.ndarray, base: Value | None = None
) -> Value:
    """Return a tensor each of whose elements reads known elements of a value: gathering, scattering, diagonals.

    Parameters
    ----------
    name, operation : str
    x : Value
    sources : array of int, shape (n, *shape)
        For each element of the result flat indices of the elements of `x` that it reads; -1 for none.
    base : Value, optional
        Of the same shape as the result: a tensor that each element reads at its own position too.
    """
    shape = sources.shape[1:]
    places = list(x.grid)
    inside = sources >= 0
    flat = np.where(inside, sources, 0)
    indices = np.unravel_index(flat, x.shape) if x.shape else ()
    # Where nothing is read, the neighbour's index keeps the axis of a coordinate that does not vary.
    follows = [[_varies(np.where(inside, indices[t], -1), u) for u in range(len(shape))] for t in places]
    absent = [_varies(inside, u) for u in range(len(shape))]
    grid = [any(along[u] for along in follows) for u in range(len(shape))]
    if base is not None:
        base = promoted_where(builder, base, grid)
        grid = [within or axis is not None for within, axis in zip(grid, base.axes, strict=True)]
    numbers = [sum(grid[:u]) for u in range(len(shape))]
    labels = np.broadcast_to(builder.labels(x), x.shape).ravel()[flat]
    reads = []
    for k in range(len(sources)):
        links = []
        for position, t in enumerate(places):
            axes = [u for u in range(len(shape)) if grid[u] and (follows[position][u] or (not position and absent[u]))]
            links.append(_link(indices[t][k], inside[k], axes, numbers))
        kept = np.where(inside[k], labels[k], NOTHING)
        whole = x.labels is None and not any(absent[u] and not grid[u] for u in range(len(shape)))
        if inside[k].any():
            reads.append(Read(x, tuple(links), labels=None if whole else builder.along(x, kept, grid)))
    if base is not None and base.node is not None:
        reads.append(Read(base, builder.links(base, grid), labels=base.labels))
    return builder.add(name, operation, shape, grid, reads) if reads else builder.constant(shape)


def _varies(array: np.ndarray, axis: int) -> bool:
    """Return whether arrays, stacked along the first axis, vary along a further one."""
    return bool((array != array.take([0], axis + 1)).any())


def _link(index: np.ndarray, inside: np.ndarray, axes: Sequence[int], numbers: Sequence[int]) -> Link:
    """Return the link of units to the one index that each of them reads, by the axes along which it varies."""
    others = tuple(u for u in range(index.ndim) if u not in axes)
    there = inside.any(axis=others).ravel().tolist()
    chosen = np.where(inside, index, -1).max(axis=others, initial=-1).ravel().tolist()
    if len(axes) == 1 and all(there):
        return Link((numbers[axes[0]],), _listed(chosen))
    taps = tuple((tap,) if some else () for tap, some in zip(chosen, there, strict=True))
    return Link(tuple(numbers[u] for u in axes), AxisMap(len(taps), 0, taps))


def roll(builder: Core, name: str, x: Value, *, shifts: Sequence[int], axes: Sequence[int]) -> Value:
    """Return a value rolled along some axes: elements that leave at one end enter at the other."""
    grid = [axis is not None for axis in x.axes]
    labels = x.labels
    maps: dict[int, AxisMap | Link] = {}
    total: dict[int, int] = {}
    for shift, t in zip(shifts, map(x.axis, axes), strict=True):
        total[t] = total.get(t, 0) + shift
    for t, shift in total.items():
        if grid[t]:
            maps[t] = AxisMap(1, 1, ((-shift,),), "wrap")
        elif labels is not None:
            labels = np.roll(labels, shift, t)
    return builder.add(name, "roll", x.shape, grid, [Read(x, builder.links(x, grid, maps), labels=labels)])


def concatenate(builder: Core, name: str, xs: Sequence[Value], *, axis: int) -> Value:
    """Return the concatenation of values along a spatial axis or an axis of channels."""
    t = xs[0].axis(axis)
    places = [sum(x.shape[t] for x in xs[:i]) for i in range(len(xs))]
    shape = [sum(x.shape[t] for x in xs) if u == t else n for u, n in enumerate(xs[0].shape)]
    grid = [any(x.axes[u] is not None and x.shape[u] == n for x in xs) for u, n in enumerate(shape)]
    grid[t] = any(x.axes[t] is not None for x in xs)
    xs = [promoted_where(builder, x, grid) for x in xs]
    if grid[t]:
        return _joined(builder, name, xs, t, places, shape, grid)
    reads = []
    for x, place in zip(xs, places, strict=True):
        if x.node is not None:
            index = np.full(shape[t], -1)
            index[place : place + x.shape[t]] = range(x.shape[t])
            reads.append(Read(x, builder.links(x, grid), labels=_extended(builder.labels(x), t, x.shape[t], index)))
    return builder.add(name, "concatenate", shape, grid, reads)


def _joined(
    builder: Core, name: str, xs: Sequence[Value], t: int, places: Sequence[int], shape: list[int], grid: list[bool]
) -> Value:
    """Return the concatenation along a spatial axis."""
    number = sum(grid[:t])
    reads = []
    for x, place in zip(xs, places, strict=True):
        links = builder.links(x, grid, {t: AxisMap.window(1, before=place)})
        units = ((number, place, place + x.shape[t]),) if x.shape[t] else ()
        reads.append(Read(x, links, labels=x.labels, units=units))
    return builder.add(name, "concatenate", shape, grid, reads)


def _listed(index: Sequence[int]) -> AxisMap:
    """Return the map that reads a list of indices; one with a constant step needs no table."""
    if isinstance(index, range):
        return AxisMap(1, index.step, ((index.start,),))
    step = index[1] - index[0] if len(index) > 1 else 1
    if all(b - a == step for a, b in pairwise(index)):
        return AxisMap(1, step, ((index[0] if index else 0,),))
    return AxisMap(len(index), 0, tuple((i,) for i in index))
