"""`learn` with weights, penalties and restrictions, on whole pairs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import correlate, gaussian_filter
from scipy.optimize import nnls

import kernelfield as kf
from kernelfield.errors import ArgumentError, DataError
from kernelfield.learning.models.known import _holds, check_weights
from kernelfield.learning.models.restriction import Restriction

SHAPE = (40, 52)


def made(seed: int = 0, noise: float = 0.05, dtype: str = "float64") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return before, after and a symmetrical kernel of sum 1."""
    rng = np.random.default_rng(seed)
    x = (gaussian_filter(rng.normal(size=SHAPE), 0.7) * 60 + 120).clip(0, 255).astype(dtype)
    kernel = np.outer([1.0, 3.0, 1.0], [1.0, 2.0, 1.0]) / 20
    return x, correlate(x.astype(float), kernel) + noise * rng.normal(size=SHAPE), kernel


def windows(x: np.ndarray, y: np.ndarray, n: int = 3) -> tuple[np.ndarray, np.ndarray]:
    table = np.lib.stride_tricks.sliding_window_view(x.astype(float), (n, n)).reshape(-1, n * n)
    return table, y[n // 2 : -(n // 2), n // 2 : -(n // 2)].ravel()


@pytest.mark.parametrize(
    "arguments",
    [
        {"symmetric": True},
        {"symmetric": "auto", "sum_to": 1.0},
        {"sum_to": 1.0, "nonnegative": True},
        {"support": np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)},
    ],
)
def test_without_noise_the_verdict_is_exact(arguments: dict[str, object]) -> None:
    x, y, kernel = made(noise=0.0)
    if "support" in arguments:
        kernel = kernel * arguments["support"]
        y = correlate(x, kernel)
    fit = kf.learn(x, y, size=3, **arguments)
    assert fit.verdict == "exact"
    assert fit.kernel.weights == pytest.approx(kernel, abs=1e-12)
    rounded = kf.learn(x.astype("uint8"), np.rint(correlate(np.floor(x), kernel)).astype("uint8"), size=3, **arguments)
    assert rounded.verdict == "exact"


def test_weights_are_those_of_least_squares() -> None:
    x, y, _ = made(1)
    weights = np.random.default_rng(0).random(SHAPE)
    weights[:7] = 0.0
    fit = kf.learn(x, y, size=3, weights=3.0 * weights)
    table, values = windows(x, y)
    scale = np.sqrt(windows(x, weights)[1])
    table = np.c_[table, np.ones(len(table))] * scale[:, None]
    expected = np.linalg.lstsq(table, values * scale, rcond=None)[0]
    assert np.abs(fit.kernel.weights.ravel() - expected[:9]).max() < 1e-8
    assert fit.offset == pytest.approx(expected[9], abs=1e-6)
    left = values * scale - table @ expected
    errors = np.sqrt(np.diag(np.linalg.inv(table.T @ table)) * (left @ left) / (np.count_nonzero(scale) - 10))
    assert fit.stderr.ravel() == pytest.approx(errors[:9], rel=1e-6)


def test_intervals_of_weighted_residuals_cover() -> None:
    """With noise that differs over the picture, whose variance is given."""
    hits = []
    for seed in range(80):
        x, y, kernel = made(seed, noise=0.0)
        rng = np.random.default_rng(seed)
        variance = np.exp(rng.normal(size=SHAPE) * 1.5)
        fit = kf.learn(x, y + np.sqrt(variance) * rng.normal(size=SHAPE), size=3, weights=1.0 / variance)
        hits.append(np.abs(fit.kernel.weights - kernel) < 1.96 * fit.stderr)
    assert 0.93 <= np.mean(hits) <= 0.97


def test_not_negative_is_that_of_scipy() -> None:
    x, y, _ = made(2, noise=3.0)
    fit = kf.learn(x, y, size=5, nonnegative=True)
    table, values = windows(x, y, 5)
    expected = nnls(table - table.mean(axis=0), values - values.mean())[0]
    assert fit.kernel.weights.ravel() == pytest.approx(expected, abs=1e-8)
    assert (fit.kernel.weights == 0.0).any()
    assert fit.degrees_of_freedom == pytest.approx(np.count_nonzero(fit.kernel.weights))


def test_fewer_pixels_than_weights() -> None:
    """A penalty makes a kernel of a pair that is too small for one."""
    x, y, kernel = made(3, noise=0.5)
    x, y = x[:11, :12], y[:11, :12]
    with pytest.raises(DataError):
        kf.learn(x, y, size=9)
    fit = kf.learn(x, y, size=9, regularise="auto")
    assert fit.degrees_of_freedom < 12
    assert fit.verdict == "approximate"
    assert any("the pair alone determines 11 of 81 directions" in note for note in fit.notes)
    truth = np.pad(kernel, 3)
    assert 0.85 <= np.mean(np.abs(fit.kernel.weights - truth) < 2.0 * fit.stderr) <= 1.0


