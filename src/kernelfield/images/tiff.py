"""TIFF 6.0 and BigTIFF files: tifffile parses the directory and locates segments, `tiff_codecs` unpacks them."""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, BinaryIO, Literal

import numpy as np

from kernelfield.errors import FileError
from kernelfield.images.limits import check_pixels, check_supply
from kernelfield.images.picture import RGB, Decoded, Pixels, cmyk_to_rgb, numbered
from kernelfield.images.tiff_codecs import NONE, RATIOS, inflate

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
WHITE_IS_ZERO, BLACK_IS_ZERO, COLOUR, PALETTE, SEPARATED, YCBCR = 0, 1, 2, 3, 5, 6
JPEGS = (6, 7)
REDUCED = 1
MOST_PAGES = 100_000
ORIENTATION, COLOUR_MAP, INK_SET = 274, 320, 332
ASSOCIATED, UNASSOCIATED = 1, 2

_quiet: ContextVar[bool] = ContextVar("_quiet", default=False)


def _not_quiet(_: logging.LogRecord) -> bool:
    return not _quiet.get()


@contextmanager
def _silence() -> Iterator[None]:
    """Suppress the log messages of tifffile inside this context, in this thread only."""
    logging.getLogger("tifffile").addFilter(_not_quiet)
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


def decode(file: BinaryIO, size: int, max_pixels: int) -> Decoded:
    """Return the first page of a TIFF file of `size` bytes."""
    from tifffile import TiffFile

    with _silence(), TiffFile(file) as tiff:
        if not tiff.pages:
            raise FileError("the TIFF file holds no picture; expected at least one page; export it again")
        page: Any = tiff.pages[0]
        pages = _count_pages(file, size)
        if tiff.is_imagej and tiff.imagej_metadata:
            pages = max(pages, int(tiff.imagej_metadata.get("images", 1)))
        if page.subfiletype & REDUCED:
            raise FileError(
                f"the first of {pages} pages is a small preview; expected the picture itself; export it alone as TIFF"
            )
        _check(page, size, max_pixels)
        found = _colours(page, _unpack(file, page))
        if pages > 1:
            found.notes.append(f"first of {pages} pages")
        return found


def _count_pages(file: BinaryIO, size: int) -> int:
    """Return the length of the chain of directories, which may have a loop that tifffile would follow for ever."""
    file.seek(0)
    order: Literal["little", "big"] = "little" if file.read(2) == b"II" else "big"
    big = int.from_bytes(file.read(2), order) == 43
    count_bytes, entry_bytes, offset_bytes, first = (8, 20, 8, 8) if big else (2, 12, 4, 4)
    file.seek(first)
    seen: set[int] = set()
    while (offset := int.from_bytes(file.read(offset_bytes), order)) and offset not in seen:
        seen.add(offset)
        file.seek(min(offset, size))
        entries = int.from_bytes(file.read(count_bytes), order)
        end = offset + count_bytes + entries * entry_bytes
        if end >= size or len(seen) == MOST_PAGES:
            break
        file.seek(end)
    return len(seen)


