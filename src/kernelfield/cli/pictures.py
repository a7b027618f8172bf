"""Pictures that commands read: files and stdin, a page or all of them, with channels where the user says."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, BinaryIO

from kernelfield.cli.messages import STREAM, UsageError, note
from kernelfield.errors import ArgumentError

if TYPE_CHECKING:
    import numpy as np

    from kernelfield.images import Picture

# Of an array of unknown meaning, a last axis that is longer is none of channels.
_MOST_CHANNELS = 4


def shown(path: str, stream: str = "stdin") -> str:
    """Return the name of a file for messages."""
    return stream if path == STREAM else path


def say(name: str, text: str) -> None:
    """Print a remark about a file."""
    note(f"{name}: {text}")


def read_picture(
    path: str,
    max_pixels: int | None,
    page: int | None = None,
    tell: Callable[[str, str], None] = say,
    axis: int | str | None = "auto",
) -> Picture:
    """Return a picture, after telling the notes of its reader."""
    from kernelfield.images import read

    source = standard_input() if path == STREAM else path
    picture = read(source, page=page, max_pixels=max_pixels, channel_axis=axis)
    for text in picture.notes:
        tell(shown(path), text)
    return picture


def check_channels(picture: Picture, path: str, axis: int | str | None) -> None:
    """Raise for an array of three axes of which the last is probably none of channels, unless the axis was given."""
    shape = picture.pixels.shape
    if axis == "auto" and picture.metadata.format in ("NPY", "NPZ") and len(shape) == 3 and shape[2] > _MOST_CHANNELS:
        raise ArgumentError(
            f"{shown(path)!r}: expected (H, W) or (H, W, C) with up to {_MOST_CHANNELS} channels; received {shape}; "
            "give --channel-axis: a number, or none for a stack of images (N, H, W)"
        )


def colours(picture: Picture, path: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the pixels of the chosen page without alpha, and the names of their channels."""
    import numpy as np

    pixels, names, alpha = picture.pixels, picture.channels, picture.alpha
    if alpha is not None:
        note(f"{shown(path)}: alpha channel left out")
        pixels, names = np.delete(pixels, alpha, axis=2), names[:alpha] + names[alpha + 1 :]
    return (pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels), names


def numbers(count: int) -> tuple[str, ...]:
    """Return names for channels without any: their numbers."""
    return tuple(map(str, range(count)))


def channel_axis_of(text: str) -> int | str | None:
    """Return the value of --channel-axis.

    Examples
    --------
    >>> channel_axis_of("auto"), channel_axis_of("none"), channel_axis_of("-1")
    ('auto', None, -1)
    """
    if text.lower() in ("auto", "none"):
        return None if text.lower() == "none" else "auto"
    try:
        axis = int(text)
    except ValueError:
        axis = 3
    if not -3 <= axis < 3:
        raise UsageError(f"--channel-axis: expected auto, none or a number from -3 to 2; received {text!r}.")
    return axis


def standard_input() -> BinaryIO:
    """Return stdin as a stream of bytes."""
    if sys.stdin.isatty():
        raise UsageError("-: expected a file on stdin, as < picture.png; received a terminal.")
    return sys.stdin.buffer


def standard_data(most: int) -> bytes:
    """Return the bytes on stdin, at most one more than `most`."""
    stream, data = standard_input(), bytearray()
    # A single read of so many bytes would allocate them.
    while len(data) <= most and (part := stream.read(min(1 << 20, most + 1 - len(data)))):
        data += part
    return bytes(data)


def standard_output() -> BinaryIO:
    """Return stdout as a stream of bytes."""
    if sys.stdout.isatty():
        raise UsageError("-: expected stdout in a file or a pipe, as > picture.png; received a terminal.")
    sys.stdout.flush()
    return sys.stdout.buffer


def only_one_stream(paths: Sequence[str | None]) -> None:
    """Raise if stdin would be read more than once."""
    if [path for path in paths if path is not None].count(STREAM) > 1:
        raise UsageError("-: expected one file from stdin; received more; name the others.")
