"""The compressions of TIFF segments that need no imagecodecs, each held to the size the directory states.

tifffile's own decoders would let a small segment inflate without end, and lack LZW.
"""

import lzma
import zlib

from kernelfield.images import tiff_lzw
from kernelfield.images.limits import DEFLATE_RATIO

NONE, LZW, DEFLATE, PACKBITS, OLD_DEFLATE, LZMA = 1, 5, 8, 32773, 32946, 34925

RATIOS = {NONE: 1, LZW: 4096, DEFLATE: DEFLATE_RATIO, OLD_DEFLATE: DEFLATE_RATIO, PACKBITS: 64, LZMA: 1 << 16}
"""The most bytes that one stored byte can stand for. LZW: a code of 9 bits or more stands for fewer than 4096
bytes; PackBits: two bytes for 128; LZMA: no bound is published, this one is generous."""


def inflate(packed: bytes, compression: int, size: int) -> bytes:
    """Unpack one segment to at most `size` bytes."""
    if compression in (DEFLATE, OLD_DEFLATE):
        inflater = zlib.decompressobj()
        unpacked = inflater.decompress(packed, size)
        inflater.decompress(inflater.unconsumed_tail, 1)  # on to the checksum, which this verifies
        return unpacked
    if compression == LZMA:
        return lzma.LZMADecompressor().decompress(packed, size)
    if compression == PACKBITS:
        return _packbits(packed, size)
    if compression == LZW:
        return tiff_lzw.unpack(packed, size)
    return packed[:size]


def _packbits(packed: bytes, size: int) -> bytes:
    """Undo run lengths (TIFF 6.0, section 9)."""
    out = bytearray()
    at = 0
    while at < len(packed) and len(out) < size:
        run = packed[at]
        if run < 128:
            out += packed[at + 1 : at + 2 + run]
            at += 2 + run
        elif run > 128:
            out += packed[at + 1 : at + 2] * (257 - run)
            at += 2
        else:
            at += 1
    return bytes(out[:size])
