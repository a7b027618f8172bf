"""Truncated and damaged files: one line of a FileError, or a sound result; no crash, nothing printed."""

import io
import random
import struct
from concurrent.futures import ThreadPoolExecutor

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from kernelfield.errors import FileError
from kernelfield.images import Picture, read
from kernelfield.images.formats import FORMATS

pytestmark = pytest.mark.core

CUTS, FLIPS = 500, 500

#: The files of `samples` in conftest.py.
NAMES = (
    "grey.png",
    "palette.png",
    "colour16.png",
    "colour.jpg",
    "progressive.jpg",
    "plain.tif",
    "big.tif",
    "deflate.tif",
    "lzw.tif",
    "packbits.tif",
    "zstd.tif",
    "jpeg.tif",
    "jpeg2000.tif",
    "jpegxl.tif",
    "webp.tif",
    "pages.tif",
    "imagej.tif",
    "ome.tif",
    "colour.webp",
    "animated.webp",
    "grey.bmp",
    "grey.gif",
    "animated.gif",
    "grey.pgm",
    "colour16.ppm",
    "colour.avif",
    "colour.jxl",
    "colour.jp2",
    "float.npy",
    "two.npz",
    "grey.fits",
    "packed.fits",
)


def attempt(data):
    """Read, and return the pages, or None where one line says why there are none."""
    message = ""
    try:
        picture = read(io.BytesIO(data), max_pixels=10_000_000)
        pages = list(picture.pages)
    except FileError as error:
        message = str(error)
    if message:
        assert "\n" not in message
        assert len(message) < 700
        return None
    assert isinstance(picture, Picture)
    for page in pages:
        assert page.size
        assert page.ndim in (2, 3)
        assert page.dtype.isnative
    return pages


@pytest.mark.parametrize("name", NAMES)
def test_cut_anywhere(samples, name, capfd):
    """A file that is cut is refused, unless all its pixels are there."""
    data = samples[name] or pytest.skip("needs astropy")
    whole = attempt(data)
    assert whole
    assert read(io.BytesIO(data)).metadata.format in [form.name for form in FORMATS]
    for cut in {*range(1, 12), *np.linspace(1, len(data) - 1, CUTS, dtype=int).tolist()}:
        pages = attempt(data[:cut])
        if pages is not None:
            assert len(pages) == len(whole), cut
            for page, full in zip(pages, whole):
                np.testing.assert_array_equal(page, full)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", NAMES)
def test_flipped_bytes(samples, name, capfd):
    if not samples[name]:
        pytest.skip("needs astropy")
    rng = random.Random(name)
    for _ in range(FLIPS):
        data = bytearray(samples[name])
        # Half of the flips near either end, where the headers are.
        for _ in range(rng.choice((1, 1, 3, 10))):
            at = rng.choice((rng.randrange(len(data)), rng.randrange(200), len(data) - 1 - rng.randrange(200)))
            data[at % len(data)] = rng.choice((0, 1, 127, 255, rng.randrange(256)))
        attempt(bytes(data))
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err == "" or name.endswith(".avif")  # dav1d, of some builds of imagecodecs


def test_the_limit_is_ours_not_pillows(store, monkeypatch, make):
    pixels = make.ramp((30, 40, 3), "u1")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    for name, form in {"a.png": "PNG", "a.jpg": "JPEG", "a.tif": "TIFF", "a.webp": "WEBP", "a.bmp": "BMP"}.items():
        path = store(make.pillow(pixels, form, **({"compression": "tiff_lzw"} if form == "TIFF" else {})), name)
        assert read(path, max_pixels=1200).pixels.shape == (30, 40, 3)
        with pytest.raises(FileError, match="expected at most 1199"):
            read(path, max_pixels=1199)
    path = store(make.npy(make.ramp((30, 40), "f4")), "a.npy")
    with pytest.raises(FileError, match="expected at most 1199"):
        read(path, max_pixels=1199)
    assert Image.MAX_IMAGE_PIXELS == 10


def test_channels_are_no_way_around_the_limit(store, make):
    path = store(make.npy(np.zeros((10, 10, 41), "u1")), "a.npy")
    with pytest.raises(FileError, match="1100 pixels"):
        read(path, max_pixels=1000)
    assert read(path, max_pixels=1100).pixels.shape == (10, 10, 41)


def test_a_blank_picture_is_read_if_its_file_is_trusted(store):
    path = store(imagecodecs.jpegxl_encode(np.zeros((9000, 9000), np.uint8), effort=1, lossless=True)[:], "a.jxl")
    with pytest.raises(FileError, match=r"give max_pixels \(--max-pixels\) if the file is trusted"):
        read(path)
    assert read(path, max_pixels=100_000_000).pixels.shape == (9000, 9000)


def test_tiff_directories_in_a_loop(store, make):
    """A chain of 150 directories whose last points at the hundred-and-twentieth."""
    page = make.tiff(np.zeros((4, 4), "u1"), photometric="minisblack")
    with_pages = bytearray(page)
    start = struct.unpack_from("<I", page, 4)[0]
    count = struct.unpack_from("<H", page, start)[0]
    block = page[start : start + 2 + 12 * count]
    link = start + len(block)
    places = []
    for _ in range(150):
        places.append(len(with_pages))
        struct.pack_into("<I", with_pages, link, len(with_pages))
        link = len(with_pages) + len(block)
        with_pages += block + bytes(4)
    struct.pack_into("<I", with_pages, link, places[119])
    picture = read(store(bytes(with_pages), "a.tif"))
    assert len(picture.pages) == 151
    assert all(page.shape == (4, 4) for page in picture.pages)


def test_threads(samples):
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(attempt, [samples[name] for name in NAMES if samples[name]] * 8))
