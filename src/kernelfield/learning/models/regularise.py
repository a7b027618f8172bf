"""Penalties on kernels, and their strength by restricted maximum likelihood.

A penalty is the prior distribution of a mixed model: weights of variance ``1 / (strength * P)`` before the pair was
seen. Restricted maximum likelihood takes the strength that makes the pair most likely, offsets and noise integrated out
(Patterson and Thompson, *Biometrika* 58, 1971; Wood, *J. R. Statist. Soc. B* 73, 2011, equation 4). The errors of the
posterior distribution count the bias that the penalty brings: their intervals hold on the average over the weights
(Wahba, *J. R. Statist. Soc. B* 45, 1983; Nychka, *J. Am. Statist. Assoc.* 83, 1988), those of a strength that is
estimated with what its own error adds (Kass and Steffey, *J. Am. Statist. Assoc.* 84, 1989).
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from kernelfield.errors import ArgumentError, received
from kernelfield.learning.factors import forward

#: Penalties: on the size of the weights, and on their second differences.
PENALTIES = ("ridge", "smooth")
# Strengths that are tried, as powers of ten in units of the Gram matrix, and the steps that refine the best.
_FIRST, _LAST, _REFINE = -14, 6, 24
# Powers of ten over which the likelihood's curvature is taken, and the largest variance of a strength's logarithm.
_STEP, _LEAST_KNOWN = 0.2, 10.0
# Strengths beyond this leave float64 nothing of the pair.
_STRONGEST = 1e12
_EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Regularise:
    """The penalty that was asked for, checked when it is made.

    Attributes
    ----------
    kinds : tuple of str
        Of `PENALTIES`; the likelier of several is taken.
    strength : float or None
        In units of the Gram matrix; None for the likeliest.
    """

    kinds: tuple[str, ...] = PENALTIES
    strength: float | None = None

    @classmethod
    def checked(cls, regularise: Any) -> Regularise | None:
        """Return the penalty of the argument of `kernelfield.learn`."""
        if regularise is None or regularise is False:
            return None
        kind, strength = regularise if isinstance(regularise, (tuple, list)) and len(regularise) == 2 else ("", None)
        if isinstance(regularise, str):
            kind = regularise
        elif not isinstance(regularise, (tuple, list)):
            kind, strength = "smooth", regularise
        number = -1.0
        if not isinstance(strength, bool) and isinstance(strength, Real):
            number = float(strength) if strength < _STRONGEST else _STRONGEST
        known = isinstance(kind, str) and (kind in PENALTIES or (kind == "auto" and strength is None))
        if not known or (strength is not None and not 0.0 < number < _STRONGEST):
            raise ArgumentError(
                'regularise: expected "auto", "ridge", "smooth", a strength from above 0 to below 1e12, or a '
                f'pair of both as ("ridge", 0.01); received {received(regularise)}'
            )
        return cls(PENALTIES if kind == "auto" else (kind,), None if strength is None else number)


def penalty(size: tuple[int, int], kind: str) -> np.ndarray:
    """Return the matrix ``P`` of a penalty ``k @ P @ k`` on the weights, shape (kh * kw, kh * kw), positive definite.

    ``"smooth"`` sums the squared second differences along both axes, with weights of 0 beyond the kernel: it draws the
    kernel towards its ends too.
    """
    rows, columns = size
    if kind == "ridge" or rows * columns == 1:
        return np.eye(rows * columns)
    total = np.zeros((rows * columns, rows * columns))
    if rows > 1:
        total += np.kron(_second_differences(rows), np.eye(columns))
    if columns > 1:
        total += np.kron(np.eye(rows), _second_differences(columns))
    return total


def _second_differences(n: int) -> np.ndarray:
    """Return the sum of squared second differences of `n` numbers between zeros, as a matrix."""
    differences = np.zeros((n + 2, n))
    for place, value in enumerate((1.0, -2.0, 1.0)):
        differences[np.arange(n) + place, np.arange(n)] = value
    result: np.ndarray = differences.T @ differences
    return result


@dataclass(frozen=True)
class Strength:
    """The strength of a penalty.

    Attributes
    ----------
    value : float
        In units of the Gram matrix over the penalty: the mean of the diagonal of each is the same.
    factor : float
        What multiplies the penalty.
    evidence : float
        Twice the negative logarithm of the restricted likelihood, but for a constant.
    variance : float
        Of the natural logarithm of the strength; 0 if that was given.
    """

    value: float
    factor: float
    evidence: float
    variance: float = 0.0


def find_strength(
    gram: np.ndarray, cross: np.ndarray, square: float, freedom: int, matrix: np.ndarray, given: float | None
) -> Strength:
    """Return the strength of a penalty, the likeliest unless it is given.

    Parameters
    ----------
    gram, cross, square
        Centred moments of the pair.
    freedom : int
        Positions less offsets.
    matrix : numpy.ndarray
        Of the penalty, positive definite.
    given : float or None
    """
    p = cross.size
    # Of a before without any detail no strength is better than another.
    unit = float(np.trace(gram)) / float(np.trace(matrix)) or 1.0
    # Parameters in which the penalty is the identity and the Gram matrix diagonal: what any strength gives is a sum.
    lower = np.linalg.cholesky(matrix)
    half = forward(lower, gram)
    values, vectors = np.linalg.eigh(forward(lower, half.T))
    values = np.maximum(values, 0.0)
    squares = (vectors.T @ forward(lower, cross)) ** 2

    def evidence(power: float) -> float:
        factor = unit * 10.0**power
        left = max(square - float((squares / (values + factor)).sum()), square * _EPSILON, 1e-300)
        return freedom * float(np.log(left)) + float(np.log(values + factor).sum()) - p * float(np.log(factor))

    if given is not None:
        return Strength(given, unit * given, evidence(float(np.log10(given))))
    powers = np.arange(_FIRST, _LAST + 1)
    tried = [evidence(float(power)) for power in powers]
    best = int(np.argmin(tried))
    power, least = float(powers[best]), tried[best]
    # It loads much that other answers do not need.
    from scipy.optimize import minimize_scalar

    ends = power - 1.0, power + 1.0
    found = minimize_scalar(evidence, bounds=ends, method="bounded", options={"maxiter": _REFINE, "xatol": 1e-3})
    if found.fun < least:
        power, least = float(found.x), float(found.fun)
    curved = (evidence(power - _STEP) - 2.0 * least + evidence(power + _STEP)) / (_STEP * np.log(10.0)) ** 2
    variance = 2.0 / max(curved, 2.0 / _LEAST_KNOWN)
    return Strength(10.0**power, unit * 10.0**power, least, variance)
