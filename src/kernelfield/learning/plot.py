"""Figures of a fit: before, after, kernel and residual. matplotlib is imported by the first figure."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from kernelfield.errors import ArgumentError
from kernelfield.figures import SMALL, bare, colour_bar, draw_numbers, draw_signed, heading, panel_title, style
from kernelfield.kernels import Kernel
from kernelfield.kernels.plot import draw_weights
from kernelfield.learning.filtering import apply
from kernelfield.learning.null_space import null_space
from kernelfield.learning.pair import as_image, channels
from kernelfield.learning.report import factor, table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

    from kernelfield.learning.fit import Fit
    from kernelfield.learning.transfer import Transfer

# Inches: largest width and height of a picture, smallest of a panel; room for a colour bar, a title, a line below.
_WIDE, _HIGH, _LEAST = 3.3, 4.2, 2.2
_BAR, _TITLE, _BELOW, _EDGE = 0.85, 0.3, 0.35, 0.15
# Share of the after's values within the range of the before for which both are drawn on one scale, grey and colour:
# colours have no other scale that looks like a photograph.
_SHARED, _SHARED_COLOUR = 0.95, 0.8
# Rounding errors of floating point, relative to the largest value, are not drawn in full colour.
_ROUNDING = 64.0
# Intervals along the axes of the diagram of a pair that is not linear.
_BINS = 96


def plot(
    fit: Fit,
    before: ArrayLike | str | os.PathLike[str] | None = None,
    after: ArrayLike | str | os.PathLike[str] | None = None,
    channel_axis: int | str | None = "auto",
) -> Figure:
    """Return a figure of the kernel and, if the pair is given, of before, after and residual, pixel over pixel.

    Where the pair is not linear no kernel is drawn, but the after over the filtered before; ``fit.kernel.plot()``
    draws the kernel of the nearest filter. Where the pair does not determine all weights, the share of each that is not
    told and kernels that change nothing are drawn too.

    Parameters
    ----------
    fit : Fit
    before, after : array_like, PIL image, str or path-like, optional
        The pair, both or none, as `kernelfield.learn` takes it; masked pixels are left white, their residual grey. With
        several channels the largest residual of each pixel is drawn.
    channel_axis : int or "auto"
        As `kernelfield.learn` takes it.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentError
        If the pair does not belong to the fit.
    """
    with style():
        if before is None or after is None:
            return _alone(fit)
        return _with_pair(fit, *of_pair(fit, before, after, channel_axis))


class Compared(NamedTuple):
    """Before, after and residual of a pair, shape (H, W) or (H, W, C); NaN for pixels that are masked or not known."""

    before: np.ndarray
    after: np.ndarray
    residual: np.ndarray


def of_pair(fit: Fit, before: Any, after: Any, channel_axis: int | str | None) -> Compared:
    """Return the pixels of a pair and what a fit leaves of it; arguments as of `plot`."""
    x, good_x = _pixels(before, "before", channel_axis)
    y, good_y = _pixels(after, "after", channel_axis)
    x = x if good_x is None else np.where(good_x, x, np.nan)
    left = residual(fit, x, y)
    if good_y is not None:
        y, left = (np.where(good_y, each, np.nan) for each in (y, left))
    return Compared(x, y, left)


def _pixels(image: Any, name: str, channel_axis: int | str | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Return an image of shape (H, W) or (H, W, C), and where its pixels count."""
    given = as_image(image, name)
    if given[0].ndim == 2:
        return given
    pixels, good = (None if each is None else np.stack(channels(each, name, channel_axis), axis=2) for each in given)
    assert pixels is not None
    return pixels, good


def _alone(fit: Fit) -> Figure:
    """Return the figure of a fit without its pair."""
    rows, columns = fit.size
    height = _WIDE * min(1.0, max(0.3, rows / columns))
    unknown = shows_null_space(fit)
    heights = [_LEAST if fit.verdict == "not linear" else height]
    page = _page(fit, [_WIDE] * (1 + unknown), heights * (1 + unknown))
    axes = page.axes[0][0]
    if fit.verdict == "not linear":
        panel_title(axes, "No kernel: the pair is not linear")
        bare(axes)
        axes.text(0.5, 0.5, textwrap.fill(fit.explanation, 42), ha="center", va="center", transform=axes.transAxes)
    else:
        _draw_kernel(axes, fit, _WIDE)
        if unknown:
            _draw_null_space([page.axes[0][1], *page.axes[1]], fit, _WIDE)
    return page.figure


