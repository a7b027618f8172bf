"""Decompression bombs, truncated and damaged files: a FileError or a picture, quickly, and nothing else."""

import io
import random
import struct
import time
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from kernelfield.errors import FileError
from kernelfield.images import Picture, read

NAMES = (
    "grey.png",
    "colour.jpg",
    "progressive.jpg",
    "plain.tif",
    "deflate.tif",
    "lzw.tif",
    "packbits.tif",
    "float.npy",
)


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_claim(width, height):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def jpeg_claim(width, height):
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "JPEG")
    data = bytearray(file.getvalue())
    at = data.index(b"\xff\xc0")
    struct.pack_into(">HH", data, at + 5, height, width)
    return bytes(data)


def tiff_claim(width, height):
    def entry(tag, value):
        return struct.pack("<HHII", tag, 4, 1, value)

    tags = [
        (256, width),
        (257, height),
        (258, 8),
        (259, 8),
        (262, 1),
        (273, 8),
        (277, 1),
        (278, height),
        (279, 100),
    ]
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(entry(*tag) for tag in tags) + bytes(400)


def npy_claim(width, height):
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({height}, {width}), }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(100)


CLAIMS = {"a.png": png_claim, "a.jpg": jpeg_claim, "a.tif": tiff_claim, "a.npy": npy_claim}


def refuse(path, words, **limits):
    """Expect a refusal within two seconds of the processor and without memory for the pixels."""
    # Not of the clock: other programs may hold the processor for longer.
    started = time.process_time()
    tracemalloc.start()
    try:
        with pytest.raises(FileError, match=words) as caught:
            read(path, **limits)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert time.process_time() - started < 2
    assert peak < 20e6


@pytest.mark.parametrize("name", CLAIMS)
def test_bombs_are_refused_by_the_header(store, name):
    refuse(store(CLAIMS[name](60_000, 60_000), name), r"60000 x 60000 .*3600000000 pixels.* at most 500000000")


@pytest.mark.parametrize("name", CLAIMS)
def test_promises_the_file_cannot_keep(store, name):
    refuse(store(CLAIMS[name](20_000, 20_000), name), "header promises")


def test_the_limit_is_ours_not_pillows(store, monkeypatch, make):
    data = make.pillow(make.ramp((30, 40), "u1"), "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    for name in ("a.png", "a.jpg", "a.tif"):
        form = {"a.png": "PNG", "a.jpg": "JPEG", "a.tif": "TIFF"}[name]
        path = store(
            make.pillow(make.ramp((30, 40, 3), "u1"), form, **({"compression": "tiff_lzw"} if form == "TIFF" else {})),
            name,
        )
        assert read(path, max_pixels=1200).pixels.shape == (30, 40, 3)
        refuse(path, "expected at most 1199", max_pixels=1199)
    path = store(make.npy(make.ramp((30, 40), "f4")), "a.npy")
    refuse(path, "expected at most 1199", max_pixels=1199)
    assert read(store(data, "b.png")).pixels.shape == (30, 40)
    assert Image.MAX_IMAGE_PIXELS == 10


def test_channels_are_no_way_around_the_limit(store, make):
    path = store(make.npy(np.zeros((10, 10, 41), "u1")), "a.npy")
    refuse(path, "1100 pixels", max_pixels=1000)
    assert read(path, max_pixels=1100).pixels.shape == (10, 10, 41)


def test_a_tiff_strip_that_inflates_without_end(store, make):
    small = make.tiff(np.zeros((16, 16), "u1"), photometric="minisblack", compression="zlib")
    bomb = bytearray(small + zlib.compress(bytes(200_000_000), 9))
    directory = struct.unpack_from("<I", bomb, 4)[0]
    for i in range(struct.unpack_from("<H", bomb, directory)[0]):
        at = directory + 2 + 12 * i
        value = {273: len(small), 279: len(bomb) - len(small)}.get(struct.unpack_from("<H", bomb, at)[0])
        if value:
            struct.pack_into("<HII", bomb, at + 2, 4, 1, value)
    path = store(bytes(bomb), "a.tif")
    tracemalloc.start()
    picture = read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert picture.pixels.shape == (16, 16)
    assert peak < 20e6


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
    assert read(store(bytes(with_pages), "a.tif")).notes == ("first of 151 pages",)


def attempt(path):
    """Read, and accept a picture or one line."""
    try:
        picture = read(path, max_pixels=10_000_000)
    except FileError as error:
        message = str(error)
    else:
        message = ""
    if message:
        assert "\n" not in message
        assert str(path) in message
        return False
    assert isinstance(picture, Picture)
    assert picture.pixels.size
    assert picture.pixels.dtype.isnative
    return True


@pytest.mark.parametrize("name", NAMES)
def test_cut_anywhere(store, samples, name, capfd):
    data = samples[name]
    assert attempt(store(data, name))
    cuts = sorted({*range(1, 12), *np.linspace(1, len(data) - 1, 50, dtype=int), len(data) - 2})
    whole = [cut for cut in cuts if attempt(store(data[:cut], name))]
    # A TIFF file may end in a tag that is not needed; nothing else stands without its end.
    assert not whole or (name.endswith(".tif") and whole[0] > 0.9 * len(data)), whole
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", NAMES)
def test_flipped_bytes(store, samples, name, capfd):
    rng = random.Random(name)
    for _ in range(200):
        data = bytearray(samples[name])
        # Half of the flips near either end, where the headers are.
        for _ in range(rng.choice((1, 1, 3, 10))):
            at = rng.choice((rng.randrange(len(data)), rng.randrange(200), len(data) - 1 - rng.randrange(200)))
            data[at % len(data)] = rng.choice((0, 1, 127, 255, rng.randrange(256)))
        attempt(store(bytes(data), name))
    assert capfd.readouterr() == ("", "")


def test_threads(store, samples):
    paths = [store(samples[name], name) for name in NAMES] * 8
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(attempt, paths))
