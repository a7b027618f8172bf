"""Edge, line and blob detectors: derivatives and Laplacians, whose weights sum to zero.

Signs: a first derivative is positive where the image grows along its axis; a Laplacian is positive on a
dark spot. Weights are the published numbers; `scale` multiplies them, and ``scale="unit"`` gives the derivative itself:
1 on a ramp of one per pixel, 2 for each second derivative of x².
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kernelfield.errors import ArgumentError, received
from kernelfield.kernels.arguments import (
    Scale,
    extent,
    flag,
    inaccurate,
    kernel_family,
    number,
    odd,
    one_of,
    pair,
    scale_of,
    whole,
    window,
)
from kernelfield.kernels.differences import minimum_size
from kernelfield.kernels.gaussians import acting_variance, derivative_of_gaussian, sampled_gaussian
from kernelfield.kernels.kernel import Kernel, Weights
from kernelfield.kernels.smoothing import Sigma, Size, neighbourhood, pascal

# Highest order of a derivative of a Gaussian: the factorial of twice it is a float64.
_MOST_ORDER = 64
# Relative difference between the sigma of the weights and the sigma asked for, from which on a warning is given.
_WRONG = 0.1

_FARID = "H. Farid and E. P. Simoncelli, IEEE Trans. Image Processing 13 (2004), 496-508, table 1"
# Interpolator and derivatives of orders 1 and 2, from the middle outwards, by number of taps and highest order. The
# five taps of first order have the digits that the authors' program gives.
_TAPS = {
    (5, 1): (
        (0.426374573253687, 0.249153396177344, 0.0376593171958126),
        (0.0, 0.276690988455557, 0.109603762960254),
    ),
    (5, 2): ((0.439911, 0.249724, 0.030320), (0.0, 0.292315, 0.104550), (-0.471147, 0.002668, 0.232905)),
    (7, 2): (
        (0.361117, 0.245410, 0.069321, 0.004711),
        (0.0, 0.193091, 0.125376, 0.018708),
        (-0.273118, -0.056554, 0.137778, 0.055336),
    ),
}

_SOBEL = "I. Sobel and G. Feldman (1968), in R. Duda and P. Hart, Pattern Classification (1973), p. 271"


@kernel_family
def sobel(axis: int = 1, size: int = 3, order: int = 1, scale: Scale = 1.0) -> Kernel:
    """Return the Sobel derivative: a difference along `axis`, binomial smoothing across it.

    Parameters
    ----------
    axis : {0, 1}
        1 responds to horizontal change (vertical edges), 0 to vertical change.
    size : int
        Odd and at least 3. Larger ones are those of ``cv2.getDerivKernels``.
    order : int
        Order of the derivative, less than `size`.
    scale : float or "unit"
        Factor on the integers; "unit" gives the derivative per pixel: 1/8 for the 3×3 first derivative.

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
def scharr(axis: int = 1, scale: Scale = 1.0) -> Kernel:
    """Return Scharr's 3×3 derivative, with a smaller error of direction than Sobel's.

    Parameters
    ----------
    axis : {0, 1}
        1 responds to horizontal change (vertical edges), 0 to vertical change.
    scale : float or "unit"
        Factor on the integers; "unit" is 1/32, the derivative per pixel.

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
def prewitt(axis: int = 1, scale: Scale = 1.0) -> Kernel:
    """Return Prewitt's 3×3 derivative: a difference along `axis`, a plain mean across it.

    Parameters
    ----------
    axis : {0, 1}
        1 responds to horizontal change (vertical edges), 0 to vertical change.
    scale : float or "unit"
        Factor on the integers; "unit" is 1/6, the derivative per pixel.

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
def roberts(diagonal: str = "main", scale: Scale = 1.0) -> Kernel:
    """Return one of Roberts' 2×2 cross differences; the output pixel is the upper left of the four.

    It is positive where the image falls along the diagonal: minus the weights of ``skimage.filters.roberts_pos_diag``
    (main) and ``roberts_neg_diag`` (anti). Even sizes have no middle pixel: the difference is that at the point half a
    pixel down and to the right.

    Parameters
    ----------
    diagonal : {"main", "anti"}
        ``"main"``: upper left minus lower right; ``"anti"``: upper right minus lower left.
    scale : float or "unit"
        Factor on the integers; "unit" is -1/sqrt(2), the derivative down along the diagonal, per pixel.

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
    scale = scale_of(scale, lambda: -math.sqrt(0.5))
    weights = np.array([[1.0, 0.0], [0.0, -1.0]] if diagonal == "main" else [[0.0, 1.0], [-1.0, 0.0]])
    parameters = {"diagonal": diagonal, "scale": scale}
    return Kernel(weights * scale, "roberts", parameters, "L. G. Roberts, PhD thesis, MIT 1963", (0, 0))


@kernel_family
def laplacian(neighbours: int = 4, scale: Scale = 1.0) -> Kernel:
    """Return the Laplacian: the sum over 4 or 8 neighbours of neighbour minus centre.

    Parameters
    ----------
    neighbours : {4, 8}
        4 without the diagonal ones, 8 with them.
    scale : float or "unit"
        Factor on the integers; "unit" gives ∂²/∂x² + ∂²/∂y² per pixel: 1 for 4 neighbours, 1/3 for 8.

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
    scale = scale_of(scale, lambda: 1.0 if neighbours == 4 else 1 / 3)
    weights = neighbourhood(neighbours)
    weights[1, 1] = -neighbours
    parameters = {"neighbours": neighbours, "scale": scale}
    source = "R. C. Gonzalez and R. E. Woods, Digital Image Processing, section 3.6.2"
    return Kernel(weights * scale, "laplacian", parameters, source)


