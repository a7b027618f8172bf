"""Tensors of every framework: the numbers of the definition, its gradients, and the tensor's own dtype back."""

from __future__ import annotations

import itertools
import sys
import types

import numpy as np
import pytest
from conformance import oracle
from conformance.frameworks import KNOWN, NAMES

import kernelfield as kf
from kernelfield.correlation.arguments import check_operation
from kernelfield.engine import reference
from kernelfield.errors import ArgumentError, DtypeError
from kernelfield.tensors import registry

pytestmark = pytest.mark.core

BOUNDARIES = ("constant", "nearest", "reflect", "mirror", "wrap")
TOLERANCE = {"float32": 2e-5, "float64": 1e-12, "float16": 2e-2, "bfloat16": 1e-1}
DEFAULTS = dict(
    mode="same", boundary="reflect", cval=0.0, origin=None, padding=None, stride=1, dilation=1, groups=1
)  # fmt: skip

# Image shape, kernel shape, settings: kernels odd, even, one-dimensional and larger than the image.
SETTINGS = [
    ((7, 9), (3, 3), dict(mode="valid")),
    ((7, 9), (2, 3), dict(mode="full", boundary="wrap")),
    ((2, 7, 9), (4, 1), dict(boundary="mirror", stride=2)),
    ((3, 4), (7, 7), dict(boundary="reflect")),
    ((8, 7), (3, 2), dict(dilation=(2, 3), boundary="constant", cval=1.5)),
    ((6, 8), (1, 2), dict(mode="same", origin=(0, -1), boundary="nearest")),
    ((2, 3, 6, 7), (4, 3, 3, 3), dict(mode="valid")),
    ((2, 3, 6, 7), (4, 3, 3, 3), dict(padding=1, boundary="constant")),
    ((2, 4, 7, 6), (6, 2, 2, 3), dict(padding=(1, 2), groups=2, stride=(2, 1), boundary="constant")),
    ((1, 3, 7, 8), (3, 1, 3, 4), dict(groups=3, boundary="wrap", dilation=(1, 2))),
    ((4, 6, 7), (2, 4, 3, 2), dict(padding=((0, 3), (2, 1)), stride=(3, 2), boundary="mirror")),
    ((2, 2, 5, 5), (3, 2, 1, 1), dict(stride=2)),
    ((2, 2, 2, 6, 5), (2, 2, 2, 2), dict(mode="full", boundary="constant", cval=-2.0)),
    ((1, 2, 9, 9), (2, 2, 5, 5), dict(boundary="reflect", stride=2, dilation=2)),
]
IDS = [f"{i}-{'x'.join(map(str, s[0]))}" for i, s in enumerate(SETTINGS)]


def arrays(image, kernel, dtype, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=image).astype(dtype), rng.normal(size=kernel).astype(dtype)


def operation_of(image, kernel, how):
    return check_operation(image, kernel, own_origin=(0, 0), **{**DEFAULTS, **how})


def close(found, wanted, dtype):
    assert found.shape == wanted.shape
    tolerance = TOLERANCE[dtype]
    np.testing.assert_allclose(found.astype("float64"), wanted, rtol=tolerance, atol=tolerance * 10)


def check_tensor(framework, result, dtype):
    assert framework.adapter.recognises(result)
    assert framework.adapter.dtype(result) == dtype
    return framework.numpy(result)


def test_the_textbook_example(framework, dtype):
    X = framework.tensor(np.arange(9, dtype=dtype).reshape(3, 3))
    K = framework.tensor(np.arange(4, dtype=dtype).reshape(2, 2))
    result = check_tensor(framework, kf.corr2d(X, K), dtype)
    np.testing.assert_array_equal(result, [[19, 25], [37, 43]])


