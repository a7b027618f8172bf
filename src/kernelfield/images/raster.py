"""Formats of one picture: PNG, JPEG, WebP, GIF, BMP, PNM, AVIF, JPEG XL and JPEG 2000, by Pillow and imagecodecs.

Pillow reads headers and metadata; its classes are called directly, since ``Image.open`` applies a limit that belongs to
the whole process. Pixels are decoded by the library that keeps all their bits: imagecodecs for PNG, AVIF, JPEG XL and
JPEG 2000, Pillow for the others.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from typing import Any, BinaryIO

import numpy as np

from kernelfield.errors import FileError, MissingDependencyError
from kernelfield.images import orientation
from kernelfield.images.av1 import frame_sizes
from kernelfield.images.limits import DEFLATE_RATIO, Limit, check_scans, jpeg2000_shape, jpeg_shape, shape_in
from kernelfield.images.picture import Metadata, Opened, Page, Pixels, cmyk_to_rgb, named
from kernelfield.images.silence import unwarned

PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
PNG_PALETTE = 3
XMP_CHUNK = b"XML:com.adobe.xmp\0\0\0\0\0"
#: Chunks of PNG that say how the pixels are to be shown, and texts; sBIT and bKGD may not fit the pixels written.
PNG_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
PNG_KEPT = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"tEXt", b"zTXt", b"iTXt", b"tIME")
QUALITY = 95
GIF_RATIO = 4096
"""A code of LZW has at least 9 bits, and stands for fewer than 4096 bytes."""


def png(file: BinaryIO, size: int, limit: Limit) -> Opened:
    """Return the first picture of a PNG file."""
    import imagecodecs

    data = file.read()
    chunks = _chunks(data)
    if chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        raise FileError("the PNG file has no header; expected a whole file; copy or export it again")
    # libpng prints what it thinks of other chunks on stderr.
    plain = data[:8] + b"".join(_packed(*chunk) for chunk in chunks if chunk[0] in PNG_PIXELS)
    shape = shape_in(imagecodecs.png_decode, plain)
    width, height, depth, kind = struct.unpack(">IIBB", chunks[0][1][:10])
    limit.pixels(shape[0], shape[1], PNG_SAMPLES[kind])
    needed = height * ((width * PNG_SAMPLES[kind] * depth + 7) // 8)
    limit.supply(needed, size, DEFLATE_RATIO)
    header, metadata, turn = _header("Png", data)
    own = [(name, body) for name, body in chunks if name in PNG_KEPT and not body.startswith(XMP_CHUNK[:18])]
    metadata = replace(metadata, own=own)
    notes = []
    if kind == PNG_PALETTE:
        notes.append("palette expanded to RGB")
    elif depth < 8:
        notes.append(f"{depth}-bit grey spread over 0 to 255")
    if header.n_frames > 1:
        notes.append("first of several frames")

    def load(_: int) -> Page:
        pixels = imagecodecs.png_decode(plain)
        return Page(pixels, named(1 if pixels.ndim == 2 else pixels.shape[2]), notes)

    return Opened(1, load, metadata, turn)


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return the names and bodies of the chunks of a PNG file, up to its end (W3C PNG, third edition, section 5.3).

    By hand, because Pillow gives metadata in its own terms, and not all, and because libpng prints about damaged
    chunks.
    """
    chunks: list[tuple[bytes, bytes]] = []
    at = 8
    while not chunks or chunks[-1][0] != b"IEND":
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data):
            raise FileError("the PNG file is cut short; expected chunks up to IEND; copy or export it again")
        name, body = data[at + 4 : at + 8], data[at + 8 : end - 4]
        if zlib.crc32(body, zlib.crc32(name)).to_bytes(4, "big") != data[end - 4 : end]:
            raise FileError(
                f"the {name.decode('latin-1')!r} chunk of the PNG file is damaged; expected its checksum to agree; "
                "copy or export it again"
            )
        chunks.append((name, body))
        at = end
    return chunks


