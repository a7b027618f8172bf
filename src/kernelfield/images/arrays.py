"""NPY and NPZ files (NumPy enhancement proposal 1): headers are checked first, nothing is unpickled."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterable
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy_format

from kernelfield.errors import FileError, reason, received
from kernelfield.images.limits import DEFLATE_RATIO, Limit
from kernelfield.images.picture import RGB, Metadata, Opened, Page, Picture, Pixels, numbered
from kernelfield.images.silence import unwarned

SIGNATURE = b"\x93NUMPY"
ZIP = b"PK\3\4"
LONGEST_HEADER = 10_000
MOST_ARRAYS = 10_000


def decode(file: BinaryIO, size: int, limit: Limit, axis: int | str | None = "auto") -> Opened:
    """Return the picture in an NPY file.

    Parameters
    ----------
    file, size, limit
        An open file, its bytes, and the largest picture.
    axis : "auto", int or None
        The axis of the channels; ``"auto"`` takes the last of three, None takes each plane of three axes for a page.
    """
    shape, fortran, dtype = _header(file)
    start = file.tell()
    _check(shape, dtype, limit, size - start, axis)

    stack = axis is None and len(shape) == 3

    def load(index: int) -> Page:
        part = shape[1:] if stack and not fortran else shape
        length = math.prod(part) * dtype.itemsize
        file.seek(start + (0 if part == shape else index * length))
        array = _array(file.read(length), part, fortran, dtype)
        return _page(array[index] if stack and fortran else array, axis)

    return Opened(shape[0] if stack else 1, load, Metadata("NPY"))


def decode_zip(file: BinaryIO, size: int, limit: Limit, axis: int | str | None = "auto") -> Opened:
    """Return the arrays of an NPZ file, each a page; arguments as in `decode`, but None takes two axes alone."""
    archive = zipfile.ZipFile(file)
    members = archive.infolist()
    names = [member.filename for member in members]
    if not members or len(members) > MOST_ARRAYS or not all(name.endswith(".npy") for name in names):
        raise FileError("the ZIP file is not of numpy.savez; expected arrays of .npy only; save them with numpy.savez")

    def load(index: int) -> Page:
        member = members[index]
        with archive.open(member) as stream:
            shape, fortran, dtype = _header(stream)
            stored = size * (1 if member.compress_type == zipfile.ZIP_STORED else DEFLATE_RATIO)
            _check(shape, dtype, limit, stored, axis)
            if axis is None and len(shape) == 3:
                raise FileError(
                    f"{member.filename} has shape {shape}; expected (H, W) without an axis of channels; save the stack "
                    "as NPY"
                )
            return _page(_array(stream.read(math.prod(shape) * dtype.itemsize), shape, fortran, dtype), axis)

    return Opened(len(members), load, Metadata("NPZ", own=[name.removesuffix(".npy") for name in names]))


def arrays_in(data: bytes, most: int) -> dict[str, np.ndarray]:
    """Return the arrays of real numbers in the data of an NPZ file, by name; nothing is unpickled.

    Every header is checked before memory is taken for its array.

    Parameters
    ----------
    data : bytes
    most : int
        Bytes of all arrays together, at most.

    Raises
    ------
    FileError
        For other data, arrays of other types, and more bytes.
    """
    found: dict[str, np.ndarray] = {}
    left = most
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.infolist()[:MOST_ARRAYS]:
                with archive.open(member) as stream:
                    shape, fortran, dtype = _header(stream)
                    size = math.prod(shape) * dtype.itemsize
                    left -= size
                    if dtype.kind not in "biuf" or fortran or left < 0:
                        raise FileError(
                            f"{received(member.filename)} holds {dtype}, {received(shape)}; expected real numbers of "
                            f"at most {most} bytes"
                        )
                    content = stream.read(size)
                    if len(content) != size or stream.read(1):
                        raise FileError(f"{received(member.filename)} is not as long as it says; expected a whole file")
                found[member.filename.removesuffix(".npy")] = np.frombuffer(content, dtype).reshape(shape)
    except FileError:
        raise
    except Exception as error:
        # On damaged files zipfile, zlib and NumPy raise arbitrary exceptions.
        raise FileError(f"cannot be read as NPZ ({reason(error)}); expected arrays of numpy.savez") from error
    return found


def memory_map(path: str) -> np.ndarray:
    """Return the array of an NPY file as a read-only memory map; its header is compared with the size of the file.

    Raises
    ------
    FileError
        For a file that is cut short, or holds no real numbers.
    """
    try:
        with open(path, "rb") as file:
            shape, fortran, dtype = _header(file)
            start, size = file.tell(), file.seek(0, io.SEEK_END)
        needed = math.prod(shape) * dtype.itemsize
        if dtype.kind not in "biuf" or not needed:
            raise FileError(
                f"the array has dtype {dtype} and shape {shape}; expected real numbers, not empty; save others"
            )
        if needed > size - start:
            raise FileError(f"the header promises {needed} bytes, the file holds {size - start}; copy it again")
        return np.memmap(path, dtype, "r", start, shape, "F" if fortran else "C")
    except FileError as error:
        raise FileError(f"{received(path)}: {error}") from error
    except (OSError, ValueError) as error:
        raise FileError(f"{received(path)}: cannot be read as NPY ({reason(error)}); save it again") from error


def _header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, order and dtype, with the stream behind the header.

    NumPy parses it; its length is checked here, since NumPy before 1.24 does not limit it.
    """
    version = npy_format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise FileError(
            f"the NPY header is version {version}; expected 1.0 or 2.0; save the array again with numpy.save"
        )
    prefix = file.read(2 if version == (1, 0) else 4)
    length = int.from_bytes(prefix, "little")
    if length > LONGEST_HEADER:
        raise FileError(f"the NPY header has {length} bytes; expected at most {LONGEST_HEADER}; save the array again")
    rest = io.BytesIO(prefix + file.read(length))
    parse = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
    with unwarned():
        shape, fortran, dtype = parse(rest)
    return shape, fortran, dtype


