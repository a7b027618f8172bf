import itertools

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
from cases import BOUNDARIES, DTYPES, LAYOUTS, MODES, image, laid_out
from hypothesis import given
from hypothesis import strategies as st

import kernelfield as kf
from kernelfield.engine import reference
from kernelfield.errors import ArgumentError, DataError, DtypeError

pytestmark = pytest.mark.core

KERNELS = [(1, 1), (1, 2), (2, 1), (3, 3), (4, 5), (7, 2)]


def scale(pixels, kernel):
    """Return the magnitude that the rounding of a sum of products is relative to."""
    return float(np.abs(kernel).sum() * max(np.abs(np.asarray(pixels, np.float64)).max(), 1.0))


def check(got, expected, pixels, kernel):
    tolerance = {"float32": 1e-6, "float64": 1e-14}[got.dtype.name] * scale(pixels, kernel)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_agrees_with_the_definition(engine, dtype, mode, boundary):
    pixels = image(dtype, (2, 9, 11))
    for shape in KERNELS:
        kernel = np.random.default_rng(1).normal(size=shape)
        got = kf.correlate(pixels, kernel, mode=mode, boundary=boundary, cval=2.5)
        check(got, reference.correlate(pixels, kernel, mode, boundary, 2.5), pixels, kernel)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_memory_layout_does_not_matter(engine, layout, dtype):
    pixels = image(dtype, (2, 12, 40))
    kernel = np.arange(1.0, 13.0).reshape(3, 4)
    expected = kf.correlate(pixels, kernel)
    got = kf.correlate(laid_out(pixels, layout), kernel)
    assert got.dtype == expected.dtype
    assert np.array_equal(got, expected)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("size", [(300, 130), (150, 400)])
def test_large_images_have_the_same_frames_as_scipy(engine, boundary, size):
    pixels = image("float64", size)
    for shape in [(3, 3), (4, 7), (15, 2)]:
        kernel = np.random.default_rng(2).normal(size=shape)
        for ours, theirs in ((kf.correlate, scipy.ndimage.correlate), (kf.convolve, scipy.ndimage.convolve)):
            expected = theirs(pixels, kernel, mode=boundary, cval=1.5)
            check(ours(pixels, kernel, boundary=boundary, cval=1.5), expected, pixels, kernel)


