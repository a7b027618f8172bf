"""The sparse matrix and the operator against the definition, and against SciPy's Toeplitz matrices."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
from cases import BOUNDARIES, MODES
from hypothesis import given
from hypothesis import strategies as st

import kernelfield as kf
from kernelfield.engine import reference
from kernelfield.errors import ArgumentError, DtypeError

small = st.integers(1, 3)
rng = np.random.default_rng(0)


@st.composite
def requests(draw):
    """Return a kernel, an image and options that go together; kernels may be larger than the image."""
    groups = draw(st.integers(1, 2))
    layer = draw(st.booleans())
    size = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    window = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    how = dict(boundary=draw(st.sampled_from(BOUNDARIES)), stride=draw(st.tuples(small, small)))
    how["dilation"] = draw(st.tuples(small, small))
    extended = draw(st.sampled_from((*MODES, "padding")))
    span = [d * (k - 1) + 1 for d, k in zip(how["dilation"], window)]
    if extended == "padding":
        how["padding"] = tuple((draw(st.integers(0, 4)), draw(st.integers(0, 4))) for _ in range(2))
        size = tuple(max(n, s - sum(p)) for n, s, p in zip(size, span, how["padding"]))
    else:
        how["mode"] = extended
        if extended == "valid":
            size = tuple(max(n, s) for n, s in zip(size, span))
        if extended == "same":
            how["origin"] = tuple(draw(st.integers(-(k // 2), (k - 1) // 2)) for k in window)
    lead = draw(st.sampled_from([(), (2,)]))
    seed = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if not layer:
        return seed.integers(-2, 3, window).astype(float), seed.normal(size=(*lead, *size)), how
    how["groups"] = groups
    channels, filters = draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    weights = seed.normal(size=(filters, channels, *window))
    return weights, seed.normal(size=(*lead, groups * channels, *size)), how


def written_out(kernel, image, how):
    """Return the result by the definition, in loops that know neither windows nor matrices."""
    weights = kernel if kernel.ndim == 4 else kernel[None, None]
    planes = image.reshape(-1, *image.shape[-3:]) if kernel.ndim == 4 else image.reshape(-1, 1, *image.shape[-2:])
    (kh, kw), (dh, dw), (sh, sw) = weights.shape[2:], how["dilation"], how["stride"]
    spread = np.zeros((*weights.shape[:2], dh * (kh - 1) + 1, dw * (kw - 1) + 1))
    spread[:, :, ::dh, ::dw] = weights
    per_group = len(weights) // how.get("groups", 1)
    results = []
    for image_planes in planes:
        for o, filters in enumerate(spread):
            total = 0.0
            for c, taps in enumerate(filters):
                plane = image_planes[o // per_group * len(filters) + c]
                mode, origin = how.get("mode", "valid"), (0, 0)
                if "padding" in how:
                    ends = how["padding"]
                    index = [
                        [reference.outside(i, n, how["boundary"]) for i in range(-a, n + b)]
                        for n, (a, b) in zip(plane.shape, ends)
                    ]
                    plane = np.array(
                        [[0.0 if i is None or j is None else plane[i, j] for j in index[1]] for i in index[0]]
                    )
                if mode == "same":
                    # The centre of the spread kernel is the spread centre of the kernel.
                    origin = tuple(
                        d * (k // 2 + o) - s // 2 for d, k, o, s in zip((dh, dw), (kh, kw), how["origin"], taps.shape)
                    )
                total = total + reference.correlate(plane, taps, mode, how["boundary"], 0.0, origin)
            results.append(total[::sh, ::sw])
    return np.concatenate([r.ravel() for r in results])


@given(requests())
def test_the_matrix_is_the_operation(request):
    kernel, image, how = request
    matrix = kf.as_matrix(kernel, image.shape, **how)
    expected = kf.correlate(image, kernel, channel_axis=None, **how)
    assert matrix.format == "csr"
    assert matrix.dtype == np.float64
    assert matrix.shape == (expected.size, image.size)
    np.testing.assert_allclose(matrix @ image.ravel(), expected.ravel(), atol=1e-12)
    np.testing.assert_allclose(matrix @ image.ravel(), written_out(kernel, image, how), atol=1e-12)


@given(requests())
def test_the_operator_is_the_matrix_and_its_adjoint_the_transpose(request):
    kernel, image, how = request
    matrix, operator = kf.as_matrix(kernel, image.shape, **how), kf.as_operator(kernel, image.shape, **how)
    assert operator.shape == matrix.shape
    assert operator.dtype == np.float64
    result = rng.normal(size=matrix.shape[0])
    np.testing.assert_allclose(operator @ image.ravel(), matrix @ image.ravel(), atol=1e-12)
    np.testing.assert_allclose(operator.H @ result, matrix.T @ result, atol=1e-12)
    several = rng.normal(size=(image.size, 3))
    np.testing.assert_allclose(operator @ several, matrix @ several, atol=1e-12)
    slopes = rng.normal(size=(matrix.shape[0], 2))
    np.testing.assert_allclose(operator.T @ slopes, matrix.T @ slopes, atol=1e-12)
    # The dot test: <Ax, y> = <x, A'y>.
    np.testing.assert_allclose(
        (operator @ image.ravel()) @ result, image.ravel() @ (operator.H @ result), rtol=1e-11, atol=1e-11
    )


def test_full_is_doubly_blocked_toeplitz():
    kernel, shape = rng.normal(size=(3, 2)), (4, 5)
    matrix = kf.as_matrix(kernel, shape, mode="full", boundary="constant").toarray()
    # One block a row of the flipped kernel, each the matrix of a convolution in one dimension.
    blocks = [scipy.linalg.convolution_matrix(row[::-1], shape[1]) for row in kernel[::-1]]
    block = scipy.linalg.toeplitz([1, 2, 3, 0, 0, 0], [1, 0, 0, 0])
    expected = np.block([[blocks[i - 1] if i else np.zeros_like(blocks[0]) for i in row] for row in block])
    np.testing.assert_array_equal(matrix, expected)


def test_wrap_is_doubly_blocked_circulant():
    kernel, shape = rng.normal(size=(3, 3)), (4, 5)
    matrix = kf.as_matrix(kernel, shape, boundary="wrap").toarray()
    first = matrix[:, 0].reshape(shape)
    blocks = [scipy.linalg.circulant(row) for row in first]
    block = scipy.linalg.circulant(np.arange(4))
    np.testing.assert_allclose(matrix, np.block([[blocks[i] for i in row] for row in block]))


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_the_transpose_is_transposed_convolution(stride):
    import torch

    weights = rng.normal(size=(2, 3, 3, 2))
    matrix = kf.as_matrix(weights, (3, 8, 9), padding=1, boundary="constant", stride=stride)
    shape = kf.correlate(np.zeros((3, 8, 9)), weights, padding=1, boundary="constant", stride=stride).shape
    result = rng.normal(size=shape)
    left = [(n + 2 - k) % stride for n, k in zip((8, 9), (3, 2))]
    expected = torch.nn.functional.conv_transpose2d(
        torch.tensor(result)[None], torch.tensor(weights), stride=stride, padding=1, output_padding=left
    )
    np.testing.assert_allclose((matrix.T @ result.ravel()).reshape(3, 8, 9), expected[0], atol=1e-12)


def test_kernel_objects_tensors_and_zeros():
    import torch

    moved = kf.kernels.shift(1, -2)
    image = rng.normal(size=(5, 6))
    np.testing.assert_array_equal(
        (kf.as_matrix(moved, (5, 6), boundary="wrap") @ image.ravel()).reshape(5, 6), np.roll(image, (1, -2), (0, 1))
    )
    weights = torch.ones(2, 2, requires_grad=True)
    assert kf.as_matrix(weights, (3, 3), mode="valid").nnz == 16
    assert kf.as_matrix(np.zeros((2, 2)), (3, 3)).nnz == 0
    assert kf.as_matrix([[0, 1, 0]], (3, 3)).nnz == 9


def test_float32_operators_compute_in_float32():
    operator = kf.as_operator([[1.0, -1.0]], (3, 4), dtype=np.float32)
    assert operator.dtype == (operator @ np.ones(12)).dtype == np.float32
    assert (operator.H @ np.ones(12)).dtype == np.float32


def test_products_of_an_operator_with_masked_and_complex_vectors():
    kernel, shape = np.arange(6.0).reshape(2, 3), (5, 6)
    operator, matrix = kf.as_operator(kernel, shape), kf.as_matrix(kernel, shape)
    vector = np.random.default_rng(3).normal(size=30)
    masked = np.ma.array(vector, mask=vector > 0.0)
    for of in (operator, operator.H, operator.T, operator.H.H):
        for product in (of.dot, of.__matmul__, of.__mul__, of.matvec, of.rmatvec):
            with pytest.raises(ArgumentError, match="x: expected no masked elements"):
                product(masked)
        for product in (of.matmat, of.rmatmat):
            with pytest.raises(ArgumentError, match="x: expected no masked elements"):
                product(masked[:, None])
    both = vector + 1j * vector[::-1]
    np.testing.assert_allclose(operator @ both, matrix @ both, atol=1e-12)
    np.testing.assert_allclose(operator.H @ both, matrix.T @ both, atol=1e-12)
    np.testing.assert_allclose(operator @ np.stack([both, vector], 1), matrix @ np.stack([both, vector], 1), atol=1e-12)


@pytest.mark.parametrize("make", [kf.as_matrix, kf.as_operator])
@pytest.mark.parametrize(
    ("kernel", "shape", "how", "says"),
    [
        ([[1.0]], (4,), {}, "image_shape: expected at least two positive integers"),
        ([[1.0]], 5, {}, "image_shape: expected at least two positive integers"),
        ([[1.0]], (0, 4), {}, "image_shape: expected at least two positive integers"),
        ([[1.0]], (2.5, 4), {}, "image_shape: expected at least two positive integers"),
        ([[1.0] * 9], (4, 4), {"mode": "valid"}, "kernel: expected at most 4×4"),
        ([1.0, 2.0], (4, 4), {}, "kernel: expected two axes"),
        (np.ones((2, 3, 1, 1)), (4, 4), {}, r"image: expected \(..., C, H, W\)"),
        (np.ones((2, 3, 1, 1)), (2, 4, 4), {}, "image: expected 3 channels"),
        ([[1.0, 1.0]], (4, 4), {"boundary": "constant", "cval": 3.0}, "cval: expected 0, which .* linear"),
        ([[1.0, 1.0]], (4, 4), {"boundary": "zeros"}, "boundary: expected one of"),
        ([[1.0, 1.0]], (4, 4), {"stride": 0}, "stride: expected at least 1"),
    ],
)
def test_what_cannot_be(make, kernel, shape, how, says):
    with pytest.raises(ArgumentError, match=says):
        make(kernel, shape, **how)


def test_cval_counts_only_where_it_is_read():
    assert kf.as_matrix([[1.0, 1.0]], (4, 4), cval=3.0).shape == (16, 16)
    assert kf.as_matrix([[1.0, 1.0]], (4, 4), mode="valid", boundary="constant", cval=3.0).shape == (12, 16)


def test_a_matrix_too_large_is_refused_before_it_is_made():
    with pytest.raises(ArgumentError, match="received 450,000,000; use as_operator"):
        kf.as_matrix(np.ones((15, 15)), (2000, 1000))
    with pytest.raises(DtypeError, match="dtype: expected float64 or float32; received int32"):
        kf.as_operator([[1]], (2, 2), dtype=np.int32)