def _packed(name: bytes, body: bytes) -> bytes:
    """Return a chunk of PNG as it stands in a file."""
    return len(body).to_bytes(4, "big") + name + body + zlib.crc32(body, zlib.crc32(name)).to_bytes(4, "big")


def jpeg(file: BinaryIO, size: int, limit: Limit) -> Opened:
    """Return the first picture of a JPEG file."""
    data = file.read()
    height, width, components = jpeg_shape(data)
    limit.pixels(height, width, components)
    limit.supply(height * width * components, size)
    check_scans(data, height * width)
    header, metadata, turn = _header("Jpeg", data)
    if header.mode not in ("L", "RGB", "CMYK") or header.bits != 8:
        raise FileError(
            f"the JPEG file has {header.layers} components of {header.bits} bits; expected 1, 3 or 4 of 8; convert it "
            "to PNG or TIFF"
        )
    if header.size != (width, height):
        raise FileError("the JPEG file has more than one header; expected one picture; export it again")
    notes = ["first of the pictures in a multi-picture file"] if "mp" in header.info else []
    return Opened(1, _pillow(header, notes), _without_cmyk(header, metadata), turn)


def webp(file: BinaryIO, size: int, limit: Limit) -> Opened:
    """Return the first picture of a WebP file.

    Without Pillow, whose limit for the whole process applies: chunks (WebP container specification, "RIFF file format")
    are taken here.
    """
    import imagecodecs

    data = file.read()
    height, width, channels = (*shape_in(imagecodecs.webp_decode, data, index=0), 1)[:3]
    limit.pixels(height, width, channels)
    limit.supply(height * width * channels, size)
    chunks: dict[bytes, bytes] = {}
    at, notes = 12, []
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        chunks.setdefault(data[at : at + 4], data[at + 8 : at + 8 + length])
        at += 8 + length + length % 2
    if b"ANMF" in chunks:
        notes.append("first of several frames")
    exif = chunks.get(b"EXIF", b"").removeprefix(b"Exif\0\0")
    metadata, turn = _metadata("WebP", chunks.get(b"ICCP", b""), exif, chunks.get(b"XMP ", b""))
    return Opened(1, _codec(imagecodecs.webp_decode, data, notes, index=0), metadata, turn)


def avif(file: BinaryIO, size: int, limit: Limit) -> Opened:
    """Return the first picture of an AVIF file."""
    import imagecodecs

    data = file.read()
    header, metadata, turn = _header("Avif", data)
    _check(header, limit, size)
    # The cells of a grid, and the frame that they are parts of, are not larger than the picture; codecs add a margin.
    for height, width in frame_sizes(data):
        if height * width > max(2 * header.height * header.width, 1 << 20):
            raise FileError(
                f"a frame in the AVIF file has {width} x {height} pixels, its header says {header.width} x "
                f"{header.height}; expected no more; the file is damaged: export it again"
            )
    notes = ["first of several frames"] if header.n_frames > 1 else []

    def load(_: int) -> Page:
        pixels = imagecodecs.avif_decode(data, index=0, numthreads=1)
        if pixels.shape[:2] != header.size[::-1]:
            raise FileError("the AVIF file has another size than its header says; expected one; export it again")
        return Page(pixels, named(1 if pixels.ndim == 2 else pixels.shape[2]), notes)

    return Opened(1, load, metadata, turn)


def gif(file: BinaryIO, size: int, limit: Limit) -> Opened:
    """Return the first frame of a GIF file."""
    return _opened("Gif", file.read(), limit, GIF_RATIO)


def bmp(file: BinaryIO, size: int, limit: Limit) -> Opened:
    """Return the picture of a BMP file."""
    return _opened("Bmp", file.read(), limit)


