"""The table of formats: how each is recognised, read and written, and what it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePath
from typing import BinaryIO

from kernelfield.images import arrays, fits, raster, tiff
from kernelfield.images.picture import Metadata, Opened, Picture, Pixels

#: file, its bytes, the largest picture, and for formats with `open_axes` the axis of the channels
Reader = Callable[..., Opened]
#: file, pages, their number, the names of their channels, the picture whose metadata are kept
Writer = Callable[[BinaryIO, Iterable[Pixels], int, tuple[str, ...], Picture | None], None]

EIGHT, SIXTEEN = ("uint8",), ("uint8", "uint16")


@dataclass(frozen=True)
class Format:
    """A format of files.

    Attributes
    ----------
    suffixes : tuple of str
        Endings of names, the usual one first.
    signatures : tuple of (int, bytes)
        Where a file has which bytes; one of them is enough.
    dtypes, channels : tuple
        What is written; empty where everything is.
    pages : bool
        Whether several pages are written.
    side : int
        The largest number of rows or columns.
    keeps : tuple of str
        The portable metadata that are written.
    open_axes : bool
        Whether files do not say which axis holds channels.
    """

    name: str
    suffixes: tuple[str, ...]
    signatures: tuple[tuple[int, bytes], ...]
    read: Reader
    write: Writer
    dtypes: tuple[str, ...] = ()
    channels: tuple[int, ...] = ()
    pages: bool = False
    side: int = 2**31 - 1
    keeps: tuple[str, ...] = ()
    open_axes: bool = False

    def accepts(self, head: bytes) -> bool:
        """Return whether the first bytes of a file are those of this format."""
        return any(head[at:].startswith(mark) for at, mark in self.signatures)


def _single(encode: Callable[[BinaryIO, Pixels, Metadata | None], None]) -> Writer:
    """Return the writer of a format that holds one picture."""

    def write(
        file: BinaryIO, pages: Iterable[Pixels], count: int, names: tuple[str, ...], like: Picture | None
    ) -> None:
        for pixels in pages:
            encode(file, pixels, None if like is None else like.metadata)

    return write


ALL = ("icc", "exif", "xmp", "resolution")
FORMATS = (
    Format(
        "PNG",
        (".png", ".apng"),
        ((0, b"\x89PNG\r\n\x1a\n"),),
        raster.png,
        _single(raster.write_png),
        SIXTEEN,
        (1, 2, 3, 4),
        keeps=ALL,
    ),
    Format(
        "JPEG",
        (".jpg", ".jpeg", ".jpe", ".mpo"),
        ((0, b"\xff\xd8\xff"),),
        raster.jpeg,
        _single(raster.write_jpeg),
        EIGHT,
        (1, 3),
        side=65_500,
        keeps=ALL,
    ),
    Format(
        "TIFF",
        (".tif", ".tiff", ".btf", ".tf8"),
        tuple((0, mark) for mark in tiff.SIGNATURES),
        tiff.decode,
        tiff.encode,
        ("uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64"),
        pages=True,
        keeps=ALL,
    ),
    Format(
        "WebP",
        (".webp",),
        ((8, b"WEBPVP8"),),
        raster.webp,
        _single(raster.write_webp),
        EIGHT,
        (1, 3, 4),
        side=16_383,
        keeps=("icc", "exif", "xmp"),
    ),
    Format(
        "BMP",
        (".bmp", ".dib"),
        ((0, b"BM"),),
        raster.bmp,
        _single(raster.write_bmp),
        EIGHT,
        (1, 3),
        keeps=("resolution",),
    ),
    Format(
        "GIF",
        (".gif",),
        ((0, b"GIF87a"), (0, b"GIF89a")),
        raster.gif,
        _single(raster.write_gif),
        EIGHT,
        (1,),
        side=65_535,
    ),
    Format(
        "PNM",
        (".pnm", ".pgm", ".ppm", ".pbm", ".pfm"),
        tuple((0, b"P" + kind) for kind in (b"1", b"2", b"3", b"4", b"5", b"6", b"f")),
        raster.pnm,
        _single(raster.write_pnm),
        SIXTEEN,
        (1, 3),
    ),
    Format(
        "AVIF",
        (".avif",),
        ((4, b"ftypavif"), (4, b"ftypavis")),
        raster.avif,
        _single(raster.write_avif),
        EIGHT,
        (1, 3, 4),
        side=65_535,
        keeps=("icc", "exif", "xmp"),
    ),
    Format(
        "JPEG XL",
        (".jxl",),
        ((0, b"\xff\x0a"), (0, b"\0\0\0\x0cJXL \r\n\x87\n")),
        raster.jpegxl,
        _single(raster.write_jpegxl),
        ("uint8", "uint16", "float16", "float32"),
        (1, 2, 3, 4),
    ),
    Format(
        "JPEG 2000",
        (".jp2", ".j2k", ".jpx"),
        ((0, b"\xff\x4f\xff\x51"), (0, b"\0\0\0\x0cjP  \r\n\x87\n")),
        raster.jpeg2000,
        _single(raster.write_jpeg2000),
        SIXTEEN,
        (1, 2, 3, 4),
    ),
    Format(
        "NPY",
        (".npy",),
        ((0, arrays.SIGNATURE),),
        arrays.decode,
        _single(lambda file, pixels, _: arrays.encode(file, pixels)),
        open_axes=True,
    ),
    Format(
        "NPZ",
        (".npz",),
        ((0, arrays.ZIP),),
        arrays.decode_zip,
        lambda file, pages, count, names, like: arrays.encode_zip(file, pages, like),
        pages=True,
        open_axes=True,
    ),
    Format(
        "FITS",
        (".fits", ".fit", ".fts"),
        ((0, fits.SIGNATURE),),
        fits.decode,
        lambda file, pages, count, names, like: fits.encode(file, pages, count, like),
        fits.DTYPES,
        (1,),
        pages=True,
    ),
)
LONGEST_SIGNATURE = max(at + len(mark) for form in FORMATS for at, mark in form.signatures)
NAMES = ", ".join(form.name for form in FORMATS)


def recognised(head: bytes) -> Format | None:
    """Return the format of a file with these first bytes."""
    return next((form for form in FORMATS if form.accepts(head)), None)


def of_name(name: str) -> Format | None:
    """Return the format of a file name's ending."""
    suffix = PurePath(name).suffix.lower()
    return next((form for form in FORMATS if suffix in form.suffixes), None)
