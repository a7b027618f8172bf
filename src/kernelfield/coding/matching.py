"""Gabor functions fitted to learned kernels, for comparison with designed sensors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kernelfield.arrays import as_numbers
from kernelfield.errors import ArgumentError, DataError
from kernelfield.tensors.registry import adapter_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

# Eight parameters would fit almost any smaller kernel.
_SMALLEST = 5
# Upper limit of the frequency in a fit, a little above 1/2.
_FASTEST = 0.6
_TABLE = ("orientation", "frequency", "bandwidth", "aspect", "phase", "size", "r2")


@dataclass(frozen=True, eq=False, repr=False)
class Matches:
    """Parameters of Gabor functions fitted to kernels; one element per kernel in each array.

    Attributes
    ----------
    orientation : numpy.ndarray
        Direction of the wave, in degrees from rightwards to downwards, at least 0 and below 180.
    frequency : numpy.ndarray
        Frequency of the largest response, in cycles per pixel.
    carrier : numpy.ndarray
        Frequency of the wave in its envelope; near `frequency` unless the envelope is shorter than a wave.
    bandwidth : numpy.ndarray
        Full width of its spectrum at half height, in octaves; ``inf`` if the response to the mean is half or more.
    aspect : numpy.ndarray
        Width of the envelope across the stripes divided by its length along them, as in `Sensor`.
    phase : numpy.ndarray
        Phase of the wave at the centre of the envelope, in degrees: 0 and 180 are even, 90 and -90 odd.
    size : numpy.ndarray
        Standard deviation of the envelope across the stripes, in pixels.
    centre : numpy.ndarray, shape (n, 2)
        Row and column of the envelope's centre.
    amplitude : numpy.ndarray
        Amplitude of the wave at the centre.
    r2 : numpy.ndarray
        Goodness of fit: 1 minus the squared error over the squared deviations from the kernel's mean. 1 is perfect; the
        best constant has 0.
    share : numpy.ndarray
        Share of a kernel's energy in its main colour direction; 1 for kernels of one channel.
    kernels, fitted : numpy.ndarray, shape (n, kh, kw)
        The kernels and the fitted functions.
    """

    orientation: Floats
    frequency: Floats
    carrier: Floats
    bandwidth: Floats
    aspect: Floats
    phase: Floats
    size: Floats
    centre: Floats
    amplitude: Floats
    r2: Floats
    share: Floats
    kernels: Floats
    fitted: Floats

    def __len__(self) -> int:
        return len(self.r2)

    def good(self, least: float = 0.8) -> NDArray[np.bool_]:
        """Return the mask of kernels that are Gabor functions: `r2` of at least `least` and a finite bandwidth."""
        return np.asarray((self.r2 >= least) & np.isfinite(self.bandwidth))

    def table(self) -> str:
        """Return a text table with one line per kernel, and the medians of the good ones."""
        lines = ["kernel  orientation  cycles/px  octaves  aspect   phase    size     r2"]
        form = "{:>6}  {:>10.1f}°  {:>9.3f}  {:>7.2f}  {:>6.2f}  {:>5.0f}°  {:>6.2f}  {:>5.3f}"
        for i in range(len(self)):
            lines.append(form.format(i, *(float(getattr(self, name)[i]) for name in _TABLE)))
        good = self.good()
        if good.any():
            medians = [float(np.median(getattr(self, name)[good])) for name in ("frequency", "bandwidth", "aspect")]
            lines.append(
                f"{good.sum()} of {len(self)} are Gabor functions (r2 of at least 0.8); their medians: "
                f"{medians[0]:.3f} cycles/px, {medians[1]:.2f} octaves, aspect {medians[2]:.2f}"
            )
        return "\n".join(lines)

    def plot(self) -> Figure:
        """Return a matplotlib figure: kernels, fitted functions, and their orientation, frequency and bandwidth."""
        from kernelfield.coding.plot import plot_matches

        return plot_matches(self)

    def __repr__(self) -> str:
        return f"Matches of {len(self)} kernels: {int(self.good().sum())} are Gabor functions"


def match(weights: Any) -> Matches:
    """Return the best-fitting Gabor function of each learned kernel, of a trained layer or a dictionary.

    Receptive fields of simple cells are approximately Gabor functions: Jones and Palmer 1987, "An evaluation of the
    two-dimensional Gabor filter model of simple receptive fields in cat striate cortex", Journal of Neurophysiology
    58(6), 1233-1258.

    Parameters
    ----------
    weights : array_like or tensor, shape (n, kh, kw) or (n, C, kh, kw)
        At least 5×5. Kernels with channels, as in the first layer of a network for colour images, are reduced to their
        main colour direction: the first pair of singular vectors of each kernel as a matrix of colours by pixels.

    Returns
    -------
    Matches
        A constant kernel has an `r2` of 0 and NaN elsewhere.

    Raises
    ------
    ArgumentError
        For another shape, or kernels that are too small.
    DtypeError
        For complex or other non-real dtypes.
    DataError
        For NaN or infinity.

    Examples
    --------
    >>> import kernelfield as kf
    >>> sensor = kf.kernels.gabor(wavelength=5, orientation=30, bandwidth=1.2, aspect=0.7, phase=90, size=15)
    >>> found = kf.coding.match(sensor.weights[None])
    >>> [round(float(column[0]), 2) for column in (found.orientation, found.frequency, found.aspect, found.phase)]
    [30.0, 0.2, 0.7, 90.0]
    """
    kernels, share = _reduced(_checked(weights))
    count = len(kernels)
    names = ("orientation", "frequency", "carrier", "bandwidth", "aspect", "phase", "size", "r2", "amplitude")
    found = {name: np.full(count, np.nan) for name in names}
    centre, fitted = np.full((count, 2), np.nan), np.zeros_like(kernels)
    found["r2"][:] = 0.0
    for i, kernel in enumerate(kernels):
        scatter = float(((kernel - kernel.mean()) ** 2).sum())
        if scatter <= kernel.size * (np.abs(kernel).max() * np.finfo(np.float64).eps) ** 2:
            continue
        parameters, factor, fitted[i] = fit_gabor(kernel)
        centre[i] = parameters[:2] + (np.array(kernel.shape) - 1) / 2
        row = (*_described(parameters, factor), 1 - float(((kernel - fitted[i]) ** 2).sum()) / scatter, abs(factor))
        for name, value in zip(found, row):
            found[name][i] = value
    return Matches(**found, centre=centre, share=share, kernels=kernels, fitted=fitted)


def fit_gabor(weights: Floats) -> tuple[Floats, complex, Floats]:
    """Return the parameters, the complex factor and the pixels of the least-squares Gabor function for a kernel.

    ``exp(-(u**2 / s**2 + v**2 / l**2) / 2) * (a cos(2 pi f u) - b sin(2 pi f u))``, with u along the wave and v along
    the stripes. The factors a and b are solved for in every step (variable projection: Golub and Pereyra 1973, SIAM J.
    Numer. Anal. 10(2), 413-432), the other six parameters by a trust-region method from several starts: the strongest
    frequencies of the kernel, each with a narrow and a wide envelope.

    Returns
    -------
    parameters : (6,)
        Row and column of the centre in pixels from the middle of the kernel, logarithms of width s and length l,
        angle and frequency of the wave.
    factor : complex
        ``a + 1j b``.
    fitted : (kh, kw)
        The function at the kernel's pixels.
    """
    from scipy.optimize import least_squares

    scale = float(np.abs(weights).max())
    target = weights / scale
    rows, columns = (np.arange(n) - (n - 1) / 2 for n in weights.shape)
    wide = float(max(weights.shape))
    low = [rows[0] - 1, columns[0] - 1, math.log(0.4), math.log(0.4), -np.inf, 1e-3]
    high = [rows[-1] + 1, columns[-1] + 1, math.log(2 * wide), math.log(2 * wide), np.inf, _FASTEST]

    def left(parameters: Floats) -> Floats:
        return np.asarray(_projected(target, rows, columns, parameters)[1] - target).ravel()

    best: Any = None
    for start in _starts(target, rows, columns):
        found = least_squares(left, np.clip(start, low, high), bounds=(low, high), x_scale="jac", max_nfev=200)
        if best is None or found.cost < best.cost * (1 - 1e-9):
            best = found
    factor, fitted = _projected(target, rows, columns, best.x)
    return np.asarray(best.x), factor * scale, fitted * scale


def _projected(target: Floats, rows: Floats, columns: Floats, parameters: Floats) -> tuple[complex, Floats]:
    """Return the least-squares factor of a wave in its envelope, and the resulting function."""
    y, x, width, length, angle, frequency = parameters
    down, right = (rows - y)[:, None], columns - x
    along = right * math.cos(angle) + down * math.sin(angle)
    across = down * math.cos(angle) - right * math.sin(angle)
    envelope = np.exp(-0.5 * ((along / math.exp(width)) ** 2 + (across / math.exp(length)) ** 2))
    even, odd = envelope * np.cos(2 * math.pi * frequency * along), -envelope * np.sin(2 * math.pi * frequency * along)
    ee, oo, eo = float((even**2).sum()), float((odd**2).sum()), float((even * odd).sum())
    et, ot = float((even * target).sum()), float((odd * target).sum())
    # The ridge keeps the system regular if one part vanishes, like the sine of a slow wave.
    ridge = 1e-12 * (ee + oo) + 1e-300
    determinant = (ee + ridge) * (oo + ridge) - eo**2
    a, b = (et * (oo + ridge) - ot * eo) / determinant, (ot * (ee + ridge) - et * eo) / determinant
    return complex(a, b), a * even + b * odd


def _starts(target: Floats, rows: Floats, columns: Floats) -> Iterator[Floats]:
    """Yield starting values of the parameters."""
    wide = max(target.shape)
    period = 8 * wide
    heavy = target**4
    centre = [
        float((heavy.sum(axis=1) * rows).sum() / heavy.sum()),
        float((heavy.sum(axis=0) * columns).sum() / heavy.sum()),
    ]
    power = np.abs(np.fft.fft2(target - target.mean(), (period, period))) ** 2
    line = np.fft.fftfreq(period)
    power[line < 0] = 0
    for _ in range(2):
        i, j = np.unravel_index(int(np.argmax(power)), power.shape)
        angle, frequency = math.atan2(line[i], line[j]), math.hypot(line[i], line[j])
        for size in (wide / 10, wide / 4):
            yield np.array([*centre, math.log(size), math.log(size), angle, frequency])
        # Remove this peak with its flanks before searching for the next.
        apart = np.hypot(line[:, None] - line[i], line - line[j]) < 1 / wide
        power[apart] = 0


def _described(parameters: Floats, factor: complex) -> tuple[float, ...]:
    """Return orientation, frequency, carrier, bandwidth, aspect, phase and size."""
    width, length = (math.exp(value) for value in parameters[2:4])
    angle, frequency = math.degrees(parameters[4]) % 360, float(parameters[5])
    phase = math.degrees(math.atan2(factor.imag, factor.real))
    if angle >= 180:
        # The same wave in the opposite direction.
        angle, phase = angle - 180, -phase
    best, bandwidth = _tuning(width, frequency, phase)
    return angle, best, frequency, bandwidth, width / length, phase, width


def _tuning(width: float, carrier: float, phase: float) -> tuple[float, float]:
    """Return the frequency of the largest response and the bandwidth of a one-dimensional wave in its envelope.

    The spectrum is the sum of two Gaussians about the carrier and its negative, with opposite phases.
    """
    line = np.geomspace(1e-4, 1.0, 4001)
    turn = np.exp(1j * math.radians(phase))
    parts = [np.exp(-2 * (math.pi * width * (line - sign * carrier)) ** 2) for sign in (1, -1)]
    answer = np.abs(turn * parts[0] + turn.conjugate() * parts[1])
    peak = int(np.argmax(answer))
    low, high = (np.flatnonzero(side < answer[peak] / 2) for side in (answer[:peak], answer[peak:]))
    if not low.size or not high.size:
        return float(line[peak]), math.inf
    return float(line[peak]), math.log2(line[peak + high[0]] / line[low[-1]])


def _checked(weights: Any) -> Floats:
    """Return checked kernels as float64 (n, C, kh, kw)."""
    adapter = adapter_of(weights)
    if adapter is not None:
        if not adapter.is_concrete(weights):
            raise ArgumentError(
                "weights: expected numbers; received a tensor elsewhere or in a trace; copy it to the CPU"
            )
        weights = adapter.to_numpy(weights)
    array = as_numbers(weights, "weights")
    if array.ndim not in (3, 4) or 0 in array.shape or min(array.shape[-2:]) < _SMALLEST:
        raise ArgumentError(
            f"weights: expected (n, kh, kw) or (n, C, kh, kw), kernels of at least {_SMALLEST}×{_SMALLEST}; received "
            f"shape {array.shape}; smaller kernels do not determine a Gabor function"
        )
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise DataError("weights: expected finite numbers; received NaN or infinity; leave those kernels out")
    return array if array.ndim == 4 else array[:, None]


def _reduced(weights: Floats) -> tuple[Floats, Floats]:
    """Return kernels reduced to one channel (n, kh, kw), and the share of energy kept."""
    if weights.shape[1] == 1:
        return weights[:, 0], np.ones(len(weights))
    colours, strength, planes = np.linalg.svd(weights.reshape(*weights.shape[:2], -1), full_matrices=False)
    # Choose the sign with positive brightness.
    sign = np.where(colours[:, :, 0].sum(axis=1) < 0, -1.0, 1.0)
    energy = (strength**2).sum(axis=1)
    share = np.divide(strength[:, 0] ** 2, energy, out=np.ones_like(energy), where=energy > 0)
    return (planes[:, 0] * (sign * strength[:, 0])[:, None]).reshape(len(weights), *weights.shape[2:]), share
