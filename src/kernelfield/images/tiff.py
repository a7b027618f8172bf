"""TIFF 6.0 and BigTIFF files, OME and ImageJ among them: tifffile parses directories and decodes segments.

What stays here: the walk over the directories, since tifffile follows a loop of them for ever and parses all before the
last; and the choice of segments one by one, since tifffile does not compare the size that a JPEG inside claims with
that of its tile.
"""

from __future__ import annotations

import math
import re
import struct
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, BinaryIO, Literal

import numpy as np

from kernelfield.errors import ArgumentError, FileError, KernelfieldWarning, reason, received
from kernelfield.images import orientation
from kernelfield.images.limits import DEFLATE_RATIO, Limit, check_scans, jpeg2000_shape, jpeg_shape, shape_in
from kernelfield.images.picture import ALPHA, RGB, Metadata, Opened, Page, Picture, Pixels, cmyk_to_rgb, numbered
from kernelfield.images.silence import unlogged, unwarned

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
WHITE_IS_ZERO, BLACK_IS_ZERO, COLOUR, PALETTE, SEPARATED, YCBCR = 0, 1, 2, 3, 5, 6
REDUCED, MASK = 1, 4
MOST_PAGES, MOST_TAGS = 100_000, 4096
MOST_BYTES = 4_000_000_000
# Of a page that is read box by box: its pixels, and the bytes of a strip or tile.
_MOST_PIXELS, _MOST_SEGMENT = 1 << 60, 1 << 30
#: Blank tiles may be shared, up to as much.
SHARED_BYTES = 64 << 20
#: Names of types in OME, where they differ from NumPy's.
OME = {"float32": "float", "float64": "double", "bool": "bit"}
SUBFILE, DESCRIPTION, ORIENTATION, SOFTWARE, XMP, ICC = 254, 270, 274, 305, 700, 34675
COLOUR_MAP, INK_SET = 320, 332
RESOLUTION = (282, 283, 296)
IMAGEJ = (50838, 50839)
#: Maker, model, time, artist and copyright; and the directories of EXIF and GPS.
EXIF_TEXTS, EXIF_DIRECTORIES, INTEROPERABILITY = (271, 272, 306, 315, 33432), (34665, 34853), 40965
ASSOCIATED, UNASSOCIATED = 1, 2
#: Tags that say how pixels are stored, that point to other directories of the file, or that `write` sets.
STRUCTURE = frozenset(
    (SUBFILE, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, DESCRIPTION, 273, ORIENTATION, 277, 278, 279, 280, 281)
    + (
        *RESOLUTION,
        284,
        288,
        289,
        290,
        291,
        292,
        293,
        301,
        SOFTWARE,
        317,
        318,
        319,
        COLOUR_MAP,
        321,
        322,
        323,
        324,
        325,
    )
    + (330, INK_SET, 333, 334, 336, 338, 339, 340, 341, 342, 347, XMP, *range(512, 522), 529, 530, 531, 532)
    + (32997, 34665, 34675, 34853, 40965, 50674, *IMAGEJ)
)

#: Tags without which other pixels would be read.
VITAL = (256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, COLOUR_MAP, 322, 323, 324, 325, 338, 339, 347)

JPEGS = (7,)
JPEG_2000S = (33003, 33005, 34712)
OTHER_CODECS = {50001: "webp_decode", 50002: "jpegxl_decode", 52546: "jpegxl_decode", 34887: "lerc_decode"}
RATIOS: dict[int, int | None] = {
    1: 1,
    5: 4096,
    8: DEFLATE_RATIO,
    32946: DEFLATE_RATIO,
    32773: 64,
    **dict.fromkeys((2, 3, 4, 34925, 50000, *JPEGS, *JPEG_2000S, *OTHER_CODECS)),
}
"""Compressions that are read, with the largest ratio of each: none, LZW (a code of at least 9 bits stands for fewer
than 4096 bytes), deflate, PackBits (two bytes for 128); fax, LZMA, ZSTD and pictures inside have none."""


