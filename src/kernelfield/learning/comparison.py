"""Two fits compared: their difference in standard errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg
import scipy.stats

from kernelfield.errors import ArgumentError, DataError, received
from kernelfield.learning.filtering import check_plain
from kernelfield.learning.transfer import known_covariance

if TYPE_CHECKING:
    from kernelfield.learning.fit import Fit

# Weights whose difference is rounding of float64, relative to the largest; a direction whose variance is, likewise.
_ROUNDING, _NO_VARIANCE = 1e-12, 1e-10


@dataclass(frozen=True, eq=False)
class Comparison:
    """The difference of two fits.

    Attributes
    ----------
    difference : numpy.ndarray, shape (kh, kw)
        Weights of the first less those of the second, over the rectangle that holds both.
    anchor : (int, int)
        The element over the output pixel.
    errors : numpy.ndarray, shape (kh, kw)
        Standard errors of the difference; infinite where a pair does not determine the weight.
    in_errors : numpy.ndarray, shape (kh, kw)
        The difference over its errors; infinite where weights without errors differ.
    chi_square : float
        ``d' C⁻¹ d`` of the difference d and its covariance C; infinite where weights without errors differ.
    freedom : int
        Directions that it sums over.
    p_value : float
        Probability of a χ² as large for one and the same kernel.
    level : float
        Probability below which the fits are called different.
    correlated : bool
        Whether the covariance of both was known; else weights were taken for independent.
    offset : float or tuple of float
        Offset of the first less that of the second; it has no errors and is not part of the test.
    boundaries : (str or None, str or None)
        The border rules.
    """

    difference: np.ndarray
    anchor: tuple[int, int]
    errors: np.ndarray
    in_errors: np.ndarray
    chi_square: float
    freedom: int
    p_value: float
    level: float
    correlated: bool
    offset: float | tuple[float, ...]
    boundaries: tuple[str | None, str | None]

    @property
    def same(self) -> bool:
        """Whether the kernels agree within their errors."""
        return self.p_value >= self.level

    def __str__(self) -> str:
        size = "×".join(map(str, self.difference.shape))
        if not self.freedom and self.same:
            lines = [f"same: every weight of {size} agrees, to rounding" if self._known else "nothing to compare"]
        else:
            verdict = "same: the kernels agree within their errors" if self.same else "different: by more than errors"
            chance = f"p {self.p_value:.2g}, level {self.level:g}"
            lines = [f"{verdict}; χ² {self.chi_square:.4g} of {self.freedom} directions ({chance})"]
        row, column = np.unravel_index(int(np.argmax(np.abs(np.nan_to_num(self.in_errors)))), self.difference.shape)
        largest = self.difference[row, column]
        lines.append(
            f"largest difference in errors: {self.in_errors[row, column]:+.3g} ({largest:+.3g}) at row "
            f"{row - self.anchor[0]:+d}, column {column - self.anchor[1]:+d} of the output pixel"
        )
        unknown = int(np.isinf(self.errors).sum())
        if unknown:
            lines.append(f"{unknown} of {self.errors.size} weights are not determined and not compared")
        if not self.correlated:
            lines.append("a covariance is not known: weights are taken for independent, which the p-value trusts")
        offsets = self.offset if isinstance(self.offset, tuple) else (self.offset,)
        if any(offsets):
            lines.append(f"offsets differ by {', '.join(f'{value:+.4g}' for value in offsets)}; they are not tested")
        if None not in self.boundaries and self.boundaries[0] != self.boundaries[1]:
            lines.append("borders differ: {} and {}".format(*self.boundaries))
        return "\n".join(lines)

    @property
    def _known(self) -> bool:
        """Whether any weight is determined."""
        return bool(np.isfinite(self.errors).any())


def compare(first: Fit, second: Fit, level: float) -> Comparison:
    """Return the difference of two fits; arguments as in `Fit.compare`."""
    if not (isinstance(level, (int, float)) and 0.0 < level < 1.0):
        raise ArgumentError(f"level: expected a probability between 0 and 1, as 0.01; received {received(level)}")
    for name, fit in (("first", first), ("second", second)):
        check_plain(fit, name, strided=True)
        if fit.verdict == "not linear":
            raise DataError(f"{name}: expected a kernel; received a pair that none explains; see its explanation")
    if first.stride != second.stride:
        raise ArgumentError(
            f"second: expected a filter of the stride of the first, {first.stride}; received {second.stride}; learn "
            "pairs of one kind"
        )
    above = [max(a, b) for a, b in zip(first.anchor, second.anchor)]
    below = [max(n - a, m - b) for n, a, m, b in zip(first.size, first.anchor, second.size, second.anchor)]
    shape = above[0] + below[0], above[1] + below[1]
    places = [_places(fit, above, shape) for fit in (first, second)]
    difference, covariance = np.zeros(shape[0] * shape[1]), np.zeros((shape[0] * shape[1],) * 2)
    unknown = np.zeros(difference.size, bool)
    correlated = True
    for fit, place, sign in zip((first, second), places, (1.0, -1.0)):
        difference[place] += sign * fit.kernel.weights.ravel()
        found = known_covariance(fit)
        correlated = correlated and found is not None
        stderr = fit.stderr.ravel()
        unknown[place] |= ~np.isfinite(stderr)
        alone = np.diag(np.where(np.isfinite(stderr), stderr, 0.0) ** 2)
        covariance[np.ix_(place, place)] += alone if found is None else found
    least = _ROUNDING * max(float(np.abs(fit.kernel.weights).max()) for fit in (first, second))
    difference[np.abs(difference) <= least] = 0.0
    errors = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    errors[unknown] = np.inf
    with np.errstate(divide="ignore", invalid="ignore"):
        in_errors = np.where(difference == 0.0, 0.0, difference / errors)
    chi_square, freedom = _chi_square(difference[~unknown], covariance[np.ix_(~unknown, ~unknown)], least)
    p_value = float(scipy.stats.chi2.sf(chi_square, freedom)) if freedom else float(chi_square == 0.0)
    offsets = np.atleast_1d(first.offset) - np.atleast_1d(second.offset)
    return Comparison(
        difference=difference.reshape(shape),
        anchor=(above[0], above[1]),
        errors=errors.reshape(shape),
        in_errors=in_errors.reshape(shape),
        chi_square=chi_square,
        freedom=freedom,
        p_value=p_value,
        level=float(level),
        correlated=correlated,
        offset=float(offsets[0]) if offsets.size == 1 else tuple(float(value) for value in offsets),
        boundaries=(first.boundary, second.boundary),
    )


def _places(fit: Fit, above: list[int], shape: tuple[int, int]) -> np.ndarray:
    """Return where the weights of a fit lie in the rectangle that holds both, counted row by row."""
    rows, columns = np.indices(fit.size).reshape(2, -1)
    found: np.ndarray = (rows + above[0] - fit.anchor[0]) * shape[1] + columns + above[1] - fit.anchor[1]
    return found


def _chi_square(difference: np.ndarray, covariance: np.ndarray, least: float) -> tuple[float, int]:
    """Return χ² and the directions with a variance; infinite for a difference along one without."""
    if not difference.size:
        return 0.0, 0
    values, vectors = scipy.linalg.eigh(covariance)
    kept = values > _NO_VARIANCE * max(float(values[-1]), 0.0)
    along = vectors.T @ difference
    if (np.abs(along[~kept]) > max(least, 1e-300) * np.sqrt(difference.size)).any():
        return np.inf, int(kept.sum())
    return float((along[kept] ** 2 / values[kept]).sum()), int(kept.sum())
