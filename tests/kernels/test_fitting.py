"""Searches for the parameters of a family against functions whose lowest point is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelfield.kernels.blur_candidates import shifts
from kernelfield.kernels.candidates import unsharp_masks
from kernelfield.kernels.fitting import centred, minimise
from kernelfield.kernels.resampling import INTERPOLATIONS
from kernelfield.kernels.sharpening import unsharp
from kernelfield.kernels.smoothing import shift
from kernelfield.kernels.target import Target

pytestmark = pytest.mark.core


@given(
    st.floats(0.2, 9.0),
    st.floats(0.1, 10.0),
    st.floats(0.0, 1.0),
    st.sampled_from([0.5, 1.0, 2.0, 3.0]),
)
def test_the_lowest_point_is_found(place, steepness, rest, power):
    def cost(x: float) -> float:
        return rest + steepness * abs(np.log(x / place)) ** power

    found = minimise(cost, 0.15, 10.0)
    # Costs that differ by less than their own rounding are the same.
    assert cost(found) <= rest + steepness * 1e-6**power + 8 * np.finfo(float).eps * (rest + 1e-300)
    assert cost(found) == cost(place) or abs(found / place - 1) < 1e-4


@pytest.mark.parametrize("end", [0.15, 10.0])
def test_the_lowest_point_may_be_an_end(end):
    assert minimise(lambda x: abs(x - end), 0.15, 10.0) == pytest.approx(end, rel=1e-6)


@given(st.sampled_from(sorted(INTERPOLATIONS)), st.floats(-1.5, 1.5), st.floats(-1.5, 1.5))
def test_no_shift_is_given_up_before_its_interpolation_is_tried(method, down, right):
    kernel = shift(down, right, method)
    target = Target(kernel.weights, kernel.anchor, np.full(kernel.shape, 1e-6))
    near = [np.abs((candidate - kernel).weights).max() for candidate in shifts(target)]
    # Whole shifts and those of one weight are named by others.
    if max(abs(v - round(v)) for v in (down, right)) > 1e-3 and max(kernel.shape) < 12:
        assert min(near, default=1.0) < 1e-4


@given(st.floats(0.4, 3.0), st.floats(0.02, 5.0), st.sampled_from([3, 5, 9]))
def test_no_unsharp_mask_is_given_up_before_it_is_tried(sigma, amount, size):
    kernel = unsharp(sigma, amount, size)
    target = Target(kernel.weights, kernel.anchor, np.full(kernel.shape, 1e-6))
    # A mask that is nearly the identity is called that.
    if min(target.extent()) >= 3:
        assert min(np.abs((candidate - kernel).weights).max() for candidate in unsharp_masks(target)) < 1e-4


@pytest.mark.parametrize(("size", "shape"), [(5, (4, 4)), (4, (5, 3)), (5, (2, 7)), (3, (3, 3))])
def test_weights_of_any_size_are_placed_in_any_shape(size, shape):
    placed = centred(np.ones((size, size)), shape)
    assert placed.shape == shape
    assert placed.sum() == min(size, shape[0]) * min(size, shape[1])
