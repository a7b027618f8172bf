"""im2col against NumPy's sliding windows and correlate; col2im as its adjoint."""

from __future__ import annotations

import numpy as np
import pytest
from cases import BOUNDARIES, MODES
from hypothesis import given
from hypothesis import strategies as st

import kernelfield as kf
from kernelfield.errors import ArgumentError, DtypeError

rng = np.random.default_rng(0)
small = st.integers(1, 3)


@given(
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.sampled_from(MODES),
    st.sampled_from(BOUNDARIES),
    st.tuples(small, small),
    st.tuples(small, small),
    st.sampled_from([(), (3,), (2, 3)]),
    st.integers(0, 2**32 - 1),
)
def test_a_layer_is_one_product_and_col2im_the_adjoint(size, window, mode, boundary, stride, dilation, lead, seed):
    if mode == "valid":
        size = tuple(max(n, d * (k - 1) + 1) for n, k, d in zip(size, window, dilation))
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(*lead, *size))
    how = dict(mode=mode, boundary=boundary, stride=stride, dilation=dilation)
    columns = kf.im2col(image, window, **how)
    channels = lead[-1] if lead else 1
    weights = rng.normal(size=(2, channels, *window))
    with_channels = image if lead else image[None]
    expected = kf.correlate(with_channels, weights, cval=0.0, **how)
    np.testing.assert_allclose(weights.reshape(2, -1) @ columns, expected.reshape(*lead[:-1], 2, -1), atol=1e-12)
    other = rng.normal(size=columns.shape)
    back = kf.col2im(other, image.shape, window, **how)
    assert back.shape == image.shape
    np.testing.assert_allclose(np.vdot(columns, other), np.vdot(image, back), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float32", ">f8"])
def test_sliding_windows(dtype):
    image = rng.integers(0, 2, (2, 5, 6)).astype(dtype)
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 2), axis=(1, 2))
    columns = kf.im2col(image, (3, 2), mode="valid")
    assert columns.dtype == image.dtype
    np.testing.assert_array_equal(columns, windows.transpose(0, 3, 4, 1, 2).reshape(12, 15))


@pytest.mark.parametrize(
    ("dtype", "cval", "expected"),
    [("uint8", 7, "uint8"), ("uint8", -1, "float64"), ("bool", 0.5, "float64"), ("float32", 0.5, "float32")],
)
def test_the_value_outside(dtype, cval, expected):
    image = np.ones((2, 2), dtype)
    columns = kf.im2col(image, 3, boundary="constant", cval=cval)
    assert columns.dtype == expected
    padded = np.pad(image.astype(np.float64), 1, constant_values=cval)
    np.testing.assert_array_equal(columns[:, 0], padded[:3, :3].ravel())


def test_dividing_by_the_counts_undoes_it():
    image = rng.normal(size=(3, 6, 7))
    there = kf.im2col(image, 3)
    counts = kf.col2im(np.ones_like(there), image.shape, 3)
    np.testing.assert_allclose(kf.col2im(there, image.shape, 3) / counts, image)


def test_what_cannot_be():
    with pytest.raises(ArgumentError, match="kernel_size: expected at least 1"):
        kf.im2col(np.ones((3, 3)), 0)
    with pytest.raises(ArgumentError, match="kernel: expected at most 3×3"):
        kf.im2col(np.ones((3, 3)), 4, mode="valid")
    with pytest.raises(ArgumentError, match="image: expected at least two axes"):
        kf.im2col(np.ones(3), 1)
    with pytest.raises(DtypeError, match="image: expected integers or floats"):
        kf.im2col(np.ones((3, 3), complex), 1)
    with pytest.raises(ArgumentError, match=r"columns: expected shape \(4, 4\); received \(4, 5\)"):
        kf.col2im(np.ones((4, 5)), (3, 3), 2, mode="valid")
    with pytest.raises(ArgumentError, match="image_shape: expected"):
        kf.col2im(np.ones((4, 5)), (3,), 2)
