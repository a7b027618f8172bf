"""Log-Gabor sensors, and banks of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kernelfield.errors import ArgumentError
from kernelfield.kernels.arguments import number, whole
from kernelfield.kernels.gabor import log_gabor, spread_of
from kernelfield.kernels.kernel import Kernel

# Full width at half height of a Gaussian, in standard deviations.
_FULL_WIDTH = 2 * math.sqrt(2 * math.log(2))
# Standard deviations of the envelope that a kernel reaches to either side.
_REACH = 5.0


@dataclass(frozen=True)
class Sensor:
    """A pair of sensors at one place, one even and one odd: the filters of `kernelfield.kernels.log_gabor`.

    ``G(f, t) = exp(-ln(f / f0)**2 / (2 s**2)) * exp(-t**2 / (2 sigma_t**2))``, where `f` is the radial frequency, `t`
    the angle from the sensor's orientation. The radial part is the log-Gabor function of Field (1987), a Gaussian over
    ``ln f`` which is 0 at frequency 0: the sensors do not see the mean. A Gaussian over the angle was taken here.

    Parameters
    ----------
    wavelength : float
        Of the best wave, in pixels: ``1 / f0``.
    orientation : float
        Direction in which the wave runs, in degrees from rightwards (along a row) to downwards (along a column), as in
        OpenCV and scikit-image: at 0 the stripes stand upright, at 90 they lie.
    bandwidth : float
        Full width of `G` at half height along the frequency axis, in octaves.
    aspect : float
        Width of the envelope across the stripes over its length along them: below 1 the stripes are long.

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
        """Of the best wave, in cycles per pixel."""
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
        """Full width of the orientation tuning at half height, in degrees: that of the Gabor filter of this length."""
        return math.degrees(2 * math.atan(_FULL_WIDTH * self.wavelength / (4 * math.pi * self.length)))

    @cached_property
    def even(self) -> Kernel:
        """The sensor whose stripes are symmetric about its centre, as a kernel to correlate with."""
        return self._kernel(0.0)

    @cached_property
    def odd(self) -> Kernel:
        """The sensor that answers where the image brightens in the direction of the orientation, as a kernel."""
        return self._kernel(-90.0)

    def transfer(self, rows: ArrayLike, columns: ArrayLike) -> NDArray[np.float64]:
        """Return the answer of ``even + 1j * odd`` to waves, at frequencies in cycles per pixel along both axes.

        To ``exp(-2j pi (rows * y + columns * x))`` it answers with the same wave times this number, which is large
        for waves along the orientation and nearly 0 for those against it. The even sensor, as weights, has unit energy
        where the grid of pixels does not cut its spectrum off.
        """
        y, x = np.asarray(rows, np.float64), np.asarray(columns, np.float64)
        angle = np.arctan2(y, x) - math.radians(self.orientation)
        angle = np.abs((angle + math.pi) % (2 * math.pi) - math.pi)
        with np.errstate(divide="ignore"):
            octaves = np.log(np.hypot(y, x) * self.wavelength)
        exponent = (octaves / self._log_deviation) ** 2 + (angle / self._angular_deviation) ** 2
        return np.asarray(self._gain * np.exp(-exponent / 2))

    def highest(self, faint: float) -> float:
        """Return the frequency, in cycles per pixel, above which the answer is less than `faint` of the largest."""
        return self.frequency * math.exp(self._log_deviation * math.sqrt(-2 * math.log(faint)))

    @property
    def _log_deviation(self) -> float:
        """Standard deviation over ln f: half the height is reached at f0 * 2**(+-bandwidth / 2)."""
        return self.bandwidth * math.log(2) / _FULL_WIDTH

    @property
    def _angular_deviation(self) -> float:
        """Standard deviation over the angle, in radians."""
        return math.radians(self.orientation_bandwidth) / _FULL_WIDTH

    @property
    def _gain(self) -> float:
        """Makes the even part's energy, half the integral of G**2 over the plane of frequencies, 1."""
        s, t = self._log_deviation, self._angular_deviation
        radial = self.frequency**2 * math.exp(s * s) * s * math.sqrt(math.pi)
        angular = t * math.sqrt(math.pi) * math.erf(math.pi / t)
        return math.sqrt(2 / (radial * angular))

    def _kernel(self, phase: float) -> Kernel:
        """Return the weights, as far as they have not faded."""
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
    """What fills the plane of frequencies below the sensors: a Gaussian.

    Parameters
    ----------
    cutoff : float
        Where its transfer function has half its height, in cycles per pixel.
    """

    cutoff: float

    @property
    def size(self) -> float:
        """Standard deviation in the image, in pixels."""
        return _FULL_WIDTH / (4 * math.pi * self.cutoff)

    def transfer(self, rows: ArrayLike, columns: ArrayLike) -> NDArray[np.float64]:
        """Return the answer to waves, at frequencies in cycles per pixel along both axes; of unit energy as weights."""
        y, x = np.asarray(rows, np.float64), np.asarray(columns, np.float64)
        gain = 2 * math.sqrt(math.pi) * self.size
        return np.asarray(gain * np.exp(-2 * (math.pi * self.size) ** 2 * (y * y + x * x)))

    def highest(self, faint: float) -> float:
        """Return the frequency, in cycles per pixel, above which the answer is less than `faint` of the largest."""
        return math.sqrt(-2 * math.log(faint)) / (2 * math.pi * self.size)


@dataclass(frozen=True)
class Bank:
    """Sensors of several sizes and orientations, and how far apart each kind stands.

    Attributes
    ----------
    sensors : tuple of Sensor
        One a channel, fine ones first.
    sampling : float
        Distance of neighbours, in sizes (`Sensor.size`) of the sensor.
    lowpass : bool
        Whether what is slower than the largest sensors see is coded too.
    """

    sensors: tuple[Sensor, ...]
    sampling: float = 1.5
    lowpass: bool = True

    @property
    def remainder(self) -> LowPass:
        """The low-pass, which takes over where the largest sensors have half their height."""
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
    wavelengths of about a tenth and a quarter of the image's side, stand at -45, 0 and 45 degrees, and are sampled
    0.8 wavelengths apart. Taken here: sizes an octave apart and orientations evenly spaced, so that the channels cover
    the plane of frequencies evenly; round envelopes; a distance of 1.5 sizes, which is 0.8 wavelengths for one octave.

    Parameters
    ----------
    channels : int
        A multiple of `scales`.
    scales : int
        Sizes of sensors.
    wavelength : float
        Of the finest sensors, in pixels; more than 2.
    ratio : float
        From one size to the next; more than 1.
    bandwidth : float
        In octaves. About one is what the paper finds best for natural images.
    aspect : float
        Width over length of the envelope; below 1 the stripes are long.
    orientations : sequence of float, optional
        In degrees, ``channels / scales`` of them; see `Sensor`. By default 0 and on, evenly over 180.
    sampling : float
        Distance of neighbours, in sizes of the sensor.
    lowpass : bool
        Also keep what is slower than the largest sensors see, blurred and sampled: it is no channel, it stands for the
        scales that are left out, and without it a reconstruction has no light and shade.

    Returns
    -------
    Bank

    Raises
    ------
    ArgumentError
        For numbers that make no bank.

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
