"""Restricted and penalised least squares against SciPy's solvers on explicit windows; its intervals in simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import lsq_linear, minimize, nnls
from scipy.stats import t as student

from kernelfield.errors import ArgumentError, DtypeError
from kernelfield.learning.least_squares import Moments
from kernelfield.learning.models.regularise import Regularise, find_strength, penalty
from kernelfield.learning.models.restricted import solve_restricted
from kernelfield.learning.models.restriction import SYMMETRIES, Restriction, orbits

SIZE = (3, 5)
P = SIZE[0] * SIZE[1]


def problem(seed: int, n: int = 60, noise: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Return centred windows and values of a kernel of both signs."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, P)) @ rng.normal(size=(P, P))
    y = x @ rng.normal(size=P) + noise * rng.normal(size=n)
    return x - x.mean(axis=0), y - y.mean()


def moments(x: np.ndarray, y: np.ndarray) -> Moments:
    return Moments(x.T @ x, x.T @ y, float(y @ y), len(y))


def allclose(a: np.ndarray, b: np.ndarray, tolerance: float = 1e-8) -> bool:
    return bool(np.abs(np.asarray(a) - b).max() <= tolerance * np.abs(b).max())


@given(st.integers(0, 10_000))
def test_not_negative(seed: int) -> None:
    x, y = problem(seed)
    found = solve_restricted(moments(x, y), SIZE, Restriction.checked(nonnegative=True))
    assert found.kernel.min() >= 0.0
    assert allclose(found.kernel, nnls(x, y)[0], 1e-7)


@given(st.integers(0, 10_000))
def test_not_negative_with_sum(seed: int) -> None:
    x, y = problem(seed)
    found = solve_restricted(moments(x, y), SIZE, Restriction.checked(nonnegative=True, sum_to=2.0)).kernel
    assert found.min() >= 0.0
    assert found.sum() == pytest.approx(2.0, rel=1e-12)
    # The conditions of Karush, Kuhn and Tucker: the slope is the same for all weights above 0, lower for the others.
    slope = x.T @ (y - x @ found)
    held = found > 0.0
    scale = np.abs(x.T @ x).max() * 2.0
    assert np.ptp(slope[held]) < 1e-9 * scale
    assert (slope[~held] <= slope[held].mean() + 1e-9 * scale).all()


@given(st.integers(0, 10_000), st.sampled_from([None, *SYMMETRIES]), st.sampled_from([None, 0.0, 1.0]), st.booleans())
def test_equations(seed: int, symmetric: str | None, total: float | None, masked: bool) -> None:
    """Weights that are equal, 0 or of a given sum: the same as Lagrange's equations on the explicit windows."""
    if symmetric == "square":
        return
    x, y = problem(seed)
    support = np.ones(SIZE, bool)
    if masked:
        support[0, 0] = support[1, 1] = False
    found = solve_restricted(
        moments(x, y), SIZE, Restriction.checked(symmetric, total, support=support if masked else None)
    ).kernel
    kernel = found.reshape(SIZE)
    mirrored = {"h": kernel[:, ::-1], "v": kernel[::-1], "hv": kernel[::-1], "point": kernel[::-1, ::-1]}
    if symmetric in mirrored:
        assert np.array_equal(kernel, mirrored[symmetric])
    assert not kernel[~support].any()
    labels = orbits(SIZE, symmetric).ravel()
    rows = [np.eye(P)[i] - np.eye(P)[np.flatnonzero(labels == labels[i])[0]] for i in range(P)]
    rows += [np.eye(P)[i] for i in np.flatnonzero(~support.ravel())]
    values = [0.0] * len(rows)
    if total is not None:
        rows, values = [*rows, np.ones(P)], [*values, total]
    a = np.array(rows)
    system = np.block([[x.T @ x, a.T], [a, np.zeros((len(a), len(a)))]])
    expected = np.linalg.lstsq(system, np.r_[x.T @ y, values], rcond=1e-12)[0][:P]
    assert np.abs(found - expected).max() <= 1e-7 * max(np.abs(expected).max(), 1e-3)
    if total is not None:
        assert abs(found.sum() - total) < 1e-10


