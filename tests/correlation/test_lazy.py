"""Arrays of Dask: the result of a plain call, chunk by chunk, without seams and without computing anything first."""

import itertools

import numpy as np
import pytest
from cases import BOUNDARIES, image

import kernelfield as kf
from kernelfield.errors import ArgumentError, KernelfieldError

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")


@pytest.fixture(autouse=True)
def one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def lazy(pixels, chunks):
    return da.from_array(pixels, chunks=chunks)


@pytest.mark.parametrize("chunks", [(5, 6), (3, 4), (17, 14), ((1, 10, 6), (14,))])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_it_is_the_plain_call(boundary, chunks):
    pixels, kernel = image("float64", (17, 14)), np.random.default_rng(0).normal(size=(5, 4))
    options = itertools.product(["same", "valid", "full"], [1, (2, 7)], [1, (3, 2)])
    lines = []
    for mode, stride, dilation in options:
        how = dict(boundary=boundary, mode=mode, stride=stride, dilation=dilation, cval=0.3)
        for ours in (kf.correlate, kf.convolve):
            found, expected = ours(lazy(pixels, chunks), kernel, **how), ours(pixels, kernel, **how)
            assert isinstance(found, da.Array)
            assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
            lines.append((found, expected))
            if mode == "same" and stride == 1:
                assert found.chunks == lazy(pixels, chunks).chunks
    for found, (_, expected) in zip(dask.compute(*(found for found, _ in lines)), lines):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("kernel", [kf.kernels.gaussian(3), np.random.default_rng(0).normal(size=(5, 5))])
def test_the_bits_are_those_of_the_whole_image(boundary, kernel):
    """The last chunks are so small that products would be planned for them where the whole image has passes."""
    pixels = image("float32", (260, 300))
    found = kf.correlate(lazy(pixels, (64, 97)), kernel, boundary=boundary)
    np.testing.assert_array_equal(found, kf.correlate(pixels, kernel, boundary=boundary))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "int64", "float32"])
@pytest.mark.parametrize("wanted", [None, "uint8", "int32"])
def test_integers_are_those_of_the_plain_call(dtype, wanted):
    pixels = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 100, (30, 40)).astype(dtype)
    kernel = np.array([[1.0, 2.0, 1.0], [0.0, -3.0, 0.5]])
    for cval in (0.0, 0.5, -1000.0):
        how = dict(boundary="constant", cval=cval, dtype=wanted)
        found, expected = kf.correlate(lazy(pixels, (7, 40)), kernel, **how), kf.correlate(pixels, kernel, **how)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found.compute(), expected)


def test_padding_kernels_with_an_anchor_and_large_kernels():
    pixels = image("float64", (30, 40))
    for kernel, how in (
        (kf.kernels.shift(2, -3), {"boundary": "wrap"}),
        (np.random.default_rng(0).normal(size=(3, 5)), {"padding": ((4, 0), (1, 50)), "boundary": "mirror"}),
        (np.random.default_rng(0).normal(size=(33, 45)), {"boundary": "nearest"}),
        (np.ones((3, 3)), {"origin": (-1, 1), "bias": 4.0}),
    ):
        found = kf.correlate(lazy(pixels, (8, 9)), kernel, **how).compute()
        np.testing.assert_allclose(found, kf.correlate(pixels, kernel, **how), rtol=0, atol=1e-11)


