"""Gabor functions fitted to kernels that were learned, so that these can be compared with designed sensors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Row and column of the centre, logarithms of width and length, angle and frequency of the wave.
PARAMETERS = 6
# Frequency along a diagonal ends at sqrt(1/2); a little beyond 1/2 lets a fit pass.
_FASTEST = 0.6


def fit_gabor(weights: Floats) -> tuple[Floats, complex, Floats]:
    """Return the Gabor function nearest to a kernel in the sense of least squares.

    ``exp(-(u**2 / s**2 + v**2 / l**2) / 2) * (a cos(2 pi f u) - b sin(2 pi f u))``, where u runs along the wave and v
    along the stripes. The factors a and b are solved for in every step (variable projection: Golub and Pereyra 1973,
    SIAM J. Numer. Anal. 10(2), 413-432), the other six by a trust region from several starts: the strongest
    frequencies of the kernel, each with a narrow and a wide envelope.

    Returns
    -------
    parameters : (6,)
        In the order of `PARAMETERS`'s comment; the centre in pixels from the middle of the kernel.
    factor : complex
        ``a + 1j b``.
    fitted : (kh, kw)
        The function on the kernel's pixels.
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
    """Return the best factor of a wave in its envelope, and the function with it."""
    y, x, width, length, angle, frequency = parameters
    down, right = (rows - y)[:, None], columns - x
    along = right * math.cos(angle) + down * math.sin(angle)
    across = down * math.cos(angle) - right * math.sin(angle)
    envelope = np.exp(-0.5 * ((along / math.exp(width)) ** 2 + (across / math.exp(length)) ** 2))
    even, odd = envelope * np.cos(2 * math.pi * frequency * along), -envelope * np.sin(2 * math.pi * frequency * along)
    ee, oo, eo = float((even**2).sum()), float((odd**2).sum()), float((even * odd).sum())
    et, ot = float((even * target).sum()), float((odd * target).sum())
    # One of the two may vanish, as the sine of a slow wave does.
    ridge = 1e-12 * (ee + oo) + 1e-300
    determinant = (ee + ridge) * (oo + ridge) - eo**2
    a, b = (et * (oo + ridge) - ot * eo) / determinant, (ot * (ee + ridge) - et * eo) / determinant
    return complex(a, b), a * even + b * odd


def _starts(target: Floats, rows: Floats, columns: Floats) -> Iterator[Floats]:
    """Yield parameters to start from."""
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
        # The next start is at another peak, not on the flank of this one.
        apart = np.hypot(line[:, None] - line[i], line - line[j]) < 1 / wide
        power[apart] = 0
