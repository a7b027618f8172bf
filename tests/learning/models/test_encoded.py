"""The residual in stored numbers, pixel by pixel, and the verdict at the ends of what it allows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import kernelfield as kf
from kernelfield.learning.fit import designed
from kernelfield.learning.models.encoded import Stored, _neighbours, judged, stored_residual, support_of
from kernelfield.learning.models.model import Asked
from kernelfield.learning.pair import Unit, prepare
from kernelfield.learning.residual import Map

WEIGHTS = np.array([[0.1, 0.2, -0.1, 0.0], [0.3, 0.4, 0.2, -0.1]])
FIT = dataclasses.replace(designed(kf.Kernel(WEIGHTS, anchor=(1, 1)), "a trial"), offset=2.0)


def pair(seed: int = 0, shape: tuple[int, ...] = (20, 23)) -> tuple[np.ndarray, np.ndarray]:
    """Return a before, and at every pixel the sum of products and noise; NaN where the window does not fit."""
    rng = np.random.default_rng(seed)
    before = rng.uniform(50.0, 200.0, shape)
    after = np.full(shape, np.nan)
    for i in range(1, shape[0]):
        for j in range(1, shape[1] - 2):
            after[i, j] = (before[i - 1 : i + 1, j - 1 : j + 3].T * WEIGHTS.T).T.sum() + 2.0
    return before, after + rng.normal(size=shape)


def expected(residual: np.ndarray, after: np.ndarray) -> tuple[float, float, float, int]:
    """Return spread, R², largest and count of the residual where it is not NaN."""
    good = np.isfinite(residual)
    kept, values = residual[good], after[good]
    r2 = 1.0 - (kept**2).sum() / ((values - values.mean()) ** 2).sum()
    return float(np.sqrt((kept**2).mean())), float(r2), float(np.abs(kept).max()), int(good.sum())


@pytest.mark.parametrize("frame", [None, (1, 1), (3, 2)])
def test_the_residual_is_that_of_every_pixel_that_counts(frame):
    """Of the same size, of the part with windows inside, and of a crop; without NaN, masked and clipped pixels."""
    before, after = pair()
    predicted = FIT.apply(before, dtype="float64")
    predicted[0], predicted[:, 0], predicted[:, -2:] = np.nan, np.nan, np.nan
    fit = FIT
    if frame is not None:
        place = tuple(slice(first, first + n) for first, n in zip(frame, (17, 18)))
        after, predicted = after[place], predicted[place]
        fit = dataclasses.replace(FIT, frame=None if frame == (1, 1) else frame)
    else:
        after = np.where(np.isfinite(after), after, 7.0)
        before[9, 9] = np.nan
        predicted[9:11, 7:11] = np.nan
    mask = np.ones(after.shape, bool)
    mask[5, 6] = False
    stored = stored_residual(fit, Asked(before, after, mask=mask, clip=(float(np.sort(after, None)[8]), 1e9)))
    residual = after - predicted
    # A mask of both pictures leaves out all windows that read the pixel.
    residual[5:7, 4:8] = np.nan if frame is None else residual[5:7, 4:8]
    residual[5, 6] = np.nan
    residual[after <= np.sort(after, None)[8]] = np.nan
    sd, r2, largest, count = expected(residual, after)
    assert (stored.sd, stored.r2, stored.largest) == pytest.approx((sd, r2, largest), rel=1e-9)
    assert stored.count == count
    [one] = stored.maps
    rows, columns = support_of(fit, stored.pair).positions(*stored.pair.shapes)
    bad = ~np.isfinite(residual[rows, columns])
    np.testing.assert_array_equal(np.zeros(bad.shape, bool) if one.bad is None else one.bad, bad)
    np.testing.assert_allclose(one.residual, np.where(bad, 0.0, residual[rows, columns]), atol=1e-9)
    np.testing.assert_allclose(one.predicted[~bad], predicted[rows, columns][~bad], atol=1e-9)
    assert one.contrast.shape == bad.shape


def test_channels_add():
    rng = np.random.default_rng(1)
    before = rng.integers(0, 256, (12, 13, 3)).astype(np.uint8)
    after = (before[..., ::-1] // 2 + rng.integers(0, 9, before.shape)).astype(np.uint8)
    fit = dataclasses.replace(designed(kf.Kernel([[0.5]]), "half"), offset=(1.0, 2.0, 3.0), channels=("R", "G", "B"))
    stored = stored_residual(fit, Asked(before, after, clip=None))
    residual = after - (before / 2.0 + [1.0, 2.0, 3.0])
    own = after - after.mean(axis=(0, 1))
    assert stored.sd == pytest.approx(np.sqrt((residual**2).mean()))
    assert stored.r2 == pytest.approx(np.clip(1.0 - (residual**2).sum() / (own**2).sum(), 0.0, 1.0))
    assert (stored.largest, stored.count) == (np.abs(residual).max(), residual.size)
    assert len(stored.maps) == 3
    for i, one in enumerate(stored.maps):
        np.testing.assert_allclose(one.residual, residual[..., i])


def test_where_nothing_counts_or_differs():
    before = np.random.default_rng(0).random((9, 9))
    fit = designed(kf.Kernel([[1.0]]), "identity")
    nothing = stored_residual(fit, Asked(before, before, mask=np.tile(np.arange(9) < 1, (9, 1))))
    assert nothing.count == 9
    flat = stored_residual(fit, Asked(before, np.full((9, 9), 3.0), clip=None))
    assert flat.r2 == 1.0
    assert flat.sd == pytest.approx(np.sqrt(((before - 3.0) ** 2).mean()))


def test_a_reduction_is_placed_by_its_anchor():
    before = np.random.default_rng(0).random((20, 20))
    found = prepare(before, before[::2, ::2], clip=None)
    fit = dataclasses.replace(FIT, stride=(2, 2), frame=(3, 3))
    assert support_of(fit, found).anchor == (1, 1)
    crop = prepare(before, before[3:15, 4:18], clip=None)
    for frame, corner in ((None, (1, 1)), ((3, 4), (3, 4))):
        support = support_of(dataclasses.replace(FIT, frame=frame), crop)
        assert (support.top, support.left) == (corner[0] - 1, corner[1] - 1)
        assert support.size == (2, 4)


def stored(largest: float, dtype: str = "uint8", sd: float = 0.29) -> Stored:
    rng = np.random.default_rng(2)
    before = rng.integers(0, 256, (40, 40)).astype(dtype)
    before = before + rng.random(before.shape) if dtype == "float64" else before
    made = prepare(before, before, clip=None)
    residual = rng.normal(scale=sd, size=before.shape)
    part = Map(before.astype(float), residual, np.ones(before.shape, np.float32), None)
    return Stored([part], sd, 0.9999, largest, before.size, made)


@pytest.mark.parametrize(("largest", "verdict"), [(0.5, "exact"), (0.5099, "exact"), (0.5101, "approximate")])
def test_every_pixel_within_half_a_step_is_exact(largest, verdict):
    fit = dataclasses.replace(FIT, verdict="approximate", errors_note="a note")
    found = judged(fit, stored(largest), 8)
    assert found.verdict == verdict
    exact = verdict == "exact"
    assert (found.rounding, found.errors_note) == (("nearest", "") if exact else (None, "a note"))
    assert (found.residual_sd, found.r2) == (0.29, 0.9999)
    assert judged(dataclasses.replace(fit, verdict="undetermined"), stored(largest), 8).verdict == "undetermined"


@pytest.mark.parametrize("before", ["exact", "approximate"])
def test_without_a_grid_the_verdict_of_the_fit_decides(before):
    found = judged(dataclasses.replace(FIT, verdict=before), stored(0.1, "float64", 1e-3), 8)
    assert found.verdict == before
    assert found.rounding is None


def test_neighbours_are_those_beside_and_below():
    rng = np.random.default_rng(3)
    parts = [rng.normal(size=shape) for shape in ((5, 7), (4, 3))]
    maps = [Map(one, one, one, None) for one in parts]
    square = sum((one**2).sum() for one in parts)
    along = sum(one[i, j] * one[i, j + 1] for one in parts for i, j in np.ndindex(one[:, 1:].shape))
    down = sum(one[i, j] * one[i + 1, j] for one in parts for i, j in np.ndindex(one[1:].shape))
    assert _neighbours(maps) == pytest.approx(max(along, down, key=abs) / square)
    turned = [Map(one.T, one.T, one.T, None) for one in parts]
    assert _neighbours(turned) == pytest.approx(max(along, down, key=abs) / square)
    assert _neighbours([Map(np.ones((2, 2)), np.array([[1.0, -2.0]]), np.ones((1, 2)), None)]) == -0.4
    assert _neighbours([Map(np.zeros((2, 2)), np.zeros((2, 2)), np.zeros((2, 2)), None)]) == 0.0


@pytest.mark.parametrize(("largest", "exact"), [(2.039, True), (2.041, False)])
def test_a_step_is_one_of_the_images(largest, exact):
    """Of planes in units of 4 the step of 1 is 4 of the images."""
    given = stored(largest, sd=1.2)
    given = dataclasses.replace(given, pair=dataclasses.replace(given.pair, after_unit=Unit(0.0, 4.0)))
    found = judged(dataclasses.replace(FIT, verdict="approximate"), given, 8)
    assert (found.verdict == "exact") == exact
    assert exact or "1.04 times that of rounding" in found.explanation
