import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelfield import _core
from kernelfield._core import lag_products

pytestmark = pytest.mark.core

TYPES = [
    ("uint8", "uint8"),
    ("uint8", "int16"),
    ("uint16", "uint16"),
    ("int32", "uint8"),
    ("float32", "float32"),
    ("float32", "float64"),
]


def nested_loops(a, b, lags, block_rows, a_shift=0.0, b_shift=0.0, dtype=np.longdouble):
    """Return the definition, and the sum of the magnitudes of its terms."""
    a, b = a.astype(dtype) - dtype(a_shift), b.astype(dtype) - dtype(b_shift)
    height, width = a.shape
    total = np.zeros((-(-height // block_rows), *lags), dtype)
    size = np.zeros(total.shape, dtype)
    for i, r, c in np.ndindex(total.shape):
        rows = a[i * block_rows : (i + 1) * block_rows]
        y = i * block_rows + r
        terms = rows * b[y : y + len(rows), c : c + width]
        total[i, r, c], size[i, r, c] = terms.sum(), abs(terms).sum()
    return total, size


def random_image(rng, shape, dtype):
    if np.dtype(dtype).kind == "f":
        return rng.normal(50, 10, shape).astype(dtype)
    return rng.integers(0, min(60000, np.iinfo(dtype).max), shape, dtype, endpoint=True)


def view(rng, shape, dtype, gap):
    """Return a read-only view with an odd offset and gaps between its rows and columns."""
    step = 1 + gap // 3
    whole = random_image(rng, (shape[0] + gap, step * shape[1] + 2 * gap + 1), dtype)
    part = whole[gap:, gap : gap + step * shape[1] : step]
    part.flags.writeable = False
    return part


@given(
    st.sampled_from(TYPES),
    *[st.integers(1, 40)] * 2,
    *[st.integers(1, 10)] * 2,
    st.integers(1, 45),
    *[st.sampled_from([0.0, 7.0, 100.5])] * 2,
    *[st.integers(0, 3)] * 2,
)
def test_it_is_the_definition(engine, types, height, width, lr, lc, block_rows, a_shift, b_shift, gap, more):
    rng = np.random.default_rng(height * 41 + width)
    a = view(rng, (height, width), types[0], gap)
    b = view(rng, (height + lr - 1 + more, width + lc - 1 + more), types[1], gap)
    out = lag_products(a, b, (lr, lc), block_rows, a_shift, b_shift)
    expected, size = nested_loops(a, b, (lr, lc), block_rows, a_shift, b_shift)
    assert out.dtype == np.float64
    assert out.shape == expected.shape
    # Sums of 1600 terms, each in one of many lanes: far under the worst case of 1600 rounding errors.
    assert (abs(out - expected) <= 60 * np.finfo(float).eps * size).all()


@given(
    st.sampled_from(TYPES),
    st.lists(st.integers(0, 255), min_size=1, max_size=3),
    *[st.integers(1, 9)] * 2,
    st.booleans(),
)
def test_of_several_images_every_one_meets_every_one(engine, types, shifts, lr, lc, single):
    rng = np.random.default_rng(lr * 10 + lc)
    a = tuple(view(rng, (33, 41), types[0], i) for i in range(2))
    b = tuple(view(rng, (32 + lr, 40 + lc), types[1], i) for i in range(len(shifts)))
    less = (0.0, 0.0) if single else (3.0, 100.0)
    shifts = tuple(0.0 if single else float(shift) for shift in shifts)
    out = lag_products(a, b, (lr, lc), 20, less, shifts, single)
    assert out.shape == (2, 2, len(b), lr, lc)
    for i, j in np.ndindex(2, len(b)):
        np.testing.assert_array_equal(out[:, i, j], lag_products(a[i], b[j], (lr, lc), 20, less[i], shifts[j], single))
    np.testing.assert_array_equal(
        lag_products(a, b[0], (lr, lc), 20, 7.0, 5.0), lag_products(a, b[:1], (lr, lc), 20, (7.0, 7.0), (5.0,))
    )


@pytest.mark.parametrize(
    ("a", "shift", "message"),
    [
        ((), 0.0, "a: expected at least one plane"),
        ((np.zeros((4, 4)),), (0.0, 1.0), "a: expected at least one plane, and as many shifts"),
        ((np.zeros((4, 4)), np.zeros((4, 3))), 0.0, "a: expected planes of one size"),
        ((np.zeros((4, 4)), np.zeros(4)), 0.0, "a: expected two axes"),
    ],
)
def test_planes_that_do_not_fit_are_refused(a, shift, message):
    with pytest.raises(ValueError, match=message):
        lag_products(a, np.zeros((5, 5)), (2, 2), 4, shift)


@given(*[st.integers(1, 90)] * 2, *[st.integers(1, 12)] * 2, st.integers(1, 50), *[st.integers(0, 255)] * 2)
def test_bytes_are_exact(engine, height, width, lr, lc, block_rows, a_shift, b_shift):
    rng = np.random.default_rng(height * 91 + width)
    a = rng.integers(0, 256, (height, width), np.uint8)
    b = rng.integers(0, 256, (height + lr - 1, width + lc - 1), np.uint8)
    out = lag_products(a, b, (lr, lc), block_rows, a_shift, b_shift)
    expected, _ = nested_loops(a, b, (lr, lc), block_rows, a_shift, b_shift, np.int64)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("shift", [0, 255, -345, 600, 0.5])
def test_the_largest_sums_of_bytes_do_not_overflow(engine, value, shift):
    a = np.full((70, 9001), value, np.uint8)
    b = np.full((76, 9013), value, np.uint8)
    out = lag_products(a, b, (7, 13), 70, shift, shift)
    assert (out == (value - shift) ** 2 * a.size).all()


def test_float32_is_summed_in_float64(engine):
    rng = np.random.default_rng(0)
    a = rng.normal(1e4, 1, (64, 5001)).astype("f4")
    b = rng.normal(1e4, 1, (66, 5003)).astype("f4")
    out = lag_products(a, b, (3, 3), 64, 1e4, 1e4)
    expected, size = nested_loops(a, b, (3, 3), 64, 1e4, 1e4)
    assert (abs(out - expected) <= 4 * np.finfo(float).eps * size).all()


def test_strips_of_float32_are_added_in_float64(engine):
    # Equal terms are the worst case, for their rounding errors all point the same way.
    a, b = np.full((2000, 40), 0.1, "f4"), np.full((2002, 42), 0.1, "f4")
    out = lag_products(a, b, (3, 3), 2000, single=True)
    np.testing.assert_allclose(out, a.size * float(np.float32(0.1)) ** 2, rtol=3e-5)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_bits_do_not_depend_on_the_number_of_threads(engine, dtype):
    image = np.random.default_rng(0).integers(0, 256, (900, 800), np.uint8).astype(dtype)
    found = []
    try:
        for count in (1, 2, 3, 7):
            _core.set_threads(count)
            found.append(lag_products(image[:880, :780], image, (9, 11), 200, 3, 4, single=False))
    finally:
        _core.set_threads(2)
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


def test_a_window_of_the_same_image_in_many_blocks(engine):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (107, 213), np.uint8)
    for dtype in ("uint8", "float32"):
        b = image.astype(dtype)
        a = b[:101, 6:207]
        for block_rows in (13, 50, 101, 1000):
            out = lag_products(a, b, (7, 13), block_rows, 128, 128)
            expected, _ = nested_loops(a, b, (7, 13), block_rows, 128, 128, np.int64)
            np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_reach_only_sums_that_hold_them(engine, bad):
    rng = np.random.default_rng(0)
    for y, x in [(3, 0), (7, 20), (12, 42)]:
        a, b = rng.uniform(1, 2, (13, 37)).astype("f4"), rng.uniform(1, 2, (17, 43)).astype("f4")
        b[y, x] = bad
        for single in (False, True):
            out = lag_products(a, b, (5, 7), 5, single=single)
            expected, _ = nested_loops(a, b, (5, 7), 5)
            np.testing.assert_array_equal(np.isfinite(out), np.isfinite(expected))


@pytest.mark.parametrize("shape", [(0, 5), (5, 0)])
def test_nothing_to_sum(shape):
    out = lag_products(np.zeros(shape), np.zeros((9, 9)), (2, 3), 4)
    assert out.shape == (-(-shape[0] // 4), 2, 3)
    assert not out.any()
