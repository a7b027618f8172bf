"""Writing of image files: format by suffix, metadata of another picture kept, complete file or none."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePath
from typing import Any, BinaryIO

import numpy as np

from kernelfield.errors import ArgumentError, DtypeError, KernelfieldWarning
from kernelfield.files import writing
from kernelfield.images import formats
from kernelfield.images.formats import FORMATS, Format
from kernelfield.images.picture import Picture, Pixels


def write(
    target: str | os.PathLike[str] | BinaryIO, pixels: Any, *, like: Picture | None = None, format: str | None = None
) -> None:
    """Write an array, or several pages, as an image file.

    =============================  ==================================================  ==========  =========
    suffix                         dtypes                                              channels    pages
    =============================  ==================================================  ==========  =========
    ``.png``                       uint8, uint16                                       1 to 4      1
    ``.jpg``, ``.jpeg``            uint8; lossy, quality 95: the pixels will differ    1, 3        1
    ``.tif``, ``.tiff``            8, 16, 32-bit integers, float32, float64            any         any
    ``.webp``                      uint8, without loss; grey becomes RGB               1, 3, 4     1
    ``.bmp``                       uint8                                               1, 3        1
    ``.gif``                       uint8                                               1           1
    ``.pgm``, ``.ppm``, ``.pnm``   uint8, uint16                                       1, 3        1
    ``.avif``                      uint8; lossy, quality 95: the pixels will differ    1, 3, 4     1
    ``.jxl``                       uint8, uint16, float16, float32, without loss       1 to 4      1
    ``.jp2``                       uint8, uint16, without loss                         1 to 4      1
    ``.npy``                       any real number                                     any         1
    ``.npz``                       any real number                                     any         any
    ``.fits``                      8, 16, 32, 64-bit integers, float32, float64        1           any
    =============================  ==================================================  ==========  =========

    No value is scaled, rounded or clipped: an array that the format cannot hold raises an error. A plain file is
    written under a temporary name in the same folder and renamed when complete, its mode kept and links followed; FIFOs
    and devices are written to.

    Parameters
    ----------
    target : str, path-like or binary file
        The file to create or replace, or an open one to write to.
    pixels : array_like, or list or other collection of arrays
        ``(H, W)`` or ``(H, W, C)``; a list, a tuple or `Pages` is one array a page.
    like : Picture, optional
        The picture whose metadata are kept as far as the format holds them: meaning of the channels (alpha), colour
        profile, EXIF, XMP, resolution; in TIFF also the tags of each page, compression, and the descriptions of OME and
        ImageJ. A `KernelfieldWarning` names what is lost.
    format : str, optional
        A suffix, for a target without one: "png".

    Raises
    ------
    ArgumentError
        The suffix is unknown, or the format cannot hold this shape.
    DtypeError
        The format cannot hold this dtype.
    FileError
        The file cannot be written.
    """
    form = _format(target, format)
    # A list of numbers is one array; a list of arrays has one a page.
    several = not isinstance(pixels, np.ndarray) and isinstance(pixels, Iterable) and not hasattr(pixels, "__array__")
    if several and not isinstance(pixels, Sequence):
        pixels = list(pixels)
    if several and len(pixels) and np.ndim(pixels[0]) < 2:
        several = False
    pages, count = (pixels, len(pixels)) if several else ([pixels], 1)
    if count < 1 or (count > 1 and not form.pages):
        others = ", ".join(other.suffixes[0] for other in FORMATS if other.pages)
        raise ArgumentError(
            f"pixels: {form.suffixes[0]} holds one page; received {count}; write {others}, or one page a file"
        )
    names = like.channels if like is not None else ()
    checked = _checked_pages(pages, form)
    # What is refused is refused before the file is begun.
    first = next(checked)
    _tell_losses(form, like)

    def every() -> Iterator[Pixels]:
        yield first
        yield from checked

    if hasattr(target, "write"):
        buffer = io.BytesIO()
        form.write(buffer, every(), count, names, like)
        target.write(buffer.getvalue())
        return
    with writing(target) as file:
        form.write(file, every(), count, names, like)


def _format(target: Any, format: str | None) -> Format:
    """Return the format that the name or the argument asks for."""
    if format is not None:
        form = formats.of_name(f"a.{str(format).lower().lstrip('.')}")
        if form is None:
            raise ArgumentError(
                f"format: expected one of {_suffixes()}; received {str(format)[:100]!r}; choose another"
            )
        return form
    name = os.fsdecode(target) if isinstance(target, str | os.PathLike) else ""
    if not name and hasattr(target, "write"):
        raise ArgumentError(f"format: expected one of {_suffixes()} for a stream; received None; name the format")
    if not name or "\0" in name:
        raise ArgumentError(
            f"path: expected the name of a file; received {repr(target)[:100]}; give a str or pathlib.Path"
        )
    form = formats.of_name(name)
    if form is None:
        suffix = PurePath(name).suffix.lower()[:100] or "no suffix"
        raise ArgumentError(f"path: {name[:100]!r} ends in {suffix!r}; expected one of {_suffixes()}; rename the file")
    return form


def _suffixes() -> str:
    return ", ".join(form.suffixes[0] for form in FORMATS)


def _checked_pages(pages: Iterable[Any], form: Format) -> Iterator[Pixels]:
    for page in pages:
        yield _checked(np.asarray(page), form)


def _checked(pixels: Pixels, form: Format) -> Pixels:
    """Return `pixels` in native byte order, one channel as ``(H, W)``; raise if the format cannot hold them."""
    suffix = form.suffixes[0]
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim not in (2, 3) or 0 in pixels.shape:
        raise ArgumentError(
            f"pixels: expected (H, W) or (H, W, C), not empty; received shape {pixels.shape}; reshape them"
        )
    if pixels.dtype.kind not in "biuf":
        raise DtypeError(f"pixels: expected real numbers; received {pixels.dtype}; convert them, e.g. to float32")
    if form.dtypes and pixels.dtype.name not in form.dtypes:
        others = [f.suffixes[0] for f in FORMATS if not f.dtypes or pixels.dtype.name in f.dtypes]
        raise DtypeError(
            f"pixels: {suffix} holds {', '.join(form.dtypes)}; received {pixels.dtype.name}; write "
            f"{' or '.join(others)}, or convert the pixels"
        )
    count = 1 if pixels.ndim == 2 else pixels.shape[2]
    if form.channels and count not in form.channels:
        raise ArgumentError(
            f"pixels: {suffix} holds {', '.join(map(str, form.channels))} channels; received shape {pixels.shape}; "
            "write .tif or .npy, or choose channels"
        )
    if max(pixels.shape[:2]) > form.side:
        raise ArgumentError(
            f"pixels: {suffix} holds at most {form.side} rows or columns; received shape {pixels.shape}; write .png or "
            ".tif"
        )
    plain = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))
    # Strides of sides of one element may be anything; imagecodecs refuses unusual ones.
    return plain.copy() if 1 in plain.shape else plain


def _tell_losses(form: Format, like: Picture | None) -> None:
    """Warn of what the picture has and the format does not hold."""
    if like is None:
        return
    what = {"icc": "the colour profile", "exif": "EXIF", "xmp": "XMP", "resolution": "the resolution"}
    lost = [text for name, text in what.items() if getattr(like.metadata, name) and name not in form.keeps]
    if lost:
        warnings.warn(f"{form.suffixes[0]} does not hold {', '.join(lost)}", KernelfieldWarning, stacklevel=3)
