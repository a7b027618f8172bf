"""Masks of textbooks: compass gradients of Kirsch and Robinson, the basis of Frei and Chen, the textures of Laws.

An angle is in degrees from the columns' axis towards the rows' axis, clockwise on the screen: that of the gradient, at
right angles to the edge. The mask is positive on the brighter side.
"""

import itertools
import math

import numpy as np

from kernelfield.errors import ArgumentError, received
from kernelfield.kernels.arguments import kernel_family, number, one_of, whole
from kernelfield.kernels.kernel import Kernel, Weights

_ANGLES = tuple(range(0, 360, 45))
# The neighbours in a 3×3 array, from the right one on, clockwise.
_RING = ((1, 2), (2, 2), (2, 1), (2, 0), (1, 0), (0, 0), (0, 1), (0, 2))

_ROOT = math.sqrt(2)
_FREI_CHEN = (
    (((-1, 0, 1), (-_ROOT, 0, _ROOT), (-1, 0, 1)), 2 * _ROOT),
    (((-1, -_ROOT, -1), (0, 0, 0), (1, _ROOT, 1)), 2 * _ROOT),
    (((0, -1, _ROOT), (1, 0, -1), (-_ROOT, 1, 0)), 2 * _ROOT),
    (((_ROOT, -1, 0), (-1, 0, 1), (0, 1, -_ROOT)), 2 * _ROOT),
    (((0, 1, 0), (-1, 0, -1), (0, 1, 0)), 2),
    (((-1, 0, 1), (0, 0, 0), (1, 0, -1)), 2),
    (((1, -2, 1), (-2, 4, -2), (1, -2, 1)), 6),
    (((-2, 1, -2), (1, 4, 1), (-2, 1, -2)), 6),
    (((1, 1, 1), (1, 1, 1), (1, 1, 1)), 3),
)

_LAWS = {
    "L3": (1, 2, 1),
    "E3": (-1, 0, 1),
    "S3": (-1, 2, -1),
    "L5": (1, 4, 6, 4, 1),
    "E5": (-1, -2, 0, 2, 1),
    "S5": (-1, 0, 2, 0, -1),
    "W5": (-1, 2, 0, -2, 1),
    "R5": (1, -4, 6, -4, 1),
}
#: Two vectors of the same length: down the rows, then along the columns.
PAIRS = tuple(a + b for a, b in itertools.product(_LAWS, repeat=2) if a[1] == b[1])


@kernel_family
def kirsch(angle: int = 0, scale: float = 1.0) -> Kernel:
    """Return Kirsch's compass mask: 5 on the three pixels towards an angle, -3 on the other five around the middle.

    Parameters
    ----------
    angle : {0, 45, 90, ..., 315}
        Towards the brighter side, in degrees: 0 is to the right, 90 down.
    scale : float
        Factor on the integers.

    References
    ----------
    R. A. Kirsch, Computer determination of the constituent structure of biological images, Computers and Biomedical
    Research 4 (1971), 315-328.

    Examples
    --------
    >>> kirsch(90)
    Kernel kirsch(angle=90, scale=1), 3×3
      -3 -3 -3
      -3  0 -3
       5  5  5
    """
    angle = one_of("angle", angle, _ANGLES)
    scale = number("scale", scale)
    weights = _compass((5, 5, -3, -3, -3, -3, -3, 5), angle)
    source = "R. A. Kirsch, Computers and Biomedical Research 4 (1971), 315-328"
    return Kernel(weights * scale, "kirsch", {"angle": angle, "scale": scale}, source)