def _with_pair(fit: Fit, before: np.ndarray, after: np.ndarray, left: np.ndarray) -> Figure:
    """Return the figure of a fit with its pair: four panels, whose pixels lie over each other."""
    # A smaller after is a crop, or lies over the pixels whose windows are inside the before; one of a stride over all.
    covers = after.shape[:2] == before.shape[:2] or fit.stride != (1, 1)
    moved = (0, 0) if covers else fit.frame or fit.anchor
    frame = [
        (min(0, a) - 0.5, max(n, a + m * s) - 0.5) for a, n, m, s in zip(moved, before.shape, after.shape, fit.stride)
    ]
    high, wide = (stop - start for start, stop in frame)
    width = min(_WIDE, _HIGH * wide / high)
    height = width * high / wide
    heights, unknown = [height, max(height, _LEAST)], shows_null_space(fit)
    page = _page(fit, [max(width, _LEAST)] * 2, heights + heights[1:] * unknown)
    (first, second), (third, fourth) = page.axes[:2]
    scale = value_range(before)
    _draw_image(first, before, "Before", scale, (0, 0), 72 * width / wide)
    low, high_ = scale
    inside = np.isfinite(after) & (after >= low) & (after <= high_)
    shared = np.count_nonzero(inside) >= (_SHARED if after.ndim == 2 else _SHARED_COLOUR) * after.size
    cell = 72 * width / wide * min(fit.stride)
    title = "After" if fit.stride == (1, 1) else "After, {}×{}".format(*after.shape)
    _draw_image(second, after, title, scale if shared else value_range(after), moved, cell, fit.stride)
    if fit.verdict == "not linear":
        _draw_relation(page, third, after - left, after)
    else:
        _draw_kernel(third, fit, min(max(width, _LEAST), max(height, _LEAST)))
    _draw_residual(fourth, left, after, moved, cell, fit.stride)
    if unknown:
        _draw_null_space(page.axes[2], fit, min(max(width, _LEAST), max(height, _LEAST)))
    for axes in (first, second, fourth):
        axes.set_xlim(*frame[1])
        axes.set_ylim(*frame[0][::-1])
    return page.figure


class _Page(NamedTuple):
    """A figure, and its axes by row and column."""

    figure: Figure
    axes: list[list[Axes]]


def _page(fit: Fit, widths: list[float], heights: list[float]) -> _Page:
    """Return a figure with axes of these inches, with room for titles, colour bars and lines below."""
    from matplotlib.figure import Figure

    wide = sum(widths) + (len(widths)) * (_BAR + _EDGE)
    text = heading(f"{fit.description[:1].upper()}{fit.description[1:]}", wide)
    text += f"\n{fit.verdict}, R² = {fit.r2:.6f}"
    above = 0.15 + 0.19 * len(text.splitlines())
    high = above + sum(heights) + len(heights) * (_TITLE + _BELOW)
    figure = Figure(figsize=(wide, high), dpi=150)
    figure.suptitle(text, y=1 - 0.08 / high, va="top")
    rows: list[list[Axes]] = []
    top = high - above
    for height in heights:
        top -= _TITLE
        starts = [_EDGE + sum(widths[:i]) + i * (_BAR + _EDGE) for i in range(len(widths))]
        places = [(x / wide, (top - height) / high, w / wide, height / high) for x, w in zip(starts, widths)]
        rows.append([figure.add_axes(place, anchor="N") for place in places])
        top -= height + _BELOW
    return _Page(figure, rows)


