"""An oracle that knows nothing of graphs: elements of the input are set to NaN, one set at a time, and spread.

A NaN times a weight is NaN, and so is a maximum or a rectified value of one (in PyTorch and JAX; TensorFlow and ONNX
Runtime drop NaN in a maximum): the outputs that are NaN are those that read one of the elements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import numpy as np

from kernelfield.receptive.relations import reached


def probe(
    function: Callable,
    shape: Sequence[int],
    elements: Sequence[np.ndarray],
    spatial: Sequence[int] = (2, 3),
    batched: bool = False,
) -> list[np.ndarray]:
    """Return the positions where a function of an array is NaN when some elements of its input are.

    Parameters
    ----------
    function : callable
        From a float32 array of `shape` to an array.
    shape : sequence of int
        Of the input, batch and channels included.
    elements : sequence of array of bool
        Sets over the spatial axes of the input: one is set to NaN at a time.
    spatial : sequence of int
        These axes, ascending.
    batched : bool
        Whether the function takes many inputs at once, along the first axis.
    """
    spread = [n if t in spatial else 1 for t, n in enumerate(shape)]
    values = np.random.default_rng(3).uniform(0.5, 1.5, shape).astype(np.float32)
    clean = np.asarray(function(values))
    assert np.isfinite(clean).all(), "a probe needs finite outputs without NaN"
    spoilt = [np.where(chosen.reshape(spread), np.float32(np.nan), values) for chosen in elements]
    if batched:
        return list(np.isnan(np.asarray(function(np.concatenate(spoilt))))[:, None])
    return [np.isnan(np.asarray(function(array))) for array in spoilt]


def probes(extents: Sequence[int], singles: int = 4) -> Iterator[np.ndarray]:
    """Yield sets of elements: every row, every column (every hyperplane of every axis), and some single elements."""
    for axis, extent in enumerate(extents):
        for place in range(extent):
            chosen = np.zeros(extents, bool)
            chosen[(slice(None),) * axis + (place,)] = True
            yield chosen
    places = list(product(*map(range, extents)))
    for place in places[:: max(1, len(places) // singles)]:
        chosen = np.zeros(extents, bool)
        chosen[place] = True
        yield chosen


def check(graph, function, shape, spatial=(2, 3), kept=None, singles=4, name=None, batched=False):
    """Assert that what a probe finds is what the graph says, for rows, columns and single elements.

    Parameters
    ----------
    kept : sequence of int, optional
        Axes of the output that are those of the layer's grid, in order; those from 2 on if not given. NaN along the
        other axes count together.
    name : str, optional
        The layer whose units the function returns; the last one if not given.
    """
    name = graph.nodes[-1].name if name is None else name
    chosen = list(probes([shape[t] for t in spatial], singles))
    for elements, found in zip(chosen, probe(function, shape, chosen, spatial, batched)):
        axes = range(2, found.ndim) if kept is None else kept
        found = found.any(axis=tuple(t for t in range(found.ndim) if t not in axes))
        expected = reached(graph, elements, name)
        assert found.shape == expected.shape
        assert np.array_equal(found, expected), f"{name}: {np.argwhere(found != expected)[:5].tolist()}"
