import numpy as np
import pytest
from cases import BOUNDARIES
from hypothesis import given
from hypothesis import strategies as st

from kernelfield.engine.reference import outside
from kernelfield.errors import ArgumentError
from kernelfield.geometry import Window, boundary_index, check_boundary, check_mode, check_origin

pytestmark = pytest.mark.core

PAD = {"nearest": "edge", "reflect": "symmetric", "mirror": "reflect", "wrap": "wrap"}


@given(st.integers(1, 9), st.integers(0, 30), st.integers(0, 30), st.sampled_from(BOUNDARIES))
def test_boundary_index_walks_as_the_definition_does(n, before, after, boundary):
    expected = [outside(p, n, boundary) for p in range(-before, n + after)]
    assert boundary_index(n, before, after, boundary).tolist() == [-1 if e is None else e for e in expected]


@pytest.mark.parametrize("boundary", sorted(PAD))
def test_boundary_index_agrees_with_numpy_pad(boundary):
    line = np.arange(7)
    assert (line[boundary_index(7, 5, 4, boundary)] == np.pad(line, (5, 4), PAD[boundary])).all()


@given(st.integers(1, 12), st.integers(1, 20), st.sampled_from(["valid", "same", "full"]))
def test_output_sizes_are_those_of_numpy(size, n, mode):
    if mode == "same":
        assert Window.of(size, mode).output_size(n) == n
    elif size <= n:
        assert Window.of(size, mode).output_size(n) == len(np.convolve(np.ones(n), np.ones(size), mode))


@given(st.integers(1, 6), st.integers(1, 20), st.integers(1, 4), st.integers(1, 4), st.sampled_from(["valid", "same"]))
def test_stride_and_dilation_are_those_of_numpy_slices(size, n, stride, dilation, mode):
    window = Window.of(size, mode, stride=stride, dilation=dilation)
    line = np.arange(-window.before, n + window.after)
    starts = [i for i in range(0, len(line), stride) if i + dilation * (size - 1) < len(line)]
    assert window.output_size(n) == len(starts)
    inside = [k for k, i in enumerate(starts) if line[i] >= 0 and line[i + dilation * (size - 1)] < n]
    assert list(range(*window.interior(n))) == inside


@pytest.mark.parametrize("size", range(1, 7))
def test_an_origin_moves_the_centre_to_any_element_and_no_further(size):
    """Of even sizes the centre is the element behind the middle."""
    for element in range(-9, 10):
        origin = element - [0, 0, 1, 1, 2, 2, 3][size]
        if 0 <= element < size:
            assert Window.of(size, "same", check_origin(origin, size, "rows")).before == element
        else:
            with pytest.raises(ArgumentError, match="origin: expected"):
                check_origin(origin, size, "rows")


def test_bad_words_are_named():
    with pytest.raises(ArgumentError, match="mode: expected one of valid, same, full; received 'Same'"):
        check_mode("Same")
    with pytest.raises(ArgumentError, match=r"boundary: expected one of constant.*received 'zero'"):
        check_boundary("zero")
    with pytest.raises(ArgumentError, match="origin: expected -1 to 1 along the rows of a kernel of 3; received 2"):
        check_origin(2, 3, "rows")
