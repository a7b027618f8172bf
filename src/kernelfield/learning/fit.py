"""The result of learning: the kernel with its errors, verdict and statistics."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from kernelfield.errors import ArgumentError, received, shortened
from kernelfield.files import check_writable, file_name, write_bytes
from kernelfield.kernels import Kernel
from kernelfield.learning.curve import Curve
from kernelfield.learning.light import Light
from kernelfield.learning.varying import Varying
from kernelfield.learning.verdict import Verdict

if TYPE_CHECKING:
    from kernelfield.learning.comparison import Comparison
    from kernelfield.learning.ellipse import Ellipse
    from kernelfield.learning.structure import Structure
    from kernelfield.learning.transfer import Transfer


@dataclass(frozen=True, eq=False, repr=False)
class Fit:
    """A learned filter: the kernel between two images, returned by `kernelfield.learn`.

    Attributes
    ----------
    kernel : Kernel
        The cross-correlation weights, with their anchor; ``kernel.flipped()`` is the convolution kernel.
    stderr : numpy.ndarray, shape (kh, kw)
        Standard error of each weight; infinite for weights that the pair does not determine.
    anchor : (int, int)
        Row and column of the weight that lies over the output pixel.
    offset : float or tuple of float
        Constant added after the kernel, in units of the after; one per channel for colour.
    boundary : str or None
        Boundary rule of the producer: a mode of scipy.ndimage, ``"copy"`` if border pixels were left unfiltered, or
        ``"renormalised"`` if weights outside the image were left out and the others rescaled to the same sum; None if
        unknown, see `boundary_reason`.
    cval : float
        Value outside the image, for ``"constant"``.
    boundary_candidates : tuple of str
        All rules that explain the border pixels.
    boundary_reason : str
        Explanation of `boundary`.
    name : str or None
        Name in the catalogue of kernels; None if no known filter agrees within the errors.
    parameters : mapping
        Of the known filter.
    description : str
        The name and parameters as a phrase.
    integers, divisor : numpy.ndarray or None, int or None
        The weights as integers over a divisor, if they agree within their errors.
    rank : int
        Number of directions of the kernel that the pair determines, out of ``kh * kw``.
    undetermined : numpy.ndarray, shape (kh * kw - rank, kh, kw)
        Kernels that can be added without any change to the fit of this pair. Of kernels of more than 1,100 weights
        the rank alone is known, and there are none here.
    r2 : float
        Share of the variance of the after that the kernel explains.
    residual_sd : float
        Standard deviation of the residual, in units of the after.
    samples, excluded : int
        Pixels of the after used, and excluded (clipped, NaN, masked).
    rounding : str or None
        Rounding rule of the producer, for exact verdicts on a grid: ``"nearest"`` (halves up, or no halves seen),
        ``"nearest even"``, ``"nearest away"`` (from 0), ``"nearest down"``, ``"to zero"``, ``"truncated"`` (down: the
        offset is then half a step low) or ``"up"`` (half a step high); before a whole offset is added.
    verdict : {"exact", "approximate", "undetermined", "not linear"}
        Quality of the fit. Exact: the residual is rounding error. Approximate: a linear filter explains most of it.
        Undetermined: several kernels fit equally well, see `rank`.
    explanation : str
        The verdict as a sentence.
    notes : tuple of str
        Remarks for the user.
    channels : tuple of str
        Names of the channels that share the kernel.
    losses : tuple of float
        For descent: the summed squared error before each step.
    layers : tuple of Kernel
        For a sequence of kernels: each of them; `kernel` is their composition.
    gain : float
        The weights are `gain` times `integers` over `divisor`; 1 unless before and after differ in scale.
    scale : float
        The weights are `scale` times the kernel that is named.
    outliers : int
        Pixels, among the excluded, that the filter cannot have given: a watermark, hot pixels.
    errors_note : str
        Why the standard errors hold only approximately, or empty.
    frame : (int, int) or None
        For an after that is a crop: row and column of the before that lie below its first pixel.
    left_out : numpy.ndarray of bool, shape (H, W), or None
        The map of the outliers; it is not saved.
    model : str
        ``"shared"``: one kernel for all channels. ``"separate"``: one a channel. ``"mixed"``: every channel of the
        after takes from every channel of the before.
    bank, bank_stderr : numpy.ndarray, shape (C_out, C_in / groups, kh, kw), or None
        Weights of a layer and their standard errors, for separate channels with one group a channel; None for one
        shared kernel. `kernel` is then the mean over the channels of the after of the kernel that acts on a grey
        picture.
    stride : (int, int)
        Rows and columns of the before from one pixel of the after to the next.
    light : Light or None
        The transfer function that is undone before the kernel and done after it; `offset` is then a share of white.
    curve : Curve or None
        The pointwise curve before or after the kernel.
    varying : Varying or None
        For a kernel that varies over the field: the kernels and functions of which it is made, and the background that
        varies. `kernel` is then its mean over the field, and `offset` the mean of the background.
    covariance : numpy.ndarray, shape (kh * kw, kh * kw), or None
        Of the weights, row by row: its diagonal is that of `stderr` squared, its correlations are those of least
        squares. None where the pair does not determine all weights, for kernels of more than 1,100, for others than
        one kernel, and where squares of `stderr` lie outside the range of float64. Saved for up to 121 weights.
    chi_square : float or None
        χ² of the residual per degree of freedom, where the noise was given: its variance over that which the noise of
        both images and rounding to the after's grid leave. About 1 where model and noise hold.
    degrees_of_freedom : float or None
        The effective number of parameters, for kernels under a penalty or restrictions and those that vary.
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
    gain: float = 1.0
    scale: float = 1.0
    outliers: int = 0
    errors_note: str = ""
    frame: tuple[int, int] | None = None
    left_out: np.ndarray | None = field(default=None, repr=False)
    model: str = "shared"
    bank: np.ndarray | None = None
    bank_stderr: np.ndarray | None = None
    stride: tuple[int, int] = (1, 1)
    light: Light | None = None
    curve: Curve | None = None
    varying: Varying | None = None
    degrees_of_freedom: float | None = None
    covariance: np.ndarray | None = field(default=None, repr=False)
    chi_square: float | None = None

    @property
    def plain(self) -> bool:
        """Whether the fit is one kernel, the same for all channels and places, and offsets."""
        return self.stride == (1, 1) and self.one_kernel

    @property
    def one_kernel(self) -> bool:
        """Whether the fit is one kernel for all channels and places, and offsets; perhaps with a stride."""
        return all(each is None for each in (self.bank, self.light, self.curve, self.varying))

    @property
    def anchor(self) -> tuple[int, int]:
        """Row and column of the weight over the output pixel."""
        return self.kernel.anchor

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the kernel."""
        return self.kernel.shape

    def apply(self, image: ArrayLike, *, boundary: str | None = None, dtype: DTypeLike | None = None) -> np.ndarray:
        """Return `image` filtered in the way that made the after from the before.

        Parameters
        ----------
        image : array_like, shape (H, W) or (H, W, C)
            With three axes the last one holds channels: as many as were learned, or any number if there is a single
            offset.
        boundary : str, optional
            Boundary rule; by default the producer's, or ``"reflect"`` if that is unknown.
        dtype : dtype-like, optional
            Of the result, integers or floats; by default that of `image`.

        Returns
        -------
        numpy.ndarray
            Integers are rounded (or truncated, as the producer did) and saturated.

        Raises
        ------
        ArgumentError
            If the number of channels, the boundary or the dtype is invalid, or integers are asked for and a result is
            NaN.
        """
        from kernelfield.learning.filtering import apply

        return apply(self, image, boundary, dtype).pixels

    def at(self, row: float, column: float) -> Fit:
        """Return the kernel over a pixel of a kernel that varies, with the background there, as a fit of its own.

        Its `mtf`, `compare`, `export` and ``kernel.frequency_response`` are those of that place.

        Parameters
        ----------
        row, column : float
            In the field of the kernel; see `Varying`.

        Raises
        ------
        ArgumentError
            If the kernel does not vary, or the place lies outside the field.

        Examples
        --------
        >>> import numpy as np
        >>> import kernelfield as kf
        >>> before = np.random.default_rng(0).random((60, 60))
        >>> share = np.linspace(0.0, 1.0, 60)[:, None]
        >>> after = before + share * kf.correlate(before, [[0.0, -1.0, 1.0]], boundary="constant")
        >>> kf.learn(before, after, size=3, varying=1).at(59, 0).kernel.weights.round(6)[1] + 0.0
        array([0., 0., 1.])
        """
        from kernelfield.learning.place import at

        return at(self, row, column)

    def __repr__(self) -> str:
        rows, columns = self.size
        return f"<Fit, {self.verdict}: {shortened(self.description, 80)}, kernel {rows}×{columns}, R² {self.r2:.6f}>"

    def __str__(self) -> str:
        from kernelfield.learning.report import report

        return report(self)

    def _repr_html_(self) -> str:
        from kernelfield.learning.html import fit_html

        return fit_html(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fit as a JSON file, which ``kernelfield apply`` reads.

        Raises
        ------
        FileError
            If it cannot be written; no partial file remains.
        """
        from kernelfield.learning.record import to_record

        write_bytes(path, (json.dumps(to_record(self), indent=2, allow_nan=False) + "\n").encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Fit:
        """Return the fit in a file written by `save` or ``kernelfield learn --json``.

        Raises
        ------
        FileError
            If the file cannot be read.
        DataError
            If it is not such a record.
        """
        from kernelfield.learning.record import from_record

        return from_record(cls, Path(file_name(path)))

    def mtf(self, angle: float = 0.0, frequencies: ArrayLike | None = None) -> Transfer:
        """Return the modulation transfer function along a direction, with standard errors and the MTF50.

        Errors are those of the weights to first order (delta method; JCGM 100:2008, section 5.2).

        Parameters
        ----------
        angle : float
            The direction in which a sine varies: degrees, clockwise from the right.
        frequencies : array_like, shape (n,), optional
            In cycles per pixel; by default 65 up to half a cycle per row or column.

        Returns
        -------
        Transfer

        Raises
        ------
        ArgumentError
            For an angle or frequencies that are no numbers.
        DataError
            If the weights sum to 0.

        Examples
        --------
        >>> import kernelfield as kf
        >>> from kernelfield.learning.fit import designed
        >>> designed(kf.kernels.gaussian(1.0), "a blur").mtf()
        <Transfer at 0°, MTF50 0.1874 ± 0 cycles per pixel>
        """
        from kernelfield.learning.transfer import transfer

        return transfer(self, angle, frequencies)

    def compare(self, other: Fit, level: float = 0.01) -> Comparison:
        """Return how far two fits differ, in standard errors.

        Parameters
        ----------
        other : Fit
            Learned from other pictures: errors are taken for independent.
        level : float
            Probability below which a difference is no chance.

        Returns
        -------
        Comparison

        Raises
        ------
        ArgumentError
            For fits of more than one kernel, or a level outside 0 to 1.
        DataError
            If a pair is explained by no kernel.

        Examples
        --------
        >>> import kernelfield as kf
        >>> from kernelfield.learning.fit import designed
        >>> one, other = (designed(kf.kernels.gaussian(sigma), "a blur") for sigma in (1.0, 1.1))
        >>> one.compare(one).same, one.compare(other).same
        (True, False)
        """
        from kernelfield.learning.comparison import compare

        if not isinstance(other, Fit):
            raise ArgumentError(f"other: expected a Fit, as kernelfield.learn returns; received {received(other)}")
        return compare(self, other, level)

    def report(
        self,
        path: str | os.PathLike[str],
        before: ArrayLike | str | os.PathLike[str],
        after: ArrayLike | str | os.PathLike[str],
        *,
        command: str = "",
        channel_axis: int | str | None = "auto",
    ) -> None:
        """Write a report as one HTML file, which needs nothing from elsewhere.

        Before, after, prediction and residual lie in views that zoom and move together, the first three on one scale of
        grey; then the kernel with its errors, the MTF, and what was found. Pictures of more than 1,000 pixels along a
        side are reduced.

        Parameters
        ----------
        path : str or path-like
        before, after : array_like, PIL image, str or path-like
            The pair, as `kernelfield.learn` takes it.
        command : str
            What made the fit, for the page.
        channel_axis : int or "auto"
            As `kernelfield.learn` takes it.

        Raises
        ------
        ArgumentError
            If the pair does not belong to the fit.
        FileError
            If the file cannot be written; no partial file remains.
        """
        from kernelfield.learning.page import report_page

        if not isinstance(command, str):
            raise ArgumentError(f"command: expected text; received {received(command)}")
        check_writable(path)
        write_bytes(path, report_page(self, before, after, command, channel_axis).encode())

    def residual_structure(
        self,
        before: ArrayLike | str | os.PathLike[str],
        after: ArrayLike | str | os.PathLike[str],
        *,
        channel_axis: int | str | None = "auto",
    ) -> Structure:
        """Return a test of the residual of a pair against pixels that are independent of their neighbours.

        Pixels whose prediction is near an end of an integer type, where noise is cut off, do not count.

        Parameters
        ----------
        before, after : array_like, PIL image, str or path-like
            The pair, as `kernelfield.learn` takes it.
        channel_axis : int or "auto"
            As `kernelfield.learn` takes it.

        Returns
        -------
        Structure

        Raises
        ------
        ArgumentError
            If the pair does not belong to the fit.
        """
        from kernelfield.learning.structure import structure_of_pair

        return structure_of_pair(self, before, after, channel_axis)

    def held_out_r2(
        self,
        before: ArrayLike | str | os.PathLike[str],
        after: ArrayLike | str | os.PathLike[str],
        *,
        folds: int = 4,
        channel_axis: int | str | None = "auto",
    ) -> float:
        """Return R² of pixels that the kernel was not learned from: of tiles, by the kernel of the other tiles.

        The kernel has the size of the fit and is learned anew by least squares, once for each fold; a size that was
        searched for on these pixels is not held out.

        Parameters
        ----------
        before, after : array_like, PIL image, str or path-like
            The pair, as `kernelfield.learn` takes it.
        folds : int
            Parts of the tiles, each of which is held out once; at least 2.
        channel_axis : int or "auto"
            As `kernelfield.learn` takes it.

        Raises
        ------
        ArgumentError
            For fits of more than one kernel, another number of folds, or a pair of another size.
        DataError
            If the other tiles have too few pixels.
        """
        from kernelfield.learning.models.held_out_r2 import held_out_r2

        return held_out_r2(self, before, after, folds, channel_axis)

    def confidence_ellipse(self, first: tuple[int, int], second: tuple[int, int], level: float = 0.95) -> Ellipse:
        """Return the confidence ellipse of two weights.

        Parameters
        ----------
        first, second : (int, int)
            Rows and columns of the weights.
        level : float
            Share of all such ellipses that hold the true weights.

        Raises
        ------
        ArgumentError
            For places outside the kernel, or a level outside 0 to 1.
        DataError
            If the covariance is not known.
        """
        from kernelfield.learning.ellipse import ellipse

        return ellipse(self, first, second, level)

    def export(self, target: str, *, dtype: str | None = None) -> str | bytes:
        """Return the filter for another program: code, a command or a model that gives the pixels of `apply`.

        Kernel, offset, border, rounding and saturation are in it. The pixels are those of `apply` for images of
        integers in ``"numpy"``, ``"scipy"``, ``"opencv"``, ``"pytorch"`` and ``"c"``, within rounding for floats. The
        sums of ``"onnx"`` are in float32 for 8 bits: the same where the weights are integers over a divisor, else
        within one level where a result is halfway. ``"imagemagick"`` is within one level of 8 bits; ``"ffmpeg"`` gives
        the same pixels of 8 bits but for those near the border, which has its own rule. A kernel that varies is a sum
        of fixed ones weighted over its field in the first four; `at` gives that of a place for any.

        Parameters
        ----------
        target : {"numpy", "scipy", "opencv", "pytorch", "onnx", "imagemagick", "ffmpeg", "c"}
        dtype : {"uint8", "uint16", "float32", "float64"}, optional
            Of the pixels for ``"onnx"`` and ``"c"``, which have one type only; by default uint8 where the fit knows how
            the producer rounds, else float32.

        Returns
        -------
        str or bytes
            Bytes for ``"onnx"``.

        Raises
        ------
        ArgumentError
            For another target or dtype, a pair that no kernel explains, a filter of more than one kernel for all
            channels and places, or one that the target cannot express.
        MissingDependencyError
            For ``"onnx"`` without the package.

        Examples
        --------
        >>> import kernelfield as kf
        >>> from kernelfield.learning.fit import designed
        >>> print(designed(kf.kernels.box(3), "box 3×3").export("imagemagick", dtype="uint8").splitlines()[0])
        # box 3×3 (exact), by kernelfield; within one level of 8 bits
        """
        from kernelfield.learning.export import export

        return export(self, target, dtype)

    def plot(
        self,
        before: ArrayLike | str | os.PathLike[str] | None = None,
        after: ArrayLike | str | os.PathLike[str] | None = None,
        *,
        channel_axis: int | str | None = "auto",
    ) -> Any:
        """Return a matplotlib figure of the kernel, and of before, after and residual if the pair is given.

        Where the pair does not determine all weights, the share of each that it does not tell, and kernels that change
        nothing in it, are drawn too.

        Parameters
        ----------
        before, after : array_like, PIL image, str or path-like, optional
            The pair, both or none, as `kernelfield.learn` takes it.
        channel_axis : int or "auto"
            As `kernelfield.learn` takes it.

        Raises
        ------
        ArgumentError
            If the pair does not belong to the fit.
        """
        from kernelfield.learning.plot import plot

        if (before is None) != (after is None):
            raise ArgumentError("before, after: expected both or none; received one")
        return plot(self, before, after, channel_axis)


def designed(kernel: Kernel, description: str) -> Fit:
    """Return a designed kernel as an exact fit without errors, offset or samples, with boundary reflect.

    Parameters
    ----------
    kernel : Kernel
        Padded with zeros until its anchor lies inside.
    description : str
        Name and parameters as a phrase.
    """
    ends = [(max(0, -a), max(0, a - n + 1)) for a, n in zip(kernel.anchor, kernel.shape)]
    weights = np.pad(kernel.weights, ends)
    anchor = kernel.anchor[0] + ends[0][0], kernel.anchor[1] + ends[1][0]
    whole = Kernel(weights, kernel.name, kernel.parameters, kernel.source, anchor)
    integral = whole.integers()
    return Fit(
        kernel=whole,
        stderr=np.zeros(weights.shape),
        offset=0.0,
        boundary="reflect",
        cval=0.0,
        boundary_candidates=(),
        boundary_reason="designed, not learned: --boundary of apply chooses another",
        name=kernel.name,
        description=description,
        integers=None if integral is None else integral[0],
        divisor=None if integral is None else integral[1],
        rank=weights.size,
        undetermined=np.zeros((0, *weights.shape)),
        r2=1.0,
        residual_sd=0.0,
        samples=0,
        excluded=0,
        rounding=None,
        verdict="exact",
        explanation="designed, not learned: these are the weights of the catalogue",
        parameters=kernel.parameters,
        notes=(f"source: {kernel.source}",) if kernel.source else (),
    )