@given(
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    st.sampled_from(BOUNDARIES),
    st.data(),
)
def test_origin_and_flip_as_in_scipy(size, shape, boundary, data):
    origin = tuple(data.draw(st.integers(-(k // 2), (k - 1) // 2)) for k in shape)
    pixels = image("float64", size)
    kernel = np.random.default_rng(3).normal(size=shape)
    for ours, theirs in ((kf.correlate, scipy.ndimage.correlate), (kf.convolve, scipy.ndimage.convolve)):
        expected = theirs(pixels, kernel, mode=boundary, cval=-1.0, origin=origin)
        check(ours(pixels, kernel, boundary=boundary, cval=-1.0, origin=origin), expected, pixels, kernel)


@pytest.mark.parametrize("mode", ["valid", "full"])
def test_convolve_is_scipy_signal(engine, mode):
    pixels, kernel = image("float64", (13, 17)), np.random.default_rng(4).normal(size=(4, 3))
    for ours, theirs in ((kf.correlate, scipy.signal.correlate2d), (kf.convolve, scipy.signal.convolve2d)):
        expected = theirs(pixels, kernel, mode=mode)
        check(ours(pixels, kernel, mode=mode, boundary="constant"), expected, pixels, kernel)


@given(st.integers(0, 2**32 - 1), st.floats(-3, 3), st.floats(-3, 3))
def test_linear_in_the_image_and_in_the_kernel(seed, a, b):
    rng = np.random.default_rng(seed)
    x, y, k, m = rng.normal(size=(2, 8, 9)).tolist() + rng.normal(size=(2, 3, 2)).tolist()
    x, y, k, m = map(np.array, (x, y, k, m))
    combined = a * kf.correlate(x, k) + b * kf.correlate(y, k)
    np.testing.assert_allclose(kf.correlate(a * x + b * y, k), combined, atol=1e-12)
    combined = a * kf.correlate(x, k) + b * kf.correlate(x, m)
    np.testing.assert_allclose(kf.correlate(x, a * k + b * m), combined, atol=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(-3, 3), st.integers(-3, 3))
def test_shifts_with_the_image_when_it_wraps(seed, rows, columns):
    rng = np.random.default_rng(seed)
    x, k = rng.normal(size=(7, 8)), rng.normal(size=(3, 4))
    shifted = kf.correlate(np.roll(x, (rows, columns), (0, 1)), k, boundary="wrap")
    np.testing.assert_allclose(shifted, np.roll(kf.correlate(x, k, boundary="wrap"), (rows, columns), (0, 1)))


@given(st.integers(0, 2**32 - 1))
def test_full_convolution_is_the_adjoint_of_valid_correlation(seed):
    rng = np.random.default_rng(seed)
    x, k = rng.normal(size=(8, 9)), rng.normal(size=(3, 4))
    y = rng.normal(size=(6, 6))
    forward = np.vdot(kf.correlate(x, k, mode="valid"), y)
    backward = np.vdot(x, kf.convolve(y, k, mode="full", boundary="constant"))
    np.testing.assert_allclose(forward, backward, rtol=1e-12)


@given(st.integers(0, 2**32 - 1))
def test_two_kernels_in_a_row_are_one(seed):
    rng = np.random.default_rng(seed)
    x, k, m = rng.normal(size=(9, 9)), rng.normal(size=(2, 3)), rng.normal(size=(3, 2))
    twice = kf.convolve(kf.convolve(x, k, mode="full", boundary="constant"), m, mode="full", boundary="constant")
    one = kf.convolve(k, m, mode="full", boundary="constant")
    np.testing.assert_allclose(twice, kf.convolve(x, one, mode="full", boundary="constant"), atol=1e-12)


def test_the_textbook_example(engine):
    X, K = np.arange(9.0).reshape(3, 3), np.arange(4.0).reshape(2, 2)
    assert kf.corr2d(X, K).tolist() == [[19, 25], [37, 43]]
    edges = np.ones((6, 8))
    edges[:, 2:6] = 0
    assert kf.corr2d(edges, [[1, -1]]).tolist() == [[0, 1, 0, 0, 0, -1, 0]] * 6
    assert not kf.corr2d(edges.T, [[1, -1]]).any()


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_kernels_larger_than_the_image(engine, boundary):
    pixels, kernel = image("float64", (2, 3)), np.random.default_rng(5).normal(size=(9, 8))
    for mode in ("same", "full"):
        got = kf.correlate(pixels, kernel, mode=mode, boundary=boundary)
        check(got, reference.correlate(pixels, kernel, mode, boundary), pixels, kernel)
    with pytest.raises(ArgumentError, match=r"kernel: expected at most 2×3, the image, in mode 'valid'; received 9×8"):
        kf.correlate(pixels, kernel, mode="valid")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_not_finite_keeps_to_its_footprint(engine, value, dtype):
    pixels = np.ones((40, 50), dtype)
    pixels[20, 30] = value
    kernel = np.array([[1.0, 0.0, 2.0], [0.5, 1.0, -1.0], [1.0, 1.0, 1e-300]])
    got = kf.correlate(pixels, kernel)
    with np.errstate(invalid="ignore"):
        expected = reference.correlate(pixels, kernel.astype(dtype))
    assert np.array_equal(np.isnan(got), np.isnan(expected))
    assert np.array_equal(np.isposinf(got), np.isposinf(expected))
    assert np.isfinite(got).sum() == got.size - 9


def test_the_rule_for_the_dtype_of_the_result():
    kernel = [[1.0]]
    for dtype in ("bool", "uint8", "int8", "uint16", "int16", "float16", "float32"):
        assert kf.correlate(np.ones((2, 2), dtype), kernel).dtype == np.float32
    for dtype in ("int32", "uint32", "int64", "uint64", "float64"):
        assert kf.correlate(np.ones((2, 2), dtype), kernel).dtype == np.float64


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32"])
def test_integer_results_are_rounded_and_saturated(engine, dtype):
    limits = np.iinfo(dtype)
    pixels = np.array([[0.5, 1.5, 2.5, -0.5, 1e12, -1e12, np.nan]])
    got = kf.correlate(pixels, [[1.0]], dtype=dtype)
    assert got.dtype == dtype
    assert got.tolist() == [[0, 2, 2, 0, limits.max, limits.min, 0]]


def test_out_is_written_and_may_overlap_the_image():
    pixels, kernel = image("float32", (200, 210)), np.ones((3, 5)) / 15
    expected = kf.correlate(pixels, kernel)
    for out in (np.empty((200, 210), np.float32), np.empty((200, 420), np.float32)[:, ::2]):
        assert kf.correlate(pixels, kernel, out=out) is out
        assert np.array_equal(out, expected)
    overlapping = pixels.copy()
    assert kf.correlate(overlapping, kernel, out=overlapping) is overlapping
    assert np.array_equal(overlapping, expected)
    swapped = np.empty((200, 210), ">f4")
    assert np.array_equal(kf.correlate(pixels, kernel, out=swapped), expected)
    saturated = np.empty((200, 210), np.uint8)
    assert np.array_equal(kf.correlate(pixels, kernel, out=saturated), kf.correlate(pixels, kernel, dtype="uint8"))


def test_empty_batches_are_empty_results_and_empty_images_are_errors(engine):
    assert kf.correlate(np.empty((0, 4, 5)), np.ones((3, 3))).shape == (0, 4, 5)
    assert kf.correlate(np.empty((3, 0, 2, 4, 5)), np.ones((3, 3)), mode="full").shape == (3, 0, 2, 6, 7)
    for shape in ((0, 5), (5, 0), (2, 0, 0)):
        with pytest.raises(ArgumentError, match="image: expected at least one pixel"):
            kf.correlate(np.empty(shape), [[1.0]])


def test_kernel_objects_bring_their_anchor():
    pixels = image("float64", (9, 9))
    for down, right in itertools.product((-3, 0, 2), (-1, 4)):
        moved = kf.correlate(pixels, kf.kernels.shift(down, right), boundary="wrap")
        assert np.array_equal(moved, np.roll(pixels, (down, right), (0, 1)))
        flipped = kf.convolve(pixels, kf.kernels.shift(down, right).flipped(), boundary="wrap")
        assert np.array_equal(flipped, moved)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (dict(image=[1.0, 2.0]), ArgumentError, "image: expected at least two axes"),
        (dict(image=np.ones((2, 2), complex)), DtypeError, "image: expected integers or floats"),
        (dict(image=np.full((2, 2), 2**60)), DataError, r"image: expected integers within ±2\*\*53"),
        (
            dict(kernel=[1.0]),
            ArgumentError,
            r"kernel: expected two axes \(kh, kw\), .* or four .* not empty; received shape \(1,\)",
        ),
        (dict(kernel=np.ones((0, 3))), ArgumentError, "kernel: expected two axes"),
        (dict(kernel=[["a"]]), DtypeError, "kernel: expected real numbers"),
        (dict(mode="Same"), ArgumentError, "mode: expected one of"),
        (dict(boundary="edge"), ArgumentError, "boundary: expected one of"),
        (dict(origin=2), ArgumentError, "origin: expected -1 to 1"),
        (dict(origin=(1, 2, 3)), ArgumentError, "origin: expected an integer or two"),
        (dict(origin=(0,)), ArgumentError, r"origin: expected an integer or two .*; received \(0,\)"),
        (dict(origin=np.zeros(1, int)), ArgumentError, "origin: expected an integer or two"),
        (dict(stride=[2]), ArgumentError, "stride: expected an integer or two"),
        (dict(dilation=(1,)), ArgumentError, "dilation: expected an integer or two"),
        (dict(padding=(1,)), ArgumentError, "padding: expected an integer,"),
        (dict(padding=((1, 1),)), ArgumentError, "padding: expected an integer,"),
        (dict(padding=((1,), (1,))), ArgumentError, "padding: expected an integer,"),
        (dict(origin=0.5), ArgumentError, "origin: expected an integer or two"),
        (dict(origin=1, mode="valid"), ArgumentError, "origin: expected 0 in mode 'valid'"),
        (dict(dtype="complex128"), DtypeError, "dtype: expected one of"),
        (dict(out=np.empty((2, 2))), ArgumentError, r"out: expected shape \(5, 6\); received \(2, 2\)"),
        (
            dict(out=np.empty((5, 6)), dtype="float32"),
            DtypeError,
            "out: expected dtype float32; received float64",
        ),
        (dict(out=[1]), DtypeError, "out: expected a NumPy array; received list"),
    ],
)
def test_errors_name_argument_expectation_and_remedy(arguments, error, message):
    call = {"image": np.ones((5, 6)), "kernel": np.ones((3, 3)), **arguments}
    with pytest.raises(error, match=message) as caught:
        kf.correlate(**call)
    assert "\n" not in str(caught.value)
    if "origin" in arguments or "mode" in arguments:
        with pytest.raises(error, match=message):
            kf.convolve(**call)


def test_corr2d_is_two_dimensional():
    with pytest.raises(ArgumentError, match=r"X: expected two axes; received shape \(1, 2, 2\); use correlate"):
        kf.corr2d(np.ones((1, 2, 2)), [[1.0]])
    with pytest.raises(ArgumentError, match="K: expected two axes"):
        kf.corr2d(np.ones((2, 2)), [1.0])


@pytest.mark.parametrize("mode", ["same", "valid", "full"])
def test_a_bank_is_its_kernels_one_by_one(engine, mode):
    rng = np.random.default_rng(0)
    image, bank = rng.normal(size=(2, 20, 70)).astype("f4"), rng.normal(size=(5, 3, 4))
    together = kf.correlate(image, bank, mode=mode, boundary="mirror", bank=True)
    alone = [kf.correlate(image, kernel, mode=mode, boundary="mirror") for kernel in bank]
    np.testing.assert_allclose(together, np.stack(alone, axis=1), atol=1e-5)
    flipped = kf.convolve(image, bank, mode=mode, bank=True)
    np.testing.assert_allclose(flipped[:, 1], kf.convolve(image, bank[1], mode=mode), atol=1e-5)


def test_exact_precision_is_the_sum_in_float64_rounded_once(engine):
    rng = np.random.default_rng(0)
    image, kernel = rng.normal(size=(90, 80)).astype("f4"), rng.normal(size=(9, 9)).astype("f4")
    exact = kf.correlate(image, kernel, precision="exact")
    assert exact.dtype == np.float32
    wide = kf.correlate(image.astype("f8"), kernel)
    assert (exact == wide.astype("f4")).all()
    assert (kf.correlate(image, kernel) != exact).any()
    large = np.full((40, 40), 2**24 + 1, "i4")
    assert (kf.correlate(large, np.ones((3, 3)), dtype="f4", precision="exact") == np.float32(9 * (2**24 + 1))).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (dict(precision="double"), "precision: expected 'dtype' or 'exact'; received 'double'"),
        (dict(method="fast"), "method: expected one of direct, separable, spectral; received 'fast'"),
        (dict(method="spectral", precision="exact"), "method: expected 'direct' with precision 'exact'"),
        (dict(method="separable", stride=2), "method: expected none for layers, banks, strides and dilations"),
    ],
)
def test_wrong_methods_and_precisions(wrong, message):
    with pytest.raises(ArgumentError, match=message):
        kf.correlate(np.ones((9, 9)), np.ones((3, 3)), **wrong)


