"""Integer results: sums of float64 rounded once, whatever they are summed in; halves, limits, what is not finite."""

import numpy as np
import pytest
from cases import BOUNDARIES, image
from hypothesis import given, settings
from hypothesis import strategies as st

import kernelfield as kf
from kernelfield import _core

pytestmark = pytest.mark.core

INTEGERS = ("uint8", "uint16", "int16", "int32")


def stored(sums, dtype, up=False):
    """Return float64 sums as integers: to nearest, halves to even or up, saturated; NaN is 0."""
    limits = np.iinfo(dtype)
    whole = np.floor(sums + 0.5) if up else np.rint(sums)
    return np.nan_to_num(np.clip(whole, limits.min, limits.max), nan=0.0).astype(dtype)


@settings(max_examples=200)
@given(st.data())
def test_they_are_those_of_float64(engine, data):
    draw = data.draw
    dtype = draw(st.sampled_from([*INTEGERS, "int8", "bool", "float32", "float64"]))
    out_type = draw(st.sampled_from(INTEGERS))
    kernels, terms = draw(st.sampled_from([(1, 0), (3, 0), (1, 1), (1, 2)]))
    size = draw(st.integers(1, 9)), draw(st.integers(1, 20))
    shape = draw(st.integers(1, 30)), draw(st.integers(1, 90))
    before = tuple(draw(st.integers(0, k)) for k in size)
    boundary, cval = draw(st.sampled_from(BOUNDARIES)), draw(st.sampled_from([0.0, 7.0, 2.5]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    pixels = rng.random((1, *shape)) < 0.5 if dtype == "bool" else image(dtype, (1, *shape), draw(st.integers(0, 9)))
    if pixels.dtype.kind == "f":
        pixels *= np.dtype(dtype).type(100)
    fine = 100 / max(1.0, float(abs(pixels.astype(np.float64)).max()))
    bias = rng.normal(size=kernels) * draw(st.sampled_from([0, 50]))
    scale, up = draw(st.sampled_from([(1.0, False), (0.25, False), (8.0, False), (1.0, True)]))
    columns, rows = rng.normal(size=(terms or 1, size[0])), rng.normal(size=(terms or 1, size[1])) * fine
    weights = columns.T @ rows if terms else rng.normal(size=(kernels, *size)) * fine
    if not terms and draw(st.booleans()):
        weights = np.rint(weights * 16) / draw(st.sampled_from([1, 16]))
    results = (kernels, *shape) if not terms else shape
    options = dict(before=before, boundary=boundary, cval=cval, bias=bias, factors=(columns, rows) if terms else None)
    found, sums = np.zeros((1, *results), out_type), np.zeros((1, *results))
    _core.Correlation(weights, scale=scale, up=up, **options)(pixels, found)
    _core.Correlation(weights, sums="float64", **options)(pixels, sums)
    np.testing.assert_array_equal(found, stored(scale * sums, out_type, up))


@settings(max_examples=100)
@given(st.data())
def test_whole_sums_are_exact(engine, data):
    draw = data.draw
    dtype, out_type = draw(st.sampled_from(["uint8", "int16", "uint16"])), draw(st.sampled_from(INTEGERS))
    size = draw(st.integers(1, 5)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    weights = rng.integers(-9, 9, size, endpoint=True)
    parity = draw(st.sampled_from([0, 1, -1]))
    weights = weights + parity * weights[:, ::-1]
    divisor, up = draw(st.sampled_from([1, 2, 8, 64])), draw(st.booleans())
    pixels = image(dtype, (40, 90), draw(st.integers(0, 9)))
    windows = np.lib.stride_tricks.sliding_window_view(pixels.astype(np.int64), size)
    total = (windows * weights).sum((-1, -2))
    whole, rest = np.divmod(total, divisor)
    odd = (whole & 1) == 1
    expected = whole + ((2 * rest > divisor) | ((2 * rest == divisor) & (odd | up)))
    limits = np.iinfo(out_type)
    out = np.empty(total.shape, out_type)
    _core.Correlation(weights / divisor, up=up)(pixels, out)
    np.testing.assert_array_equal(out, np.clip(expected, limits.min, limits.max))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_not_finite_becomes_an_end_of_the_range_or_0(engine, dtype):
    pixels = np.zeros((4, 40), dtype)
    pixels[1, ::4] = np.nan, np.inf, -np.inf, 300, -300, 1e30, 2.5, 3.5, -0.5, 255.5
    for out_type in ("uint8", "int16"):
        out = np.empty((4, 40), out_type)
        _core.Correlation(np.ones((1, 1)))(pixels, out)
        np.testing.assert_array_equal(out, stored(pixels.astype(np.float64), out_type))


def test_float32_alone_would_round_some_sums_to_the_other_side():
    pixels, kernel = image("uint8", (600, 700)), np.random.default_rng(0).normal(size=(9, 9)) / 9
    exact, found = np.zeros((592, 692)), np.zeros((592, 692), np.int16)
    single = np.zeros((592, 692), np.float32)
    _core.Correlation(kernel, sums="float64")(pixels, exact)
    _core.Correlation(kernel)(pixels, single)
    _core.Correlation(kernel)(pixels, found)
    np.testing.assert_array_equal(found, stored(exact, np.int16))
    assert (stored(single.astype(np.float64), np.int16) != found).any()


@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize("precision", [None, "exact"])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_blurred_photograph_is_the_float64_blur_rounded(channels, precision, boundary):
    photo = image("uint8", (300, 260, *channels))
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


PADDED = {"constant": "constant", "nearest": "edge", "reflect": "symmetric", "mirror": "reflect", "wrap": "wrap"}


@given(st.data())
def test_borders_of_planes_and_of_channels_side_by_side(engine, data):
    draw = data.draw
    dtype = draw(st.sampled_from(["uint8", "int16", "float32", "float64"]))
    out_type = draw(st.sampled_from(["uint8", "int16", "float32", "float64"]))
    boundary, mode = draw(st.sampled_from(sorted(PADDED))), draw(st.sampled_from(["same", "full"]))
    channels, interleaved = draw(st.integers(1, 4)), draw(st.booleans())
    high, wide = draw(st.integers(1, 20)), draw(st.integers(1, 150))
    kh, kw = draw(st.integers(1, 12)), draw(st.integers(1, 12) | st.sampled_from([25, 40]))
    cval = draw(st.sampled_from([0.0, 7.0, 2.5]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    picture = image(dtype, (high, wide, channels))
    planes = picture.transpose(2, 0, 1) if interleaved else np.ascontiguousarray(picture.transpose(2, 0, 1))
    kernel = np.rint(rng.normal(scale=2, size=(kh, kw)))
    how = dict(mode=mode, boundary=boundary, cval=cval, channel_axis=None)
    result = kf.correlate(planes, kernel, dtype=out_type, **how)
    before = (kh // 2, kw // 2) if mode == "same" else (kh - 1, kw - 1)
    pads = [(0, 0), *((b, n - 1 - b if mode == "same" else b) for b, n in zip(before, kernel.shape))]
    constant = {"constant_values": cval} if boundary == "constant" else {}
    padded = np.pad(planes.astype(np.float64), pads, PADDED[boundary], **constant)
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape, axis=(1, 2))
    total, size = (np.einsum("...ab,ab", a, k) for a, k in ((windows, kernel), (abs(windows), abs(kernel))))
    error = (kernel.size + 2) * np.finfo("f4" if out_type == "float32" else "f8").eps * size
    low, high = ((s if np.dtype(out_type).kind == "f" else stored(s, out_type)) for s in (total - error, total + error))
    assert ((low <= result) & (result <= high)).all()
    if interleaved and channels > 1:
        assert result.transpose(1, 2, 0).flags.c_contiguous or result.shape[-1] == 1
