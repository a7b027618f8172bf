"""Penalties against differences taken by NumPy, and their strength against the likelihood on a fine grid."""

from __future__ import annotations

import numpy as np
import pytest

from kernelfield.errors import ArgumentError
from kernelfield.learning.models.regularise import Regularise, find_strength, penalty


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (1, 6), (5, 1), (2, 2), (4, 7)])
def test_the_penalty_is_that_of_differences(size):
    kernel = np.random.default_rng(0).normal(size=size)
    square = float((kernel**2).sum())
    assert kernel.ravel() @ penalty(size, "ridge") @ kernel.ravel() == pytest.approx(square)
    bent = 0.0
    for axis in (0, 1):
        if size[axis] > 1:
            width = [(0, 0), (0, 0)]
            width[axis] = (2, 2)
            bent += float((np.diff(np.pad(kernel, width), 2, axis=axis) ** 2).sum())
    matrix = penalty(size, "smooth")
    assert kernel.ravel() @ matrix @ kernel.ravel() == pytest.approx(bent or square)
    assert np.linalg.eigvalsh(matrix).min() > 0.0


def problem(seed: int, noise: float = 3.0) -> tuple[np.ndarray, np.ndarray, float]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(40, 6)) @ rng.normal(size=(6, 6))
    y = x @ rng.normal(size=6) + noise * rng.normal(size=40)
    return x.T @ x, x.T @ y, float(y @ y)


def deviance(gram, cross, square, freedom, matrix, factor):
    """Return twice the negative logarithm of the likelihood with variances eliminated, but for a constant."""
    total = gram + factor * matrix
    left = square - cross @ np.linalg.solve(total, cross)
    return freedom * np.log(left) + np.linalg.slogdet(total)[1] - np.linalg.slogdet(factor * matrix)[1]


@pytest.mark.parametrize("kind", ["ridge", "smooth"])
@pytest.mark.parametrize("seed", [*range(6), 629])
def test_the_strength_is_the_likeliest_of_a_fine_grid(seed, kind):
    gram, cross, square = problem(seed, 0.5 + 2.0 * (seed % 3))
    matrix = penalty((2, 3), kind)
    found = find_strength(gram, cross, square, 39, matrix, None)
    unit = np.trace(gram) / np.trace(matrix)
    assert found.factor == pytest.approx(found.value * unit)
    powers = np.arange(-14.0, 6.0, 0.02)
    grid = np.array([deviance(gram, cross, square, 39, matrix, unit * 10.0**power) for power in powers])
    least = int(grid.argmin())
    own = deviance(gram, cross, square, 39, matrix, found.factor)
    assert own <= grid[least] + 1e-3
    # The variance of its logarithm is twice the inverse of the curvature, 10 where that is little.
    log = powers * np.log(10.0)
    near = np.abs(powers - np.log10(found.value)) < 0.25
    curvature = 2.0 * np.polyfit(log[near], grid[near], 2)[0]
    assert found.variance == pytest.approx(min(10.0, 2.0 / curvature) if curvature > 0.0 else 10.0, rel=0.05)
    given = find_strength(gram, cross, square, 39, matrix, found.value)
    assert (given.value, given.variance) == (found.value, 0.0)
    assert given.factor == pytest.approx(found.factor)
    other = find_strength(gram, cross, square, 39, matrix, 2.0 * found.value)
    assert other.evidence - given.evidence == pytest.approx(
        deviance(gram, cross, square, 39, matrix, 2.0 * found.factor) - own, abs=1e-9
    )


def test_an_after_without_a_filter_takes_the_strongest_that_is_tried():
    gram, _, square = problem(0)
    found = find_strength(gram, np.zeros(6), square, 39, np.eye(6), None)
    assert 1e6 <= found.value <= 1e7
    assert found.variance == pytest.approx(10.0)


def test_a_before_without_detail_has_a_strength_in_units_of_one():
    found = find_strength(np.zeros((6, 6)), np.zeros(6), 1.0, 39, np.eye(6), 0.5)
    assert found.factor == 0.5


def test_an_exact_pair_has_a_finite_evidence():
    gram, cross, _ = problem(1)
    exact = float(cross @ np.linalg.solve(gram, cross))
    for square in (exact, 0.0):
        found = find_strength(gram, cross if square else 0.0 * cross, square, 39, np.eye(6), None)
        assert np.isfinite([found.factor, found.evidence, found.variance]).all()


def test_strengths_between_the_ends_are_taken():
    assert Regularise.checked(None) is Regularise.checked(False) is None
    assert Regularise.checked("auto") == Regularise(("ridge", "smooth"), None)
    assert Regularise.checked("ridge") == Regularise(("ridge",), None)
    assert Regularise.checked(0.25) == Regularise(("smooth",), 0.25)
    assert Regularise.checked(["ridge", 9.9e11]) == Regularise(("ridge",), 9.9e11)
    assert Regularise.checked(("smooth", 1e-300)) == Regularise(("smooth",), 1e-300)
    assert Regularise.checked(("ridge", None)) == Regularise(("ridge",), None)
    for bad in (0.0, 1e12, 10**400, ("ridge", True), ("ridge", "1"), ("smooth", 0), (1.0, "ridge"), True, np.inf):
        with pytest.raises(ArgumentError, match="regularise: expected"):
            Regularise.checked(bad)
