"""Our own machine code: against the definition, against Halide's bits, and on every layout it reads and writes."""

import gc
import threading
from fractions import Fraction

import numpy as np
import pytest
from cases import needs_halide
from hypothesis import given
from hypothesis import strategies as st

import kernelfield as kf
from kernelfield.engine import choice, direct, processor
from kernelfield.engine.low_rank import factors

pytestmark = [
    needs_halide,
    pytest.mark.skipif(not choice.engine().native, reason="the processor has no AVX2 and FMA, or it is not Linux"),
]

if choice.engine().native:
    from kernelfield.engine.x86 import call, calls
    from kernelfield.engine.x86.numbers import LOADED, STORED

    TYPES = [(i, s, o) for s in LOADED for i in LOADED[s] for o in (s, *STORED[s])]
else:
    TYPES = []


def numbers(rng, dtype, shape):
    if np.dtype(dtype).kind == "f":
        return rng.normal(scale=90, size=shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(max(limits.min, -(2**20)), min(limits.max, 2**20), shape, dtype, endpoint=True)


def definition(image, kernels, bias, step):
    """Return sums (N, C_out, OH, OW) in float64, and the sums of the magnitudes of their terms."""
    count, kh, kw = kernels.shape
    shape = image.shape[0], count, image.shape[1] - kh + 1, image.shape[2] - (kw - 1) * step
    total = np.zeros(shape) + bias[:, None, None]
    size = abs(total)
    for a, b in np.ndindex(kh, kw):
        part = image[:, None, a : a + shape[2], b * step : b * step + shape[3]].astype(np.float64)
        total += kernels[:, a, b, None, None] * part
        size += abs(kernels[:, a, b, None, None] * part)
    return total, size


def stored(total, dtype):
    """Return sums as results: rounded to nearest, halves to even, and saturated."""
    if np.dtype(dtype).kind == "f":
        return total.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(total), limits.min, limits.max).astype(dtype)


@given(st.data())
def test_sliding_products_are_the_definition(data):
    draw = data.draw
    dtype, sums, out_type = draw(st.sampled_from(TYPES))
    count, kh, kw, step = (draw(st.integers(1, most)) for most in (3, 9, 34, 4))
    n, high, wide = draw(st.integers(1, 2)), draw(st.integers(1, 30)), draw(st.integers(1, 70))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    image = numbers(rng, dtype, (n, high + kh, wide + (kw - 1) * step + 3))[:, 1:, 2 : wide + (kw - 1) * step + 2]
    kernels = rng.normal(scale=1 / (kh * kw), size=(count, kh, kw)).astype(sums).astype(np.float64)
    bias = rng.normal(size=count).astype(sums).astype(np.float64)
    around = np.full((n, count, high + 2, wide + 5), 77, out_type)
    out = around[:, :, 1:-1, 2:-3]
    calls.sliding(image, kernels, out, np.dtype(sums), bias, step=step)
    total, size = definition(image.astype(sums), kernels, bias, step)
    error = (kh * kw + 2) * np.finfo(sums).eps * size
    if np.dtype(out_type).kind == "f":
        assert (abs(out - total) <= error + np.finfo(out_type).eps * abs(total)).all()
    else:
        low, high = stored(total - error, out_type), stored(total + error, out_type)
        assert ((low <= out) & (out <= high)).all()
    out[...] = 77
    assert (around == 77).all()


@given(st.data())
def test_whole_sums_are_rounded_as_defined(data):
    draw = data.draw
    out_type = draw(st.sampled_from(["uint8", "uint16", "int16"]))
    sums = draw(st.sampled_from(["float32", "float64"]))
    image = numbers(np.random.default_rng(0), draw(st.sampled_from(["uint8", "int16"])), (1, 20, 60))
    weights = draw(st.lists(st.integers(-9, 9), min_size=12, max_size=12))
    kernels = np.array(weights, float).reshape(1, 3, 4)
    out = np.empty((1, 1, 18, 57), out_type)
    calls.sliding(image, kernels, out, np.dtype(sums), scale=0.125)
    total, _ = definition(image, kernels, np.zeros(1), 1)
    np.testing.assert_array_equal(out, stored(total / 8, out_type))


@pytest.mark.parametrize("sums", ["float32", "float64"])
def test_what_is_not_finite_becomes_an_end_of_the_range_or_0(sums):
    image = np.zeros((1, 4, 40), sums)
    image[0, 1, ::4] = np.nan, np.inf, -np.inf, 300, -300, 1e30, 2.5, 3.5, -0.5, 255.5
    for dtype, ends in (("uint8", (0, 255)), ("int16", (-(2**15), 2**15 - 1))):
        out = np.empty((1, 1, 4, 40), dtype)
        calls.sliding(image, np.ones((1, 1, 1)), out, np.dtype(sums))
        found = out[0, 0, 1, ::4].tolist()
        low, high = ends
        inside = [high if dtype == "uint8" else 300, low if dtype == "uint8" else -300]
        assert found == [0, high, low, *inside, high, 2, 4, 0, min(256, high)]


