"""What the exercises share: pictures in grey, numbers with a sign in blue and red, and where they are written."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

FONT = {"fontsize": 9.5}


def figure(width: float, height: float, title: str) -> Figure:
    """Return an empty figure, its size in inches."""
    made = Figure(figsize=(width, height), dpi=200, layout="constrained")
    made.get_layout_engine().set(w_pad=0.08, h_pad=0.08, wspace=0.04, hspace=0.04)
    made.suptitle(title, fontsize=11)
    return made


def grey(axes: Axes, image: np.ndarray, title: str, low: float = 0.0, high: float = 1.0) -> None:
    """Draw an image, black to white."""
    axes.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    _finish(axes, title)


def signed(
    axes: Axes,
    values: np.ndarray,
    title: str,
    peak: float | None = None,
    *,
    numbers: bool = False,
    bar: bool = True,
    aspect: str = "equal",
) -> None:
    """Draw numbers that have a sign: red above zero, blue below, zero white."""
    if peak is None:
        peak = float(np.abs(values).max()) or 1.0
    drawn = axes.imshow(values, cmap="RdBu_r", vmin=-peak, vmax=peak, interpolation="nearest", aspect=aspect)
    if numbers:
        for (i, j), value in np.ndenumerate(values):
            ink = "white" if abs(value) > 0.6 * peak else "black"
            axes.text(j, i, f"{value:.3g}".replace("-", "−"), ha="center", va="center", color=ink, fontsize=8)
        lines = dict(colors="white", linewidth=0.8)
        axes.hlines(np.arange(1, values.shape[0]) - 0.5, -0.5, values.shape[1] - 0.5, **lines)
        axes.vlines(np.arange(1, values.shape[1]) - 0.5, -0.5, values.shape[0] - 0.5, **lines)
    elif bar:
        scale = axes.figure.colorbar(drawn, cax=axes.inset_axes((1.03, 0.0, 0.05, 1.0)))
        scale.ax.tick_params(labelsize=7)
        scale.outline.set_linewidth(0.5)
    _finish(axes, title)


def write(made: Figure, script: str) -> Path:
    """Write the picture beside the script, or into the folder that was given on the command line."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(script).parent
    path = folder / f"{Path(script).stem}.png"
    made.savefig(path)
    print(f"{path}")
    return path


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title, **FONT)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_linewidth(0.6)
