"""A repeated call has the bits of the first one, and raises the same errors."""

import threading

import numpy as np
import pytest
from cases import BOUNDARIES, DTYPES, LAYOUTS, image, laid_out
from hypothesis import given, settings
from hypothesis import strategies as st

import kernelfield as kf
from kernelfield.correlation import api
from kernelfield.engine import tuning
from kernelfield.engine.plan import CACHE
from kernelfield.errors import ArgumentError, DataError, DtypeError

pytestmark = pytest.mark.core

OUTS = ("none", "contiguous", "strided", "channels last", "reversed")


@pytest.fixture(autouse=True)
def forget():
    """Begin and end with nothing kept."""
    CACHE.clear()
    yield
    CACHE.clear()


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
def test_once_more_gives_the_same_bits(engine, data):
    draw = data.draw
    dtype = draw(st.sampled_from(DTYPES))
    side = st.one_of(st.integers(1, 40), st.integers(129, 180))
    shape = (*draw(st.sampled_from([(), (3,), (2, 2)])), draw(side), draw(side))
    size = draw(st.sampled_from([(1, 1), (3, 3), (2, 5), (7, 7), (15, 15)]))
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    kernel = rng.normal(size=size) if draw(st.booleans()) else np.outer(rng.normal(size=size[0]), np.ones(size[1]))
    if draw(st.booleans()):
        kernel = np.rint(4 * kernel)
    bank = draw(st.sampled_from([False, False, False, True]))
    how = {
        "boundary": draw(st.sampled_from(BOUNDARIES)),
        "cval": draw(st.sampled_from([0, 2.0, -1.5])),
        "padding": draw(st.sampled_from([None, 7, (7, 8), ((7, 9), (8, 7))])),
        "dtype": draw(st.sampled_from([None, "uint8", "int16", "int32", np.float32, np.float64])),
        "precision": draw(st.sampled_from([None, "exact"])),
        "method": None if bank else draw(st.sampled_from([None, None, "direct", "separable"])),
        "stride": draw(st.sampled_from([1, 1, (1, 2)])),
        "channel_axis": None,
        "bank": bank or None,
    }
    if (how["precision"] == "exact" and how["method"] == "separable") or how["stride"] != 1:
        how["method"] = None
    if bank:
        kernel = np.stack([kernel, 2 * kernel])
    images = [image(dtype, shape, seed) for seed in range(3)]
    expected = []
    for pixels in images:
        CACHE.clear()
        expected.append(kf.correlate(pixels, kernel, **how))
    CACHE.clear()
    for pixels, right in zip(images, expected):
        layout = draw(st.sampled_from(["contiguous", *LAYOUTS, "channels last"]))
        out = result_array(right.shape, right.dtype, draw(st.sampled_from(["contiguous", *OUTS])))
        got = kf.correlate(arranged(pixels, layout), kernel, out=out, **how)
        assert out is None or got is out
        assert got.dtype == right.dtype
        assert got.shape == right.shape
        np.testing.assert_array_equal(got, right)
        np.testing.assert_array_equal(np.signbit(got), np.signbit(right))


@pytest.mark.parametrize(
    "kernel", [np.eye(5) + 1, np.ones((5, 5), np.float32), kf.kernels.gaussian(2.0), np.ones((3, 3, 3))]
)
@pytest.mark.parametrize("dtype", ["uint8", "float32", "int8", "bool"])
@pytest.mark.parametrize("options", [{}, {"boundary": "wrap", "stride": 2}, {"mode": "full"}])
def test_the_second_time_is_from_memory(dtype, kernel, options, monkeypatch):
    first, second = (
        np.random.default_rng(seed).integers(0, 2 if dtype == "bool" else 100, (30, 40)).astype(dtype)
        for seed in (0, 1)
    )
    expected = kf.correlate(second.copy(), kernel, **options)
    CACHE.clear()
    kf.correlate(first, kernel, **options)
    assert len(CACHE) == 1
    monkeypatch.setattr(api, "_run", None)
    found = kf.correlate(second, kernel, **options)
    np.testing.assert_array_equal(found, expected)
    assert (found.dtype, found.strides) == (expected.dtype, expected.strides)


def test_a_kernel_that_was_changed_is_another():
    pixels, kernel = image("float32", (300, 400)), np.ones((3, 3), np.float32)
    kf.correlate(pixels, kernel)
    kernel[1, 1] = 5
    np.testing.assert_array_equal(kf.correlate(pixels, kernel), kf.correlate(pixels, kernel.copy(), method="direct"))


@pytest.mark.parametrize("method", ["direct", "separable", "spectral"])
def test_what_is_kept_does_not_see_a_kernel_change(method):
    pixels, kernel = image("float64", (40, 50)), np.outer(np.arange(1.0, 6), np.arange(2.0, 5))
    expected = kf.correlate(pixels, kernel, method=method)
    same = kernel.copy()
    kernel[...] = 0
    np.testing.assert_array_equal(kf.correlate(pixels, same, method=method), expected)


