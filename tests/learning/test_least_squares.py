"""Least squares from Gram matrices whose eigenvalues are known."""

from __future__ import annotations

import numpy as np
import pytest

from kernelfield.learning.least_squares import Moments, solve

pytestmark = pytest.mark.core
EPSILON = 2.0**-52


def moments_of(values: np.ndarray, seed: int = 0, count: int = 1000, square: float = 10.0) -> Moments:
    """Return moments with the eigenvalues of the Gram matrix."""
    rng = np.random.default_rng(seed)
    vectors = np.linalg.qr(rng.normal(size=(len(values), len(values))))[0]
    return Moments((vectors * values) @ vectors.T, rng.normal(size=len(values)), square, count)


@pytest.mark.parametrize(("p", "units"), [(4, 64), (8, 64), (9, 72), (30, 240)])
@pytest.mark.parametrize(("factor", "kept"), [(1.05, True), (0.95, False)])
@pytest.mark.parametrize("scale", [3.0, 1e-20])
def test_the_rank_beside_the_cut(p, units, factor, kept, scale):
    # 8 p units of rounding of the largest eigenvalue, of at least 8 coefficients.
    values = scale * np.linspace(0.5, 1.0, p)
    values[0] = factor * units * EPSILON * scale
    # A diagonal matrix has its eigenvalues to the last place.
    moments = Moments(np.diag(values), np.arange(1.0, p + 1), 1.0, 100)
    solution = solve(moments)
    assert solution.rank == p - (not kept)
    assert solution.undetermined.shape == (p - solution.rank, p)
    expected = moments.cross / values
    if not kept:
        expected[0] = 0.0
        assert abs(solution.undetermined[0, 0]) == pytest.approx(1.0)
    np.testing.assert_allclose(solution.kernel, expected, rtol=1e-9)
    np.testing.assert_allclose(np.diag(solution.inverse), np.where(expected == 0, 0, 1 / values), rtol=1e-9)


@pytest.mark.parametrize("gram", [np.zeros((3, 3)), -np.eye(3)])
def test_a_matrix_without_detail_determines_nothing(gram):
    solution = solve(Moments(gram, np.ones(3), 1.0, 100))
    assert solution.rank == 0
    assert not solution.kernel.any()
    assert solution.undetermined.shape == (3, 3)


@pytest.mark.parametrize("p", [64, 65, 80])
@pytest.mark.parametrize("least", [1.0, 1e-6, 1e-8, 0.0])
def test_many_coefficients_are_solved_as_few_are(p, least):
    values = np.linspace(1.0, 2.0, p)
    values[5] = least
    moments = moments_of(values)
    solution = solve(moments)
    assert solution.rank == p - (least == 0.0)
    assert solution.undetermined.shape == (p - solution.rank, p)
    inverse = np.linalg.pinv(moments.gram, rcond=1e-13, hermitian=True)
    scale = np.abs(inverse).max()
    np.testing.assert_allclose(solution.inverse, inverse, atol=1e-4 * scale)
    np.testing.assert_allclose(solution.kernel, inverse @ moments.cross, atol=1e-4 * scale)


@pytest.mark.parametrize(("p", "least", "direct"), [(64, 1.0, False), (65, 1.1e-9, True), (65, 0.9e-9, False)])
def test_eigenvalues_are_left_out_where_many_coefficients_are_certain(monkeypatch, p, least, direct):
    values = np.full(p, 4.0)
    values[3] *= least
    moments = Moments(np.diag(values), np.ones(p), 1.0, 1000)
    calls = []
    whole = np.linalg.eigh
    monkeypatch.setattr(np.linalg, "eigh", lambda matrix: calls.append(1) or whole(matrix))
    np.testing.assert_allclose(solve(moments).kernel, 1.0 / values, rtol=1e-6)
    assert bool(calls) != direct


@pytest.mark.parametrize(
    ("count", "offsets", "freedom"), [(100, 1, 95), (100, 3, 93), (6, 1, 1), (5, 1, 1), (7, 1, 2), (2, 1, 1)]
)
def test_degrees_of_freedom(count, offsets, freedom):
    assert Moments(np.eye(4), np.zeros(4), 1.0, count, offsets).freedom == freedom


def test_moments_add():
    one, other = moments_of(np.array([1.0, 2.0])), moments_of(np.array([3.0, 0.5]), 1, 50, 4.0)
    both = one + other
    np.testing.assert_array_equal(both.gram, one.gram + other.gram)
    np.testing.assert_array_equal(both.cross, one.cross + other.cross)
    assert (both.square, both.count, both.offsets) == (14.0, 1050, 2)


def test_what_is_not_explained():
    moments = Moments(np.diag([2.0, 4.0]), np.array([1.0, 2.0]), 10.0, 100)
    assert moments.unexplained(np.array([[1.0, -1.0]])) == pytest.approx(10.0 - 2.0 * (1 - 2) + 2 + 4)
    # 1.5 is all that the best kernel explains: what is left is at least a unit of rounding of the whole.
    full = Moments(np.diag([2.0, 4.0]), np.array([1.0, 2.0]), 1.5, 100)
    assert full.unexplained(np.array([0.5, 0.5])) == pytest.approx(1.5 * EPSILON, rel=1e-3)


@pytest.mark.parametrize("scale", [1.0, 1e-12, 1e12])
def test_the_ridge_lies_at_the_edge_of_float64(scale):
    moments = Moments(np.diag([3.0, 1.0, 0.0]) * scale, np.array([3.0, 2.0, 0.0]) * scale, scale, 100)
    np.testing.assert_allclose(moments.ridge_kernel, [1.0, 2.0, 0.0], rtol=1e-12)
    # The mean eigenvalue times 64 p units.
    ridge = 4.0 / 3.0 * 64 * 3 * EPSILON * scale
    np.testing.assert_allclose(np.diag(moments.ridge_inverse), 1 / (np.diag(moments.gram) + ridge), rtol=1e-6)


def test_a_ridge_grows_until_the_matrix_has_a_factor():
    moments = Moments(np.diag([1.0, -0.5]), np.array([1.0, 1.0]), 1.0, 100)
    assert np.isfinite(moments.ridge_kernel).all()
    # The ridge is a power of 100 times 64 units, the first above 0.5.
    ridge = 0.25 * 64 * 2 * EPSILON
    while ridge <= 0.5:
        ridge *= 100.0
    np.testing.assert_allclose(np.diag(moments.ridge_inverse), [1 / (1 + ridge), 1 / (ridge - 0.5)], rtol=1e-9)
    nothing = Moments(np.zeros((2, 2)), np.ones(2), 1.0, 100)
    np.testing.assert_allclose(nothing.ridge_kernel, 1.0)
