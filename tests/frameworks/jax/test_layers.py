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

from kernelfield.engine import layers
from kernelfield.errors import ArgumentError
from kernelfield.jax import Conv2d, LinenConv2d
from kernelfield.tensors.weights import load_weights, weights_as

# Settings of ours, and those of Flax that say the same.
SAME = [
    (dict(), dict(padding="VALID")),
    (dict(padding="same"), dict(padding="SAME")),
    (dict(padding=((1, 2), (0, 3)), stride=2), dict(padding=[(1, 2), (0, 3)], strides=2)),
    (dict(padding=1, dilation=(1, 2), groups=2), dict(padding=1, kernel_dilation=(1, 2), feature_group_count=2)),
    (dict(padding="same", padding_mode="circular", bias=False), dict(padding="CIRCULAR", use_bias=False)),
    (dict(stride=(2, 1), groups=4), dict(padding="VALID", strides=(2, 1), feature_group_count=4)),
]


def numbers(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape).astype("float32"))


def close(found, wanted, tolerance=1e-5):
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=tolerance, atol=10 * tolerance), found, wanted
    )


@pytest.mark.parametrize("case", range(len(SAME)))
def test_beside_the_layer_of_flax(case):
    (ours, theirs), size = SAME[case], [(3, 3), (2, 4)][case % 2]
    image = numbers(2, 9, 10, 4)
    layer = Conv2d(8, size, **ours, rngs=nnx.Rngs(5))
    other = nnx.Conv(4, 8, size, **theirs, rngs=nnx.Rngs(5))
    found, wanted = layer(image), other(image)
    close(layer.kernel[...], other.kernel[...], 0)
    close(found, wanted)
    slopes = [nnx.grad(lambda model: (model(image) ** 2).sum())(model) for model in (layer, other)]
    close(*(jax.tree.leaves(slope) for slope in slopes), 1e-4)
    functional = LinenConv2d(8, size, **ours)
    variables = functional.init(jax.random.key(1), image)
    reference = linen.Conv(8, size, **theirs)
    close(variables, reference.init(jax.random.key(1), image), 0)
    close(functional.apply(variables, image), reference.apply(variables, image))


def test_a_layer_that_is_not_traced_computes_with_the_engine(monkeypatch):
    count = []
    forward = layers.forward
    monkeypatch.setattr(layers, "forward", lambda *a: (count.append(1), forward(*a))[1])
    layer, image = Conv2d(3, 3), numbers(1, 8, 9, 3)
    wanted = layer(image)
    assert len(count) == 1
    close(nnx.jit(lambda model, x: model(x))(layer, image), wanted)
    assert len(count) == 1


def test_leading_axes_are_a_batch():
    layer, image = Conv2d(3, (2, 3), padding=1), numbers(2, 3, 6, 7, 2)
    result = layer(image)
    assert result.shape == (2, 3, 7, 7, 3)
    close(layer(image[1, 2]), result[1, 2])
    close(jax.vmap(layer)(image), result)
    assert layer(image[:0]).shape == (0, 3, 7, 7, 3)


def test_parameters_may_be_made_inside_of_transformations_of_nnx():
    image = numbers(2, 6, 7, 3)
    layer = Conv2d(4, 3)
    result = nnx.jit(lambda model, x: model(x))(layer, image)
    assert layer.kernel.shape == (3, 3, 3, 4)
    close(layer(image), result)
    close(Conv2d(4, 3)(image), result)
    close(Conv2d(4, 3, in_channels=3)(image), result)


def test_functional_programs_split_and_merge():
    image = numbers(2, 6, 7, 3)
    layer = Conv2d(4, 3, in_channels=3)
    graph, state = nnx.split(layer)
    assert set(state) == {"kernel", "bias"}
    result = jax.jit(lambda s, x: nnx.merge(graph, s)(x))(state, image)
    close(result, layer(image))
    abstract = nnx.eval_shape(lambda: Conv2d(4, 3, in_channels=3))
    assert abstract.kernel.shape == (3, 3, 3, 4)


class Model(nnx.Module):
    def __init__(self):
        self.first = Conv2d(4, 3, padding="same", in_channels=1, rngs=nnx.Rngs(0))
        self.second = Conv2d(1, 3, padding="same", in_channels=4, rngs=nnx.Rngs(1))

    def __call__(self, image):
        return self.second(nnx.relu(self.first(image)))


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


def test_linen_is_saved_and_loaded():
    image, layer = numbers(1, 6, 6, 2), LinenConv2d(3, 3)
    variables = layer.init(jax.random.key(3), image)
    data = flax.serialization.to_bytes(variables)
    empty = layer.init(jax.random.key(4), image)
    close(flax.serialization.from_bytes(empty, data), variables, 0)


