"""Images encoded as sampled sensor responses, and their reconstruction."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kernelfield.arrays import is_pillow
from kernelfield.coding.sensors import Bank
from kernelfield.coding.sensors import bank as default_bank
from kernelfield.coding.statistics import kurtosis, relative_response, sparseness
from kernelfield.coding.transform import Channel, channel_of, channels, image_of, waves_from, waves_of
from kernelfield.correlation.arguments import check_image
from kernelfield.errors import ArgumentError, DataError, received
from kernelfield.kernels.arguments import whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False, repr=False)
class Code:
    """An image encoded as sampled sensor responses, returned by `code`.

    Attributes
    ----------
    bank : Bank
        The sensors, one per channel.
    image : numpy.ndarray, float64, shape (H, W)
        The encoded image.
    responses : tuple of numpy.ndarray, complex128
        For each channel, on its grid: responses of even sensors as the real part, of odd sensors as the imaginary part.
    remainder : numpy.ndarray or None
        Samples of the low-pass band below the sensors, if the bank includes it.
    """

    bank: Bank
    image: NDArray[np.float64]
    responses: tuple[NDArray[np.complex128], ...]
    remainder: NDArray[np.float64] | None
    _maps: tuple[Channel, ...]

    @property
    def samples(self) -> int:
        """Number of real samples in the code, not counting the mean of the image."""
        low = 0 if self.remainder is None else self.remainder.size
        return 2 * sum(part.size for part in self.responses) + low

    def positions(self, channel: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the positions of a channel's sensors in pixels: the rows and the columns of their grid."""
        return self._maps[channel].positions

    def filtered(self, channel: int, grid: tuple[int, int] | None = None) -> NDArray[np.complex128]:
        """Return the responses of a channel's sensors at every pixel, complex as in `responses`.

        The real part is ``correlate(image, bank[channel].even)`` up to the truncation of that kernel.

        Parameters
        ----------
        channel : int
            Index in the bank.
        grid : (int, int), optional
            Number of positions along rows and columns, evenly spaced; every pixel (H, W) if not given.
        """
        height, width = self.image.shape
        dense = channel_of(self.bank[channel], (height, width), (height, width) if grid is None else grid)
        return dense.responses(waves_of(self.image))

    def reconstruct(self, iterations: int = 20) -> NDArray[np.float64]:
        """Return the image (H, W) reconstructed from the responses and the mean.

        It is the least-squares image of minimum energy for these responses: waves outside all sensors are absent. More
        iterations recover waves with weak responses.

        Parameters
        ----------
        iterations : int
            Iterations of LSMR, each about four times the cost of encoding.
        """
        parts = [*self.responses, *([] if self.remainder is None else [self.remainder.astype(np.complex128)])]
        waves = waves_from(self._maps, parts, whole("iterations", iterations, 1))
        waves[0, 0] = self.image.mean() * np.sqrt(self.image.size)
        return image_of(waves)

    @cached_property
    def error(self) -> float:
        """Root mean square error of the reconstruction over the standard deviation of the image; 0 is lossless."""
        return float(np.sqrt(np.mean((self.image - self.reconstruct()) ** 2)) / self.image.std())

    def kurtosis(self) -> NDArray[np.float64]:
        """Return the excess kurtosis of each channel, even and odd sensors together; NaN without responses."""
        return self._measured(kurtosis)

    def relative_response(self, fraction: float = 0.1) -> NDArray[np.float64]:
        """Return for each channel the mean response of the strongest `fraction` of sensors over that of all."""
        return self._measured(lambda values: relative_response(values, fraction))

    def sparseness(self) -> NDArray[np.float64]:
        """Return Hoyer's sparseness of each channel."""
        return self._measured(sparseness)

    def _measured(self, measure: Callable[[NDArray[np.float64]], float]) -> NDArray[np.float64]:
        """Return a measure of the responses of each channel; NaN for a channel without responses."""
        found = np.full(len(self.responses), np.nan)
        for i, part in enumerate(self.responses):
            values = np.concatenate([part.real.ravel(), part.imag.ravel()])
            with suppress(DataError):
                found[i] = measure(values)
        return found

    def plot(self) -> Figure:
        """Return a matplotlib figure of the code: sensors, image, and responses with their grids."""
        from kernelfield.coding.plot import plot_code

        return plot_code(self)

    def __repr__(self) -> str:
        height, width = self.image.shape
        return f"Code of {height}×{width} pixels: {len(self.bank)} channels, {self.samples} samples"


