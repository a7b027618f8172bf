"""Decompression of TIFF segments without imagecodecs, limited to the size stated in the directory.

tifffile's own decoders have no limit on decompressed size, and lack LZW.
"""

import lzma
import zlib

from kernelfield.images import tiff_lzw
from kernelfield.images.limits import DEFLATE_RATIO

NONE, LZW, DEFLATE, PACKBITS, OLD_DEFLATE, LZMA = 1, 5, 8, 32773, 32946, 34925

RATIOS = {NONE: 1, LZW: 4096, DEFLATE: DEFLATE_RATIO, OLD_DEFLATE: DEFLATE_RATIO, PACKBITS: 64, LZMA: 1 << 16}
"""Largest compression ratio of each method. LZW: a code of at least 9 bits stands for fewer than 4096 bytes; PackBits:
two bytes for 128; LZMA: no bound is published, this one is generous."""


def inflate(packed: bytes, compression: int, size: int) -> bytes:
    """Return one segment decompressed to at most `size` bytes."""
    if compression in (DEFLATE, OLD_DEFLATE):
        inflater = zlib.decompressobj()
        unpacked = inflater.decompress(packed, size)
        inflater.decompress(inflater.unconsumed_tail, 1)  # reads on and verifies the checksum
        return unpacked
    if compression == LZMA:
        return lzma.LZMADecompressor().decompress(packed, size)
    if compression == PACKBITS:
        return _packbits(packed, size)
    if compression == LZW:
        return tiff_lzw.unpack(packed, size)
    return packed[:size]


def _packbits(packed: bytes, size: int) -> bytes:
    """Return run-length-decoded bytes (TIFF 6.0, section 9)."""
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
