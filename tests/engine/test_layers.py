"""Layers and their gradients on arrays: the definition, any layout, borders, bits over threads."""

import os
import subprocess
import sys

import numpy as np
import pytest
from cases import BOUNDARIES
from conformance import oracle
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kernelfield.engine import layers, reference
from kernelfield.geometry import Operation, Window

pytestmark = pytest.mark.core


@st.composite
def shapes(draw, max_outputs=4):
    """Shapes of an image and weights, stride, dilation, groups; the last window may end before the image does."""
    groups, inputs, filters = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    kernel = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    stride = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    dilation = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    size = [
        (draw(st.integers(1, max_outputs)) - 1) * s + (k - 1) * d + 1 + draw(st.integers(0, s - 1))
        for k, s, d in zip(kernel, stride, dilation, strict=True)
    ]
    image = draw(st.integers(1, 2)), groups * inputs, *size
    return image, (groups * filters, inputs, *kernel), stride, dilation, groups


def operation_of(layer, padding=((0, 0), (0, 0)), boundary="constant", cval=0.0):
    _, weights, stride, dilation, groups = layer
    windows = [Window(k, *p, s, d) for k, p, s, d in zip(weights[2:], padding, stride, dilation)]
    return Operation((windows[0], windows[1]), boundary, cval, groups)


def output_shape(layer):
    return operation_of(layer).output_shape(*layer[:2])


def numbers(shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def tensors(layer, dtype="float64"):
    return numbers(layer[0], dtype, 1), numbers(layer[1], dtype, 2), numbers(output_shape(layer), dtype, 3)


def expected(image, weights, layer):
    out = np.zeros(output_shape(layer))
    reference.forward(image, weights, out, *layer[2:])
    return out


def forward(layer, image, weights, out, bias=None):
    layers.forward(operation_of(layer), image, weights, out, bias)


def weight_gradient(layer, image, gradient):
    return layers.weight_gradient(operation_of(layer), image, gradient, layer[1])


def image_gradient(layer, gradient, weights):
    return layers.image_gradient(operation_of(layer), gradient, weights, layer[0])


def layouts(array):
    """Yield an array of the same numbers in other places of memory."""
    yield "channels last", np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    yield "negative strides", np.ascontiguousarray(array[:, ::-1, ::-1, ::-1])[:, ::-1, ::-1, ::-1]
    yield "gaps", np.repeat(np.repeat(array, 2, axis=2), 2, axis=1)[:, ::2, ::2]
    frozen = array.copy()
    frozen.flags.writeable = False
    yield "read-only", frozen


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(layer=shapes())
@example(layer=((2, 4, 5, 6), (4, 1, 2, 3), (1, 2), (2, 1), 4))
@example(layer=((1, 2, 11, 70), (3, 2, 4, 2), (2, 1), (3, 1), 1))
@example(layer=((1, 2, 12, 150), (2, 1, 5, 3), (2, 2), (1, 3), 2))
@example(layer=((1, 1, 13, 80), (1, 1, 3, 3), (1, 1), (2, 1), 1))
def test_it_is_the_definition(engine, dtype, layer):
    image, weights = numbers(layer[0], dtype), numbers(layer[1], dtype, 1)
    around = np.full([n + 2 for n in output_shape(layer)], -77, dtype)
    inside = (slice(1, -1),) * 4
    forward(layer, image, weights, around[inside])
    bound = 4 * np.finfo(dtype).eps * weights[0].size * expected(abs(image), abs(weights), layer)
    assert (abs(around[inside] - expected(image, weights, layer)) <= bound).all()
    around[inside] = -77
    assert (around == -77).all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "int8", "float16"])
