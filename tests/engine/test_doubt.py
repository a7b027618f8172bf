"""Sums rounded to integers from float32 where that leaves no doubt, else from float64: always the bits of float64."""

import numpy as np
import pytest
from cases import BOUNDARIES, image, needs_halide
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import kernelfield as kf
from kernelfield.engine import choice, tuning
from kernelfield.engine.low_rank import Factors

pytestmark = [
    needs_halide,
    pytest.mark.skipif(not choice.engine().native, reason="the processor has no AVX2 and FMA, or it is not Linux"),
]

if choice.engine().native:
    from kernelfield.engine.x86 import calls, doubt
    from kernelfield.engine.x86.ends import Border

DOUBLE = np.dtype(np.float64)
PIXELS = {"uint8": (0, 255), "uint16": (0, 65535), "int16": (-32768, 32767)}


def stored(sums, dtype):
    """Return float64 sums as integers: to nearest, halves to even, saturated."""
    limits = np.iinfo(dtype)
    return np.clip(np.rint(sums), limits.min, limits.max).astype(dtype)


@pytest.fixture
def any_work(monkeypatch):
    """Let float32 be tried for the smallest work and for sums that are mostly in doubt."""
    monkeypatch.setattr(doubt, "_WORTH", 0)
    for name in ("_MOST_KERNELS", "_MOST_FACTORS"):
        monkeypatch.setattr(doubt, name, np.inf)


def below_half(closer):
    """Return what `doubt._below_half` does, but in doubt already so much closer to integers."""
    return lambda error: max(0.5 - error - closer, 1e-3)


@settings(max_examples=200)
@given(st.data())
def test_results_have_the_bits_of_float64_sums(data):
    draw = data.draw
    dtype, out_type = draw(st.sampled_from(sorted(PIXELS))), draw(st.sampled_from(sorted(PIXELS)))
    terms = draw(st.integers(0, 3))
    step, kernels = draw(st.sampled_from([(1, 1), (3, 1), (1, 3)])) if not terms else (draw(st.sampled_from([1, 3])), 1)
    kernel = draw(st.integers(1, 9)), draw(st.integers(1, 30))
    height, width = draw(st.integers(1, 40)), step * draw(st.integers(8, 200))
    border = None
    if draw(st.booleans()):
        boundary = draw(st.sampled_from(BOUNDARIES))
        cval = draw(st.sampled_from([0.0, 7.0])) if boundary == "constant" and not terms else 0.0
        border = Border(tuple(draw(st.integers(0, k)) for k in kernel), boundary, cval)
    before = border.before if border else (0, 0)
    after = [draw(st.integers(0, 5)) if border else 0 for _ in range(2)]
    results = height + before[0] + after[0] - kernel[0] + 1, width // step + before[1] + after[1] - kernel[1] + 1
    assume(min(results) >= 1)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    pixels = image(dtype, (1, height, width), draw(st.integers(0, 9)))
    fine = 100 / np.iinfo(dtype).max
    bias = rng.normal(size=kernels) * draw(st.sampled_from([0, 50]))
    scale = draw(st.sampled_from([1.0, 0.25, 8.0]))
    if terms:
        columns, rows = rng.normal(size=(terms, kernel[0])), rng.normal(size=(terms, kernel[1])) * fine
        factors = Factors(columns / kernel[0], rows)
    else:
        weights = rng.normal(size=(kernels, *kernel)) * fine
        parity = draw(st.sampled_from([0, 0, 1, -1]))
        weights = weights + parity * weights[..., ::-1]

    def correlated(dtype):
        out = np.zeros((1, kernels, results[0], results[1] * step), dtype)
        if terms:
            done = calls.passes(pixels, factors, out[:, 0], DOUBLE, bias, scale, step, border)
        else:
            done = calls.sliding(pixels, weights, out, DOUBLE, bias, scale, step, border)
        assume(done)
        return out

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(doubt, "_WORTH", 0)
        patch.setattr(doubt, "_MOST_KERNELS", np.inf)
        patch.setattr(doubt, "_MOST_FACTORS", np.inf)
        patch.setattr(doubt, "_below_half", below_half(draw(st.sampled_from([0, 0.01, 0.5]))))
        found = correlated(out_type)
    np.testing.assert_array_equal(found, stored(scale * correlated(np.float64), out_type))


