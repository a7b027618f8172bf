"""Cost figures of this machine, which plans use.

The figures here are of two machines. ``kernelfield bench --tune`` measures those of the user's machine and stores them
in the user's cache folder, for this processor and instruction set. They affect the speed, never the results.
"""

from __future__ import annotations

import json
import math
import os
import platform
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from kernelfield import _core
from kernelfield.errors import KernelfieldWarning
from kernelfield.files import write_bytes

ENVIRONMENT_VARIABLE = "KERNELFIELD_CACHE"
FORMAT = "kernelfield-tuning/2"


@dataclass(frozen=True)
class Tuning:
    """Cost figures of one machine, in ns on one thread.

    Attributes
    ----------
    direct, separable : (float, float)
        For each output, and for each of its multiply-adds, in float32.
    spectral : dict of int to float
        Pixels of a tile -> both transforms, for each pixel, in float64; interpolated in between.
    """

    direct: tuple[float, float]
    separable: tuple[float, float]
    spectral: dict[int, float]


# Measured by `kernelfield bench --tune` on a Xeon with AVX-512; NEON's and the baseline's are estimates.
_SPECTRAL = {
    1 << 14: 31.0, 36864: 19.0, 65536: 17.0, 1 << 17: 15.5, 1 << 18: 15.0, 409600: 15.5, 589824: 15.5, 1 << 20: 16.0
}  # fmt: skip
_DEFAULTS = {
    "avx512": Tuning((0.32, 0.0167), (0.41, 0.0236), _SPECTRAL),
    "avx2": Tuning((0.23, 0.0257), (0.34, 0.0258), _SPECTRAL),
    "neon": Tuning((0.25, 0.0250), (0.15, 0.0300), _SPECTRAL),
    "baseline": Tuning((0.25, 0.0550), (0.11, 0.0550), _SPECTRAL),
}

_given: dict[str, Tuning] = {}
_listeners: list[Callable[[], object]] = []


def current() -> Tuning:
    """Return the figures for the instruction set in use."""
    return figures_of(_core.instruction_set())


@cache
def figures_of(name: str) -> Tuning:
    """Return the figures of an instruction set: those given to `use`, those stored on this machine, or defaults."""
    return _given.get(name) or _load(name) or _DEFAULTS.get(name, _DEFAULTS["baseline"])


def use(tuning: Tuning | None) -> None:
    """Use other figures in this process, for the instruction set in use; None reverts to the stored or default ones."""
    _given.pop(_core.instruction_set(), None)
    if tuning is not None:
        _given[_core.instruction_set()] = tuning
    figures_of.cache_clear()
    for listener in _listeners:
        listener()


def on_change(listener: Callable[[], object]) -> None:
    """Call `listener` when the figures change, to clear a cache of values derived from them."""
    _listeners.append(listener)


def location(name: str) -> Path | None:
    """Return the file of figures for an instruction set; None where nothing is stored.

    Its folder is ``KERNELFIELD_CACHE``, else ``kernelfield`` in ``XDG_CACHE_HOME`` or ``~/.cache``; if the variable is
    empty nothing is stored.
    """
    asked = os.environ.get(ENVIRONMENT_VARIABLE)
    if asked is not None:
        folder = Path(asked).expanduser().absolute() if asked else None
    else:
        home = os.environ.get("XDG_CACHE_HOME", "")
        if not os.path.isabs(home):  # the XDG base directory specification: a relative path is not valid
            home = os.path.expanduser("~/.cache")
        folder = Path(home, "kernelfield") if os.path.isabs(home) else None
    return None if folder is None else folder / f"tuning-{name}.json"


def save(tuning: Tuning) -> Path | None:
    """Store figures for this processor and use them; return their file, None if it cannot be written."""
    path = location(_core.instruction_set())
    if path is None:
        return None
    record = {"format": FORMAT, "processor": processor(), **asdict(tuning)}
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_bytes(path, (json.dumps(record, indent=2) + "\n").encode())
    except OSError:
        return None
    use(tuning)
    return path


@cache
def processor() -> str:
    """Return the name of the processor, or the little that the system tells of it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name") and ":" in line)
    return next(names, platform.processor() or "unknown")


def _load(name: str) -> Tuning | None:
    """Return the figures that `save` stored for this processor; None where there are none or they are damaged."""
    path = location(name)
    if path is None:
        return None
    try:
        text = path.read_bytes()
    except OSError:
        return None
    try:
        record = json.loads(text)
        if record["format"] != FORMAT or record["processor"] != processor():
            return None
        return _checked(record)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        warnings.warn(
            f"{path}: expected the figures of kernelfield bench --tune; received unreadable content "
            f"({type(error).__name__}); the defaults are used; measure again or delete the file",
            KernelfieldWarning,
            stacklevel=2,
        )
        return None


def _checked(record: dict[str, Any]) -> Tuning:
    costs = [tuple(float(n) for n in record[name]) for name in ("direct", "separable")]
    spectral = {int(n): float(cost) for n, cost in record["spectral"].items()}
    numbers = [*costs[0], *costs[1], *spectral.values()]
    if [len(pair) for pair in costs] != [2, 2] or not all(math.isfinite(n) and n >= 0 for n in numbers):
        raise ValueError("costs")
    if not spectral or min(spectral) < 1 or costs[0][1] == 0 or costs[1][1] == 0:
        raise ValueError("costs")
    (a, b), (c, d) = costs
    return Tuning((a, b), (c, d), dict(sorted(spectral.items())))