def test_images_of_other_types(engine, dtype):
    layer = (1, 2, 6, 9), (2, 2, 3, 2), (1, 1), (1, 1), 1
    image = np.random.default_rng(0).integers(0, 100, layer[0]).astype(dtype)
    weights = numbers(layer[1], "float32")
    out = np.empty(output_shape(layer), "float32")
    forward(layer, image, weights, out)
    np.testing.assert_allclose(out, expected(image, weights, layer), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("columns", [9, 70])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
def test_any_memory_layout(engine, columns, channels, stride):
    layer = (2, channels, 8, columns), (channels, channels, 3, 2), (1, stride), (1, 2), 1
    image, weights = numbers(layer[0]), numbers(layer[1], seed=1)
    truth = expected(image, weights, layer)
    for name, view in layouts(image):
        out = np.empty(truth.shape)
        forward(layer, view, weights, out)
        np.testing.assert_allclose(out, truth, atol=1e-12, err_msg=name)
    for name, out in layouts(np.empty(truth.shape)):
        if out.flags.writeable:
            forward(layer, image, weights, out)
            np.testing.assert_allclose(out, truth, atol=1e-12, err_msg=name)
    for name, view in layouts(weights):
        forward(layer, image, view, out := np.empty(truth.shape))
        np.testing.assert_allclose(out, truth, atol=1e-12, err_msg=name)
    repeated = np.broadcast_to(image[:1, :1, :1, :1], layer[0])
    forward(layer, repeated, weights, out := np.empty(truth.shape))
    np.testing.assert_allclose(out, expected(repeated, weights, layer), atol=1e-12)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(("groups", "rows", "dilation"), [(1, 3, 1), (2, 3, 2), (2, 1, 1), (1, 5, 1)])
def test_nan_keeps_to_its_footprint(engine, stride, groups, rows, dilation):
    layer = (1, 2, 26, 70), (2, 2 // groups, rows, 2), (stride, stride), (dilation, 1), groups
    image, weights = numbers(layer[0]), np.zeros(layer[1])
    image[0, 1, 4, 20] = image[0, 0, 9, 69] = image[0, 0, 15, 0] = image[0, 1, 20, 45] = np.nan
    image[0, 0, 25, 30] = np.inf
    out = np.empty(output_shape(layer))
    forward(layer, image, weights, out)
    with np.errstate(invalid="ignore"):
        truth = expected(image, weights, layer)
    assert np.isnan(truth).any()
    assert (np.isnan(out) == np.isnan(truth)).all()


@pytest.mark.parametrize(
    ("weights", "groups", "better"),
    [((1, 1, 9, 9), 1, True), ((3, 3, 3, 3), 1, True), ((64, 64, 3, 3), 1, False), ((32, 1, 3, 3), 32, False)],
)
def test_many_channels_are_better_left_to_frameworks(weights, groups, better):
    image = 1, weights[1] * groups, 56, 56
    assert layers.engine_is_better(operation_of((image, weights, (1, 1), (1, 1), groups)), image, weights) is better


def test_the_bias_is_added_last(engine):
    rng = np.random.default_rng(0)
    for filters, inputs, groups, stride, dilation in (
        (1, 1, 1, 1, 1),
        (1, 1, 1, 1, 2),
        (6, 4, 2, 2, 1),
        (3, 3, 1, 1, 1),
    ):
        layer = (2, inputs, 40, 90), (filters, inputs // groups, 3, 3), (stride,) * 2, (dilation,) * 2, groups
        image, weights, plain = tensors(layer, "f4")
        bias, out = rng.normal(size=filters), plain.copy()
        forward(layer, image, weights, plain)
        forward(layer, image, weights, out, bias)
        assert (out == plain + bias.astype("f4")[:, None, None]).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@settings(max_examples=40)
@given(layer=shapes())
@example(layer=((2, 4, 5, 6), (4, 1, 2, 3), (1, 2), (2, 1), 4))
@example(layer=((1, 1, 9, 80), (1, 1, 4, 5), (2, 3), (3, 2), 1))
def test_gradients_are_the_definition(engine, dtype, layer):
    image, weights, gradient = tensors(layer, dtype)
    eps = 4 * np.finfo(dtype).eps
    ours = weight_gradient(layer, image, gradient)
    truth = reference.weight_gradient(image, gradient, layer[1][2:], *layer[2:])
    size = reference.weight_gradient(abs(image), abs(gradient), layer[1][2:], *layer[2:])
    assert ours.dtype == dtype
    assert ours.shape == layer[1]
    assert (abs(ours - truth) <= eps * gradient.size * size).all()
    ours = image_gradient(layer, gradient, weights)
    truth = reference.image_gradient(gradient, weights, layer[0], *layer[2:])
    size = reference.image_gradient(abs(gradient), abs(weights), layer[0], *layer[2:])
    assert ours.dtype == dtype
    assert ours.shape == layer[0]
    assert (abs(ours - truth) <= eps * weights.size * size).all()


@settings(max_examples=40)
@given(layer=shapes(max_outputs=40))
@example(layer=((1, 2, 140, 150), (2, 1, 3, 2), (1, 1), (1, 2), 2))
@example(layer=((1, 1, 300, 141), (2, 1, 5, 4), (2, 1), (1, 1), 1))
def test_they_are_adjoint_to_forward(engine, layer):
    image, weights, gradient = tensors(layer)
    out = np.empty(gradient.shape)
    forward(layer, image, weights, out)
    product = np.vdot(out, gradient)
    size = 1e-11 * (1 + np.vdot(abs(out), abs(gradient)))
    assert abs(np.vdot(image, image_gradient(layer, gradient, weights)) - product) <= size
    assert abs(np.vdot(weights, weight_gradient(layer, image, gradient)) - product) <= size


@settings(max_examples=100)
@given(st.data())
def test_borders_are_differentiated_too(data):
    draw = data.draw
    layer = draw(shapes(max_outputs=6))
    padding = [(draw(st.integers(0, 6)), draw(st.integers(0, 6))) for _ in range(2)]
    boundary = draw(st.sampled_from(BOUNDARIES))
    operation = operation_of(layer, padding, boundary, 1.5 if boundary == "constant" else 0.0)
    image, weights, _ = tensors(layer)
    gradient = numbers(operation.output_shape(*layer[:2]), seed=4)
    last = draw(st.booleans())
    ours = layers.backward(operation, image, weights, gradient, channels_last=last)
    for one, truth in zip(ours, oracle.backward(operation, image, weights, gradient), strict=True):
        np.testing.assert_allclose(one, truth, atol=1e-10)
    out = np.empty(gradient.shape)
    layers.forward(operation, image, weights, out)
    np.testing.assert_allclose(out, oracle.forward(operation, image, weights), atol=1e-10)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("stride", [1, 2])
def test_so_are_those_of_large_images(boundary, stride):
    layer = (1, 2, 150, 140), (2, 2, 5, 4), (stride, 1), (1, stride), 1
    operation = operation_of(layer, ((3, 2), (2, 4)), boundary, 1.5 if boundary == "constant" else 0.0)
    image, weights, _ = tensors(layer)
    gradient = numbers(operation.output_shape(*layer[:2]), seed=4)
    out = np.empty(gradient.shape)
    layers.forward(operation, image, weights, out)
    zero = np.zeros_like(out)
    layers.forward(operation, np.zeros_like(image), weights, zero)  # the constant outside
    to_image, to_kernel = layers.backward(operation, image, weights, gradient)
    assert np.vdot(out - zero, gradient) == pytest.approx(np.vdot(image, to_image), rel=1e-10)
    assert np.vdot(out, gradient) == pytest.approx(np.vdot(weights, to_kernel), rel=1e-10)


def test_a_kernel_of_two_axes_is_a_layer_of_one_channel():
    image, kernel = numbers((2, 3, 9, 10)), numbers((3, 2), seed=1)
    operation = operation_of(((6, 1, 9, 10), (1, 1, 3, 2), (1, 1), (1, 1), 1), ((1, 1), (0, 1)), "wrap")
    out = np.empty(operation.output_shape(image.shape, kernel.shape))
    layers.forward(operation, image, kernel, out)
    found = layers.backward(operation, image, kernel, out)
    four = image.reshape(6, 1, 9, 10), kernel[None, None]
    for one, truth in zip(found, layers.backward(operation, *four, out.reshape(6, 1, 9, 10)), strict=True):
        np.testing.assert_array_equal(one, truth.reshape(one.shape))


def test_a_kernel_of_two_axes_is_looked_at_once(monkeypatch):
    image, kernel = numbers((200, 300)), numbers((5, 4))
    operation = operation_of(((1, 1, 200, 300), (1, 1, 5, 4), (1, 1), (1, 1), 1))
    first, second = np.zeros((2, 196, 297))
    layers.forward(operation, image, kernel, first)
    monkeypatch.setattr(layers.plan, "forward", None)
    layers.forward(operation_of(((1, 1, 200, 300), (1, 1, 5, 4), (1, 1), (1, 1), 1)), image, kernel.copy(), second)
    np.testing.assert_array_equal(second, first)


def test_finite_differences(engine):
    layer = (1, 2, 6, 7), (4, 1, 3, 2), (2, 1), (1, 2), 2
    image, weights, gradient = tensors(layer)

    def loss():
        forward(layer, image, weights, out := np.empty(gradient.shape))
        return np.vdot(out, gradient)

    slopes = image_gradient(layer, gradient, weights), weight_gradient(layer, image, gradient)
    for array, slope in zip((image, weights), slopes):
        for place in np.ndindex(array.shape):
            array[place] += 1e-3
            above = loss()
            array[place] -= 2e-3
            below = loss()
            array[place] += 1e-3
            assert abs((above - below) / 2e-3 - slope[place]) < 1e-9


def test_what_no_window_reaches_has_gradient_0(engine):
    layer = (1, 1, 9, 90), (1, 1, 2, 2), (3, 3), (1, 1), 1
    _, weights, gradient = tensors(layer)
    ours = image_gradient(layer, gradient, weights)
    assert not ours[:, :, 2::3].any()
    assert not ours[:, :, :, 2::3].any()
    assert ours[:, :, ::3, ::3].all()


@pytest.mark.parametrize("stride", [1, 2])
def test_gradients_take_any_memory_layout(engine, stride):
    layer = (2, 2, 9, 74), (2, 2, 3, 2), (stride, 1), (1, stride), 1
    image, weights, gradient = tensors(layer)
    by_image = reference.image_gradient(gradient, weights, layer[0], *layer[2:])
    by_weights = reference.weight_gradient(image, gradient, (3, 2), *layer[2:])
    for (name, other_image), (_, other) in zip(layouts(image), layouts(gradient), strict=True):
        np.testing.assert_allclose(weight_gradient(layer, other_image, other), by_weights, atol=1e-10, err_msg=name)
        np.testing.assert_allclose(image_gradient(layer, other, weights), by_image, atol=1e-10, err_msg=name)
    ones = np.broadcast_to(np.ones(1), gradient.shape)  # the gradient of a sum
    for found, wanted in (
        (weight_gradient(layer, image, ones), weight_gradient(layer, image, ones.copy())),
        (image_gradient(layer, ones, weights), image_gradient(layer, ones.copy(), weights)),
    ):
        np.testing.assert_allclose(found, wanted, atol=1e-10)


def test_channels_last_is_a_layout():
    layer = (2, 3, 9, 10), (4, 3, 3, 3), (2, 1), (1, 1), 1
    image, weights, gradient = tensors(layer)
    for boundary in ("constant", "wrap"):
        operation = operation_of(layer, boundary=boundary)
        usual = layers.backward(operation, image, weights, gradient, (True, False))[0]
        last = layers.backward(operation, image, weights, gradient, (True, False), channels_last=True)[0]
        np.testing.assert_array_equal(last, usual)
        assert last.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("stride", [1, 2])
def test_nan_keeps_to_its_footprint_in_gradients(engine, stride):
    layer = (1, 2, 12, 80), (2, 2, 3, 3), (stride, stride), (1, 1), 1
    image, weights, gradient = tensors(layer)
    image[0, 1, 0, 0] = np.nan
    ours = weight_gradient(layer, image, gradient)
    assert np.isnan(ours[:, 1, 0, 0]).all()
    assert np.isnan(ours).sum() == 2
    gradient[0, 0, 2, 4] = np.nan
    weights[:] = 0
    ours = image_gradient(layer, gradient, weights)
    truth = np.zeros(layer[0], bool)
    truth[:, :, 2 * stride : 2 * stride + 3, 4 * stride : 4 * stride + 3] = True
    assert (np.isnan(ours) == truth).all()


def test_nothing_in_nothing_out():
    layer = (0, 2, 5, 6), (4, 1, 3, 3), (1, 1), (1, 1), 2
    image, weights, gradient = tensors(layer, "float32")
    assert image_gradient(layer, gradient, weights).shape == layer[0]
    assert not weight_gradient(layer, image, gradient).any()
    assert weight_gradient(layer, image, gradient).shape == layer[1]


@pytest.mark.parametrize("size", [600, 2048])
def test_a_float32_gradient_is_summed_in_strips(engine, size):
    # Equal terms are the worst case, for their rounding errors all point the same way.
    layer = (1, 1, size, size), (1, 1, 3, 3), (1, 1), (1, 1), 1
    image, gradient = (np.full((1, 1, n, n), 0.1, "f4") for n in (size, size - 2))
    ours = weight_gradient(layer, image, gradient)
    assert ours == pytest.approx((size - 2) ** 2 * float(np.float32(0.1)) ** 2, rel=3e-5)


_BITS = """
import zlib, numpy as np
from kernelfield.engine import layers
from kernelfield.geometry import Operation, Window
rng = np.random.default_rng(0)
for xs, ws, stride in (
    ((1, 3, 90, 500), (3, 3, 3, 3), (1, 1)),
    ((1, 2, 90, 300), (2, 2, 4, 5), (2, 2)),
    ((1, 16, 60, 60), (16, 16, 3, 3), (1, 1)),
):
    operation = Operation(tuple(Window(k, 0, 0, s) for k, s in zip(ws[2:], stride)), "constant", 0.0)
    x, w = rng.normal(size=xs).astype("f4"), rng.normal(size=ws).astype("f4")
    out = np.empty(operation.output_shape(xs, ws), "f4")
    layers.forward(operation, x, w, out)
    dx, dw = layers.backward(operation, x, w, rng.normal(size=out.shape).astype("f4"))
    print([zlib.crc32(a.tobytes()) for a in (out, dw, dx)])
"""


def test_bits_do_not_depend_on_the_number_of_threads():
    def bits(threads):
        environment = dict(os.environ, KERNELFIELD_THREADS=threads)
        return subprocess.run(
            [sys.executable, "-c", _BITS], env=environment, capture_output=True, text=True, check=True
        ).stdout

    assert bits("1") == bits("3") != ""


def test_bits_do_not_depend_on_the_batch():
    layer = (3, 2, 40, 70), (3, 2, 3, 5), (1, 2), (2, 1), 1
    image, weights, gradient = tensors(layer, "float32")
    out = np.empty_like(gradient)
    forward(layer, image, weights, out)
    whole = image_gradient(layer, gradient, weights)
    for n in range(3):
        one = ((1, *layer[0][1:]), *layer[1:])
        alone = np.empty_like(out[n : n + 1])
        forward(one, image[n : n + 1], weights, alone)
        np.testing.assert_array_equal(alone[0], out[n])
        np.testing.assert_array_equal(image_gradient(one, gradient[n : n + 1], weights)[0], whole[n])
