"""kernelfield: the convolution kernels that act on images.

Apply them (`correlate`, `convolve`, `corr2d`), design them (`kernels`), and learn them from a before and an after
(`learn`). Importing this package imports no framework and compiles nothing; parts load when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from kernelfield import kernels
    from kernelfield.correlation import convolve, corr2d, correlate
    from kernelfield.kernels import Kernel
    from kernelfield.learning import Fit, learn
    from kernelfield.planned import plan

_HOMES = {
    "Fit": "kernelfield.learning",
    "Kernel": "kernelfield.kernels",
    "convolve": "kernelfield.correlation",
    "corr2d": "kernelfield.correlation",
    "correlate": "kernelfield.correlation",
    "kernels": "",
    "learn": "kernelfield.learning",
    "plan": "kernelfield.planned",
}

__all__ = ["Fit", "Kernel", "__version__", "convolve", "corr2d", "correlate", "kernels", "learn", "plan"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'kernelfield' has no attribute {name!r}")
    home = _HOMES[name]
    value = getattr(importlib.import_module(home), name) if home else importlib.import_module(f"kernelfield.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
