"""Steerable filters: derivatives of a Gaussian along any direction, and their quadrature partners.

Each is a weighted sum of a fixed basis. Angles are those of the derivative, at right angles to the lines it finds, in
degrees from the columns' axis towards the rows' axis.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from kernelfield.errors import ArgumentError
from kernelfield.kernels.arguments import (
    extent,
    flag,
    inaccurate,
    kernel_family,
    number,
    odd_window,
    unit,
    whole,
    window,
)
from kernelfield.kernels.differences import minimum_size
from kernelfield.kernels.gaussians import acting_variance, derivative_of_gaussian, sampled_gaussian
from kernelfield.kernels.kernel import Kernel, Weights
from kernelfield.kernels.smoothing import Size

_SOURCE = "W. T. Freeman and E. H. Adelson, IEEE PAMI 13 (1991), 891-906"

# A steerable kernel of order n has n + 1 basis kernels.
_MOST_ORDER = 64
# Highest order of a quadrature partner: the polynomial of higher ones is no longer well determined.
_MOST_PARTNER = 10


@kernel_family
def steerable(
    order: int = 2,
    orientation: float = 0.0,
    sigma: float = 1.5,
    size: Size | None = None,
    truncate: float = 4.0,
    scale: float = 1.0,
    normalise: bool = True,
) -> Kernel:
    """Return a derivative of a Gaussian, of any order along any direction.

    Cross-correlation with it gives the n-th derivative along u, the unit vector at `orientation`, of the smoothed
    image: ``Σ_k C(n, k) u_x**k u_y**(n - k) ∂_x**k ∂_y**(n - k)``, each term the kernel of `gaussian_derivative`. On
    all polynomials up to degree n that is exact, in every direction. Order 1 responds to edges, order 2 to lines.

    Parameters
    ----------
    order : int
        Order of the derivative, from 1 to 64.
    orientation : float
        Of the derivative, in degrees from the columns' axis towards the rows' axis: 0 is to the right, 90 down.
    sigma : float
        Standard deviation of the Gaussian in pixels, above 0. Freeman and Adelson's functions have sigma 1/sqrt(2) in
        their units; their 9-tap filters have 0.67 units per pixel: sigma 1.06.
    size : int or (int, int), optional
        Odd numbers of rows and columns, more than the order; ``2 * int(truncate * sigma + 0.5) + 1`` if not given.
    truncate : float
        Distance from the middle at which the kernel ends, in standard deviations, if `size` is not given.
    scale : float
        Factor on all weights.
    normalise : bool
        False: samples of the continuous derivative, ``He_n(u·p / sigma) / sigma**n * g[p]`` with He_n the Hermite
        polynomial and g the sampled Gaussian of sum one. At sigma 1 they miss the derivative of ``x**n / n!``, which
        is 1, by 4 % for order 4 and by 49 % for order 6.

    Warns
    -----
    AccuracyWarning
        As in `gaussian_derivative`.

    Raises
    ------
    ArgumentError
        If the order is below 1, sigma not above 0, or the size too small for the order.

    References
    ----------
    W. T. Freeman and E. H. Adelson, The design and use of steerable filters, IEEE PAMI 13 (1991), 891-906,
    section II and appendix (G1 to G4).

    See Also
    --------
    steerable_basis, steering

    Examples
    --------
    >>> steerable(1, 0, sigma=1, size=(1, 3), normalise=False).weights.round(3)
    array([[-0.274,  0.   ,  0.274]])
    >>> round(float(steerable(1, 0, sigma=2, size=17).weights.sum(axis=0) @ np.arange(-8, 9)), 12)
    1.0
    """
    order = whole("order", order, 1, _MOST_ORDER)
    orientation = number("orientation", orientation)
    sigma = number("sigma", sigma, above=0)
    if size is None:
        truncate = number("truncate", truncate, above=0)
        shape = window("size", extent("sigma", truncate * sigma + 0.5))
    else:
        shape = odd_window("size", size)
    if max(shape) < minimum_size(order, centred=True):
        raise ArgumentError(
            f"size: expected at least {minimum_size(order, centred=True)} for order {order}, received {shape}; "
            "a derivative of order d needs d + 1 weights, and an odd number when centred on a pixel"
        )
    scale = number("scale", scale)
    parameters = {"order": order, "orientation": orientation, "sigma": sigma, "size": shape, "scale": scale}
    if flag("normalise", normalise):
        weights = _derivative(order, orientation, sigma, shape)
    else:
        parameters["normalise"] = False
        down, right = (np.arange(n) - n // 2 for n in shape)
        along = np.add.outer(unit(orientation)[0] * down, unit(orientation)[1] * right) / sigma
        weights = hermite(order, along) * np.outer(*(sampled_gaussian(sigma, n) for n in shape)) / sigma**order
    return Kernel(weights * scale, "steerable", parameters, _SOURCE)


def _derivative(order: int, orientation: float, sigma: float, shape: tuple[int, int]) -> Weights:
    """Return the derivative along a direction, whose moments up to its order are exact."""
    down, right = unit(orientation)
    total = np.zeros(shape)
    for k in range(order + 1):
        share = math.comb(order, k) * right**k * down ** (order - k)
        if share:
            if shape[0] <= order - k or shape[1] <= k:
                raise ArgumentError(
                    f"size: expected at least {minimum_size(order, centred=True)} along both axes for order {order} at "
                    f"{orientation:g} degrees, received {shape}"
                )
            total += np.outer(_line(sigma, shape[0], order - k), share * _line(sigma, shape[1], k))
    acting = math.sqrt(max(acting_variance(_line(sigma, max(shape), order), order), 0.0))
    if abs(acting - sigma) > 0.1 * sigma:
        inaccurate(
            f"steerable: sigma {sigma:g} with {max(shape)} weights acts at order {order} as sigma {acting:.2g} by its "
            "first error term; take a larger sigma, or a larger size"
        )
    return total


@lru_cache(maxsize=64)
def _line(sigma: float, size: int, order: int) -> Weights:
    """Return the weights of `derivative_of_gaussian`, kept: a search turns one filter many times."""
    weights = derivative_of_gaussian(sigma, size, order)
    weights.setflags(write=False)
    return weights


@kernel_family
def quadrature(
    order: int = 2,
    orientation: float = 0.0,
    sigma: float = 1.5,
    size: Size | None = None,
    truncate: float = 4.0,
    scale: float = 1.0,
) -> Kernel:
    """Return the quadrature partner of `steerable`: nearly its Hilbert transform along the direction, and steerable.

    ``weights[p] = Q(u·p / sigma) / sigma**n * g[p]``, with Q the polynomial of degree n + 1, of the other parity, that
    times the Gaussian comes closest to the Hilbert transform of its n-th derivative, among those of sum zero (of order
    1 that is a second derivative). The squares of the
    responses of both, added, are the energy of a line or an edge, whatever its phase. The n + 2 filters at
    ``180 j / (n + 2)`` degrees and the weights ``steering(n + 1, θ)`` give every orientation. On a wave of which
    `steerable` keeps the cosine, the partner keeps the sine with the sign of `gabor` at phase 90. The weights sum to
    zero.

    Parameters
    ----------
    order : int
        Order n of the derivative of the partner, from 1 to 10.
    orientation, sigma, size, truncate
        As in `steerable`.
    scale : float
        Factor on all weights.

    Raises
    ------
    ArgumentError
        If the order is not from 1 to 10, sigma not above 0, or the size even.

    References
    ----------
    W. T. Freeman and E. H. Adelson, The design and use of steerable filters, IEEE PAMI 13 (1991), 891-906, section
    III.B and appendix: their H2 is ``0.9780 (-2.254 x + x³) exp(-(x² + y²))``, their H4 ``0.3975 (7.189 x - 7.501 x³
    + x⁵) exp(-(x² + y²))``.

    See Also
    --------
    steerable, steering

    Examples
    --------
    >>> odd = quadrature(2).weights
    >>> bool(np.allclose(odd, -odd[::-1, ::-1]))
    True
    """
    order = whole("order", order, 1, _MOST_PARTNER)
    orientation = number("orientation", orientation)
    sigma = number("sigma", sigma, above=0)
    if size is None:
        shape = window("size", extent("sigma", number("truncate", truncate, above=0) * sigma + 0.5))
    else:
        shape = odd_window("size", size)
    scale = number("scale", scale)
    down, right = (np.arange(n) - n // 2 for n in shape)
    along = np.add.outer(unit(orientation)[0] * down, unit(orientation)[1] * right) / sigma
    smooth = np.outer(*(sampled_gaussian(sigma, n) for n in shape))
    weights = np.polynomial.polynomial.polyval(along, _partner(order)) * smooth
    if order % 2:
        weights = weights - weights.sum() * smooth
    if not np.abs(weights).max() > 0:
        raise ArgumentError(f"size: expected more weights along {orientation:g} degrees, received {shape}")
    parameters = {"order": order, "orientation": orientation, "sigma": sigma, "size": shape, "scale": scale}
    return Kernel(weights * (scale / sigma**order), "quadrature", parameters, _SOURCE)


@lru_cache(maxsize=16)
def _partner(order: int) -> tuple[float, ...]:
    """Return the coefficients, lowest first, of Q: the best fit under the Gaussian to the Hilbert transform.

    In units of sigma the Hilbert transform of the n-th derivative is the inverse Fourier transform of ``-i sign(f)``
    times that of the derivative; the integral over positive frequencies is a Gauss-Hermite sum to rounding error once
    it is one over a fine grid.
    """
    x = np.linspace(-8, 8, 1601)
    w = np.linspace(0, 12, 4801)
    spectrum = w**order * np.exp(-(w**2) / 2)
    spectrum[0] *= 0.5
    # (-1)^n d^n g / dx^n = He_n g has the spectrum (-i w)^n exp(-w²/2); gabor's phase 90 is minus the sine.
    turn = (-1j) ** order * 1j
    wave = (turn * np.exp(1j * np.outer(x, w)) @ spectrum).real * (w[1] / math.pi)
    density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    # Even powers less their mean under the Gaussian, (k - 1)!!, sum to zero as the Hilbert transform does.
    powers = range(1 if order % 2 == 0 else 2, order + 2, 2)
    means = [math.prod(range(k - 1, 0, -2)) if k % 2 == 0 else 0 for k in powers]
    parts = [(x**k - mean) * density for k, mean in zip(powers, means)]
    found = np.linalg.lstsq(np.stack(parts, axis=1), wave, rcond=None)[0]
    coefficients = np.zeros(order + 2)
    coefficients[list(powers)] = found
    coefficients[0] = -float(np.dot(found, means))
    return tuple(coefficients.tolist())


def steerable_basis(
    order: int = 2, sigma: float = 1.5, size: Size | None = None, truncate: float = 4.0
) -> tuple[Kernel, ...]:
    """Return the order + 1 basis filters whose weighted sums give every orientation: see `steering`.

    They are `steerable` at the orientations ``180 j / (order + 1)`` degrees, j = 0 … order.

    Examples
    --------
    >>> [kernel.parameters["orientation"] for kernel in steerable_basis(2)]
    [0.0, 60.0, 120.0]
    """
    order = whole("order", order, 1, _MOST_ORDER)
    return tuple(steerable(order, 180 * j / (order + 1), sigma, size, truncate) for j in range(order + 1))


def steering(order: int, orientation: float) -> NDArray[np.float64]:
    """Return the weights k_j with which the filters of `steerable_basis` sum to `steerable` at `orientation`.

    ``k_j(θ) = (1 / (n + 1)) · sum of cos(m (θ - θ_j))`` over ``m = -n, -n + 2, … n``, for order n. To steer an
    image already filtered with the basis, apply the weights to the results.

    Parameters
    ----------
    order : int
        Order of the derivative, at least 1.
    orientation : float
        In degrees, as in `steerable`.

    Returns
    -------
    numpy.ndarray of float64, shape (order + 1,)

    References
    ----------
    W. T. Freeman and E. H. Adelson, The design and use of steerable filters, IEEE PAMI 13 (1991), 891-906,
    the interpolation functions for derivatives of a Gaussian: ``(1 + 2 cos(2 (θ - θ_j))) / 3`` for order 2.

    Examples
    --------
    >>> steering(2, 60.0).round(12) + 0.0
    array([0., 1., 0.])
    """
    order = whole("order", order, 1, _MOST_ORDER)
    turns = np.radians(number("orientation", orientation) - 180 * np.arange(order + 1) / (order + 1))
    return np.asarray(np.cos(np.outer(turns, np.arange(-order, order + 1, 2))).mean(axis=1))


def hermite(order: int, x: Weights) -> Weights:
    """Return the Hermite polynomial ``He_n(x)`` (the probabilists'), by its recurrence."""
    before, here = np.ones_like(x), x
    for n in range(1, order):
        before, here = here, x * here - n * before
    return here