def test_the_edge_and_its_transpose(framework, dtype):
    X = np.ones((6, 8), dtype)
    X[:, 2:6] = 0
    K = framework.tensor(np.array([[1, -1]], dtype))
    wanted = np.zeros((6, 7))
    wanted[:, 1], wanted[:, 5] = 1, -1
    np.testing.assert_array_equal(framework.numpy(kf.corr2d(framework.tensor(X), K)), wanted)
    np.testing.assert_array_equal(framework.numpy(kf.corr2d(framework.tensor(X.T), K)), np.zeros((8, 5)))


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("mode", ["valid", "same", "full"])
def test_modes_and_boundaries_are_those_of_the_definition(framework, dtype, mode, boundary):
    image, kernel = arrays((2, 5, 6), (3, 4), dtype)
    result = kf.correlate(framework.tensor(image), framework.tensor(kernel), mode=mode, boundary=boundary, cval=1.25)
    wanted = reference.correlate(image, kernel, mode, boundary, 1.25)
    close(check_tensor(framework, result, dtype), wanted, dtype)


@pytest.mark.parametrize(("image", "kernel", "how"), SETTINGS, ids=IDS)
def test_settings(framework, dtype, image, kernel, how):
    operation = operation_of(image, kernel, how)
    pixels, weights = arrays(image, kernel, dtype)
    result = kf.correlate(framework.tensor(pixels), framework.tensor(weights), **how)
    close(check_tensor(framework, result, dtype), oracle.forward(operation, pixels, weights), dtype)


@pytest.mark.parametrize(("image", "kernel", "how"), SETTINGS, ids=IDS)
def test_gradients(framework, dtype, image, kernel, how):
    operation = operation_of(image, kernel, how)
    pixels, weights = arrays(image, kernel, dtype)
    shape = operation.output_shape(image, kernel)
    cotangent = np.random.default_rng(9).normal(size=shape).astype(dtype)
    found = framework.pullback(lambda x, k: kf.correlate(x, k, **how), [pixels, weights], cotangent)
    for one, wanted in zip(found, oracle.backward(operation, pixels, weights, cotangent), strict=True):
        assert one.dtype == dtype
        close(one, wanted, dtype)


@pytest.mark.parametrize(("image", "kernel", "how"), SETTINGS, ids=IDS)
def test_the_native_path_gives_the_same(framework, image, kernel, how):
    adapter, operation = framework.adapter, operation_of(image, kernel, how)
    pixels, weights = arrays(image, kernel, "float32")
    wanted = oracle.forward(operation, pixels, weights)
    result = adapter.native(operation, framework.tensor(pixels), framework.tensor(weights))
    close(check_tensor(framework, result, "float32"), wanted, "float32")
    if len(image) == len(kernel) == 4:
        turned = framework.tensor(pixels.transpose(0, 2, 3, 1)), framework.tensor(weights.transpose(2, 3, 1, 0))
        result = adapter.native(operation, *turned, channels_last=True)
        close(framework.numpy(result).transpose(0, 3, 1, 2), wanted, "float32")


@pytest.mark.parametrize(("image", "kernel", "how"), SETTINGS[5:11:2], ids=IDS[5:11:2])
def test_gradients_of_the_native_path(framework, image, kernel, how):
    operation = operation_of(image, kernel, how)
    pixels, weights = arrays(image, kernel, "float32")
    cotangent = np.random.default_rng(9).normal(size=operation.output_shape(image, kernel)).astype("float32")
    native = lambda x, k: framework.adapter.native(operation, x, k)  # noqa: E731
    found = framework.pullback(native, [pixels, weights], cotangent)
    for one, wanted in zip(found, oracle.backward(operation, pixels, weights, cotangent), strict=True):
        close(one, wanted, "float32")


@pytest.mark.parametrize(("image", "kernel", "how"), SETTINGS[6:10], ids=IDS[6:10])
def test_channels_last(framework, dtype, image, kernel, how):
    adapter, operation = framework.adapter, operation_of(image, kernel, how)
    pixels, weights = arrays(image, kernel, dtype)
    bias = np.arange(kernel[0], dtype=dtype)
    turned = framework.tensor(pixels.transpose(0, 2, 3, 1)), framework.tensor(weights.transpose(2, 3, 1, 0))
    result = adapter.correlate(operation, *turned, bias=framework.tensor(bias), channels_last=True)
    wanted = oracle.forward(operation, pixels, weights) + bias[:, None, None]
    close(check_tensor(framework, result, dtype).transpose(0, 3, 1, 2), wanted, dtype)


