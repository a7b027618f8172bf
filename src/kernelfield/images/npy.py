"""NPY files (NumPy enhancement proposal 1): the header is parsed as text and checked, never evaluated or unpickled."""

import math
import re
from typing import BinaryIO

import numpy as np

from kernelfield.errors import FileError
from kernelfield.images.limits import check_pixels, check_supply
from kernelfield.images.picture import RGB, Decoded, Pixels, numbered

SIGNATURE = b"\x93NUMPY"
DESCR = re.compile(r"""['"]descr['"]\s*:\s*['"]([<>|=]?)([biuf])(1|2|4|8|16)['"]""")
ORDER = re.compile(r"""['"]fortran_order['"]\s*:\s*(True|False)""")
SHAPE = re.compile(r"""['"]shape['"]\s*:\s*\(([0-9,\sL]*)\)""")
LONGEST_HEADER = 10_000


def decode(file: BinaryIO, size: int, max_pixels: int) -> Decoded:
    """Return the picture in an NPY file of `size` bytes with an array ``(H, W)`` or ``(H, W, C)``."""
    dtype, fortran, shape = _header(file)
    if len(shape) not in (2, 3):
        raise FileError(f"the array has shape {shape}; expected (H, W) or (H, W, C); save one picture with numpy.save")
    if len(shape) == 3 and shape[0] <= 4 < shape[2]:
        raise FileError(
            f"the array has shape {shape}, probably channels first; expected (H, W, C); save "
            "numpy.moveaxis(array, 0, -1)"
        )
    height, width, channels = (*shape, 1)[:3]
    check_pixels(height, width, channels, max_pixels)
    count = math.prod(shape)
    check_supply(count * dtype.itemsize, size - file.tell())
    pixels = np.fromfile(file, dtype, count).reshape(shape, order="F" if fortran else "C")
    native = np.ascontiguousarray(pixels, dtype.newbyteorder("="))
    if native.ndim == 3 and channels == 1:
        native = native[..., 0]
    return Decoded(native, RGB if channels == 3 else numbered(channels))


def _header(file: BinaryIO) -> tuple[np.dtype[np.generic], bool, tuple[int, ...]]:
    file.seek(len(SIGNATURE))
    major = int.from_bytes(file.read(1), "little")
    file.seek(1, 1)
    width = 2 if major == 1 else 4
    length = int.from_bytes(file.read(width), "little")
    if major not in (1, 2, 3) or length > LONGEST_HEADER:
        raise FileError(
            f"the NPY header is version {major}, {length} bytes; expected version 1 to 3, at most "
            f"{LONGEST_HEADER} bytes; save the array again with numpy.save"
        )
    text = file.read(length).decode("utf-8", "replace")
    descr, order, shape = DESCR.search(text), ORDER.search(text), SHAPE.search(text)
    if order is None or shape is None or len(text) < length:
        raise FileError("the NPY header is damaged or cut short; expected that of numpy.save; save the array again")
    try:
        kind = np.dtype("".join(descr.groups())) if descr else None
    except TypeError:
        kind = None
    if kind is None:
        raise FileError(
            "the array does not hold plain real numbers (objects, structures, text and complex numbers are "
            "refused); expected integers or floats; save array.astype(float)"
        )
    sizes = [part.strip(" \n\tL") for part in shape[1].split(",")]
    if any(len(part) > 18 or not (part or i) for i, part in enumerate(sizes)) or not all(
        part.isdigit() for part in sizes if part
    ):
        raise FileError(f"the NPY header is damaged: shape ({shape[1]}); expected whole numbers; save the array again")
    return kind, order[1] == "True", tuple(int(part) for part in sizes if part)


def encode(file: BinaryIO, pixels: Pixels) -> None:
    """Write an array of real numbers as numpy.save does."""
    np.save(file, pixels, allow_pickle=False)
