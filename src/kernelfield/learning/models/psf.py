"""`match_psf`: the kernel between two point-spread functions."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from kernelfield.correlation import correlate
from kernelfield.errors import ArgumentError, DataError
from kernelfield.kernels import Kernel
from kernelfield.learning.fit import Fit
from kernelfield.learning.least_squares import Moments
from kernelfield.learning.models.regularise import Regularise
from kernelfield.learning.models.restricted import Restricted, solve_restricted
from kernelfield.learning.models.restriction import Restriction
from kernelfield.learning.naming import Name, name_kernel
from kernelfield.learning.pair import as_image
from kernelfield.learning.statistics import gather
from kernelfield.learning.support_search import check_size
from kernelfield.learning.verdict import Verdict

# Rows and columns of a kernel if none are given, one after the other, and the most weights.
_SIZES, _MOST = (15, 21, 31, 47), 4000
# Generalised cross-validation over that of a smaller size, above which a larger one is no better, and above which none
# larger still is tried, as where what is left is this share of the largest pixel: large kernels take seconds.
_BETTER, _STEEP, _ROUNDING = 0.98, 0.5, 1e-9
# An F statistic over its expectation that chance does not give, in standard deviations; the share of psf_b below which
# most of it is something else.
_CHANCE, _HALF = 8.0, 0.5


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
        Of the kernel; by default 15, 21, 31 or 47, at most that of `psf_b`, the smallest beyond which generalised
        cross-validation improves little (Golub, Heath and Wahba, *Technometrics* 21, 1979).
    regularise, nonnegative, sum_to, symmetric
        As for `kernelfield.learn`; None for plain least squares.

    Returns
    -------
    Fit
        `Fit.kernel` holds cross-correlation weights, for `Fit.apply`; `Fit.r2` is the share of the sum of squares of
        `psf_b` that is explained. The verdict is ``"not linear"`` where that is no more than chance gives, and
        ``"undetermined"`` where the functions do not tell all weights, or the errors are larger than the weights.

    Raises
    ------
    ArgumentError
        If a shape, the size or a restriction is invalid.
    DataError
        If a pixel is not finite, or one of the two is 0 everywhere.

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
    for name, function in (("psf_a", a), ("psf_b", b)):
        if not function.any():
            raise DataError(f"{name}: expected a pixel that is not 0; received none; is it the right image?")
    restriction = Restriction.checked(symmetric, sum_to, nonnegative)
    penalty = Regularise.checked(regularise)
    rows, columns = check_size(size) if size is not None else (1, 1)
    if rows * columns > _MOST:
        raise ArgumentError(f"size: expected at most {_MOST} weights; received {rows}×{columns}; take a smaller size")
    if rows * columns > b.size and penalty is None:
        raise ArgumentError(
            f"size: expected at most the {b.size} pixels of psf_b in weights; received {rows}×{columns}; take a "
            "smaller size, or regularise='auto'"
        )
    if size is None:
        found, wider = _searched(a, b, restriction, penalty)
    else:
        found, wider = _matched(a, b, (rows, columns), restriction, penalty), False
    solution, moments, square = found.solution, found.moments, found.square
    shape = rows, columns = found.size
    kernel = solution.kernel.reshape(shape)
    variance = solution.variance(square, moments.count)
    stderr = np.sqrt(np.maximum(np.diag(solution.inverse), 0.0) * variance)
    stderr = np.maximum(stderr, np.finfo(np.float64).eps * float(np.abs(kernel).max()))
    if solution.undetermined.size:
        stderr[(solution.undetermined**2).sum(axis=0) > 1e-9] = np.inf
    stderr = stderr.reshape(shape)
    anchor = rows // 2, columns // 2
    r2 = float(np.clip(1.0 - square / max(moments.square, 1e-300), 0.0, 1.0))
    complete = not solution.undetermined.size
    verdict, explanation = _judged(found, stderr, r2, complete)
    sure = verdict == "approximate"
    named = name_kernel(kernel, anchor, stderr, 0.0, False, True) if sure else Name(None, "no kernel that is known")
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
        verdict=verdict,
        explanation=explanation,
        parameters=dict(named.parameters),
        scale=named.scale,
        notes=_notes(kernel, solution, wider) if sure else (),
        degrees_of_freedom=solution.freedom,
        covariance=solution.inverse * variance if complete else None,
    )


@dataclass(frozen=True)
class _Match:
    """A kernel of a size, what it rests on, and the sum of squares that it leaves of `psf_b`."""

    size: tuple[int, int]
    moments: Moments
    solution: Restricted
    square: float

    @property
    def validation(self) -> float:
        """Generalised cross-validation but for a constant: the mean square that new pixels would leave."""
        free = max(self.moments.count - self.solution.freedom, 1e-9)
        return self.square / free**2


def _matched(
    a: np.ndarray, b: np.ndarray, size: tuple[int, int], restriction: Restriction, penalty: Regularise | None
) -> _Match:
    """Return the kernel of a size."""
    before = _around(a, b.shape, size)
    sums = gather(before, b, size, 0.0, 0.0)
    moments = Moments(sums.gram, sums.cross, sums.after_square, sums.count, 0)
    solution = solve_restricted(moments, size, restriction, penalty)
    left = b - correlate(before, solution.kernel.reshape(size), mode="valid", dtype=np.float64)
    return _Match(size, moments, solution, float((left**2).sum()))


def _searched(
    a: np.ndarray, b: np.ndarray, restriction: Restriction, penalty: Regularise | None
) -> tuple[_Match, bool]:
    """Return the kernel of the size that the functions call for, and whether a larger one might be better."""
    best = None
    for n in _SIZES:
        size = min(n, (b.shape[0] - 1) | 1), min(n, (b.shape[1] - 1) | 1)
        if best is not None and (size == best.size or (penalty is None and size[0] * size[1] > b.size)):
            return best, False
        found = _matched(a, b, size, restriction, penalty)
        gain = 0.0 if best is None else found.validation / max(best.validation, 1e-300)
        if gain >= _BETTER:
            return best or found, False
        best = found
        if gain > _STEEP or found.square <= found.moments.count * (_ROUNDING * float(np.abs(b).max())) ** 2:
            return best, False
        if penalty is not None and found.solution.kind:
            # The likelier penalty stays so: of large kernels it takes seconds.
            penalty = replace(penalty, kinds=(found.solution.kind,))
    assert best is not None
    return best, best.size != tuple((n - 1) | 1 for n in b.shape)


def _judged(found: _Match, stderr: np.ndarray, r2: float, complete: bool) -> tuple[Verdict, str]:
    """Return the verdict and its sentence."""
    freedom = max(1.0, found.solution.freedom)
    free = max(1.0, found.moments.count - found.solution.freedom)
    statistic = r2 / max(1.0 - r2, 1e-300) * free / freedom
    share = f"{100.0 * r2:.6g} % of the sum of squares of psf_b"
    sd = float(np.sqrt(found.square / found.moments.count))
    if not complete:
        return "undetermined", f"the functions do not tell all weights; those of least norm explain {share}"
    if statistic <= 1.0 + _CHANCE * np.sqrt(2.0 / freedom):
        return "not linear", f"no kernel makes psf_b of psf_a: {share} is no more than chance explains"
    if float((stderr**2).sum()) > float((found.solution.kernel**2).sum()):
        return "undetermined", (
            f"the errors are larger than the weights, though these explain {share}: take a smaller size, or "
            "regularise='auto'"
        )
    less = "only " if r2 < _HALF else ""
    return "approximate", f"the kernel explains {less}{share}; the residual has a standard deviation of {sd:.3g}"


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


def _notes(kernel: np.ndarray, solution: Restricted, wider: bool) -> tuple[str, ...]:
    """Return the remarks for the user."""
    notes = [f"the kernel's sum, the ratio of the fluxes, is {float(kernel.sum()):.6g}"]
    grown = float(np.sqrt((kernel**2).sum())) / max(abs(float(kernel.sum())), 1e-300)
    if grown > 1.0:
        notes.append(f"it sharpens: independent noise grows {grown:.3g} times as much as light")
    if solution.kind:
        notes.append(
            f"regularised ({solution.kind}) with strength {solution.strength:.3g}: {solution.freedom:.4g} of "
            f"{kernel.size} parameters are in use"
        )
    if wider:
        notes.append(f"a kernel wider than {_SIZES[-1]} may explain more: size= takes up to {_MOST:,} weights")
    return tuple(notes)
