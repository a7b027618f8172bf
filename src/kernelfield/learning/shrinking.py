"""A support shrunk from the outside: the Gram matrix of a support holds those of all its parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kernelfield.learning.least_squares import Moments
from kernelfield.learning.support import Support, centred

# Coefficients from which on rows and columns are not dropped one by one.
_LARGE = 600


def _outline(moments: Moments, support: Support, noise: float, share: float, hold: bool) -> Support:
    """Return the bounding box of the rows and columns that matter, each by itself, and a row or column more.

    Of hundreds of coefficients one row after the other would take minutes.
    """
    inverse, kernel = moments.ridge_inverse, moments.ridge_kernel
    index = np.arange(kernel.size).reshape(support.size)
    spans = []
    for axis, first in ((0, support.top), (1, support.left)):
        lines = np.moveaxis(index, axis, 0)
        kept = []
        for place, line in enumerate(lines):
            m = line.size
            lost = float(kernel[line] @ np.linalg.solve(inverse[np.ix_(line, line)], kernel[line]))
            large = np.abs(kernel[line]).max() > share * np.abs(kernel).max()
            if large and lost > noise * (m + 3.0 * np.sqrt(2.0 * m) + 4.0):
                kept.append(place)
        origin = [-first] if hold and 0 <= -first < len(lines) else []
        low, high = min([*kept, *origin], default=0), max([*kept, *origin], default=len(lines) - 1)
        spans.append((max(0, low - 1), min(len(lines), high + 2)))
    (top, bottom), (left, right) = spans
    return Support(support.top + top, support.left + left, bottom - top, right - left)


def _part_of(moments: Moments, support: Support, part: Support) -> Moments:
    """Return the moments of a part of a support: those of the whole hold them."""
    index = np.arange(support.rows * support.columns).reshape(support.size)
    top, left = part.top - support.top, part.left - support.left
    chosen = index[top : top + part.rows, left : left + part.columns].ravel()
    return replace(moments, gram=moments.gram[np.ix_(chosen, chosen)], cross=moments.cross[chosen])


def core_of(moments: Moments, support: Support, share: float) -> tuple[Support, np.ndarray] | None:
    """Return the smallest odd square about the output pixel that leaves at most `share` times as much, and its weights.

    None where no smaller part of the support does.
    """
    most = share * moments.unexplained(moments.ridge_kernel)
    for size in range(1, min(support.size), 2):
        part = centred((size, size))
        if part.top < support.top or part.left < support.left:
            return None
        if part.top + size > support.top + support.rows or part.left + size > support.left + support.columns:
            return None
        own = _part_of(moments, support, part)
        if own.unexplained(own.ridge_kernel) <= most:
            return part, own.ridge_kernel.reshape(part.size)
    return None


def shrink(
    moments: Moments, support: Support, noise: float, tolerance: float, share: float, hold: bool = True
) -> Support:
    """Return the smallest part of `support` that explains the pair as well; it contains the output pixel if it can.

    Outer rows and columns are dropped one at a time, the least significant first, as long as the Wald statistic of
    their coefficients is not significant, or they are negligible.

    Parameters
    ----------
    moments : Moments
        Of all of `support`.
    noise : float
        Variance of the residual, for the significance of coefficients.
    tolerance, share : float
        A row is negligible if each of its coefficients is at most `share` of the largest, and dropping it raises the
        squared residual by at most the fraction `tolerance`.
    hold : bool
        Whether the output pixel stays inside.
    """
    if moments.cross.size > _LARGE:
        part = _outline(moments, support, noise, share, hold)
        if part != support:
            return shrink(_part_of(moments, support, part), part, noise, tolerance, share, hold)
    inverse, kernel = moments.ridge_inverse.copy(), moments.ridge_kernel.copy()
    index = np.arange(kernel.size).reshape(support.size)
    top, left, bottom, right = 0, 0, support.rows, support.columns
    residual = noise * max(1, moments.count)
    holds = [hold and -n < first <= 0 for first, n in zip((support.top, support.left), support.size)]
    while True:
        box = index[top:bottom, left:right]
        anchor = -support.top - top, -support.left - left
        tall, wide = box.shape[0] > 1, box.shape[1] > 1
        sides = {
            "top": (box[0], tall and (anchor[0] > 0 or not holds[0]), anchor[0]),
            "bottom": (box[-1], tall and (anchor[0] < box.shape[0] - 1 or not holds[0]), box.shape[0] - 1 - anchor[0]),
            "left": (box[:, 0], wide and (anchor[1] > 0 or not holds[1]), anchor[1]),
            "right": (
                box[:, -1],
                wide and (anchor[1] < box.shape[1] - 1 or not holds[1]),
                box.shape[1] - 1 - anchor[1],
            ),
        }
        peak = np.abs(kernel[box]).max()
        best = None
        for name, (line, removable, distance) in sides.items():
            if not removable:
                continue
            m = line.size
            lost = float(kernel[line] @ np.linalg.solve(inverse[np.ix_(line, line)], kernel[line]))
            chance = max(noise * (m + 3.0 * np.sqrt(2.0 * m) + 4.0), 1e-300)
            slight = lost <= tolerance * residual and np.abs(kernel[line]).max() <= share * peak
            if lost <= chance or slight:
                key = (lost / chance > 0.05, -distance, lost / chance)
                if best is None or key < best[0]:
                    best = key, name, line
        if best is None:
            return Support(support.top + top, support.left + left, bottom - top, right - left)
        _, name, line = best
        weights = np.linalg.solve(inverse[np.ix_(line, line)], inverse[line])
        kernel -= weights.T @ kernel[line]
        inverse -= inverse[:, line] @ weights
        inverse[line, line] = 1.0
        top, bottom = top + (name == "top"), bottom - (name == "bottom")
        left, right = left + (name == "left"), right - (name == "right")
