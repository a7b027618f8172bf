"""The tiles of an array: boxes of one shape, fewer elements at the ends."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

Region = tuple[slice, ...]


@dataclass(frozen=True)
class Grid:
    """The tiles of an array, numbered in C order; none overlaps another, and together they are the array.

    Parameters
    ----------
    shape : tuple of int
        Of the array.
    tile : tuple of int
        Elements of a tile along each axis, at least 1.

    Examples
    --------
    >>> grid = Grid((5, 7), (4, 4))
    >>> len(grid), grid.region(3), grid.name(3)
    (4, (slice(4, 5, None), slice(4, 7, None)), '1.1')
    """

    shape: tuple[int, ...]
    tile: tuple[int, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """Tiles along each axis."""
        return tuple(-(-n // size) for n, size in zip(self.shape, self.tile))

    def __len__(self) -> int:
        return math.prod(self.counts)

    def place(self, index: int) -> tuple[int, ...]:
        """Return the tile's number along each axis."""
        found = []
        for count in reversed(self.counts):
            index, rest = divmod(index, count)
            found.append(rest)
        return tuple(reversed(found))

    def region(self, index: int) -> Region:
        """Return the slices of a tile."""
        return tuple(
            slice(at * size, min(n, (at + 1) * size)) for at, n, size in zip(self.place(index), self.shape, self.tile)
        )

    def name(self, index: int) -> str:
        """Return the tile's number along each axis as text."""
        return ".".join(map(str, self.place(index)))

    def __iter__(self) -> Iterator[Region]:
        return (self.region(index) for index in range(len(self)))
