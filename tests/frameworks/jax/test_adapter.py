"""JAX: its own convolution as the oracle, every transformation through the engine, memory, devices, dtypes."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import kernelfield as kf
from kernelfield import _core
from kernelfield.correlation.arguments import check_operation
from kernelfield.engine import layers
from kernelfield.errors import ArgumentError, DtypeError, MissingDependencyError
from kernelfield.jax.adapter import ADAPTER

PAD_MODES = {"reflect": "symmetric", "mirror": "reflect", "nearest": "edge", "wrap": "wrap"}
DEFAULTS = dict(
    mode="same", boundary="reflect", cval=0.0, origin=None, padding=None, stride=1, dilation=1, groups=1
)  # fmt: skip


def numbers(*shape, seed=0, dtype="float32"):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape).astype(dtype))


def own(image, kernel, pads, boundary="constant", cval=0.0, stride=(1, 1), dilation=(1, 1), groups=1):
    """Return what JAX makes of it, padded by `jnp.pad`: nothing of ours."""
    how = dict(constant_values=cval) if boundary == "constant" else {}
    wide = jnp.pad(image, [(0, 0), (0, 0), *pads], mode=PAD_MODES.get(boundary, "constant"), **how)
    dimensions = ("NCHW", "OIHW", "NCHW")
    return jax.lax.conv_general_dilated(
        wide, kernel, stride, "VALID", (1, 1), dilation, dimensions, groups, precision="highest"
    )


def operation_of(image, kernel, **how):
    return check_operation(image, kernel, own_origin=(0, 0), **{**DEFAULTS, **how})


def ours(image, kernel):
    """Return a function of transformations' tests: a constant outside, a stride, a dilation, two groups."""
    how = dict(padding=((1, 2), (0, 3)), stride=(2, 1), dilation=(1, 2), groups=2)
    return kf.correlate(image, kernel, boundary="constant", cval=0.5, **how)


def theirs(image, kernel):
    four = image.ndim == 4
    result = own(image if four else image[None], kernel, ((1, 2), (0, 3)), "constant", 0.5, (2, 1), (1, 2), 2)
    return result if four else result[0]


IMAGE, KERNEL = numbers(2, 4, 7, 8), numbers(2, 2, 3, 2, seed=1)
SLOPE = numbers(*ours(IMAGE, KERNEL).shape, seed=2)


@pytest.fixture
def runs(monkeypatch):
    """Return what the engine was asked for while the test runs."""
    seen = []

    def watch(name, run):
        def spy(operation, *arrays, **options):
            seen.append((name, arrays))
            return run(operation, *arrays, **options)

        monkeypatch.setattr(layers, name, spy)

    watch("forward", layers.forward)
    watch("backward", layers.backward)
    return seen


def close(found, wanted, tolerance=2e-5):
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=tolerance, atol=10 * tolerance), found, wanted
    )


ALL = itertools.product([(1, 1), (2, 3)], [(1, 1), (3, 2)], [1, 2], [(3, 3), (2, 4), (1, 5)], [0, 2])
GRID = random.Random(3).sample(list(ALL), 24)


