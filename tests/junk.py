"""Values that no argument expects, and what a call with them may do."""

import decimal
import fractions
import math

import numpy as np
from hypothesis import strategies as st

from kernelfield.errors import KernelfieldError


class Hostile:
    """A value that fails at everything."""

    def __repr__(self):
        raise ValueError("no\nrepr")

    def __eq__(self, other):
        raise TypeError("no comparison")

    __hash__ = None

    def __float__(self):
        raise RuntimeError("no number")

    def __array__(self, *_, **__):
        raise ValueError("no\narray")


JUNK = (
    None, True, False, 0, -1, 1, 2, 7, 2**31, 2**40, 2**62, 2**63, 2**64, 10**400, -(2**40), -(10**400),
    0.0, -0.0, 0.5, 2.0, 1e308, math.nan, math.inf, -math.inf, 1j, "", "same", "junk", "x" * 100_000, "1", b"same",
    np.bool_(True), np.int8(3), np.uint64(2**63), np.float32(1.5), np.float64("nan"), np.str_("wrap"),
    np.datetime64("2026-01-01"), np.array(2), np.array([1, 2]), np.array([[1, 2], [3, 4]]), np.array([]),
    np.zeros((2, 3, 4, 5)), np.array([None]), np.array(["a", "b"]), (), (1,), (1, 2), (1, 2, 3), ((1, 2), (3, 4)),
    ((1, 2), 3), (True, 1), (1.0, 2), ("a", "b"), (2**40, 1), ((2**40, 0), (0, 0)), [1, [2]], [[]], [None], {},
    {"a": 1}, {1, 2}, range(2), slice(2), object(), object, int, len, lambda: 1, iter([1, 2]), fractions.Fraction(1, 3),
    decimal.Decimal("1.5"), Hostile(), Hostile, [Hostile()], ..., NotImplemented, ValueError("x"),
    bytearray(b"ab"), memoryview(b"abcd"), np.dtype("U3"), np.float16, "float16", "complex64", ">f4",
)  # fmt: skip
values = st.one_of(
    st.sampled_from(JUNK),
    st.integers(),
    st.floats(),
    st.text(max_size=3),
    st.lists(st.one_of(st.integers(-3, 3), st.floats(), st.none()), max_size=3),
    st.tuples(st.integers(-(2**70), 2**70), st.integers(-3, 40)),
)


def outcome(call):
    """Return the result of a call, or None for an error of ours on one short line."""
    try:
        return call()
    except KernelfieldError as error:
        text = str(error)
        assert "\n" not in text
        assert len(text) < 500, text
        return None