@pytest.mark.parametrize("method", ["direct", "separable", "spectral"])
@pytest.mark.parametrize("boundary", ["reflect", "constant", "nearest", "mirror", "wrap"])
def test_every_method_gives_the_same_with_every_border(method, boundary):
    rng = np.random.default_rng(0)
    image, kernel = rng.normal(size=(190, 210)), rng.normal(size=(9, 1)) @ rng.normal(size=(1, 6))
    ours = kf.correlate(image, kernel, boundary=boundary, cval=2.0, method=method)
    np.testing.assert_allclose(ours, kf.correlate(image, kernel, boundary=boundary, cval=2.0), atol=1e-11)


class TestPlan:
    def test_it_does_what_correlate_does(self, engine):
        rng = np.random.default_rng(0)
        kernel, other = rng.normal(size=(2, 5, 4))
        for shape in ((30, 40), (3, 200, 150)):
            image = rng.normal(size=shape).astype("f4")
            planned = kf.plan(shape, kernel, boundary="wrap")
            assert (planned(image) == kf.correlate(image, kernel, boundary="wrap")).all()
            assert (planned(image[..., ::-1]) == kf.correlate(image[..., ::-1], kernel, boundary="wrap")).all()
            assert (planned(image, kernel) == planned(image)).all()
            assert (planned(image, other) == kf.correlate(image, other, boundary="wrap")).all()

    def test_it_says_what_it_does(self):
        planned = kf.plan((2048, 2048), kf.kernels.gaussian(4.0), mode="valid")
        assert planned.cost == (2048 - 32) ** 2 * 33**2
        assert (planned.method, str(planned).split(":")[0]) == ("separable", "separable")
        assert kf.plan((2048, 2048), kf.kernels.gaussian(4.0), method="direct").method == "direct"

    def test_what_it_is_not_for_is_refused(self):
        planned = kf.plan((5, 6), np.ones((3, 3)))
        with pytest.raises(ArgumentError, match=r"image: expected an array of shape \(5, 6\); received \(6, 5\)"):
            planned(np.ones((6, 5), "f4"))
        with pytest.raises(DtypeError, match="image: expected float32; received float64"):
            planned(np.ones((5, 6)))
        with pytest.raises(DtypeError, match=r"dtype: expected one of bool, .* received int64"):
            kf.plan((5, 6), np.ones((3, 3)), dtype="int64")
        with pytest.raises(ArgumentError, match="kernel: expected two axes"):
            kf.plan((5, 6), np.ones((2, 3, 3)))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32"])
