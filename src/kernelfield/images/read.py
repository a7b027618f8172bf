"""Reading of image files: format by content, limits, EXIF orientation."""

from __future__ import annotations

import io
import os
import stat
import weakref
from dataclasses import replace
from pathlib import PurePath
from typing import Any, BinaryIO

from kernelfield.errors import ArgumentError, FileError, KernelfieldError, reason, received
from kernelfield.images import formats, orientation
from kernelfield.images.limits import Limit
from kernelfield.images.picture import Page, Pages, Picture

#: More than the pixels of any picture within the limit take.
_BYTES_A_PIXEL = 64
_PIECE = 1 << 20


def read(
    source: str | os.PathLike[str] | BinaryIO,
    *,
    page: int | None = None,
    max_pixels: int | None = None,
    channel_axis: int | str | None = "auto",
) -> Picture:
    """Read an image file: PNG, JPEG, TIFF, WebP, BMP, GIF, PNM, AVIF, JPEG XL, JPEG 2000, NPY, NPZ or FITS.

    The format is recognised by content, not by suffix. EXIF orientation (the orientation tag of a TIFF file) is
    applied. Pages of TIFF, arrays of NPZ and images and planes of FITS are in `Picture.pages`; of an animation the
    first frame is read. `Picture.notes` lists conversions. Colour profiles and gamma are kept, not applied: values are
    as stored.

    Parameters
    ----------
    source : str, path-like or binary file
        The file. A stream is read to its end, without seeking.
    page : int, optional
        Index of the page that `Picture.pixels` holds, from 0; by default the first.
    max_pixels : int, optional
        Largest number of pixels of a page (``H * W``; each further four channels count again), checked in the header
        before memory is allocated or a pixel decoded. The default, 500 million, is above one exposure of any camera and
        a 20,000 × 20,000 mosaic, and fits the memory of a laptop. If it is given, the file is trusted to be no
        decompression bomb. Pillow's own limit is not used.
    channel_axis : "auto", int or None
        The axis of the channels in an NPY or NPZ file, which does not say it: the page has it last. ``"auto"`` takes
        the last of three axes, None makes each plane of an NPY file a page. Other formats say it themselves: for them
        a number is refused.

    Returns
    -------
    Picture

    Raises
    ------
    ArgumentError
        There is no such page, or an argument is wrong.
    FileError
        The file is missing, not a picture, damaged, of an unsupported kind, or too large.
    MissingDependencyError
        The file is FITS, and astropy is not installed.
    """
    if max_pixels is not None and (isinstance(max_pixels, bool) or not isinstance(max_pixels, int) or max_pixels < 1):
        raise ArgumentError(
            f"max_pixels: expected a whole number above 0; received {received(max_pixels)}; leave it out for 500 "
            "million"
        )
    if page is not None and (isinstance(page, bool) or not isinstance(page, int) or page < 0):
        raise ArgumentError(
            f"page: expected a whole number from 0; received {received(page)}; leave it out for the first"
        )
    is_axis = isinstance(channel_axis, int) and not isinstance(channel_axis, bool) and -3 <= channel_axis < 3
    if not is_axis and channel_axis is not None and channel_axis != "auto":
        raise ArgumentError(f"channel_axis: expected 'auto', None or -3 to 2; received {received(channel_axis)}")
    return read_within(source, Limit() if max_pixels is None else Limit(max_pixels, trusted=True), page, channel_axis)


def read_within(
    source: str | os.PathLike[str] | BinaryIO,
    limit: Limit,
    page: int | None = None,
    channel_axis: int | str | None = "auto",
) -> Picture:
    """Return the picture in a file that nobody vouches for, within a limit; otherwise as `read`."""
    name, file, size = _open(source, limit)
    closed = False
    try:
        picture = _read(name, file, size, page, limit, channel_axis)
        # Further pages are read when they are used: the file stays open as long as they are there.
        if len(picture.pages) > 1:
            weakref.finalize(picture.pages, file.close)
        else:
            closed = True
        return picture
    except BaseException:
        closed = True
        raise
    finally:
        if closed:
            file.close()


