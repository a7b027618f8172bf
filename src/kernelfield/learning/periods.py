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
    # Where it repeats, the first line does.
    first = few[1 : min(most, lines.shape[0] // 2) + 1] == few[0]
    for step in (np.flatnonzero(first.all(axis=1)) + 1).tolist():
        if np.array_equal(few[step:], few[:-step]) and np.array_equal(lines[step:], lines[:-step]):
            return int(step)
    return 0


def distinct(image: np.ndarray) -> int:
    """Return the number of different windows of an image that repeats along both axes; 0 of others."""
    down, right = (period(image, axis, n // 2) for axis, n in enumerate(image.shape))
    return down * right


def repeats(before: np.ndarray, after: np.ndarray) -> str:
    """Return after how many rows and columns a before, and the middle of its after, repeat, as a phrase; "" if not."""
    found = [period(before, axis, n // 2) for axis, n in enumerate(before.shape)]
    if not all(found) or before.shape != after.shape:
        return ""
    # Near the border the after may depend on what was taken to lie outside.
    middle = after[tuple(slice(n // 4, n - n // 4) for n in after.shape)]
    for axis, step in enumerate(found):
        lines = np.moveaxis(middle, axis, 0)
        if step >= len(lines) or not np.array_equal(lines[step:], lines[:-step]):
            return ""
    return _phrase(found)


def _phrase(steps: list[int]) -> str:
    """Return numbers of rows and columns as a phrase, without those that are 0."""
    words = [f"{step} {name}{'s' if step > 1 else ''}" for step, name in zip(steps, ("row", "column")) if step]
    return " and ".join(words)


def folded(image: np.ndarray, size: tuple[int, int]) -> str:
    """Return the note that a kernel of a size is wider than the periods of the before, "" if it is not."""
    words = _phrase([period(image, axis, n - 1) for axis, n in enumerate(size)])
    if not words:
        return ""
    return (
        f"the before repeats after {words}: weights that lie so far apart are known by their sum alone; "
        "take a picture that does not repeat, or a smaller size"
    )
