from __future__ import annotations

import io

import keras
import numpy as np
import pytest
import tensorflow as tf

import kernelfield as kf
from kernelfield.errors import ArgumentError
from kernelfield.keras import Conv2D, Filter2D


@pytest.fixture(autouse=True)
def start():
    keras.utils.set_random_seed(0)


def random(*shape, dtype="float32", seed=0):
    return tf.constant(np.random.default_rng([seed, *shape]).normal(size=shape), dtype)


@pytest.mark.parametrize("options", [dict(), dict(strides=2, padding="same"), dict(groups=2, activation="relu")])
def test_channels_first(options):
    """Keras' own takes them on GPUs only: beside the same layer with the channels last."""
    image = random(2, 9, 10, 4)
    last = Conv2D(6, (2, 3), **options)
    wanted = last(image)
    first = Conv2D(6, (2, 3), data_format="channels_first", **options)
    first.build((None, 4, None, None))
    first.set_weights(last.get_weights())
    found = first(tf.transpose(image, (0, 3, 1, 2)))
    np.testing.assert_allclose(tf.transpose(found, (0, 2, 3, 1)), wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(first.get_oihw()[0], last.get_oihw()[0])


@pytest.mark.parametrize(
    "options",
    [
        dict(padding="same", padding_mode="circular", strides=(2, 1)),
        dict(padding="same", padding_mode="reflect", activation="tanh"),
        dict(padding="same", groups=2, dilation_rate=(1, 2)),
    ],
    ids=str,
)
def test_a_graph_gives_the_same_numbers_and_gradients(options):
    layer, image = Conv2D(4, 3, bias_initializer="ones", **options), random(2, 8, 7, 4)
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
    model = keras.Sequential([keras.Input((None, None, 1)), Conv2D(1, 3, padding="same")])
    assert model.output_shape == (None, None, None, 1)
    model.compile(keras.optimizers.SGD(0.3), "mse", run_eagerly=eagerly)
    history = model.fit(images, targets, batch_size=8, epochs=8, verbose=0).history["loss"]
    assert history[-1] < 1e-3 * history[0]
    np.testing.assert_allclose(model.layers[0].kernel.value, kernel, atol=0.02)
    np.testing.assert_allclose(model.predict(images, verbose=0), targets, atol=0.1)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:keras")  # Keras beside NumPy 2
def test_save_and_load(tmp_path):
    regular = dict(kernel_regularizer=keras.regularizers.L2(0.1), kernel_constraint="non_neg")
    model = keras.Sequential(
        [
            keras.Input((8, 9, 2)),
            Filter2D(kf.kernels.difference(0, "backward"), boundary="wrap"),
            Conv2D(4, (3, 2), padding="same", groups=2, padding_mode="reflect", activation="relu", name="first"),
            Conv2D(1, 1, use_bias=False, kernel_initializer="he_normal", **regular),
        ]
    )
    image = random(3, 8, 9, 2)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(image), model(image))
    assert [type(layer) for layer in loaded.layers] == [Filter2D, Conv2D, Conv2D]
    assert [layer.get_config() for layer in loaded.layers] == [layer.get_config() for layer in model.layers]
    model.save_weights(tmp_path / "model.weights.h5")
    loaded.get_layer("first").set_oihw(np.zeros((4, 1, 3, 2)))
    loaded.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(loaded(image), model(image))
    own = keras.layers.Conv2D.from_config(
        {k: v for k, v in model.layers[2].get_config().items() if k != "padding_mode"}
    )
    own.build((None, 8, 9, 4))
    assert own.get_config() | {"padding_mode": "zeros"} == model.layers[2].get_config()


def test_export(tmp_path):
    """A program that serves the graph needs no kernelfield."""
    layers = [Conv2D(4, 3, padding="same", padding_mode="circular"), Filter2D([[[1, 2, 3]], [[0, 1, 0]]], stride=2)]
    model = keras.Sequential([keras.Input((None, None, 2)), *layers])
    assert model.output_shape == (None, None, None, 8)
    model.export(tmp_path / "graph", verbose=False)
    image = random(3, 8, 9, 2)
    served = tf.saved_model.load(tmp_path / "graph")
    np.testing.assert_allclose(served.serve(image), model(image), rtol=1e-4, atol=1e-5)


