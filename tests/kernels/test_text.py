"""Printed kernels: aligned, bounded, and true to the weights."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from kernelfield import kernels as k
from kernelfield.kernels.text import decimals, weight_texts

numbers = st.floats(-1e300, 1e300, allow_subnormal=False)


@given(arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=6), elements=numbers))
def test_decimals_are_the_weights_to_four_digits_of_the_largest(weights):
    peak = float(np.abs(weights).max())
    read = np.array([[float(text) for text in row] for row in decimals(weights, 4)])
    # Half a unit of the fourth digit, which is at most a thousandth of the largest weight.
    assert np.abs(read - weights).max() <= 0.501e-3 * peak
    assert not any(text.startswith("-0") and float(text) == 0 for row in decimals(weights, 4) for text in row)


@given(arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=40), elements=numbers), st.data())
def test_a_kernel_prints_aligned_and_short(weights, data):
    anchor = data.draw(st.tuples(st.integers(-3, 50), st.integers(-3, 50)))
    lines = repr(k.Kernel(weights, anchor=anchor)).splitlines()
    assert len(lines) <= 17
    assert max(map(len, lines)) <= 100
    rows = [line for line in lines[1:] if not line.startswith("  rows ")]
    assert len({len(line) for line in rows}) == 1
    assert len(rows) == min(15, len(weights))


@pytest.mark.parametrize("size", [17, 63, 255])
def test_of_a_large_kernel_the_weights_around_the_anchor_are_printed(size):
    kernel = k.gaussian(size / 6, size=size)
    heading, place, *rows = repr(kernel).splitlines()
    factor = float(heading.split(", ")[-1].split()[0])
    printed = np.array([line.split() for line in rows], float) * factor
    top, bottom, left, right = (int(word.strip(":,")) for word in place.split() if word.strip(":,").isdigit())
    assert printed.shape == (bottom - top + 1, right - left + 1)
    np.testing.assert_allclose(printed, kernel.weights[top : bottom + 1, left : right + 1], atol=1e-3 * factor)
    assert top <= size // 2 <= bottom
    assert left <= size // 2 <= right


def test_printing_takes_no_longer_for_a_huge_kernel(monkeypatch):
    def formatted(weights, *arguments):
        assert weights.size <= 15 * 88
        return decimals(weights, *arguments)

    monkeypatch.setattr("kernelfield.kernels.text.decimals", formatted)
    lines = repr(k.Kernel(np.random.default_rng(0).random((2000, 2000)))).splitlines()
    assert lines[1] == "  rows 993 to 1007, columns 995 to 1005:"
    assert len(lines) == 17


def test_integers_are_printed_as_they_are():
    assert weight_texts(k.binomial(3)) == ([["1", "2", "1"], ["2", "4", "2"], ["1", "2", "1"]], 16)


@pytest.mark.parametrize("name", ["x" * 100_000, "two\nlines", "\x1b[31m"])
def test_names_do_not_break_the_print(name):
    kernel = k.Kernel([[1.0]], name=name, parameters={"values": list(range(10_000))})
    first, *rest = repr(kernel).splitlines()
    assert len(first) < 200
    assert rest == ["  1"]
    assert first.isprintable()
