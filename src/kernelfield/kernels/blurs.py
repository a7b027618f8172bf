"""Blurs of lenses and shutters: disk and motion blur, each weight the exact share of the shape in its pixel."""

import math

import numpy as np
from numpy.typing import NDArray

from kernelfield.kernels.arguments import kernel_family, number, unit, window
from kernelfield.kernels.kernel import Kernel

# Pieces of the line below this fraction of its length are rounding error.
_NOTHING = 1e-12


@kernel_family
def disk(radius: float = 3.0) -> Kernel:
    """Return the mean over a disk: the blur of an ideal lens out of focus.

    Each weight is the exact area of the disk inside the pixel, divided by the area of the disk; weights change smoothly
    with the radius.

    Parameters
    ----------
    radius : float
        In pixels, above 0. Up to 1/2 the disk lies inside one pixel.

    Returns
    -------
    Kernel
        Of ``2 * ceil(radius - 1/2) + 1`` rows and columns.

    Raises
    ------
    ArgumentError
        If the radius is not above 0.

    References
    ----------
    J. W. Goodman, Introduction to Fourier Optics, chapter on imaging systems: the defocused image of a point, in the
    limit of geometrical optics.

    Examples
    --------
    >>> disk(1).weights.round(3)
    array([[0.025, 0.145, 0.025],
           [0.145, 0.318, 0.145],
           [0.025, 0.145, 0.025]])
    """
    radius = number("radius", radius, above=0)
    reach = max(0, math.ceil(radius - 0.5))
    window("radius", 2 * reach + 1)
    edges = np.arange(-reach, reach + 2) - 0.5
    # Signed area between the middle and each corner of the grid; differences give the area in each pixel.
    corners = np.sign(edges)[:, None] * np.sign(edges) * _quarter(np.abs(edges)[:, None], np.abs(edges), radius)
    areas = np.abs(np.diff(np.diff(corners, axis=0), axis=1))
    source = "exact area of a disk in each pixel; J. W. Goodman, Introduction to Fourier Optics"
    return Kernel(areas / areas.sum(), "disk", {"radius": radius}, source)


@kernel_family
def motion(length: float = 9.0, angle: float = 0.0) -> Kernel:
    """Return the mean along a straight line: the blur of uniform motion while the shutter is open.

    Each weight is the exact length of the line inside the pixel, divided by the length of the line. The line has no
    width, and its midpoint is the centre of the middle pixel.

    Parameters
    ----------
    length : float
        Of the path in pixels, above 0. An odd integer n along an axis gives n equal weights.
    angle : float
        Of the path, in degrees from the columns' axis towards the rows': 0 is horizontal, 90 vertical, 45 from the
        upper left to the lower right.

    Raises
    ------
    ArgumentError
        If the length is not above 0 or the angle not finite.

    Examples
    --------
    >>> motion(3, angle=90)
    Kernel motion(length=3, angle=90), 3×1, 1/3 ×
      1
      1
      1
    """
    length = number("length", length, above=0)
    angle = number("angle", angle)
    ends = [abs(part) * length / 2 for part in unit(angle)]
    reach = [max(0, math.ceil(end - 0.5 - _NOTHING * length)) for end in ends]
    window("length", [2 * n + 1 for n in reach])
    # Crossings from pixel to pixel, as fractions of the length measured from the middle.
    crossings = [np.array([-0.5, 0.5])]
    for part, n in zip(unit(angle), reach, strict=True):
        if part:
            crossings.append((np.arange(-n, n + 1)[:-1] + 0.5) / (part * length))
    marks = np.sort(np.clip(np.concatenate(crossings), -0.5, 0.5))
    pieces, middles = np.diff(marks), (marks[1:] + marks[:-1]) / 2 * length
    kept = pieces > _NOTHING
    weights = np.zeros((2 * reach[0] + 1, 2 * reach[1] + 1))
    places = tuple(np.rint(middles[kept] * part).astype(int) + n for part, n in zip(unit(angle), reach, strict=True))
    np.add.at(weights, places, pieces[kept])
    parameters = {"length": length, "angle": angle}
    source = "exact length of a line in each pixel"
    return Kernel((weights + weights[::-1, ::-1]) / (2 * weights.sum()), "motion", parameters, source)


def _quarter(x: NDArray[np.float64], y: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """Return the area of the rectangle from 0 to (x, y), neither negative, that lies in the disk around 0."""
    x, y = np.minimum(x, radius), np.minimum(y, radius)
    # Up to here the rectangle's height is below the circle; beyond, the circle is.
    level = np.minimum(x, radius * np.sqrt(1 - (y / radius) ** 2))
    return np.asarray(y * level + _under(x, radius) - _under(level, radius))


def _under(x: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """Return the area under the circle from 0 to x."""
    # Rounding may put x beyond the circle.
    share = np.minimum(x / radius, 1)
    return np.asarray(radius**2 * (share * np.sqrt(1 - share**2) + np.arcsin(share)) / 2)
