"""The frontend of TensorFlow against TensorFlow itself: where an impulse in the image shows in a linear network."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kernelfield.errors import ArgumentError, FileError, UnsupportedOperation
from kernelfield.receptive import receptive_field

SHAPE = (1, 9, 8, 2)


def weights(*shape):
    return tf.constant(np.random.default_rng(0).uniform(0.5, 1.5, shape), tf.float32)


def reached_by_impulses(function, shape=SHAPE):
    """Return, for every element of an image, the positions of the output that it reaches: (H, W, h, w)."""
    nothing = function(tf.zeros(shape)).numpy()
    rows = []
    for place in np.ndindex(shape[1:3]):
        image = np.zeros(shape, np.float32)
        image[0, *place] = 1
        rows.append(np.abs(function(tf.constant(image)).numpy() - nothing).max(axis=(0, -1)))
    found = np.stack(rows)
    # A rounding error counts as zero.
    return (found > 1e-5 * found.max()).reshape(*shape[1:3], *found.shape[1:])


def reached_by_us(function, shape=SHAPE):
    field = receptive_field(tf.function(function), shape)
    return np.stack([[field.projective(i, j) for j in range(shape[2])] for i in range(shape[1])])


def folded(x):
    x = tf.space_to_batch_nd(x, [2, 2], [[2, 3], [2, 2]])
    x = tf.nn.bias_add(tf.nn.conv2d(x, weights(3, 3, 2, 2), 1, "VALID"), weights(2))
    return tf.batch_to_space(x, [2, 2], [[0, 1], [0, 0]])


NETWORKS = {
    "conv same": lambda x: tf.nn.conv2d(x, weights(3, 4, 2, 3), [2, 3], "SAME"),
    "conv explicit": lambda x: tf.nn.conv2d(
        x, weights(2, 3, 2, 3), 1, [[0, 0], [2, 0], [1, 1], [0, 0]], dilations=[2, 1]
    ),
    "conv dilated": lambda x: tf.nn.convolution(x, weights(3, 3, 2, 2), padding="SAME", dilations=[2, 3]),
    "space to batch": folded,
    "depthwise": lambda x: tf.nn.depthwise_conv2d(x, weights(3, 3, 2, 2), [1, 2, 2, 1], "SAME"),
    "transposed same": lambda x: tf.nn.conv2d_transpose(x, weights(3, 4, 3, 2), [1, 17, 16, 3], 2, "SAME"),
    "transposed valid": lambda x: tf.nn.conv2d_transpose(x, weights(2, 3, 3, 2), [1, 27, 24, 3], 3, "VALID"),
    "average": lambda x: tf.nn.avg_pool2d(x, [3, 2], [2, 3], "SAME"),
    "pad": lambda x: tf.pad(x, [[0, 0], [1, 2], [0, 1], [0, 0]]),
    "mirror": lambda x: tf.pad(x, [[0, 0], [1, 2], [0, 1], [0, 0]], "REFLECT"),
    "symmetric": lambda x: tf.pad(x, [[0, 0], [1, 2], [0, 1], [0, 0]], "SYMMETRIC"),
    "slice": lambda x: x[:, 1:-1:2, ::-1, :],
    "index": lambda x: x[:, 3][:, tf.newaxis],
    "bilinear": lambda x: tf.image.resize(x, (18, 5)),
    "bicubic": lambda x: tf.image.resize(x, (13, 16), "bicubic"),
    "nearest": lambda x: tf.image.resize(x, (7, 20), "nearest"),
    "area": lambda x: tf.image.resize(x, (3, 4), "area"),
    "antialias": lambda x: tf.image.resize(x, (4, 3), antialias=True),
    "old bilinear": lambda x: tf.compat.v1.image.resize_bilinear(x, (13, 5)),
    "old corners": lambda x: tf.compat.v1.image.resize_bilinear(x, (13, 5), align_corners=True),
    "old nearest": lambda x: tf.compat.v1.image.resize_nearest_neighbor(x, (6, 11)),
    "old nearest corners": lambda x: tf.compat.v1.image.resize_nearest_neighbor(x, (6, 11), align_corners=True),
    "depth to space": lambda x: tf.nn.depth_to_space(tf.nn.conv2d(x, weights(3, 3, 2, 8), 1, "SAME"), 2),
    "space to depth": lambda x: tf.nn.space_to_depth(x[:, :8], 2),
    "roll": lambda x: tf.roll(x, [1, -2], [1, 2]),
    "reverse": lambda x: tf.reverse(x, [1]),
    "gather": lambda x: tf.gather(x, [3, 0, 3], axis=2),
    "concat": lambda x: tf.concat([x, x[:, ::2]], 1),
    "split": lambda x: tf.split(x, [3, 2, -1], 1)[2][:, :, :4] + tf.split(x, 2, 2)[1][:, 2:6],
    "stack": lambda x: tf.stack(tf.unstack(x, axis=1)[::-1], 2),
    "tile": lambda x: tf.tile(x, [1, 2, 1, 1]),
    "cumsum": lambda x: tf.cumsum(x, 1, reverse=True),
    "mean": lambda x: x + tf.reduce_mean(x, 2, keepdims=True),
    "transpose": lambda x: tf.transpose(x, [0, 2, 1, 3]),
    "reshape": lambda x: tf.reshape(tf.reshape(x, [1, -1, 2]), tf.concat([tf.shape(x)[:3], [2]], 0)),
    "matmul": lambda x: tf.matmul(x, weights(5, 2), transpose_b=True),
    "matmul of rows": lambda x: tf.matmul(weights(3, 8), x),
    "einsum": lambda x: tf.einsum("nhwc,hk->nkwc", x, weights(9, 4)),
    "patches": lambda x: tf.image.extract_patches(x, [1, 3, 2, 1], [1, 2, 2, 1], [1, 1, 2, 1], "SAME"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_reached_is_what_an_impulse_reaches(name):
    wanted, ours = reached_by_impulses(NETWORKS[name]), reached_by_us(NETWORKS[name])
    # The grid has no axis of extent 1, nor those from a stack or a product with weights.
    for axis in (3, 2):
        fewer = wanted.any(axis=axis)
        wanted = fewer if ours.shape == fewer.shape else wanted
    np.testing.assert_array_equal(ours.reshape(wanted.shape), wanted)


def network(x):
    x = tf.nn.relu(tf.nn.conv2d(x, weights(7, 7, 3, 4), 2, "SAME"))
    x = tf.nn.max_pool2d(x, 3, 2, "SAME")
    y = tf.compat.v1.nn.fused_batch_norm(x, weights(4), weights(4), weights(4), weights(4), is_training=False)[0]
    return x + tf.nn.conv2d(y, weights(3, 3, 4, 4), 1, "SAME")


def test_functions_graphs_and_saved_models_say_the_same(tmp_path):
    class Module(tf.Module):
        def __init__(self):
            self.kernel = tf.Variable(weights(3, 3, 4, 4))

        @tf.function(input_signature=[tf.TensorSpec((1, None, None, 3))])
        def __call__(self, x):
            return tf.nn.conv2d(network(x), self.kernel, 2, "SAME")

    module = Module()
    concrete = module.__call__.get_concrete_function()
    tables = []
    tf.saved_model.save(module, str(tmp_path))
    # No variable is read of it.
    for file in (tmp_path / "variables").iterdir():
        file.unlink()
    for model in (module, module.__call__, concrete, str(tmp_path), tmp_path):
        field = receptive_field(model, (64, 48))
        tables.append([(layer.operation, layer.shape, layer.size, layer.stride, layer.offset) for layer in field])
    assert all(table == tables[0] for table in tables)
    assert tables[0][-1][1:4] == ((8, 6), (27, 27), (8, 8))


def test_frozen_graphs_need_no_size_where_they_fix_it():
    graph = tf.Graph()
    with graph.as_default():
        image = tf.compat.v1.placeholder(tf.float32, (1, 3, 32, 24), "photo")
        tf.nn.avg_pool2d(image, 3, 2, "SAME", data_format="NCHW", name="pool")
    for model in (graph, graph.as_graph_def()):
        field = receptive_field(model)
        assert (field.shape, field["pool"].shape, field["pool"].size) == ((32, 24), (16, 12), (3, 3))
    with pytest.raises(ArgumentError, match="fixed to"):
        receptive_field(graph, (16, 16))


def test_a_graph_of_several_inputs_and_outputs():
    graph = tf.Graph()
    with graph.as_default():
        first = tf.compat.v1.placeholder(tf.float32, (1, None, None, 1), "first")
        second = tf.compat.v1.placeholder(tf.float32, (1, None, None, 1), "second")
        middle = tf.nn.max_pool2d(first, 2, 2, "VALID", name="middle")
        tf.nn.max_pool2d(middle, 2, 2, "VALID", name="last")
        tf.identity(second, name="other")
    with pytest.raises(ArgumentError, match=r"'first', 'second'"):
        receptive_field(graph, (16, 16))
    assert receptive_field(graph, (16, 16), input="first", outputs=["middle"]).layers == ("middle",)
    with pytest.raises(ArgumentError, match="'nowhere'"):
        receptive_field(graph, (16, 16), input="first", outputs=["nowhere"])


def test_squeeze_and_excitation_is_a_gate():
    def gated(x):
        return x * tf.nn.sigmoid(tf.reduce_mean(x, [1, 2], keepdims=True) @ weights(2, 2))

    field = receptive_field(tf.function(gated), SHAPE)
    assert field.output.mask(0, 0).all()
    assert field.without_gates().output.mask(0, 0).sum() == 1


def test_what_is_not_known_is_refused_by_name():
    def odd(x):
        return tf.linalg.svd(x)[0]

    with pytest.raises(UnsupportedOperation, match="'Svd'"):
        receptive_field(tf.function(odd), SHAPE)
    assert "Svd" in receptive_field(tf.function(odd), SHAPE, unknown="global").output.bound


def test_loops_over_the_image_are_refused():
    def looped(x):
        return tf.while_loop(lambda y: tf.reduce_sum(y) < 9, lambda y: (y * 2,), (x,))[0]

    with pytest.raises(UnsupportedOperation, match="While"):
        receptive_field(tf.function(looped), SHAPE)


def test_bad_sizes_and_files(tmp_path):
    function = tf.function(network)
    with pytest.raises(ArgumentError, match="channels"):
        receptive_field(function, (32, 32))
    with pytest.raises(ArgumentError, match="input_size"):
        receptive_field(function)
    assert receptive_field(function, (32, 32), channels=3).shape == (32, 32)
    (tmp_path / "saved_model.pb").write_bytes(b"\xff\xff nothing")
    with pytest.raises(FileError, match="SavedModel"):
        receptive_field(tmp_path, (32, 32))
