"""The plan that chooses between the methods, what it costs, and the methods that it runs."""

import os
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from cases import BOUNDARIES, sums_of_products
from hypothesis import given
from hypothesis import strategies as st

from kernelfield import _core
from kernelfield.engine import low_rank, plan
from kernelfield.engine.low_rank import factors
from kernelfield.errors import ArgumentError
from kernelfield.geometry import Operation, Window

pytestmark = pytest.mark.core


def outputs(image, kernel, dtype="float32"):
    return np.full((len(image), *(n - k + 1 for n, k in zip(image.shape[1:], kernel.shape))), -77, dtype)


def of_rank(rng, rank, kh, kw):
    return rng.normal(size=(kh, rank)) @ rng.normal(size=(rank, kw))


def valid(kernel, boundary="constant", cval=0.0):
    return Operation((Window(kernel.shape[0]), Window(kernel.shape[1])), boundary, cval)


@given(st.data())
def test_separable_is_the_definition(engine, data):
    draw = data.draw
    dtype = draw(st.sampled_from(["uint8", "uint16", "int16", "int32", "float32", "float64"]))
    out_type = draw(st.sampled_from(["float32", "float64"]))
    kh, kw, rank = draw(st.integers(1, 20)), draw(st.integers(1, 20)), draw(st.integers(1, 3))
    shape = draw(st.integers(1, 2)), kh + draw(st.integers(0, 40)), kw + draw(st.integers(0, 300))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    image = rng.normal(scale=40, size=shape).astype(dtype)
    kernel = of_rank(rng, rank, kh, kw)
    found = factors(kernel, min(kh, kw))
    out = outputs(image, kernel, out_type)
    _core.Correlation(kernel, factors=(found.columns, found.rows), sums=out_type)(image, out)
    total, _ = sums_of_products(image.astype(out_type), kernel)
    bound = sum(np.abs(np.outer(c, r)) for c, r in zip(found.columns, found.rows))
    size = sums_of_products(np.abs(image.astype(np.float64)), bound)[0]
    assert (np.abs(out - total) <= 2 * (kh + kw + rank) * np.finfo(out_type).eps * size + 1e-300).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("method", ["separable", "spectral"])
def test_what_is_not_finite_keeps_to_its_footprint(method, value):
    rng = np.random.default_rng(0)
    image, kernel = rng.normal(size=(1, 700, 900)).astype("f4"), of_rank(rng, 1, 5, 7)
    image[0, 300, 400] = value
    out, clean = outputs(image, kernel), outputs(image, kernel)
    with np.errstate(over="ignore", invalid="ignore"):
        plan.forward(valid(kernel), image, kernel, out, method=method)
    image[0, 300, 400] = 0
    plan.forward(valid(kernel), image, kernel, clean, method="direct")
    touched = np.zeros(out.shape, bool)
    touched[0, 296:301, 394:401] = True
    np.testing.assert_allclose(out[~touched], clean[~touched], atol=1e-4)
    if value != 3e38:
        assert not np.isfinite(out[touched]).any()


def chosen(shape, kernel, dtype="f4", out_dtype="f4", **options):
    operation = Operation(tuple(Window.of(n, "same") for n in kernel.shape), "reflect", 0.0)
    return plan.plan(operation, (1, *shape), np.dtype(dtype), kernel, np.dtype(out_dtype), **options)


def test_the_plan_follows_rank_size_and_dtype(engine):
    rng = np.random.default_rng(0)
    dense = partial(rng.normal, size=(63, 63))
    assert chosen((2048, 2048), rng.normal(size=(7, 7))).method == "direct"
    assert chosen((2048, 2048), of_rank(rng, 1, 15, 15)).method == "separable"
    assert chosen((2048, 2048), of_rank(rng, 2, 31, 31)).method == "separable"
    assert chosen((2048, 2048), dense()).method == "spectral"
    assert chosen((2048, 2048), dense(), "u1").method == "spectral"
    assert chosen((2048, 2048), dense(), transforms=False).method == "direct"
    assert chosen((2048, 2048), np.rint(dense()), "u1").method == "direct"
    assert chosen((2048, 2048), dense(), "i4").method == "direct"
    assert chosen((64, 64), of_rank(rng, 1, 5, 5)).method == "direct"
    kernel = dense()
    kernel[0, 0] = np.nan
    assert chosen((2048, 2048), kernel).method == "direct"
    assert "rank 1" in str(chosen((2048, 2048), of_rank(rng, 1, 15, 15)))


@pytest.mark.parametrize("out_dtype", ["u1", "f4"])
def test_large_kernels_of_photographs_go_by_transforms(out_dtype):
    rng = np.random.default_rng(0)
    assert chosen((2048, 2048), rng.normal(size=(63, 63)), "u1", out_dtype).method == "spectral"
    whole = np.rint(9 * rng.normal(size=(63, 63)))
    for kernel in (whole, whole / 16):
        wanted = "spectral" if out_dtype == "u1" else "direct"
        assert chosen((2048, 2048), kernel, "u1", out_dtype).method == wanted


def test_whole_weights_of_rank_two_are_not_taken_apart():
    column, row = np.arange(1, 16.0), np.arange(3, 18.0)[::-1]
    kernel = np.outer(column, row) + np.outer(row % 4, column % 3)
    for whole in (kernel, kernel / 64):
        assert chosen((2048, 2048), whole, "u1", "u1").method == "direct"
    assert chosen((2048, 2048), kernel * 0.1, "u1", "u1").method == "separable"
    assert chosen((2048, 2048), kernel).method == "separable"
    for whole in (np.outer(column, row), np.outer(column, row) / 64):
        found = chosen((2048, 2048), whole, "u1", "u1")
        assert found.method == "separable"
        np.testing.assert_array_equal(np.outer(found.factors.columns, found.factors.rows), whole)


