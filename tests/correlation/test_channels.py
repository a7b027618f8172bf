"""Colour: photographs equal their channels one by one, and shapes that may mean two things are refused."""

import numpy as np
import pytest
import scipy.ndimage
from cases import colour_photograph, image
from hypothesis import given
from hypothesis import strategies as st

import kernelfield as kf
from kernelfield import _core
from kernelfield.arrays import channel_axis_of
from kernelfield.engine.plan import CACHE, is_interleaved
from kernelfield.errors import ArgumentError

pytestmark = pytest.mark.core


def test_a_photograph_is_its_channels():
    photo, kernel = colour_photograph("china"), np.random.default_rng(0).normal(size=(5, 4))
    found = kf.correlate(photo, kernel)
    assert found.shape == photo.shape
    assert found.flags.c_contiguous
    for channel in range(3):
        np.testing.assert_array_equal(found[..., channel], kf.correlate(photo[..., channel].copy(), kernel))
    # A channel in float64, by SciPy.
    expected = scipy.ndimage.correlate(photo[..., 1].astype(np.float64), kernel)
    np.testing.assert_allclose(found[..., 1], expected, atol=1e-2)
    np.testing.assert_array_equal(kf.plan(photo.shape, kernel, dtype=np.uint8)(photo), found)
    flipped = kf.convolve(photo, kernel)
    np.testing.assert_array_equal(flipped[..., 2], kf.convolve(photo[..., 2].copy(), kernel))


@given(st.data())
def test_every_argument_applies_to_each_channel(data):
    draw = data.draw
    axis = draw(st.sampled_from([0, 1, 2, -1, "auto"]))
    place = 2 if axis == "auto" else axis % 3
    shape = [draw(st.integers(5, 40)), draw(st.integers(5, 40))]
    shape.insert(place, draw(st.integers(1, 4)))
    dtype = draw(st.sampled_from(["uint8", "int16", "float32", "float64"]))
    pixels = image(dtype, tuple(shape), draw(st.integers(0, 9)))
    kernel = np.random.default_rng(0).normal(size=(draw(st.integers(1, 5)), draw(st.integers(1, 5))))
    how = {
        "mode": draw(st.sampled_from(["same", "full", "valid"])),
        "boundary": draw(st.sampled_from(["reflect", "constant", "wrap"])),
        "stride": draw(st.sampled_from([1, (2, 3)])),
        "dilation": draw(st.sampled_from([1, (1, 2)])),
        "cval": 2.0,
    }
    if any(d * (k - 1) >= 5 for d, k in zip((1, 2), kernel.shape)):
        how["mode"] = "same"
    bank = draw(st.booleans())
    weights = np.stack([kernel, -2 * kernel]) if bank else kernel
    each = [kf.correlate(one, weights, **how) for one in np.moveaxis(pixels, place, 0)]
    for _ in range(2):  # the second time from the cache
        found = kf.correlate(pixels, weights, channel_axis=axis, bank=bank or None, **how)
        if not bank:
            np.testing.assert_array_equal(found, np.stack(each, axis=place))
        else:
            rows = 1 if place == 0 else 0
            assert found.shape[rows] == 2
            for number in range(2):
                stacked = np.stack([one[number] for one in each], axis=place)
                np.testing.assert_array_equal(np.take(found, number, axis=rows), stacked)


def test_weights_of_a_layer_take_channels_from_any_axis():
    pixels, weights = image("float32", (20, 30, 3)), np.random.default_rng(0).normal(size=(8, 3, 3, 3))
    expected = kf.correlate(pixels.transpose(2, 0, 1), weights, bias=np.arange(8.0))
    found = kf.correlate(pixels, weights, bias=np.arange(8.0), channel_axis=-1)
    assert found.shape == (20, 30, 8)
    np.testing.assert_array_equal(found.transpose(2, 0, 1), expected)
    with pytest.raises(ArgumentError, match=r"image: expected 3 channels.* received 20; channel_axis=-1 reads them"):
        kf.correlate(pixels, weights)


def test_a_result_is_written_into_out():
    photo, kernel = colour_photograph("flower"), np.ones((3, 3)) / 9
    expected = kf.correlate(photo, kernel, dtype=np.uint8)
    for out in (np.empty_like(photo), np.empty((3, *photo.shape[:2]), np.uint8).transpose(1, 2, 0)):
        for _ in range(2):
            assert kf.correlate(photo, kernel, out=out) is out
            np.testing.assert_array_equal(out, expected)
    over = photo.copy()
    assert kf.correlate(over, kernel, out=over) is over
    np.testing.assert_array_equal(over, expected)
    with pytest.raises(ArgumentError, match=r"out: expected shape \(427, 640, 3\)"):
        kf.correlate(photo, kernel, out=np.empty((3, 427, 640), np.uint8))


