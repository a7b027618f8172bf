"""Figures of a fit: before, after, kernel and residual. matplotlib is imported by the first figure."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from kernelfield.correlation import correlate
from kernelfield.correlation.arguments import check_image
from kernelfield.errors import ArgumentError
from kernelfield.kernels.plot import COLOURS, LARGEST_WITH_NUMBERS, colour_bar, draw_numbers, frame_anchor, require
from kernelfield.learning.report import table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from kernelfield.learning.fit import Fit


def plot(fit: Fit, before: ArrayLike | None = None, after: ArrayLike | None = None) -> Figure:
    """Return a figure of the kernel and, if the pair is given, of before, after and residual.

    Parameters
    ----------
    fit : Fit
    before, after : array_like, shape (H, W) or (H, W, C), optional
        The pair, both or none. With several channels the largest residual of each pixel is drawn.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    ArgumentError
        If the pair does not belong to the fit.
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
    """Return a figure as the bytes of a file; the same figure gives the same bytes.

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
    """Return `after` minus the filtered `before`, float64 of the shape of `after`.

    NaN at the border if its rule is unknown. Predictions saturate to the range of an integer dtype, as the producer's
    results did.
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
    rule = "reflect" if fit.boundary in (None, "copy", "renormalised") else fit.boundary
    cropped = fit.frame is not None and not same
    predicted = correlate(
        before,
        fit.kernel,
        mode="same" if same or cropped else "valid",
        boundary=str(rule),
        cval=fit.cval,
        dtype=np.float64,
    )
    if cropped:
        predicted = _under(predicted, fit, before.shape, after.shape)
    if predicted.shape != after.shape:
        raise ArgumentError(
            f"after: expected {predicted.shape} for this fit; received {after.shape}; give the pair learned"
        )
    predicted += offset
    if after.dtype.kind in "iu":
        limits = np.iinfo(after.dtype)
        np.clip(predicted, limits.min, limits.max, out=predicted)
    left = after - predicted
    if same and fit.boundary in (None, "copy", "renormalised"):
        inside = np.zeros(after.shape, bool)
        rows, columns = (
            slice(max(0, a), max(0, a, n - max(0, k - 1 - a))) for a, k, n in zip(fit.anchor, fit.size, after.shape)
        )
        inside[rows, columns] = True
        outside = after.astype(np.float64) - before if fit.boundary == "copy" else np.full(after.shape, np.nan)
        left = np.where(inside, left, outside)
    return np.asarray(left)


def _under(predicted: np.ndarray, fit: Fit, before: tuple[int, ...], after: tuple[int, ...]) -> np.ndarray:
    """Return the predictions below an after that is a crop, NaN where the window leaves the before."""
    assert fit.frame is not None
    wide = np.full((before[0] + 2 * after[0], before[1] + 2 * after[1]), np.nan)
    inside = tuple(slice(a, n - (k - 1 - a)) for a, k, n in zip(fit.anchor, fit.size, before))
    wide[after[0] : after[0] + before[0], after[1] : after[1] + before[1]][inside] = predicted[inside]
    row, column = (n + first for n, first in zip(after, fit.frame))
    return wide[row : row + after[0], column : column + after[1]]


def _draw_image(axes: Axes, image: np.ndarray, title: str) -> None:
    """Draw an image: three channels as colour, anything else in grey with a colour bar."""
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
    colour_bar(axes, drawn)


def _draw_kernel(axes: Axes, fit: Fit, height: float) -> None:
    """Draw the weights in axes of `height` inches, zero white, and frame the weight over the output pixel."""
    weights = fit.kernel.weights
    rows, columns = weights.shape
    peak = float(np.abs(weights).max()) or 1.0
    drawn = axes.imshow(weights, cmap=COLOURS, vmin=-peak, vmax=peak, interpolation="nearest")
    title = f"Kernel {rows}×{columns}"
    if max(rows, columns) <= LARGEST_WITH_NUMBERS:
        cells = table(fit)
        if fit.divisor not in (None, 1):
            title += f", numbers over {fit.divisor}"
        draw_numbers(axes, weights, cells, 72.0 * min(3.2 / columns, height / rows))
    frame_anchor(axes, fit.kernel)
    axes.set_title(title)
    _bare(axes)
    colour_bar(axes, drawn)


def _draw_residual(axes: Axes, left: np.ndarray, colour: bool) -> None:
    """Draw the residual, zero white, pixels without a prediction grey."""
    from matplotlib import colormaps

    if colour:
        where = np.argmax(np.abs(np.nan_to_num(left)), axis=2)
        left = np.take_along_axis(left, where[..., None], axis=2)[..., 0]
    known = np.abs(left[np.isfinite(left)])
    peak = float(np.quantile(known, 0.999)) if known.size else 1.0
    beyond = bool(known.size) and float(known.max()) > 1.05 * peak
    peak = peak or (float(known.max()) if known.size else 0.0) or 1.0
    colours = colormaps[COLOURS].with_extremes(bad="0.8")
    drawn = axes.imshow(left, cmap=colours, vmin=-peak, vmax=peak)
    axes.set_title("Residual: after less filtered before")
    if colour:
        axes.set_xlabel("of the channels the largest", fontsize=8)
    _bare(axes)
    colour_bar(axes, drawn, "both" if beyond else "neither")


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
