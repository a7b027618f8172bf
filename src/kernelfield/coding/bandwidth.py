"""Which bandwidth codes an image best: Field's argument."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kernelfield.coding.sampled import code
from kernelfield.coding.sensors import bank
from kernelfield.errors import ArgumentError
from kernelfield.kernels.arguments import whole


@dataclass(frozen=True, eq=False)
class Bandwidths:
    """How sparse the responses to images are, by the bandwidth of the sensors.

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
    """Return how sparse the responses to natural images are as the bandwidth of the sensors varies.

    Field (1987) argues so: sensors narrow in frequency are wide in space, and lump together what is apart; sensors wide
    in frequency answer to everything. Between them, at about an octave, the response to natural images is put into the
    fewest sensors, and about an octave is what cortical cells have. He compares the relative response of the strongest
    sensors; kurtosis is his later measure (Field 1994). Frequency, aspect and orientations are held as given, and
    sensors stand apart in proportion to their size.

    Parameters
    ----------
    images : numpy.ndarray, shape (H, W), or a sequence of array_like
        Luminance.
    bandwidths : sequence of float
        In octaves.
    wavelength, aspect, sampling : float
        As in `bank`.
    orientations : int
        Channels, evenly spaced.
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
    several: Sequence[ArrayLike] = [images] if isinstance(images, np.ndarray) and images.ndim == 2 else list(images)
    if not several or not len(bandwidths):
        raise ArgumentError("images, bandwidths: expected at least one of each; received none")
    each = whole("orientations", orientations, 1)
    banks = [
        bank(each, scales=1, wavelength=wavelength, bandwidth=octaves, aspect=aspect, sampling=sampling)
        for octaves in bandwidths
    ]
    measured = np.zeros((3, len(banks)))
    for image in several:
        for i, sensors in enumerate(banks):
            found = code(image, sensors)
            for measure, values in zip(
                measured, (found.kurtosis(), found.relative_response(fraction), found.sparseness())
            ):
                measure[i] += values.mean() / len(several)
    return Bandwidths(np.array(bandwidths, np.float64), *measured)
