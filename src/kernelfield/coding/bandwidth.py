"""Sparseness of image codes by sensor bandwidth: the argument of Field (1987)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kernelfield.arrays import as_numbers
from kernelfield.coding.encoding import code, images_of
from kernelfield.coding.sensors import bank
from kernelfield.errors import ArgumentError
from kernelfield.kernels.arguments import whole


@dataclass(frozen=True, eq=False)
class Bandwidths:
    """Sparseness of the responses to images, by sensor bandwidth.

    Attributes
    ----------
    bandwidth : numpy.ndarray, shape (B,)
        In octaves.
    kurtosis, relative_response, sparseness : numpy.ndarray, shape (B,)
        As in `Code`, averaged over channels and images.
    """

    bandwidth: NDArray[np.float64]
    kurtosis: NDArray[np.float64]
    relative_response: NDArray[np.float64]
    sparseness: NDArray[np.float64]


def by_bandwidth(
    images: NDArray[Any] | Sequence[ArrayLike],
    bandwidths: Sequence[float] = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0),
    *,
    wavelength: float = 8.0,
    aspect: float = 1.0,
    orientations: int = 4,
    sampling: float = 1.5,
    fraction: float = 0.1,
) -> Bandwidths:
    """Return the sparseness of the responses to natural images for several sensor bandwidths.

    The argument of Field (1987): sensors narrow in frequency are wide in space and mix distant features; sensors wide
    in frequency respond to everything. In between, at about one octave, the response to natural images is concentrated
    in the fewest sensors, and about one octave is the bandwidth of cortical cells. He compares the relative response of
    the strongest sensors; kurtosis is his later measure (Field 1994). Frequency, aspect and orientations are fixed; the
    spacing of sensors is proportional to their size.

    Parameters
    ----------
    images : numpy.ndarray, shape (H, W), or a sequence of array_like
        Luminance.
    bandwidths : sequence of float
        In octaves.
    wavelength, aspect, sampling : float
        As in `bank`.
    orientations : int
        Number of orientations, evenly spaced.
    fraction : float
        As in `relative_response`.

    Returns
    -------
    Bandwidths

    Raises
    ------
    ArgumentError, DataError
        As in `bank` and `code`.

    Examples
    --------
    >>> import kernelfield as kf, numpy as np
    >>> noise = np.random.default_rng(0).normal(size=(128, 128))
    >>> found = kf.coding.by_bandwidth(noise, [0.5, 1, 2])
    >>> bool((abs(found.kurtosis) < 1).all())
    True
    """
    several = images_of(images)
    octaves_wanted = as_numbers(bandwidths, "bandwidths").astype(np.float64).ravel()
    if not several or not octaves_wanted.size:
        raise ArgumentError("images, bandwidths: expected at least one of each; received none")
    each = whole("orientations", orientations, 1)
    banks = [
        bank(each, scales=1, wavelength=wavelength, bandwidth=octaves, aspect=aspect, sampling=sampling)
        for octaves in octaves_wanted.tolist()
    ]
    measured = np.zeros((3, len(banks)))
    for image in several:
        for i, sensors in enumerate(banks):
            found = code(image, sensors)
            for measure, values in zip(
                measured, (found.kurtosis(), found.relative_response(fraction), found.sparseness())
            ):
                measure[i] += values.mean() / len(several)
    return Bandwidths(octaves_wanted, *measured)
