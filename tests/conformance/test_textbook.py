"""The textbook's experiments in every framework, beside NumPy (Zhang, Lipton, Li and Smola, *Dive into Deep Learning*).

Sections 7.2 (cross-correlation, edges, learning a kernel), 7.4 (channels as matrix products).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import kernelfield as kf
from kernelfield.engine import layers
from kernelfield.geometry import Operation, Window

pytestmark = pytest.mark.core


def edges() -> tuple[np.ndarray, np.ndarray]:
    """Return the 6×8 image of the chapter and its edges."""
    image = np.ones((6, 8), np.float32)
    image[:, 2:6] = 0
    return image, kf.corr2d(image, [[1, -1]])


def test_the_three_by_three_by_two_by_two_example(framework):
    X = framework.tensor(np.arange(9, dtype=np.float32).reshape(3, 3))
    K = framework.tensor(np.arange(4, dtype=np.float32).reshape(2, 2))
    result = kf.corr2d(X, K)
    assert type(result) is type(X)
    assert framework.numpy(result).tolist() == [[19, 25], [37, 43]]


def test_edges_and_why_the_transposed_image_has_none(framework):
    image, target = edges()
    K = framework.tensor(np.array([[1, -1]], np.float32))
    np.testing.assert_array_equal(framework.numpy(kf.corr2d(framework.tensor(image), K)), target)
    assert set(np.unique(target)) == {-1, 0, 1}
    assert not framework.numpy(kf.corr2d(framework.tensor(image.T), K)).any()


def test_ten_steps_give_the_losses_of_numpy(framework):
    X, Y = (framework.tensor(array) for array in edges())
    options = dict(size=(1, 2), steps=10, lr=3e-2, seed=0, report_every=2)
    lines, expected = [], []
    fit = kf.descend(X, Y, framework=framework.name, report=lines.append, **options)
    numpy_fit = kf.descend(*edges(), framework="numpy", report=expected.append, **options)
    np.testing.assert_allclose(fit.losses, numpy_fit.losses, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(fit.kernel.weights, numpy_fit.kernel.weights, atol=1e-4)
    assert all(a > b for a, b in zip(fit.losses, fit.losses[1:]))
    assert len(lines) == 5
    assert lines[0].startswith("epoch 2, loss ")


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_momentum_adam_and_kernels_in_a_row(framework, optimiser):
    rng = np.random.default_rng(2)
    image = rng.normal(size=(12, 13)).astype(np.float32)
    target = kf.corr2d(image, rng.normal(size=(3, 3)))
    options = dict(size=[(3, 1), (1, 3)], steps=10, optimiser=optimiser)
    options |= dict(lr=1e-4, momentum=0.5) if optimiser == "sgd" else dict(lr=0.05)
    fit = kf.descend(image, target, framework=framework.name, **options)
    expected = kf.descend(image, target, framework="numpy", **options)
    tolerance = 1e-4 if optimiser == "sgd" else framework.adam_tolerance
    np.testing.assert_allclose(fit.losses, expected.losses, rtol=tolerance)
    for layer, other in zip(fit.layers, expected.layers):
        np.testing.assert_allclose(layer.weights, other.weights, atol=10 * tolerance)


def test_strict_convolution_learns_the_flipped_kernel(framework):
    rng = np.random.default_rng(3)
    image = rng.normal(size=(9, 10)).astype(np.float32)
    kernel = rng.normal(size=(2, 3)).astype(np.float32)
    X, K = framework.tensor(image), framework.tensor(kernel)
    strict = framework.numpy(kf.convolve(X, K, mode="valid"))
    as_correlation = kf.learn(image, strict, size=(2, 3))
    np.testing.assert_allclose(as_correlation.kernel.weights, kernel[::-1, ::-1], atol=1e-5)
    np.testing.assert_allclose(as_correlation.kernel.flipped().weights, kernel, atol=1e-5)
    flipped = framework.tensor(np.ascontiguousarray(kernel[::-1, ::-1]))
    np.testing.assert_allclose(framework.numpy(kf.corr2d(X, flipped)), strict, atol=1e-5)


def by_loops(framework, X, K):
    """Return the textbook's hand-written cross-correlation: it writes into its result, pixel by pixel."""
    h, w = 2, 2
    if framework.name == "torch":
        import torch

        Y, total = torch.zeros(2, 2, requires_grad=True), torch.sum
    elif framework.name == "tensorflow":
        import tensorflow as tf

        Y, total = tf.zeros((2, 2)), tf.reduce_sum
    elif framework.name == "jax":
        import jax.numpy as jnp

        Y, total = jnp.zeros((2, 2)), jnp.sum
    else:
        import mxnet as mx

        X, K = X.as_nd_ndarray(), K.as_nd_ndarray()
        Y, total = mx.nd.zeros((2, 2)), mx.nd.sum
    for i in range(2):
        for j in range(2):
            Y[i, j] = total(X[i : i + h, j : j + w] * K)
    return Y


