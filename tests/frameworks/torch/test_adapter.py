"""PyTorch: its own convolution as oracle, its checks of operators and gradients, its compilers and transforms."""

from __future__ import annotations

import itertools
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional

import kernelfield as kf
from kernelfield.correlation.arguments import check_operation
from kernelfield.engine import layers
from kernelfield.errors import ArgumentError, DtypeError
from kernelfield.torch.adapter import ADAPTER
from kernelfield.torch.gradients import _operator

DEFAULTS = dict(
    mode="same", boundary="reflect", cval=0.0, origin=None, padding=None, stride=1, dilation=1, groups=1
)  # fmt: skip
# PyTorch's own forward-mode differentiation compiles its formulas with it.
FORWARD_MODE = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
MIRROR = dict(boundary="mirror", stride=(1, 2))


def operation_of(image, kernel, **how):
    return check_operation(tuple(image.shape), tuple(kernel.shape), own_origin=(0, 0), **{**DEFAULTS, **how})


def normal(*shape, dtype=torch.float32, grad=False):
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, dtype=dtype, generator=generator).requires_grad_(grad)


@pytest.fixture
def image():
    return normal(2, 3, 7, 8, dtype=torch.float64, grad=True)


@pytest.fixture
def kernel():
    return normal(4, 3, 3, 2, dtype=torch.float64, grad=True)


GRID = [
    dict(stride=s, dilation=d, groups=g, padding=p, size=k)
    for s, d, g, p, k in itertools.product((1, (2, 3)), (1, (2, 1)), (1, 2, 4), (0, (1, 2)), ((3, 3), (2, 4), (1, 5)))
]


