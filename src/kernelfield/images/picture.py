"""The `Picture` that reading returns, with pages that are decoded when they are used, and its metadata."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from kernelfield.images.silence import unwarned

RGB = ("R", "G", "B")
GREY = ("grey",)
ALPHA = "alpha"

Pixels = NDArray[Any]


@dataclass(frozen=True)
class Metadata:
    """Metadata of a file, for `write` to keep; without the orientation, which reading applies to the pixels.

    Attributes
    ----------
    format : str
        Name of the format, as PNG.
    icc, exif, xmp : bytes
        Colour profile, EXIF block without its prefix, XMP packet; empty if there is none.
    resolution : tuple of float, optional
        Pixels per inch, across and down.
    associated : bool
        The colours are multiplied by alpha already.
    own : object
        What only this format has: chunks of PNG, tags of TIFF, the header of FITS, the names in NPZ.
    """

    format: str
    icc: bytes = b""
    exif: bytes = b""
    xmp: bytes = b""
    resolution: tuple[float, float] | None = None
    associated: bool = False
    own: Any = None


@dataclass
class Page:
    """One decoded page: its channels, and the conversions that a user should know of."""

    pixels: Pixels
    channels: tuple[str, ...]
    notes: list[str] = field(default_factory=list)


class Pages(Sequence[Pixels]):
    """The pages of a file: a sequence of arrays ``(H, W)`` or ``(H, W, C)``, each decoded when it is asked for.

    Only the page that was used last is kept in memory. Pages may differ in size, channels and dtype.
    """

    def __init__(self, count: int, load: Callable[[int], Page]) -> None:
        self._count = count
        self._load = load
        self._last: tuple[int, Page] | None = None
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Pixels: ...
    @overload
    def __getitem__(self, index: slice) -> list[Pixels]: ...
    def __getitem__(self, index: int | slice) -> Pixels | list[Pixels]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._count))]
        return self.page(range(self._count)[index]).pixels

    def __iter__(self) -> Iterator[Pixels]:
        return (self[i] for i in range(self._count))

    def channels(self, index: int) -> tuple[str, ...]:
        """Return the names of the channels of a page."""
        return self.page(range(self._count)[index]).channels

    def page(self, index: int) -> Page:
        """Return a page, with its channels and notes."""
        with self._lock:  # the pages share a file
            last = self._last
            if last is None or last[0] != index:
                last = self._last = (index, self._load(index))
        return last[1]


@dataclass(frozen=True)
class Picture:
    """A picture read from a file.

    Attributes
    ----------
    pages : sequence of ndarray
        Every page: ``(H, W)`` for one channel, ``(H, W, C)`` for more; the stored dtype in native byte order. Samples
        of fewer than 8 bits are spread over 0..255 as uint8. A page is decoded when it is used.
    page : int
        Index of the page that `pixels`, `channels` and `alpha` are of.
    notes : tuple of str
        Conversions made while reading that a user should know of, one line each.
    path : str
        The file.
    metadata : Metadata
        Colour profile, EXIF, resolution and the like: ``write(..., like=picture)`` keeps them.
    """

    pages: Pages
    page: int
    notes: tuple[str, ...]
    path: str
    metadata: Metadata

    @property
    def pixels(self) -> Pixels:
        """The chosen page, by default the first."""
        return self.pages[self.page]

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels of `pixels`.

        ``("grey",)`` or ``("R", "G", "B")``, ``("0", "1", ...)`` if the file does not say, each followed by ``"alpha"``
        where the file holds transparency.
        """
        return self.pages.channels(self.page)

    @property
    def alpha(self) -> int | None:
        """Index of the channel of transparency; None if there is none."""
        return self.channels.index(ALPHA) if ALPHA in self.channels else None


def numbered(count: int) -> tuple[str, ...]:
    """Return names for channels of unknown meaning: grey for a single one, else their numbers."""
    return GREY if count == 1 else tuple(str(i) for i in range(count))


def named(count: int) -> tuple[str, ...]:
    """Return names of the channels of formats that hold grey or RGB, with alpha or without."""
    return {1: GREY, 2: (*GREY, ALPHA), 3: RGB, 4: (*RGB, ALPHA)}.get(count) or numbered(count)


def cmyk_to_rgb(ink: Pixels, icc: bytes, notes: list[str]) -> Pixels:
    """Return ``(H, W, 4)`` unsigned CMYK (0 = no ink) as RGB, and append a note of how.

    8-bit inks with a colour profile become sRGB by LittleCMS; others (1 - C)(1 - K), rounded.
    """
    if icc and ink.dtype == np.uint8:
        from PIL import Image, ImageCms

        image = Image.fromarray(np.ascontiguousarray(ink), "CMYK")
        with unwarned(), suppress(OSError, ImageCms.PyCMSError):  # a damaged profile, or one that is not of inks
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            shown = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
            notes.append("CMYK converted to sRGB by its colour profile")
            return np.array(shown)
    notes.append("CMYK converted to RGB without a colour profile")
    top = int(np.iinfo(ink.dtype).max)
    paper = top - ink
    light = paper[..., :3].astype(np.uint64) * paper[..., 3:]
    rgb: Pixels = ((light + top // 2) // top).astype(ink.dtype)
    return rgb


@dataclass
class Opened:
    """A file after its header is read: the number of pages, and the function that decodes each.

    `load` returns pixels that are not turned yet; `orientation` is that of EXIF (1..8), by page.
    """

    count: int
    load: Callable[[int], Page]
    metadata: Metadata
    orientation: Callable[[int], int] = lambda _: 1
    notes: list[str] = field(default_factory=list)
