"""Methods that compute on plain NumPy arrays; `plan` chooses among them, `layers` does layers and their gradients.

The work is done by the compiled module `kernelfield._core`, for the fastest instruction set that this processor has, or
for the one that the environment variable ``KERNELFIELD_CPU`` names.
"""

from __future__ import annotations

import os

from kernelfield import _core
from kernelfield.engine import threads
from kernelfield.errors import ArgumentError

ENVIRONMENT_VARIABLE = "KERNELFIELD_CPU"


def _begin() -> None:
    """Do as the environment says."""
    wish = os.environ.get(ENVIRONMENT_VARIABLE, "")
    if wish:
        try:
            _core.use(wish)
        except ValueError:
            there = ", ".join(_core.instruction_sets())
            raise ArgumentError(
                f"{ENVIRONMENT_VARIABLE}: expected one of {there}, as this processor has; received {wish!r}; unset it"
            ) from None
    _core.set_threads(threads.threads())


_begin()