def test_channels_stacks_banks_and_layers():
    photo, kernel = image("uint8", (30, 40, 3)), np.ones((3, 3)) / 9
    found = kf.correlate(lazy(photo, (10, 11, 3)), kernel)
    assert found.chunks == ((10, 10, 10), (11, 11, 11, 7), (3,))
    np.testing.assert_allclose(found.compute(), kf.correlate(photo, kernel), rtol=1e-6)
    bank = np.random.default_rng(0).normal(size=(5, 3, 3))
    found = kf.correlate(lazy(photo, (10, 11, 2)), bank, bank=True)
    assert found.chunks == ((5,), (10, 10, 10), (11, 11, 11, 7), (2, 1))
    np.testing.assert_allclose(found.compute(), kf.correlate(photo, bank, bank=True), atol=1e-3)
    stack = image("float64", (4, 30, 40))
    found = kf.correlate(lazy(stack, (1, 16, 40)), kernel)
    assert found.chunks[0] == (1, 1, 1, 1)
    np.testing.assert_allclose(found.compute(), kf.correlate(stack, kernel), atol=1e-13)
    weights = np.random.default_rng(0).normal(size=(6, 1, 3, 3))
    how = dict(groups=3, bias=np.arange(6.0), channel_axis=-1)
    found = kf.correlate(lazy(photo, (10, 11, 1)), weights, **how)
    np.testing.assert_allclose(found.compute(), kf.correlate(photo, weights, **how), atol=1e-3)


def test_missing_pixels_and_masks():
    pixels = image("float64", (30, 40))
    holes = np.random.default_rng(0).random(pixels.shape) < 0.2
    marked, kernel = np.where(holes, np.nan, pixels), np.random.default_rng(1).random((3, 4))
    for cval in (1.0, np.nan):
        how = dict(missing="renormalise", boundary="constant", cval=cval)
        expected = kf.correlate(marked, kernel, **how)
        np.testing.assert_allclose(kf.correlate(lazy(marked, (8, 7)), kernel, **how).compute(), expected, rtol=1e-11)
    masked = np.ma.array(pixels, mask=holes)
    for missing in ("propagate", "renormalise"):
        found = kf.correlate(lazy(masked, (8, 7)), kernel, missing=missing)
        assert isinstance(found._meta, np.ma.MaskedArray)
        expected = kf.correlate(masked, kernel, missing=missing)
        found = found.compute()
        np.testing.assert_array_equal(found.mask, expected.mask)
        np.testing.assert_allclose(found.filled(0), expected.filled(0), rtol=1e-11)
    for pixels in (masked, np.ma.array(image("uint8", (30, 40)), mask=holes)):
        for how in (dict(cval=np.nan), dict(cval=np.nan, missing="renormalise")):
            expected = kf.correlate(pixels, kernel, boundary="constant", **how)
            found = kf.correlate(lazy(pixels, (8, 7)), kernel, boundary="constant", **how).compute()
            np.testing.assert_array_equal(np.ma.getmaskarray(found), np.ma.getmaskarray(expected))
    with pytest.raises(ArgumentError, match="image: expected no masked elements"):
        kf.im2col(lazy(masked, (8, 7)), 3)


def test_nothing_is_computed_and_wrong_arguments_are_refused_at_once():
    def fails(block):
        raise AssertionError("computed")

    never = da.zeros((100_000, 120_000), dtype=np.float32, chunks=(4000, 4000)).map_blocks(fails, dtype=np.float32)
    assert kf.correlate(never, np.ones((5, 5)), boundary="wrap").shape == (100_000, 120_000)
    for wrong in (
        dict(mode="x"), dict(dtype="junk"), dict(bias="a"), dict(method="x"), dict(precision=1), dict(missing="x"),
        dict(padding=2**30), dict(bank=True), dict(kernel=kf.kernels.sobel(), missing="renormalise"),
        dict(out=np.zeros((2, 2))),
    ):  # fmt: skip
        with pytest.raises(KernelfieldError):
            kf.correlate(never, **{"kernel": np.ones((3, 3)), **wrong})
    unknown = da.from_array(np.arange(20.0), chunks=5)
    unknown = unknown[unknown > 3][:, None] * np.ones((1, 5))
    with pytest.raises(ArgumentError, match="image: expected chunks of known sizes"):
        kf.correlate(unknown, np.ones((3, 3)))


def test_each_chunk_is_read_by_few_tasks():
    """A result needs its chunk and those beside it."""
    pixels = da.zeros((4000, 4000), chunks=(100, 100))
    found = kf.correlate(pixels, np.ones((5, 5)))
    assert len(found.__dask_graph__()) < 40 * 40 * 30
