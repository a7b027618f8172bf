from fractions import Fraction
from math import factorial, perm

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelfield.errors import ArgumentError
from kernelfield.kernels import derivative, difference, minimum_size, stencil

# Fornberg 1988, table 1 (centred, accuracy by row) and table 3 (one-sided), as published.
CENTRED = {
    (1, 2): "-1/2 0 1/2",
    (1, 4): "1/12 -2/3 0 2/3 -1/12",
    (1, 6): "-1/60 3/20 -3/4 0 3/4 -3/20 1/60",
    (1, 8): "1/280 -4/105 1/5 -4/5 0 4/5 -1/5 4/105 -1/280",
    (2, 2): "1 -2 1",
    (2, 4): "-1/12 4/3 -5/2 4/3 -1/12",
    (2, 6): "1/90 -3/20 3/2 -49/18 3/2 -3/20 1/90",
    (3, 2): "-1/2 1 0 -1 1/2",
    (3, 4): "1/8 -1 13/8 0 -13/8 1 -1/8",
    (4, 2): "1 -4 6 -4 1",
    (4, 4): "-1/6 2 -13/2 28/3 -13/2 2 -1/6",
}
FORWARD = {
    (1, 1): "-1 1",
    (1, 2): "-3/2 2 -1/2",
    (1, 3): "-11/6 3 -3/2 1/3",
    (1, 4): "-25/12 4 -3 4/3 -1/4",
    (2, 1): "1 -2 1",
    (2, 2): "2 -5 4 -1",
    (2, 3): "35/12 -26/3 19/2 -14/3 11/12",
    (3, 1): "-1 3 -3 1",
    (4, 1): "1 -4 6 -4 1",
}


@pytest.mark.parametrize("case", CENTRED)
def test_centred_weights_are_the_published_ones(case):
    expected = [float(Fraction(value)) for value in CENTRED[case].split()]
    assert derivative(*case).weights.tolist() == [expected]


@pytest.mark.parametrize("case", FORWARD)
def test_one_sided_weights_are_the_published_ones(case):
    expected = [float(Fraction(value)) for value in FORWARD[case].split()]
    assert derivative(*case, scheme="forward").weights.tolist() == [expected]
    mirrored = [(-1) ** case[0] * value for value in reversed(expected)]
    assert derivative(*case, scheme="backward").weights.tolist() == [mirrored]


@given(st.integers(1, 5), st.sets(st.integers(-8, 8), min_size=6, max_size=9))
def test_stencils_fulfil_the_moment_conditions_exactly(order, offsets):
    points = sorted(offsets)
    weights = stencil(order, points)
    for power in range(len(points)):
        moment = sum(weight * point**power for weight, point in zip(weights, points))
        assert moment == (factorial(order) if power == order else 0)


@given(
    st.integers(1, 5),
    st.integers(1, 6),
    st.sampled_from(["central", "forward", "backward"]),
    st.sampled_from([0, 1]),
    st.sampled_from([0.25, 0.5, 1.0, 2.0]),
)
def test_exact_on_polynomials(order, accuracy, scheme, axis, spacing):
    if scheme == "central":
        accuracy += accuracy % 2
    kernel = derivative(order, accuracy, axis, spacing, scheme)
    length = kernel.shape[axis]
    position = (np.arange(length) - kernel.anchor[axis]) * spacing
    at = 0.5
    for power in range(order + accuracy):
        image = (at + position) ** power
        exact = perm(power, order) * at ** (power - order) if power >= order else 0.0
        found = float(kernel.weights.ravel() @ image)
        assert found == pytest.approx(exact, abs=1e-10 * np.abs(kernel.weights.ravel() * image).sum() + 1e-10)
    # One power more and the error shows: the stated accuracy is not understated.
    image = position ** (order + accuracy)
    assert abs(float(kernel.weights.ravel() @ image)) > 1e-6


