"""The look of every figure: type sizes, colours of signed values, numbers in cells, colour bars; and its bytes.

Figures are made by ``matplotlib.figure.Figure``, never by pyplot: they need no display and leave the user's backend as
it is. matplotlib is imported by the first figure.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

Texts = list[list[str]]

#: Type sizes in points: of titles of a figure, titles of panels, text, and small print (ticks, legends, notes).
HEADING, TITLE, TEXT, SMALL = 11.0, 10.0, 9.0, 8.0
#: Colours from the largest negative value over zero to the largest positive one: RdBu of ColorBrewer, which readers
#: with any colour vision tell apart. Its ends are light enough for the frame and the numbers drawn on them.
SIGNED = ("#2166ac", "#4393c3", "#92c5de", "#d1e5f0", "#f7f7f7", "#fddbc7", "#f4a582", "#d6604d", "#b2182b")
# Points of the smallest and the largest number in a cell.
_SMALLEST_NUMBER, _LARGEST_NUMBER = 5.5, 12.0
# Inches of a colour bar, and of the gap before it.
_BAR, _GAP = 0.13, 0.07
# Inches of the shortest colour bar: it has room for ticks.
_SHORTEST = 0.8


def style() -> AbstractContextManager[None]:
    """Return the context in which a figure is made."""
    from matplotlib import rc_context

    return rc_context(
        {
            "font.size": TEXT,
            "figure.titlesize": HEADING,
            "axes.titlesize": TITLE,
            "axes.labelsize": TEXT,
            "axes.linewidth": 0.6,
            "legend.fontsize": SMALL,
            "image.interpolation": "auto",
            # What a user's own style may set and these figures do not stand.
            "image.origin": "upper",
            "image.aspect": "equal",
            "axes.grid": False,
            "axes.titlelocation": "center",
            "figure.autolayout": False,
            "figure.constrained_layout.use": False,
            "svg.fonttype": "path",
        }
    )


def signed_colours() -> Colormap:
    """Return the colour map of signed values; values that are not known are grey."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("signed", SIGNED).with_extremes(bad="0.8")


def draw_signed(axes: Axes, values: np.ndarray, peak: float = 0.0, **options: Any) -> AxesImage:
    """Draw signed values as an image: zero white, red above, blue below, up to the largest magnitude or `peak`."""
    limit = peak or float(np.abs(values).max(initial=0.0)) or 1.0
    drawn = axes.imshow(values, cmap=signed_colours(), vmin=-limit, vmax=limit, **options)
    bare(axes)
    return drawn


def draw_numbers(drawn: AxesImage, choices: Sequence[Texts], width: float, height: float | None = None) -> bool:
    """Draw a number in each cell of an image, with lines between the cells, and return whether there was room.

    Parameters
    ----------
    drawn : AxesImage
        An image of values, without RGB.
    choices : sequence of list of list of str
        The numbers as text; the first that fit are drawn.
    width, height : float
        Size of a cell, in points; square if no height is given.
    """
    for texts in choices:
        # No character is wider than 0.64 times the font size, but for the minus sign.
        longest = max(len(text) for row in texts for text in row)
        size = min(0.82 * width / (0.64 * max(longest, 2)), 0.7 * (height or width))
        if size >= _SMALLEST_NUMBER:
            break
    else:
        return False
    axes, values = drawn.axes, np.asarray(drawn.get_array())
    left, right, bottom, top = drawn.get_extent()
    rows, columns = values.shape
    lines: dict[str, Any] = {"colors": "0.75", "linewidth": 0.5}
    axes.hlines(np.linspace(top, bottom, rows + 1)[1:-1], left, right, **lines)
    axes.vlines(np.linspace(left, right, columns + 1)[1:-1], top, bottom, **lines)
    colours = drawn.to_rgba(values)
    for (i, j), text in np.ndenumerate(np.array(texts)):
        x, y = left + (right - left) * (j + 0.5) / columns, top + (bottom - top) * (i + 0.5) / rows
        style: dict[str, Any] = {"ha": "center", "va": "center_baseline", "fontsize": min(size, _LARGEST_NUMBER)}
        axes.text(x, y, text.replace("-", "−"), color=ink(colours[i, j, :3]), **style)
    return True


def ink(colour: NDArray[np.floating[Any]]) -> str:
    """Return black or white, whichever contrasts more with a colour of red, green and blue from 0 to 1.

    References
    ----------
    Web Content Accessibility Guidelines 2.2, relative luminance and contrast ratio.

    Examples
    --------
    >>> import numpy as np
    >>> ink(np.array([0.1, 0.1, 0.5])), ink(np.array([1.0, 0.9, 0.2]))
    ('white', 'black')
    """
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ [0.2126, 0.7152, 0.0722])
    return "black" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "white"


def colour_bar(drawn: AxesImage, extend: str = "neither") -> Colorbar:
    """Draw a colour bar beside an image, as high as that or 0.8 inches; where no value is negative it starts at 0."""
    from matplotlib.ticker import FuncFormatter

    axes = drawn.axes
    bar = axes.figure.colorbar(drawn, cax=axes.inset_axes((1.0, 0.0, 0.1, 1.0)), extend=extend)
    bar.ax.set_axes_locator(_beside(axes))
    low, high = drawn.get_clim()
    if low == -high and np.nanmin(np.asarray(drawn.get_array()), initial=0.0) > -1e-6 * high:
        bar.ax.set_ylim(0.0, high)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}".replace("-", "−")))
    bar.ax.tick_params(labelsize=SMALL, width=0.6, length=3)
    bar.outline.set_linewidth(0.6)
    return bar


def _beside(axes: Axes) -> Any:
    """Return the function that places a colour bar: its width in inches, its height that of the axes."""
    from matplotlib.transforms import Bbox

    def place(bar: Axes, renderer: object) -> Bbox:
        figure = axes.figure
        box = axes.bbox
        left, bottom = box.x1 + _GAP * figure.dpi, min(box.y0, box.y1 - _SHORTEST * figure.dpi)
        pixels = Bbox.from_extents(left, bottom, left + _BAR * figure.dpi, box.y1)
        return Bbox(figure.transSubfigure.inverted().transform(pixels.get_points()))

    return place


def heading(text: str, inches: float) -> str:
    """Return a title for a figure so many inches wide: in lines that fit, drawn literally."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=HEADING)
    width = text_to_path.get_text_width_height_descent(text, font, False)[0]
    # The letters of a line are at most a little wider than those of the whole text.
    share = 0.92 * 72 * inches / max(width, 1.0)
    return textwrap.fill(text, max(8, int(share * len(text)))).replace("$", r"\$")


def panel_title(axes: Axes, text: str) -> None:
    """Write the title of a panel at the same height above all axes, whatever is drawn beside them."""
    axes.set_title(text, y=1.0, pad=6.0, fontsize=TITLE)


def bare(axes: Axes, framed: bool = True) -> None:
    """Take the ticks from axes, and the frame unless `framed`."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(framed)


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
    with rc_context({"svg.hashsalt": "kernelfield", "svg.fonttype": "path", "pdf.fonttype": 42}):
        figure.savefig(file, format=form, dpi=200, metadata=dates.get(form))
    return file.getvalue()
