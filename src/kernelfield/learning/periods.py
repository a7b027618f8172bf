"""Pictures that repeat themselves: a kernel as wide as their period is known only folded by it."""

from __future__ import annotations

import numpy as np

# Lines that are compared before the whole picture.
_LINES = 8


def period(image: np.ndarray, axis: int, most: int) -> int:
    """Return the smallest number of pixels, up to `most`, after which an image repeats along an axis; 0 if it does not.

    Examples
    --------
    >>> period(np.tile(np.arange(5), (4, 6)), 1, 10)
    5
    """
    lines = np.moveaxis(image, axis, 0)
    few = lines[:, :: max(1, lines.shape[1] // _LINES)]
    for step in range(1, min(most, lines.shape[0] // 2) + 1):
        if np.array_equal(few[step:], few[:-step]) and np.array_equal(lines[step:], lines[:-step]):
            return step
    return 0


def folded(image: np.ndarray, size: tuple[int, int]) -> str:
    """Return the note that a kernel of a size is wider than the periods of the before, "" if it is not."""
    found = [period(image, axis, n - 1) for axis, n in enumerate(size)]
    words = [f"{step} {name}{'s' if step > 1 else ''}" for step, name in zip(found, ("row", "column")) if step]
    if not words:
        return ""
    return (
        f"the before repeats after {' and '.join(words)}: weights that lie so far apart are known by their sum alone; "
        "take a picture that does not repeat, or a smaller size"
    )
