"""kernelfield: the convolution kernels that act on images.

Apply them (`correlate`, `convolve`, `corr2d`, `plan`), design them (`kernels`), learn them from a before and an after
(`learn`, `descend`), write them as matrices (`as_matrix`), follow them through networks (`receptive_field`) and code
photographs with them (`coding`). `Lab` shows them in a notebook. Importing this package imports no framework; parts
load when first used.
"""

from __future__ import annotations

import importlib

# The name makes type checkers take the branch; the typing module would slow the start of the command line.
TYPE_CHECKING = False

__version__ = "0.2.0"

if TYPE_CHECKING:
    from typing import Any

    from kernelfield import coding, dropin, kernels, matrix, receptive, scale
    from kernelfield.correlation import convolve, corr2d, correlate, plan
    from kernelfield.engine.threads import set_threads, threads
    from kernelfield.kernels import Kernel
    from kernelfield.lab import Lab
    from kernelfield.learning import Fit, KernelLearner, descend, learn, match_psf
    from kernelfield.matrix import as_matrix, as_operator, col2im, condition_number, im2col, null_space
    from kernelfield.receptive import receptive_field

_HOMES = {
    "Fit": "kernelfield.learning",
    "Kernel": "kernelfield.kernels",
    "KernelLearner": "kernelfield.learning",
    "Lab": "kernelfield.lab",
    "as_matrix": "kernelfield.matrix",
    "as_operator": "kernelfield.matrix",
    "coding": "",
    "col2im": "kernelfield.matrix",
    "condition_number": "kernelfield.matrix",
    "convolve": "kernelfield.correlation",
    "corr2d": "kernelfield.correlation",
    "correlate": "kernelfield.correlation",
    "descend": "kernelfield.learning",
    "dropin": "",
    "im2col": "kernelfield.matrix",
    "kernels": "",
    "learn": "kernelfield.learning",
    "match_psf": "kernelfield.learning",
    "matrix": "",
    "null_space": "kernelfield.matrix",
    "plan": "kernelfield.correlation",
    "receptive": "",
    "receptive_field": "kernelfield.receptive",
    "scale": "",
    "set_threads": "kernelfield.engine.threads",
    "threads": "kernelfield.engine.threads",
}

__all__ = [
    "Fit",
    "Kernel",
    "KernelLearner",
    "Lab",
    "__version__",
    "as_matrix",
    "as_operator",
    "coding",
    "col2im",
    "condition_number",
    "convolve",
    "corr2d",
    "correlate",
    "descend",
    "dropin",
    "im2col",
    "kernels",
    "learn",
    "match_psf",
    "matrix",
    "null_space",
    "plan",
    "receptive",
    "receptive_field",
    "scale",
    "set_threads",
    "threads",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'kernelfield' has no attribute {name!r}")
    home = _HOMES[name]
    value = getattr(importlib.import_module(home), name) if home else importlib.import_module(f"kernelfield.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
