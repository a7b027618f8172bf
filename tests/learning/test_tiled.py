"""A pair as tiles is learned as the pair in memory is: to the bit where sums are exact, and by any worker."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from skimage import data

import kernelfield as kf
from kernelfield.engine.blas import one_thread
from kernelfield.errors import ArgumentError, DataError
from kernelfield.learning import Fit
from kernelfield.learning.learner import learned
from kernelfield.learning.pair import prepare
from kernelfield.learning.sums import in_tree, joined, levels
from kernelfield.learning.support import Support
from kernelfield.learning.tiled import _corners, _windows, grid, prepare_tiles

CAMERA = data.camera()[:300, :340]
RANDOM = np.random.default_rng(7)
BINOMIAL = np.outer([1, 2, 1], [1, 2, 1]) / 16
SKEWED = np.array([[0.1, 0.0, -0.3], [0.2, 0.5, 0.1], [0.0, 0.3, 0.1]])
#: What does not hang on the order of float64 sums where both images are integers.
FIXED = [
    "kernel",
    "offset",
    "boundary",
    "cval",
    "name",
    "integers",
    "divisor",
    "rank",
    "samples",
    "excluded",
    "rounding",
]
FIXED += ["verdict", "outliers", "anchor", "channels"]


@dataclass(frozen=True)
class Array:
    """An array as a picture of tiles."""

    pixels: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        return self.pixels.shape[:2]

    @property
    def channels(self) -> int:
        return 1 if self.pixels.ndim == 2 else self.pixels.shape[2]

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.pixels.dtype

    def planes(self, rows: slice, columns: slice) -> list[np.ndarray]:
        part = self.pixels[rows, columns]
        return [part] if part.ndim == 2 else [np.ascontiguousarray(plane) for plane in np.moveaxis(part, 2, 0)]


def tiled(before: np.ndarray, after: np.ndarray, mask: np.ndarray | None = None, **options: Any) -> Fit:
    clip = options.pop("clip", "auto")
    given = {name: options.pop(name) for name in ("size", "max_size", "noise") if name in options}
    pair = prepare_tiles(Array(before), Array(after), None if mask is None else Array(mask), clip, **options)
    # As `learn` does: other threads add in another order.
    with one_thread():
        return learned(pair, **given)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, kf.Kernel):
        return np.array_equal(a.weights, b.weights) and a.anchor == b.anchor
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b


def different(a: Fit, b: Fit, names: tuple[str, ...] | list[str] | None = None) -> list[str]:
    names = names or [one.name for one in fields(Fit) if one.name not in ("left_out", "notes")]
    return [name for name in names if not same(getattr(a, name), getattr(b, name))]


def rounded(image: np.ndarray, kernel: np.ndarray, noise: float = 0.0, mode: str = "reflect") -> np.ndarray:
    values = ndimage.correlate(image.astype(np.float64), kernel, mode=mode)
    values += noise * np.random.default_rng(3).normal(size=image.shape)
    return np.clip(np.floor(values + 0.5), np.iinfo(image.dtype).min, np.iinfo(image.dtype).max).astype(image.dtype)


WIDE = CAMERA.astype(np.uint16) * 100 + 7
COLOUR = data.astronaut()[:200, :220]
INTEGERS: dict[str, Callable[[], tuple[np.ndarray, np.ndarray]]] = {
    "exact": lambda: (CAMERA, rounded(CAMERA, BINOMIAL)),
    "wrap": lambda: (CAMERA, rounded(CAMERA, np.full((3, 5), 1 / 15), mode="wrap")),
    "noisy": lambda: (CAMERA, rounded(CAMERA, SKEWED, 3.0)),
    "16 bits": lambda: (WIDE, rounded(WIDE, SKEWED, 5.0)),
    "colour": lambda: (COLOUR, np.stack([rounded(COLOUR[..., i], BINOMIAL) for i in range(3)], 2)),
    "valid": lambda: (CAMERA, np.ascontiguousarray(rounded(CAMERA, BINOMIAL)[1:-1, 1:-1])),
    "clipped": lambda: (CAMERA, rounded(CAMERA, 2.0 * SKEWED, 2.0)),
}


@pytest.mark.parametrize("name", INTEGERS)
def test_integers_are_learned_to_the_bit_as_in_memory(name: str) -> None:
    before, after = INTEGERS[name]()
    whole, parts = kf.learn(before, after), tiled(before, after, tile=77)
    assert different(whole, parts, FIXED) == []
    assert parts.residual_sd == pytest.approx(whole.residual_sd, rel=1e-5)
    np.testing.assert_allclose(parts.stderr, whole.stderr, rtol=1e-4, atol=1e-15)


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_floats_are_those_of_memory_within_rounding(noise: float) -> None:
    before = CAMERA / 255.0
    after = ndimage.correlate(before, SKEWED, mode="mirror") + noise * RANDOM.normal(size=before.shape)
    whole, parts = kf.learn(before, after), tiled(before, after, tile=77)
    assert (parts.verdict, parts.boundary, parts.size) == (whole.verdict, whole.boundary, whole.size)
    np.testing.assert_allclose(parts.kernel.weights, whole.kernel.weights, atol=1e-12)
    # One tile is the picture: the same sums.
    assert different(whole, tiled(before, after)) == []


def test_the_order_in_which_tiles_arrive_changes_no_bit() -> None:
    before = (CAMERA / 255.0).astype(np.float32)
    after = ndimage.correlate(before, SKEWED) + RANDOM.normal(size=before.shape).astype(np.float32) / 100

    def shuffled(leaf: Callable[[int], Any], count: int) -> Any:
        order = list(range(count))
        random.Random(count).shuffle(order)
        made = {number: leaf(number) for number in order}
        values = [made[number] for number in range(count)]
        for level in levels(count):
            values = [joined([values[i] for i in group]) for group in level]
        return values[0]

    assert different(tiled(before, after, tile=40), tiled(before, after, tile=40, engine=shuffled)) == []
    assert different(tiled(before, after, tile=40), tiled(before, after, tile=40, engine=in_tree)) == []


def test_least_squares_over_explicit_windows_of_the_whole_picture() -> None:
    before = RANDOM.normal(size=(90, 110))
    after = ndimage.correlate(before, SKEWED) + 0.3 * RANDOM.normal(size=before.shape)
    fit = tiled(before, after, tile=32, size=3)
    windows = np.lib.stride_tricks.sliding_window_view(before, (3, 3)).reshape(-1, 9)
    design = np.hstack([windows, np.ones((len(windows), 1))])
    expected = np.linalg.lstsq(design, after[1:-1, 1:-1].ravel(), rcond=None)[0]
    np.testing.assert_allclose(fit.kernel.weights.ravel(), expected[:9], atol=1e-9)
    assert fit.offset == pytest.approx(expected[9], abs=1e-9)
    assert fit.samples == windows.shape[0]


@pytest.fixture(scope="module")
def large() -> tuple[np.ndarray, np.ndarray]:
    """A picture of which the sample is less than a third."""
    before = np.tile(data.camera(), (2, 2))[:900, :700]
    return before, rounded(before, BINOMIAL)


def test_a_sample_finds_the_support_and_every_pixel_is_reproduced(large: tuple[np.ndarray, np.ndarray]) -> None:
    fit = tiled(*large, tile=300, window=160, max_size=9, margin=16)
    assert (fit.verdict, fit.description, fit.boundary) == ("exact", "binomial 3×3", "reflect")
    assert (fit.samples, fit.excluded) == (898 * 698, 0)
    assert any(note.startswith("the size was searched for on") for note in fit.notes)


def test_one_wrong_pixel_that_no_window_of_the_sample_holds_is_found(large: tuple[np.ndarray, np.ndarray]) -> None:
    before, after = large[0], large[1].copy()
    # Between the first window, of rows and columns 0 to 160, and the next one.
    after[250, 250] += 100
    fit = tiled(before, after, tile=300, window=160, max_size=9, margin=16)
    assert (fit.verdict, fit.outliers, fit.left_out) == ("exact", 1, None)
    assert fit.samples + fit.excluded == 898 * 698
    near = after.copy()
    near[250, 250] = large[1][250, 250] + 3
    assert tiled(before, near, tile=300, window=160, max_size=9, margin=16).outliers == 1


def test_masked_pixels_and_those_that_are_not_finite_do_not_count() -> None:
    before, after = CAMERA, rounded(CAMERA, BINOMIAL)
    spoilt, mask = after.copy(), np.ones(after.shape, bool)
    spoilt[100:130, 60:90], mask[100:130, 60:90] = 0, False
    fit = tiled(before, spoilt, mask.astype(np.uint8), tile=77)
    # Windows that hold a masked pixel of the before do not count either.
    assert (fit.verdict, fit.excluded, fit.name) == ("exact", 32 * 32, "binomial")
    assert different(kf.learn(before, spoilt, mask=mask), fit, FIXED) == []
    floats = after.astype(np.float64)
    floats[~mask] = np.nan
    assert tiled(before, floats, tile=77).excluded == 30 * 30


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ArgumentError, match="after: expected 1 channel"):
        tiled(CAMERA, np.stack([CAMERA] * 3, 2))
    with pytest.raises(ArgumentError, match="expected the size of before, 300×340, or up to 62 less"):
        tiled(CAMERA, CAMERA[:100, :100])
    with pytest.raises(ArgumentError, match="mask: expected the shape of before"):
        tiled(CAMERA, CAMERA, np.ones((3, 3), np.uint8))
    with pytest.raises(DataError, match="after: expected usable pixels"):
        tiled(CAMERA / 255.0, np.full(CAMERA.shape, np.nan))


def scenes() -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
    rng = np.random.default_rng(4)
    floats = rng.normal(size=(47, 53)) + 20.0
    holes = floats.copy()
    holes[10:13, 20:22], holes[46, 52] = np.nan, np.inf
    marked, more = floats.copy(), rng.normal(size=(47, 53, 3))
    marked[rng.random(marked.shape) < 0.02] = -9999.0
    more[rng.random(more.shape) < 0.02] = 1e6
    whole = rng.integers(3, 250, (47, 53)).astype(np.uint8)
    mask = (rng.random((47, 53)) > 0.05).astype(np.uint8)
    # Beyond what the after lies over, halves.
    below, beside = np.round(5.0 * floats), np.round(5.0 * floats)
    below[-1] += 0.5
    beside[:, -1] += 0.5
    few, dark = floats.copy(), whole // 8
    few[[3, 20, 40], [5, 9, 50]], dark[dark < 2] = -9999.0, 255
    return {
        "types": (floats.astype(np.float32), floats[::-1], None),
        "types, turned": (floats, floats[::-1].astype(np.float32), None),
        "halves below": (below, below[:-5, :-2], None),
        "halves beside": (beside, beside[:-5, :-2], None),
        "few marked": (few, floats, None),
        "few marked, and many": (few, marked, None),
        "many marked, and few": (marked, few, None),
        "bytes far off": (dark, dark, None),
        "floats": (floats, 2.0 * floats + 7.0, None),
        "integers": (whole, 255 - whole, None),
        "colour": (np.stack([whole, 255 - whole], 2), np.stack([whole, whole // 2], 2), None),
        "a crop": (floats, 3.0 * floats[2:-3, 4:-1], None),
        "a crop, masked": (floats, 3.0 * floats[2:-3, 4:-1], mask),
        "a crop, its mask": (floats, 3.0 * floats[2:-3, 4:-1], mask[:42, :48]),
        "masked": (floats, floats, mask),
        "holes": (holes, floats[::-1], None),
        "holes after": (floats, holes, None),
        "marked": (marked, floats, None),
        "marked after": (floats, marked, mask),
        "both marked, colour": (more, more[::-1], None),
        "marked, colour": (more, more[::-1].clip(-5.0, 5.0), None),
    }  # fmt: skip


SCENES = scenes()


@pytest.mark.parametrize("tile", [9, 20, 1000])
@pytest.mark.parametrize("name", SCENES)
def test_sums_of_tiles_are_those_of_the_whole(name: str, tile: int) -> None:
    before, after, mask = SCENES[name]
    pair = prepare_tiles(Array(before), Array(after), None if mask is None else Array(mask), tile=tile)
    whole = prepare(before, after, None if mask is None else mask != 0)
    for key in (
        "step",
        "before_step",
        "epsilon",
        "levels",
        "markers",
        "before_unit",
        "after_unit",
        "seek_ends",
        "ends",
    ):
        assert getattr(pair, key) == getattr(whole, key), key
    assert pair.shapes == whole.shapes
    assert pair.clipped == whole.clipped
    for one, other in zip(pair.planes, whole.planes, strict=True):
        assert (one.before_shift, one.after_shift) == (other.before_shift, other.after_shift)
        assert one.before_square == pytest.approx(other.before_square)
        assert one.before_mean == pytest.approx(other.before_mean, abs=1e-9)
    for support in (Support(0, 0, 1, 1), Support(-1, -2, 3, 4), Support(2, -3, 2, 1), Support(-4, 1, 2, 3)):
        for one, other in zip(pair.statistics(support), whole.statistics(support), strict=True):
            assert (one.count, one.size) == (other.count, other.size)
            for key in ("gram", "cross", "total", "after_total", "after_square"):
                found, expected = getattr(one, key), getattr(other, key)
                np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-6, err_msg=key)


@pytest.mark.parametrize("low", [True, False])
@pytest.mark.parametrize("high", [True, False])
def test_whether_values_lie_at_an_end(low: bool, high: bool) -> None:
    image = np.random.default_rng(0).integers(2, 250, (30, 34)).astype(np.uint8)
    after = image.copy()
    after[3, 4], after[20, 30] = 0 if low else 1, 255 if high else 254
    assert prepare_tiles(Array(image), Array(after), clip=(0, 255), tile=11).clipped == (low or high)
    assert not prepare_tiles(Array(image), Array(after), clip=None, tile=11).clipped


def test_afters_smaller_than_kernels_of_the_margin_explain() -> None:
    image = np.random.default_rng(0).normal(size=(40, 44))
    for after in (image[4:-4], image[:, 4:-4], image):
        prepare_tiles(Array(image), Array(after), margin=4)
    for after in (image[4:-5], image[:, 4:-5]):
        with pytest.raises(ArgumentError, match="or up to 8 less"):
            prepare_tiles(Array(image), Array(after), margin=4)
    with pytest.raises(ArgumentError, match="expected the size of before"):
        prepare_tiles(Array(image[1:]), Array(image), margin=4)


def test_tiles_and_windows_of_an_axis() -> None:
    for n in range(1, 40):
        for side in (1, 4, 7):
            spans = grid(n, side)
            assert [a for a, _ in spans] == [0, *[b for _, b in spans[:-1]]]
            assert spans[-1][1] == n
            assert all(b - a == side for a, b in spans[:-1])
            # Half a tile and more is one of its own.
            assert len(spans) == 1 or side // 2 <= spans[-1][1] - spans[-1][0] < side + max(1, side // 2)
    assert grid(3000, 1024) == ((0, 1024), (1024, 2048), (2048, 3000))
    assert grid(2 * 1024 + 255, 1024) == ((0, 1024), (1024, 2303))
    assert grid(2 * 1024 + 256, 1024) == ((0, 1024), (1024, 2048), (2048, 2304))
    assert _windows(1920, 640) == ((0, 1920),)
    for n in (1921, 2500, 5000):
        starts = [a for a, _ in _windows(n, 640)]
        # The first at the beginning, one in the middle, the last at the end, on the grid of JPEG's blocks.
        assert np.abs(np.array(starts) - [0, (n - 640) / 2, n - 640]).max() <= 4
        assert not any(a % 8 for a in starts)
        assert all(b == min(n, a + 640) for a, b in _windows(n, 640))


def test_corners_hold_what_tells_the_border() -> None:
    assert _corners(2560) == ((0, 2560),)
    [near, far] = _corners(2561)
    # A side of 1,024 pixels and the largest kernel twice; the same at the other end.
    assert near[0] == 0
    assert near[1] >= 1024 + 2 * 255
    assert far[1] == 2561
    assert far[1] - far[0] >= 2 * 255
    assert near[1] <= far[0]


@pytest.mark.parametrize("gap", [(0, 0), (4, 6)])
@pytest.mark.parametrize("holes", [False, True])
def test_the_sample_is_its_windows_side_by_side(gap: tuple[int, int], holes: bool) -> None:
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(90 + gap[0], 100 + gap[1])), rng.normal(size=(90, 100)) + 3.0
    if holes:
        before[rng.random(before.shape) < 0.1], after[rng.random(after.shape) < 0.1] = np.nan, np.nan
    margin = 3
    pair = prepare_tiles(Array(before), Array(after), clip=(-100.0, 4.5), margin=margin, window=16)
    [plane] = pair.sample.planes
    spans = [_windows(n, 16) for n in after.shape]
    assert [len(each) for each in spans] == [3, 3]
    expected = [[before[a : b + gap[0], c : d + gap[1]] for c, d in spans[1]] for a, b in spans[0]]
    expected = np.block(expected)
    bad = np.isnan(expected)
    np.testing.assert_array_equal(plane.before, np.where(bad, plane.before_shift, expected))
    assert (plane.bad_before is None) == (not holes)
    if holes:
        np.testing.assert_array_equal(plane.bad_before, bad)
    tops, lefts = (np.cumsum([0, *[b - a + more for a, b in each]]) for each, more in zip(spans, gap))
    assert plane.after.shape == (tops[-1] - gap[0], lefts[-1] - gap[1])
    counts, clipped = np.ones(plane.after.shape, bool), np.zeros(plane.after.shape, bool)
    for i, (top, (a, b)) in enumerate(zip(tops, spans[0])):
        for j, (left, (c, d)) in enumerate(zip(lefts, spans[1])):
            clipped[top : top + b - a, left : left + d - c] = after[a:b, c:d] >= 4.5
            first, last = [margin if k else 0 for k in (i, j)], [margin if k < 2 else 0 for k in (i, j)]
            inner = slice(top + first[0], top + b - a - last[0]), slice(left + first[1], left + d - c - last[1])
            own = after[a + first[0] : b - last[0], c + first[1] : d - last[1]]
            counts[inner] = np.isnan(own)
            good = ~np.isnan(own)
            np.testing.assert_array_equal(plane.after[inner][good], own[good])
    np.testing.assert_array_equal(plane.bad_after, counts)
    np.testing.assert_array_equal(plane.clipped, clipped)
    assert np.isfinite(plane.after).all()


def test_shifts_of_large_pictures_are_those_of_the_whole_to_the_bit() -> None:
    rng = np.random.default_rng(6)
    before, after = rng.normal(size=(200, 330)) + 20.0, rng.normal(size=(200, 330)) * 7.0
    whole = prepare(before, after).planes[0]
    found = [prepare_tiles(Array(before), Array(after), tile=tile).planes[0] for tile in (50, 77, 1000)]
    for plane in found:
        assert (plane.before_shift, plane.after_shift) == (whole.before_shift, whole.after_shift)
        assert (plane.before_square, plane.before_mean) == (found[0].before_square, found[0].before_mean)
        assert plane.before_square == pytest.approx(whole.before_square, rel=1e-12)
