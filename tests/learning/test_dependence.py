"""Functions of the colour in a residual: rounding and noise have none, for few colours too."""

from __future__ import annotations

import numpy as np
import pytest

from kernelfield.learning.dependence import bends, share_by_colour

pytestmark = pytest.mark.core


def colours(seed: int, count: int | None, pixels: int = 6000, channels: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if count is None:
        return rng.integers(0, 256, (pixels, channels))
    return rng.integers(0, 256, (count, channels))[rng.integers(0, count, pixels)]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [8, 16, 64, 300, None])
def test_rounding_and_noise_follow_no_colour(count, channels):
    found = []
    for seed in range(20):
        x = colours(seed, count, channels=channels)
        rng = np.random.default_rng(100 + seed)
        # Rounding is the same for pixels of one colour, noise is not.
        values, which = np.unique(x, axis=0, return_inverse=True)
        rounding = rng.uniform(-0.5, 0.5, (len(values), channels))[which.ravel()]
        found += [share_by_colour(x, rounding), share_by_colour(x, rng.normal(size=x.shape))]
        assert not bends(x, rounding, 1 / 12)
    assert np.mean(np.array(found) > 0.0) <= 0.05
    assert max(found) < 0.3


@pytest.mark.parametrize("count", [64, 300, None])
def test_functions_of_the_colour_are_found(count):
    for seed in range(5):
        x = colours(seed, count)
        rounding = np.random.default_rng(seed).uniform(-0.5, 0.5, (256, 256))[x[:, 0], x[:, 1]][:, None]
        for function in (lambda x: (x[:, :1] / 255) ** 2, lambda x: x.max(axis=1, keepdims=True) / 255):
            curve = function(x)
            curve = 12.0 * (curve - curve.mean())
            line = np.c_[np.ones(len(x)), x]
            left = curve - line @ np.linalg.lstsq(line, curve, rcond=None)[0]
            share = float(left.var() / (left + rounding).var())
            assert share_by_colour(x, left + rounding) == pytest.approx(share, abs=0.2)
            assert bends(x, left + rounding, 1 / 12)


def test_the_share_is_that_of_the_variance():
    x = colours(0, None, 20_000)
    wave = np.sign(np.sin(x[:, :1] / 255 * 3 * np.pi))
    wave = wave - wave.mean()
    noise = np.random.default_rng(1).normal(scale=2.0, size=wave.shape)
    # Of a wave of three halves bins tell more than cubic functions.
    assert share_by_colour(x, wave + noise) == pytest.approx(0.2, abs=0.05)


@pytest.mark.parametrize(("variance", "found"), [(19.0, False), (21.0, True)])
def test_what_no_rounding_leaves_bends_however_few_the_colours(variance, found):
    x = colours(0, 8)
    values, which = np.unique(x, axis=0, return_inverse=True)
    left = np.random.default_rng(0).normal(size=(len(values), 3))[which.ravel()]
    left *= np.sqrt(variance / 12 / (left**2).mean())
    assert bends(x, left, 1 / 12) == found


@pytest.mark.parametrize(("variance", "found"), [(1.04, False), (1.06, True)])
def test_what_one_rounding_leaves_bends_nothing(variance, found):
    x = colours(0, None, channels=1)
    left = (x / 255.0 - 0.5) ** 2
    left -= left.mean()
    left *= np.sqrt(variance / 12 / (left**2).mean())
    assert bends(x, left, 1 / 12) == found


def test_nothing_left_follows_nothing():
    x = colours(0, 300)
    assert share_by_colour(x, np.zeros((len(x), 2))) == 0.0
    assert share_by_colour(x[:2], np.ones((2, 1))) == 0.0
