"""EXIF orientation, against Pillow's exif_transpose."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from kernelfield.images import orientation, read


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize(("form", "name"), [("PNG", "a.png"), ("JPEG", "a.jpg"), ("TIFF", "a.tif"), ("WEBP", "a.webp")])
@pytest.mark.parametrize("shape", [(11, 17), (11, 17, 3)])
def test_all_eight(store, value, form, name, shape, make):
    data = make.pillow(make.ramp(shape, "u1"), form, exif=make.exif(value))
    picture = read(store(data, name))
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(picture.pixels, expected)
    assert picture.pixels.flags.c_contiguous
    assert picture.notes == (() if value == 1 else (f"EXIF orientation {value} applied",))


@pytest.mark.parametrize("value", [3, 6])
def test_16_bit_tiff(store, value, make):
    pixels = make.ramp((6, 9, 3), "u2")
    data = make.tiff(pixels, photometric="rgb", extratags=[(274, "H", 1, value, True)])
    expected = pixels[::-1, ::-1] if value == 3 else np.rot90(pixels, -1)
    np.testing.assert_array_equal(read(store(data, "a.tif")).pixels, expected)


@pytest.mark.parametrize("order", ["<", ">"])
def test_an_exif_block_says_that_nothing_is_to_be_turned(order):
    mark = b"II*\0" if order == "<" else b"MM\0*"
    block = mark + struct.pack(order + "IHHHIHH", 8, 1, 0x0112, 3, 1, 8, 0) + b"notes of the maker"
    again = orientation.reset(block)
    assert len(again) == len(block)
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + again)
    assert exif[0x0112] == 1
    assert again.endswith(b"notes of the maker")
    assert all(len(orientation.reset(block[:n])) == n for n in range(len(block)))


@given(st.binary(max_size=64))
def test_any_bytes_stay_as_long_as_they_are(block):
    for data in (block, b"MM\0*" + block, b"II*\0\x08\0\0\0" + block):
        assert len(orientation.reset(data)) == len(data)


def test_orientation_in_xmp():
    for packet in (b'<a tiff:Orientation="6"/>', b"<tiff:Orientation>6</tiff:Orientation>"):
        assert orientation.in_xmp(packet) == 6
        assert orientation.in_xmp(orientation.reset_xmp(packet)) == 1
        assert len(orientation.reset_xmp(packet)) == len(packet)
    assert orientation.in_xmp(b"<x/>") == 1