def decode(file: BinaryIO, size: int, limit: Limit) -> Opened:
    """Return the pages of a TIFF file, without previews and masks."""
    tiff, directories, pictures, page = _pages(file, size)
    with unlogged("tifffile"):
        first = page(0)
        stack = _stack(tiff, first, size) if len(pictures) == 1 else 0

    def load(index: int) -> Page:
        with unlogged("tifffile"):
            one = first if index == 0 or stack else page(index)
            _check(one, size, limit)
            return _colours(one, _slice(file, one, index) if stack else _assemble(file, one))

    def turn(index: int) -> int:
        return _turn(first if index == 0 or stack else page(index))

    notes = (
        [f"{len(directories) - len(pictures)} previews or masks left out"] if len(directories) > len(pictures) else []
    )
    return Opened(stack or len(pictures), load, _metadata(tiff, first, page, len(pictures)), turn, notes)


def _pages(file: BinaryIO, size: int) -> tuple[Any, dict[int, Any], list[int], Callable[[int], Any]]:
    """Return the file as tifffile has it, its directories, the places of those with pictures, and what parses one."""
    from tifffile import TiffFile, TiffPage

    directories = _directories(file, size)
    pictures = [offset for offset, (kind, _) in directories.items() if not kind & (REDUCED | MASK)]
    if not pictures:
        raise FileError("the TIFF file holds no picture; expected a page that is no preview; export it again")
    file.seek(0)
    with unlogged("tifffile"):
        tiff = TiffFile(file)

    def page(index: int) -> Any:
        with unlogged("tifffile"):
            tiff.filehandle.seek(pictures[index])
            found = TiffPage(tiff, index)
        # tifffile goes on with the usual value instead of a tag that it cannot read.
        lost = [tag for tag in directories[pictures[index]][1] if tag not in found.tags]
        if lost:
            raise FileError(
                f"tag {lost[0]} of the TIFF page is damaged or cut off; expected a whole file; copy it again"
            )
        return found

    return tiff, directories, pictures, page


def _turn(page: Any) -> int:
    """Return the orientation of a page, by its tag or else by its XMP packet."""
    xmp = page.tags.valueof(XMP, b"")
    value = page.tags.valueof(ORIENTATION, orientation.in_xmp(xmp) if isinstance(xmp, bytes) else 1)
    return value if value in range(1, 9) else 1


def _directories(file: BinaryIO, size: int) -> dict[int, tuple[int, tuple[int, ...]]]:
    """Return the kind of subfile and the vital tags of each directory in the chain, up to a loop, by its place."""
    file.seek(0)
    order: Literal["little", "big"] = "little" if file.read(2) == b"II" else "big"
    big = int.from_bytes(file.read(2), order) == 43
    count_bytes, entry_bytes, offset_bytes, first = (8, 20, 8, 8) if big else (2, 12, 4, 4)
    file.seek(first)
    seen: dict[int, tuple[int, tuple[int, ...]]] = {}
    while (offset := int.from_bytes(file.read(offset_bytes), order)) and offset not in seen:
        file.seek(min(offset, size))
        entries = int.from_bytes(file.read(count_bytes), order)
        end = offset + count_bytes + entries * entry_bytes
        if end + offset_bytes > size or entries > MOST_TAGS:
            raise FileError(
                f"the directory of page {len(seen) + 1} of the TIFF file is damaged or cut off; expected a whole "
                "file; copy or export it again"
            )
        if len(seen) == MOST_PAGES:
            raise FileError(f"the TIFF file has more than {MOST_PAGES} pages; expected fewer; split it")
        body = file.read(entries * entry_bytes)
        parts = [body[at : at + entry_bytes] for at in range(0, len(body), entry_bytes)]
        tags = {int.from_bytes(part[:2], order): part[entry_bytes - offset_bytes :] for part in parts}
        kind = int.from_bytes(tags.get(SUBFILE, b"")[:4], order)
        seen[offset] = kind, tuple(tag for tag in VITAL if tag in tags)
    return seen


def _stack(tiff: Any, page: Any, size: int) -> int:
    """Return the number of pictures that ImageJ keeps behind a single directory; 0 if it is one only."""
    if not tiff.is_imagej or page.compression != 1 or not page.is_contiguous:
        return 0
    count = re.search(r"^images=([0-9]{1,9})$", str(page.tags.valueof(DESCRIPTION, "")), re.MULTILINE)
    images = int(count[1]) if count else 1
    if images > 1 and page.dataoffsets[0] + images * page.nbytes > size:
        raise FileError(
            f"the TIFF file does not hold its {images} pages; expected a whole file; copy or export it again"
        )
    return images if images > 1 else 0