MESSAGES = {
    "torch": "a view of a leaf Variable that requires grad is being used in an in-place operation",
    "tensorflow": "object does not support item assignment",
    "jax": "immutable",
    "mxnet": "not supported when recording with autograd",
}


def test_the_hand_written_loop_has_no_gradient_and_ours_has(framework):
    X, K = np.arange(9, dtype=np.float32).reshape(3, 3), np.ones((2, 2), np.float32)
    slope = np.ones((2, 2), np.float32)
    # The frameworks raise errors of different types; what they say is the point.
    with pytest.raises(Exception, match=MESSAGES[framework.name]):
        framework.pullback(lambda x, k: by_loops(framework, x, k), [X, K], slope)
    to_image, to_kernel = framework.pullback(kf.corr2d, [X, K], slope)
    assert to_kernel.tolist() == [[8, 12], [20, 24]]
    assert to_image.tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]


def test_channels_and_the_one_by_one_layer_as_a_matrix_product(framework):
    rng = np.random.default_rng(4)
    image = rng.normal(size=(3, 5, 6)).astype(np.float32)
    kernel = rng.normal(size=(4, 3, 1, 1)).astype(np.float32)
    result = framework.numpy(kf.correlate(framework.tensor(image), framework.tensor(kernel), mode="valid"))
    product = kernel[:, :, 0, 0] @ image.reshape(3, -1)
    np.testing.assert_allclose(result, product.reshape(4, 5, 6), atol=1e-5)
    # A kernel of any size is the sum over its elements of such products, of shifted images.
    kernel = rng.normal(size=(4, 3, 2, 3)).astype(np.float32)
    result = framework.numpy(kf.correlate(framework.tensor(image), framework.tensor(kernel), mode="valid"))
    products = [kernel[:, :, a, b] @ image[:, a : a + 4, b : b + 4].reshape(3, -1) for a in range(2) for b in range(3)]
    np.testing.assert_allclose(result, sum(products).reshape(4, 4, 4), atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_three_random_layers_trained_ten_steps_stay_together(framework, seed):
    rng = np.random.default_rng(seed)
    channels = [int(c) for c in rng.integers(1, 4, 4)]
    shapes, options = [], []
    for before, after in pairwise(channels):
        size = tuple(int(k) for k in rng.integers(1, 4, 2))
        shapes.append((after, before, *size))
        options.append(dict(padding=int(rng.integers(0, 3)), stride=int(rng.integers(1, 3)), boundary="constant"))
    image = rng.normal(size=(2, channels[0], 16, 17)).astype(np.float32)
    weights = [(rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32) for shape in shapes]
    operations = [
        Operation(tuple(Window(k, o["padding"], o["padding"], o["stride"], 1) for k in shape[2:]), "constant", 0.0)
        for shape, o in zip(shapes, options)
    ]

    def in_numpy(kernels):
        maps = [image.astype(np.float64)]
        for operation, kernel in zip(operations, kernels):
            out = np.empty(operation.output_shape(maps[-1].shape, kernel.shape))
            layers.forward(operation, maps[-1], kernel, out)
            maps.append(out)
        slope, gradients = 2 * maps[-1] / maps[-1].size, []
        for operation, kernel, given in reversed(list(zip(operations, kernels, maps))):
            slope, gradient = layers.backward(operation, given, kernel, slope)
            gradients.insert(0, gradient)
        return maps[-1], gradients

    def net(*kernels):
        value = framework.tensor(image)
        for kernel, how in zip(kernels, options):
            value = kf.correlate(value, kernel, **how)
        return value

    mine, theirs = [w.astype(np.float64) for w in weights], list(weights)
    for _ in range(10):
        output, gradients = in_numpy(mine)
        result = framework.numpy(net(*(framework.tensor(w) for w in theirs)))
        np.testing.assert_allclose(result, output, atol=1e-4)
        slopes = framework.pullback(net, theirs, 2 * result / result.size)
        mine = [w - 0.1 * g for w, g in zip(mine, gradients)]
        theirs = [(w - 0.1 * g).astype(np.float32) for w, g in zip(theirs, slopes)]
    for w, v in zip(mine, theirs):
        np.testing.assert_allclose(v, w, atol=1e-4)
