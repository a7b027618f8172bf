"""`match_psf`: the kernel between two point-spread functions."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from kernelfield.correlation import correlate
from kernelfield.errors import ArgumentError, DataError
from kernelfield.kernels import Kernel
from kernelfield.learning.fit import Fit
from kernelfield.learning.least_squares import Moments
from kernelfield.learning.models.regularise import Regularise
from kernelfield.learning.models.restricted import solve_restricted
from kernelfield.learning.models.restriction import Restriction
from kernelfield.learning.naming import name_kernel
from kernelfield.learning.pair import as_image
from kernelfield.learning.statistics import gather
from kernelfield.learning.support_search import check_size

# Rows and columns of a kernel if none are given, and the most weights.
_USUAL, _MOST = 31, 4000


def match_psf(
    psf_a: ArrayLike | str | os.PathLike[str],
    psf_b: ArrayLike | str | os.PathLike[str],
    *,
    size: int | tuple[int, int] | None = None,
    regularise: str | float | tuple[str, float] | None = "auto",
    nonnegative: bool = False,
    sum_to: float | None = None,
    symmetric: bool | str | None = None,
) -> Fit:
    """Return the kernel that makes one point-spread function of another: ``kernel * psf_a = psf_b``.

    Least squares over the pixels of `psf_b`, with a penalty of the likeliest strength; see `kernelfield.learn`
    for `regularise` and the restrictions. Outside its image `psf_a` is 0.

    Parameters
    ----------
    psf_a, psf_b : array_like, shapes (H, W) and (H', W'), or a path
        Finite. Of any sizes: the pixels ``H // 2, W // 2`` of both lie over each other, and where a point lies beside
        it the kernel is shifted by as much.
    size : int or (int, int), optional
        Of the kernel; by default odd, that of `psf_b` up to 31.
    regularise, nonnegative, sum_to, symmetric
        As for `kernelfield.learn`; None for plain least squares.

    Returns
    -------
    Fit
        `Fit.kernel` holds cross-correlation weights, for `Fit.apply`; `Fit.r2` is the share of the sum of squares of
        `psf_b` that is explained.

    Raises
    ------
    ArgumentError
        If a shape, the size or a restriction is invalid.
    DataError
        If a pixel is not finite, or `psf_a` is 0 everywhere.

    Examples
    --------
    >>> import numpy as np
    >>> import kernelfield as kf
    >>> r = np.hypot(*np.mgrid[-15:16, -15:16])
    >>> sharp, wide = (np.exp(-((r / s) ** 2) / 2) / (2 * np.pi * s**2) for s in (1.5, 2.5))
    >>> fit = kf.match_psf(sharp, wide)
    >>> fit.description
    'Gaussian blur, sigma 2.00 (31×31)'
    >>> bool(np.abs(kf.correlate(sharp, fit.kernel, boundary="constant") - wide).max() < 1e-6)
    True
    """
    a, b = _psf(psf_a, "psf_a"), _psf(psf_b, "psf_b")
    if not a.any():
        raise DataError("psf_a: expected a pixel that is not 0; received none; is it the right image?")
    restriction = Restriction.checked(symmetric, sum_to, nonnegative)
    penalty = Regularise.checked(regularise)
    rows, columns = check_size(size if size is not None else tuple(min(_USUAL, (n - 1) | 1) for n in b.shape))
    if rows * columns > _MOST:
        raise ArgumentError(f"size: expected at most {_MOST} weights; received {rows}×{columns}; take a smaller size")
    shape = rows, columns
    before = _around(a, b.shape, shape)
    sums = gather(before, b, shape, 0.0, 0.0)
    moments = Moments(sums.gram, sums.cross, sums.after_square, sums.count, 0)
    if moments.count < moments.cross.size and penalty is None:
        raise ArgumentError(
            f"size: expected at most the {moments.count} pixels of psf_b in weights; received {rows}×{columns}; take a "
            "smaller size, or regularise='auto'"
        )
    solution = solve_restricted(moments, shape, restriction, penalty)
    kernel = solution.kernel.reshape(shape)
    left = b - correlate(before, kernel, mode="valid", dtype=np.float64)
    square = float((left**2).sum())
    variance = solution.variance(square, moments.count)
    stderr = np.sqrt(np.maximum(np.diag(solution.inverse), 0.0) * variance)
    stderr = np.maximum(stderr, np.finfo(np.float64).eps * float(np.abs(kernel).max()))
    if solution.undetermined.size:
        stderr[(solution.undetermined**2).sum(axis=0) > 1e-9] = np.inf
    stderr = stderr.reshape(shape)
    anchor = rows // 2, columns // 2
    r2 = float(np.clip(1.0 - square / max(moments.square, 1e-300), 0.0, 1.0))
    complete = not solution.undetermined.size
    named = name_kernel(kernel, anchor, stderr, 0.0, False, complete)
    return Fit(
        kernel=Kernel(kernel, named.name, dict(named.parameters), None, anchor),
        stderr=stderr,
        offset=0.0,
        boundary=None,
        cval=0.0,
        boundary_candidates=(),
        boundary_reason="two point-spread functions have none",
        name=named.name,
        description=named.description,
        integers=None,
        divisor=None,
        rank=kernel.size - len(solution.undetermined),
        undetermined=solution.undetermined.reshape(-1, *shape),
        r2=r2,
        residual_sd=float(np.sqrt(square / b.size)),
        samples=b.size,
        excluded=0,
        rounding=None,
        verdict="approximate" if complete else "undetermined",
        explanation=(
            f"the kernel explains {100.0 * r2:.6g} % of the sum of squares of psf_b; "
            f"the residual has a standard deviation of {np.sqrt(square / b.size):.3g}"
        ),
        parameters=dict(named.parameters),
        scale=named.scale,
        notes=_notes(kernel, solution.kind, solution.strength, solution.freedom),
        degrees_of_freedom=solution.freedom,
        covariance=solution.inverse * variance if complete else None,
    )


def _psf(value: Any, name: str) -> np.ndarray:
    """Return a point-spread function as finite float64 numbers."""
    image, good = as_image(value, name)
    if image.ndim != 2:
        raise ArgumentError(f"{name}: expected an image (H, W); received shape {image.shape}; take one channel")
    if good is not None or not np.isfinite(image).all():
        raise DataError(f"{name}: expected finite pixels; received NaN, infinite or masked ones; set them to 0")
    return np.ascontiguousarray(image, dtype=np.float64)


def _around(a: np.ndarray, shape: tuple[int, ...], size: tuple[int, int]) -> np.ndarray:
    """Return `a` in zeros, or cut, so that the window of every pixel of an image of `shape` lies inside."""
    result = np.zeros([n + k - 1 for n, k in zip(shape, size)])
    inside, taken = [], []
    for n, k, own in zip(shape, size, a.shape):
        first = n // 2 + k // 2 - own // 2
        start, stop = max(0, first), min(n + k - 1, first + own)
        inside.append(slice(start, max(start, stop)))
        taken.append(slice(start - first, max(start, stop) - first))
    result[tuple(inside)] = a[tuple(taken)]
    return result


def _notes(kernel: np.ndarray, kind: str, strength: float, freedom: float) -> tuple[str, ...]:
    """Return the remarks for the user."""
    notes = [f"the kernel's sum, the ratio of the fluxes, is {float(kernel.sum()):.6g}"]
    grown = float(np.sqrt((kernel**2).sum())) / max(abs(float(kernel.sum())), 1e-300)
    if grown > 1.0:
        notes.append(f"it sharpens: independent noise grows {grown:.3g} times as much as light")
    if kind:
        notes.append(
            f"regularised ({kind}) with strength {strength:.3g}: {freedom:.4g} of {kernel.size} parameters are in use"
        )
    return tuple(notes)
