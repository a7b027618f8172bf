import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kernelfield.engine import _halide, channels, choice, portable, reference
from kernelfield.engine import layer_plan as plan

METHODS = [portable.forward]
if choice.halide_is_installed():
    METHODS.append(channels.forward)


@st.composite
def layers(draw, max_outputs=4):
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


def output_shape(layer):
    image, weights, stride, dilation, _ = layer
    sizes = zip(image[2:], weights[2:], stride, dilation, strict=True)
    return image[0], weights[0], *((n - (k - 1) * d - 1) // s + 1 for n, k, s, d in sizes)


def numbers(shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def expected(image, weights, layer):
    out = np.zeros(output_shape(layer))
    reference.forward(image, weights, out, *layer[2:])
    return out


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(layer=layers())
@example(layer=((2, 4, 5, 6), (4, 1, 2, 3), (1, 2), (2, 1), 4))
@example(layer=((1, 2, 11, 70), (3, 2, 4, 2), (2, 1), (3, 1), 1))
@example(layer=((1, 2, 12, 150), (2, 1, 5, 3), (2, 2), (1, 3), 2))
@example(layer=((1, 1, 13, 80), (1, 1, 3, 3), (1, 1), (2, 1), 1))
def test_it_is_the_definition(method, dtype, layer):
    image, weights = numbers(layer[0], dtype), numbers(layer[1], dtype, 1)
    around = np.full([n + 2 for n in output_shape(layer)], -77, dtype)
    inside = (slice(1, -1),) * 4
    method(image, weights, around[inside], *layer[2:])
    bound = 4 * np.finfo(dtype).eps * weights[0].size * expected(abs(image), abs(weights), layer)
    assert (abs(around[inside] - expected(image, weights, layer)) <= bound).all()
    around[inside] = -77
    assert (around == -77).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", _halide.INPUT_TYPES[:4])
def test_images_of_integers(method, dtype):
    layer = (1, 2, 6, 9), (2, 2, 3, 2), (1, 1), (1, 1), 1
    image = np.random.default_rng(0).integers(0, 200, layer[0]).astype(dtype)
    weights = numbers(layer[1], "float32")
    out = np.empty(output_shape(layer), "float32")
    method(image, weights, out, *layer[2:])
    np.testing.assert_allclose(out, expected(image, weights, layer), rtol=1e-5, atol=1e-3)


def layouts(array):
    """Yield an array of the same numbers in other places of memory."""
    yield "channels last", np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    yield "negative strides", np.ascontiguousarray(array[:, ::-1, ::-1, ::-1])[:, ::-1, ::-1, ::-1]
    yield "gaps", np.repeat(np.repeat(array, 2, axis=2), 2, axis=1)[:, ::2, ::2]
    frozen = array.copy()
    frozen.flags.writeable = False
    yield "read-only", frozen


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("columns", [9, 70])
@pytest.mark.parametrize("channels", [1, 2])
def test_any_memory_layout(method, columns, channels):
    layer = (2, channels, 8, columns), (channels, channels, 3, 2), (1, 1), (1, 2), 1
    image, weights = numbers(layer[0]), numbers(layer[1], seed=1)
    truth = expected(image, weights, layer)
    for name, view in layouts(image):
        out = np.empty(truth.shape)
        method(view, weights, out, *layer[2:])
        np.testing.assert_allclose(out, truth, atol=1e-12, err_msg=name)
    for name, out in layouts(np.empty(truth.shape)):
        if out.flags.writeable:
            method(image, weights, out, *layer[2:])
            np.testing.assert_allclose(out, truth, atol=1e-12, err_msg=name)
    for name, view in layouts(weights):
        method(image, view, out := np.empty(truth.shape), *layer[2:])
        np.testing.assert_allclose(out, truth, atol=1e-12, err_msg=name)
    repeated = np.broadcast_to(image[:1, :1, :1, :1], layer[0])
    method(repeated, weights, out := np.empty(truth.shape), *layer[2:])
    np.testing.assert_allclose(out, expected(repeated, weights, layer), atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(("groups", "rows", "dilation"), [(1, 3, 1), (2, 3, 2), (2, 1, 1), (1, 5, 1)])
def test_nan_keeps_to_its_footprint(method, stride, groups, rows, dilation):
    layer = (1, 2, 26, 70), (2, 2 // groups, rows, 2), (stride, stride), (dilation, 1), groups
    image, weights = numbers(layer[0]), np.zeros(layer[1])
    image[0, 1, 4, 20] = image[0, 0, 9, 69] = image[0, 0, 15, 0] = image[0, 1, 20, 45] = np.nan
    image[0, 0, 25, 30] = np.inf
    out = np.empty(output_shape(layer))
    method(image, weights, out, *layer[2:])
    with np.errstate(invalid="ignore"):
        truth = expected(image, weights, layer)
    assert np.isnan(truth).any()
    assert (np.isnan(out) == np.isnan(truth)).all()


def test_the_chooser_runs_what_it_plans(engine):
    for layer in [
        ((1, 3, 9, 70), (3, 3, 3, 3), (1, 1), (1, 1), 1),
        ((1, 8, 5, 5), (16, 8, 3, 3), (2, 1), (1, 1), 1),
        ((0, 2, 5, 5), (2, 2, 3, 3), (1, 1), (1, 1), 1),
    ]:
        image, weights = numbers(layer[0]), numbers(layer[1])
        out = np.empty(output_shape(layer))
        plan.forward(image, weights, out, *layer[2:])
        np.testing.assert_allclose(out, expected(image, weights, layer), atol=1e-12)


def test_the_plan_is_printable_and_follows_shapes(engine):
    few = plan.plan_layer("forward", (1, 3, 1080, 1920), (3, 3, 5, 5), (1, 1), (1, 1), 1)
    many = plan.plan_layer("forward", (1, 64, 56, 56), (64, 64, 3, 3), (1, 1), (1, 1), 1)
    assert few.method == {"portable": "portable"}.get(engine, "halide")
    assert many.method == "portable"
    assert few.output_shape == (1, 3, 1076, 1916)
    assert few.cost == 3 * 1076 * 1916 * 75
    assert "1×3×1080×1920 with 3×3×5×5 -> 1×3×1076×1916" in str(few)


@pytest.mark.parametrize(
    ("weights", "groups", "many"),
    [((1, 1, 9, 9), 1, False), ((3, 3, 3, 3), 1, False), ((64, 64, 3, 3), 1, True), ((32, 1, 3, 3), 32, True)],
)
def test_many_channels(weights, groups, many):
    image = 1, weights[1] * groups, 56, 56
    assert plan.is_many_channels(image, weights, (1, 1), (1, 1), groups) is many


_BITS = """
import sys, zlib, numpy as np
from kernelfield.engine import layer_plan as plan
rng = np.random.default_rng(0)
for xs, ws, stride in (
    ((1, 3, 90, 500), (3, 3, 3, 3), (1, 1)), ((1, 2, 90, 300), (2, 2, 4, 5), (2, 2))
):
    x, w = rng.normal(size=xs).astype("f4"), rng.normal(size=ws).astype("f4")
    oh, ow = ((n - k) // s + 1 for n, k, s in zip(xs[2:], ws[2:], stride))
    g, out = rng.normal(size=(xs[0], ws[0], oh, ow)).astype("f4"), np.empty((xs[0], ws[0], oh, ow), "f4")
    plan.forward(x, w, out, stride, (1, 1), 1)
    dw = plan.weight_gradient(x, g, ws[2:], stride, (1, 1), 1)
    dx = plan.image_gradient(g, w, xs, stride, (1, 1), 1)
    print([zlib.crc32(a.tobytes()) for a in (out, dw, dx)])
"""


def test_bits_do_not_depend_on_the_number_of_threads():
    # The few channels that the compiled engine takes; matrix products are BLAS's.
    def bits(threads):
        environment = dict(os.environ, HL_NUM_THREADS=threads, OPENBLAS_NUM_THREADS=threads)
        return subprocess.run(
            [sys.executable, "-c", _BITS], env=environment, capture_output=True, text=True, check=True
        ).stdout

    assert bits("1") == bits("2") != ""


def test_the_bias_is_added_last(engine):
    rng = np.random.default_rng(0)
    for filters, inputs, groups, stride, dilation in (
        (1, 1, 1, 1, 1),
        (1, 1, 1, 1, 2),
        (6, 4, 2, 2, 1),
        (3, 3, 1, 1, 1),
    ):
        image = rng.normal(size=(2, inputs, 40, 90)).astype("f4")
        weights = rng.normal(size=(filters, inputs // groups, 3, 3)).astype("f4")
        bias = rng.normal(size=filters)
        options = (stride, stride), (dilation, dilation), groups
        shape = 2, filters, *((n - 2 * dilation - 1) // stride + 1 for n in image.shape[2:])
        plain, out = np.empty(shape, "f4"), np.empty(shape, "f4")
        plan.forward(image, weights, plain, *options)
        plan.forward(image, weights, out, *options, bias)
        assert (out == plain + bias.astype("f4")[:, None, None]).all()
