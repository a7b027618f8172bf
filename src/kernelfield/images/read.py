"""Reading of image files: format by signature, decoding, EXIF orientation."""

import os
import stat
from collections.abc import Callable
from pathlib import PurePath
from typing import BinaryIO

from kernelfield.errors import ArgumentError, FileError
from kernelfield.images import jpeg, npy, orientation, png, tiff
from kernelfield.images.limits import DEFAULT_MAX_PIXELS
from kernelfield.images.picture import Decoded, Picture

Decoder = Callable[[BinaryIO, int, int], Decoded]

FORMATS: tuple[tuple[str, tuple[bytes, ...], tuple[str, ...], Decoder], ...] = (
    ("PNG", (png.SIGNATURE,), (".png", ".apng"), png.decode),
    ("JPEG", (jpeg.SIGNATURE,), (".jpg", ".jpeg", ".jpe", ".mpo"), jpeg.decode),
    ("TIFF", tiff.SIGNATURES, (".tif", ".tiff", ".btf", ".tf8"), tiff.decode),
    ("NPY", (npy.SIGNATURE,), (".npy",), npy.decode),
)
LONGEST_SIGNATURE = 8


def read(path: str | os.PathLike[str], *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Picture:
    """Read a PNG, JPEG, TIFF or NPY file.

    The format is recognised by content, not by suffix. Alpha is dropped, EXIF orientation (the orientation tag of a
    TIFF file) is applied, and only the first page is read; `Picture.notes` lists these conversions. Colour profiles,
    gamma and orientation in XMP are not applied: values are as stored.

    Parameters
    ----------
    path : str or path-like
        The file.
    max_pixels : int
        Largest number of pixels (``H * W``; each further four channels count again), checked in the header before
        memory is allocated. The default, 500 million, is above one exposure of any camera and a 20 000 x 20 000
        mosaic, and fits the memory of a laptop. Pillow's own limit is not used.

    Returns
    -------
    Picture

    Raises
    ------
    FileError
        The file is missing, not a picture, damaged, of an unsupported kind, or too large.
    """
    if isinstance(max_pixels, bool) or not isinstance(max_pixels, int) or max_pixels < 1:
        raise ArgumentError(
            f"max_pixels: expected a whole number above 0, got {max_pixels!r}; leave it out for 500 million"
        )
    name = os.fsdecode(path) if isinstance(path, str | os.PathLike) else path
    if not isinstance(name, str) or "\0" in name or not name:
        raise ArgumentError(f"path: expected the name of a file, got {path!r}; give a str or pathlib.Path")
    try:
        # A FIFO would block on opening.
        if not stat.S_ISREG(os.stat(name).st_mode):
            kind = "a folder" if os.path.isdir(name) else "not a plain file"
            raise FileError(f"{name!r}: this is {kind}; expected a picture file; name the file itself")
        with open(name, "rb") as file:
            return _decode(name, file, max_pixels)
    except FileError:
        raise
    except FileNotFoundError as error:
        raise FileError(f"{name!r}: no such file; expected a picture; check the name and the folder") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise FileError(f"{name!r}: cannot be read ({_line(reason)}); expected a readable file; check it") from error


def _decode(name: str, file: BinaryIO, max_pixels: int) -> Picture:
    size = os.fstat(file.fileno()).st_size
    head = file.read(LONGEST_SIGNATURE)
    if not head:
        raise FileError(f"{name!r}: the file is empty; expected a picture; copy or export it again")
    form, suffixes, decode = _recognise(name, head)
    try:
        file.seek(0)
        found = decode(file, size, max_pixels)
    except FileError as error:
        raise FileError(f"{name!r}: {_line(str(error))}") from error.__cause__
    except MemoryError as error:
        raise FileError(
            f"{name!r}: not enough memory to decode it; expected a smaller picture; lower max_pixels or cut the picture"
        ) from error
    except Exception as error:
        # On damaged files the libraries raise arbitrary exceptions.
        raise FileError(
            f"{name!r}: cannot be decoded as {form} ({type(error).__name__}: {_line(str(error))}); expected "
            "a whole file; it is damaged or of an unusual kind: export it again"
        ) from error
    if found.orientation != 1:
        found.notes.append(f"EXIF orientation {found.orientation} applied")
    suffix = PurePath(name).suffix
    if suffix.lower() not in suffixes:
        found.notes.append(f"the name ends in {suffix or 'no suffix'!r}, the content is {form}")
    pixels = orientation.apply(found.pixels, found.orientation)
    return Picture(pixels, found.channels, tuple(found.notes), name)


def _recognise(name: str, head: bytes) -> tuple[str, tuple[str, ...], Decoder]:
    for form, signatures, suffixes, decode in FORMATS:
        if head.startswith(signatures):
            return form, suffixes, decode
    raise FileError(
        f"{name!r}: the content is not PNG, JPEG, TIFF or NPY; expected one of these; convert the file first"
    )


def _line(text: str) -> str:
    """Return a message as one line of bounded length; libraries may quote file contents."""
    return " ".join(text.split())[:400]
