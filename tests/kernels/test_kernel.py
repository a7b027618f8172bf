import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from kernelfield.correlation import correlate
from kernelfield.errors import ArgumentError
from kernelfield.kernels import Kernel, binomial, gaussian, sharpen, sobel

numbers = st.floats(-100, 100, allow_nan=False).map(lambda x: round(x, 3))
grids = st.tuples(st.integers(1, 5), st.integers(1, 5)).flatmap(lambda shape: arrays(float, shape, elements=numbers))
anchors = st.tuples(st.integers(-4, 8), st.integers(-4, 8))


def applied(kernel, image):
    """The definition on a periodic image: one shifted copy for each weight."""
    out = np.zeros(image.shape)
    for (i, j), weight in np.ndenumerate(kernel.weights):
        out += weight * np.roll(image, (kernel.anchor[0] - i, kernel.anchor[1] - j), axis=(0, 1))
    return out


IMAGE = np.random.default_rng(3).normal(size=(23, 19))


def test_weights_are_a_copy_that_cannot_change():
    given_weights = np.ones((2, 3))
    kernel = Kernel(given_weights, parameters={"a": 1})
    given_weights[0, 0] = 5
    assert kernel.weights[0, 0] == 1
    assert kernel.anchor == (1, 1)
    with pytest.raises(ValueError, match="read-only"):
        kernel.weights[0, 0] = 2
    with pytest.raises(ValueError, match="WRITEABLE"):
        kernel.weights.setflags(write=True)
    with pytest.raises(TypeError):
        kernel.parameters["a"] = 2
    with pytest.raises(AttributeError):
        kernel.name = "other"


@pytest.mark.parametrize(
    ("weights", "anchor"),
    [
        ([1, 2], None),
        (np.zeros((0, 3)), None),
        ([[np.nan]], None),
        ([[1j]], None),
        ([["a"]], None),
        ([[1], [1, 2]], None),
        ([[1]], (0.5, 0)),
        ([[1]], (1, 2, 3)),
        ([[1]], 3),
    ],
)
def test_bad_arguments_give_one_line(weights, anchor):
    with pytest.raises(ArgumentError, match=r"^[^\n]+$"):
        Kernel(weights, anchor=anchor)


def test_is_an_array_to_numpy():
    kernel = sobel()
    assert np.asarray(kernel) is kernel.weights or np.shares_memory(np.asarray(kernel), kernel.weights)
    assert np.asarray(kernel, dtype=np.float32).dtype == np.float32
    assert np.array(kernel).flags.writeable
    assert kernel.__array__(np.float64, copy=True).flags.writeable
    with pytest.raises(ValueError, match="copy"):
        kernel.__array__(np.int8, copy=False)
    assert np.array_equal(np.abs(kernel), np.abs(kernel.weights))
    np.testing.assert_array_equal(ndimage.correlate(IMAGE, kernel), ndimage.correlate(IMAGE, kernel.weights))


@given(grids, anchors)
def test_flipping_twice_gives_the_same(weights, anchor):
    kernel = Kernel(weights, anchor=anchor)
    assert kernel.flipped().flipped() == kernel
    assert np.array_equal(kernel.flipped().weights, weights[::-1, ::-1])


@given(grids, anchors)
def test_the_flipped_kernel_convolves_to_the_same(weights, anchor):
    kernel = Kernel(weights, anchor=anchor)
    flipped = kernel.flipped()
    convolved = np.zeros(IMAGE.shape)
    for (i, j), weight in np.ndenumerate(flipped.weights):
        down, right = i - flipped.anchor[0], j - flipped.anchor[1]
        convolved += weight * np.roll(IMAGE, (down, right), axis=(0, 1))
    np.testing.assert_allclose(convolved, applied(kernel, IMAGE), atol=1e-9)


@given(grids, anchors, grids, anchors, numbers)
def test_sums_and_multiples_act_linearly(first, anchor, second, other, factor):
    a, b = Kernel(first, anchor=anchor), Kernel(second, anchor=other)
    expected = applied(a, IMAGE) - factor * applied(b, IMAGE)
    np.testing.assert_allclose(applied(a - factor * b, IMAGE), expected, atol=1e-6)
    np.testing.assert_allclose(applied(a + b * -factor, IMAGE), expected, atol=1e-6)


@given(grids, anchors, st.integers(-5, 5), st.integers(-5, 5))
def test_shifted_moves_the_output_down_and_right(weights, anchor, rows, columns):
    kernel = Kernel(weights, anchor=anchor)
    moved = np.roll(applied(kernel, IMAGE), (rows, columns), axis=(0, 1))
    np.testing.assert_allclose(applied(kernel.shifted(rows, columns), IMAGE), moved, atol=1e-9)


def test_shifting_back_leaves_no_trace():
    assert dict(sobel().shifted(2, -1).shifted(-2, 1).parameters) == dict(sobel().parameters)


def test_numpy_scalars_multiply_from_the_left():
    assert np.float64(2) * sobel() == 2 * sobel()
    assert np.int64(2) * sobel() == sobel(scale=2)
    assert sobel() / 4 == sobel(scale=0.25)
    assert sum([sobel(), sobel(0)]) == sobel() + sobel(0)
    with pytest.raises(ArgumentError):
        sobel() / 0
    with pytest.raises(TypeError):
        sobel() * "2"
    with pytest.raises(TypeError):
        sobel() + 1


def test_equal_means_the_same_operation():
    assert Kernel([[1, 2]]) == Kernel([[1.0, 2.0]], name="other")
    assert hash(Kernel([[-0.0, 2]])) == hash(Kernel([[0.0, 2]]))
    assert Kernel([[1, 2]]) != Kernel([[1, 2]], anchor=(0, 0))
    assert Kernel([[1, 2]]) != Kernel([[1], [2]])
    assert Kernel([[1]]) != 1