@kernel_family
def robinson(angle: int = 0, levels: int = 5, scale: float = 1.0) -> Kernel:
    """Return Robinson's compass mask: Sobel's (five levels) or Prewitt's (three levels) weights, turned to an angle.

    Parameters
    ----------
    angle : {0, 45, 90, ..., 315}
        Towards the brighter side, in degrees: 0 is to the right, 90 down.
    levels : {5, 3}
        Different weights: -2 to 2, or -1 to 1.
    scale : float
        Factor on the integers.

    References
    ----------
    G. S. Robinson, Edge detection by compass gradient masks, Computer Graphics and Image Processing 6 (1977), 492-501.

    Examples
    --------
    >>> robinson(315)
    Kernel robinson(angle=315, levels=5, scale=1), 3×3
       0  1  2
      -1  0  1
      -2 -1  0
    """
    angle = one_of("angle", angle, _ANGLES)
    levels = one_of("levels", levels, (5, 3))
    scale = number("scale", scale)
    weights = _compass((2, 1, 0, -1, -2, -1, 0, 1) if levels == 5 else (1, 1, 0, -1, -1, -1, 0, 1), angle)
    source = "G. S. Robinson, Computer Graphics and Image Processing 6 (1977), 492-501"
    return Kernel(weights * scale, "robinson", {"angle": angle, "levels": levels, "scale": scale}, source)


@kernel_family
def frei_chen(mask: int = 1, scale: float = 1.0) -> Kernel:
    """Return one of the nine orthonormal masks of Frei and Chen: any 3×3 patch is the sum of its parts along them.

    Parameters
    ----------
    mask : int
        1 and 2: edges, growing to the right and down; 3 and 4: ripples; 5 and 6: lines; 7 and 8: Laplacians; 9: the
        mean, times 3. The share of the squares of 1 to 4 among 1 to 9 (or 1 to 8) tells an edge.
    scale : float
        Factor on the weights, whose squares sum to one.

    References
    ----------
    W. Frei and C.-C. Chen, Fast boundary detection: a generalization and a new algorithm, IEEE Trans. Computers C-26
    (1977), 988-998 (signs chosen as in `sobel`).

    Examples
    --------
    >>> frei_chen(7)
    Kernel frei_chen(mask=7, scale=1), 3×3, 1/6 ×
       1 -2  1
      -2  4 -2
       1 -2  1
    """
    mask = whole("mask", mask, 1, 9)
    scale = number("scale", scale)
    rows, divisor = _FREI_CHEN[mask - 1]
    source = "W. Frei and C.-C. Chen, IEEE Trans. Computers C-26 (1977), 988-998"
    return Kernel(np.array(rows) * (scale / divisor), "frei_chen", {"mask": mask, "scale": scale}, source)


@kernel_family
def laws(vectors: str = "E5L5", scale: float = 1.0) -> Kernel:
    """Return Laws' texture mask: the product of two vectors of level, edge, spot, wave or ripple.

    Parameters
    ----------
    vectors : str
        Two of L3, E3, S3, or of L5, E5, S5, W5, R5: the first down the rows, the second along the columns. All but
        L3L3 and L5L5 sum to zero.
    scale : float
        Factor on the integers.

    Raises
    ------
    ArgumentError
        If the vectors are others, or of different lengths.

    References
    ----------
    K. I. Laws, Rapid texture identification, Proc. SPIE 238 (1980), 376-380.

    Examples
    --------
    >>> laws("S5L5").weights[:, 2]
    array([-6.,  0., 12.,  0., -6.])
    """
    if not isinstance(vectors, str) or vectors.upper() not in PAIRS:
        raise ArgumentError(
            f"vectors: expected two of {', '.join(_LAWS)} of one length, as 'E5L5'; received {received(vectors)}"
        )
    chosen = vectors.upper()
    scale = number("scale", scale)
    weights = np.outer(_LAWS[chosen[:2]], _LAWS[chosen[2:]]).astype(np.float64)
    source = "K. I. Laws, Proc. SPIE 238 (1980), 376-380"
    return Kernel(weights * scale, "laws", {"vectors": chosen, "scale": scale}, source)


def _compass(ring: tuple[int, ...], angle: int) -> Weights:
    """Return a 3×3 array with the neighbours of the middle given for the angle 0, turned to `angle`."""
    weights = np.zeros((3, 3))
    for place, value in zip(_RING, np.roll(ring, angle // 45)):
        weights[place] = value
    return weights