def _check(page: Any, size: int, max_pixels: int) -> None:
    height, width, samples = page.imagelength, page.imagewidth, page.samplesperpixel
    check_pixels(height, width, samples, max_pixels)
    if page.imagedepth != 1 or (page.is_tiled and page.tiledepth != 1):
        raise FileError("the TIFF page is a volume; expected a picture of two dimensions; export one slice")
    if page.dtype is None or np.dtype(page.dtype).kind not in "biuf":
        raise FileError(
            f"the TIFF samples are {page.bitspersample}-bit of format {page.sampleformat!r}; expected "
            "integers or floats; export them as 8 or 16 bit or float"
        )
    if page.is_tiled:
        # The tile of a small picture may be larger than the picture.
        check_pixels(page.tilelength, page.tilewidth, samples, max(max_pixels, 1 << 24))
    if len(page.dataoffsets) < _segments(page) or len(page.databytecounts) < _segments(page):
        raise FileError(
            f"the TIFF directory lists {len(page.dataoffsets)} of {_segments(page)} strips or tiles; "
            "expected all; the file is damaged: copy or export it again"
        )
    stored = list(page.databytecounts[: _segments(page)])
    if page.compression in RATIOS and all(stored):
        needed = height * ((width * samples * page.bitspersample + 7) // 8)
        check_supply(needed, min(sum(stored), size), RATIOS[page.compression])


def _segments(page: Any) -> int:
    """Return the number of strips or tiles that the page needs."""
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    if page.is_tiled:
        across = math.ceil(page.imagewidth / page.tilewidth)
        return int(planes * across * math.ceil(page.imagelength / page.tilelength))
    return int(planes * math.ceil(page.imagelength / _rows(page)))


def _rows(page: Any) -> int:
    return max(1, min(int(page.rowsperstrip), int(page.imagelength)))


def _unpack(file: BinaryIO, page: Any) -> Pixels:
    """Return ``(H, W, samples)`` as stored."""
    compression = int(page.compression)
    try:
        if compression not in RATIOS or page.fillorder != 1:
            pixels = np.asarray(page.asarray(maxworkers=1))
            return np.asarray(pixels.reshape(page.shaped)).squeeze(1).transpose(1, 2, 0, 3).reshape(_shape(page))
        page.compression = NONE
        return _assemble(file, page, compression)
    except (ValueError, NotImplementedError) as error:
        if "imagecodecs" not in str(error):
            raise
        raise FileError(
            f"TIFF compression {compression}, predictor {int(page.predictor)}, {page.bitspersample}-bit "
            "samples: needs imagecodecs, which is not installed; expected compression by none, LZW, "
            "Deflate, PackBits or LZMA, whole bytes; pip install imagecodecs, or export it plainly"
        ) from error


def _shape(page: Any) -> tuple[int, int, int]:
    return page.imagelength, page.imagewidth, page.samplesperpixel


def _assemble(file: BinaryIO, page: Any, compression: int) -> Pixels:
    height, width, samples = _shape(page)
    contiguous = 1 if page.planarconfig == 2 else samples
    columns, rows = (page.tilewidth, page.tilelength) if page.is_tiled else (width, _rows(page))
    row_bytes = (columns * contiguous * page.bitspersample + 7) // 8
    pixels = np.zeros(page.shaped, np.dtype(page.dtype).newbyteorder("="))
    for index in range(_segments(page)):
        count = page.databytecounts[index]
        if count == 0:
            continue  # a sparse file (GDAL) leaves out tiles that are all zero
        file.seek(page.dataoffsets[index])
        packed = file.read(count)
        strip_rows = rows if page.is_tiled else min(rows, height - index % math.ceil(height / rows) * rows)
        segment, (plane, _, top, left, _), _ = page.decode(inflate(packed, compression, strip_rows * row_bytes), index)
        block = segment[0, : height - top, : width - left]
        pixels[plane, 0, top : top + block.shape[0], left : left + block.shape[1]] = block
    return pixels[:, 0].transpose(1, 2, 0, 3).reshape(height, width, samples)


def _colours(page: Any, pixels: Pixels) -> Decoded:
    """Return the channels of a page from its stored samples."""
    found = Decoded(pixels, ())
    tag = page.tags.get(ORIENTATION)
    if tag is not None and tag.value in range(1, 9):
        found.orientation = int(tag.value)
    _drop_alpha(found, [int(kind) for kind in page.extrasamples])
    photometric = int(page.photometric)
    if photometric == YCBCR and page.compression in JPEGS:
        photometric = COLOUR  # imagecodecs converts while it unpacks
    count = found.pixels.shape[2]
    expected = {WHITE_IS_ZERO: count, BLACK_IS_ZERO: count, COLOUR: max(3, count), PALETTE: 1, SEPARATED: 4}
    if expected.get(photometric) != count:
        raise FileError(
            f"the TIFF page has photometric interpretation {photometric} with {count} channels; expected "
            "grey, RGB, palette or CMYK; convert it to RGB"
        )
    if photometric == PALETTE:
        _expand(found, page)
    else:
        _widen(found, page.bitspersample)
    if photometric == WHITE_IS_ZERO and found.pixels.dtype.kind == "u":
        found.pixels = np.iinfo(found.pixels.dtype).max - found.pixels
        found.notes.append("white is zero in the file: inverted")
    if photometric == SEPARATED:
        if found.pixels.dtype.kind != "u" or page.tags.valueof(INK_SET, 1) != 1:
            raise FileError("the TIFF inks are not unsigned CMYK; expected 8 or 16 bit CMYK; convert it to RGB")
        found.pixels = cmyk_to_rgb(found.pixels)
        found.notes.append("CMYK converted to RGB without a colour profile")
    count = found.pixels.shape[2]
    coloured = photometric in (COLOUR, PALETTE, SEPARATED) and count == 3
    found.channels = RGB if coloured else numbered(count)
    found.pixels = np.ascontiguousarray(found.pixels[..., 0] if count == 1 else found.pixels)
    return found


def _drop_alpha(found: Decoded, extra: list[int]) -> None:
    """Drop the alpha channels from the extra samples, the last ones of each pixel."""
    first = found.pixels.shape[2] - len(extra)
    alpha = [first + i for i, kind in enumerate(extra) if kind in (ASSOCIATED, UNASSOCIATED)]
    if alpha and first > 0:
        found.pixels = np.delete(found.pixels, alpha, axis=2)
        premultiplied = ASSOCIATED in extra
        found.notes.append("alpha channel left out" + (" (colours stay multiplied by it)" if premultiplied else ""))


def _expand(found: Decoded, page: Any) -> None:
    colours = np.asarray(page.tags.valueof(COLOUR_MAP, ())).reshape(3, -1).T
    indices = found.pixels[..., 0].astype(np.intp)
    if indices.max() >= len(colours):
        raise FileError(
            f"a pixel of the TIFF file has colour {indices.max()} of a palette of {len(colours)}; expected "
            "less; the file is damaged: export it again"
        )
    # Palettes are 16 bit by the standard, usually 8-bit colours times 257 (or, incorrectly, 256).
    eight = not (colours % 257).any() or not (colours % 256).any()
    found.pixels = (colours >> 8).astype(np.uint8)[indices] if eight else colours.astype(np.uint16)[indices]
    found.notes.append("palette expanded to RGB")


def _widen(found: Decoded, bits: int) -> None:
    if bits < 8:
        found.pixels = found.pixels.astype(np.uint8) * np.uint8(255 // (2**bits - 1))
        found.notes.append(f"{bits}-bit samples spread over 0 to 255")


def encode(file: BinaryIO, pixels: Pixels) -> None:
    """Write uncompressed ``(H, W)`` or ``(H, W, C)``; three channels are RGB."""
    from tifffile import imwrite

    if pixels.ndim == 2:
        imwrite(file, pixels, photometric="minisblack", metadata=None, software="kernelfield")
    else:
        kind = "rgb" if pixels.shape[2] == 3 else "minisblack"
        imwrite(file, pixels, photometric=kind, planarconfig="contig", metadata=None, software="kernelfield")
