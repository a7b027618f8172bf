"""Log-Gabor sensors and banks of sensors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kernelfield.arrays import as_numbers
from kernelfield.errors import ArgumentError, received
from kernelfield.kernels.arguments import number, whole
from kernelfield.kernels.gabor import log_gabor, spread_of
from kernelfield.kernels.kernel import Kernel

# Full width at half height of a Gaussian, in standard deviations.
_FULL_WIDTH = 2 * math.sqrt(2 * math.log(2))
# Half-width of a kernel in standard deviations of the envelope.
_REACH = 5.0


@dataclass(frozen=True)
class Sensor:
    """A pair of sensors at one place, one even and one odd: the filters of `kernelfield.kernels.log_gabor`.

    ``G(f, t) = exp(-ln(f / f0)**2 / (2 s**2)) * exp(-t**2 / (2 sigma_t**2))``, where `f` is the radial frequency, `t`
    the angle from the sensor's orientation. The radial part is the log-Gabor function of Field (1987), a Gaussian over
    ``ln f`` that is 0 at frequency 0: the mean has no response. The Gaussian over the angle is a choice made here.

    Parameters
    ----------
    wavelength : float
        Preferred wavelength in pixels: ``1 / f0``.
    orientation : float
        Direction of the wave, in degrees from rightwards (along a row) to downwards (along a column), as in OpenCV and
        scikit-image: at 0 the stripes are vertical, at 90 horizontal.
    bandwidth : float
        Full width of `G` at half height along the frequency axis, in octaves.
    aspect : float
        Width of the envelope across the stripes divided by its length along them; below 1 the stripes are long.

    Examples
    --------
    >>> sensor = Sensor(wavelength=8.0, orientation=0.0)
    >>> round(sensor.size, 2), round(sensor.orientation_bandwidth, 1)
    (4.5, 36.9)
    """

    wavelength: float
    orientation: float
    bandwidth: float = 1.0
    aspect: float = 1.0

    @property
    def frequency(self) -> float:
        """Preferred frequency, in cycles per pixel."""
        return 1.0 / self.wavelength

    @property
    def size(self) -> float:
        """Standard deviation across the stripes, in pixels, of the Gabor filter with this bandwidth."""
        return spread_of(self.wavelength, self.bandwidth)

    @property
    def length(self) -> float:
        """Standard deviation along the stripes, in pixels."""
        return self.size / self.aspect

    @property
    def orientation_bandwidth(self) -> float:
        """Full width of the orientation tuning at half height, in degrees, as for the Gabor filter of this length."""
        return math.degrees(2 * math.atan(_FULL_WIDTH * self.wavelength / (4 * math.pi * self.length)))

    @cached_property
    def even(self) -> Kernel:
        """The even sensor, symmetric about its centre, as a cross-correlation kernel."""
        return self._kernel(0.0)

    @cached_property
    def odd(self) -> Kernel:
        """The odd sensor, positive where the image brightens along the orientation, as a cross-correlation kernel."""
        return self._kernel(-90.0)

    def transfer(self, rows: ArrayLike, columns: ArrayLike) -> NDArray[np.float64]:
        """Return the transfer function of ``even + 1j * odd`` at frequencies in cycles per pixel along both axes.

        The response to ``exp(-2j pi (rows * y + columns * x))`` is the same wave times this number, which is large for
        waves along the orientation and nearly 0 for waves in the opposite direction. The even sensor, as weights, has
        unit energy if its spectrum lies within the Nyquist limits.
        """
        y, x = (as_numbers(v, name).astype(np.float64) for v, name in ((rows, "rows"), (columns, "columns")))
        angle = np.arctan2(y, x) - math.radians(self.orientation)
        angle = np.abs((angle + math.pi) % (2 * math.pi) - math.pi)
        with np.errstate(divide="ignore"):
            octaves = np.log(np.hypot(y, x) * self.wavelength)
        exponent = (octaves / self._log_deviation) ** 2 + (angle / self._angular_deviation) ** 2
        return np.asarray(self._gain * np.exp(-exponent / 2))

    def highest(self, faint: float) -> float:
        """Return the frequency, in cycles per pixel, above which the response is below `faint` times the largest."""
        return self.frequency * math.exp(self._log_deviation * math.sqrt(-2 * math.log(faint)))

    @property
    def _log_deviation(self) -> float:
        """Standard deviation over ln f, with half height at f0 * 2**(+-bandwidth / 2)."""
        return self.bandwidth * math.log(2) / _FULL_WIDTH

    @property
    def _angular_deviation(self) -> float:
        """Standard deviation over the angle, in radians."""
        return math.radians(self.orientation_bandwidth) / _FULL_WIDTH

    @property
    def _gain(self) -> float:
        """Factor for unit energy of the even part, half the integral of G**2 over the frequency plane."""
        s, t = self._log_deviation, self._angular_deviation
        radial = self.frequency**2 * math.exp(s * s) * s * math.sqrt(math.pi)
        angular = t * math.sqrt(math.pi) * math.erf(math.pi / t)
        return math.sqrt(2 / (radial * angular))

    def _kernel(self, phase: float) -> Kernel:
        """Return the weights for a phase, out to `_REACH` standard deviations."""
        return log_gabor(
            self.wavelength,
            self.orientation,
            self.bandwidth,
            self.orientation_bandwidth,
            phase,
            truncate=_REACH,
            scale=self._gain,
        )


@dataclass(frozen=True)
class LowPass:
    """The Gaussian low-pass filter for the band below the sensors.

    Parameters
    ----------
    cutoff : float
        Frequency of half height of its transfer function, in cycles per pixel.
    """

    cutoff: float

    @property
    def size(self) -> float:
        """Standard deviation in the image, in pixels."""
        return _FULL_WIDTH / (4 * math.pi * self.cutoff)

    def transfer(self, rows: ArrayLike, columns: ArrayLike) -> NDArray[np.float64]:
        """Return the transfer function at frequencies in cycles per pixel; the weights have unit energy."""
        y, x = (as_numbers(v, name).astype(np.float64) for v, name in ((rows, "rows"), (columns, "columns")))
        gain = 2 * math.sqrt(math.pi) * self.size
        return np.asarray(gain * np.exp(-2 * (math.pi * self.size) ** 2 * (y * y + x * x)))

    def highest(self, faint: float) -> float:
        """Return the frequency, in cycles per pixel, above which the response is below `faint` times the largest."""
        return math.sqrt(-2 * math.log(faint)) / (2 * math.pi * self.size)


@dataclass(frozen=True)
class Bank:
    """A bank of sensors of several sizes and orientations, and the spacing of their sampling grids.

    Attributes
    ----------
    sensors : tuple of Sensor
        One per channel, the finest first.
    sampling : float
        Spacing of neighbouring sensors, in units of `Sensor.size`.
    lowpass : bool
        Whether the low-pass band below the largest sensors is encoded too.
    """

    sensors: tuple[Sensor, ...]
    sampling: float = 1.5
    lowpass: bool = True

    @property
    def remainder(self) -> LowPass:
        """The low-pass filter, with half height at the lower half-height frequency of the largest sensors."""
        return LowPass(min(sensor.frequency * 2 ** (-sensor.bandwidth / 2) for sensor in self.sensors))

    def __len__(self) -> int:
        return len(self.sensors)

    def __iter__(self) -> Iterator[Sensor]:
        return iter(self.sensors)

    def __getitem__(self, channel: int) -> Sensor:
        return self.sensors[channel]


def bank(
    channels: int = 6,
    *,
    scales: int = 2,
    wavelength: float = 8.0,
    ratio: float = 2.0,
    bandwidth: float = 1.0,
    aspect: float = 1.0,
    orientations: Sequence[float] | None = None,
    sampling: float = 1.5,
    lowpass: bool = True,
) -> Bank:
    """Return a bank of log-Gabor sensors: `scales` sizes, each in ``channels / scales`` orientations.

    Six channels, two sizes in three orientations, are what the figure of Field (1987) shows (reprinted in Zhang,
    Lipton, Li and Smola, *Dive into Deep Learning*, section 7.2). Measured on that reprint, its sensors have
    wavelengths of about a tenth and a quarter of the image's side, orientations of -45, 0 and 45 degrees, and a spacing
    of 0.8 wavelengths. Choices made here: sizes an octave apart and evenly spaced orientations, which cover the
    frequency plane evenly; round envelopes; a spacing of 1.5 sizes, which is 0.8 wavelengths for one octave.

    Parameters
    ----------
    channels : int
        Number of channels, a multiple of `scales`.
    scales : int
        Number of sensor sizes.
    wavelength : float
        Wavelength of the finest sensors in pixels; more than 2.
    ratio : float
        Ratio of one size to the next; more than 1.
    bandwidth : float
        In octaves. The paper finds about one best for natural images.
    aspect : float
        Width over length of the envelope; below 1 the stripes are long.
    orientations : sequence of float, optional
        In degrees, ``channels / scales`` of them; see `Sensor`. By default evenly spaced over 180, from 0.
    sampling : float
        Spacing of neighbouring sensors, in units of `Sensor.size`.
    lowpass : bool
        Also encode the low-pass band below the largest sensors, blurred and sampled. It is not a channel; it stands for
        the omitted larger scales, without which a reconstruction lacks large areas of light and shade.

    Returns
    -------
    Bank

    Raises
    ------
    ArgumentError
        For invalid numbers.

    Examples
    --------
    >>> import kernelfield as kf
    >>> [(sensor.wavelength, sensor.orientation) for sensor in kf.coding.bank(6)]
    [(8.0, 0.0), (8.0, 60.0), (8.0, 120.0), (16.0, 0.0), (16.0, 60.0), (16.0, 120.0)]
    """
    channels, scales = whole("channels", channels, 1), whole("scales", scales, 1)
    if channels % scales:
        raise ArgumentError(
            f"channels: expected a multiple of the {scales} scales, received {channels}; change one of them"
        )
    each = channels // scales
    wavelength, ratio = number("wavelength", wavelength, above=2), number("ratio", ratio, above=1)
    bandwidth, aspect = number("bandwidth", bandwidth, above=0), number("aspect", aspect, above=0)
    sampling = number("sampling", sampling, above=0)
    if not isinstance(lowpass, (bool, np.bool_)):
        raise ArgumentError(f"lowpass: expected True or False; received {received(lowpass)}")
    if orientations is None:
        angles = [180.0 * i / each for i in range(each)]
    else:
        angles = [number("orientations", angle) for angle in orientations]
        if len(angles) != each:
            raise ArgumentError(
                f"orientations: expected {each}, for {channels} channels of {scales} scales; received {len(angles)}"
            )
    sensors = [
        Sensor(wavelength * ratio**scale, angle, bandwidth, aspect) for scale in range(scales) for angle in angles
    ]
    return Bank(tuple(sensors), sampling, bool(lowpass))
