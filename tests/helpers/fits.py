"""Fits for trials: least squares with errors and covariance, without the search for a name, which takes longest."""

from __future__ import annotations

import dataclasses

import numpy as np

from kernelfield.kernels import Kernel
from kernelfield.learning.estimate import of_statistics
from kernelfield.learning.fit import Fit, designed
from kernelfield.learning.statistics import gather
from kernelfield.learning.support import centred


def least_squares(before: np.ndarray, after: np.ndarray, size: tuple[int, int]) -> Fit:
    """Return the fit of a pair over a size."""
    support = centred(size)
    positions = support.positions(before.shape, after.shape)
    sums = gather(before[support.windows(positions)], after[positions], size, 0.0, 0.0)
    estimate = of_statistics([sums], support, 1e-16)
    return dataclasses.replace(
        designed(Kernel(estimate.kernel, anchor=support.anchor), "a trial"),
        stderr=estimate.stderr,
        covariance=estimate.covariance(estimate.stderr, support),
        verdict="approximate",
    )