def test_methods_that_cannot_be_had_are_refused():
    with pytest.raises(ArgumentError, match="method: expected one of direct, separable, spectral; received 'fast'"):
        chosen((9, 9), np.ones((3, 3)), method="fast")
    with pytest.raises(ArgumentError, match="finite kernel"):
        chosen((9, 9), np.full((3, 3), np.nan), method="spectral")


def test_strides_and_dilations_have_one_method():
    operation = Operation((Window(15, 7, 7, 2), Window(15, 7, 7, 1, 2)), "reflect", 0.0)
    kernel = np.ones((15, 15))
    assert plan.plan(operation, (1, 2048, 2048), np.dtype("f4"), kernel, np.dtype("f4")).method == "direct"


def test_a_plan_says_what_it_does():
    one = chosen((300, 400), np.random.default_rng(0).normal(size=(3, 5)), "u1", "i2")
    assert str(one).startswith("direct: 1×300×400 uint8 with 3×5 -> int16, 1,800,000 multiply-adds (")
    assert (one.output_shape, one.cost, one.sums) == ((1, 300, 400), 300 * 400 * 15, "float64")


@pytest.mark.parametrize("side", [1, 40, 127, 255, 801])
@pytest.mark.parametrize("outputs", [1, 30, 300])
def test_a_kernel_is_not_looked_at_for_longer_than_the_work_takes(side, outputs, monkeypatch):
    """The search for factors is asked for so many that their price is no more than the time of `direct`."""
    asked = []
    monkeypatch.setattr(plan, "factors", lambda kernel, most, tolerance: asked.append(most))
    monkeypatch.setattr(plan.cost, "most_terms", lambda outputs, kernel: min(kernel))
    kernel = np.random.default_rng(0).normal(size=(side, side))
    image = (1, side + outputs - 1, side + outputs - 1)
    found = plan.plan(valid(kernel), image, np.dtype("f4"), kernel, np.dtype("f4"), transforms=False)
    for most in asked:
        # The first is found in less than what is reckoned for each.
        price = plan._SEARCH if most == 1 else most * low_rank._STEP
        assert price + most * low_rank._WEIGHT * kernel.size <= found.milliseconds * 1e6


@pytest.mark.parametrize("shape", [(20, 30), (2, 20, 30), (3, 2, 20, 30)])
@pytest.mark.parametrize("method", plan.METHODS)
def test_leading_axes_are_so_many_images(method, shape):
    rng = np.random.default_rng(0)
    image, kernel = rng.normal(size=shape), of_rank(rng, 1, 3, 5)
    out = np.empty((*shape[:-2], 18, 26))
    again = plan.forward(valid(kernel), image, kernel, out, method=method)
    alone = np.empty((1, 18, 26))
    for place in np.ndindex(shape[:-2]):
        plan.forward(valid(kernel), image[place][None], kernel, alone, method=method)
        np.testing.assert_array_equal(alone[0], out[place])
    other = np.empty_like(out)
    again(image, other)
    np.testing.assert_array_equal(other, out)


_BITS = """
import zlib, numpy as np
from kernelfield.engine import plan
from kernelfield.geometry import Operation, Window
rng = np.random.default_rng(0)
image = rng.normal(size=(2, 700, 1300)).astype("f4")
low_rank = rng.normal(size=(9, 2)) @ rng.normal(size=(2, 8))
operation = Operation((Window(9), Window(8)), "reflect", 0.0)
for kernel, method in ((low_rank, "separable"), (rng.normal(size=(9, 8)), "spectral"), (low_rank, "direct")):
    out = np.empty((2, 692, 1293), "f4")
    plan.forward(operation, image, kernel, out, method=method)
    alone = np.empty((1, *out.shape[1:]), "f4")
    plan.forward(operation, image[1:], kernel, alone, method=method)
    assert (alone[0] == out[1]).all()
    print(zlib.crc32(out.tobytes()))
"""


def test_bits_depend_neither_on_threads_nor_on_the_batch():
    def run(threads):
        environment = {**os.environ, "KERNELFIELD_THREADS": threads}
        return subprocess.run(
            [sys.executable, "-c", _BITS], env=environment, capture_output=True, text=True, check=True
        )

    assert run("1").stdout == run("3").stdout != ""


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_border_gives_the_bits_of_an_extended_image(engine, boundary):
    rng = np.random.default_rng(0)
    image, kernel = rng.normal(size=(130, 201)).astype("f4"), rng.normal(size=(6, 31))
    how = {"constant": "constant", "nearest": "edge", "reflect": "symmetric", "mirror": "reflect", "wrap": "wrap"}
    constant = {"constant_values": 0.3} if boundary == "constant" else {}
    padded = np.pad(image, ((3, 2), (15, 15)), how[boundary], **constant)
    operation = Operation((Window(6, 3, 2), Window(31, 15, 15)), boundary, 0.3)
    for weights, method in ((kernel, "direct"), (kernel[:, :1] @ kernel[:1], "separable")):
        found, expected = np.empty((2, *image.shape), "f4")
        plan.forward(operation, image, weights, found, method=method)
        plan.forward(valid(weights), padded, weights, expected, method=method)
        np.testing.assert_array_equal(found, expected)


def test_what_cannot_be_read_is_copied():
    rng = np.random.default_rng(0)
    image, kernel = rng.normal(size=(20, 30)).astype("f4"), rng.normal(size=(3, 4))
    out, swapped = np.empty((18, 27), "f4"), np.empty((18, 27), ">f4")
    assert plan.forward(valid(kernel), image, kernel, out) is not None
    assert plan.forward(valid(kernel), image.astype(">f4"), kernel, swapped) is None
    np.testing.assert_array_equal(swapped, out)