@given(st.data())
def test_bits_are_those_of_halides_code(data):
    draw = data.draw
    dtype, sums = draw(st.sampled_from([(i, s) for i, s, o in TYPES if s == o]))
    kh, kw, n = draw(st.integers(1, 8)), draw(st.integers(1, 30)), draw(st.integers(1, 2))
    shape = n, kh + draw(st.integers(0, 20)), kw + draw(st.integers(0, 70))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    image, kernel, bias = numbers(rng, dtype, shape), rng.normal(size=(kh, kw)), float(rng.normal())
    ours = np.empty((n, shape[1] - kh + 1, shape[2] - kw + 1), sums)
    theirs = ours.copy()
    calls.sliding(image, kernel[None], ours[:, None], ours.dtype, np.array([bias]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERNELFIELD_ENGINE", "halide")
        direct.correlate(image, kernel, theirs, bias)
    np.testing.assert_array_equal(ours, theirs)


def fused(a, b, c):
    """Return ``a * b + c``, rounded once."""
    return float(Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c)))


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize(("terms", "kh", "kw"), [(1, 3, 3), (2, 5, 14), (1, 1, 2), (1, 2, 43)])
def test_passes_add_terms_in_the_order_of_the_weights(terms, kh, kw, step):
    rng = np.random.default_rng(kh)
    found = factors(rng.normal(size=(kh, terms)) @ rng.normal(size=(terms, kw)), terms)
    image = rng.normal(size=(1, kh + 4, 9 + (kw - 1) * step))
    out = np.empty((1, 5, 9))
    calls.passes(image, found, out, out.dtype, step=step)
    expected = np.zeros((5, 9))
    for i, j in np.ndindex(5, 9):
        for column, row in zip(found.columns, found.rows):
            for b in range(kw):
                between = 0.0
                for a in range(kh):
                    between = fused(column[a], image[0, i + a, j + b * step], between)
                expected[i, j] = fused(row[b], between, expected[i, j])
    np.testing.assert_array_equal(out[0], expected)