def _open(source: Any, limit: Limit) -> tuple[str, BinaryIO, int]:
    """Return the name of a source, a file that can seek, and its number of bytes."""
    if hasattr(source, "read"):
        name = str(getattr(source, "name", "stream"))
        most = limit.max_pixels * _BYTES_A_PIXEL
        content = io.BytesIO()
        while part := source.read(_PIECE):
            if not isinstance(part, bytes):
                kind = type(part).__name__
                raise ArgumentError(f"source: expected a file of bytes; received {kind}; open it with mode 'rb'")
            content.write(part)
            if content.tell() > most:
                raise FileError(f"{received(name)}: more than {most} bytes; expected a picture; raise max_pixels")
        content.seek(0)
        return name, content, content.getbuffer().nbytes
    name = os.fsdecode(source) if isinstance(source, str | os.PathLike) else ""
    if not name or "\0" in name:
        raise ArgumentError(
            f"path: expected the name of a file; received {received(source)}; give a str, a pathlib.Path or an open "
            "file"
        )
    try:
        mode = os.stat(name).st_mode
        if stat.S_ISDIR(mode):
            raise FileError(f"{received(name)}: this is a folder; expected a picture file; name the file itself")
        file = open(name, "rb")  # noqa: SIM115
        if stat.S_ISREG(mode):
            return name, file, os.fstat(file.fileno()).st_size
        with file:  # a FIFO or a device
            return _open(file, limit)
    except FileError:
        raise
    except FileNotFoundError as error:
        raise FileError(f"{received(name)}: no such file; expected a picture; check the name and the folder") from error
    except OSError as error:
        raise FileError(
            f"{received(name)}: cannot be read ({reason(error)}); expected a readable file; check it"
        ) from error


def _read(
    name: str, file: BinaryIO, size: int, page: int | None, limit: Limit, channel_axis: int | str | None
) -> Picture:
    """Return the picture, with the chosen page decoded."""
    head = file.read(formats.LONGEST_SIGNATURE)
    if not head:
        raise FileError(f"{received(name)}: the file is empty; expected a picture; copy or export it again")
    form = formats.recognised(head)
    if form is None:
        raise FileError(
            f"{received(name)}: the content is not {formats.NAMES}; expected one of these; convert the file first"
        )
    if isinstance(channel_axis, int) and not form.open_axes:
        raise ArgumentError(
            f"channel_axis (--channel-axis): expected none for {received(name)}, since {form.name} says which axis "
            f"holds channels; received {channel_axis}; leave it out"
        )
    file.seek(0)
    with _Failures(name, form.name):
        opened = form.read(file, size, limit, channel_axis) if form.open_axes else form.read(file, size, limit)
    if page is not None and page >= opened.count:
        raise ArgumentError(
            f"page (--page): expected one of 0 to {opened.count - 1}, the pages of {received(name)}; received {page}; "
            "leave it out for the first"
        )

    def load(index: int) -> Page:
        with _Failures(name, form.name):
            found, turn = opened.load(index), opened.orientation(index)
            notes = [f"EXIF orientation {turn} applied"] if turn != 1 else []
            return Page(orientation.apply(found.pixels, turn), found.channels, [*found.notes, *notes])

    pages = Pages(opened.count, load)
    notes = [*opened.notes, *pages.page(page or 0).notes]
    suffix = PurePath(name).suffix
    if suffix and suffix.lower() not in form.suffixes:
        notes.append(f"the name ends in {suffix!r}, the content is {form.name}")
    return Picture(pages, page or 0, tuple(notes), name, replace(opened.metadata, format=form.name))


class _Failures:
    """A context that makes one line of whatever a library raises about a damaged file."""

    def __init__(self, name: str, form: str) -> None:
        self.name, self.form = name, form

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        name = received(self.name)
        if isinstance(error, FileError):
            raise FileError(f"{name}: {error}") from error.__cause__
        if isinstance(error, KernelfieldError) or not isinstance(error, Exception):
            return
        if isinstance(error, MemoryError):
            raise FileError(
                f"{name}: not enough memory to decode it; expected a smaller picture; lower max_pixels or cut the "
                "picture"
            ) from error
        raise FileError(
            f"{name}: cannot be decoded as {self.form} ({type(error).__name__}: {reason(error)}); expected "
            "a whole file; it is damaged or of an unusual kind: export it again"
        ) from error
