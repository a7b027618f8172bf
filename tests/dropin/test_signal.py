"""Our convolve2d and correlate2d against scipy.signal's, over dtypes, sizes, layouts, modes and boundaries."""

import inspect
import itertools

import numpy as np
import pytest
import scipy.signal
from cases import LAYOUTS, laid_out
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

import kernelfield as kf
from kernelfield.dropin import signal

INTEGERS = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
DTYPES = ["bool", *INTEGERS, "float16", "float32", "float64"]
NAMES = ["convolve2d", "correlate2d"]
MODES = ["full", "same", "valid"]
BOUNDARIES = ["fill", "wrap", "symm"]


def outcome(module, name, *arguments, **options):
    try:
        return getattr(module, name)(*arguments, **options)
    except Exception as error:
        return type(error), str(error)


def agree(name, first, second, mode="full", boundary="fill", fillvalue=0):
    """Hold ours against theirs: integers to the last bit, floats to rounding; errors to the last word."""
    arguments = first, second, mode, boundary, fillvalue
    expected, found = (outcome(module, name, *arguments) for module in (scipy.signal, signal))
    if isinstance(expected, tuple):
        assert found == expected
        return
    assert type(found) is np.ndarray
    assert found.dtype == expected.dtype
    assert found.flags.writeable
    assert found.shape == expected.shape
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(found, expected)
        return
    sure = np.isfinite(expected)
    np.testing.assert_array_equal(found[~sure], expected[~sure])
    positive = [np.abs(np.asarray(value).astype(np.float64)) for value in (first, second)]
    sizes = getattr(scipy.signal, name)(*positive, mode, boundary, abs(float(fillvalue)))
    terms = min(np.size(first), np.size(second)) if mode == "valid" else np.size(second)
    bound = 2 * (terms + 1) * np.finfo(expected.dtype).eps * sizes
    assert (np.abs(found[sure] - expected[sure]) <= bound[sure]).all()


