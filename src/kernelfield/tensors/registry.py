"""Registry of the frameworks' adapters: tensors are recognised by modules that are loaded, never by importing one."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from kernelfield.errors import ArgumentError, MissingDependencyError
from kernelfield.tensors.adapter import Adapter

#: Framework, which is also the name of its module -> the module that holds its adapter as ``ADAPTER``.
FRAMEWORKS = {
    "torch": "kernelfield.torch.adapter",
    "tensorflow": "kernelfield.keras.tensorflow",
    "jax": "kernelfield.jax.adapter",
    "mxnet": "kernelfield.mxnet.adapter",
}


def adapter(name: str) -> Adapter:
    """Return the adapter of a framework, and import it first if it is not loaded.

    Raises
    ------
    ArgumentError
        If `name` is not that of a framework.
    MissingDependencyError
        If the framework is not installed.
    """
    if name not in FRAMEWORKS:
        raise ArgumentError(f"framework: expected one of numpy, {', '.join(FRAMEWORKS)}; received {name!r}")
    # sys.modules first: torch.compile traces a look-up in a dictionary, but not an import.
    loaded: Adapter | None = getattr(sys.modules.get(FRAMEWORKS[name]), "ADAPTER", None)
    if loaded is not None:
        return loaded
    try:
        module = importlib.import_module(FRAMEWORKS[name])
    except ImportError as error:
        if error.name is not None and error.name.split(".")[0] == name:
            raise MissingDependencyError(
                f"framework: {name} is not installed; pip install 'kernelfield[{name}]'"
            ) from error
        raise
    imported: Adapter = module.ADAPTER
    return imported


def adapter_of(*values: Any) -> Adapter | None:
    """Return the adapter of the framework that the tensors among the values belong to; None if none is a tensor.

    Raises
    ------
    ArgumentError
        If they belong to two frameworks.
    """
    found = None
    for name in FRAMEWORKS:
        if name in sys.modules and hasattr(sys.modules[name], "__version__"):
            candidate = adapter(name)
            if any(candidate.recognises(value) for value in values):
                if found is not None:
                    raise ArgumentError(
                        f"image, kernel: expected tensors of one framework; received {found.name} and {name}; "
                        "convert one"
                    )
                found = candidate
    return found
