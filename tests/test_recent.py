"""What is done again at once gives what it gives when everything is found out: bit by bit, and no errors are lost."""

import threading

import numpy as np
import pytest
from cases import BOUNDARIES, DTYPES, LAYOUTS, image, laid_out, needs_halide
from hypothesis import given, settings
from hypothesis import strategies as st

import kernelfield as kf
from kernelfield import recent
from kernelfield.engine import tuning
from kernelfield.errors import ArgumentError

OUTS = ("none", "contiguous", "strided", "channels last", "reversed")


@pytest.fixture(autouse=True)
def forget():
    """Begin and end with nothing kept."""
    recent._known.clear()
    yield
    recent._known.clear()


def arranged(array, layout):
    """Return the same values in one of `LAYOUTS`, or with channels side by side where there are some."""
    if layout == "channels last" and array.ndim > 2:
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, -3, -1)), -1, -3)
    return laid_out(array, layout)


def result_array(shape, dtype, kind):
    """Return an array for a result, laid out in one of `OUTS`."""
    if kind == "none":
        return None
    return arranged(np.zeros(shape, dtype), kind)


@settings(max_examples=300)
@given(st.data())
def test_once_more_gives_the_same_bits(engine_name, data):
    draw = data.draw
    dtype = draw(st.sampled_from(DTYPES))
    side = st.one_of(st.integers(1, 40), st.integers(129, 180))
    shape = (*draw(st.sampled_from([(), (3,), (2, 2)])), draw(side), draw(side))
    size = draw(st.sampled_from([(1, 1), (3, 3), (2, 5), (7, 7), (15, 15)]))
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    kernel = rng.normal(size=size) if draw(st.booleans()) else np.outer(rng.normal(size=size[0]), np.ones(size[1]))
    if draw(st.booleans()):
        kernel = np.rint(4 * kernel)
    how = {
        "boundary": draw(st.sampled_from(BOUNDARIES)),
        "cval": draw(st.sampled_from([0, 2.0, -1.5])),
        "padding": draw(st.sampled_from([None, 7, (7, 8), ((7, 9), (8, 7))])),
        "dtype": draw(st.sampled_from([None, "uint8", "int16", "int32", np.float32, np.float64])),
        "precision": draw(st.sampled_from([None, "exact"])),
        "method": draw(st.sampled_from([None, None, "direct", "separable"])),
    }
    if how["precision"] == "exact" and how["method"] == "separable":
        how["method"] = None
    images = [image(dtype, shape, seed) for seed in range(3)]
    expected = []
    for pixels in images:
        recent._known.clear()
        expected.append(kf.correlate(pixels, kernel, **how))
    recent._known.clear()
    for pixels, right in zip(images, expected):
        layout = draw(st.sampled_from(["contiguous", *LAYOUTS, "channels last"]))
        out = result_array(right.shape, right.dtype, draw(st.sampled_from(["contiguous", *OUTS])))
        got = kf.correlate(arranged(pixels, layout), kernel, out=out, **how)
        assert out is None or got is out
        assert got.dtype == right.dtype
        assert got.shape == right.shape
        np.testing.assert_array_equal(got, right)
        np.testing.assert_array_equal(np.signbit(got), np.signbit(right))


@needs_halide
@pytest.mark.parametrize("kernel", [np.eye(5) + 1, np.ones((5, 5)), kf.kernels.gaussian(2.0)])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_the_second_time_is_from_memory(dtype, kernel, monkeypatch):
    first, second = image(dtype, (300, 400)), image(dtype, (300, 400), 1)
    expected = kf.correlate(second.copy(), kernel, dtype=dtype)
    recent._known.clear()
    kf.correlate(first, kernel, dtype=dtype)
    assert len(recent._known) == 1
    monkeypatch.setattr("kernelfield.correlating.check_image", None)
    np.testing.assert_array_equal(kf.correlate(second, kernel, dtype=dtype), expected)


def test_a_kernel_that_was_changed_is_another():
    pixels, kernel = image("float32", (300, 400)), np.ones((3, 3), np.float32)
    kf.correlate(pixels, kernel)
    kernel[1, 1] = 5
    np.testing.assert_array_equal(kf.correlate(pixels, kernel), kf.correlate(pixels, kernel.copy(), method="direct"))


def test_results_over_the_image_are_right():
    pixels, kernel = image("float32", (300, 400)), np.ones((3, 3), np.float32)
    expected = kf.correlate(pixels, kernel)
    apart = np.zeros_like(pixels)
    kf.correlate(pixels, kernel, out=apart)
    np.testing.assert_array_equal(kf.correlate(pixels, kernel, out=pixels), expected)


@pytest.mark.parametrize("wrong", [{"stride": True}, {"groups": True}, {"origin": (True, False)}, {"padding": True}])
@pytest.mark.parametrize("shape", [(300, 400), (30, 40)])
def test_what_is_wrong_is_wrong_the_second_time_too(shape, wrong):
    pixels, kernel = image("float32", shape), np.ones((3, 3))
    right = {name: (1, 0) if name == "origin" else 1 for name in wrong}
    kf.correlate(pixels, kernel, **right)
    with pytest.raises(ArgumentError):
        kf.correlate(pixels, kernel, **wrong)


def test_an_array_that_cannot_be_written_is_refused_the_second_time_too():
    pixels, kernel = image("float32", (300, 400)), np.ones((3, 3))
    out = np.zeros_like(pixels)
    kf.correlate(pixels, kernel, out=out)
    out.flags.writeable = False
    with pytest.raises(ArgumentError, match="out: expected a writeable array"):
        kf.correlate(pixels, kernel, out=out)


def test_little_is_kept_and_nothing_when_figures_change():
    pixels = image("float32", (300, 400))
    for i in range(40):
        kf.correlate(pixels, np.full((3, 3), float(i)))
    assert len(recent._known) <= 32
    tuning.use(None, True)
    assert not recent._known


def test_threads_share_what_is_kept():
    kernel = np.random.default_rng(0).normal(size=(3, 5))
    images = [image("float32", (200, 210), seed) for seed in range(4)]
    expected = [kf.correlate(pixels, kernel, boundary="constant", cval=3.0) for pixels in images]
    wrong = []

    def work(number):
        for i in range(50):
            one = (number + i) % 4
            if not np.array_equal(kf.correlate(images[one], kernel, boundary="constant", cval=3.0), expected[one]):
                wrong.append(one)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
