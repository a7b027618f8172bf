"""Reading: real photographs, every kind of PNG, JPEG and NPY, and the notes."""

import io
import os
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest
import skimage
import sklearn
from PIL import Image, ImageOps

from kernelfield.errors import ArgumentError, FileError
from kernelfield.images import read

SKIMAGE = Path(skimage.__file__).parent / "data"
SKLEARN = Path(sklearn.__file__).parent / "datasets" / "images"
GREY, RGB = ("grey",), ("R", "G", "B")


@pytest.mark.parametrize(
    "path",
    sorted([*SKIMAGE.glob("*.png"), *SKIMAGE.glob("*.jpg"), *SKLEARN.glob("*.jpg")]),
    ids=lambda p: p.name,
)
def test_real_photographs_as_pillow_reads_them(path):
    picture = read(path)
    with Image.open(path) as image:
        sixteen = image.mode == "I;16"
        mode = {"I;16": "I;16", "P": "RGB", "1": "L"}.get(image.mode, image.mode)
        expected = np.asarray(image if sixteen else image.convert(mode))
    # Of 16-bit colour Pillow keeps the high byte.
    high = picture.pixels.dtype == np.uint16 and not sixteen
    np.testing.assert_array_equal(picture.pixels >> 8 if high else picture.pixels, expected)
    names = {1: GREY, 2: (*GREY, "alpha"), 3: RGB, 4: (*RGB, "alpha")}
    assert picture.channels == names[1 if picture.pixels.ndim == 2 else picture.pixels.shape[2]]
    assert picture.path == str(path)


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(rows, width, height, depth, kind, interlace=0, extra=b"", frames=b""):
    """Build a PNG from packed unfiltered rows, without the code under test."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlace))
    lines = b"".join(b"\0" + row for row in rows)
    return b"\x89PNG\r\n\x1a\n" + header + frames + extra + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def adam7(pixels):
    """Rows of the seven passes (PNG, section 8.1)."""
    passes = [
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ]
    for top, left, down, right in passes:
        part = pixels[top::down, left::right]
        if part.size:
            yield from (row.tobytes() for row in part)


@pytest.mark.parametrize(("kind", "samples"), [(0, 1), (4, 2), (2, 3), (6, 4)])
@pytest.mark.parametrize("dtype", [">u1", ">u2"])
@pytest.mark.parametrize("interlace", [0, 1])
def test_png_8_and_16_bit(store, kind, samples, dtype, interlace, make):
    stored = make.ramp((21, 13, samples), np.dtype(dtype).newbyteorder("=")).astype(dtype)
    rows = adam7(stored) if interlace else (row.tobytes() for row in stored)
    picture = read(store(png(rows, 13, 21, 8 * stored.itemsize, kind, interlace), "a.png"))
    expected = stored[..., 0] if samples == 1 else stored
    np.testing.assert_array_equal(picture.pixels, expected)
    assert picture.pixels.dtype == np.dtype(dtype).newbyteorder("=")
    assert picture.pixels.flags.c_contiguous
    assert picture.alpha == (samples - 1 if samples in (2, 4) else None)
    assert picture.notes == ()


def test_png_16_bit_colour_keeps_both_bytes_through_every_filter(store, make):
    colour = make.ramp((64, 50, 3), "u2")
    done, data = cv2.imencode(".png", colour[..., ::-1])
    assert done
    np.testing.assert_array_equal(read(store(data.tobytes(), "a.png")).pixels, colour)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_png_few_bits(store, depth):
    values = np.arange(5 * 16).reshape(5, 16) % 2**depth
    bits = ((values[..., None] >> np.arange(depth)[::-1]) & 1).reshape(5, -1).astype(np.uint8)
    rows = [row.tobytes() for row in np.packbits(bits, axis=1)]
    picture = read(store(png(rows, 16, 5, depth, 0), "a.png"))
    np.testing.assert_array_equal(picture.pixels, values * (255 // (2**depth - 1)))
    assert picture.pixels.dtype == np.uint8
    assert picture.notes == (f"{depth}-bit grey spread over 0 to 255",)

    palette = np.random.default_rng(1).integers(0, 256, (2**depth, 3), dtype=np.uint8)
    picture = read(store(png(rows, 16, 5, depth, 3, extra=chunk(b"PLTE", palette.tobytes())), "b.png"))
    np.testing.assert_array_equal(picture.pixels, palette[values])
    assert picture.channels == RGB
    assert picture.notes == ("palette expanded to RGB",)


def test_png_transparency_and_frames(store):
    rows = [bytes([0, 1, 2])]
    extra = chunk(b"PLTE", bytes(range(9))) + chunk(b"tRNS", bytes([9, 8]))
    frames = chunk(b"acTL", struct.pack(">II", 3, 0))
    picture = read(store(png(rows, 3, 1, 8, 3, extra=extra, frames=frames), "a.png"))
    assert picture.notes == ("palette expanded to RGB", "first of several frames")
    assert picture.pixels.tolist() == [[[0, 1, 2, 9], [3, 4, 5, 8], [6, 7, 8, 255]]]
    key = chunk(b"tRNS", struct.pack(">H", 1))
    assert read(store(png(rows, 3, 1, 8, 0, extra=key), "b.png")).pixels.tolist() == [[[0, 255], [1, 0], [2, 255]]]


def test_jpeg_cmyk_and_grey(store, make):
    ink = make.ramp((16, 16, 4), "u1")
    file = io.BytesIO()
    Image.fromarray(ink, "CMYK").save(file, "JPEG", quality=100)
    picture = read(store(file.getvalue(), "a.jpg"))
    with Image.open(file) as image:
        np.testing.assert_allclose(picture.pixels.astype(int), np.asarray(image.convert("RGB")), atol=1)
    assert picture.notes == ("CMYK converted to RGB without a colour profile",)
    assert read(store(make.pillow(make.ramp((9, 9), "u1"), "JPEG"), "b.jpg")).channels == GREY


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "i4", "<f4", ">f8", "f2", "?", "i8"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (5, 7, 6), (5, 7, 1)])
def test_npy(store, dtype, order, shape, make):
    array = np.asarray(np.random.default_rng(0).integers(0, 100, shape).astype(dtype), order=order)
    picture = read(store(make.npy(array), "a.npy"))
    np.testing.assert_array_equal(picture.pixels, array.squeeze(2) if shape[2:] == (1,) else array)
    assert picture.pixels.dtype == np.dtype(dtype).newbyteorder("=")
    assert picture.pixels.dtype.isnative
    assert len(picture.channels) == (shape[2] if len(shape) == 3 else 1)


def test_npy_refusals(store, make):
    for array, words in [
        (np.array([[None, 1]]), "plain real numbers"),
        (np.ones((2, 2), complex), "plain real numbers"),
        (np.zeros((2, 2), [("a", "u1")]), "plain real numbers"),
        (np.ones(4), r"expected \(H, W\)"),
        (np.ones((1, 2, 3, 4)), r"expected \(H, W\)"),
        (np.ones((3, 20, 20)), "give channel_axis 0"),
        (np.ones((0, 4)), "at least one"),
    ]:
        with pytest.raises(FileError, match=words):
            read(store(make.npy(array), "a.npy"))


def test_npy_of_other_writers(store):
    """cnpy and friends space the header in their own way; NumPy 1 on Python 2 wrote long integers."""
    body = np.arange(6, dtype="<i4").tobytes()
    for header in (
        '{"descr": "<i4", "fortran_order": False, "shape": (2, 3)}',
        "{'shape':(2L,3L,),'fortran_order':False,'descr':'<i4'}\n",
    ):
        data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + body
        np.testing.assert_array_equal(read(store(data, "a.npy")).pixels, np.arange(6).reshape(2, 3))


def test_the_content_counts_not_the_name(store, samples):
    picture = read(store(samples["grey.png"], "a.jpg"))
    assert picture.notes == ("the name ends in '.jpg', the content is PNG",)
    assert read(store(samples["grey.png"], "A.PNG")).notes == ()


def test_what_is_not_a_picture_file(store, tmp_path, monkeypatch):
    for path, words in [
        (tmp_path / "none.png", "no such file"),
        (tmp_path, "this is a folder"),
        (store(b"", "empty.png"), "empty"),
        (store(b"%PDF-1.7........", "a.pdf"), "not PNG, JPEG, TIFF, .*, FITS"),
        (tmp_path / ("x" * 300), "cannot be read"),
        (store(b"text", "two\nlines.png"), "not PNG"),
    ]:
        with pytest.raises(FileError, match=words) as caught:
            read(path)
        assert "\n" not in str(caught.value)
    for path in ("", "a\0b", 3, None):
        with pytest.raises(ArgumentError, match="path: expected the name"):
            read(path)
    for limit in (0, -1, 1.5, True):
        with pytest.raises(ArgumentError, match="max_pixels"):
            read(tmp_path / "empty.png", max_pixels=limit)
    for page in (-1, 1.5, True):
        with pytest.raises(ArgumentError, match="page"):
            read(tmp_path / "empty.png", page=page)

    def denied(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", denied)
    with pytest.raises(FileError, match="Permission denied"):
        read(tmp_path / "empty.png")


def test_a_fifo_is_read(tmp_path, samples):
    os.mkfifo(tmp_path / "pipe.png")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe.png").write_bytes(samples["grey.png"]))
    writer.start()
    assert read(tmp_path / "pipe.png").pixels.shape == (24, 31)
    writer.join(10)


@pytest.mark.parametrize(
    ("name", "channels", "notes"),
    [
        ("colour.webp", RGB, ("EXIF orientation 6 applied",)),
        ("animated.webp", RGB, ("first of several frames",)),
        ("grey.bmp", GREY, ()),
        ("grey.gif", GREY, ()),
        ("animated.gif", GREY, ("first of several frames",)),
        ("grey.pgm", GREY, ()),
        ("colour.avif", RGB, ()),
        ("colour.jp2", RGB, ()),
    ],
)
def test_other_formats_as_pillow_reads_them(store, samples, name, channels, notes):
    picture = read(store(samples[name], name))
    with Image.open(io.BytesIO(samples[name])) as image:
        shown = ImageOps.exif_transpose(image)
        expected = np.asarray(shown.convert("L" if channels == GREY else "RGB"))
    np.testing.assert_allclose(picture.pixels.astype(int), expected, atol=1 if name == "colour.avif" else 0)
    assert picture.channels == channels
    assert picture.notes == notes


def test_wide_pnm_as_opencv_reads_it(store, samples):
    path = store(samples["colour16.ppm"], "a.ppm")
    np.testing.assert_array_equal(read(path).pixels, cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., ::-1])


def test_pnm_of_few_and_many_levels(store):
    assert read(store(b"P1 3 1 0 1 0", "a.pbm")).pixels.tolist() == [[255, 0, 255]]
    assert read(store(b"P2 3 1 15 0 5 15", "b.pgm")).pixels.tolist() == [[0, 85, 255]]
    twelve = read(store(b"P5 2 1 4095\n\0\x07\x0f\xff", "c.pgm"))
    assert twelve.pixels.tolist() == [[7, 4095]]
    assert twelve.pixels.dtype == np.uint16
    with pytest.raises(FileError, match="expected binary ones"):
        read(store(b"P3 1 1 4095 1 2 3", "d.ppm"))
    with pytest.raises(FileError, match="cut short"):
        read(store(b"P5 2 1 4095\n\0\x07\x0f", "e.pgm"))


def test_a_library_that_complains_at_length_is_held_to_a_line(store, samples, monkeypatch):
    def complain(*_, **__):
        raise ValueError("first\nsecond " + "x" * 9999)

    monkeypatch.setattr(imagecodecs, "avif_decode", complain)
    monkeypatch.setattr(Image, "Exif", complain)
    for name in ("colour.avif", "colour.jpg"):
        with pytest.raises(FileError, match="first second x") as caught:
            read(store(samples[name], name))
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 1000


def test_importing_loads_no_codec():
    codecs = {"PIL", "tifffile", "imageio", "scipy"}
    code = f"import sys, kernelfield.images; print(sorted({codecs} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("axis", [0, 1, 2, -3, -1])
def test_the_axis_of_channels(tmp_path, order, axis):
    array = np.random.default_rng(3).random((3, 3, 3)).astype(">f4")
    array = np.asarray(np.repeat(np.repeat(np.repeat(array, 2, 0), 3, 1), 4, 2), order=order)
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", array, array[:, ::2])
    expected = np.moveaxis(array, axis, -1)
    picture = read(tmp_path / "a.npy", channel_axis=axis)
    np.testing.assert_array_equal(picture.pixels, expected)
    assert picture.channels == tuple(map(str, range(array.shape[axis])))
    np.testing.assert_array_equal(read(tmp_path / "a.npz", channel_axis=axis).pixels, expected)
    with open(tmp_path / "a.npy", "rb") as file:
        np.testing.assert_array_equal(read(io.BytesIO(file.read()), channel_axis=axis).pixels, expected)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_stack_has_a_page_a_plane(tmp_path, order):
    array = np.asarray(np.random.default_rng(4).integers(0, 99, (5, 6, 7)), order=order)
    np.save(tmp_path / "a.npy", array)
    picture = read(tmp_path / "a.npy", channel_axis=None, page=3)
    assert len(picture.pages) == 5
    np.testing.assert_array_equal(picture.pixels, array[3])
    np.testing.assert_array_equal(np.stack(list(picture.pages)), array)
    np.savez(tmp_path / "a.npz", array)
    with pytest.raises(FileError, match="expected \\(H, W\\) without an axis of channels; save the stack as NPY"):
        read(tmp_path / "a.npz", channel_axis=None)


def test_axes_that_a_file_does_not_leave_open(tmp_path):
    np.save(tmp_path / "flat.npy", np.ones((4, 5)))
    with pytest.raises(FileError, match="expected three axes for channel_axis 0"):
        read(tmp_path / "flat.npy", channel_axis=0)
    assert read(tmp_path / "flat.npy", channel_axis=None).pixels.shape == (4, 5)
    Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(ArgumentError, match="PNG says which axis holds channels; received 0; leave it out"):
        read(tmp_path / "a.png", channel_axis=0)
    assert read(tmp_path / "a.png", channel_axis=None).pixels.shape == (4, 5, 3)
    for wrong in (3, -4, True, 1.0, "last"):
        with pytest.raises(ArgumentError, match="channel_axis: expected"):
            read(tmp_path / "a.png", channel_axis=wrong)
