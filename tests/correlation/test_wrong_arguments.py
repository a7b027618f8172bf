"""Wrong arguments: one error of ours on one line, before any work, whatever the value."""

import decimal
import fractions
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kernelfield as kf
from kernelfield.correlation import api, arguments
from kernelfield.errors import ArgumentError, KernelfieldError

PIXELS = np.random.default_rng(0).random((8, 9))
KERNEL = np.ones((3, 3))


@pytest.fixture(autouse=True, scope="module")
def little_memory():
    """Results and extended rows of more than 16 MiB are refused."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arguments, "_SMALL", 2**24)
        patch.setattr(arguments, "_memory", lambda: 2**24)
        yield


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
OPTIONS = (*api._OPTIONS, "bias", "out")


def outcome(call):
    """Return the result of a call, or None for an error of ours on one short line."""
    try:
        return call()
    except KernelfieldError as error:
        text = str(error)
        assert "\n" not in text
        assert len(text) < 500, text
        return None


@settings(max_examples=60)
@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("function", [kf.correlate, kf.convolve])
@given(st.data())
def test_any_value_of_one_argument_works_or_is_refused(function, name, data):
    value = data.draw(values)
    kernel = data.draw(st.sampled_from([KERNEL, np.ones((2, 3, 3)), np.ones((2, 1, 3, 3)), kf.kernels.sobel()]))
    pixels = PIXELS[None] if np.ndim(getattr(kernel, "weights", kernel)) == 4 else PIXELS
    found = outcome(lambda: function(pixels, kernel, **{name: value}))
    assert found is None or isinstance(found, np.ndarray)


@settings(max_examples=150)
@given(st.data())
def test_any_values_of_several_arguments_work_or_are_refused(data):
    names = data.draw(st.lists(st.sampled_from(OPTIONS), min_size=1, max_size=4, unique=True))
    given_values = {name: data.draw(values) for name in names}
    found = outcome(lambda: kf.correlate(PIXELS, KERNEL, **given_values))
    assert found is None or isinstance(found, np.ndarray)


@settings(max_examples=150)
@given(st.data())
def test_any_image_and_kernel_work_or_are_refused(data):
    image, kernel = (data.draw(st.one_of(st.just(one), values)) for one in (PIXELS, KERNEL))
    for call in (kf.correlate, kf.convolve, kf.corr2d):
        found = outcome(lambda call=call: call(image, kernel))
        assert found is None or isinstance(found, np.ndarray)


@settings(max_examples=150)
@given(st.data())
def test_plans_and_matrices_refuse_too(data):
    name = data.draw(st.sampled_from(["mode", "boundary", "cval", "origin", "padding"]))
    option, shape = {name: data.draw(values)}, data.draw(st.one_of(st.just((8, 9)), values))
    outcome(lambda: kf.plan(shape, KERNEL, **option))
    outcome(
        lambda: kf.plan(
            (8, 9), KERNEL, **{data.draw(st.sampled_from(["dtype", "method", "channel_axis"])): option[name]}
        )
    )
    outcome(lambda: kf.as_operator(KERNEL, shape, **option))
    outcome(
        lambda: kf.as_operator(
            KERNEL, (8, 9), **{data.draw(st.sampled_from(["dtype", "stride", "groups"])): option[name]}
        )
    )
    outcome(lambda: kf.as_matrix(KERNEL, (8, 9), **option))
    outcome(lambda: kf.im2col(PIXELS, data.draw(values)))
    outcome(lambda: kf.im2col(PIXELS, 3, **option))
    outcome(lambda: kf.col2im(data.draw(values), (8, 9), 3))


@pytest.mark.parametrize(
    "wrong",
    [
        dict(stride=2**62), dict(stride=0), dict(stride=True), dict(stride=1.5), dict(stride=(1, math.nan)),
        dict(dilation=2**40), dict(dilation=0), dict(padding=2**40), dict(padding=-1), dict(padding=(1, 2, 3)),
        dict(padding=True),
        dict(cval="x"), dict(cval="1"), dict(cval=True), dict(cval=None), dict(cval=10**400), dict(cval=1j),
        dict(origin=0.0), dict(origin=True), dict(origin=2**62), dict(groups=2**62), dict(groups=True),
        dict(mode=1),
        dict(boundary=np.array(["wrap"])), dict(method=["direct"]), dict(precision={}), dict(bank=1), dict(missing=0),
    ],
)  # fmt: skip
def test_what_is_out_of_range_is_an_argument_error(wrong):
    (name,) = wrong
    for call in (kf.correlate, kf.convolve):
        with pytest.raises(ArgumentError, match=f"^{name}: expected"):
            call(PIXELS, KERNEL, **wrong)


@pytest.mark.parametrize(
    "huge",
    [
        dict(padding=2**30), dict(padding=(2**31 - 1, 0)), dict(padding=((0, 0), (0, 2**31 - 1))),
        dict(dilation=2**31 - 1),
        dict(dilation=2**30, mode="full"), dict(padding=2**30, stride=2**20, boundary="constant"),
    ],
)  # fmt: skip
def test_more_than_the_memory_is_refused_at_once(huge, monkeypatch):
    monkeypatch.setattr(api.planner, "forward", None)
    start = time.process_time()
    with pytest.raises(ArgumentError, match=r"padding, stride, dilation: expected .* within the free memory, .* GiB"):
        kf.correlate(np.zeros((1000, 1000)), KERNEL, **huge)
    assert time.process_time() - start < 5  # a sum over that many pixels takes minutes


def test_no_value_is_spelled_out_at_length():
    for wrong in (
        dict(mode="x" * 10**6),
        dict(stride=list(range(10**6))),
        dict(origin=np.zeros(10**6)),
        dict(cval=10**5000),
    ):
        with pytest.raises(ArgumentError) as caught:
            kf.correlate(PIXELS, KERNEL, **wrong)
        assert len(str(caught.value)) < 300


def test_one_axis_is_a_row_or_a_column():
    for call in (lambda: kf.corr2d([1, -1], [[1.0]]), lambda: kf.correlate([1, -1], [[1.0]])):
        with pytest.raises(ArgumentError, match=r"received shape \(2,\); reshape it to \(1, 2\), a row, or \(2, 1\)"):
            call()
    with pytest.raises(ArgumentError, match=r"K: expected two axes; .* \(1, 3\), a row"):
        kf.corr2d(PIXELS, [1, 2, 3])
    with pytest.raises(ArgumentError, match=r"kernel: expected two axes .* \(1, 3\), a row"):
        kf.correlate(PIXELS, [1, 2, 3])
    with pytest.raises(ArgumentError, match=r"X: expected two axes; .* \(1, 8, 9\); use correlate for more"):
        kf.corr2d(PIXELS[None], [[1.0]])
    with pytest.raises(ArgumentError, match=r"X: expected two axes; received shape \(\)$"):
        kf.corr2d(3.0, [[1.0]])
