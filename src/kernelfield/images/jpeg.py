"""JPEG files (ITU-T T.81): markers are parsed here, pixels decoded by Pillow's libjpeg.

Only Pillow's decoder is used: its reader warns about metadata that is not needed here.
"""

from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from kernelfield.errors import FileError
from kernelfield.images import orientation
from kernelfield.images.limits import check_pixels, check_supply
from kernelfield.images.picture import GREY, RGB, Decoded, Pixels, cmyk_to_rgb

SIGNATURE = b"\xff\xd8\xff"
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
HUFFMAN_FRAMES = (0xC0, 0xC1, 0xC2)
STAND_ALONE = (0x01, *range(0xD0, 0xD8))
SCAN, END, APP1, APP2 = 0xDA, 0xD9, 0xE1, 0xE2


@dataclass
class Header:
    """The header: the contents of the markers before the first scan."""

    frame: int = 0
    precision: int = 0
    height: int = 0
    width: int = 0
    components: int = 0
    orientation: int = 1
    several: bool = False


def decode(file: BinaryIO, size: int, max_pixels: int) -> Decoded:
    """Return the picture in a JPEG file of `size` bytes."""
    header = _header(file)
    if header.components not in (1, 3, 4) or header.precision != 8:
        raise FileError(
            f"the JPEG file has {header.components} components of {header.precision} bits; expected 1, 3 or "
            "4 of 8; convert it to PNG or TIFF"
        )
    check_pixels(header.height, header.width, header.components, max_pixels)
    if header.frame in HUFFMAN_FRAMES:
        # The DC code of a block of 8 x 8 pixels takes at least one bit.
        check_supply(header.height * header.width // 512, size)
    file.seek(0)
    found = Decoded(_pillow(header, file.read()), GREY, header.orientation)
    if header.components == 4:
        found.pixels = cmyk_to_rgb(found.pixels)
        found.notes.append("CMYK converted to RGB without a colour profile")
    if header.several:
        found.notes.append("first of the pictures in a multi-picture file")
    found.channels = GREY if found.pixels.ndim == 2 else RGB
    return found


def _damaged(what: str) -> FileError:
    return FileError(f"the JPEG file is damaged or cut short ({what}); expected a whole file; copy or export it again")


def _header(file: BinaryIO) -> Header:
    header = Header()
    file.seek(2)
    while True:
        if file.read(1) != b"\xff":
            raise _damaged("no marker where one was expected")
        code = b"\xff"
        while code == b"\xff":
            code = file.read(1)
        # libjpeg skips FF 00 as garbage; rejected here, or the two could read different headers (Pillow's decoder
        # trusts the size passed to it).
        if code in (b"", b"\0") or code[0] == END:
            raise _damaged("it ends before the pixels")
        marker = code[0]
        if marker in STAND_ALONE:
            continue
        if marker == SCAN:
            break
        length = int.from_bytes(file.read(2), "big") - 2
        body = file.read(max(length, 0))
        if length < 0 or len(body) < length:
            raise _damaged("it ends within the header")
        _take(header, marker, body)
    if not header.frame:
        raise _damaged("it has no frame header")
    return header


def _take(header: Header, marker: int, body: bytes) -> None:
    if marker in FRAMES:
        if header.frame or len(body) < 6:
            raise _damaged("its frame header is wrong")
        header.frame = marker
        header.precision = body[0]
        header.height = int.from_bytes(body[1:3], "big")
        header.width = int.from_bytes(body[3:5], "big")
        header.components = body[5]
    elif marker == APP1 and body.startswith(b"Exif\0\0"):
        header.orientation = orientation.find(body)
    elif marker == APP2 and body.startswith(b"MPF\0"):
        header.several = True


def _pillow(header: Header, data: bytes) -> Pixels:
    from PIL import Image

    # Four components are stored inverted, the convention of Adobe and Pillow.
    mode, raw = {1: ("L", "L"), 3: ("RGB", "RGB"), 4: ("CMYK", "CMYK;I")}[header.components]
    try:
        return np.asarray(Image.frombytes(mode, (header.width, header.height), data, "jpeg", raw, ""))
    except (ValueError, OSError) as error:
        raise _damaged(str(error)) from error


def encode(file: BinaryIO, pixels: Pixels) -> None:
    """Write uint8 ``(H, W)`` or ``(H, W, 3)`` at quality 95, colour at full resolution."""
    from PIL import Image

    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "JPEG", quality=95, subsampling=0)
