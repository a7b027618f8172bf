"""Functions of the place against NumPy's polynomials and bilinear interpolation, at every place."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.polynomial import Legendre
from scipy.interpolate import RegularGridInterpolator

from kernelfield.learning.field_basis import Axis, Basis, coefficients

ORDERS = [0, 1, 2, 4, (1, 1), (2, 2), (3, 1), (1, 4), (4, 3)]
SHAPE = (11, 14)


def written(order: int | tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
    """Return all functions at all pixels, shape (n, H, W)."""
    if isinstance(order, int):
        along = [np.linspace(-1, 1, n) for n in shape]
        down, right = ([Legendre.basis(d)(t) for d in range(order + 1)] for t in along)
        return np.array([np.outer(down[d - b], right[b]) for d in range(order + 1) for b in range(d + 1)])
    found = []
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    for node in np.ndindex(order):
        values = np.zeros(order)
        values[node] = 1.0
        nodes = [np.linspace(0, n - 1, k) if k > 1 else np.array([0.0, n - 1]) for n, k in zip(shape, order)]
        for axis in (0, 1):
            values = np.repeat(values, 2, axis=axis) if order[axis] == 1 else values
        found.append(RegularGridInterpolator(nodes, values)(places))
    return np.array(found)


@pytest.mark.parametrize("order", ORDERS)
def test_the_functions_at_every_pixel(order):
    basis, expected = Basis(order, SHAPE), written(order, SHAPE)
    assert basis.count == len(expected) == len(basis.terms)
    rows, columns = (basis.along(axis, np.arange(n)) for axis, n in enumerate(SHAPE))
    found = np.array([np.outer(rows[a], columns[b]) for a, b in basis.terms])
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(basis.at(3, 8), expected[:, 3, 8], atol=1e-12)
    np.testing.assert_allclose(basis.means(), expected.mean(axis=(1, 2)), atol=1e-12)
    np.testing.assert_allclose(np.tensordot(basis.constant(2.5), expected, 1), 2.5)
    assert basis.degree == (order if isinstance(order, int) else 1)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("positions", [(slice(0, 11), slice(0, 14)), (slice(1, 9), slice(4, 6)), (slice(5, 5),) * 2])
def test_cells_tile_the_positions_and_in_each_the_functions_are_polynomials(order, positions):
    basis, covered = Basis(order, SHAPE), np.zeros(SHAPE, int)
    for cell in basis.cells(positions):
        covered[cell] += 1
        for axis, part in enumerate(cell):
            values = basis.along(axis, np.arange(part.start, part.stop))
            bends = np.diff(values, basis.degree + 1)
            assert np.abs(bends).max(initial=0.0) < 1e-9
    expected = np.zeros(SHAPE, int)
    expected[positions] = 1
    np.testing.assert_array_equal(covered, expected)
    if not isinstance(order, int) and positions[0].stop > positions[0].start:
        # As few as the nodes inside allow.
        inside = [
            sum(part.start < np.ceil(k * (n - 1) / (m - 1)) < part.stop for k in range(1, m - 1))
            for part, n, m in zip(positions, SHAPE, order)
        ]
        assert len(list(basis.cells(positions))) == (inside[0] + 1) * (inside[1] + 1)


@pytest.mark.parametrize("order", [0, 1, (2, 2), (1, 2)])
@pytest.mark.parametrize("shape", [(1, 2), (2, 3), (2, 2)])
def test_fields_of_a_few_pixels(order, shape):
    basis = Basis(order, shape)
    rows, columns = (basis.along(axis, np.arange(n)) for axis, n in enumerate(shape))
    if isinstance(order, int):
        # One row lies in the middle.
        t = [np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in shape]
        down, right = ([np.ones_like(one), one] for one in t)
    else:
        right = [np.linspace(1, 0, shape[1]), np.linspace(0, 1, shape[1])]
        down = np.eye(2)[:, : shape[0]] if order[0] == 2 else np.ones((1, shape[0]))
    for found, expected in ((rows, down), (columns, right)):
        np.testing.assert_allclose(found, expected[: len(found)], atol=1e-12)


def test_which_functions_are_sums_of_others():
    assert Basis(2, SHAPE).holds(Basis(2, SHAPE))
    assert Basis(2, SHAPE).holds(Basis(1, SHAPE))
    assert not Basis(1, SHAPE).holds(Basis(2, SHAPE))
    assert not Basis(2, SHAPE).holds(Basis((2, 2), SHAPE))
    assert Basis((3, 2), SHAPE).holds(Basis((3, 2), SHAPE))
    assert not Basis((3, 2), SHAPE).holds(Basis((2, 2), SHAPE))
    assert not Basis((3, 2), SHAPE).holds(Basis(0, SHAPE))


@pytest.mark.parametrize(("first", "last", "middle", "half"), [(0, 10, 5.0, 5.0), (3, 4, 3.5, 0.5), (2, 2, 2.0, 0.5)])
def test_an_axis_goes_from_minus_1_to_1(first, last, middle, half):
    assert Axis.over(first, last) == Axis(middle, half)
    found = Axis.over(first, last).polynomials(np.array([first, last, 7.0]), 3)
    expected = [Legendre.basis(d)((np.array([first, last, 7.0]) - middle) / half) for d in range(4)]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_shifted_polynomials_and_coefficients():
    axis, degree = Axis.over(0, 8), 3
    places = np.linspace(-2.0, 11.0, 9)
    moved = axis.shifted(3, degree)
    for u in range(3):
        np.testing.assert_allclose(
            moved[u] @ axis.polynomials(places, degree), axis.polynomials(places - u, degree), atol=1e-10
        )
    table = np.random.default_rng(0).normal(size=(2, 4))
    values = table @ axis.polynomials(axis.nodes(3), 3)
    np.testing.assert_allclose(coefficients(values), table, atol=1e-12)


def test_a_part_that_begins_at_a_node_has_no_empty_cell():
    basis = Basis((3, 4), (21, 31))
    cells = list(basis.cells((slice(10, 21), slice(10, 31))))
    assert cells == [(slice(10, 21), slice(10, 20)), (slice(10, 21), slice(20, 31))]


def test_one_node_is_a_constant():
    basis = Basis((1, 2), (5, 7))
    np.testing.assert_array_equal(basis.along(0, np.arange(5)), np.ones((1, 5)))
    np.testing.assert_allclose(basis.at(4, 3), [0.5, 0.5])