def test_finite_differences(framework):
    with framework.precision("float64"):
        how = dict(boundary="mirror", stride=(1, 2), dilation=(2, 1), groups=2)
        pixels, weights = arrays((1, 4, 5, 6), (2, 2, 2, 3), "float64")
        cotangent = np.random.default_rng(4).normal(size=(1, 2, 5, 3))

        def loss(x, k):
            result = framework.numpy(kf.correlate(framework.tensor(x), framework.tensor(k), **how))
            return float((result * cotangent).sum())

        found = framework.pullback(lambda x, k: kf.correlate(x, k, **how), [pixels, weights], cotangent)
        for which, values in enumerate((pixels, weights)):
            for place in list(np.ndindex(values.shape))[:: max(1, values.size // 15)]:
                ends = []
                for sign in (1, -1):
                    moved = [pixels.copy(), weights.copy()]
                    moved[which][place] += sign * 1e-5
                    ends.append(loss(*moved))
                assert found[which][place] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-7, abs=1e-8)


def test_only_what_is_asked_for_is_differentiated(framework, dtype):
    pixels, weights = arrays((6, 8), (1, 2), dtype)
    cotangent = np.ones((6, 7), dtype)
    to_image, to_kernel = oracle.backward(operation_of((6, 8), (1, 2), dict(mode="valid")), pixels, weights, cotangent)
    other = framework.tensor(weights)
    (found,) = framework.pullback(lambda x: kf.corr2d(x, other), [pixels], cotangent)
    close(found, to_image, dtype)
    (found,) = framework.pullback(lambda k: kf.corr2d(framework.tensor(pixels), k), [weights], cotangent)
    close(found, to_kernel, dtype)
    (found,) = framework.pullback(lambda k: kf.corr2d(pixels, k), [weights], cotangent)
    close(found, to_kernel, dtype)


def test_bias_and_its_gradient(framework, dtype):
    pixels, weights = arrays((2, 3, 5, 6), (4, 3, 3, 3), dtype)
    bias = np.arange(4, dtype=dtype)
    cotangent = np.random.default_rng(5).normal(size=(2, 4, 5, 6)).astype(dtype)
    operation = operation_of(pixels.shape, weights.shape, {})
    together = framework.tensor(pixels), framework.tensor(weights)
    wanted = oracle.forward(operation, pixels, weights) + bias[:, None, None]
    for form in (framework.tensor(bias), bias, bias.tolist()):
        close(check_tensor(framework, kf.correlate(*together, bias=form), dtype), wanted, dtype)
    (found,) = framework.pullback(lambda b: kf.correlate(*together, bias=b), [bias], cotangent)
    close(found, cotangent.astype("float64").sum(axis=(0, 2, 3)), dtype)
    with pytest.raises(ArgumentError, match=r"^bias: expected a number or shape \(4,\); received shape \(3,\)"):
        kf.correlate(*together, bias=framework.tensor(bias[:3]))


def test_a_batch_is_its_images(framework, dtype):
    pixels, weights = arrays((2, 1, 3, 6, 7), (3, 3), dtype)
    wanted = reference.correlate(pixels, weights)
    close(framework.numpy(kf.correlate(framework.tensor(pixels), framework.tensor(weights))), wanted, dtype)


def test_channels_lie_where_the_axis_says(framework, dtype):
    """Tensors have them before the rows: no shape changes that, only an axis that is named."""
    pixels, kernel = arrays((8, 9, 3), (3, 2), dtype)
    image = framework.tensor(pixels)
    for axis in ("auto", None):
        found = check_tensor(framework, kf.correlate(image, framework.tensor(kernel), channel_axis=axis), dtype)
        close(found, kf.correlate(pixels.astype("f8"), kernel, channel_axis=None), dtype)
    for axis in (-1, 1):
        found = check_tensor(framework, kf.correlate(image, framework.tensor(kernel), channel_axis=axis), dtype)
        close(found, kf.correlate(pixels.astype("f8"), kernel, channel_axis=axis), dtype)
    bank, layer = (np.random.default_rng(1).normal(size=size).astype(dtype) for size in ((4, 3, 2), (5, 3, 3, 2)))
    how = dict(channel_axis=-1, stride=2)
    found = check_tensor(framework, kf.correlate(image, framework.tensor(bank), bank=True, **how), dtype)
    close(found, kf.correlate(pixels.astype("f8"), bank, bank=True, **how), dtype)
    found = check_tensor(framework, kf.convolve(image, framework.tensor(layer), **how), dtype)
    close(found, kf.convolve(pixels.astype("f8"), layer, **how), dtype)
    with pytest.raises(ArgumentError, match="bank=True"):
        kf.correlate(image, framework.tensor(bank))
    with pytest.raises(ArgumentError, match="channel_axis: expected -3 to 2"):
        kf.correlate(image, framework.tensor(kernel), channel_axis=3)
    with pytest.raises(ArgumentError, match="missing: expected 'propagate' with tensors"):
        kf.correlate(image, framework.tensor(kernel), missing="renormalise")


def test_convolve_flips(framework, dtype):
    pixels, weights = arrays((6, 7), (2, 3), dtype)
    wanted = kf.convolve(pixels.astype("float64"), weights)
    for kernel in (framework.tensor(weights), weights, weights.tolist()):
        close(check_tensor(framework, kf.convolve(framework.tensor(pixels), kernel), dtype), wanted, dtype)
    result = kf.convolve(framework.tensor(pixels), framework.tensor(weights), mode="valid")
    close(framework.numpy(result), kf.convolve(pixels.astype("float64"), weights, mode="valid"), dtype)


def test_kernels_and_images_that_are_no_tensors(framework, dtype):
    pixels, weights = arrays((6, 7), (3, 3), dtype)
    wanted = reference.correlate(pixels, weights)
    for kernel in (
        weights,
        weights.tolist(),
        kf.Kernel(weights),
        weights.astype("float64"),
        np.asfortranarray(weights),
    ):
        close(check_tensor(framework, kf.correlate(framework.tensor(pixels), kernel), dtype), wanted, dtype)
    for image in (pixels, pixels.tolist(), pixels[::-1][::-1]):
        close(check_tensor(framework, kf.correlate(image, framework.tensor(weights)), dtype), wanted, dtype)
    frozen = pixels.copy()
    frozen.flags.writeable = False
    close(check_tensor(framework, kf.correlate(frozen, framework.tensor(weights)), dtype), wanted, dtype)


def test_a_kernel_brings_its_anchor(framework):
    kernel = kf.kernels.shift(1, -2)
    pixels, _ = arrays((6, 7), (1, 1), "float32")
    result = framework.numpy(kf.correlate(framework.tensor(pixels), kernel, boundary="wrap"))
    np.testing.assert_array_equal(result, kf.correlate(pixels, kernel, boundary="wrap"))


@pytest.mark.parametrize("integers", ["uint8", "int32"])
def test_images_of_integers(framework, dtype, integers):
    pixels = np.random.default_rng(1).integers(0, 200, (5, 6)).astype(integers)
    _, weights = arrays((5, 6), (2, 3), dtype)
    wanted = reference.correlate(pixels, weights)
    image = framework.tensor(pixels)
    result = check_tensor(framework, kf.correlate(image, framework.tensor(weights)), dtype)
    np.testing.assert_allclose(result, wanted, rtol=1e-5, atol=1e-3)
    result = check_tensor(framework, kf.correlate(image, weights), "float32")
    np.testing.assert_allclose(result, wanted, rtol=1e-5, atol=1e-3)


def test_halves(framework):
    if framework.half is None:
        assert framework.name == "mxnet", "every other framework convolves 16-bit floats on a CPU"
        return
    pixels, weights = arrays((2, 2, 6, 7), (3, 2, 3, 3), "float32")
    adapter = framework.adapter
    pair = [adapter.tensor(v, framework.half, framework.tensor(v)) for v in (pixels, weights)]
    result = kf.correlate(*pair)
    assert adapter.dtype(result) == framework.half
    wanted = oracle.forward(operation_of(pixels.shape, weights.shape, {}), pixels, weights)
    close(framework.numpy(adapter.tensor(result, "float32", result)), wanted, framework.half)


def test_tensors_that_do_not_lie_in_a_row(framework, dtype):
    pixels, weights = arrays((6, 5, 3), (3, 2), dtype)
    adapter = framework.adapter
    image = adapter.transpose(framework.tensor(pixels), (2, 1, 0))
    kernel = adapter.transpose(framework.tensor(weights), (1, 0))
    close(
        framework.numpy(kf.correlate(image, kernel)), reference.correlate(pixels.transpose(2, 1, 0), weights.T), dtype
    )
    cotangent = np.random.default_rng(3).normal(size=(5, 6, 3)[::-1]).astype(dtype).transpose(0, 2, 1)
    turned = lambda x, k: kf.correlate(adapter.transpose(x, (2, 1, 0)), adapter.transpose(k, (1, 0)))  # noqa: E731
    to_image, to_kernel = framework.pullback(turned, [pixels, weights], cotangent)
    wanted = oracle.backward(operation_of((3, 5, 6), (2, 3), {}), pixels.transpose(2, 1, 0), weights.T, cotangent)
    close(to_image, wanted[0].transpose(2, 1, 0), dtype)
    close(to_kernel, wanted[1].T, dtype)


def test_a_nan_reaches_the_outputs_whose_window_holds_it(framework, dtype):
    pixels, weights = arrays((7, 8), (3, 3), dtype)
    pixels[3, 4] = np.nan
    wanted = np.isnan(reference.correlate(pixels, weights))
    np.testing.assert_array_equal(
        np.isnan(framework.numpy(kf.correlate(framework.tensor(pixels), framework.tensor(weights)))), wanted
    )


def test_arguments_are_left_as_they_were(framework, dtype):
    pixels, weights = arrays((6, 7), (3, 3), dtype)
    image, kernel = framework.tensor(pixels), framework.tensor(weights)
    result = kf.correlate(image, kernel, boundary="constant")
    first = framework.numpy(result).copy()
    kf.correlate(image, kernel)
    np.testing.assert_array_equal(framework.numpy(image), pixels)
    np.testing.assert_array_equal(framework.numpy(kernel), weights)
    np.testing.assert_array_equal(framework.numpy(result), first)


def test_memory_is_seen_without_a_copy(framework, dtype):
    adapter, pixels = framework.adapter, arrays((64, 64), (1, 1), dtype)[0]
    tensor = framework.tensor(pixels)
    one, two = adapter.to_numpy(tensor), adapter.to_numpy(tensor)
    np.testing.assert_array_equal(one, pixels)
    assert np.shares_memory(one, two) == framework.views


def test_the_adapter_says_what_a_tensor_is(framework, dtype):
    adapter = framework.adapter
    values = arrays((2, 3, 4), (1, 1), dtype)[0]
    tensor = framework.tensor(values)
    assert adapter.recognises(tensor)
    assert not any(adapter.recognises(v) for v in (values, [1.0], 3, None, "text"))
    assert tuple(adapter.shape(tensor)) == (2, 3, 4)
    assert adapter.is_concrete(tensor)
    back = check_tensor(framework, adapter.from_numpy(values, tensor), dtype)
    np.testing.assert_array_equal(back, values)
    np.testing.assert_array_equal(framework.numpy(adapter.flip(tensor)), values[:, ::-1, ::-1])
    np.testing.assert_array_equal(framework.numpy(adapter.reshape(tensor, (4, -1))), values.reshape(4, 6))
    np.testing.assert_array_equal(framework.numpy(adapter.transpose(tensor, (2, 0, 1))), values.transpose(2, 0, 1))
    for value in (values, values.tolist(), tensor):
        made = check_tensor(framework, adapter.tensor(value, "float32", tensor), "float32")
        np.testing.assert_array_equal(made, values.astype("float32"))


def test_the_route_is_told(framework):
    adapter = framework.adapter
    pixels, weights = (framework.tensor(a) for a in arrays((1, 1, 6, 8), (1, 1, 3, 3), "float32"))
    operation = operation_of((1, 1, 6, 8), (1, 1, 3, 3), {})
    assert adapter.route(operation, pixels, weights)[0] == "engine"
    pixels, weights = (framework.tensor(a) for a in arrays((1, 64, 56, 56), (64, 64, 3, 3), "float32"))
    operation = operation_of((1, 64, 56, 56), (64, 64, 3, 3), {})
    assert adapter.route(operation, pixels, weights) == (framework.name, "many channels")


def test_many_channels_give_the_same(framework):
    pixels, weights = arrays((1, 64, 10, 11), (64, 64, 3, 3), "float32")
    how = dict(boundary="constant")
    result = kf.correlate(framework.tensor(pixels), framework.tensor(weights), **how)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(pixels[0], [(0, 0), (1, 1), (1, 1)]), (3, 3), (1, 2))
    wanted = np.einsum("cijab,ocab->oij", windows.astype("float64"), weights.astype("float64"))[None]
    np.testing.assert_allclose(framework.numpy(result), wanted, rtol=1e-4, atol=1e-4)


