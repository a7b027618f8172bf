"""A kernel as lines of coloured text: its numbers where they fit, else a heat map of digits."""

from __future__ import annotations

import textwrap

import numpy as np
from rich.console import Console
from rich.text import Text

_BLUE, _RED = (33, 102, 172), (178, 24, 43)
_PALE = (247, 247, 247)


def print_kernel(
    console: Console,
    weights: np.ndarray,
    cells: list[list[str]],
    anchor: tuple[int, int],
    *,
    factor: str,
    symmetric: bool,
) -> None:
    """Print the weights as `kernel_lines` gives them, and a line on how to read them.

    Parameters
    ----------
    console : rich.console.Console
    weights, cells, anchor
        As `kernel_lines` takes them.
    factor : str
        How the cells become the weights, as "over 8"; empty if they are the weights.
    symmetric : bool
        The kernel is the same when both axes are flipped.
    """
    for line in kernel_lines(weights, cells, anchor, console.width):
        if console.color_system is None:
            line.rstrip()
        console.print(line, soft_wrap=True)
    console.print()
    over = f"each {factor}; " if factor else ""
    other = "for convolution they are the same" if symmetric else "flip both axes for convolution"
    console.print(Text(textwrap.fill(f"Cross-correlation weights, {over}{other}.", console.width), style="dim"))
    console.print()


def kernel_lines(weights: np.ndarray, cells: list[list[str]], anchor: tuple[int, int], width: int) -> list[Text]:
    """Return the kernel in at most `width` columns, with the weight over the output pixel marked.

    Parameters
    ----------
    weights : numpy.ndarray, shape (kh, kw)
    cells : list of list of str
        The weights as text.
    anchor : (int, int)
        Row and column of the weight to mark.
    width : int
        Columns of the terminal.

    Examples
    --------
    >>> import numpy as np
    >>> weights = np.array([[-1.0, 0.0, 1.0]])
    >>> print(kernel_lines(weights, [["-1", "0", "1"]], (0, 1), 80)[0])
       -1 [ 0]  1
    """
    peak = float(np.abs(weights).max()) or 1.0
    shares = weights / peak
    available = width - 2
    for texts in (cells, _shorter(cells, peak, 4), _shorter(cells, peak, 3)):
        widest = max(len(text) for row in texts for text in row)
        if weights.shape[1] * (widest + 2) <= available:
            return [
                _numbers(row, shares[i], widest, anchor[1] if i == anchor[0] else None) for i, row in enumerate(texts)
            ]
    for cell in (2, 1):
        if weights.shape[1] * cell <= available:
            return [*_heat(shares, cell, anchor), Text(""), *_legend(peak, cell)]
    size = "×".join(map(str, weights.shape))
    return [Text(f"  ({size} is wider than this terminal; --json gives the numbers, --plot a picture)")]


def _numbers(texts: list[str], shares: np.ndarray, width: int, marked: int | None) -> Text:
    """Return a row of numbers, the marked one in brackets."""
    line = Text("  ")
    for j, text in enumerate(texts):
        left, right = "[]" if j == marked else "  "
        line.append(f"{left}{text.rjust(width)}{right}", _style(shares[j], bold=j == marked))
    return line


def _shorter(cells: list[list[str]], peak: float, digits: int) -> list[list[str]]:
    """Return decimal fractions with fewer digits, without the zero before the point.

    Cells are returned unchanged if they are not fractions, or if the largest would keep only one digit.
    """
    if peak < 10.0 ** (1 - digits) or not all("." in text for row in cells for text in row):
        return cells
    return [[f"{round(float(text), digits) + 0.0:.{digits}f}".replace("0.", ".", 1) for text in row] for row in cells]


def _heat(shares: np.ndarray, cell: int, anchor: tuple[int, int]) -> list[Text]:
    """Return rows of digits, ninths of the largest magnitude, with arrows at the edges that point to the anchor."""
    rows, columns = shares.shape
    inside = 0 <= anchor[0] < rows and 0 <= anchor[1] < columns
    lines = [Text("  " + " " * (cell * anchor[1] + cell - 1) + "v", "bold")] if inside else []
    for i in range(rows):
        line = Text("> " if inside and i == anchor[0] else "  ", "bold")
        for j in range(columns):
            marked = (i, j) == anchor
            line.append(_digit(shares[i, j], cell), _style(shares[i, j], bold=marked))
        lines.append(line)
    return lines


def _digit(share: float, cell: int) -> str:
    """Return one cell of the heat map; in cells of one character, letters stand for negative digits."""
    level = round(9 * abs(share))
    if not level:
        return "·".rjust(cell)
    if cell == 1:
        return str(level) if share > 0 else "abcdefghi"[level - 1]
    return f"{level if share > 0 else -level}".rjust(cell)


def _legend(peak: float, cell: int) -> list[Text]:
    """Return the explanation of the digits."""
    negative = "" if cell > 1 else "; a to i are −1 to −9"
    return [Text(f"  9 is {peak:.4g}, · is under half a step{negative}; > and v point to the output pixel", "dim")]


def _style(share: float, *, bold: bool) -> str:
    """Return the colours of a cell: white at 0, red towards the positive peak, blue towards the negative."""
    end = _RED if share > 0 else _BLUE
    # The square root makes small weights visible.
    mix = float(np.sqrt(min(1.0, abs(share))))
    back = [round(a + (b - a) * mix) for a, b in zip(_PALE, end)]
    ink = "white" if mix > 0.6 else "black"
    return f"{'bold ' if bold else ''}{ink} on rgb({back[0]},{back[1]},{back[2]})"
