"""The layers of every framework beside its own: the same call, state, result, gradients and errors."""

from __future__ import annotations

import inspect
import itertools
import random

import numpy as np
import pytest
from conformance import oracle

import kernelfield as kf
from kernelfield.engine import layers as engine
from kernelfield.errors import ArgumentError
from kernelfield.tensors.layer import layer_operation

pytestmark = pytest.mark.core

SHAPE = (2, 4, 7, 8)
IMAGE = np.random.default_rng(11).normal(size=SHAPE).astype("float32")


def same(found, wanted, tolerance=1e-4):
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


def combinations(framework):
    """Return combinations of the arguments of a layer: all if they are few, else that many, evenly chosen."""
    found = [dict(zip(framework.grid, values)) for values in itertools.product(*framework.grid.values())]
    return random.Random(3).sample(found, min(len(found), framework.tried))


def attempt(framework, kind, options, state=None):
    """Return a layer with its result and gradients; the class of the error if there is one."""
    try:
        layer = framework.build(kind, SHAPE[1], **options)
        if state is not None:
            framework.load(layer, state)
        result = framework.call(layer, IMAGE)
    except Exception as error:
        return None, type(error)
    slope = np.random.default_rng(12).normal(size=result.shape).astype("float32")
    return layer, [result, *framework.layer_pullback(layer, IMAGE, slope)]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
def test_the_same_call_gives_the_same_layer(framework, monkeypatch):
    """Over a grid of all arguments; the engine computes most of them."""
    count = []
    forward = engine.forward
    monkeypatch.setattr(engine, "forward", lambda *a: (count.append(1), forward(*a))[1])
    monkeypatch.setattr(framework.adapter, "is_faster", lambda *a: True)  # for small images too
    ours, theirs = framework.layers()
    refused = computed = 0
    first = framework.words.get("out_channels", "out_channels")
    grid = combinations(framework)
    for options in ({first: 6, **options} for options in grid):
        other, wanted = attempt(framework, theirs, options)
        count.clear()
        layer, found = attempt(framework, ours, options, None if other is None else framework.state(other))
        assert (layer is None) == (other is None), options
        if other is None:
            assert issubclass(found, wanted), options
            refused += 1
            continue
        computed += bool(count)
        assert isinstance(layer, theirs)
        assert {k: v.shape for k, v in framework.state(layer).items()} == {
            k: v.shape for k, v in framework.state(other).items()
        }
        assert len(found) == len(wanted)
        for one, two in zip(found, wanted):
            assert one.dtype == two.dtype
            same(one, two)
    assert 0 < refused < 0.8 * len(grid)
    assert computed > 0.4 * (len(grid) - refused)


def test_the_arguments_are_those_of_the_framework(framework):
    ours, theirs = (list(inspect.signature(kind.__init__).parameters.values()) for kind in framework.layers())
    added = [p for p in ours if p.name not in {q.name for q in theirs}]
    kept = [(p.name, p.default, p.kind) for p in ours if p not in added]
    assert kept == [(p.name, p.default, p.kind) for p in theirs]
    assert all(p.kind is p.KEYWORD_ONLY and p.default == "zeros" for p in added)


def test_a_state_of_another_shape_is_refused_as_the_framework_refuses_it(framework):
    """NNX takes any; then the layer is that of its weights."""
    for size, channels in ((5, 4), (3, 5)):
        state = framework.state(framework.layer(channels, out_channels=6, kernel_size=size))
        outcomes = []
        for kind in framework.layers():
            layer = framework.build(kind, 4, **{framework.words.get("out_channels", "out_channels"): 6}, kernel_size=3)
            try:
                framework.load(layer, state)
                outcomes.append(framework.call(layer, IMAGE))
            except Exception as error:
                outcomes.append(type(error))
        ours, theirs = outcomes
        assert framework.name == "jax" or isinstance(theirs, type)
        assert ours is theirs if isinstance(theirs, type) else np.allclose(ours, theirs, atol=1e-4)


def test_many_channels_are_the_frameworks(framework, monkeypatch):
    monkeypatch.setattr(engine, "forward", None)
    ours, theirs = framework.layers()
    options = {framework.words.get("out_channels", "out_channels"): 16, "kernel_size": 3}
    other, wanted = attempt(framework, theirs, options)
    _, found = attempt(framework, ours, options, framework.state(other))
    for one, two in zip(found, wanted, strict=True):
        same(one, two)


def test_padding_modes_that_the_framework_does_not_have(framework):
    strides = [] if framework.name == "torch" else [(2, 1)]
    for (options, asked), stride in itertools.product(framework.extensions, [(1, 1), *strides]):
        dilation = (1, 2) if stride == (1, 1) else (1, 1)
        layer = framework.layer(out_channels=3, kernel_size=(2, 3), dilation=dilation, stride=stride, **options)
        weight, bias = layer.get_oihw()
        operation = layer_operation((2, 3), stride=stride, dilation=dilation, **asked)
        wanted = oracle.forward(operation, IMAGE, weight) + bias[:, None, None]
        same(framework.call(layer, IMAGE), wanted)
        same(framework._out(framework.numpy(framework.traced(layer)(framework.image(IMAGE)))), wanted)
        slope = np.random.default_rng(12).normal(size=wanted.shape).astype("float32")
        found = framework.layer_pullback(layer, IMAGE, slope)
        same(found[0], oracle.backward(operation, IMAGE, weight, slope)[0])


