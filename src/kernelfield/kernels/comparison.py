"""Kernels side by side: the error of direction, isotropy and frequency response, all from their weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernelfield.errors import ArgumentError, received
from kernelfield.kernels.kernel import Kernel

Numbers = NDArray[np.float64]

# Frequencies along a line, and angles in the first quadrant.
_FREQUENCIES, _ANGLES = 64, 91
_MOST = 8


@dataclass(frozen=True, eq=False)
class Compared:
    """A kernel in a comparison.

    Attributes
    ----------
    label : str
        Its name there.
    kernel : Kernel
    order : int or None
        Order of the derivative that it takes.
    direction : numpy.ndarray or None, shape (frequencies,)
        Largest error of the angle of the gradient in degrees, over waves of all directions; None unless the kernel is a
        first derivative along an axis.
    isotropy : numpy.ndarray, shape (frequencies,)
        Largest less smallest response over all directions, as a share of the mean; of a first derivative that of the
        length of the gradient.
    response : numpy.ndarray, shape (frequencies,)
        Magnitude of the response to waves along the columns (of a derivative down the rows, along the rows), divided
        by the factor of its derivative: f is the frequency, an exact first derivative has 2πf, a Laplacian (2πf)².
    error : numpy.ndarray, shape (frequencies,)
        The response less the exact one, as a share of the exact one; of a kernel that takes no derivative of first or
        second order, the response less 1.
    """

    label: str
    kernel: Kernel
    order: int | None
    direction: Numbers | None
    isotropy: Numbers
    response: Numbers
    error: Numbers


@dataclass(frozen=True, eq=False)
class Comparison:
    """Kernels side by side: what `compare` returns.

    Attributes
    ----------
    frequencies : numpy.ndarray of float64
        In cycles per pixel, above 0 up to 1/2.
    kernels : tuple of Compared
    """

    frequencies: Numbers
    kernels: tuple[Compared, ...]

    def at(self, values: Numbers, frequency: float) -> float:
        """Return the value of a curve at a frequency."""
        return float(np.interp(frequency, self.frequencies, values))

    def plot(self) -> Any:
        """Return a matplotlib figure of the curves: errors of direction, isotropy, frequency response."""
        from kernelfield.kernels.comparison_plot import plot

        return plot(self)


def compare(kernels: Sequence[Kernel], labels: Sequence[str] | None = None) -> Comparison:
    """Return kernels side by side: error of direction, isotropy and frequency response.

    A first derivative is compared together with its transpose, the derivative along the other axis: the angle of the
    gradient that both measure on a plane wave is set against the direction of the wave.

    Parameters
    ----------
    kernels : sequence of Kernel
        From 1 to 8.
    labels : sequence of str, optional
        Names for them; those of their families if not given.

    Returns
    -------
    Comparison

    Raises
    ------
    ArgumentError
        If there are none, more than 8, or labels of another number.

    References
    ----------
    H. Scharr, Optimale Operatoren in der digitalen Bildverarbeitung, PhD thesis, Heidelberg 2000 (the error of
    direction as the measure of a gradient).

    Examples
    --------
    >>> from kernelfield import kernels
    >>> found = compare([kernels.sobel(), kernels.scharr()])
    >>> [round(found.at(one.direction, 1 / 8), 2) for one in found.kernels]
    [0.75, 0.16]
    """
    if not isinstance(kernels, (list, tuple)) or not all(isinstance(kernel, Kernel) for kernel in kernels):
        raise ArgumentError(f"kernels: expected a list of kernels, received {received(kernels)}")
    if not 1 <= len(kernels) <= _MOST:
        raise ArgumentError(f"kernels: expected from 1 to {_MOST} of them, received {len(kernels)}")
    names = [kernel.name or "kernel" for kernel in kernels] if labels is None else list(labels)
    if len(names) != len(kernels):
        raise ArgumentError(f"labels: expected {len(kernels)} of them, received {len(names)}")
    frequencies = np.arange(1, _FREQUENCIES + 1) / (2 * _FREQUENCIES)
    return Comparison(frequencies, tuple(_compared(*one, frequencies) for one in zip(names, kernels)))


def _compared(label: str, kernel: Kernel, frequencies: Numbers) -> Compared:
    found = kernel.properties
    along = _axis(kernel)
    # The derivative along the columns of one down the rows is its transpose.
    kernel_right = Kernel(kernel.weights.T, anchor=kernel.anchor[::-1]) if along == 0 else kernel
    angles = np.radians(np.linspace(0, 90, _ANGLES))
    right = _responses(kernel_right, frequencies, angles)
    if along is None:
        lengths, direction = right, None
    else:
        down = _responses(Kernel(kernel_right.weights.T, anchor=kernel_right.anchor[::-1]), frequencies, angles)
        lengths = np.hypot(right, down)
        direction = np.abs(np.degrees(np.arctan2(down, right) - angles)).max(axis=1)
    mean = lengths.mean(axis=1)
    isotropy = (lengths.max(axis=1) - lengths.min(axis=1)) / np.where(mean > 1e-12 * mean.max(), mean, np.inf)
    factor = found.sum
    exact = np.ones(len(frequencies))
    if along is not None:
        factor, exact = sum(found.leading.values()), 2 * np.pi * frequencies
    elif found.order == 2 and found.leading.get((0, 2)):
        factor, exact = found.leading[0, 2], (2 * np.pi * frequencies) ** 2
    elif found.order != 0:
        factor = found.gain
    along_axis = right[:, 0] / abs(factor)
    return Compared(label, kernel, found.order, direction, isotropy, along_axis, along_axis / exact - 1)


def _axis(kernel: Kernel) -> int | None:
    """Return the axis of a first derivative along one of them, or None."""
    leading = dict(kernel.properties.leading)
    if kernel.properties.order != 1 or len(leading) != 1:
        return None
    return 1 if (0, 1) in leading else 0


def _responses(kernel: Kernel, frequencies: Numbers, angles: Numbers) -> Numbers:
    """Return the magnitude of the response at each frequency (rows) and angle (columns)."""
    down, right = np.outer(frequencies, np.sin(angles)).ravel(), np.outer(frequencies, np.cos(angles)).ravel()
    rows, columns = (np.arange(n) - a for n, a in zip(kernel.shape, kernel.anchor))
    waves = np.exp(2j * np.pi * np.outer(down, rows)) @ kernel.weights
    found = (waves * np.exp(2j * np.pi * np.outer(right, columns))).sum(axis=1)
    return np.asarray(np.abs(found).reshape(len(frequencies), len(angles)))
