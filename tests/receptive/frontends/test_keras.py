"""The frontend of Keras against Keras itself, published figures, and the frontends of its backends."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

from kernelfield.errors import ArgumentError, UnsupportedOperation
from kernelfield.receptive import receptive_field, register, registry

SHAPE = (1, 9, 8, 2)


def reached_by_impulses(model, shape):
    """Return, for every element of an image, the positions of the output that it reaches."""
    nothing = np.asarray(model(np.zeros(shape, np.float32)))
    rows = []
    for place in np.ndindex(shape[1:-1]):
        image = np.zeros(shape, np.float32)
        image[0, *place] = 1
        rows.append(np.abs(np.asarray(model(image)) - nothing).max(axis=(0, -1)))
    found = np.stack(rows)
    # A rounding error counts as zero.
    return (found > 1e-5 * found.max()).reshape(*shape[1:-1], *found.shape[1:])


def reached_by_us(field):
    return np.stack([field.projective(*place) for place in np.ndindex(field.shape)]).reshape(*field.shape, -1)


def sequence(*parts, shape=SHAPE):
    model = keras.Sequential([keras.Input(shape[1:]), *parts])
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in model.get_weights()])
    return model


LAYERS = {
    "conv same": layers.Conv2D(3, (3, 4), strides=(2, 3), padding="same"),
    "conv dilated": layers.Conv2D(3, 3, dilation_rate=(2, 1), padding="same"),
    "conv valid": layers.Conv2D(3, (2, 3), strides=2),
    "depthwise": layers.DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=2),
    "separable": layers.SeparableConv2D(4, 3, padding="same"),
    "transposed same": layers.Conv2DTranspose(3, (4, 3), strides=2, padding="same"),
    "transposed valid": layers.Conv2DTranspose(3, (2, 3), strides=3),
    "transposed output padding": layers.Conv2DTranspose(3, 3, strides=3, padding="same", output_padding=1),
    "transposed output padding 2": layers.Conv2DTranspose(3, 4, strides=3, padding="valid", output_padding=2),
    "transposed small kernel": layers.Conv2DTranspose(3, 2, strides=3, padding="same"),
    "average": layers.AveragePooling2D(3, strides=2, padding="same"),
    "average valid": layers.AveragePooling2D((2, 3)),
    "adaptive": layers.AdaptiveAveragePooling2D((4, 3)),
    "global": layers.GlobalAveragePooling2D(keepdims=True),
    "nearest": layers.UpSampling2D((2, 3)),
    "bilinear": layers.UpSampling2D((2, 3), interpolation="bilinear"),
    "bicubic": layers.UpSampling2D(2, interpolation="bicubic"),
    "resizing": layers.Resizing(5, 11),
    "resizing nearest": layers.Resizing(5, 11, interpolation="nearest"),
    "resizing antialiased": layers.Resizing(4, 5, antialias=True),
    "resizing cropped": layers.Resizing(6, 3, crop_to_aspect_ratio=True),
    "crop": layers.CenterCrop(4, 5),
    "padding": layers.ZeroPadding2D(((1, 2), (0, 3))),
    "cropping": layers.Cropping2D(((1, 2), (0, 3))),
    "permute": layers.Permute((2, 1, 3)),
    "reshape": layers.Reshape((18, 4, 2)),
    "dense": layers.Dense(4),
    "dense over rows": lambda x: layers.Permute((3, 2, 1))(layers.Dense(4)(layers.Permute((3, 2, 1))(x))),
    "einsum": layers.EinsumDense("abcd,de->abce", output_shape=(9, 8, 3)),
    "distributed": layers.TimeDistributed(layers.Conv1D(3, 3, padding="causal", dilation_rate=2)),
    "rescaling": layers.Rescaling(2.0, 1.0),
    "normal": layers.BatchNormalization(),
    "flip": lambda x: keras.ops.flip(x, axis=2),
    "roll": lambda x: keras.ops.roll(x, (1, -3), axis=(1, 2)),
    "pad": lambda x: keras.ops.pad(x, ((0, 0), (2, 1), (1, 3), (0, 0)), mode="reflect"),
    "pad symmetric": lambda x: keras.ops.pad(x, ((0, 0), (2, 1), (1, 3), (0, 0)), mode="symmetric"),
    "index": lambda x: x[:, 1:-1:2, ::-1],
    "take": lambda x: keras.ops.take(x, [5, 1, 1], axis=2),
    "split": lambda x: keras.ops.split(x, [2, 6], axis=1)[1] + keras.ops.split(x, 2, axis=2)[1][:, :4, :1],
    "repeat": lambda x: keras.ops.repeat(x, 2, axis=1),
    "tile": lambda x: keras.ops.tile(x, (1, 1, 2, 1)),
    "swap": lambda x: keras.ops.swapaxes(x, 1, 2),
    "concatenate": lambda x: keras.ops.concatenate([x, x[:, ::2]], axis=1),
    "cumsum": lambda x: keras.ops.cumsum(x, axis=1),
    "mean": lambda x: x + keras.ops.mean(x, axis=1, keepdims=True),
    "resize": lambda x: keras.ops.image.resize(x, (13, 5)),
    "conv": lambda x: keras.ops.conv(x, np.ones((3, 2, 2, 3), "float32"), strides=2, padding="same"),
    "patches": lambda x: keras.ops.image.extract_patches(x, (3, 2), strides=(2, 2), padding="valid"),
    "tensordot": lambda x: keras.ops.tensordot(x, np.ones((2, 3), "float32"), axes=1),
    "lambda": layers.Lambda(lambda x: x[:, 1:] - x[:, :-1]),
}


def model_of(part):
    if isinstance(part, keras.Layer):
        return sequence(part)
    image = keras.Input(SHAPE[1:])
    return keras.Model(image, part(image))


@pytest.mark.parametrize("name", LAYERS)
def test_what_is_reached_is_what_an_impulse_reaches(name):
    model = model_of(LAYERS[name])
    wanted = reached_by_impulses(model, SHAPE)
    ours = reached_by_us(receptive_field(model))
    if name == "dense over rows":
        # An axis from a product with weights is not one of the grid.
        wanted = wanted.any(axis=2)
    np.testing.assert_array_equal(ours.reshape(wanted.shape), wanted)


@pytest.mark.parametrize(
    ("part", "shape"),
    [
        (layers.Conv1D(3, 3, strides=2, padding="same"), (1, 11, 2)),
        (layers.Conv1D(3, 3, padding="causal", dilation_rate=2), (1, 11, 2)),
        (layers.Conv1DTranspose(3, 5, strides=2, padding="same"), (1, 11, 2)),
        (layers.DepthwiseConv1D(3, padding="same"), (1, 11, 2)),
        (layers.AveragePooling1D(3, padding="same"), (1, 11, 2)),
        (layers.UpSampling1D(3), (1, 11, 2)),
        (layers.ZeroPadding1D((1, 2)), (1, 11, 2)),
        (layers.Cropping1D((1, 2)), (1, 11, 2)),
        (layers.Conv3D(2, (2, 3, 2), strides=2, padding="same"), (1, 5, 4, 6, 2)),
        (layers.AveragePooling3D(2), (1, 5, 4, 6, 2)),
        (layers.UpSampling3D(2), (1, 3, 2, 3, 2)),
        (layers.SimpleRNN(3, return_sequences=True, activation="linear"), (1, 7, 2)),
        (layers.SimpleRNN(3, return_sequences=True, go_backwards=True, activation="linear"), (1, 7, 2)),
    ],
    ids=lambda x: x.name if hasattr(x, "name") else "",
)
def test_one_and_three_dimensions(part, shape):
    model = sequence(part, shape=shape)
    wanted = reached_by_impulses(model, shape)
    np.testing.assert_array_equal(reached_by_us(receptive_field(model)).reshape(wanted.shape), wanted)


APPLICATIONS = sorted(
    name for name, made in vars(keras.applications).items() if callable(made) and name[0].isupper() and name[1:]
)
# Of blocks that a sibling has too, only more or wider: Keras takes seconds to build them; make test-architectures does.
LARGER = re.compile(
    r"ConvNeXt(Small|Base|Large|XLarge)|DenseNet(169|201)|EfficientNet(B[2-7]|V2B[1-3]|V2M|V2L)|(ResNet(101|152)|VGG19).*"
)
CHOSEN = [
    name for name in APPLICATIONS if os.environ.get("KERNELFIELD_ARCHITECTURES") == "all" or not LARGER.fullmatch(name)
]


def application(name, **options):
    # Variables made in such a scope hold nothing: no weights are drawn.
    with keras.StatelessScope():
        return getattr(keras.applications, name)(weights=None, **options)


@pytest.mark.parametrize("name", CHOSEN)
def test_all_of_keras_applications(name):
    size = 331 if name == "NASNetLarge" else 224
    fixed = name.startswith("NASNet")
    top = (
        {"include_top": False}
        if "include_top" in inspect.signature(getattr(keras.applications, name)).parameters
        else {}
    )
    model = application(name, input_shape=(size, size, 3) if fixed else (None, None, 3), **top)
    field = receptive_field(model, (size, size))
    shapes = model.compute_output_shape((1, size, size, 3))
    assert field.output.shape == tuple(shapes[1:3])
    assert not any(layer.bound for layer in field)
    gated = any(word in name for word in ("EfficientNet", "MobileNetV3"))
    assert field.gated == gated
    if gated:
        assert all(field.output.whole)
        bare = field.without_gates().output
        assert not any(bare.whole)
        assert bare.aligned


# Araujo, Norris and Sim (2019), table of field, stride and padding at 224; ResNet v1 with the stride in the first 1×1.
# They have paddings of 239, 511 and 751 for ResNet: Keras pads its first pooling by 1 in front too, at stride 2.
PUBLISHED = {
    "VGG16": ("block5_pool", 212, 32, 90),
    "ResNet50": ("conv5_block3_out", 483, 32, 241),
    "ResNet101": ("conv5_block3_out", 1027, 32, 513),
    "ResNet152": ("conv5_block3_out", 1507, 32, 753),
    "MobileNet": ("conv_pw_13_relu", 315, 32, 126),
    "InceptionV3": ("mixed10", 1311, 32, None),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_figures(name):
    layer, size, stride, padding = PUBLISHED[name]
    model = application(name, input_shape=(None, None, 3), include_top=False)
    found = receptive_field(model, (224, 224))[layer]
    assert (found.size, found.stride) == ((size,) * 2, (stride,) * 2)
    if padding is not None:
        assert found.padding == (padding,) * 2


def test_a_classifier_to_the_end():
    field = receptive_field(application("VGG16"))
    assert field["predictions"].mask().all()


def nested():
    image = keras.Input((None, None, 3), name="photo")
    x = layers.Conv2D(4, 7, strides=2, padding="same", activation="relu", name="stem")(image)
    inner = keras.Sequential(
        [
            keras.Input((None, None, 4)),
            layers.DepthwiseConv2D(3, padding="same", name="a"),
            layers.Conv2D(4, 1, name="b"),
        ],
        name="inner",
    )
    gate = layers.Dense(4, activation="sigmoid", name="gate")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Multiply(name="scaled")([inner(x), gate])
    x = layers.MaxPooling2D(3, strides=2, padding="same", name="pool")(x)
    x = layers.Add(name="sum")([layers.Conv2D(4, 3, padding="same", dilation_rate=2, name="dilated")(x), x])
    return keras.Model(image, layers.Conv2DTranspose(2, 4, strides=2, padding="same", name="up")(x))


def test_nested_models_gates_and_names():
    field = receptive_field(nested(), (32, 48))
    assert field.layers[:1] == ("stem",)
    assert field["inner/a"].size == (11, 11)
    assert field["inner"].name == "inner/b"
    assert field.graph.image.name == "photo"
    assert all(field["scaled"].whole)
    assert field.without_gates()["scaled"].size == (11, 11)
    assert field.without_gates()["up"].shape == (16, 24)


def figures(field):
    """Return the figures of a network without names, in which pointwise layers repeat those before them."""
    rows = []
    for layer in field.without_gates():
        row = [layer.shape, layer.size, [str(s) for s in layer.stride], layer.offset]
        if not rows or rows[-1] != row:
            rows.append(row)
    return json.loads(json.dumps(rows))


OTHER = """
import json, sys
import pytest
sys.path.insert(0, {folder!r})
import keras
import test_keras
from kernelfield.receptive import receptive_field
model = test_keras.nested()
shape = (1, 32, 48, 3)
tables = [test_keras.figures(receptive_field(model, (32, 48)))]
if keras.config.backend() == "jax":
    tables.append(test_keras.figures(receptive_field(lambda x: model(x), shape, spatial_axes=(1, 2))))
