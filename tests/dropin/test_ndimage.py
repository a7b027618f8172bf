"""Our scipy.ndimage against SciPy's, over dtypes, shapes, axes, modes and origins."""

import inspect

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given
from hypothesis import strategies as st
from skimage import data

import kernelfield as kf
from kernelfield.dropin import ndimage

INTEGERS = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
DTYPES = [*INTEGERS, "float32", "float64"]
MODES = ["reflect", "constant", "nearest", "mirror", "wrap", "grid-mirror", "grid-constant", "grid-wrap"]
NAMES = ndimage.__all__


@st.composite
def images(draw, dtypes=DTYPES, most=3):
    shape = draw(st.lists(st.integers(1, 9), min_size=1, max_size=most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    if dtype.kind == "f":
        image = rng.normal(size=shape).astype(dtype)
    else:
        high = min(np.iinfo(dtype).max, 2**20)
        image = rng.integers(max(np.iinfo(dtype).min, -high), high, shape).astype(dtype)
    if draw(st.booleans()):
        image = image.astype(dtype.newbyteorder())
    return np.flip(image, 0) if draw(st.booleans()) else image


weights = st.one_of(st.integers(-3, 3).map(float), st.sampled_from([0.5, 1 / 3, 0.1, -0.7, 1 / 9]))
outputs = st.sampled_from([None, None, "float64", np.float32, np.dtype("int16"), "uint8"])


def agree(name, image, *arguments, **options):
    """Hold ours against theirs: integers to the last bit, floats to rounding; errors of the same type."""
    mine, theirs = getattr(ndimage, name), getattr(scipy.ndimage, name)
    with np.errstate(all="ignore"):
        try:
            expected = theirs(image.copy(), *arguments, **options)
        except Exception as error:
            with pytest.raises(type(error)):
                mine(image, *arguments, **options)
            return
        before = image.copy()
        found = mine(image, *arguments, **options)
    np.testing.assert_array_equal(image, before)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    if expected.dtype.kind in "iu":
        np.testing.assert_array_equal(found, expected)
    elif expected.dtype.kind == "f":
        float32 = np.float32 in (image.dtype.newbyteorder("="), expected.dtype)
        scale = max(1.0, float(np.abs(image.astype(float)).max())) * 50
        np.testing.assert_allclose(found, expected, rtol=0, atol=scale * (2e-6 if float32 else 2e-14))


@given(
    images(), st.data(), st.sampled_from(["correlate1d", "convolve1d"]), st.sampled_from(MODES), outputs, st.booleans()
)
def test_lines_of_weights(image, data, name, mode, output, symmetric):
    line = data.draw(st.lists(weights, min_size=1, max_size=12))
    if symmetric:
        line = line + line[-2::-1]
    origin = data.draw(st.integers(-(len(line) // 2) - (not symmetric), (len(line) - 1) // 2))
    axis = data.draw(st.integers(-image.ndim, image.ndim - 1))
    cval = data.draw(st.sampled_from([0.0, 7, -2.5, 0.1]))
    agree(name, image, line, axis, output, mode, cval, origin)


@given(images(), st.data(), st.sampled_from(["correlate", "convolve"]), st.sampled_from(MODES), outputs)
def test_weights_of_many_axes(image, data, name, mode, output):
    axes = data.draw(st.sets(st.integers(0, image.ndim - 1), min_size=1).map(sorted))
    shape = [data.draw(st.integers(1, 4)) for _ in axes]
    count = int(np.prod(shape))
    kernel = np.reshape(data.draw(st.lists(weights, min_size=count, max_size=count)), shape)
    origin = [data.draw(st.integers(-(n // 2), (n - 1) // 2)) for n in shape]
    cval = data.draw(st.sampled_from([0.0, 7, -2.5]))
    agree(name, image, kernel, output, mode, cval, origin, axes=tuple(axes))


@given(images(), st.data(), st.sampled_from(["gaussian_filter", "gaussian_filter1d"]), outputs)
def test_gaussians(image, data, name, output):
    sigma = data.draw(st.floats(0.2, 3))
    order = data.draw(st.integers(0, 3))
    mode = data.draw(st.sampled_from(MODES))
    radius = data.draw(st.sampled_from([None, 0, 2]))
    options = {"truncate": data.draw(st.sampled_from([4.0, 2.5])), "radius": radius}
    if name == "gaussian_filter1d":
        options["axis"] = data.draw(st.integers(-image.ndim, image.ndim - 1))
    else:
        options["axes"] = data.draw(st.sampled_from([None, -1, (0,)]))
    agree(name, image, sigma, order=order, output=output, mode=mode, cval=1.5, **options)


@given(images(), st.data(), st.sampled_from(["uniform_filter", "uniform_filter1d"]), outputs)
def test_means(image, data, name, output):
    size = data.draw(st.integers(0, 7))
    mode = data.draw(st.sampled_from(MODES))
    origin = data.draw(st.integers(-2, 2))
    cval = data.draw(st.sampled_from([0.0, 3, 0.25]))
    agree(name, image, size, output=output, mode=mode, cval=cval, origin=origin)


@given(images(), st.data(), st.sampled_from(["sobel", "prewitt", "laplace"]), outputs)
def test_differences(image, data, name, output):
    modes = st.sampled_from(MODES)
    mode = data.draw(modes | st.lists(modes, min_size=image.ndim, max_size=image.ndim))
    options = {"mode": mode, "cval": data.draw(st.sampled_from([0.0, 4]))}
    if name != "laplace":
        options["axis"] = data.draw(st.integers(-image.ndim - 1, image.ndim - 1))
    agree(name, image, output=output, **options)


@given(images(), st.data(), st.sampled_from(["gaussian_laplace", "gaussian_gradient_magnitude"]))
def test_derivatives_of_gaussians(image, data, name):
    sigma = data.draw(st.floats(0.5, 2) | st.lists(st.floats(0.5, 2), min_size=image.ndim, max_size=image.ndim))
    # A length wraps around in integers, and so may turn negative under the root: floats only.
    output = None if image.dtype.kind == "f" or name == "gaussian_laplace" else "float64"
    agree(name, image, sigma, output=output, mode=data.draw(st.sampled_from(MODES)), truncate=3.0)


PHOTOGRAPH_CALLS = [
    ("correlate", [np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16]),
    ("correlate", [np.full((3, 3), 1 / 9)]),
    ("convolve", [np.random.default_rng(0).normal(size=(4, 3))]),
    ("convolve", [np.random.default_rng(0).integers(-5, 6, (5, 5))]),
    ("correlate1d", [[0.1, 0.2, 0.4, 0.2, 0.1], 0]),
    ("convolve1d", [[0.3, -0.5, 0.2]]),
    ("gaussian_filter", [1.3]),
    ("gaussian_filter", [2.0, (0, 1)]),
    ("gaussian_filter1d", [4.0]),
    ("uniform_filter", [4]),
    ("uniform_filter1d", [9, 0]),
    ("sobel", []),
    ("prewitt", [0]),
    ("laplace", []),
    ("gaussian_laplace", [1.0]),
]


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize(("name", "arguments"), PHOTOGRAPH_CALLS)
def test_photographs_are_equal_in_every_pixel(name, arguments, dtype):
    scale = {"int8": 0.49, "uint16": 257, "int16": 120}.get(dtype, 1)
    photograph = (data.camera()[60:260, 100:420] * float(scale)).astype(dtype)
    found = getattr(ndimage, name)(photograph, *arguments)
    np.testing.assert_array_equal(found, getattr(scipy.ndimage, name)(photograph, *arguments))
    assert found.dtype == dtype


@pytest.mark.parametrize("kernel", [np.eye(3) * 3 + 1, np.outer([1, 3, 1], [1, 2, 1]) / 16])
def test_whole_and_dyadic_weights_stay_exact_where_the_plan_goes_by_rank(kernel):
    image = np.random.default_rng(1).integers(0, 256, (700, 900)).astype(np.uint8)
    np.testing.assert_array_equal(ndimage.correlate(image, kernel), scipy.ndimage.correlate(image, kernel))


def test_sums_that_are_whole_but_for_rounding_end_as_theirs():
    image = np.tile(np.arange(250, dtype=np.int32), (130, 1)) * 10
    for line in ([0.1] * 10, [0.3, 0.4, 0.3], [0.1, 0.2, 0.7], [-0.1, 0, 0.1], [0.1, 0.7, 0.2, 0.1]):
        for axis in (0, 1):
            found = ndimage.correlate1d(image, line, axis)
            np.testing.assert_array_equal(found, scipy.ndimage.correlate1d(image, line, axis))
    kernel = np.full((3, 3), 0.1)
    np.testing.assert_array_equal(ndimage.correlate(image, kernel), scipy.ndimage.correlate(image, kernel))


def test_the_output_may_be_the_image():
    image = np.random.default_rng(2).integers(0, 256, (40, 50)).astype(np.uint8)
    for name, arguments in (
        ("gaussian_filter", [1.0]),
        ("correlate", [np.ones((3, 3))]),
        ("sobel", []),
        ("laplace", []),
    ):
        mine, theirs = image.copy(), image.copy()
        returned = getattr(ndimage, name)(mine, *arguments, output=mine)
        getattr(scipy.ndimage, name)(theirs, *arguments, output=theirs)
        assert returned is mine
        np.testing.assert_array_equal(mine, theirs)


def test_what_the_engine_lacks_is_theirs():
    image = np.random.default_rng(3).normal(size=(6, 7, 8))
    for name, value, arguments in (
        ("correlate", image * 1j, [np.ones((2, 2, 2))]),
        ("correlate", image, [np.ones((2, 2, 2))]),
        ("uniform_filter1d", image, [300]),
        ("correlate1d", np.array([2**60 + 1, 1, 3]), [[1]]),
        ("gaussian_filter", image > 0, [1.0]),
    ):
        expected = getattr(scipy.ndimage, name)(value, *arguments)
        np.testing.assert_array_equal(getattr(ndimage, name)(value, *arguments), expected)
    assert ndimage.median_filter is scipy.ndimage.median_filter
    with pytest.raises(AttributeError, match="no_such_filter"):
        ndimage.no_such_filter  # noqa: B018
    assert {"zoom", "correlate"} <= set(dir(ndimage))


@pytest.mark.parametrize("options", [{"mode": "sideways"}, {"origin": 5}, {"axes": (0, 0)}, {"output": np.zeros(3)}])
def test_errors_are_theirs(options):
    with pytest.raises(Exception) as theirs:  # noqa: PT011
        scipy.ndimage.correlate(np.ones((4, 4)), np.ones((3, 3)), **options)
    with pytest.raises(theirs.type) as mine:
        ndimage.correlate(np.ones((4, 4)), np.ones((3, 3)), **options)
    assert str(mine.value) == str(theirs.value)


@pytest.mark.parametrize("name", ["correlate1d", "convolve1d", "correlate", "convolve"])
@pytest.mark.parametrize("size", range(1, 6))
def test_every_origin_is_accepted_or_refused_as_theirs(name, size):
    rng = np.random.default_rng(0)
    image, weights = rng.integers(0, 100, (9, 8)), rng.integers(-5, 6, size)
    weights = weights if name.endswith("1d") else weights[:, None]
    for number in range(-4, 5):
        origin, results = number if weights.ndim == 1 else (number, 0), []
        for module in (scipy.ndimage, ndimage):
            try:
                results.append(getattr(module, name)(image, weights, origin=origin))
            except ValueError as error:
                results.append(str(error))
        np.testing.assert_array_equal(*results)


def test_small_weights_and_nan_keep_their_footprint():
    image = np.zeros((5, 40))
    image[2, 20] = np.nan
    assert np.isnan(ndimage.uniform_filter(image, 3)).sum() == 9
    np.testing.assert_array_equal(ndimage.correlate(np.full((3, 3), 1e20), [[1e-20]]), np.ones((3, 3)))


def test_the_package_names_the_modules():
    assert kf.dropin.ndimage is ndimage
    assert set(NAMES) <= set(scipy.ndimage.__all__)
    with pytest.raises(AttributeError):
        kf.dropin.nothing  # noqa: B018


def test_signatures_are_scipys():
    for name in NAMES:
        mine, theirs = (inspect.signature(getattr(module, name)) for module in (ndimage, scipy.ndimage))
        assert list(mine.parameters) == list(theirs.parameters)
