"""The layer of Gluon: deferred shapes, hybridizing, saving, training, and what it refuses."""

from __future__ import annotations

import warnings

import mxnet as mx
import numpy as np
import pytest

import kernelfield as kf
from kernelfield.errors import ArgumentError, DtypeError
from kernelfield.mxnet import Conv2D, Filter2D
from kernelfield.tensors.layer import PADDING_MODES
from kernelfield.tensors.weights import load_weights, weights_as


def normal(*shape, dtype="float32", seed=0):
    return mx.nd.array(np.random.default_rng(seed + sum(shape)).normal(size=shape), dtype=dtype)


def ready(*args, **options):
    layer = Conv2D(*args, **options)
    layer.initialize(mx.init.Normal(1))
    return layer


@pytest.fixture(params=["legacy", "numpy"])
def image(request):
    if request.param == "legacy":
        yield normal(2, 4, 6, 7)
        return
    mx.npx.set_np()
    yield normal(2, 4, 6, 7).as_np_ndarray()
    mx.npx.reset_np()


@pytest.mark.parametrize("padding_mode", PADDING_MODES)
@pytest.mark.parametrize("padding", [0, 1, (9, 15)], ids=str)
@pytest.mark.parametrize("options", [dict(kernel_size=3), dict(kernel_size=(2, 3), dilation=(1, 2), groups=2)])
def test_hybridized_it_gives_the_same(image, padding, padding_mode, options):
    layer = ready(4, padding=padding, padding_mode=padding_mode, activation="relu", **options)
    wanted = layer(image)
    layer.hybridize()
    found = layer(image)
    assert type(found) is type(wanted) is type(image)
    np.testing.assert_allclose(found.asnumpy(), wanted.asnumpy(), rtol=1e-4, atol=1e-4)
    shape = wanted.shape
    again = layer(image[:1, :, :5, 1:])
    assert again.shape == (1, 4, shape[2] - 1, shape[3] - 1)


