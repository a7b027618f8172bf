"""``kernelfield field``: the receptive fields of a network's layers, as a table, figures or JSON."""

from __future__ import annotations

import math
import sys
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from kernelfield.cli.console import output, status
from kernelfield.cli.files import check_figure, write_figure
from kernelfield.cli.messages import UsageError, note, one_line
from kernelfield.cli.options import whole_numbers
from kernelfield.cli.pictures import colours, read_picture

if TYPE_CHECKING:
    from kernelfield.receptive.field import LayerField, ReceptiveField

_AXES = {1: ("elements",), 2: ("rows", "columns"), 3: ("planes", "rows", "columns")}


def field(
    model: Path,
    /,
    *,
    unit: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    layer: str | None = None,
    image: Path | None = None,
    plot: Path | None = None,
    network: Path | None = None,
    json: bool = False,
    csv: bool = False,
    table: bool = False,
    by: Literal["operation", "module"] = "operation",
    input_size: str | None = None,
    unknown: Literal["error", "global"] = "error",
    without_gates: bool = False,
    max_pixels: int | None = None,
) -> None:
    """Show the receptive fields of a network's layers, exactly.

    Parameters
    ----------
    model
        A network: ONNX. Weights are not read, and no code in it is run.
    unit
        Describe the field of this unit of a layer: its row and column, as 3,3.
    layer
        Name of the layer, as the table shows it. By default the last one that has such units.
    image
        A photograph to draw the field on.
    plot
        Draw the field of the unit, or of the layer's middle one: a .png, .svg or .pdf.
    network
        Draw the network, coloured by the share of the image in each layer's fields: a .png, .svg or .pdf.
    json
        Print the result as JSON, and nothing else.
    csv
        Print every layer as CSV, with a column for each number, and nothing else.
    table
        Print every layer, including those that read only their own position.
    by
        A row for each operation, or for each module: the part of a name in front of a dot or slash.
    input_size
        Size of the image, as 224,224 (rows, columns) or 224 for both, where the model leaves it open.
    unknown
        An unknown operation is an error, or is taken to read everything.
    without_gates
        Leave out branches that only scale or shift, as squeeze-and-excitation does.
    max_pixels
        Refuse a photograph of more pixels before decoding it (500 million by default).
    """
    from kernelfield.receptive.field import receptive_field
    from kernelfield.receptive.frontends import onnx

    size, position = whole_numbers(input_size, "--input-size", 1), whole_numbers(unit, "--unit", 0)
    if json and csv:
        raise UsageError("--csv: expected one of --json and --csv; received both.")
    if image is not None and plot is None:
        raise UsageError("--image: expected --plot too, the file to draw to; received --image alone.")
    check_figure(plot)
    check_figure(network, "--network")
    picture = None if image is None else colours(read_picture(str(image), max_pixels), str(image))[0]
    with status("analysing the network"):
        # ONNX is the one format that holds no code.
        fields = receptive_field(onnx.graph(str(model), _extents(size), unknown=unknown), gates=not without_gates)
        chosen = fields[layer] if layer is not None else _last(fields, position)
        seen = None if position is None else _seen(fields, chosen, position)
        record = fields.record() if json else {}
    with status("drawing"):
        if plot is not None:
            write_figure(plot, fields.draw(chosen.name, position, image=picture))
            note(f"{plot}: written")
        if network is not None:
            write_figure(network, fields.draw_network())
            note(f"{network}: written")
    if json:
        if seen is not None:
            record["unit"] = seen
        sys.stdout.write(dumps(record, indent=2, allow_nan=False) + "\n")
        return
    if csv:
        sys.stdout.write(fields.table(by=by, layout="csv"))
        return
    blocks = [] if seen is None else [_describe(fields, seen)]
    if table or (seen is None and plot is None and network is None):
        blocks.append(fields.table(pointwise=table, by=by))
    console = output()
    for line in "\n\n".join(blocks).split("\n") if blocks else ():
        console.print(one_line(line), soft_wrap=True, markup=False)


def _extents(size: tuple[int, ...] | None) -> int | tuple[int, ...] | None:
    """Return a size as it was given: one number stands for all extents."""
    return size[0] if size is not None and len(size) == 1 else size


def _last(fields: ReceptiveField, unit: tuple[int, ...] | None) -> LayerField:
    """Return the last layer that has such units: after global pooling a layer has no positions."""
    axes = len(fields.shape if unit is None else unit)
    return next((layer for layer in reversed(list(fields)) if len(layer.shape) == axes), fields.output)


def _seen(fields: ReceptiveField, layer: LayerField, unit: tuple[int, ...]) -> dict[str, Any]:
    """Return the field of a unit in JSON's types: half-open ranges along each axis."""
    count = int(layer.mask(*unit).sum())
    ranges = {
        name: [[side.start, side.stop] for side in layer.region(*unit, clipped=clipped)]
        for name, clipped in (("clipped", True), ("unclipped", False))
    }
    share = count / math.prod(fields.shape)
    return {"layer": layer.name, "unit": list(unit), **ranges, "elements": count, "share": share}


def _describe(fields: ReceptiveField, seen: dict[str, Any]) -> str:
    """Return the field of a unit as lines of text."""
    layer = fields[seen["layer"]]
    position = ", ".join(map(str, seen["unit"]))
    lines = [f"unit ({position}) of {layer.name}, map {'×'.join(map(str, layer.shape)) or '1'}"]
    box = 1
    for name, (start, stop), (first, last), extent in zip(
        _AXES[len(fields.shape)], seen["clipped"], seen["unclipped"], fields.shape
    ):
        beyond = f"  (without a border {first} to {last - 1})" if (first, last) != (start, stop) else ""
        lines.append(
            f"{name.ljust(9)}{start} to {stop - 1} of {extent}{beyond}" if stop > start else f"{name.ljust(9)}none"
        )
        box *= stop - start
    holes = f", with holes in a box of {box:,}" if seen["elements"] < box else ""
    lines.append(f"elements {seen['elements']:,}, {100 * seen['share']:.3g} % of the image{holes}")
    if layer.bound:
        lines.append(f"at most: {layer.bound}")
    return "\n".join(lines)
