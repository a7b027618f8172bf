import numpy as np
import pytest
from engine.test_channels import layers, layouts, numbers, output_shape
from hypothesis import example, given, settings

from kernelfield.engine import choice, gradients, portable, reference
from kernelfield.engine import layer_plan as plan

MODULES = [portable]
if choice.halide_is_installed():
    MODULES.append(gradients)

WIDE = ((1, 2, 140, 150), (2, 1, 3, 2), (1, 1), (1, 2), 2)


def tensors(layer, dtype="float64"):
    return numbers(layer[0], dtype, 1), numbers(layer[1], dtype, 2), numbers(output_shape(layer), dtype, 3)


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@settings(max_examples=40)
@given(layer=layers())
@example(layer=((2, 4, 5, 6), (4, 1, 2, 3), (1, 2), (2, 1), 4))
@example(layer=((1, 1, 9, 80), (1, 1, 4, 5), (2, 3), (3, 2), 1))
def test_they_are_the_definition(module, dtype, layer):
    image, weights, gradient = tensors(layer, dtype)
    eps = 4 * np.finfo(dtype).eps
    ours = module.weight_gradient(image, gradient, layer[1][2:], *layer[2:])
    truth = reference.weight_gradient(image, gradient, layer[1][2:], *layer[2:])
    size = reference.weight_gradient(abs(image), abs(gradient), layer[1][2:], *layer[2:])
    assert ours.dtype == dtype
    assert ours.shape == layer[1]
    assert (abs(ours - truth) <= eps * gradient.size * size).all()
    ours = module.image_gradient(gradient, weights, layer[0], *layer[2:])
    truth = reference.image_gradient(gradient, weights, layer[0], *layer[2:])
    size = reference.image_gradient(abs(gradient), abs(weights), layer[0], *layer[2:])
    assert ours.dtype == dtype
    assert ours.shape == layer[0]
    assert (abs(ours - truth) <= eps * weights.size * size).all()


@pytest.mark.parametrize("module", MODULES)
@settings(max_examples=40)
@given(layer=layers(max_outputs=40))
@example(layer=WIDE)
@example(layer=((1, 1, 300, 141), (2, 1, 5, 4), (2, 1), (1, 1), 1))
def test_they_are_adjoint_to_forward(module, layer):
    image, weights, gradient = tensors(layer)
    out = np.empty(gradient.shape)
    plan.forward(image, weights, out, *layer[2:])
    product = np.vdot(out, gradient)
    size = 1e-11 * (1 + np.vdot(abs(out), abs(gradient)))
    by_image = np.vdot(image, module.image_gradient(gradient, weights, layer[0], *layer[2:]))
    by_weights = np.vdot(weights, module.weight_gradient(image, gradient, layer[1][2:], *layer[2:]))
    assert abs(by_image - product) <= size
    assert abs(by_weights - product) <= size


def test_the_frame_of_a_large_image_gradient():
    pytest.importorskip("halide")
    _, weights, gradient = tensors(WIDE)
    ours = gradients.image_gradient(gradient, weights, WIDE[0], *WIDE[2:])
    np.testing.assert_allclose(ours, portable.image_gradient(gradient, weights, WIDE[0], *WIDE[2:]), atol=1e-12)


def test_finite_differences(engine):
    layer = (1, 2, 6, 7), (4, 1, 3, 2), (2, 1), (1, 2), 2
    image, weights, gradient = tensors(layer)

    def loss():
        plan.forward(image, weights, out := np.empty(gradient.shape), *layer[2:])
        return np.vdot(out, gradient)

    by_image = plan.image_gradient(gradient, weights, layer[0], *layer[2:])
    by_weights = plan.weight_gradient(image, gradient, layer[1][2:], *layer[2:])
    for array, slopes in ((image, by_image), (weights, by_weights)):
        for place in np.ndindex(array.shape):
            array[place] += 1e-3
            above = loss()
            array[place] -= 2e-3
            below = loss()
            array[place] += 1e-3
            assert abs((above - below) / 2e-3 - slopes[place]) < 1e-9


