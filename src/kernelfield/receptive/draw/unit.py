"""Figure of the field of a unit on a photograph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from kernelfield.arrays import as_array
from kernelfield.errors import ArgumentError
from kernelfield.figures import HEADING, SMALL, bare, colour_bar, panel_title, style
from kernelfield.receptive.draw.label import label
from kernelfield.receptive.relations import seen

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from kernelfield.receptive.effective_field import EffectiveField
    from kernelfield.receptive.field import LayerField, ReceptiveField

_COLOURS = "viridis"
_FIELD = "#e4572e"
# Largest image whose elements are separated by lines.
_GRID = 40
# Width of a panel and of the gap between two, in inches.
_WIDE, _GAP = 3.6, 0.55

Box = tuple[range, range]


def draw_unit(
    receptive: ReceptiveField,
    layer: str | None = None,
    unit: Sequence[int] | None = None,
    *,
    image: ArrayLike | None = None,
    effective: EffectiveField | None = None,
    nested: int = 4,
) -> Figure:
    """Return a figure of the field of a unit: its box and those of layers below, the exact set, the effective field.

    Gates are left out: with them a unit sees the whole image.

    Parameters
    ----------
    receptive : ReceptiveField
        Of a network for images of two axes.
    layer : str, optional
        The last one if not given.
    unit : sequence of int, optional
        Index along each axis of the layer's feature map; its middle if not given.
    image : array_like, shape (H, W) or (H, W, 3), optional
        The photograph, integers or floats from 0 to 1; stretched to the size of the network's input.
    effective : EffectiveField, optional
        Of the same unit, drawn beside its field.
    nested : int
        Number of layers below to draw, for each the unit in the middle of the elements read.

    Returns
    -------
    matplotlib.figure.Figure
        `savefig` writes PNG, SVG or PDF, by the suffix.

    Raises
    ------
    ArgumentError
        If an argument does not fit the network.
    """
    from matplotlib.figure import Figure

    extents = receptive.graph.image.shape
    if len(extents) != 2:
        raise ArgumentError(f"draw: expected an image of two axes; received one of {len(extents)}; use mask()")
    if isinstance(nested, bool) or not isinstance(nested, int) or nested < 0:
        raise ArgumentError(f"nested: expected an integer of at least 0; received {nested!r}")
    gated = receptive.gated
    receptive = receptive.without_gates() if gated else receptive
    field = receptive.output if layer is None else receptive[layer]
    place = field.middle if unit is None else tuple(unit)
    mask = field.mask(*place)
    picture = _picture(image)
    if effective is not None:
        other = effective.energy.shape, receptive[effective.layer].name, effective.unit
        if other != (extents, field.name, place):
            raise ArgumentError(f"effective: expected that of {(extents, field.name, place)}; received {other}")
    boxes = [*_nested(receptive, field, place, nested), (field, _box(field, place, clipped=False))]
    panels = 2 if effective is None else 3
    high = _WIDE * min(1.4, max(0.6, extents[0] / extents[1]))
    below = 0.15 + 0.165 * max(3, len(boxes) + 1)
    width, height = 0.2 + panels * (_WIDE + _GAP), high + below + 0.62
    with style():
        figure = Figure(figsize=(width, height), dpi=150)
        places = [((0.2 + i * (_WIDE + _GAP)) / width, below / height) for i in range(panels)]
        axes = [figure.add_axes((x, y, _WIDE / width, high / height), anchor="N") for x, y in places]
        name = label(layer or field.name)
        _draw_boxes(axes[0], boxes, _box(field, place, clipped=True), name, extents, picture)
        _draw_mask(axes[1], mask, picture, field.bound)
        if effective is not None:
            _draw_energy(axes[2], effective, boxes[-1][1])
        whose = f"Unit {_tuple(place)} of “{name}”" if place else f"The unit of “{name}”"
        plain = ", without gates" if gated else ""
        title = f"{whose} in an image of {_extents(extents)}{plain}"
        figure.suptitle(title, y=1 - 0.1 / height, fontsize=HEADING)
    return figure


def _box(field: LayerField, unit: tuple[int, ...], clipped: bool) -> Box:
    rows, columns = field.region(*unit, clipped=clipped)
    return rows, columns


def _tuple(numbers: Sequence[int]) -> str:
    return f"({', '.join(map(str, numbers))})"


def _extents(numbers: Sequence[int]) -> str:
    return "×".join(map(str, numbers))


def _picture(image: ArrayLike | None) -> np.ndarray | None:
    """Return a photograph as floats from 0 to 1."""
    if image is None:
        return None
    pixels = as_array(image, "image")
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4)) or 0 in pixels.shape:
        raise ArgumentError(f"image: expected (H, W) or (H, W, 3); received shape {pixels.shape}; transpose it")
    if pixels.dtype.kind not in "biuf":
        raise ArgumentError(f"image: expected real numbers; received {pixels.dtype}; convert it")
    top = float(np.iinfo(pixels.dtype).max) if pixels.dtype.kind in "iu" else 1.0
    pixels = np.clip(np.nan_to_num(pixels.astype(np.float64)) / top, 0, 1)
    return pixels if pixels.ndim == 2 else pixels[..., 0] if pixels.shape[2] == 1 else pixels[..., :3]


def _nested(
    receptive: ReceptiveField, field: LayerField, unit: tuple[int, ...], count: int
) -> list[tuple[LayerField, Box]]:
    """Return some of the layers below a unit, of different fields, each with the box of its middle unit."""
    nodes = receptive.graph.nodes
    under = {field.name}
    for node in reversed(nodes):
        if node.name in under:
            under.update(edge.source for edge in node.edges)
    found, sizes = [], {field.size}
    for node in nodes[1:]:
        below = receptive[node.name]
        if node.name in under and below.shape and below.size not in sizes and not any(below.whole):
            sizes.add(below.size)
            found.append(below)
    chosen = np.unique(np.linspace(0, len(found) - 1, min(count, len(found))).round().astype(int))
    units = np.zeros(field.shape, bool)
    units[unit] = True
    boxes = []
    for below in (found[i] for i in chosen):
        places = np.argwhere(seen(receptive.graph, field.name, units, source=below.name))
        if len(places):
            middle = places[np.argmin(((places - places.mean(axis=0)) ** 2).sum(axis=1))]
            boxes.append((below, _box(below, tuple(map(int, middle)), clipped=False)))
    return boxes


def _draw_boxes(
    axes: Axes,
    boxes: list[tuple[LayerField, Box]],
    clipped: Box,
    name: str,
    extents: tuple[int, ...],
    picture: np.ndarray | None,
) -> None:
    """Draw the box of the field, inside the image and beyond it, and those of the layers below."""
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    _background(axes, extents, picture)
    axes.add_patch(
        Rectangle((-0.5, -0.5), extents[1], extents[0], fill=False, edgecolor="0.4", linewidth=0.8, clip_on=False)
    )
    colours = colormaps[_COLOURS](np.linspace(0.9, 0.15, len(boxes) - 1)) if len(boxes) > 1 else ()
    for (field, box), colour in zip(boxes, colours):
        _rectangle(axes, box, edgecolor=colour, linewidth=1.5, label=f"{label(field.name)}: {_extents(field.size)}")
    box = boxes[-1][1]
    named = f"{name}: {_extents(list(map(len, box)))}"
    if box == clipped:
        _rectangle(axes, box, edgecolor=_FIELD, linewidth=2.2, label=named)
    else:
        _rectangle(axes, box, edgecolor=_FIELD, linewidth=1.4, linestyle=(0, (4, 2.5)), label=named)
        inside = f"in the image: {_extents(list(map(len, clipped)))}"
        _rectangle(axes, clipped, edgecolor=_FIELD, linewidth=2.2, label=inside)
    panel_title(axes, "Field, and fields below it" if len(boxes) > 1 else "Field")
    # Show at most one width of the image outside it.
    ends = [(max(-n, min(s.start, 0)), min(2 * n, max(s.stop, n))) for n, s in zip(extents, box)]
    margin = 0.0 if box == clipped else max(high - low for low, high in ends) / 60
    _view(axes, *((low - margin, high + margin) for low, high in ends))
    _legend(axes)
    bare(axes, framed=False)


def _rectangle(axes: Axes, box: Box, **style: Any) -> None:
    """Draw the outline of a box of elements, visible on any photograph."""
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import Normal, Stroke

    rows, columns = box
    line = style["linewidth"]
    patch = Rectangle((columns.start - 0.5, rows.start - 0.5), len(columns), len(rows), fill=False, **style)
    # Of boxes that share an edge the smaller one is seen.
    patch.set_zorder(3 + 1 / (1 + len(rows) + len(columns)))
    patch.set_path_effects([Stroke(linewidth=line + 1.4, foreground="white", alpha=0.8), Normal()])
    axes.add_patch(patch)


def _draw_mask(axes: Axes, mask: np.ndarray, picture: np.ndarray | None, bound: str) -> None:
    """Draw the elements that can affect the unit, holes included; enlarged where they are few."""
    from matplotlib.colors import to_rgba

    _background(axes, mask.shape, picture)
    veil = np.empty((*mask.shape, 4))
    veil[mask] = to_rgba(_FIELD, 0.85 if picture is None else 0.0)
    veil[~mask] = to_rgba("0.1", 0.0 if picture is None else 0.65)
    axes.imshow(veil, interpolation="nearest")
    count, title = int(np.count_nonzero(mask)), "At most this set" if bound else "Exact set"
    panel_title(axes, title)
    axes.set_xlabel(
        f"{count:,} of {mask.size:,} elements, {100 * count / mask.size:.3g} % of the image", fontsize=SMALL
    )
    sides = [range(int(i.min()), int(i.max()) + 1) for i in np.nonzero(mask)] if count else []
    if sides and picture is not None:
        _rectangle(axes, (sides[0], sides[1]), edgecolor=_FIELD, linewidth=0.7)
    if sides and all(len(side) < extent / 3 for side, extent in zip(sides, mask.shape)):
        near = max(1.7 * max(map(len, sides)), 6.0)
        starts = [
            min(max(0, round((side.start + side.stop - near) / 2)), max(0, extent - round(near)))
            for side, extent in zip(sides, mask.shape)
        ]
        _view(axes, *((start, min(n, start + round(near))) for start, n in zip(starts, mask.shape)))
        panel_title(axes, f"{title}, enlarged")
    bare(axes, framed=False)


def _draw_energy(axes: Axes, effective: EffectiveField, box: Box) -> None:
    """Draw the square root of the energy, with the circles that enclose 68 and 95 % of it."""
    from matplotlib.patches import Circle

    height, width = effective.energy.shape
    drawn = axes.imshow(np.sqrt(effective.energy / effective.energy.max()), cmap="inferno", interpolation="nearest")
    for share, line in ((0.68, "-"), (0.95, "--")):
        radius = effective.radius(share)
        label = f"{100 * share:.0f} % of the energy: radius {radius:.3g}"
        centre = effective.centre[1], effective.centre[0]
        axes.add_patch(Circle(centre, radius, fill=False, edgecolor="white", linewidth=1.2, linestyle=line))
        axes.plot([], [], color="0.3", linewidth=1.2, linestyle=line, label=label)
    rows, columns = box
    if rows.start > 0 or columns.start > 0 or rows.stop < height or columns.stop < width:
        _rectangle(axes, box, edgecolor=_FIELD, linewidth=1.3)
    _view(axes, (0, height), (0, width))
    panel_title(axes, "Effective field (root of the energy)")
    _legend(axes)
    bare(axes, framed=False)
    colour_bar(drawn)


def _background(axes: Axes, extents: tuple[int, ...], picture: np.ndarray | None) -> None:
    """Draw the photograph, or a plain background, with lines between the elements of small images."""
    height, width = extents
    around = (-0.5, width - 0.5, height - 0.5, -0.5)
    if picture is None:
        axes.imshow(np.full((1, 1, 3), 0.95), extent=around)
    else:
        axes.imshow(picture, cmap="gray", vmin=0, vmax=1, extent=around)
    if max(extents) <= _GRID:
        axes.hlines(np.arange(1, height) - 0.5, -0.5, width - 0.5, colors="white", linewidth=0.6)
        axes.vlines(np.arange(1, width) - 0.5, -0.5, height - 0.5, colors="white", linewidth=0.6)


def _legend(axes: Axes) -> None:
    style: dict[str, Any] = {"fontsize": SMALL, "frameon": False, "handlelength": 1.6, "labelspacing": 0.35}
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), borderaxespad=0.4, **style)


def _view(axes: Axes, rows: tuple[float, float], columns: tuple[float, float]) -> None:
    axes.set_xlim(columns[0] - 0.5, columns[1] - 0.5)
    axes.set_ylim(rows[1] - 0.5, rows[0] - 0.5)
