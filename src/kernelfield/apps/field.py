"""``kernelfield field``: a model in, what its layers see out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kernelfield.apps.console import output, status
from kernelfield.apps.files import check_target, read_picture, write_file
from kernelfield.apps.messages import UsageError, note, one_line
from kernelfield.receptive.field import receptive_field
from kernelfield.receptive.frontends import onnx

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kernelfield.receptive.field import LayerField, ReceptiveField

_FIGURES = (".png", ".svg", ".pdf")
_AXES = {1: ("elements",), 2: ("rows", "columns"), 3: ("planes", "rows", "columns")}


def run(
    model: Path,
    *,
    input_size: tuple[int, ...] | None,
    layer: str | None,
    unit: tuple[int, ...] | None,
    image: Path | None,
    plot: Path | None,
    network: Path | None,
    as_json: bool,
    table: bool,
    unknown: Literal["error", "global"],
    gates: bool,
    max_pixels: int | None,
) -> None:
    """Analyse, then write the figures asked for, then print."""
    if image is not None and plot is None:
        raise UsageError("--image: expected --plot too, the file to draw to; received --image alone.")
    for name, target in (("--plot", plot), ("--network", network)):
        if target is not None and target.suffix.lower() not in _FIGURES:
            raise UsageError(f"{name}: expected a name that ends in {', '.join(_FIGURES)}; received {str(target)!r}.")
        if target is not None:
            check_target(target)
    if plot is not None or network is not None:
        # A missing matplotlib is said before the work, not after it.
        from kernelfield.receptive.figures import require

        require()
    picture = None if image is None else read_picture(image, max_pixels).pixels
    with status("analysing the network"):
        # The one format that holds no code.
        fields = receptive_field(onnx.graph(str(model), input_size, unknown=unknown), gates=gates)
        chosen = fields[layer] if layer is not None else _last(fields, unit)
        seen = _seen(fields, chosen, unit) if unit is not None else None
        text = _json(fields, seen) if as_json else ""
    with status("drawing"):
        if plot is not None:
            _write(plot, fields.draw(chosen.name, unit, image=picture))
        if network is not None:
            _write(network, fields.draw_network())
    if as_json:
        sys.stdout.write(text)
        return
    parts = []
    if seen is not None:
        parts.append(_unit(fields, seen))
    if table or (seen is None and plot is None and network is None):
        parts.append(fields.table(pointwise=table))
    console = output()
    for line in "\n\n".join(parts).split("\n") if parts else ():
        console.print(one_line(line), soft_wrap=True, markup=False)


def _last(fields: ReceptiveField, unit: tuple[int, ...] | None) -> LayerField:
    """Return the last layer that has such a unit at all: after a global pooling there are no places left."""
    axes = len(fields.shape if unit is None else unit)
    return next((layer for layer in reversed(list(fields)) if len(layer.shape) == axes), fields.output)


def _write(path: Path, figure: Figure) -> None:
    from kernelfield.learning.plot import encode

    write_file(path, encode(figure, path.suffix.lower().lstrip(".")))
    note(f"{path}: written")


def _seen(fields: ReceptiveField, layer: LayerField, unit: tuple[int, ...]) -> dict[str, Any]:
    """Return what a unit sees, as JSON holds it: half-open ranges along each axis."""
    count = int(layer.mask(*unit).sum())
    ranges = {
        name: [[side.start, side.stop] for side in layer.region(*unit, clipped=clipped)]
        for name, clipped in (("clipped", True), ("unclipped", False))
    }
    size = 1
    for extent in fields.shape:
        size *= extent
    return {"layer": layer.name, "unit": list(unit), **ranges, "elements": count, "share": count / size}


def _json(fields: ReceptiveField, seen: dict[str, Any] | None) -> str:
    record = fields.record()
    if seen is not None:
        record["unit"] = seen
    return json.dumps(record, indent=2, allow_nan=False) + "\n"


def _unit(fields: ReceptiveField, seen: dict[str, Any]) -> str:
    """Return what a unit sees, for a person."""
    layer = fields[seen["layer"]]
    place = ", ".join(map(str, seen["unit"]))
    lines = [f"unit ({place}) of {layer.name}, map {'×'.join(map(str, layer.shape)) or '1'}"]
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
