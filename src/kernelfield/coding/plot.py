"""Figures of a code and of fitted kernels. matplotlib is imported by the first figure."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kernelfield.figures import SMALL, TEXT, TITLE, bare, draw_signed, signed_colours, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from kernelfield.coding.encoding import Code
    from kernelfield.coding.matching import Matches

Floats = NDArray[np.float64]

# More sampling positions along a side would cover the image with dots.
_MOST_DOTS = 40
# Largest distance in pixels from the middle of a sensor's image to its border.
_LARGEST = 250.0
# Largest number of positions along a side at which responses are drawn.
_FINEST = 1000


def plot_code(code: Code) -> Figure:
    """Return the figure of Field (1987): the even sensors, the image, and the responses with their sampling grids.

    Columns are sizes, the largest first; rows are orientations. Sensors are magnified; zero is white.
    """
    from matplotlib.figure import Figure

    scales = sorted({sensor.wavelength for sensor in code.bank}, reverse=True)
    columns = [[i for i, sensor in enumerate(code.bank) if sensor.wavelength == scale] for scale in scales]
    rows = max(len(column) for column in columns)
    height, width = code.image.shape
    ratio, gap = width / height, 0.22
    # Sensors are square, responses and image have the aspect of the image; the image is drawn 1.5 times as large.
    cell = min(1.55, 8.0 / (len(scales) * (1 + ratio) + 1.5 * ratio))
    widths = [cell] * len(scales) + [gap, 1.5 * cell * ratio, gap] + [cell * ratio] * len(scales)
    total = sum(widths) + 0.06 * len(widths) + 0.2
    tall = max(rows * cell, 1.5 * cell) + 0.06 * rows
    with style():
        figure = Figure(figsize=(total, tall + 0.75), dpi=150)
        grid = figure.add_gridspec(
            rows, len(widths), width_ratios=widths, left=0.1 / total, right=1 - 0.1 / total,
            bottom=0.12 / (tall + 0.75), top=1 - 0.58 / (tall + 0.75), wspace=0.06, hspace=0.06,
        )  # fmt: skip
        first = len(scales)
        largest = 3.5 * max(max(sensor.size, sensor.length) for sensor in code.bank)
        # Sensors of all sizes have the same shape: compute large ones at a smaller size to save time.
        shrunk = min(1.0, _LARGEST / largest)
        half = math.ceil(shrunk * largest - 1e-9)
        for column, channels in enumerate(columns):
            for row, channel in enumerate(channels):
                sensor = code.bank[channel]
                axes = figure.add_subplot(grid[row, column])
                draw_signed(
                    axes, _boxed(replace(sensor, wavelength=max(2.0, shrunk * sensor.wavelength)).even.weights, half)
                )
                answer = figure.add_subplot(grid[row, first + 3 + column])
                _draw_responses(answer, code, channel)
                if row == 0:
                    for titled in (axes, answer):
                        titled.set_title(f"{scales[column]:.3g} px", fontsize=TEXT)
        middle = figure.add_subplot(grid[:, first + 1])
        middle.imshow(code.image, cmap="gray")
        bare(middle)
        middle.set_title("Image", fontsize=TEXT)
        _above(figure, "Even sensors, by wavelength", 0, first, grid)
        _above(figure, "Responses, and where they are sampled", first + 3, len(widths), grid)
    return figure


def _above(figure: Figure, text: str, start: int, stop: int, grid: Any) -> None:
    """Write a heading over columns of the grid."""
    left, right = (grid[0, column].get_position(figure) for column in (start, stop - 1))
    top = left.y1 + 0.28 / figure.get_figheight()
    figure.text((left.x0 + right.x1) / 2, top, text, ha="center", va="bottom", fontsize=TITLE)


def _boxed(weights: Floats, half: int) -> Floats:
    """Return a kernel cropped or zero-padded to a square of side ``2 * half + 1``."""
    out = np.zeros((2 * half + 1, 2 * half + 1))
    parts = []
    for n in weights.shape:
        reach = min(half, n // 2)
        parts.append((slice(half - reach, half + reach + 1), slice(n // 2 - reach, n // 2 + reach + 1)))
    out[parts[0][0], parts[1][0]] = weights[parts[0][1], parts[1][1]]
    return out


def _draw_responses(axes: Axes, code: Code, channel: int) -> None:
    """Draw the responses of even sensors at all pixels, and dots at the sampling positions."""
    height, width = code.image.shape
    filtered = code.filtered(channel, (min(height, _FINEST), min(width, _FINEST))).real
    peak, extent = float(np.quantile(np.abs(filtered), 0.995)), (-0.5, width - 0.5, height - 0.5, -0.5)
    draw_signed(axes, filtered, peak, extent=extent)
    rows, columns = code.positions(channel)
    if max(len(rows), len(columns)) <= _MOST_DOTS:
        y, x = (line.ravel() for line in np.meshgrid(rows, columns, indexing="ij"))
        area = float(np.clip((36 / max(len(rows), len(columns))) ** 2, 0.7, 5.0))
        axes.scatter(x, y, s=area, c="black", linewidths=0)
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)


def plot_matches(matches: Matches) -> Figure:
    """Return a figure of kernels, the fitted Gabor functions, and the distribution of the good fits.

    At most 64 kernels are drawn; the plots include all.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    good = matches.good()
    colours = signed_colours().with_extremes(bad="white")
    with style():
        figure = Figure(figsize=(9.0, 6.6), dpi=150, layout="constrained")
        grid = figure.add_gridspec(2, 6, height_ratios=[1.35, 1.0])
        for place, pictures, title in (
            (grid[0, :3], matches.kernels, "Kernels"),
            (grid[0, 3:], matches.fitted, "Gabor functions fitted to them"),
        ):
            axes = figure.add_subplot(place)
            axes.imshow(_montage(pictures), cmap=colours, vmin=-1, vmax=1, interpolation="nearest")
            axes.set_title(title if len(matches) <= 64 else f"{title}, the first 64 of {len(matches)}")
            bare(axes, framed=False)
        _plane(figure.add_subplot(grid[1, :2]), matches, good)
        counts = figure.add_subplot(grid[1, 2:4])
        # The last bar includes all larger values.
        edges = np.arange(0, 4.25, 0.25)
        counts.hist(np.clip(matches.bandwidth[good], 0, 3.99), bins=edges.tolist(), color="0.55", edgecolor="white")
        counts.axvline(1.0, color="black", linewidth=0.8, linestyle="--")
        counts.set_xlabel("bandwidth, octaves (dashed: one)")
        counts.set_ylabel("kernels")
        counts.set_title("Bandwidth")
        quality = figure.add_subplot(grid[1, 4:])
        quality.hist(np.clip(matches.r2, 0, 1), bins=np.linspace(0, 1, 21).tolist(), color="0.55", edgecolor="white")
        quality.axvline(0.8, color="black", linewidth=0.8, linestyle="--")
        quality.set_xlabel("r² (dashed: 0.8, what counts as good)")
        quality.set_title(f"Goodness of fit: {int(good.sum())} of {len(matches)} good")
        for axes in (counts, quality):
            axes.tick_params(labelsize=SMALL)
            axes.spines[["top", "right"]].set_visible(False)
            axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _plane(axes: Axes, matches: Matches, good: NDArray[np.bool_]) -> None:
    """Draw the good fits in the frequency plane, each at its frequency and the negative of it."""
    angle, radius = np.radians(matches.orientation[good]), matches.frequency[good]
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    axes.scatter(np.concatenate([x, -x]), np.concatenate([y, -y]), s=12, c="#b2182b", linewidths=0, alpha=0.8)
    turn = np.linspace(0, 2 * np.pi, 181)
    for ring in (0.125, 0.25, 0.5):
        axes.plot(ring * np.cos(turn), ring * np.sin(turn), color="0.8", linewidth=0.6, zorder=0)
    axes.set_xlim(-0.55, 0.55)
    axes.set_ylim(0.55, -0.55)
    axes.set_aspect("equal")
    bare(axes, framed=False)
    axes.set_xticks([-0.5, -0.25, 0, 0.25, 0.5], ["½", "¼", "0", "¼", "½"])
    axes.set_xlabel("cycles per pixel")
    axes.set_title("Orientation and frequency")


def _montage(pictures: Floats) -> Floats:
    """Return up to 64 pictures side by side, each scaled by its largest magnitude, with NaN between them."""
    shown = pictures[:64]
    side = math.ceil(math.sqrt(len(shown)))
    height, width = shown.shape[1:]
    out = np.full((math.ceil(len(shown) / side) * (height + 1) + 1, side * (width + 1) + 1), np.nan)
    for i, picture in enumerate(shown):
        row, column = divmod(i, side)
        peak = float(np.abs(picture).max()) or 1.0
        top, left = row * (height + 1) + 1, column * (width + 1) + 1
        out[top : top + height, left : left + width] = picture / peak
    return out
