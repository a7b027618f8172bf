"""Graphs of MXNet symbols and hybrid blocks against MXNet itself, and published fields of Gluon's models."""

from __future__ import annotations

import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon
from mxnet.gluon.model_zoo import vision

from kernelfield.errors import ArgumentError, DtypeError, UnsupportedOperation
from kernelfield.receptive.field import ReceptiveField
from kernelfield.receptive.frontends.mxnet import graph
from kernelfield.receptive.frontends.select import framework_of
from kernelfield.receptive.registry import REGISTERED, register
from kernelfield.receptive.relations import reached

S = mx.sym
LARGE = 1e4


def data():
    return S.var("data")


def conv(x, channels=3, kernel=(3, 3), **more):
    return S.Convolution(x, kernel=kernel, num_filter=channels, no_bias=True, **more)


SYMBOLS = {
    "stride and dilation": lambda x: conv(x, stride=(2, 1), dilate=(1, 2), pad=(1, 2)),
    "groups": lambda x: conv(x, 4, num_group=2, kernel=(2, 3)),
    "transposed": lambda x: S.Deconvolution(x, kernel=(3, 4), stride=(2, 3), pad=(1, 0), adj=(1, 2), num_filter=3),
    "pooling rounded up": lambda x: S.Pooling(
        x, kernel=(3, 2), stride=(2, 3), pooling_convention="full", pool_type="sum"
    ),
    "global pooling": lambda x: S.Pooling(x, kernel=(1, 1), global_pool=True, pool_type="avg"),
    "adaptive pooling": lambda x: S.contrib.AdaptiveAvgPooling2D(x, output_size=(3, 4)),
    "nearest": lambda x: conv(S.UpSampling(x, scale=2, sample_type="nearest")),
    "bilinear by a transposed convolution": lambda x: S.UpSampling(
        x, scale=3, sample_type="bilinear", num_filter=2, num_args=1
    ),
    "bilinear": lambda x: S.contrib.BilinearResize2D(x, height=13, width=5),
    "edge": lambda x: conv(S.pad(x, mode="edge", pad_width=(0, 0, 0, 0, 2, 1, 0, 3))),
    "reflect": lambda x: conv(S.pad(x, mode="reflect", pad_width=(0, 0, 0, 0, 2, 1, 0, 3))),
    "slices": lambda x: S.slice(x, begin=(None, None, 1, 6), end=(None, None, 7, None), step=(1, 1, 2, -1)),
    "slice of an axis": lambda x: conv(S.slice_axis(x, axis=2, begin=2, end=-1)),
    "flip": lambda x: conv(S.flip(x, axis=3), kernel=(1, 3)),
    "repeat": lambda x: S.repeat(x, repeats=2, axis=2),
    "tile": lambda x: S.tile(x, reps=(1, 1, 2, 1)),
    "swapped": lambda x: conv(S.SwapAxis(x, dim1=2, dim2=3), kernel=(1, 3)),
    "depth to space": lambda x: S.depth_to_space(conv(x, 4), 2),
    "concatenated": lambda x: S.Concat(conv(x, pad=(1, 1)), conv(x, kernel=(1, 1)), dim=1),
    "concatenated in space": lambda x: S.Concat(conv(x, 2, pad=(1, 1)), x, dim=2),
    "stacked and split": lambda x: S.SliceChannel(
        S.stack(x, conv(x, 2, pad=(1, 1)), axis=1), num_outputs=2, axis=1, squeeze_axis=True
    )[0],
    "gate": lambda x: S.broadcast_mul(x, S.mean(x, axis=(2, 3), keepdims=True)),
    "mean of rows": lambda x: S.mean(x, axis=3),
    "everything but rows": lambda x: S.sum(x, axis=2, exclude=True),
    "dense on places": lambda x: S.FullyConnected(S.transpose(x, axes=(0, 2, 3, 1)), num_hidden=4, flatten=False),
    "dense": lambda x: S.FullyConnected(conv(x), num_hidden=4),
    "attention": lambda x: S.batch_dot(
        S.softmax(S.batch_dot(S.Reshape(x, shape=(0, 0, -1)), S.Reshape(x, shape=(0, 0, -1)), transpose_a=True) * 1e-9),
        S.Reshape(x, shape=(0, 0, -1)),
        transpose_b=True,
    ),
    "normalised": lambda x: S.LayerNorm(S.transpose(conv(x), axes=(0, 2, 3, 1)), axis=-1),
    "shortcut": lambda x: S.Activation(conv(x, 2, pad=(1, 1)), act_type="relu") + 2 * x - 1,
}


def outputs(symbol, shape):
    """Return a function of the image, all weights from 0.5 to 1.5."""
    inferred, _, _ = symbol.infer_shape(data=shape)
    generator = np.random.default_rng(0)
    arguments = {
        name: mx.nd.array(generator.uniform(0.5, 1.5, size)) for name, size in zip(symbol.list_arguments(), inferred)
    }
    executor = symbol.bind(mx.cpu(), arguments, grad_req="null")

    def run(image):
        return executor.forward(is_train=False, data=mx.nd.array(image))[0].asnumpy()

    return run


@pytest.mark.parametrize("name", SYMBOLS)
def test_what_is_read(name):
    symbol = SYMBOLS[name](data())
    shape = (1, 2, 9, 8)
    run = outputs(symbol, shape)
    image = np.random.default_rng(1).random(shape).astype("float32")
    plain = run(image)
    analysed = graph(symbol, shape)
    last = analysed.nodes[-1]
    # The axes of the output that are not of the last node's grid hold channels.
    extents = list(last.shape)
    channels = []
    for axis in reversed(range(plain.ndim)):
        if extents and extents[-1] == plain.shape[axis]:
            extents.pop()
        else:
            channels.append(axis)
    assert not extents
    for place in np.ndindex(9, 8):
        other = image.copy()
        other[(0, slice(None), *place)] += LARGE
        different = (run(other) != plain).any(axis=tuple(channels))
        elements = np.zeros((9, 8), bool)
        elements[place] = True
        assert np.array_equal(reached(analysed, elements, last.name), different), place


