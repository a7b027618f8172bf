"""Flax: the layers of NNX and of Linen beside Flax's own, traced, trained, saved and moved."""

from __future__ import annotations

import itertools

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx

import kernelfield as kf
from kernelfield.engine import layers
from kernelfield.errors import ArgumentError
from kernelfield.jax import Conv, Filter, LinenConv
from kernelfield.tensors.weights import load_weights, weights_as


def numbers(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape).astype("float32"))


def conv(inputs, outputs, size=(3, 3), seed=0, **options):
    return Conv(inputs, outputs, size, **options, rngs=nnx.Rngs(seed))


def close(found, wanted, tolerance=1e-5):
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=tolerance, atol=10 * tolerance), found, wanted
    )


@pytest.mark.parametrize(
    "options",
    [
        dict(),
        dict(padding=[(1, 2), (0, 3)], strides=2, feature_group_count=2),
        dict(padding="CIRCULAR", kernel_dilation=2, use_bias=False),
        dict(input_dilation=2, padding=1, precision="highest"),
        dict(mask=jnp.tril(jnp.ones((2, 3, 4, 3)))),
    ],
    ids=str,
)
def test_linen_beside_the_layer_of_flax(options):
    filters = 6 if "feature_group_count" in options else 3
    image, layer, other = (
        numbers(2, 9, 10, 4),
        LinenConv(filters, (2, 3), **options),
        linen.Conv(filters, (2, 3), **options),
    )
    variables = layer.init(jax.random.key(1), image)
    close(variables, other.init(jax.random.key(1), image), 0)
    loss = lambda layer: lambda v: (layer.apply(v, image) ** 2).sum()  # noqa: E731
    close(layer.apply(variables, image), other.apply(variables, image))
    close(*(jax.grad(loss(one))(variables) for one in (layer, other)), 1e-4)
    close(jax.jit(layer.apply)(variables, image), other.apply(variables, image))


@pytest.mark.parametrize(
    "options",
    [
        dict(mask=jnp.tril(jnp.ones((2, 3, 4, 3)))),
        dict(conv_general_dilated=lambda *a, **k: 2 * jax.lax.conv_general_dilated(*a, **k)),
        dict(preferred_element_type=jnp.float32),
        dict(promote_dtype=lambda arrays, dtype: tuple(a if a is None else a.astype("bfloat16") for a in arrays)),
        dict(dtype=jnp.bfloat16),
        dict(param_dtype=jnp.float16),
        dict(kernel_init=nnx.initializers.ones, bias_init=nnx.initializers.ones),
        dict(kernel_metadata={"note": 1}),
    ],
    ids=lambda options: next(iter(options)),
)
def test_arguments_that_are_no_settings(options):
    image = numbers(2, 9, 10, 4)
    layer, other = (kind(4, 3, (2, 3), **options, rngs=nnx.Rngs(5)) for kind in (Conv, nnx.Conv))
    found, wanted = layer(image), other(image)
    assert found.dtype == wanted.dtype
    close(found.astype("float32"), wanted.astype("float32"), 1e-2 if found.dtype != "float32" else 1e-5)
    assert layer.kernel.dtype == other.kernel.dtype
    assert layer.kernel.get_metadata() == other.kernel.get_metadata()


@pytest.mark.parametrize("shape", [(20, 4), (5, 6, 7, 4), (2, 5, 6, 7, 4)], ids=str)
def test_one_and_three_dimensions_are_those_of_flax(shape):
    size = (3,) if len(shape) == 2 else (2, 3, 2)
    layer, other = (kind(4, 3, size, rngs=nnx.Rngs(5)) for kind in (Conv, nnx.Conv))
    close(layer(numbers(*shape)), other(numbers(*shape)))


def test_a_layer_that_is_not_traced_computes_with_the_engine(monkeypatch):
    count = []
    forward = layers.forward
    monkeypatch.setattr(layers, "forward", lambda *a: (count.append(1), forward(*a))[1])
    layer, image = conv(3, 3), numbers(1, 8, 9, 3)
    wanted = layer(image)
    assert len(count) == 1
    close(nnx.jit(lambda model, x: model(x))(layer, image), wanted)
    assert len(count) == 1


def test_leading_axes_are_a_batch():
    layer, image = conv(2, 3, (2, 3), padding=1), numbers(2, 3, 6, 7, 2)
    result = layer(image)
    assert result.shape == (2, 3, 7, 7, 3)
    close(layer(image[1, 2]), result[1, 2])
    close(jax.vmap(layer)(image), result)
    assert layer(image[:0]).shape == (0, 3, 7, 7, 3)
    close(layer(np.asarray(image)), result)


