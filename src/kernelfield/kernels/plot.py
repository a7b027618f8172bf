"""A kernel as a figure: its weights and its frequency response. matplotlib is imported when a figure is made."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelfield.errors import MissingDependencyError
from kernelfield.kernels.kernel import Kernel, Weights
from kernelfield.kernels.phrases import describe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Blue below zero, red above.
_COLOURS = "RdBu_r"
# Numbers in the cells of wider kernels would not be legible.
_WIDEST = 9
_FREQUENCIES = 129
# A part of the response below this fraction of it is rounding.
_NOTHING = 1e-9


def require() -> None:
    """Raise unless matplotlib is there.

    Raises
    ------
    MissingDependencyError
        With the command that installs it.
    """
    if find_spec("matplotlib") is None:
        raise MissingDependencyError(
            "plot: expected matplotlib; it is not installed; run: pip install 'kernelfield[plot]'"
        )


def plot(kernel: Kernel, *, response: bool = True) -> Figure:
    """Return a figure of the weights, and of the frequency response beside them.

    Zero is white. The response is drawn signed where it is real (a symmetric kernel) or imaginary (an antisymmetric
    one), else its magnitude.

    Parameters
    ----------
    kernel : Kernel
    response : bool
        Whether to draw the response.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    """
    require()
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08, wspace=0.05)
    with rc_context({"font.size": 9.0, "axes.titlesize": 10.0, "image.interpolation": "auto"}):
        figure = Figure(figsize=(8.4 if response else 4.4, 4.2), dpi=150, layout=layout)
        axes = figure.subplots(1, 2 if response else 1, squeeze=False)[0]
        draw_weights(axes[0], kernel)
        if response:
            draw_response(axes[1], kernel)
        if kernel.name:
            text = describe(kernel)
            figure.suptitle(f"{text[:1].upper()}{text[1:]}")
    return figure


def draw_weights(axes: Axes, kernel: Kernel) -> None:
    """Draw the weights with their numbers where they are legible, and a frame around the one over the output pixel."""
    rows, columns = kernel.shape
    peak = float(np.abs(kernel.weights).max()) or 1.0
    drawn = axes.imshow(kernel.weights, cmap=_COLOURS, vmin=-peak, vmax=peak, interpolation="nearest")
    title = f"Weights, {rows}×{columns}"
    if max(rows, columns) <= _WIDEST:
        cells, divisor = _cells(kernel)
        title += f", over {divisor}" if divisor > 1 else ""
        for lines, count, end in ((axes.hlines, rows, columns), (axes.vlines, columns, rows)):
            lines(np.arange(1, count) - 0.5, -0.5, end - 0.5, colors="white", linewidth=1.0)
        longest = max(len(cell) for row in cells for cell in row)
        size = float(np.clip(0.85 * 72 * 3.0 / max(rows, columns) / (0.64 * max(longest, 2)), 3.5, 12.0))
        for i, row in enumerate(cells):
            for j, cell in enumerate(row):
                ink = "white" if abs(kernel.weights[i, j]) > 0.6 * peak else "black"
                axes.text(j, i, cell.replace("-", "−"), ha="center", va="center", color=ink, fontsize=size)
    else:
        _colour_bar(axes, drawn)
    _frame(axes, kernel)
    axes.set_title(title)
    axes.set_xticks([])
    axes.set_yticks([])


def draw_response(axes: Axes, kernel: Kernel) -> None:
    """Draw the frequency response over frequencies from -1/2 to 1/2 cycles a pixel, the lower right positive."""
    frequencies = np.linspace(-0.5, 0.5, _FREQUENCIES)
    values = kernel.frequency_response(frequencies, frequencies)[2]
    part, title, signed = _part(values)
    peak = float(np.abs(part).max()) or 1.0
    colours, low = (_COLOURS, -peak) if signed else ("magma", 0.0)
    step = 0.5 / (_FREQUENCIES - 1)
    extent = (-0.5 - step, 0.5 + step, 0.5 + step, -0.5 - step)
    _colour_bar(axes, axes.imshow(part, cmap=colours, vmin=low, vmax=peak, extent=extent))
    axes.set_title(title)
    axes.set_xlabel("along the columns, cycles a pixel")
    axes.set_ylabel("down the rows, cycles a pixel")
    ticks = [-0.5, -0.25, 0, 0.25, 0.5]
    labels = ["−½", "−¼", "0", "¼", "½"]
    axes.set_xticks(ticks, labels)
    axes.set_yticks(ticks, labels)


def _part(values: np.ndarray[Any, np.dtype[np.complex128]]) -> tuple[Weights, str, bool]:
    """Return what of the response to draw, its title, and whether its sign means something."""
    small = _NOTHING * float(np.abs(values).max())
    if np.abs(values.imag).max() <= small:
        return values.real, "Frequency response (real)", True
    if np.abs(values.real).max() <= small:
        return values.imag, "Frequency response (imaginary part)", True
    return np.abs(values), "Magnitude of the frequency response", False


def _cells(kernel: Kernel) -> tuple[list[list[str]], int]:
    """Return the weights as text, and what they are over."""
    integral = kernel.integers()
    if integral is not None and np.abs(integral[0]).max() < 100_000:
        return [[str(value) for value in row] for row in integral[0].tolist()], integral[1]
    return [[f"{value + 0.0:.3g}" for value in row] for row in kernel.weights.tolist()], 1


def _frame(axes: Axes, kernel: Kernel) -> None:
    from matplotlib.patches import Rectangle

    row, column = kernel.anchor
    if 0 <= row < kernel.shape[0] and 0 <= column < kernel.shape[1]:
        for colour, line in (("white", 3.0), ("black", 1.2)):
            box = Rectangle((column - 0.46, row - 0.46), 0.92, 0.92, fill=False, edgecolor=colour, linewidth=line)
            axes.add_patch(box)
        axes.set_xlabel("frame: the weight over the output pixel", fontsize=8)


def _colour_bar(axes: Axes, drawn: Any) -> None:
    # Inset axes are as high as the picture, whatever its shape.
    bar = axes.figure.colorbar(drawn, cax=axes.inset_axes((1.03, 0.0, 0.045, 1.0)))
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_linewidth(0.6)
