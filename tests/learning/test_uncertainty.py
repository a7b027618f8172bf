"""Errors that hold: coverage under noise of several kinds, and words where they do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage as ndi
from cases import photograph
from helpers.compression import jpeg

import kernelfield as kf
from kernelfield.errors import ArgumentError
from kernelfield.learning import uncertainty as module
from kernelfield.learning.estimate import estimate_kernel
from kernelfield.learning.pair import prepare
from kernelfield.learning.residual import Map, residual_maps
from kernelfield.learning.support import Support

CAMERA = photograph("camera")[128:384, 128:384].astype(float)
KERNEL = kf.kernels.gaussian(1.0, 5)
CLEAN = kf.correlate(CAMERA, KERNEL)


def covered(afters) -> float:
    """Return the share of 95 % intervals that hold the weight."""
    hits = []
    for after in afters:
        fit = kf.learn(CAMERA, after, size=5)
        hits.append(np.abs(fit.kernel.weights - KERNEL.weights) <= 1.96 * fit.stderr)
    return float(np.mean(hits))


def test_correlated_and_unequal_noise_is_covered():
    rng = np.random.default_rng(1)
    unequal = [CLEAN + rng.normal(size=CLEAN.shape) * (0.2 + CLEAN / 20) for _ in range(8)]
    smooth = [CLEAN + 5 * ndi.gaussian_filter(rng.normal(size=CLEAN.shape), 1.0) for _ in range(8)]
    assert covered(unequal) > 0.88
    assert covered(smooth) > 0.88


@pytest.mark.parametrize("sd", [4.0, 15.0])
def test_noise_in_the_before_is_measured_or_corrected_where_given(sd):
    rng = np.random.default_rng(2)
    before, after = CAMERA + rng.normal(scale=sd, size=CAMERA.shape), CLEAN + rng.normal(size=CLEAN.shape)
    given = kf.learn(before, after, size=5, noise=(sd, 1.0))
    measured = kf.learn(before, after, size=5)
    plain = np.abs(np.linalg.lstsq(*_design(before, after), rcond=None)[0][:25] - KERNEL.weights.ravel()).max()
    for fit in (given, measured):
        assert np.abs(fit.kernel.weights - KERNEL.weights).max() < 0.5 * plain
        assert "noise in the before" in str(fit)


def _design(before, after):
    windows = np.lib.stride_tricks.sliding_window_view(before, (5, 5)).reshape(-1, 25)
    return np.c_[windows, np.ones(len(windows))], after[2:-2, 2:-2].ravel()


def test_compression_is_named():
    fit = kf.learn(CAMERA.astype(np.uint8), jpeg(np.rint(CLEAN).astype(np.uint8), 75), size=5)
    assert "JPEG" in fit.errors_note
    assert fit.name is None


@pytest.mark.parametrize("noise", [3.0, (1.0, -1.0), (1.0, np.inf), ("a", "b"), (1.0, 2.0, 3.0)])
def test_noise_that_cannot_be_is_refused(noise):
    with pytest.raises(ArgumentError, match="noise: expected the standard deviations of before and after"):
        kf.learn(CAMERA, CLEAN, size=5, noise=noise)


def test_a_mask_with_flat_tiles_has_errors():
    mask = ndi.gaussian_filter(CAMERA, 2) > 120
    outline = mask ^ ndi.binary_erosion(mask, np.ones((3, 3)))
    fit = kf.learn(mask.astype(float), outline.astype(float), size=3)
    assert fit.verdict != "exact"
    assert np.isfinite(fit.stderr).all()


# The parts by themselves.


def map_of(residual: np.ndarray, bad: np.ndarray | None = None) -> Map:
    return Map(np.zeros_like(residual), residual, np.zeros_like(residual), bad)


@pytest.mark.parametrize("channels", [1, 2])
def test_the_correlation_of_neighbours(channels):
    rng = np.random.default_rng(0)
    images = [ndi.uniform_filter1d(rng.normal(size=(31, 42)), 3, axis=axis) for axis in (1, 0)][:channels]
    along = sum(float((one[:, 1:] * one[:, :-1]).sum()) for one in images)
    down = sum(float((one[1:] * one[:-1]).sum()) for one in images)
    expected = max(along, down, key=abs) / sum(float((one**2).sum()) for one in images)
    assert module._neighbours([map_of(one) for one in images]) == pytest.approx(expected)
    turned = module._neighbours([map_of(one.T) for one in images])
    assert turned == pytest.approx(expected)
    opposite = module._neighbours([map_of(one * (-1.0) ** np.arange(42)) for one in images])
    assert channels == 2 or opposite < -0.3
    bad = np.zeros((31, 42), bool)
    bad[4:9, 5:20] = True
    zeroed = [np.where(bad, 0.0, one) for one in images]
    spoilt = [map_of(np.where(bad, 99.0, one), bad) for one in images]
    assert module._neighbours(spoilt) == pytest.approx(module._neighbours([map_of(one) for one in zeroed]))
    assert module._neighbours([map_of(np.zeros((5, 5)))]) == 0.0


@pytest.mark.parametrize(
    ("n", "size", "count", "width"),
    [(120, 3, 12, 10), (119, 3, 11, 11), (500, 3, 12, 42), (9, 3, 1, 9), (100, 33, 3, 34)],
)
def test_lengths_are_cut_into_equal_parts(n, size, count, width):
    cuts = module._cut(n, size)
    assert (len(cuts), cuts[0].stop) == (count, width)
    assert [i for cut in cuts for i in range(cut.start, cut.stop)] == list(range(n))


def test_the_cuts_that_a_part_has():
    cuts = [slice(0, 10), slice(10, 20), slice(20, 25)]
    assert module._inside(cuts, 0, 25) == list(enumerate(cuts))
    assert module._inside(cuts, 5, 9) == [(0, slice(0, 5)), (1, slice(5, 9))]
    assert module._inside(cuts, 10, 10) == [(1, slice(0, 10))]
    assert module._inside(cuts, 19, 6) == [(1, slice(0, 1)), (2, slice(1, 6))]


def jumps(maps, first):
    return module._jumps([module._edges(maps, axis) for axis in (0, 1)], first)


@pytest.mark.parametrize(("corner", "edge"), [((0, 0), 8), ((3, 5), 8), ((7, 1), 8)])
@pytest.mark.parametrize("jump", [1.0, 0.0])
@pytest.mark.parametrize("channels", [1, 2])
def test_jumps_at_the_edges_of_blocks(corner, edge, jump, channels):
    rng = np.random.default_rng(0)
    maps = []
    for _ in range(channels):
        rows, columns = (np.arange(n) + first for n, first in zip((70, 61), corner))
        level = rng.normal(size=(12, 12))
        residual = rng.normal(size=(70, 61)) + jump * level[np.ix_(rows // edge, columns // edge)]
        bad = rng.random(residual.shape) < 0.05
        maps.append(map_of(np.where(bad, 1e4, residual), bad))
    assert jumps(maps, corner) == bool(jump)
    # Blocks that lie elsewhere are not those of JPEG.
    assert not jumps(maps, (corner[0] + 4, corner[1] + 3))


def test_a_corner_is_looked_for_where_lines_eight_pixels_apart_jump(monkeypatch):
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(70, 61))
    blocks = np.kron(rng.normal(size=(10, 9)), np.ones((8, 8)))[3:73, 5:66]
    asked = []
    monkeypatch.setattr(module.jpeg, "corner", lambda pair: asked.append(pair) or (5, 3))
    assert not module.is_blocky("noise", [map_of(noise)], (0, 0))
    assert module.is_blocky("blocks", [map_of(noise + blocks)], (0, 0))
    assert module.is_blocky("whole", [map_of(noise + blocks)], (3, 5))
    assert asked == ["blocks"]


def test_jumps_along_one_axis_and_in_small_pictures_are_no_blocks():
    rng = np.random.default_rng(0)
    stripes = rng.normal(size=(64, 64)) + 0.4 * rng.normal(size=8)[np.arange(64) // 8]
    assert not jumps([map_of(stripes)], (0, 0))
    blocks = rng.normal(size=(64, 64)) + 3.0 * np.kron(rng.normal(size=(8, 8)), np.ones((8, 8)))
    assert jumps([map_of(blocks)], (0, 0))
    # Fewer than three edges of a phase.
    assert not jumps([map_of(blocks[:24])], (0, 0))
    assert jumps([map_of(blocks[:40])], (0, 0))


@pytest.mark.parametrize("sd", [0.5, 2.0])
def test_noise_of_the_before_echoes_in_the_residual(sd):
    rng = np.random.default_rng(0)
    kernel = KERNEL.weights
    noise = ndi.correlate(rng.normal(scale=sd, size=(200, 210)), kernel)[4:-4, 4:-4]
    variance, certain = module._echo([map_of(noise)], kernel)
    assert certain
    assert variance == pytest.approx(sd**2, rel=0.15)
    bad = rng.random(noise.shape) < 0.02
    spoilt, certain = module._echo([map_of(np.where(bad, 1e3, noise + 7.0), bad)], kernel)
    assert certain
    assert spoilt == pytest.approx(sd**2, rel=0.2)
    both, _ = module._echo([map_of(noise), map_of(noise, np.ones(noise.shape, bool))], kernel)
    assert both == variance
    white = module._echo([map_of(rng.normal(size=(200, 210)))], kernel)
    assert not white[1]
    assert module._echo([map_of(noise)], np.ones((1, 1))) == (0.0, False)
    assert module._echo([map_of(np.zeros((20, 20)))], kernel) == (0.0, False)
    opposite = noise * np.where(np.indices(noise.shape).sum(axis=0) % 2, 1.0, -1.0)
    assert module._echo([map_of(opposite)], kernel)[0] < 0.1 * sd**2


def test_the_lags_of_the_echo_by_their_definition():
    rng = np.random.default_rng(0)
    kernel, residual = rng.normal(size=(3, 2)), rng.normal(size=(40, 30))
    residual -= residual.mean()
    product = norm = 0.0
    for down in range(3):
        for right in range(-1, 2):
            if (down, right) <= (0, 0):
                continue
            own = 0.0
            for i, j in np.ndindex(3, 2):
                if 0 <= i + down < 3 and 0 <= j + right < 2:
                    own += kernel[i, j] * kernel[i + down, j + right]
            a = residual[: 40 - down, max(0, -right) : 30 - max(0, right)]
            b = residual[down:, max(0, right) : 30 + min(0, right)]
            product, norm = product + own * float((a * b).sum()), norm + own**2
    found, certain = module._echo([map_of(residual)], kernel)
    assert found == pytest.approx(max(product, 0.0) / (norm * 1200))
    # By the products alone of noise that is alike as much as the limit says.
    assert not certain


def fitted(noise: float = 1.0, seed: int = 0, shape=(64, 61)):
    rng = np.random.default_rng(seed)
    before = rng.normal(size=shape) * np.linspace(0.2, 2.0, shape[1])
    after = ndi.correlate(before, np.arange(6.0).reshape(2, 3), origin=(-1, 0)) + noise * rng.normal(size=shape)
    pair = prepare(before, after, clip=None)
    return pair, estimate_kernel(pair, Support(0, -1, 2, 3))


def test_the_scores_of_tiles_by_their_definition():
    pair, estimate = fitted()
    solved = module._Solved.of(estimate, 0.0)
    maps = residual_maps(pair, solved.kernel, solved.offsets, estimate.support)
    tiles = module._tiles(pair, estimate, solved, maps)
    windows = np.lib.stride_tricks.sliding_window_view(pair.planes[0].before, (2, 3))
    about = windows - windows.mean(axis=(0, 1))
    residual, contrast = maps[0].residual, maps[0].contrast
    rows, columns = module._cut(63, 2), module._cut(59, 3)
    assert len(tiles.counts) == len(rows) * len(columns)
    for which, (row, column) in enumerate((row, column) for row in rows for column in columns):
        expected = np.einsum("ij,ijab->ab", residual[row, column], about[row, column]).ravel()
        np.testing.assert_allclose(tiles.scores[which], expected, atol=1e-8)
        assert tiles.counts[which] == residual[row, column].size
        assert tiles.contrast[which] == pytest.approx(np.mean(contrast[row, column] ** 2), rel=1e-5)
    assert tiles.square == pytest.approx((residual**2).sum())
    # Without the maps they are found again.
    again = module._tiles(pair, estimate, solved)
    np.testing.assert_allclose(again.scores, tiles.scores, atol=1e-8)


@pytest.mark.parametrize("noise", [0.0, 0.3, 5.0])
def test_the_noise_of_the_before_is_taken_from_the_gram_matrix(noise):
    _, estimate = fitted()
    solved = module._Solved.of(estimate, noise**2)
    gram = estimate.moments.gram
    count = estimate.moments.count
    if noise == 5.0:
        # More noise than signal: no direction is amplified beyond 20 over the noise.
        assert np.linalg.eigvalsh(solved.inverse).max() == pytest.approx(20.0 / (count * 25.0))
        return
    expected = np.linalg.solve(gram - count * noise**2 * np.eye(6), estimate.moments.cross)
    np.testing.assert_allclose(solved.kernel.ravel(), expected, rtol=1e-8)
    assert solved.offsets == tuple(s.offset(solved.kernel) for s in estimate.statistics)


@pytest.mark.parametrize(("factor", "wider"), [(1.0, False), (3.0, True)])
def test_scores_of_tiles_that_scatter_more_than_pixels_widen_the_errors(factor, wider):
    pair, estimate = fitted()
    solved = module._Solved.of(estimate, 0.0)
    tiles = module._tiles(pair, estimate, solved)
    rng = np.random.default_rng(1)
    count = len(tiles.counts)
    # Scores as they are by chance, times a factor.
    root = np.linalg.cholesky(estimate.moments.gram * estimate.variance / count)
    scores = factor * rng.normal(size=(count, 6)) @ root.T
    scores -= scores.mean(axis=0)
    found = replace(tiles, scores=scores)
    stderr, disagreement, off = module._errors(estimate, solved, found)
    assert (stderr.mean() > 1.5 * estimate.stderr.mean()) == wider
    influence = scores @ solved.inverse
    clustered = np.sqrt((influence**2).sum(axis=0) * count / (count - 1)).reshape(2, 3)
    expected = np.maximum(estimate.stderr, clustered) if wider else estimate.stderr
    np.testing.assert_allclose(stderr, expected, rtol=1e-6)
    calm = tiles.contrast <= np.median(tiles.contrast)
    weight = tiles.contrast * tiles.counts
    share = weight[calm].sum() / weight.sum()
    miss = influence[calm].sum(axis=0)
    null = (1 - share) ** 2 * (influence[calm] ** 2).sum(axis=0) + share**2 * (influence[~calm] ** 2).sum(axis=0)
    assert disagreement == pytest.approx(np.sqrt(np.mean(miss**2 / null)))
    np.testing.assert_allclose(off.ravel(), np.abs(miss) / max(0.5 - share, 0.1))
    few = module._Tiles(scores[:11], tiles.counts[:11], tiles.contrast[:11], tiles.square)
    plain, one, none = module._errors(estimate, solved, few)
    np.testing.assert_allclose(plain, estimate.stderr)
    assert (one, none.any()) == (1.0, False)
    more = module._Tiles(scores[:12], tiles.counts[:12], tiles.contrast[:12], tiles.square)
    assert module._errors(estimate, solved, more)[1] != 1.0


@pytest.mark.parametrize("sd", [0.0, 0.15])
def test_noise_of_the_before_is_measured_by_calm_and_busy_tiles(sd):
    rng = np.random.default_rng(4)
    clean = rng.normal(size=(150, 160)) * np.linspace(0.2, 3.0, 160)
    after = ndi.correlate(clean, np.arange(6.0).reshape(2, 3), origin=(-1, 0)) + 0.3 * rng.normal(size=clean.shape)
    pair = prepare(clean + sd * rng.normal(size=clean.shape), after, clip=None)
    estimate = estimate_kernel(pair, Support(0, -1, 2, 3))
    solved = module._Solved.of(estimate, 0.0)
    maps = residual_maps(pair, solved.kernel, solved.offsets, estimate.support)
    found = module._measured_noise(pair, estimate, maps, module._tiles(pair, estimate, solved, maps))
    if sd:
        assert found[2] == pytest.approx(found[0] / found[1])
        assert abs(found[0] - sd**2) < 4.0 * found[1]
        assert found[2] > 4.0
    else:
        assert found is None or found[2] < 3.0


def test_errors_of_noise_of_the_before_that_is_given():
    pair, estimate = fitted()
    plain = module.measure_errors(pair, estimate, (0.0, 1.0))
    np.testing.assert_allclose(plain.kernel, estimate.kernel)
    np.testing.assert_allclose(plain.stderr, estimate.stderr, rtol=0.3)
    assert (plain.noise, plain.measured, plain.suspected, plain.blocky) == (0.0, False, 0.0, False)
    given = module.measure_errors(pair, estimate, (0.3, 1.0))
    solved = module._Solved.of(estimate, 0.09)
    np.testing.assert_allclose(given.kernel, solved.kernel)
    assert given.offsets == solved.offsets
    assert (given.noise, given.measured) == (pytest.approx(0.3), False)
    scaled = replace(pair, before_unit=replace(pair.before_unit, scale=2.0))
    np.testing.assert_allclose(module.measure_errors(scaled, estimate, (0.6, 1.0)).kernel, solved.kernel)
    again = module.applied(given, estimate)
    np.testing.assert_allclose(again.kernel, solved.kernel)


@pytest.mark.parametrize("sd", [0.0, 0.3])
def test_noise_of_the_before_is_corrected_for_where_it_is_certain(sd):
    rng = np.random.default_rng(4)
    clean = rng.normal(size=(150, 160)) * np.linspace(0.2, 3.0, 160)
    weights = np.arange(6.0).reshape(2, 3)
    after = ndi.correlate(clean, weights, origin=(-1, 0)) + 0.3 * rng.normal(size=clean.shape)
    pair = prepare(clean + sd * rng.normal(size=clean.shape), after, clip=None)
    estimate = estimate_kernel(pair, Support(0, -1, 2, 3))
    found = module.measure_errors(pair, estimate, None)
    assert found.measured == bool(sd)
    assert found.noise == pytest.approx(sd, abs=0.05)
    if sd:
        assert np.abs(found.kernel - weights).max() < 0.5 * np.abs(estimate.kernel - weights).max()
        assert (np.abs(found.kernel - weights) < 4.0 * found.stderr).all()
    else:
        np.testing.assert_array_equal(found.kernel, estimate.kernel)


@pytest.mark.parametrize("smooth", [False, True])
def test_errors_under_restrictions_see_residuals_that_are_alike(smooth):
    rng = np.random.default_rng(5)
    before = ndi.gaussian_filter(rng.normal(size=(120, 126)), 2.0)
    noise = rng.normal(size=before.shape)
    after = ndi.correlate(before, np.arange(6.0).reshape(2, 3), origin=(-1, 0))
    after += 5.0 * ndi.gaussian_filter(noise, 2.0) if smooth else noise
    pair = prepare(before, after, clip=None)
    estimate = estimate_kernel(pair, Support(0, -1, 2, 3))
    tiles = module._tiles(pair, estimate, module._Solved.of(estimate, 0.0))
    count, inverse = len(tiles.scores), estimate.solution.inverse
    clustered = np.sqrt(((tiles.scores @ inverse) ** 2).sum(axis=0) * count / (count - 1.0)).reshape(2, 3)
    variance = tiles.square / (estimate.moments.count - 1)
    plain = np.sqrt(np.diag(inverse @ estimate.moments.gram @ inverse) * variance).reshape(2, 3)
    found = module.widened(pair, estimate)
    if smooth:
        np.testing.assert_allclose(found, estimate.stderr * np.maximum(clustered / plain, 1.0), rtol=1e-6)
        assert found.mean() > 1.5 * estimate.stderr.mean()
    else:
        np.testing.assert_array_equal(found, estimate.stderr)
    # What a restriction holds has no error, and none that is wider.
    held = inverse.copy()
    held[2], held[:, 2] = 0.0, 0.0
    stderr = estimate.stderr.copy()
    stderr[0, 2] = 0.0
    solution = replace(estimate.solution, inverse=held)
    other = module.widened(pair, replace(estimate, solution=solution, stderr=stderr))
    assert other[0, 2] == 0.0
    assert np.isfinite(other).all()
    assert (other.mean() > 1.4 * stderr.mean()) == smooth


def test_few_tiles_leave_the_errors_as_they_are():
    rng = np.random.default_rng(5)
    before = rng.normal(size=(30, 34))
    after = before + 5.0 * ndi.gaussian_filter(rng.normal(size=before.shape), 3.0)
    pair = prepare(before, after, clip=None)
    estimate = estimate_kernel(pair, Support(0, 0, 2, 2))
    assert len(module._tiles(pair, estimate, module._Solved.of(estimate, 0.0)).scores) < 12
    np.testing.assert_array_equal(module.widened(pair, estimate), estimate.stderr)


def test_tiles_count_the_pixels_that_count():
    rng = np.random.default_rng(5)
    before, good = rng.normal(size=(80, 84)), rng.random((80, 84)) < 0.9
    pair = prepare(before, before, good, clip=None)
    estimate = estimate_kernel(pair, Support(0, 0, 1, 1))
    tiles = module._tiles(pair, estimate, module._Solved.of(estimate, 0.0))
    rows, columns = module._cut(80, 1), module._cut(84, 1)
    assert tiles.counts.tolist() == [good[row, column].sum() for row in rows for column in columns]


def test_the_echo_of_two_weights_lies_at_the_lag_between_them():
    noise = np.random.default_rng(5).normal(size=(90, 96))
    for kernel, other in ((np.array([[1.0, 1.0]]), 1), (np.array([[1.0], [1.0]]), 0)):
        residual = 0.3 * (noise + np.roll(noise, 1, other))
        empty = np.zeros(noise.shape)
        echo, certain = module._echo([Map(empty, residual, empty, None)], kernel)
        assert certain
        assert echo == pytest.approx(0.09, rel=0.1)
        echo, certain = module._echo([Map(empty, 0.3 * noise, empty, None)], kernel)
        assert not certain
