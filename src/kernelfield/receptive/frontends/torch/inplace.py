"""Exported programs that write in place, made functional where another view of the tensor is read later."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import fx


def functional(program: Any) -> Any:
    """Return a program in which a name always stands for the same tensor.

    Writes in place to a tensor that is read by no other name need no change: the program is traced again only where a
    view of the tensor is read later.
    """
    nodes = list(program.graph.nodes)
    if not any(_writes(node) for node in nodes):
        return program
    order = {node: place for place, node in enumerate(nodes)}
    root: dict[fx.Node, fx.Node] = {}
    for node in nodes:
        base = _base(node)
        root[node] = node if base is None else root[base]
    families: dict[fx.Node, list[fx.Node]] = {}
    for node, first in root.items():
        families.setdefault(first, []).append(node)
    for node in nodes:
        if _writes(node):
            written = node.args[0]
            others = [other for other in families[root[node]] if other is not node and order[other] < order[node]]
            if any(order[user] > order[node] for other in others for user in other.users):
                return _functionalised(program)
            if not isinstance(written, fx.Node):
                return _functionalised(program)
    return program


def _functionalised(program: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return program.run_decompositions({})


def _writes(node: fx.Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def _base(node: fx.Node) -> fx.Node | None:
    """Return the tensor of which a node may be a view."""
    if node.op != "call_function":
        return None
    first = next((a for a in node.all_input_nodes), None)
    if not isinstance(node.target, torch._ops.OpOverload):
        return first
    if (
        any(result.alias_info is not None for result in node.target._schema.returns)
        or node.target._schema.name in _MAYBE
    ):
        return first
    return None


# Operations that return their argument itself, or a view of it, where there is nothing to do.
_MAYBE = frozenset(
    f"aten::{name}"
    for name in ("dropout", "contiguous", "to", "reshape", "flatten", "type_as", "reshape_as", "feature_dropout", "pad")
)