@pytest.mark.parametrize("kind", ["ridge", "smooth"])
def test_penalty_is_that_of_more_rows(kind: str) -> None:
    """A penalty is least squares with further rows of zeros; its matrix against differences taken by NumPy."""
    x, y = problem(3)
    kernel = np.random.default_rng(0).normal(size=SIZE)
    square = float((kernel**2).sum())
    if kind == "smooth":
        square = sum(float((np.diff(np.pad(kernel, 2), 2, axis=axis) ** 2).sum()) for axis in (0, 1))
    matrix = penalty(SIZE, kind)
    assert kernel.ravel() @ matrix @ kernel.ravel() == pytest.approx(square)
    found = solve_restricted(moments(x, y), SIZE, Restriction(), Regularise.checked((kind, 0.3)))
    unit = np.trace(x.T @ x) / np.trace(matrix)
    rows = np.linalg.cholesky(0.3 * unit * matrix).T
    a, b = np.vstack([x, rows]), np.r_[y, np.zeros(P)]
    assert allclose(found.kernel, np.linalg.lstsq(a, b, rcond=None)[0])
    assert found.freedom == pytest.approx(np.trace(x @ np.linalg.solve(a.T @ a, x.T)))
    both = solve_restricted(moments(x, y), SIZE, Restriction.checked(nonnegative=True), Regularise.checked((kind, 0.3)))
    assert allclose(both.kernel, lsq_linear(a, b, (0, np.inf), tol=1e-14).x, 1e-6)


def test_strength_is_the_likeliest() -> None:
    """Against the restricted likelihood of the after itself: a normal distribution, its mean projected out."""
    x, y = problem(5, 40, 3.0)
    matrix = penalty(SIZE, "smooth")
    found = find_strength(x.T @ x, x.T @ y, float(y @ y), len(y) - 1, matrix, None)
    contrasts = np.linalg.svd(np.eye(len(y)) - 1.0 / len(y))[0][:, : len(y) - 1]

    def deviance(power: float) -> float:
        covariance = contrasts.T @ (np.eye(len(y)) + x @ np.linalg.solve(np.exp(power) * matrix, x.T)) @ contrasts
        seen = contrasts.T @ y
        scale = seen @ np.linalg.solve(covariance, seen)
        return (len(y) - 1) * np.log(scale) + np.linalg.slogdet(covariance)[1]

    expected = min(
        (minimize(lambda p: deviance(p[0]), [start], method="Nelder-Mead") for start in (-3, 3)), key=lambda r: r.fun
    )
    assert np.log(found.factor) == pytest.approx(expected.x[0], abs=0.02)
    assert deviance(np.log(found.factor)) - deviance(1.0) == pytest.approx(
        found.evidence
        - find_strength(x.T @ x, x.T @ y, float(y @ y), len(y) - 1, matrix, np.e * found.value / found.factor).evidence
    )


@pytest.mark.parametrize("regularise", [None, "auto"])
def test_intervals_cover(regularise: str | None) -> None:
    """95 % intervals cover 93 to 97 % of the weights of smooth kernels, with and without a penalty."""
    rng = np.random.default_rng(8)
    matrix = np.linalg.cholesky(np.linalg.inv(penalty(SIZE, "smooth")))
    hits = []
    for _ in range(400):
        x = rng.normal(size=(80, P))
        x[:, 1:] += 0.8 * x[:, :-1]
        kernel = matrix @ rng.normal(size=P)
        x -= x.mean(axis=0)
        y = x @ kernel + 2.0 * rng.normal(size=80)
        found = solve_restricted(moments(x, y - y.mean()), SIZE, Restriction(), Regularise.checked(regularise))
        left = y - y.mean() - x @ found.kernel
        error = np.sqrt(np.diag(found.inverse) * found.variance(float(left @ left), 79))
        hits.append(np.abs(found.kernel - kernel) < student.ppf(0.975, 79 - found.freedom) * error)
    assert 0.93 <= np.mean(hits) <= 0.97


@pytest.mark.parametrize("kind", [None, *SYMMETRIES])
def test_symmetry_is_chosen(kind: str | None) -> None:
    rng = np.random.default_rng(1)
    size = (5, 5)
    labels = orbits(size, kind)
    right = 0
    for _ in range(40):
        kernel = rng.normal(size=labels.max() + 1)[labels].ravel()
        x = rng.normal(size=(3000, 25))
        y = x @ kernel + 0.1 * rng.normal(size=3000)
        x, y = x - x.mean(axis=0), y - y.mean()
        found = solve_restricted(moments(x, y), size, Restriction.checked("auto")).symmetric
        # Of five rows and columns these two are the same.
        right += {found, kind} <= {"radial", "square"} or found == kind
    assert right >= 39


