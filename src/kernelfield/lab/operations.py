"""The operations that a page may ask of Python, each by its name, through the public functions of the package.

An operation takes arguments from JSON, which nobody has checked, and the buffers that came with them, and returns a
value for JSON and arrays.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import kernelfield as kf
from kernelfield.errors import ArgumentError, received
from kernelfield.images import Picture
from kernelfield.images.limits import Limit
from kernelfield.images.read import read_within
from kernelfield.kernels import Kernel
from kernelfield.kernels.programs import program
from kernelfield.lab.images import MAX_PIXELS, unpack
from kernelfield.learning.record import to_record

#: The header of a buffer and its bytes.
Buffer = tuple[dict[str, Any], bytes | bytearray | memoryview]
Answer = tuple[Any, list[np.ndarray]]

#: Bounds of what one request may cost, beside the pixels.
MOST_WEIGHTS, FARTHEST_ANCHOR = 255 * 255, 4096
#: Operations that take milliseconds; the others depend on the size of an image.
QUICK = frozenset({"code"})


def perform(op: str, args: dict[str, Any], buffers: Sequence[Buffer]) -> Answer:
    """Return the result of an operation, and the arrays that belong to it.

    Raises
    ------
    KernelfieldError
        If the operation, an argument or a buffer is wrong, with one line for the user.

    Examples
    --------
    >>> result, images = perform("code", {"kernel": {"weights": [[-1, 1]]}, "target": "opencv"}, [])
    >>> "cv2.filter2D" in result["text"], images
    (True, [])
    """
    expected, operation = OPERATIONS.get(op, (0, None))
    if operation is None:
        raise ArgumentError(f"op: expected one of {', '.join(OPERATIONS)}; received {received(op)}; reload the page")
    if len(buffers) != expected:
        raise ArgumentError(f"{op}: expected {expected} image(s); received {len(buffers)}; reload the page")
    return operation(args, *buffers)


def _open(args: dict[str, Any], file: Buffer) -> Answer:
    """Read a picture's file through the gate: its size is checked in the header, before a pixel is decoded."""
    stream = io.BytesIO(file[1])
    stream.name = _text(args, "name")  # for messages and notes; never a path
    picture = read_within(stream, Limit(MAX_PIXELS))
    notes = list(picture.notes)
    if len(picture.pages) > 1:
        notes.append(f"the first of {len(picture.pages)} pages")
    pixels, names = _seen(picture, notes)
    if pixels.dtype.str not in ("|u1", "<u2", ">u2", "<f4", ">f4"):
        notes.append(f"values of {pixels.dtype} are shown as float32")
    return {"notes": notes, "channels": names}, [pixels]


def _seen(picture: Picture, notes: list[str]) -> tuple[np.ndarray, list[str]]:
    """Return the channels that a page shows, grey or red, green and blue, with their names."""
    pixels, names = picture.pixels, list(picture.channels)
    if picture.alpha is not None:
        pixels = np.delete(pixels, picture.alpha, axis=2)
        del names[picture.alpha]
        notes.append("transparency is left out")
    if pixels.ndim == 3 and len(names) not in (1, 3):
        notes.append(f"the first of {len(names)} channels, {names[0]}")
        return pixels[..., 0], names[:1]
    return pixels, names


def _learn(args: dict[str, Any], before: Buffer, after: Buffer) -> Answer:
    size, pair = args.get("size"), (unpack(*before), unpack(*after))
    fit = kf.learn(*pair, size=tuple(size) if isinstance(size, list) else size, channel_axis=_channel_axis(pair[0]))
    return to_record(fit), []


def _code(args: dict[str, Any]) -> Answer:
    return {"text": program(_kernel(args), _text(args, "target"))}, []


OPERATIONS: dict[str, tuple[int, Callable[..., Answer]]] = {
    "open": (1, _open),
    "learn": (2, _learn),
    "code": (0, _code),
}


def kernel_of(value: Any) -> Kernel:
    """Return the kernel that a page describes by its weights and anchor.

    Examples
    --------
    >>> kernel_of({"weights": [[1, 2, 1]], "anchor": [0, 1]}).anchor
    (0, 1)
    """
    weights = value.get("weights") if isinstance(value, dict) else None
    rows = weights if isinstance(weights, list) and all(isinstance(row, list) for row in weights) else []
    if not rows or not rows[0] or len({len(row) for row in rows}) != 1 or len(rows) * len(rows[0]) > MOST_WEIGHTS:
        raise ArgumentError(
            f"kernel: expected rows of equal length, at most {MOST_WEIGHTS:,} weights; received {received(value)}"
        )
    if not all(_is_finite(x) for row in rows for x in row):
        raise ArgumentError(f"kernel: expected finite numbers; received {received(value)}; enter a number in each cell")
    anchor = value.get("anchor")
    return Kernel([[float(x) for x in row] for row in rows], anchor=None if anchor is None else _anchor(anchor))


def _kernel(args: dict[str, Any]) -> Kernel:
    return kernel_of(args.get("kernel"))


def _channel_axis(pixels: np.ndarray) -> int | None:
    return 2 if pixels.ndim == 3 else None


def _text(args: dict[str, Any], name: str) -> str:
    value = args.get(name)
    if not isinstance(value, str) or len(value) > 1000:
        raise ArgumentError(f"{name}: expected a text of at most 1000 characters; received {received(value)}")
    return value


def _is_finite(value: Any) -> bool:
    # A comparison, since whole numbers in JSON have any length.
    return type(value) in (int, float) and -sys.float_info.max <= value <= sys.float_info.max


def _anchor(value: Any) -> tuple[int, int]:
    most = FARTHEST_ANCHOR
    if not isinstance(value, list) or len(value) != 2 or not all(type(n) is int and -most <= n <= most for n in value):
        raise ArgumentError(f"anchor: expected two whole numbers from {-most} to {most}; received {received(value)}")
    return value[0], value[1]
