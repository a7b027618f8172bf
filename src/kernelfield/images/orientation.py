"""EXIF orientation: turning pixels, and EXIF blocks and XMP packets that say that nothing is to be turned."""

import re
import struct
from typing import Any

import numpy as np

from kernelfield.images.picture import Pixels

TAG = 0x0112
#: Orientations that exchange rows and columns.
SWAPPED = (5, 6, 7, 8)
# Pixels per inch that PNG can hold: 31 bits, per metre.
_MOST = 0.0254 * (2**31 - 1)
_XMP = re.compile(rb'tiff:Orientation(="|>)([0-9])')


def reset(exif: bytes) -> bytes:
    """Return an EXIF block whose orientation is 1, of the same length.

    The value is changed in its place, in a directory of 12-byte entries (CIPA DC-008, section 4.6). Pillow would write
    the block anew: thumbnails are lost, and offsets in the notes of camera makers point elsewhere.
    """
    block = bytearray(exif)
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return exif
    try:
        (start,) = struct.unpack_from(order + "I", block, 4)
        (count,) = struct.unpack_from(order + "H", block, start)
        for at in range(start + 2, start + 2 + 12 * count, 12):
            if struct.unpack_from(order + "H", block, at) == (TAG,):
                struct.pack_into(order + "HIHH", block, at + 2, 3, 1, 1, 0)
    except struct.error:
        pass
    return bytes(block)


def reset_xmp(packet: bytes) -> bytes:
    """Return an XMP packet whose orientation is 1."""
    return _XMP.sub(rb"tiff:Orientation\g<1>1", packet)


def in_xmp(packet: bytes) -> int:
    """Return the orientation that an XMP packet says; 1 if it says none."""
    found = _XMP.search(packet)
    return int(found[2]) if found else 1


def apply(pixels: Pixels, orientation: int) -> Pixels:
    """Return ``(H, W, ...)`` rotated and flipped to have the top of the scene in row 0."""
    match orientation:
        case 2:
            turned = pixels[:, ::-1]
        case 3:
            turned = pixels[::-1, ::-1]
        case 4:
            turned = pixels[::-1]
        case 5:
            turned = pixels.swapaxes(0, 1)
        case 6:
            turned = pixels[::-1].swapaxes(0, 1)
        case 7:
            turned = pixels[::-1, ::-1].swapaxes(0, 1)
        case 8:
            turned = pixels[:, ::-1].swapaxes(0, 1)
        case _:
            turned = pixels
    return np.ascontiguousarray(turned)


def resolution(dpi: Any, turn: int) -> tuple[float, float] | None:
    """Return pixels per inch across and down, of the picture that is turned; None for numbers that mean nothing."""
    try:
        across, down = (float(value) for value in dpi)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    if not (0.0 < across < _MOST and 0.0 < down < _MOST):
        return None
    return (down, across) if turn in SWAPPED else (across, down)