@kernel_family
def sobel_laplacian(size: int = 3, scale: Scale = 1.0) -> Kernel:
    """Return the sum of the two second Sobel derivatives: ``cv2.Laplacian`` with ksize 3 and larger.

    Parameters
    ----------
    size : int
        Odd and at least 3.
    scale : float or "unit"
        Factor on the integers; "unit" gives ∂²/∂x² + ∂²/∂y² per pixel: 1/4 for 3×3.

    Examples
    --------
    >>> sobel_laplacian()
    Kernel sobel_laplacian(size=3, scale=1), 3×3
       2  0  2
       0 -8  0
       2  0  2
    """
    across = sobel(1, size, 2).weights
    scale = scale_of(scale, lambda: 4.0 ** (2 - len(across)))
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
    scale: Scale = 1.0,
    normalise: bool = True,
) -> Kernel:
    """Return a derivative of a Gaussian, of any order along each axis: ``(1, 1)`` is a mixed derivative.

    The weights are the sampled Gaussian times its own orthogonal polynomials, which for a wide Gaussian are Hermite's:
    the derivatives of all polynomials up to the order, along each axis, are exact.

    Parameters
    ----------
    sigma : float or pair of float
        Standard deviation in pixels, above 0.
    order : (int, int)
        Order of the derivative down the rows and along the columns, each from 0 to 64.
    size, truncate
        As in `gaussian`.
    scale : float or "unit"
        Factor on all weights; "unit" is 1.
    normalise : bool
        False: samples of the continuous derivative, as ``scipy.ndimage.gaussian_filter`` with `order` takes them; they
        miss the derivative of their own order by the samples' error, 4 % for order 4 and 49 % for order 6 at sigma 1.

    Raises
    ------
    ArgumentError
        If sigma is not above 0, or the size too small for the order.

    Warns
    -----
    AccuracyWarning
        If the pixels are too coarse, or the size too small, for the sigma: by its first error term the kernel acts as
        one of a sigma more than 10 % away.

    References
    ----------
    J. Canny, A computational approach to edge detection, IEEE PAMI 8 (1986), 679-698; W. Gautschi, Orthogonal
    Polynomials: Computation and Approximation (2004), section 2.1 (orthogonal polynomials of a discrete measure).

    Examples
    --------
    >>> gaussian_derivative(1.0).weights.sum(axis=0).round(3)
    array([-0.001, -0.013, -0.108, -0.242,  0.   ,  0.242,  0.108,  0.013,  0.001])
    >>> fourth = gaussian_derivative(1.5, (4, 0)).weights.sum(axis=1)
    >>> round(float(fourth @ np.arange(-6, 7) ** 4) / 24, 12)
    1.0
    """
    orders = [whole("order", n, 0, _MOST_ORDER) for n in pair("order", order)]
    shape, sigmas = _spread(sigma, size, truncate)
    for n, wanted in zip(shape, orders, strict=True):
        if wanted and n < minimum_size(wanted):
            raise ArgumentError(
                f"size: expected at least {minimum_size(wanted)} weights for order {wanted}, received {n}; "
                "a derivative of order d needs d + 1"
            )
    scale = scale_of(scale, lambda: 1.0)
    parameters = {"sigma": _single(sigmas), "order": tuple(orders), "size": shape, "scale": scale}
    if not flag("normalise", normalise):
        parameters["normalise"] = False
    column, row = (derivative_of_gaussian(s, n, d, normalise) for s, n, d in zip(sigmas, shape, orders, strict=True))
    if normalise:
        _check_sigma("gaussian_derivative", sigmas, [(column, orders[0]), (row, orders[1])])
    source = "J. Canny, IEEE PAMI 8 (1986), 679-698; orthogonal polynomials of the samples: W. Gautschi (2004)"
    return Kernel(np.outer(column, row) * scale, "gaussian_derivative", parameters, source)


