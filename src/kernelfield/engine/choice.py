"""Which engine is in use: compiled code, or what runs everywhere."""

from __future__ import annotations

import importlib.util
import os
from functools import cache

from kernelfield.errors import ArgumentError

ENVIRONMENT_VARIABLE = "KERNELFIELD_ENGINE"


@cache
def halide_is_installed() -> bool:
    """Return whether the compiled engine can be used on this platform."""
    return importlib.util.find_spec("halide") is not None


def engine() -> tuple[str, str]:
    """Return the engine in use, ``"direct"`` or ``"portable"``, and why."""
    wish = os.environ.get(ENVIRONMENT_VARIABLE, "")
    if wish not in ("", "portable", "halide"):
        raise ArgumentError(
            f"{ENVIRONMENT_VARIABLE}: expected portable, halide or nothing; received {wish!r}; unset it"
        )
    if wish == "portable":
        return "portable", f"{ENVIRONMENT_VARIABLE}=portable"
    if halide_is_installed():
        return "direct", "Halide, compiled for each dtype"
    if wish == "halide":
        raise ArgumentError(f"{ENVIRONMENT_VARIABLE}=halide: the package halide is not installed; unset it")
    return "portable", "halide is not installed"
