"""The receptive fields of the units of one layer."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from math import prod
from operator import index

import numpy as np

from kernelfield.errors import ArgumentError
from kernelfield.receptive.algebra import Span
from kernelfield.receptive.graph import Graph, Node
from kernelfield.receptive.relations import seen


@dataclass(frozen=True, eq=False)
class LayerField:
    """The receptive fields of the units of one layer.

    Sizes, strides and paddings are those of Araujo, Norris and Sim (2019), "Computing Receptive Fields of
    Convolutional Neural Networks", Distill 4(11), e21: of the field in an image without borders. All have one entry for
    each axis of the image.
    """

    node: Node = field(repr=False)
    spans: tuple[Span, ...] = field(repr=False)
    graph: Graph = field(repr=False)
    bound: str = ""
    """The reason why the field is an upper bound; empty where it is exact."""

    @property
    def name(self) -> str:
        """Name of the layer in the framework."""
        return self.node.name

    @property
    def operation(self) -> str:
        """Name of the operation."""
        return self.node.operation

    @property
    def detail(self) -> str:
        """Kernel, stride and other settings of the operation."""
        return self.node.detail

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents of the feature map, without channels."""
        return self.node.shape

    @property
    def middle(self) -> tuple[int, ...]:
        """The unit in the middle of the feature map."""
        return tuple(n // 2 for n in self.shape)

    @cached_property
    def size(self) -> tuple[int, ...]:
        """Number of elements from the first to the last that a unit sees; of the widest field, where units differ.

        It may exceed the image: elements outside it are padding. A field that is the whole axis ends with the image.
        """
        return tuple(widest for _, widest in self._sizes)

    @property
    def narrowest(self) -> tuple[int, ...]:
        """`size` of the narrowest field of the units that see anything."""
        return tuple(narrowest for narrowest, _ in self._sizes)

    @cached_property
    def _sizes(self) -> tuple[tuple[int, int], ...]:
        return tuple(self._widths(axis) for axis in range(len(self.spans)))

    def _widths(self, axis: int) -> tuple[int, int]:
        span = self.spans[axis]
        if span.whole:
            width = len(self._ends(axis, self.middle))
            return width, width
        return span.sizes(self.shape)

    def _ends(self, axis: int, unit: tuple[int, ...]) -> range:
        """Return the field of a unit along one axis without borders."""
        span, extent = self.spans[axis], self.graph.image.shape[axis]
        ends = span.at(unit)
        if ends is None:
            return range(0)
        return range(max(0, ends[0]), min(extent, ends[1] + 1)) if span.whole else range(ends[0], ends[1] + 1)

    @property
    def stride(self) -> tuple[int | Fraction | None, ...]:
        """Shift of the field from one unit to the next: 0 where it stays, None where it is not one number.

        It is not where paths differ, and where one axis of the layer runs through several axes of the image (tokens).
        """
        found: list[int | Fraction | None] = []
        for axis, span in enumerate(self.spans):
            others = set().union(*(other.axes for a, other in enumerate(self.spans) if a != axis))
            stride = None if span.axes & others else span.stride()
            found.append(int(stride) if stride is not None and stride.denominator == 1 else stride)
        return tuple(found)

    @property
    def offset(self) -> tuple[int | None, ...]:
        """The first element that unit 0 sees; None where it sees none, or the whole axis."""
        found: list[int | None] = []
        for span in self.spans:
            ends = None if span.whole else span.at((0,) * len(self.shape))
            found.append(None if ends is None else ends[0])
        return tuple(found)

    @property
    def padding(self) -> tuple[int | None, ...]:
        """The effective padding: number of elements in front of the image that unit 0 sees."""
        return tuple(None if first is None else -first for first in self.offset)

    @property
    def jump(self) -> tuple[int | Fraction | None, ...]:
        """`stride` by another name of the literature: the distance between the fields of two units."""
        return self.stride

    @property
    def start(self) -> tuple[float | None, ...]:
        """The middle of unit 0's field, where the first element of the image reaches from 0 to 1 and its middle is 0.5.

        As in Dang Ha The Hien (2017), "A guide to receptive field arithmetic for convolutional neural networks". None
        where unit 0 sees none, or the whole axis.
        """
        found: list[float | None] = []
        for span in self.spans:
            ends = None if span.whole else span.at((0,) * len(self.shape))
            found.append(None if ends is None else (ends[0] + ends[1] + 1) / 2)
        return tuple(found)

    @property
    def sparse(self) -> bool:
        """Whether the stride is larger than the field along some axis: elements between the fields are not seen."""
        return any(s is not None and abs(float(s)) > n > 0 for s, n in zip(self.stride, self.size))

    @property
    def aligned(self) -> bool:
        """Whether all paths through the network agree in stride and in the middle of their fields.

        Paths that read a whole axis are left out. Where the middle depends on the phase of upsampling, its mean counts.
        """
        return all(span.aligned for span in self.spans)

    @property
    def whole(self) -> tuple[bool, ...]:
        """Whether every unit reads the whole axis, for any size of the image: after a global operation."""
        return tuple(span.whole for span in self.spans)

    @property
    def closed(self) -> bool:
        """Whether one form holds for all units, along every axis.

        None does after a concatenation along positions, a roll, or a list of indices: then `size` is that of the widest
        unit, `narrowest` that of the narrowest, and `region` answers for each unit by itself.
        """
        return all(span.intervals is not None for span in self.spans)

    @property
    def larger(self) -> bool:
        """Whether the field is larger than the image along some axis."""
        return any(size > extent for size, extent in zip(self.size, self.graph.image.shape))

    @property
    def share(self) -> float:
        """Fraction of the image inside the bounding box of a unit's field, 0 to 1; of the unit that sees most."""
        extents = self.graph.image.shape
        widths: list[tuple[tuple[int, ...], np.ndarray]] = []
        for span, n in zip(self.spans, extents):
            axes, low, high = span.ends(self.shape)
            width = np.maximum(np.minimum(high, n - 1) - np.maximum(low, 0) + 1, 0)
            # Axes of the image that follow the same axes of the map are looked at together.
            while other := next((w for w in widths if set(w[0]) & set(axes)), None):
                widths.remove(other)
                every = tuple(sorted({*axes, *other[0]}))
                width = _over(width, axes, every) * _over(other[1], other[0], every)
                axes = every
            widths.append((axes, width))
        return prod(int(width.max()) for _, width in widths) / prod(extents)

    def region(self, *unit: int, clipped: bool = True) -> tuple[range, ...]:
        """Return the range of elements that a unit sees along each axis of the image.

        Parameters
        ----------
        *unit : int
            Index along each axis of `shape`.
        clipped : bool
            Whether to return the exact bounding box of the elements read of the image; otherwise the field in an image
            without borders, which may start below 0.

        Returns
        -------
        tuple of range
            Empty where the unit sees nothing.

        Examples
        --------
        ``rows, columns = field["conv3"].region(3, 3)``; the pixels themselves are
        ``image[rows.start : rows.stop, columns.start : columns.stop]``.
        """
        units = single(unit, self.shape, "unit", self.name)
        if not clipped:
            return tuple(self._ends(axis, tuple(map(index, unit))) for axis in range(len(self.spans)))
        read = seen(self.graph, self.name, units)
        found = []
        for axis in range(read.ndim):
            places = np.flatnonzero(read.any(axis=tuple(a for a in range(read.ndim) if a != axis)))
            found.append(range(int(places[0]), int(places[-1]) + 1) if len(places) else range(0))
        return tuple(found)

    def mask(self, *unit: int) -> np.ndarray:
        """Return the exact set of elements of the image that a unit sees, holes included.

        Parameters
        ----------
        *unit : int
            Index along each axis of `shape`.

        Returns
        -------
        array of bool
            Of the image's extents.
        """
        return np.array(seen(self.graph, self.name, single(unit, self.shape, "unit", self.name)))

    def __str__(self) -> str:
        size = "×".join("all" if whole else str(n) for n, whole in zip(self.size, self.whole))
        return f"{self.name}: {self.operation}, map {'×'.join(map(str, self.shape)) or '1'}, field {size}"


def _over(array: np.ndarray, axes: tuple[int, ...], every: tuple[int, ...]) -> np.ndarray:
    """Return an array over some axes with extents of 1 along the others of `every`."""
    extents = dict(zip(axes, array.shape))
    return array.reshape([extents.get(axis, 1) for axis in every])


def is_window(node: Node) -> bool:
    """Return whether a node is a convolution or a pooling with a window of more than one element."""
    moves = "convolution" in node.operation or "pooling" in node.operation
    maps = [link.map for edge in node.edges for link in edge.links if link.map is not None]
    return moves and any(len(taps) > 1 for map in maps for taps in map.taps)


def single(place: tuple[int, ...], shape: tuple[int, ...], argument: str, of: str) -> np.ndarray:
    """Return the set of one element of a grid, after a check of its index."""
    try:
        indices = tuple(map(index, place))
    except TypeError:
        raise ArgumentError(f"{argument}: expected whole numbers; received {place}") from None
    if len(indices) != len(shape) or not all(0 <= i < n for i, n in zip(indices, shape)):
        extents = " × ".join(f"0…{n - 1}" for n in shape) or "no index at all: its grid has one place"
        raise ArgumentError(f"{argument}: expected a place in the grid of {of}, {extents}; received {indices}")
    chosen = np.zeros(shape, bool)
    chosen[indices] = True
    return chosen