def test_what_no_window_reaches_has_gradient_0(engine):
    layer = (1, 1, 9, 90), (1, 1, 2, 2), (3, 3), (1, 1), 1
    _, weights, gradient = tensors(layer)
    ours = plan.image_gradient(gradient, weights, layer[0], *layer[2:])
    assert not ours[:, :, 2::3].any()
    assert not ours[:, :, :, 2::3].any()
    assert ours[:, :, ::3, ::3].all()


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("stride", [1, 2])
def test_any_memory_layout(module, stride):
    layer = (2, 2, 9, 74), (2, 2, 3, 2), (stride, 1), (1, stride), 1
    image, weights, gradient = tensors(layer)
    by_image = reference.image_gradient(gradient, weights, layer[0], *layer[2:])
    by_weights = reference.weight_gradient(image, gradient, (3, 2), *layer[2:])
    for (name, other_image), (_, other) in zip(layouts(image), layouts(gradient), strict=True):
        ours = module.weight_gradient(other_image, other, (3, 2), *layer[2:])
        np.testing.assert_allclose(ours, by_weights, atol=1e-10, err_msg=name)
        ours = module.image_gradient(other, weights, layer[0], *layer[2:])
        np.testing.assert_allclose(ours, by_image, atol=1e-10, err_msg=name)
    ones = np.broadcast_to(np.ones(1), gradient.shape)  # the gradient of a sum
    np.testing.assert_allclose(
        module.weight_gradient(image, ones, (3, 2), *layer[2:]),
        module.weight_gradient(image, ones.copy(), (3, 2), *layer[2:]),
        atol=1e-10,
    )
    np.testing.assert_allclose(
        module.image_gradient(ones, weights, layer[0], *layer[2:]),
        module.image_gradient(ones.copy(), weights, layer[0], *layer[2:]),
        atol=1e-10,
    )


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("stride", [1, 2])
def test_nan_keeps_to_its_footprint(module, stride):
    layer = (1, 2, 12, 80), (2, 2, 3, 3), (stride, stride), (1, 1), 1
    image, weights, gradient = tensors(layer)
    image[0, 1, 0, 0] = np.nan
    ours = module.weight_gradient(image, gradient, (3, 3), *layer[2:])
    assert np.isnan(ours[:, 1, 0, 0]).all()
    assert np.isnan(ours).sum() == 2
    gradient[0, 0, 2, 4] = np.nan
    weights[:] = 0
    ours = module.image_gradient(gradient, weights, layer[0], *layer[2:])
    truth = np.zeros(layer[0], bool)
    truth[:, :, 2 * stride : 2 * stride + 3, 4 * stride : 4 * stride + 3] = True
    assert (np.isnan(ours) == truth).all()


def test_nothing_in_nothing_out(engine):
    layer = (0, 2, 5, 6), (4, 1, 3, 3), (1, 1), (1, 1), 2
    image, weights, gradient = tensors(layer, "float32")
    assert plan.image_gradient(gradient, weights, layer[0], *layer[2:]).shape == layer[0]
    assert not plan.weight_gradient(image, gradient, (3, 3), *layer[2:]).any()
    assert plan.weight_gradient(image, gradient, (3, 3), *layer[2:]).shape == layer[1]


@pytest.mark.parametrize("size", [600, 2048])
def test_a_float32_gradient_is_summed_in_strips(size):
    # Equal terms are the worst case, for their rounding errors all point the same way.
    pytest.importorskip("halide")
    image, gradient = (np.full((1, 1, n, n), 0.1, "f4") for n in (size, size - 2))
    ours = plan.weight_gradient(image, gradient, (3, 3), (1, 1), (1, 1), 1)
    assert ours == pytest.approx((size - 2) ** 2 * float(np.float32(0.1)) ** 2, rel=3e-5)
