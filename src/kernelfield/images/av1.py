"""Sizes of the AV1 frames inside an AVIF file.

Read by hand because the size that an AVIF file claims is not that of its frames: libavif decodes these as they are, and
then scales them. Sections are those of the AV1 bitstream specification (2019) and of ISO/IEC 14496-12.
"""

import re
from collections.abc import Callable, Iterator
from itertools import chain

from kernelfield.errors import FileError

SEQUENCE_HEADER = 1
MOST = 4096


def frame_sizes(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the largest (height, width) that each sequence header in a file allows for its frames."""
    for number, (start, end) in enumerate(chain(_items(data), _chunks(data))):
        if number == MOST:
            raise FileError(
                f"the AVIF file has more than {MOST} parts; expected fewer; the file is damaged: export it again"
            )
        yield from _sequences(data, start, end)


def _items(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the places of the items of a picture (14496-12, 8.11.3, "iloc"); "idat" is searched from its start."""
    for match in re.finditer(b"iloc", data):
        at = match.end()

        def take(size: int) -> int:
            nonlocal at
            at += size
            return int.from_bytes(data[at - size : at], "big")

        version, sizes = take(4) >> 24, take(2)
        offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
        for _ in range(take(2 if version < 2 else 4)):
            take(2 if version < 2 else 4)
            inside = take(2) & 15 if version else 0
            take(2)
            base = take(base_size)
            for _ in range(take(2)):
                take(index_size if version else 0)
                offset, length = base + take(offset_size), take(length_size)
                if inside:
                    offset += data.find(b"idat") + 4
                yield offset, min(offset + (length or len(data)), len(data))
            if at > len(data):
                break


def _chunks(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the places of the chunks of an animation (14496-12, 8.7.5, "stco" and "co64")."""
    for match in re.finditer(b"stco|co64", data):
        size = 4 if match[0] == b"stco" else 8
        count = int.from_bytes(data[match.end() + 4 : match.end() + 8], "big")
        for at in range(match.end() + 8, min(match.end() + 8 + size * count, len(data)), size):
            yield int.from_bytes(data[at : at + size], "big"), len(data)


def _sequences(data: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the sizes in the sequence headers among the units of a bitstream (5.3)."""
    at, number = start, 0
    while at < end and not data[at] & 0x80:
        number += 1
        if number > MOST:
            raise FileError(
                f"the AVIF data have more than {MOST} units in a row; expected fewer; export the file again"
            )
        kind, extended, sized = data[at] >> 3 & 15, data[at] >> 2 & 1, data[at] >> 1 & 1
        at += 1 + extended
        size, shift = (0, 0) if sized else (end - at, 0)
        while sized and at < end and shift < 56:
            size |= (data[at] & 0x7F) << shift
            shift, at, sized = shift + 7, at + 1, data[at] >> 7
        if kind == SEQUENCE_HEADER:
            yield _size(data[at : min(at + size, at + 64)])
        at += size


def _size(header: bytes) -> tuple[int, int]:
    """Return the largest (height, width) of a sequence header (5.5.1)."""
    text, at = "".join(f"{byte:08b}" for byte in header) + "0" * 64, 0

    def take(bits: int) -> int:
        nonlocal at
        at += bits
        return int(text[at - bits : at] or "0", 2)

    take(4)  # profile, still picture
    if take(1):  # reduced header
        take(5)
    else:
        _skip_operating_points(take)
    width_bits, height_bits = take(4) + 1, take(4) + 1
    width = take(width_bits) + 1
    return take(height_bits) + 1, width


def _skip_operating_points(take: Callable[[int], int]) -> None:
    """Pass over timing, decoder model and operating points."""
    delay, model = 0, 0
    if take(1):
        take(64)
        if take(1):  # uvlc (4.10.3)
            zeros = 0
            while zeros < 32 and not take(1):
                zeros += 1
            take(zeros)
        model = take(1)
        if model:
            delay = take(5) + 1
            take(42)
    shown = take(1)
    for _ in range(take(5) + 1):
        take(12)
        if take(5) > 7:
            take(1)
        if model and take(1):
            take(2 * delay + 1)
        if shown and take(1):
            take(4)
