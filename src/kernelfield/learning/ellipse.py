"""The confidence ellipse of two weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.stats

from kernelfield.errors import ArgumentError, DataError, received

if TYPE_CHECKING:
    from kernelfield.learning.fit import Fit


@dataclass(frozen=True, eq=False)
class Ellipse:
    """The pairs of values of two weights that agree with the pair of pictures.

    Attributes
    ----------
    centre : (float, float)
        The two weights.
    covariance : numpy.ndarray, shape (2, 2)
        Of the two.
    level : float
        Share of all such ellipses that hold the true weights.
    """

    centre: tuple[float, float]
    covariance: np.ndarray
    level: float

    @property
    def radius(self) -> float:
        """The distance from the centre to the ellipse in standard deviations along its axes."""
        return float(np.sqrt(scipy.stats.chi2.ppf(self.level, 2)))

    @property
    def semi_axes(self) -> tuple[float, float]:
        """Half the lengths of its axes, the longer first."""
        small, large = np.sqrt(np.maximum(np.linalg.eigvalsh(self.covariance), 0.0)) * self.radius
        return float(large), float(small)

    def points(self, count: int = 100) -> np.ndarray:
        """Return points of the ellipse, shape (count, 2), closed."""
        values, vectors = np.linalg.eigh(self.covariance)
        turn = np.linspace(0.0, 2.0 * np.pi, count)
        circle = np.stack([np.cos(turn), np.sin(turn)], axis=1) * self.radius
        around: np.ndarray = np.array(self.centre) + circle * np.sqrt(np.maximum(values, 0.0)) @ vectors.T
        return around

    def holds(self, values: tuple[float, float]) -> bool:
        """Return whether two values lie inside."""
        off = np.subtract(values, self.centre)
        return bool(off @ np.linalg.pinv(self.covariance) @ off <= self.radius**2)


def ellipse(fit: Fit, first: tuple[int, int], second: tuple[int, int], level: float) -> Ellipse:
    """Return the ellipse of two weights; arguments as in `Fit.confidence_ellipse`."""
    from kernelfield.learning.transfer import known_covariance

    places = []
    for name, place in (("first", first), ("second", second)):
        try:
            row, column = place
            places.append(int(np.ravel_multi_index((row, column), fit.size)))
        except (TypeError, ValueError):
            raise ArgumentError(
                f"{name}: expected row and column in a kernel of {fit.size[0]}×{fit.size[1]}; received "
                f"{received(place)}"
            ) from None
    if not (isinstance(level, (int, float)) and 0.0 < level < 1.0):
        raise ArgumentError(f"level: expected a share between 0 and 1, as 0.95; received {received(level)}")
    covariance = known_covariance(fit)
    if covariance is None:
        raise DataError("fit: expected a kernel with a covariance; received one without, see fit.covariance")
    weights = fit.kernel.weights.ravel()[places]
    return Ellipse((float(weights[0]), float(weights[1])), covariance[np.ix_(places, places)], float(level))