def code(image: ArrayLike, bank: Bank | None = None) -> Code:
    """Return an image encoded as sensor responses, each channel sampled in proportion to the size of its sensors.

    The code of Field 1987, "Relations between the statistics of natural images and the response properties of
    cortical cells", J. Opt. Soc. Am. A 4(12), 2379-2394. Beyond its border the image is extended by reflection.

    Parameters
    ----------
    image : array_like, shape (H, W)
        Luminance; finite, not constant, sides at least the wavelength of the largest sensor. Values are used as given:
        those of an image file are usually not linear in light.
    bank : Bank, optional
        Six channels if not given: ``bank()``.

    Returns
    -------
    Code

    Raises
    ------
    ArgumentError
        For an invalid shape, or an image too small for the sensors.
    DataError
        For an image without contrast, or with NaN or infinity.

    Examples
    --------
    >>> import kernelfield as kf, numpy as np
    >>> y, x = np.mgrid[:64, :64]
    >>> stripes = np.cos(2 * np.pi * x / 8)
    >>> found = kf.coding.code(stripes, kf.coding.bank(6))
    >>> found
    Code of 64×64 pixels: 6 channels, 736 samples
    >>> int(np.argmax([np.abs(part).mean() for part in found.responses]))
    0
    """
    sensors = default_bank() if bank is None else bank
    if not isinstance(sensors, Bank):
        raise ArgumentError(f"bank: expected what coding.bank returns; received {type(sensors).__name__}")
    pixels = check_luminance(image)
    height, width = pixels.shape
    largest = max(sensor.wavelength for sensor in sensors)
    if min(pixels.shape) < largest:
        raise ArgumentError(
            f"image: expected sides of at least {largest:g} pixels, the largest sensor's wavelength; received "
            f"{height}×{width}; take a smaller wavelength or fewer scales"
        )
    maps = channels(sensors, (height, width))
    waves = waves_of(pixels)
    found = [one.responses(waves) for one in maps]
    remainder = found.pop().real if sensors.lowpass else None
    return Code(sensors, pixels, tuple(found), remainder, maps)


def check_luminance(image: ArrayLike) -> NDArray[np.float64]:
    """Return an image of one channel as float64; raise if it is constant or not finite."""
    pixels = check_image(image, "image").astype(np.float64)
    if pixels.ndim != 2:
        raise ArgumentError(
            f"image: expected one channel (H, W); received shape {pixels.shape}; use coding.luminance for colour images"
        )
    if not np.isfinite(pixels).all():
        raise DataError("image: expected finite pixels; received NaN or infinity; replace them or crop the image")
    if pixels.min() == pixels.max():
        raise DataError("image: expected contrast; received a constant image; choose another")
    return pixels


def images_of(images: Any) -> list[Any]:
    """Return one image (H, W), or a sequence of them, as a list."""
    one = is_pillow(images) or getattr(images, "ndim", 0) == 2
    if not one and not isinstance(images, Iterable):
        raise ArgumentError(f"images: expected one image (H, W) or several; received {received(images)}")
    return [images] if one else list(images)


def luminance(image: ArrayLike) -> NDArray[np.float64]:
    """Return the luminance of a colour image, a weighted mean of red, green and blue.

    ``0.299 R + 0.587 G + 0.114 B``, Rec. ITU-R BT.601, on the stored values: gamma is not undone.

    Parameters
    ----------
    image : array_like, shape (H, W, 3), or (H, W), which is returned as it is
        Red, green, blue.

    Returns
    -------
    numpy.ndarray, float64, shape (H, W)

    Raises
    ------
    ArgumentError
        For another shape.

    Examples
    --------
    >>> import kernelfield as kf
    >>> kf.coding.luminance([[[0, 100, 0]]])
    array([[58.7]])
    """
    pixels = check_image(image, "image").astype(np.float64)
    if pixels.ndim == 2:
        return pixels
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ArgumentError(f"image: expected (H, W) or (H, W, 3); received shape {pixels.shape}; choose channels")
    return np.asarray(pixels @ np.array([0.299, 0.587, 0.114]))