def residual(fit: Fit, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return `after` minus the filtered `before`, float64 of the shape of `after`.

    NaN at the border if its rule is unknown. Predictions saturate to the range of an integer dtype, as the producer's
    results did.
    """
    if fit.model != "mixed" and (before.ndim != after.ndim or before.shape[2:] != after.shape[2:]):
        raise ArgumentError(
            f"after: expected the channels of before {before.shape}; received {after.shape}; give the pair learned"
        )
    same = before.shape[:2] == after.shape[:2] or fit.stride != (1, 1)
    if fit.stride != (1, 1):
        for n, m, s in zip(before.shape, after.shape, fit.stride):
            if not n // s <= m <= -(-n // s):
                raise ArgumentError(
                    f"after: expected one pixel for every {s} of before {before.shape} by the stride of this fit; "
                    f"received {after.shape}; give the pair learned"
                )
    if not same and fit.frame is None:
        valid = *(max(0, n - k + 1) for n, k in zip(before.shape, fit.size)), *after.shape[2:]
        if valid != after.shape:
            raise ArgumentError(f"after: expected {valid} for this fit; received {after.shape}; give the pair learned")
    predicted = apply(fit, before, dtype=np.float64).pixels
    if fit.stride != (1, 1):
        predicted = predicted[: after.shape[0], : after.shape[1]]
    if not same or fit.boundary is None:
        # Where the border rule is not known, windows have to lie inside the before.
        inside = tuple(
            slice(-(-a // s), max(-(-a // s), (n - (k - 1 - a) - 1) // s + 1))
            for a, k, n, s in zip(fit.anchor, fit.size, before.shape, fit.stride)
        )
        known = np.full(predicted.shape, np.nan)
        known[inside] = predicted[inside]
        predicted = known if same else _under(known, fit.frame or fit.anchor, after.shape)
    if after.dtype.kind in "iu":
        limits = np.iinfo(after.dtype)
        np.clip(predicted, limits.min, limits.max, out=predicted)
    left: np.ndarray = after - predicted
    return left


def _under(predicted: np.ndarray, frame: tuple[int, int], after: tuple[int, ...]) -> np.ndarray:
    """Return the predictions below an after whose first pixel lies at `frame`, NaN outside the before."""
    wide = np.pad(predicted, [(n, n) for n in after[:2]] + [(0, 0)] * (predicted.ndim - 2), constant_values=np.nan)
    row, column = (n + first for n, first in zip(after, frame))
    return wide[row : row + after[0], column : column + after[1]]


def value_range(image: np.ndarray) -> tuple[float, float]:
    """Return the values to draw as black and white."""
    if image.dtype == np.uint8:
        return 0.0, 255.0
    finite = image[np.isfinite(image)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return low, high if high > low else low + 1.0


def _draw_image(
    axes: Axes,
    image: np.ndarray,
    title: str,
    scale: tuple[float, float],
    moved: tuple[int, int],
    cell: float,
    stride: tuple[int, int] = (1, 1),
) -> None:
    """Draw an image: three channels as colour, one in grey, or red and blue where its scale goes below zero."""
    panel_title(axes, title)
    extent = _extent(image, moved, stride)
    low, high = scale
    if image.ndim == 3 and image.shape[2] == 3:
        span = high - low
        axes.imshow(np.clip((np.nan_to_num(image.astype(np.float64)) - low) / span, 0, 1), extent=extent)
        bare(axes)
        return
    plane = image if image.ndim == 2 else image[..., 0]
    if image.ndim == 3:
        panel_title(axes, f"{title}, first of {image.shape[2]} channels")
    if low < 0:
        drawn = draw_signed(axes, plane, max(-low, high), extent=extent)
    else:
        drawn = axes.imshow(plane, cmap="gray", vmin=low, vmax=high, extent=extent)
        bare(axes)
    _number(drawn, cell)
    beyond = bool((plane < low).any()), bool((plane > high).any())
    colour_bar(drawn, {(True, True): "both", (True, False): "min", (False, True): "max"}.get(beyond, "neither"))


def _extent(image: np.ndarray, moved: tuple[int, int], stride: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return the sides of an image whose first pixel is at a row and a column, and each as large as a stride."""
    rows, columns = (n * s for n, s in zip(image.shape, stride))
    return moved[1] - 0.5, moved[1] + columns - 0.5, moved[0] + rows - 0.5, moved[0] - 0.5


def _number(drawn: AxesImage, cell: float) -> None:
    """Write the values into the cells of an image, if they are large enough."""
    values = np.asarray(drawn.get_array())
    # Of larger images the text would not fit, and making it takes long.
    if cell > 14 and np.isfinite(values).all():
        drawn.set_interpolation("nearest")
        draw_numbers(
            drawn, [[[f"{value:.{digits}g}" for value in row] for row in values.tolist()] for digits in (3, 2)], cell
        )


def _draw_kernel(axes: Axes, fit: Fit, inches: float) -> None:
    """Draw the weights in axes whose shorter side has so many inches."""
    size = "×".join(map(str, fit.size))
    exact = draw_weights(axes, fit.kernel, [table(fit)], inches)
    title = f"Kernel {size}"
    if fit.verdict == "undetermined":
        title += ", one of several"
    elif exact and factor(fit):
        title += f", numbers {factor(fit)}"
    panel_title(axes, title)


def shows_null_space(fit: Fit) -> bool:
    """Return whether there are kernels that the pair cannot tell, which a picture can show."""
    return bool(fit.undetermined.size) and fit.verdict != "not linear"


def _draw_null_space(panels: Sequence[Axes], fit: Fit, inches: float) -> None:
    """Draw the share of each weight that is not determined, and kernels that change nothing in the pair."""
    found = null_space(fit.undetermined, len(panels) - 1)
    draw_weights(panels[0], Kernel(found.share, anchor=fit.anchor), [], inches)
    panel_title(panels[0], "Share of each weight not told")
    panels[0].set_xlabel(f"{found.count} of {found.share.size} directions are not determined", fontsize=SMALL)
    for number, axes in enumerate(panels[1:]):
        if number >= len(found.kernels):
            axes.set_axis_off()
            continue
        draw_weights(axes, Kernel(found.kernels[number], anchor=fit.anchor), [], inches)
        panel_title(axes, "A kernel that changes nothing" if not number else "Another")
        axes.set_xlabel("any multiple of it may be added", fontsize=SMALL)


def _draw_relation(page: _Page, axes: Axes, predicted: np.ndarray, after: np.ndarray) -> None:
    """Draw how often each value of the after stands over each prediction of the filter, darker for more."""
    known = np.isfinite(predicted) & np.isfinite(after)
    x, y = predicted[known].astype(np.float64), after[known].astype(np.float64)
    panel_title(axes, "No kernel: the pair is not linear")
    low, high = min(x.min(initial=0.0), y.min(initial=0.0)), max(x.max(initial=1.0), y.max(initial=1.0))
    counts = np.histogram2d(y, x, _BINS, [(low, high), (low, high)])[0]
    # Labels need room on the left and below.
    box = axes.get_position()
    left, below = 0.5 / page.figure.get_figwidth(), 0.2 / page.figure.get_figheight()
    axes.set_position((box.x0 + left, box.y0 + below, box.width - left, box.height - below))
    axes.imshow(np.log1p(counts), cmap="Greys", extent=(low, high, low, high), origin="lower")
    axes.plot([low, high], [low, high], color="#b2182b", linewidth=1.0, linestyle="--")
    axes.tick_params(labelsize=SMALL)
    axes.set_xlabel("filtered before (dashed: equal)", fontsize=SMALL)
    axes.set_ylabel("after", fontsize=SMALL)


def _rounding_floor(after: np.ndarray) -> float:
    """Return residuals that are rounding errors of floating point alone."""
    step = float(np.finfo(after.dtype if after.dtype.kind == "f" else np.float64).eps)
    return _ROUNDING * step * float(np.abs(after[np.isfinite(after)]).max(initial=0.0))


def signed_peak(left: np.ndarray, after: np.ndarray) -> float:
    """Return the residual to draw in full colour: nearly the largest; rounding errors alone are nearly white."""
    known = np.abs(left[np.isfinite(left)])
    peak = float(np.quantile(known, 0.999)) if known.size else 0.0
    return max(peak or float(known.max(initial=0.0)), _rounding_floor(after)) or 1.0


def _draw_residual(
    axes: Axes, left: np.ndarray, after: np.ndarray, moved: tuple[int, int], cell: float, stride: tuple[int, int]
) -> None:
    """Draw the residual, zero white, pixels without a prediction grey."""
    label = "after − filtered before"
    if left.ndim == 3:
        where = np.argmax(np.abs(np.nan_to_num(left)), axis=2)
        left = np.take_along_axis(left, where[..., None], axis=2)[..., 0]
        label += ", largest of the channels"
    largest = float(np.abs(left[np.isfinite(left)]).max(initial=0.0))
    floor, peak = _rounding_floor(after), signed_peak(left, after)
    drawn = draw_signed(axes, left, peak, extent=_extent(left, moved, stride))
    panel_title(axes, "Residual")
    axes.set_xlabel(f"{label}: at most {largest:.3g}".replace("e-", "e−"), fontsize=SMALL)
    if largest > floor:
        _number(drawn, cell)
        colour_bar(drawn, "both" if largest > 1.05 * peak else "neither")


def plot_transfer(transfers: Sequence[Transfer]) -> Figure:
    """Return a figure of modulation transfer functions with bands of 95 %."""
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(4.6, 3.2), dpi=150, layout="constrained")
        axes = figure.add_subplot()
        for one in transfers:
            [line] = axes.plot(one.frequencies, one.value, label=f"{one.angle:g}°")
            if one.error is not None:
                low, high = (one.value + sign * 1.96 * one.error for sign in (-1.0, 1.0))
                axes.fill_between(one.frequencies, low, high, color=line.get_color(), alpha=0.25, linewidth=0)
        axes.axhline(0.5, color="0.6", linewidth=0.8, linestyle=":")
        axes.set_ylim(bottom=0.0)
        axes.set_xlabel("cycles per pixel")
        axes.set_ylabel("contrast left")
        axes.legend(title="direction", fontsize=SMALL)
    return figure
