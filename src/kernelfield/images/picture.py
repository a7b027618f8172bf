"""The `Picture` that reading returns, the intermediate result of decoders, and CMYK conversion."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

RGB = ("R", "G", "B")
GREY = ("grey",)

Pixels = NDArray[Any]


@dataclass(frozen=True)
class Picture:
    """A picture read from a file.

    Attributes
    ----------
    pixels : ndarray
        ``(H, W)`` for one channel, ``(H, W, C)`` for more; the stored dtype in native byte order. Samples of
        fewer than 8 bits are spread over 0..255 as uint8.
    channels : tuple of str
        ``("grey",)``, ``("R", "G", "B")``, or ``("0", "1", ...)`` if the file does not say.
    notes : tuple of str
        Conversions made while reading that a user should know of, one line each.
    path : str
        The file.
    """

    pixels: Pixels
    channels: tuple[str, ...]
    notes: tuple[str, ...]
    path: str


@dataclass
class Decoded:
    """The result of a decoder, with `orientation` (EXIF 1..8) not applied yet."""

    pixels: Pixels
    channels: tuple[str, ...]
    orientation: int = 1
    notes: list[str] = field(default_factory=list)


def numbered(count: int) -> tuple[str, ...]:
    """Return names for channels of unknown meaning: grey for a single one, else their numbers."""
    return GREY if count == 1 else tuple(str(i) for i in range(count))


def cmyk_to_rgb(ink: Pixels) -> Pixels:
    """Return ``(H, W, 4)`` unsigned CMYK (0 = no ink) as RGB, without a colour profile: (1 - C)(1 - K), rounded."""
    top = int(np.iinfo(ink.dtype).max)
    paper = top - ink
    light = paper[..., :3].astype(np.uint64) * paper[..., 3:]
    rgb: Pixels = ((light + top // 2) // top).astype(ink.dtype)
    return rgb
