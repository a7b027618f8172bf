"""Limits on image headers, checked before memory is allocated."""

from kernelfield.errors import FileError

DEFAULT_MAX_PIXELS = 500_000_000
"""Above one exposure of any camera (about 150 million) and a 20 000 x 20 000 mosaic; fits the memory of a laptop:
1.5 GB as 8-bit RGB, about three times as much while decoding."""

DEFLATE_RATIO = 1032
"""Largest compression ratio of a deflate stream (zlib.net, "Technical details")."""


def check_pixels(height: int, width: int, channels: int, max_pixels: int) -> None:
    """Raise for an empty picture, or one of more than `max_pixels` pixels.

    Each further four channels count as another pixel: many channels cannot bypass the limit.
    """
    if height < 1 or width < 1 or channels < 1:
        raise FileError(
            f"the header says {width} x {height} pixels of {channels} channels; expected at least one of "
            "each; export the picture again"
        )
    pixels = height * width * -(-channels // 4)
    if pixels > max_pixels:
        raise FileError(
            f"the header says {width} x {height} pixels of {channels} channels ({pixels} pixels); expected "
            f"at most {max_pixels}; raise max_pixels (--max-pixels) if the file is trusted"
        )


def check_supply(needed: int, stored: int, ratio: int = 1) -> None:
    """Raise for a header that needs more bytes than `stored` bytes can decompress to at `ratio`."""
    if needed > stored * ratio:
        raise FileError(
            f"the header promises {needed} bytes of pixels, the file holds {stored}; expected a whole file; "
            "it is cut short or damaged: copy or export it again"
        )
