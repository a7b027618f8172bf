"""Writing of image files: format by suffix, complete file or none."""

import os
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, BinaryIO

import numpy as np

from kernelfield.errors import ArgumentError, DtypeError, FileError
from kernelfield.images import jpeg, npy, png, tiff
from kernelfield.images.picture import Pixels


@dataclass(frozen=True)
class Format:
    """Encoder and limits of a format; empty `dtypes` means all real numbers, `side` is the largest side."""

    encode: Callable[[BinaryIO, Pixels], None]
    dtypes: tuple[str, ...] = ()
    any_channels: bool = False
    side: int = 2**31 - 1


_JPEG = Format(jpeg.encode, ("uint8",), side=65_500)
_TIFF = Format(
    tiff.encode,
    ("uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64"),
    any_channels=True,
)
FORMATS = {
    ".png": Format(png.encode, ("uint8", "uint16")),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".npy": Format(npy.encode, any_channels=True),
}


def write(path: str | os.PathLike[str], pixels: Any) -> None:
    """Write an array as a picture file; the suffix of `path` chooses the format.

    ======================  ===================================================  ==================
    suffix                  dtypes                                               channels
    ======================  ===================================================  ==================
    ``.png``                uint8, uint16                                        1, 3
    ``.jpg``, ``.jpeg``     uint8; lossy, quality 95: the pixels will differ     1, 3
    ``.tif``, ``.tiff``     8, 16, 32-bit integers, float32, float64             any
    ``.npy``                any real number                                      any
    ======================  ===================================================  ==================

    No value is scaled, rounded or clipped: an array that the format cannot hold raises an error. The file is written
    under a temporary name in the same folder and renamed when complete; an interruption leaves an existing file
    unchanged. The rename is not flushed to disk (no fsync).

    Parameters
    ----------
    path : str or path-like
        The file to create or replace.
    pixels : array_like
        ``(H, W)`` or ``(H, W, C)``.

    Raises
    ------
    ArgumentError
        The suffix is unknown, or the format cannot hold this shape.
    DtypeError
        The format cannot hold this dtype.
    FileError
        The file cannot be written.
    """
    name = os.fsdecode(path) if isinstance(path, str | os.PathLike) else path
    if not isinstance(name, str) or "\0" in name or not name:
        raise ArgumentError(f"path: expected the name of a file, got {path!r}; give a str or pathlib.Path")
    suffix = PurePath(name).suffix.lower()
    if suffix not in FORMATS:
        known = ", ".join(FORMATS)
        raise ArgumentError(
            f"path: {name!r} ends in {suffix or 'no suffix'!r}; expected one of {known}; rename the file"
        )
    form = FORMATS[suffix]
    array = _checked(np.asarray(pixels), suffix, form)
    try:
        _replace(name, form.encode, array)
    except FileError:
        raise
    except OSError as error:
        raise FileError(
            f"{name!r}: cannot be written ({error.strerror or error}); expected a folder that exists, with "
            "space and permission; check it"
        ) from error


def _checked(pixels: Pixels, suffix: str, form: Format) -> Pixels:
    """Return `pixels` in native byte order, one channel as ``(H, W)``; raise if the format cannot hold them."""
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim not in (2, 3) or 0 in pixels.shape:
        raise ArgumentError(f"pixels: expected (H, W) or (H, W, C), not empty, got shape {pixels.shape}; reshape them")
    if pixels.dtype.kind not in "biuf":
        raise DtypeError(f"pixels: expected real numbers, got {pixels.dtype}; convert them, e.g. to float32")
    if form.dtypes and pixels.dtype.name not in form.dtypes:
        others = [s for s, f in FORMATS.items() if not f.dtypes or pixels.dtype.name in f.dtypes]
        raise DtypeError(
            f"pixels: {suffix} holds {', '.join(form.dtypes)}, got {pixels.dtype.name}; write "
            f"{' or '.join(others)}, or convert the pixels"
        )
    if pixels.ndim == 3 and pixels.shape[2] != 3 and not form.any_channels:
        raise ArgumentError(
            f"pixels: {suffix} holds (H, W) or (H, W, 3), got shape {pixels.shape}; write .tif or .npy, or "
            "choose channels"
        )
    if max(pixels.shape[:2]) > form.side:
        raise ArgumentError(
            f"pixels: {suffix} holds at most {form.side} rows or columns, got shape {pixels.shape}; write .png or .tif"
        )
    return np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))


def _replace(name: str, encode: Callable[[BinaryIO, Pixels], None], pixels: Pixels) -> None:
    """Write to a temporary name beside the target, then rename."""
    target = os.path.realpath(name)  # a link stays a link
    mode = None
    if os.path.lexists(target):
        mode = os.stat(target).st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "not a plain file"
            raise FileError(f"{name!r}: this is {kind}; expected a file to replace or a new name; choose another name")
    temporary = os.path.join(os.path.dirname(target), f".kernelfield-{secrets.token_hex(8)}.part")
    try:
        # Mode "x" creates the file with the user's umask; tempfile would not.
        with open(temporary, "xb") as file:
            encode(file, pixels)
        if mode is not None:
            os.chmod(temporary, stat.S_IMODE(mode))
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