def test_undetermined_directions_respect_the_symmetry() -> None:
    x, y = problem(2)
    x[:, 0] = x[:, 4] = x[:, 10] = x[:, 14] = 0.0
    found = solve_restricted(moments(x, y), SIZE, Restriction.checked("hv"))
    corners = np.zeros(SIZE)
    corners[::2, ::4] = 0.5
    assert found.rank == 5
    assert len(found.undetermined) == 1
    assert np.abs(found.undetermined[0]) == pytest.approx(corners.ravel())


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ArgumentError, match="symmetric: expected"):
        Restriction.checked("diagonal")
    with pytest.raises(ArgumentError, match="sum_to: expected a finite number"):
        Restriction.checked(sum_to=np.nan)
    with pytest.raises(ArgumentError, match="sum_to, nonnegative"):
        Restriction.checked(sum_to=-1.0, nonnegative=True)
    with pytest.raises(DtypeError, match="support: expected bool"):
        Restriction.checked(support=np.ones((3, 3)))
    with pytest.raises(ArgumentError, match="at least one True"):
        Restriction.checked(support=np.zeros((3, 3), bool))
    for bad in ("strong", -1.0, np.nan, True, ("ridge",), ("auto", 1.0), [1, 2, 3]):
        with pytest.raises(ArgumentError, match="regularise: expected"):
            Regularise.checked(bad)


def test_the_variance_of_the_residual_is_over_what_is_free():
    found = solve_restricted(moments(*problem(0)), SIZE, Restriction())
    assert (found.freedom, found.kind) == (15.0, "")
    assert found.variance(8.0, 59) == pytest.approx(8.0 / 44.0)
    assert found.variance(8.0, 16) == found.variance(8.0, 15) == found.variance(8.0, 3) == 8.0
    found = solve_restricted(moments(*problem(0)), SIZE, Restriction(), Regularise.checked(("ridge", 0.1)))
    assert found.variance(8.0, 4) == pytest.approx((8.0 + found.penalised) / 4.0)
    assert found.variance(8.0, 0) == pytest.approx(8.0 + found.penalised)


@pytest.mark.parametrize("kind", ["ridge", "smooth"])
@pytest.mark.parametrize("total", [None, 1.5])
def test_a_strength_that_is_estimated_adds_what_its_own_error_does(kind, total):
    """The kernel's derivative by the strength's logarithm, by differences, squared, times that one's variance."""
    x, y = problem(7, noise=8.0)
    known, n = Restriction.checked(sum_to=total), len(y) - 1
    found = solve_restricted(moments(x, y), SIZE, known, Regularise.checked(kind))
    ends = [np.exp(step) * found.strength for step in (-1e-4, 0.0, 1e-4)]
    low, same, high = (solve_restricted(moments(x, y), SIZE, known, Regularise.checked((kind, one))) for one in ends)
    np.testing.assert_allclose(found.kernel, same.kernel, rtol=1e-9)
    assert (found.kind, found.strength) == (kind, same.strength)
    slope = (high.kernel - low.kernel) / 2e-4
    left = float(((y - x @ found.kernel) ** 2).sum())
    # With a sum the variance is of the freed problem: what remains of the after and its penalty.
    variance = found.variance(left, n)
    added = found.inverse - same.inverse
    doubt = float(np.trace(added)) * variance / float(slope @ slope)
    np.testing.assert_allclose(added, np.outer(slope, slope) * doubt / variance, atol=1e-4 * np.abs(added).max())
    if total is None:
        expected = find_strength(x.T @ x, x.T @ y, float(y @ y), n, penalty(SIZE, kind), None).variance
        assert doubt == pytest.approx(expected, rel=1e-4)
        matrix = found.strength * np.trace(x.T @ x) / np.trace(penalty(SIZE, kind)) * penalty(SIZE, kind)
        assert found.penalised == pytest.approx(found.kernel @ matrix @ found.kernel)
    else:
        assert found.kernel.sum() == pytest.approx(total)
    assert found.seen == P - (total is not None)


