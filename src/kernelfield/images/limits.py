"""Limits on image headers, checked before memory is allocated or pixels are decoded."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kernelfield.errors import FileError

DEFAULT_MAX_PIXELS = 500_000_000
"""Above one exposure of any camera (about 150 million) and a 20,000 × 20,000 mosaic; fits the memory of a laptop:
1.5 GB as 8-bit RGB, about three times as much while decoding."""

DEFLATE_RATIO = 1032
"""Largest compression ratio of a deflate stream (zlib.net, "Technical details")."""

_FREE, _SUSPECT_RATIO = 64 << 20, 4096
_SCANS, _SCANNED = 20, 500_000_000
_SHAPE = re.compile(r"\(([0-9, ]+)\)$")


@dataclass(frozen=True)
class Limit:
    """The largest number of pixels of a page; a `trusted` file may hold far more pixels than bytes."""

    max_pixels: int = DEFAULT_MAX_PIXELS
    trusted: bool = False

    def pixels(self, height: int, width: int, channels: int) -> None:
        """Raise for an empty picture, or one of more than `max_pixels` pixels.

        Each further four channels count as another pixel: many channels cannot bypass the limit.
        """
        if height < 1 or width < 1 or channels < 1:
            raise FileError(
                f"the header says {width} x {height} pixels of {channels} channels; expected at least one of "
                "each; export the picture again"
            )
        pixels = height * width * -(-channels // 4)
        if pixels > self.max_pixels:
            raise FileError(
                f"the header says {width} x {height} pixels of {channels} channels ({pixels} pixels); expected "
                f"at most {self.max_pixels}; raise max_pixels (--max-pixels) if the file is trusted"
            )

    def supply(self, needed: int, stored: int, ratio: int | None = None) -> None:
        """Raise for a header that promises more bytes than `stored` ones decompress to.

        `ratio` is the largest of the compression; None if it has none. Then 4096 is the most that is trusted (blank
        photographs stay below), except for pictures that fit 64 MiB and for files that the caller trusts.
        """
        if needed > stored * (ratio or needed + 1) or (
            not self.trusted and needed > max(_FREE, stored * _SUSPECT_RATIO)
        ):
            raise FileError(
                f"the header promises {needed} bytes of pixels, the file holds {stored}; expected a whole file; "
                "it is cut short or a decompression bomb: copy or export it again; give max_pixels "
                "(--max-pixels) if the file is trusted"
            )


def shape_in(decode: Callable[..., Any], data: Any, **options: Any) -> tuple[int, ...]:
    """Return the shape that a decoder of imagecodecs reads in the header of `data`, without decoding.

    The decoders compare the shape of a given output with that of their header, before any work; the error tells the
    latter. No second parser of headers is needed, which could be made to read another header than the decoder does.
    Decoders of JPEG, JPEG 2000 and AVIF compare too late: `jpeg_shape`, `jpeg2000_shape`, and Pillow's reader.
    """
    import numpy as np

    error: Exception | None = None
    for dtype in (np.uint8, np.uint16, np.float32, np.float16, np.float64, np.int16, np.int32, np.uint32, np.int8):
        try:
            # An output of one element fits only a picture of one.
            return tuple(decode(data, out=np.empty((1,) * 9, dtype), **options).shape)
        except ValueError as caught:
            error = caught
            shape = _SHAPE.search(str(caught))
            if shape:
                return tuple(int(part) for part in shape[1].split(",") if part.strip())
    raise FileError("its header names no size; expected a whole file; copy or export it again") from error


def jpeg_shape(data: bytes) -> tuple[int, int, int]:
    """Return (height, width, components) of a JPEG, from its frame header (ITU-T T.81, B.2.2).

    Read by hand because libjpeg decodes all scans of a progressive JPEG before imagecodecs compares, and because Pillow
    can be made to read another frame header than libjpeg does. The bytes between segments are skipped as libjpeg does
    it.
    """
    at, found = 2, None
    while True:
        at = data.find(b"\xff", at)
        while data[at : at + 1] == b"\xff":
            at += 1
        marker, length = data[at : at + 1], int.from_bytes(data[at + 1 : at + 3], "big")
        if at < 2 or not marker or marker == b"\xd9":
            raise FileError("the JPEG data end before the pixels; expected whole data; copy or export the file again")
        if marker in (b"\0", b"\1") or b"\xd0" <= marker <= b"\xd7":
            at += 1
            continue
        if marker == b"\xda":
            break
        if b"\xc0" <= marker <= b"\xcf" and marker not in (b"\xc4", b"\xc8", b"\xcc"):
            if found is not None:
                raise FileError("the JPEG data have two frame headers; expected one; export the file again")
            height, width = (int.from_bytes(data[at + start : at + start + 2], "big") for start in (4, 6))
            found = height, width, int.from_bytes(data[at + 8 : at + 9], "big")
        at += 1 + length
    if found is None:
        raise FileError("the JPEG data have no frame header; expected whole data; copy or export the file again")
    return found


def jpeg2000_shape(data: bytes) -> tuple[int, int, int]:
    """Return (height, width, components) of a JPEG 2000 codestream, from its SIZ marker (ITU-T T.800, A.5.1).

    Read by hand because OpenJPEG allocates before imagecodecs compares, and because the size in the boxes of a JP2
    file, which Pillow reads, is not the one that is decoded. Components are counted as large as the picture.
    """
    starts = [match.start() for match in re.finditer(b"\xff\x4f\xff\x51", data)]
    if len(starts) != 1 or len(data) < starts[0] + 42:
        raise FileError("the JPEG 2000 data have no single header; expected one codestream; export it again")
    right, bottom, left, top = (
        int.from_bytes(data[starts[0] + at : starts[0] + at + 4], "big") for at in (8, 12, 16, 20)
    )
    return bottom - top, right - left, int.from_bytes(data[starts[0] + 40 : starts[0] + 42], "big")


def check_scans(data: bytes, pixels: int) -> None:
    """Raise for a JPEG of more scans than a decoder gets through in about a second.

    Every scan passes over all pixels, however few bytes it has. Encoders make 18 at most (libjpeg, for four
    components). Counted by hand because neither Pillow nor imagecodecs can limit them: in the data of a scan 0xFF is
    followed by 0, so that the bytes of the marker are found in no other place but metadata, which may hold a thumbnail.
    """
    scans = data.count(b"\xff\xda")
    if scans > _SCANS and scans * pixels > _SCANNED:
        raise FileError(
            f"the JPEG data have {scans} scans over {pixels} pixels; expected at most {_SCANS}; it would take too "
            "long: export the picture again"
        )
