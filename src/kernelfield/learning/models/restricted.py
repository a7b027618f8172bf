"""Least squares under restrictions and a penalty, from the moments of a pair: the constraints are met exactly.

Equations are eliminated. Weights that may not be negative are found by an active set (Lawson and Hanson, *Solving Least
Squares Problems*, 1974, chapter 23), begun from the weights that are positive without the bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kernelfield.errors import DataError
from kernelfield.learning.factors import solved
from kernelfield.learning.least_squares import Moments, Solution, solve
from kernelfield.learning.models.regularise import Regularise, find_strength, penalty
from kernelfield.learning.models.restriction import Restriction, symmetries_of

_EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Restricted:
    """The kernel of restricted or penalised least squares.

    Attributes
    ----------
    kernel : numpy.ndarray, shape (p,)
    inverse : numpy.ndarray, shape (p, p)
        Times the variance of the residual it is the covariance; of a penalised kernel that of the posterior. A bound
        that holds does not count: what is known of a weight at 0 is no more than without the bound.
    rank : int
        Directions that pair, restriction and penalty determine, out of those that the restriction leaves free.
    undetermined : numpy.ndarray, shape (free - rank, p)
        Orthonormal directions in which nothing is known.
    freedom : float
        The effective number of parameters: the trace of the matrix that gives the fit from the after.
    symmetric : str or None
        The symmetry that was imposed.
    kind, strength : str, float
        Of the penalty; "" and 0 without.
    penalised : float
        The penalty on the kernel, in units of the sum of squares.
    seen : int
        Directions that the pair alone determines.
    """

    kernel: np.ndarray
    inverse: np.ndarray
    rank: int
    undetermined: np.ndarray
    freedom: float
    symmetric: str | None = None
    kind: str = ""
    strength: float = 0.0
    penalised: float = 0.0
    seen: int = 0

    def variance(self, left: float, freedom: int) -> float:
        """Return the variance of the residual from its sum of squares, `freedom` being the positions less the offsets.

        Under a penalty it is that of the likeliest mixed model, which is known also where every pixel is met.
        """
        if self.kind:
            return (left + self.penalised) / max(1, freedom)
        return left / max(1.0, freedom - self.freedom)


def solve_restricted(
    moments: Moments,
    size: tuple[int, int],
    restriction: Restriction,
    regularise: Regularise | None = None,
    sums: np.ndarray | None = None,
) -> Restricted:
    """Return the kernel of least squares under a restriction, with a penalty if given.

    Parameters
    ----------
    moments : Moments
        Of `planes` kernels one after the other, row-major.
    size : (int, int)
        Of each kernel.
    restriction : Restriction
    regularise : Regularise, optional
    sums : numpy.ndarray, shape (planes,), optional
        Sum of each kernel over `restriction.sum_to`; 1 for a single one.
    """
    planes = moments.cross.size // (size[0] * size[1])
    symmetric = restriction.symmetric
    if symmetric == "auto":
        symmetric = _likeliest(moments, size, restriction, planes)
    basis = _basis(size, restriction, symmetric, planes)
    gram, cross = _mixed(basis, moments.gram), moments.cross if basis is None else basis @ moments.cross
    equations = None
    if restriction.sum_to is not None:
        shares = np.ones(1) if sums is None else sums
        each_sum = np.kron(np.eye(planes), np.ones(size[0] * size[1]))
        equations = _Equations(each_sum if basis is None else each_sum @ basis.T, shares * restriction.sum_to)
    matrix, kind, strength, doubt = None, "", 0.0, 0.0
    # Where the equations leave nothing free a penalty has nothing to draw.
    if regularise is not None and (equations is None or cross.size > equations.values.size):
        choices = []
        for each in regularise.kinds:
            own = _mixed(basis, np.kron(np.eye(planes), penalty(size, each)))
            free = _freed(gram, cross, moments.square, own, equations)
            freedom = max(1, moments.count - moments.offsets)
            found = find_strength(free.gram, free.cross, free.square, freedom, free.matrix, regularise.strength)
            choices.append((found.evidence, each, found, own))
        _, kind, found, own = min(choices, key=lambda choice: choice[0])
        matrix, strength = found.factor * own, found.value
        doubt = found.variance
    free = _freed(gram, cross, moments.square, matrix, equations)
    solution = _solved(free.gram, free.cross) if matrix is None else _positive(free.gram + free.matrix, free.cross)
    parameters = free.start + free.turned(solution.kernel)
    freedom_of = float(solution.rank) if matrix is None else float((solution.inverse * free.gram).sum())
    spread = solution.inverse
    if doubt:
        left = max(free.square - float(free.cross @ solution.kernel), free.square * _EPSILON, 1e-300)
        variance = left / max(1, moments.count - moments.offsets)
        change = solution.inverse @ (free.matrix @ solution.kernel)
        spread = spread + np.outer(change, change) * (doubt / variance)
    inverse = free.turned(free.turned(spread).T)
    directions = free.turned(solution.undetermined.T).T
    if restriction.nonnegative and parameters.min() < 0.0:
        total = gram if matrix is None else gram + matrix
        parameters = _not_negative(total, cross, parameters, equations)
        held = parameters > 0.0
        part = _freed(*_part(gram, cross, matrix, equations, held, moments.square))
        inside = _solved(part.gram, part.cross) if matrix is None else _positive(part.gram + part.matrix, part.cross)
        freedom_of = float((inside.inverse * part.gram).sum())
    return Restricted(
        parameters if basis is None else basis.T @ parameters,
        _mixed(None if basis is None else basis.T, inverse),
        solution.rank,
        _orthonormal(directions if basis is None else directions @ basis),
        freedom_of,
        symmetric,
        kind,
        strength,
        0.0 if matrix is None else float(solution.kernel @ free.matrix @ solution.kernel),
        solution.rank if matrix is None else int(np.linalg.matrix_rank(free.gram, hermitian=True)),
    )


@dataclass(frozen=True)
class _Equations:
    """Linear equations ``matrix @ parameters = values``, each with a solution of its own."""

    matrix: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class _Free:
    """A quadratic problem without its equations: ``parameters = start + directions @ free``, None for all."""

    start: np.ndarray
    directions: np.ndarray | None
    gram: np.ndarray
    cross: np.ndarray
    square: float
    matrix: np.ndarray

    def turned(self, free: np.ndarray) -> np.ndarray:
        """Return the directions times what is free."""
        turned: np.ndarray = free if self.directions is None else self.directions @ free
        return turned


def _freed(
    gram: np.ndarray, cross: np.ndarray, square: float, matrix: np.ndarray | None, equations: _Equations | None
) -> _Free:
    """Return the problem with its equations eliminated.

    Of the solutions of the equations it starts from that of least penalty: about it the penalty has no linear part.
    """
    n = cross.size
    if matrix is None:
        matrix = np.eye(n)
    if equations is None:
        return _Free(np.zeros(n), None, gram, cross, square, matrix)
    rows = equations.matrix
    q = np.linalg.qr(rows.T, mode="complete")[0]
    directions = q[:, len(rows) :]
    least = np.linalg.solve(matrix, rows.T)
    start = least @ np.linalg.solve(rows @ least, equations.values)
    left = square - 2.0 * float(start @ cross) + float(start @ gram @ start)
    return _Free(
        start,
        directions,
        directions.T @ gram @ directions,
        directions.T @ (cross - gram @ start),
        max(left, 0.0),
        directions.T @ matrix @ directions,
    )


def _part(
    gram: np.ndarray,
    cross: np.ndarray,
    matrix: np.ndarray | None,
    equations: _Equations | None,
    held: np.ndarray,
    square: float,
) -> tuple[np.ndarray, np.ndarray, float, np.ndarray | None, _Equations | None]:
    """Return the problem of some of the parameters, the others 0, as `_freed` takes it."""
    both = np.ix_(held, held)
    return (
        gram[both],
        cross[held],
        square,
        None if matrix is None else matrix[both],
        None if equations is None else _Equations(equations.matrix[:, held], equations.values),
    )


def _not_negative(gram: np.ndarray, cross: np.ndarray, begin: np.ndarray, equations: _Equations | None) -> np.ndarray:
    """Return the parameters of least ``p @ gram @ p - 2 p @ cross`` that are not negative and meet the equations.

    `begin` meets the equations; its positive part, in their scale, is the first that is feasible.
    """
    n = cross.size
    now = np.maximum(begin, 0.0)
    if equations is not None:
        now *= float(equations.values[0]) / float(equations.matrix[0] @ now)
    held = now > 0.0
    least = 1e-12 * (float(np.abs(cross).max()) + float(np.abs(gram).max() * np.abs(now).max()))
    for _ in range(10 * n + 100):
        target = _held_solution(gram, cross, held, equations)
        low = held & (target <= 0.0)
        if low.any():
            # As far towards it as all stay positive; those that reach 0 are let go.
            steps = now[low] / np.maximum(now[low] - target[low], 1e-300)
            step = float(steps.min())
            now = now + step * (target - now)
            held &= ~(low & (now <= 1e-14 * max(float(now.max()), 1e-300)))
            held[np.flatnonzero(low)[int(steps.argmin())]] = False
            now[~held] = 0.0
            continue
        now = target
        slope = cross - gram @ now
        if equations is not None and held.any():
            row = equations.matrix[0]
            slope = slope - row * (float(row[held] @ slope[held]) / float(row[held] @ row[held]))
        slope[held] = -np.inf
        best = int(slope.argmax())
        if not slope[best] > least:
            return now
        held[best] = True
    raise DataError(
        "nonnegative: expected a pair that determines the weights; received one for which the search for those at 0 "
        "does not end; add regularise='auto'"
    )


def _held_solution(gram: np.ndarray, cross: np.ndarray, held: np.ndarray, equations: _Equations | None) -> np.ndarray:
    """Return the least squares of the parameters that are held, the others 0."""
    result = np.zeros(cross.size)
    if held.any():
        free = _freed(*_part(gram, cross, None, equations, held, 0.0))
        result[held] = free.start + free.turned(_solved(free.gram, free.cross).kernel)
    return result


def _solved(gram: np.ndarray, cross: np.ndarray) -> Solution:
    """Return the solution of least squares, also where the equations leave nothing free."""
    if not cross.size:
        return Solution(cross, gram, 0, gram)
    return solve(Moments(gram, cross, 1.0, 1))


def _positive(gram: np.ndarray, cross: np.ndarray) -> Solution:
    """Return the solution of least squares with a penalty, which leaves no direction undetermined."""
    if not cross.size:
        return Solution(cross, gram, 0, gram)
    try:
        factor = np.linalg.cholesky(gram)
    except np.linalg.LinAlgError:
        return _solved(gram, cross)
    return Solution(solved(factor, cross), solved(factor, np.eye(cross.size)), cross.size, np.zeros((0, cross.size)))


def _basis(size: tuple[int, int], restriction: Restriction, symmetric: str | None, planes: int) -> np.ndarray | None:
    """Return the basis of several kernels; None where every weight is a parameter of its own."""
    if symmetric is None and restriction.support is None:
        return None
    return np.kron(np.eye(planes), restriction.basis(size, symmetric))


def _mixed(basis: np.ndarray | None, matrix: np.ndarray) -> np.ndarray:
    """Return a quadratic form in the parameters of a basis."""
    mixed: np.ndarray = matrix if basis is None else basis @ matrix @ basis.T
    return mixed


def _orthonormal(directions: np.ndarray) -> np.ndarray:
    """Return orthonormal directions of the same space."""
    if not len(directions):
        return directions
    _, sizes, basis = np.linalg.svd(directions, full_matrices=False)
    kept: np.ndarray = basis[sizes > max(directions.shape) * np.finfo(np.float64).eps * sizes[0]]
    return kept


def _likeliest(moments: Moments, size: tuple[int, int], restriction: Restriction, planes: int) -> str | None:
    """Return the symmetry of the lowest Bayesian information criterion (Schwarz, *Ann. Statist.* 6, 1978)."""
    found = []
    n = max(2, moments.count)
    for symmetric in symmetries_of(size):
        basis = _basis(size, restriction, symmetric, planes)
        cross = moments.cross if basis is None else basis @ moments.cross
        solution = _solved(_mixed(basis, moments.gram), cross)
        left = moments.unexplained(solution.kernel if basis is None else basis.T @ solution.kernel)
        found.append((n * float(np.log(max(left, 1e-300) / n)) + solution.rank * float(np.log(n)), symmetric))
    return min(found, key=lambda one: one[0])[1]
