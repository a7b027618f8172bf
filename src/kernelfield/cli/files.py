"""Files that commands read and write; a target is checked before the work and appears whole or not at all."""

from __future__ import annotations

import importlib.util
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from kernelfield.cli.messages import UsageError, note
from kernelfield.errors import FileError, MissingDependencyError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kernelfield.images import Picture

_FIGURES = (".png", ".svg", ".pdf")


def read_picture(path: Path, max_pixels: int | None) -> Picture:
    """Return a picture, after printing the notes of its reader."""
    from kernelfield.images import read

    picture = read(path, max_pixels=max_pixels)
    for text in picture.notes:
        note(f"{path}: {text}")
    return picture


def check_target(path: Path | None) -> None:
    """Raise if a file was asked for that cannot be written."""
    if path is None:
        return
    folder = path.parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        problem = "is a folder" if path.is_dir() else "lies in no folder that can be written"
        raise FileError(f"{str(path)!r}: {problem}; expected the name of a file to make; choose another place")


def check_figure(path: Path | None, option: str = "--plot") -> None:
    """Raise if a figure was asked for that cannot be written, or not drawn because matplotlib is missing."""
    if path is None:
        return
    if path.suffix.lower() not in _FIGURES:
        raise UsageError(f"{option}: expected a name that ends in {', '.join(_FIGURES)}; received {str(path)!r}.")
    check_target(path)
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingDependencyError(
            f"{option}: expected matplotlib; it is not installed; run: pip install 'kernelfield[plot]'"
        )


def write_figure(path: Path, figure: Figure) -> None:
    """Write a figure, in the format of the name's ending."""
    from kernelfield.learning.plot import encode

    write_file(path, encode(figure, path.suffix.lower().lstrip(".")))


def write_file(path: Path, data: bytes) -> None:
    """Write `data` under a temporary name and rename it."""
    temporary = path.parent / f".kernelfield-{secrets.token_hex(8)}.part"
    try:
        with temporary.open("xb") as file:
            file.write(data)
        temporary.replace(path)
    except OSError as error:
        raise FileError(
            f"{str(path)!r}: cannot be written ({error.strerror or error}); expected a folder that exists, with "
            "space and permission; choose another place"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