def test_signs_and_places():
    ramp = np.arange(5.0)
    assert derivative().weights[0] @ ramp[:3] == 1
    assert derivative(accuracy=1, scheme="forward").anchor == (0, 0)
    assert derivative(accuracy=1, scheme="backward").anchor == (0, 1)
    assert derivative(axis=0).shape == (3, 1)
    assert derivative(axis=0).anchor == (1, 0)
    assert difference(0).weights.tolist() == [[1], [-1]]
    anchors = {(axis, scheme): difference(axis, scheme).anchor for axis in (0, 1) for scheme in ("forward", "backward")}
    assert anchors == {(0, "forward"): (0, 0), (0, "backward"): (1, 0), (1, "forward"): (0, 0), (1, "backward"): (0, 1)}
    assert difference() == -derivative(accuracy=1, scheme="forward")
    assert difference(scheme="backward") == -derivative(accuracy=1, scheme="backward")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"order": 0}, "order"),
        ({"order": 1.0}, "order"),
        ({"accuracy": 3}, "even"),
        ({"accuracy": 0, "scheme": "forward"}, "accuracy"),
        ({"axis": 2}, "axis"),
        ({"axis": True}, "axis"),
        ({"spacing": 0}, "spacing"),
        ({"spacing": float("nan")}, "spacing"),
        ({"scheme": "middle"}, "scheme"),
        ({"scale": "2"}, "scale"),
    ],
)
def test_bad_arguments_name_the_argument_in_one_line(arguments, word):
    with pytest.raises(ArgumentError, match=rf"^[^\n]*{word}[^\n]*$"):
        derivative(**arguments)


def test_stencils_need_enough_different_points():
    with pytest.raises(ArgumentError, match="offsets"):
        stencil(2, [0, 1])
    with pytest.raises(ArgumentError, match="offsets"):
        stencil(1, [0, 1, 1])


@pytest.mark.parametrize("order", range(1, 9))
def test_no_fewer_weights_than_the_minimum_can_be_a_derivative(order):
    """The moment conditions by linear algebra: d weights miss them wherever they lie, d + 1 meet them."""
    least = minimum_size(order)
    assert least == order + 1
    wanted = np.zeros(order + 1)
    wanted[order] = factorial(order)
    rng = np.random.default_rng(order)
    for n, possible in ((least - 1, False), (least, True)):
        places = np.sort(rng.choice(np.arange(-order - 2, order + 3), n, replace=False)) / 4
        conditions = np.vander(places, order + 1, increasing=True).T
        rank = np.linalg.matrix_rank(np.column_stack([conditions, wanted]), tol=1e-9)
        assert (rank == np.linalg.matrix_rank(conditions, tol=1e-9)) == possible
    centred = minimum_size(order, centred=True)
    assert centred % 2 == 1
    assert centred - least in (0, 1)
    assert derivative(order).shape == (1, centred)
    with pytest.raises(ArgumentError, match="order"):
        minimum_size(0)


@given(st.integers(1, 4), st.lists(st.integers(-6, 6), min_size=5, max_size=8, unique=True), st.sampled_from([0, 1]))
def test_any_offsets_give_the_derivatives_of_the_polynomials_they_determine(order, offsets, axis):
    kernel = derivative(order, axis=axis, spacing=0.5, offsets=offsets)
    assert derivative(**kernel.parameters) == kernel
    places = (np.arange(kernel.shape[axis]) - kernel.anchor[axis]) * 0.5
    for power in range(len(offsets)):
        exact = factorial(order) if power == order else 0.0
        scale = np.abs(kernel.weights.ravel() * places**power).sum()
        assert float(kernel.weights.ravel() @ places**power) == pytest.approx(exact, abs=1e-12 * scale + 1e-12)


@pytest.mark.parametrize("offsets", [[0], [0, 0, 1], [0, 1], "01", 3, [0, 0.5, 1], list(range(99))])
def test_offsets_that_cannot_be_are_refused(offsets):
    with pytest.raises(ArgumentError, match=r"^offsets: [^\n]+$"):
        derivative(2, offsets=offsets)
