"""The figure of a comparison of kernels: three panels of curves over the frequency."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kernelfield.figures import SMALL, panel_title, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kernelfield.kernels.comparison import Comparison

# Colours and lines that readers with any colour vision tell apart (Okabe and Ito 2008).
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
_LINES = ("-", "--", "-.", ":")


def plot(comparison: Comparison) -> Figure:
    """Return a figure of the errors of direction, isotropy and the frequency response of kernels.

    Parameters
    ----------
    comparison : Comparison
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    frequencies, kernels = comparison.frequencies, comparison.kernels
    gradients = [one for one in kernels if one.direction is not None]
    titles = {
        "Error of direction, largest": "degrees",
        "Isotropy: spread over directions": "% of the mean",
        "Response along the axis": "of the derivative" if gradients else "of the sum or the derivative",
    }
    with style():
        layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08, wspace=0.04)
        shown = list(titles.items())[0 if gradients else 1 :]
        figure = Figure(figsize=(3.7 * len(shown), 4.4), dpi=150, layout=layout)
        panels = figure.subplots(1, len(shown), squeeze=False)[0]
        for panel, (text, unit) in zip(panels, shown):
            panel_title(panel, text)
            panel.set_ylabel(unit)
            panel.set_xlabel("cycles per pixel")
            panel.set_xlim(0, 0.5)
            panel.set_xticks([0, 0.125, 0.25, 0.375, 0.5], ["0", "⅛", "¼", "⅜", "½"])
            panel.grid(color="0.9", linewidth=0.6)
            panel.tick_params(labelsize=SMALL)
        spread, along = panels[-2], panels[-1]
        for i, one in enumerate(kernels):
            look = {"color": _COLOURS[i % len(_COLOURS)], "linestyle": _LINES[i % len(_LINES)], "linewidth": 1.6}
            if one.direction is not None:
                panels[0].plot(frequencies, one.direction, **look)
            spread.plot(frequencies, 100 * one.isotropy, **look)
            along.plot(frequencies, one.response, label=one.label, **look)
        for order in sorted({one.order for one in kernels if one.order in (1, 2)}):
            exact = (2 * np.pi * frequencies) ** order
            along.plot(frequencies, exact, color="0.6", linewidth=1, label=("", "2πf", "(2πf)²")[order], zorder=0)
        # Towards the highest frequency the responses vanish, and every error grows beyond use.
        if gradients:
            highest = max(comparison.at(one.direction, 0.375) for one in gradients if one.direction is not None)
            panels[0].set_ylim(0, 1.1 * highest or 1.0)
        spread.set_ylim(0, 110 * max(comparison.at(one.isotropy, 0.375) for one in kernels) or 1.0)
        along.set_ylim(0, 1.15 * max(float(one.response.max()) for one in kernels))
        figure.legend(loc="outside lower center", frameon=False, ncols=4)
    return figure
