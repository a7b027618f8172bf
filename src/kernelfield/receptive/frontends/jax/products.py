"""Rule of JAX's products; with a known matrix (of a resize) only elements with weights other than 0 are read."""

from __future__ import annotations

import numpy as np

from kernelfield.receptive.builder import Value
from kernelfield.receptive.frontends.jax.walk import Call, Result
from kernelfield.receptive.frontends.jax.windows import mapped, transposed
from kernelfield.receptive.graph import AxisMap


def dot(call: Call) -> Result:
    (contract_a, contract_b), (batch_a, batch_b) = call.params["dimension_numbers"]
    a, b = call.values
    for one, other, here, there in ((0, 1, contract_a, contract_b), (1, 0, contract_b, contract_a)):
        array, x = call.operands[other].array, call.values[one]
        if array is not None and len(here) == 1 and not batch_a and x.axes[here[0]] is not None and array.ndim <= 2:
            pattern = _pattern(np.moveaxis(array, there[0], 0).reshape(array.shape[there[0]], -1))
            if pattern.any():
                return _weighted(call, x, here[0], pattern, array.ndim == 2, first=one == 0)
    letters = iter("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    left = [next(letters) for _ in a.shape]
    right = [next(letters) for _ in b.shape]
    for i, j in (*zip(contract_a, contract_b), *zip(batch_a, batch_b)):
        right[j] = left[i]
    free_a = [left[i] for i in range(len(left)) if i not in (*contract_a, *batch_a)]
    free_b = [right[i] for i in range(len(right)) if i not in (*contract_b, *batch_b)]
    out = [left[i] for i in batch_a] + free_a + free_b
    return call.builder.einsum(call.name, f"{''.join(left)},{''.join(right)}->{''.join(out)}", a, b)


def _weighted(call: Call, x: Value, axis: int, pattern: np.ndarray, kept: bool, first: bool) -> Result:
    """Return the product with a known matrix along one axis of the grid; elements with weight 0 are not read."""
    shape = list(x.shape)
    if not kept:
        y = call.builder.take(call.name, x, axis=axis, indices=np.flatnonzero(pattern[:, 0]).tolist(), keep_axis=True)
        return call.builder.reduce(f"{call.name}/sum", y, axes=(axis,), keepdims=False, operation="sum")
    shape[axis] = pattern.shape[1]
    y = mapped(call, "weighted sum", x, shape, {axis: table_map(pattern)})
    others = [i for i in range(len(shape)) if i != axis]
    return transposed(call, y, [*others, axis] if first else [axis, *others])


def _pattern(weights: np.ndarray) -> np.ndarray:
    """Return a mask of the known weights that are larger than the rounding error of a zero."""
    size: np.ndarray = np.abs(weights)
    rounding = 16 * np.finfo(weights.dtype).eps if np.issubdtype(weights.dtype, np.floating) else 0
    found: np.ndarray = size > rounding * size.max(initial=0)
    return found


def table_map(pattern: np.ndarray) -> AxisMap:
    """Return the map that reads element `i` for output `j` where ``pattern[i, j]``, by its shortest period.

    A pattern that is periodic except for taps cut off at the borders gives a periodic map.
    """
    inputs, outputs = pattern.shape
    rows = [np.flatnonzero(pattern[:, j]) for j in range(outputs)]
    for period in range(1, min(outputs // 3, 64) + 1):
        steps = {round(period * inputs / outputs), round(period * (inputs - 1) / max(outputs - 1, 1))}
        middle = outputs // 2 // period * period
        for step in steps:
            start = middle // period * step
            taps = tuple(tuple(int(t) - start for t in rows[middle + r]) for r in range(period))
            if all(_agrees(row, taps[j % period], j // period * step, inputs) for j, row in enumerate(rows)):
                return AxisMap(period, step, taps)
    return AxisMap(outputs, inputs, tuple(tuple(map(int, row)) for row in rows))


def _agrees(row: np.ndarray, taps: tuple[int, ...], start: int, inputs: int) -> bool:
    return list(row) == [start + t for t in taps if 0 <= start + t < inputs]
