"""Edge, line and blob detectors: derivatives and Laplacians, whose weights sum to zero.

Signs: a first derivative is positive where the image grows along its axis; a Laplacian is positive on a
dark spot. Weights are the published integers; `scale` multiplies them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kernelfield.errors import ArgumentError
from kernelfield.kernels.arguments import kernel_family, number, odd, one_of, pair, whole, window
from kernelfield.kernels.differences import minimum_size
from kernelfield.kernels.gaussians import sampled_gaussian
from kernelfield.kernels.kernel import Kernel, Weights
from kernelfield.kernels.smoothing import Sigma, Size, neighbourhood, pascal

_SOBEL = "I. Sobel and G. Feldman (1968), in R. Duda and P. Hart, Pattern Classification (1973), p. 271"


@kernel_family
def sobel(axis: int = 1, size: int = 3, order: int = 1, scale: float = 1.0) -> Kernel:
    """Return the Sobel derivative: a difference along `axis`, binomial smoothing across it.

    Parameters
    ----------
    axis : {0, 1}
        1 responds to horizontal change (vertical edges), 0 to vertical change.
    size : int
        Odd and at least 3. Larger ones are those of ``cv2.getDerivKernels``.
    order : int
        Order of the derivative, less than `size`.
    scale : float
        Factor on the integers; 1/8 makes the 3×3 first derivative one per pixel.

    References
    ----------
    I. Sobel and G. Feldman, A 3×3 isotropic gradient operator (1968); see R. Duda and P. Hart, Pattern
    Classification and Scene Analysis (1973), p. 271.

    Examples
    --------
    >>> sobel()
    Kernel sobel(axis=1, size=3, order=1, scale=1), 3×3
      -1  0  1
      -2  0  2
      -1  0  1
    """
    size = odd("size", size, 3)
    order = whole("order", order, 1)
    if order >= size:
        raise ArgumentError(f"order: expected less than size {size}, received {order}; take a larger size")
    row = np.array(pascal(size - order))
    for _ in range(order):
        row = np.convolve(row, [-1, 1])
    parameters: dict[str, object] = {"size": size, "order": order}
    return _across("sobel", pascal(size), row, axis, scale, _SOBEL, parameters)


@kernel_family
def scharr(axis: int = 1, scale: float = 1.0) -> Kernel:
    """Return Scharr's 3×3 derivative, with a smaller error of direction than Sobel's.

    Parameters
    ----------
    axis : {0, 1}
        1 responds to horizontal change (vertical edges), 0 to vertical change.
    scale : float
        Factor on the integers; 1/32 makes it one per pixel.

    References
    ----------
    H. Scharr, Optimale Operatoren in der digitalen Bildverarbeitung, PhD thesis, Heidelberg 2000 (the
    integers 3, 10, 3).

    Examples
    --------
    >>> scharr(axis=0)
    Kernel scharr(axis=0, scale=1), 3×3
       -3 -10  -3
        0   0   0
        3  10   3
    """
    return _across("scharr", [3, 10, 3], [-1, 0, 1], axis, scale, "H. Scharr, PhD thesis, Heidelberg 2000")


@kernel_family
def prewitt(axis: int = 1, scale: float = 1.0) -> Kernel:
    """Return Prewitt's 3×3 derivative: a difference along `axis`, a plain mean across it.

    Parameters
    ----------
    axis : {0, 1}
        1 responds to horizontal change (vertical edges), 0 to vertical change.
    scale : float
        Factor on the integers; 1/6 makes it one per pixel.

    References
    ----------
    J. M. S. Prewitt, Object enhancement and extraction, in Picture Processing and Psychopictorics (1970).

    Examples
    --------
    >>> prewitt()
    Kernel prewitt(axis=1, scale=1), 3×3
      -1  0  1
      -1  0  1
      -1  0  1
    """
    source = "J. M. S. Prewitt, in Picture Processing and Psychopictorics (1970)"
    return _across("prewitt", [1, 1, 1], [-1, 0, 1], axis, scale, source)


@kernel_family
def roberts(diagonal: str = "main", scale: float = 1.0) -> Kernel:
    """Return one of Roberts' 2×2 cross differences; the output pixel is the upper left of the four.

    Parameters
    ----------
    diagonal : {"main", "anti"}
        ``"main"``: upper left minus lower right; ``"anti"``: upper right minus lower left.
    scale : float
        Factor on the integers.

    References
    ----------
    L. G. Roberts, Machine perception of three-dimensional solids, PhD thesis, MIT 1963.

    Examples
    --------
    >>> roberts()
    Kernel roberts(diagonal='main', scale=1), 2×2, anchor (0, 0)
       1  0
       0 -1
    """
    diagonal = one_of("diagonal", diagonal, ("main", "anti"))
    scale = number("scale", scale)
    weights = np.array([[1.0, 0.0], [0.0, -1.0]] if diagonal == "main" else [[0.0, 1.0], [-1.0, 0.0]])
    parameters = {"diagonal": diagonal, "scale": scale}
    return Kernel(weights * scale, "roberts", parameters, "L. G. Roberts, PhD thesis, MIT 1963", (0, 0))


@kernel_family
def laplacian(neighbours: int = 4, scale: float = 1.0) -> Kernel:
    """Return the Laplacian: the sum over 4 or 8 neighbours of neighbour minus centre.

    Parameters
    ----------
    neighbours : {4, 8}
        4 without the diagonal ones, 8 with them.
    scale : float
        Factor on the integers.

    References
    ----------
    R. C. Gonzalez and R. E. Woods, Digital Image Processing, section 3.6.2. Times -1 and with 8
    neighbours it is Pillow's FIND_EDGES.

    Examples
    --------
    >>> laplacian()
    Kernel laplacian(neighbours=4, scale=1), 3×3
       0  1  0
       1 -4  1
       0  1  0
    """
    neighbours = one_of("neighbours", neighbours, (4, 8))
    scale = number("scale", scale)
    weights = neighbourhood(neighbours)
    weights[1, 1] = -neighbours
    parameters = {"neighbours": neighbours, "scale": scale}
    source = "R. C. Gonzalez and R. E. Woods, Digital Image Processing, section 3.6.2"
    return Kernel(weights * scale, "laplacian", parameters, source)


@kernel_family
def sobel_laplacian(size: int = 3, scale: float = 1.0) -> Kernel:
    """Return the sum of the two second Sobel derivatives: ``cv2.Laplacian`` with ksize 3 and larger.

    Parameters
    ----------
    size : int
        Odd and at least 3.
    scale : float
        Factor on the integers.

    Examples
    --------
    >>> sobel_laplacian()
    Kernel sobel_laplacian(size=3, scale=1), 3×3
       2  0  2
       0 -8  0
       2  0  2
    """
    scale = number("scale", scale)
    across = sobel(1, size, 2).weights
    parameters = {"size": len(across), "scale": scale}
    return Kernel((across + across.T) * scale, "sobel_laplacian", parameters, "OpenCV, cv2.Laplacian")


@kernel_family
def emboss(direction: Sequence[int] = (1, -1)) -> Kernel:
    """Return a pixel minus its neighbour in `direction`; added to mid-grey it looks like a relief.

    Parameters
    ----------
    direction : (int, int)
        Rows down and columns right to the neighbour, each -1, 0 or 1. Pillow's EMBOSS subtracts the default, the
        lower left (it lists its weights bottom row first, and adds 128).

    Examples
    --------
    >>> emboss()
    Kernel emboss(direction=(1, -1)), 3×3
       0  0  0
       0  1  0
      -1  0  0
    """
    down, right = (one_of("direction", step, (-1, 0, 1)) for step in pair("direction", direction))
    if down == right == 0:
        raise ArgumentError("direction: expected a neighbour, received (0, 0); take for example (1, -1)")
    weights = np.zeros((3, 3))
    weights[1, 1] = 1
    weights[1 + down, 1 + right] = -1
    return Kernel(weights, "emboss", {"direction": (down, right)}, "Pillow, PIL.ImageFilter.EMBOSS")


@kernel_family
def gaussian_derivative(
    sigma: Sigma = 1.0,
    order: Sequence[int] = (0, 1),
    size: Size | None = None,
    truncate: float = 4.0,
    scale: float = 1.0,
) -> Kernel:
    """Return a derivative of a Gaussian, the kernel of ``scipy.ndimage.gaussian_filter`` with `order`.

    Parameters
    ----------
    sigma : float or pair of float
        Standard deviation in pixels, above 0.
    order : (int, int)
        Order of the derivative down the rows and along the columns, each 0, 1 or 2.
    size, truncate
        As in `gaussian`.
    scale : float
        Factor on all weights.

    References
    ----------
    J. Canny, A computational approach to edge detection, IEEE PAMI 8 (1986), 679-698.

    Examples
    --------
    >>> gaussian_derivative(1.0, size=(1, 3)).weights.round(3)
    array([[-0.274,  0.   ,  0.274]])
    """
    orders = [one_of("order", n, (0, 1, 2)) for n in pair("order", order)]
    shape, sigmas = _spread(sigma, size, truncate)
    for n, wanted in zip(shape, orders, strict=True):
        if wanted and n < minimum_size(wanted):
            raise ArgumentError(
                f"size: expected at least {minimum_size(wanted)} weights for order {wanted}, received {n}; "
                "a derivative of order d needs d + 1"
            )
    scale = number("scale", scale)
    column, row = (_hermite(s, n, d) for s, n, d in zip(sigmas, shape, orders, strict=True))
    parameters = {"sigma": _single(sigmas), "order": tuple(orders), "size": shape, "scale": scale}
    source = "J. Canny, IEEE PAMI 8 (1986), 679-698; sampled as scipy.ndimage.gaussian_filter"
    return Kernel(np.outer(column, row) * scale, "gaussian_derivative", parameters, source)


@kernel_family
def log(sigma: Sigma = 1.0, size: Size | None = None, truncate: float = 4.0, scale: float = 1.0) -> Kernel:
    """Return the Laplacian of a Gaussian, the kernel of ``scipy.ndimage.gaussian_laplace``.

    The weights are samples; they sum to zero up to sampling and truncation error.

    Parameters
    ----------
    sigma : float or pair of float
        Standard deviation in pixels, above 0.
    size, truncate
        As in `gaussian`.
    scale : float
        Factor on all weights; ``sigma**2`` makes responses to blobs of different sizes comparable.

    References
    ----------
    D. Marr and E. Hildreth, Theory of edge detection, Proc. R. Soc. Lond. B 207 (1980), 187-217.

    Examples
    --------
    >>> log(1.0, size=5).weights[2].round(3)
    array([ 0.044, -0.098, -0.324, -0.098,  0.044])
    """
    shape, sigmas = _spread(sigma, size, truncate)
    scale = number("scale", scale)
    smooth, second = ([_hermite(s, n, d) for s, n in zip(sigmas, shape, strict=True)] for d in (0, 2))
    weights = np.outer(second[0], smooth[1]) + np.outer(smooth[0], second[1])
    parameters = {"sigma": _single(sigmas), "size": shape, "scale": scale}
    source = "D. Marr and E. Hildreth, Proc. R. Soc. Lond. B 207 (1980), 187-217"
    return Kernel(weights * scale, "log", parameters, source)


def _across(
    name: str,
    smooth: Sequence[int],
    difference: Sequence[int] | NDArray[np.int64],
    axis: int,
    scale: float,
    source: str,
    parameters: dict[str, object] | None = None,
) -> Kernel:
    axis = one_of("axis", axis, (0, 1))
    scale = number("scale", scale)
    weights = np.outer(smooth, difference) * scale
    named = {"axis": axis, **(parameters or {}), "scale": scale}
    return Kernel(weights.T if axis == 0 else weights, name, named, source)


def _spread(sigma: Sigma, size: Size | None, truncate: float) -> tuple[tuple[int, int], list[float]]:
    sigmas = [number("sigma", value, above=0) for value in pair("sigma", sigma)]
    if size is not None:
        return window("size", size), sigmas
    truncate = number("truncate", truncate, above=0)
    return window("size", [2 * int(truncate * s + 0.5) + 1 for s in sigmas]), sigmas


def _single(sigmas: list[float]) -> float | tuple[float, ...]:
    return sigmas[0] if sigmas[0] == sigmas[1] else tuple(sigmas)


def _hermite(sigma: float, size: int, order: int) -> Weights:
    """Return samples of the derivative of a Gaussian, as cross-correlation weights."""
    x = np.arange(size) - (size - 1) / 2
    smooth = sampled_gaussian(sigma, size)
    if order == 0:
        return smooth
    return smooth * (x / sigma**2 if order == 1 else (x**2 - sigma**2) / sigma**4)
