from __future__ import annotations

import io

import keras
import numpy as np
import pytest
import tensorflow as tf

from kernelfield.errors import ArgumentError
from kernelfield.keras import Conv2d


@pytest.fixture(autouse=True)
def start():
    keras.utils.set_random_seed(0)


def random(*shape, dtype="float32", seed=0):
    return tf.constant(np.random.default_rng([seed, *shape]).normal(size=shape), dtype)


# Ours, and what Keras' own layer is asked for.
TWINS = [
    (dict(out_channels=5, kernel_size=3), dict(filters=5, kernel_size=3)),
    (dict(out_channels=2, kernel_size=(2, 4), stride=2), dict(filters=2, kernel_size=(2, 4), strides=2)),
    (dict(out_channels=3, kernel_size=4, padding="same"), dict(filters=3, kernel_size=4, padding="same")),
    (
        dict(out_channels=3, kernel_size=3, padding="same", dilation=2, bias=False),
        dict(filters=3, kernel_size=3, padding="same", dilation_rate=2, use_bias=False),
    ),
    (dict(out_channels=8, kernel_size=3, groups=2), dict(filters=8, kernel_size=3, groups=2)),
]


@pytest.mark.parametrize(("ours", "theirs"), TWINS, ids=[str(i) for i in range(len(TWINS))])
def test_it_is_the_layer_of_keras(ours, theirs):
    image = random(2, 9, 10, 4)
    start = keras.initializers.GlorotUniform(seed=3)
    other = keras.layers.Conv2D(**theirs, kernel_initializer=start)
    wanted = other(image)
    layer = Conv2d(**ours, kernel_initializer=keras.initializers.GlorotUniform(seed=3))
    np.testing.assert_allclose(layer(image), wanted, rtol=1e-4, atol=1e-5)
    assert [v.path.split("/")[-1] for v in layer.variables] == [v.path.split("/")[-1] for v in other.variables]
    assert [v.shape for v in layer.variables] == [v.shape for v in other.variables]
    layer.set_weights([v + 1 for v in other.get_weights()])
    other.set_weights(layer.get_weights())
    np.testing.assert_allclose(tf.function(layer)(image), other(image), rtol=1e-4, atol=1e-4)
    assert layer.compute_output_shape((None, 9, None, 4)) == other.compute_output_shape((None, 9, None, 4))
    assert layer.count_params() == other.count_params()


@pytest.mark.parametrize(
    "options",
    [
        dict(padding=1, padding_mode="circular"),
        dict(padding=((2, 0), (1, 3)), padding_mode="mirror", stride=(2, 1)),
        dict(padding="same", groups=2, dilation=(1, 2)),
        dict(padding=2, groups=4, padding_mode="replicate"),
        dict(padding=2, dilation=2, stride=2, padding_mode="symmetric"),
    ],
    ids=str,
)
def test_a_graph_gives_the_same_numbers_and_gradients(options):
    layer, image = Conv2d(4, 3, bias_initializer="ones", **options), random(2, 8, 7, 4)
    layer(image)

    def step(image):
        with tf.GradientTape() as tape:
            tape.watch(image)
            result = layer(image)
            loss = tf.reduce_sum(tf.sin(result))
        return result, tape.gradient(loss, [image, *layer.trainable_variables])

    wanted = tf.nest.flatten(step(image))
    signature = [tf.TensorSpec([None, None, None, 4])]
    for graph in (tf.function(step), tf.function(step, jit_compile=True), tf.function(step, input_signature=signature)):
        for found, value in zip(tf.nest.flatten(graph(image)), wanted, strict=True):
            np.testing.assert_allclose(found, value, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("eagerly", [True, False])
def test_fit(eagerly):
    """A kernel is learned from pairs, in a model with an open size."""
    images = random(64, 8, 8, 1)
    kernel = random(3, 3, 1, 1, seed=1)
    targets = tf.nn.conv2d(images, kernel, 1, "SAME")
    model = keras.Sequential([keras.Input((None, None, 1)), Conv2d(1, 3, padding="same")])
    assert model.output_shape == (None, None, None, 1)
    model.compile(keras.optimizers.SGD(0.3), "mse", run_eagerly=eagerly)
    history = model.fit(images, targets, batch_size=8, epochs=8, verbose=0).history["loss"]
    assert history[-1] < 1e-3 * history[0]
    np.testing.assert_allclose(model.layers[0].kernel.value, kernel, atol=0.02)
    np.testing.assert_allclose(model.predict(images, verbose=0), targets, atol=0.1)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:keras")  # Keras beside NumPy 2
def test_save_and_load(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((8, 9, 2)),
            Conv2d(4, (3, 2), 2, ((1, 0), (2, 1)), groups=2, padding_mode="mirror", name="first"),
            keras.layers.ReLU(),
            Conv2d(1, 1, bias=False, kernel_initializer="he_normal", kernel_regularizer=keras.regularizers.L2(0.1)),
        ]
    )
    image = random(3, 8, 9, 2)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(image), model(image))
    assert loaded.get_layer("first").settings == model.get_layer("first").settings
    model.save_weights(tmp_path / "model.weights.h5")
    loaded.get_layer("first").set_oihw(np.zeros((4, 1, 3, 2)))
    loaded.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(loaded(image), model(image))


