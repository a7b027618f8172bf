"""Savitzky-Golay kernels: the least-squares polynomial through a window, or a derivative of it, in the middle."""

import math
from collections.abc import Sequence

import numpy as np

from kernelfield.errors import ArgumentError
from kernelfield.kernels.arguments import kernel_family, number, odd_window, pair, whole
from kernelfield.kernels.kernel import Kernel

# Of higher degrees the powers are no longer independent in float64.
_MOST_DEGREE = 12


@kernel_family
def savitzky_golay(
    size: int | Sequence[int] = 5, degree: int = 2, order: Sequence[int] = (0, 0), scale: float = 1.0
) -> Kernel:
    """Return the Savitzky-Golay kernel: the value, or a derivative, of the polynomial that fits a window best.

    It reproduces all polynomials of total degree up to `degree` in rows and columns: their value, or their derivative.

    Parameters
    ----------
    size : int or (int, int)
        Odd numbers of rows and columns; ``(1, n)`` is the classical filter along the columns.
    degree : int
        Total degree of the polynomial, from 0 to 12.
    order : (int, int)
        Order of the derivative down the rows and along the columns, together at most `degree`.
    scale : float
        Factor on all weights.

    Raises
    ------
    ArgumentError
        If the size is even, or too small for the degree or the order.

    References
    ----------
    A. Savitzky and M. J. E. Golay, Smoothing and differentiation of data by simplified least squares procedures,
    Analytical Chemistry 36 (1964), 1627-1639; J. E. Kuo, H. Wang and S. Pickup, Multidimensional least-squares
    smoothing using orthogonal polynomials, Analytical Chemistry 63 (1991), 630-635. ``scipy.signal.savgol_coeffs`` has
    the weights along one axis.

    Examples
    --------
    >>> savitzky_golay((1, 5))
    Kernel savitzky_golay(size=(1, 5), degree=2, order=(0, 0), scale=1), 1×5, 1/35 ×
      -3 12 17 12 -3
    """
    shape = odd_window("size", size)
    degree = whole("degree", degree, 0, _MOST_DEGREE)
    orders = [whole("order", n, 0, _MOST_DEGREE) for n in pair("order", order)]
    scale = number("scale", scale)
    if sum(orders) > degree:
        raise ArgumentError(f"order: expected at most degree {degree} together, received {tuple(orders)}")
    if degree >= max(shape) or orders[0] >= shape[0] or orders[1] >= shape[1]:
        raise ArgumentError(
            f"size: expected more weights than degree {degree}, and along each axis than its order {tuple(orders)}; "
            f"received {shape}"
        )
    reach = [max(n // 2, 1) for n in shape]
    down, right = ((np.arange(n) - n // 2) / r for n, r in zip(shape, reach))
    # An axis of n weights tells n powers apart.
    powers = [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i) if i < shape[0] and j < shape[1]]
    design = np.stack([np.outer(down**i, right**j).ravel() for i, j in powers], axis=1)
    found = np.linalg.pinv(design)[powers.index((orders[0], orders[1]))].reshape(shape)
    # Each weight and its mirror images are equal, or opposite: rounding makes no difference between them.
    for axis, n in enumerate(orders):
        found = (found + (-1) ** n * np.flip(found, axis)) / 2
    factor = math.prod(math.factorial(n) / r**n for n, r in zip(orders, reach))
    parameters = {"size": shape, "degree": degree, "order": tuple(orders), "scale": scale}
    source = "A. Savitzky and M. J. E. Golay, Analytical Chemistry 36 (1964), 1627-1639"
    return Kernel(found * (factor * scale), "savitzky_golay", parameters, source)
