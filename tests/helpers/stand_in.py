"""timm without torchvision, whose wheels do not go with PyTorch's build for processors alone."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any, ClassVar

#: The modules of torchvision from which timm takes names when it is loaded; its networks use none of them.
_NAMES = (
    "torchvision",
    "torchvision.datasets",
    "torchvision.models",
    "torchvision.models.feature_extraction",
    "torchvision.ops",
    "torchvision.ops.misc",
    "torchvision.transforms",
    "torchvision.transforms.functional",
)


class _Names(type):
    """A class of which every attribute is its own name."""

    def __getattr__(cls, name: str) -> str:
        if name.startswith("__"):
            raise AttributeError(name)
        return name


class _StandIn(ModuleType):
    """A module in which every name is a class without contents."""

    __path__: ClassVar[list[str]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        made = sys.modules.get(f"{self.__name__}.{name}") or _Names(name, (), {})
        setattr(self, name, made)
        return made


def timm() -> ModuleType:
    """Return timm; while it is loaded, a stand-in takes the place of torchvision where that is not installed."""
    if "timm" in sys.modules:
        return sys.modules["timm"]
    missing = importlib.util.find_spec("torchvision") is None
    stand_ins = {name: _StandIn(name) for name in _NAMES} if missing else {}
    sys.modules.update(stand_ins)
    try:
        return importlib.import_module("timm")
    finally:
        # Others ask whether torchvision is there.
        for name in stand_ins:
            del sys.modules[name]
