"""The verdict on a fit and its explanation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from kernelfield.learning.alternatives import Signs

Verdict = Literal["exact", "approximate", "undetermined", "not linear"]

# From trials of median, bilateral, CLAHE, gamma and JPEG against noise: see tests/learning/test_not_linear.py.
_CURVE, _TEXTURE, _R2 = 0.15, 3.0, 0.9
# Standard deviations of rounding that are left where a program rounds between its passes. If errors are independent,
# the matrices of ITU-T T.871 leave 1.98 over three channels after 8 bits of Y'CbCr; photographs have left up to 2.15.
_LITTLE = 2.0
# Contrast of the residual between busy and calm parts, and correlation of its neighbours, up to which it is like noise.
_EVEN, _ALIKE = 1.5, 0.5
# Share of the residual that functions of the colour explain from which on it is no rounding: of 32 ways through eight
# bits between, of eleven pictures each, OpenCV's YUV left 0.1 to 0.23, with one of 0.33, and others up to 0.15.
_COLOUR = 0.25
# Below this R² a residual that is not like noise is another picture's.
_HALF = 0.5
# Above this R² no pair is unrelated: other scenes were seen to reach 0.6.
_CERTAIN = 0.75
# An F statistic of the kernel over its expectation that chance does not give, in standard deviations.
_CHANCE = 8.0
# Different windows a weight below which a picture that repeats tells no filter.
_WINDOWS = 10
# The share of pixels that may be left out of a fit that explains less than half.
_LEFT_OUT = 0.05


@dataclass(frozen=True)
class Evidence:
    """The evidence for the verdict.

    Attributes
    ----------
    exact : bool
        Whether rounding reproduces every pixel that counts.
    complete : bool
        Whether every direction of the kernel is determined.
    sd : float
        Standard deviation of the residual.
    step : float
        Step of the after's grid; 0 if it has none.
    r2 : float
        Share of the after's variance that the kernel explains.
    coefficients, count : int
        Of the kernel, and pixels used.
    outliers : int
        Pixels left out since the filter cannot have given them.
    signs : Signs or None
        None if the residual is rounding error.
    channels : float
        R² of a kernel for each channel, where these explain more than one for all; else 0.
    limit : int
        The size at which the search ended although the outermost weights matter; 0 if it ended inside.
    blank : bool
        Whether the after has one value a channel, which weights of 0 reproduce whatever made it.
    repeats : str
        After how many rows and columns before and after repeat, as a phrase; "" if they do not.
    windows : int
        How many different ones a picture that repeats has.
    """

    exact: bool
    complete: bool
    sd: float
    step: float
    r2: float
    coefficients: int
    count: int
    outliers: int
    signs: Signs | None
    channels: float = 0.0
    limit: int = 0
    blank: bool = False
    repeats: str = ""
    windows: int = 0

    @property
    def folded(self) -> bool:
        """Whether a picture repeats, and nothing explains it but what kernels as wide as its period explain anyway."""
        if not self.repeats or self.exact:
            return False
        few = self.windows < _WINDOWS * self.coefficients
        if self.signs is None:
            return few
        return self.r2 < _HALF or (self.signs.looks_like is None and (few or self.r2 < _R2))

    @property
    def little(self) -> bool:
        """Whether no more is left than rounding more than once leaves."""
        return bool(self.sd < _LITTLE * self.step / np.sqrt(12.0))

    @property
    def related(self) -> bool:
        """Whether the after depends on the before at all: the test against the null hypothesis."""
        if self.signs is None or self.r2 > _CERTAIN:
            return True
        # Pixels that a filter of no meaning cannot give are no outliers: without them any explains more.
        if self.r2 < _HALF and self.outliers > _LEFT_OUT * self.count:
            return False
        rho = min(abs(self.signs.correlation), 0.95)
        # Neighbours that are alike count less: (1 - rho) / (1 + rho) along each axis.
        effective = self.count * ((1.0 - rho) / (1.0 + rho)) ** 2
        p = self.coefficients
        statistic = self.r2 / max(1.0 - self.r2, 1e-300) * max(effective - p - 1.0, 0.0) / p
        return bool(statistic > 1.0 + _CHANCE * np.sqrt(2.0 / p))


def judge(evidence: Evidence) -> Verdict:
    """Return the verdict for the evidence."""
    if evidence.blank:
        return "undetermined"
    if evidence.exact and evidence.complete:
        return "exact"
    seen = evidence.signs
    if evidence.folded:
        return "undetermined"
    if evidence.channels > _HALF and evidence.complete and not (seen and seen.looks_like):
        return "approximate"
    if seen is not None and (not evidence.related or seen.looks_like is not None):
        return "not linear"
    if not evidence.complete:
        return "undetermined"
    if seen is None or is_noise(seen) or seen.compressed:
        return "approximate"
    if evidence.limit and evidence.r2 > _R2 and seen.curve < _CURVE:
        return "approximate"
    if evidence.r2 > _R2 and evidence.little:
        return "approximate"
    signs = evidence.r2 < _R2 or seen.curve > _CURVE or seen.texture > _TEXTURE
    return "not linear" if signs else "approximate"


def is_noise(seen: Signs) -> bool:
    """Return whether the residual is uniform over brightness and contrast, like noise."""
    if seen.grows and seen.curve < 0.02:
        return True
    return seen.curve < 0.02 and 1 / _EVEN < seen.texture < _EVEN and abs(seen.correlation) < _ALIKE


def explain(verdict: Verdict, evidence: Evidence) -> str:
    """Return the meaning of the verdict for this pair, as one sentence."""
    share = f"{100.0 * evidence.r2:.6g} % of the variance"
    left = f"the residual has a standard deviation of {evidence.sd:.3g}"
    if evidence.step > 0.0:
        left += f", {evidence.sd / (evidence.step / np.sqrt(12.0)):.3g} times that of rounding"
    if verdict == "exact":
        without = f" without {_pixels(evidence.outliers)} that it cannot have given" if evidence.outliers else ""
        return f"the filter explains the picture{without}; only rounding is left"
    if evidence.blank:
        return (
            "the after has a single value, of which nothing tells a filter: weights of 0 give it, and so does what was "
            "clipped, covered or lost in rounding; take an after with a picture in it"
        )
    if verdict == "undetermined" and evidence.folded:
        return (
            f"before and after repeat after {evidence.repeats}: a filter that is not much smaller is known only folded "
            "by that, and many give the same picture; take a picture that does not repeat"
        )
    if verdict == "undetermined":
        return (
            "the pair does not determine the kernel: other kernels give the same picture; this is the one of least norm"
        )
    if verdict == "not linear":
        return f"the filter does not explain the picture: it accounts for {share}; {left}; {_sign(evidence)}"
    seen = evidence.signs
    if evidence.limit:
        return (
            f"the search ended at its limit of {evidence.limit}×{evidence.limit}, and weights there still count: raise "
            f"max_size, or take a larger picture; this part of it accounts for {share}; {left}"
        )
    if evidence.channels:
        return (
            f"the channels disagree: each has a kernel of its own, and one for all accounts for {share}; learn "
            f"with channels='separate'; {left}"
        )
    coloured = seen is not None and seen.colour > _COLOUR
    if seen is None or (is_noise(seen) and not coloured):
        alike = "is the same in calm and busy parts, as noise is"
        if seen is not None and not 1 / _EVEN < seen.texture < _EVEN:
            alike = "depends on the brightness in its size alone, as shot noise and speckle do"
        if seen is not None and abs(seen.correlation) > 0.1:
            alike += f"; neighbours are alike (correlation {seen.correlation:.2g})"
        return f"the filter accounts for {share}; {left}; it {alike}"
    if evidence.little and not coloured:
        return f"the filter accounts for {share}; {left}, no more than rounding more than once leaves"
    return f"the filter does not explain the picture completely: it accounts for {share}; {left}; {_trace(seen)}"


def _trace(seen: Signs) -> str:
    """Return in which way a residual is unlike noise."""
    if seen.compressed:
        return "that is no more than JPEG's quantisation of the after"
    if seen.colour > _COLOUR:
        return f"{100.0 * seen.colour:.2g} % of it follow the colour, as after a change of colours that no matrix gives"
    if not 1 / _EVEN < seen.texture < _EVEN:
        return f"it is {seen.texture:.3g} times as large in busy parts as in calm ones"
    if abs(seen.correlation) >= _ALIKE:
        return f"neighbouring pixels of it are alike (correlation {seen.correlation:.2g})"
    return f"{100.0 * seen.curve:.2g} % of it follow the brightness"


def _pixels(count: int) -> str:
    return "1 pixel" if count == 1 else f"{count:,} pixels"


def _sign(evidence: Evidence) -> str:
    seen = evidence.signs
    if seen is not None and seen.looks_like is not None:
        return f"it looks like {seen.looks_like}{', which gives every pixel' if seen.every else ''}"
    if not evidence.related:
        return "the after does not follow the before: another scene, shuffled, resized, turned or shifted far"
    if evidence.r2 < _HALF and seen is not None and abs(seen.correlation) > 0.3:
        return (
            "the after hardly follows the before: another scene, resized, turned or shifted far, or a weak filter "
            "under strong compression"
        )
    if seen is not None and seen.curve > _CURVE:
        return (
            "it depends on the brightness, as after a tone curve or a filter of light: try curve='auto' or light='auto'"
        )
    if seen is not None and seen.texture > _TEXTURE:
        return (
            f"it is {seen.texture:.3g} times as large in busy parts as in calm ones, unlike noise: a filter that "
            "adapts to edges, such as a bilateral filter or noise removal, strong compression, or a part of the "
            "picture filtered otherwise"
        )
    return (
        "it is too large for a linear filter: the before may be noisy, the picture rotated, resized or distorted, or "
        "its parts filtered in different ways"
    )
