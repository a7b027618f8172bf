"""Systems solved by blocks against the products that they solve."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelfield.learning.factors import backward, forward, inverted, solved

pytestmark = pytest.mark.core


@given(st.sampled_from([1, 2, 63, 64, 65, 130]), st.sampled_from([(), (1,), (5,)]), st.integers(0, 1000))
def test_what_is_solved_gives_the_right_side_again(p, columns, seed):
    rng = np.random.default_rng(seed)
    lower = np.tril(rng.normal(size=(p, p)) / np.sqrt(p), -1) + np.diag(rng.uniform(0.5, 2.0, p))
    right = rng.normal(size=(p, *columns))
    before = right.copy()
    for solve, matrix in ((forward, lower), (backward, lower.T), (solved, lower @ lower.T)):
        solution = solve(lower, right)
        # The backward error: of substitution it does not depend on how well the system is conditioned.
        size = np.abs(matrix).sum(axis=1).max() * np.abs(solution).max() + 1.0
        np.testing.assert_allclose(matrix @ solution, right, rtol=0, atol=1e-13 * size)
    np.testing.assert_array_equal(right, before)


@given(st.sampled_from([1, 2, 63, 64, 65, 130]), st.integers(0, 1000))
def test_the_inverse_is_that_of_the_unit_matrix(p, seed):
    rng = np.random.default_rng(seed)
    lower = np.tril(rng.normal(size=(p, p)) / np.sqrt(p), -1) + np.diag(rng.uniform(0.5, 2.0, p))
    inverse = inverted(lower)
    assert not np.triu(inverse, 1).any()
    size = np.abs(lower).sum(axis=1).max() * np.abs(inverse).max() + 1.0
    np.testing.assert_allclose(lower @ inverse, np.eye(p), rtol=0, atol=1e-13 * size)
