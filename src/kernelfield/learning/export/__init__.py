"""A fit for other programs: code, commands and models that give the pixels that `Fit.apply` gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kernelfield.errors import ArgumentError, received
from kernelfield.learning.export.c import c
from kernelfield.learning.export.commands import ffmpeg, imagemagick
from kernelfield.learning.export.model import onnx
from kernelfield.learning.export.over_field import over_field
from kernelfield.learning.export.python import numpy, opencv, pytorch, scipy
from kernelfield.learning.export.recipe import DTYPES, Recipe, recipe

if TYPE_CHECKING:
    from kernelfield.learning.fit import Fit

__all__ = ["TARGETS", "export"]

#: What writes each of them.
TARGETS: dict[str, Callable[[Recipe], str | bytes]] = {
    "numpy": numpy,
    "scipy": scipy,
    "opencv": opencv,
    "pytorch": pytorch,
    "onnx": onnx,
    "imagemagick": imagemagick,
    "ffmpeg": ffmpeg,
    "c": c,
}


def export(fit: Fit, target: str, dtype: str | None = None) -> str | bytes:
    """Return a fit for another program; arguments as in `Fit.export`."""
    if not isinstance(target, str) or target not in TARGETS:
        raise ArgumentError(f"target: expected one of {', '.join(TARGETS)}; received {received(target)}")
    if dtype is not None and not (isinstance(dtype, str) and dtype in DTYPES):
        raise ArgumentError(f"dtype: expected one of {', '.join(DTYPES)}; received {received(dtype)}")
    if fit.varying is not None and fit.verdict != "not linear":
        return over_field(fit, fit.varying, target, dtype)
    return TARGETS[target](recipe(fit, dtype))
