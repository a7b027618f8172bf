"""Kernels as HTML for notebooks: a small picture and the numbers, readable on light and dark pages."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kernelfield.errors import shortened
from kernelfield.figures import SIGNED, ink
from kernelfield.kernels.descriptions import title
from kernelfield.kernels.text import Texts, decimals, weight_texts

if TYPE_CHECKING:
    from kernelfield.kernels.kernel import Kernel, Weights

# Pixels of the longer side of a picture, and of a cell with a number at least and at most.
_SIDE, _SMALLEST_CELL, _LARGEST_CELL = 270, 22, 48
# Pixels of a font: the smallest and the largest.
_SMALLEST_FONT, _LARGEST_FONT = 9.0, 15.0
# Weights along a side of a picture without numbers, and characters of a value in the table beside it.
_FINEST, _LONGEST = 96, 400
# Weights of the largest kernel whose rank is computed for the table.
_MOST_RANKED = 255 * 255


def kernel_html(kernel: Kernel) -> str:
    """Return a picture of the weights beside name, size, anchor, sum and separability."""
    rows, columns = kernel.shape
    texts, divisor = weight_texts(kernel) if max(rows, columns) * _SMALLEST_CELL <= _SIDE else ([], 1)
    facts = [("size", f"{rows}×{columns}, anchor {kernel.anchor}")]
    if divisor > 1:
        facts.append(("numbers", f"each over {divisor}"))
    facts.append(("sum", f"{kernel.weights.sum():.6g}"))
    if kernel.weights.size <= _MOST_RANKED:
        rank = kernel.rank()
        facts.append(("rank", "1: separable" if rank == 1 else f"{rank}"))
    if kernel.source:
        facts.append(("source", kernel.source))
    return card(picture(kernel, [texts] if texts else []), title(kernel) or "Kernel", facts)


def card(svg: str, heading: str, facts: Iterable[tuple[str, str]]) -> str:
    """Return a picture with a heading and a table of facts beside it; all text is escaped and bounded in length.

    Parameters
    ----------
    svg : str
        Markup of the picture; "" for none.
    heading : str
    facts : iterable of (str, str)
        Label and text.
    """
    # The colours of text and background stay those of the page.
    cell = "text-align:left;vertical-align:top;background:none;color:inherit;border:none;padding:1px 12px 1px 0"
    lines = "".join(
        f'<tr style="background:none"><td style="{cell};opacity:0.7;white-space:nowrap">{_clean(label)}</td>'
        f'<td style="{cell}">{_clean(text)}</td></tr>'
        for label, text in facts
    )
    return (
        '<div style="display:flex;flex-wrap:wrap;gap:16px;align-items:flex-start;color:inherit">'
        f'{svg}<div style="flex:1 1 220px;min-width:0;overflow-wrap:anywhere"><strong>{_clean(heading)}</strong>'
        f'<table style="border:none;margin:4px 0 0 0;color:inherit;font-size:inherit">{lines}</table></div></div>'
    )


def picture(kernel: Kernel, choices: Iterable[Texts] = ()) -> str:
    """Return the weights as SVG: blue below zero, red above, with numbers where there is room, the anchor framed.

    Parameters
    ----------
    kernel : Kernel
    choices : iterable of list of list of str
        The numbers as text, before shorter ones that are tried after them.
    """
    weights = kernel.weights
    rows, columns = weights.shape
    cell = min(_LARGEST_CELL, _SIDE / max(rows, columns))
    width, height = max(1.0, columns * cell), max(1.0, rows * cell)
    body = ""
    if cell >= _SMALLEST_CELL:
        for numbers in (*choices, decimals(weights, 3), decimals(weights, 2)):
            size = 0.9 * cell / (0.6 * max(2, *(len(text) for row in numbers for text in row)))
            if size >= _SMALLEST_FONT:
                body = _cells(weights, numbers, cell, min(_LARGEST_FONT, size))
                break
    body = body or _image(weights, width, height)
    named, (row, column) = f"kernel of {rows} by {columns} weights", kernel.anchor
    if 0 <= row < rows and 0 <= column < columns:
        box = f'x="{column * cell + 1:.2f}" y="{row * cell + 1:.2f}" width="{max(1.0, cell - 2):.2f}" '
        box += f'height="{max(1.0, cell - 2):.2f}" fill="none"'
        named += ", the one over the output pixel framed"
        body += f'<rect {box} stroke="white" stroke-width="2.5"/><rect {box} stroke="black" stroke-width="1.2"/>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.2f} {height:.2f}" role="img" style="flex:none">'
        f"<title>{named}</title>{body}</svg>"
    )


def colours_of(weights: Weights) -> NDArray[np.uint8]:
    """Return the colour of each weight, shape (kh, kw, 3)."""
    ends = np.array([[int(code[i : i + 2], 16) for i in (1, 3, 5)] for code in SIGNED], float)
    share = weights / (float(np.abs(weights).max()) or 1.0)
    places = np.linspace(-1, 1, len(ends))
    return np.stack([np.rint(np.interp(share, places, ends[:, i])) for i in range(3)], axis=-1).astype(np.uint8)


def _cells(weights: Weights, numbers: Texts, cell: float, size: float) -> str:
    """Return a rectangle with its number for each weight."""
    boxes, labels = [], []
    colours = colours_of(weights)
    for (i, j), text in np.ndenumerate(np.array(numbers)):
        red, green, blue = colours[i, j].tolist()
        x, y = j * cell, i * cell
        colour = f"#{red:02x}{green:02x}{blue:02x}"
        boxes.append(f'<rect x="{x:.5g}" y="{y:.5g}" width="{cell:.5g}" height="{cell:.5g}" fill="{colour}"/>')
        shade = ink(np.array([red, green, blue]) / 255)
        place = f'x="{x + cell / 2:.5g}" y="{y + cell / 2:.5g}" fill="{shade}"'
        labels.append(f"<text {place}>{_clean(text.replace('-', '−'))}</text>")
    font = f'font-size="{size:.3g}" font-family="sans-serif" text-anchor="middle" dominant-baseline="central"'
    return f'<g stroke="silver" stroke-width="0.5">{"".join(boxes)}</g><g {font}>{"".join(labels)}</g>'


def _image(weights: Weights, width: float, height: float) -> str:
    """Return the weights as a bitmap; of more than 96 along a side, some rows or columns are left out."""
    from PIL import Image

    step = max(1, math.ceil(max(weights.shape) / _FINEST))
    start = [(n - 1) // 2 % step for n in weights.shape]
    file = io.BytesIO()
    Image.fromarray(colours_of(weights)[start[0] :: step, start[1] :: step]).save(file, "PNG", optimize=True)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return (
        f'<image width="{width:.2f}" height="{height:.2f}" preserveAspectRatio="none" '
        f'style="image-rendering:pixelated" href="data:image/png;base64,{data}"/>'
        f'<rect width="{width:.2f}" height="{height:.2f}" fill="none" stroke="gray"/>'
    )


def _clean(text: str) -> str:
    return escape(shortened(text, _LONGEST))
