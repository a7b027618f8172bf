"""The kernels with which programs reduce pictures by a whole number, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


def _box(x: np.ndarray) -> np.ndarray:
    return ((x > -0.5) & (x <= 0.5)).astype(np.float64)


def _triangle(x: np.ndarray) -> np.ndarray:
    values: np.ndarray = np.maximum(0.0, 1.0 - np.abs(x))
    return values


def _hamming(x: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < 1.0, np.sinc(x) * (0.54 + 0.46 * np.cos(np.pi * x)), 0.0)


def _cubic(b: float, c: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return the cubic filter of Mitchell and Netravali, *Reconstruction Filters in Computer Graphics*, 1988, eq. 8."""

    def function(x: np.ndarray) -> np.ndarray:
        x = np.abs(x)
        near = ((12 - 9 * b - 6 * c) * x**3 + (-18 + 12 * b + 6 * c) * x**2 + (6 - 2 * b)) / 6
        far = ((-b - 6 * c) * x**3 + (6 * b + 30 * c) * x**2 + (-12 * b - 48 * c) * x + (8 * b + 24 * c)) / 6
        return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))

    return function


def _lanczos(lobes: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: np.where(np.abs(x) < lobes, np.sinc(x) * np.sinc(x / lobes), 0.0)


# The functions, and half their support, in pixels of the after.
FAMILIES: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float]] = {
    "box (the mean)": (_box, 0.5),
    "triangle (bilinear)": (_triangle, 1.0),
    "Hamming": (_hamming, 1.0),
    "cubic, a = -0.5 (Catmull-Rom)": (_cubic(0.0, 0.5), 2.0),
    "cubic, a = -0.75": (_cubic(0.0, 0.75), 2.0),
    "cubic of Mitchell": (_cubic(1 / 3, 1 / 3), 2.0),
    "cubic B-spline": (_cubic(1.0, 0.0), 2.0),
    "Lanczos, 2 lobes": (_lanczos(2), 2.0),
    "Lanczos, 3 lobes": (_lanczos(3), 3.0),
}


@dataclass(frozen=True)
class Line:
    """The weights of a reduction along one axis, and the offset of the first from the pixel at ``stride * p``."""

    weights: np.ndarray
    first: int


def line_of(family: str, stride: int) -> Line:
    """Return the weights of a family along one axis: its function stretched to the stride, with a sum of 1.

    Pixel ``p`` of the after has its centre over ``stride * p + (stride - 1) / 2``.

    Examples
    --------
    >>> line_of("triangle (bilinear)", 2)
    Line(weights=array([0.125, 0.375, 0.375, 0.125]), first=-1)
    """
    function, half = FAMILIES[family]
    centre, reach = (stride - 1) / 2.0, half * stride
    places = np.arange(int(np.ceil(centre - reach)), int(np.floor(centre + reach)) + 1)
    values = function((places - centre) / stride)
    held = np.flatnonzero(np.abs(values) > 1e-12)
    values, first = values[held[0] : held[-1] + 1], int(places[held[0]])
    return Line(values / values.sum(), first)


# How every n-th is called, for n from 2.
_EVERY = ("second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")


def by(stride: tuple[int, int]) -> str:
    """Return a stride in few characters.

    Examples
    --------
    >>> by((2, 2)), by((3, 2))
    ('2', '3×2')
    """
    return f"{stride[0]}" if stride[0] == stride[1] else f"{stride[0]}×{stride[1]}"


def kept(stride: tuple[int, int]) -> str:
    """Return what a stride keeps as a phrase.

    Examples
    --------
    >>> kept((2, 2)), kept((1, 2)), kept((3, 12))
    ('every second pixel', 'every second column', 'every third row and 12th column')
    """

    def ordinal(n: int) -> str:
        return _EVERY[n - 2] if n < 2 + len(_EVERY) else f"{n}th"

    if stride[0] == stride[1]:
        return f"every {ordinal(stride[0])} pixel"
    return "every " + " and ".join(f"{ordinal(n)} {axis}" for n, axis in zip(stride, ("row", "column")) if n > 1)


def name_reduction(
    kernel: np.ndarray, anchor: tuple[int, int], stride: tuple[int, int], tolerance: np.ndarray
) -> tuple[str | None, str, float]:
    """Return the family of a kernel, a phrase for it, and its largest distance from the family; None if no one agrees.

    Parameters
    ----------
    kernel, tolerance : numpy.ndarray, shape (kh, kw)
    anchor : (int, int)
        The element over the pixel at ``stride * p``.
    stride : (int, int)
    """
    held = np.argwhere(np.abs(kernel) > tolerance)
    if len(held) == 1:
        down, right = (int(place) - a for place, a in zip(held[0], anchor))
        if abs(float(kernel[tuple(held[0])]) - 1.0) <= float(tolerance[tuple(held[0])]):
            where = f"row {down}, column {right} of each {stride[0]}×{stride[1]} block"
            return "every pixel", f"reduction by {by(stride)} that takes the pixel in {where}", 0.0
    best: tuple[float, str] | None = None
    for family in FAMILIES:
        lines = [line_of(family, n) if n > 1 else Line(np.ones(1), 0) for n in stride]
        built = _placed(lines, kernel.shape, anchor)
        if built is None:
            continue
        miss = np.abs(kernel - built)
        distance = float(miss.max() / np.abs(built).max())
        if (miss <= tolerance).all() and (best is None or distance < best[0]):
            best = distance, family
    if best is None:
        return None, f"a reduction by {by(stride)} of no known kernel", np.inf
    return best[1], f"reduction by {by(stride)}: {best[1]}", best[0]


def _placed(lines: list[Line], shape: tuple[int, ...], anchor: tuple[int, int]) -> np.ndarray | None:
    """Return the product of two lines on a canvas, without what is beyond it; None where that is much."""
    parts = []
    for line, n, a in zip(lines, shape, anchor):
        wide = np.zeros(n)
        places = np.arange(line.weights.size) + line.first + a
        inside = (places >= 0) & (places < n)
        if np.abs(line.weights[~inside]).sum() > 0.01:
            return None
        wide[places[inside]] = line.weights[inside]
        parts.append(wide)
    product: np.ndarray = np.outer(*parts)
    return product