def test_functional_programs_split_and_merge():
    image, layer = numbers(2, 6, 7, 3), conv(3, 4)
    graph, state = nnx.split(layer)
    assert set(state) == {"kernel", "bias"}
    close(jax.jit(lambda s, x: nnx.merge(graph, s)(x))(state, image), layer(image))
    abstract = nnx.eval_shape(lambda: conv(3, 4))
    assert abstract.kernel.shape == (3, 3, 3, 4)


class Model(nnx.Module):
    def __init__(self):
        self.edges = Filter(kf.kernels.sobel())
        self.first = conv(1, 4)
        self.second = conv(4, 1, seed=1)

    def __call__(self, image):
        return self.second(nnx.relu(self.first(image) + self.edges(image)))


@pytest.mark.parametrize("traced", [False, True])
def test_training(traced):
    image, target = numbers(1, 12, 12, 1), numbers(1, 12, 12, 1, seed=1)
    model = Model()
    optimizer = nnx.Optimizer(model, optax.adam(1e-2), wrt=nnx.Param)

    def step(model, optimizer):
        loss, slopes = nnx.value_and_grad(lambda m: ((m(image) - target) ** 2).mean())(model)
        optimizer.update(model, slopes)
        return loss

    step = nnx.jit(step) if traced else step
    losses = [float(step(model, optimizer)) for _ in range(4)]
    np.testing.assert_array_equal(model.edges.kernel[...], kf.kernels.sobel().weights)
    assert all(later < earlier for earlier, later in itertools.pairwise(losses))


def test_saved_and_loaded():
    image, model = numbers(1, 8, 8, 1), Model()
    data = flax.serialization.to_bytes(nnx.to_pure_dict(nnx.state(model)))
    other = Model()
    other.first.kernel.set_value(other.first.kernel[...] + 1)
    state = nnx.state(other)
    nnx.replace_by_pure_dict(state, flax.serialization.from_bytes(nnx.to_pure_dict(state), data))
    nnx.update(other, state)
    close(other(image), model(image), 0)


def test_doubles():
    with jax.enable_x64(True):
        layer = conv(2, 2, param_dtype=jnp.float64)
        assert layer(jnp.ones((1, 5, 5, 2), jnp.float64)).dtype == "float64"
        assert layer.get_oihw()[0].dtype == np.float64
    assert conv(2, 2, param_dtype=jnp.bfloat16).get_oihw()[0].dtype == np.float32


def test_moved_to_a_device():
    image, layer = numbers(1, 6, 6, 2), conv(2, 3)
    device = jax.devices()[0]
    nnx.update(layer, jax.device_put(nnx.state(layer), device))
    assert layer.kernel[...].committed
    layer.set_oihw(*layer.get_oihw())
    assert layer.kernel[...].devices() == {device}
    assert layer(image).devices() == {device}


def test_weights_are_carried_to_and_from_flax():
    image = numbers(2, 7, 8, 4)
    other = nnx.Conv(4, 6, (3, 2), feature_group_count=2, rngs=nnx.Rngs(2))
    layer = load_weights(conv(4, 6, (3, 2), feature_group_count=2), other.kernel, other.bias)
    close(layer(image), other(image))
    close(weights_as(layer, "jax"), other.kernel[...], 0)


def test_shows():
    layer = conv(3, 4)
    table = nnx.tabulate(layer, numbers(2, 6, 7, 3), console_kwargs={"width": 200})
    assert "112" in table
    assert "FixedFilter(3×3)" in str(Model())
    linen_table = LinenConv(4, (3, 3)).tabulate(jax.random.key(0), numbers(2, 6, 7, 3), console_kwargs={"width": 200})
    assert "LinenConv" in linen_table


def test_filters_take_leading_axes_and_integers():
    layer, image = Filter(kf.kernels.sobel(), mode="valid"), numbers(2, 3, 6, 7, 2)
    result = layer(image)
    assert result.shape == (2, 3, 4, 5, 2)
    close(layer(image[1, 2]), result[1, 2])
    close(jax.vmap(layer)(image), result)
    close(layer((image * 50).astype("int32")), layer((image * 50).astype("int32").astype("float32")))
    with pytest.raises(ArgumentError, match=r"^image: expected \(N, H, W, C\) or \(H, W, C\); received shape"):
        layer(image[0, 0, 0])
