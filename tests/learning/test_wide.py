"""Kernels too wide for a Gram matrix against least squares on explicit windows, and against kernels that are known."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage as ndi
from cases import photograph

import kernelfield as kf
from kernelfield.errors import ArgumentError
from kernelfield.learning import wide
from kernelfield.learning.free import fit_free
from kernelfield.learning.pair import prepare
from kernelfield.learning.separable import fit_lines
from kernelfield.learning.support import Support, centred
from kernelfield.learning.wide import predicts

pytestmark = pytest.mark.core


def lstsq(before: np.ndarray, after: np.ndarray, size: tuple[int, int], good: np.ndarray) -> np.ndarray:
    """Return weights, then the offset, of least squares over the windows that count."""
    windows = np.lib.stride_tricks.sliding_window_view(before, size).reshape(-1, size[0] * size[1])[good.ravel()]
    inner = after[size[0] // 2 :, size[1] // 2 :][: good.shape[0], : good.shape[1]][good]
    return np.linalg.lstsq(np.c_[windows, np.ones(len(windows))], inner, rcond=None)[0]


@pytest.mark.parametrize("masked", [False, True])
def test_conjugate_gradients_end_at_least_squares(masked):
    rng = np.random.default_rng(0)
    before = ndi.uniform_filter(rng.normal(size=(60, 70)), 2) + 7.0
    after = (
        ndi.correlate(before, rng.normal(size=(5, 6)), mode="mirror") + 3.0 + rng.normal(scale=0.1, size=before.shape)
    )
    mask = np.ones(before.shape, bool)
    if masked:
        mask[20:24, 30:50] = False
        after[~mask] = 1e3
    # A mask of both images' shape leaves out the windows that touch it.
    found = fit_free(prepare(before, after, mask if masked else None), centred((5, 6)))
    good = ~np.lib.stride_tricks.sliding_window_view(~mask, (5, 6)).any(axis=(2, 3))
    after = np.where(mask, after, 0.0)
    expected = lstsq(before, after, (5, 6), good & mask[2:, 3:][: good.shape[0], : good.shape[1]])
    np.testing.assert_allclose(found.kernel.ravel(), expected[:-1], atol=0.3 * found.error)
    assert found.offsets[0] == pytest.approx(expected[-1], abs=0.05)


@pytest.mark.parametrize("size", [(21, 21), (15, 33)])
def test_errors_of_conjugate_gradients_are_those_of_trials(size):
    before = photograph("camera")[100:300, 100:300].astype(float)
    weights = np.random.default_rng(0).normal(size=size) / 100
    clean = ndi.correlate(before, weights, mode="mirror")
    misses, said = [], []
    for seed in range(6):
        found = fit_free(prepare(before, clean + np.random.default_rng(seed).normal(size=clean.shape)), centred(size))
        misses.append(found.kernel - weights)
        said.append(found.error)
    assert 0.8 < np.sqrt(np.mean(np.square(misses))) / np.mean(said) < 1.2


def test_errors_of_lines_are_those_of_trials():
    before = photograph("camera")[100:300, 100:300].astype(float)
    rng = np.random.default_rng(1)
    column, row = rng.random(21), rng.random(35)
    weights = np.outer(column, row) / (column.sum() * row.sum())
    clean = ndi.correlate(before, weights, mode="mirror")
    ratios = []
    for seed in range(8):
        pair = prepare(before, clean + np.random.default_rng(seed).normal(scale=0.5, size=clean.shape))
        lines = fit_lines(pair, Support(-10, -17, 21, 35, separable=True))
        ratios.append((lines.kernel - weights) / lines.stderr())
    assert 0.8 < np.sqrt(np.mean(np.square(ratios))) < 1.25


@pytest.mark.parametrize("signed", [False, True])
def test_a_wide_separable_kernel_of_any_weights(signed):
    rng = np.random.default_rng(2)
    before = rng.random((220, 220)) if signed else photograph("camera").astype(float)[:300, :300]
    column, row = (rng.normal(size=n) if signed else (rng.random(n) + 0.2) / 22 for n in (37, 41))
    weights = np.outer(column, row)
    # Beside a large offset a small residual would be lost from sums of squares.
    fit = kf.learn(before, ndi.correlate(before, weights, mode="mirror") + 1e3)
    assert (fit.verdict, fit.size, fit.boundary) == ("exact", (37, 41), "mirror")
    np.testing.assert_allclose(fit.kernel.weights, weights, atol=1e-9)


def test_channels_with_wide_kernels_of_their_own_are_told():
    # Two channels: a mix of three has so many weights that the test would take ten times as long.
    before = np.random.default_rng(0).normal(size=(150, 150, 2))
    size, widths = (29, 41), (37, 41)
    own = [ndi.uniform_filter(before[..., i], (29, width)) for i, width in enumerate(widths)]
    after = np.stack(own, axis=2) + np.random.default_rng(1).normal(scale=1e-3, size=before.shape)
    fit = kf.learn(before, after, size=size)
    assert fit.model == "separate"
    for bank, width in zip(fit.bank[:, 0], widths):
        margin = (41 - width) // 2
        box = np.pad(np.full((29, width), 1.0 / (29 * width)), ((0, 0), (margin, margin)))
        np.testing.assert_allclose(bank, box, atol=1e-4)
    assert "the channels disagree" in kf.learn(before, after, size=size, channels="shared").explanation
    same = kf.learn(before, np.stack([ndi.uniform_filter(before[..., i], size) for i in range(2)], axis=2), size=size)
    assert same.verdict == "exact"


def test_a_wide_kernel_of_any_weights_is_exact():
    before = photograph("camera").astype(float)
    y, x = np.mgrid[-20:21, -20:21]
    weights = (y**2 + x**2 <= 20.5**2) / 1.0
    weights /= weights.sum()
    fit = kf.learn(before, ndi.correlate(before, weights, mode="mirror"))
    assert fit.verdict == "exact"
    wider = [(n - 41) // 2 for n in fit.size]
    expected = np.pad(weights, [(n, n) for n in wider])
    np.testing.assert_allclose(fit.kernel.weights, expected, atol=1e-9)


def areas(radius: float, parts: int = 40) -> np.ndarray:
    """The share of each pixel inside a disk, by counting points."""
    reach = int(np.ceil(radius - 0.5))
    places = (np.arange((2 * reach + 1) * parts) + 0.5) / parts - reach - 0.5
    inside = (places[:, None] ** 2 + places**2 <= radius**2).astype(float)
    shares = inside.reshape(2 * reach + 1, parts, 2 * reach + 1, parts).mean(axis=(1, 3))
    return shares / shares.sum()


@pytest.mark.parametrize(("radius", "flat"), [(20.0, True), (20.0, False), (24.5, False)])
def test_wide_disks_in_eight_bits_are_known_by_their_radius(radius, flat):
    before = photograph("camera")
    weights = areas(radius, 1 if flat else 40)
    fit = kf.learn(before, np.rint(ndi.correlate(before.astype(float), weights, mode="mirror")).astype(np.uint8))
    assert (fit.verdict, fit.boundary, fit.size) == ("exact", "mirror", weights.shape)
    np.testing.assert_allclose(fit.kernel.weights, weights, atol=2e-2 * weights.max())
    if flat:
        assert fit.description == "flat disk of radius 20, the mean of 1,257 pixels"
        assert fit.divisor == 1257
    else:
        assert (fit.name, fit.parameters["radius"]) == ("disk", pytest.approx(radius))


def test_a_wide_blur_that_is_no_disk_is_none():
    before = photograph("camera")
    y, x = np.mgrid[-20:21, -20:21]
    weights = ((abs(y) + abs(x)) <= 20) / 841.0
    fit = kf.learn(before, np.rint(ndi.correlate(before.astype(float), weights, mode="mirror")).astype(np.uint8))
    assert "disk" not in fit.description.split("nearest")[0]


def test_noise_in_the_before_of_a_wide_kernel_is_refused():
    before = photograph("camera").astype(float)
    after = ndi.uniform_filter(before, 61) + np.random.default_rng(0).normal(size=before.shape)
    with pytest.raises(ArgumentError, match="noise: expected"):
        kf.learn(before, after, noise=(2.0, 1.0))


@pytest.mark.parametrize("far", [0.0, 0.02, 1.0])
def test_far_weights_have_to_predict_the_other_half(far):
    """Noise of a third of the detail, and a weight 14 pixels away."""
    rng = np.random.default_rng(0)
    before = ndi.uniform_filter(rng.normal(size=(160, 150)), 3)
    after = ndi.uniform_filter(before, 3) + far * np.roll(before, 14, axis=1) + rng.normal(scale=0.1, size=before.shape)
    after = after[:, 14:]
    pair = prepare(before[:, 14:], after)
    assert predicts(pair, centred((31, 31)), centred((7, 7)), 1.0) == (far == 1.0)
    # Halves of fewer positions than twice the weights tell nothing.
    few = prepare(before[:60, 14:80], after[:60, :66])
    assert predicts(few, centred((31, 31)), centred((7, 7)), 1.0)


@pytest.mark.parametrize("seed", range(3))
def test_known_variances_of_halves(seed):
    """Weights of half the positions predict the others with the noise, after what their errors add."""
    rng = np.random.default_rng(seed)
    before = rng.normal(size=(120, 130))
    after = ndi.correlate(before, rng.normal(size=(9, 11)), mode="constant") + rng.normal(scale=0.5, size=before.shape)
    found = wide._held_out(prepare(before, after), centred((25, 25)))
    assert found == pytest.approx(0.25, rel=0.07)


@pytest.mark.parametrize("place", ["camera", "china"])
def test_what_is_not_linear_has_no_far_weights(place):
    before = photograph(place)[60:300, 200:440]
    turned = ndi.rotate(before, 2, reshape=False, order=1)
    fit = kf.learn(before, turned)
    assert fit.verdict == "not linear"
    assert max(fit.size) < 31
