"""``kernelfield match-psf``: the kernel between two point-spread functions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import kernelfield as kf
from kernelfield.cli.console import output, status
from kernelfield.cli.files import check_target
from kernelfield.cli.messages import UsageError
from kernelfield.cli.options import kernel_size, penalty
from kernelfield.cli.pictures import colours, only_one_stream, read_picture
from kernelfield.files import write_bytes

if TYPE_CHECKING:
    import numpy as np


def match_psf(
    psf_a: Path,
    psf_b: Path,
    /,
    *,
    json: bool = False,
    save: Path | None = None,
    size: str | None = None,
    regularise: str = "auto",
    nonnegative: bool = False,
    sum_to: float | None = None,
    symmetric: Literal["h", "v", "hv", "square", "point", "radial", "auto"] | None = None,
) -> None:
    """Find the kernel that makes one point-spread function of another.

    Parameters
    ----------
    psf_a
        The picture of the sharper one: FITS, TIFF, NPY and others. - is stdin.
    psf_b
        The picture of the other, of any size; the middle pixels of both lie over each other.
    json
        Print the result as JSON, which apply reads, and nothing else.
    save
        Also write the result as JSON to this file.
    size
        Size of the kernel, as 15 or as 15,17 (rows, columns). By default 15 to 47, as the functions call for.
    regularise
        The penalty on rough or large weights: "auto", "ridge", "smooth", a strength as 0.01, both as ridge,0.01, or
        "none".
    nonnegative
        Allow no negative weights.
    sum_to
        The sum of the weights.
    symmetric
        Mirrored left to right (h), top to bottom (v), both (hv), at the diagonals too (square), turned by 180 degrees
        (point), equal at equal distances (radial), or what the evidence prefers (auto).
    """
    from kernelfield.cli import fit_view
    from kernelfield.cli.filters import dump_filters

    check_target(save)
    only_one_stream([str(psf_a), str(psf_b)])
    with status("reading"):
        pictures = [_plane(str(path)) for path in (psf_a, psf_b)]
    with status("matching"):
        fit = kf.match_psf(
            *pictures,
            size=kernel_size(size),
            regularise=None if regularise.lower() == "none" else penalty(regularise),
            nonnegative=nonnegative,
            sum_to=sum_to,
            symmetric=symmetric,
        )
    text = dump_filters(fit) if json or save is not None else ""
    if save is not None:
        write_bytes(save, text.encode())
    if json:
        sys.stdout.write(text)
    else:
        fit_view.show(output(), fit)


def _plane(path: str) -> np.ndarray:
    """Return the pixels of a picture of one channel."""
    pixels: np.ndarray = colours(read_picture(path, None), path)[0]
    if pixels.ndim != 2:
        raise UsageError(f"{path!r}: expected one channel; received {pixels.shape[2]}; convert it to grey.")
    return pixels
