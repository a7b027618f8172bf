"""Every argument of `correlate` together, against the definition on an image extended position by position."""

import numpy as np
import pytest
from cases import LAYOUTS, image, laid_out
from hypothesis import given, settings
from hypothesis import strategies as st

import kernelfield as kf
from kernelfield.engine import reference
from kernelfield.errors import ArgumentError

DTYPES = ("uint8", "uint16", "int16", "int32", "float32", "float64")
BOUNDARIES = ("constant", "nearest", "reflect", "mirror", "wrap")


def extended(pixels, before, after, boundary, cval):
    """Return the image in float64, each position outside looked up by `reference.outside`."""
    whole = pixels.astype(np.float64)
    for axis, (front, behind) in enumerate(zip(before, after), start=-2):
        n = pixels.shape[axis]
        reads = [reference.outside(p, n, boundary) for p in range(-front, n + behind)]
        whole = np.take(whole, [0 if r is None else r for r in reads], axis)
        np.moveaxis(whole, axis, 0)[[r is None for r in reads]] = cval
    return whole


def definition(whole, kernel, stride, dilation):
    """Return the sums of products of windows with the kernel, and of their magnitudes."""
    span = [d * (k - 1) + 1 for d, k in zip(dilation, kernel.shape)]

    def sums(pixels, weights):
        windows = np.lib.stride_tricks.sliding_window_view(pixels, span, axis=(-2, -1))
        windows = windows[..., :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]
        return np.einsum("...ab,ab", windows, weights, optimize=False)

    return sums(whole, kernel), sums(abs(whole), abs(kernel))


def call_of(draw, modes, dtypes):
    """Return the image, the kernel and the options of a call: everything at once."""
    shape = (*draw(st.sampled_from([(), (2,), (0,), (1, 3)])), draw(st.integers(1, 70)), draw(st.integers(1, 70)))
    size = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    mode = draw(st.sampled_from(modes))
    steps = st.sampled_from([1, 1, 1, 2, 3]) if len(modes) > 1 else st.just(1)
    how = {
        "mode": mode,
        "boundary": draw(st.sampled_from(BOUNDARIES)),
        "cval": draw(st.sampled_from([0.0, 3.0, -1.5])),
        "origin": tuple(draw(st.integers(-(k // 2), (k - 1) // 2)) for k in size) if mode == "same" else (0, 0),
        "stride": (draw(steps), draw(steps)),
        "dilation": (draw(st.sampled_from([1, 1, 1, 2, 3])), draw(st.sampled_from([1, 1, 1, 2, 3]))),
        "channel_axis": None,
    }
    pixels = image(draw(st.sampled_from(dtypes)), shape, draw(st.integers(0, 9)))
    return pixels, np.random.default_rng(draw(st.integers(0, 9))).normal(size=size), how


@settings(max_examples=300)
@given(st.data())
def test_everything_at_once(engine, data):
    pixels, kernel, how = call_of(data.draw, ["same", "full", "valid"], DTYPES)
    layout, mode, dilation = data.draw(st.sampled_from(LAYOUTS)), how["mode"], how["dilation"]
    reach = [d * (k - 1) for d, k in zip(dilation, kernel.shape)]
    centre = [d * (k // 2 + o) for d, k, o in zip(dilation, kernel.shape, how["origin"])]
    before = {"valid": (0, 0), "full": reach}.get(mode, centre)
    after = before if mode == "full" else [0 if mode == "valid" else r - b for r, b in zip(reach, before)]
    if mode == "valid" and any(r >= n for r, n in zip(reach, pixels.shape[-2:])):
        with pytest.raises(ArgumentError, match="kernel: expected at most"):
            kf.correlate(pixels, kernel, **how)
        return
    result = kf.correlate(laid_out(pixels, layout), kernel, **how)
    whole = extended(pixels, before, after, how["boundary"], how["cval"])
    total, magnitude = definition(whole, kernel, how["stride"], dilation)
    assert result.shape == total.shape
    error = (kernel.size + 4) * np.finfo(result.dtype).eps * magnitude
    assert (abs(result - total) <= error).all()


@settings(max_examples=150)
@given(st.data())
def test_everything_at_once_into_memory_that_overlaps_the_image(engine, data):
    pixels, kernel, how = call_of(data.draw, ["same"], ("float32", "float64"))
    memory = np.empty(pixels.size + 5, pixels.dtype)
    source = memory[5:].reshape(pixels.shape)
    source[...] = pixels
    target = memory[:-5].reshape(pixels.shape)
    np.testing.assert_array_equal(kf.correlate(source, kernel, out=target, **how), kf.correlate(pixels, kernel, **how))


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (2, 0, 0)])
def test_images_without_pixels_are_refused(shape):
    with pytest.raises(ArgumentError, match="image: expected at least one pixel"):
        kf.correlate(np.zeros(shape), np.ones((3, 3)))