@given(st.integers(1, 65536), arrays(np.int64, (3, 2), elements=st.integers(-1000, 1000)))
def test_integers_are_found_over_the_smallest_divisor(divisor, numerators):
    found = Kernel(numerators / divisor).integers()
    assert found is not None
    common = np.gcd.reduce([divisor, *np.abs(numerators).ravel()])
    assert found[1] == divisor // common
    assert np.array_equal(found[0], numerators // common)


def test_numbers_that_are_no_integers():
    assert gaussian(1.0).integers() is None
    assert Kernel([[1 / 7, 1 / 11]]).integers(max_divisor=76) is None
    assert Kernel([[1 / 7, 1 / 11]]).integers(max_divisor=77)[1] == 77
    assert Kernel([[1, 1e-17]]).integers() is None
    assert sharpen(1 / 6, 4).integers()[1] == 6


def test_rank_and_factors():
    assert [k.rank() for k in (sobel(), sharpen(), binomial((4, 7)), Kernel(np.zeros((2, 2))))] == [
        1,
        2,
        1,
        0,
    ]
    assert sharpen().separable() is None
    assert Kernel(np.zeros((2, 2))).separable() is None
    assert Kernel([[1, 0], [0, 0.01]]).rank(tolerance=0.1) == 1
    for kernel in (sobel(), gaussian((1, 2)), binomial(5), -1 * gaussian(0.8), sobel(scale=-1 / 8)):
        column, row = kernel.separable()
        np.testing.assert_allclose(np.outer(column, row), kernel.weights, atol=1e-15)


@given(st.integers(-12, 12), st.sampled_from([sobel(), sharpen(), binomial((4, 7)), gaussian((1, 2))]))
def test_scaling_does_not_change_the_rank(exponent, kernel):
    scaled = kernel * 10.0**exponent
    assert scaled.rank() == kernel.rank()
    assert scaled.rank(tolerance=1e-3) == kernel.rank(tolerance=1e-3)
    assert (scaled.separable() is None) == (kernel.separable() is None)


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda kernel: pickle.loads(pickle.dumps(kernel))])
def test_survives_copy_and_pickle(twin):
    kernel = sobel().shifted(1, 1)
    other = twin(kernel)
    assert other == kernel
    assert (other.name, dict(other.parameters), other.source) == (
        kernel.name,
        dict(kernel.parameters),
        kernel.source,
    )


def test_repr_aligns_rows_and_shortens_large_kernels():
    assert repr(Kernel([[0.123456789, -1], [10, 0]])).splitlines()[1:] == [
        "   0.12 -1.00",
        "  10.00     0",
    ]
    assert len(repr(gaussian(10))) < 2000


def test_importing_the_package_loads_numpy_only():
    code = "import sys, kernelfield.kernels; print(*{m.partition('.')[0] for m in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"scipy", "torch", "jax", "tensorflow", "cv2", "PIL", "matplotlib"} & set(loaded.split())


@given(grids, anchors, grids, anchors)
def test_composed_kernels_do_what_the_two_do_in_a_row(first, anchor, second, other):
    a, b = Kernel(first, anchor=anchor), Kernel(second, anchor=other)
    np.testing.assert_allclose(applied(a.compose(b), IMAGE), applied(b, applied(a, IMAGE)), atol=1e-6)
    np.testing.assert_allclose(a.compose(b).weights, b.compose(a).weights, atol=1e-9)
    assert a.compose(b).anchor == b.compose(a).anchor


def test_composition_through_the_engine():
    a, b = gaussian(0.8), sobel(0)
    twice = correlate(correlate(IMAGE, a, mode="valid"), b, mode="valid")
    np.testing.assert_allclose(correlate(IMAGE, a.compose(b), mode="valid"), twice, atol=1e-12)
    twice = correlate(correlate(IMAGE, a, mode="full", boundary="constant"), b, mode="full", boundary="constant")
    np.testing.assert_allclose(correlate(IMAGE, a.compose(b), mode="full", boundary="constant"), twice, atol=1e-12)
    with pytest.raises(ArgumentError, match=r"^other: [^\n]+$"):
        a.compose(b.weights)


@given(grids, anchors, st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_waves_come_out_multiplied_by_the_frequency_response(weights, anchor, down, right):
    kernel = Kernel(weights, anchor=anchor)
    found = kernel.frequency_response([down], [right])[2][0, 0]
    rows, columns = np.indices((31, 31)) - 15
    wave = np.exp(2j * np.pi * (down * rows + right * columns))
    at = sum(w * wave[15 + i - anchor[0], 15 + j - anchor[1]] for (i, j), w in np.ndenumerate(weights))
    np.testing.assert_allclose(found, at, atol=1e-9)


def test_frequency_response_is_the_fft_of_the_flipped_kernel():
    kernel = sobel().shifted(0, 1) + gaussian(1.0)
    rows, columns, response = kernel.frequency_response(16, 12)
    padded = np.zeros((16, 12))
    for (i, j), weight in np.ndenumerate(kernel.weights):
        padded[kernel.anchor[0] - i, kernel.anchor[1] - j] += weight
    np.testing.assert_allclose(response, np.fft.fftshift(np.fft.fft2(padded)), atol=1e-12)
    np.testing.assert_allclose(rows, np.fft.fftshift(np.fft.fftfreq(16)), atol=1e-15)
    np.testing.assert_allclose(columns, np.fft.fftshift(np.fft.fftfreq(12)), atol=1e-15)
    for bad in (0, 1.5, [], [[0.1]], [np.nan], "x", True):
        with pytest.raises(ArgumentError, match=r"^rows: [^\n]+$"):
            kernel.frequency_response(bad)
