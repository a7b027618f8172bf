"""Files that commands write; a target is checked before the work."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

from kernelfield.cli.messages import STREAM, UsageError
from kernelfield.files import check_writable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FIGURES = (".png", ".svg", ".pdf")


def check_target(path: Path | None, option: str = "--save") -> None:
    """Raise if a file was asked for that cannot be written."""
    if path is None:
        return
    if str(path) == STREAM:
        raise UsageError(f"{option}: expected the name of a file; received -; name it, or /dev/stdout.")
    check_writable(path)


def check_figure(path: Path | None, option: str = "--plot") -> None:
    """Raise if a figure was asked for that cannot be written."""
    if path is None:
        return
    if _figure_format(path) not in _FIGURES:
        raise UsageError(f"{option}: expected a name that ends in {', '.join(_FIGURES)}; received {str(path)!r}.")
    check_target(path, option)


def write_figure(path: Path, figure: Figure) -> None:
    """Write a figure, in the format of the name's ending."""
    from kernelfield.figures import encode
    from kernelfield.files import write_bytes

    write_bytes(path, encode(figure, _figure_format(path).lstrip(".")))


def _figure_format(path: Path) -> str:
    """Return the ending of the name; devices and FIFOs without one get PNG."""
    suffix = path.suffix.lower()
    try:
        special = not suffix and not stat.S_ISREG(path.stat().st_mode) and not path.is_dir()
    except OSError:
        special = False
    return ".png" if special else suffix
