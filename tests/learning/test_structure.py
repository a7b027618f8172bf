"""The test of the residual's structure, χ² and R² of held-out tiles."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats
from helpers.fits import least_squares

import kernelfield as kf
from kernelfield.errors import ArgumentError
from kernelfield.learning.structure import LAGS, structure, structure_of


def test_the_lags_are_those_of_half_a_plane():
    every = {(i, j) for i in range(-2, 3) for j in range(-2, 3)} - {(0, 0)}
    assert {*LAGS, *((-i, -j) for i, j in LAGS)} == every
    assert len(LAGS) == 12


@pytest.mark.parametrize("kind", ["equal", "unequal", "rounding", "colour"])
def test_independent_residuals_are_called_structured_as_often_as_the_level_says(kind):
    rng = np.random.default_rng(0)
    found = []
    for _ in range(500):
        residual = rng.normal(size=(40, 44))
        if kind == "unequal":
            residual *= np.linspace(0.2, 3, 44)
        elif kind == "rounding":
            residual = rng.uniform(-0.5, 0.5, residual.shape)
        channels = [residual] if kind != "colour" else [residual, residual + 0.1 * rng.normal(size=residual.shape)]
        found.append(structure(channels).p_value < 0.05)
    assert (0.01 if kind == "colour" else 0.03) < np.mean(found) < 0.075


def test_structure_is_found_where_it_is():
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(60, 60))
    alike = noise.copy()
    alike[2:, 1:] += 0.3 * noise[:-2, :-1]
    found = structure([alike])
    assert found.p_value < 1e-6
    assert found.strongest == (2, 1)
    assert found.correlation == pytest.approx(0.3 / 1.09, abs=0.06)
    assert "structure: pixels 2 down and 1 to the right" in str(found)
    smooth = structure([kf.correlate(noise, np.ones((3, 3)))])
    assert smooth.moran == pytest.approx(2 / 3, abs=0.05)
    assert structure([noise]).moran == pytest.approx(0, abs=0.05)


def test_pixels_that_do_not_count_change_nothing():
    residual = np.random.default_rng(2).normal(size=(30, 30))
    wide = np.pad(residual, 3, constant_values=np.nan)
    assert structure([wide]).statistic == pytest.approx(structure([residual]).statistic)
    assert structure([np.full((5, 5), np.nan)]).p_value == 1.0


def test_a_pair_is_tested():
    rng = np.random.default_rng(3)
    before = rng.normal(size=(70, 80))
    after = kf.correlate(before, np.ones((3, 3)) / 9) + rng.normal(scale=0.1, size=before.shape)
    assert kf.learn(before, after, size=3).residual_structure(before, after).p_value > 0.001
    # A kernel that is too small leaves what it misses.
    assert kf.learn(before, after, size=1).residual_structure(before, after).p_value < 1e-9


def test_noise_that_is_cut_off_at_an_end_is_no_structure():
    rng = np.random.default_rng(7)
    before = kf.correlate(rng.normal(scale=200, size=(120, 130)), np.ones((9, 9)) / 9).clip(0, 255).astype(np.uint8)
    after = kf.correlate(before, np.ones((3, 3)) / 9, dtype=np.float64) + rng.normal(scale=2.0, size=before.shape)
    after = after.round().clip(0, 255).astype(np.uint8)
    found = kf.learn(before, after, size=3).residual_structure(before, after)
    assert found.p_value > 0.001
    assert 1000 < found.count < 0.9 * before.size
    dark = SimpleNamespace(residual=rng.uniform(-1.0, 1.0, (30, 40)), after=np.zeros((30, 40), np.uint8))
    assert str(structure_of(dark)).startswith("not known")


def test_chi_square_is_1_where_the_noise_is_that_given():
    rng = np.random.default_rng(4)
    clean = rng.normal(100, 30, (120, 130))
    after = kf.correlate(clean, np.ones((3, 3)) / 9) + rng.normal(scale=2.0, size=clean.shape)
    before = clean + rng.normal(scale=3.0, size=clean.shape)
    assert kf.learn(before, after, size=3, noise=(3.0, 2.0)).chi_square == pytest.approx(1, abs=0.05)
    assert kf.learn(before, after, size=3, noise=(3.0, 1.0)).chi_square == pytest.approx(2.5, abs=0.2)
    assert kf.learn(before, after, size=3).chi_square is None


def test_held_out_tiles_are_predicted_as_well_as_the_formula_says():
    """The expected excess over the noise is p / n of it, n the pixels that were learned from."""
    rng = np.random.default_rng(5)
    excess = []
    for _ in range(40):
        before = rng.normal(size=(32, 32))
        after = 0.0 * before + rng.normal(size=before.shape)
        excess.append(least_squares(before, after, (5, 5)).held_out_r2(before, after))
    # In a fold three fourths of 28² positions less those beside the held-out tiles.
    assert -0.12 < np.mean(excess) < -0.03
    truth = kf.correlate(before, np.ones((5, 5)) / 25)
    fit = kf.learn(before, truth + 0.02 * after, size=5)
    assert 0.9 < fit.held_out_r2(before, truth + 0.02 * after) < fit.r2


def test_a_crop_and_a_valid_part_are_held_out_too():
    rng = np.random.default_rng(6)
    before = rng.normal(size=(50, 52))
    after = kf.correlate(before, [[1.0, 2.0], [3.0, 4.0]], mode="valid")
    assert kf.learn(before, after).held_out_r2(before, after) == pytest.approx(1)
    crop = kf.correlate(before, [[1.0, 2.0, 1.0]])[5:40, 7:41]
    assert kf.learn(before, crop).held_out_r2(before, crop) == pytest.approx(1)
    with pytest.raises(ArgumentError, match="folds"):
        kf.learn(before, after).held_out_r2(before, after, folds=1)


def test_a_constant_and_a_unit_change_nothing():
    residual = np.random.default_rng(8).normal(size=(20, 21))
    plain = structure([residual])
    for other in (residual + 50.0, 1e150 * residual, 1e-150 * residual):
        found = structure([other])
        assert found.statistic == pytest.approx(plain.statistic, rel=1e-9)
        assert found.moran == pytest.approx(plain.moran, rel=1e-9)
        assert (found.strongest, found.count) == (plain.strongest, 420)


@pytest.mark.parametrize("shape", [(1, 2), (2, 1), (1, 5), (3, 3), (7, 4)])
def test_it_is_the_formula_pixel_by_pixel(shape):
    """The sums over pairs of pixels, also of pictures smaller than a lag."""
    residual = np.random.default_rng(9).normal(size=(2, *shape))
    residual[1, 0, 0] = np.nan
    found = structure(list(residual))
    best = None
    for r in residual:
        r = r - np.nanmean(r)
        variance, statistic, correlations, near = np.nanmean(r**2), 0.0, {}, []
        for i, j in LAGS:
            both = [
                r[y, x] * r[y + i, x + j]
                for y, x in np.ndindex(shape)
                if y + i < shape[0] and 0 <= x + j < shape[1] and np.isfinite(r[y, x] * r[y + i, x + j])
            ]
            squares = sum(one * one for one in both)
            statistic += sum(both) ** 2 / squares if squares else 0.0
            correlations[i, j] = sum(both) / max(1, len(both)) / variance if variance else 0.0
            near += both if (i, j) in ((0, 1), (1, 0)) else []
        p = float(scipy.stats.chi2.sf(statistic, 12))
        if best is None or p < best[0]:
            moran = sum(near) / max(1, len(near)) / variance if variance else 0.0
            strongest = max(LAGS, key=lambda lag: abs(correlations[lag]))
            best = p, statistic, moran, strongest, correlations[strongest], int(np.isfinite(r).sum())
    assert found.p_value == pytest.approx(min(1.0, 2 * best[0]))
    assert (found.statistic, found.moran, found.correlation) == pytest.approx((best[1], best[2], best[4]))
    assert (found.strongest, found.freedom, found.count) == (best[3], 12, best[5])


def test_the_sentence_turns_at_one_in_a_hundred():
    known = structure([np.random.default_rng(8).normal(size=(20, 21))])
    at = dataclasses.replace(known, p_value=0.01, strongest=(1, -2), correlation=-0.123)
    assert str(at) == "no structure: its pixels are independent of their neighbours, as noise is (p 0.01)"
    assert str(dataclasses.replace(at, p_value=0.0099)) == (
        "structure: pixels 1 down and 2 to the left of each other have a correlation of -0.12 (p 0.0099)"
    )
    assert "0 to the right" in str(dataclasses.replace(at, p_value=0.0, strongest=(1, 0)))
    assert str(dataclasses.replace(at, count=0)).startswith("not known")


def test_the_residual_of_a_pair_of_colours_is_that_of_its_channels():
    """Of integers, only where the prediction lies four standard deviations of the residual inside the range."""
    rng = np.random.default_rng(10)
    after = rng.integers(90, 160, (30, 31, 3)).astype(np.uint8)
    left = rng.normal(scale=5.0, size=after.shape)
    left[3, 4] = np.nan
    after[0], after[1] = 2, 253
    pair = SimpleNamespace(residual=left, after=after)
    predicted, margin = after - left, 4.0 * np.nanstd(left)
    kept = np.where((predicted > margin) & (predicted < 255.0 - margin), left, np.nan)
    expected = structure(list(np.moveaxis(kept, 2, 0)))
    assert structure_of(pair) == expected
    assert expected.count < 29 * 31
    floats = SimpleNamespace(residual=left[..., 0], after=after[..., 0].astype(float))
    assert structure_of(floats) == structure([left[..., 0]])
