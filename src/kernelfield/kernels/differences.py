"""Finite differences: derivatives of any order and accuracy, from moment conditions solved in rational numbers."""

from collections.abc import Sequence
from fractions import Fraction
from math import factorial
from typing import Literal

import numpy as np

from kernelfield.errors import ArgumentError, received
from kernelfield.kernels.arguments import kernel_family, number, one_of, pair, several, whole
from kernelfield.kernels.kernel import Kernel

Scheme = Literal["central", "forward", "backward"]

_FORNBERG = "B. Fornberg, Generation of finite difference formulas, Math. Comp. 51 (1988), 699-706"

# The weights of longer stencils span more orders of magnitude than float64 resolves.
_MOST_SAMPLES = 64
# A kernel of more pixels from end to end is a typing error.
_MOST_SPAN = 4096


def stencil(order: int, offsets: Sequence[int]) -> tuple[Fraction, ...]:
    """Return the exact weights of a derivative at 0 from samples at the given offsets.

    They solve the moment conditions ``sum of w[j] * x[j]**m = order! if m == order else 0`` for m below
    the number of offsets: derivatives of all polynomials of degree below that number are exact.

    Parameters
    ----------
    order : int
        Order of the derivative, at least 1.
    offsets : sequence of int
        Different sample positions, in units of the spacing; more of them than `order`.

    Examples
    --------
    >>> [str(weight) for weight in stencil(1, [-1, 0, 1])]
    ['-1/2', '0', '1/2']
    """
    order = whole("order", order, 1)
    points = [whole("offsets", offset) for offset in several("offsets", offsets)]
    if len(set(points)) != len(points) or len(points) <= order:
        raise ArgumentError(
            f"offsets: expected at least {order + 1} different integers for order {order}, received {points}; "
            "a derivative of order d needs d + 1 samples"
        )
    if len(points) > _MOST_SAMPLES:
        raise ArgumentError(f"offsets: expected at most {_MOST_SAMPLES} samples, received {len(points)}")
    weights = []
    for point in points:
        # The Lagrange polynomial that is 1 here and 0 at the other points, lowest power first.
        polynomial = [Fraction(1)]
        for other in points:
            if other != point:
                shifted = [Fraction(0), *polynomial]
                scaled = [*(other * value for value in polynomial), Fraction(0)]
                polynomial = [(a - b) / (point - other) for a, b in zip(shifted, scaled, strict=True)]
        weights.append(factorial(order) * polynomial[order])
    return tuple(weights)


@kernel_family
def derivative(
    order: int = 1,
    accuracy: int = 2,
    axis: int = 1,
    spacing: float = 1.0,
    scheme: Scheme = "central",
    scale: float = 1.0,
    offsets: Sequence[int] | None = None,
) -> Kernel:
    """Return a finite-difference derivative along one axis.

    Parameters
    ----------
    order : int
        Order of the derivative, at least 1.
    accuracy : int
        The error falls as ``spacing**accuracy``. Central differences are even by symmetry.
    axis : int
        0: derivative down the rows (vertical); 1: along the columns (horizontal).
    spacing : float
        Distance between pixels.
    scheme : {"central", "forward", "backward"}
        Which side of the output pixel the samples lie on.
    scale : float
        Factor on all weights.
    offsets : sequence of int, optional
        Pixels to sample, counted from the output pixel, in place of `accuracy` and `scheme`: at least ``order + 1``.
        The error falls at least as ``spacing ** (len(offsets) - order)``.

    Raises
    ------
    ArgumentError
        For an order or accuracy below 1, an odd accuracy of central differences, or too few offsets.

    References
    ----------
    B. Fornberg, Generation of finite difference formulas on arbitrarily spaced grids, Mathematics of
    Computation 51 (1988), 699-706, tables 1 to 3.

    Examples
    --------
    >>> derivative(order=2, accuracy=4)
    Kernel derivative(order=2, accuracy=4, axis=1, spacing=1, scheme='central', scale=1), 1×5, 1/12 ×
       -1  16 -30  16  -1
    >>> derivative(accuracy=1, scheme="forward").weights
    array([[-1.,  1.]])
    """
    order = whole("order", order, 1, _MOST_SAMPLES)
    accuracy = whole("accuracy", accuracy, 1, _MOST_SAMPLES)
    axis = one_of("axis", axis, (0, 1))
    scheme = one_of("scheme", scheme, ("central", "forward", "backward"))
    spacing = number("spacing", spacing, above=0)
    scale = number("scale", scale)
    parameters: dict[str, object] = {
        "order": order,
        "accuracy": accuracy,
        "axis": axis,
        "spacing": spacing,
        "scheme": scheme,
        "scale": scale,
    }
    if offsets is not None:
        offsets = _positions(offsets)
        del parameters["accuracy"], parameters["scheme"]
        parameters["offsets"] = offsets
    elif scheme == "central":
        if accuracy % 2:
            raise ArgumentError(
                f"accuracy: expected an even number for central differences, received {accuracy}; "
                f"take {accuracy + 1}, or scheme 'forward' or 'backward'"
            )
        radius = (order + 1) // 2 - 1 + accuracy // 2
        offsets = range(-radius, radius + 1)
    elif scheme == "forward":
        offsets = range(order + accuracy)
    else:
        offsets = range(1 - order - accuracy, 1)
    factor = Fraction(scale) / Fraction(spacing) ** order
    row = {place: float(weight * factor) for place, weight in zip(offsets, stencil(order, offsets), strict=True)}
    first, last = min(row), max(row)
    weights = np.array([[row.get(place, 0.0) for place in range(first, last + 1)]])
    anchor = (0, -first)
    if axis == 0:
        weights, anchor = weights.T, anchor[::-1]
    return Kernel(weights, "derivative", parameters, _FORNBERG, anchor)