def pnm(file: BinaryIO, size: int, limit: Limit) -> Opened:
    """Return the first picture of a PBM, PGM, PPM or grey PFM file.

    Samples of 16 bits are read here: Pillow reduces colours to 8 bits, and scales the others by the largest value.
    """
    data = file.read()
    header, metadata, turn = _header("Ppm", data)
    _check(header, limit, size, 1 if data[1:2] in b"56f" else 8)
    codec, _, start, arguments = header.tile[0]
    wide = header.mode == "I" or (codec != "raw" and isinstance(arguments, tuple) and arguments[-1] > 255)
    if not wide:
        return Opened(1, _pillow(header, []), metadata, turn)
    if data[1:2] not in b"56":
        raise FileError("the PNM file is text with samples of 16 bits; expected binary ones; convert it to PNG or TIFF")

    def load(_: int) -> Page:
        shape = (header.height, header.width, 3)[: 2 if header.mode == "I" else 3]
        count = int(np.prod(shape))
        if len(data) < start + 2 * count:
            raise FileError("the PNM file is cut short; expected a whole file; copy or export it again")
        pixels = np.frombuffer(data, ">u2", count, start).reshape(shape).astype(np.uint16)
        return Page(pixels, named(1 if pixels.ndim == 2 else 3))

    return Opened(1, load, metadata, turn)


def jpeg2000(file: BinaryIO, size: int, limit: Limit) -> Opened:
    """Return the picture of a JPEG 2000 file or codestream."""
    import imagecodecs

    data = file.read()
    height, width, components = jpeg2000_shape(data)
    limit.pixels(height, width, components)
    limit.supply(height * width * components, size)
    if b"pclr" in data[: data.index(b"\xff\x4f\xff\x51")]:
        raise FileError("the JPEG 2000 file has a palette; expected grey or RGB; convert it to PNG")
    return Opened(1, _codec(imagecodecs.jpeg2k_decode, data, [], numthreads=1), Metadata("JPEG 2000"))


def jpegxl(file: BinaryIO, size: int, limit: Limit) -> Opened:
    """Return the first picture of a JPEG XL file; libjxl turns it by its orientation."""
    import imagecodecs

    data = file.read()
    shape = shape_in(imagecodecs.jpegxl_decode, data, index=0)
    limit.pixels(*(*shape, 1)[:3])
    limit.supply(int(np.prod(shape, dtype=np.uint64)), size)
    return Opened(1, _codec(imagecodecs.jpegxl_decode, data, [], index=0, numthreads=1), Metadata("JPEG XL"))


def _codec(decode: Callable[..., Any], data: bytes, notes: list[str], **options: Any) -> Callable[[int], Page]:
    """Return the loader of a file that imagecodecs decodes as grey or RGB, with alpha or without."""

    def load(_: int) -> Page:
        pixels = decode(data, **options)
        if pixels.ndim not in (2, 3):
            raise FileError(f"the picture has shape {pixels.shape}; expected (H, W) or (H, W, C); convert it")
        return Page(pixels, named(1 if pixels.ndim == 2 else pixels.shape[2]), notes)

    return load


def _opened(plugin: str, data: bytes, limit: Limit, ratio: int | None = None) -> Opened:
    """Return the picture of a format that Pillow decodes."""
    header, metadata, turn = _header(plugin, data)
    _check(header, limit, len(data), ratio)
    notes = []
    if getattr(header, "is_animated", False):
        notes.append("first of several frames")
    return Opened(1, _pillow(header, notes), metadata, turn)


