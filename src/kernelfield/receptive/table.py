"""The receptive fields of all layers as a table of text, and as plain values for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernelfield.receptive.field import ReceptiveField
    from kernelfield.receptive.layer import LayerField

FORMAT = 1
# Longer descriptions of an operation are cut.
_WIDEST = 44
_MOST_CAUSES = 3


def table(fields: ReceptiveField, pointwise: bool = True) -> str:
    """Return a table with a row for each layer, and notes on the network below it."""
    plain = fields.without_gates() if fields.gated else None
    head = ["layer", "operation", "map", "field", "stride", "padding", "aligned", "share"]
    if plain is not None:
        head.insert(4, "without gates")
    listed = [layer for layer in fields if pointwise or not _is_pointwise(fields, layer)]
    rows = [head]
    for layer in listed:
        row = _row(layer)
        if plain is not None:
            row.insert(4, _size(plain[layer.name]))
        rows.append(row)
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    share = head.index("share")
    lines = [f"input of {_times(fields.shape)}" + ("" if fields.gates else ", without gates")]
    for row in rows:
        cells = [
            cell.rjust(width) if i == share else cell.ljust(width) for i, (cell, width) in enumerate(zip(row, widths))
        ]
        lines.append("  ".join(cells).rstrip())
    if left := len(fields) - len(listed):
        lines.append(f"and {left} element-wise layer{'s' if left > 1 else ''}")
    return "\n".join([*lines, *notes(fields)])


def _row(layer: LayerField) -> list[str]:
    share = f"{100 * layer.share:.3g} %"
    return [
        layer.name,
        _short(f"{layer.operation} {layer.detail}".strip()),
        _times(layer.shape) or "1",
        _size(layer),
        _alike(layer.stride),
        _alike(layer.padding),
        "–" if all(layer.whole) else "yes" if layer.aligned else "no",
        share,
    ]


def notes(fields: ReceptiveField) -> list[str]:
    """Return sentences that explain the numbers in the table.

    Parameters
    ----------
    fields : ReceptiveField

    Returns
    -------
    list of str
    """
    layers = list(fields)
    found = []
    if larger := [layer for layer in layers if layer.larger]:
        found.append(
            f"Fields larger than the input of {_times(fields.shape)}: {_from(larger)}. Elements outside it are padding."
        )
    if everything := [layer for layer in layers if any(layer.whole)]:
        found.append(f"Everything is read along an axis, whatever its extent ('all'): {_from(everything)}.")
    if astray := [layer for layer in layers if not layer.aligned]:
        found.append(f"Not aligned, as paths differ in stride or in the middle of their fields: {_from(astray)}.")
    if loose := [layer for layer in layers if not layer.closed]:
        causes = dict.fromkeys(span.cause for layer in loose for span in layer.spans if span.cause is not None)
        listed = "; ".join(f"{reason} ({name})" for reason, name in list(causes)[:_MOST_CAUSES])
        found.append(
            f"No form for all units: {_from(loose)}; {listed}. The field is that of the narrowest to the widest unit."
        )
    bounds = dict.fromkeys(layer.bound for layer in layers if layer.bound)
    for bound in bounds:
        found.append(f"At most (≤), {bound}: {_from([layer for layer in layers if layer.bound == bound])}.")
    return found


def _from(layers: list[LayerField]) -> str:
    return layers[0].name if len(layers) == 1 else f"{layers[0].name} and {len(layers) - 1} more"


def _is_pointwise(fields: ReceptiveField, layer: LayerField) -> bool:
    edges = layer.node.edges
    return len(edges) == 1 and edges[0].pointwise(layer.node, fields.graph.by_name[edges[0].source])


def _size(layer: LayerField) -> str:
    sizes = [
        "all" if whole else str(most) if span.table is None or least == most else f"{least}…{most}"
        for least, most, whole, span in zip(layer.narrowest, layer.size, layer.whole, layer.spans)
    ]
    text = "all" if all(layer.whole) else "×".join(sizes)
    return ("≤ " if layer.bound else "") + text


def _times(extents: Sequence[int]) -> str:
    return "×".join(map(str, extents))


def _alike(values: Sequence[Any]) -> str:
    """Return the values as text, as one value where they are all the same."""
    texts = ["–" if value is None else str(value) for value in values]
    return texts[0] if len(set(texts)) == 1 else "×".join(texts)


def _short(text: str) -> str:
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


def record(fields: ReceptiveField) -> dict[str, Any]:
    """Return the numbers of all layers as plain lists, numbers and strings; missing ones are None."""
    plain = fields.without_gates() if fields.gated else None
    layers = []
    for layer in fields:
        entry = {
            "name": layer.name,
            "operation": layer.operation,
            "detail": layer.detail,
            "shape": list(layer.shape),
            **_figures(layer),
            "bound": layer.bound,
        }
        if plain is not None:
            entry["without_gates"] = _figures(plain[layer.name])
        layers.append(entry)
    return {
        "format": FORMAT,
        "input": list(fields.shape),
        "gates": fields.gates,
        "layers": layers,
        "aliases": dict(fields.graph.aliases),
        "notes": notes(fields),
    }


def _figures(layer: LayerField) -> dict[str, Any]:
    return {
        "size": list(layer.size),
        "stride": [None if s is None else int(s) if s == int(s) else float(s) for s in layer.stride],
        "padding": list(layer.padding),
        "aligned": layer.aligned,
        "whole": list(layer.whole),
        "larger": layer.larger,
        "share": layer.share,
    }
