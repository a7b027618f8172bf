"""Filters in a row, tile by tile: the result is that of one after the other on the whole image, borders and all."""

import numpy as np
import pytest
import scipy.ndimage
from cases import BOUNDARIES, image
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import kernelfield as kf
from kernelfield.correlation.filter import FixedFilter
from kernelfield.errors import ArgumentError, KernelfieldError
from kernelfield.learning.filtering import apply as apply_fit
from kernelfield.scale.chain import chain
from kernelfield.scale.tiles import Grid


def by_tiles(pixels, kernels, tile, axes=None, **options):
    """Return the result, put together from tiles."""
    found = chain(kernels, pixels.shape, pixels.dtype, axes or (pixels.ndim - 2, pixels.ndim - 1), options)
    whole = np.empty(found.output_shape, found.dtype)
    for region in Grid(found.output_shape, tile):
        whole[region] = found.compute(lambda box: pixels[box], region)
    return whole


sizes = st.integers(1, 4)
pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def filters(draw):
    """Return a kernel and the arguments of `correlate` that place its windows."""
    shape = draw(st.tuples(sizes, sizes))
    weights = draw(st.integers(0, 99))
    options = {"boundary": draw(st.sampled_from(BOUNDARIES)), "stride": draw(pairs), "dilation": draw(pairs)}
    if draw(st.booleans()):
        options["mode"] = draw(st.sampled_from(["same", "valid", "full"]))
    else:
        side = st.integers(0, 9)
        options["padding"] = draw(st.tuples(st.tuples(side, side), st.tuples(side, side)))
    options["cval"] = draw(st.sampled_from([0.0, 1.5, -7.0]))
    return np.random.default_rng(weights).normal(size=shape), options


@settings(max_examples=200)
@given(
    st.lists(filters(), min_size=1, max_size=3),
    st.tuples(st.integers(1, 17), st.integers(1, 17)),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.sampled_from(["uint8", "int16", "float32", "float64"]),
)
def test_tiles_are_the_filters_one_after_the_other(steps, shape, tile, dtype):
    pixels = image(dtype, shape)
    if np.dtype(dtype).kind in "iu":
        pixels //= 5
    expected = pixels
    try:
        for kernel, how in steps:
            expected = kf.correlate(expected, kernel, **how)
    except ArgumentError:
        assume(False)
    found = by_tiles(pixels, [FixedFilter.of(kernel, **how) for kernel, how in steps], tile)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("boundary", ["nearest", "reflect", "mirror", "wrap"])
def test_two_filters_are_those_of_scipy(boundary):
    pixels, kernels = image("float64", (41, 37)), np.random.default_rng(1).normal(size=(2, 5, 3))
    expected = pixels
    for kernel in kernels:
        expected = scipy.ndimage.correlate(expected, kernel, mode=boundary)
    np.testing.assert_allclose(by_tiles(pixels, list(kernels), (16, 9), boundary=boundary), expected, atol=1e-11)


@pytest.mark.parametrize("axes", [(0, 1), (1, 2), (0, 2), (2, 0)])
def test_rows_and_columns_may_be_any_axes(axes):
    pixels, kernel = image("float32", (12, 13, 14)), np.random.default_rng(2).normal(size=(3, 2))
    expected = np.moveaxis(kf.correlate(np.moveaxis(pixels, axes, (-2, -1)), kernel, channel_axis=None), (-2, -1), axes)
    np.testing.assert_array_equal(by_tiles(pixels, [kernel], (5, 6, 7), axes), expected)


@pytest.mark.parametrize("rule", [*BOUNDARIES, "copy", "renormalised"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_learned_filter_gives_the_numbers_of_its_apply(rule, dtype):
    before = np.random.default_rng(3).integers(0, 200, (64, 64)).astype(np.uint8)
    after = kf.correlate(before, kf.kernels.binomial(3), dtype="uint8")
    fit = kf.learn(before, after)
    pixels = np.abs(image(dtype, (33, 29)))
    expected = apply_fit(fit, pixels, rule).pixels
    found = by_tiles(pixels, [fit], (8, 11), boundary=rule)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kernel", [kf.kernels.gaussian(3), np.random.default_rng(0).normal(size=(5, 5))])
def test_the_bits_do_not_depend_on_the_tiles(kernel):
    """Alone, small tiles would be planned otherwise than the whole image."""
    pixels = image("float32", (260, 300))
    np.testing.assert_array_equal(by_tiles(pixels, [kernel], (64, 97)), kf.correlate(pixels, kernel))


def test_an_anchor_outside_its_weights_moves_the_result():
    pixels, kernel = image("float64", (20, 24)), kf.kernels.shift(3, -9)
    np.testing.assert_array_equal(by_tiles(pixels, [kernel], (7, 5)), kf.correlate(pixels, kernel))


def test_missing_pixels_take_no_part():
    pixels = image("float64", (20, 24))
    pixels[3:6, 5] = np.nan
    expected = kf.correlate(pixels, np.ones((3, 3)), missing="renormalise")
    np.testing.assert_allclose(by_tiles(pixels, [np.ones((3, 3))], (6, 7), missing="renormalise"), expected)


@pytest.mark.parametrize(
    ("kernels", "options"),
    [
        ([], {}),
        ([np.ones((2, 3, 3))], {}),
        ([np.ones((9, 99))], {"mode": "valid"}),
        ([np.ones((3, 3))], {"dilation": 2**27}),
        ([np.ones((3, 3))], {"boundary": "copy"}),
        ([np.ones((3, 3))], {"method": "fast"}),
        ([np.ones((3, 3))], {"dtype": "int64"}),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(kernels, options):
    with pytest.raises(KernelfieldError, match=r"^[^\n]+: expected [^\n]+$"):
        chain(kernels, (20, 20), np.dtype("float32"), (0, 1), options)