@pytest.mark.parametrize("kind", ["ridge", "smooth"])
@pytest.mark.parametrize("nonnegative", [False, True])
def test_a_sum_and_a_penalty(kind, nonnegative):
    """Lagrange's equations of the penalised squares; without negative weights the conditions of Karush and others."""
    x, y = problem(4)
    regularise = Regularise.checked((kind, 0.2))
    known = Restriction.checked(sum_to=2.0, nonnegative=nonnegative)
    found = solve_restricted(moments(x, y), SIZE, known, regularise)
    free = solve_restricted(moments(x, y), SIZE, Restriction.checked(sum_to=2.0), regularise)
    # The unit of the strength is that of the problem without its equation, of one parameter less.
    matrix = penalty(SIZE, kind)
    basis = np.linalg.svd(np.ones((1, P)))[2][1:].T
    start = np.linalg.solve(matrix, np.ones(P))
    start *= 2.0 / start.sum()
    factor = 0.2 * np.trace(basis.T @ x.T @ x @ basis) / np.trace(basis.T @ matrix @ basis)
    total = x.T @ x + factor * matrix
    system = np.block([[total, np.ones((P, 1))], [np.ones((1, P)), np.zeros((1, 1))]])
    expected = np.linalg.solve(system, np.r_[x.T @ y, 2.0])[:P]
    assert found.kernel.sum() == pytest.approx(2.0)
    if not nonnegative:
        np.testing.assert_allclose(found.kernel, expected, atol=1e-9)
        inner = np.linalg.inv(basis.T @ total @ basis)
        np.testing.assert_allclose(found.inverse, basis @ inner @ basis.T, atol=1e-12)
        assert found.freedom == pytest.approx(np.trace(inner @ basis.T @ x.T @ x @ basis))
        assert found.rank == P - 1
        return
    slope = x.T @ y - total @ found.kernel
    held = found.kernel > 0.0
    assert 2 < held.sum() < P
    scale = np.abs(total).max() * 2.0
    assert np.ptp(slope[held]) < 1e-9 * scale
    assert (slope[~held] <= slope[held].mean() + 1e-9 * scale).all()
    # The errors are those without the bound; the freedom that of the weights above 0.
    np.testing.assert_allclose(found.inverse, free.inverse)
    part = np.linalg.svd(np.ones((1, held.sum())))[2][1:].T
    own = total[np.ix_(held, held)]
    seen = (x.T @ x)[np.ix_(held, held)]
    assert found.freedom == pytest.approx(np.trace(np.linalg.solve(part.T @ own @ part, part.T @ seen @ part)))


def test_kernels_of_several_planes_have_sums_of_their_own():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(200, 8))
    y = x @ rng.normal(size=8) + rng.normal(size=200)
    shares = np.array([1.0, -0.5])
    for symmetric in (None, "point"):
        known = Restriction.checked(symmetric, sum_to=3.0)
        found = solve_restricted(moments(x, y), (2, 2), known, sums=shares).kernel.reshape(2, 4)
        np.testing.assert_allclose(found.sum(axis=1), 3.0 * shares, atol=1e-12)
        rows = np.kron(np.eye(2), np.ones(4))
        if symmetric:
            np.testing.assert_array_equal(found, found[:, ::-1])
            rows = np.vstack([rows, np.kron(np.eye(2), [[1, 0, 0, -1], [0, 1, -1, 0]])])
        system = np.block([[x.T @ x, rows.T], [rows, np.zeros((len(rows),) * 2)]])
        goal = np.r_[x.T @ y, 3.0 * shares, np.zeros(len(rows) - 2)]
        np.testing.assert_allclose(found.ravel(), np.linalg.solve(system, goal)[:8], atol=1e-10)


@pytest.mark.parametrize("noise", [0.3, 3.0, 30.0])
def test_the_symmetry_is_that_of_the_lowest_criterion(noise):
    """Of kernels that are nearly symmetrical, where one parameter more or less decides."""
    rng = np.random.default_rng(6)
    chosen = set()
    for _ in range(25):
        x = rng.normal(size=(60, 9))
        kernel = rng.normal(size=9)
        kernel = kernel.reshape(3, 3) + kernel.reshape(3, 3)[:, ::-1] + 0.1 * rng.normal(size=(3, 3))
        y = x @ kernel.ravel() + noise * rng.normal(size=60)
        x, y = x - x.mean(axis=0), y - y.mean()
        scores = {}
        for name in (None, *SYMMETRIES):
            labels = orbits((3, 3), name).ravel()
            table = np.stack([x[:, labels == label].sum(axis=1) for label in np.unique(labels)], axis=1)
            left = float(np.linalg.lstsq(table, y, rcond=None)[1][0])
            scores[name] = 60 * np.log(left / 60) + table.shape[1] * np.log(60)
        best = min(scores.values())
        found = solve_restricted(moments(x, y), (3, 3), Restriction.checked("auto")).symmetric
        assert scores[found] == pytest.approx(best, abs=1e-6)
        chosen.add(found)
    assert len(chosen) > 1


def test_a_single_parameter_that_the_sum_decides():
    x, y = problem(1)
    known = Restriction.checked("radial", sum_to=2.0, support=np.eye(1, 3, 1, dtype=bool))
    found = solve_restricted(moments(x[:, :3], y), (1, 3), known)
    np.testing.assert_array_equal(found.kernel, [0.0, 2.0, 0.0])
    assert (found.rank, found.freedom, len(found.undetermined)) == (0, 0.0, 0)
    found = solve_restricted(moments(x[:, :3], y), (1, 3), known, Regularise.checked("auto"))
    np.testing.assert_array_equal(found.kernel, [0.0, 2.0, 0.0])
    assert found.kind == ""
