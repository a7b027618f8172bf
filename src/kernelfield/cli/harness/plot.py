"""The plot of ``kernelfield bench``. matplotlib is imported when it is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernelfield.cli.harness.measure import COPY, OURS
from kernelfield.cli.harness.table import duration, side, title
from kernelfield.figures import SMALL, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 3
# A panel of points has room for at least this many.
_ROWS = 6
# The palette of Okabe and Ito, which is safe for colour-blind readers; ours is black.
_COLOURS = {
    OURS: "#000000",
    COPY: "#999999",
    "OpenCV": "#D55E00",
    "ndimage": "#56B4E9",
    "oaconvolve": "#009E73",
    "libvips": "#F0E442",
    "PyTorch": "#CC79A7",
    "TensorFlow": "#E69F00",
    "JAX": "#0072B2",
}


# Shapes tell lines apart where colours do not: in print, or for colour-blind readers.
_MARKERS = dict(zip(_COLOURS, "o.s^vDPX*", strict=True))


def draw(record: dict[str, Any]) -> Figure:
    """Return a figure with a panel for each kind of work and image: lines over the kernel's size, or points for one."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    panels: dict[str, list[dict[str, Any]]] = {}
    for one in record["figures"]:
        panels.setdefault(f"{title(one)}, {side(one['image'])}", []).append(one)
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1, wspace=0.03, hspace=0.03)
    with style():
        figure = Figure(figsize=(max(5.0, 3.8 * columns), 3.2 * rows + 1.1), dpi=150, layout=layout)
        every = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, (name, figures) in zip(every, panels.items()):
            axes.set_title(name)
            axes.tick_params(labelsize=SMALL)
            axes.spines[["top", "right"]].set_visible(False)
            if len(figures) > 1:
                _lines(axes, figures)
            else:
                axes.set_title("{}, {}×{}".format(name, *figures[0]["kernel"]))
                _points(axes, figures[0])
        for axes in every[len(panels) :]:
            axes.set_axis_off()
        found = {}
        for axes in every:
            found.update(dict(zip(*axes.get_legend_handles_labels()[::-1])))
        order = [name for name in _COLOURS if name in found]
        if order:
            figure.legend([found[name] for name in order], order, loc="outside lower center", ncols=5, frameon=False)
        figure.suptitle(f"{record['machine']['cpu']}, {record['threads'][OURS]} threads: median time of a call")
    return figure


def _lines(axes: Axes, figures: list[dict[str, Any]]) -> None:
    """Draw times over the size of the kernel, both on logarithmic axes."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

    for name, colour in _COLOURS.items():
        points = [(one["kernel"][0], one["median_seconds"][name]) for one in figures if name in one["median_seconds"]]
        if not points:
            continue
        style: dict[str, Any] = {"linewidth": 2.4, "zorder": 3} if name == OURS else {"linewidth": 1.2}
        if name == COPY:
            style["linestyle"] = "--"
        axes.plot(
            *zip(*points),
            color=colour,
            marker=None if name == COPY else _MARKERS[name],
            markersize=4,
            label=name,
            **style,
        )
    sizes = [one["kernel"][0] for one in figures]
    axes.set_xscale("log")
    axes.set_yscale("log")
    shown = [k for k in sizes if k not in (9, 13, 21) or len(sizes) < 7]
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(LogLocator(10, subs=(1, 3)))
    axes.yaxis.set_major_formatter(FuncFormatter(_tick))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("rows and columns of the kernel")
    axes.grid(alpha=0.25, linewidth=0.6)


def _points(axes: Axes, figure: dict[str, Any]) -> None:
    """Draw the times of one kernel as points, a row for each library, with the time beside the point."""
    times = figure["median_seconds"]
    names = [name for name in _COLOURS if name in times]
    for row, name in enumerate(names):
        axes.plot(times[name], row, _MARKERS[name], color=_COLOURS[name], markersize=7)
        axes.annotate(duration(times[name]), (times[name], row), (7, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(max(len(names), _ROWS) - 0.4, -0.6)
    axes.set_xscale("log")
    axes.set_xlim(min(times.values()) / 2, max(times.values()) * 8)
    axes.xaxis.set_visible(False)
    axes.spines[["bottom", "left"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25, linewidth=0.6)


def _tick(value: float, _: object) -> str:
    """Return the label of a tick."""
    number, unit = (value * 1e6, "µs") if value < 0.999e-3 else (value * 1e3, "ms") if value < 0.999 else (value, "s")
    return f"{number:.3g} {unit}"