def test_low_rank_adaptation():
    layer, image = Conv2D(4, 3), random(1, 6, 6, 2)
    before = layer(image)
    layer.enable_lora(2)
    np.testing.assert_allclose(layer(image), before)
    layer.lora_kernel_b.assign(layer.lora_kernel_b + 1)
    own = keras.layers.Conv2D(4, 3)
    own(image)
    own.set_weights([np.asarray(layer.kernel), np.asarray(layer.bias)])
    np.testing.assert_allclose(layer(image), own(image), rtol=1e-4, atol=1e-5)


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
    layer, plain, image = Conv2D(4, 3, padding="same", dtype=policy), Conv2D(4, 3, padding="same"), random(2, 6, 5, 3)
    layer(image)
    plain(image)
    assert {v.dtype for v in layer.variables} == {variables}
    weight, bias = layer.get_oihw()
    assert weight.dtype == ("float64" if policy == "float64" else "float32")
    plain.set_oihw(weight, bias)
    with tf.GradientTape() as tape:
        feature_map = layer(image)
    assert feature_map.dtype == result
    np.testing.assert_allclose(tf.cast(feature_map, "float32"), plain(image), atol=0.1)
    assert all(g.dtype == variables for g in tape.gradient(feature_map, layer.trainable_variables))


def test_a_filter_has_one_fixed_variable():
    layer = Filter2D(kf.kernels.sobel(), data_format="channels_first", name="edges")
    assert [v.trainable for v in layer.variables] == [False]
    pixels = tf.cast(random(1, 3, 5, 5) * 50, "int32")
    np.testing.assert_allclose(layer(pixels), layer(tf.cast(pixels, "float32")))
    assert layer.compute_output_shape((None, 3, None, 5)) == (None, 3, None, 5)
    model = keras.Sequential([keras.Input((8, 8, 3)), Conv2D(8, 3, padding="same", name="conv"), Filter2D([[1.0]])])
    text = io.StringIO()
    model.summary(print_fn=lambda line: text.write(line + "\n"))
    assert "conv (Conv2D)" in text.getvalue()
    assert "224" in text.getvalue()
    with pytest.raises(ArgumentError, match=r"^data_format: expected channels_last or channels_first"):
        Filter2D([[1.0]], data_format="NHWC")


def test_trainable_and_constraints():
    layer = Conv2D(2, 3, kernel_regularizer="l2", kernel_constraint="non_neg", trainable=False)
    layer(random(1, 5, 5, 1))
    assert not layer.trainable_variables
    assert len(layer.non_trainable_variables) == 2
    layer.trainable = True
    assert len(layer.losses) == 1
    assert layer.kernel.constraint is layer.kernel_constraint


def test_a_functional_model_shares_the_layer():
    layer = Conv2D(2, 3, padding="same")
    one, two = keras.Input((6, 6, 2)), keras.Input((4, 5, 2))
    model = keras.Model([one, two], [layer(one), layer(two)])
    found = model([random(1, 6, 6, 2), random(1, 4, 5, 2)])
    assert [f.shape for f in found] == [(1, 6, 6, 2), (1, 4, 5, 2)]
    assert len(model.trainable_variables) == 2


def test_errors():
    with pytest.raises(ArgumentError, match=r"^padding_mode: expected one of zeros, reflect"):
        Conv2D(2, 3, padding_mode="edge")
    for name in ("strides", "dilation_rate", "kernel_size"):
        with pytest.raises(ArgumentError, match=r"expected .* received .*1099511627776"):
            Conv2D(**{**dict(filters=2, kernel_size=3), name: 2**40})


def test_its_receptive_field_is_that_of_keras():
    regions = []
    for kind in (Conv2D, keras.layers.Conv2D):
        layers = [kind(2, 3, padding="same"), kind(1, 5, strides=2, name="last")]
        model = keras.Sequential([keras.Input((16, 16, 1)), *layers])
        regions.append(kf.receptive_field(model, (16, 16))["last"].region(2, 3))
    assert regions[0] == regions[1]
