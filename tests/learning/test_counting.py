"""Pixels left out, in images so large that a few of them are a small share."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage as ndi
from cases import photograph

import kernelfield as kf
from kernelfield.learning import counting as module
from kernelfield.learning.counting import count_out, count_outliers
from kernelfield.learning.estimate import estimate_kernel
from kernelfield.learning.pair import prepare
from kernelfield.learning.residual import contrast
from kernelfield.learning.support import Support


@pytest.mark.parametrize("noise", [0.01])
def test_a_few_outliers_among_many_pixels_are_not_in_the_fit(noise):
    rng = np.random.default_rng(0)
    before = rng.random((1100, 1100)).astype(np.float32)
    kernel = np.array([[1.0, 2.0, 1.0], [2.0, 5.0, 2.0], [1.0, 2.0, 1.0]]) / 17
    after = kf.correlate(before, kernel) + rng.normal(scale=noise, size=before.shape).astype(np.float32)
    clean = kf.learn(before, after, size=3)
    spoiled = after.copy()
    spoiled.ravel()[rng.choice(after.size, 5, replace=False)] += 1000.0
    fit = kf.learn(before, spoiled, size=3)
    assert fit.outliers == 5
    assert fit.stderr.max() < 1.1 * clean.stderr.max()
    np.testing.assert_allclose(fit.kernel.weights, clean.kernel.weights, atol=clean.stderr.max())


@pytest.mark.parametrize("count", [1, 4, 30])
@pytest.mark.parametrize("side", [256, 1024])
@pytest.mark.parametrize("value", [1e3, 1e5])
def test_a_few_enormous_pixels_are_left_out_and_change_nothing(side, count, value):
    rng = np.random.default_rng(side + count)
    picture = photograph("camera")
    before = picture[128:384, 128:384] if side == 256 else np.tile(picture, (2, 2))
    before = before.astype(np.float32) + rng.normal(scale=2.0, size=before.shape).astype(np.float32)
    after = kf.correlate(before, kf.kernels.gaussian(1.2)) + rng.normal(size=before.shape).astype(np.float32)
    where = np.unravel_index(rng.choice((side - 40) ** 2, count, replace=False), (side - 40, side - 40))
    rows, columns = (index + 20 for index in where)
    after[rows, columns] += np.float32(value)
    fit = kf.learn(before, after)
    assert fit.verdict == "approximate"
    assert fit.r2 > 0.99
    assert fit.outliers == count
    assert fit.left_out[rows, columns].all()
    assert fit.name == "gaussian"
    assert fit.parameters["sigma"] == pytest.approx(1.2, abs=0.03)


@pytest.mark.parametrize("gain", [1.0, 1e-9, 1e6])
def test_outliers_are_found_at_any_gain(gain):
    before = np.random.default_rng(0).normal(size=(70, 80))
    after = gain * ndi.uniform_filter(before, 3, mode="mirror")
    after[20:24, 30:40] += 1e-3 * gain
    after[50, 60] += 50.0 * gain
    fit = kf.learn(before, after, size=3)
    assert (fit.verdict, fit.outliers) == ("exact", 41)
    np.testing.assert_allclose(fit.kernel.weights, gain / 9.0, rtol=1e-9)


# The parts by themselves.


def sample_of(predicted: np.ndarray, residual: np.ndarray) -> module._Sample:
    return module._Sample(np.asarray(predicted, float), np.asarray(residual, float))


def test_the_width_of_residuals_is_robust():
    values = np.random.default_rng(0).normal(3.0, 2.0, 20_001)
    expected = 1.4826 * np.median(np.abs(values - np.median(values)))
    assert module._width(values) == pytest.approx(expected)
    values[:4000] = 1e6
    assert module._width(values) < 3.5


def test_the_misfit_of_a_line_between_level_ends():
    rng = np.random.default_rng(0)
    counts, x = rng.integers(1, 9, 64).astype(float), np.sort(rng.normal(50.0, 20.0, 64))
    y = np.clip(x, 35.0, 70.0) + rng.normal(size=64)
    costs = module._costs_of_ends(counts, x, y)
    assert costs.shape == (20, 20)
    for low, high in ((0, 0), (1, 0), (0, 1), (5, 12), (19, 19)):
        left = 0.0
        inner = slice(low, 64 - high)
        design = np.stack([np.ones(64 - low - high), x[inner]], axis=1)
        root = np.sqrt(counts[inner])
        fitted = np.linalg.lstsq(design * root[:, None], y[inner] * root, rcond=None)[0]
        left += float(counts[inner] @ (y[inner] - design @ fitted) ** 2)
        for part in (slice(0, low), slice(64 - high, 64)):
            if part.stop > part.start:
                mean = counts[part] @ y[part] / counts[part].sum()
                left += float(counts[part] @ (y[part] - mean) ** 2)
        assert costs[low, high] == pytest.approx(left, rel=1e-9)


@pytest.mark.parametrize("ends", [(-np.inf, np.inf), (20.0, np.inf), (-np.inf, 85.0), (20.0, 85.0)])
@pytest.mark.parametrize("noise", [0.01, 1.0])
def test_ends_where_the_after_stops_following(ends, noise):
    rng = np.random.default_rng(0)
    predicted = np.sort(rng.uniform(0.0, 100.0, 6400))
    after = np.clip(predicted, *ends) + rng.normal(scale=noise, size=6400)
    found = module._found_ends(sample_of(predicted, after - predicted), noise)
    assert np.isfinite(found).tolist() == np.isfinite(ends).tolist()
    for one, end in zip(found, ends):
        if np.isfinite(end):
            assert one == pytest.approx(end, abs=0.6)
    # A curve that bends by less than chance has no ends.
    assert module._found_ends(sample_of(predicted, after - predicted), 40.0) == (-np.inf, np.inf)


def test_a_curve_without_level_ends_has_none():
    predicted = np.linspace(0.0, 100.0, 6400)
    bent = 0.002 * (predicted - 50.0) ** 2
    assert module._found_ends(sample_of(predicted, bent), 1e-3) == (-np.inf, np.inf)


@pytest.mark.parametrize("size", [399, 400])
def test_the_spread_follows_the_brightness_in_bins(size):
    rng = np.random.default_rng(0)
    predicted = np.arange(float(size))
    residual = rng.normal(size=size) * np.linspace(1.0, 4.0, size)
    spread, least = module._spread(sample_of(predicted, residual), 0.0)
    parts = np.array_split(residual, 8 if size >= 400 else 1)
    whole = 0.5 * module._width(residual)
    expected = [max(module._width(part), whole) for part in parts]
    np.testing.assert_allclose(spread.widths, expected)
    np.testing.assert_allclose(spread.middles, [part.mean() for part in np.array_split(predicted, len(parts))])
    assert least == pytest.approx(min(expected))
    assert module._spread(sample_of(predicted, residual), 1e3)[1] == 1e3
    middle = spread(np.array([spread.middles[0] - 9.0, spread.middles[-1] + 9.0]))
    np.testing.assert_allclose(middle, [spread.widths[0], spread.widths[-1]])


def plain(before: np.ndarray, after: np.ndarray, **options):
    pair = prepare(before, after, **{"clip": None, **options})
    return pair, estimate_kernel(pair, SUPPORT)


SUPPORT = Support(0, -1, 2, 3)


def test_predictions_near_an_end_are_censored_by_three_deviations_and_a_step():
    rng = np.random.default_rng(0)
    before = rng.normal(size=(40, 41))
    pair, estimate = plain(before, rng.normal(size=(40, 41)))
    stepped = replace(pair, step=0.25)
    sample = module._sampled(stepped, estimate)
    assert (np.diff(sample.predicted) >= 0.0).all()
    limits = module._limits(sample, stepped, (-np.inf, 0.9), 1.0)
    width = float(limits.spread(np.array([0.9]))[0])
    assert limits.margins[1] == pytest.approx(3.0 * width + 0.25)
    assert limits.beyond == 6.0


@pytest.mark.parametrize(("factor", "large"), [(0.99, False), (1.01, True)])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_outliers_lie_beyond_six_robust_deviations(factor, large, sign):
    rng = np.random.default_rng(0)
    before = rng.normal(size=(40, 41))
    pair, estimate = plain(before, rng.normal(size=(40, 41)))
    limits = module._limits(module._sampled(pair, estimate), pair, (-np.inf, np.inf), 1.0)
    plane = pair.planes[0]
    windows = np.lib.stride_tricks.sliding_window_view(before, (2, 3))
    predicted = np.einsum("ijab,ab->ij", windows, estimate.kernel) + estimate.offsets[0]
    after = plane.after.copy()
    at = (12, 20)
    width = float(limits.spread(np.array([predicted[12, 19]]))[0])
    after[at] = predicted[12, 19] + sign * factor * 6.0 * width
    changed = replace(pair, planes=(replace(plane, after=after),))
    marks = module._marks(changed, estimate, limits)
    mask = marks.large[0]
    assert (mask is not None and bool(mask[at])) == large
    if mask is not None:
        assert mask.sum() == large
    size = np.abs(after[:-1, 1:-1] - predicted)
    assert marks.largest == pytest.approx(size.max())
    assert marks.near == [None]
    # Those beyond a higher limit are among the far ones.
    after[at] = predicted[12, 19] + sign * 41.0 * width
    far = module._marks(replace(pair, planes=(replace(plane, after=after),)), estimate, limits)
    assert np.argwhere(far.beyond(replace(limits, beyond=40.0))[0]).tolist() == [list(at)]
    assert far.beyond(replace(limits, beyond=42.0)) == [None]


@pytest.mark.parametrize("ends", [(-0.5, np.inf), (-np.inf, 0.4), (-0.5, 0.4)])
def test_predictions_near_the_ends_are_marked(ends):
    rng = np.random.default_rng(0)
    before = rng.normal(size=(40, 41))
    weights = np.array([[0.5, 0.0, 0.25], [0.0, -0.5, 0.25]])
    windows = np.lib.stride_tricks.sliding_window_view(before, (2, 3))
    predicted = np.einsum("ijab,ab->ij", windows, weights)
    after = np.zeros(before.shape)
    after[:-1, 1:-1] = predicted + rng.normal(scale=0.01, size=predicted.shape)
    pair, estimate = plain(before, after)
    spread = module._Spread(np.zeros(1), np.full(1, 0.01))
    limits = module._Limits(spread, 0.01, ends, (0.03, 0.05))
    own = np.einsum("ijab,ab->ij", windows, estimate.kernel) + estimate.offsets[0]
    marks = module._marks(pair, estimate, limits)
    expected = (own < ends[0] + 0.03) | (own > ends[1] - 0.05)
    np.testing.assert_array_equal(marks.near[0][:-1, 1:-1], expected)
    assert not marks.near[0][-1].any()
    # What lies beyond an end is far off where its prediction is inside.
    wrong = after.copy()
    place = np.argwhere(np.pad(np.abs(own) < 0.1, ((0, 1), (1, 1))))[0]
    wrong[tuple(place)] = 0.1 + (ends[1] if np.isfinite(ends[1]) else 3.0)
    changed = replace(pair, planes=(replace(pair.planes[0], after=wrong),))
    assert module._marks(changed, estimate, limits).large[0][tuple(place)]
    # A clipped value is no outlier of a prediction beyond the end.
    end = ends[1] if np.isfinite(ends[1]) else ends[0]
    clipped = np.clip(after, *ends)
    changed = replace(pair, planes=(replace(pair.planes[0], after=clipped),))
    assert np.isfinite(end)
    large = module._marks(changed, estimate, limits).large[0]
    assert large is None or not large.any()


@pytest.mark.parametrize("shape", [(30, 41), (2, 60), (60, 2)])
def test_the_contrast_of_some_positions_is_that_of_the_map(shape):
    rng = np.random.default_rng(0)
    before = rng.normal(size=(shape[0] + 1, shape[1] + 2))
    pair = prepare(before, rng.normal(size=before.shape), clip=None)
    rows, columns = SUPPORT.positions(*pair.shapes)
    size = (rows.stop - rows.start, columns.stop - columns.start)
    whole = contrast(before[SUPPORT.windows((rows, columns))], size, SUPPORT)
    flat = np.arange(0, whole.size, 3)
    np.testing.assert_allclose(module._contrast(pair.planes[0], SUPPORT, flat), whole.ravel()[flat], rtol=1e-5)


@pytest.mark.parametrize(("where", "count", "credible"), [
    ("anywhere", 0, False), ("anywhere", 3, True), ("anywhere", 200, True), ("anywhere", 395, True),
    ("anywhere", 420, False), ("busy", 3, True), ("busy", 30, False), ("busy", 200, False), ("calm", 30, True),
])  # fmt: skip
def test_outliers_are_few_and_lie_anywhere(where, count, credible):
    rng = np.random.default_rng(0)
    before = rng.normal(size=(41, 42)) * np.linspace(0.01, 1.0, 42) ** 2
    pair = prepare(before, rng.normal(size=before.shape), clip=None)
    mask = np.zeros(before.shape, bool)
    # Of 40 × 40 positions; those of a fourth may be outliers.
    rows, columns = np.divmod(rng.permutation(1600), 40)
    if where != "anywhere":
        order = np.argsort(columns, kind="stable")[:: -1 if where == "busy" else 1]
        rows, columns = rows[order], columns[order]
    mask[rows[:count], columns[:count] + 1] = True
    assert module._credible(pair, SUPPORT, [mask if count else None]) == credible


def test_masks_of_either():
    one, other = np.array([True, False, False]), np.array([False, False, True])
    assert module._either(None, None) is None
    assert module._either(one, None) is one
    assert module._either(None, other) is other
    assert module._either(one, other).tolist() == [True, False, True]


@pytest.mark.parametrize("levels", [15, 16])
def test_a_drawing_of_few_levels_has_no_outliers(levels):
    mask = np.eye(4, dtype=bool)
    spread = module._Spread(np.zeros(1), np.ones(1))
    limits = module._Limits(spread, 1.0, (-np.inf, np.inf), (0.0, 0.0))
    pair = replace(prepare(np.eye(4), np.eye(4), clip=None), levels=levels)
    found = module._Found((mask,), (None,), True, limits)
    assert found.counts(pair) == (levels == 16)
    assert found.left_out(pair) == ([mask] if levels == 16 else [None])
    assert not replace(found, credible=False).counts(pair)


def linear(seed: int = 0, noise: float = 0.05, shape=(60, 64)):
    """Return a before, and the noisy after of a kernel."""
    rng = np.random.default_rng(seed)
    before = rng.normal(size=shape)
    after = np.zeros(shape)
    windows = np.lib.stride_tricks.sliding_window_view(before, (2, 3))
    after[:-1, 1:-1] = np.einsum("ijab,ab->ij", windows, WEIGHTS)
    return before, after + noise * rng.normal(size=shape)


WEIGHTS = np.array([[0.5, 1.0, -0.25], [0.25, -0.5, 1.0]])


@pytest.mark.parametrize("count", [0, 1, 3, 40])
@pytest.mark.parametrize("size", [0.6, 1e4])
def test_pixels_that_the_filter_cannot_have_given_are_counted_out(count, size):
    before, after = linear()
    places = np.random.default_rng(1).permutation(58 * 62)[:count]
    rows, columns = places // 62, places % 62 + 1
    after[rows, columns] += size
    pair, estimate = plain(before, after, clip="auto")
    found = count_out(pair, estimate)
    assert found.outlying == count
    assert not found.censoring
    if count:
        assert found.outliers[0][rows, columns].all()
        assert count_outliers(pair, found.rule) == count
    good = np.ones(after.shape, bool)
    good[rows, columns] = False
    expected = estimate_kernel(pair.without([~good]), SUPPORT)
    np.testing.assert_allclose(found.estimate.kernel, expected.kernel, atol=1e-9)
    assert (found.pair.planes[0].bad_after is not None) == bool(count)


@pytest.mark.parametrize("settled", [False, True])
def test_a_settled_fit_is_compared_once(settled):
    before, after = linear()
    after[20, 30] += 3.0
    pair, _ = plain(before, after)
    good = np.ones(after.shape, bool)
    good[20, 30] = False
    estimate = estimate_kernel(pair.without([~good]), SUPPORT)
    found = count_out(pair, estimate, settled)
    assert found.outlying == 1
    np.testing.assert_allclose(found.estimate.kernel, estimate.kernel, atol=1e-9)


@pytest.mark.parametrize("ends", [(-1.0, np.inf), (-np.inf, 0.8), (-1.0, 0.8)])
@pytest.mark.parametrize("noise", [0.05, 0.3])
def test_clipped_values_do_not_bias_the_fit(ends, noise):
    before, after = linear(noise=0.0)
    after = np.clip(after, *ends) + noise * np.random.default_rng(2).normal(size=after.shape)
    pair, estimate = plain(before, after, clip="auto")
    biased = np.abs(estimate.kernel - WEIGHTS).max()
    found = count_out(pair, estimate)
    assert found.censoring
    assert np.abs(found.estimate.kernel - WEIGHTS).max() < 0.35 * biased
    # Without clipping all count, in spite of noise as large.
    before, after = linear(noise=noise)
    assert not count_out(*plain(before, after, clip="auto")).censoring


def test_an_after_that_was_given_its_range_is_not_sought():
    before, after = linear()
    after = np.clip(after, -1.0, 0.8)
    pair, estimate = plain(before, after, clip=(-1.0, 0.8))
    found = count_out(pair, estimate)
    assert found.censoring
    assert np.abs(found.estimate.kernel - WEIGHTS).max() < 0.02
    pair, estimate = plain(before, after + 0.05 * np.random.default_rng(2).normal(size=after.shape))
    assert not count_out(pair, estimate).censoring


def test_a_mask_whose_residuals_are_nearly_all_0_has_no_ends_to_find():
    from skimage import data
    from skimage.filters import rank

    mask = (data.horse()[60:200, 80:220] * 255).astype(np.uint8)
    fit = kf.learn(mask, rank.entropy(mask, np.ones((7, 7), np.uint8)))
    assert fit.verdict != "exact"