print(json.dumps(tables))
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_all_backends_say_the_same(backend):
    code = OTHER.format(folder=os.path.dirname(__file__))
    environment = {**os.environ, "KERAS_BACKEND": backend}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    tables = json.loads(done.stdout.splitlines()[-1])
    wanted = figures(receptive_field(nested(), (32, 48)))
    assert tables[0] == wanted
    # The trace of the backend holds further rows: steps in the middle of layers.
    assert all(row in table for table in tables for row in wanted)


def test_the_graph_of_tensorflow_says_the_same():
    import tensorflow as tf

    model = nested()
    field = receptive_field(tf.function(lambda x: model(x)), (1, 32, 48, 3))
    rows = figures(field)
    assert all(row in rows for row in figures(receptive_field(model, (32, 48))))
    assert rows[-1] == figures(receptive_field(model, (32, 48)))[-1]


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.first, self.second = layers.Conv2D(4, 3, name="first"), layers.Conv2D(4, 3, name="second")

    def call(self, x, training=None):
        return keras.ops.relu(self.second(self.first(x))) + 1.0


class Backend(Subclassed):
    def call(self, x, training=None):
        import tensorflow as tf

        return tf.reverse(tf.raw_ops.Relu(features=self.first(x)), [1])


class Shift(keras.Layer):
    def call(self, x):
        return keras.ops.roll(x, 1, axis=1) * keras.ops.sigmoid(x)


