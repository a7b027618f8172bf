"""Which framework a value belongs to: looked up among the modules that are loaded, never by importing one."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from kernelfield.arrays.base import Adapter
from kernelfield.errors import ArgumentError, MissingDependencyError

#: Framework -> the module whose presence says that tensors of it may exist.
FRAMEWORKS = {"torch": "torch", "tensorflow": "tensorflow", "jax": "jax", "mxnet": "mxnet"}


def adapter(name: str) -> Adapter:
    """Return the adapter of a framework; it is imported if it was not.

    Raises
    ------
    ArgumentError
        If the name is not one of a framework.
    MissingDependencyError
        If the framework is not installed.
    """
    if name not in FRAMEWORKS:
        raise ArgumentError(f"framework: expected one of numpy, {', '.join(FRAMEWORKS)}; received {name!r}")
    # Looked up first: torch.compile follows a dictionary, not an import or a cache.
    loaded: Adapter | None = getattr(sys.modules.get(f"kernelfield.arrays.{name}"), "ADAPTER", None)
    if loaded is not None:
        return loaded
    try:
        module = importlib.import_module(f"kernelfield.arrays.{name}")
    except ImportError as error:
        if error.name is not None and error.name.split(".")[0] == FRAMEWORKS[name]:
            raise MissingDependencyError(
                f"framework: {name} is not installed; pip install 'kernelfield[{name}]'"
            ) from error
        raise
    found: Adapter = module.ADAPTER
    return found


def adapter_of(*values: Any) -> Adapter | None:
    """Return the adapter of the framework that the values' tensors belong to; None if none is a tensor.

    Raises
    ------
    ArgumentError
        If they belong to two frameworks.
    """
    found = None
    for name, module in FRAMEWORKS.items():
        if module in sys.modules and hasattr(sys.modules[module], "__version__"):
            candidate = adapter(name)
            if any(candidate.recognises(value) for value in values):
                if found is not None:
                    raise ArgumentError(
                        f"image, kernel: expected tensors of one framework; received {found.name} and {name}; "
                        "convert one"
                    )
                found = candidate
    return found
