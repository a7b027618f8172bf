"""The comparison of two fits: its level, what it finds, and fits whose weights have no errors."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import scipy.stats
from helpers.fits import least_squares

import kernelfield as kf
from kernelfield.errors import ArgumentError, DataError
from kernelfield.learning.fit import designed

KERNEL = np.array([[0.1, 0.2, 0.1], [0.0, 0.4, 0.3], [-0.1, 0.1, 0.0]])


def learned(rng, kernel=KERNEL, size=(3, 3), smooth=True):
    before = rng.normal(size=(24, 26))
    # Neighbours that are alike correlate the weights' errors.
    before = kf.correlate(before, np.ones((2, 2)) / 2) if smooth else before
    after = kf.correlate(before, kernel, boundary="wrap") + rng.normal(scale=0.1, size=before.shape)
    return least_squares(before, after, size)


def test_one_kernel_is_called_different_as_often_as_the_level_says():
    rng = np.random.default_rng(0)
    found = [learned(rng).compare(learned(rng), level=0.05) for _ in range(600)]
    assert 0.03 < np.mean([not one.same for one in found]) < 0.075
    assert scipy.stats.kstest([one.p_value for one in found], "uniform").pvalue > 0.001


def test_the_statistic_is_that_of_the_covariance():
    rng = np.random.default_rng(1)
    a, b = learned(rng), learned(rng)
    d = (a.kernel.weights - b.kernel.weights).ravel()
    found = a.compare(b)
    assert found.chi_square == pytest.approx(d @ np.linalg.solve(a.covariance + b.covariance, d), rel=1e-9)
    assert found.freedom == 9
    np.testing.assert_allclose(found.errors, np.hypot(a.stderr, b.stderr))
    back = b.compare(a)
    assert back.chi_square == pytest.approx(found.chi_square)
    np.testing.assert_allclose(back.difference, -found.difference)


def test_another_kernel_is_seen_whatever_the_sizes():
    rng = np.random.default_rng(2)
    other = KERNEL + np.array([[0, 0, 0], [0, 0.1, 0], [0, 0, 0]])
    assert not learned(rng).compare(learned(rng, other)).same
    assert not learned(rng).compare(learned(rng, other, size=(5, 3))).same
    found = learned(rng).compare(learned(rng, size=(5, 3)))
    assert found.same
    assert found.difference.shape == (5, 3)
    assert found.anchor == (2, 1)


def test_weights_without_errors_agree_to_rounding_or_differ():
    box = designed(kf.kernels.box(3), "box")
    assert str(box.compare(box)).startswith("same: every weight")
    moved = dataclasses.replace(box, kernel=kf.Kernel(box.kernel.weights * (1 + 1e-9)))
    assert np.isinf(box.compare(moved).chi_square)
    assert not box.compare(moved).same
    assert not box.compare(designed(kf.kernels.box(5), "box")).same
    truth = designed(kf.Kernel(KERNEL), "truth")
    assert learned(np.random.default_rng(3)).compare(truth).same


def test_weights_that_are_not_determined_are_not_compared():
    rng = np.random.default_rng(4)
    before = np.repeat(rng.normal(size=(1, 200)), 12, axis=0)
    fit = kf.KernelLearner(3).partial_fit(before, before).fit_
    found = fit.compare(learned(rng))
    assert np.isinf(found.errors).any()
    assert "not determined and not compared" in str(found)


def test_what_cannot_be_compared_is_refused():
    box = designed(kf.kernels.box(3), "box")
    with pytest.raises(ArgumentError, match="level"):
        box.compare(box, level=1.5)
    with pytest.raises(ArgumentError, match="expected one kernel"):
        box.compare(dataclasses.replace(box, bank=np.ones((1, 1, 3, 3))))
    with pytest.raises(ArgumentError, match=r"second: expected a filter of the stride of the first, \(1, 1\)"):
        box.compare(dataclasses.replace(box, stride=(2, 2)))
    with pytest.raises(DataError, match="none explains"):
        box.compare(dataclasses.replace(box, verdict="not linear"))


def trial(weights, stderr=0.0, **changes):
    """Return a fit of given weights; of known errors that are independent, where no covariance is given."""
    fit = designed(kf.Kernel(np.asarray(weights, float)), "a trial")
    return dataclasses.replace(fit, stderr=np.broadcast_to(float(stderr), fit.size).copy(), **changes)


def test_what_is_printed_is_what_was_found():
    box = trial(np.full((1, 3), 0.25))
    assert str(box.compare(box)).splitlines() == [
        "same: every weight of 1×3 agrees, to rounding",
        "largest difference in errors: +0 (+0) at row +0, column -1 of the output pixel",
    ]
    other = trial([[0.25, 0.25, 0.5]], offset=1.5, boundary="wrap")
    lines = str(box.compare(other)).splitlines()
    assert lines[0] == "different: by more than errors; χ² inf of 0 directions (p 0, level 0.01)"
    assert lines[2:] == ["offsets differ by -1.5; they are not tested", "borders differ: reflect and wrap"]
    for boundary in (None, "reflect"):
        assert not any("borders" in line for line in str(box.compare(trial([[1.0]], boundary=boundary))).splitlines())
    known = trial([[0.25, 0.25, 0.5]], 0.1, covariance=np.eye(3) / 100.0)
    found = box.compare(known)
    lines = str(found).splitlines()
    assert found.p_value == pytest.approx(scipy.stats.chi2.sf(6.25, 3))
    chance = f"χ² 6.25 of 3 directions (p {found.p_value:.2g}, level 0.01)"
    assert lines[0] == f"same: the kernels agree within their errors; {chance}"
    assert lines[1:] == ["largest difference in errors: -2.5 (-0.25) at row +0, column +1 of the output pixel"]
    assert not box.compare(known, level=0.2).same
    partly = trial([[1.0, 2.0]])
    partly.stderr[0, 1] = np.inf
    assert str(partly.compare(partly)).startswith("same: every weight of 1×2 agrees, to rounding")
    nothing = trial([[1.0, 2.0]], np.inf)
    lines = str(nothing.compare(nothing)).splitlines()
    assert lines[0] == "nothing to compare"
    assert lines[2] == "2 of 2 weights are not determined and not compared"


def test_without_a_covariance_weights_are_taken_for_independent_whichever_lacks_it():
    covariance = np.array([[2.0, 1.0], [1.0, 3.0]])
    known = trial([[1.0, 2.0]], 1.5, covariance=covariance)
    bare = trial([[0.5, 2.5]], 0.5)
    for found in (known.compare(bare), bare.compare(known)):
        assert not found.correlated
        total = covariance + np.eye(2) / 4.0
        d = np.array([0.5, -0.5])
        assert found.chi_square == pytest.approx(d @ np.linalg.solve(total, d))
        np.testing.assert_allclose(found.errors, np.sqrt(np.diag(total))[None])
        assert str(found).splitlines()[-1].startswith("a covariance is not known")
    assert known.compare(known).correlated
    unknown = trial([[0.5, 2.5]], 0.5)
    unknown.stderr[0, 1] = np.inf
    found = known.compare(unknown)
    assert found.chi_square == pytest.approx(0.25 / 2.25)
    assert found.freedom == 1
    assert found.errors.tolist() == [[1.5, np.inf]]


def test_a_difference_of_rounding_is_none():
    """Up to 1e-12 of the largest weight of either, times the root of their number; then, without errors, any."""
    for factor, same in ((0.9e-12, True), (1.1e-12, False)):
        assert trial([[4.0]]).compare(trial([[4.0 * (1.0 + factor)]])).same == same
    for factor, same in ((0.9e-12, True), (1.3e-12, True), (1.5e-12, False)):
        for a, b in (([[4.0, 1e-3]], [[4.0, 1e-3 + 4.0 * factor]]), ([[1e-3, 4.0]], [[1e-3 - 4.0 * factor, 4.0]])):
            found = trial(a).compare(trial(b))
            assert found.same == same
            assert (found.p_value, found.chi_square) == ((1.0, 0.0) if same else (0.0, np.inf))


def test_a_direction_without_variance_is_rounding_beside_the_largest():
    """Beside a variance of 1 one of 1e-10 is none, and a difference along it is a difference."""
    for variance, freedom in ((0.9e-10, 1), (1.1e-10, 2)):
        known = trial([[1.0, 2.0]], 1.0, covariance=np.diag([1.0, variance]))
        found = known.compare(trial([[1.5, 2.0]]))
        assert found.freedom == freedom
        assert found.chi_square == pytest.approx(0.25)
        assert np.isinf(known.compare(trial([[1.0, 2.1]])).chi_square) == (freedom == 1)


def test_the_offset_and_levels_between_the_ends():
    a, b = trial([[1.0]], offset=(1.0, 2.5)), trial([[1.0]], offset=(0.5, 3.0))
    assert a.compare(b).offset == (0.5, -0.5)
    assert str(a.compare(b)).splitlines()[-1] == "offsets differ by +0.5, -0.5; they are not tested"
    assert trial([[1.0]], offset=3.0).compare(trial([[1.0]], offset=1.0)).offset == 2.0
    for level in (0.001, 0.999):
        assert a.compare(b, level=level).level == level
    for level in (0.0, 1.0, 1, "a", None):
        with pytest.raises(ArgumentError, match="level: expected a probability between 0 and 1"):
            a.compare(b, level=level)
