"""Kernels as text: the weights as numbers of one width, and the short printed form."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kernelfield.errors import shortened

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
    shape, anchor = kernel.shape, kernel.anchor
    # No more than these can be printed, however short they are.
    start, (rows, columns) = _around(anchor, shape, (_ROWS, _WIDTH))
    part = kernel.weights[start[0] : start[0] + rows, start[1] : start[1] + columns]
    integral = _integers(kernel)
    peak = float(np.abs(kernel.weights).max())
    factor = ""
    if integral is not None:
        texts, divisor = weight_texts(kernel)
        texts = [row[start[1] : start[1] + columns] for row in texts[start[0] : start[0] + rows]]
        factor = f"1/{divisor}" if divisor > 1 else ""
    elif 0.1 <= peak < 1e5 or peak == 0:
        texts = decimals(part, 4, peak)
    else:
        exponent = max(-300, math.floor(math.log10(peak)))
        factor = f"1e{exponent}"
        texts = decimals(part / float(factor), 4, peak / float(factor))
    heading = kernel_heading(kernel) + (f", {factor} ×" if factor else "")
    return "\n".join([heading, *aligned(texts, anchor, start, shape)])


def aligned(
    texts: Texts, anchor: tuple[int, int], start: tuple[int, int] = (0, 0), shape: tuple[int, int] | None = None
) -> list[str]:
    """Return the lines of numbers in columns of one width: all, or, of many, those around the anchor.

    Parameters
    ----------
    texts : list of list of str
        The weights as text: of the whole kernel, or of a part.
    anchor : (int, int)
        In the whole kernel.
    start : (int, int)
        Row and column of the part.
    shape : (int, int), optional
        Shape of the whole kernel; that of `texts` if not given.

    Examples
    --------
    >>> aligned([["-1", "0", "10"]], (0, 1))
    ['  -1  0 10']
    """
    given = len(texts), len(texts[0])
    width = max(len(text) for row in texts for text in row)
    room = max(1, (_WIDTH - 1) // (width + 1))
    inner = anchor[0] - start[0], anchor[1] - start[1]
    (top, left), (rows, columns) = _around(inner, given, (_ROWS, room))
    lines = []
    if (rows, columns) != (shape or given):
        first, second = start[0] + top, start[1] + left
        lines.append(f"  rows {first} to {first + rows - 1}, columns {second} to {second + columns - 1}:")
    shown = (row[left : left + columns] for row in texts[top : top + rows])
    return [*lines, *("  " + " ".join(text.rjust(width) for text in row) for row in shown)]


def _around(
    anchor: tuple[int, int], shape: tuple[int, int], room: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the first row and column, and the size, of the part around the anchor that has room."""
    # An odd number, so that the anchor is in the middle.
    size = [n if n <= most else most - 1 + most % 2 for n, most in zip(shape, room)]
    start = [min(max(0, a - part // 2), n - part) for a, part, n in zip(anchor, size, shape)]
    return (start[0], start[1]), (size[0], size[1])


def kernel_heading(kernel: Kernel) -> str:
    """Return the name with its arguments, the size, and the anchor where it is not the middle."""
    label = ""
    if kernel.name:
        arguments = ", ".join(f"{key}={_argument(value)}" for key, value in kernel.parameters.items())
        label = shortened(f"{kernel.name}({arguments})", _HEADING) + ", "
    rows, columns = kernel.shape
    moved = "" if kernel.anchor == (rows // 2, columns // 2) else f", anchor {kernel.anchor}"
    return f"Kernel {label}{rows}×{columns}{moved}"


def weight_texts(kernel: Kernel, digits: int = 4) -> tuple[Texts, int]:
    """Return the weights as integers over a divisor where they are, and the divisor; else as `decimals` and 1."""
    integral = _integers(kernel)
    if integral is None:
        return decimals(kernel.weights, digits), 1
    return [[str(value) for value in row] for row in integral[0].tolist()], integral[1]


def _integers(kernel: Kernel) -> tuple[NDArray[np.int64], int] | None:
    """Return the weights as integers over a divisor if there are few weights and small integers, else None."""
    found = kernel.integers() if kernel.weights.size <= _MOST_INTEGERS else None
    return None if found is None or np.abs(found[0]).max() >= _LARGEST_INTEGER else found


def decimals(weights: Weights, digits: int, peak: float | None = None) -> Texts:
    """Return the weights as decimal numbers, all with the decimals that give the largest `digits` digits.

    The largest is `peak`, where `weights` are a part of a kernel. Zeros are written ``0``; very large and very small
    weights in scientific notation.

    Examples
    --------
    >>> import numpy as np
    >>> decimals(np.array([[0.5, -0.25, 1 / 3, 0.0]]), 3)
    [['0.500', '-0.250', '0.333', '0']]
    """
    peak = float(np.abs(weights).max()) if peak is None else peak
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
