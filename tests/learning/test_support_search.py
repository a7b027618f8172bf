"""The search for a support, step by step."""

from __future__ import annotations

import numpy as np
import pytest

from kernelfield.errors import ArgumentError, DataError
from kernelfield.learning import support_search as module
from kernelfield.learning.pair import prepare
from kernelfield.learning.support import Support, centred

pytestmark = pytest.mark.core
NOISE = np.random.default_rng(0).normal(size=(90, 97))
OWN = np.array([[1.0, -2.0, 0.5, 1.0], [0.5, 3.0, 1.0, -1.0]])


def filtered(weights: np.ndarray, place: tuple[int, int], noise: float = 0.0) -> np.ndarray:
    """Return NOISE filtered, its pixel (0, 0) of the kernel at an offset from the output, with wrapped borders."""
    after = np.zeros_like(NOISE)
    for (i, j), weight in np.ndenumerate(weights):
        after += weight * np.roll(NOISE, (-i - place[0], -j - place[1]), (0, 1))
    return after + noise * np.random.default_rng(1).normal(size=NOISE.shape)


def test_sizes_that_can_be():
    assert module.check_size(1) == (1, 1)
    assert module.check_size((3, 255)) == (3, 255)
    assert module.check_size([np.int64(4), 2]) == (4, 2)
    for size in (0, 256, (3, 0), (256, 3), True, (1, False), 2.0, (1,), (1, 2, 3), "3"):
        with pytest.raises(ArgumentError, match="size: expected one or two integers from 1 to 255"):
            module.check_size(size)
    assert (module.check_max_size(1), module.check_max_size(255)) == (1, 255)
    for size in (0, 256, True, 2.0, None):
        with pytest.raises(ArgumentError, match="max_size: expected an integer from 1 to 255"):
            module.check_max_size(size)


def test_supports_about_places():
    assert module._around(Support(-1, 0, 2, 3), 4) == Support(-5, -4, 10, 11)
    assert module._about((3, 4), (5, -6)) == Support(4, -8, 3, 4)
    assert [module._largest_odd(n) for n in (1, 3, 5, 6, 9, 90)] == [1, 1, 1, 3, 5, 59]


@pytest.mark.parametrize("place", [(-1, -3), (0, 0), (-1, 0), (4, -9)])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_the_support_is_found_with_its_place(place, noise):
    pair = prepare(NOISE, filtered(OWN, place, noise), clip=None)
    found = module.find_support(pair, 15)
    assert found.support == Support(*place, 2, 4)
    assert found.limit == 0
    if noise:
        assert found.noise == pytest.approx(noise**2, rel=0.1)


@pytest.mark.parametrize(("largest", "limit"), [(5, 5), (9, 0)])
def test_a_search_says_where_it_ended(largest, limit):
    weights = np.full((9, 9), 0.2)
    weights[4, 4] = 2.0
    found = module.find_support(prepare(NOISE, filtered(weights, (-4, -4), 0.2), clip=None), largest)
    assert found.limit == limit
    assert found.support == centred((largest, largest))


def test_sizes_that_are_given_or_implied():
    pair = prepare(NOISE, filtered(OWN, (0, 0)), clip=None)
    assert module.choose_support(pair, (4, 6), 31).support == centred((4, 6))
    valid = prepare(NOISE, filtered(OWN, (0, 0))[:-1, :-3], clip=None)
    assert module.choose_support(valid, None, 31).support == Support(0, 0, 2, 4)
    assert module.choose_support(valid, (2, 4), 31).support == Support(0, 0, 2, 4)
    small = prepare(NOISE[:8, :9], NOISE[:8, :9], clip=None)
    # 5 × 5 has 4 × 5 positions of 25 coefficients and an offset; 3 × 3 has 42 of 10.
    with pytest.raises(
        DataError, match=r"size: expected at least 26 positions for 5×5 .*; received 20 in an image of 8×9"
    ):
        module.choose_support(small, 5, 31)
    assert module.choose_support(small, 3, 31).support == centred((3, 3))


@pytest.mark.parametrize("moved", [(0, 0), (2, -1), (-2, 2)])
def test_the_best_of_places_beside_each_other(moved):
    after = filtered(OWN, (3 + moved[0], -5 + moved[1]))
    pair = prepare(NOISE, after, clip=None)
    # About (3, -5) the support of 2 × 4 begins a row above and two columns left.
    found = module._best_about(pair, (2, 4), (4, -3))
    assert found == Support(3 + moved[0], -5 + moved[1], 2, 4)
    # Of larger ones that with the kernel in its middle.
    large = module._best_about(pair, (4, 6), (4 + moved[0], -3 + moved[1]))
    assert large == Support(2 + moved[0], -6 + moved[1], 4, 6)