def test_errors_say_what_is_wrong_in_one_line(framework):
    image, kernel = (framework.tensor(a) for a in arrays((6, 8), (3, 3), "float32"))
    four = framework.tensor(np.ones((2, 3, 3, 3), "float32"))
    cases = [
        (lambda: kf.correlate(image, four), ArgumentError, "image: expected (..., C, H, W)"),
        (
            lambda: kf.correlate(framework.tensor(np.ones((2, 6, 8), "float32")), four),
            ArgumentError,
            "image: expected 3",
        ),
        (
            lambda: kf.correlate(image, framework.tensor(np.ones(3, "float32"))),
            ArgumentError,
            "kernel: expected two axes",
        ),
        (lambda: kf.correlate(framework.tensor(np.ones(3, "float32")), kernel), ArgumentError, "image: expected"),
        (lambda: kf.correlate(kernel, image, mode="valid"), ArgumentError, "kernel: expected at most 3×3"),
        (lambda: kf.correlate(image, kernel, boundary="edge"), ArgumentError, "boundary: expected one of"),
        (lambda: kf.correlate(image, kernel, stride=0), ArgumentError, "stride: expected at least 1"),
        (lambda: kf.correlate(image, kernel, groups=2), ArgumentError, "groups: expected 1"),
        (
            lambda: kf.correlate(image, kernel, out=np.empty((6, 8), "float32")),
            ArgumentError,
            "out: expected none",
        ),
        (lambda: kf.correlate(image, "edge"), DtypeError, "kernel: expected real numbers"),
        (lambda: kf.corr2d(four, kernel), ArgumentError, "X: expected two axes"),
    ]
    for call, kind, start in cases:
        with pytest.raises(kind) as caught:
            call()
        message = str(caught.value)
        assert message.startswith(start)
        assert "\n" not in message


