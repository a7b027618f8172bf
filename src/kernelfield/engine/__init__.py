"""Cross-correlation of NumPy arrays: `plan` chooses the method and runs it, `layers` has layers and their gradients.

The compiled module `kernelfield._core` computes, with the fastest instruction set of this processor or with the one
that the environment variable ``KERNELFIELD_CPU`` names.
"""

from __future__ import annotations

import os

from kernelfield import _core
from kernelfield.engine import threads
from kernelfield.errors import ArgumentError

ENVIRONMENT_VARIABLE = "KERNELFIELD_CPU"


def _configure() -> None:
    """Set the instruction set and the number of threads that the environment names."""
    name = os.environ.get(ENVIRONMENT_VARIABLE, "")
    if name:
        try:
            _core.use(name)
        except ValueError:
            available = ", ".join(_core.instruction_sets())
            raise ArgumentError(
                f"{ENVIRONMENT_VARIABLE}: expected one of {available}, as this processor has; "
                f"received {name!r}; unset it"
            ) from None
    _core.set_threads(threads.threads())


_configure()
