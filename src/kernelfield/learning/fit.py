"""The result of learning: the kernel, how sure it is, and what to do with it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from kernelfield.correlation import correlate
from kernelfield.correlation.arguments import check_image
from kernelfield.errors import ArgumentError
from kernelfield.kernels import Kernel
from kernelfield.learning.record import from_record, to_record, write_text
from kernelfield.learning.report import report
from kernelfield.learning.verdict import Verdict


@dataclass(frozen=True, eq=False)
class Fit:
    """What `kernelfield.learn` found.

    Attributes
    ----------
    kernel : Kernel
        The cross-correlation weights, with their anchor; ``kernel.flipped()`` is the convolution kernel.
    stderr : numpy.ndarray, shape (kh, kw)
        Standard error of each weight; infinite where the pair does not determine it.
    anchor : (int, int)
        Row and column of the weight that lies over the output pixel.
    offset : float or tuple of float
        What is added after the kernel, in units of the after; one a channel for colour.
    boundary : str or None
        The producer's rule beyond the border: a name of scipy.ndimage, or ``"copy"`` where border pixels were left as
        they were; None where it cannot be told, see `boundary_reason`.
    cval : float
        The value outside, for ``"constant"``.
    boundary_candidates : tuple of str
        All rules that explain the border.
    boundary_reason : str
        Why.
    name : str or None
        Name in the catalogue of kernels; None if no known filter fits within the errors.
    parameters : mapping
        Of the known filter.
    description : str
        The name and parameters as a phrase.
    integers, divisor : numpy.ndarray or None, int or None
        The weights as integers over a divisor, if they are that within their errors.
    rank : int
        Directions of the kernel that the pair determines, of ``kh * kw``.
    undetermined : numpy.ndarray, shape (kh * kw - rank, kh, kw)
        Kernels that may be added and change nothing in this pair.
    r2 : float
        Share of the variance of the after that the kernel explains.
    residual_sd : float
        Standard deviation of what is left, in units of the after.
    samples, excluded : int
        Pixels of the after used, and left out (clipped, NaN, masked).
    rounding : {"nearest", "nearest even", "truncated", None}
        How the producer came to its grid, where the verdict is exact and there is a grid: halves went up, to even,
        or everything went down (and the offset is half a step low).
    verdict : {"exact", "approximate", "undetermined", "not linear"}
        See the design: exact means that only rounding is left.
    explanation : str
        The verdict as a sentence.
    notes : tuple of str
        What else to know.
    channels : tuple of str
        Names of the channels that share the kernel.
    losses : tuple of float
        Where the kernel was learned by descent: the summed squared error before each step.
    layers : tuple of Kernel
        Where several were learned in a row: each; `kernel` is what they are as one.
    """

    kernel: Kernel
    stderr: np.ndarray
    offset: float | tuple[float, ...]
    boundary: str | None
    cval: float
    boundary_candidates: tuple[str, ...]
    boundary_reason: str
    name: str | None
    description: str
    integers: np.ndarray | None
    divisor: int | None
    rank: int
    undetermined: np.ndarray
    r2: float
    residual_sd: float
    samples: int
    excluded: int
    rounding: str | None
    verdict: Verdict
    explanation: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    channels: tuple[str, ...] = ("grey",)
    losses: tuple[float, ...] = ()
    layers: tuple[Kernel, ...] = ()

    @property
    def anchor(self) -> tuple[int, int]:
        """Row and column of the weight over the output pixel."""
        return self.kernel.anchor

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the kernel."""
        return self.kernel.shape

    def apply(self, image: ArrayLike, *, boundary: str | None = None) -> np.ndarray:
        """Return `image` filtered as the after was made from the before.

        Parameters
        ----------
        image : array_like, shape (H, W) or (H, W, C)
            With three axes the last one holds channels, as many as were learned, or any number where the offset is
            one for all.
        boundary : str, optional
            Beyond the border; by default the producer's rule, or ``"reflect"`` where that is not known.

        Returns
        -------
        numpy.ndarray
            Of the dtype of `image`: integers are rounded (or truncated, as the producer did) and saturated.

        Raises
        ------
        ArgumentError
            If the number of channels or the boundary does not fit.
        """
        pixels = check_image(image, "image")
        if pixels.ndim > 3:
            raise ArgumentError(f"image: expected (H, W) or (H, W, C); received shape {pixels.shape}")
        offsets = np.atleast_1d(np.asarray(self.offset, dtype=np.float64))
        planes = [pixels] if pixels.ndim == 2 else list(np.moveaxis(pixels, 2, 0))
        if offsets.size not in (1, len(planes)):
            raise ArgumentError(
                f"image: expected {offsets.size} channels, one for each offset learned; received {len(planes)}"
            )
        rule = boundary or self.boundary or "reflect"
        results = [
            self._apply(plane, float(offset), rule)
            for plane, offset in zip(planes, np.broadcast_to(offsets, len(planes)))
        ]
        return results[0] if pixels.ndim == 2 else np.stack(results, axis=2)

    def _apply(self, plane: np.ndarray, offset: float, rule: str) -> np.ndarray:
        """Return one channel filtered."""
        copied = rule == "copy"
        inner = "reflect" if copied else rule
        result: np.ndarray = correlate(plane, self.kernel, boundary=inner, cval=self.cval, dtype=np.float64)
        result += offset
        if plane.dtype.kind in "iu":
            limits = np.iinfo(plane.dtype)
            # Truncation lies in the offset, half a step low: both kinds of producer round to nearest here.
            # Sums of ninths and hundredths come out a little below the half or the whole that they are.
            rounded = np.rint(result) if self.rounding == "nearest even" else np.floor(result + (0.5 + 1e-6))
            result = np.clip(rounded, limits.min, limits.max)
        result = result.astype(plane.dtype)
        if copied:
            rows, columns = (slice(a, max(a, n - (k - 1 - a))) for a, k, n in zip(self.anchor, self.size, plane.shape))
            inside = result[rows, columns].copy()
            result = plane.copy()
            result[rows, columns] = inside
        return result

    def __str__(self) -> str:
        return report(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fit as JSON: the file that ``kernelfield apply`` reads.

        Raises
        ------
        FileError
            If it cannot be written; nothing is left behind.
        """
        write_text(Path(path), json.dumps(to_record(self), indent=2, allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Fit:
        """Return the fit that `save` or ``kernelfield learn --json`` wrote.

        Raises
        ------
        FileError
            If the file cannot be read.
        DataError
            If it is not such a record.
        """
        return from_record(cls, Path(path))

    def plot(self, before: ArrayLike | None = None, after: ArrayLike | None = None) -> Any:
        """Return a matplotlib figure of the kernel, and of before, after and residual where they are given."""
        from kernelfield.learning.plot import plot

        if (before is None) != (after is None):
            raise ArgumentError("before, after: expected both or none; received one")
        return plot(self, before, after)
