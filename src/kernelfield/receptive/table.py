"""The receptive fields of all layers as a table of text, as records, CSV, JSON, pandas or HTML, and notes on them."""

from __future__ import annotations

import csv
import importlib
import io
import json
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Literal

from kernelfield.errors import ArgumentError, MissingDependencyError, shortened
from kernelfield.receptive.layer import is_window

if TYPE_CHECKING:
    from kernelfield.receptive.field import ReceptiveField
    from kernelfield.receptive.layer import LayerField

Rows = Literal["operation", "module"]
Layout = Literal["text", "records", "csv", "json", "pandas"]

FORMAT = 2
# Longer descriptions of an operation are cut.
_WIDEST = 44
_MOST_CAUSES = 3
# Layers with a window from which on the range of useful inputs is told.
_TELLING = 4
# Rows of a table in a notebook.
_MOST_ROWS = 40
# Nodes that stand for some channels of another: they are no layers of the model.
_PARTS = ("part", "places")
_AXES = {1: ("elements",), 2: ("rows", "columns"), 3: ("planes", "rows", "columns")}


def table(fields: ReceptiveField, pointwise: bool = True, by: Rows = "operation", layout: Layout = "text") -> Any:
    """Return the table of a network; see `ReceptiveField.table`."""
    if by not in ("operation", "module"):
        raise ArgumentError(f"by: expected 'operation' or 'module'; received {by!r}")
    written = _LAYOUTS.get(layout)
    if written is None:
        raise ArgumentError(f"layout: expected one of {', '.join(map(repr, _LAYOUTS))}; received {layout!r}")
    layers = fields.modules() if by == "module" else {layer.name: layer for layer in fields}
    listed = {
        name: layer
        for name, layer in layers.items()
        if layer.operation not in _PARTS and (pointwise or by == "module" or not _is_pointwise(fields, layer))
    }
    return written(fields, listed)


def _text(fields: ReceptiveField, listed: Mapping[str, LayerField]) -> str:
    """Return a table with a row for each layer, and notes on the network below it."""
    plain = fields.without_gates() if fields.gated else None
    head = ["layer", "operation", "map", "field", "stride", "padding", "aligned", "share"]
    if plain is not None:
        head.insert(4, "without gates")
    rows = [head]
    for name, layer in listed.items():
        # After a gate everything is read, and only the field without gates has a stride, a padding and a share.
        without = None if plain is None else plain[layer.name]
        row = _row(name, layer, layer if without is None else without)
        if without is not None:
            row.insert(4, _size(without))
        rows.append(row)
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    share = head.index("share")
    lines = [f"input of {_times(fields.shape)}" + ("" if fields.gates else ", without gates")]
    for row in rows:
        cells = [
            cell.rjust(width) if i == share else cell.ljust(width) for i, (cell, width) in enumerate(zip(row, widths))
        ]
        lines.append("  ".join(cells).rstrip())
    parts = sum(layer.operation in _PARTS for layer in fields)
    left = len(fields) - len(listed) - parts
    if left > 0 and all(name == layer.name for name, layer in listed.items()):
        lines.append(f"and {left} element-wise layer{'s' if left > 1 else ''}")
    return "\n".join([*lines, *notes(fields)])


def _row(name: str, layer: LayerField, told: LayerField) -> list[str]:
    return [
        name,
        shortened(f"{layer.operation} {layer.detail}".strip(), _WIDEST),
        _times(layer.shape) or "1",
        _size(layer),
        _alike(told.stride),
        _alike(told.padding),
        "–" if all(told.whole) else "yes" if told.aligned else "no",
        f"{100 * told.share:.3g} %",
    ]