def _check(header: Any, limit: Limit, size: int, ratio: int | None = None) -> None:
    """Raise if the picture is too large for the limit or for its file."""
    samples = len(header.getbands())
    limit.pixels(header.height, header.width, samples)
    bits = {"1": 1, "I;16": 16, "I": 16, "F": 32}.get(header.mode, 8)
    limit.supply(header.height * ((header.width * samples * bits + 7) // 8), size, ratio)


def _header(plugin: str, data: bytes) -> tuple[Any, Metadata, Callable[[int], int]]:
    """Return Pillow's picture before its pixels are decoded, its metadata and its orientation."""
    try:
        module = import_module(f"PIL.{plugin}ImagePlugin")
    except ImportError as error:
        raise _no_avif() from error
    with unwarned():
        header = getattr(module, f"{plugin}ImageFile")(io.BytesIO(data), "")
        exif = _exif(header)
    info = header.info
    xmp = info.get("xmp", info.get("XML:com.adobe.xmp", b""))
    xmp = xmp.encode() if isinstance(xmp, str) else _bytes(xmp)
    icc = _bytes(info.get("icc_profile"))
    metadata, turn = _metadata(header.format, icc, exif, xmp, info.get("dpi"), info.get("comment"))
    return header, metadata, turn


def _no_avif() -> MissingDependencyError:
    return MissingDependencyError("an AVIF file: expected Pillow 11.3 or later; an older one is installed; update it")


def _metadata(
    form: str, icc: bytes, exif: bytes, xmp: bytes, dpi: Any = None, own: Any = None
) -> tuple[Metadata, Callable[[int], int]]:
    """Return metadata that say that nothing is to be turned, and how the pixels are to be: by EXIF, or else by XMP."""
    from PIL import Image

    block = Image.Exif()
    with unwarned(), suppress(Exception):  # damaged EXIF is no reason to refuse the pixels
        block.load(exif)
    turn = block.get(orientation.TAG, orientation.in_xmp(xmp))
    turn = turn if turn in range(1, 9) else 1
    resolution = orientation.resolution(dpi, turn)
    metadata = Metadata(form, icc, orientation.reset(exif), orientation.reset_xmp(xmp), resolution, own=own)
    return metadata, lambda _: turn


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else b""


def _exif(header: Any) -> bytes:
    """Return the EXIF block without the prefix of JPEG."""
    exif = _bytes(header.info.get("exif"))
    if not exif and "Raw profile type exif" in header.info:
        exif = header.getexif().tobytes()
    return exif.removeprefix(b"Exif\0\0")


def _without_cmyk(header: Any, metadata: Metadata) -> Metadata:
    """Return the metadata without a profile of inks where the pixels become RGB."""
    return replace(metadata, icc=b"") if header.mode == "CMYK" else metadata


def _pillow(header: Any, notes: list[str]) -> Callable[[int], Page]:
    """Return the loader of a picture that Pillow decodes."""

    def load(_: int) -> Page:
        header.load()
        said = list(notes)
        image = header
        if image.mode in ("P", "PA") or "transparency" in image.info:
            transparent = image.mode == "PA" or "transparency" in image.info
            colours = np.reshape(image.getpalette() or (), (-1, 3))
            mode = "L" if (colours[:, :1] == colours).all() and not transparent else "RGB"
            said += [f"palette expanded to {mode}"] if mode == "RGB" and image.mode != "L" else []
            image = image.convert("RGBA" if transparent else mode)
        elif image.mode == "1":
            image = image.convert("L")
        elif image.mode == "RGBX":
            image = image.convert("RGB")
        if image.mode not in ("L", "LA", "RGB", "RGBA", "CMYK", "I;16", "I", "F"):
            raise FileError(f"the picture has Pillow's mode {image.mode}; expected grey, RGB or CMYK; convert it")
        pixels: Pixels = np.array(image)
        if image.mode == "CMYK":
            pixels = cmyk_to_rgb(pixels, _bytes(image.info.get("icc_profile")), said)
        return Page(pixels, named(1 if pixels.ndim == 2 else pixels.shape[2]), said)

    return load


def write_png(file: BinaryIO, pixels: Pixels, like: Metadata | None) -> None:
    """Write uint8 or uint16 of 1 to 4 channels; Pillow cannot write 16-bit colour.

    The pixels are packed by libpng; the chunks of metadata are put behind the header that it wrote (W3C PNG, third
    edition, section 5.6).
    """
    import imagecodecs

    data = imagecodecs.png_encode(np.ascontiguousarray(pixels), level=6)
    file.write(data[:33])
    if like is not None:
        chunks = list(like.own) if like.format == "PNG" else []
        if like.icc:
            chunks = [chunk for chunk in chunks if chunk[0] != b"sRGB"]
            chunks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(like.icc)))
        if like.resolution:
            across, down = (round(value / 0.0254).to_bytes(4, "big") for value in like.resolution)
            chunks.append((b"pHYs", across + down + b"\1"))
        if like.exif:
            chunks.append((b"eXIf", like.exif))
        if like.xmp:
            chunks.append((b"iTXt", XMP_CHUNK + like.xmp))
        file.write(b"".join(_packed(*chunk) for chunk in chunks))
    file.write(data[33:])