@given(st.data())
def test_passes_are_the_definition(data):
    draw = data.draw
    dtype, sums, out_type = draw(st.sampled_from(TYPES))
    terms, kh, kw, step = (draw(st.integers(1, most)) for most in (3, 12, 50, 3))
    n, high, wide = draw(st.integers(1, 2)), draw(st.integers(1, 12)), draw(st.sampled_from([1, 7, 8, 30, 530, 1100]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    image = numbers(rng, dtype, (n, high + kh - 1, wide + (kw - 1) * step))
    kernel = rng.normal(size=(kh, terms)) @ rng.normal(size=(terms, kw)) / (kh * kw)
    found = factors(kernel, min(kh, kw))
    around = np.full((n, high + 2, wide + 5), 77, out_type)
    out = around[:, 1:-1, 2:-3]
    calls.passes(image, found, out, np.dtype(sums), np.array([1.5]), step=step)
    bound = sum(np.abs(np.outer(c, r)) for c, r in zip(found.columns, found.rows))
    total, _ = definition(image.astype(sums), kernel[None], np.array([1.5]), step)
    _, size = definition(image.astype(sums), bound[None], np.array([1.5]), step)
    error = 2 * (kh + kw + terms) * np.finfo(sums).eps * size[:, 0]
    low, high = stored(total[:, 0] - error, out_type), stored(total[:, 0] + error, out_type)
    assert ((low <= out) & (out <= high)).all()
    out[...] = 77
    assert (around == 77).all()


def test_it_is_left_alone_where_it_is_not_wanted_or_does_not_run(monkeypatch):
    assert choice.engine().native
    monkeypatch.setenv("KERNELFIELD_ENGINE", "halide")
    assert not choice.engine().native
    monkeypatch.delenv("KERNELFIELD_ENGINE")
    monkeypatch.setenv("HL_JIT_TARGET", "x86-64-linux-sse41")
    assert not choice.engine().native
    monkeypatch.delenv("HL_JIT_TARGET")
    choice._usual.cache_clear()
    try:
        monkeypatch.setattr(processor, "features", lambda: frozenset({"avx", "fma"}))
        assert not choice.engine().native
    finally:
        monkeypatch.undo()
        choice._usual.cache_clear()


def test_many_threads_and_shapes_while_memory_is_collected():
    rng = np.random.default_rng(0)
    shapes = [(int(h), int(w), int(a), int(b)) for h, w, a, b in rng.integers((1, 1, 1, 1), (90, 90, 8, 8), (200, 4))]
    images = [rng.normal(size=(h, w)).astype(rng.choice(["f4", "f8"])) for h, w, _, _ in shapes]
    kernels = [rng.normal(size=(a, b)) for _, _, a, b in shapes]
    expected = [kf.correlate(image, kernel) for image, kernel in zip(images, kernels)]
    wrong: list[int] = []

    def work(seed):
        for i in np.random.default_rng(seed).permutation(len(shapes)):
            if not np.array_equal(kf.correlate(images[i].copy(), kernels[i].copy()), expected[i]):
                wrong.append(i)
            if i % 10 == 0:
                gc.collect()

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_one_thread_is_this_one(monkeypatch):
    image, kernel = np.ones((900, 900), np.float32), np.ones((5, 5))
    expected = kf.correlate(image, kernel)
    shared = []
    monkeypatch.setattr(call, "parallel_for", lambda: lambda *_: shared.append(1))
    kf.correlate(image, kernel)
    kf.set_threads(1)
    try:
        np.testing.assert_array_equal(kf.correlate(image, kernel), expected)
    finally:
        kf.set_threads(None)
    assert shared == [1]


def test_code_that_is_not_remembered_gives_its_memory_back():
    def count():
        with open("/proc/self/maps", encoding="utf-8") as maps:
            return sum(1 for _ in maps)

    image = np.ones((1, 60, 60), np.float32)

    def apply(sizes):
        for kh, kw in sizes:
            calls.sliding(image, np.ones((1, kh, kw)), np.empty((1, 1, 61 - kh, 61 - kw), "f4"), np.dtype("f4"))

    apply((kh, kw) for kh in range(1, 25) for kw in range(1, 25))
    before = count()
    apply((kh, kw) for kh in range(25, 50) for kw in range(1, 50))
    assert count() < before + 100


PADDED = {"constant": "constant", "nearest": "edge", "reflect": "symmetric", "mirror": "reflect", "wrap": "wrap"}


@given(st.data())
def test_borders_of_planes_and_of_channels_side_by_side(data):
    draw = data.draw
    dtype = draw(st.sampled_from(["uint8", "int16", "float32", "float64"]))
    out_type = draw(st.sampled_from(["uint8", "int16", "float32", "float64"]))
    boundary, mode = draw(st.sampled_from(sorted(PADDED))), draw(st.sampled_from(["same", "full"]))
    channels, interleaved = draw(st.integers(1, 4)), draw(st.booleans())
    high, wide = draw(st.integers(1, 20)), draw(st.integers(1, 150))
    kh, kw = draw(st.integers(1, 12)), draw(st.integers(1, 12) | st.sampled_from([25, 40]))
    cval = draw(st.sampled_from([0.0, 7.0, 2.5]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    image = numbers(rng, dtype, (high, wide, channels))
    planes = image.transpose(2, 0, 1) if interleaved else np.ascontiguousarray(image.transpose(2, 0, 1))
    kernel = np.rint(rng.normal(scale=2, size=(kh, kw)))
    result = kf.correlate(planes, kernel, mode=mode, boundary=boundary, cval=cval, dtype=out_type)
    before = (kh // 2, kw // 2) if mode == "same" else (kh - 1, kw - 1)
    pads = [(0, 0), *((b, n - 1 - b if mode == "same" else b) for b, n in zip(before, kernel.shape))]
    padded = np.pad(planes.astype(np.float64), pads, PADDED[boundary], **constant(boundary, cval))
    total, size = definition(padded, kernel[None], np.zeros(1), 1)
    error = (kernel.size + 2) * np.finfo("f4" if out_type == "float32" else "f8").eps * size[:, 0]
    low, high = stored(total[:, 0] - error, out_type), stored(total[:, 0] + error, out_type)
    assert ((low <= result) & (result <= high)).all()
    if interleaved and channels > 1 and dtype != "float64":
        assert result.transpose(1, 2, 0).flags.c_contiguous or result.shape[-1] == 1


def constant(boundary, cval):
    return {"constant_values": cval} if boundary == "constant" else {}


@pytest.mark.parametrize("boundary", sorted(PADDED))
def test_one_call_for_all_of_an_image_gives_the_bits_of_pieces(boundary, monkeypatch):
    rng = np.random.default_rng(0)
    image, kernel = rng.normal(size=(300, 401)).astype("f4"), rng.normal(size=(6, 31))
    whole = kf.correlate(image, kernel, boundary=boundary, cval=0.3, mode="full", method="direct")
    low_rank = kernel[:, :1] @ kernel[:1]
    passes = [kf.correlate(image, low_rank, boundary=boundary, cval=c, method="separable") for c in (0.0, 0.3)]
    padded = [np.pad(image, ((3, 2), (15, 15)), PADDED[boundary], **constant(boundary, c)) for c in (0.0, 0.3)]
    for found, extended in zip(passes, padded):
        np.testing.assert_array_equal(found, kf.correlate(extended, low_rank, mode="valid", method="separable"))
    monkeypatch.setenv("KERNELFIELD_ENGINE", "halide")
    pieces = kf.correlate(image, kernel, boundary=boundary, cval=0.3, mode="full", method="direct")
    np.testing.assert_array_equal(whole, pieces)
