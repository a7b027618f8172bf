"""Images as they travel between a page and Python: a header in JSON, and the bytes of the pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernelfield.errors import ArgumentError, received

#: Largest number of pixels of an image, each further four channels counted again: a photograph of 50 megapixels.
MAX_PIXELS = 50_000_000
_DTYPES: dict[str, np.dtype[Any]] = {"u1": np.dtype("u1"), "u2": np.dtype("<u2"), "f4": np.dtype("<f4")}
_DEPTHS = {"u1": 8, "u2": 16, "f4": "float"}
_MOST_CHANNELS = 64


def size_of(header: Any) -> int:
    """Return the number of bytes that an image's header announces.

    Raises
    ------
    ArgumentError
        If the header is not one, or the image is too large.

    Examples
    --------
    >>> size_of({"width": 8, "height": 6, "channels": 1, "dtype": "f4"})
    192
    """
    if not isinstance(header, dict):
        raise ArgumentError(f"images: expected headers as objects; received {received(header)}; use the lab's page")
    if set(header) == {"bytes"}:
        return _whole(header, "bytes", MAX_PIXELS * 8)
    width, height = _whole(header, "width", MAX_PIXELS), _whole(header, "height", MAX_PIXELS)
    channels = _whole(header, "channels", _MOST_CHANNELS)
    if not isinstance(header.get("dtype"), str) or header["dtype"] not in _DTYPES:
        raise ArgumentError(f"dtype: expected one of {', '.join(_DTYPES)}; received {received(header.get('dtype'))}")
    if width * height * -(-channels // 4) > MAX_PIXELS:
        raise ArgumentError(
            f"image: expected at most {MAX_PIXELS:,} pixels; received {width} x {height} of {channels} channels; "
            "cut it or scale it down"
        )
    return width * height * channels * _DTYPES[header["dtype"]].itemsize


def unpack(header: dict[str, Any], data: bytes | bytearray | memoryview) -> np.ndarray:
    """Return the array (H, W), or (H, W, C) for several channels, of an image's header and bytes.

    Examples
    --------
    >>> unpack({"width": 2, "height": 1, "channels": 1, "dtype": "u1"}, bytes([3, 4]))
    array([[3, 4]], dtype=uint8)
    """
    if "bytes" in header:
        raise ArgumentError("image: expected the pixels of an image; received a file; open it first")
    if len(data) != size_of(header):
        raise ArgumentError(f"image: expected {size_of(header)} bytes by its header; received {len(data)}")
    shape = header["height"], header["width"], header["channels"]
    pixels = np.frombuffer(data, _DTYPES[header["dtype"]]).reshape(shape)
    return pixels[..., 0] if shape[2] == 1 else pixels


def pack(pixels: np.ndarray) -> tuple[dict[str, Any], memoryview]:
    """Return an image's header and bytes: 8 and 16 bits without a sign as they are, everything else as float32.

    Examples
    --------
    >>> pack(np.ones((2, 3), np.int64))[0]
    {'width': 3, 'height': 2, 'channels': 1, 'depth': 'float', 'dtype': 'f4'}
    """
    kind = {"|u1": "u1", "<u2": "u2", ">u2": "u2"}.get(pixels.dtype.str, "f4")
    packed = np.ascontiguousarray(pixels, _DTYPES[kind])
    height, width, *rest = packed.shape
    channels = rest[0] if rest else 1
    header = {"width": width, "height": height, "channels": channels, "depth": _DEPTHS[kind], "dtype": kind}
    size_of(header)
    return header, packed.reshape(-1).view(np.uint8).data


def _whole(header: dict[str, Any], name: str, most: int) -> int:
    value = header.get(name)
    if type(value) is not int or not 1 <= value <= most:
        raise ArgumentError(f"{name}: expected a whole number from 1 to {most:,}; received {received(value)}")
    return value
