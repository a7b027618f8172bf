"""MXNet: its own convolution as oracle, both interfaces, requests of its autograd, and pending operations."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import mxnet as mx
import numpy as np
import pytest

import kernelfield as kf
from kernelfield.correlation.arguments import check_operation
from kernelfield.errors import ArgumentError
from kernelfield.mxnet.adapter import ADAPTER
from kernelfield.mxnet.convolution import axis_indices

DEFAULTS = dict(
    mode="same", boundary="reflect", cval=0.0, origin=None, padding=None, stride=1, dilation=1, groups=1
)  # fmt: skip
BOUNDARIES = ("constant", "nearest", "reflect", "mirror", "wrap")


def operation_of(image, kernel, **how):
    return check_operation(tuple(image), tuple(kernel), own_origin=(0, 0), **{**DEFAULTS, **how})


def normal(*shape, dtype="float32", seed=0):
    return mx.nd.array(np.random.default_rng(seed + sum(shape)).normal(size=shape), dtype=dtype)


def engine(image, kernel, **how):
    return ADAPTER.differentiable(operation_of(image.shape, kernel.shape, **how), image, kernel)


def gradients(function, tensors, slope):
    for tensor in tensors:
        tensor.attach_grad()
    with mx.autograd.record():
        result = function(*tensors)
    result.backward(slope)
    return [result.asnumpy(), *(tensor.grad.asnumpy() for tensor in tensors)]


@pytest.fixture
def numpy_interface():
    mx.npx.set_np()
    yield
    mx.npx.reset_np()


GRID = [
    dict(stride=s, dilation=d, groups=g, padding=p, size=k)
    for s, d, g, p, k in itertools.product((1, (2, 3)), (1, (2, 1)), (1, 2, 4), (0, (1, 2)), ((3, 3), (2, 4), (1, 5)))
]


@pytest.mark.parametrize("case", GRID, ids=lambda c: "-".join(str(v).replace(" ", "") for v in c.values()))
def test_its_own_convolution_is_the_oracle(case):
    case = dict(case)
    size, groups = case.pop("size"), case["groups"]
    tensors = normal(2, 4, 9, 11), normal(8, 4 // groups, *size), normal(8)
    two = {k: v if isinstance(v, tuple) else (v, v) for k, v in case.items() if k != "groups"}

    def own(x, w, b):
        return mx.nd.Convolution(
            x, w, b, kernel=size, num_filter=8, num_group=groups,
            stride=two["stride"], dilate=two["dilation"], pad=two["padding"],
        )  # fmt: skip

    slope = normal(*own(*tensors).shape, seed=1)
    wanted = gradients(own, tensors, slope)
    found = gradients(lambda x, w, b: kf.correlate(x, w, bias=b, boundary="constant", **case), tensors, slope)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_the_same_interface_comes_back():
    image, kernel = normal(6, 8), normal(3, 3)
    legacy = kf.correlate(image, kernel)
    assert type(legacy) is mx.nd.NDArray
    for other in (kernel, kernel.as_np_ndarray(), kernel.asnumpy()):
        result = kf.correlate(image.as_np_ndarray(), other)
        assert type(result) is mx.np.ndarray
        np.testing.assert_array_equal(result.asnumpy(), legacy.asnumpy())
        assert type(kf.correlate(image, other, bias=2.0)) is mx.nd.NDArray
    four = normal(2, 3, 3, 3)
    result = kf.correlate(normal(3, 6, 8), four.as_np_ndarray(), bias=normal(2).as_np_ndarray())
    assert type(result) is mx.nd.NDArray
    assert result.shape == (2, 6, 8)


def test_under_the_numpy_interface(numpy_interface):
    image, kernel = mx.np.random.normal(size=(2, 3, 6, 8)), mx.np.random.normal(size=(4, 3, 2, 3))
    bias = mx.np.array([1.0, 2.0, 3.0, 4.0])
    image.attach_grad()
    with mx.autograd.record():
        result = kf.correlate(image, kernel, bias=bias)
    result.backward()
    wanted = kf.correlate(image.asnumpy(), kernel.asnumpy(), bias=bias.asnumpy())
    np.testing.assert_allclose(result.asnumpy(), wanted, rtol=1e-5, atol=1e-5)
    assert type(image.grad) is mx.np.ndarray
    assert kf.correlate(mx.np.zeros((0, 3, 6, 8)), kernel).shape == (0, 4, 6, 8)
    shifted = kf.correlate(image, kernel, bias=mx.np.array(2.0)).asnumpy()
    np.testing.assert_allclose(shifted, kf.correlate(image, kernel).asnumpy() + 2, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("wanted", ["image", "kernel", "both"])
@pytest.mark.parametrize("marked", [False, True])
def test_gradients_that_are_not_wanted_do_not_hide_the_others(wanted, marked):
    image, kernel = normal(6, 8), normal(2, 3)
    slope = mx.nd.ones((5, 6))
    _, to_image, to_kernel = gradients(kf.corr2d, (image, kernel), slope)
    fresh = {"image": image.copy(), "kernel": kernel.copy()}
    asked = list(fresh) if wanted == "both" else [wanted]
    for name in fresh if marked else asked:
        fresh[name].attach_grad()
    with mx.autograd.record():
        result = kf.corr2d(fresh["image"], fresh["kernel"])
    # Under `grad` only what is listed is wanted, though both are marked.
    found = mx.autograd.grad(result, [fresh[name] for name in asked], head_grads=slope)
    for name, gradient in zip(asked, found):
        expected = to_image if name == "image" else to_kernel
        np.testing.assert_allclose(gradient.asnumpy(), expected, rtol=1e-5, atol=1e-5)


def test_gradients_add_up_where_asked():
    image, kernel = normal(6, 8), normal(2, 3)
    slope = mx.nd.ones((5, 6))
    _, to_image, to_kernel = gradients(kf.corr2d, (image, kernel), slope)
    image.attach_grad("add")
    kernel.attach_grad("add")
    for _ in range(3):
        with mx.autograd.record():
            result = kf.corr2d(image, kernel)
        result.backward(slope)
    np.testing.assert_allclose(image.grad.asnumpy(), 3 * to_image, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(kernel.grad.asnumpy(), 3 * to_kernel, rtol=1e-5, atol=1e-5)


def test_a_kernel_used_twice():
    image, kernel = normal(8, 9), normal(3, 3)
    kernel.attach_grad()
    with mx.autograd.record():
        kf.correlate(kf.correlate(image, kernel), kernel).sum().backward()
    found = kernel.grad.asnumpy()
    with mx.autograd.record():
        ADAPTER.native(
            operation_of((8, 9), (3, 3)), ADAPTER.native(operation_of((8, 9), (3, 3)), image, kernel), kernel
        ).sum().backward()
    np.testing.assert_allclose(found, kernel.grad.asnumpy(), rtol=1e-4, atol=1e-4)


def test_finite_differences():
    image, kernel = normal(2, 3, 5, 6, dtype="float64"), normal(4, 3, 2, 3, dtype="float64")
    slope = normal(2, 4, 3, 3, dtype="float64")
    how = dict(boundary="mirror", stride=2, dilation=(1, 2))
    _, *found = gradients(lambda x, k: engine(x, k, **how), (image, kernel), slope)
    for which, tensor in enumerate((image, kernel)):
        values = tensor.asnumpy()
        for place in list(np.ndindex(values.shape))[::7]:
            ends = []
            for step in (1e-5, -1e-5):
                moved = [image, kernel]
                changed = values.copy()
                changed[place] += step
                moved[which] = mx.nd.array(changed, dtype="float64")
                ends.append(float((engine(*moved, **how) * slope).sum().asscalar()))
            assert found[which][place] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-7, abs=1e-8)


def test_pending_work_is_waited_for():
    left, right = normal(600, 600), normal(600, 600)
    product = left
    for _ in range(10):
        product = mx.nd.dot(product, right) / 600
    kernel = normal(3, 3)
    result = kf.correlate(product, kernel)
    np.testing.assert_array_equal(result.asnumpy(), kf.correlate(product.asnumpy(), kernel.asnumpy()))


def test_writes_after_backward_do_not_reach_it():
    image, kernel, slope = normal(300, 300), normal(3, 3), mx.nd.ones((298, 298))
    wanted = gradients(kf.corr2d, (image.copy(), kernel.copy()), slope)
    for _ in range(5):
        x, k, g = image.copy(), kernel.copy(), slope.copy()
        x.attach_grad()
        k.attach_grad()
        with mx.autograd.record():
            result = kf.corr2d(x, k)
        result.backward(g)
        for array in (x, k, g):
            array[:] = 0
        k -= k.grad
        for one, other in zip((x.grad, k.grad), wanted[1:]):
            np.testing.assert_allclose(one.asnumpy(), other, rtol=1e-5, atol=1e-5)


def test_results_of_its_convolution_in_blocked_layout():
    image, weights = normal(1, 32, 16, 16), normal(32, 32, 3, 3)
    blocked = mx.nd.Convolution(image, weights, kernel=(3, 3), num_filter=32, no_bias=True)
    kernel = normal(3, 3)
    result = kf.correlate(blocked, kernel)
    np.testing.assert_array_equal(result.asnumpy(), kf.correlate(blocked.asnumpy(), kernel.asnumpy()))

    def chain(x, w, k):
        inner = mx.nd.Convolution(x, w, kernel=(3, 3), num_filter=32, no_bias=True)
        return mx.nd.Convolution(correlate(inner, k), w, kernel=(3, 3), num_filter=32, no_bias=True)

    slope = normal(1, 32, 12, 12)
    correlate = kf.correlate
    found = gradients(chain, (image, weights, kernel), slope)
    correlate = lambda x, k: ADAPTER.native(operation_of(x.shape, k.shape), x, k)  # noqa: E731
    for one, other in zip(found, gradients(chain, (image, weights, kernel), slope), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3 * np.abs(other).max())


def test_views_are_read_only_and_outlive_the_tensor():
    tensor = normal(64, 64)
    wanted, view = tensor.asnumpy(), ADAPTER.to_numpy(tensor)
    assert not view.flags.writeable
    del tensor
    normal(64, 64, seed=5).wait_to_read()
    np.testing.assert_array_equal(view, wanted)


def test_from_numpy_leaves_the_array_writeable():
    array = np.arange(6, dtype="float32").reshape(2, 3)
    made = ADAPTER.from_numpy(array, normal(1))
    assert array.flags.writeable
    array[0, 0] = 9
    assert made[0, 0].asscalar() == 9
    np.testing.assert_array_equal(ADAPTER.from_numpy(array.T, normal(1)).asnumpy(), array.T)


def test_the_device_is_kept():
    other = mx.cpu(1)
    image, kernel = normal(1, 2, 6, 8).as_in_context(other), normal(3, 2, 3, 3).as_in_context(other)
    image.attach_grad()
    with mx.autograd.record():
        result = kf.correlate(image, kernel, bias=[1.0, 2.0, 3.0])
    result.backward()
    assert result.context == other
    assert image.grad.context == other
    assert np.abs(image.grad.asnumpy()).max() > 0
    assert kf.correlate(image, kernel.asnumpy()).context == other
    assert ADAPTER.native(operation_of(image.shape, kernel.shape), image, kernel).context == other


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_half_precision(boundary):
    image, kernel, bias = normal(2, 2, 6, 7), normal(3, 2, 3, 3), normal(3)
    halves = [t.astype("float16") for t in (image, kernel, bias)]
    assert ADAPTER.route(operation_of(image.shape, kernel.shape), *halves[:2]) == ("mxnet", "dtype float16")
    result = kf.correlate(*halves[:2], bias=halves[2], boundary=boundary)
    assert result.dtype == np.float16
    wanted = kf.correlate(image, kernel, bias=bias, boundary=boundary).asnumpy()
    np.testing.assert_allclose(result.asnumpy(), wanted, atol=2e-2)


def test_bfloat16():
    image, kernel = normal(6, 7), normal(3, 3)
    small = ADAPTER.tensor(image, "bfloat16", image)
    assert ADAPTER.dtype(small) == "bfloat16"
    result = kf.correlate(small, kernel)
    assert ADAPTER.dtype(result) == "bfloat16"
    wide = ADAPTER.tensor(result, "float32", result).asnumpy()
    np.testing.assert_allclose(wide, kf.correlate(image, kernel).asnumpy(), rtol=2e-2, atol=2e-2)


def test_sparse_arrays_are_refused():
    sparse = mx.nd.sparse.csr_matrix(np.eye(6, dtype="float32"))
    with pytest.raises(ArgumentError, match=r"^image, kernel: expected dense arrays; received csr; use tostype$"):
        kf.correlate(sparse, normal(3, 3))


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_symbols(boundary):
    image, kernel = normal(2, 5, 6), normal(3, 4)
    x, k = mx.sym.var("x", shape=(2, 5, 6)), mx.sym.var("k", shape=(3, 4))
    result = kf.correlate(x, k, boundary=boundary, cval=1.5)
    assert isinstance(result, mx.sym.Symbol)
    (found,) = result.eval(x=image, k=kernel)
    wanted = kf.correlate(image, kernel, boundary=boundary, cval=1.5).asnumpy()
    np.testing.assert_allclose(found.asnumpy(), wanted, rtol=1e-5, atol=1e-5)
    assert ADAPTER.route(operation_of((2, 5, 6), (3, 4)), x, k) == ("mxnet", "another device or a trace")


def test_symbols_convolve_and_take_a_bias():
    arrays = normal(1, 2, 5, 6), normal(3, 2, 2, 3), normal(3)
    symbols = [mx.sym.var(n, shape=a.shape) for n, a in zip("xkb", arrays)]
    result = kf.convolve(*symbols[:2], bias=symbols[2], mode="valid")
    (found,) = result.eval(**dict(zip("xkb", arrays)))
    wanted = kf.convolve(*arrays[:2], bias=arrays[2], mode="valid").asnumpy()
    np.testing.assert_allclose(found.asnumpy(), wanted, rtol=1e-5, atol=1e-5)


def test_symbols_that_cannot_be():
    known, unknown = mx.sym.var("x", shape=(5, 6)), mx.sym.var("unknown")
    with pytest.raises(ArgumentError, match=r"^unknown: expected a symbol of known shape; received none"):
        kf.correlate(unknown, mx.sym.var("k", shape=(3, 3)))
    with pytest.raises(ArgumentError, match="expected symbols only; received a NDArray"):
        kf.correlate(known, normal(3, 3))
    with pytest.raises(ArgumentError, match="expected arrays only; received a symbol"):
        kf.correlate(normal(5, 6), mx.sym.var("k", shape=(3, 3)))


@pytest.mark.parametrize("boundary", BOUNDARIES[1:])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_indices_of_a_symbol_are_those_of_the_definition(boundary, n):
    operation = operation_of((n, 1), (1, 1), boundary=boundary, padding=((7, 9), (0, 0)))
    x = mx.sym.var("x")
    (found,) = axis_indices(x, 2, (7, 9), operation).eval(x=mx.nd.zeros((1, 1, n, 1)))
    np.testing.assert_array_equal(found.asnumpy(), operation.indices((n, 1))[0])


def test_what_is_raised_in_the_gradient_arrives():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_adapter as t, mxnet as mx\n"
        "from kernelfield.engine import layers\n"
        "def broken(*arguments): raise ArithmeticError('on purpose')\n"
        "layers.backward, operation = broken, t.operation_of((6, 8), (3, 3))\n"
        "image, kernel = t.normal(6, 8), t.normal(3, 3); kernel.attach_grad()\n"
        "with mx.autograd.record(): result = t.ADAPTER.differentiable(operation, image, kernel)\n"
        "result.backward(); kernel.grad.asnumpy()\n"
    )
    here = os.path.dirname(__file__)
    done = subprocess.run([sys.executable, "-c", code, here], capture_output=True, text=True, timeout=300)
    assert done.returncode != 0
    assert "ArithmeticError: on purpose" in done.stderr


@pytest.mark.parametrize("kind", ["", "NaiveEngine"])
def test_training_ends_in_a_fresh_interpreter(kind):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_adapter as t, itertools, numpy as np\n"
        "X = np.ones((6, 8), 'float32'); X[:, 2:6] = 0\n"
        "how = t.operation_of((6, 8), (1, 2), mode='valid')\n"
        "steps = t.ADAPTER.descend([how], X, X[:, :-1] - X[:, 1:], [np.zeros((1, 2), 'f4')], 'sgd', 0.03, 0.0)\n"
        "print([round(loss, 3) for loss, _ in itertools.islice(steps, 10)][-1])\n"
    )
    environment = {**os.environ, **({"MXNET_ENGINE_TYPE": kind} if kind else {})}
    here = os.path.dirname(__file__)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, here], capture_output=True, text=True, timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0.2


def test_losses_of_a_large_image_are_summed_exactly_enough():
    image = np.full((1500, 1500), 0.1, "float32")
    image[0, 0] = 1000
    how = operation_of(image.shape, (1, 1), mode="valid")
    steps = ADAPTER.descend([how], image, np.zeros_like(image), [np.ones((1, 1), "float32")], "sgd", 1e-12, 0.0)
    assert next(steps)[0] == pytest.approx(float((image.astype("float64") ** 2).sum()), rel=1e-5)
