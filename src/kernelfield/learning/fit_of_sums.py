"""The fit that sums alone tell: kernel, errors, rank, name; not the border, the rounding, or that all pixels agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kernelfield.kernels import Kernel
from kernelfield.learning.estimate import Estimate
from kernelfield.learning.fit import Fit
from kernelfield.learning.naming import Name, name_kernel
from kernelfield.learning.rational import as_integers
from kernelfield.learning.verdict import Evidence, Verdict, explain, judge

if TYPE_CHECKING:
    from kernelfield.learning.summary import Summary

# Below this R² nobody can tell from sums whether the after follows the before by more than a kernel.
_LITTLE = 0.5
_NOTE = (
    "learned from sums alone: the border, the rounding, outliers and whether every pixel is reproduced are not known; "
    "kf.learn of one pair tells"
)
_ERRORS = "they suppose residuals that are independent and equal, which sums do not tell"


def describe(estimate: Estimate, summary: Summary) -> Fit:
    """Return the fit of an estimate from the sums of a `KernelLearner`."""
    moments, solution, support = estimate.moments, estimate.solution, estimate.support
    rows, columns = support.size
    complete, blank = solution.rank == rows * columns, moments.square == 0.0
    # What sums resolve: a residual below it may be none.
    sd = float(np.sqrt(moments.unexplained(estimate.kernel) / moments.count))
    r2 = 1.0 if blank else max(0.0, 1.0 - moments.unexplained(estimate.kernel) / moments.square)
    evidence = Evidence(
        exact=False,
        complete=complete,
        sd=sd,
        step=summary.step,
        r2=r2,
        coefficients=support.parameters,
        count=moments.count,
        outliers=0,
        signs=None,
        blank=blank,
    )
    verdict: Verdict = judge(evidence)
    explanation = explain(verdict, evidence).replace("; it is the same in calm and busy parts, as noise is", "")
    if verdict == "approximate" and r2 < _LITTLE:
        explanation += "; sums do not tell whether the rest is noise or another filter"
    anchor = rows // 2, columns // 2
    stderr = np.full(support.size, np.inf) if blank else estimate.stderr
    named, whole = Name(None, "no known filter"), None
    if verdict == "approximate":
        whole = as_integers(estimate.kernel, stderr, 1e-9 * max(float(np.abs(estimate.kernel).max()), 1e-300))
        # Integers over a divisor that no chance gives are the weights: their name is theirs.
        kernel = estimate.kernel if whole is None else whole[0] / whole[1]
        named = name_kernel(kernel, anchor, stderr, estimate.offsets[0], whole is not None, True)
    offsets = tuple(float(value) for value in estimate.offsets)
    return Fit(
        kernel=Kernel(estimate.kernel, named.name, dict(named.parameters), None, anchor),
        stderr=stderr,
        offset=offsets if len(offsets) > 1 else offsets[0],
        boundary=None,
        cval=0.0,
        boundary_candidates=(),
        boundary_reason="not known from sums",
        name=named.name,
        description=named.description,
        integers=None if whole is None else whole[0],
        divisor=None if whole is None else whole[1],
        rank=0 if blank else solution.rank,
        undetermined=solution.undetermined.reshape(-1, *support.size),
        r2=r2,
        residual_sd=sd,
        samples=moments.count,
        excluded=summary.excluded,
        rounding=None,
        verdict=verdict,
        explanation=explanation,
        parameters=dict(named.parameters),
        notes=(_NOTE,),
        channels=tuple(str(i) for i in range(len(offsets))) if len(offsets) > 1 else ("grey",),
        errors_note=_ERRORS,
        scale=named.scale,
        covariance=estimate.covariance(stderr, support),
    )