@pytest.mark.parametrize("height", range(1, 8))
@pytest.mark.parametrize("width", [8, 16, 24, 32, 40, 70])
@pytest.mark.parametrize("kernel", [(1, 3), (2, 13), (3, 20), (2, 45)])
def test_so_they_have_in_tiles_of_every_size(height, width, kernel, any_work, monkeypatch):
    monkeypatch.setattr(doubt, "_below_half", below_half(0.4))
    rng = np.random.default_rng(0)
    pixels = image("uint8", (1, height + kernel[0] - 1, width + kernel[1] - 1))
    weights, factors = rng.normal(size=(1, *kernel)), Factors(*(rng.normal(size=(2, n)) for n in kernel))
    for boundary in (None, Border((0, kernel[1] // 2), "mirror")):
        wide = width if boundary is None else pixels.shape[2]
        for call, asked, shape in ((calls.sliding, weights, (1, 1)), (calls.passes, factors, (1,))):
            results = []
            for dtype in ("int16", "float64"):
                results.append(np.zeros((*shape, height, wide), dtype))
                results.append(call(pixels, asked, results[-1], DOUBLE, border=boundary))
            if results[1] and results[3]:
                np.testing.assert_array_equal(results[0], stored(results[2], np.int16))


@pytest.mark.parametrize("certain", [True, False])
def test_float32_alone_would_round_some_sums_to_the_other_side(certain, any_work, monkeypatch):
    rng = np.random.default_rng(0)
    pixels, kernel = image("uint8", (1, 600, 700)), rng.normal(size=(1, 9, 9)) / 9
    factors = Factors(rng.normal(size=(1, 9)) / 3, rng.normal(size=(1, 9)) / 3)
    if not certain:
        monkeypatch.setattr(doubt, "_below_half", lambda error: 0.5)
    wrong = []
    for call, weights in ((calls.sliding, kernel), (calls.passes, factors)):
        shape = (1, 1, 592, 692) if call is calls.sliding else (1, 592, 692)
        out, sums = np.zeros(shape, np.int16), np.zeros(shape)
        call(pixels, weights, out, DOUBLE)
        call(pixels, weights, sums, DOUBLE)
        wrong.append(int((out != stored(sums, np.int16)).sum()))
    assert all(n == 0 if certain else n > 0 for n in wrong)


def in_single(weights, numbers):
    """Return a sum of products as float32 takes it, each step a fused multiply-add: products are exact in float64."""
    total = np.float32(0)
    for weight, number in zip(weights.astype(np.float32).astype(np.float64), numbers):
        total = np.float32(weight * number + np.float64(total))
    return float(total)


@given(st.sampled_from(sorted(PIXELS)), st.integers(1, 7), st.integers(1, 7), st.integers(-1, 1), st.integers(0, 999))
def test_float32_is_no_further_from_float64_than_the_bound(dtype, kh, kw, fold, seed):
    rng = np.random.default_rng(seed)
    kernel = rng.normal(size=(kh, kw)) ** 3
    kernel = kernel + fold * kernel[:, ::-1]
    low, high = PIXELS[dtype]
    half = kw // 2 if fold else 0
    known = doubt.of_kernel(kernel, (low, high), fold)
    for _ in range(20):
        ends = np.where(rng.normal(size=(kh, kw)) > 0, high, low)
        pixels = ends if rng.random() < 0.3 else rng.integers(low, high, (kh, kw), endpoint=True)
        folded = pixels[:, :half] + fold * pixels[:, ::-1][:, :half]
        numbers = np.concatenate([folded, pixels[:, half : kw - half]], axis=1)
        exact = (kernel * pixels).sum()
        assert abs(in_single(kernel[:, : kw - half].ravel(), numbers.ravel().astype(float)) - exact) <= known.error
        more = 1e-6 * (1 + abs(exact))
        assert known.low - more <= exact <= known.high + more


@given(st.integers(1, 3), st.integers(1, 7), st.integers(1, 7), st.integers(0, 999))
def test_so_it_is_for_sums_of_columns_and_rows(terms, kh, kw, seed):
    rng = np.random.default_rng(seed)
    factors = Factors(rng.normal(size=(terms, kh)) ** 3, rng.normal(size=(terms, kw)))
    known = doubt.of_factors(factors, (0, 255))
    for _ in range(20):
        pixels = (
            np.where(rng.normal(size=(kh, kw)) > 0, 255, 0) if rng.random() < 0.3 else rng.integers(0, 256, (kh, kw))
        )
        between = [[in_single(column, pixels[:, b]) for b in range(kw)] for column in factors.columns]
        found = in_single(factors.rows.ravel(), np.ravel(between))
        assert abs(found - ((factors.columns.T @ factors.rows) * pixels).sum()) <= known.error


def begins(kernel, tile, y):
    """Return the rows of a kernel that begin parts of sums in row y of a tile: parts end after rows of the image."""
    rows, columns = kernel
    part = max(1, 32 // columns)
    all_fed = rows - tile + 1
    if columns == 1 or all_fed <= max(part, 2):
        return [0]
    ends = range(tile - 1 + part, rows + 1, part)
    return [0, *(end - y for end in ends if end - y < rows)]


@pytest.mark.parametrize("kernel", [(3, 3), (7, 7), (12, 12), (15, 5), (9, 40), (40, 1), (31, 31)])
def test_the_bound_knows_all_parts_that_sums_go_in(kernel):
    ways = set()
    for tile in range(1, 7):
        for y in range(tile):
            known = begins(kernel, tile, y)
            ways.add(tuple(max(begin for begin in known if begin <= row) for row in range(kernel[0])))
    assert {tuple(way) for way in doubt._parts(*kernel)} == ways


@pytest.mark.parametrize("kernel", [(3, 3), (7, 7), (12, 12), (15, 5), (9, 40)])
def test_sums_go_in_those_parts(kernel, any_work, monkeypatch):
    monkeypatch.setattr(doubt, "_below_half", lambda error: 0.5)
    tile = tuning.current(True).tile(kernel[0])[0]
    pixels = np.ones((1, 10 * tile + kernel[0] - 1, 64 + kernel[1] - 1), np.uint8)
    for row in range(1, kernel[0]):
        # What is left of 1 - 2**26 + 2**26 shows whether all of it went into one sum.
        weights = np.zeros((1, *kernel))
        weights[0, row - 1, -1], weights[0, row, 0], weights[0, row, 1] = 2.0**26, -(2.0**26), 1
        out = np.zeros((1, 1, 10 * tile, 64), np.uint8)
        assert calls.sliding(pixels, weights, out, DOUBLE)
        expected = [row not in begins(kernel, tile, y) for y in range(tile)]
        np.testing.assert_array_equal(out[0, 0], np.tile(expected, 10)[:, None].repeat(64, axis=1))


def test_what_is_added_in_parts_errs_less():
    ones, parts = np.ones(8), np.repeat([0, 4], 4)
    whole, halves = (doubt.of_products(ones, 0, 1, parts=p).error for p in (None, parts[None]))
    # Half units in the last place of 1, 2, ... 8; or of 1, 2, 3, 4 twice, of 4, and of 8 twice where parts are added.
    assert whole == pytest.approx(0.5 * 2.0**-23 * (1 + 2 + 2 + 4 + 4 + 4 + 4 + 8), rel=1e-6)
    assert halves == pytest.approx(0.5 * 2.0**-23 * (2 * (1 + 2 + 2 + 4) + 4 + 2 * 8), rel=1e-6)


def test_a_bias_adds_to_the_error():
    known = doubt.Sum(-10.0, 100.0, 1e-5)
    assert doubt.with_bias(known, 0.0) == known
    more = doubt.with_bias(known, 0.1)
    assert (more.low, more.high) == (-9.9, 100.1)
    assert more.error > known.error + abs(0.1 - np.float32(0.1))


def test_float64_is_taken_at_once_where_many_sums_meet_halves():
    pixels, out = image("uint8", (1, 500, 500)), np.zeros((1, 1, 495, 495), np.uint8)
    zero = np.zeros(1)

    def certain(kernel, pixels=pixels, out=out):
        return doubt.certain_kernels(np.asarray(kernel)[None], zero, pixels, out, 0)

    assert 0.499 < certain(np.full((5, 5), 1 / 25)) < 0.5
    assert certain(np.full((6, 6), 1 / 36)) is None
    assert certain(np.full((2, 3), 1 / 6)) is None
    assert 0.499 < certain(np.random.default_rng(0).random((6, 6)) / 36) < 0.5
    assert certain(np.full((5, 5), 1 / 25), pixels[:, :50, :50], out[..., :46, :46]) is None
    assert certain(np.full((5, 5), 1 / 25), pixels.astype(np.int32)) is None
    assert certain(np.full((5, 5), np.inf)) is None
    assert certain(np.full((5, 5), np.nan)) is None
    assert certain(np.full((5, 5), 1e39)) is None
    assert certain(np.full((5, 5), 1 / 25), pixels.astype(np.uint16) * 257) is None
    box = Factors(np.full((1, 6), 1 / 6), np.full((1, 6), 1 / 6))
    assert doubt.certain_factors(box, 0.0, pixels, out) is None
    odd = Factors(np.full((1, 5), 1 / 5), np.full((1, 5), 1 / 5))
    assert 0.499 < doubt.certain_factors(odd, 0.0, pixels, out) < 0.5


@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize("precision", [None, "exact"])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_blurred_photograph_is_the_float64_blur_rounded(channels, precision, boundary):
    photo = image("uint8", (700, 600, *channels))
    kernel = kf.kernels.gaussian(sigma=1.5)
    planes = [photo] if not channels else list(np.moveaxis(photo, -1, 0))
    asked = {"boundary": boundary, "precision": precision}
    if channels:
        found = kf.correlate(np.moveaxis(photo, -1, 0), kernel, dtype=np.uint8, **asked)
    else:
        found = kf.correlate(photo, kernel, dtype=np.uint8, **asked)[None]
    for plane, one in zip(planes, found):
        sums = kf.correlate(plane, kernel, dtype=np.float64, **asked)
        np.testing.assert_array_equal(one, stored(sums, np.uint8))
