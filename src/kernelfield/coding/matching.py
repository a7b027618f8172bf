"""What learned kernels look like: a table of the Gabor functions nearest to them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kernelfield.arrays.select import adapter_of
from kernelfield.coding.gabors import fit_gabor
from kernelfield.errors import ArgumentError, DataError, DtypeError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

# With fewer weights eight parameters fit anything.
_SMALLEST = 5
_TABLE = ("orientation", "frequency", "bandwidth", "aspect", "phase", "size", "r2")


@dataclass(frozen=True, eq=False, repr=False)
class Matches:
    """Gabor functions fitted to kernels; one element of each array a kernel.

    Attributes
    ----------
    orientation : numpy.ndarray
        Direction in which the wave runs, in degrees from rightwards to downwards, 0 to below 180.
    frequency : numpy.ndarray
        To which the function answers most, in cycles per pixel.
    carrier : numpy.ndarray
        Of the wave in its envelope; near `frequency`, but where the envelope holds less than a wave.
    bandwidth : numpy.ndarray
        Full width of its spectrum at half height, in octaves; ``inf`` where it answers to the mean by half or more.
    aspect : numpy.ndarray
        Width of the envelope across the stripes over its length along them, as in `Sensor`: below 1 they are long.
    phase : numpy.ndarray
        Of the wave at the centre of the envelope, in degrees: 0 and 180 are even, 90 and -90 odd.
    size : numpy.ndarray
        Standard deviation of the envelope across the stripes, in pixels.
    centre : numpy.ndarray, shape (n, 2)
        Row and column of the envelope's centre.
    amplitude : numpy.ndarray
        Of the wave at the centre.
    r2 : numpy.ndarray
        Goodness of fit: 1 less the squared error over the squared deviations from the kernel's mean. 1 is perfect; the
        nearest constant has 0.
    share : numpy.ndarray
        Of a kernel's energy, what its main direction in colour holds; 1 for kernels of one channel.
    kernels, fitted : numpy.ndarray, shape (n, kh, kw)
        What was fitted, and the functions.
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
        """Return which kernels are Gabor functions, by an `r2` of at least `least`, with a bandwidth."""
        return np.asarray((self.r2 >= least) & np.isfinite(self.bandwidth))

    def table(self) -> str:
        """Return one line a kernel, and the medians of the good ones."""
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
        """Return the figure: kernels, fitted functions, and where they lie in orientation, frequency and bandwidth.

        Raises
        ------
        MissingDependencyError
            If matplotlib is not installed.
        """
        from kernelfield.coding.figures import plot_matches

        return plot_matches(self)

    def __repr__(self) -> str:
        return f"Matches of {len(self)} kernels: {int(self.good().sum())} are Gabor functions"


def match(weights: Any) -> Matches:
    """Return the Gabor functions nearest to learned kernels: those of a trained layer, or a dictionary.

    That the receptive fields of simple cells are near Gabor functions is from Jones and Palmer 1987, "An evaluation of
    the two-dimensional Gabor filter model of simple receptive fields in cat striate cortex", Journal of
    Neurophysiology 58(6), 1233-1258.

    Parameters
    ----------
    weights : array_like or tensor, shape (n, kh, kw) or (n, C, kh, kw)
        At least 5×5. Those with channels, as the first layer of a network on colour images has them, are reduced by
        their main direction: the first pair of singular vectors of each kernel as a matrix of colours by pixels.

    Returns
    -------
    Matches
        A kernel that is constant has an `r2` of 0 and NaN elsewhere.

    Raises
    ------
    ArgumentError
        For another shape, or kernels too small to tell.
    DtypeError
        For what is not real.
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


def _described(parameters: Floats, factor: complex) -> tuple[float, ...]:
    """Return orientation, frequency, carrier, bandwidth, aspect, phase and size."""
    width, length = (math.exp(value) for value in parameters[2:4])
    angle, frequency = math.degrees(parameters[4]) % 360, float(parameters[5])
    phase = math.degrees(math.atan2(factor.imag, factor.real))
    if angle >= 180:
        # The same wave, looked at from its other end.
        angle, phase = angle - 180, -phase
    best, bandwidth = _tuning(width, frequency, phase)
    return angle, best, frequency, bandwidth, width / length, phase, width


def _tuning(width: float, carrier: float, phase: float) -> tuple[float, float]:
    """Return the frequency of the best answer and the bandwidth, of a wave in an envelope of one dimension.

    The spectrum is that of the envelope, a Gaussian, about both the carrier and its negative, with opposite phases.
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
    """Return kernels as (n, C, kh, kw)."""
    adapter = adapter_of(weights)
    if adapter is not None:
        if not adapter.is_concrete(weights):
            raise ArgumentError(
                "weights: expected numbers; received a tensor elsewhere or in a trace; copy it to the CPU"
            )
        weights = adapter.to_numpy(weights)
    array = np.asarray(weights)
    if array.dtype.kind not in "biuf":
        raise DtypeError(f"weights: expected real numbers; received {array.dtype}; convert them")
    if array.ndim not in (3, 4) or 0 in array.shape or min(array.shape[-2:]) < _SMALLEST:
        raise ArgumentError(
            f"weights: expected (n, kh, kw) or (n, C, kh, kw), kernels of at least {_SMALLEST}×{_SMALLEST}; received "
            f"shape {array.shape}; smaller ones do not tell a Gabor function from another"
        )
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise DataError("weights: expected finite numbers; received NaN or infinity; leave those kernels out")
    return array if array.ndim == 4 else array[:, None]


def _reduced(weights: Floats) -> tuple[Floats, Floats]:
    """Return kernels of one channel (n, kh, kw), and the share of the energy that they keep."""
    if weights.shape[1] == 1:
        return weights[:, 0], np.ones(len(weights))
    colours, strength, planes = np.linalg.svd(weights.reshape(*weights.shape[:2], -1), full_matrices=False)
    # Brightness counts as positive.
    sign = np.where(colours[:, :, 0].sum(axis=1) < 0, -1.0, 1.0)
    energy = (strength**2).sum(axis=1)
    share = np.divide(strength[:, 0] ** 2, energy, out=np.ones_like(energy), where=energy > 0)
    return (planes[:, 0] * (sign * strength[:, 0])[:, None]).reshape(len(weights), *weights.shape[2:]), share
