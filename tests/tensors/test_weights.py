"""Weights converted between frameworks, layouts and cross-correlation or convolution: outputs within 1e-5."""

from __future__ import annotations

import numpy as np
import pytest
from conformance.frameworks import KNOWN, NAMES

import kernelfield as kf
from kernelfield.errors import ArgumentError, DtypeError
from kernelfield.tensors.registry import FRAMEWORKS
from kernelfield.tensors.weights import LAYOUTS, load_weights, weights_as

pytestmark = pytest.mark.core

OPTIONS = dict(out_channels=6, kernel_size=(2, 3), stride=(1, 2), groups=2)


def numbers():
    rng = np.random.default_rng(21)
    image = rng.normal(size=(2, 4, 7, 9)).astype("float32")
    weight = (rng.normal(size=(6, 2, 2, 3)) / 4).astype("float32")
    return image, weight, rng.normal(size=6).astype("float32")


def wanted(image, weight, bias):
    how = dict(mode="valid", stride=(1, 2), groups=2, bias=bias)
    return kf.correlate(image.astype("float64"), weight, **how)


def test_every_framework_has_a_layout():
    assert set(LAYOUTS) == {"numpy", *FRAMEWORKS}


@pytest.mark.parametrize("strict", [False, True], ids=["as it is", "strict convolution"])
@pytest.mark.parametrize("source", LAYOUTS)
@pytest.mark.parametrize("name", NAMES)
def test_every_layer_takes_every_layout_cross_correlated_or_convolved(name, source, strict):
    image, weight, bias = numbers()
    given = weights_as(weight, source, strict_convolution=strict)
    assert given.shape == ((6, 2, 2, 3) if LAYOUTS[source] == "OIHW" else (2, 3, 2, 6))
    framework = KNOWN[name]()
    layer = framework.layer(**OPTIONS)
    back = load_weights(layer, given, bias, layout=LAYOUTS[source], strict_convolution=strict)
    assert back is layer
    np.testing.assert_allclose(framework.call(layer, image), wanted(image, weight, bias), rtol=0, atol=1e-5)
    np.testing.assert_array_equal(layer.get_oihw()[0], weight)


@pytest.mark.parametrize("first", NAMES)
def test_from_layer_to_layer(first):
    image, weight, bias = numbers()
    source = load_weights(KNOWN[first]().layer(**OPTIONS), weight, bias)
    output = KNOWN[first]().call(source, image)
    for second in NAMES:
        framework = KNOWN[second]()
        layer = load_weights(framework.layer(**OPTIONS), source)
        np.testing.assert_allclose(framework.call(layer, image), output, rtol=0, atol=1e-5)
        flipped = framework.layer(**OPTIONS)
        load_weights(flipped, weights_as(source, "numpy", strict_convolution=True), bias, strict_convolution=True)
        np.testing.assert_allclose(framework.call(flipped, image), output, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_tensor_has_the_layout_of_its_framework(name):
    _, weight, bias = numbers()
    framework = KNOWN[name]()
    tensor = framework.tensor(weights_as(weight, name))
    np.testing.assert_array_equal(weights_as(tensor, "numpy"), weight)
    layer = load_weights(framework.layer(**OPTIONS), tensor, framework.tensor(bias))
    np.testing.assert_array_equal(layer.get_oihw()[0], weight)
    np.testing.assert_array_equal(layer.get_oihw()[1], bias)


def test_weights_are_copied():
    _, weight, _ = numbers()
    for framework in LAYOUTS:
        found = weights_as(weight, framework)
        assert not np.shares_memory(found, weight)
        assert found.flags.c_contiguous
        assert found.dtype == weight.dtype


def test_weights_of_a_strict_convolution_convolve():
    image, weight, _ = numbers()
    flipped = weights_as(weight, "numpy", strict_convolution=True)
    how = dict(mode="valid", groups=2)
    np.testing.assert_allclose(kf.convolve(image, flipped, **how), kf.correlate(image, weight, **how), atol=1e-5)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda w: weights_as(w, "caffe"), ArgumentError, "framework: expected one of numpy, torch"),
        (lambda w: weights_as(w, "torch", layout="OHWI"), ArgumentError, "layout: expected OIHW or HWIO"),
        (lambda w: weights_as(w[0], "torch"), ArgumentError, "weights: expected four axes; received shape"),
        (lambda w: weights_as(w * 1j, "torch"), DtypeError, "weights: expected real numbers"),
    ],
)
def test_errors(call, kind, message):
    with pytest.raises(kind) as caught:
        call(numbers()[1])
    assert str(caught.value).startswith(message)


def test_a_layer_knows_its_layout():
    _, weight, bias = numbers()
    layer = load_weights(KNOWN[NAMES[0]]().layer(**OPTIONS), weight, bias)
    with pytest.raises(ArgumentError, match=r"^layout: expected none beside a layer"):
        weights_as(layer, "numpy", layout="OIHW")
