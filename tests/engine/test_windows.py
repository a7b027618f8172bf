import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelfield import _core
from kernelfield._core import window_products

pytestmark = pytest.mark.core


def as_matrix(before, after, chosen, size, before_shift, after_shift):
    """Return the matrix of windows, ones and afters at the chosen positions, in float64."""
    rows = []
    for y, x in zip(*np.nonzero(chosen)):
        window = before[y : y + size[0], x : x + size[1]].astype(np.float64) - before_shift
        rows.append([*window.ravel(), 1.0, float(after[y, x]) - after_shift])
    return np.array(rows).reshape(-1, size[0] * size[1] + 2)


@given(
    st.sampled_from([("uint8", "uint8"), ("uint16", "uint8"), ("int16", "float32"), ("float32", "float64")]),
    *[st.integers(1, 40)] * 2,
    *[st.integers(1, 6)] * 2,
    st.sampled_from([0.0, 0.02, 0.5, 1.0]),
    *[st.sampled_from([0.0, 7.0, 100.5])] * 2,
)
def test_it_is_the_definition(engine, types, height, width, kh, kw, share, before_shift, after_shift):
    rng = np.random.default_rng(height * 41 + width)
    before = rng.integers(0, 256, (height + kh - 1, width + kw - 1)).astype(types[0])
    after = rng.integers(0, 256, (height, width)).astype(types[1])
    chosen = (rng.random((height, width)) < share).astype(np.uint8)
    out = window_products(before, after, chosen, (kh, kw), before_shift, after_shift)
    z = as_matrix(before, after, chosen, (kh, kw), before_shift, after_shift)
    # Products of halves and whole numbers are exact in float64, and so are these sums of them.
    np.testing.assert_array_equal(out, z.T @ z)


@given(
    st.sampled_from(["uint8", "int16", "float32"]),
    st.integers(1, 4),
    *[st.integers(1, 30)] * 2,
    *[st.integers(1, 4)] * 2,
)
def test_windows_of_several_images_follow_each_other(engine, dtype, count, height, width, kh, kw):
    rng = np.random.default_rng(height * 31 + width)
    befores = tuple(rng.integers(0, 256, (height + kh - 1, width + kw - 1)).astype(dtype) for _ in range(count))
    after = rng.integers(0, 256, (height, width)).astype(dtype)
    chosen = (rng.random((height, width)) < 0.4).astype(np.uint8)
    shifts = tuple(float(shift) for shift in rng.integers(0, 256, count))
    z = [as_matrix(before, after, chosen, (kh, kw), shift, 9.0) for before, shift in zip(befores, shifts)]
    together = np.hstack([one[:, :-2] for one in z] + [z[0][:, -2:]])
    out = window_products(befores, after, chosen, (kh, kw), shifts, 9.0)
    np.testing.assert_array_equal(out, together.T @ together)


def test_bits_do_not_depend_on_the_number_of_threads(engine):
    image = np.random.default_rng(0).random((400, 300))
    chosen = (image[:396, :296] < 0.3).astype(np.uint8)
    found = []
    try:
        for count in (1, 2, 7):
            _core.set_threads(count)
            found.append(window_products(image, image[:396, :296], chosen, (5, 5), 0.5, 0.5))
    finally:
        _core.set_threads(2)
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


@pytest.mark.parametrize(
    ("before", "chosen", "message"),
    [
        ((9, 8), np.ones((8, 8), np.uint8), "before: expected as many"),
        ((10, 10), np.ones((8, 7), np.uint8), "chosen: expected bytes"),
        ((10, 10), np.ones((8, 8), np.float32), "chosen: expected bytes"),
        ((10, 10), np.ones((8, 16), np.uint8)[:, ::2], "chosen: expected bytes"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(before, chosen, message):
    with pytest.raises(ValueError, match=message):
        window_products(np.zeros(before, np.uint8), np.zeros((8, 8), np.uint8), chosen, (3, 3))
