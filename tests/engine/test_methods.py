"""Separable and spectral against the definition in float64, and the plan that chooses between the methods."""

import os
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from cases import BOUNDARIES, needs_halide
from hypothesis import given
from hypothesis import strategies as st

from kernelfield.engine import direct, plan, reference, separable, spectral
from kernelfield.engine.low_rank import factors
from kernelfield.errors import ArgumentError
from kernelfield.geometry import Window

pytestmark = needs_halide


@pytest.fixture(scope="module", params=["native", "halide"], autouse=True)
def code(request):
    """Run every test on our own machine code, where the processor runs it, and on Halide's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERNELFIELD_ENGINE", "" if request.param == "native" else "halide")
        yield request.param


def definition(image, kernel):
    """Return the sum over the kernel in float64, and the sum of the magnitudes of its terms."""
    kh, kw = kernel.shape
    shape = image.shape[0], image.shape[1] - kh + 1, image.shape[2] - kw + 1
    total, size = np.zeros(shape), np.zeros(shape)
    for a, b in np.ndindex(kh, kw):
        term = kernel[a, b] * image[:, a : a + shape[1], b : b + shape[2]].astype(np.float64)
        total += term
        size += abs(term)
    return total, size


def outputs(image, kernel, dtype="float32"):
    return np.full((len(image), *(n - k + 1 for n, k in zip(image.shape[1:], kernel.shape))), -77, dtype)


def of_rank(rng, rank, kh, kw):
    return rng.normal(size=(kh, rank)) @ rng.normal(size=(rank, kw))


@given(st.data())
def test_separable_is_the_definition(data):
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
    separable.correlate(found, image, kernel, out)
    total, _ = definition(image.astype(out_type), kernel)
    bound = sum(np.abs(np.outer(c, r)) for c, r in zip(found.columns, found.rows))
    size = definition(np.abs(image.astype(np.float64)), bound)[0]
    assert (np.abs(out - total) <= 2 * (kh + kw + rank) * np.finfo(out_type).eps * size + 1e-300).all()


@given(st.data())
def test_spectral_is_the_definition(data):
    draw = data.draw
    dtype = draw(st.sampled_from(["float32", "float64"]))
    kh, kw = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    shape = draw(st.integers(1, 2)), kh + draw(st.integers(0, 400)), kw + draw(st.integers(0, 400))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    image, kernel = rng.normal(size=shape).astype(dtype), rng.normal(size=(kh, kw))
    out = outputs(image, kernel, dtype)
    spectral.correlate(image, kernel, out)
    total, _ = definition(image, kernel)
    rows, columns = spectral.tile_shape(out.shape[1:], kernel.shape)
    tile = np.sqrt(rows * columns) * np.abs(image).max()
    bound = np.finfo(dtype).eps * (np.log2(rows * columns) + 1) * tile * np.linalg.norm(kernel)
    assert np.abs(out - total).max() <= bound


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("method", ["separable", "spectral"])
def test_what_is_not_finite_keeps_to_its_footprint(method, value):
    rng = np.random.default_rng(0)
    image, kernel = rng.normal(size=(1, 700, 900)).astype("f4"), of_rank(rng, 1, 5, 7)
    image[0, 300, 400] = value
    out, clean = outputs(image, kernel), outputs(image, kernel)
    with np.errstate(over="ignore", invalid="ignore"):
        plan.run(*planned(image, kernel, method), image, kernel, out, *FRAME)
    image[0, 300, 400] = 0
    direct.correlate(image, kernel, clean)
    touched = np.zeros(out.shape, bool)
    touched[0, 296:301, 394:401] = True
    np.testing.assert_allclose(out[~touched], clean[~touched], atol=1e-4)
    if value != 3e38:
        assert not np.isfinite(out[touched]).any()


WINDOWS = (Window.of(5, "valid"), Window.of(7, "valid"))
FRAME = (WINDOWS, "reflect", 0.0)


def planned(image, kernel, method=None):
    windows = tuple(Window.of(n, "valid") for n in kernel.shape)
    return (plan.plan(image.shape, kernel, image.dtype, np.dtype("f4"), windows, method),)


def chosen(shape, kernel, dtype="f4"):
    windows = tuple(Window.of(n, "same") for n in kernel.shape)
    return plan.plan((1, *shape), kernel, np.dtype(dtype), np.dtype("f4"), windows)


def test_the_plan_follows_rank_size_and_dtype(monkeypatch):
    rng = np.random.default_rng(0)
    dense = partial(rng.normal, size=(63, 63))
    assert chosen((2048, 2048), rng.normal(size=(7, 7))).method == "direct"
    assert chosen((2048, 2048), of_rank(rng, 1, 15, 15)).method == "separable"
    assert chosen((2048, 2048), of_rank(rng, 2, 31, 31)).method == "separable"
    assert chosen((2048, 2048), dense()).method == "spectral"
    assert chosen((2048, 2048), dense(), "u1").method == "spectral"
    assert chosen((2048, 2048), np.rint(dense()), "u1").method == "direct"
    assert chosen((2048, 2048), dense(), "i4").method == "direct"
    assert chosen((64, 64), of_rank(rng, 1, 5, 5)).method == "direct"
    kernel = dense()
    kernel[0, 0] = np.nan
    assert chosen((2048, 2048), kernel).method == "direct"
    assert "rank 1" in str(chosen((2048, 2048), of_rank(rng, 1, 15, 15)))


def test_methods_that_cannot_be_had_are_refused(monkeypatch):
    image = np.zeros((1, 9, 9), "f4")
    with pytest.raises(ArgumentError, match="method: expected one of direct, separable, spectral; received 'fast'"):
        planned(image, np.ones((3, 3)), "fast")
    with pytest.raises(ArgumentError, match="finite kernel"):
        planned(image, np.full((3, 3), np.nan), "spectral")


_BITS = """
import zlib, numpy as np
from kernelfield.engine import plan
from kernelfield.geometry import Window
rng = np.random.default_rng(0)
image = rng.normal(size=(2, 700, 1300)).astype("f4")
low_rank = rng.normal(size=(9, 2)) @ rng.normal(size=(2, 8))
for kernel, method in ((low_rank, "separable"), (rng.normal(size=(9, 8)), "spectral")):
    windows = Window.of(9, "valid"), Window.of(8, "valid")
    one = plan.plan(image.shape, kernel, image.dtype, image.dtype, windows, method)
    out = np.empty(one.output_shape, "f4")
    plan.run(one, image, kernel, out, windows, "reflect", 0.0)
    alone = np.empty((1, *out.shape[1:]), "f4")
    plan.run(one, image[1:], kernel, alone, windows, "reflect", 0.0)
    assert (alone[0] == out[1]).all()
    print(zlib.crc32(out.tobytes()))
"""


def test_bits_do_not_depend_on_threads():
    def run(threads):
        environment = {**os.environ, "KERNELFIELD_THREADS": threads}
        return subprocess.run(
            [sys.executable, "-c", _BITS], env=environment, capture_output=True, text=True, check=True
        )

    assert run("1").stdout == run("3").stdout != ""


@given(st.data())
def test_tiles_are_cut_from_the_extended_image(data):
    draw = data.draw
    shape = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    first = draw(st.integers(-12, 12)), draw(st.integers(-12, 12))
    size = draw(st.integers(1, 25)), draw(st.integers(1, 25))
    boundary = draw(st.sampled_from(BOUNDARIES))
    pixels = np.arange(1.0, 1 + shape[0] * shape[1]).reshape(shape)
    got = spectral._extended(pixels, first, size, boundary, -7.0, np.dtype(np.float64))
    rows, columns = ([reference.outside(f + i, n, boundary) for i in range(s)] for f, s, n in zip(first, size, shape))
    expected = [[-7.0 if r is None or c is None else pixels[r, c] for c in columns] for r in rows]
    np.testing.assert_array_equal(got, expected)
