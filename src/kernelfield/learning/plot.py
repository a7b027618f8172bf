"""A fit as a figure: before, after, kernel, residual. matplotlib is imported when a figure is made."""

from __future__ import annotations

import importlib.util
import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from kernelfield.correlation import correlate
from kernelfield.correlation.arguments import check_image
from kernelfield.errors import ArgumentError, MissingDependencyError
from kernelfield.learning.report import table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from kernelfield.learning.fit import Fit

# Blue below zero, red above, as on the terminal.
_COLOURS = "RdBu_r"
# Numbers in the cells of wider kernels would not be legible.
_WIDEST = 9


def require() -> None:
    """Raise unless matplotlib is there.

    Raises
    ------
    MissingDependencyError
        With the command that installs it.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingDependencyError(
            "plot: expected matplotlib; it is not installed; run: pip install 'kernelfield[plot]'"
        )


def plot(fit: Fit, before: ArrayLike | None = None, after: ArrayLike | None = None) -> Figure:
    """Return a figure of the kernel and, where the pair is given, of before, after and residual.

    Parameters
    ----------
    fit : Fit
        What was learned.
    before, after : array_like, shape (H, W) or (H, W, C), optional
        The pair, both or none. Of several channels the largest residual is drawn.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    ArgumentError
        If the pair does not go with the fit.
    """
    require()
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08, wspace=0.03, hspace=0.03)
    with rc_context({"font.size": 9.0, "axes.titlesize": 10.0, "image.interpolation": "auto"}):
        if before is None or after is None:
            figure = Figure(figsize=(4.6, 4.4), dpi=150, layout=layout)
            _draw_kernel(figure.subplots(), fit, 3.2)
        else:
            x, y = check_image(before, "before"), check_image(after, "after")
            left = residual(fit, x, y)
            height = 3.2 * min(1.6, max(0.55, x.shape[0] / x.shape[1]))
            figure = Figure(figsize=(8.2, 2 * height + 1.7), dpi=150, layout=layout)
            axes = figure.subplots(2, 2)
            _draw_image(axes[0, 0], x, "Before")
            _draw_image(axes[0, 1], y, "After")
            _draw_kernel(axes[1, 0], fit, height)
            _draw_residual(axes[1, 1], left, y.ndim == 3)
        figure.suptitle(f"{fit.description[:1].upper()}{fit.description[1:]}\n{fit.verdict}, R² = {fit.r2:.6f}")
    return figure


def encode(figure: Figure, form: str) -> bytes:
    """Return a figure as the bytes of a file, the same for the same figure.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    form : {"png", "svg", "pdf"}
    """
    from matplotlib import rc_context

    dates: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    file = io.BytesIO()
    with rc_context({"svg.hashsalt": "kernelfield", "pdf.fonttype": 42}):
        figure.savefig(file, format=form, dpi=200, metadata=dates.get(form))
    return file.getvalue()


def residual(fit: Fit, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return after less what the filter makes of before, float64 of the shape of `after`.

    NaN where the filter says nothing: at the border, unless its rule is known. What the filter predicts beyond the
    range of an integer type is cut off there, as the producer had to.
    """
    if before.ndim != after.ndim or before.shape[2:] != after.shape[2:]:
        raise ArgumentError(
            f"after: expected the channels of before {before.shape}; received {after.shape}; give the pair learned"
        )
    planes_x, planes_y = (np.atleast_3d(image) for image in (before, after))
    offsets = np.broadcast_to(np.asarray(fit.offset, np.float64), planes_x.shape[2])
    parts = [_residual(fit, planes_x[..., i], planes_y[..., i], float(offset)) for i, offset in enumerate(offsets)]
    return np.stack(parts, axis=2).reshape(after.shape)


def _residual(fit: Fit, before: np.ndarray, after: np.ndarray, offset: float) -> np.ndarray:
    same = before.shape == after.shape
    rule = fit.boundary if fit.boundary not in (None, "copy") else "reflect"
    predicted = correlate(
        before, fit.kernel, mode="same" if same else "valid", boundary=str(rule), cval=fit.cval, dtype=np.float64
    )
    if predicted.shape != after.shape:
        raise ArgumentError(
            f"after: expected {predicted.shape} for this fit; received {after.shape}; give the pair learned"
        )
    predicted += offset
    if after.dtype.kind in "iu":
        limits = np.iinfo(after.dtype)
        np.clip(predicted, limits.min, limits.max, out=predicted)
    left = after - predicted
    if same and fit.boundary in (None, "copy"):
        inside = np.zeros(after.shape, bool)
        rows, columns = (
            slice(max(0, a), max(0, a, n - max(0, k - 1 - a))) for a, k, n in zip(fit.anchor, fit.size, after.shape)
        )
        inside[rows, columns] = True
        outside = after.astype(np.float64) - before if fit.boundary == "copy" else np.full(after.shape, np.nan)
        left = np.where(inside, left, outside)
    return np.asarray(left)


