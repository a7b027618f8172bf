"""Kernels as text: the weights as numbers of one width, and the short printed form."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from kernelfield.kernels.kernel import Kernel, Weights

Texts = list[list[str]]

# Rows and columns of text that a printed kernel takes at most, and characters of its heading.
_ROWS, _WIDTH, _HEADING = 15, 88, 160
# Integers of more digits are printed as decimal numbers.
_LARGEST_INTEGER = 100_000
# Largest number of weights whose common divisor is searched for: larger kernels have none that tells a reader anything.
_MOST_INTEGERS = 31 * 31


def kernel_text(kernel: Kernel) -> str:
    """Return a heading and the weights in aligned columns; of a large kernel the weights around the anchor."""
    texts, divisor = weight_texts(kernel)
    peak = float(np.abs(kernel.weights).max())
    factor = f"1/{divisor}" if divisor > 1 else ""
    if "." in "".join(texts[0]) and not 0.1 <= peak < 1e5:
        factor = f"1e{max(-300, math.floor(math.log10(peak)))}"
        texts = decimals(kernel.weights / float(factor), 4)
    heading = kernel_heading(kernel) + (f", {factor} ×" if factor else "")
    return "\n".join([heading, *aligned(texts, kernel.anchor)])


def aligned(texts: Texts, anchor: tuple[int, int]) -> list[str]:
    """Return the lines of numbers in columns of one width: all, or, of many, those around the anchor.

    Parameters
    ----------
    texts : list of list of str
        The weights as text.
    anchor : (int, int)

    Examples
    --------
    >>> aligned([["-1", "0", "10"]], (0, 1))
    ['  -1  0 10']
    """
    rows, columns = len(texts), len(texts[0])
    width = max(len(text) for row in texts for text in row)
    room = max(1, (_WIDTH - 1) // (width + 1))
    # An odd number, so that the anchor is in the middle.
    most = min(_ROWS, rows), columns if columns <= room else room - 1 + room % 2
    lines = []
    if most != (rows, columns):
        top, left = (min(max(0, a - n // 2), size - n) for a, n, size in zip(anchor, most, (rows, columns)))
        texts = [row[left : left + most[1]] for row in texts[top : top + most[0]]]
        lines.append(f"  rows {top} to {top + most[0] - 1}, columns {left} to {left + most[1] - 1}:")
    return [*lines, *("  " + " ".join(text.rjust(width) for text in row) for row in texts)]


def kernel_heading(kernel: Kernel) -> str:
    """Return the name with its arguments, the size, and the anchor where it is not the middle."""
    label = ""
    if kernel.name:
        arguments = ", ".join(f"{key}={_argument(value)}" for key, value in kernel.parameters.items())
        label = shortened(f"{kernel.name}({arguments})", _HEADING) + ", "
    rows, columns = kernel.shape
    moved = "" if kernel.anchor == (rows // 2, columns // 2) else f", anchor {kernel.anchor}"
    return f"Kernel {label}{rows}×{columns}{moved}"


def shortened(text: str, longest: int) -> str:
    """Return a text on one line of at most `longest` characters, its end left out if need be; "?" for controls.

    Examples
    --------
    >>> shortened("a name that does not fit", 12)
    'a name that…'
    """
    line = "".join(c if c.isprintable() else "?" for c in " ".join(text[: 4 * longest].split()))
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def weight_texts(kernel: Kernel, digits: int = 4) -> tuple[Texts, int]:
    """Return the weights as integers over a divisor where they are, and the divisor; else as `decimals` and 1."""
    integral = kernel.integers() if kernel.weights.size <= _MOST_INTEGERS else None
    if integral is not None and np.abs(integral[0]).max() < _LARGEST_INTEGER:
        return [[str(value) for value in row] for row in integral[0].tolist()], integral[1]
    return decimals(kernel.weights, digits), 1


def decimals(weights: Weights, digits: int) -> Texts:
    """Return the weights as decimal numbers, all with the decimals that give the largest `digits` digits.

    Zeros are written ``0``; very large and very small weights in scientific notation.

    Examples
    --------
    >>> import numpy as np
    >>> decimals(np.array([[0.5, -0.25, 1 / 3, 0.0]]), 3)
    [['0.500', '-0.250', '0.333', '0']]
    """
    peak = float(np.abs(weights).max())
    exponent = math.floor(math.log10(peak)) if peak else 0
    fixed = -4 <= exponent < digits + 2
    form = f".{max(0, digits - 1 - exponent)}f" if fixed else f".{digits - 1}e"
    # Adding zero after rounding turns -0.0 into 0.0.
    return [
        [f"{float(format(value, form)) + 0.0:{form}}" if value else "0" for value in row] for row in weights.tolist()
    ]


def _argument(value: object) -> str:
    """Return an argument as source text, floats to six digits."""
    return f"{value:.6g}" if isinstance(value, float) else shortened(repr(value), 60)