def test_mixed_precision(monkeypatch):
    image = numbers(2, 6, 7, 3)
    layer = Conv2d(4, 3, dtype=jnp.bfloat16)
    result = layer(image)
    assert result.dtype == "bfloat16"
    assert layer.kernel.dtype == "float32"
    wide = Conv2d(4, 3)(image)
    close(result.astype("float32"), wide, 3e-2)
    slope = nnx.grad(lambda m: m(image).astype("float32").sum())(layer)
    assert slope["kernel"].dtype == "float32"
    small = Conv2d(4, 3, in_channels=3, param_dtype=jnp.bfloat16)
    assert small.kernel.dtype == "bfloat16"
    assert small.get_oihw()[0].dtype == np.float32
    assert Conv2d(4, 3)(image.astype("uint8")).dtype == "float32"
    functional = LinenConv2d(4, 3, dtype=jnp.float16)
    variables = functional.init(jax.random.key(0), image)
    assert variables["params"]["kernel"].dtype == "float32"
    assert functional.apply(variables, image).dtype == "float16"


def test_doubles():
    with jax.enable_x64(True):
        layer = Conv2d(2, 3, param_dtype=jnp.float64)
        assert layer(jnp.ones((1, 5, 5, 2), jnp.float64)).dtype == "float64"
        assert layer.get_oihw()[0].dtype == np.float64


def test_moved_to_a_device():
    image, layer = numbers(1, 6, 6, 2), Conv2d(3, 3, in_channels=2)
    device = jax.devices()[0]
    nnx.update(layer, jax.device_put(nnx.state(layer), device))
    assert layer.kernel[...].committed
    layer.set_oihw(*layer.get_oihw())
    assert layer.kernel[...].devices() == {device}
    assert layer(image).devices() == {device}


def test_weights_are_carried_to_and_from_flax():
    image = numbers(2, 7, 8, 4)
    other = nnx.Conv(4, 6, (3, 2), padding="VALID", feature_group_count=2, rngs=nnx.Rngs(2))
    layer = load_weights(Conv2d(6, (3, 2), groups=2), other.kernel, other.bias)
    close(layer(image), other(image))
    close(weights_as(layer, "jax"), other.kernel[...], 0)
    bound = LinenConv2d(6, (3, 2), groups=2).bind({}, mutable=["params"])
    load_weights(bound, layer)
    close(LinenConv2d(6, (3, 2), groups=2).apply(bound.variables, image), other(image))
    for one, two in zip(bound.get_oihw(), layer.get_oihw()):
        close(one, two, 0)


def test_linen_traces_and_shows():
    image, layer = numbers(2, 6, 7, 3), LinenConv2d(4, 3, padding=1)
    variables = layer.init(jax.random.key(0), image)
    close(jax.jit(layer.apply)(variables, image), layer.apply(variables, image))
    loss = lambda v: (layer.apply(v, image) ** 2).sum()  # noqa: E731
    close(jax.jit(jax.grad(loss))(variables), jax.grad(loss)(variables), 1e-4)
    table = layer.tabulate(jax.random.key(0), image, console_kwargs={"width": 200})
    assert "LinenConv2d" in table
    assert "112" in table
    assert "kernel_size = 3" in repr(layer)


def test_nnx_shows():
    layer = Conv2d(4, 3, padding=1, in_channels=3)
    assert repr(layer) == "Conv2d(3, 4, kernel_size=(3, 3), padding=((1, 1), (1, 1)))"
    table = nnx.tabulate(layer, numbers(2, 6, 7, 3), console_kwargs={"width": 200})
    assert "112" in table
    assert "Conv2d" in str(Model())


def test_errors():
    with pytest.raises(ArgumentError, match="out_channels: expected a positive integer"):
        LinenConv2d(0, 3)
    with pytest.raises(ArgumentError, match="padding_mode: 'reflect' means two things"):
        LinenConv2d(1, 3, padding_mode="reflect")
    for layer in (LinenConv2d(2, 3), LinenConv2d(2, 3).bind({})):
        with pytest.raises(ArgumentError, match="layer: expected one with weights"):
            layer.get_oihw()
    key = jax.random.key(0)
    for call in (lambda layer, x: layer(x), lambda layer, x: LinenConv2d(2, 3).init(key, x)):
        with pytest.raises(ArgumentError, match=r"^image: expected \(N, H, W, C\) or \(H, W, C\); received shape"):
            call(Conv2d(2, 3), numbers(5, 5))
        with pytest.raises(ArgumentError, match=r"^image: expected at least 3 rows; received 2"):
            call(Conv2d(2, 3), numbers(1, 2, 5, 1))
    with pytest.raises(ArgumentError, match="pass in_channels, or call it on an image first"):
        jax.vmap(Conv2d(2, 3))(numbers(2, 1, 5, 5, 2))
    with pytest.raises(ArgumentError, match=r"^image: expected 3 channels"):
        nnx.jit(lambda m, x: m(x))(Conv2d(2, 3, in_channels=3), numbers(1, 5, 5, 2))