@pytest.mark.parametrize(("first", "second", "grown"), [
    (0.0, 0.0, (-1, -1, 3, 3)), (0.08, 0.0, (-2, -1, 4, 3)), (0.3, 0.3, (-3, -1, 5, 3)), (0.0, 0.3, (-3, -1, 5, 3)),
])  # fmt: skip
def test_a_support_grows_by_the_lines_that_the_residual_needs(first, second, grown):
    weights = np.zeros((5, 3))
    weights[2:] = np.random.default_rng(0).normal(size=(3, 3))
    weights[1, 1], weights[0, 2] = first, second
    pair = prepare(NOISE, filtered(weights, (-3, -1), 0.5), clip=None)
    found = module.grown(pair, Support(-1, -1, 3, 3), weights[2:], 0.25, 31)
    assert found == Support(*grown)
    turned = prepare(NOISE.T, filtered(weights, (-3, -1), 0.5).T, clip=None)
    found = module.grown(turned, Support(-1, -1, 3, 3), weights[2:].T, 0.25, 31)
    assert found == Support(grown[1], grown[0], grown[3], grown[2])
    assert module.grown(pair, Support(-1, -1, 3, 3), weights[2:], 0.25, 3) == Support(-1, -1, 3, 3)


@pytest.mark.parametrize("m", [1, 16, 100])
def test_scores_beyond_chance(m):
    most = (m + 5.0 * np.sqrt(2.0 * m) + 4.0) / m
    largest = 2.0 * np.log(m) + 16.0
    spread = np.full(m, 0.99 * most)
    if spread.max() < largest:
        assert not module._beyond_chance(spread)
        assert module._beyond_chance(np.full(m, 1.01 * most))
    if m == 100:
        one = np.zeros(m)
        one[3] = 0.99 * largest
        assert not module._beyond_chance(one)
        one[3] = 1.01 * largest
        assert module._beyond_chance(one)


def test_scores_are_those_of_the_detail_by_definition():
    kernel = OWN
    support, wider = Support(0, -1, 2, 4), Support(-2, -3, 6, 8)
    pair = prepare(NOISE, filtered(OWN, (0, -1), 0.4), clip=None)
    found = module._scores(pair, support, wider, kernel)
    plane = pair.planes[0]
    windows = np.lib.stride_tricks.sliding_window_view(plane.before, (2, 4))
    residual = np.zeros(NOISE.shape)
    inner = plane.after[:-1, 1:-2] - np.einsum("ijab,ab->ij", windows, kernel)
    residual[:-1, 1:-2] = inner - inner.mean()
    detail = np.zeros(NOISE.shape)
    b = plane.before
    detail[1:-1, 1:-1] = 4 * b[1:-1, 1:-1] - b[:-2, 1:-1] - b[2:, 1:-1] - b[1:-1, :-2] - b[1:-1, 2:]
    rows, columns = np.arange(3, 85), np.arange(4, 91)
    for i, j in ((0, 0), (1, 5), (5, 7), (2, 3)):
        one = residual[np.ix_(rows, columns)]
        other = detail[np.ix_(rows + i - 2, columns + j - 3)]
        expected = (one * other).sum() / np.sqrt((one**2 * other**2).sum())
        assert found[i, j] == pytest.approx(expected, abs=0.25)


@pytest.mark.parametrize("axis", [0, 1])
def test_the_likeness_of_residuals(axis):
    rng = np.random.default_rng(0)
    smooth = NOISE + np.roll(NOISE, 1, axis)
    pair = prepare(rng.normal(size=NOISE.shape), smooth, clip=None)
    assert module._likeness(pair, centred((1, 1)), np.zeros((1, 1))) == pytest.approx(0.5, abs=0.05)
    opposite = NOISE - np.roll(NOISE, 1, axis)
    pair = prepare(NOISE, opposite, clip=None)
    assert module._likeness(pair, centred((1, 1)), np.zeros((1, 1))) == pytest.approx(-0.5, abs=0.05)
    pair = prepare(NOISE, rng.normal(size=NOISE.shape), clip=None)
    assert module._likeness(pair, centred((1, 1)), np.zeros((1, 1))) == 0.0


def test_wider_supports():
    pair = prepare(NOISE, NOISE, clip=None)
    assert module.widened(centred((3, 3)), pair, 31) == centred((5, 5))
    assert module.widened(Support(-2, 0, 3, 2), pair, 31) == centred((5, 3))
    assert module.widened(centred((3, 3)), pair, 3) == centred((3, 3))
    assert module.widened(centred((59, 59)), pair, 255) == centred((59, 59))


def test_the_valid_part_has_its_corner_at_the_first_window():
    valid = prepare(NOISE, NOISE[:-1, :-3], clip=None)
    for given in (None, (2, 4)):
        assert module._of_smaller(valid, given) == (Support(0, 0, 2, 4), None)
    crop = prepare(NOISE, NOISE[5:80, 9:90], clip=None)
    support, frames = module._of_smaller(crop, (3, 3))
    assert (frames.rows, frames.columns) == (5, 9)
    assert support == Support(4, 8, 3, 3)
