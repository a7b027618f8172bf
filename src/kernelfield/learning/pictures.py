"""Pictures that are read in parts: arrays, files, and what `kernelfield.scale` opens."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernelfield.arrays import MOST_CHANNELS, channel_axis_of
from kernelfield.errors import ArgumentError, DtypeError, FileError, received
from kernelfield.images.arrays import SIGNATURE, memory_map
from kernelfield.images.tiff import Tiled
from kernelfield.learning.pair import as_image, channels
from kernelfield.learning.tiled import Picture

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True)
class Stored:
    """A source that is read box by box, as planes of rows and columns.

    Attributes
    ----------
    source : kernelfield.scale.Source
        Its `read` returns the pixels of a box; `axes` are those of rows and columns.
    channel : int or None
        The axis of the channels.
    """

    source: Any
    channel: int | None

    @classmethod
    def of(cls, source: Any, name: str) -> Stored:
        """Return the picture in a source; raise if it has more axes than rows, columns and channels."""
        if source.dtype.kind not in "biuf":
            raise DtypeError(f"{name}: expected integers or floats; received {source.dtype}")
        # Axes of one element are those of a stack of one.
        others = [axis for axis, n in enumerate(source.shape) if axis not in source.axes and n > 1]
        if len(others) > 1 or any(source.shape[axis] > MOST_CHANNELS for axis in others):
            raise ArgumentError(
                f"{name}: expected rows, columns and up to {MOST_CHANNELS} channels; received shape {source.shape}; "
                "learn each image by itself"
            )
        if 0 in source.shape:
            raise ArgumentError(f"{name}: expected pixels; received shape {source.shape}")
        return cls(source, others[0] if others else None)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.source.axes
        return self.source.shape[rows], self.source.shape[columns]

    @property
    def channels(self) -> int:
        """Number of planes."""
        return 1 if self.channel is None else int(self.source.shape[self.channel])

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the planes."""
        return np.dtype(np.uint8) if self.source.dtype.kind == "b" else self.source.dtype

    def planes(self, rows: slice, columns: slice) -> list[np.ndarray]:
        """Return a part of each channel."""
        region = [slice(0, n) for n in self.source.shape]
        region[self.source.axes[0]], region[self.source.axes[1]] = rows, columns
        pixels = self.source.read(tuple(region))
        if pixels.dtype.kind == "b":
            pixels = pixels.view(np.uint8)
        front = () if self.channel is None else (self.channel,)
        pixels = np.moveaxis(pixels, (*front, *self.source.axes), range(-2 - len(front), 0))
        return [np.ascontiguousarray(plane) for plane in pixels.reshape(-1, *pixels.shape[-2:])]


@dataclass(frozen=True)
class Held:
    """An array in memory, or a memory map, as planes.

    Attributes
    ----------
    parts : tuple of numpy.ndarray, shape (H, W)
        One for each channel.
    """

    parts: tuple[np.ndarray, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.parts[0].shape
        return rows, columns

    @property
    def channels(self) -> int:
        """Number of planes."""
        return len(self.parts)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the planes."""
        return self.parts[0].dtype

    def planes(self, rows: slice, columns: slice) -> list[np.ndarray]:
        """Return a part of each channel."""
        return [np.ascontiguousarray(part[rows, columns]) for part in self.parts]


@dataclass(frozen=True)
class _File:
    """A memory map or a TIFF file with what a source has."""

    content: np.ndarray | Tiled
    axes: tuple[int, int]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self.content.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """In native byte order."""
        return self.content.dtype.newbyteorder("=")

    def read(self, region: tuple[slice, ...]) -> np.ndarray:
        """Return the pixels of a box."""
        if isinstance(self.content, np.ndarray):
            pixels = self.content[region]
        else:
            pixels = self.content.read(region[0], region[1])
            pixels = pixels[..., 0] if len(region) == 2 else pixels[..., region[2]]
        return pixels if pixels.dtype.isnative else pixels.astype(self.dtype)


def open_picture(value: Any, name: str, channel_axis: int | str | None) -> Picture:
    """Return a picture to read in parts.

    NPY files and TIFF files are read part by part, other files are decoded whole; masked pixels become NaN.

    Parameters
    ----------
    value : array_like, PIL image, str, path-like or kernelfield.scale.Source
    name : str
        Of the argument, for messages.
    channel_axis : int, "auto" or None
        As in `kernelfield.learn`.

    Raises
    ------
    ArgumentError
        For other shapes.
    FileError
        If a file cannot be read.
    """
    if hasattr(value, "read") and hasattr(value, "axes"):
        return Stored.of(value, name)
    if isinstance(value, (str, os.PathLike)):
        found = _in_file(os.fspath(value), name, channel_axis)
        if found is not None:
            return found
    pixels, good = as_image(value, name)
    if good is not None:
        small = pixels.dtype.kind in "iu" and pixels.dtype.itemsize <= 2
        pixels = np.where(good, pixels, np.array(np.nan, np.float32 if small else np.float64))
    return Held(tuple(channels(pixels, name, channel_axis)))


def _in_file(path: str, name: str, channel_axis: int | str | None) -> Picture | None:
    """Return the picture in a file that can be read in parts; None for others, which are decoded whole."""
    try:
        with open(path, "rb") as file:
            head = file.read(len(SIGNATURE))
    except OSError as error:
        raise FileError(f"{received(path)}: cannot be read ({error.strerror or error}); check the name") from error
    if head == SIGNATURE:
        array = memory_map(path)
        if array.ndim < 2:
            raise ArgumentError(f"{name}: expected rows and columns; received shape {array.shape}")
        place = channel_axis_of(array.shape, channel_axis)
        rows, columns = [axis for axis in range(array.ndim) if axis != place][-2:]
        return Stored.of(_File(array, (rows, columns)), name)
    if head[:4] not in _TIFF:
        return None
    try:
        tiled = Tiled(path)
    except FileError:
        # Palettes and turned pages are decoded to other pixels.
        return None
    return Stored.of(_File(tiled, (0, 1)), name)