def test_frameworks_do_not_mix(framework, monkeypatch):
    class Foreign:
        shape = (3, 3)

    class Other:
        name = "other"

        def recognises(self, value):
            return isinstance(value, Foreign)

    monkeypatch.setitem(registry.FRAMEWORKS, "other", "adapter_of_other")
    monkeypatch.setitem(sys.modules, "other", types.SimpleNamespace(__version__="1"))
    monkeypatch.setitem(sys.modules, "adapter_of_other", types.SimpleNamespace(ADAPTER=Other()))
    image = framework.tensor(np.ones((6, 8), "float32"))
    with pytest.raises(ArgumentError, match=r"expected tensors of one framework; received .*; convert one$"):
        kf.correlate(image, Foreign())


def test_the_real_frameworks_do_not_mix():
    for one, two in itertools.combinations(NAMES, 2):
        image, kernel = (KNOWN[n]().tensor(np.ones((3, 3), "float32")) for n in (one, two))
        for pair in ((image, kernel), (kernel, image)):
            with pytest.raises(ArgumentError, match=r"expected tensors of one framework; received \w+ and \w+"):
                kf.correlate(*pair)


def descent(operations, image, target, kernels, lr, momentum, steps):
    """Return the losses and kernels of plain gradient descent, by the definition."""
    kernels, losses, speeds = [k.copy() for k in kernels], [], [np.zeros_like(k) for k in kernels]
    for _ in range(steps):
        seen = [image]
        for operation, kernel in zip(operations, kernels):
            seen.append(oracle.forward(operation, seen[-1], kernel))
        slope = 2 * (seen[-1] - target)
        losses.append(float(((seen[-1] - target) ** 2).sum()))
        for i in reversed(range(len(kernels))):
            slope, gradient = oracle.backward(operations[i], seen[i], kernels[i], slope)
            speeds[i] = momentum * speeds[i] + gradient
            kernels[i] = kernels[i] - lr * speeds[i]
    return losses, kernels


