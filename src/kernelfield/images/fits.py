"""FITS files, by astropy (the extra ``fits``): images and the planes of cubes are pages."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable
from typing import Any, BinaryIO

import numpy as np

from kernelfield.errors import FileError, MissingDependencyError
from kernelfield.images.limits import Limit
from kernelfield.images.picture import GREY, Metadata, Opened, Page, Picture, Pixels
from kernelfield.images.silence import unlogged, unwarned

SIGNATURE = b"SIMPLE  ="
DTYPES = ("uint8", "int16", "uint16", "int32", "uint32", "int64", "float32", "float64")


def decode(file: BinaryIO, size: int, limit: Limit) -> Opened:
    """Return the images of a FITS file: each of two dimensions, and each plane of a cube ``(planes, H, W)``, is a page.

    Row 0 is the first one stored, which astronomers draw at the bottom. Numbers are physical values: BSCALE and BZERO
    are applied, pixels that are BLANK are NaN.
    """
    fits = _fits()
    with unwarned(), unlogged("astropy"):
        units = fits.open(file, memmap=False, lazy_load_hdus=False, disable_image_compression=False)
        places: list[tuple[int, int]] = []
        for number, unit in enumerate(units):
            if unit.is_image and len(unit.shape) in (2, 3):
                places += [(number, plane) for plane in range(unit.shape[0] if len(unit.shape) == 3 else 1)]
    if not places:
        raise FileError("the FITS file holds no image of two or three dimensions; expected one; export it as an image")

    def load(index: int) -> Page:
        number, plane = places[index]
        unit, shape = units[number], units[number].shape
        # Of a cube all planes are read at once.
        limit.pixels(shape[-2], shape[-1], 4 * shape[0] if len(shape) == 3 else 1)
        packed = isinstance(unit, fits.CompImageHDU)
        limit.supply(math.prod(shape) * abs(int(unit.header["BITPIX"])) // 8, size, None if packed else 1)
        with unwarned(), unlogged("astropy"):
            if packed:
                _check_tiles(file, number, 8 * math.prod(int(side) for side in unit.tile_shape))
            data = np.asarray(unit.data)
        pixels = data[plane] if data.ndim == 3 else data
        if pixels.dtype.kind not in "biuf":
            raise FileError(f"the FITS image holds {pixels.dtype}; expected real numbers; export it again")
        return Page(np.array(pixels, pixels.dtype.newbyteorder("="), order="C"), GREY)

    return Opened(len(places), load, Metadata("FITS", own=units[places[0][0]].header.copy()))


def _check_tiles(file: BinaryIO, number: int, most: int) -> None:
    """Raise if a tile that is packed by gzip holds more than `most` bytes; astropy would inflate it all."""
    file.seek(0)
    table = _fits().open(file, memmap=False, disable_image_compression=True)[number].data
    for name in {"COMPRESSED_DATA", "GZIP_COMPRESSED_DATA"} & set(table.names):
        for tile in table[name]:
            packed = np.asarray(tile).tobytes()
            if packed.startswith(b"\x1f\x8b") and len(zlib.decompressobj(31).decompress(packed, most + 1)) > most:
                raise FileError(
                    f"a tile of the FITS image inflates to more than {most} bytes; expected no more; export it"
                )


def _fits() -> Any:
    try:
        from astropy.io import fits
    except ImportError as error:
        raise MissingDependencyError(
            "a FITS file: expected astropy, which is not installed; run: pip install 'kernelfield[fits]'"
        ) from error
    return fits


def encode(file: BinaryIO, pages: Iterable[Pixels], count: int, like: Picture | None) -> None:
    """Write one image, or pages of one shape and dtype as a cube, with the header of `like`."""
    fits = _fits()
    planes = list(pages)
    if len({(page.shape, page.dtype) for page in planes}) > 1:
        raise FileError("the pages differ in shape or dtype; expected alike ones in a FITS cube; write them one by one")
    data = planes[0] if count == 1 else np.stack(planes)
    header = None
    if like is not None and like.metadata.format == "FITS":
        header = like.metadata.own.copy(strip=True)
        # They belong to the numbers as they were stored.
        for name in ("BSCALE", "BZERO", "BLANK", "DATAMIN", "DATAMAX", "CHECKSUM", "DATASUM"):
            header.remove(name, ignore_missing=True)
    with unwarned(), unlogged("astropy"):
        fits.PrimaryHDU(data, header).writeto(file)
