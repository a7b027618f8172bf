"""Sums by transforms: no further from exact sums than products are, and integers that exact sums are rounded to."""

import math

import numpy as np
import pytest
from cases import BOUNDARIES, image, photograph, sums_of_products
from hypothesis import given, settings
from hypothesis import strategies as st

import kernelfield as kf
from kernelfield import _core
from kernelfield.engine import exactness, reference, spectral
from kernelfield.engine.threads import set_threads

pytestmark = pytest.mark.core

UNIT = 2.0**-24
SMALL_TILES = (64, 80)


@pytest.fixture
def taken_again(monkeypatch):
    """Count the results that are taken by products."""
    results = []
    compiled = _core.Correlation

    class Counting:
        def __init__(self, *arguments, **options):
            self.run = compiled(*arguments, **options)

        def __call__(self, tile, out):
            results.append(out.size)
            self.run(tile, out)

    monkeypatch.setattr(_core, "Correlation", Counting)
    return results


def pictures(kind, shape, seed):
    """Return images that are hard on transforms, and such as are not."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=shape).astype(np.float32)
    places = tuple(rng.integers(0, shape, (5, 2)).T)
    if kind == "noise":
        return noise
    if kind == "positive":
        return abs(noise)
    if kind == "huge pixel":
        noise[places] = 1e8
    elif kind == "huge positive pixel":
        noise = abs(noise)
        noise[places] = 1e30
    elif kind == "points":
        noise[...], noise[places] = 0, noise[places]
    elif kind == "mask":
        noise = (noise > 5).astype(np.float32)
        noise[shape[0] // 3 : shape[0] // 2, shape[1] // 4 :] = 1
    elif kind == "steps":
        noise[: shape[0] // 2] *= 1e-9
        noise[:, : shape[1] // 3] *= 1e6
    elif kind == "tiny":
        noise *= 1e-30
    elif kind == "flat":
        noise[...] = 0.1
    return noise


def weights(kind, shape, seed):
    rng = np.random.default_rng(seed + 1)
    y, x = (np.arange(n)[(slice(None), None)[:: 1 - 2 * axis]] - n // 2 for axis, n in enumerate(shape))
    kernel = rng.normal(size=shape)
    if kind == "positive":
        return abs(kernel)
    if kind == "zero sum":
        return kernel - kernel.mean()
    if kind == "disc":
        return (4 * y * y / shape[0] ** 2 + 4 * x * x / shape[1] ** 2 <= 1).astype(float)
    if kind == "fading":
        return np.exp(-(y * y + y * x + x * x) / 9.0)
    if kind == "few":
        return kernel * (rng.random(shape) < 0.02)
    return kernel


PICTURES = ("noise", "positive", "huge pixel", "huge positive pixel", "points", "mask", "steps", "tiny", "flat")
KERNELS = ("any", "positive", "zero sum", "disc", "fading", "few")


def correlated(pixels, kernel, dtype="float32", **options):
    out = np.full((1, *(n - k + 1 for n, k in zip(pixels.shape, kernel.shape))), 77, dtype)
    spectral.correlate(pixels[None], kernel, out, **options)
    return out[0]


@settings(max_examples=150)
@given(
    st.sampled_from(PICTURES),
    st.sampled_from(KERNELS),
    st.tuples(st.integers(1, 24), st.integers(1, 24)),
    st.tuples(st.integers(0, 90), st.integers(0, 90)),
    st.booleans(),
    st.integers(0, 99),
)
def test_single_results_keep_the_bound_of_products(picture, kind, shape, more, cut, seed):
    pixels = pictures(picture, tuple(k + n for k, n in zip(shape, more)), seed)
    kernel = weights(kind, shape, seed)
    found = correlated(pixels, kernel, tile=SMALL_TILES if cut else None)
    exact, size = sums_of_products(pixels, kernel)
    # One unit for a rounded weight, and one for products that are rounded by themselves; weights and results that are
    # too small for float32.
    lost = 2.0**-149 * (kernel.size + sums_of_products(abs(pixels.astype(float)), np.ones(shape))[0])
    bound = 1.01 * (kernel.size + 2) * UNIT * size + lost
    assert (abs(found - exact) <= bound).all()
    nothing = found[size == 0]
    assert not nothing.any()
    assert not np.signbit(nothing).any()
    if pixels.min() >= 0 and kernel.min() >= 0:
        assert (found >= 0).all()
        assert (found[exact > 1e-37] > 0).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KERNELS)
def test_a_bright_pixel_changes_nothing_elsewhere(dtype, kind):
    pixels = np.zeros((300, 310), dtype)
    pixels[140, 150] = 1e6
    kernel = weights(kind, (41, 41), 0)
    found = correlated(pixels, kernel, dtype)
    reached = np.s_[100:141, 110:151]
    if dtype == "float32":
        # One product each.
        np.testing.assert_allclose(found[reached], 1e6 * kernel[::-1, ::-1], rtol=34 * UNIT, atol=1e6 * 2.0**-149)
    found[reached] = 0
    assert not found.any()


@pytest.mark.parametrize("kind", ["any", "positive", "zero sum", "disc"])
@pytest.mark.parametrize("picture", ["noise", "photograph", "bytes"])
def test_common_images_stay_with_transforms(picture, kind, taken_again):
    pixels = photograph("camera")
    if picture == "photograph":
        pixels = pixels.astype(np.float32) / 255
    if picture == "noise":
        pixels = pictures("noise", pixels.shape, 0)
    kernel = weights(kind, (31, 31), 0)
    correlated(pixels, kernel)
    assert sum(taken_again) <= 300


def test_zeros_stay_with_transforms(taken_again):
    for picture in ("mask", "points"):
        correlated(pictures(picture, (400, 410), 0), weights("disc", (31, 31), 0))
    correlated(np.zeros((400, 410), np.float32), weights("any", (31, 31), 0))
    correlated(np.zeros((400, 410), np.uint8), weights("any", (31, 31), 0), "uint8")
    assert sum(taken_again) <= 600


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_borders_batches_and_threads(boundary, dtype):
    pixels = abs(image("float32", (3, 70, 90))) * 30
    kernel = weights("any", (9, 14), 0)
    kernel /= abs(kernel).sum()
    before, shape = (11, 3), (3, 95, 101)
    around = dict(before=before, boundary=boundary, cval=5.0, bias=2.5, tile=SMALL_TILES)
    out = np.zeros(shape, dtype)
    spectral.correlate(pixels, kernel, out, **around)
    for one, result in zip(pixels, out):
        reads = [
            [reference.outside(i - b, n, boundary) for i in range(size + k - 1)]
            for b, n, size, k in zip(before, one.shape, shape[1:], kernel.shape)
        ]
        extended = np.array([[5.0 if r is None or c is None else one[r, c] for c in reads[1]] for r in reads[0]])
        sums = sums_of_products(extended, kernel)[0].astype(float) + 2.5
        expected = np.clip(np.rint(sums), 0, 255) if dtype == "uint8" else sums
        np.testing.assert_allclose(result, expected, rtol=0, atol=0 if dtype == "uint8" else 1e-4)
    alone = np.zeros((1, *shape[1:]), dtype)
    spectral.correlate(pixels[1:2], kernel, alone, **around)
    np.testing.assert_array_equal(alone[0], out[1])
    try:
        for threads in (1, 3):
            set_threads(threads)
            again = np.zeros(shape, dtype)
            spectral.correlate(pixels, kernel, again, **around)
            assert again.tobytes() == out.tobytes()
    finally:
        set_threads(None)


@given(st.data())
def test_tiles_are_cut_from_the_extended_image(data):
    draw = data.draw
    shape = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    first = draw(st.integers(-12, 12)), draw(st.integers(-12, 12))
    size = draw(st.integers(1, 25)), draw(st.integers(1, 25))
    boundary = draw(st.sampled_from(BOUNDARIES))
    pixels = np.arange(1.0, 1 + shape[0] * shape[1]).reshape(shape)
    part = np.empty(size)
    spectral._extend(pixels, first, boundary, -7.0, part)
    rows, columns = ([reference.outside(f + i, n, boundary) for i in range(s)] for f, s, n in zip(first, size, shape))
    expected = [[-7.0 if r is None or c is None else pixels[r, c] for c in columns] for r in rows]
    np.testing.assert_array_equal(part, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_reaches_the_windows_that_hold_it(value, dtype):
    pixels, kernel = pictures("noise", (150, 170), 0), weights("any", (5, 7), 0)
    pixels[60, 80] = value
    found = correlated(pixels, kernel, dtype, tile=SMALL_TILES)
    pixels[60, 80] = 0
    clean = correlated(pixels, kernel, dtype, tile=SMALL_TILES)
    reached = np.zeros(found.shape, bool)
    reached[56:61, 74:81] = True
    np.testing.assert_allclose(found[~reached], clean[~reached], rtol=0, atol=1e-4)
    if dtype != "int16":
        assert not np.isfinite(found[reached]).any()


@pytest.mark.parametrize("value", [1e-200, 1e-320, 1e200])
def test_pixels_whose_squares_are_lost(value):
    pixels, kernel = pictures("points", (60, 60), 0).astype(np.float64) * value, weights("any", (9, 9), 0)
    found = correlated(pixels, kernel / 8, "float64")
    exact, size = sums_of_products(pixels, kernel / 8)
    assert (abs(found - exact) <= 100 * 2.0**-53 * size + 100 * 2.0**-1074).all()


@given(
    st.sampled_from(["float32", "float64"]),
    st.sampled_from(PICTURES),
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    st.tuples(st.integers(0, 200), st.integers(0, 200)),
    st.integers(0, 99),
)
def test_double_results_are_within_the_error_of_transforms(dtype, picture, shape, more, seed):
    pixels = pictures(picture, tuple(k + n for k, n in zip(shape, more)), seed).astype(dtype)
    kernel = weights("any", shape, seed)
    found = correlated(pixels, kernel, "float64")
    exact, _ = sums_of_products(pixels, kernel, np.longdouble)
    size = math.prod(spectral.tile_shape(found.shape, shape))
    assert abs(found - exact).max() <= exactness.error(pixels.astype(float), kernel, size)
    assert not found[sums_of_products((pixels != 0).astype(float), np.ones(shape))[0] == 0].any()


def rounded(parts, dtype, up=False):
    """Return multiples of 1/4096, given as integers, rounded to nearest, halves to even or up, and saturated."""
    whole, rest = parts >> 12, parts & 4095
    above = (rest > 2048) | ((rest == 2048) & (up | (whole & 1 == 1)))
    limits = np.iinfo(dtype)
    return np.clip(whole + above, limits.min, limits.max).astype(dtype)


@settings(max_examples=80)
@given(
    st.sampled_from(["uint8", "uint16", "int16"]),
    st.sampled_from(["uint8", "uint16", "int16"]),
    st.integers(1, 12),
    st.integers(1, 12),
    st.sampled_from([1, 64, 1024, 2048, 4096]),
    st.booleans(),
    st.integers(0, 99),
)
def test_integers_are_those_of_exact_sums(dtype, out_type, kh, kw, step, up, seed):
    rng = np.random.default_rng(seed)
    pixels = image(dtype, (int(rng.integers(kh, 90)), int(rng.integers(kw, 90))), seed)
    kernel = rng.integers(-4096, 4096, (kh, kw)) // step * step
    bias = int(rng.integers(-9, 9)) * 512
    found = correlated(pixels, kernel / 8, out_type, bias=bias / 8, scale=1 / 512, up=up)
    exact = sums_of_products(pixels, kernel, np.int64)[0]
    np.testing.assert_array_equal(found, rounded(exact + bias, out_type, up))


@pytest.mark.parametrize("step", [1, 64, 2048])
def test_integers_in_doubt_are_taken_again(step, monkeypatch):
    rng = np.random.default_rng(0)
    pixels, kernel = image("uint8", (400, 400)), rng.integers(-400, 400, (20, 20)) // step * step
    expected = rounded(sums_of_products(pixels, kernel, np.int64)[0], "int16")
    np.testing.assert_array_equal(correlated(pixels, kernel / 4096, "int16"), expected)
    monkeypatch.setattr(exactness, "error", lambda *_: -1.0)
    assert (correlated(pixels, kernel / 4096, "int16") != expected).any()


@pytest.mark.parametrize("up", [False, True])
def test_halves_at_the_limits(up):
    pixels = 2 * image("int16", (100, 110)).astype(np.int64) % 700 - 100
    places = np.arange(5, 105, 5)
    pixels[50, places] = [-3, -2, -1, 0, 1, 2, 3, 5, 507, 508, 509, 510, 511, 512, 513, 514, 515, 7, 9, 11]
    kernel = np.zeros((3, 3))
    kernel[1, 1] = 0.5
    found = correlated(pixels.astype(np.int16), kernel, "uint8", up=up)
    np.testing.assert_array_equal(found, rounded(pixels[1:-1, 1:-1] * 2048, "uint8", up))


@pytest.mark.parametrize("up", [False, True])
def test_most_integers_are_not_taken_again(up, taken_again):
    rng = np.random.default_rng(0)
    found = correlated(image("uint8", (400, 400)), rng.random((21, 20)) / 420, "uint8", up=up)
    assert len(np.unique(found)) > 9
    assert sum(taken_again) < 9


@pytest.mark.parametrize("dtype", ["uint8", "int16"])
@pytest.mark.parametrize("kind", ["random", "flat", "impulse"])
def test_transforms_are_no_further_from_exact_sums_than_the_bound(dtype, kind):
    rng = np.random.default_rng(0)
    kernel = {
        "random": rng.integers(-99, 99, (9, 31)),
        "flat": np.ones((9, 31), int),
        "impulse": np.eye(9, 31, dtype=int),
    }[kind]
    for pixels in (image(dtype, (300, 250)), np.full((300, 250), np.iinfo(dtype).max, dtype)):
        tile = pixels.astype(float)
        found = spectral._sums(tile, kernel, (320, 256))
        error = abs(found - sums_of_products(pixels, kernel, np.int64)[0]).max()
        assert error <= exactness.error(tile, kernel, 320 * 256) < 1e-2


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("channels", [1, 3])
def test_photographs_and_large_kernels(boundary, channels):
    photo = image("uint8", (220, 200, channels)).transpose(2, 0, 1)
    kernel = np.random.default_rng(0).random((31, 29)) / 400
    asked = {"boundary": boundary, "cval": 9.0}
    sums = kf.correlate(photo, kernel, dtype=np.float64, method="direct", **asked)
    away = abs(sums - np.floor(sums) - 0.5)
    assert away.min() > 1e-9
    for method in (None, "spectral"):
        found = kf.correlate(photo, kernel, dtype=np.uint8, method=method, **asked)
        np.testing.assert_array_equal(found, np.clip(np.rint(sums), 0, 255))


@given(st.integers(1, 3000), st.integers(1, 1200))
def test_sides_of_tiles(outputs, kernel):
    sides, counts = spectral._sides(outputs, kernel)
    assert 0 < len(sides) < 200
    for side, count in zip(sides.tolist(), counts.tolist()):
        assert (side - kernel + 1) * count >= outputs > (side - kernel + 1) * (count - 1)
        rest = side
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        assert rest == 1
        assert side <= max(1100, 2 * kernel, outputs + kernel) * 1.1


def test_tiles_for_many_outputs_are_chosen_among_few():
    assert len(spectral._sides(10**7, 63)[0]) < 200
    assert len(spectral._sides(200, 801)[0]) < 50
    assert len(spectral._sides(10, 20001)[0]) < 50
