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
from kernelfield.geometry import BOUNDARIES
from kernelfield.images import Picture
from kernelfield.images.limits import Limit
from kernelfield.images.read import read_within
from kernelfield.kernels import Kernel, match
from kernelfield.kernels.programs import program
from kernelfield.lab.images import MAX_PIXELS, unpack
from kernelfield.learning.record import to_record
from kernelfield.receptive import Builder

#: The header of a buffer and its bytes.
Buffer = tuple[dict[str, Any], bytes | bytearray | memoryview]
Answer = tuple[Any, list[np.ndarray]]

#: Bounds of what one request may cost, beside the pixels.
MOST_WEIGHTS, MOST_LAYERS, LARGEST_MAP = 255 * 255, 32, 4096
#: Operations that take milliseconds; the others depend on the size of an image.
QUICK = frozenset({"code", "name", "receptive"})


def perform(op: str, args: dict[str, Any], buffers: Sequence[Buffer]) -> Answer:
    """Return the result of an operation, and the arrays that belong to it.

    Raises
    ------
    KernelfieldError
        If the operation, an argument or a buffer is wrong, with one line for the user.

    Examples
    --------
    >>> perform("name", {"kernel": {"weights": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]}}, [])[0]["name"]
    'sobel'
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


def _apply(args: dict[str, Any], image: Buffer) -> Answer:
    pixels, kernel = unpack(*image), _kernel(args)
    options: dict[str, Any] = {
        "mode": _one_of(args, "mode", ("same", "valid", "full")),
        "boundary": _one_of(args, "boundary", BOUNDARIES),
        "cval": _number(args, "cval", 0.0),
        "channel_axis": _channel_axis(pixels),
        "dtype": np.float32,
    }
    slide = kf.convolve if args.get("flip") is True else kf.correlate
    return {}, [slide(pixels, kernel if options["mode"] == "same" else kernel.weights, **options)]


def _learn(args: dict[str, Any], before: Buffer, after: Buffer) -> Answer:
    size, pair = args.get("size"), (unpack(*before), unpack(*after))
    fit = kf.learn(*pair, size=tuple(size) if isinstance(size, list) else size, channel_axis=_channel_axis(pair[0]))
    return to_record(fit), []


def _code(args: dict[str, Any]) -> Answer:
    return {"text": program(_kernel(args), _text(args, "target"))}, []


def _name(args: dict[str, Any]) -> Answer:
    kernel = _kernel(args)
    found = match(kernel.weights, kernel.anchor)
    if found is None:
        return {"name": None, "parameters": None, "description": None}, []
    return {"name": found.name, "parameters": _plain(found.parameters), "description": found.description}, []


def _receptive(args: dict[str, Any]) -> Answer:
    """Describe the field of a unit in each of a stack of layers, in the image and past its edge."""
    layers, size = args.get("layers"), _pair(args, "size", 1, LARGEST_MAP)
    if not isinstance(layers, list) or not 1 <= len(layers) <= MOST_LAYERS:
        raise ArgumentError(f"layers: expected a list of 1 to {MOST_LAYERS}; received {received(layers)}")
    builder = Builder()
    value = builder.image("image", (1, 1, *size), spatial=(2, 3))
    for number, layer in enumerate(layers, 1):
        if not isinstance(layer, dict):
            raise ArgumentError(f"layers: expected objects; received {received(layer)}; reload the page")
        padding = _pair(layer, "padding", 0, LARGEST_MAP, 0)
        value = builder.convolution(
            f"layer {number}",
            value,
            kernel=_pair(layer, "kernel", 1, LARGEST_MAP),
            stride=_pair(layer, "stride", 1, LARGEST_MAP, 1),
            dilation=_pair(layer, "dilation", 1, LARGEST_MAP, 1),
            before=padding,
            after=padding,
            channels_out=1,
            channel_axis=1,
            spatial_axes=(2, 3),
        )
    fields = kf.receptive_field(builder.graph(value))
    last = fields.output
    unit = last.middle if args.get("unit") is None else _pair(args, "unit", 0, LARGEST_MAP)
    found = []
    for layer in fields:
        # The unit that lies at the same place of this map, relative to its extent.
        place = unit if layer.name == last.name else layer.middle
        ends = {clipped: layer.region(*place, clipped=clipped) for clipped in (False, True)}
        found.append(
            {
                "name": layer.name,
                "shape": list(layer.shape),
                "size": list(layer.size),
                "stride": [None if n is None else float(n) for n in layer.stride],
                "padding": list(layer.padding),
                "unit": list(place),
                "region": [[side.start, side.stop] for side in ends[False]],
                "clipped": [[side.start, side.stop] for side in ends[True]],
            }
        )
    return {"layers": found}, []


OPERATIONS: dict[str, tuple[int, Callable[..., Answer]]] = {
    "open": (1, _open),
    "apply": (1, _apply),
    "learn": (2, _learn),
    "code": (0, _code),
    "name": (0, _name),
    "receptive": (0, _receptive),
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
    return Kernel([[float(x) for x in row] for row in rows], anchor=None if anchor is None else _pair(value, "anchor"))


def _kernel(args: dict[str, Any]) -> Kernel:
    return kernel_of(args.get("kernel"))


def _channel_axis(pixels: np.ndarray) -> int | None:
    return 2 if pixels.ndim == 3 else None


def _text(args: dict[str, Any], name: str) -> str:
    value = args.get(name)
    if not isinstance(value, str) or len(value) > 1000:
        raise ArgumentError(f"{name}: expected a text of at most 1000 characters; received {received(value)}")
    return value


def _one_of(args: dict[str, Any], name: str, values: Sequence[str]) -> str:
    value = args.get(name, values[0])
    if value not in values:
        raise ArgumentError(f"{name}: expected one of {', '.join(values)}; received {received(value)}")
    return str(value)


def _number(args: dict[str, Any], name: str, usual: float) -> float:
    value = args.get(name, usual)
    if not _is_finite(value):
        raise ArgumentError(f"{name}: expected a finite number; received {received(value)}")
    return float(value)


def _is_finite(value: Any) -> bool:
    # A comparison, since whole numbers in JSON have any length.
    return type(value) in (int, float) and -sys.float_info.max <= value <= sys.float_info.max


def _pair(
    args: dict[str, Any], name: str, least: int = -LARGEST_MAP, most: int = LARGEST_MAP, usual: int | None = None
) -> tuple[int, int]:
    """Return two whole numbers; one stands for both."""
    value: Any = args.get(name, usual)
    two: list[Any] = value if isinstance(value, list) else [value, value]
    if len(two) != 2 or not all(type(n) is int and least <= n <= most for n in two):
        raise ArgumentError(f"{name}: expected two whole numbers from {least} to {most}; received {received(value)}")
    return two[0], two[1]


def _plain(value: Any) -> Any:
    """Return parameters of a kernel in JSON's types."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()} if hasattr(value, "items") else value