def test_anchors_tell_kernels_apart():
    pixels = image("float32", (30, 40))
    for down in (0, 1, 2, 0, 1):
        np.testing.assert_array_equal(
            kf.correlate(pixels, kf.Kernel([[1.0]] * 3, anchor=(down, 0)), boundary="wrap"),
            np.roll(kf.correlate(pixels, np.ones((3, 1)), boundary="wrap"), down - 1, 0),
        )


def test_a_convolution_is_no_correlation():
    pixels, kernel = image("float32", (30, 40)), np.arange(12.0).reshape(3, 4)
    for how in ({}, {"mode": "full"}, {"origin": (1, 0)}, {}, {"mode": "full"}, {"origin": (1, 0)}):
        found = kf.convolve(pixels, kernel, **how), kf.correlate(pixels, kernel, **how)
        CACHE.clear()
        np.testing.assert_array_equal(found[0], kf.convolve(pixels, kernel, **how))
        kf.convolve(pixels, kernel, **how)
        np.testing.assert_array_equal(found[1], kf.correlate(pixels, kernel, **how))
    moved = kf.Kernel(kernel, anchor=(0, 1))
    expected = kf.convolve(pixels, moved)
    assert not np.array_equal(expected, kf.convolve(pixels, kernel))
    np.testing.assert_array_equal(kf.convolve(pixels, moved), expected)


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


def test_numbers_that_are_equal_and_not_the_same():
    pixels, kernel = np.ones((4, 5)), np.array([[0.0, 1.0, 0.0]])
    for cval in (0.0, -0.0, 0, np.float64(3), float("nan"), float("nan")):
        found = kf.correlate(pixels, [[1.0, 0.0]] if cval == 3 else kernel * 0, boundary="constant", cval=cval)
        assert found.shape == pixels.shape
    assert np.isnan(kf.correlate(pixels, kernel * 0, boundary="constant", cval=float("nan"))[:, 0]).all()
    assert not np.signbit(kf.correlate(pixels * 0, np.ones((1, 3)), boundary="constant", cval=0.0)).any()


def test_options_in_lists_are_taken_and_not_kept():
    pixels, kernel = image("float32", (30, 40)), np.ones((3, 3))
    expected = kf.correlate(pixels, kernel, origin=(1, 0), stride=(2, 1))
    CACHE.clear()
    for _ in range(2):
        np.testing.assert_array_equal(kf.correlate(pixels, kernel, origin=[1, 0], stride=[2, 1]), expected)
    assert not len(CACHE)


def test_kernels_in_lists_are_kept():
    pixels = image("float32", (30, 40))
    for kernel in ([[1, -1]], [[1.0, -1.0]], [[1, -1]], [[2, -1]]):
        expected = kf.correlate(pixels, np.array(kernel), method="direct")
        np.testing.assert_array_equal(kf.correlate(pixels, kernel), expected)
    with pytest.raises(DtypeError):
        kf.correlate(pixels, [["a"]])


def test_64_bit_integers_are_looked_at_each_time():
    pixels, kernel = np.arange(12).reshape(3, 4), np.ones((1, 2))
    expected = kf.correlate(pixels.astype(float), kernel)
    CACHE.clear()
    for _ in range(2):
        np.testing.assert_array_equal(kf.correlate(pixels, kernel), expected)
    assert len(CACHE) == 1
    pixels[0, 0] = 2**60
    with pytest.raises(DataError, match=r"image: expected integers within ±2\*\*53"):
        kf.correlate(pixels, kernel)
    memory = np.arange(12)
    out = memory.view(np.float64).reshape(3, 4)
    assert kf.correlate(memory.reshape(3, 4), kernel, out=out) is out
    np.testing.assert_array_equal(out, expected)


def test_an_array_that_cannot_be_written_is_refused_the_second_time_too():
    pixels, kernel = image("float32", (300, 400)), np.ones((3, 3))
    out = np.zeros_like(pixels)
    kf.correlate(pixels, kernel, out=out)
    out.flags.writeable = False
    with pytest.raises(ArgumentError, match="out: expected a writeable array"):
        kf.correlate(pixels, kernel, out=out)
    with pytest.raises(DtypeError, match="out: expected dtype float64"):
        kf.correlate(pixels, kernel, out=np.zeros_like(pixels), dtype=np.float64)


def test_little_is_kept_and_nothing_when_figures_change():
    pixels = image("float32", (300, 400))
    for i in range(40):
        kf.correlate(pixels, np.full((3, 3), float(i)))
    assert len(CACHE) <= 32
    tuning.use(None)
    assert not len(CACHE)


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


def test_many_shapes_in_many_threads():
    rng = np.random.default_rng(0)
    shapes = [(int(h), int(w), int(a), int(b)) for h, w, a, b in rng.integers((1, 1, 1, 1), (90, 90, 8, 8), (100, 4))]
    images = [rng.normal(size=(h, w)).astype(rng.choice(["f4", "f8"])) for h, w, _, _ in shapes]
    kernels = [rng.normal(size=(a, b)) for _, _, a, b in shapes]
    expected = [kf.correlate(pixels, kernel) for pixels, kernel in zip(images, kernels)]
    wrong: list[int] = []

    def work(seed):
        for i in np.random.default_rng(seed).permutation(len(shapes)):
            if not np.array_equal(kf.correlate(images[i].copy(), kernels[i].copy()), expected[i]):
                wrong.append(i)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
