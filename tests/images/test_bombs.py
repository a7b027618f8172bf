"""Small files that claim much: refused from their headers, before memory is taken or a pixel decoded."""

import io
import json
import struct
import subprocess
import sys
import zipfile
import zlib
from functools import cache

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

pytestmark = pytest.mark.core

GREY = np.zeros((64, 64), np.uint8)
COLOUR = np.zeros((64, 64, 3), np.uint8)


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def pillow(pixels, form, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


def tiff(pixels, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, metadata=None, **options)
    return bytearray(file.getvalue())


def set_tags(data, **values):
    """Overwrite single values of the first directory: names are t256 and so on."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        for name, value in values.items():
            tag = file.pages[0].tags[int(name[1:])]
            assert tag.count == 1, name
            struct.pack_into("<H" if tag.dtype == 3 else "<I", data, tag.valueoffset, value)
    return bytes(data)


def png(*headers):
    body = b"".join(chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0)) for w, h in headers)
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def jpeg(width, height, data=None):
    data = bytearray(data or pillow(COLOUR, "JPEG"))
    struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, height, width)
    return bytes(data)


def hidden_jpeg():
    """A second frame header, behind bytes that readers of headers skip in different ways."""
    data = pillow(COLOUR, "JPEG")
    at = data.index(b"\xff\xc0")
    frame = bytearray(data[at : at + 19])
    struct.pack_into(">HH", frame, 5, 65_000, 65_000)
    return data[:at] + b"\xff\0" + bytes(frame) + data[at:]


@cache
def endless_jpeg():
    data = pillow(np.zeros((4000, 4000), np.uint8), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xc4") : -2]
    return data[:-2] + last * 12_000 + b"\xff\xd9"


def jpeg2000(width, height, form="j2k"):
    data = bytearray(imagecodecs.jpeg2k_encode(COLOUR, codecformat=form))
    at = data.index(b"\xff\x51")
    struct.pack_into(">IIIIII", data, at + 6, width, height, 0, 0, width, height)
    return bytes(data)


def nested_tiff(inner, compression, **options):
    """A TIFF page of 64 x 64 pixels whose only strip is `inner`."""
    data = tiff(COLOUR, photometric="rgb", compression="zlib", **options)
    return set_tags(data, t259=compression, t273=len(data), t279=len(inner)) + inner


@cache
def blank_webp():
    return imagecodecs.webp_encode(np.zeros((6000, 6000, 3), np.uint8), level=-1, lossless=True)


def webp_canvas(width, height):
    body = struct.pack("<I", 0x02) + struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    body = b"VP8X" + struct.pack("<I", 10) + body + b"ANIM" + struct.pack("<IIH", 6, 0, 0)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def gif(width, height):
    data = bytearray(pillow(GREY, "GIF"))
    struct.pack_into("<HH", data, 6, width, height)
    return bytes(data)


def gif_frame(width, height):
    data = bytearray(pillow(GREY, "GIF"))
    struct.pack_into("<HH", data, data.index(b"\x2c\0\0\0\0\x40\0\x40\0") + 5, width, height)
    return bytes(data)


def bmp(width, height):
    data = bytearray(pillow(GREY, "BMP"))
    struct.pack_into("<ii", data, 18, width, height)
    return bytes(data)


def avif(width, height):
    data = bytearray(pillow(COLOUR, "AVIF"))
    struct.pack_into(">II", data, data.index(b"ispe") + 8, width, height)
    return bytes(data)


def lying_avif(shape):
    """An AVIF file whose only frame has another size than it claims."""
    data = bytearray(imagecodecs.avif_encode(np.zeros((*shape, 3), np.uint8), speed=10))
    struct.pack_into(">II", data, data.index(b"ispe") + 8, 64, 64)
    return bytes(data)


def jxl(width, height):
    """A bare codestream: size header of 30 bits a side (ISO/IEC 18181-1, "SizeHeader"), then the rest of a real one."""
    real = imagecodecs.jpegxl_encode(COLOUR[:24, :40], lossless=True)
    bits = "".join(f"{byte:08b}"[::-1] for byte in real[2:])
    assert bits[0] == "1"  # sides that are multiples of 8
    rest = bits[1 + 5 + 3 + (5 if bits[6:9] == "000" else 0) :]
    side = lambda value: "11" + f"{value - 1:030b}"[::-1]  # noqa: E731
    bits = "0" + side(height) + "000" + side(width) + rest
    bits += "0" * (-len(bits) % 8)
    return real[:2] + bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, len(bits), 8))


def npy(shape, descr="<f8"):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(100)


def npz(shape, method=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("a.npy", npy(shape) + bytes(1_000_000))
    return file.getvalue()


def fits(width, height):
    cards = [("SIMPLE", "T"), ("BITPIX", -64), ("NAXIS", 2), ("NAXIS1", width), ("NAXIS2", height)]
    text = "".join(f"{name:<8}= {value:>20}".ljust(80) for name, value in cards) + "END"
    return text.ljust(2880).encode() + bytes(2880)


def fits_gzip():
    """A tile of half a megabyte that inflates to 120 MB."""
    try:
        from astropy.io import fits
    except ImportError:
        return b""

    file = io.BytesIO()
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 2**15, (512, 512)).astype("i2")
    picture = fits.CompImageHDU(noise, compression_type="GZIP_1", tile_shape=noise.shape)
    fits.HDUList([fits.PrimaryHDU(), picture]).writeto(file)
    data = file.getvalue()
    start = data.index(b"\x1f\x8b")
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = squeeze.compress(bytes(120_000_000)) + squeeze.flush()
    assert len(bomb) < len(data) - start
    return data[:start] + bomb.ljust(len(data) - start, b"\0")


SHARED = 40_000


def shared_strips():
    """Every row is a strip, and all strips are the same megabyte."""
    entries = [(256, 1), (257, SHARED), (258, 8), (259, 1), (262, 1), (273, 0), (277, 1), (278, 1), (279, 0)]
    start = 8 + 2 + 12 * len(entries) + 4
    body = b"II*\0" + struct.pack("<IH", 8, len(entries))
    for tag, value in entries:
        offset = {273: start, 279: start + 4 * SHARED}.get(tag)
        body += struct.pack("<HHII", tag, 4, 1 if offset is None else SHARED, value if offset is None else offset)
    body += bytes(4) + struct.pack("<I", start) * SHARED + struct.pack("<I", 1_000_000) * SHARED
    return body + bytes(1_000_000)


BOMBS = {
    "claim.png": lambda: png((60_000, 60_000)),
    "promise.png": lambda: png((20_000, 20_000)),
    "twice.png": lambda: png((8, 8), (60_000, 60_000)),
    "again.png": lambda: png((60_000, 60_000), (8, 8)),
    "claim.jpg": lambda: jpeg(60_000, 60_000),
    "promise.jpg": lambda: jpeg(20_000, 20_000),
    "hidden.jpg": hidden_jpeg,
    "endless.jpg": endless_jpeg,
    "claim.tif": lambda: set_tags(tiff(GREY, compression="zlib"), t256=60_000, t257=60_000, t278=60_000),
    "promise.tif": lambda: set_tags(tiff(GREY, compression="zlib"), t256=20_000, t257=20_000, t278=20_000),
    "lzw.tif": lambda: set_tags(tiff(GREY, compression="lzw"), t256=20_000, t257=20_000, t278=20_000),
    "zstd.tif": lambda: set_tags(tiff(GREY, compression="zstd"), t256=20_000, t257=20_000, t278=20_000),
    "lzma.tif": lambda: set_tags(tiff(GREY, compression="lzma"), t256=20_000, t257=20_000, t278=20_000),
    "tile.tif": lambda: set_tags(tiff(GREY, compression="zlib", tile=(16, 16)), t322=60_000, t323=60_000),
    "deflate.tif": lambda: nested_tiff(zlib.compress(bytes(120_000_000)), 8),
    "zstd-inside.tif": lambda: nested_tiff(imagecodecs.zstd_encode(bytes(120_000_000)), 50000),
    "jpeg.tif": lambda: nested_tiff(jpeg(20_000, 20_000), 7),
    "jpeg-hidden.tif": lambda: nested_tiff(hidden_jpeg(), 7),
    "jpeg-endless.tif": lambda: nested_tiff(endless_jpeg(), 7),
    "jpeg2000.tif": lambda: nested_tiff(jpeg2000(20_000, 20_000), 34712),
    "jp2.tif": lambda: nested_tiff(jpeg2000(20_000, 20_000, "jp2"), 34712),
    "jpegxl.tif": lambda: nested_tiff(jxl(20_000, 20_000), 50002),
    "webp.tif": lambda: nested_tiff(blank_webp(), 50001),
    "shared.tif": shared_strips,
    "claim.webp": lambda: webp_canvas(1 << 24, 1 << 7),
    "blank.webp": lambda: blank_webp(),
    "claim.gif": lambda: gif(60_000, 60_000),
    "promise.gif": lambda: gif(20_000, 20_000),
    "frame.gif": lambda: gif_frame(60_000, 60_000),
    "claim.bmp": lambda: bmp(60_000, 60_000),
    "promise.bmp": lambda: bmp(20_000, 20_000),
    "claim.pgm": lambda: b"P5 60000 60000 255\n",
    "promise.ppm": lambda: b"P6 20000 20000 65535\n",
    "text.pgm": lambda: b"P2 20000 20000 255\n",
    "claim.avif": lambda: avif(60_000, 60_000),
    "promise.avif": lambda: avif(16_000, 16_000),
    "frame.avif": lambda: lying_avif((3000, 3000)),
    "grain.avif": lambda: b"\0\0\0\x1cftypavif" + b"iloc" + bytes(5) + b"\0\xff\xff" + b"\xff" * 100_000,
    "claim.jxl": lambda: jxl(60_000, 60_000),
    "promise.jxl": lambda: jxl(20_000, 20_000),
    "claim.j2k": lambda: jpeg2000(60_000, 60_000),
    "claim.jp2": lambda: jpeg2000(20_000, 20_000, "jp2"),
    "claim.npy": lambda: npy((60_000, 60_000)),
    "promise.npy": lambda: npy((20_000, 20_000)),
    "huge.npy": lambda: npy((2**62, 2**62)),
    "claim.npz": lambda: npz((60_000, 60_000)),
    "promise.npz": lambda: npz((20_000, 20_000)),
    "claim.fits": lambda: fits(60_000, 60_000),
    "promise.fits": lambda: fits(20_000, 20_000),
    "gzip.fits": fits_gzip,
}

CHILD = '''
import json, sys, time
from kernelfield.errors import FileError, MissingDependencyError
from kernelfield.images import read
import contextlib, imagecodecs, tifffile, PIL.Image
with contextlib.suppress(ImportError):
    import astropy.io.fits
def peak():
    """Megabytes of this program, without those of its parent, which ru_maxrss would include."""
    with open("/proc/self/status") as file:
        lines = file.read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

for name in sys.argv[1:]:
    before, start = peak(), time.process_time()
    try:
        message = "read: " + str(read(name).pixels.shape)
    except (FileError, MissingDependencyError) as error:
        message = str(error)
    print(json.dumps([name, message, peak() - before, time.process_time() - start]), flush=True)
'''


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Error message and additional memory in megabytes for each bomb by name, read in a process of its own."""
    folder = tmp_path_factory.mktemp("bombs")
    for name, make in BOMBS.items():
        (folder / name).write_bytes(make())
    done = subprocess.run([sys.executable, "-c", CHILD, *BOMBS], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return {name: (message, used) for name, message, used, _ in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_in_little_memory(outcomes, name):
    if name.endswith(".fits"):
        pytest.importorskip("astropy")
    message, used = outcomes[name]
    assert not message.startswith("read:"), message
    assert "\n" not in message
    assert len(message) < 700
    assert used < 100, f"{used} MB"
