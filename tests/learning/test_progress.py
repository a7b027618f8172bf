"""Progress of learning: it rises from the first stage to the last, and only who listens hears of it."""

import numpy as np
import pytest

import kernelfield as kf
from kernelfield.learning.progress import STAGES, listening

PHOTOGRAPH = np.random.default_rng(5).integers(0, 256, (90, 100)).astype(np.uint8)
NOISE = np.random.default_rng(6).integers(0, 256, (90, 100)).astype(np.uint8)
AFTERS = {"exact": kf.correlate(PHOTOGRAPH, [[0, 1, 1, 0]], boundary="reflect", dtype=float), "not linear": NOISE}


@pytest.mark.parametrize("verdict", AFTERS)
def test_the_share_rises_through_the_stages(verdict):
    told = []
    with listening(lambda share, stage: told.append((share, stage))):
        fit = kf.learn(PHOTOGRAPH, AFTERS[verdict])
    assert fit.verdict == verdict
    shares, stages = zip(*told)
    assert list(shares) == sorted(shares)
    assert 0 <= shares[0] < shares[-1] < 1
    assert (stages[0], stages[-1]) == (STAGES[0], STAGES[-1])
    assert ("trying other explanations" in stages) == (verdict != "exact")


def test_nobody_is_told_afterwards_and_the_answer_is_the_same():
    told = []
    with listening(lambda *given: told.append(given)):
        with listening(None):
            kf.learn(PHOTOGRAPH, AFTERS["exact"])
        heard = kf.learn(PHOTOGRAPH, AFTERS["exact"])
    count = len(told)
    alone = kf.learn(PHOTOGRAPH, AFTERS["exact"])
    assert len(told) == count > 0
    assert np.array_equal(heard.kernel.weights, alone.kernel.weights)
