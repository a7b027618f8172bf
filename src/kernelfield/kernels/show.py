"""A kernel's numbers as text."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def brief(value: object) -> str:
    """Return a parameter as it would be typed, with six digits."""
    return f"{value:.6g}" if isinstance(value, float) else repr(value)


def rows_of(numbers: NDArray[Any]) -> list[str]:
    """Return the rows, aligned; the middle of large kernels is left out."""
    digits: Any = {"float_kind": lambda value: f"{value:.6g}"}
    text = np.array2string(numbers, formatter=None if numbers.dtype.kind == "i" else digits, max_line_width=100)
    cells = [line.strip(" []").split() for line in text.splitlines()]
    if numbers.size > 1000 or len({len(row) for row in cells}) > 1:
        return ["  " + line for line in text.splitlines()]
    widths = [max(len(row[j]) for row in cells) for j in range(len(cells[0]))]
    return ["  " + " ".join(cell.rjust(max(widths)) for cell in row) for row in cells]