def test_the_layout_that_mxnet_has_on_gpus_only():
    first, last = (
        ready(6, 3, padding=1, strides=2, groups=2),
        Conv2D(6, 3, padding=1, strides=2, groups=2, layout="NHWC"),
    )
    pixels = normal(2, 4, 9, 8)
    wanted = first(pixels)
    load_weights(last, first)
    assert last.weight.shape == (6, 3, 3, 2)
    found = last(pixels.transpose((0, 2, 3, 1))).transpose((0, 3, 1, 2))
    np.testing.assert_allclose(found.asnumpy(), wanted.asnumpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(last.get_oihw()[0], first.get_oihw()[0])
    with pytest.raises(ArgumentError, match="padding_mode: expected 'zeros' with the layout NHWC"):
        Conv2D(6, 3, layout="NHWC", padding_mode="reflect")


def test_it_starts_and_shows_as_gluons_own():
    weights, texts = [], []
    for kind in (Conv2D, mx.gluon.nn.Conv2D):
        mx.random.seed(7)
        layer = kind(5, 3, dilation=2, activation="relu")
        texts.append(repr(layer))
        layer.initialize(mx.init.Xavier())
        layer(normal(1, 2, 6, 6))
        texts.append(repr(layer))
        weights.append(layer.weight.data().asnumpy())
        assert not layer.bias.data().asnumpy().any()
    np.testing.assert_array_equal(*weights)
    assert texts[:2] == texts[2:]


def test_filters_hybridized_cast_and_frozen(image):
    layer = Filter2D(kf.kernels.difference(1, "backward"), boundary="wrap")
    layer.initialize()
    wanted = layer(image)
    assert type(wanted) is type(image)
    pixels = image.asnumpy()
    np.testing.assert_allclose(wanted.asnumpy(), np.roll(pixels, 1, -1) - pixels, rtol=1e-5, atol=1e-5)
    layer.hybridize()
    np.testing.assert_allclose(layer(image).asnumpy(), wanted.asnumpy(), rtol=1e-5, atol=1e-5)
    assert repr(layer) == f"Filter2D({layer.filter.describe()})"
    assert [p.grad_req for p in layer.collect_params().values()] == ["null"]


def network(prefix=None):
    made = mx.gluon.nn.HybridSequential(prefix=prefix)
    with made.name_scope():
        made.add(
            Conv2D(4, 3, padding=1, padding_mode="circular", activation="relu"), Filter2D([[0, 1, 2]]), Conv2D(2, 3)
        )
    return made


def test_saved_and_loaded(tmp_path, image):
    one, other = network(), network()
    one.initialize(mx.init.Normal(1))
    wanted = one(image).asnumpy()
    one.save_parameters(str(tmp_path / "net.params"))
    other.load_parameters(str(tmp_path / "net.params"))
    np.testing.assert_array_equal(other(image).asnumpy(), wanted)


def test_exported_and_imported(tmp_path, image):
    net = network()
    net.initialize(mx.init.Normal(1))
    wanted = net(image).asnumpy()
    net.hybridize()
    net(image)
    net.export(str(tmp_path / "net"))
    with warnings.catch_warnings():
        # MXNet infers the type of the data before it has any.
        warnings.filterwarnings("ignore", "Cannot decide type", UserWarning)
        block = mx.gluon.SymbolBlock.imports(
            str(tmp_path / "net-symbol.json"), ["data"], str(tmp_path / "net-0000.params")
        )
    np.testing.assert_allclose(block(image).asnumpy(), wanted, rtol=1e-4, atol=1e-4)


def test_names_and_summary(capsys):
    net = network(prefix="net_")
    net.initialize()
    net(normal(1, 3, 8, 8))
    names = ["net_conv0_weight", "net_conv0_bias", "net_filter2d0_kernel", "net_conv1_weight", "net_conv1_bias"]
    assert list(net.collect_params()) == names
    net.summary(normal(1, 3, 8, 8))
    assert "Total params: 189" in capsys.readouterr().out


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize(
    ("optimiser", "options"), [("sgd", dict(learning_rate=3e-4)), ("adam", dict(learning_rate=0.05))]
)
def test_trained_by_gluon(hybrid, optimiser, options):
    pixels = normal(2, 1, 12, 12)
    target = pixels[:, :, :, :-1] - pixels[:, :, :, 1:]
    layer = ready(1, (1, 2), use_bias=False)
    if hybrid:
        layer.hybridize()
    trainer = mx.gluon.Trainer(layer.collect_params(), optimiser, options)
    losses = []
    for _ in range(150):
        with mx.autograd.record():
            loss = mx.nd.square(layer(pixels) - target).sum()
        loss.backward()
        trainer.step(1)
        losses.append(loss.asscalar())
    assert losses[-1] < 1e-2 * losses[0]
    np.testing.assert_allclose(layer.weight.data().asnumpy(), [[[[1, -1]]]], atol=0.05)


def test_half_precision(image):
    layer = ready(3, 3, padding=1, padding_mode="reflect")
    wanted = layer(image).asnumpy()
    layer.cast("float16")
    result = layer(image.astype("float16"))
    assert result.dtype == np.float16
    np.testing.assert_allclose(result.asnumpy(), wanted, rtol=2e-2, atol=5e-2)
    with mx.autograd.record():
        layer(image.astype("float16")).sum().backward()
    assert layer.weight.grad().dtype == np.float16
    assert np.isfinite(layer.weight.grad().asnumpy()).all()
    layer.cast("float64")
    assert layer(image.astype("float64")).dtype == np.float64


def test_moved_to_another_device():
    layer, pixels = ready(3, 3), normal(1, 2, 6, 6)
    wanted = layer(pixels).asnumpy()
    layer.collect_params().reset_ctx(mx.cpu(1))
    result = layer(pixels.as_in_context(mx.cpu(1)))
    assert result.context == mx.cpu(1)
    np.testing.assert_array_equal(result.asnumpy(), wanted)


@pytest.mark.parametrize("state", ["new", "initialized", "used"])
def test_weights_are_carried(state, image):
    weight = np.random.default_rng(1).normal(size=(6, 2, 3, 2)).astype("float32")
    layer = Conv2D(6, (3, 2), groups=2)
    if state != "new":
        layer.initialize()
    if state == "used":
        layer(image)
    load_weights(layer, weight, [1, 2, 3, 4, 5, 6])
    np.testing.assert_array_equal(weights_as(layer, "tensorflow"), weight.transpose(2, 3, 1, 0))
    found, bias = layer.get_oihw()
    np.testing.assert_array_equal(found, weight)
    np.testing.assert_array_equal(bias, [1, 2, 3, 4, 5, 6])
    wide = mx.nd.Convolution(
        image.as_nd_ndarray(), mx.nd.array(weight), mx.nd.array(bias), kernel=(3, 2), num_filter=6, num_group=2
    )
    np.testing.assert_allclose(layer(image).asnumpy(), wide.asnumpy(), rtol=1e-4, atol=1e-4)


def test_what_is_refused():
    used = ready(4, 3)
    used(normal(1, 3, 8, 8))
    with pytest.raises(ArgumentError, match=r"^weight: expected shape \(4, 3, 3, 3\); received"):
        used.set_oihw(np.ones((4, 2, 3, 3)))
    with pytest.raises(ArgumentError, match=r"^groups: expected a positive integer; received 0"):
        Conv2D(4, 3, groups=0)
    with pytest.raises(ArgumentError, match=r"^padding_mode: expected one of zeros, reflect"):
        Conv2D(4, 3, padding_mode="edge")
    with pytest.raises(ArgumentError, match=r"^layer: expected one with weights"):
        Conv2D(4, 3).get_oihw()
    for layer in (used, Filter2D([[1]])):
        with pytest.raises(
            DtypeError, match=r"^image: expected an mxnet.nd.NDArray; received a NumPy array; use mxnet"
        ):
            layer(np.ones((1, 3, 8, 8), "float32"))
    with pytest.raises(RuntimeError, match="has not been initialized"):
        Conv2D(2, 3)(normal(1, 3, 8, 8))
