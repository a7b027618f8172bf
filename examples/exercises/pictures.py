"""What the exercises share: pictures in grey, numbers with a sign in blue and red, and where they are written."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kernelfield.figures import HEADING, SMALL, bare, colour_bar, draw_numbers, draw_signed, panel_title

# The palette of Okabe and Ito, which is safe for colour-blind readers.
CURVES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")


def figure(width: float, height: float, title: str) -> Figure:
    """Return an empty figure, its size in inches."""
    made = Figure(figsize=(width, height), dpi=200, layout="constrained")
    made.get_layout_engine().set(w_pad=0.08, h_pad=0.08, wspace=0.04, hspace=0.04)
    made.suptitle(title, fontsize=HEADING)
    return made


def grey(axes: Axes, image: np.ndarray, title: str) -> None:
    """Draw an image from 0, black, to 1, white."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    bare(axes)
    panel_title(axes, title)


def signed(
    axes: Axes,
    values: np.ndarray,
    title: str,
    peak: float = 0.0,
    *,
    numbers: str = "",
    bar: bool = True,
    frame: tuple[int, int] | None = None,
    aspect: str = "equal",
) -> None:
    """Draw numbers that have a sign: red above zero, blue below, zero white.

    `numbers` is the format of numbers in the cells, which stand for the colour bar. `frame` is the shape of the image
    that the values come from: they are drawn over the middles of their windows.
    """
    rows, columns = values.shape
    down, right = ((a - b) / 2 for a, b in zip(frame or values.shape, values.shape))
    extent = (right - 0.5, right + columns - 0.5, down + rows - 0.5, down - 0.5)
    drawn = draw_signed(axes, values, peak, interpolation="nearest", extent=extent, aspect=aspect)
    panel_title(axes, title)
    if frame is not None:
        # Where the window does not fit there is no value: grey.
        axes.set_facecolor("0.75")
        axes.set_xlim(-0.5, frame[1] - 0.5)
        axes.set_ylim(frame[0] - 0.5, -0.5)
    if numbers:
        draw_numbers(drawn, [[[f"{value:{numbers}}" for value in row] for row in values.tolist()]], 22, 12)
    elif bar:
        colour_bar(drawn)


def curves(axes: Axes, title: str) -> None:
    """Finish a diagram of frequency responses: a line at zero, and the legend below it."""
    axes.axhline(0, color="0.6", linewidth=0.6, zorder=0)
    panel_title(axes, title)
    axes.set_xlabel("cycles per pixel", fontsize=SMALL)
    axes.tick_params(labelsize=SMALL)
    axes.legend(fontsize=SMALL, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    axes.set_box_aspect(1)


def write(made: Figure, script: str) -> Path:
    """Write the picture beside the script, or into the folder that was given on the command line."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(script).parent
    path = folder / f"{Path(script).stem}.png"
    made.savefig(path)
    print(f"{path}")
    return path
