"""Functions of the place over a field: products of polynomials, or of hats about the nodes of a grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.polynomial import legendre

#: The largest degree of polynomials over the field.
LARGEST_DEGREE = 5


@dataclass(frozen=True)
class Axis:
    """Rows or columns as coordinates: the place `i` lies at ``(i - middle) / half``, from -1 to 1 over a field.

    Attributes
    ----------
    middle, half : float
    """

    middle: float
    half: float

    @classmethod
    def over(cls, first: float, last: float) -> Axis:
        """Return the coordinates that are -1 at the place `first` and 1 at `last`."""
        return cls((first + last) / 2.0, max((last - first) / 2.0, 0.5))

    def polynomials(self, places: np.ndarray, degree: int) -> np.ndarray:
        """Return the Legendre polynomials up to a degree at places, shape (degree + 1, n)."""
        coordinates = (np.asarray(places, np.float64) - self.middle) / self.half
        values: np.ndarray = legendre.legvander(coordinates, degree).T
        return values

    def nodes(self, degree: int) -> np.ndarray:
        """Return the places at which values of a polynomial of this degree tell it; see `coefficients`."""
        places: np.ndarray = self.middle + self.half * legendre.leggauss(degree + 1)[0]
        return places

    def shifted(self, count: int, degree: int) -> np.ndarray:
        """Return ``r[u, a, b]`` in ``P_a(q - u) = sum over b of r[u, a, b] P_b(q)``, for u below `count`."""
        moved = [self.polynomials(self.nodes(degree) - u, degree) for u in range(count)]
        return np.stack([coefficients(values) for values in moved])


def coefficients(values: np.ndarray) -> np.ndarray:
    """Return the coefficients in Legendre polynomials of functions given by their values at the nodes of Gauss.

    Functions (..., n) of degree below n, exactly: the quadrature is exact for products of two of that degree.
    """
    n = values.shape[-1]
    nodes, weights = legendre.leggauss(n)
    norms = (2.0 * np.arange(n) + 1.0) / 2.0
    result: np.ndarray = (values * weights) @ legendre.legvander(nodes, n - 1) * norms
    return result


@dataclass(frozen=True)
class Basis:
    """Functions of the place in a field: ``f[i](row, column) = rows[a](row) * columns[b](column)``, (a, b) a term.

    Attributes
    ----------
    order : int or (int, int)
        The total degree of polynomials, products of Legendre polynomials of coordinates from -1 to 1 over the field; or
        the nodes of a grid along rows and columns, the first and the last at the ends of the field: functions that are
        1 at one node, 0 at the others and bilinear between them.
    shape : (int, int)
        Of the field, in pixels.
    """

    order: int | tuple[int, int]
    shape: tuple[int, ...]

    @cached_property
    def terms(self) -> tuple[tuple[int, int], ...]:
        """Which function of the row and which of the column are multiplied; by degree for polynomials."""
        if isinstance(self.order, tuple):
            return tuple((a, b) for a in range(self.order[0]) for b in range(self.order[1]))
        return tuple((d - b, b) for d in range(self.order + 1) for b in range(d + 1))

    @property
    def degree(self) -> int:
        """The largest degree along one axis inside a cell."""
        return 1 if isinstance(self.order, tuple) else self.order

    @property
    def count(self) -> int:
        """The number of functions."""
        if isinstance(self.order, tuple):
            return self.order[0] * self.order[1]
        return (self.order + 1) * (self.order + 2) // 2

    def along(self, axis: int, places: np.ndarray) -> np.ndarray:
        """Return the functions of the row (axis 0) or column (1) at places, shape (functions, n)."""
        n = self.shape[axis]
        if isinstance(self.order, int):
            return Axis.over(0, n - 1).polynomials(places, self.order)
        nodes = np.arange(self.order[axis])
        steps = np.asarray(places, np.float64) * ((self.order[axis] - 1) / max(1, n - 1))
        hats: np.ndarray = np.maximum(0.0, 1.0 - np.abs(steps - nodes[:, None]))
        return hats

    def at(self, row: float, column: float) -> np.ndarray:
        """Return all functions at one place."""
        values = self.along(0, np.array([row])), self.along(1, np.array([column]))
        return np.array([values[0][a, 0] * values[1][b, 0] for a, b in self.terms])

    def means(self) -> np.ndarray:
        """Return the mean of each function over the pixels of the field."""
        rows, columns = (self.along(axis, np.arange(self.shape[axis])).mean(axis=1) for axis in (0, 1))
        return np.array([rows[a] * columns[b] for a, b in self.terms])

    def cells(self, positions: tuple[slice, slice]) -> Iterator[tuple[slice, slice]]:
        """Yield the parts of some positions in which the functions are polynomials."""
        rows, columns = (self._pieces(axis, part) for axis, part in enumerate(positions))
        for down in rows:
            for across in columns:
                yield down, across

    def _pieces(self, axis: int, part: slice) -> list[slice]:
        """Return the parts of an axis between the nodes of the grid."""
        if isinstance(self.order, int):
            return [part]
        knots = np.arange(1, self.order[axis] - 1) * (self.shape[axis] - 1) / (self.order[axis] - 1)
        inner = [int(np.ceil(knot)) for knot in knots if part.start < np.ceil(knot) < part.stop]
        ends = [part.start, *inner, part.stop]
        return [slice(a, b) for a, b in pairwise(ends)]

    def holds(self, other: Basis) -> bool:
        """Return whether the functions of another basis are sums of these."""
        if isinstance(self.order, int):
            return isinstance(other.order, int) and other.order <= self.order
        return self == other

    def constant(self, value: float) -> np.ndarray:
        """Return the coefficients of a constant."""
        result = np.full(self.count, value if isinstance(self.order, tuple) else 0.0)
        result[0] = value
        return result
