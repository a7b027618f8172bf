"""Kernels of any weights that are too many for a Gram matrix: least squares by conjugate gradients.

The products with the matrix of all windows and with its transpose are correlations, taken by FFT over exactly the
positions that count: nothing wraps around. The before's power spectrum, smoothed to the size of the kernel, conditions
the steps (Chan and Ng, *Conjugate gradient methods for Toeplitz systems*, SIAM Review 38, 427, 1996).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kernelfield.learning.pair import Pair
from kernelfield.learning.spectra import fast_length, irfft2, rfft2
from kernelfield.learning.support import Support
from kernelfield.learning.views import View

# Steps at most; the mean decrease of the last of them, in variances of the residual, below which they end; the least
# power, as a share of the largest.
_STEPS, _LAST, _DECREASE, _LEAST = 300, 5, 1.0, 1e-9
_EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Free:
    """A kernel with the errors that the spectra give.

    Attributes
    ----------
    support : Support
    kernel : numpy.ndarray, shape (kh, kw)
    error : float
        Standard error of one weight: the mean over the frequencies of the residual's power over the before's, which is
        that of a weight far from the sides of a large support.
    offsets : tuple of float
        One a plane.
    square, left : float
        Sums of squares of the after about its mean and of the residual.
    count : int
        Positions.
    rank : int
        Number of directions that the before determines: the share of the frequencies that have power.
    """

    support: Support
    kernel: np.ndarray
    error: float
    offsets: tuple[float, ...]
    square: float
    left: float
    count: int
    rank: int

    @property
    def variance(self) -> float:
        """Variance of the residual."""
        return self.left / max(1, self.count - self.kernel.size - len(self.offsets))


def fit_free(pair: Pair, support: Support, most: int | None = None) -> Free | None:
    """Return the kernel of least squares over `support`; None if there are fewer positions than weights.

    `most` limits the positions, in the middle of the pair.
    """
    views = [View.of(plane, support, most) for plane in pair.planes]
    count = sum(view.count for view in views)
    if count < support.rows * support.columns + len(views) or min(min(view.y.shape) for view in views) < 1:
        return None
    sums = [_Products(view, support) for view in views]
    power = sum((one.power for one in sums[1:]), start=sums[0].power)
    p = support.rows * support.columns
    # As in `least_squares.solve`.
    rank = round(p * float(np.mean(power > float(power.max()) * 8 * p * _EPSILON)))
    power = power + _LEAST * float(power.max()) + 1e-300
    kernel = np.zeros(support.size)
    residuals = [one.centred(one.values) for one in sums]
    square = left = sum(float((r * r).sum()) for r in residuals)
    gradient = _total(sums, residuals)
    direction = step = _conditioned(gradient, power)
    slope = float((gradient * step).sum())
    decreases: list[float] = []
    for _ in range(_STEPS):
        images = [one.applied(direction) for one in sums]
        curvature = sum(float((image * image).sum()) for image in images)
        if not (curvature > 0.0 and slope > 0.0):
            break
        length = slope / curvature
        kernel = kernel + length * direction
        residuals = [r - length * image for r, image in zip(residuals, images)]
        previous, left = left, sum(float((r * r).sum()) for r in residuals)
        decreases.append(previous - left)
        if sum(decreases[-_LAST:]) < _DECREASE * _LAST * left / max(1, count - kernel.size):
            break
        gradient = _total(sums, residuals)
        step = _conditioned(gradient, power)
        slope, before = float((gradient * step).sum()), slope
        direction = step + (slope / before) * direction
    noise = sum((one.spectrum(r) for one, r in zip(sums, residuals)), start=np.zeros(power.shape))
    scale = left / count * power.size / max(float(noise.sum()), 1e-300)
    error = float(np.sqrt(np.mean(noise * scale / power)))
    total = float(kernel.sum())
    offsets = tuple(
        one.mean(one.values - one.correlated(kernel)) + view.after_shift - view.before_shift * total
        for one, view in zip(sums, views)
    )
    return Free(support, kernel, error, offsets, square, left, count, rank)


class _Products:
    """Products with the matrix of the windows of one plane, about the mean of the positions that count."""

    def __init__(self, view: View, support: Support) -> None:
        self.size = support.size
        self.shape = [fast_length(n) for n in view.x.shape]
        self.good = view.good
        self.values = view.y.astype(np.float64) - view.after_shift
        self.before = rfft2(view.x.astype(np.float64) - view.before_shift, self.shape)
        self.count = max(1, view.count)
        self.grid = [fast_length(2 * n) for n in support.size]
        faded = view.x.astype(np.float64)
        faded -= faded.mean()
        self.taper = [np.hanning(n + 2)[1:-1] for n in view.x.shape]
        faded *= np.outer(*self.taper)
        share = float(np.mean(self.taper[0] ** 2) * np.mean(self.taper[1] ** 2))
        self.power = self.spectrum(faded) * (self.count / (view.x.size * share))

    def mean(self, image: np.ndarray) -> float:
        """Return the mean over the positions that count."""
        return float(image.mean() if self.good is None else image[self.good].mean())

    def centred(self, image: np.ndarray) -> np.ndarray:
        """Return an image about its mean, 0 where it does not count."""
        about: np.ndarray = image - self.mean(image)
        if self.good is not None:
            about[~self.good] = 0.0
        return about

    def correlated(self, kernel: np.ndarray) -> np.ndarray:
        """Return the kernel applied at all positions."""
        product = self.before * np.conj(rfft2(kernel, self.shape))
        rows, columns = self.values.shape
        image: np.ndarray = irfft2(product, self.shape)[:rows, :columns]
        return image

    def applied(self, kernel: np.ndarray) -> np.ndarray:
        """Return the kernel applied, about its mean over the positions that count."""
        return self.centred(self.correlated(kernel))

    def transposed(self, image: np.ndarray) -> np.ndarray:
        """Return the sum over the positions of `image` times the window."""
        product = self.before * np.conj(rfft2(image, self.shape))
        kernel: np.ndarray = irfft2(product, self.shape)[: self.size[0], : self.size[1]]
        return kernel

    def spectrum(self, image: np.ndarray) -> np.ndarray:
        """Return the power of an image smoothed to the grid of the kernel: its lags, faded out, transformed back."""
        shape = [fast_length(n + k) for n, k in zip(image.shape, self.size)]
        lags = irfft2(np.abs(rfft2(image, shape)) ** 2, shape)
        whole = np.zeros(self.grid)
        ends = []
        for axis, (n, size) in enumerate(zip(self.grid, self.size)):
            places = np.fft.fftfreq(n, 1.0 / n).astype(int)
            kept = np.abs(places) < size
            lags = np.take(lags, places[kept], axis=axis)
            ends.append((np.flatnonzero(kept), _parzen(np.abs(places[kept]) / size)))
        whole[np.ix_(ends[0][0], ends[1][0])] = lags * np.outer(ends[0][1], ends[1][1])
        power: np.ndarray = np.maximum(rfft2(whole, whole.shape).real, 0.0)
        return power


def _parzen(distance: np.ndarray) -> np.ndarray:
    """Return Parzen's window, whose transform is nowhere negative, at distances from 0 to 1."""
    inner = 1.0 - 6.0 * distance**2 * (1.0 - distance)
    window: np.ndarray = np.where(distance < 0.5, inner, 2.0 * (1.0 - distance) ** 3)
    return window


def _total(sums: list[_Products], residuals: list[np.ndarray]) -> np.ndarray:
    """Return the gradient of all planes."""
    first, *rest = (one.transposed(r) for one, r in zip(sums, residuals))
    return sum(rest, start=first)


def _conditioned(gradient: np.ndarray, power: np.ndarray) -> np.ndarray:
    """Return the gradient divided by the power of the before."""
    grid = [power.shape[0], 2 * (power.shape[1] - 1)]
    grid[1] += int(grid[1] < 2 * gradient.shape[1])
    step: np.ndarray = irfft2(rfft2(gradient, grid) / power, grid)[: gradient.shape[0], : gradient.shape[1]]
    return step
