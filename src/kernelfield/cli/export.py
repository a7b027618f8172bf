"""``kernelfield export``: a filter for another program."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from kernelfield.cli.files import check_target
from kernelfield.cli.messages import UsageError
from kernelfield.files import write_bytes


def export(
    filter: str,
    /,
    *,
    to: Literal["numpy", "scipy", "opencv", "pytorch", "onnx", "imagemagick", "ffmpeg", "c"],
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    dtype: Literal["uint8", "uint16", "float32", "float64"] | None = None,
    boundary: Literal["constant", "nearest", "reflect", "mirror", "wrap", "copy", "renormalised"] | None = None,
    channel: str | None = None,
) -> None:
    """Write a filter for another program: code, a command or a model that gives the same pixels as apply.

    Parameters
    ----------
    filter
        The file that learn --save or design --save wrote, or a kernel as gaussian:sigma=2. - is stdin.
    to
        The program: a function of Python with numpy, scipy or opencv, a module of pytorch, a model of onnx, a command
        of imagemagick or ffmpeg, a function of c.
    output
        Write to this file. By default it is printed.
    dtype
        Type of the pixels for onnx and c; by default uint8 where the fit knows how the producer rounds, else float32.
    boundary
        The border, if not that of the filter.
    channel
        Of a filter for each channel, the one to export: R, G or B.
    """
    from dataclasses import replace

    from kernelfield.cli.filters import filters_of, one_of

    check_target(output, "--output")
    found = one_of(filters_of(filter), channel)
    fit = found if boundary is None else replace(found, boundary=boundary)
    made = fit.export(to, dtype=dtype)
    data = made if isinstance(made, bytes) else made.encode()
    if output is not None:
        write_bytes(output, data)
    elif isinstance(made, str):
        sys.stdout.write(made)
    elif sys.stdout.isatty():
        raise UsageError(f"--output: expected a file for {to}, which is no text; received none; name it with -o.")
    else:
        sys.stdout.buffer.write(data)