@pytest.mark.parametrize(("stride", "dilation", "groups", "size", "padding"), GRID)
def test_forward_and_gradients_beside_the_convolution_of_jax(stride, dilation, groups, size, padding, runs):
    image, kernel = numbers(2, 4, 9, 11), numbers(2 * groups, 4 // groups, *size, seed=1)
    how = dict(stride=stride, dilation=dilation, groups=groups)
    pads = ((padding, padding), (padding, padding))
    result, pullback = jax.vjp(
        lambda x, k: kf.correlate(x, k, padding=padding, boundary="constant", **how), image, kernel
    )
    wanted, wanted_pullback = jax.vjp(lambda x, k: own(x, k, pads, **how), image, kernel)
    close(result, wanted)
    slope = numbers(*result.shape, seed=2)
    close(pullback(slope), wanted_pullback(slope), 5e-5)
    assert [name for name, _ in runs] == ["forward", "backward", "backward"]


@pytest.mark.parametrize("boundary", sorted(PAD_MODES))
def test_boundaries_are_the_modes_of_jnp_pad(boundary):
    image, kernel = numbers(1, 2, 6, 7), numbers(3, 2, 4, 3, seed=1)
    pads = ((2, 3), (0, 4))
    function = lambda x, k: kf.correlate(x, k, padding=pads, boundary=boundary)  # noqa: E731
    for run in (function, jax.jit(function)):
        result, pullback = jax.vjp(run, image, kernel)
        wanted, wanted_pullback = jax.vjp(lambda x, k: own(x, k, pads, boundary), image, kernel)
        close(result, wanted)
        slope = numbers(*result.shape, seed=2)
        close(pullback(slope), wanted_pullback(slope), 5e-5)


def loss(function):
    return lambda x, k: (function(x, k) ** 2 * SLOPE).sum()


TRANSFORMATIONS = {
    "jit": lambda f: jax.jit(f)(IMAGE, KERNEL),
    "grad": lambda f: jax.grad(loss(f), (0, 1))(IMAGE, KERNEL),
    "value_and_grad": lambda f: jax.value_and_grad(loss(f), 1)(IMAGE, KERNEL),
    "jit of grad": lambda f: jax.jit(jax.grad(loss(f), (0, 1)))(IMAGE, KERNEL),
    "grad of jit": lambda f: jax.grad(loss(jax.jit(f)), (0, 1))(IMAGE, KERNEL),
    "jvp": lambda f: jax.jvp(f, (IMAGE, KERNEL), (IMAGE + 1, KERNEL - 1)),
    "jvp along the image": lambda f: jax.jvp(lambda x: f(x, KERNEL), (IMAGE,), (IMAGE + 1,)),
    "linearize": lambda f: jax.linearize(f, IMAGE, KERNEL)[1](IMAGE + 1, KERNEL),
    "jit of linearize": lambda f: jax.jit(jax.linearize(f, IMAGE, KERNEL)[1])(IMAGE + 1, KERNEL),
    "linear_transpose": lambda f: jax.linear_transpose(lambda k: f(IMAGE, k), KERNEL)(SLOPE),
    "hessian of the kernel": lambda f: jax.hessian(loss(f), 1)(IMAGE, KERNEL),
    "jacrev of jacrev": lambda f: jax.jacrev(jax.jacrev(loss(f), 1), 1)(IMAGE, KERNEL),
    "grad of grad, mixed": lambda f: jax.grad(lambda x, k: (jax.grad(loss(f), 1)(x, k) ** 2).sum())(IMAGE, KERNEL),
    "jvp of grad": lambda f: jax.jvp(lambda k: jax.grad(loss(f))(IMAGE, k), (KERNEL,), (KERNEL + 1,)),
    "jacfwd": lambda f: jax.jacfwd(f, 1)(IMAGE, KERNEL),
    "vmap over images": lambda f: jax.vmap(f, (0, None))(IMAGE, KERNEL),
    "vmap over an inner axis": lambda f: jax.vmap(f, (2, None), 1)(jnp.moveaxis(IMAGE, 0, 2), KERNEL),
    "vmap of batches": lambda f: jax.vmap(f, (0, None))(jnp.stack([IMAGE, -IMAGE, IMAGE + 1]), KERNEL),
    "vmap over kernels": lambda f: jax.vmap(f, (None, 0))(IMAGE, jnp.stack([KERNEL, 2 * KERNEL])),
    "vmap over both": lambda f: jax.vmap(f)(IMAGE, jnp.stack([KERNEL, 2 * KERNEL])),
    "jit of vmap": lambda f: jax.jit(jax.vmap(f, (0, None)))(IMAGE, KERNEL),
    "vmap of vmap": lambda f: jax.vmap(jax.vmap(f, (0, None)), (None, 0))(IMAGE, jnp.stack([KERNEL, 2 * KERNEL])),
    "gradients of each example": lambda f: jax.vmap(jax.grad(lambda k, x: f(x, k).sum()), (None, 0))(KERNEL, IMAGE),
    "gradients of each image": lambda f: jax.vmap(jax.grad(lambda x: (f(x, KERNEL) ** 2).sum()))(IMAGE),
    "scan": lambda f: jax.lax.scan(lambda s, x: (s + f(x, KERNEL), f(x, KERNEL)), f(IMAGE[0], KERNEL), IMAGE),
    "checkpoint": lambda f: jax.grad(jax.checkpoint(loss(f)), (0, 1))(IMAGE, KERNEL),
    "arrays of NumPy": lambda f: jax.grad(loss(f), 1)(np.asarray(IMAGE), np.asarray(KERNEL)),
    "without jit": lambda f: _without_jit(f),
}


def _without_jit(function):
    with jax.disable_jit():
        return jax.jit(function)(IMAGE, KERNEL)


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_transformations(name):
    close(TRANSFORMATIONS[name](ours), TRANSFORMATIONS[name](theirs), 1e-4)


@pytest.mark.parametrize(
    ("name", "engine"),
    [
        ("jit", []),
        ("jit of grad", []),
        ("scan", ["forward"]),  # the start of the sum
        ("grad", ["forward", "backward", "backward"]),
        ("value_and_grad", ["forward", "backward"]),
        ("jvp", ["forward"] * 3),
        ("linear_transpose", []),
        ("vmap over images", ["forward"]),
        ("vmap over kernels", []),
        ("gradients of each image", ["forward", "backward"]),
        ("arrays of NumPy", ["forward", "backward"]),
    ],
)
def test_the_engine_runs_where_there_are_numbers(name, engine, runs):
    TRANSFORMATIONS[name](ours)
    assert [kind for kind, _ in runs] == engine


def test_a_trace_holds_the_convolution_of_jax_and_no_callback():
    text = str(jax.make_jaxpr(jax.grad(loss(ours), (0, 1)))(IMAGE, KERNEL))
    assert text.count("conv_general_dilated[") >= 3
    assert "callback" not in text
    assert "kernelfield" not in text


@pytest.mark.parametrize(("channels_last", "boundary"), [(False, "constant"), (True, "mirror")])
def test_finite_differences_of_second_order(channels_last, boundary):
    with jax.enable_x64(True):
        image, kernel = numbers(1, 4, 4, 5, dtype="float64"), numbers(2, 2, 2, 3, seed=1, dtype="float64")
        how = dict(boundary=boundary, cval=2.0, stride=(1, 2), dilation=(2, 1), groups=2)
        operation = operation_of(image.shape, kernel.shape, **how)
        if channels_last:
            image, kernel = image.transpose(0, 2, 3, 1), kernel.transpose(2, 3, 1, 0)
        function = lambda x, k: ADAPTER.correlate(operation, x, k, channels_last=channels_last) ** 2  # noqa: E731
        check_grads(function, (image, kernel), order=2, atol=1e-5, rtol=1e-5)


def test_finite_differences_of_third_order():
    with jax.enable_x64(True):
        image, kernel = numbers(4, 3, dtype="float64"), numbers(3, 2, seed=1, dtype="float64")
        check_grads(lambda k: kf.correlate(image, k, boundary="wrap") ** 2, (kernel,), order=3, atol=1e-4, rtol=1e-4)


def test_the_route_is_told():
    operation = operation_of(IMAGE.shape, KERNEL.shape, groups=2)
    told = []

    def tell(x, k):
        told.append(ADAPTER.route(operation, x, k))
        return kf.correlate(x, k, groups=2).sum()

    tell(IMAGE, KERNEL)
    jax.grad(tell)(IMAGE, KERNEL)
    jax.hessian(tell, 1)(IMAGE, KERNEL)
    jax.jvp(tell, (IMAGE, KERNEL), (IMAGE, KERNEL))
    jax.vmap(tell, (0, None))(IMAGE[None], KERNEL)
    assert {where for where, _ in told} == {"engine"}
    told.clear()
    jax.jit(tell)(IMAGE, KERNEL)
    jax.jit(jax.vmap(tell, (0, None)))(IMAGE[None], KERNEL)
    jax.eval_shape(tell, IMAGE, KERNEL)
    assert set(told) == {("jax", "another device or a trace")}
    half = IMAGE.astype("bfloat16"), KERNEL.astype("bfloat16")
    assert ADAPTER.route(operation, *half) == ("jax", "dtype bfloat16")


def test_no_copy_goes_in_and_none_comes_out(runs):
    image, kernel = numbers(256, 256), numbers(3, 3, seed=1)
    result = kf.correlate(image, kernel)
    (_, (pixels, weights, out, _)) = runs[0]
    assert pixels.ctypes.data == image.unsafe_buffer_pointer()
    assert weights.ctypes.data == kernel.unsafe_buffer_pointer()
    assert not pixels.flags.writeable
    assert out.ctypes.data == result.unsafe_buffer_pointer()
    runs.clear()
    image = numbers(1, 256, 256, 1)
    result = ADAPTER.correlate(operation_of((1, 1, 256, 256), (1, 1, 3, 3)), image, kernel[..., None, None], None, True)
    (_, (pixels, _, out, _)) = runs[0]
    assert pixels.ctypes.data == image.unsafe_buffer_pointer()
    assert out.ctypes.data == result.unsafe_buffer_pointer()


def test_results_live_on_after_the_engine_is_used_again():
    results = [kf.correlate(numbers(200, 200, seed=i), numbers(3, 3)) for i in range(5)]
    for i, result in enumerate(results):
        close(result, kf.correlate(np.asarray(numbers(200, 200, seed=i)), np.asarray(numbers(3, 3))))


def test_nothing_is_transferred_implicitly():
    with jax.transfer_guard("disallow"):
        assert kf.correlate(IMAGE, KERNEL, groups=2).shape == (2, 2, 7, 8)


TWO_DEVICES = """
import jax, jax.numpy as jnp, numpy as np, kernelfield as kf
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from kernelfield.engine import layers
count, run = [], layers.forward
layers.forward = lambda *arrays: (count.append(1), run(*arrays))[1]
one, two = jax.devices()
values, kernel = np.arange(4 * 6 * 128 * 8, dtype="float32").reshape(4, 6, 128, 8), np.ones((2, 2), "float32")
wanted = kf.correlate(values, kernel); count.clear()
for image in (values, values[:1, :1, :8]):
    placed = jax.device_put(image, two)
    result = kf.correlate(placed, kernel)
    assert result.devices() == {two} and result.committed, result.devices()
    slope = jax.grad(lambda x: (kf.correlate(x, kernel) ** 2).sum())(placed)
    assert slope.devices() == {two}
    assert kf.correlate(jnp.asarray(image), jax.device_put(kernel, two)).devices() == {two}
    free = kf.correlate(jnp.asarray(image), kernel)
    assert free.devices() == {one} and not free.committed
assert len(count) == 8, count
sharding = NamedSharding(Mesh(np.array(jax.devices()), ("batch",)), PartitionSpec("batch"))
result = kf.correlate(jax.device_put(values, sharding), kernel)
assert len(count) == 8 and result.devices() == {one, two}, "sharded arrays go to JAX, and stay where they are"
np.testing.assert_allclose(result, wanted, rtol=1e-6)
with jax.default_device(two):
    assert kf.correlate(jnp.asarray(values), kernel).devices() == {two}
try:
    kf.correlate(jax.device_put(values, one), jax.device_put(kernel, two))
except ValueError as error:
    assert "incompatible devices" in str(error), error
else:
    raise AssertionError("two devices in one operation")
print("fine")
"""


def test_devices_are_kept():
    environment = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", TWO_DEVICES],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.stdout.strip() == "fine", done.stderr


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_short_floats_are_convolved_by_jax(dtype, runs):
    image, kernel = IMAGE.astype(dtype), KERNEL.astype(dtype)
    result = ours(image, kernel)
    assert result.dtype == dtype
    assert not runs
    close(result.astype("float32"), theirs(IMAGE, KERNEL), 3e-2)
    slope = jax.grad(lambda k: ours(image, k).astype("float32").sum())(kernel)
    assert slope.dtype == dtype


def test_doubles_want_x64():
    assert kf.correlate(numbers(5, 6), np.ones((3, 3))).dtype == "float32"
    assert kf.correlate(np.ones((5, 6)), numbers(3, 3)).dtype == "float32"
    with jax.enable_x64(True):
        assert kf.correlate(numbers(5, 6, dtype="float64"), np.ones((3, 3), "float32")).dtype == "float64"
        assert kf.correlate(numbers(5, 6), np.ones((3, 3))).dtype == "float32"


def test_complex_and_deleted_arrays_are_refused():
    with pytest.raises(
        DtypeError, match=r"^image: expected real numbers; received complex64; filter real and imaginary part$"
    ):
        kf.correlate(numbers(5, 6) * 1j, numbers(3, 3))
    gone = numbers(3, 3)
    gone.delete()
    with pytest.raises(RuntimeError, match="deleted"):
        kf.correlate(numbers(5, 6), gone)


def test_numbers_that_a_trace_closes_over():
    image, kernel = numbers(5, 6), numbers(2, 3)
    close(jax.jit(lambda scale: scale * kf.correlate(image, kernel))(2.0), 2 * kf.correlate(image, kernel))


def test_errors_are_the_same_inside_of_a_trace():
    with pytest.raises(ArgumentError, match="kernel: expected at most 3×3"):
        jax.jit(lambda x, k: kf.correlate(x, k, mode="valid"))(numbers(3, 3), numbers(5, 5))


def test_exported_programs_may_leave_the_batch_open():
    from jax import export

    for kernel, text in ((numbers(2, 3), "n, 6, 8"), (numbers(4, 3, 2, 2), "n, 3, 6, 8")):
        symbolic = jax.ShapeDtypeStruct(export.symbolic_shape(text), jnp.float32)
        program = export.export(jax.jit(lambda x, k=kernel: kf.correlate(x, k)))(symbolic)
        again = export.deserialize(program.serialize())
        image = numbers(5, *symbolic.shape[1:])
        close(again.call(image), kf.correlate(image, kernel))
    symbolic = jax.ShapeDtypeStruct(export.symbolic_shape("h, w"), jnp.float32)
    with pytest.raises(ArgumentError, match=r"expected known rows and columns; received shape \(h, w\)"):
        export.export(jax.jit(lambda x: kf.correlate(x, numbers(3, 3))))(symbolic)


def test_shard_map():
    from jax.sharding import AxisType, PartitionSpec

    mesh = jax.make_mesh((1,), ("batch",), axis_types=(AxisType.Auto,))
    specs = dict(in_specs=(PartitionSpec("batch"), PartitionSpec()), out_specs=PartitionSpec("batch"))
    for function in (jax.shard_map(ours, mesh=mesh, **specs), jax.jit(jax.shard_map(ours, mesh=mesh, **specs))):
        close(function(IMAGE, KERNEL), theirs(IMAGE, KERNEL))


def test_parameters_of_flax_are_arrays():
    from flax import nnx

    image, kernel = numbers(6, 8), numbers(1, 2)
    parameter = nnx.Param(kernel)
    close(kf.corr2d(image, parameter), kf.corr2d(image, kernel))
    close(kf.convolve(image, parameter), kf.convolve(image, kernel))
    assert ADAPTER.is_concrete(parameter)
    slope = jax.grad(lambda p: kf.corr2d(image, p).sum())(parameter)
    close(slope[...], jax.grad(lambda k: kf.corr2d(image, k).sum())(kernel))


def test_nothing_to_compute():
    empty = jnp.zeros((0, 5, 6))
    result, pullback = jax.vjp(kf.correlate, empty, numbers(3, 3))
    assert result.shape == (0, 5, 6)
    close(pullback(result), (empty, jnp.zeros((3, 3))))
    assert jax.jit(kf.correlate)(empty, numbers(3, 3)).shape == (0, 5, 6)
    channels = jnp.zeros((0, 2, 5, 6))
    assert jax.jit(kf.correlate)(channels, numbers(3, 2, 3, 3)).shape == (0, 3, 5, 6)


def test_descent_is_deterministic_and_wants_optax(monkeypatch):
    operations = [operation_of((6, 8), (1, 2), mode="valid")]
    image, start = np.asarray(numbers(6, 8)), [np.zeros((1, 2))]
    target = image[:, :-1] - image[:, 1:]
    runs = [
        [loss for loss, _ in itertools.islice(ADAPTER.descend(operations, image, target, start, "adam", 0.1, 0.0), 4)]
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    assert all(later < earlier for earlier, later in itertools.pairwise(runs[0]))
    monkeypatch.setitem(sys.modules, "optax", None)
    with pytest.raises(MissingDependencyError, match="optax is not installed"):
        next(ADAPTER.descend(operations, image, target, start, "sgd", 0.1, 0.0))


def test_large_memory_is_aligned_and_small_memory_is_copied():
    large = _core.empty((100, 300), np.float64)
    assert large.ctypes.data % 64 == 0
    assert large.shape == (100, 300)
    assert large.flags.c_contiguous
    small = np.ones((4, 4), "float32")
    wrapped = ADAPTER.from_numpy(small, IMAGE)
    small[...] = 2
    close(wrapped, np.ones((4, 4)))


def test_arrays_of_jax_need_no_flax():
    code = (
        "import sys, jax.numpy as jnp, kernelfield as kf\n"
        "kf.correlate(jnp.ones((5, 6)), jnp.ones((3, 3)))\n"
        "assert 'kernelfield.jax.adapter' in sys.modules\n"
        "assert not {'flax', 'optax', 'kernelfield.jax.layers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