@kernel_family
def log(
    sigma: Sigma = 1.0,
    size: Size | None = None,
    truncate: float = 4.0,
    scale: Scale = 1.0,
    normalise: bool = True,
) -> Kernel:
    """Return the Laplacian of a Gaussian: the sum of its two second derivatives, as in `gaussian_derivative`.

    The weights sum to zero, and on x² + y² they give exactly 4 (with scale 1), whatever sigma and size.

    Parameters
    ----------
    sigma : float or pair of float
        Standard deviation in pixels, above 0.
    size, truncate
        As in `gaussian`.
    scale : float or "unit"
        Factor on all weights; ``sigma**2`` makes responses to blobs of different sizes comparable. "unit" is 1.
    normalise : bool
        False: samples, as ``scipy.ndimage.gaussian_laplace`` takes them. They do not sum to zero: those of sigma 0.5
        answer -112 to a constant 100.

    Warns
    -----
    AccuracyWarning
        As in `gaussian_derivative`.

    References
    ----------
    D. Marr and E. Hildreth, Theory of edge detection, Proc. R. Soc. Lond. B 207 (1980), 187-217.

    Examples
    --------
    >>> log(1.0, size=5, normalise=False).weights[2].round(3)
    array([ 0.044, -0.098, -0.324, -0.098,  0.044])
    >>> bool(abs(log(1.0).weights.sum()) < 1e-15)
    True
    """
    shape, sigmas = _spread(sigma, size, truncate)
    if min(shape) < minimum_size(2):
        raise ArgumentError(f"size: expected at least {minimum_size(2)} rows and columns, received {shape}")
    scale = scale_of(scale, lambda: 1.0)
    normalise = flag("normalise", normalise)
    smooth, second = (
        [derivative_of_gaussian(s, n, d, normalise) for s, n in zip(sigmas, shape, strict=True)] for d in (0, 2)
    )
    weights = np.outer(second[0], smooth[1]) + np.outer(smooth[0], second[1])
    parameters = {"sigma": _single(sigmas), "size": shape, "scale": scale}
    if normalise:
        _check_sigma("log", sigmas, [(second[0], 2), (second[1], 2)])
    else:
        parameters["normalise"] = False
    source = "D. Marr and E. Hildreth, Proc. R. Soc. Lond. B 207 (1980), 187-217"
    return Kernel(weights * scale, "log", parameters, source)