def test_a_before_without_detail() -> None:
    noise = np.random.default_rng(0).random(SHAPE)
    fit = kf.learn(np.full(SHAPE, 7.0), noise, size=3, regularise="auto")
    assert fit.verdict == "not linear"
    assert np.isfinite(fit.kernel.weights).all()


def test_channels_and_what_is_left_out() -> None:
    x, y, kernel = made(4)
    other, second, _ = made(5)
    second[3, 4] = np.nan
    fit = kf.learn(np.dstack([x, other]), np.dstack([y, second + 3.0]), size=3, symmetric="hv", sum_to=1.0)
    assert fit.samples == 2 * 38 * 50 - 1
    assert fit.offset == pytest.approx((0.0, 3.0), abs=0.05)
    assert fit.kernel.weights == pytest.approx(kernel, abs=0.01)


def test_nothing_known_changes_no_bit() -> None:
    x, y, _ = made(6, dtype="uint8")
    plain, same = kf.learn(x, y), kf.learn(x, y, nonnegative=False, regularise=None, symmetric=False, background=0)
    assert np.array_equal(plain.kernel.weights, same.kernel.weights)
    assert np.array_equal(plain.stderr, same.stderr)
    assert plain.degrees_of_freedom is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"support": np.ones((3, 5), bool), "size": 5}, "support: expected the kernel's size"),
        ({"symmetric": "square", "size": (3, 5)}, "symmetric: expected a square kernel"),
        ({"symmetric": "h", "support": np.array([[True, False]])}, "support, symmetric: expected a weight"),
        ({"sum_to": 1.0, "size": 41}, "size: expected at most 1100 weights"),
        ({"background": 1, "noise": (1.0, 1.0)}, "noise: expected none"),
    ],
)
def test_what_cannot_be_combined_is_refused(arguments: dict[str, object], message: str) -> None:
    x = np.random.default_rng(0).random((90, 90))
    with pytest.raises(ArgumentError, match=message):
        kf.learn(x, x, **arguments)


@pytest.mark.parametrize("regularise", [None, "auto", ("ridge", 1.0)])
def test_a_sum_alone_decides_a_single_weight(regularise):
    x = np.random.default_rng(0).random((20, 21))
    fit = kf.learn(x, 2.0 * x, size=1, sum_to=2.0, regularise=regularise)
    assert fit.kernel.weights.tolist() == [[2.0]]
    assert fit.verdict == "exact"


@pytest.mark.parametrize("option", [{"symmetric": "hv"}, {"sum_to": 1.0}, {"regularise": "smooth"}])
def test_errors_hold_for_noise_that_grows_with_the_picture(option):
    """Noise in proportion to the square of what it lies over: that of equal residuals is less than half the spread."""
    rng = np.random.default_rng(0)
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16.0
    found, errors = [], []
    for _ in range(24):
        before = rng.normal(size=(80, 80))
        noise = 0.2 * rng.normal(size=before.shape) * before**2
        fit = kf.learn(before, correlate(before, kernel) + noise, size=3, **option)
        found.append(fit.kernel.weights[1, 1])
        errors.append(fit.stderr[1, 1])
    assert 0.65 < np.mean(errors) / np.std(found) < 1.5


def test_weights_are_checked_and_have_a_mean_of_1_where_they_count():
    assert check_weights(None, (2, 3)) is None
    given = np.array([[0.0, 2.0, 4.0], [6.0, 0.0, 8.0]])
    for factor in (1.0, 1e-300, 1e300):
        found = check_weights(factor * given, (2, 3))
        np.testing.assert_allclose(found, given / 5.0)
    assert check_weights(np.array([[1, 2, 3]], np.uint8), (1, 3)).tolist() == [[0.5, 1.0, 1.5]]
    with pytest.raises(ArgumentError, match=r"weights: expected the shape of after \(3, 2\); received \(2, 3\)"):
        check_weights(given, (3, 2))
    for bad in (-given, given - 1e-9, 0.0 * given, np.where(given, np.inf, 0.0), given + [np.nan, 0, 0]):
        with pytest.raises(ArgumentError, match="weights: expected finite numbers"):
            check_weights(bad, (2, 3))


KERNEL = np.array([[1.0, 2.0, 1.0], [3.0, 4.0, 3.0], [0.0, 0.0, 0.0]])