def _saved(form: str, file: BinaryIO, pixels: Pixels, like: Metadata | None, **options: Any) -> None:
    """Write by Pillow with the metadata that the format holds."""
    from PIL import Image

    if like is not None:
        if like.icc:
            options["icc_profile"] = like.icc
        if like.exif and form != "BMP":
            options["exif"] = b"Exif\0\0" + like.exif if form in ("JPEG", "WEBP") else like.exif
        if like.xmp:
            options["xmp"] = like.xmp
        if like.resolution:
            options["dpi"] = like.resolution
        if like.format == form == "JPEG" and like.own:
            options["comment"] = like.own
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, form, **options)


def write_jpeg(file: BinaryIO, pixels: Pixels, like: Metadata | None) -> None:
    """Write uint8 grey or RGB at quality 95, colour at full resolution."""
    _saved("JPEG", file, pixels, like, quality=QUALITY, subsampling=0)


def write_webp(file: BinaryIO, pixels: Pixels, like: Metadata | None) -> None:
    """Write uint8 without loss; grey becomes RGB of three equal channels."""
    _saved("WEBP", file, pixels, like, lossless=True, exact=True)


def write_avif(file: BinaryIO, pixels: Pixels, like: Metadata | None) -> None:
    """Write uint8 at quality 95, colour at full resolution."""
    from PIL import features

    if not features.check("avif"):
        raise _no_avif()
    _saved("AVIF", file, pixels, like, quality=QUALITY, subsampling="4:4:4", max_threads=1)


def write_gif(file: BinaryIO, pixels: Pixels, like: Metadata | None) -> None:
    """Write uint8 grey."""
    _saved("GIF", file, pixels, None)


def write_bmp(file: BinaryIO, pixels: Pixels, like: Metadata | None) -> None:
    """Write uint8 grey or RGB."""
    _saved("BMP", file, pixels, like)


def write_pnm(file: BinaryIO, pixels: Pixels, like: Metadata | None) -> None:
    """Write uint8 or uint16 grey or RGB (netpbm, "pgm" and "ppm"); Pillow has no 16-bit colour."""
    kind, top = 5 if pixels.ndim == 2 else 6, int(np.iinfo(pixels.dtype).max)
    file.write(f"P{kind}\n{pixels.shape[1]} {pixels.shape[0]}\n{top}\n".encode())
    file.write(np.ascontiguousarray(pixels, pixels.dtype.newbyteorder(">")).tobytes())


def write_jpeg2000(file: BinaryIO, pixels: Pixels, like: Metadata | None) -> None:
    """Write uint8 or uint16 without loss."""
    import imagecodecs

    data = imagecodecs.jpeg2k_encode(np.ascontiguousarray(pixels), level=0, reversible=True, codecformat="jp2")
    file.write(data)


def write_jpegxl(file: BinaryIO, pixels: Pixels, like: Metadata | None) -> None:
    """Write uint8, uint16, float16 or float32 without loss."""
    import imagecodecs

    file.write(imagecodecs.jpegxl_encode(np.ascontiguousarray(pixels), lossless=True, numthreads=1))