def notes(fields: ReceptiveField) -> list[str]:
    """Return sentences that explain the numbers in the table, and warn of pixels that are not used.

    Parameters
    ----------
    fields : ReceptiveField

    Returns
    -------
    list of str
    """
    layers = [layer for layer in fields if layer.operation not in _PARTS]
    plain = fields.without_gates() if fields.gated else fields
    found = []
    if plain is not fields:
        found.append("Stride, padding, alignment and share are those of the field without gates.")
    if larger := [layer for layer in layers if layer.larger]:
        found.append(
            f"Fields larger than the input of {_times(fields.shape)}: {_from(larger)}. Elements outside it are padding."
        )
    if everything := [layer for layer in layers if any(layer.whole)]:
        found.append(f"Everything is read along an axis, whatever its extent ('all'): {_from(everything)}.")
    if astray := [layer for layer in layers if not plain[layer.name].aligned]:
        found.append(f"Not aligned, as paths differ in stride or in the middle of their fields: {_from(astray)}.")
    if loose := [layer for layer in layers if not layer.closed]:
        causes = dict.fromkeys(span.cause for layer in loose for span in layer.spans if span.cause is not None)
        listed = "; ".join(f"{reason} ({name})" for reason, name in list(causes)[:_MOST_CAUSES])
        found.append(
            f"No form for all units: {_from(loose)}; {listed}. The field is that of the narrowest to the widest unit."
        )
    if sparse := [layer for layer in layers if plain[layer.name].sparse]:
        found.append(
            f"Strides larger than the field: {_from(sparse)}. Its units leave out elements between their fields."
        )
    if fields.unread:
        found.append(f"Nothing reads {100 * fields.unread:.3g} % of the input: no output depends on these elements.")
    smallest, largest = fields.input_range
    if smallest is not None and largest is not None and sum(map(is_window, fields.graph)) >= _TELLING:
        found.append(
            f"Every layer sees something new from an input of {_times(smallest)} on; the last feature map uses "
            f"{_times(largest)} at most."
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


def record(fields: ReceptiveField) -> dict[str, Any]:
    """Return the numbers of all layers as plain lists, numbers and strings; missing ones are None."""
    smallest, largest = fields.input_range
    return {
        "format": FORMAT,
        "input": list(fields.shape),
        "gates": fields.gates,
        "layers": records(fields, {layer.name: layer for layer in fields}),
        "aliases": dict(fields.graph.aliases),
        "smallest_input": None if smallest is None else list(smallest),
        "largest_input": None if largest is None else list(largest),
        "unread": fields.unread,
        "notes": notes(fields),
    }


def records(fields: ReceptiveField, listed: Mapping[str, LayerField]) -> list[dict[str, Any]]:
    """Return a mapping of plain values for each of some layers."""
    plain = fields.without_gates() if fields.gated else None
    found = []
    for name, layer in listed.items():
        entry = {
            "name": name,
            "operation": layer.operation,
            "detail": layer.detail,
            "shape": list(layer.shape),
            **_figures(layer),
            "bound": layer.bound,
        }
        if plain is not None:
            entry["without_gates"] = _figures(plain[layer.name])
        found.append(entry)
    return found


def _figures(layer: LayerField) -> dict[str, Any]:
    strides = [None if s is None else int(s) if s == int(s) else float(s) for s in layer.stride]
    return {
        "size": list(layer.size),
        "narrowest": list(layer.narrowest),
        "stride": strides,
        "jump": strides,
        "padding": list(layer.padding),
        "start": list(layer.start),
        "aligned": layer.aligned,
        "whole": list(layer.whole),
        "larger": layer.larger,
        "share": layer.share,
    }


def _flat(fields: ReceptiveField, listed: Mapping[str, LayerField]) -> tuple[list[str], list[list[Any]]]:
    """Return names of columns and rows with one number a column: ``size_rows``, ``size_columns`` and so on."""
    axes = _AXES.get(len(fields.shape)) or tuple(str(axis) for axis in range(len(fields.shape)))
    flat: list[dict[str, Any]] = []
    for entry in records(fields, listed):
        row: dict[str, Any] = {}
        without = {f"{key}_without_gates": value for key, value in entry.pop("without_gates", {}).items()}
        for key, value in {**entry, **without}.items():
            if key == "shape":
                row["map"] = _times(value) or "1"
            elif isinstance(value, list):
                row.update((f"{key}_{axis}", item) for axis, item in zip(axes, value))
            else:
                row[key] = value
        flat.append(row)
    columns = list(flat[0]) if flat else ["name"]
    return columns, [list(row.values()) for row in flat]


def _csv(fields: ReceptiveField, listed: Mapping[str, LayerField]) -> str:
    columns, rows = _flat(fields, listed)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def _json(fields: ReceptiveField, listed: Mapping[str, LayerField]) -> str:
    return json.dumps(records(fields, listed), indent=2, allow_nan=False)


def _pandas(fields: ReceptiveField, listed: Mapping[str, LayerField]) -> Any:
    try:
        pandas = importlib.import_module("pandas")
    except ImportError:
        raise MissingDependencyError(
            "layout: expected pandas for 'pandas'; received an environment without it; pip install pandas, or use "
            "layout='records'"
        ) from None
    columns, rows = _flat(fields, listed)
    return pandas.DataFrame(rows, columns=columns).set_index("name")


def html(fields: ReceptiveField) -> str:
    """Return the last feature map's field as a picture, and the table of layers that read more than their position."""
    told = {layer.name: layer for layer in fields if layer.operation not in _PARTS and not _is_pointwise(fields, layer)}
    lines = _text(fields, told).split("\n")
    rest = f"\n… {len(lines) - _MOST_ROWS} more lines: print() shows all" if len(lines) > _MOST_ROWS else ""
    text = f"<pre>{escape(chr(10).join(lines[:_MOST_ROWS]) + rest)}</pre>"
    return f"{_picture(fields)}{text}"


def _picture(fields: ReceptiveField) -> str:
    """Return an image of the field of the last feature map's middle unit, empty where there is none."""
    last = fields.last
    if len(fields.shape) != 2 or last is None:
        return ""
    file = io.BytesIO()
    try:
        fields.draw(last.name).savefig(file, format="png", dpi=72)
    except MissingDependencyError:
        return ""
    data = b64encode(file.getvalue()).decode()
    return f'<img alt="{escape(str(last))}" src="data:image/png;base64,{data}">'


_LAYOUTS: dict[str, Callable[[ReceptiveField, Mapping[str, LayerField]], Any]] = {
    "text": _text,
    "records": records,
    "csv": _csv,
    "json": _json,
    "pandas": _pandas,
}