def test_a_transposed_convolution_to_a_size_is_cropped_at_both_ends():
    # MXNet's own cannot be run on this processor (oneDNN has no such primitive): the padding is held against one given.
    options = dict(kernel=(4, 4), stride=(2, 2), num_filter=2, name="grown")
    made = graph(S.Deconvolution(data(), target_shape=(19, 16), **options), (9, 8)).nodes[-1]
    expected = graph(S.Deconvolution(data(), pad=(1, 1), adj=(1, 0), **options), (9, 8)).nodes[-1]
    assert made == expected
    assert made.shape == (19, 16)


@pytest.mark.parametrize(
    ("name", "layer", "size", "stride"),
    [
        # Araujo, Norris and Sim, Computing Receptive Fields of Convolutional Neural Networks, Distill 2019. Gluon's v1
        # has the stride in the first 1×1.
        ("vgg16", "pool4", 212, 32),
        ("resnet50_v1", "stage4", 483, 32),
        ("resnet101_v1", "stage4", 1027, 32),
        ("mobilenet1_0", "relu26", 315, 32),
    ],
)
def test_published_fields(name, layer, size, stride):
    block = getattr(vision, name)()
    found = ReceptiveField(graph(block, (224, 224)))[block.prefix + layer]
    assert (found.size, found.stride) == ((size, size), (stride, stride))


@pytest.mark.parametrize("name", ["alexnet", "densenet121", "squeezenet1_0", "inception_v3", "mobilenet_v2_1_0"])
def test_gluons_models_are_analysed(name):
    extent = 299 if name == "inception_v3" else 224
    analysed = graph(getattr(vision, name)(), (extent, extent))
    assert analysed.nodes[-1].shape == ()
    assert not any(node.bound for node in analysed)


def test_names_of_blocks_and_of_their_layers():
    block = gluon.nn.HybridSequential(prefix="net_")
    with block.name_scope():
        block.add(gluon.nn.Conv2D(4, 3, activation="relu"), gluon.nn.MaxPool2D(2))
    field = ReceptiveField(graph(block, (1, 1, 12, 14)))
    assert framework_of(block) == "mxnet"
    assert field["net_conv0_fwd"].size == field["net_conv0"].size == (3, 3)
    assert field["net"].size == (4, 4)
    assert field["net"].shape == (5, 6)


def test_the_numpy_interface():
    mx.npx.set_np()
    try:
        block = gluon.nn.HybridSequential(prefix="np_")
        block.add(gluon.nn.Conv2D(4, 3, padding=1), gluon.nn.BatchNorm(), gluon.nn.Activation("relu"))
        block.add(gluon.nn.HybridLambda(lambda F, x: F.np.mean(F.np.transpose(x, (0, 2, 3, 1)) + 1, axis=2)))
        last = graph(block, (12, 14)).nodes[-1]
    finally:
        mx.npx.reset_np()
    assert last.shape == (12,)


def test_what_reads_by_values_is_refused_or_an_upper_bound():
    symbol = S.ROIPooling(
        conv(data()), S.var("rois", shape=(2, 5)), pooled_size=(2, 2), spatial_scale=1.0, name="rois_of"
    )
    with pytest.raises(UnsupportedOperation, match="'ROIPooling' in 'rois_of'"):
        graph(symbol, (9, 9))
    assert "upper bound" in graph(symbol, (9, 9), unknown="global").nodes[-1].bound


def test_operators_may_be_registered():
    symbol = S.ROIPooling(data(), S.var("rois", shape=(1, 5)), pooled_size=(2, 2), spatial_scale=1.0, name="own")

    @register("ROIPooling")
    def pooled(builder, name, inputs, attributes):
        assert attributes["shape"] == (1, 3, 2, 2)
        return builder.adaptive_pooling(name, inputs[0], kind="max", output=(2, 2), spatial_axes=(2, 3))

    try:
        assert ReceptiveField(graph(symbol, (8, 8)))["own"].size == (4, 4)
    finally:
        del REGISTERED["ROIPooling"]


def test_errors_say_what_is_wrong():
    with pytest.raises(DtypeError, match="expected a HybridBlock or a symbol of MXNet; received the block Sequential"):
        graph(gluon.nn.Sequential(), (8, 8))

    class Shape(gluon.HybridBlock):
        def hybrid_forward(self, F, x):
            return F.reshape(x, shape=(x.shape[0], -1))

    with pytest.raises(DtypeError, match="expected a block that can be called on a symbol"):
        graph(Shape(), (8, 8))
    with pytest.raises(ArgumentError, match="input_size: expected one that suits the model"):
        graph(conv(data(), kernel=(9, 9)), (8, 8))
    with pytest.raises(ArgumentError, match="input_size: expected whole numbers from 1"):
        graph(conv(data()), (0, 8))
    with pytest.raises(ArgumentError, match="input_size: expected whole numbers"):
        graph(conv(data()), (8.5, 8))
    several = S.var("a") + S.var("b")
    with pytest.raises(ArgumentError, match="image: expected the argument that is the image, of a, b"):
        graph(several, (8, 8))
    assert graph(S.broadcast_add(S.var("a"), S.var("b", shape=(1, 3, 1, 1))), (8, 8)).image.name == "a"
    with pytest.raises(ArgumentError, match="model: expected"):
        framework_of(None)
