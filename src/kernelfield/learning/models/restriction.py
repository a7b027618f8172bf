"""Knowledge of a kernel before it is learned: where it has weights, its symmetry, its sum, their sign.

Weights that symmetry makes equal are one parameter, and weights outside the support none: the kernel is a basis times
its parameters, whatever the data. The sum is one linear equation of the parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from kernelfield.arrays import as_array
from kernelfield.errors import ArgumentError, DtypeError, received
from kernelfield.kernels.arguments import flag, number

#: Symmetries of a kernel about its middle, from the strongest to none.
SYMMETRIES = ("radial", "square", "hv", "point", "h", "v")


@dataclass(frozen=True, eq=False)
class Restriction:
    """Knowledge of the kernel, checked when it is made.

    Attributes
    ----------
    symmetric : str or None
        One of `SYMMETRIES`, or ``"auto"``: equal at equal distances from the middle (``"radial"``); mirrored in both
        directions and at the diagonals (``"square"``); mirrored left to right (``"h"``), top to bottom (``"v"``) or
        both (``"hv"``); turned by 180° (``"point"``).
    sum_to : float or None
        The sum of the weights.
    nonnegative : bool
    support : numpy.ndarray of bool, shape (kh, kw), or None
        True for weights that may differ from 0.
    """

    symmetric: str | None = None
    sum_to: float | None = None
    nonnegative: bool = False
    support: np.ndarray | None = None

    @classmethod
    def checked(
        cls,
        symmetric: bool | str | None = None,
        sum_to: float | None = None,
        nonnegative: bool = False,
        support: ArrayLike | None = None,
    ) -> Restriction:
        """Return the restriction of the arguments of `kernelfield.learn`."""
        if isinstance(symmetric, (bool, np.bool_)):
            symmetric = "hv" if symmetric else None
        if symmetric is not None and not (isinstance(symmetric, str) and symmetric in ("auto", *SYMMETRIES)):
            raise ArgumentError(
                f'symmetric: expected True, "auto" or one of {", ".join(SYMMETRIES)}; received {received(symmetric)}'
            )
        if sum_to is not None:
            sum_to = number("sum_to", sum_to)
        nonnegative = flag("nonnegative", nonnegative)
        if nonnegative and sum_to is not None and sum_to <= 0.0:
            raise ArgumentError(
                f"sum_to, nonnegative: expected a sum above 0 for weights that are not negative; received {sum_to:g}; "
                "leave one of them out"
            )
        if support is None:
            return cls(symmetric, sum_to, nonnegative)
        mask = as_array(support, "support")
        if mask.dtype != np.bool_:
            raise DtypeError(f"support: expected bool, True for weights; received {mask.dtype}; compare it to 0")
        if mask.ndim != 2 or not mask.any():
            raise ArgumentError(
                f"support: expected a mask (kh, kw) with at least one True; received shape {mask.shape}"
                + ("" if mask.any() else " without any")
            )
        return cls(symmetric, sum_to, nonnegative, mask)

    @property
    def none(self) -> bool:
        """Whether nothing is known."""
        return self.symmetric is None and self.sum_to is None and not self.nonnegative and self.support is None

    def basis(self, size: tuple[int, int], symmetric: str | None) -> np.ndarray:
        """Return the kernels of which weights are made, shape (parameters, kh * kw): 0 and 1, without an overlap.

        Parameters
        ----------
        size : (int, int)
        symmetric : str or None
            One of `SYMMETRIES`.
        """
        if self.support is not None and self.support.shape != size:
            raise ArgumentError(f"support: expected the kernel's size {size}; received {self.support.shape}")
        labels = orbits(size, symmetric)
        parts = np.unique(labels)
        basis: np.ndarray = (parts[:, None] == labels.ravel()).astype(np.float64)
        if self.support is None:
            return basis
        # Weights that are equal to one outside the support are 0 with it.
        kept: np.ndarray = basis[basis @ ~self.support.ravel() == 0.0]
        if not len(kept):
            raise ArgumentError(
                f"support, symmetric: expected a weight whose mirror images lie in the support; received none for "
                f"{symmetric!r}; take a support with that symmetry"
            )
        return kept


#: Nothing is known.
UNRESTRICTED = Restriction()


def orbits(size: tuple[int, int], symmetric: str | None) -> np.ndarray:
    """Return labels of the weights, equal where a symmetry makes the weights equal.

    Examples
    --------
    >>> orbits((3, 3), "hv")
    array([[0, 1, 0],
           [3, 4, 3],
           [0, 1, 0]])
    """
    rows, columns = size
    labels = np.arange(rows * columns).reshape(size)
    if symmetric is None:
        return labels
    if symmetric == "radial":
        down, across = 2 * np.arange(rows) - (rows - 1), 2 * np.arange(columns) - (columns - 1)
        distances: np.ndarray = down[:, None] ** 2 + across**2
        return distances
    if symmetric == "square" and rows != columns:
        raise ArgumentError(f'symmetric: expected a square kernel for "square"; received {rows}×{columns}; take "hv"')
    turned = {"h": [labels[:, ::-1]], "v": [labels[::-1]], "point": [labels[::-1, ::-1]]}
    turned["hv"] = turned["h"] + turned["v"] + turned["point"]
    turned["square"] = [*turned["hv"], *(image.T for image in (labels, *turned["hv"]))]
    least: np.ndarray = np.minimum.reduce([labels, *turned[symmetric]])
    return least


def symmetries_of(size: tuple[int, int]) -> list[str | None]:
    """Return the symmetries that differ for kernels of a size, from none to the strongest."""
    found: dict[bytes, str | None] = {}
    for name in (*SYMMETRIES, None):
        if name == "square" and size[0] != size[1]:
            continue
        # Up to 9×9 equal distances are equal up to mirroring, and lines of one row have few symmetries.
        labels = np.unique(orbits(size, name), return_inverse=True)[1]
        first = np.unique(labels, return_index=True)[1][labels.ravel()]
        found.setdefault(first.tobytes(), name)
    return list(found.values())[::-1]