def test_channels_that_lie_side_by_side_are_computed_together(monkeypatch):
    """The engine sees one interleaved image, not copies of planes."""
    seen, compiled = [], _core.Correlation

    class Watching:
        def __init__(self, *arguments, **options):
            self.run = compiled(*arguments, **options)

        def __call__(self, pixels, out):
            seen.extend((pixels, out))
            self.run(pixels, out)

    monkeypatch.setattr(_core, "Correlation", Watching)
    CACHE.clear()
    photo = colour_photograph("china")
    kf.correlate(photo, np.ones((3, 3)))
    CACHE.clear()
    assert len(seen) == 2
    assert all(map(is_interleaved, seen))
    assert np.may_share_memory(seen[0], photo)


@pytest.mark.parametrize("shape", [(3, 40, 4), (40, 4, 3), (2, 3, 4), (9, 480, 640, 3)])
def test_shapes_that_may_be_either_are_refused(shape):
    with pytest.raises(ArgumentError, match=r"channel_axis: expected -1 .* None .* cannot tell"):
        kf.correlate(np.zeros(shape), np.ones((3, 3)))
    assert kf.correlate(np.zeros(shape), np.ones((3, 3)), channel_axis=None).shape == shape
    assert kf.correlate(np.zeros(shape), np.ones((3, 3)), channel_axis=-1).shape == shape


def test_stacks_stay_stacks():
    stack = image("float32", (7, 20, 30))
    found = kf.correlate(stack, np.ones((3, 3)))
    np.testing.assert_array_equal(found[4], kf.correlate(stack[4], np.ones((3, 3))))
    thin = image("float32", (7, 20, 3))
    by_colour, by_image = (kf.correlate(thin, np.ones((3, 3)), channel_axis=axis) for axis in (-1, None))
    np.testing.assert_array_equal(by_image[2], kf.correlate(thin[2], np.ones((3, 3))))
    assert not np.array_equal(by_colour, by_image)


@pytest.mark.parametrize("axis", [3, -4, True, 1.0, "last", [2], np.array([2, 1])])
def test_axes_that_are_not_there_are_refused(axis):
    with pytest.raises(ArgumentError, match="channel_axis: expected"):
        kf.correlate(np.zeros((8, 9, 3)), np.ones((3, 3)), channel_axis=axis)
    with pytest.raises(ArgumentError, match="channel_axis: expected"):
        channel_axis_of((8, 9), 0)


class TestBanks:
    def test_a_kernel_of_three_axes_may_be_a_volume(self):
        volume, kernel = image("float32", (9, 20, 30)), np.ones((3, 3, 3))
        with pytest.raises(ArgumentError, match=r"kernel: expected .*bank=True.*scipy.ndimage.correlate"):
            kf.correlate(volume, kernel)
        for shape in ((20, 30, 3), (2, 3, 20, 30)):
            with pytest.raises(ArgumentError, match="bank=True"):
                kf.convolve(np.zeros(shape), kernel)
        found = kf.correlate(volume, kernel, bank=True)
        assert found.shape == (9, 3, 20, 30)
        np.testing.assert_array_equal(found[:, 1], kf.correlate(volume, kernel[1]))

    def test_of_an_image_of_two_axes_it_is_a_bank(self):
        pixels, bank = image("float32", (20, 30)), np.random.default_rng(0).normal(size=(4, 3, 3))
        np.testing.assert_array_equal(kf.correlate(pixels, bank), kf.correlate(pixels, bank, bank=True))
        with pytest.raises(ArgumentError, match="bank=True"):
            kf.correlate(pixels, bank, bank=False)

    @pytest.mark.parametrize("bank", ["yes", 1, 0.0, np.array([True, False])])
    def test_it_is_said_by_a_bool(self, bank):
        with pytest.raises(ArgumentError, match="bank: expected True, False or None"):
            kf.correlate(np.zeros((8, 9)), np.ones((2, 3, 3)), bank=bank)

    def test_other_kernels_are_none(self):
        for kernel in (np.ones((3, 3)), np.ones((2, 1, 3, 3))):
            with pytest.raises(ArgumentError, match="bank: expected a kernel of three axes"):
                kf.correlate(np.zeros((1, 8, 9)), kernel, bank=True)


def test_functions_without_channels_refuse_photographs():
    calls = (
        lambda: kf.as_matrix(np.ones((3, 3)), (20, 30, 3)),
        lambda: kf.as_operator(np.ones((3, 3)), (20, 30, 3)),
        lambda: kf.condition_number(np.ones((3, 3)), (20, 30, 3)),
        lambda: kf.im2col(np.zeros((20, 30, 3)), 3),
        lambda: kf.col2im(np.zeros((27, 600)), (20, 30, 3), 3),
    )
    for call in calls:
        with pytest.raises(ArgumentError, match="a photograph with its channels last; move them to the front"):
            call()
