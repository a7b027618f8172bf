"""EXIF orientation: finding it in metadata and applying it to pixels."""

import struct

import numpy as np

from kernelfield.images.picture import Pixels

TAG = 0x0112


def find(exif: bytes) -> int:
    """Return the orientation (1..8) in an EXIF block; 1 if it is missing or damaged.

    The block is a TIFF header and a directory of 12-byte entries (CIPA DC-008, section 4.6).
    """
    block = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", block, 4)
        (count,) = struct.unpack_from(order + "H", block, start)
        for entry in range(count):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", block, start + 2 + 12 * entry)
            if tag == TAG:
                return int(value) if kind == 3 and 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


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
