"""The layer of every framework: the operation, its gradients, its parameters and its errors."""

from __future__ import annotations

import numpy as np
import pytest
from conformance import oracle

from kernelfield.errors import ArgumentError
from kernelfield.tensors.layer import settings

pytestmark = pytest.mark.core

LAYERS = [
    dict(out_channels=2, kernel_size=3),
    dict(out_channels=3, kernel_size=(2, 4), stride=(2, 1)),
    dict(out_channels=4, kernel_size=3, padding=1, groups=2),
    dict(out_channels=4, kernel_size=(1, 2), padding=(0, 2), groups=4, dilation=(1, 3)),
    dict(out_channels=2, kernel_size=(4, 3), padding="same"),
    dict(out_channels=2, kernel_size=(2, 2), padding="same", dilation=(1, 2), padding_mode="mirror"),
    dict(out_channels=2, kernel_size=3, padding="valid", stride=3),
    dict(out_channels=3, kernel_size=3, padding=((0, 2), (3, 1)), padding_mode="symmetric", bias=False),
    dict(out_channels=1, kernel_size=5, padding=2, stride=2, padding_mode="circular"),
    dict(out_channels=2, kernel_size=2, padding=1, padding_mode="replicate"),
]
IDS = [f"{i}-" + "-".join(f"{k}={v}" for k, v in options.items()) for i, options in enumerate(LAYERS)]
SHAPE = (2, 4, 7, 8)


def numbers(options, shape=SHAPE):
    rng = np.random.default_rng(11)
    made = settings(**options)
    weight = rng.normal(size=made.weight_shape(shape[1])).astype("float32")
    bias = rng.normal(size=made.out_channels).astype("float32") if made.bias else None
    return made.operation(), rng.normal(size=shape).astype("float32"), weight, bias


def expected(operation, image, weight, bias):
    result = oracle.forward(operation, image, weight)
    return result if bias is None else result + bias[:, None, None]


@pytest.mark.parametrize("options", LAYERS, ids=IDS)
def test_the_layer_computes_the_operation(framework, options):
    operation, image, weight, bias = numbers(options)
    layer = framework.layer(**options)
    framework.call(layer, image)
    layer.set_oihw(weight, bias)
    result = framework.call(layer, image)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected(operation, image, weight, bias), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("size", "dilation"), [((2, 4), (1, 1)), ((4, 3), (1, 2)), ((2, 2), (3, 1))])
