"""Exact sets for a known image size: the elements that units read, and the units that elements affect.

Sets are boolean arrays over the grids of nodes. Along one axis a map is a boolean matrix (units × elements); an edge
whose links depend on different axes of its node is a product of such matrices, applied one axis after the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelfield.geometry import boundary_index
from kernelfield.receptive.graph import AxisMap, Edge, Graph, Link, Node

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# Units at a time, for edges of which two links depend on the same axis.
_UNITS_AT_ONCE = 1 << 16


def elements_read(map: AxisMap, units: int, extent: int) -> np.ndarray:
    """Return the elements of a source that each unit reads.

    Parameters
    ----------
    map : AxisMap
        From units to elements.
    units : int
        Number of units.
    extent : int
        Number of elements of the source.

    Returns
    -------
    array of int, shape (units, taps)
        Indices of elements; -1 where a tap reads none. An element may occur twice.

    Examples
    --------
    >>> elements_read(AxisMap.window(3, stride=2, before=1), 2, 4).tolist()
    [[-1, 0, 1], [1, 2, 3]]
    """
    counts = np.array([len(taps) for taps in map.taps])
    count = int(counts.max())
    table = np.zeros((map.period, count), np.int64)
    for phase, taps in enumerate(map.taps):
        table[phase, : len(taps)] = taps
    unit = np.arange(units)
    index = (unit // map.period * map.step)[:, None] + table[unit % map.period]
    there = np.arange(count) < counts[unit % map.period][:, None]
    if map.outside != "constant" and there.any():
        read = index[there]
        before, after = max(0, -int(read.min())), max(0, int(read.max()) - extent + 1)
        index = boundary_index(extent, before, after, map.outside)[np.where(there, index, 0) + before]
    return np.where(there & (index >= 0) & (index < extent), index, -1)


@lru_cache(maxsize=512)
def relation(map: AxisMap, units: int, extent: int) -> csr_array:
    """Return the boolean matrix (units × elements) of a map along one axis.

    Examples
    --------
    >>> relation(AxisMap.window(2), 2, 3).toarray().astype(int).tolist()
    [[1, 1, 0], [0, 1, 1]]
    """
    from scipy.sparse import csr_array

    index = elements_read(map, units, extent)
    unit, tap = np.nonzero(index >= 0)
    ones = np.ones(len(unit), bool)
    return csr_array((ones, (unit, index[unit, tap])), shape=(units, extent))


def seen(graph: Graph, name: str, units: np.ndarray, source: str | None = None) -> np.ndarray:
    """Return the elements of the image that a set of units reads, from these units backwards.

    Parameters
    ----------
    graph : Graph
    name : str
        The node of the units.
    units : array of bool
        Over the node's grid.
    source : str, optional
        The node whose elements to return instead of the image's.

    Returns
    -------
    array of bool
        Over the grid of the image.
    """
    return seen_by(graph, {name: np.asarray(units, bool)}, source)


def seen_by(graph: Graph, units: dict[str, np.ndarray], source: str | None = None) -> np.ndarray:
    """Return the elements of the image, or of another node, that sets of units of several nodes read.

    Parameters
    ----------
    graph : Graph
    units : dict of str to array of bool
        Over the grid of each node.
    source : str, optional
    """
    source = graph.image.name if source is None else source
    sets = dict(units)
    nodes = graph.nodes
    for node in reversed(nodes):
        if node.name == source:
            break
        here = sets.pop(node.name, None)
        if here is None or not here.any():
            continue
        for edge in node.edges:
            origin = graph.by_name[edge.source]
            read = _back(edge, node, origin, here)
            there = sets.get(edge.source)
            sets[edge.source] = read if there is None else there | read
    return sets.get(source, np.zeros(graph.by_name[source].shape, bool))


def reached(graph: Graph, elements: np.ndarray, name: str) -> np.ndarray:
    """Return the units of a node that read any of a set of elements of the image.

    Parameters
    ----------
    graph : Graph
    elements : array of bool
        Over the grid of the image.
    name : str
        The node of the units.

    Returns
    -------
    array of bool
        Over the node's grid.
    """
    needed = _ancestors(graph, name)
    last = {edge.source: node.name for node in graph if node.name in needed for edge in node.edges}
    sets = {graph.image.name: np.asarray(elements, bool)}
    for node in graph:
        if node.name not in needed:
            continue
        if node.name not in sets:
            sets[node.name] = np.zeros(node.shape, bool)
        for edge in node.edges:
            sets[node.name] |= _forward(edge, node, graph.by_name[edge.source], sets[edge.source])
        if node.name == name:
            break
        for source in {edge.source for edge in node.edges}:
            if last[source] == node.name:
                del sets[source]
    return sets[name]


def _ancestors(graph: Graph, name: str) -> set[str]:
    """Return the names of the nodes that `name` reads, directly or not, and `name` itself."""
    needed = {name}
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(edge.source for edge in node.edges)
    return needed


def _back(edge: Edge, node: Node, source: Node, units: np.ndarray) -> np.ndarray:
    """Return the elements that a set of units reads along one edge."""
    if edge.pointwise(node, source):
        return units
    if edge.units:
        units = units & edge.inside(node, range(len(node.shape)))
    if not _separable(edge):
        return _back_by_unit(edge, node, source, units)
    # The axes are consumed in the order of the links: those of one link at a time.
    array, axes = units, list(range(len(node.shape)))
    unlinked = tuple(a for a in axes if not any(a in link.axes for link in edge.links if link.map is not None))
    array = np.any(array, axis=unlinked, keepdims=True).squeeze(unlinked)
    axes = [a for a in axes if a not in unlinked]
    for link, extent in zip(edge.links, source.shape):
        if link.map is None:
            array = np.repeat(array[..., None], extent, axis=-1)
            continue
        positions = [axes.index(a) for a in link.axes]
        count = prod(node.shape[a] for a in link.axes)
        array = np.moveaxis(array, positions, range(len(positions)))
        rest = array.shape[len(positions) :]
        axes = [a for a in axes if a not in link.axes]
        array = _product(relation(link.map, count, extent).T, array.reshape(count, -1))
        array = np.moveaxis(array.reshape((extent, *rest)), 0, -1)
    return array


def _forward(edge: Edge, node: Node, source: Node, elements: np.ndarray) -> np.ndarray:
    """Return the units that read any of a set of elements along one edge."""
    if edge.pointwise(node, source):
        return elements
    reached = _forward_all(edge, node, source, elements)
    return reached & edge.inside(node, range(len(node.shape))) if edge.units else reached


def _forward_all(edge: Edge, node: Node, source: Node, elements: np.ndarray) -> np.ndarray:
    """Return the units that read any of a set of elements, as if all units read along the edge."""
    if not _separable(edge):
        return _forward_by_unit(edge, node, elements)
    array, order = elements, list[int]()
    for link, extent in zip(edge.links, source.shape):
        # The first axis left is this link's; the axes that replace it go to the end.
        if link.map is None:
            array = np.any(array, axis=0, keepdims=True)[0]
            continue
        extents = tuple(node.shape[a] for a in link.axes)
        rest = array.shape[1:]
        array = _product(relation(link.map, prod(extents), extent), array.reshape(extent, -1))
        array = np.moveaxis(array.reshape((*extents, *rest)), range(len(extents)), range(-len(extents), 0))
        order += link.axes
    missing = [a for a in range(len(node.shape)) if a not in order]
    array = array.reshape(array.shape + (1,) * len(missing))
    return np.broadcast_to(np.moveaxis(array, range(array.ndim), order + missing), node.shape)


def _separable(edge: Edge) -> bool:
    """Return whether no two links of an edge depend on the same axis of the node."""
    axes = [a for link in edge.links if link.map is not None for a in link.axes]
    return len(axes) == len(set(axes))


def _product(matrix: Any, array: np.ndarray) -> np.ndarray:
    """Return the boolean product with an array (elements, rest); empty columns are skipped."""
    columns = np.flatnonzero(array.any(axis=0))
    result = np.zeros((matrix.shape[0], array.shape[1]), bool)
    if len(columns):
        # Most sets are boxes: a view from the first to the last column avoids a copy.
        inner = slice(columns[0], columns[-1] + 1)
        result[:, inner] = matrix @ array[:, inner]
    return result


def _flat_indices(
    edge: Edge, node: Node, source: Node, units: tuple[np.ndarray, ...]
) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Yield, for chunks of units, flat indices into the linked axes of the source, and a mask of those read.

    The indices have one axis for the units and one for the taps of each link.
    """
    linked = [(link, extent) for link, extent in zip(edge.links, source.shape) if link.map is not None]
    for start in range(0, len(units[0]), _UNITS_AT_ONCE):
        chunk = tuple(axis[start : start + _UNITS_AT_ONCE] for axis in units)
        flat: np.ndarray = np.zeros((len(chunk[0]),) + (1,) * len(linked), np.int64)
        read = np.ones_like(flat, bool)
        for position, (link, extent) in enumerate(linked):
            taps = _taps_of(link, node, chunk, extent)
            shape = [len(chunk[0])] + [1] * len(linked)
            shape[1 + position] = taps.shape[1]
            taps = taps.reshape(shape)
            flat = flat * extent + taps
            read = read & (taps >= 0)
        yield flat, read


