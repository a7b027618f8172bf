"""Pairs beside the thresholds: a little on either side of each, with even sizes, off-centre anchors and noise."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage as ndi
from cases import photograph
from learning.simulator import filtered, levels

import kernelfield as kf

OWN = np.array([[3, 0, -1, 2], [1, 7, 5, 0], [0, -2, 4, 1]])


def camera(height: int = 150, width: int = 131) -> np.ndarray:
    return photograph("camera")[100 : 100 + height, 90 : 90 + width].copy()


def blurred(image: np.ndarray, border: str = "mirror") -> np.ndarray:
    """Return an image of 8 bits filtered by integers over 20, anchored off the centre."""
    return levels(filtered(image.astype(np.int64), OWN, (0, 2), border) / 20)


# Exact: how many pixels may be off, and by how much.


@pytest.mark.parametrize("count", [1, 40, 400])
@pytest.mark.parametrize("by", [1, 2])
def test_pixels_that_are_off_by_a_level_are_counted_or_the_pair_is_not_exact(count, by):
    before = camera()
    after = blurred(before)
    rng = np.random.default_rng(count)
    rows, columns = rng.integers(8, 140, count), rng.integers(8, 120, count)
    after[rows, columns] = np.where(after[rows, columns] > 128, after[rows, columns] - by, after[rows, columns] + by)
    fit = kf.learn(before, after)
    off = len(set(zip(rows.tolist(), columns.tolist())))
    assert fit.verdict in ("exact", "approximate")
    assert fit.verdict == "approximate" or fit.excluded >= off
    np.testing.assert_allclose(fit.kernel.weights, OWN / 20, atol=0.01)


@pytest.mark.parametrize("value", [255, 0])
@pytest.mark.parametrize("shape", [(4, 30), (9, 9)])
def test_a_label_at_an_end_of_the_range_is_not_taken_for_clipping(value, shape):
    before = camera()
    after = blurred(before)
    after[60 : 60 + shape[0], 50 : 50 + shape[1]] = value
    fit = kf.learn(before, after)
    assert fit.verdict == "approximate" or fit.excluded >= 0.9 * shape[0] * shape[1]
    assert "excluded" not in fit.explanation or fit.excluded
    np.testing.assert_allclose(fit.kernel.weights, OWN / 20, atol=0.01)


@pytest.mark.parametrize("sd", [0.02, 0.1, 0.25])
def test_noise_below_a_level_is_noise(sd):
    before = camera().astype(np.float64)
    clean = filtered(before, OWN / 20, (0, 2), "mirror")
    fit = kf.learn(before, clean + np.random.default_rng(0).normal(scale=sd, size=clean.shape))
    assert fit.verdict == "approximate"
    assert fit.residual_sd == pytest.approx(sd, rel=0.05)
    assert fit.integers is None or np.array_equal(fit.integers * 20, OWN * fit.divisor)


def test_border_pixels_of_no_rule_have_no_rule():
    before = camera()
    after = blurred(before)
    rng = np.random.default_rng(0)
    for strip in (np.s_[:3], np.s_[-3:], np.s_[:, :3], np.s_[:, -3:]):
        after[strip] = rng.permutation(after[strip].ravel()).reshape(after[strip].shape)
    assert kf.learn(before, after).boundary is None


@pytest.mark.parametrize("noise", [0.0, 2.0])
def test_border_pixels_a_little_off_a_rule_have_no_rule(noise):
    before = camera().astype(np.float64)
    after = filtered(before, OWN / 20, (0, 2), "mirror")
    # Half way between two rules.
    after = (after + filtered(before, OWN / 20, (0, 2), "wrap")) / 2
    after += np.random.default_rng(0).normal(scale=noise, size=after.shape) if noise else 0
    assert kf.learn(before, after).boundary is None


def test_rules_that_explain_the_border_alike_are_all_candidates():
    before = camera().astype(np.float64)
    # Nothing changes within two pixels of the border: all rules but constant and wrap are one.
    before[:3], before[-3:], before[:, :3], before[:, -3:] = 90, 90, 90, 90
    fit = kf.learn(before, filtered(before, OWN / 20, (0, 2), "mirror"))
    assert {"reflect", "nearest", "mirror"} <= set(fit.boundary_candidates)
    assert np.allclose(fit.apply(before), filtered(before, OWN / 20, (0, 2), "mirror"))


@pytest.mark.parametrize("value", [17.0, 17.013, -3.5, 300.0])
@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_the_constant_beyond_the_border_is_what_was_taken(value, noise):
    before = camera().astype(np.float64)
    after = filtered(before, OWN / 20, (0, 2), "constant", value)
    after = after + np.random.default_rng(0).normal(scale=noise, size=after.shape) if noise else after
    fit = kf.learn(before, after)
    assert fit.boundary == "constant"
    # The errors of the weights beyond the border are multiplied by the constant.
    assert fit.cval == pytest.approx(value, abs=max(0.3, 2e-3 * abs(value)) if noise else 1e-6)


@pytest.mark.parametrize("border", ["constant", "wrap", "copy"])
def test_a_saved_fit_does_what_the_fit_did(tmp_path, border):
    before = camera()
    after = blurred(before, "reflect" if border == "copy" else border)
    if border == "constant":
        after = levels(filtered(before.astype(np.int64), OWN, (0, 2), border, 17) / 20)
    if border == "copy":
        inside = after[0:-2, 2:-1].copy()
        after = before.copy()
        after[0:-2, 2:-1] = inside
    fit = kf.learn(before, after)
    assert fit.boundary == border
    fit.save(tmp_path / "fit.json")
    again = kf.learning.Fit.load(tmp_path / "fit.json")
    assert (again.boundary, again.cval, again.offset, again.rounding, again.anchor) == (
        fit.boundary,
        fit.cval,
        fit.offset,
        fit.rounding,
        fit.anchor,
    )
    assert np.abs(again.apply(before).astype(int) - after).max() <= 1
    assert np.mean(again.apply(before) != after) < 0.02


@pytest.mark.parametrize("shape", [(2, 2), (4, 3), (1, 6), (3, 4)])
def test_the_valid_part_of_even_kernels(shape):
    weights = np.random.default_rng(1).normal(size=shape)
    before = camera().astype(np.float64)
    fit = kf.learn(before, kf.corr2d(before, weights))
    assert fit.verdict == "exact"
    np.testing.assert_allclose(fit.kernel.weights, weights, atol=1e-9)


@pytest.mark.parametrize("shape", [(2, 2), (4, 3), (5, 6)])
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_anchors_of_even_kernels(shape, noise):
    weights = np.random.default_rng(2).random(shape) + 0.2
    weights /= weights.sum()
    before = camera().astype(np.float64)
    for anchor in [(0, 0), (shape[0] - 1, shape[1] - 1), (shape[0] // 2, shape[1] // 2)]:
        after = filtered(before, weights, anchor, "nearest")
        after = after + np.random.default_rng(0).normal(scale=noise, size=after.shape) if noise else after
        fit = kf.learn(before, after, max_size=15)
        assert (fit.size, fit.anchor) == (shape, anchor)


def test_a_kernel_that_reaches_beyond_the_search_is_found_or_the_limit_is_said():
    before = camera().astype(np.float64)
    weights = np.random.default_rng(2).random((5, 6)) + 0.2
    fit = kf.learn(before, filtered(before, weights / weights.sum(), (0, 0), "nearest"), max_size=9)
    assert (fit.verdict, fit.size) == ("exact", (5, 6)) or "limit" in str(fit)


@pytest.mark.parametrize("rule", [np.floor, np.rint, np.trunc, np.ceil])
def test_a_fit_applied_repeats_the_rounding(rule):
    before = camera()
    after = rule(filtered(before.astype(np.int64), OWN, (0, 2), "mirror") / 20).clip(0, 255).astype(np.uint8)
    fit = kf.learn(before, after)
    assert fit.verdict == "exact"
    np.testing.assert_allclose(fit.kernel.weights, OWN / 20, atol=1e-12)
    assert np.mean(fit.apply(before) != after) < 0.001


def test_standard_errors_count_the_degrees_of_freedom():
    # 64 pixels, 25 weights and an offset: over the pixels instead, the errors would be 23 % too small.
    rng = np.random.default_rng(0)
    ratio = []
    for _ in range(60):
        before = rng.normal(size=(12, 12))
        weights = rng.normal(size=(5, 5))
        after = kf.corr2d(before, weights) + rng.normal(scale=0.5, size=(8, 8))
        fit = kf.learn(before, after, size=5)
        assert fit.verdict != "exact"
        ratio.append(np.mean(((fit.kernel.weights - weights) / fit.stderr) ** 2))
    assert 0.75 <= np.mean(ratio) <= 1.45


@pytest.mark.parametrize("detail", [1e-1, 1e-3, 1e-5])
def test_faint_detail_determines_the_kernel_where_numbers_are_exact(detail):
    rng = np.random.default_rng(0)
    smooth = ndi.gaussian_filter(rng.normal(size=(90, 80)), 6)
    before = smooth / smooth.std() + detail * rng.normal(size=(90, 80))
    weights = rng.normal(size=(3, 3))
    fit = kf.learn(before, kf.corr2d(before, weights), size=3)
    assert fit.rank == 9
    np.testing.assert_allclose(fit.kernel.weights, weights, atol=1e-13 / detail**2 + 1e-9)


def test_no_detail_leaves_directions_undetermined():
    before = np.outer(np.random.default_rng(0).normal(size=90), np.ones(80))
    fit = kf.learn(before, ndi.uniform_filter(before, 3), size=3)
    assert fit.rank == 3
    assert fit.verdict == "undetermined"