def test_export(tmp_path):
    """A program that serves the graph needs no kernelfield."""
    model = keras.Sequential([keras.Input((None, None, 2)), Conv2d(4, 3, padding=1, dilation=2, padding_mode="wrap")])
    model.export(tmp_path / "graph", verbose=False)
    image = random(3, 8, 9, 2)
    served = tf.saved_model.load(tmp_path / "graph")
    np.testing.assert_allclose(served.serve(image), model(image), rtol=1e-4, atol=1e-5)


def test_config():
    layer = Conv2d(4, 3, padding=1, groups=2, bias_initializer="ones", kernel_constraint="non_neg", name="mine")
    twin = Conv2d.from_config(layer.get_config())
    assert twin.get_config() == layer.get_config()
    assert twin.name == "mine"
    assert twin.settings == layer.settings
    assert isinstance(twin.kernel_constraint, keras.constraints.NonNeg)
    assert keras.saving.get_registered_name(Conv2d) == "kernelfield>Conv2d"


@pytest.mark.parametrize(
    ("policy", "variables", "result"),
    [
        ("mixed_float16", "float32", "float16"),
        ("mixed_bfloat16", "float32", "bfloat16"),
        ("float64", "float64", "float64"),
        ("bfloat16", "bfloat16", "bfloat16"),
    ],
)
def test_policies(policy, variables, result):
    layer, plain, image = Conv2d(4, 3, padding=1, dtype=policy), Conv2d(4, 3, padding=1), random(2, 6, 5, 3)
    layer(image)
    assert {v.dtype for v in layer.variables} == {variables}
    weight, bias = layer.get_oihw()
    assert weight.dtype == ("float64" if policy == "float64" else "float32")
    plain.set_oihw(weight, bias)
    with tf.GradientTape() as tape:
        feature_map = layer(image)
    assert feature_map.dtype == result
    np.testing.assert_allclose(tf.cast(feature_map, "float32"), plain(image), atol=0.1)
    assert all(g.dtype == variables for g in tape.gradient(feature_map, layer.trainable_variables))


def test_integers_are_taken_as_the_weights_are():
    layer = Conv2d(2, 3)
    image = tf.cast(random(1, 5, 5, 1) * 50, "int32")
    np.testing.assert_allclose(layer(image), layer(tf.cast(image, "float32")), rtol=1e-6)
    np.testing.assert_allclose(layer(image.numpy()), layer(tf.cast(image, "float32")), rtol=1e-6)


def test_summary_and_repr():
    model = keras.Sequential([keras.Input((8, 8, 3)), Conv2d(8, 3, padding="same", name="edges")])
    text = io.StringIO()
    model.summary(print_fn=lambda line: text.write(line + "\n"))
    assert "edges (Conv2d)" in text.getvalue()
    assert "224" in text.getvalue()
    assert repr(model.layers[0]) == "Conv2d(3, 8, kernel_size=(3, 3), padding='same', name='edges')"
    assert repr(Conv2d(8, 3, name="edges")) == "Conv2d(?, 8, kernel_size=(3, 3), name='edges')"


def test_trainable_and_constraints():
    layer = Conv2d(2, 3, kernel_regularizer="l2", kernel_constraint="non_neg", trainable=False)
    layer(random(1, 5, 5, 1))
    assert not layer.trainable_variables
    assert len(layer.non_trainable_variables) == 2
    layer.trainable = True
    assert len(layer.losses) == 1
    assert layer.kernel.constraint is layer.kernel_constraint


def test_a_functional_model_shares_the_layer():
    layer = Conv2d(2, 3, padding=1)
    one, two = keras.Input((6, 6, 2)), keras.Input((4, 5, 2))
    model = keras.Model([one, two], [layer(one), layer(two)])
    found = model([random(1, 6, 6, 2), random(1, 4, 5, 2)])
    assert [f.shape for f in found] == [(1, 6, 6, 2), (1, 4, 5, 2)]
    assert len(model.trainable_variables) == 2


def test_errors():
    layer = Conv2d(2, 3)
    with pytest.raises(ArgumentError, match=r"^image: expected \(N, H, W, C\)"):
        layer(random(5, 5, 1))
    with pytest.raises(ArgumentError, match=r"^image: expected \(N, H, W, C\) with a known number of channels"):
        layer(keras.Input((None, None, None)))
    with pytest.raises(ArgumentError, match=r"^image: expected at least 3 rows"):
        layer(keras.Input((2, None, 4)))
    layer(random(1, 5, 5, 4))
    with pytest.raises(ArgumentError, match=r"^image: expected 4 channels"):
        layer(keras.Input((None, None, 3)))