@pytest.mark.parametrize(("size", "dilation"), [((2, 4), (1, 1)), ((4, 3), (1, 2)), ((2, 2), (3, 1))])
def test_same_padding_of_even_kernels_has_the_extra_element_behind(size, dilation):
    """As PyTorch, TensorFlow and JAX pad: by an oracle that knows no operation of ours."""
    windows = layer_operation(size, dilation=dilation, padding="same").windows
    reach = [d * (k - 1) for d, k in zip(dilation, size)]
    assert [(w.before, w.after) for w in windows] == [(n // 2, n - n // 2) for n in reach]


@pytest.mark.parametrize(
    "options",
    [
        dict(),
        dict(boundary="wrap", stride=2),
        dict(mode="valid", dilation=(1, 2)),
        dict(boundary="constant", cval=2.0, origin=(1, 0)),
        dict(padding=((1, 0), (2, 2)), boundary="mirror"),
    ],
    ids=str,
)
@pytest.mark.parametrize("bank", [False, True])
def test_a_fixed_kernel_is_applied_to_every_channel(framework, options, bank):
    kernel = np.array([kf.kernels.sobel(axis=a).weights for a in (0, 1)]) if bank else kf.kernels.sobel(axis=1)
    layer = framework.filter(kernel, **options)
    planes = kf.correlate(IMAGE.astype("float64"), kernel, bank=bank or None, **options)
    wanted = planes.reshape(2, -1, *planes.shape[-2:])
    same(framework.call(layer, IMAGE), wanted)
    assert framework.trainable(layer) == []
    slope = np.random.default_rng(12).normal(size=wanted.shape).astype("float32")
    (to_image,) = framework.layer_pullback(layer, IMAGE, slope)[:1]
    # The gradient of a linear map: <gradient, d> is <slope, change by d> for any d.
    change = np.random.default_rng(13).normal(size=SHAPE)
    linear = {**options, "cval": 0.0}
    moved = kf.correlate(change, kernel, bank=bank or None, **linear).reshape(wanted.shape)
    same((to_image * change).sum(), (slope * moved).sum(), 1e-3)
    traced = framework.traced(layer)(framework.image(IMAGE))
    same(framework._out(framework.numpy(traced)), wanted)


def test_a_fixed_kernel_has_a_state_and_keeps_its_anchor(framework):
    kernel = kf.kernels.difference(1, "forward")
    layer, other = framework.filter(kernel), framework.filter(kernel.weights * 0)
    same(framework.call(layer, IMAGE), kf.correlate(IMAGE, kernel))
    state = framework.state(layer)
    assert list(state) == ["kernel"]
    framework.load(other, state)
    np.testing.assert_array_equal(framework.state(other)["kernel"], kernel.weights)


def test_a_fixed_kernel_prints_arguments_of_any_kind(framework):
    for given in (np.array([1, 2]), [1, 2], (1, 2)):
        text = repr(framework.filter(kf.kernels.sobel(), padding=given, stride=np.array([2, 1])).filter)
        assert text == "FixedFilter(3×3, padding=((1, 1), (2, 2)), stride=(2, 1))"


def test_a_fixed_kernel_refuses_what_correlate_refuses(framework):
    for options, message in (
        (dict(boundary="edge"), "boundary: expected one of"),
        (dict(mode="all"), "mode: expected one of"),
        (dict(stride=0), "stride: expected at least 1"),
        (dict(origin=5), "origin: expected"),
    ):
        with pytest.raises(ArgumentError, match=f"^{message}"):
            framework.filter(kf.kernels.sobel(), **options)
    with pytest.raises(ArgumentError, match=r"^kernel: expected \(kh, kw\), or a bank"):
        framework.filter(np.ones((2, 3, 3, 3)))


def test_what_is_read_is_a_copy(framework):
    layer = framework.layer(out_channels=2, kernel_size=3)
    before = framework.call(layer, IMAGE)
    for array in layer.get_oihw():
        array[...] = 7
    weight, bias = np.ones((2, 4, 3, 3), "float32"), np.ones(2, "float32")
    np.testing.assert_array_equal(framework.call(layer, IMAGE), before)
    layer.set_oihw(weight, bias)
    before = framework.call(layer, IMAGE)
    weight[...] = bias[...] = 7
    np.testing.assert_array_equal(framework.call(layer, IMAGE), before)


def test_no_bias_given_is_a_bias_of_zeros(framework):
    layer = framework.layer(out_channels=3, kernel_size=2)
    layer.set_oihw(np.ones((3, 4, 2, 2), "float32"), np.ones(3, "float32"))
    layer.set_oihw(np.ones((3, 4, 2, 2), "float32"))
    np.testing.assert_array_equal(layer.get_oihw()[1], np.zeros(3))


def test_weights_that_are_not_the_layers_are_refused(framework):
    layer = framework.layer(out_channels=3, kernel_size=3)
    bare = framework.layer(out_channels=3, kernel_size=3, bias=False)
    weight = np.ones((3, 4, 3, 3), "float32")
    bare.set_oihw(weight)
    assert bare.get_oihw()[1] is None
    cases = [
        (lambda: layer.set_oihw(np.ones((3, 5, 3, 3), "float32")), "weight: expected shape (3, 4, 3, 3)"),
        (lambda: layer.set_oihw(np.ones((3, 4, 2, 3), "float32")), "weight: expected shape"),
        (lambda: layer.set_oihw(weight, np.ones(4, "float32")), "bias: expected shape (3,)"),
        (lambda: bare.set_oihw(weight, np.ones(3, "float32")), "bias: expected none"),
    ]
    for call, start in cases:
        with pytest.raises(ArgumentError) as caught:
            call()
        assert str(caught.value).startswith(start)
        assert "\n" not in str(caught.value)
