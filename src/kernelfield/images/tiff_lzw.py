"""LZW decompression for TIFF (TIFF 6.0, section 13) in Python; tifffile has it only with imagecodecs.

Pillow's libtiff is no alternative: it prints to the terminal about damaged files, and Pillow's global pixel limit
applies to it.

Every code adds one entry to the table; the width of a code therefore depends only on the number of codes since the last
Clear, and the codes between two Clears are extracted at once. Entry ``258 + k`` is the text of code ``k`` and one more
byte, adjacent in the output already: no table is built.
"""

import numpy as np
from numpy.typing import NDArray

from kernelfield.errors import FileError

CLEAR, END, FIRST = 256, 257, 258

# "Early change": codes grow to 10 bits once entry 510 exists, to 11 at 1022, to 12 at 2046; 4094 is the last.
WIDTHS = np.repeat([9, 10, 11, 12], [254, 512, 1024, 2050])
STARTS = np.cumsum(WIDTHS) - WIDTHS
MASKS = ((1 << WIDTHS) - 1).astype(np.uint32)


def unpack(packed: bytes, size: int) -> bytes:
    """Return the first `size` bytes of a decompressed segment."""
    if packed[:1] == b"\0" and packed[1:2] in (b"\1", b"\3"):
        raise FileError("the TIFF file uses LZW from before 1992; expected that of TIFF 6.0; export it again")
    data = np.frombuffer(packed + bytes(3), np.uint8).astype(np.uint32)
    bits = 8 * len(packed)
    out = bytearray()
    at = 0
    while len(out) < size:
        codes = _codes(data, at, bits)
        stops = np.flatnonzero((codes == CLEAR) | (codes == END))
        if stops.size == 0:
            _append(out, codes.tolist())
            break
        stop = int(stops[0])
        _append(out, codes[:stop].tolist())
        if codes[stop] == END:
            break
        at += int(STARTS[stop] + WIDTHS[stop])
    return bytes(out[:size])


def _codes(data: NDArray[np.uint32], at: int, bits: int) -> NDArray[np.uint32]:
    """Return the codes in the bits from `at` on, up to the capacity of the table."""
    count = int(np.searchsorted(STARTS + WIDTHS, bits - at, side="right"))
    place, width = at + STARTS[:count], WIDTHS[:count]
    byte = place >> 3
    word = (data[byte] << 16) | (data[byte + 1] << 8) | data[byte + 2]
    codes: NDArray[np.uint32] = (word >> (24 - (place & 7) - width).astype(np.uint32)) & MASKS[:count]
    return codes


def _append(out: bytearray, codes: list[int]) -> None:
    """Append the text of the codes between two Clears to `out`."""
    starts: list[int] = []
    for index, code in enumerate(codes):
        here = len(out)
        starts.append(here)
        if code < CLEAR:
            out.append(code)
            continue
        entry = code - FIRST
        if entry >= index:
            raise FileError(
                "the LZW data of the TIFF file are damaged: a code comes before its entry; expected whole "
                "data; copy or export the file again"
            )
        begin, end = starts[entry], starts[entry + 1] + 1
        out += out[begin:end]
        if end > here:
            # The entry of the previous code: its last byte is the first byte of this text.
            out.append(out[begin])