@pytest.mark.parametrize("case", GRID, ids=lambda c: "-".join(str(v).replace(" ", "") for v in c.values()))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_its_own_convolution_is_the_oracle(case, dtype):
    case = dict(case)
    size, groups = case.pop("size"), case["groups"]
    ours = [normal(2, 4, 9, 11, dtype=dtype, grad=True), normal(8, 4 // groups, *size, dtype=dtype, grad=True)]
    theirs = [t.detach().clone().requires_grad_() for t in ours]
    bias = normal(8, dtype=dtype, grad=True)
    result = kf.correlate(*ours, boundary="constant", bias=bias, **case)
    wanted = functional.conv2d(*theirs, bias.detach(), **case)
    close = dict(rtol=1e-4, atol=1e-4) if dtype == torch.float32 else dict(rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(result, wanted, **close)
    slope = normal(*wanted.shape, dtype=dtype)
    result.backward(slope)
    wanted.backward(slope)
    for one, other in zip(ours, theirs):
        torch.testing.assert_close(one.grad, other.grad, **close)
    torch.testing.assert_close(bias.grad, slope.sum(dim=(0, 2, 3)), **close)


@pytest.mark.parametrize("how", [{}, MIRROR, dict(boundary="constant", cval=2.0, dilation=2, padding=3)], ids=str)
def test_the_operator_passes_opcheck(image, kernel, how):
    operation = operation_of(image, kernel, **how)
    arguments = image, kernel, *operation.numbers()
    torch.library.opcheck(_operator, arguments)
    torch.library.opcheck(_operator, (image.detach(), *arguments[1:]))
    assert torch.autograd.gradcheck(lambda x, k: _operator(x, k, *arguments[2:]), (image, kernel))


@FORWARD_MODE
@pytest.mark.parametrize("how", [{}, MIRROR, dict(boundary="constant", cval=2.0, dilation=2, padding=3)], ids=str)
def test_gradients_of_every_kind(image, kernel, how):
    check = dict(check_batched_grad=True, check_forward_ad=True)
    assert torch.autograd.gradcheck(lambda x, k: kf.correlate(x, k, **how), (image[:1, :, :5, :6], kernel[:2]), **check)
    assert torch.autograd.gradgradcheck(lambda x, k: kf.correlate(x, k, **how), (image[:1, :, :4, :5], kernel[:1]))


def test_an_image_that_is_its_own_kernel_has_one_gradient_twice(kernel):
    one = kernel[0, 0]
    (plain,) = torch.autograd.grad(kf.correlate(one, one).sum(), kernel)
    (again,) = torch.autograd.grad(kf.correlate(one, one).sum(), kernel, create_graph=True)
    torch.testing.assert_close(plain, again)
    assert again.requires_grad


@pytest.mark.parametrize("needs", [(True, False), (False, True)])
def test_only_what_is_needed_is_differentiated(image, kernel, needs, monkeypatch):
    operation = operation_of(image, kernel)
    asked, backward = [], layers.backward
    monkeypatch.setattr(layers, "backward", lambda *a: asked.append(tuple(a[4])) or backward(*a))
    pair = image.detach().requires_grad_(needs[0]), kernel.detach().requires_grad_(needs[1])
    ADAPTER.correlate(operation, *pair).sum().backward()
    compiled = torch.compile(lambda x, k: ADAPTER.correlate(operation, x, k), fullgraph=True, backend="aot_eager")
    compiled(*pair).sum().backward()
    assert asked == [needs, needs]


def test_grad_mode_is_kept(image, kernel):
    assert kf.correlate(image, kernel).requires_grad
    assert kf.correlate(image.detach(), kernel.detach()).grad_fn is None
    with torch.no_grad():
        assert not kf.correlate(image, kernel).requires_grad
    with torch.inference_mode():
        assert kf.correlate(image, kernel).is_inference()


def test_gradients_are_for_the_memory_that_was_seen(image, kernel):
    result = kf.correlate(image * 1, other := kernel * 1)
    other.data.add_(0)
    with torch.no_grad():
        other.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        result.sum().backward()


@pytest.mark.parametrize("how", [{}, MIRROR, dict(boundary="constant", padding=((0, 2), (1, 1)))], ids=str)
def test_compiled_code_is_one_graph_and_calls_the_engine(image, kernel, how):
    operation = operation_of(image, kernel, **how)
    graphs = []

    def keep(graph, _):
        graphs.append(str(graph.graph))
        return graph

    def run(x, k):
        return ADAPTER.correlate(operation, x, k) * 2

    wanted = run(image, kernel)
    result = torch.compile(run, fullgraph=True, backend="aot_eager")(image, kernel)
    torch.testing.assert_close(result, wanted)
    found = torch.autograd.grad(result.square().sum(), (image, kernel))
    for one, other in zip(found, torch.autograd.grad(wanted.square().sum(), (image, kernel))):
        torch.testing.assert_close(one, other)
    torch.compile(run, fullgraph=True, backend=keep)(image, kernel)
    assert ["kernelfield.correlate" in graph for graph in graphs] == [True]


def test_exported_code_holds_only_operations_of_pytorch(image, kernel):
    class Blur(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.operation = operation_of(image, kernel, **MIRROR)

        def forward(self, x, k):
            return ADAPTER.correlate(self.operation, x, k)

    pair = image.detach(), kernel.detach()
    for strict in (False, True):
        program = torch.export.export(Blur(), pair, strict=strict)
        assert "kernelfield" not in str(program.graph)
        assert "conv2d" in str(program.graph)
        torch.testing.assert_close(program.module()(*pair), kf.correlate(*pair, **MIRROR))


def test_tracers_record_operations(image, kernel):
    pair = image.detach(), kernel.detach()
    graph = make_fx(lambda x, k: kf.correlate(x, k, **MIRROR))(*pair)
    assert "convolution" in graph.code
    torch.testing.assert_close(graph(pair[0] + 1, pair[1]), kf.correlate(pair[0] + 1, pair[1], **MIRROR))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(lambda x, k: kf.correlate(x, k, **MIRROR), pair)
    torch.testing.assert_close(traced(pair[0] + 1, pair[1]), kf.correlate(pair[0] + 1, pair[1], **MIRROR))


def test_fake_tensors_have_shapes_and_no_numbers():
    with FakeTensorMode() as mode:
        image, kernel = mode.from_tensor(normal(5, 6)), mode.from_tensor(normal(3, 2))
        assert kf.correlate(image, kernel, mode="full").shape == (7, 7)


@FORWARD_MODE
def test_transforms_of_functions(image, kernel):
    def run(x, k):
        return kf.correlate(x, k, **MIRROR)

    x, k = image.detach(), kernel.detach()
    torch.testing.assert_close(torch.vmap(run, (0, None))(x, k), run(x, k))
    kernels = torch.stack([k, -2 * k])
    torch.testing.assert_close(torch.vmap(run, (None, 0))(x, kernels)[1], -2 * run(x, k))
    found = torch.func.grad(lambda k: run(x, k).square().sum())(k)
    (wanted,) = torch.autograd.grad(run(x, kernel).square().sum(), kernel)
    torch.testing.assert_close(found, wanted)
    value, slope = torch.func.jvp(run, (x, k), (x, k))
    torch.testing.assert_close(slope, 2 * value)
    hessian = torch.func.hessian(lambda k: run(x, k).square().sum())(k)
    torch.testing.assert_close(hessian.reshape(k.numel(), -1) @ k.flatten(), found.flatten())
    jacobian = torch.autograd.functional.jacobian(lambda k: run(x, k), k, vectorize=True)
    torch.testing.assert_close(jacobian.flatten(-4) @ k.flatten(), run(x, k))


@pytest.mark.parametrize("dims", [(0, None), (1, None), (None, 0), (1, 0)])
def test_the_operator_under_vmap(dims):
    image, kernel = normal(4, 3, 6, 7), normal(3, 3, 2)
    pair = image if dims[0] is not None else image[0], kernel if dims[1] is not None else kernel[0]
    one = [t.select(d, 0) if d is not None else t for t, d in zip(pair, dims)]
    numbers = operation_of(*one).numbers()
    found = torch.vmap(lambda x, k: _operator(x, k, *numbers), dims)(*pair)
    torch.testing.assert_close(found, torch.vmap(lambda x, k: kf.correlate(x, k), dims)(*pair))


def test_transforms_inside_compiled_code(image, kernel):
    operation, x, k = operation_of(image[0], kernel), image.detach(), kernel.detach()
    mapped = torch.vmap(lambda x: ADAPTER.correlate(operation, x, k))
    torch.testing.assert_close(torch.compile(mapped, fullgraph=True, backend="aot_eager")(x), mapped(x))
    slope = torch.func.grad(lambda k: ADAPTER.correlate(operation, x[0], k).square().sum())
    torch.testing.assert_close(torch.compile(slope, fullgraph=True, backend="aot_eager")(k), slope(k))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_go_to_pytorch(dtype):
    image, kernel = normal(2, 6, 7).to(dtype), normal(3, 3).to(dtype)
    operation = operation_of(image, kernel)
    assert ADAPTER.route(operation, image, kernel) == ("torch", f"dtype {str(dtype)[6:]}")
    result = kf.correlate(image, kernel)
    assert result.dtype == dtype
    torch.testing.assert_close(result.float(), kf.correlate(image.float(), kernel.float()), rtol=2e-2, atol=5e-2)
    assert kf.correlate(image, [[0.5, 0.25]]).dtype == dtype


def test_another_device_goes_to_pytorch():
    image, kernel = torch.empty(2, 6, 7, device="meta"), torch.empty(3, 3, device="meta")
    assert ADAPTER.route(operation_of(image, kernel), image, kernel) == ("torch", "another device or a trace")
    result = kf.correlate(image, kernel, mode="valid")
    assert result.device.type == "meta"
    assert result.shape == (2, 4, 5)
    assert kf.correlate(image, np.ones((3, 3))).device.type == "meta"


def test_subclasses_and_negated_views_are_not_read_as_memory():
    class Own(torch.Tensor):
        pass

    kernel = normal(3, 3)
    own = normal(5, 6).as_subclass(Own)
    result = kf.correlate(own, kernel)
    assert type(result) is Own
    torch.testing.assert_close(result.as_subclass(torch.Tensor), kf.correlate(own.as_subclass(torch.Tensor), kernel))
    negated = torch.complex(normal(5, 6), normal(5, 6)).conj().imag
    assert negated.is_neg()
    torch.testing.assert_close(kf.correlate(negated, kernel), kf.correlate(negated.clone().resolve_neg(), kernel))


def test_memory_is_shared_in_both_directions():
    tensor = normal(5, 6, grad=True)
    assert ADAPTER.to_numpy(tensor).ctypes.data == tensor.data_ptr()
    array = np.ones((5, 6), "float32")
    assert ADAPTER.from_numpy(array, tensor).data_ptr() == array.ctypes.data
    assert ADAPTER.tensor(array, "float32", tensor).data_ptr() == array.ctypes.data
    assert ADAPTER.tensor(tensor, "float32", tensor) is tensor
    array.flags.writeable = False
    assert ADAPTER.tensor(array, "float32", tensor).data_ptr() != array.ctypes.data


def test_errors():
    with pytest.raises(DtypeError, match=r"^image: expected real numbers; received complex64"):
        kf.correlate(torch.ones(3, 3, dtype=torch.complex64), torch.ones(2, 2))
    with pytest.raises(ArgumentError, match=r"^bias: expected a number or shape \(2,\)"):
        kf.correlate(torch.ones(3, 4, 4), torch.ones(2, 3, 2, 2), bias=torch.ones(3))


def test_descent_takes_its_own_optimisers():
    image = normal(8, 9).numpy()
    operation = operation_of(image, np.ones((1, 2)), mode="valid")
    target = image[:, :-1] - image[:, 1:]
    with torch.no_grad():
        steps = ADAPTER.descend([operation], image, target, [np.zeros((1, 2))], "sgd", 1e-3, 0.9)
        (first, one), (second, two) = itertools.islice(steps, 2)
    assert second < first
    assert one[0].dtype == np.float32
    assert not np.shares_memory(one[0], two[0])


@pytest.mark.parametrize("how", [{}, dict(mode="valid", stride=2), dict(boundary="constant", padding=(1, 2))], ids=str)
def test_the_functions_compile_to_one_graph(how):
    image, kernel = torch.randn(9, 10), torch.randn(3, 2)
    for function in (kf.correlate, kf.convolve):
        filtered = partial(function, bias=0.5, **how)
        compiled = torch.compile(filtered, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(image, kernel), filtered(image, kernel))