@pytest.mark.parametrize("pixels", ["uint8", "int16", "uint16", "float32"])
def test_results_in_integers_are_those_of_float64_rounded_once(engine, dtype, pixels):
    rng = np.random.default_rng(0)
    picture = image(pixels, (190, 210))
    kernels = [
        np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16,
        np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]),
        rng.integers(-9, 9, (5, 4)),
        rng.integers(-9, 9, (5, 4)) / 256,
        np.ones((3, 3)) / 9,
        rng.normal(size=(4, 5)),
    ]
    limits = np.iinfo(dtype)
    for kernel in kernels:
        for boundary, cval in (("reflect", 0.0), ("constant", 3.0), ("constant", 2.5)):
            how = dict(boundary=boundary, cval=cval)
            wide = kf.correlate(picture.astype("f8"), kernel, method="direct", **how)
            expected = np.clip(np.rint(wide), limits.min, limits.max).astype(dtype)
            got = kf.correlate(picture, kernel, dtype=dtype, **how)
            assert got.dtype == dtype
            # Sums of other weights may fall on the other side of a half.
            assert (got != expected).mean() < (1e-3 if kernel is kernels[-1] or kernel is kernels[-2] else 1e-12)


def test_nan_and_infinities_become_integers(engine):
    picture = np.zeros((300, 200), "f4")
    picture[0, :3] = np.nan, np.inf, -np.inf
    got = kf.correlate(picture, [[1.0]], dtype="uint8")
    assert got[0, :4].tolist() == [0, 255, 0, 0]
    assert not got[1:].any()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32"])
