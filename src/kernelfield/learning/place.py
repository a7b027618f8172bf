"""The kernel at a place of the field, of a fit whose kernel varies."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kernelfield.errors import ArgumentError, received
from kernelfield.kernels import Kernel
from kernelfield.learning.field_basis import Basis

if TYPE_CHECKING:
    from kernelfield.learning.fit import Fit


def at(fit: Fit, row: float, column: float) -> Fit:
    """Return the fit of one kernel; arguments as in `Fit.at`."""
    varying = fit.varying
    if varying is None:
        raise ArgumentError("fit: expected a kernel that varies; received one for all places; use it as it is")
    for name, value in (("row", row), ("column", column)):
        if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not np.isfinite(value):
            raise ArgumentError(f"{name}: expected a number; received {received(value)}")
    weights = varying.kernel_at(row, column)
    behind = varying.background @ Basis(varying.background_order, varying.shape).at(row, column)
    offsets = tuple(float(value) for value in behind)
    return replace(
        fit,
        kernel=Kernel(weights, anchor=fit.anchor),
        stderr=varying.stderr_at(row, column),
        offset=offsets if len(offsets) > 1 else offsets[0],
        description=f"{fit.description}: that of row {row:g}, column {column:g}",
        covariance=None,
        varying=None,
    )