@pytest.mark.parametrize(("momentum", "lr"), [(0.0, 3e-2), (0.9, 3e-3)])
def test_descent(framework, momentum, lr):
    X = np.ones((6, 8), "float32")
    X[:, 2:6] = 0
    target = X[:, :-1] - X[:, 1:]
    operations = [operation_of((6, 8), (1, 2), dict(mode="valid"))]
    start = [np.array([[0.3, -0.2]], "float32")]
    steps = framework.adapter.descend(operations, X, target, start, "sgd", lr, momentum)
    found = list(itertools.islice(steps, 10))
    losses, kernels = descent(operations, X, target, start, lr, momentum, 10)
    np.testing.assert_allclose([loss for loss, _ in found], losses, rtol=1e-4, atol=1e-5)
    assert all(type(loss) is float for loss, _ in found)
    np.testing.assert_allclose(found[-1][1][0], kernels[0], rtol=1e-4, atol=1e-5)
    assert found[0][1][0].shape == (1, 2)
    np.testing.assert_array_equal(start[0], np.array([[0.3, -0.2]], "float32"))


def test_descent_through_several_layers(framework):
    rng = np.random.default_rng(2)
    image = rng.normal(size=(9, 10)).astype("float32")
    operations = [operation_of((9, 10), (3, 3), dict(mode="same")), operation_of((9, 10), (2, 1), dict(mode="valid"))]
    kernels = [rng.normal(size=s).astype("float32") * 0.3 for s in ((3, 3), (2, 1))]
    target = rng.normal(size=(8, 10)).astype("float32")
    found = list(itertools.islice(framework.adapter.descend(operations, image, target, kernels, "sgd", 1e-3, 0.0), 5))
    losses, wanted = descent(operations, image, target, kernels, 1e-3, 0.0, 5)
    np.testing.assert_allclose([loss for loss, _ in found], losses, rtol=1e-4)
    for one, other in zip(found[-1][1], wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_adam_takes_steps_of_its_rate_and_arrives(framework):
    rng = np.random.default_rng(3)
    image = rng.normal(size=(12, 12)).astype("float32")
    operations = [operation_of((12, 12), (1, 2), dict(mode="valid"))]
    target = image[:, :-1] - image[:, 1:]
    start = np.zeros((1, 2), "float32")
    found = list(
        itertools.islice(framework.adapter.descend(operations, image, target, [start], "adam", 0.05, 0.0), 150)
    )
    np.testing.assert_allclose(found[0][1][0], [[0.05, -0.05]], rtol=framework.adam_tolerance)
    np.testing.assert_allclose(found[-1][1][0], [[1, -1]], atol=0.02)
    assert found[-1][0] < 1e-2 * found[0][0]


@pytest.mark.parametrize("name", ["image", "kernel", "bias"])
def test_complex_numbers_are_refused_and_not_cut(framework, name):
    values = {"image": np.ones((4, 5), "f4"), "kernel": np.ones((2, 2), "f4"), "bias": np.ones(1, "f4")}
    tensors = {key: framework.tensor(value) for key, value in values.items()}
    wrong = [values[name].astype("c8")]
    if framework.name != "mxnet":  # which has no complex tensors
        wrong.append(framework.tensor(wrong[0]))
    for value in wrong:
        with pytest.raises(DtypeError, match=f"{name}: expected (real numbers|integers or floats).*complex64"):
            kf.correlate(**{**tensors, name: value})
