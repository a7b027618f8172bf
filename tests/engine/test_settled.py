"""Integers from transforms: those that exact sums are rounded to."""

import numpy as np
import pytest
from cases import BOUNDARIES, image
from hypothesis import given, settings
from hypothesis import strategies as st

import kernelfield as kf
from kernelfield.engine import plan, settled, spectral
from kernelfield.engine.rounding import Finish
from kernelfield.geometry import Window

DOUBLE = np.dtype(np.float64)


def rounded(quarters, dtype, down=False):
    """Return multiples of 1/4096, given as integers, rounded to nearest, halves to even, or down, and saturated."""
    whole, rest = quarters >> 12, quarters & 4095
    up = (rest > 2048) | ((rest == 2048) & (whole & 1 == 1))
    limits = np.iinfo(dtype)
    return np.clip(whole if down else whole + up, limits.min, limits.max).astype(dtype)


def products(pixels, kernel):
    """Return exact sums where the kernel fits, of integers."""
    rows, columns = (n - k + 1 for n, k in zip(pixels.shape, kernel.shape))
    total = np.zeros((rows, columns), np.int64)
    for a, b in np.ndindex(kernel.shape):
        total += kernel[a, b] * pixels[a : a + rows, b : b + columns].astype(np.int64)
    return total


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
def test_ties_are_rounded_as_defined(dtype, out_type, kh, kw, step, down, seed):
    rng = np.random.default_rng(seed)
    pixels = image(dtype, (int(rng.integers(kh, 90)), int(rng.integers(kw, 90))), seed)
    kernel = rng.integers(-4096, 4096, (kh, kw)) // step * step
    bias = int(rng.integers(-9, 9)) * 512
    out = np.zeros((1, pixels.shape[0] - kh + 1, pixels.shape[1] - kw + 1), out_type)
    finish = Finish(DOUBLE, np.array([bias / 8]), 1 / 512, down)
    spectral.correlate(pixels[None], kernel / 8, out, finish=finish)
    np.testing.assert_array_equal(out[0], rounded(products(pixels, kernel) + bias, out_type, down))


@pytest.mark.parametrize("step", [1, 64, 2048])
def test_sums_in_doubt_are_taken_again(step, monkeypatch):
    rng = np.random.default_rng(0)
    pixels, kernel = image("uint8", (400, 400)), rng.integers(-400, 400, (20, 20)) // step * step
    expected = rounded(products(pixels, kernel), "int16")

    def wrong():
        out = np.zeros((1, 381, 381), np.int16)
        spectral.correlate(pixels[None], kernel / 4096, out)
        return int((out[0] != expected).sum())

    assert wrong() == 0
    monkeypatch.setattr(settled, "error", lambda *_: -1.0)
    assert wrong() > 0


@pytest.mark.parametrize("dtype", ["uint8", "int16"])
@pytest.mark.parametrize("kind", ["random", "flat", "impulse"])
def test_transforms_are_no_further_from_exact_sums_than_the_bound(dtype, kind):
    rng = np.random.default_rng(0)
    kernel = {
        "random": rng.integers(-99, 99, (9, 31)),
        "flat": np.ones((9, 31), int),
        "impulse": np.eye(9, 31, dtype=int),
    }
    for pixels in (image(dtype, (300, 250)), np.full((300, 250), np.iinfo(dtype).max, dtype)):
        tile, weights = pixels.astype(float), kernel[kind].astype(float)
        spectrum = spectral._spectrum(weights.tobytes(), weights.shape, DOUBLE, (320, 256))
        found = spectral.circular(tile, spectrum, (320, 256))[:292, :220]
        error = abs(found - products(pixels, kernel[kind])).max()
        assert error <= settled.error(tile, weights, 320 * 256) < 1e-2


def test_what_errs_too_much_is_taken_by_products():
    tile, out = np.full((50, 60), 300.0), np.zeros((50, 60), np.uint8)
    tile[7, ::5] = 250
    settled.settle(tile + 8, 9.0, tile, np.ones((1, 1)), Finish(DOUBLE), out, settled.Room((50, 60)))
    np.testing.assert_array_equal(out, np.minimum(tile, 255))


@pytest.mark.parametrize("down", [False, True])
def test_halves_at_the_limits(down):
    pixels = 2 * image("int16", (100, 110)).astype(np.int64)[None] % 700 - 100
    places = np.arange(5, 105, 5)
    pixels[0, 50, places] = [-3, -2, -1, 0, 1, 2, 3, 5, 507, 508, 509, 510, 511, 512, 513, 514, 515, 7, 9, 11]
    out = np.zeros((1, 98, 108), np.uint8)
    kernel = np.zeros((3, 3))
    kernel[1, 1] = 0.5
    spectral.correlate(pixels.astype(np.int16), kernel, out, finish=Finish(DOUBLE, down=down))
    np.testing.assert_array_equal(out[0], rounded(pixels[0, 1:-1, 1:-1] * 2048, "uint8", down))


@pytest.mark.parametrize("down", [False, True])
def test_most_sums_are_not_taken_again(down, monkeypatch):
    monkeypatch.setattr(settled, "_by_products", None)
    rng = np.random.default_rng(0)
    out = np.zeros((1, 380, 381), np.uint8)
    spectral.correlate(image("uint8", (1, 400, 400)), rng.random((21, 20)) / 420, out, finish=Finish(DOUBLE, down=down))
    assert len(np.unique(out)) > 9


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


def planned(kernel, dtype, out_dtype):
    windows = Window.of(kernel.shape[0], "same"), Window.of(kernel.shape[1], "same")
    return plan.plan((1, 2048, 2048), kernel, np.dtype(dtype), np.dtype(out_dtype), windows).method


@pytest.mark.parametrize("out_dtype", ["uint8", "float32"])
def test_large_kernels_of_photographs_go_by_transforms(out_dtype):
    rng = np.random.default_rng(0)
    assert planned(rng.normal(size=(63, 63)), "uint8", out_dtype) == "spectral"
    assert planned(np.rint(9 * rng.normal(size=(63, 63))), "uint8", out_dtype) == (
        "spectral" if out_dtype == "uint8" else "direct"
    )


def test_whole_weights_of_rank_two_are_not_taken_apart():
    column, row = np.arange(1, 16.0), np.arange(3, 18.0)[::-1]
    kernel = np.outer(column, row) + np.outer(row % 4, column % 3)
    assert planned(kernel, "uint8", "uint8") == "direct"
    assert planned(kernel * 0.1, "uint8", "uint8") == "separable"
    assert planned(kernel, "float32", "float32") == "separable"
    assert planned(np.outer(column, row), "uint8", "uint8") == "separable"
