"""Five hundred simulated pairs: what `learn` says is right or honest, and its intervals cover."""

from __future__ import annotations

import numpy as np
import pytest
from learning import simulator
from learning.simulator import STRATA, Score, Truth, filtered, problem, rounded, run, score

import kernelfield as kf
from kernelfield.learning import Fit

COUNT = 500


@pytest.fixture(scope="module")
def calibration():
    return run([problem(seed) for seed in range(COUNT)], kf.learn)


def _listed(failures, wanted) -> list[str]:
    return [f"{each.stratum}, seed {each.seed}: {s.why}" for each, s in failures if wanted(s)]


def test_no_answer_is_wrong_and_confident(calibration):
    assert _listed(calibration[1], lambda s: s.grade == "wrong") == []


def test_exact_is_never_said_of_a_pair_that_is_not(calibration):
    assert _listed(calibration[1], lambda s: s.falsely_exact) == []


def test_no_name_is_wrong(calibration):
    assert _listed(calibration[1], lambda s: s.wrong_name) == []


def test_most_answers_are_right(calibration):
    tallies, _ = calibration
    grades = [grade for tally in tallies.values() for grade in tally.grades]
    assert grades.count("right") >= 0.85 * len(grades)
    assert grades.count("honest") <= 0.1 * len(grades)


@pytest.mark.parametrize("stratum", STRATA)
def test_intervals_cover(calibration, stratum):
    tally = calibration[0][stratum]
    if len(tally.coverage) < 5:
        pytest.skip("errors said to be approximate, or weights without errors")
    mean, _ = tally.interval()
    # Three standard errors of the mean where the intervals of one problem count as four independent ones.
    allowed = 3 * np.sqrt(0.95 * 0.05 / (4 * len(tally.coverage)))
    assert 0.93 - allowed <= mean <= min(1.0, 0.97 + allowed)


def _fit(**changes) -> Fit:
    """Return a confident fit of [[1, 2, 1]] / 4."""
    facts = dict(
        kernel=kf.Kernel([[0.25, 0.5, 0.25]]),
        stderr=np.full((1, 3), 0.01),
        offset=0.0,
        boundary=None,
        cval=0.0,
        boundary_candidates=(),
        boundary_reason="",
        name=None,
        description="",
        integers=None,
        divisor=None,
        rank=3,
        undetermined=np.zeros((0, 1, 3)),
        r2=0.99,
        residual_sd=1.0,
        samples=1000,
        excluded=0,
        rounding=None,
        verdict="approximate",
        explanation="",
    )
    return Fit(**{**facts, **changes})


TRUTH = Truth(np.array([[0.25, 0.5, 0.25]]), (0, 1), ("binomial",), "reflect")


@pytest.mark.parametrize(
    ("changes", "truth", "grade"),
    [
        ({}, {}, "right"),
        ({"name": "binomial"}, {}, "right"),
        ({"name": "box"}, {}, "wrong"),
        ({"verdict": "exact"}, {}, "wrong"),
        ({"verdict": "exact"}, {"exact": True}, "right"),
        ({}, {"exact": True}, "nearly"),
        ({"verdict": "exact"}, {"exact": True, "outliers": 4}, "wrong"),
        ({"verdict": "not linear"}, {}, "honest"),
        ({"verdict": "not linear", "name": "box"}, {}, "wrong"),
        ({"boundary": "wrap"}, {}, "wrong"),
        ({"boundary": "nearest"}, {}, "right"),
        ({"boundary": "nearest"}, {"weights": np.array([[0.2, 0.2, 0.2, 0.2, 0.2]]), "anchor": (0, 2)}, "wrong"),
        ({"kernel": kf.Kernel([[0.25, 0.5, 0.35]])}, {}, "wrong"),
        ({"kernel": kf.Kernel([[0.25, 0.5, 0.35]]), "stderr": np.full((1, 3), 0.05)}, {}, "right"),
        ({"kernel": kf.Kernel([[0.25, 0.5, 0.85]]), "stderr": np.full((1, 3), 0.2)}, {}, "honest"),
        ({"kernel": kf.Kernel([[0.5, 0.25, 0.25]])}, {}, "wrong"),
        ({"kernel": kf.Kernel([[0.25, 0.5, 0.25]], anchor=(0, 0))}, {}, "wrong"),
        ({"integers": np.array([[1, 2, 1]]), "divisor": 4}, {}, "right"),
        ({"kernel": kf.Kernel([[0.251, 0.5, 0.25]])}, {"weights": None}, "honest"),
        ({"r2": 0.3}, {"weights": None}, "wrong"),
        ({"verdict": "not linear"}, {"weights": None}, "right"),
        ({"verdict": "exact"}, {"weights": None}, "wrong"),
        ({}, {"weights": None, "sharing": "mixed"}, "wrong"),
        ({"notes": ("the channels are mixed",)}, {"weights": None, "sharing": "mixed"}, "right"),
    ],
)
def test_grades(changes, truth, grade):
    assert score(_fit(**changes), Truth(**{**vars(TRUTH), **truth})).grade == grade


def test_coverage_counts_intervals():
    weights = np.array([[0.25 + 0.019, 0.5 + 0.021, 0.25]])
    assert score(_fit(kernel=kf.Kernel(weights)), TRUTH).covered.tolist() == [True, False, True]


def test_filters_of_the_simulator_are_those_of_scipy():
    import scipy.ndimage as ndi

    rng = np.random.default_rng(0)
    image, weights = rng.integers(0, 9, (11, 13)), rng.integers(-3, 4, (4, 3))
    for border in simulator.PAD:
        expected = ndi.correlate(image, weights, mode=border, cval=5)
        assert np.array_equal(filtered(image, weights, (2, 1), border, 5), expected)
    shifted = ndi.correlate(image, weights, origin=(-2, 1))
    assert np.array_equal(filtered(image, weights, (0, 2), "reflect"), shifted)


def test_rounding_rules_of_the_simulator():
    totals = np.array([-6, -5, -3, -1, 1, 2, 3, 5, 6])
    rounded_to = {
        "half up": [-3, -2, -1, 0, 1, 1, 2, 3, 3],
        "half even": [-3, -2, -2, 0, 0, 1, 2, 2, 3],
        "half away": [-3, -3, -2, -1, 1, 1, 2, 3, 3],
        "down": [-3, -3, -2, -1, 0, 1, 1, 2, 3],
        "to zero": [-3, -2, -1, 0, 0, 1, 1, 2, 3],
    }
    for rule, values in rounded_to.items():
        assert rounded(totals, 2, rule).tolist() == values


def test_problems_come_again_from_their_seed():
    for seed in (3, 104):
        one, two = problem(seed), problem(seed)
        assert one.stratum == two.stratum
        assert np.array_equal(one.before, two.before)
        assert np.array_equal(one.after, two.after)


def test_an_error_counts_as_wrong():
    def broken(before, after, **arguments):
        raise ValueError("no")

    tallies, failures = run([problem(0)], broken)
    assert isinstance(failures[0][1], Score)
    assert failures[0][1].grade == "wrong"
    assert sum(tally.grades.count("wrong") for tally in tallies.values()) == 1
