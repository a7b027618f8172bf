"""Images with missing pixels: masked ones mask the results they touch, or missing ones take no part in the sums.

With ``missing="renormalise"`` an output is the sum over the pixels that are there, times the sum of all weights over
that of the weights that took part: the normalised convolution of Knutsson and Westin ("Normalized and differential
convolution", CVPR 1993), and what ``astropy.convolution.convolve(nan_treatment="interpolate")`` computes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kernelfield import _core
from kernelfield.arrays import as_array
from kernelfield.correlation.arguments import Request, check_request
from kernelfield.engine import plan as planner
from kernelfield.engine.low_rank import ROUNDING, factors
from kernelfield.errors import ArgumentError, received
from kernelfield.geometry import Operation

_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
# Weights of both signs that add up to less than this, relative to their magnitudes and for each, add up to 0.
_CANCELLED = 4 * 2.0**-53


def check_missing(missing: Any) -> str:
    """Return `missing` if it is one of the two rules."""
    if not isinstance(missing, str) or missing not in ("propagate", "renormalise"):
        raise ArgumentError(f"missing: expected 'propagate' or 'renormalise'; received {received(missing)}")
    return missing


def correlate_missing(
    compute: Callable[[Request], tuple[np.ndarray, Any]],
    image: Any,
    kernel: Any,
    bias: Any,
    out: np.ndarray | None,
    missing: str,
    given: dict[str, Any],
) -> Any:
    """Return `correlate` of an image with masked pixels, or with ``missing="renormalise"``.

    Parameters
    ----------
    compute : callable
        Returns the result of a request in the caller's order of axes, and a runner.
    given : dict
        The other arguments of `correlate`.

    Returns
    -------
    numpy.ndarray, or numpy.ma.MaskedArray for a masked array
    """
    check_missing(missing)
    masked = isinstance(image, np.ma.MaskedArray)
    if masked and out is not None:
        raise ArgumentError("out: expected none with a masked array, whose result has a mask; leave it out")
    pixels = np.asarray(image) if masked else as_array(image, "image")
    absent = np.ma.getmaskarray(image) if masked else np.zeros(pixels.shape, bool)
    if missing == "renormalise" and pixels.dtype.kind == "f":
        absent = absent | np.isnan(pixels)
    filled = np.where(absent, pixels.dtype.type(0), pixels) if pixels.dtype.kind in "biuf" and absent.any() else pixels
    request = check_request(filled, kernel, bias, out, **given)
    job = _Job(request, absent if request.axes is None else absent.transpose(request.axes.inward))
    if missing == "propagate":
        result, gone = compute(request)[0], job.touched()
    else:
        total = _total_weight(request.kernel)
        # The pixels as given have the bits of a plain call also where transforms see those that are missing.
        same = pixels if pixels.dtype == request.image.dtype else filled
        plain = replace(request, image=same if request.axes is None else same.transpose(request.axes.inward))
        result, gone = job.rescaled(compute, plain, total)
    if masked:
        return np.ma.MaskedArray(result, gone)
    if out is None or result is out:
        return result
    out[...] = result
    return out


def _total_weight(kernel: np.ndarray) -> np.ndarray:
    """Return the sum of the weights of each output channel, shape () or (n, 1, 1); raise if one is 0."""
    axes = (-2, -1) if kernel.ndim < 4 else (1, 2, 3)
    total = np.asarray(kernel.sum(axis=axes))
    if not np.isfinite(total).all():
        raise ArgumentError("kernel: expected finite weights with missing='renormalise'; received NaN or infinity")
    if (np.abs(total) <= _CANCELLED * kernel.size * np.abs(kernel).sum(axis=axes)).any():
        raise ArgumentError(
            "kernel: expected weights that do not add up to 0 with missing='renormalise', which scales them to their "
            "sum; received weights that do; use missing='propagate'"
        )
    return total if kernel.ndim == 2 else total[:, None, None]


@dataclass
class _Job:
    """A request for an image whose missing pixels are 0, and the mask of those, with axes in the engine's order."""

    request: Request
    absent: np.ndarray

    @property
    def outside(self) -> bool:
        """Whether the pixels outside the image are missing: a constant of NaN."""
        operation = self.request.operation
        return operation.boundary == "constant" and operation.pads and bool(np.isnan(operation.cval))

    def touched(self) -> np.ndarray:
        """Return the mask of the outputs whose window holds a missing pixel, in the caller's order of axes."""
        kernel = self.request.kernel
        ones = np.ones((1, *kernel.shape[1:]) if kernel.ndim == 3 else kernel.shape)
        return self._outer(self._weights_over(self.absent, ones, float(self.outside), _FLOAT32) > 0)

    def rescaled(
        self, compute: Callable[[Request], tuple[np.ndarray, Any]], plain: Request, total: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the results, and the mask of those for which no weight remains, in the caller's order of axes.

        `plain` is the request with the pixels as given: outputs whose window holds no missing pixel have its bits.
        """
        request = self.request
        outside = self.outside
        if not self.absent.any() and not outside:
            result = compute(request)[0]
            return result, np.zeros(result.shape, bool)
        result = compute(plain)[0]
        touched, kernel = self.touched(), request.kernel
        operation = replace(request.operation, cval=0.0) if outside else request.operation
        sums = _sums(operation, request.image, kernel, _FLOAT64)
        present = self._weights_over(~self.absent, kernel, float(not outside), _FLOAT64)
        gone = present == 0
        if kernel.min() < 0 < kernel.max():
            gone |= np.abs(present) <= _CANCELLED * kernel.size * np.abs(kernel).max()
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            sums *= total / present
        if request.bias is not None:
            sums += request.bias if kernel.ndim == 2 else request.bias[:, None, None]
        sums[gone] = np.nan
        values, gone = self._outer(sums), self._outer(gone) & touched
        result[touched] = _stored(values[touched], request.dtype)
        return result, gone

    def _weights_over(self, mask: np.ndarray, kernel: np.ndarray, cval: float, dtype: np.dtype) -> np.ndarray:
        """Return the sums of the weights that lie over the pixels of a mask."""
        return _sums(replace(self.request.operation, cval=cval), mask, kernel, dtype)

    def _outer(self, result: np.ndarray) -> np.ndarray:
        """Return a result in the caller's order of axes, of the full shape of results."""
        axes, shape = self.request.axes, self.request.shape
        whole = np.broadcast_to(result, shape)
        return whole if axes is None else whole.transpose(axes.back)


def _sums(operation: Operation, image: np.ndarray, kernel: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return sums of which each has an error that is small beside its own terms.

    Transforms, and outer products that cancel, have errors beside the largest terms of their neighbours.
    """
    out = _core.empty(operation.output_shape(image.shape, kernel.shape), dtype)
    method = None
    if kernel.ndim == 2:
        found = factors(kernel, 1, ROUNDING) if min(kernel.shape) > 1 else None
        method = "direct" if found is None else "separable"
    planner.forward(operation, image, kernel, out, method=method, sums=dtype)
    return out


def _stored(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return float64 values as results of a dtype: integers rounded to nearest and saturated, NaN as 0."""
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return values.astype(dtype)
    limits = np.iinfo(dtype)
    whole = np.rint(np.where(np.isnan(values), 0.0, values))
    stored: np.ndarray = np.clip(whole, limits.min, limits.max).astype(dtype)
    return stored
