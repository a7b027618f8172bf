import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelfield.engine.low_rank import SINGLE, factors

WHOLE = st.integers(-9, 9)


@given(st.data())
def test_whole_numbers_of_rank_1_have_whole_factors(data):
    column, row = (np.array(data.draw(st.lists(WHOLE, min_size=1, max_size=7)), float) for _ in range(2))
    kernel = np.outer(column, row)
    found = factors(kernel, 1)
    assert (found.columns == np.rint(found.columns)).all()
    assert (found.rows == np.rint(found.rows)).all()
    assert (np.outer(found.columns[0], found.rows[0]) == kernel).all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(4, 12), st.integers(4, 12))
def test_the_rank_is_found_and_the_factors_give_the_kernel(seed, rank, kh, kw):
    rng = np.random.default_rng(seed)
    kernel = rng.normal(size=(kh, rank)) @ rng.normal(size=(rank, kw))
    found = factors(kernel, 4)
    assert found.terms == rank
    np.testing.assert_allclose(found.columns.T @ found.rows, kernel, rtol=0, atol=1e-13 * np.abs(kernel).max())
    assert factors(kernel, rank - 1) is None


def test_small_weights_count():
    kernel = np.outer([1.0, 2.0, 1.0], [1.0, 2.0, 1.0])
    kernel[0, 0] += 1e-12
    assert factors(kernel, 1) is None
    assert factors(kernel, 2).terms == 2
    wings = np.zeros((5, 5))
    wings[2, 2], wings[0, 4] = 1.0, 1e-30
    assert factors(wings, 1, SINGLE) is None


def test_weights_rounded_to_float32_count_as_what_they_were():
    rng = np.random.default_rng(0)
    kernel = np.outer(rng.normal(size=9), rng.normal(size=7)).astype(np.float32).astype(np.float64)
    assert factors(kernel, 2) is None
    found = factors(kernel, 1, SINGLE)
    assert (np.abs(np.outer(found.columns[0], found.rows[0]) - kernel) <= 2.0**-22 * np.abs(kernel)).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_has_no_factors(value):
    assert factors(np.array([[1.0, value], [1.0, 1.0]]), 2) is None


def test_zeros():
    assert not (factors(np.zeros((3, 2)), 1).columns.T @ factors(np.zeros((3, 2)), 1).rows).any()