def _check(page: Any, size: int, limit: Limit) -> None:
    """Raise for a page that is too large, or that cannot be read."""
    height, width, samples = _shape(page)
    limit.pixels(height, width, samples)
    if page.imagedepth != 1 or (page.is_tiled and page.tiledepth != 1):
        raise FileError("the TIFF page is a volume; expected a picture of two dimensions; export one slice")
    if page.compression not in RATIOS:
        raise FileError(
            f"the TIFF page has compression {int(page.compression)}; expected none, LZW, deflate, PackBits, LZMA, "
            "ZSTD, fax, JPEG, JPEG 2000, JPEG XL, WebP or LERC; export it again with one of these"
        )
    if page.dtype is None or np.dtype(page.dtype).kind not in "biuf":
        raise FileError(
            f"the TIFF samples are {page.bitspersample}-bit of format {page.sampleformat!r}; expected "
            "integers or floats; export them as 8 or 16 bit or float"
        )
    if page.is_tiled:
        # The tile of a small picture may be larger than the picture.
        Limit(max(limit.max_pixels, 1 << 24)).pixels(page.tilelength, page.tilewidth, samples)
    if len(page.dataoffsets) < _segments(page) or len(page.databytecounts) < _segments(page):
        raise FileError(
            f"the TIFF directory lists {len(page.dataoffsets)} of {_segments(page)} strips or tiles; "
            "expected all; the file is damaged: copy or export it again"
        )
    bits = page.bitspersample if isinstance(page.bitspersample, int) else max(page.bitspersample)
    stored = list(page.databytecounts[: _segments(page)])
    if sum(stored) > max(4 * size, SHARED_BYTES):
        raise FileError(
            f"the strips or tiles of the TIFF page have {sum(stored)} bytes, the file {size}; expected no more; the "
            "file is damaged: export it again"
        )
    # A sparse file (GDAL) leaves out tiles that are all zero.
    needed = height * ((width * samples * bits + 7) // 8) if all(stored) else 0
    ratio = RATIOS[page.compression]
    if ratio:
        limit.supply(needed, min(sum(stored), size), ratio)
    limit.supply(height * width * samples * max(1, bits // 8), size)


def _shape(page: Any) -> tuple[int, int, int]:
    return page.imagelength, page.imagewidth, page.samplesperpixel


def _segments(page: Any) -> int:
    """Return the number of strips or tiles that the page needs."""
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    if page.is_tiled:
        across = math.ceil(page.imagewidth / page.tilewidth)
        return int(planes * across * math.ceil(page.imagelength / page.tilelength))
    return int(planes * math.ceil(page.imagelength / _rows(page)))


def _rows(page: Any) -> int:
    return max(1, min(int(page.rowsperstrip), int(page.imagelength)))


def _assemble(file: BinaryIO, page: Any, rows: range | None = None, columns: range | None = None) -> Pixels:
    """Return ``(H, W, samples)`` as stored, or some rows and columns, from the strips or tiles that hold them."""
    height, width, samples = _shape(page)
    rows, columns = range(height) if rows is None else rows, range(width) if columns is None else columns
    largest = (page.tilelength * page.tilewidth if page.is_tiled else _rows(page) * width, samples)
    shape = (page.shaped[0], 1, len(rows), len(columns), page.shaped[4])
    pixels = np.full(shape, page.nodata, np.dtype(page.dtype).newbyteorder("="))
    tables = {"jpegtables": page.jpegtables} if page.compression in JPEGS else {}
    for index in _segments_over(page, rows, columns):
        count = page.databytecounts[index]
        if count == 0:
            continue
        file.seek(page.dataoffsets[index])
        packed = file.read(count)
        _check_segment(page, packed, *largest)
        segment, (plane, _, top, left, _), _ = page.decode(packed, index, **tables)
        block = segment[0, : height - top, : width - left]
        down = slice(max(top, rows.start), min(top + block.shape[0], rows.stop))
        across = slice(max(left, columns.start), min(left + block.shape[1], columns.stop))
        into = slice(down.start - rows.start, down.stop - rows.start)
        beside = slice(across.start - columns.start, across.stop - columns.start)
        pixels[plane, 0, into, beside] = block[
            down.start - top : down.stop - top, across.start - left : across.stop - left
        ]
    return pixels[:, 0].transpose(1, 2, 0, 3).reshape(len(rows), len(columns), samples)


def _segments_over(page: Any, rows: range, columns: range) -> Iterator[int]:
    """Yield the numbers of the strips or tiles that hold some rows and columns."""
    height, width = (page.tilelength, page.tilewidth) if page.is_tiled else (_rows(page), page.imagewidth)
    down, across = -(-page.imagelength // height), -(-page.imagewidth // width)
    for plane in range(page.samplesperpixel if page.planarconfig == 2 else 1):
        for row in range(rows.start // height, -(-rows.stop // height)):
            for column in range(columns.start // width, -(-columns.stop // width)):
                yield (plane * down + row) * across + column


def _mapped_tiles(file: BinaryIO, page: Any, size: int) -> Pixels | None:
    """Return the tiles of a page where they lie in the file, shape (down, across, H, W, samples).

    None if they are packed, missing, or at uneven distances.
    """
    if not page.is_tiled or (page.compression, page.predictor, page.fillorder, page.planarconfig) != (1, 1, 1, 1):
        return None
    dtype = np.dtype(page.parent.byteorder + page.dtype.char)
    height, width, samples = page.tilelength, page.tilewidth, page.samplesperpixel
    down, across = -(-page.imagelength // height), -(-page.imagewidth // width)
    offsets, counts = (np.array(each[: down * across], np.int64) for each in (page.dataoffsets, page.databytecounts))
    each = height * width * samples * dtype.itemsize
    step = int(offsets[1] - offsets[0]) if offsets.size > 1 else each
    even = (counts >= each).all() and (np.diff(offsets) == step).all() and step >= each
    if not even or offsets[0] < 0 or offsets[-1] + each > size:
        return None
    within = (width * samples * dtype.itemsize, samples * dtype.itemsize, dtype.itemsize)
    held = np.memmap(file, np.uint8, "r")
    shape, strides = (down, across, height, width, samples), (across * step, step, *within)
    return np.ndarray(shape, dtype, held, int(offsets[0]), strides)


def _of_tiles(tiles: Pixels, rows: range, columns: range) -> Pixels:
    """Return a box of pixels (H, W, samples) from tiles that lie evenly: a row of them is one copy."""
    height, width, samples = tiles.shape[2:]
    first, last = columns.start // width, -(-columns.stop // width)
    box = np.empty((len(rows), last - first, width, samples), tiles.dtype.newbyteorder("="))
    for down in range(rows.start // height, -(-rows.stop // height)):
        top = down * height
        inside = slice(max(0, rows.start - top), min(height, rows.stop - top))
        into = slice(top + inside.start - rows.start, top + inside.stop - rows.start)
        box[into] = tiles[down, first:last, inside].swapaxes(0, 1)
    start = columns.start - first * width
    return box.reshape(len(rows), (last - first) * width, samples)[:, start : start + len(columns)]


class Tiled:
    """A page of a TIFF file that is read box by box: its strips or tiles are decoded as boxes need them.

    Attributes
    ----------
    shape : (int, int) or (int, int, int)
        (H, W), or (H, W, samples).
    dtype : numpy.dtype
    chunks : tuple of int
        The shape of a strip or tile.

    Raises
    ------
    FileError
        For a page of colours that change when it is decoded (palette, inks, white as zero), or that is turned, and for
        strips or tiles of more than a gibibyte.
    """

    def __init__(self, path: str, index: int = 0) -> None:
        self._name, self._file = received(path), open(path, "rb")  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        try:
            self._open(index)
        except BaseException as error:
            self._file.close()
            if isinstance(error, Exception) and not isinstance(error, ArgumentError):
                raise self._failure(error) from error
            raise

    def _open(self, index: int) -> None:
        size = self._file.seek(0, 2)
        tiff, _, pictures, parsed = _pages(self._file, size)
        if not 0 <= index < len(pictures):
            raise ArgumentError(f"page: expected 0 to {len(pictures) - 1} for {self._name}; received {received(index)}")
        self._page = page = parsed(index)
        with unlogged("tifffile"):
            if len(pictures) == 1 and _stack(tiff, page, size):
                raise FileError(
                    "a stack of ImageJ behind one directory; expected a page for each picture; save it again"
                )
            _check(page, size, Limit(_MOST_PIXELS, trusted=True))
        photometric, bits = int(page.photometric), page.bitspersample
        plain = photometric in (BLACK_IS_ZERO, COLOUR) or (photometric == YCBCR and page.compression in JPEGS)
        if not plain or bits not in (8, 16, 32, 64) or _turn(page) != 1:
            raise FileError("its pixels are decoded to others (palette, inks, bits, turned); export it as grey or RGB")
        samples = page.samplesperpixel
        self.dtype = np.dtype(page.dtype).newbyteorder("=")
        rows, columns = (page.tilelength, page.tilewidth) if page.is_tiled else (_rows(page), page.imagewidth)
        more = (samples,) if samples > 1 else ()
        self.shape = (page.imagelength, page.imagewidth, *more)
        self.chunks = (min(rows, page.imagelength), min(columns, page.imagewidth), *more)
        self._map: Pixels | None = None
        self._tiles = _mapped_tiles(self._file, page, size)
        if page.compression == 1 and page.is_contiguous and page.planarconfig == 1 and not page.is_tiled:
            stored = np.dtype(page.parent.byteorder + page.dtype.char)
            self._map = np.memmap(self._file, stored, "r", page.dataoffsets[0], (*self.shape[:2], samples))
        elif rows * columns * samples * self.dtype.itemsize > _MOST_SEGMENT:
            raise FileError(
                f"its strips or tiles have {rows}×{columns} pixels; expected smaller ones; save it in tiles"
            )

    def read(self, rows: slice, columns: slice) -> Pixels:
        """Return a box of pixels (H, W, samples)."""
        if self._map is not None:
            return self._map[rows, columns]
        if self._tiles is not None:
            return _of_tiles(self._tiles, range(rows.start, rows.stop), range(columns.start, columns.stop))
        try:
            with unlogged("tifffile"):
                return _assemble(
                    self._file, self._page, range(rows.start, rows.stop), range(columns.start, columns.stop)
                )
        except Exception as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> FileError:
        if isinstance(error, FileError):
            return FileError(f"{self._name}: {error}")
        return FileError(
            f"{self._name}: cannot be decoded as TIFF ({type(error).__name__}: {reason(error)}); expected a whole "
            "file; copy or export it again"
        )


def _check_segment(page: Any, packed: bytes, area: int, samples: int) -> None:
    """Raise if the picture inside a strip or tile is larger than that."""
    import imagecodecs

    shape: tuple[int, ...]
    if page.compression in JPEGS:
        if b"\xff\xd9" not in packed[-64:]:
            raise FileError("a JPEG strip or tile is cut short; expected whole ones; copy or export the file again")
        shape = jpeg_shape(packed)
        check_scans(packed, shape[0] * shape[1])
    elif page.compression in JPEG_2000S:
        shape = jpeg2000_shape(packed)
    elif page.compression in OTHER_CODECS:
        shape = shape_in(getattr(imagecodecs, OTHER_CODECS[page.compression]), packed)
    else:
        return  # the others stop, or fail, at the size of the segment
    height, width, inside = (*shape, 1)[:3] if len(shape) < 4 else (math.prod(shape), 1, 1)
    if height * width > area or inside > max(samples, 4):
        raise FileError(
            f"the picture inside a strip or tile of the TIFF file has shape {shape}, more than its {area} pixels of "
            f"{samples} samples; expected no more; the file is damaged: export it again"
        )


def _slice(file: BinaryIO, page: Any, index: int) -> Pixels:
    """Return one picture ``(H, W, samples)`` of those behind a single directory."""
    dtype = np.dtype(page.parent.byteorder + page.dtype.char)
    file.seek(page.dataoffsets[0] + index * page.nbytes)
    data = file.read(page.nbytes)
    if len(data) < page.nbytes:
        raise FileError("the TIFF file ends within a page; expected a whole file; copy or export it again")
    pixels = np.frombuffer(data, dtype).astype(dtype.newbyteorder("=")).reshape(page.shaped)
    return pixels[:, 0].transpose(1, 2, 0, 3).reshape(_shape(page))


def _colours(page: Any, pixels: Pixels) -> Page:
    """Return the channels of a page from its stored samples."""
    found = Page(pixels, ())
    photometric = int(page.photometric)
    if photometric == YCBCR and page.compression in JPEGS:
        photometric = COLOUR  # imagecodecs converts while it unpacks
    extra = [int(kind) for kind in page.extrasamples]
    alphas = [i for i, kind in enumerate(extra, pixels.shape[2] - len(extra)) if kind in (ASSOCIATED, UNASSOCIATED)]
    count = pixels.shape[2] - len(alphas)
    if len(alphas) > 1 or (alphas and (alphas[0] != count or count < 1)):
        alphas, count = [], pixels.shape[2]
    expected = {WHITE_IS_ZERO: count, BLACK_IS_ZERO: count, COLOUR: max(3, count), PALETTE: 1, SEPARATED: 4}
    if expected.get(photometric) != count:
        raise FileError(
            f"the TIFF page has photometric interpretation {photometric} with {count} channels; expected "
            "grey, RGB, palette or CMYK; convert it to RGB"
        )
    alpha, found.pixels = found.pixels[..., count:], found.pixels[..., :count]
    if photometric == PALETTE:
        _expand(found, page)
        alphas = []
    elif isinstance(page.bitspersample, int):
        _widen(found, page.bitspersample)
    if photometric == WHITE_IS_ZERO and found.pixels.dtype.kind == "u":
        found.pixels = np.iinfo(found.pixels.dtype).max - found.pixels
        found.notes.append("white is zero in the file: inverted")
    if photometric == SEPARATED:
        if found.pixels.dtype.kind != "u" or page.tags.valueof(INK_SET, 1) != 1:
            raise FileError("the TIFF inks are not unsigned CMYK; expected 8 or 16 bit CMYK; convert it to RGB")
        found.pixels = cmyk_to_rgb(found.pixels, page.tags.valueof(ICC, b""), found.notes)
    count = found.pixels.shape[2]
    coloured = photometric in (COLOUR, PALETTE, SEPARATED) and count == 3
    found.channels = RGB if coloured else numbered(count)
    if alphas:
        found.channels += (ALPHA,)
        found.pixels = np.concatenate([found.pixels, alpha.astype(found.pixels.dtype)], axis=2)
    found.pixels = np.ascontiguousarray(found.pixels[..., 0] if found.pixels.shape[2] == 1 else found.pixels)
    return found


def _expand(found: Page, page: Any) -> None:
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


def _widen(found: Page, bits: int) -> None:
    if bits < 8:
        found.pixels = found.pixels.astype(np.uint8) * np.uint8(255 // (2**bits - 1))
        found.notes.append(f"{bits}-bit samples spread over 0 to 255")


class Tags:
    """Layout of a TIFF file and tags of its pages, for `encode` to keep; tags are read when they are needed."""

    def __init__(self, tiff: Any, first: Any, page: Any, count: int) -> None:
        self.byteorder, self.bigtiff = tiff.byteorder, bool(tiff.is_bigtiff)
        self.imagej, self.ome = bool(tiff.is_imagej), bool(tiff.is_ome)
        self.count = count
        self._page = page
        self._imagej = None
        if self.imagej:
            self._imagej = first.tags.valueof(IMAGEJ[1])
        # Of a single page the file is closed after reading.
        self._first = self._of(first, 0)

    def of(self, index: int) -> dict[str, Any]:
        """Return the arguments of tifffile's writer for a page."""
        if index == 0 or index >= self.count:
            return dict(self._first)
        with unlogged("tifffile"):
            return self._of(self._page(index), index)

    def _of(self, page: Any, index: int) -> dict[str, Any]:
        kept: dict[str, Any] = {"software": str(page.tags.valueof(SOFTWARE, "kernelfield"))}
        if page.tags.valueof(SUBFILE, 0):
            kept["subfiletype"] = int(page.tags.valueof(SUBFILE))
        if page.is_tiled and page.tilelength % 16 == page.tilewidth % 16 == 0:
            kept["tile"] = (page.tilelength, page.tilewidth)
        if int(page.compression) in (5, 8, 32946, 32773, 34925, 50000):
            kept["compression"] = "adobe_deflate"
        resolution = [page.tags.valueof(tag) for tag in RESOLUTION]
        if resolution[0] and resolution[1]:
            across, down = resolution[:2]
            turned = _turn(page) in orientation.SWAPPED
            kept["resolution"] = (down, across) if turned else (across, down)
            kept["resolutionunit"] = int(resolution[2] or 2)
        kept["extratags"] = [tag for tag in map(_plain, page.tags) if tag]
        if index == 0 and self._imagej:
            from tifffile import imagej_metadata_tag

            kept["extratags"] += imagej_metadata_tag(self._imagej, self.byteorder)
        kept["description"] = page.tags.valueof(DESCRIPTION)
        return kept


def _plain(tag: Any) -> tuple[int, int, int, Any, bool] | None:
    """Return a tag for tifffile's writer; None for one that says how pixels are stored, or that is not plain."""
    if tag.code in STRUCTURE:
        return None
    value = tag.value
    if isinstance(value, np.ndarray):
        value = tuple(value.tolist())
    if not isinstance(value, int | float | str | bytes | tuple):
        return None
    if isinstance(value, int):
        value = int(value)
    return int(tag.code), int(tag.dtype), 0 if isinstance(value, str) else int(tag.count), value, False


def _metadata(tiff: Any, first: Any, page: Any, count: int) -> Metadata:
    across, down, unit = (first.tags.valueof(tag) for tag in RESOLUTION)
    resolution, factor = None, 1.0
    if across and down and int(unit or 2) in (2, 3):
        factor = 1.0 if int(unit or 2) == 2 else 2.54
        try:
            resolution = (across[0] / across[1] * factor, down[0] / down[1] * factor)
        except (TypeError, ZeroDivisionError, IndexError):
            resolution = None
    if resolution == (factor, factor):
        resolution = None  # what writers put where they know none
    resolution = orientation.resolution(resolution, _turn(first))
    xmp, icc = first.tags.valueof(XMP, b""), first.tags.valueof(ICC, b"")
    return Metadata(
        "TIFF",
        icc=icc if isinstance(icc, bytes) and int(first.photometric) != SEPARATED else b"",
        exif=_exif(tiff, first),
        xmp=orientation.reset_xmp(xmp) if isinstance(xmp, bytes) else b"",
        resolution=resolution,
        associated=ASSOCIATED in [int(kind) for kind in first.extrasamples],
        own=Tags(tiff, first, page, count),
    )


def _exif(tiff: Any, first: Any) -> bytes:
    """Return the EXIF tags of a page, and its directories of EXIF and GPS, as a block for other formats."""
    if not any(tag in first.tags for tag in (*EXIF_TEXTS, *EXIF_DIRECTORIES)):
        return b""
    from PIL import Image

    found, block = Image.Exif(), Image.Exif()
    found.endian, found.bigtiff = tiff.byteorder, bool(tiff.is_bigtiff)
    try:
        with unwarned():
            found.load_from_fp(tiff.filehandle, first.offset)
            for tag in EXIF_TEXTS:
                if isinstance(found.get(tag), str):
                    block[tag] = found[tag]
            for tag in EXIF_DIRECTORIES:
                if directory := _plain_directory(found, tag):
                    block[tag] = directory
            return block.tobytes().removeprefix(b"Exif\0\0")
    except Exception:
        return b""  # damaged EXIF is no reason to refuse the pixels


def _plain_directory(exif: Any, tag: int) -> dict[int, Any]:
    """Return a directory of EXIF without offsets to further ones."""
    return {code: value for code, value in exif.get_ifd(tag).items() if code != INTEROPERABILITY}


def _exif_directories(exif: bytes) -> tuple[dict[int, str], dict[int, Any]]:
    """Return the texts of an EXIF block, and its directories in Pillow's terms."""
    from PIL import Image

    block, texts, directories = Image.Exif(), dict[int, str](), dict[int, Any]()
    with unwarned(), suppress(Exception):  # damaged EXIF is no reason to lose the pixels
        block.load(b"Exif\0\0" + exif)
        texts |= {tag: str(block[tag]) for tag in EXIF_TEXTS if tag in block}
        for tag in EXIF_DIRECTORIES:
            if directory := _plain_directory(block, tag):
                directories[tag] = directory
    return texts, directories


def _append(file: BinaryIO, directories: dict[int, Any]) -> None:
    """Append directories of EXIF, and put their places into the tags of the first page that were kept for them.

    By hand, because tifffile refuses to write such tags: these have a number that is higher by one. Pillow packs the
    directories.
    """
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    file.seek(0)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = head[2:4] in (b"+\0", b"\0+")
    offset, counter, entry, first = ("Q", "Q", 20, 8) if big else ("I", "H", 12, 4)
    (start,) = struct.unpack_from(order + offset, head, first)
    file.seek(start)
    (count,) = struct.unpack(order + counter, file.read(struct.calcsize(counter)))
    for at in range(file.tell(), file.tell() + count * entry, entry):
        file.seek(at)
        tag = struct.unpack(order + "H", file.read(2))[0] - 1
        if tag in directories:
            end = file.seek(0, 2)
            directory = ImageFileDirectory_v2(head if big else head[:8], group=tag)
            for code, value in directories[tag].items():
                directory[code] = value
            file.write(bytes(end % 2) + directory.tobytes(end + end % 2))
            file.seek(at)
            file.write(struct.pack(order + "H", tag))
            file.seek(at + entry - struct.calcsize(offset))
            file.write(struct.pack(order + offset, end + end % 2))


def encode(file: BinaryIO, pages: Iterable[Pixels], count: int, names: tuple[str, ...], like: Picture | None) -> None:
    """Write `count` pages ``(H, W)`` or ``(H, W, C)``, uncompressed unless those of `like` were compressed."""
    from tifffile import TiffWriter

    metadata = like.metadata if like is not None else None
    own = metadata.own if metadata is not None and isinstance(metadata.own, Tags) else None
    texts, directories = _exif_directories(metadata.exif) if metadata is not None and metadata.exif else ({}, {})
    writer: Any = None
    for index, pixels in enumerate(pages):
        if writer is None:
            big = (own is not None and own.bigtiff) or count * pixels.nbytes > MOST_BYTES
            # Pillow packs directories of BigTIFF with the low byte first only.
            order = own.byteorder if own is not None and not (big and directories) else None
            writer = TiffWriter(file, bigtiff=big, byteorder=order)
        # A single page may be another one than the first.
        place = like.page if like is not None and count == 1 else index
        kept: dict[str, Any] = own.of(place) if own else {"software": "kernelfield"}
        if metadata is not None:
            kept |= {"iccprofile": metadata.icc} if metadata.icc else {}
            if metadata.xmp and index == 0:
                kept["extratags"] = [*kept.get("extratags", ()), (XMP, 1, len(metadata.xmp), metadata.xmp, True)]
            if metadata.resolution and own is None:
                kept |= {"resolution": metadata.resolution, "resolutionunit": 2}
            if index == 0:
                extra: list[Any] = [(tag + 1, 4, 1, 0, True) for tag in directories]
                if own is None:
                    extra += [(tag, 2, 0, text.encode("ascii", "replace"), True) for tag, text in texts.items()]
                kept["extratags"] = [*kept.get("extratags", ()), *extra]
        if own is not None and like is not None:
            kept["description"] = _description(kept["description"], own, like, count, pixels)
        writer.write(pixels, **_layout(pixels, names, metadata), **kept, metadata=None, contiguous=False)
    writer.close()
    if directories:
        _append(file, directories)


def _layout(pixels: Pixels, names: tuple[str, ...], like: Metadata | None) -> dict[str, Any]:
    """Return the arguments of tifffile's writer that say what the channels are."""
    if pixels.ndim == 2:
        return {"photometric": "minisblack"}
    count = pixels.shape[2]
    known = names if len(names) == count else numbered(count)
    colour = known[:3] == RGB or (count == 3 and known is not names)
    extra = ["unspecified"] * (count - (3 if colour else 1))
    if known[-1] == ALPHA:
        extra[-1] = "assocalpha" if like is not None and like.associated else "unassalpha"
    return {"photometric": "rgb" if colour else "minisblack", "planarconfig": "contig", "extrasamples": extra}


def _description(text: Any, own: Tags, like: Picture, count: int, pixels: Pixels) -> bytes | None:
    """Return the description of a page; those of OME and ImageJ only if they are true of what is written."""
    if not isinstance(text, str):
        return None
    if own.ome or own.imagej:
        if count != len(like.pages) or pixels.shape[:2] != like.pixels.shape[:2]:
            warnings.warn(
                "the description of pages by OME or ImageJ is left out: other pages are written",
                KernelfieldWarning,
                stacklevel=2,
            )
            return None
        if own.ome:
            text = re.sub(
                r'(<Pixels\b[^>]*?\sType=")[^"]*', rf"\g<1>{OME.get(pixels.dtype.name, pixels.dtype.name)}", text
            )
            if pixels.dtype != like.pixels.dtype:
                text = re.sub(r'\sSignificantBits="[^"]*"', "", text)
    return bytes(text, "utf-8")
