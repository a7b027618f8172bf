"""The properties of a kernel, computed from its weights: sum, moments, the derivative it takes, its error, its gain."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64]
Terms = Mapping[tuple[int, int], float]

# Degrees of the moments that are looked at.
_MOST_DEGREE = 10
# A moment below this share of the sum of its magnitudes is rounding.
_NOTHING = 1e-11
# Points of the frequency response along an axis, at least, and for each weight.
_POINTS, _PER_WEIGHT = 64, 4


@dataclass(frozen=True)
class Properties:
    """The properties of a kernel, from its weights alone.

    On a smooth image the kernel acts as the sum of derivatives ``Σ M[i, j] / (i! j!) · ∂ⁱ/∂rowsⁱ ∂ʲ/∂columnsʲ``, with
    the moments ``M[i, j] = Σ w[p] r**i c**j``, r and c the offsets from the anchor (down, right).

    Attributes
    ----------
    sum : float
        Sum of the weights: the response to the constant 1.
    gain : float
        Largest magnitude of the frequency response.
    frequency : (float, float)
        Frequency of it, in cycles per pixel, down the rows and along the columns (the latter not negative).
    mean : float
        Magnitude of `sum` as a share of `gain`: 0 if a constant has no response, 1 for a blur.
    noise : float
        Root of the sum of the squares: standard deviation of the result where the image is white noise of 1.
    order : int or None
        The order of the derivative taken: least degree of a moment that is not 0. None if there is none up to 10.
    leading : mapping of (int, int) to float
        The derivative taken: factor of ``∂ⁱ/∂rowsⁱ ∂ʲ/∂columnsʲ``, by (i, j).
    error : mapping of (int, int) to float
        First error term, in the same form: the terms of the least degree above `order` that are not 0. Of a
        derivative of a Gaussian they are the blur; of a kernel with a sum the shift, or else half the variances.
    accuracy : int or None
        Degree of the error less `order`.
    centre : (float, float) or None
        Of a kernel with a sum: mean place of the weights, down and right of the output pixel. The content moves the
        other way.
    sigma : (float, float) or None
        Of a kernel with a sum: root of the variance of the weights down the rows and along the columns; nan where it is
        negative.

    Examples
    --------
    >>> from kernelfield import kernels
    >>> found = kernels.laplacian(8).properties
    >>> found.order, dict(found.leading), found.accuracy
    (2, {(0, 2): 3.0, (2, 0): 3.0}, 2)
    >>> print(kernels.sobel().properties)
    takes 8 ∂x
    error 4/3 ∂xxx + 2 ∂xyy
    a constant: no response
    largest response 8 at 0, 1/4 cycles per pixel (down, right)
    noise of 1: 3.464
    """

    sum: float
    gain: float
    frequency: tuple[float, float]
    mean: float
    noise: float
    order: int | None
    leading: Terms
    error: Terms
    accuracy: int | None
    centre: tuple[float, float] | None
    sigma: tuple[float, float] | None

    def __str__(self) -> str:
        lines = []
        if self.order:
            lines.append(f"takes {operator(self.leading)}")
        elif self.centre is not None and self.sigma is not None:
            down, right = (round(-value, 9) + 0.0 for value in self.centre)
            lines.append(f"sums to {self.sum:.6g}, moves the content by {down:.4g} down, {right:.4g} right")
            # Of weights of both signs the variance may be negative: there is no spread to speak of.
            spread = [f"{s:.4g} {way}" for s, way in zip(self.sigma, ("down", "right")) if not math.isnan(s)]
            lines += [f"standard deviation {', '.join(spread)}"] if spread else []
        if self.error and self.order is not None:
            lines.append(f"error {operator(self.error)}")
        lines.append(f"a constant: {f'{self.mean:.3%} of the largest response' if self.mean else 'no response'}")
        at = ", ".join(_number(value) for value in self.frequency)
        lines.append(f"largest response {self.gain:.4g} at {at} cycles per pixel (down, right)")
        lines.append(f"noise of 1: {self.noise:.4g}")
        return "\n".join(lines)


def properties_of(weights: Weights, anchor: tuple[int, int]) -> Properties:
    """Return the properties of weights."""
    down, right = (np.arange(n, dtype=np.float64) - a for n, a in zip(weights.shape, anchor))
    total, size = float(weights.sum()), float(np.abs(weights).sum())
    moments = _powers(down) @ weights @ _powers(right).T
    least = _NOTHING * (_powers(np.abs(down)) @ np.abs(weights) @ _powers(np.abs(right)).T)
    degrees = []
    for degree in range(_MOST_DEGREE + 1):
        terms = {
            (i, degree - i): float(moments[i, degree - i]) / (math.factorial(i) * math.factorial(degree - i))
            for i in range(degree + 1)
            if abs(moments[i, degree - i]) > least[i, degree - i]
        }
        if terms:
            degrees.append((degree, terms))
        if len(degrees) == 2:
            break
    order, leading = degrees[0] if degrees else (None, {})
    end, error = degrees[1] if len(degrees) == 2 else (None, {})
    gain, frequency = _peak(weights)
    centre = sigma = None
    if order == 0:
        middle = moments[1, 0] / total, moments[0, 1] / total
        variances = moments[2, 0] / total - middle[0] ** 2, moments[0, 2] / total - middle[1] ** 2
        centre = float(middle[0]), float(middle[1])
        spread = [math.sqrt(v) if v >= 0 else math.nan for v in (_rounded(float(v)) for v in variances)]
        sigma = spread[0], spread[1]
    return Properties(
        sum=total,
        gain=gain,
        frequency=frequency,
        mean=abs(total) / gain if gain and abs(total) > _NOTHING * size else 0.0,
        noise=float(np.sqrt((weights**2).sum())),
        order=order,
        leading=MappingProxyType(leading),
        error=MappingProxyType(error),
        accuracy=None if order is None or end is None else end - order,
        centre=centre,
        sigma=sigma,
    )


def operator(terms: Terms) -> str:
    """Return a sum of derivatives as text: x along the columns, y down the rows.

    Examples
    --------
    >>> operator({(0, 2): 1.0, (2, 0): -0.5})
    '∂xx − 1/2 ∂yy'

    '∂xx − 1/2 ∂yy'
    """
    text = ""
    for (rows, columns), factor in sorted(terms.items(), key=lambda term: term[0]):
        sign = "−" if factor < 0 else "+"
        size = "" if _number(abs(factor)) == "1" and rows + columns else f"{_number(abs(factor))} "
        wave = f"∂{'x' * columns}{'y' * rows}" if rows + columns else ""
        text += f" {sign} {size}{wave}".rstrip() if text else f"{'−' if factor < 0 else ''}{size}{wave}".rstrip()
    return text


def _number(value: float) -> str:
    """Return a number as a simple fraction where it is one, else to four digits."""
    fraction = Fraction(value).limit_denominator(96)
    simple = abs(float(fraction) - value) <= 1e-9 * abs(value) and abs(fraction.numerator) < 10_000
    return (str(fraction) if simple else f"{value:.4g}").replace("-", "−")


def _powers(places: Weights) -> Weights:
    return places ** np.arange(_MOST_DEGREE + 1)[:, None]


def _rounded(variance: float) -> float:
    """Return a variance, 0 where it is rounding."""
    return 0.0 if abs(variance) < 1e-12 else variance


def _peak(weights: Weights) -> tuple[float, tuple[float, float]]:
    """Return the largest magnitude of the frequency response, on a grid, and its frequency."""
    n = max(_POINTS, 2 ** math.ceil(math.log2(_PER_WEIGHT * max(weights.shape))))
    magnitudes = np.abs(np.fft.rfft2(weights, (n, n)))
    # Of frequencies with the same response the lowest is named, whatever the rounding.
    down, right = np.fft.fftfreq(n), np.arange(n // 2 + 1) / n
    largest = float(magnitudes.max())
    speed = np.where(magnitudes >= largest * (1 - 1e-9), np.hypot(down[:, None], right), np.inf)
    at = np.unravel_index(int(speed.argmin()), speed.shape)
    # The response at a frequency and at its negative has the same magnitude: the column's is not negative.
    row = float(down[at[0]])
    return largest, (abs(row) if abs(row) == 0.5 or not right[at[1]] else row, float(right[at[1]]))