@kernel_family
def dog(
    inner: float = 1.0,
    outer: float = 1.6,
    size: Size | None = None,
    truncate: float = 4.0,
    scale: float = 1.0,
) -> Kernel:
    """Return a difference of Gaussians: the narrow one less the wide one, positive on a bright spot.

    Both sum to one, so that the weights sum to zero. With a ratio of 1.6 it is close to minus the Laplacian of a
    Gaussian.

    Parameters
    ----------
    inner, outer : float
        Standard deviations in pixels, 0 < inner < outer.
    size : int or (int, int), optional
        Odd numbers; ``2 * int(truncate * outer + 0.5) + 1`` if not given.
    truncate : float
        As in `gaussian`.
    scale : float
        Factor on all weights.

    Raises
    ------
    ArgumentError
        If `inner` is not above 0 or `outer` not above `inner`, or the size even.

    References
    ----------
    D. Marr and E. Hildreth, Theory of edge detection, Proc. R. Soc. Lond. B 207 (1980), 187-217, appendix B (the
    ratio 1.6). ``skimage.filters.difference_of_gaussians`` has its response.

    Examples
    --------
    >>> dog(1, 1.6, size=(1, 11)).weights.round(3)
    array([[-0.002, -0.011, -0.039, -0.06 ,  0.037,  0.149,  0.037, -0.06 ,
            -0.039, -0.011, -0.002]])
    """
    inner, outer = number("inner", inner, above=0), number("outer", outer, above=0)
    if outer <= inner:
        raise ArgumentError(f"outer: expected more than inner {inner:g}, received {outer:g}; exchange them")
    shape = _spread(outer, size, truncate)[0]
    if min(shape[0] % 2, shape[1] % 2) == 0 or max(shape) == 1:
        raise ArgumentError(f"size: expected odd numbers, not both 1, received {received(size)}")
    scale = number("scale", scale)
    narrow, wide = (np.outer(*(sampled_gaussian(s, n) if n > 1 else np.ones(1) for n in shape)) for s in (inner, outer))
    parameters = {"inner": inner, "outer": outer, "size": shape, "scale": scale}
    _check_sigma("dog", [outer], [(sampled_gaussian(outer, max(shape)), 0)])
    return Kernel(
        (narrow - wide) * scale, "dog", parameters, "D. Marr and E. Hildreth, Proc. R. Soc. Lond. B 207 (1980)"
    )