@pytest.mark.parametrize(
    ("known", "change", "holds"),
    [
        ({}, [[5.0, -3.0, 0.1]], True),
        ({"nonnegative": True}, [[0.0, 0.0, 0.0]], True),
        ({"nonnegative": True}, [[-1.0, 0.0, 0.0]], True),
        ({"nonnegative": True}, [[-1.0 - 1e-9, 0.0, 0.0]], False),
        ({"sum_to": 14.0}, [[1.0, -1.0, 0.0]], True),
        ({"sum_to": 14.0}, [[0.0, 0.0, 3.5e-11]], True),
        ({"sum_to": 14.0}, [[0.0, 0.0, 3.7e-11]], False),
        ({"support": KERNEL > 0.0}, [[0.1, 0.2, 0.3]], True),
        ({"support": KERNEL > 1.0}, [[0.0, 0.0, 0.0]], False),
        ({"symmetric": "h"}, [[0.5, 0.5, 0.5]], True),
        ({"symmetric": "h"}, [[0.5, 0.5, 0.5 + 3e-12]], True),
        ({"symmetric": "h"}, [[0.5, 0.5, 0.5 + 5e-12]], False),
        ({"symmetric": "h"}, [[0.5, 0.7, 0.5]], True),
        ({"symmetric": "h"}, [[0.5, 0.7, 0.6]], False),
    ],
)
def test_a_kernel_nearby_meets_what_is_known_or_not(known, change, holds):
    """A change of the first row; weights that are equal in the kernel stay so, whatever the symmetry is called."""
    other = KERNEL + np.array([*change, [0.0] * 3, [0.0] * 3])
    assert _holds(other, KERNEL, Restriction.checked(**known)) == holds


def test_remarks_say_what_was_done():
    x, y, _ = made(7)
    notes = kf.learn(x, y, size=3, regularise=("ridge", 0.5), symmetric="h").notes
    assert notes[0].startswith("regularised by a penalty on squared weights, strength 0.5: ")
    assert notes[1] == "symmetry: mirrored left to right"
    assert "of 9 parameters are in use" in notes[0]
    assert (
        kf.learn(x, y, size=3, regularise="smooth")
        .notes[0]
        .startswith("regularised by a penalty on squared second differences of the weights, strength")
    )
    assert not any("regularised" in note or "symmetry" in note for note in kf.learn(x, y, size=3, sum_to=1.0).notes)


@pytest.mark.parametrize(("factor", "refused"), [(0.9, False), (1.1, True)])
def test_a_sum_far_from_the_scale_of_the_pair_is_refused(factor, refused):
    x, y, _ = made(8)
    if refused:
        with pytest.raises(
            ArgumentError, match="sum_to: expected a number near the scale of after over that of before"
        ):
            kf.learn(x, y, size=3, sum_to=factor * 1e60)
        return
    assert kf.learn(x, y, size=3, sum_to=factor * 1e60).kernel.weights.sum() == pytest.approx(factor * 1e60)


def test_weights_that_a_picture_of_columns_does_not_tell_have_no_error():
    rng = np.random.default_rng(9)
    x = np.repeat(rng.normal(100.0, 20.0, (1, 52)), 40, axis=0)
    y = correlate(x, np.outer([1.0, 2.0, 1.0], [1.0, 2.0, 1.0]) / 16) + 0.1 * rng.normal(size=x.shape)
    fit = kf.learn(x, y, size=3, symmetric="h")
    assert fit.verdict == "undetermined"
    assert np.isinf(fit.stderr).all()
    assert fit.rank == 2 + 3


def test_with_a_penalty_a_window_has_to_lie_inside_once():
    x, y, _ = made(3, noise=0.5)
    x, y = x[:9, :12], y[:9, :12]
    assert kf.learn(x, y, size=(9, 11), regularise="ridge").size == (9, 11)
    with pytest.raises(DataError, match="size: expected a window of 10×3 inside the image; received an image of 9×12"):
        kf.learn(x, y, size=(10, 3), regularise="ridge")


@pytest.mark.parametrize("how", ["weights", "restricted", "penalised"])
def test_noise_in_the_before_is_corrected_for(how: str) -> None:
    shape, weights, ratios, plain = (160, 160), np.outer([1, 2, 1], [1, 2, 1]) / 16.0, [], []
    spread = np.where(np.arange(shape[0])[:, None] < 80, 1.0, 4.0) * np.ones(shape)
    good = np.ones(shape, bool)
    good[50:60] = False
    given: dict[str, object] = {
        "weights": {"weights": 1.0 / spread**2, "mask": good},
        "restricted": {"sum_to": 1.0, "symmetric": "hv"},
        "penalised": {"regularise": ("ridge", 1e-9)},
    }[how]
    for seed in range(10):
        rng = np.random.default_rng(seed)
        clean = gaussian_filter(rng.normal(size=shape), 0.8) * 100.0 + 500.0
        after = correlate(clean, weights, mode="reflect") + rng.normal(size=shape) * spread
        before = clean + rng.normal(scale=8.0, size=shape)
        fit = kf.learn(before, after, size=3, noise=(8.0, 3.0), **given)
        ratios.append((fit.kernel.weights - weights) / fit.stderr)
        bare = kf.learn(before, after, size=3, **given)
        plain.append((bare.kernel.weights - weights) / bare.stderr)
        assert fit.chi_square is not None
    assert 0.35 < np.sqrt(np.mean(np.square(ratios))) < 1.35
    assert np.sqrt(np.mean(np.square(plain))) > 2.0
