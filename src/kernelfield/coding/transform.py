"""Exact sensor responses on a grid, computed from the cosine transform of the image, and their adjoint.

An image extended by reflection is a sum of waves ``cos(pi p (y + 1/2) / H) cos(pi q (x + 1/2) / W)`` with the
coefficients of its cosine transform (DCT-II). A sensor multiplies each wave by its transfer function; the responses on
a grid are therefore a sum over the waves in the sensor's band: a small Fourier transform. No kernel is truncated, the
grid may have any spacing, and the adjoint costs the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernelfield.coding.sensors import Bank, LowPass, Sensor

Complex = NDArray[np.complex128]
Floats = NDArray[np.float64]

# Waves with a smaller transfer function, relative to the largest, are neglected.
_FAINT = 1e-6


def waves_of(image: Floats) -> Floats:
    """Return the orthonormal cosine transform of an image."""
    from scipy.fft import dctn

    return np.asarray(dctn(image, norm="ortho"))


def image_of(waves: Floats) -> Floats:
    """Return the image with the given cosine transform: the inverse of `waves_of`."""
    from scipy.fft import idctn

    return np.asarray(idctn(waves, norm="ortho"))


@dataclass(frozen=True)
class Channel:
    """The linear map from the cosine transform of an image to the responses of one channel of sensors.

    Attributes
    ----------
    shape : (int, int)
        Shape of the image.
    grid : (int, int)
        Number of sensors along rows and columns, evenly spaced over the image.
    rows, columns : numpy.ndarray
        Signed numbers p, q of the waves in the sensor's band, consecutive.
    answers : numpy.ndarray
        Transfer function for each wave, times the scale of the cosine transform.
    """

    shape: tuple[int, int]
    grid: tuple[int, int]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    answers: Complex

    @property
    def positions(self) -> tuple[Floats, Floats]:
        """Positions of the sensors in pixels: the rows and the columns of the grid."""
        y, x = ((np.arange(count) + 0.5) * n / count - 0.5 for n, count in zip(self.shape, self.grid))
        return y, x

    def responses(self, waves: Floats) -> Complex:
        """Return the responses (grid), of even sensors as the real part, of odd ones as the imaginary part."""
        seen = _both_signs(_both_signs(waves, self.rows).T, self.columns).T * self.answers
        seen = _wrapped(_wrapped(seen, self.rows, 2 * self.grid[0]).T, self.columns, 2 * self.grid[1]).T
        spread = np.fft.ifft2(seen, norm="forward")
        return spread[: self.grid[0], : self.grid[1]]

    def adjoint(self, responses: Complex) -> Floats:
        """Return the waves (H, W) for responses by the adjoint of `responses`."""
        around = np.fft.fft2(responses, s=(2 * self.grid[0], 2 * self.grid[1]))
        seen = around[np.ix_(self.rows % (2 * self.grid[0]), self.columns % (2 * self.grid[1]))]
        real = (seen * self.answers.conj()).real
        out = np.zeros(self.shape)
        small = _one_sign(_one_sign(real, self.rows).T, self.columns).T
        out[: small.shape[0], : small.shape[1]] = small
        return out


def channel_of(filter: Sensor | LowPass, shape: tuple[int, int], grid: tuple[int, int]) -> Channel:
    """Return the map of one channel: a sensor or the low-pass filter on a grid."""
    highest = filter.highest(_FAINT)
    ends = [min(n - 1, math.ceil(2 * n * highest)) for n in shape]
    reach = [np.arange(-end, end + 1) for end in ends]
    frequencies = [p / (2 * n) for p, n in zip(reach, shape)]
    # `transfer` is defined for the wave exp(-2j pi f x).
    answers = filter.transfer(-frequencies[0][:, None], -frequencies[1])
    strong = answers > _FAINT * answers.max()
    spans = [np.flatnonzero(strong.any(axis=1 - axis)) for axis in (0, 1)]
    rows, columns = (line[span[0] : span[-1] + 1] for line, span in zip(reach, spans))
    part = answers[spans[0][0] : spans[0][-1] + 1, spans[1][0] : spans[1][-1] + 1].astype(np.complex128)
    for axis, (line, n, count) in enumerate(zip((rows, columns), shape, grid)):
        # A cosine is the sum of two half waves, except wave 0; the grid starts half a step inside.
        scale = np.where(line == 0, np.sqrt(1 / n), np.sqrt(0.5 / n)) * np.exp(0.5j * np.pi * line / count)
        part *= scale[:, None] if axis == 0 else scale
    return Channel(shape, grid, rows, columns, part)


def channels(bank: Bank, shape: tuple[int, int]) -> tuple[Channel, ...]:
    """Return the maps of a bank, the low-pass last, each on the grid given by its spacing."""
    found = []
    for filter in (*bank, *([bank.remainder] if bank.lowpass else [])):
        distance = max(1.0, bank.sampling * filter.size)
        height, width = (max(1, round(n / distance)) for n in shape)
        found.append(channel_of(filter, shape, (height, width)))
    return tuple(found)


def waves_from(maps: Sequence[Channel], responses: Sequence[Complex], iterations: int) -> Floats:
    """Return the waves of minimum energy that fit given responses by least squares.

    Iterations of LSMR (Fong and Saunders 2011, SIAM J. Sci. Comput. 33(5), 2950-2971).
    """
    from scipy.sparse.linalg import LinearOperator, lsmr

    shape = maps[0].shape
    sizes = [part.size for part in responses]
    ends = np.cumsum(sizes)[:-1]

    def forward(vector: Floats) -> Floats:
        waves = vector.reshape(shape)
        return _real([one.responses(waves) for one in maps])

    def backward(vector: Floats) -> Floats:
        parts = np.split(vector[: vector.size // 2] + 1j * vector[vector.size // 2 :], ends)
        total = np.zeros(shape)
        for one, part in zip(maps, parts):
            total += one.adjoint(part.reshape(one.grid))
        return total.ravel()

    operator = LinearOperator((2 * sum(sizes), shape[0] * shape[1]), matvec=forward, rmatvec=backward, dtype=np.float64)
    found = lsmr(operator, _real(responses), atol=1e-10, btol=1e-10, conlim=0, maxiter=iterations)[0]
    return np.asarray(found).reshape(shape)


def _real(parts: Sequence[Complex]) -> Floats:
    """Return complex responses as one real vector, real parts first."""
    flat = np.concatenate([part.ravel() for part in parts])
    return np.concatenate([flat.real, flat.imag])


def _both_signs(lines: NDArray[Any], numbers: NDArray[np.int64]) -> NDArray[Any]:
    """Return line ``abs(p)`` for each of the consecutive `numbers` p."""
    low, high = int(numbers[0]), int(numbers[-1])
    if low >= 0:
        return lines[low : high + 1]
    negative = lines[max(1, -high) : 1 - low][::-1]
    return negative if high < 0 else np.concatenate([negative, lines[: high + 1]])


def _one_sign(lines: Floats, numbers: NDArray[np.int64]) -> Floats:
    """Return for line p the sum of lines p and -p, by the consecutive `numbers`: the transpose of `_both_signs`."""
    low, high = int(numbers[0]), int(numbers[-1])
    out = np.zeros((max(-low, high) + 1, lines.shape[1]))
    first = max(low, 0)
    out[first : high + 1] = lines[first - low :] if high >= 0 else 0
    if low < 0:
        last = min(high, -1)
        out[-last : 1 - low] += lines[: last - low + 1][::-1]
    return out


def _wrapped(values: Complex, numbers: NDArray[np.int64], period: int) -> Complex:
    """Return the sums of the lines of `values` whose `numbers`, consecutive, agree modulo `period`."""
    first = int(numbers[0]) % period
    turns = -(-(first + len(numbers)) // period)
    whole = np.zeros((turns * period, values.shape[1]), np.complex128)
    whole[first : first + len(numbers)] = values
    return np.asarray(whole.reshape(turns, period, -1).sum(axis=0))
