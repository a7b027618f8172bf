"""Exact receptive fields of networks: the elements of the image that can affect each unit.

`receptive_field` analyses a model of any framework. `plan` finds a stack of layers with a given receptive field;
`register` adds the rule of a further operation. Importing this package imports no framework.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernelfield.receptive.builder import Builder, Value
    from kernelfield.receptive.effective_field import EffectiveField
    from kernelfield.receptive.field import ReceptiveField, receptive_field
    from kernelfield.receptive.graph import AxisMap, Edge, Graph, Link, Node
    from kernelfield.receptive.halo import Halo
    from kernelfield.receptive.layer import LayerField
    from kernelfield.receptive.planning import plan
    from kernelfield.receptive.registry import register
    from kernelfield.receptive.stack import Stack

_HOMES = {
    "AxisMap": "graph",
    "Builder": "builder",
    "Edge": "graph",
    "EffectiveField": "effective_field",
    "Graph": "graph",
    "Halo": "halo",
    "LayerField": "layer",
    "Link": "graph",
    "Node": "graph",
    "ReceptiveField": "field",
    "Stack": "stack",
    "Value": "builder",
    "plan": "planning",
    "receptive_field": "field",
    "register": "registry",
}

__all__ = [
    "AxisMap",
    "Builder",
    "Edge",
    "EffectiveField",
    "Graph",
    "Halo",
    "LayerField",
    "Link",
    "Node",
    "ReceptiveField",
    "Stack",
    "Value",
    "plan",
    "receptive_field",
    "register",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'kernelfield.receptive' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"kernelfield.receptive.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
