"""Missing pixels: astropy's convolution, sums over the pixels that are there by loops, and masks that travel."""

import warnings

import numpy as np
import pytest
from cases import BOUNDARIES, image
from hypothesis import given, settings
from hypothesis import strategies as st

import kernelfield as kf
from kernelfield.engine import reference
from kernelfield.errors import ArgumentError


def with_holes(dtype, shape, seed, share=0.15):
    """Return an image and the mask of its missing pixels: some alone, and a rectangle."""
    rng = np.random.default_rng(seed)
    holes = rng.random(shape) < share
    holes[..., shape[-2] // 3 : shape[-2] // 3 + 6, : shape[-1] // 2] = True
    return image(dtype, shape, seed), holes


@pytest.mark.parametrize("size", [(3, 3), (5, 7), (1, 9)])
@pytest.mark.parametrize(
    ("ours", "theirs", "fill"),
    [("constant", "fill", 0.0), ("constant", "fill", 2.5), ("constant", "fill", np.nan), ("wrap", "wrap", 0.0),
     ("nearest", "extend", 0.0)],
)  # fmt: skip
@pytest.mark.parametrize("separable", [True, False])
def test_it_is_astropys_interpolation(size, ours, theirs, fill, separable):
    astropy = pytest.importorskip("astropy.convolution")
    pixels, holes = with_holes("float64", (37, 41), 0)
    pixels[holes] = np.nan
    rng = np.random.default_rng(1)
    kernel = np.outer(*(rng.random(n) for n in size)) if separable else rng.random(size)
    found = kf.convolve(pixels, kernel, boundary=ours, cval=fill, missing="renormalise")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where no pixel remains
        how = dict(boundary=theirs, fill_value=fill, nan_treatment="interpolate")
        scaled = astropy.convolve(pixels, kernel, normalize_kernel=False, **how)
        means = astropy.convolve(pixels, kernel, normalize_kernel=True, **how)
    # Astropy adds up in another order.
    np.testing.assert_allclose(found, scaled, rtol=1e-11, atol=1e-13)
    normalised = kf.convolve(pixels, kernel / kernel.sum(), boundary=ours, cval=fill, missing="renormalise")
    np.testing.assert_allclose(normalised, means, rtol=1e-11, atol=1e-13)
    masked = np.ma.array(np.where(holes, 1e9, pixels), mask=holes)
    from_mask = kf.convolve(masked, kernel, boundary=ours, cval=fill, missing="renormalise")
    np.testing.assert_array_equal(from_mask.filled(np.nan), found)


def by_sums(pixels, holes, kernel, boundary, cval, **how):
    """Return the renormalised sums by the definition, NaN where no weight remains."""
    parts = [
        reference.correlate(part, kernel, boundary=boundary, cval=outside, **how)
        for part, outside in ((np.where(holes, 0, pixels), cval), ((~holes).astype(float), 1.0))
    ]
    with np.errstate(all="ignore"):
        return np.where(np.abs(parts[1]) < 1e-12, np.nan, parts[0] * kernel.sum() / parts[1])


@settings(max_examples=25)
@given(st.data())
def test_of_any_dtype_boundary_and_mode(data):
    draw = data.draw
    dtype = draw(st.sampled_from(["uint8", "int16", "int32", "float32", "float64"]))
    pixels, holes = with_holes(dtype, (draw(st.integers(8, 14)), draw(st.integers(8, 14))), draw(st.integers(0, 9)))
    kernel = np.random.default_rng(draw(st.integers(0, 9))).random((draw(st.integers(1, 4)), draw(st.integers(1, 4))))
    how = dict(
        boundary=draw(st.sampled_from(BOUNDARIES)), mode=draw(st.sampled_from(["same", "valid", "full"])), cval=3.0
    )
    stride = draw(st.sampled_from([(1, 1), (2, 3)]))
    found = kf.correlate(
        np.ma.array(pixels, mask=holes), kernel, missing="renormalise", stride=stride, dtype=np.float64, **how
    )
    expected = by_sums(pixels, holes, kernel, **how)[:: stride[0], :: stride[1]]
    np.testing.assert_array_equal(np.ma.getmaskarray(found), np.isnan(expected))
    scale = np.abs(pixels.astype(float)).max() * 1e-12
    np.testing.assert_allclose(found.filled(0), np.nan_to_num(expected), rtol=1e-11, atol=scale)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("kernel", ["dense", "gaussian", "large"])
def test_windows_without_missing_pixels_keep_their_bits(dtype, kernel):
    weights = {
        "dense": np.random.default_rng(0).random((5, 5)),
        "gaussian": kf.kernels.gaussian(1.5),
        "large": np.random.default_rng(0).random((25, 25)),  # by transforms
    }[kernel]
    pixels, holes = with_holes(dtype, (400, 500), 1, share=0.0)
    holes[390, 3] = True
    masked = np.ma.array(pixels, mask=holes)
    touched = kf.correlate(masked, weights).mask
    assert touched.any()
    plain = kf.correlate(pixels, weights)
    found = kf.correlate(masked, weights, missing="renormalise")
    np.testing.assert_array_equal(found.data[~touched], plain[~touched])
    assert (found.data[touched] != plain[touched]).any()
    if dtype != "uint8":
        pixels[holes] = np.nan
        given_nan = kf.correlate(pixels, weights, missing="renormalise")
        plain = kf.correlate(pixels, weights)
        np.testing.assert_array_equal(given_nan[~touched], plain[~touched])
        np.testing.assert_array_equal(np.isnan(plain), touched)


def test_without_missing_pixels_it_is_the_plain_call():
    pixels, kernel = image("float32", (60, 70)), np.random.default_rng(0).random((5, 5))
    np.testing.assert_array_equal(kf.correlate(pixels, kernel, missing="renormalise"), kf.correlate(pixels, kernel))
    masked = kf.correlate(np.ma.array(pixels), kernel)
    assert isinstance(masked, np.ma.MaskedArray)
    assert not masked.mask.any()


def test_integers_are_rounded_and_saturated():
    pixels = np.ma.array(np.full((9, 9), 100, np.uint8), mask=False)
    pixels[4, 4] = np.ma.masked
    pixels[0, 0] = 101
    found = kf.correlate(pixels, np.ones((3, 3)) / 9, missing="renormalise", dtype="uint8", bias=0.4)
    assert found.dtype == np.uint8
    assert (found[2:, 2:] == 100).all()
    saturated = kf.correlate(pixels, np.ones((3, 3)), missing="renormalise", dtype="int8")
    assert (saturated == 127).all()


def test_a_bias_is_added_after_the_weights_are_scaled():
    pixels = np.ones((9, 9))
    pixels[4, 4] = np.nan
    found = kf.correlate(pixels, np.ones((3, 3)), missing="renormalise", bias=5)
    np.testing.assert_allclose(found, 14.0)


def test_banks_layers_channels_and_out():
    pixels, holes = with_holes("float64", (20, 30, 3), 0)
    pixels[holes] = np.nan
    kernels = np.random.default_rng(0).random((4, 3, 3))
    each = [[kf.correlate(pixels[..., c], k, missing="renormalise") for c in range(3)] for k in kernels]
    found = kf.correlate(pixels, kernels, missing="renormalise", bank=True)
    np.testing.assert_allclose(found, np.moveaxis(each, 1, -1), rtol=1e-12)
    out = np.empty((20, 30, 3))
    assert kf.correlate(pixels, kernels[0], missing="renormalise", out=out) is out
    np.testing.assert_allclose(out, np.moveaxis(each[0], 0, -1), rtol=1e-12)
    # All weights of an output count, those of its other channels too.
    layer = np.random.default_rng(1).random((2, 3, 3, 3))
    planes, gone = np.nan_to_num(pixels).transpose(2, 0, 1), holes.transpose(2, 0, 1)
    total, present = (
        np.stack([sum(reference.correlate(p[c], w[c]) if p.ndim == 3 else 0 for c in range(3)) for w in layer])
        for p in (planes, (~gone).astype(float))
    )
    expected = total * layer.sum(axis=(1, 2, 3))[:, None, None] / present
    found = kf.correlate(pixels, layer, missing="renormalise", channel_axis=-1, boundary="reflect")
    np.testing.assert_allclose(found, expected.transpose(1, 2, 0), rtol=1e-11)


@pytest.mark.parametrize("mode", ["same", "valid", "full"])
def test_masks_spread_as_nan_does(mode):
    pixels, holes = with_holes("float64", (20, 30), 0, share=0.01)
    kernel = np.random.default_rng(0).normal(size=(3, 4))
    kernel[1, 1] = 0
    marked = np.where(holes, np.nan, pixels)
    for how in ({}, {"boundary": "wrap"}, {"stride": 2, "dilation": (1, 2)}):
        found = kf.correlate(np.ma.array(pixels, mask=holes), kernel, mode=mode, **how)
        expected = kf.correlate(marked, kernel, mode=mode, **how)
        np.testing.assert_array_equal(found.mask, np.isnan(expected))
        np.testing.assert_array_equal(found.filled(np.nan), expected)
    # What lies below a mask has no effect, not even beyond 2**53.
    numbers = np.ma.array(np.full((5, 5), 2**60), mask=True)
    numbers[0] = 1
    assert kf.correlate(numbers, np.ones((1, 1))).sum() == 5


def test_weights_of_both_signs_that_cancel_leave_nothing():
    pixels = np.ones((3, 3))
    pixels[1, 1] = np.nan
    kernel = np.array([[0.1, 0.2, -0.3], [0, 5.0, 0], [0, 0, 0]])
    assert np.isnan(kf.correlate(pixels, kernel, missing="renormalise")[1, 1])


def test_far_tails_keep_their_digits():
    """Only weights of 1e-14 of the largest remain."""
    y, x = np.mgrid[-10:11, -10:11]
    kernel = np.exp(-(x**2 + x * y + y**2) / 6.0)
    pixels = np.full((21, 21), np.nan)
    pixels[0, 0], pixels[0, 1] = 1.0, 3.0
    weights = kernel[0, 0], kernel[0, 1]
    expected = (weights[0] + 3 * weights[1]) / sum(weights) * kernel.sum()
    found = kf.correlate(pixels, kernel, missing="renormalise", boundary="constant", cval=np.nan)
    np.testing.assert_allclose(found[10, 10], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (dict(kernel=kf.kernels.sobel()), "kernel: expected weights that do not add up to 0"),
        (
            dict(kernel=np.stack([np.ones((3, 3)), np.zeros((3, 3))])),
            "kernel: expected weights that do not add up to 0",
        ),
        (dict(kernel=[[0.1, 0.2, -0.3]]), "kernel: expected weights that do not add up to 0"),
        (dict(kernel=[[1.0, np.nan]]), "kernel: expected finite weights"),
        (dict(missing="ignore"), "missing: expected 'propagate' or 'renormalise'; received 'ignore'"),
        (dict(missing=None), "missing: expected 'propagate' or 'renormalise'; received None"),
        (dict(image=np.ma.array(np.zeros((4, 4))), out=np.zeros((4, 4))), "out: expected none with a masked array"),
    ],
)
def test_what_has_no_meaning_is_refused(wrong, message):
    call = {"image": np.zeros((4, 4)), "kernel": np.ones((3, 3)), "missing": "renormalise", **wrong}
    with pytest.raises(ArgumentError, match=message):
        kf.correlate(**call)
