"""Every argument of `correlate` together, against the definition on an image extended position by position."""

import numpy as np
import pytest
from cases import LAYOUTS, image, laid_out
from hypothesis import assume, given, settings
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
    windows = np.lib.stride_tricks.sliding_window_view(whole, span, axis=(-2, -1))
    windows = windows[..., :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]
    return (np.einsum("...ab,ab", a, k, optimize=False) for a, k in ((windows, kernel), (abs(windows), abs(kernel))))


@settings(max_examples=300)
@given(st.data())
def test_everything_at_once(engine, data):
    draw = data.draw
    dtype, layout = draw(st.sampled_from(DTYPES)), draw(st.sampled_from(LAYOUTS))
    shape = (*draw(st.sampled_from([(), (2,), (0,), (1, 3)])), draw(st.integers(1, 70)), draw(st.integers(1, 70)))
    size = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    boundary, mode = draw(st.sampled_from(BOUNDARIES)), draw(st.sampled_from(["same", "full", "valid"]))
    stride, dilation = (
        (draw(st.sampled_from([1, 1, 1, 2, 3])), draw(st.sampled_from([1, 1, 1, 2, 3]))) for _ in range(2)
    )
    cval = draw(st.sampled_from([0.0, 3.0, -1.5]))
    origin = (0, 0)
    if mode == "same":
        origin = tuple(draw(st.integers(-(k // 2), (k - 1) // 2)) for k in size)
    reach = [d * (k - 1) for d, k in zip(dilation, size)]
    before = {"valid": (0, 0), "full": reach}.get(mode, [d * (k // 2 + o) for d, k, o in zip(dilation, size, origin)])
    after = before if mode == "full" else [0 if mode == "valid" else r - b for r, b in zip(reach, before)]
    pixels = image(dtype, shape, draw(st.integers(0, 9)))
    kernel = np.random.default_rng(draw(st.integers(0, 9))).normal(size=size)
    how = dict(mode=mode, boundary=boundary, cval=cval, origin=origin, stride=stride, dilation=dilation)
    if mode == "valid" and any(r >= n for r, n in zip(reach, shape[-2:])):
        with pytest.raises(ArgumentError, match="kernel: expected at most"):
            kf.correlate(pixels, kernel, **how)
        return
    result = kf.correlate(laid_out(pixels, layout), kernel, **how)
    total, magnitude = definition(extended(pixels, before, after, boundary, cval), kernel, stride, dilation)
    assert result.shape == total.shape
    error = (kernel.size + 4) * np.finfo(result.dtype).eps * magnitude
    assert (abs(result - total) <= error).all()
    # The same again into memory that overlaps the image.
    assume(result.shape == shape and np.dtype(dtype).kind == "f" and result.size)
    memory = np.empty(pixels.size + 5, result.dtype)
    source = memory[5:].reshape(shape)
    source[...] = pixels
    target = memory[:-5].reshape(shape)
    np.testing.assert_array_equal(kf.correlate(source, kernel, out=target, **how), result)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (2, 0, 0)])
def test_images_without_pixels_are_refused(shape):
    with pytest.raises(ArgumentError, match="image: expected at least one pixel"):
        kf.correlate(np.zeros(shape), np.ones((3, 3)))
