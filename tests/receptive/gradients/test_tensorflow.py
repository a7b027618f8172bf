from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import kernelfield as kf
from kernelfield.errors import ArgumentError

RNG = np.random.default_rng(2)


def network() -> keras.Model:
    keras.utils.set_random_seed(4)
    image = keras.Input((12, 10, 2))
    x = keras.layers.Conv2D(3, 3, padding="same", activation="tanh", name="first")(image)
    x = keras.layers.Dropout(0.5)(keras.layers.BatchNormalization(name="norm")(x))
    inner = keras.Sequential([keras.Input((12, 10, 3)), keras.layers.Conv2D(4, 3, name="last")], name="inner")
    return keras.Model(image, inner(x))


def test_a_model_of_keras():
    model = network()
    image = RNG.normal(size=(12, 10, 2))
    fields = kf.receptive_field(model, (12, 10))
    found = fields.effective(image, unit=(3, 3), channels="each", dither=0)
    assert (found.dtype, found.outside) == ("float64", 0)
    assert found.theory.sum() == np.count_nonzero(found.energy) == 25
    assert {weight.dtype for weight in model.weights} == {"float32"}
    step = 1e-2
    energy = np.zeros(image.shape)
    for index in np.ndindex(image.shape):
        moved = np.stack([image, image]).astype(np.float32)
        moved[(0, *index)] += step
        moved[(1, *index)] -= step
        sides = np.asarray(model(moved, training=False))[:, 3, 3]
        energy[index] = (((sides[0] - sides[1]) / (2 * step)) ** 2).sum()
    np.testing.assert_allclose(found.energy, energy.sum(axis=2) / energy.sum(), atol=1e-4)


def test_layers_of_keras():
    fields = kf.receptive_field(network(), (12, 10))
    image = RNG.normal(size=(12, 10, 2))
    assert np.count_nonzero(fields.effective(image, "first").energy) == 9
    assert np.count_nonzero(fields.effective(image, "norm").energy) == 9


def test_a_function():
    weights = tf.Variable(RNG.normal(size=(3, 3, 2, 4)).astype(np.float32))
    function = tf.function(
        lambda x: tf.nn.conv2d(x, weights, 1, "SAME"), input_signature=[tf.TensorSpec((1, 9, 9, 2), tf.float32)]
    )
    image = RNG.normal(size=(9, 9, 2))
    found = kf.receptive_field(function, (1, 9, 9, 2)).effective(image, channels="each")
    expected = (weights.numpy().astype(float) ** 2).sum(axis=(2, 3))
    assert found.dtype == "float32"
    np.testing.assert_allclose(found.energy[3:6, 3:6], expected / expected.sum(), rtol=1e-5)


def test_a_subclassed_model_is_refused():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = keras.layers.Conv2D(2, 3)

        def call(self, x):
            return self.inner(x)

    from kernelfield.receptive.gradients.keras import prepare

    model = Own()
    model(np.zeros((1, 9, 9, 2), np.float32))
    with pytest.raises(ArgumentError, match="call it on a keras"):
        prepare(model, ())