@kernel_family
def mixed_derivative(
    order: Sequence[int] = (1, 1), accuracy: int = 2, spacing: float = 1.0, scale: float = 1.0
) -> Kernel:
    """Return a derivative along both axes: the product of the two central differences of `derivative`.

    Parameters
    ----------
    order : (int, int)
        Order of the derivative down the rows and along the columns, each at least 1.
    accuracy : int
        The error falls as ``spacing**accuracy``; an even number.
    spacing : float
        Distance between pixels.
    scale : float
        Factor on all weights.

    Raises
    ------
    ArgumentError
        For an order below 1, or an accuracy that is odd or below 2.

    References
    ----------
    B. Fornberg, Generation of finite difference formulas on arbitrarily spaced grids, Mathematics of
    Computation 51 (1988), 699-706; M. Abramowitz and I. A. Stegun, Handbook of Mathematical Functions, 25.3.26.

    Examples
    --------
    >>> mixed_derivative()
    Kernel mixed_derivative(order=(1, 1), accuracy=2, spacing=1, scale=1), 3×3, 1/4 ×
       1  0 -1
       0  0  0
      -1  0  1
    """
    orders = [whole("order", n, 1, _MOST_SAMPLES) for n in pair("order", order)]
    scale = number("scale", scale)
    column, row = (derivative(n, accuracy, axis, spacing).weights for axis, n in enumerate(orders))
    parameters = {
        "order": tuple(orders),
        "accuracy": whole("accuracy", accuracy),
        "spacing": number("spacing", spacing),
        "scale": scale,
    }
    return Kernel(column @ row * scale, "mixed_derivative", parameters, _FORNBERG)


@kernel_family
def difference(axis: int = 1, scheme: Literal["forward", "backward"] = "forward") -> Kernel:
    """Return the textbook's edge detector ``[1, -1]``: a pixel minus the next one.

    It is *minus* the first derivative: positive where the image falls. In mode ``"valid"`` both schemes give
    the same numbers.

    Parameters
    ----------
    axis : int
        0: down the rows, responds to horizontal edges; 1: along the columns, to vertical edges.
    scheme : {"forward", "backward"}
        Whether the output pixel is the first (forward) or the second (backward) of the two.

    References
    ----------
    A. Zhang et al., Dive into Deep Learning, section 7.2.3, object edge detection in images.

    Examples
    --------
    >>> difference()
    Kernel difference(axis=1, scheme='forward'), 1×2, anchor (0, 0)
       1 -1
    """
    axis = one_of("axis", axis, (0, 1))
    scheme = one_of("scheme", scheme, ("forward", "backward"))
    end = 0 if scheme == "forward" else 1
    source = "A. Zhang et al., Dive into Deep Learning, section 7.2.3"
    weights = np.array([[1.0, -1.0]])
    if axis == 0:
        return Kernel(weights.T, "difference", {"axis": axis, "scheme": scheme}, source, (end, 0))
    return Kernel(weights, "difference", {"axis": axis, "scheme": scheme}, source, (0, end))


def minimum_size(order: int, centred: bool = False) -> int:
    """Return the smallest number of consecutive weights that can form a derivative of order `order`.

    The kernel must give 0 for the powers ``x**m`` below the order and ``order!`` for ``x**order``. With n weights the
    conditions for m = 0 … n - 1 determine all weights (the Vandermonde matrix of different positions is invertible);
    with n no larger than the order they are all 0 and the last condition fails. Hence n is at least ``order + 1``, and
    `stencil` solves the conditions with that many. A kernel centred on a pixel has an odd number of weights; for an
    odd order rounding up adds a middle weight of 0, because the weights are antisymmetric.

    Parameters
    ----------
    order : int
        Order of the derivative, at least 1.
    centred : bool
        Whether the kernel has a middle weight, with as many weights on either side.

    Returns
    -------
    int
        ``order + 1``, rounded up to an odd number if `centred`.

    Raises
    ------
    ArgumentError
        If the order is less than 1.

    References
    ----------
    B. Fornberg, Generation of finite difference formulas on arbitrarily spaced grids, Mathematics of
    Computation 51 (1988), 699-706.

    Examples
    --------
    >>> [minimum_size(order) for order in (1, 2, 3, 4)]
    [2, 3, 4, 5]
    >>> [minimum_size(order, centred=True) for order in (1, 2, 3, 4)]
    [3, 3, 5, 5]
    """
    size = whole("order", order, 1) + 1
    if not isinstance(centred, (bool, np.bool_)):
        raise ArgumentError(f"centred: expected True or False, received {received(centred)}")
    return size + 1 if centred and size % 2 == 0 else size


def _positions(offsets: Sequence[int]) -> Sequence[int]:
    places = sorted(whole("offsets", place) for place in several("offsets", offsets))
    if places and places[-1] - places[0] >= _MOST_SPAN:
        raise ArgumentError(f"offsets: expected at most {_MOST_SPAN:,} pixels apart, received {received(places)}")
    return tuple(places)