@pytest.mark.parametrize("method", ["direct", "separable", "spectral"])
def test_integers_by_every_method_are_the_definition_rounded(engine, dtype, method):
    """Of images of any dtype, to `out` and by `dtype`; halves go to even, what is beyond the range to its end."""
    rng = np.random.default_rng(0)
    kernel = np.outer(rng.integers(-4, 5, 5), rng.integers(-4, 5, 4)) / 4
    limits = np.iinfo(dtype)
    for pixels in (
        image("uint8", (40, 50)),
        image("int8", (40, 50)),
        image("uint32", (40, 50)),
        rng.normal(size=(40, 50)),
    ):
        whole = np.rint(reference.correlate(pixels, kernel))
        expected = np.clip(whole, limits.min, limits.max).astype(dtype)
        found = kf.correlate(pixels, kernel, dtype=dtype, method=method)
        assert found.dtype == dtype
        # Sums of floats, and of outer products, may fall on the other side of a half.
        exact = pixels.dtype.kind != "f" and method != "separable"
        assert np.abs(found.astype(np.float64) - expected).max() <= (0 if exact else 1)
        out = np.empty((40, 50), dtype)
        assert kf.correlate(pixels, kernel, out=out, method=method) is out
        np.testing.assert_array_equal(out, found)


@pytest.mark.parametrize("dtype", ["float16", "int64", "uint64", "bool", "complex64", "U3", "junk"])
def test_results_of_other_dtypes_are_refused(dtype):
    received = "'junk'" if dtype == "junk" else np.dtype(dtype)
    with pytest.raises(DtypeError, match=f"dtype: expected one of uint8, int8, .* received {received}"):
        kf.correlate(np.ones((4, 5)), [[1.0]], dtype=dtype)
