"""The verdict on a fit and its explanation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from kernelfield.learning.linearity import Linearity

Verdict = Literal["exact", "approximate", "undetermined", "not linear"]

# Allowance for errors of the coefficients: 3 % over the standard deviation of rounding, 20 % over half a step.
_SD_SLACK, _LARGEST_SLACK = 1.03, 1.2
# From trials of median, bilateral, CLAHE, gamma and JPEG against noise: see tests/learning/test_not_linear.py.
_CURVE, _TEXTURE, _R2 = 0.15, 3.0, 0.9


@dataclass(frozen=True)
class Evidence:
    """The evidence for the verdict.

    Attributes
    ----------
    sd, largest : float
        Standard deviation and largest magnitude of the residual.
    step : float
        Step of the after's grid; 0 if it has none.
    floor : float
        Standard deviation of the rounding errors of floating point.
    r2 : float
        Share of the after's variance that the kernel explains.
    complete : bool
        Whether every direction of the kernel is determined.
    unclipped : float
        Share of clipped values that the kernel predicts inside the range.
    linearity : Linearity or None
        None if the residual is rounding error.
    """

    sd: float
    largest: float
    step: float
    floor: float
    r2: float
    complete: bool
    unclipped: float
    linearity: Linearity | None

    @property
    def at_rounding(self) -> bool:
        """Whether the residual is explained by rounding or truncation to the grid."""
        within = self.step == 0.0 or self.largest <= _LARGEST_SLACK * self.step / 2.0
        return self.sd_at_rounding and within and self.unclipped <= 1e-3

    @property
    def sd_at_rounding(self) -> bool:
        """Whether the standard deviation of the residual is that of rounding."""
        return self.sd <= (_SD_SLACK * self.step / np.sqrt(12.0) if self.step > 0.0 else self.floor)


def judge(evidence: Evidence) -> Verdict:
    """Return the verdict for the evidence."""
    if not evidence.complete:
        return "undetermined"
    if evidence.at_rounding:
        return "exact"
    seen = evidence.linearity
    if seen is None or _is_noise(seen):
        return "approximate"
    signs = evidence.r2 < _R2 or seen.curve > _CURVE or seen.texture > _TEXTURE
    return "not linear" if signs else "approximate"


def _is_noise(seen: Linearity) -> bool:
    """Return whether the residual is uniform over brightness and contrast, like noise."""
    return seen.curve < 0.02 and 1 / 1.5 < seen.texture < 1.5


def explain(verdict: Verdict, evidence: Evidence) -> str:
    """Return the meaning of the verdict for this pair, as one sentence."""
    share = f"{100.0 * evidence.r2:.6g} % of the variance"
    left = f"the residual has a standard deviation of {evidence.sd:.3g}"
    if evidence.step > 0.0:
        left += f", {evidence.sd / (evidence.step / np.sqrt(12.0)):.3g} times that of rounding"
    if verdict == "exact":
        return "the filter explains the picture; only rounding is left"
    if verdict == "undetermined":
        return (
            "the pair does not determine the kernel: other kernels give the same picture; this is the one of least norm"
        )
    if verdict == "not linear":
        return f"the filter does not explain the picture: it accounts for {share}; {left}; {_sign(evidence)}"
    seen = evidence.linearity
    if seen is None or _is_noise(seen):
        return f"the filter accounts for {share}; {left}; it is the same in calm and busy parts, as noise is"
    return (
        f"the filter does not explain the picture completely: it accounts for {share}; {left}; "
        f"it is {seen.texture:.3g} times as large in busy parts as in calm ones"
    )


def _sign(evidence: Evidence) -> str:
    seen = evidence.linearity
    if seen is not None and seen.curve > _CURVE:
        return "it depends on the brightness, as after a tone curve or gamma"
    if seen is not None and seen.texture > _TEXTURE:
        return f"it is {seen.texture:.3g} times as large in busy parts as in calm ones, unlike noise"
    if evidence.unclipped > 1e-3:
        return "the filter predicts unclipped values where the after is clipped"
    return "it is too large for a linear filter"
