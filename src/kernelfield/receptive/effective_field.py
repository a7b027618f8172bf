"""The effective receptive field of a unit: the distribution of its gradient over the image, and measures of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kernelfield.errors import ArgumentError


@dataclass(frozen=True)
class EffectiveField:
    """The distribution of the gradient of a unit over the image.

    Parameters
    ----------
    energy : ndarray of float64
        For each element of the image the squared gradient, summed over channels and averaged over images; sums to 1.
    theory : ndarray of bool
        The theoretical field: the elements that can affect the unit.
    layer : str
        Name of the layer.
    unit : tuple of int
        Its index.
    images, dead : int
        Number of images, and number of those in which the unit has no gradient.
    dtype : str
        The dtype in which the network was evaluated: ``"float64"`` unless it holds float32 weights that cannot be cast.
    """

    energy: np.ndarray = field(repr=False)
    theory: np.ndarray = field(repr=False)
    layer: str
    unit: tuple[int, ...]
    images: int
    dead: int
    dtype: str

    @property
    def centre(self) -> tuple[float, ...]:
        """Mean position, weighted by energy."""
        return tuple(float(np.average(place, weights=self.energy)) for place in np.indices(self.energy.shape))

    @property
    def sigma(self) -> tuple[float, ...]:
        """Standard deviation of the position along each axis, weighted by energy, in elements of the image."""
        offsets = (place - mean for place, mean in zip(np.indices(self.energy.shape), self.centre))
        return tuple(float(np.sqrt(np.average(offset**2, weights=self.energy))) for offset in offsets)

    def radius(self, share: float = 0.95) -> float:
        """Return the radius about the centre that encloses a share of the energy, in elements of the image.

        Parameters
        ----------
        share : float
            Above 0, at most 1.
        """
        _check_share(share)
        offsets = (place - mean for place, mean in zip(np.indices(self.energy.shape), self.centre))
        distance = np.sqrt(sum(offset**2 for offset in offsets)).ravel()
        order = np.argsort(distance, kind="stable")
        return float(distance[order][_reached(self.energy.ravel()[order], share)])

    def count(self, share: float = 0.95) -> int:
        """Return the smallest number of elements that hold a share of the energy."""
        _check_share(share)
        return _reached(np.sort(self.energy.ravel())[::-1], share) + 1

    def fraction(self, share: float = 0.95) -> float:
        """Return `count` over the number of elements that can affect the unit."""
        return self.count(share) / int(np.count_nonzero(self.theory))

    @property
    def outside(self) -> float:
        """Share of the energy on elements that cannot affect the unit: 0 unless the theoretical field is wrong."""
        return float(self.energy[~self.theory].sum())

    def record(self) -> dict[str, Any]:
        """Return the measures as plain lists, numbers and strings, for JSON."""
        return {
            "layer": self.layer,
            "unit": list(self.unit),
            "images": self.images,
            "dead": self.dead,
            "dtype": self.dtype,
            "centre": list(self.centre),
            "sigma": list(self.sigma),
            "radius": {"0.68": self.radius(0.68), "0.95": self.radius(0.95)},
            "fraction": {"0.68": self.fraction(0.68), "0.95": self.fraction(0.95)},
            "outside": self.outside,
        }

    def __str__(self) -> str:
        centre, sigma = (", ".join(f"{number:.1f}" for number in numbers) for numbers in (self.centre, self.sigma))
        lines = [
            f"Effective field of unit {self.unit} of {self.layer!r}, {self.images - self.dead} image(s), {self.dtype}",
            f"centre ({centre}), standard deviation ({sigma})",
            f"68 % of the energy within {self.radius(0.68):.1f} of it, 95 % within {self.radius(0.95):.1f}",
            f"95 % of the energy on {100 * self.fraction(0.95):.1f} % of the elements that can affect the unit",
        ]
        if self.dead:
            lines.append(f"no gradient in {self.dead} of {self.images} images: left out")
        if self.outside:
            lines.append(f"{100 * self.outside:.2g} % of the energy lies outside the theoretical field: report this")
        return "\n".join(lines)


def _check_share(share: float) -> None:
    if not 0 < share <= 1:
        raise ArgumentError(f"share: expected a number above 0, at most 1; received {share!r}")


def _reached(energies: np.ndarray, share: float) -> int:
    """Return the first index up to which energies, in their order, sum to a share of all."""
    sums = np.cumsum(energies)
    # Rounding of the sums must not count elements without energy.
    return int(np.searchsorted(sums, share * sums[-1] * (1 - 1e-12)))