def _taps_of(link: Link, node: Node, units: tuple[np.ndarray, ...], extent: int) -> np.ndarray:
    """Return the elements of one axis that the units read: (units, taps)."""
    assert link.map is not None
    extents = tuple(node.shape[a] for a in link.axes)
    table = elements_read(link.map, prod(extents), extent)
    index: np.ndarray = np.zeros(len(units[0]), np.int64)
    for axis in link.axes:
        index = index * node.shape[axis] + units[axis]
    read: np.ndarray = table[index]
    return read


def _back_by_unit(edge: Edge, node: Node, source: Node, units: np.ndarray) -> np.ndarray:
    linked = [a for a, link in enumerate(edge.links) if link.map is not None]
    result = np.zeros(prod(source.shape[a] for a in linked), bool)
    for flat, read in _flat_indices(edge, node, source, np.nonzero(units)):
        result[np.broadcast_to(flat, read.shape)[read]] = True
    shape = [source.shape[a] if a in linked else 1 for a in range(len(source.shape))]
    return np.broadcast_to(result.reshape(shape), source.shape)


def _forward_by_unit(edge: Edge, node: Node, source_set: np.ndarray) -> np.ndarray:
    whole = tuple(a for a, link in enumerate(edge.links) if link.map is None)
    elements = source_set.any(axis=whole).ravel()
    source = Node(edge.source, "", source_set.shape)
    units = tuple(axis.ravel() for axis in np.indices(node.shape))
    parts = [
        (elements[np.where(read, flat, 0)] & read).reshape(len(read), -1).any(axis=1)
        for flat, read in _flat_indices(edge, node, source, units)
    ]
    return np.concatenate(parts).reshape(node.shape)
