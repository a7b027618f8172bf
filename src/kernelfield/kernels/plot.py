"""Figures of a kernel: its weights and its frequency response. matplotlib is imported by the first figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelfield.figures import SMALL, Texts, colour_bar, draw_numbers, draw_signed, heading, panel_title, style
from kernelfield.kernels.descriptions import title
from kernelfield.kernels.text import decimals, weight_texts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from kernelfield.kernels.kernel import Kernel, Weights

_FREQUENCIES = 129
# A real or imaginary part below this fraction of the response is rounding error.
_NEGLIGIBLE = 1e-9
# Inches of the longer side of a panel, and rows or columns of the largest kernel that has room for numbers.
_PANEL, _NUMBERED = 3.1, 24


def plot(kernel: Kernel, *, response: bool = True) -> Figure:
    """Return a figure of the weights, with the frequency response beside them; zero is white.

    A real response (symmetric kernel) or an imaginary one (antisymmetric kernel) is drawn with its sign, any other as
    its magnitude.

    Parameters
    ----------
    kernel : Kernel
    response : bool
        Whether to draw the response.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with style():
        layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08, wspace=0.05)
        figure = Figure(figsize=(8.8 if response else 4.4, 4.2), dpi=150, layout=layout)
        axes = figure.subplots(1, 2 if response else 1, squeeze=False)[0]
        texts, divisor = weight_texts(kernel) if max(kernel.shape) <= _NUMBERED else ([], 1)
        size = "×".join(map(str, kernel.shape))
        panel_title(axes[0], f"Weights, {size}")
        if draw_weights(axes[0], kernel, [texts] if texts else [], _PANEL) and divisor > 1:
            panel_title(axes[0], f"Weights, {size}, numbers over {divisor}")
        if response:
            draw_response(axes[1], kernel)
        figure.suptitle(heading(title(kernel), figure.get_figwidth()))
    return figure


def draw_weights(axes: Axes, kernel: Kernel, choices: Sequence[Texts], inches: float) -> bool:
    """Draw the weights and a colour bar, and frame the weight over the output pixel.

    Parameters
    ----------
    axes : Axes
    kernel : Kernel
    choices : sequence of list of list of str
        The weights as text.
    inches : float
        Longer side of the axes.

    Returns
    -------
    bool
        Whether the first choice is drawn; if it needs more room, shorter numbers are drawn, or none.
    """
    drawn = draw_signed(axes, kernel.weights, interpolation="nearest")
    # Titles of panels side by side are in line.
    axes.set_anchor("N")
    width = 72 * inches / max(kernel.shape)
    exact = draw_numbers(drawn, choices[:1], width)
    if not exact and max(kernel.shape) <= _NUMBERED:
        draw_numbers(drawn, [*choices[1:], decimals(kernel.weights, 3), decimals(kernel.weights, 2)], width)
    _frame_anchor(axes, kernel)
    colour_bar(drawn)
    return exact


def _frame_anchor(axes: Axes, kernel: Kernel) -> None:
    """Draw a frame around the weight over the output pixel, if it lies inside the kernel."""
    from matplotlib.patches import Rectangle

    row, column = kernel.anchor
    if 0 <= row < kernel.shape[0] and 0 <= column < kernel.shape[1]:
        for colour, line in (("white", 3.0), ("black", 1.2)):
            box = Rectangle((column - 0.46, row - 0.46), 0.92, 0.92, fill=False, edgecolor=colour, linewidth=line)
            axes.add_patch(box)
        axes.set_xlabel("frame: the weight over the output pixel", fontsize=SMALL, labelpad=8)


def draw_response(axes: Axes, kernel: Kernel) -> None:
    """Draw the frequency response from -1/2 to 1/2 cycles per pixel, positive frequencies to the lower right."""
    frequencies = np.linspace(-0.5, 0.5, _FREQUENCIES)
    values = kernel.frequency_response(frequencies, frequencies)[2]
    part, text, signed = _part(values)
    step = 0.5 / (_FREQUENCIES - 1)
    extent = (-0.5 - step, 0.5 + step, 0.5 + step, -0.5 - step)
    if signed:
        drawn = draw_signed(axes, part, extent=extent)
    else:
        drawn = axes.imshow(part, cmap="magma", vmin=0.0, vmax=float(part.max()) or 1.0, extent=extent)
    colour_bar(drawn)
    panel_title(axes, text)
    axes.set_xlabel("along the columns, cycles per pixel")
    axes.set_ylabel("down the rows, cycles per pixel")
    ticks = [-0.5, -0.25, 0, 0.25, 0.5]
    labels = ["−½", "−¼", "0", "¼", "½"]
    axes.set_xticks(ticks, labels)
    axes.set_yticks(ticks, labels)


def _part(values: np.ndarray[Any, np.dtype[np.complex128]]) -> tuple[Weights, str, bool]:
    """Return the part of the response to draw, its title, and whether it is signed."""
    small = _NEGLIGIBLE * float(np.abs(values).max())
    if np.abs(values.imag).max() <= small:
        return values.real, "Frequency response (real)", True
    if np.abs(values.real).max() <= small:
        return values.imag, "Frequency response (imaginary part)", True
    return np.abs(values), "Magnitude of the frequency response", False