def _draw_image(axes: Axes, image: np.ndarray, title: str) -> None:
    """Draw a picture: colour as it is, anything else in grey with its scale."""
    axes.set_title(title)
    _bare(axes)
    finite = image[np.isfinite(image)]
    low, high = (0.0, 255.0) if image.dtype == np.uint8 else (float(finite.min()), float(finite.max()))
    if image.ndim == 3 and image.shape[2] == 3:
        axes.imshow(np.clip((np.nan_to_num(image.astype(np.float64)) - low) / ((high - low) or 1.0), 0, 1))
        return
    grey = image if image.ndim == 2 else image[..., 0]
    if image.ndim == 3:
        axes.set_title(f"{title}, first of {image.shape[2]} channels")
    drawn = axes.imshow(grey, cmap="gray", vmin=low, vmax=high if high > low else low + 1.0)
    _colour_bar(axes, drawn)


def _draw_kernel(axes: Axes, fit: Fit, height: float) -> None:
    """Draw the weights in axes of `height` inches, zero white, and frame the one over the output pixel."""
    weights = fit.kernel.weights
    rows, columns = weights.shape
    peak = float(np.abs(weights).max()) or 1.0
    drawn = axes.imshow(weights, cmap=_COLOURS, vmin=-peak, vmax=peak, interpolation="nearest")
    title = f"Kernel {rows}×{columns}"
    if max(rows, columns) <= _WIDEST:
        cells = table(fit)
        if fit.divisor not in (None, 1):
            title += f", numbers over {fit.divisor}"
        longest = max(len(cell) for row in cells for cell in row)
        cell = 72.0 * min(3.2 / columns, height / rows)
        # A digit is about 0.64 as wide as the type is high.
        for lines, count, end in ((axes.hlines, rows, columns), (axes.vlines, columns, rows)):
            lines(np.arange(1, count) - 0.5, -0.5, end - 0.5, colors="white", linewidth=1.0)
        size = float(np.clip(0.85 * cell / (0.64 * max(longest, 2)), 3.5, 12.0))
        for i, row in enumerate(cells):
            for j, cell in enumerate(row):
                ink = "white" if abs(weights[i, j]) > 0.6 * peak else "black"
                axes.text(j, i, cell.replace("-", "−"), ha="center", va="center", color=ink, fontsize=size)
    _frame(axes, fit)
    axes.set_title(title)
    _bare(axes)
    _colour_bar(axes, drawn)


def _frame(axes: Axes, fit: Fit) -> None:
    """Frame the weight over the output pixel."""
    from matplotlib.patches import Rectangle

    row, column = fit.anchor
    if 0 <= row < fit.size[0] and 0 <= column < fit.size[1]:
        for colour, line in (("white", 3.0), ("black", 1.2)):
            box = Rectangle((column - 0.46, row - 0.46), 0.92, 0.92, fill=False, edgecolor=colour, linewidth=line)
            axes.add_patch(box)
        axes.set_xlabel("frame: the weight over the output pixel", fontsize=8)


def _draw_residual(axes: Axes, left: np.ndarray, colour: bool) -> None:
    """Draw what is left, zero white, grey where nothing is predicted."""
    from matplotlib import colormaps

    if colour:
        where = np.argmax(np.abs(np.nan_to_num(left)), axis=2)
        left = np.take_along_axis(left, where[..., None], axis=2)[..., 0]
    known = np.abs(left[np.isfinite(left)])
    peak = float(np.quantile(known, 0.999)) if known.size else 1.0
    beyond = bool(known.size) and float(known.max()) > 1.05 * peak
    peak = peak or (float(known.max()) if known.size else 0.0) or 1.0
    colours = colormaps[_COLOURS].with_extremes(bad="0.8")
    drawn = axes.imshow(left, cmap=colours, vmin=-peak, vmax=peak)
    axes.set_title("Residual: after less filtered before")
    if colour:
        axes.set_xlabel("of the channels the largest", fontsize=8)
    _bare(axes)
    _colour_bar(axes, drawn, "both" if beyond else "neither")


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])


def _colour_bar(axes: Axes, drawn: Any, extend: str = "neither") -> None:
    # Inset axes are as high as the picture, whatever its shape.
    bar = axes.figure.colorbar(drawn, cax=axes.inset_axes((1.03, 0.0, 0.045, 1.0)), extend=extend)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_linewidth(0.6)
