"""Which engine is in use: our own machine code and Halide's, Halide's alone, or what runs everywhere."""

from __future__ import annotations

import importlib.util
import os
import sys
from functools import cache
from typing import Any, NamedTuple

from kernelfield.engine import processor
from kernelfield.errors import ArgumentError

ENVIRONMENT_VARIABLE = "KERNELFIELD_ENGINE"


@cache
def halide_is_installed() -> bool:
    """Return whether the compiled engine can be used on this platform."""
    return importlib.util.find_spec("halide") is not None


class Engine(NamedTuple):
    """An engine.

    Attributes
    ----------
    method : {"direct", "portable"}
        Compiled code, or NumPy and SciPy.
    reason : str
        Why this one.
    native : bool
        Whether the machine code of `kernelfield.engine.x86` is in use.
    """

    method: str
    reason: str
    native: bool = False


def engine() -> Engine:
    """Return the engine in use."""
    wish, target = _variable(ENVIRONMENT_VARIABLE), _variable("HL_JIT_TARGET")
    return _usual() if wish == target == "" else _asked(wish)


@cache
def _usual() -> Engine:
    """Return the engine where nobody asked for one."""
    if _runs_native():
        return Engine("direct", "code of our own for AVX2 and FMA, Halide for the rest", True)
    if halide_is_installed():
        return Engine("direct", "Halide")
    return Engine("portable", "halide is not installed")


def _asked(wish: str) -> Engine:
    """Return the engine that was asked for; Halide's target says that code of our own is not."""
    if wish not in ("", "portable", "halide"):
        raise ArgumentError(
            f"{ENVIRONMENT_VARIABLE}: expected portable, halide or nothing; received {wish!r}; unset it"
        )
    if wish == "portable":
        return Engine("portable", f"{ENVIRONMENT_VARIABLE}=portable")
    if halide_is_installed():
        return Engine("direct", "Halide")
    if wish == "halide":
        raise ArgumentError(f"{ENVIRONMENT_VARIABLE}=halide: the package halide is not installed; unset it")
    return Engine("portable", "halide is not installed")


def _variable(name: str) -> str:
    """Return a variable of the environment, empty where there is none: small images wait for it."""
    if not isinstance(_table, dict):
        return os.environ.get(name, "")
    value = _table.get(_encoded(name))
    return "" if value is None else os.environ.decodevalue(value)


# What lies behind `os.environ` in CPython: asking that itself for what is not there takes 2 µs.
_table = getattr(os.environ, "_data", None)


@cache
def _encoded(name: str) -> Any:
    return os.environ.encodekey(name)


def _runs_native() -> bool:
    wide = sys.platform == "linux" and sys.maxsize > 2**32
    return wide and halide_is_installed() and {"avx2", "fma"} <= processor.features()
