"""Signs in the residual and alternatives to a filter, part by part, against their definitions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage as ndi

from kernelfield.learning import alternatives as module
from kernelfield.learning.estimate import estimate_kernel
from kernelfield.learning.pair import prepare
from kernelfield.learning.residual import Map, residual_maps
from kernelfield.learning.support import Support, centred

pytestmark = pytest.mark.core
SCENE = ndi.gaussian_filter(np.random.default_rng(0).normal(size=(90, 100)), 1.5)
SCENE = np.clip(120.0 + 45.0 * SCENE / SCENE.std(), 0.0, 255.0)
PAIR = prepare(SCENE, SCENE, clip=None)


def map_of(predicted, residual, contrast=None, bad=None) -> Map:
    contrast = np.zeros(predicted.shape) if contrast is None else contrast
    return Map(*(np.asarray(image, np.float64) for image in (predicted, residual, contrast)), bad)


@pytest.mark.parametrize("texture", [1.0, 2.0, 5.0])
@pytest.mark.parametrize("bend", [0.0, 1.0])
def test_curve_and_texture_by_their_definition(texture, bend):
    rng = np.random.default_rng(0)
    predicted, contrast = rng.normal(size=(2, 60, 70))
    residual = rng.normal(size=predicted.shape) * np.where(contrast > 0.0, texture, 1.0) + bend * predicted**2
    seen = module.measure_signs(PAIR, [map_of(predicted, residual, contrast)], 0.25)
    flat = residual.ravel()
    order = np.argsort(contrast.ravel(), kind="stable")
    expected = np.sqrt(np.mean(flat[order[-1050:]] ** 2) / np.mean(flat[order[:1050]] ** 2))
    assert seen.texture == pytest.approx(expected, rel=1e-6)
    parts = np.array_split(flat[np.argsort(predicted.ravel(), kind="stable")], 32)
    total = float(((flat - flat.mean()) ** 2).sum())
    between = sum(part.size * (part.mean() - flat.mean()) ** 2 for part in parts) - total * 31 / flat.size
    assert seen.curve == pytest.approx(max(0.0, between / total), abs=1e-9)
    assert (seen.correlation, seen.looks_like, seen.every) == (0.25, None, False)
    few = map_of(predicted[:19, :21], residual[:19, :21], contrast[:19, :21])
    assert (module.measure_signs(PAIR, [few], 0.25).curve, few.residual.size) == (0.0, 399)


@pytest.mark.parametrize(("power", "grows"), [(1.0, True), (0.0, True), (3.0, False)])
def test_noise_that_grows_with_the_brightness_alone(power, grows):
    rng = np.random.default_rng(0)
    predicted = rng.uniform(1.0, 9.0, (80, 90))
    contrast = rng.normal(size=predicted.shape)
    busy = np.where(contrast > 0.7, 2.0, 1.0) if power == 3.0 else 1.0
    residual = rng.normal(size=predicted.shape) * predicted ** min(power, 1.0) * busy
    for correlation, found in ((0.09, grows), (-0.09, grows), (0.11, False), (-0.11, False)):
        assert module.measure_signs(PAIR, [map_of(predicted, residual, contrast)], correlation).grows == found
    # A brightness without any residual says nothing of its size.
    still = np.where(predicted < 3.0, 0.0, residual)
    assert not module.measure_signs(PAIR, [map_of(predicted, still, contrast)], 0.0).grows


@pytest.mark.parametrize(("gamma", "power"), [(0.5, True), (2.2, True), (1.0, False)])
@pytest.mark.parametrize("top", [1.0, 255.0])
def test_tone_curves_are_powers_or_points(gamma, power, top):
    x = np.linspace(0.0, 1.0, 60)
    said = module._curve(top * x, top * x**gamma, PAIR)
    if power:
        assert said == f"a tone curve (brightness to the power {gamma:.2g})"
    else:
        assert said.startswith("a tone curve (0 → 0, ")
    bent = module._curve(top * x, top * np.clip(2.0 * x - 0.5, 0.05, 0.95), PAIR)
    half = f"{top / 2:.3g} → {top / 2:.3g}"
    assert f"0 → {0.05 * top:.3g}" in bent
    assert half in bent


@pytest.mark.parametrize(("way", "words"), [
    (lambda image: image[::-1], "upside down"), (lambda image: image[:, ::-1], "left to right"),
    (lambda image: image[::-1, ::-1], "turned by 180°"), (np.rot90, "turned by 90°"),
    (lambda image: np.rot90(image, 3), "turned by 270°"), (lambda image: image.T, "rows and columns exchanged"),
])  # fmt: skip
def test_mirrors_and_turns(way, words):
    square = SCENE[:, :90]
    after = 0.5 * way(square) + 20.0
    assert words in module._turned(square, after, float(after.var()), float(after.var()))
    # Not where a filter explains it as well.
    assert module._turned(square, after, float(after.var()), 0.0) is None
    rng = np.random.default_rng(0)
    for correlation, found in ((0.91, True), (0.88, False)):
        noise = rng.normal(size=after.shape)
        mixed = way(square) - square.mean() + square.std() * np.sqrt(1.0 / correlation**2 - 1.0) * noise
        assert (module._turned(square, mixed, float(mixed.var()), float(mixed.var())) is not None) == found


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda image: ndi.median_filter(image, 3), "the median of 3×3"),
        (lambda image: ndi.median_filter(image, 5), "the median of 5×5"),
        (lambda image: ndi.maximum_filter(image, 3), "the maximum of 3×3"),
        (lambda image: ndi.minimum_filter(image, 5), "the minimum of 5×5"),
        (lambda image: ndi.rank_filter(image, 6, 3), "value 7 of 9 in order of 3×3"),
    ],
)
def test_order_statistics(make, words):
    rough = np.rint(SCENE + np.random.default_rng(0).normal(scale=20.0, size=SCENE.shape))
    pair = prepare(rough, make(rough), clip=None)
    estimate = estimate_kernel(pair, centred((5, 5)))
    maps = residual_maps(pair, estimate.kernel, estimate.offsets, estimate.support)
    seen = module.examine(pair, estimate, maps, 0.0)
    assert seen.looks_like == f"{words} pixels (an order statistic)"
    assert seen.every


def test_thresholds_and_curves():
    for after, words in (((SCENE > 120) * 200.0, "a threshold"), (255.0 * (SCENE / 255.0) ** 0.5, "a tone curve (")):
        pair = prepare(np.rint(SCENE), np.rint(after), clip=None)
        estimate = estimate_kernel(pair, centred((3, 3)))
        maps = residual_maps(pair, estimate.kernel, estimate.offsets, estimate.support)
        assert words in module.examine(pair, estimate, maps, 0.5).looks_like


def test_backgrounds_and_vignettes():
    rng = np.random.default_rng(0)
    predicted = rng.normal(10.0, 3.0, (90, 100))
    down, right = np.meshgrid(np.linspace(-1, 1, 90), np.linspace(-1, 1, 100), indexing="ij")
    noise = rng.normal(size=predicted.shape)
    surface = 5.0 * (down**2 + 0.5 * right**3 - down * right)
    assert "background" in module._uneven([map_of(predicted, surface + noise)])
    assert "vignetting" in module._uneven([map_of(predicted, 0.2 * surface * predicted + noise)])
    assert module._uneven([map_of(predicted, noise)]) is None
    # What a larger kernel would explain is neither.
    around = predicted - ndi.uniform_filter(predicted, 3)
    assert module._uneven([map_of(predicted, 30.0 * around / around.std() + noise)]) is None
    assert module._uneven([map_of(predicted[:19, :20], surface[:19, :20])]) is None
    bad = rng.random(predicted.shape) < 0.3
    assert "background" in module._uneven([map_of(predicted, np.where(bad, 1e3, surface + noise), None, bad)])


def test_parts_that_moved_differently():
    rng = np.random.default_rng(0)
    shifts = np.kron(rng.normal(size=(6, 7)), np.ones((12, 12)))
    predicted = SCENE[:74, :86]
    slope = np.zeros(predicted.shape)
    slope[1:-1] = predicted[2:] - predicted[:-2]
    residual = np.zeros(predicted.shape)
    residual[1:73, 1:85] = 0.1 * shifts * slope[1:73, 1:85]
    assert "moved differently" in module._distorted(map_of(predicted, residual))
    assert "moved differently" in module._distorted(map_of(predicted.T, residual.T))
    assert module._distorted(map_of(predicted, rng.normal(size=predicted.shape))) is None
    assert module._distorted(map_of(predicted[:37, :37], residual[:37, :37])) is None


@pytest.mark.parametrize("seed", range(4))
def test_the_misfit_is_that_of_least_squares(seed):
    rng = np.random.default_rng(seed)
    terms, values = rng.normal(size=(5, 90)) * 10.0 ** rng.integers(-6, 6, (5, 1)), rng.normal(size=90)
    scaled = terms / np.abs(terms).max(axis=1, keepdims=True)
    left = values - np.linalg.lstsq(scaled.T, values, rcond=None)[0] @ scaled
    assert module._misfit(terms, values) == pytest.approx(float(left @ left), rel=1e-9)
    twice = np.concatenate([terms, terms[:1]])
    assert module._misfit(twice, values) == pytest.approx(float(left @ left), rel=1e-6)


def test_channels_that_are_mixed():
    rng = np.random.default_rng(0)
    before = np.stack([ndi.gaussian_filter(rng.normal(size=(60, 70)), 1.0) for _ in range(3)])
    own = np.stack([ndi.uniform_filter(one, 3) for one in before])
    for share, found in ((0.0, False), (0.8, True)):
        after = own + share * np.roll(before, 1, axis=0) + 0.01 * rng.normal(size=before.shape)
        pair = prepare(before, after, clip=None, channel_axis=0)
        estimate = estimate_kernel(pair, centred((3, 3)))
        maps = residual_maps(pair, estimate.kernel, estimate.offsets, estimate.support)
        assert (module._mixed(pair, estimate.support, maps) is not None) == found


def examined(before: np.ndarray, after: np.ndarray, size: int = 5, correlation: float = 0.5, **options):
    pair = prepare(before, after, clip=None, **options)
    estimate = estimate_kernel(pair, centred((size, size)))
    maps = residual_maps(pair, estimate.kernel, estimate.offsets, estimate.support)
    return module.examine(pair, estimate, maps, correlation)


ROUGH = np.clip(SCENE + np.random.default_rng(3).normal(scale=25.0, size=SCENE.shape), 1.0, 255.0)
BLUR = np.outer([1.0, 2.0, 1.0], [1.0, 2.0, 1.0]) / 16.0


@pytest.mark.parametrize("top", [1.0, 255.0])
def test_filters_of_light_and_filters_before_a_curve(top):
    light = 255.0 * ndi.correlate((ROUGH / 255.0) ** 2.2, BLUR) ** (1 / 2.2)
    seen = examined(ROUGH * top / 255.0, light * top / 255.0)
    assert seen.looks_like.startswith("a linear filter of light")
    assert not seen.every
    curved = 255.0 * (ndi.correlate(ROUGH, BLUR) / 255.0) ** 0.5
    seen = examined(ROUGH * top / 255.0, curved * top / 255.0)
    assert seen.looks_like.startswith("a filter and then a tone curve or gamma")
    # Negative numbers are no light; and a blur alone is neither.
    below = examined(ROUGH * top / 255.0 - 0.5 * top, light * top / 255.0 - 0.5 * top)
    assert below.looks_like is None or "light" not in below.looks_like
    noise = 0.002 * top * np.random.default_rng(0).normal(size=ROUGH.shape)
    assert examined(ROUGH * top / 255.0, ndi.correlate(ROUGH, BLUR) * top / 255.0 + noise, 3, 0.0).looks_like is None


def test_filters_of_light_with_pixels_that_do_not_count():
    light = 255.0 * ndi.correlate((ROUGH / 255.0) ** 2.2, BLUR) ** (1 / 2.2)
    light[20:24, 30:36] = np.nan
    assert examined(ROUGH, light).looks_like.startswith("a linear filter of light")
    curved = 255.0 * (ndi.correlate(ROUGH, BLUR) / 255.0) ** 0.5
    curved[20:24, 30:36] = np.nan
    assert examined(ROUGH, curved).looks_like.startswith("a filter and then a tone curve")


def test_calm_parts_without_residual_are_as_rounding_leaves_them():
    contrast = np.arange(4900.0).reshape(70, 70)
    residual = np.where(contrast < 2450.0, 0.0, 3.0)
    pair = prepare(np.rint(SCENE), np.rint(SCENE), clip=None)
    assert pair.step == 1.0
    seen = module.measure_signs(pair, [map_of(contrast, residual, contrast)], 0.0)
    assert seen.texture == pytest.approx(3.0 / np.sqrt(1.05 / 12.0))


def test_tiles_without_detail_have_not_moved():
    residual = 1e-3 * np.random.default_rng(0).normal(size=(62, 62))
    assert module._distorted(map_of(np.full((62, 62), 7.0), residual)) is None


def test_small_turns_and_zooms_are_movement():
    down, right = np.meshgrid(np.linspace(-1, 1, 88), np.linspace(-1, 1, 98), indexing="ij")
    slope = SCENE[2:, 1:-1] - SCENE[:-2, 1:-1], SCENE[1:-1, 2:] - SCENE[1:-1, :-2]
    residual = np.zeros(SCENE.shape)
    noise = np.random.default_rng(0).normal(size=SCENE.shape)
    for moved in (slope[0] * right, slope[0] * down, slope[1] * right, slope[1] * down):
        residual[1:-1, 1:-1] = 0.05 * moved
        assert module._moves(SCENE, residual + 1e-3 * noise, float(SCENE.var()))
    assert not module._moves(SCENE, noise, float(SCENE.var()))
    # A tenth of the variance is large.
    assert module._moves(SCENE, noise, 9.0)
    assert not module._moves(SCENE, noise, 11.5)


@pytest.mark.parametrize("degrees", [4.0, -4.0])
def test_turned_pictures_are_told(degrees):
    after = ndi.rotate(SCENE, degrees, reshape=False, order=3, mode="reflect")
    way = "counter-clockwise" if degrees > 0 else "clockwise"
    assert examined(SCENE, after, 3).looks_like == f"the picture rotated by 4° {way}"


@pytest.mark.parametrize(("down", "right", "found"), [(2, 3, True), (3, 2, True), (1, 3, False), (3, 1, False)])
def test_blocks_of_one_value(down, right, found):
    rng = np.random.default_rng(0)
    before = rng.permutation(40 * 42).reshape(40, 42).astype(float)
    after = np.kron(rng.permutation(400).reshape(20, 20), np.ones((down, right)))[:40, :42]
    plane = prepare(before, np.pad(after, ((0, 40 - len(after)), (0, 42 - after.shape[1])), "edge"), clip=None).planes[
        0
    ]
    said = module._pixelated(plane)
    assert (said is not None) == found
    if found:
        assert said.startswith(f"blocks of {down}×{right} pixels of one value each")


def test_blocks_of_the_before_and_few_blocks_tell_nothing():
    rng = np.random.default_rng(0)
    before = rng.permutation(40 * 42).reshape(40, 42).astype(float)
    blocks = np.kron(rng.permutation(420).reshape(20, 21), np.ones((2, 2)))
    assert module._pixelated(prepare(before, blocks, clip=None).planes[0]) is not None
    for coarse in (blocks, before.repeat(2, 0)[:40], before.repeat(2, 1)[:, :42]):
        assert module._pixelated(prepare(coarse, blocks, clip=None).planes[0]) is None
    # Four changes of a line tell a distance, three do not.
    for across, found in ((10, True), (14, False)):
        wide = np.kron(rng.permutation(100).reshape(20, 5), np.ones((2, across)))[:, :42]
        assert (module._pixelated(prepare(before, wide, clip=None).planes[0]) is not None) == found


def test_the_sets_of_pixels_that_are_ordered():
    sizes = {n: [(name, int(held.sum())) for name, held in module._footprints(n)] for n in (2, 3, 5, 7)}
    assert sizes[2] == [("2×2", 4)]
    assert sizes[3] == [("3×3", 9), ("a cross of 3×3", 5)]
    names = ["5×5", "a cross of 5×5", "a diamond of 5×5", "a disk of 5×5", "a disk of 5×5"]
    assert sizes[5] == list(zip(names, (25, 9, 13, 13, 21)))
    assert [count for _, count in sizes[7]] == [49, 13, 25, 29, 37]
    cross = dict(module._footprints(5))["a cross of 5×5"]
    assert cross[2].all()
    assert cross[:, 2].all()


@pytest.mark.parametrize(("share", "alike", "explains"), [
    (0.24, 0.9, True), (0.26, 0.9, False), (0.49, 0.34, True), (0.49, 0.36, False), (0.51, 0.34, False),
    (0.79, 0.09, True), (0.79, -0.09, True), (0.79, 0.11, False), (0.79, -0.11, False), (0.81, 0.0, False),
])  # fmt: skip
def test_shares_that_explain(share, alike, explains):
    assert module._Share(2.0, 2.0 * share, 2.0 * share * alike).explains == explains


def test_the_share_is_that_of_least_squares():
    rng = np.random.default_rng(0)
    keep = rng.random((20, 30)) < 0.8
    share = module._Share()
    total = left = neighbours = 0.0
    for _ in range(2):
        terms, image = rng.normal(size=(3, int(keep.sum()))), ndi.uniform_filter(rng.normal(size=keep.shape), (1, 3))
        residual = image[keep] + 5.0
        share.add(terms, residual, keep)
        rest = np.zeros(keep.shape)
        rest[keep] = residual - terms.T @ np.linalg.lstsq(terms.T, residual, rcond=None)[0]
        total += ((residual - residual.mean()) ** 2).sum()
        left += (rest**2).sum()
        down, right = (rest[1:] * rest[:-1]).sum(), (rest[:, 1:] * rest[:, :-1]).sum()
        neighbours += max(down, right, key=abs)
    np.testing.assert_allclose((share.total, share.left, share.neighbours), (total, left, neighbours), rtol=1e-9)


def varied(shape=(70, 76), slope=0.3, seed=0):
    """A pair of which the weights right of the middle rise towards the right, with its maps."""
    rng = np.random.default_rng(seed)
    before = rng.normal(size=shape)
    place = np.linspace(-1.0, 1.0, shape[1])
    after = ndi.correlate(before, BLUR) + slope * place * np.roll(before, -1, axis=1) + 0.05 * rng.normal(size=shape)
    pair = prepare(before, after, clip=None)
    estimate = estimate_kernel(pair, centred((3, 3)))
    return pair, estimate, residual_maps(pair, estimate.kernel, estimate.offsets, estimate.support)


def test_kernels_that_vary_over_the_picture():
    pair, estimate, maps = varied()
    assert "kernel varies" in module._varies(pair, estimate.support, maps)
    pair, estimate, maps = varied(slope=0.0)
    assert module._varies(pair, estimate.support, maps) is None
    # Of 32 pixels, but not of fewer; where few pixels count, not at all.
    for side, found in ((34, True), (33, False)):
        pair, estimate, maps = varied((side, side + 6))
        assert (module._varies(pair, estimate.support, maps) is not None) == found
    pair, estimate, maps = varied()
    for count, found in ((401, True), (399, False)):
        bad = np.ones(maps[0].residual.size, bool)
        bad[np.random.default_rng(1).choice(bad.size, count, replace=False)] = False
        part = map_of(maps[0].predicted, maps[0].residual, None, bad.reshape(maps[0].residual.shape))
        assert (module._varies(pair, estimate.support, [part]) is not None) == found


def test_kernels_that_vary_over_a_picture_larger_than_the_part_that_is_read():
    pair, estimate, maps = varied((64, 300), 0.6)
    assert "kernel varies" in module._varies(pair, estimate.support, maps)


@pytest.mark.parametrize("size", [(5, 7), (9, 9), (25, 23)])
def test_the_part_that_is_tried_with_a_curve(size):
    rng = np.random.default_rng(0)
    before = rng.normal(size=(200, 210)) + 3.0
    pair = prepare(before, before, clip=None)
    kernel = np.zeros(size)
    kernel[2, 3] = 1.0
    support = centred(size)
    part = module._middle_part(pair, replace(estimate_kernel(pair, centred((3, 3))), support=support, kernel=kernel))
    reach = [min(9, max(6, n // 2)) for n in size]
    assert part.kernel.shape == (2 * reach[0] + 1, 2 * reach[1] + 1)
    # The weight lies in the middle of what is tried, and over the same pixel as before.
    assert part.kernel[reach[0], reach[1]] == 1.0
    assert part.kernel.sum() == 1.0
    off = 2 - size[0] // 2, 3 - size[1] // 2
    starts = [max(0, r - o) for r, o in zip(reach, off)]
    stops = [n - max(0, r + o) for n, r, o in zip(before.shape, reach, off)]
    plane = pair.planes[0]
    np.testing.assert_array_equal(part.after, plane.after[starts[0] : stops[0], starts[1] : stops[1]])
    under = part.before[reach[0] : part.before.shape[0] - reach[0], reach[1] : part.before.shape[1] - reach[1]]
    rows, columns = (slice(a + o, b + o) for a, b, o in zip(starts, stops, off))
    np.testing.assert_array_equal(under, plane.before[rows, columns])
    assert not part.bad.any()


def test_the_part_of_a_small_picture_keeps_most_of_it():
    pair = prepare(SCENE[:40, :33], SCENE[:40, :33], clip=None)
    part = module._middle_part(pair, estimate_kernel(pair, centred((9, 9))))
    assert part.kernel.shape == (11, 9)
    assert part.after.shape == (30, 25)


def test_the_part_of_a_large_picture_is_its_corner():
    wide = np.random.default_rng(0).normal(size=(40, 620))
    wide[20, 30] = np.nan
    pair = prepare(np.random.default_rng(1).normal(size=wide.shape), wide, clip=None)
    part = module._middle_part(pair, estimate_kernel(pair, centred((3, 3))))
    assert part.after.shape == (30, 512)
    assert np.argwhere(part.bad).tolist() == [[15, 24]]


def test_a_part_is_fitted_anew():
    rng = np.random.default_rng(0)
    before, bad = rng.normal(size=(30, 34)), rng.random((28, 30)) < 0.2
    windows = np.lib.stride_tricks.sliding_window_view(before, (3, 5)).reshape(28, 30, 15)
    after = rng.normal(size=(28, 30)) + windows @ rng.normal(size=15) + 7.0
    design = np.concatenate([windows, np.ones((28, 30, 1))], axis=2)
    for mask in (bad, np.zeros_like(bad)):
        expected = design @ np.linalg.lstsq(design[~mask], after[~mask], rcond=None)[0]
        np.testing.assert_allclose(module._refitted(before, after, mask, (3, 5)), expected, atol=1e-8)


def test_a_sample_of_large_residuals():
    image = np.arange(400.0 * 500.0).reshape(400, 500)
    predicted, residual, contrast = module._columns([map_of(image, -image, 2.0 * image)])
    np.testing.assert_array_equal(predicted, image.ravel()[::3])
    np.testing.assert_array_equal(residual, -predicted)
    np.testing.assert_array_equal(contrast, 2.0 * predicted)
    two = module._columns([map_of(image[:100], image[:100])] * 2)
    assert two[0].size == 100_000
    bad = image % 2 == 0
    assert module._columns([map_of(image[:100], image[:100], None, bad[:100])])[0].size == 25_000


def test_pictures_that_are_turned_where_much_is_left():
    rng = np.random.default_rng(0)
    fine = ndi.gaussian_filter(rng.normal(size=(120, 130)), 3.0)
    turned = ndi.rotate(fine, 5.0, reshape=False, order=3, mode="reflect")
    pair = prepare(fine, turned, clip=None)
    estimate = estimate_kernel(pair, centred((3, 3)))
    (found,) = residual_maps(pair, estimate.kernel, estimate.offsets, estimate.support)
    assert "rotated by 5" in module._warped(pair.planes[0], found, estimate.support)
    # With a residual that is not large, and not what movement leaves, it is not asked.
    small = map_of(found.predicted, 0.01 * turned.std() * rng.normal(size=found.residual.shape))
    assert module._warped(pair.planes[0], small, estimate.support) is None


def test_small_pictures_have_no_room_for_wide_windows():
    rng = np.random.default_rng(0)
    rough = np.rint(rng.uniform(0.0, 255.0, (18, 40)))
    for shape in ((18, 40), (40, 18)):
        before = rough.reshape(shape)
        seen = examined(before, ndi.median_filter(before, 3), 3)
        assert seen.looks_like == "the median of 3×3 pixels (an order statistic)"
        # Windows of 5 pixels would lie beyond the picture.
        seen = examined(before, ndi.median_filter(before, 5), 3)
        assert seen.looks_like is None or "order statistic" not in seen.looks_like


def test_pictures_in_blocks_are_told_first():
    blocks = np.kron(np.rint(ROUGH)[::3, ::2][:30, :50], np.ones((3, 2)))
    assert examined(np.rint(ROUGH), blocks, 3).looks_like.startswith("blocks of 3×2 pixels")


def test_pictures_of_other_sizes_are_neither_turned_nor_varied():
    pair, estimate, maps = varied()
    plane = pair.planes[0]
    smaller = prepare(plane.before, plane.after[:-2, :-2], clip=None)
    estimate = estimate_kernel(smaller, Support(0, 0, 3, 3))
    maps = residual_maps(smaller, estimate.kernel, estimate.offsets, estimate.support)
    assert module._varies(smaller, estimate.support, maps) is None
    seen = module.examine(smaller, estimate, maps, 0.5)
    assert seen.looks_like is None or "kernel varies" not in seen.looks_like


def test_no_residual_is_no_distortion():
    assert module._distorted(map_of(SCENE, np.zeros(SCENE.shape))) is None


def test_one_pixel_a_step_off_is_not_every_pixel():
    rough = np.rint(ROUGH)
    after = ndi.median_filter(rough, 3)
    assert examined(rough, after).every
    after[40, 50] += 1.0
    seen = examined(rough, after)
    assert seen.looks_like == "the median of 3×3 pixels (an order statistic)"
    assert not seen.every


def test_backgrounds_and_vignettes_of_whole_pictures():
    down, right = np.meshgrid(np.linspace(-1, 1, 90), np.linspace(-1, 1, 100), indexing="ij")
    blurred = ndi.correlate(ROUGH, BLUR) + 0.3 * np.random.default_rng(0).normal(size=ROUGH.shape)
    assert "background" in examined(ROUGH, blurred + 12.0 * (down**2 - right * down), 3).looks_like
    assert "vignetting" in examined(ROUGH, blurred * (1.0 - 0.2 * down**2 - 0.1 * right), 3).looks_like


def test_small_residuals_are_no_movement():
    noise = np.random.default_rng(0).normal(size=SCENE.shape)
    for size in (1e-3, 0.05, 1.0):
        assert not module._moves(SCENE, size * noise, float(SCENE.var()))


def test_a_curve_that_falls_again_cannot_be_undone():
    blurred = ndi.correlate(ROUGH, BLUR)
    solarised = np.where(blurred < 120.0, blurred, 240.0 - blurred)
    seen = examined(ROUGH, solarised)
    assert seen.looks_like is None or "and then a tone curve" not in seen.looks_like
