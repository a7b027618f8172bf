import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelfield.engine import low_rank
from kernelfield.engine.low_rank import ROUNDING, SINGLE, factors, terms_within

pytestmark = pytest.mark.core

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


@given(
    st.sampled_from(["any", "whole", "smooth", "few"]),
    st.integers(1, 5),
    st.integers(1, 5),
    st.sampled_from([ROUNDING, SINGLE]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_a_part_says_no_only_where_the_whole_kernel_does(kind, rank, most, tolerance, in_float32, seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(20, 200, 2))
    columns, rows = (rng.normal(size=(rank, n)) for n in shape)
    if kind == "whole":
        columns, rows = np.rint(5 * columns), np.rint(5 * rows)
    if kind == "smooth":
        columns, rows = (
            np.array([np.exp(-(np.linspace(-width, width, n) ** 2)) for width in rng.uniform(1, 5, rank)])
            for n in shape
        )
    kernel = columns.T @ rows
    if kind == "few":
        kernel *= rng.random(shape) < 0.01
    if in_float32:
        kernel = kernel.astype(np.float32).astype(np.float64)
    found = factors(kernel, most, tolerance)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(low_rank, "_sample", lambda *_: None)
        patch.setattr(low_rank, "_BLOCK", kernel.size)
        expected = factors(kernel, most, tolerance)
    if expected is None:
        assert found is None
    else:
        np.testing.assert_array_equal(found.columns, expected.columns)
        np.testing.assert_array_equal(found.rows, expected.rows)


def test_large_kernels_of_full_rank_are_not_taken_apart(monkeypatch):
    looked_at = []
    whole = low_rank._eliminated

    def counting(kernel, *rest):
        looked_at.append(kernel.size)
        return whole(kernel, *rest)

    monkeypatch.setattr(low_rank, "_eliminated", counting)
    y, x = np.mgrid[-100:101, -100:101]
    for kernel in (np.random.default_rng(0).normal(size=(201, 201)), (y * y + x * x < 9000.0).astype(float)):
        assert factors(kernel, 9) is None
    assert sum(looked_at) < 2000


def test_time_bounds_the_terms():
    assert terms_within(1e9, (31, 31)) > 100
    assert terms_within(1e6, (801, 801)) == terms_within(0.0, (3, 3)) == 1
