"""Faults that a reader of a figure would see, measured on the drawn figure."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

SMALLEST = 5.4


def every_axes(figure: Figure) -> list[Axes]:
    """Return the axes of a figure, and those inside them, as colour bars."""
    outer = list(figure.axes)
    return list(dict.fromkeys(outer + [inner for axes in outer for inner in axes.child_axes]))


def texts(figure: Figure) -> list[Text]:
    """Return the texts that are seen."""
    found = list(figure.findobj(lambda artist: type(artist) is Text and artist.figure is not None))
    hidden: set[int] = set()
    for axes in every_axes(figure):
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            slack = 1e-6 * (high - low)
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not low - slack <= tick.get_loc() <= high + slack or not axis.get_visible():
                    hidden.update((id(tick.label1), id(tick.label2)))
        if not axes.axison:
            hidden.update(id(text) for axis in (axes.xaxis, axes.yaxis) for text in axis.findobj(Text))
    return [text for text in found if text.get_visible() and text.get_text().strip() and id(text) not in hidden]


def faults(figure: Figure) -> list[str]:
    """Return a line for each text that is small, cut off or over another text, and each curve through a legend."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    page = figure.bbox
    found = []
    boxes = {}
    for text in texts(figure):
        name, box = repr(text.get_text()), text.get_window_extent(renderer)
        boxes[text] = name, box
        if text.get_fontsize() < SMALLEST:
            found.append(f"{name} is small: {text.get_fontsize():.1f} points")
        if box.x0 < page.x0 - 1 or box.y0 < page.y0 - 1 or box.x1 > page.x1 + 1 or box.y1 > page.y1 + 1:
            found.append(f"{name} is cut off")
    # A pixel for the antialiasing of neighbours.
    for (name, box), (other, second) in combinations(boxes.values(), 2):
        wide = min(box.x1, second.x1) - max(box.x0, second.x0)
        high = min(box.y1, second.y1) - max(box.y0, second.y0)
        if wide > 1 and high > 1:
            found.append(f"{name} lies over {other}")
    for axes in every_axes(figure):
        if axes.get_legend() is not None:
            found += _crossed(axes, axes.get_legend().get_window_extent(renderer))
    return found


def _crossed(axes: Axes, box: Bbox) -> list[str]:
    """Return a line for each curve that runs through the legend with this box."""
    found = []
    for line in axes.lines:
        ends = line.get_transform().transform(line.get_xydata())
        steps = np.linspace(0, 1, 50)[:, None]
        points = np.concatenate([ends, *(a + steps * (b - a) for a, b in pairwise(ends))])
        seen = [
            bounds.x0 < x < bounds.x1 and bounds.y0 < y < bounds.y1 for bounds in (box, axes.bbox) for x, y in points
        ]
        half = len(points)
        if any(a and b for a, b in zip(seen[:half], seen[half:])):
            found.append(f"{line.get_label()!r} runs through the legend of {axes.get_title()!r}")
    return found
