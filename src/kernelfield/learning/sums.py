"""Sums that add: what a tile of a picture contributes to an answer, and the order in which tiles are put together.

Products of integers are integers. A sum is kept as two float64 numbers, the second one the error of the first (Knuth,
*The Art of Computer Programming* 2, section 4.2.2, theorem C): integers up to 2**105 add without rounding, so that no
order of tiles, nor the number of workers, changes a bit. Sums of other numbers are added in the order of a fixed tree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

Total = TypeVar("Total")

#: Sums that are put together at once on the way up the tree.
BRANCHES = 8


@dataclass(frozen=True)
class Sums:
    """The contribution of a tile: numbers that add, numbers of which the largest counts, and rows that are listed.

    Attributes
    ----------
    high, low : tuple of numpy.ndarray of float64
        The sums are ``high + low``; `high` is their nearest float64.
    largest : numpy.ndarray of float64, one-dimensional
    rows : numpy.ndarray of float64, two-dimensional
    """

    high: tuple[np.ndarray, ...]
    low: tuple[np.ndarray, ...]
    largest: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, *added: Any, largest: Sequence[float] = (), rows: np.ndarray | None = None) -> Sums:
        """Return the sums of one tile.

        Examples
        --------
        >>> both = Sums.of(2.0**60, [1.0, 2.0], largest=[3.0]) + Sums.of(1.0, [1.0, 1.0], largest=[4.0])
        >>> float(both.high[0]) - 2.0**60, float(both.low[0]), both.added[1], both.largest
        (0.0, 1.0, array([2., 3.]), array([4.]))
        """
        high = tuple(np.array(value, np.float64) for value in added)
        return cls(
            high,
            tuple(np.zeros_like(value) for value in high),
            np.array(largest, np.float64),
            np.zeros((0, 0)) if rows is None else rows,
        )

    @property
    def added(self) -> tuple[np.ndarray, ...]:
        """The sums, each to the nearest float64."""
        return self.high

    def __add__(self, other: Sums) -> Sums:
        """Return the sums of both."""
        parts = [_plus(*four) for four in zip(self.high, self.low, other.high, other.low)]
        rows = [part for part in (self.rows, other.rows) if part.size]
        return Sums(
            tuple(high for high, _ in parts),
            tuple(low for _, low in parts),
            np.maximum(self.largest, other.largest),
            np.concatenate(rows) if rows else self.rows,
        )


def _plus(a: np.ndarray, a_low: np.ndarray, b: np.ndarray, b_low: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum of two numbers of two parts, of which the first is the nearest float64 to the whole."""
    whole = a + b
    # Of infinite sums there is no error.
    with np.errstate(invalid="ignore"):
        of_b = whole - a
        error = (a - (whole - of_b)) + (b - of_b) + (a_low + b_low)
        error = np.where(np.isfinite(error), error, 0.0)
        high = whole + error
        return high, np.where(np.isfinite(high), error - (high - whole), 0.0)


def levels(count: int) -> Iterator[list[range]]:
    """Yield the levels of the tree over `count` leaves: which neighbours of the level below are put together.

    Examples
    --------
    >>> [[(r.start, r.stop) for r in level] for level in levels(20)]
    [[(0, 8), (8, 16), (16, 20)], [(0, 3)]]
    """
    while count > 1:
        level = [range(start, min(count, start + BRANCHES)) for start in range(0, count, BRANCHES)]
        yield level
        count = len(level)


def joined(parts: Sequence[Any]) -> Any:
    """Return the sum of some sums, from the first to the last."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def in_tree(leaf: Callable[[int], Total], count: int) -> Total:
    """Return the sum of `count` leaves, put together as the tree says; no more than a path of it is held at once."""

    def below(depth: int, which: int) -> Any:
        if depth == 0:
            return leaf(which)
        return joined([below(depth - 1, child) for child in tree[depth - 1][which]])

    tree = list(levels(count))
    found: Total = below(len(tree), 0)
    return found