@kernel_family
def farid(axis: int = 1, size: int = 5, order: int = 1, scale: Scale = 1.0, taps: str = "first") -> Kernel:
    """Return Farid and Simoncelli's derivative: differentiator and interpolator matched for a small error of angle.

    Parameters
    ----------
    axis : {0, 1}
        1 responds to horizontal change (vertical edges), 0 to vertical change.
    size : {5, 7}
        Taps along each axis.
    order : {1, 2}
        Order of the derivative.
    scale : float or "unit"
        Factor on the published numbers, whose first derivative answers 0.9918 (5 taps) or 0.9999 (7 taps) to a ramp of
        one per pixel; "unit" makes it 1.
    taps : {"first", "second"}
        Of the five taps, those optimised for first derivatives, as in ``skimage.filters.farid``, or for first and
        second ones together. Order 2 and 7 taps have the second.

    Notes
    -----
    The published second derivatives sum to 1e-6; the middle tap is corrected to make them sum to zero.

    References
    ----------
    H. Farid and E. P. Simoncelli, Differentiation of discrete multidimensional signals, IEEE Trans. Image Processing
    13 (2004), 496-508, table 1.

    Examples
    --------
    >>> farid().weights[2].round(4)
    array([-0.0467, -0.118 ,  0.    ,  0.118 ,  0.0467])
    """
    axis = one_of("axis", axis, (0, 1))
    size = one_of("size", size, (5, 7))
    order = one_of("order", order, (1, 2))
    taps = one_of("taps", taps, ("first", "second"))
    if order == 2 or size == 7:
        taps = "second"
    halves = _TAPS[size, 1 if taps == "first" else 2]
    smooth = np.array([*halves[0][:0:-1], *halves[0]])
    derivative = np.array([*((-1) ** order * tap for tap in halves[order][:0:-1]), *halves[order]])
    if order == 2:
        derivative[size // 2] = -derivative[: size // 2].sum() - derivative[size // 2 + 1 :].sum()
    parameters: dict[str, object] = {"size": size, "order": order, "taps": taps}
    return _across("farid", smooth.tolist(), derivative.tolist(), axis, scale, _FARID, parameters)


@kernel_family
def isotropic_laplacian(weighting: str = "patra_karttunen", scale: float = 1.0) -> Kernel:
    """Return a Laplacian of nine points whose first error term is the same in all directions, or nearly so.

    Parameters
    ----------
    weighting : {"patra_karttunen", "oono_puri"}
        Sides and corners 4/6 and 1/6: the error term is ∇⁴/12, the same in all directions. Sides and corners 1/2 and
        1/4: the largest response is the same along axes and diagonals.
    scale : float
        Factor on the weights, which give ∂²/∂x² + ∂²/∂y² per pixel.

    References
    ----------
    M. Patra and M. Karttunen, Stencils with isotropic discretization error for differential operators, Numer. Methods
    Partial Differ. Equ. 22 (2006), 936-953; Y. Oono and S. Puri, Computationally efficient modeling of ordering of
    quenched phases, Phys. Rev. Lett. 58 (1987), 836-839.

    Examples
    --------
    >>> isotropic_laplacian()
    Kernel isotropic_laplacian(weighting='patra_karttunen', scale=1), 3×3, 1/6 ×
        1   4   1
        4 -20   4
        1   4   1
    """
    weighting = one_of("weighting", weighting, ("patra_karttunen", "oono_puri"))
    scale = number("scale", scale)
    corner, side, total = (1, 4, 6) if weighting == "patra_karttunen" else (1, 2, 4)
    row = np.array([[corner, side, corner], [side, -4 * (corner + side), side], [corner, side, corner]])
    sources = {
        "patra_karttunen": "M. Patra and M. Karttunen, Numer. Methods Partial Differ. Equ. 22 (2006), 936-953",
        "oono_puri": "Y. Oono and S. Puri, Phys. Rev. Lett. 58 (1987), 836-839",
    }
    parameters = {"weighting": weighting, "scale": scale}
    return Kernel(row * (scale / total), "isotropic_laplacian", parameters, sources[weighting])


def _across(
    name: str,
    smooth: Sequence[float],
    difference: Sequence[float] | NDArray[np.int64],
    axis: int,
    scale: Scale,
    source: str,
    parameters: dict[str, object] | None = None,
) -> Kernel:
    axis = one_of("axis", axis, (0, 1))
    order = 1 if parameters is None else int(str(parameters["order"]))
    scale = scale_of(scale, lambda: 1 / (float(np.sum(smooth)) * _moment(difference, order)))
    weights = np.outer(smooth, difference) * scale
    named = {"axis": axis, **(parameters or {}), "scale": scale}
    return Kernel(weights.T if axis == 0 else weights, name, named, source)


def _spread(sigma: Sigma, size: Size | None, truncate: float) -> tuple[tuple[int, int], list[float]]:
    sigmas = [number("sigma", value, above=0) for value in pair("sigma", sigma)]
    if size is not None:
        return window("size", size), sigmas
    truncate = number("truncate", truncate, above=0)
    return window("size", [extent("sigma", truncate * s + 0.5) for s in sigmas]), sigmas


def _single(sigmas: list[float]) -> float | tuple[float, ...]:
    return sigmas[0] if sigmas[0] == sigmas[1] else tuple(sigmas)


def _moment(weights: Sequence[float] | NDArray[np.int64], order: int) -> float:
    """Return the response of centred weights to ``x**order / order!``."""
    x = np.arange(len(weights)) - (len(weights) - 1) / 2
    return float((np.asarray(weights) * x**order).sum()) / math.factorial(order)


def _check_sigma(name: str, sigmas: Sequence[float], factors: Sequence[tuple[Weights, int]]) -> None:
    """Warn if weights along an axis act as those of a Gaussian of quite another sigma."""
    for sigma, (weights, order) in zip(sigmas, factors):
        acting = math.sqrt(max(acting_variance(weights, order), 0.0))
        if len(weights) > 1 and abs(acting - sigma) > _WRONG * sigma:
            inaccurate(
                f"{name}: sigma {sigma:g} with {len(weights)} weights acts as sigma {acting:.2g} by its first error "
                "term; take a larger sigma, or a larger size"
            )
            return