def test_subclassed_models_are_written_out():
    field = receptive_field(Subclassed(), (1, 16, 16, 3))
    assert [field[name].size for name in ("first", "second")] == [(3, 3), (5, 5)]
    with pytest.raises(ArgumentError, match="channels"):
        receptive_field(Subclassed(), (16, 16))


def test_a_call_of_the_backend_is_traced():
    assert receptive_field(Backend(), (1, 16, 16, 3)).output.size == (3, 3)


def test_layers_of_users_are_written_out():
    field = receptive_field(sequence(layers.Conv2D(2, 3), Shift(name="shift")))
    assert field["shift"].size == (4, 3)


def test_a_layer_that_computes_something_else_is_not_taken_for_its_parent():
    class Twice(layers.Conv2D):
        def call(self, inputs):
            return super().call(super().call(inputs))

    assert receptive_field(sequence(Twice(2, 3, padding="same"))).output.size == (5, 5)


class Strange(keras.Layer):
    def call(self, x):
        import tensorflow as tf

        return tf.numpy_function(lambda a: a, [x], tf.float32)

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape)


def test_what_is_not_known_is_refused_by_name():
    model = sequence(Strange(name="odd"))
    with pytest.raises(UnsupportedOperation, match=r"'Strange' in 'odd'.*unknown='global'"):
        receptive_field(model)
    field = receptive_field(model, unknown="global")
    assert "Strange" in field["odd"].bound
    assert field["odd"].mask(0, 0).all()


