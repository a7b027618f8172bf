"""The steps of a fit as a program performs them: whole weights and their divisor, offsets, border, rounding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernelfield.errors import ArgumentError, shortened
from kernelfield.kernels import Kernel
from kernelfield.learning.filtering import check_plain, exact_kernel, middle_of_rounding

if TYPE_CHECKING:
    from kernelfield.learning.fit import Fit

#: The types of pixels of a program whose types are fixed.
DTYPES = ("uint8", "uint16", "float32", "float64")


@dataclass(frozen=True)
class Recipe:
    """A fit as steps: sums of weights and pixels, divided, an offset added, rounded and saturated.

    Attributes
    ----------
    kernel : Kernel
        To sum with.
    divisor : float
        Sums are divided by it.
    whole : bool
        Whether the weights are whole numbers.
    offsets : tuple of float
        One for all channels, or one for each.
    boundary : str
        A mode of `kernelfield.correlate`, ``"copy"`` or ``"renormalised"``.
    cval : float
        The value outside, for ``"constant"``.
    rounding : str
        A rule of `kernelfield.learning.rounding.RULES`.
    about : tuple of float
        The numbers about which each channel's results are rounded.
    dtype : str
        The type of pixels where a program has one only.
    heading : str
        The filter in one line.
    stride : (int, int)
        Every so many rows and columns of the sums are kept, from the first.
    """

    kernel: Kernel
    divisor: float
    whole: bool
    offsets: tuple[float, ...]
    boundary: str
    cval: float
    rounding: str
    about: tuple[float, ...]
    dtype: str
    heading: str
    stride: tuple[int, int]

    @property
    def inner(self) -> str:
        """The mode of `kernelfield.correlate` that the sums are made with."""
        return {"copy": "reflect", "renormalised": "constant"}.get(self.boundary, self.boundary)

    @property
    def outside(self) -> float:
        """The value outside for the sums."""
        return 0.0 if self.boundary == "renormalised" else self.cval

    @property
    def margins(self) -> tuple[int, int, int, int]:
        """Rows and columns that a window reaches above, below, left and right of the output pixel."""
        (rows, columns), (top, left) = self.kernel.shape, self.kernel.anchor
        return top, rows - 1 - top, left, columns - 1 - left

    @property
    def integers(self) -> bool:
        """Whether results are whole numbers."""
        return self.dtype in ("uint8", "uint16")

    @property
    def largest(self) -> int:
        """The largest value of a type of whole numbers."""
        return int(np.iinfo(self.dtype).max)


def recipe(fit: Fit, dtype: str | None) -> Recipe:
    """Return the steps of a fit; the type is uint8 by default where the fit knows a rounding rule, else float32.

    Raises
    ------
    ArgumentError
        For a pair that no kernel explains, a filter of more than one kernel and offsets, or weights
         that cancel with the border ``"renormalised"``.
    """
    if fit.verdict == "not linear":
        raise ArgumentError("fit: expected a filter; received a pair that no kernel explains; see fit.explanation")
    check_plain(fit, "fit", strided=True)
    kernel, divisor = exact_kernel(fit)
    offsets = tuple(float(value) for value in np.atleast_1d(np.asarray(fit.offset, np.float64)))
    if fit.boundary == "renormalised" and not kernel.weights.sum():
        raise ArgumentError("boundary: expected weights that do not cancel for 'renormalised'; received a sum of 0")
    kind = dtype or ("float32" if fit.rounding is None else "uint8")
    return Recipe(
        kernel=kernel,
        divisor=divisor,
        whole=fit.integers is not None and fit.gain == 1.0,
        offsets=offsets,
        boundary=fit.boundary or "reflect",
        cval=float(fit.cval),
        rounding=fit.rounding or "nearest",
        about=tuple(middle_of_rounding(fit, offset) for offset in offsets),
        dtype=kind,
        heading=shortened(f"{fit.description} ({fit.verdict})", 100),
        stride=fit.stride,
    )
