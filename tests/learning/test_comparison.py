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
        box.compare(dataclasses.replace(box, stride=(2, 2)))
    with pytest.raises(DataError, match="none explains"):
        box.compare(dataclasses.replace(box, verdict="not linear"))
