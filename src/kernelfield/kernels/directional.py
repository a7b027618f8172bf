"""Directional detectors: edges along any direction, diagonal edges, lines and corners.

A direction is (rows down, columns right). An angle is in degrees from the columns' axis towards the rows' axis, which
is clockwise on the screen, as in OpenCV and scikit-image. The direction (1, 1) is the angle 45.
"""

import math
from collections.abc import Sequence

import numpy as np

from kernelfield.errors import ArgumentError, received
from kernelfield.kernels.arguments import kernel_family, number, odd, one_of, pair, window
from kernelfield.kernels.kernel import Kernel, Weights
from kernelfield.kernels.smoothing import binomial_row

_SOBEL = "I. Sobel and G. Feldman (1968), steered: W. T. Freeman and E. H. Adelson, IEEE PAMI 13 (1991), 891-906"
_WOODS = "R. C. Gonzalez and R. E. Woods, Digital Image Processing, chapter 10"


@kernel_family
def edge(direction: Sequence[float] = (1, 1), size: int = 5, scale: float = 1.0) -> Kernel:
    """Return the smoothed derivative along a direction: it responds to edges orthogonal to it.

    ``weights[p] = (u · p) B[p] / M``, with u the unit vector along `direction`, p the offset from the middle, B the
    binomial of that size and M = (size - 1)/4 its variance along an axis. On a ramp of any direction it gives exactly
    the slope along u, per pixel, positive where the image grows along u. It is the sum of the two Sobel derivatives of
    that size, weighted with u; along an axis it is the Sobel derivative itself.

    Parameters
    ----------
    direction : (float, float)
        Down the rows and along the columns, of any length above 0: (0, 1) is to the right, (1, 1) to the lower right.
    size : int
        Rows and columns, odd and at least 3.
    scale : float
        Factor on all weights.

    Raises
    ------
    ArgumentError
        If the direction is not two finite numbers, or both are 0; if the size is even or below 3.

    References
    ----------
    W. T. Freeman and E. H. Adelson, The design and use of steerable filters, IEEE PAMI 13 (1991), 891-906
    (a first derivative in any direction is the sum of two).

    Examples
    --------
    >>> from kernelfield.kernels import sobel
    >>> edge((0, 1), size=3) == sobel(1, scale=1 / 8)
    True
    >>> edge((1, 1), size=3) * math.sqrt(128)
    Kernel 3×3
      -2 -2  0
      -2  0  2
       0  2  2
    """
    down, right = (number("direction", part) for part in pair("direction", direction))
    length = math.hypot(down, right)
    if length == 0 or math.isinf(length):
        raise ArgumentError(
            f"direction: expected two numbers, not both 0, received {received(direction)}; take for example (1, 1)"
        )
    size = odd("size", size, 3)
    scale = number("scale", scale)
    across = np.arange(size) - size // 2
    row = binomial_row(window("size", size)[0])
    slope = np.add.outer(down / length * across, right / length * across)
    weights = slope * np.outer(row, row) * (4 * scale / (size - 1))
    return Kernel(weights, "edge", {"direction": (down, right), "size": size, "scale": scale}, _SOBEL)


@kernel_family
def diagonal(direction: Sequence[int] = (1, 1), weighting: str = "sobel", scale: float = 1.0) -> Kernel:
    """Return the 3×3 integer detector of diagonal edges, positive where the image grows along `direction`.

    Parameters
    ----------
    direction : (int, int)
        Down and right, each 1 or -1.
    weighting : {"sobel", "prewitt"}
        Weight of the corners: twice that of the pixels beside them, or the same.
    scale : float
        Factor on the integers.

    References
    ----------
    R. C. Gonzalez and R. E. Woods, Digital Image Processing, chapter 10, edge detection: the Prewitt and Sobel
    masks for diagonal edges.

    Examples
    --------
    >>> diagonal((-1, 1))
    Kernel diagonal(direction=(-1, 1), weighting='sobel', scale=1), 3×3
       0  1  2
      -1  0  1
      -2 -1  0
    """
    down, right = _diagonal(direction)
    weighting = one_of("weighting", weighting, ("sobel", "prewitt"))
    scale = number("scale", scale)
    weights = np.add.outer(down * np.arange(-1, 2), right * np.arange(-1, 2)).astype(np.float64)
    if weighting == "prewitt":
        weights = np.sign(weights)
    parameters = {"direction": (down, right), "weighting": weighting, "scale": scale}
    return Kernel(weights * scale, "diagonal", parameters, _WOODS)


@kernel_family
def line(angle: int = 0, scale: float = 1.0) -> Kernel:
    """Return the 3×3 detector of bright lines, one pixel wide, at an angle.

    Parameters
    ----------
    angle : {0, 45, 90, 135}
        Of the line, in degrees from the columns' axis towards the rows': 0 is horizontal, 45 runs from the upper
        left to the lower right.
    scale : float
        Factor on the integers.

    References
    ----------
    R. C. Gonzalez and R. E. Woods, Digital Image Processing, chapter 10, line detection.

    Examples
    --------
    >>> line(45)
    Kernel line(angle=45, scale=1), 3×3
       2 -1 -1
      -1  2 -1
      -1 -1  2
    """
    angle = one_of("angle", angle, (0, 45, 90, 135))
    scale = number("scale", scale)
    on = {0: np.eye(3)[[1]].repeat(3, axis=0).T, 45: np.eye(3), 90: np.eye(3)[[1]].repeat(3, axis=0)}
    weights: Weights = 3 * (on[angle] if angle in on else np.eye(3)[::-1]) - 1
    return Kernel(weights * scale, "line", {"angle": angle, "scale": scale}, _WOODS)


@kernel_family
def corner(direction: Sequence[int] = (1, 1), scale: float = 1.0) -> Kernel:
    """Return the 3×3 detector of the corner of a bright area that fills the quadrant in `direction`.

    It is the mean of the four pixels of that quadrant minus the mean of the other five, times 20 to have integers: zero
    on a constant image, and largest on that corner among all patterns of two grey levels.

    Parameters
    ----------
    direction : (int, int)
        Down and right to the bright area, each 1 or -1.
    scale : float
        Factor on the integers.

    Examples
    --------
    >>> corner()
    Kernel corner(direction=(1, 1), scale=1), 3×3
      -4 -4 -4
      -4  5  5
      -4  5  5
    """
    down, right = _diagonal(direction)
    scale = number("scale", scale)
    weights = np.full((3, 3), -4.0)
    weights[1:, 1:] = 5
    parameters = {"direction": (down, right), "scale": scale}
    source = "matched filter: mean of a quadrant less mean of the rest, times 20"
    return Kernel(weights[::down, ::right] * scale, "corner", parameters, source)


def _diagonal(direction: Sequence[int]) -> tuple[int, int]:
    down, right = (one_of("direction", step, (1, -1)) for step in pair("direction", direction))
    return down, right
