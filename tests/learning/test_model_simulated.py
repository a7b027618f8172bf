"""Simulated pairs of every model: the default call chooses it or names the argument, and intervals cover."""

from __future__ import annotations

import numpy as np
import pytest
from learning.model_simulator import MODELS, made, solved

import kernelfield as kf

SEEDS = range(4)


@pytest.fixture(scope="module")
def results():
    return {model: [solved(made(model, seed), kf.learn) for seed in SEEDS] for model in MODELS}


def test_no_answer_is_wrong_and_confident(results):
    assert [(model, one.why) for model, found in results.items() for one in found if one.grade == "wrong"] == []


def test_nearly_all_answers_are_the_model_that_made_the_pair(results):
    honest = [(model, one.why) for model, found in results.items() for one in found if one.grade == "honest"]
    assert len(honest) <= 0.1 * len(SEEDS) * len(MODELS), honest


def test_a_model_that_is_given_explains_its_pair(results):
    assert [model for model, found in results.items() for one in found if not one.given] == []


@pytest.mark.parametrize("of", ["covered", "ellipses"])
def test_intervals_and_ellipses_cover(results, of):
    each = [getattr(one, of) for found in results.values() for one in found if getattr(one, of).size]
    share, error = np.mean([one.mean() for one in each]), np.std([one.mean() for one in each]) / np.sqrt(len(each))
    # Of so few the ellipses of one problem, which share their weights, cover all or some.
    assert 0.93 - 3 * error < share < (0.97 + 3 * error if of == "covered" else 1.0)
