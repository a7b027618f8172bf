"""Figures of a kernel: its weights and its frequency response. matplotlib is imported by the first figure."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelfield.errors import MissingDependencyError
from kernelfield.kernels.descriptions import describe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from kernelfield.kernels.kernel import Kernel, Weights

# Blue below zero, white at zero, red above.
COLOURS = "RdBu_r"
# Numbers in the cells of larger kernels would not be legible.
LARGEST_WITH_NUMBERS = 9
_FREQUENCIES = 129
# A real or imaginary part below this fraction of the response is rounding error.
_NEGLIGIBLE = 1e-9


def require() -> None:
    """Raise unless matplotlib is installed.

    Raises
    ------
    MissingDependencyError
        With the command to install it.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingDependencyError(
            "plot: expected matplotlib; it is not installed; run: pip install 'kernelfield[plot]'"
        )


def plot(kernel: Kernel, *, response: bool = True) -> Figure:
    """Return a figure of the weights, with the frequency response beside them; zero is white.

    A real response (symmetric kernel) or an imaginary one (antisymmetric kernel) is drawn with its sign, any other as
    its magnitude.

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
    """Draw the weights, with their numbers where legible, and a frame around the weight over the output pixel."""
    rows, columns = kernel.shape
    peak = float(np.abs(kernel.weights).max()) or 1.0
    drawn = axes.imshow(kernel.weights, cmap=COLOURS, vmin=-peak, vmax=peak, interpolation="nearest")
    title = f"Weights, {rows}×{columns}"
    if max(rows, columns) <= LARGEST_WITH_NUMBERS:
        cells, divisor = _cells(kernel)
        title += f", over {divisor}" if divisor > 1 else ""
        draw_numbers(axes, kernel.weights, cells, 72 * 3.0 / max(rows, columns))
    else:
        colour_bar(axes, drawn)
    frame_anchor(axes, kernel)
    axes.set_title(title)
    axes.set_xticks([])
    axes.set_yticks([])


def draw_numbers(axes: Axes, weights: Weights, cells: list[list[str]], width: float) -> None:
    """Draw a number in each cell of an image of weights, with cells `width` points wide, and lines between cells."""
    rows, columns = weights.shape
    peak = float(np.abs(weights).max()) or 1.0
    for lines, count, end in ((axes.hlines, rows, columns), (axes.vlines, columns, rows)):
        lines(np.arange(1, count) - 0.5, -0.5, end - 0.5, colors="white", linewidth=1.0)
    longest = max(len(cell) for row in cells for cell in row)
    # A digit is about 0.64 times as wide as the font size.
    size = float(np.clip(0.85 * width / (0.64 * max(longest, 2)), 3.5, 12.0))
    for i, row in enumerate(cells):
        for j, cell in enumerate(row):
            ink = "white" if abs(weights[i, j]) > 0.6 * peak else "black"
            axes.text(j, i, cell.replace("-", "−"), ha="center", va="center", color=ink, fontsize=size)


def frame_anchor(axes: Axes, kernel: Kernel) -> None:
    """Draw a frame around the weight over the output pixel, if it lies inside the kernel."""
    from matplotlib.patches import Rectangle

    row, column = kernel.anchor
    if 0 <= row < kernel.shape[0] and 0 <= column < kernel.shape[1]:
        for colour, line in (("white", 3.0), ("black", 1.2)):
            box = Rectangle((column - 0.46, row - 0.46), 0.92, 0.92, fill=False, edgecolor=colour, linewidth=line)
            axes.add_patch(box)
        axes.set_xlabel("frame: the weight over the output pixel", fontsize=8)


def colour_bar(axes: Axes, drawn: Any, extend: str = "neither") -> None:
    """Draw a colour bar as high as the image beside it."""
    # Inset axes take the height of the image, whatever its aspect.
    bar = axes.figure.colorbar(drawn, cax=axes.inset_axes((1.03, 0.0, 0.045, 1.0)), extend=extend)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_linewidth(0.6)


def draw_response(axes: Axes, kernel: Kernel) -> None:
    """Draw the frequency response from -1/2 to 1/2 cycles per pixel, positive frequencies to the lower right."""
    frequencies = np.linspace(-0.5, 0.5, _FREQUENCIES)
    values = kernel.frequency_response(frequencies, frequencies)[2]
    part, title, signed = _part(values)
    peak = float(np.abs(part).max()) or 1.0
    colours, low = (COLOURS, -peak) if signed else ("magma", 0.0)
    step = 0.5 / (_FREQUENCIES - 1)
    extent = (-0.5 - step, 0.5 + step, 0.5 + step, -0.5 - step)
    colour_bar(axes, axes.imshow(part, cmap=colours, vmin=low, vmax=peak, extent=extent))
    axes.set_title(title)
    axes.set_xlabel("along the columns, cycles a pixel")
    axes.set_ylabel("down the rows, cycles a pixel")
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


def _cells(kernel: Kernel) -> tuple[list[list[str]], int]:
    """Return the weights as text, and their common divisor."""
    integral = kernel.integers()
    if integral is not None and np.abs(integral[0]).max() < 100_000:
        return [[str(value) for value in row] for row in integral[0].tolist()], integral[1]
    return [[f"{value + 0.0:.3g}" for value in row] for row in kernel.weights.tolist()], 1