@st.composite
def arrays(draw, most=9):
    shape = draw(st.tuples(st.integers(1, most), st.integers(1, most)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    if dtype.kind == "f":
        array = rng.normal(size=shape).astype(dtype)
    elif dtype.kind == "b":
        array = rng.integers(0, 2, shape).astype(dtype)
    else:
        # Small ones fit into the result; the large ones wrap around there, or exceed what float64 holds.
        high = draw(st.sampled_from([2, 12, 1000, 2**40]))
        limits = np.iinfo(dtype)
        array = rng.integers(max(int(limits.min), -high), min(int(limits.max), high), shape).astype(dtype)
    return laid_out(array, draw(st.sampled_from(LAYOUTS)))


@given(
    arrays(),
    arrays(),
    st.sampled_from(NAMES),
    st.sampled_from(MODES),
    st.sampled_from(BOUNDARIES),
    st.sampled_from([0, 0, 1, -3, 0.25, True, np.int8(7), np.float32(0.1)]),
)
@settings(max_examples=400)
@pytest.mark.filterwarnings("ignore:Casting complex values")  # SciPy's fill values are complex on their way
def test_dtypes_sizes_layouts_modes_and_boundaries(first, second, name, mode, boundary, fillvalue):
    before = first.copy(), second.copy()
    agree(name, first, second, mode, boundary, fillvalue)
    np.testing.assert_array_equal(first, before[0])
    np.testing.assert_array_equal(second, before[1])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("boundary", [*BOUNDARIES, "pad", "circular", "symmetric"])
def test_every_size_of_kernel_has_their_centre(name, mode, boundary):
    rng = np.random.default_rng(0)
    for rows, columns in itertools.product(range(1, 5), range(1, 5)):
        for shape in ((4, 4), (3, 2), (1, 4), (9, 8)):
            first, second = rng.integers(-9, 10, shape), rng.integers(-9, 10, (rows, columns))
            agree(name, first, second, mode, boundary, 2)
            agree(name, first.tolist(), tuple(map(tuple, second.tolist())), mode, boundary, 0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kernels_larger_than_the_image(name, boundary, dtype):
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(7, 5)).astype(dtype), rng.normal(size=(40, 31)).astype(dtype)
    for mode in MODES:
        agree(name, first, second, mode, boundary, 0.5)
        agree(name, first, second, mode, boundary)


# Its determinant is 1: too little beside it for float64 to tell it from 0.
NEARLY = 2**26 + 1

KERNELS = {
    "box": np.ones((5, 4), int),
    "outer": np.outer(np.arange(-4, 5), [1, 2, 3, 4, 3, 2, 1]),
    "random": np.random.default_rng(2).integers(-9, 10, (6, 9)),
    "neighbours": np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], np.int16),
    "heavy": np.random.default_rng(3).integers(-(2**30), 2**30, (3, 3)),
    "nearly of rank 1": np.array([[NEARLY, NEARLY - 2], [NEARLY // 2, (NEARLY - 2) * (NEARLY // 2) // NEARLY]]),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "int16", "int32", "int64"])
def test_photographs_are_equal_in_every_pixel(name, kernel, dtype):
    scale = {"bool": 1 / 256, "uint16": 257, "int16": 120}.get(dtype, 1)
    photograph = np.rint(data.camera()[60:260, 100:420] * float(scale)).astype(dtype)
    for mode, boundary in (("same", "symm"), ("full", "fill")):
        agree(name, photograph, KERNELS[kernel], mode, boundary, 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 90), (9, 9), (35, 40)])
def test_photographs_agree_to_rounding(dtype, shape):
    photograph = data.camera()[60:180, 100:250].astype(dtype)
    kernel = np.random.default_rng(4).normal(size=shape).astype(dtype)
    for name, boundary in zip(NAMES, ("wrap", "fill")):
        agree(name, photograph, kernel, "same", boundary)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_reaches_what_it_reaches_there(name, value):
    rng = np.random.default_rng(5)
    first, second = rng.normal(size=(12, 10)), rng.normal(size=(3, 2))
    first[4, 5] = value
    for boundary in BOUNDARIES:
        for mode in MODES:
            agree(name, first, second, mode, boundary)
            agree(name, second, first, mode, boundary)
    agree(name, first, second, fillvalue=1.5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("pair", [("uint8", "int64"), ("float32", "float32"), ("bool", "float64"), (">i2", "<i4")])
def test_what_the_engine_has_is_ours(name, pair, monkeypatch):
    rng = np.random.default_rng(6)
    first, second = (rng.integers(0, 2, shape).astype(dtype) for shape, dtype in zip(((8, 9), (3, 4)), pair))
    calls = [
        c for c in itertools.product(MODES, BOUNDARIES, (0, 1.0)) for c in ((first, second, *c), (second, first, *c))
    ]
    expected = [getattr(scipy.signal, name)(*arguments) for arguments in calls]
    for theirs in NAMES:
        monkeypatch.delattr(scipy.signal, theirs)
    for arguments, wanted in zip(calls, expected):
        np.testing.assert_array_equal(getattr(signal, name)(*arguments), wanted)


class Subclass(np.ndarray):
    pass


def test_what_the_engine_lacks_is_theirs():
    rng = np.random.default_rng(7)
    first, second = rng.integers(0, 200, (6, 7)), rng.integers(0, 200, (2, 3))
    for one, other in (
        (first * 1j, second),
        (first, second + 0.5j),
        (first.astype("uint8"), second.astype("uint8")),
        (first + 2**60, second),
        (first + 2**44, second),
        (first.astype("longdouble"), second),
        (first.astype("float16"), second.astype("float16")),
        (first.astype(object), second),
        (first.view(Subclass), second),
        (first[:0], second),
        (first, second[:, :0]),
        (first[0], second),
        (first, second[None]),
        (first > 0, second > 0),
        ([[1, 2], [3]], second),
    ):
        for name in NAMES:
            agree(name, one, other)
    for name in NAMES:
        agree(name, first + 2**60, second / 4)
        agree(name, first, second, fillvalue=2**53 - 1)
        agree(name, first.astype("uint8") // 100, second.astype("uint8") // 100, fillvalue=200)
    assert signal.fftconvolve is scipy.signal.fftconvolve
    with pytest.raises(AttributeError, match="no_such_function"):
        signal.no_such_function  # noqa: B018
    assert {"lfilter", "correlate2d"} <= set(dir(signal))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["int16", "float64"])
@pytest.mark.parametrize(
    "fillvalue", [None, [1, 2], [3], [], "1", 1j, 10**400, 2**70, np.nan, np.inf, 2.5, np.array(4)]
)
@pytest.mark.filterwarnings("ignore:Casting complex values")
def test_fill_values_are_theirs(name, dtype, fillvalue):
    image = np.arange(20).reshape(4, 5).astype(dtype)
    expected, found = (
        outcome(module, name, image, image[:2, :2], fillvalue=fillvalue) for module in (scipy.signal, signal)
    )
    if isinstance(expected, tuple):
        assert found == expected
    else:
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "options",
    [
        {"mode": "sideways"},
        {"mode": ["full"]},
        {"mode": 2},
        {"boundary": "mirror"},
        {"boundary": None},
        {"mode": "valid"},
    ],
)
def test_errors_are_theirs(name, options):
    agree(name, np.ones((2, 5)), np.ones((3, 4)), **options)
    with pytest.raises((TypeError, ValueError)):
        getattr(signal, name)(np.ones((2, 5)), np.ones((3, 4)), **options)


def test_the_package_names_the_module():
    assert kf.dropin.signal is signal
    assert "signal" in dir(kf.dropin)
    assert signal.__all__ == NAMES


def test_signatures_are_scipys():
    for name in NAMES:
        mine, theirs = (inspect.signature(getattr(module, name)).parameters for module in (signal, scipy.signal))
        assert [(p.name, p.default) for p in mine.values()] == [(p.name, p.default) for p in theirs.values()]
