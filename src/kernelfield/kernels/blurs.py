"""Blurs of lenses and shutters: disk, annulus and motion blur, each weight the exact share of the shape in its pixel.

And the Gaussian along any direction.
"""

import math

import numpy as np
from numpy.typing import NDArray

from kernelfield.errors import ArgumentError
from kernelfield.kernels.arguments import ellipse, kernel_family, number, unit, window
from kernelfield.kernels.kernel import Kernel
from kernelfield.kernels.smoothing import Size

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

    array([[0.025, 0.145, 0.025],
           [0.145, 0.318, 0.145],
           [0.025, 0.145, 0.025]])
    """
    radius = number("radius", radius, above=0)
    areas = _areas(radius, _reach("radius", radius))
    source = "exact area of a disk in each pixel; J. W. Goodman, Introduction to Fourier Optics"
    return Kernel(areas / areas.sum(), "disk", {"radius": radius}, source)


@kernel_family
def annulus(outer: float = 4.0, inner: float = 2.0) -> Kernel:
    """Return the mean over a ring: the blur out of focus of a lens with a hidden middle, such as a mirror telescope's.

    Each weight is the exact area of the ring inside the pixel, divided by the area of the ring.

    Parameters
    ----------
    outer, inner : float
        Radii in pixels, 0 < inner < outer.

    Raises
    ------
    ArgumentError
        If `inner` is not above 0, or `outer` not above `inner`.

    References
    ----------
    J. W. Goodman, Introduction to Fourier Optics, as `disk`, for an aperture with a central obscuration.

    Examples
    --------
    >>> annulus(1.5, 0.5).weights.round(3)
    array([[0.087, 0.155, 0.087],
           [0.155, 0.034, 0.155],
           [0.087, 0.155, 0.087]])
    """
    outer, inner = number("outer", outer, above=0), number("inner", inner, above=0)
    if outer <= inner:
        raise ArgumentError(f"outer: expected more than inner {inner:g}, received {outer:g}; exchange them")
    reach = _reach("outer", outer)
    areas = np.maximum(_areas(outer, reach) - _areas(inner, reach), 0.0)
    source = "exact area of a ring in each pixel; J. W. Goodman, Introduction to Fourier Optics"
    return Kernel(areas / areas.sum(), "annulus", {"outer": outer, "inner": inner}, source)


@kernel_family
def oriented_gaussian(
    along: float = 3.0,
    across: float = 1.0,
    orientation: float = 45.0,
    size: Size | None = None,
    truncate: float = 4.0,
) -> Kernel:
    """Return a Gaussian blur with two standard deviations, one along a direction and one across it.

    The samples of the density, divided by their sum. Along an axis it is `gaussian` with a pair of sigmas.

    Parameters
    ----------
    along, across : float
        Standard deviations in pixels, above 0.
    orientation : float
        Of the first, in degrees from the columns' axis towards the rows'.
    size : int or (int, int), optional
        Odd numbers; by default the box around the ellipse of `truncate` standard deviations.
    truncate : float
        Distance from the middle at which the kernel ends, in standard deviations, if `size` is not given.

    Raises
    ------
    ArgumentError
        If a standard deviation is not above 0, or the size even.

    References
    ----------
    J.-M. Geusebroek, A. W. M. Smeulders and J. van de Weijer, Fast anisotropic Gauss filtering, IEEE Trans. Image
    Processing 12 (2003), 938-943, equation 1.

    Examples
    --------
    >>> oriented_gaussian(2, 1, 45, size=3).weights.round(3)
    array([[0.125, 0.118, 0.059],
           [0.118, 0.161, 0.118],
           [0.059, 0.118, 0.125]])

    array([[0.025, 0.145, 0.025],
           [0.145, 0.318, 0.145],
           [0.025, 0.145, 0.025]])

    Kernel motion(length=3, angle=90), 3×1, 1/3 ×
      1
      1
      1

    array([[0.125, 0.118, 0.059],
           [0.118, 0.161, 0.118],
           [0.059, 0.118, 0.125]])
    """
    along, across = number("along", along, above=0), number("across", across, above=0)
    orientation = number("orientation", orientation)
    shape = ellipse(size, truncate, orientation, along, across)
    down, right = (np.arange(n) - n // 2 for n in shape)
    turn = unit(orientation)
    first = np.add.outer(turn[0] * down, turn[1] * right) / along
    second = np.add.outer(turn[1] * down, -turn[0] * right) / across
    weights = np.exp(-(first**2 + second**2) / 2)
    parameters = {"along": along, "across": across, "orientation": orientation, "size": shape}
    source = "J.-M. Geusebroek et al., IEEE Trans. Image Processing 12 (2003), 938-943"
    return Kernel(weights / weights.sum(), "oriented_gaussian", parameters, source)


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

    array([[0.025, 0.145, 0.025],
           [0.145, 0.318, 0.145],
           [0.025, 0.145, 0.025]])

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


def _reach(name: str, radius: float) -> int:
    """Return the pixels on either side of the middle that a disk reaches."""
    reach = max(0, math.ceil(radius - 0.5))
    window(name, 2 * reach + 1)
    return reach


def _areas(radius: float, reach: int) -> NDArray[np.float64]:
    """Return the area of a disk in each pixel."""
    edges = np.arange(-reach, reach + 2) - 0.5
    # Signed area between the middle and each corner of the grid; differences give the area in each pixel.
    corners = np.sign(edges)[:, None] * np.sign(edges) * _quarter(np.abs(edges)[:, None], np.abs(edges), radius)
    return np.asarray(np.abs(np.diff(np.diff(corners, axis=0), axis=1)))


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
