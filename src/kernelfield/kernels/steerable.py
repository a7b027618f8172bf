"""Steerable filters: derivatives of a Gaussian along any direction, as weighted sums of a fixed basis."""

import numpy as np
from numpy.typing import NDArray

from kernelfield.errors import ArgumentError
from kernelfield.kernels.arguments import kernel_family, number, odd_window, unit, whole, window
from kernelfield.kernels.differences import minimum_size
from kernelfield.kernels.gaussians import sampled_gaussian
from kernelfield.kernels.kernel import Kernel, Weights
from kernelfield.kernels.smoothing import Size

_SOURCE = "W. T. Freeman and E. H. Adelson, IEEE PAMI 13 (1991), 891-906"


@kernel_family
def steerable(
    order: int = 2,
    orientation: float = 0.0,
    sigma: float = 1.5,
    size: Size | None = None,
    truncate: float = 4.0,
    scale: float = 1.0,
) -> Kernel:
    """Return a derivative of a Gaussian, of any order along any direction.

    ``weights[p] = He_n(u·p / sigma) / sigma**n * g[p]``, with He_n the Hermite polynomial of order n, u the unit
    vector at `orientation` and g the sampled Gaussian of sum one. Cross-correlation with it gives the n-th derivative
    along u of the smoothed image. Order 1 responds to edges, order 2 to lines.

    Parameters
    ----------
    order : int
        Order of the derivative, at least 1.
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
    >>> steerable(1, 0, sigma=1, size=(1, 3)).weights.round(3)
    array([[-0.274,  0.   ,  0.274]])
    """
    order = whole("order", order, 1)
    orientation = number("orientation", orientation)
    sigma = number("sigma", sigma, above=0)
    if size is None:
        truncate = number("truncate", truncate, above=0)
        shape = window("size", 2 * int(truncate * sigma + 0.5) + 1)
    else:
        shape = odd_window("size", size)
    if max(shape) < minimum_size(order, centred=True):
        raise ArgumentError(
            f"size: expected at least {minimum_size(order, centred=True)} for order {order}, received {shape}; "
            "a derivative of order d needs d + 1 weights, and an odd number when centred on a pixel"
        )
    scale = number("scale", scale)
    down, right = (np.arange(n) - n // 2 for n in shape)
    along = np.add.outer(unit(orientation)[0] * down, unit(orientation)[1] * right) / sigma
    smooth = np.outer(*(sampled_gaussian(sigma, n) for n in shape))
    weights = hermite(order, along) * smooth * (scale / sigma**order)
    parameters = {"order": order, "orientation": orientation, "sigma": sigma, "size": shape, "scale": scale}
    return Kernel(weights, "steerable", parameters, _SOURCE)


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
    order = whole("order", order, 1)
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
    order = whole("order", order, 1)
    turns = np.radians(number("orientation", orientation) - 180 * np.arange(order + 1) / (order + 1))
    return np.asarray(np.cos(np.outer(turns, np.arange(-order, order + 1, 2))).mean(axis=1))


def hermite(order: int, x: Weights) -> Weights:
    """Return the Hermite polynomial ``He_n(x)`` (the probabilists'), by its recurrence."""
    before, here = np.ones_like(x), x
    for n in range(1, order):
        before, here = here, x * here - n * before
    return here