def test_same_padding_of_even_kernels_has_the_extra_element_behind(framework, size, dilation):
    """As PyTorch, TensorFlow and JAX pad: by an oracle that knows no operation of ours."""
    image = np.random.default_rng(3).normal(size=(1, 1, 7, 8)).astype("float32")
    weight = np.random.default_rng(4).normal(size=(1, 1, *size)).astype("float32")
    reach = [d * (k - 1) for d, k in zip(dilation, size)]
    wide = np.pad(image[0, 0], [(n // 2, n - n // 2) for n in reach])
    expected = sum(
        weight[0, 0, a, b] * wide[a * dilation[0] : a * dilation[0] + 7, b * dilation[1] : b * dilation[1] + 8]
        for a, b in np.ndindex(*size)
    )
    layer = framework.layer(out_channels=1, kernel_size=size, dilation=dilation, padding="same", bias=False)
    layer.set_oihw(weight, None)
    np.testing.assert_allclose(framework.call(layer, image)[0, 0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("options", LAYERS[2:6], ids=IDS[2:6])
def test_gradients_of_the_parameters(framework, options):
    operation, image, weight, bias = numbers(options)
    layer = framework.layer(**options)
    layer.set_oihw(weight, bias)
    shape = operation.output_shape(image.shape, weight.shape)
    cotangent = np.random.default_rng(12).normal(size=shape).astype("float32")
    to_weight, to_bias = framework.layer_pullback(layer, image, cotangent)
    np.testing.assert_allclose(to_weight, oracle.backward(operation, image, weight, cotangent)[1], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(to_bias, cotangent.sum(axis=(0, 2, 3)), rtol=1e-4, atol=1e-4)


def test_input_channels_are_inferred_from_an_image_or_from_weights(framework):
    _, image, weight, bias = numbers(LAYERS[2])
    seen = framework.layer(**LAYERS[2])
    framework.call(seen, image)
    assert seen.get_oihw()[0].shape == weight.shape
    given = framework.layer(**LAYERS[2])
    given.set_oihw(weight, bias)
    found = given.get_oihw()
    np.testing.assert_array_equal(found[0], weight)
    np.testing.assert_array_equal(found[1], bias)
    assert framework.call(given, image).shape == (2, 4, 7, 8)


def test_what_is_read_is_a_copy(framework):
    _, image, weight, bias = numbers(LAYERS[0])
    layer = framework.layer(**LAYERS[0])
    layer.set_oihw(weight, bias)
    before = framework.call(layer, image)
    for array in (*layer.get_oihw(), weight, bias):
        array[...] = 7
    np.testing.assert_array_equal(framework.call(layer, image), before)


def test_weights_at_the_start_are_spread_as_the_framework_does(framework):
    layer = framework.layer(64, 5)
    framework.call(layer, np.ones((1, 4, 8, 8), "float32"))
    weight, bias = layer.get_oihw()
    assert weight.shape == (64, 4, 5, 5)
    assert bias.shape == (64,)
    assert np.isfinite(weight).all()
    assert 0.005 < weight.std() < 0.2
    assert abs(weight.mean()) < 0.01
    assert len(np.unique(weight)) > 6000


def test_no_bias(framework):
    layer = framework.layer(3, 2, bias=False)
    weight = np.ones((3, 4, 2, 2), "float32")
    layer.set_oihw(weight)
    assert layer.get_oihw()[1] is None
    with pytest.raises(ArgumentError, match=r"^bias: expected none"):
        layer.set_oihw(weight, np.ones(3, "float32"))


def test_no_bias_given_is_a_bias_of_zeros(framework):
    layer = framework.layer(3, 2)
    layer.set_oihw(np.ones((3, 4, 2, 2), "float32"), np.ones(3, "float32"))
    layer.set_oihw(np.ones((3, 4, 2, 2), "float32"))
    np.testing.assert_array_equal(layer.get_oihw()[1], np.zeros(3))


def test_the_layer_shows_its_settings(framework):
    layer = framework.layer(8, 3, stride=2, padding=1, groups=2, padding_mode="mirror")
    text = repr(layer)
    assert "Conv2d" in text
    for part in ("?", "8", "kernel_size=(3, 3)", "stride=(2, 2)", "groups=2", "padding_mode='mirror'"):
        assert part in text, text
    framework.call(layer, np.ones((1, 4, 6, 6), "float32"))
    assert "?" not in repr(layer)


def test_errors_say_what_is_wrong_in_one_line(framework):
    layer = framework.layer(3, 3)
    layer.set_oihw(np.ones((3, 4, 3, 3), "float32"))
    lazy = framework.layer(4, 3, groups=2)
    cases = [
        (lambda: framework.layer(0, 3), "out_channels: expected a positive integer"),
        (lambda: framework.layer(3, 0), "kernel_size: expected at least 1"),
        (lambda: framework.layer(3, 3, groups=2), "groups: expected a divisor"),
        (lambda: framework.layer(3, 3, padding="full"), "padding: expected 'valid', 'same' or integers"),
        (lambda: framework.layer(3, 3, padding="same", stride=2), "padding: expected integers beside stride=2"),
        (lambda: framework.layer(3, 3, padding_mode="reflect"), "padding_mode: 'reflect' means two things"),
        (lambda: framework.layer(3, 3, padding_mode="edge"), "padding_mode: expected one of"),
        (
            lambda: framework.call(lazy, np.ones((1, 3, 6, 6), "float32")),
            "in_channels: expected a multiple of groups=2",
        ),
        (lambda: layer.set_oihw(np.ones((3, 5, 3, 3), "float32")), "weight: expected shape (3, 4, 3, 3)"),
        (lambda: layer.set_oihw(np.ones((3, 4, 2, 3), "float32")), "weight: expected shape"),
        (lambda: layer.set_oihw(np.ones((3, 4, 3, 3), "float32"), np.ones(4, "float32")), "bias: expected shape (3,)"),
        (lambda: framework.call(layer, np.ones((1, 3, 6, 6), "float32")), "image: expected 4 channels"),
        (lambda: framework.call(layer, np.ones((1, 4, 2, 6), "float32")), "image: expected at least 3 rows"),
        (lambda: framework.layer(3, 3).get_oihw(), "layer: expected one with weights"),
    ]
    for call, start in cases:
        with pytest.raises(ArgumentError) as caught:
            call()
        message = str(caught.value)
        assert message.startswith(start)
        assert "\n" not in message