def _check(shape: tuple[int, ...], dtype: np.dtype[Any], limit: Limit, stored: int, axis: int | str | None) -> None:
    """Raise for an array that is no picture, or not in the file."""
    if dtype.kind not in "biuf":
        raise FileError(
            "the array does not hold plain real numbers (objects, structures, text and complex numbers are "
            "refused); expected integers or floats; save array.astype(float)"
        )
    if len(shape) not in (2, 3):
        raise FileError(f"the array has shape {shape}; expected (H, W) or (H, W, C); save one picture with numpy.save")
    if len(shape) == 2 and isinstance(axis, int):
        raise FileError(f"the array has shape {shape}; expected three axes for channel_axis {axis}; leave it out")
    if axis == "auto" and len(shape) == 3 and shape[0] <= 4 < shape[2]:
        raise FileError(
            f"the array has shape {shape}, probably channels first; expected (H, W, C); give channel_axis 0 "
            "(--channel-axis 0)"
        )
    if len(shape) == 2 or axis is None:
        limit.pixels(shape[-2], shape[-1], 1)
    else:
        channels = shape[-1 if isinstance(axis, str) else axis]
        limit.pixels(math.prod(shape) // max(1, channels), 1, channels)
    limit.supply(math.prod(shape) * dtype.itemsize, stored, 1)


def _array(data: bytes, shape: tuple[int, ...], fortran: bool, dtype: np.dtype[Any]) -> Pixels:
    pixels: Pixels = np.frombuffer(data, dtype, math.prod(shape)).reshape(shape, order="F" if fortran else "C")
    return pixels


def _page(array: Pixels, axis: int | str | None) -> Page:
    if array.ndim == 3 and isinstance(axis, int):
        array = np.moveaxis(array, axis, -1)
    native = np.array(array, array.dtype.newbyteorder("="), order="C")
    if native.ndim == 3 and native.shape[2] == 1:
        native = native[..., 0]
    count = 1 if native.ndim == 2 else native.shape[2]
    return Page(native, RGB if count == 3 else numbered(count))


def encode(file: BinaryIO, pixels: Pixels) -> None:
    """Write an array of real numbers as numpy.save does."""
    np.save(file, pixels, allow_pickle=False)


def encode_zip(file: BinaryIO, pages: Iterable[Pixels], like: Picture | None) -> None:
    """Write each page as an array, under the names of `like` or those of numpy.savez."""
    names = like.metadata.own if like is not None and like.metadata.format == "NPZ" else []
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for index, pixels in enumerate(pages):
            name = names[index] if index < len(names) else f"arr_{index}"
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                npy_format.write_array(member, pixels, allow_pickle=False)
