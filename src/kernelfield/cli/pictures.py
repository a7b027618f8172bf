"""Pictures that commands read: files and stdin, a page or all of them, with channels where the user says."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from kernelfield.cli.messages import STREAM, UsageError, note
from kernelfield.errors import ArgumentError, DataError, FileError

if TYPE_CHECKING:
    import numpy as np

    from kernelfield.images import Picture

_NPY = b"\x93NUMPY"
# More than the file of any picture within the limits.
_MOST_BYTES = 8 << 30
# Of an array of unknown meaning, a last axis that is longer is none of channels.
_MOST_CHANNELS = 4


def shown(path: str, stream: str = "stdin") -> str:
    """Return the name of a file for messages."""
    return stream if path == STREAM else path


def say(name: str, text: str) -> None:
    """Print a remark about a file."""
    note(f"{name}: {text}")


def read_picture(
    path: str, max_pixels: int | None, page: int | None = None, tell: Callable[[str, str], None] = say
) -> Picture:
    """Return a picture, after telling the notes of its reader."""
    from kernelfield.images import read

    picture = read(standard_input() if path == STREAM else path, page=page, max_pixels=max_pixels)
    for text in picture.notes:
        tell(shown(path), text)
    return picture


def colours(picture: Picture, path: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the pixels of the chosen page without alpha, and the names of their channels."""
    import numpy as np

    pixels, names, alpha = picture.pixels, picture.channels, picture.alpha
    if alpha is not None:
        note(f"{shown(path)}: alpha channel left out")
        pixels, names = np.delete(pixels, alpha, axis=2), names[:alpha] + names[alpha + 1 :]
    return (pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels), names


def named(pixels: np.ndarray) -> tuple[str, ...]:
    """Return the names of the channels of an array of unknown meaning."""
    count = 1 if pixels.ndim == 2 else pixels.shape[2]
    return {1: ("grey",), 3: ("R", "G", "B")}.get(count) or numbers(count)


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


def standard_data(most: int = _MOST_BYTES) -> bytes:
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


def is_array(path: str) -> bool:
    """Return whether a file, or what waits on stdin, is an NPY file."""
    if path == STREAM:
        stream: Any = standard_input()
        return bool(stream.peek(len(_NPY))[: len(_NPY)] == _NPY) if hasattr(stream, "peek") else False
    try:
        # A FIFO can be read only once.
        with open(path, "rb") as file:
            return file.seekable() and file.read(len(_NPY)) == _NPY
    except OSError:
        return False


def read_array(path: str, max_pixels: int | None) -> np.ndarray:
    """Return the array of real numbers in an NPY file, of two or three axes that may mean anything."""
    import numpy as np

    from kernelfield.images import DEFAULT_MAX_PIXELS

    try:
        if path == STREAM:
            array = np.load(io.BytesIO(standard_data()), allow_pickle=False)
        else:
            # Nothing is allocated before the shape is known.
            array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise FileError(f"{shown(path)!r}: cannot be decoded as NPY ({error}); save it again") from None
    most = DEFAULT_MAX_PIXELS if max_pixels is None else max_pixels
    if array.ndim not in (2, 3) or array.dtype.kind not in "biuf" or not array.size:
        raise DataError(
            f"{shown(path)!r}: expected real numbers of two or three axes; received {array.dtype} of {array.shape}"
        )
    if array.size > most * _MOST_CHANNELS:
        raise FileError(f"{shown(path)!r}: {array.size} numbers; expected at most {most} pixels; raise --max-pixels")
    return np.array(array, array.dtype.newbyteorder("="))


def check_channels(shape: tuple[int, ...], path: str) -> None:
    """Raise for an array of three axes of which the last is probably none of channels."""
    if len(shape) == 3 and shape[2] > _MOST_CHANNELS:
        raise ArgumentError(
            f"{shown(path)!r}: expected (H, W) or (H, W, C) with up to {_MOST_CHANNELS} channels; received {shape}; "
            "give --channel-axis: a number, or none for a stack of images (N, H, W)"
        )


def as_pages(array: np.ndarray, axis: int | str | None, path: str) -> list[np.ndarray]:
    """Return the pages of an array: its planes without a channel axis, else itself with that axis as the last."""
    import numpy as np

    if array.ndim == 2:
        if isinstance(axis, int):
            raise ArgumentError(
                f"{shown(path)!r}: expected three axes for --channel-axis {axis}; received {array.shape}"
            )
        return [array]
    if axis is None:
        return list(array)
    if axis == "auto":
        check_channels(array.shape, path)
    return [np.moveaxis(array, -1 if isinstance(axis, str) else axis, -1)]
