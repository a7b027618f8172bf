"""Condition numbers and null spaces against NumPy's singular values of the dense matrix."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st

import kernelfield as kf
from kernelfield.errors import ArgumentError
from kernelfield.matrix import condition, nullspace

rng = np.random.default_rng(0)
BINOMIAL = np.outer([1, 2, 1], [1, 2, 1]) / 16


def singular_values(kernel, shape, **how):
    return np.linalg.svd(kf.as_matrix(kernel, shape, **how).toarray(), compute_uv=False)


@given(
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.integers(1, 2),
    st.integers(0, 2**32 - 1),
)
def test_wrap_by_the_fourier_transform(shape, window, dilation, seed):
    kernel = np.random.default_rng(seed).normal(size=window)
    how = dict(boundary="wrap", dilation=dilation)
    found, values = kf.condition_number(kernel, shape, **how), singular_values(kernel, shape, **how)
    assert found.method == "exact, by the Fourier transform"
    np.testing.assert_allclose([found.largest, found.smallest], [values[0], values[-1]], atol=1e-12)
    np.testing.assert_allclose(1 / float(found), values[-1] / values[0], atol=1e-12)


@given(
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    st.tuples(st.integers(0, 3), st.integers(0, 3)),
    st.integers(1, 2),
    st.integers(0, 2**32 - 1),
)
def test_reflect_by_the_cosine_transform(shape, halves, dilation, seed):
    quarter = np.random.default_rng(seed).normal(size=tuple(h + 1 for h in halves))
    half = np.concatenate([quarter[:0:-1], quarter])
    kernel = np.concatenate([half[:, :0:-1], half], axis=1)
    found, values = (function(kernel, shape, dilation=dilation) for function in (kf.condition_number, singular_values))
    assert "by the" in found.method
    np.testing.assert_allclose([found.largest, found.smallest], [values[0], values[-1]], atol=1e-12)


OFF_CENTRE = [
    (BINOMIAL, (0, 1)),
    (BINOMIAL, (1, 0)),
    ([[1, 6, 1]], (0, -1)),
    ([[1], [3], [1]], (1, 0)),
    ([[1, 1], [1, 1]], (0, 0)),
    ([[1, 4, 4, 1]], (0, 0)),
]


@pytest.mark.parametrize(("kernel", "origin"), OFF_CENTRE)
def test_the_cosine_transform_is_for_centred_kernels_only(kernel, origin):
    found, values = (f(kernel, (9, 8), origin=origin) for f in (kf.condition_number, singular_values))
    assert "cosine" not in found.method
    np.testing.assert_allclose([found.largest, found.smallest], [values[0], values[-1]], atol=1e-12)


@pytest.mark.parametrize("how", [dict(boundary="constant"), dict(mode="full", boundary="constant"), dict(stride=2)])
def test_any_other_by_the_dense_matrix(how):
    kernel = rng.normal(size=(3, 2))
    found, values = kf.condition_number(kernel, (6, 7), **how), singular_values(kernel, (6, 7), **how)
    assert found.method == "all singular values of the dense matrix"
    assert found.number == pytest.approx(values[0] / values[-1])


def test_larger_ones_by_both_ends(monkeypatch):
    monkeypatch.setattr(condition, "DENSE", 10)
    kernel = np.array([[0.0, 1.0, 0.5], [1.0, 6.0, 1.0], [0.0, 1.0, 0.0]])
    found, values = (
        kf.condition_number(kernel, (12, 13), boundary="nearest"),
        singular_values(kernel, (12, 13), boundary="nearest"),
    )
    assert "Lanczos" in found.method
    assert found.number == pytest.approx(values[0] / values[-1], rel=1e-8)
    lost = kf.condition_number([[1.0, -1.0]], (12, 13), boundary="nearest")
    assert (lost.number, lost.lost) == (np.inf, None)
    assert "some are lost" in str(lost)
    with pytest.raises(ArgumentError, match="use boundary='wrap'"):
        kf.condition_number(kernel, (12, 13), mode="full", boundary="nearest")


LOST = [
    (BINOMIAL, (6, 8), dict(boundary="wrap")),
    ([[1, 1, 1]], (4, 9), dict(boundary="wrap")),
    ([[1, 1], [1, 1]], (4, 6), dict(boundary="wrap")),
    ([[1, 1, 1]], (5, 6), {}),
    (np.ones((3, 3)), (6, 9), {}),
    ([[1, -2, 1]], (4, 5), dict(boundary="nearest")),
    (BINOMIAL, (5, 5), dict(mode="valid")),
    (np.ones((1, 2, 1, 1)), (2, 3, 4), {}),
]


@pytest.mark.parametrize(("kernel", "shape", "how"), LOST)
def test_null_spaces(kernel, shape, how):
    found = kf.null_space(kernel, shape, most=1000, **how)
    matrix = kf.as_matrix(kernel, shape, **how).toarray()
    assert found.dimension == matrix.shape[1] - np.linalg.matrix_rank(matrix)
    assert found.dimension > 0
    assert found.basis.shape == (found.dimension, *shape)
    flat = found.basis.reshape(found.dimension, -1)
    np.testing.assert_allclose(flat @ flat.T, np.eye(found.dimension), atol=1e-12)
    for image in found.basis:
        assert (
            np.abs(
                kf.correlate(image[None] if np.ndim(kernel) == 4 and image.ndim == 2 else image, kernel, **how)
            ).max()
            < 1e-12
        )
    if matrix.shape[0] == matrix.shape[1]:
        assert kf.condition_number(kernel, shape, **how).number == np.inf


@given(
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from(["wrap", "reflect", "nearest", "constant"]),
    st.integers(0, 2**32 - 1),
)
def test_what_is_lost_is_scipys_null_space(shape, window, stride, banks, boundary, seed):
    weights = np.random.default_rng(seed).integers(-1, 2, size=(banks, 1, *window)).astype(float)
    kernel, size = (weights[0, 0], shape) if banks == 1 else (weights, (1, *shape))
    how = dict(boundary=boundary, stride=stride)
    matrix = kf.as_matrix(kernel, size, **how).toarray()
    expected = scipy.linalg.null_space(matrix, rcond=max(matrix.shape) * np.finfo(float).eps)
    found = kf.null_space(kernel, size, most=100, **how)
    assert kf.condition_number(kernel, size, **how).lost == found.dimension == expected.shape[1]
    # The same space: each of its images is the sum of its parts along the other basis.
    basis = found.basis.reshape(found.dimension, matrix.shape[1]).T
    np.testing.assert_allclose(basis @ (basis.T @ expected), expected, atol=1e-9)


def test_a_wide_operation_says_what_it_loses():
    found = kf.condition_number(BINOMIAL, (9, 7), mode="valid", stride=2)
    assert np.isfinite(found.number)
    assert (found.lost, found.pixels) == (63 - 4 * 3, 63)
    assert "of 63 dimensions of the image 51 are lost" in str(found)
    assert "none is lost" in str(kf.condition_number(kf.kernels.gaussian(0.8), (8, 9)))
    assert "1 is lost" in str(kf.condition_number([[1, 1]], (1, 4), boundary="wrap"))


def test_many_kernels_need_little_memory():
    weights = rng.normal(size=(16, 1, 3, 3))
    tracemalloc.start()
    found = kf.null_space(weights, (1, 20, 20), most=4)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The left singular vectors alone would take (16·400)² numbers: 328 MB.
    assert (found.dimension, peak < 60e6) == (0, True)


def test_nothing_is_lost_by_a_gaussian():
    found = kf.null_space(kf.kernels.gaussian(0.8), (20, 30))
    assert (found.dimension, found.basis.shape) == (0, (0, 20, 30))
    number = kf.condition_number(kf.kernels.gaussian(0.8), (20, 30)).number
    assert 10 < number < 1e4


def test_large_images_cost_no_matrix():
    assert kf.null_space(np.ones((3, 3)), (300, 300), most=4).basis.shape == (4, 300, 300)
    assert kf.null_space(np.ones((3, 3)), (300, 300), most=0).dimension == 300 * 2 - 1
    assert kf.condition_number(BINOMIAL, (501, 400), boundary="wrap").number == np.inf


def test_what_cannot_be(monkeypatch):
    with pytest.raises(ArgumentError, match="most: expected an integer of at least 0"):
        kf.null_space([[1]], (2, 2), most=-1)
    for function in (kf.null_space, kf.condition_number):
        with pytest.raises(ArgumentError, match="kernel: expected finite weights"):
            function([[np.nan]], (2, 2))
        with pytest.raises(ArgumentError, match="image_shape: expected at least two"):
            function([[1]], (2,))
    monkeypatch.setattr(nullspace, "DENSE", 10)
    with pytest.raises(ArgumentError, match="expected up to 10 pixels"):
        kf.null_space([[1, 2]], (4, 4))