def test_layers_may_be_registered():
    register("Strange", lambda builder, name, inputs, attributes: builder.roll(name, inputs[0], shifts=(1,), axes=(1,)))
    try:
        assert receptive_field(sequence(Strange(name="odd")))["odd"].bound == ""
    finally:
        del registry.REGISTERED["Strange"]


def test_normalisation_over_space_is_a_gate():
    field = receptive_field(sequence(layers.GroupNormalization(2)))
    assert field.output.mask(0, 0).all()
    assert field.without_gates().output.mask(0, 0).sum() == 1
    assert receptive_field(sequence(layers.LayerNormalization())).output.mask(0, 0).sum() == 1


def test_attention_is_global():
    tokens = keras.Input((None, 8))
    attended = layers.MultiHeadAttention(2, 4)(tokens, tokens)
    field = receptive_field(keras.Model(tokens, attended), (12,))
    assert field.without_gates().output.mask(3).all()


def test_recurrence_reads_what_came_before():
    field = receptive_field(sequence(layers.LSTM(3, return_sequences=True), shape=(1, 7, 2)))
    assert field.output.mask(2).tolist() == [True] * 3 + [False] * 4
    assert receptive_field(sequence(layers.GRU(3), shape=(1, 7, 2))).output.mask().all()


def test_what_only_trains_does_nothing():
    parts = [layers.RandomFlip(), layers.RandomRotation(0.1), layers.Dropout(0.5), layers.GaussianNoise(1.0)]
    assert receptive_field(sequence(*parts)).output.size == (1, 1)


def test_activations_that_mix_places_are_seen():
    image = keras.Input((2, 9, 8))
    model = keras.Model(image, layers.Activation("softmax")(layers.Permute((1, 2, 3))(image)))
    assert receptive_field(model, data_format="channels_first").output.mask(0, 0).sum() == 8


def test_several_inputs():
    first, second = keras.Input((16, 16, 3), name="first"), keras.Input((16, 16, 3), name="second")
    model = keras.Model(
        [first, second], layers.Conv2D(2, 3)(first) + layers.Conv2D(2, 5, padding="same")(second)[:, 1:-1, 1:-1]
    )
    with pytest.raises(ArgumentError, match=r"'first', 'second'"):
        receptive_field(model)
    assert receptive_field(model, image="first").output.size == (3, 3)
    assert receptive_field(model, image="second").output.size == (5, 5)


@pytest.mark.parametrize("size", [(8, 8), (1, 9, 8, 3), (2, 9, 8, 2), (9,), (9, 8, 2, 2, 2)])
def test_bad_sizes_are_refused(size):
    with pytest.raises(ArgumentError, match="input_size"):
        receptive_field(sequence(layers.Conv2D(2, 3)), size)


def test_an_image_that_is_too_small_is_refused():
    model = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(2, 7), layers.Conv2D(2, 7)])
    with pytest.raises(ArgumentError, match="large enough"):
        receptive_field(model, (10, 10))
    with pytest.raises(ArgumentError, match="input_size"):
        receptive_field(model)
