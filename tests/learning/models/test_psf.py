"""The kernel between two point-spread functions, against analytic ones and against explicit least squares."""

from __future__ import annotations

import numpy as np
import pytest

import kernelfield as kf
from kernelfield.errors import ArgumentError, DataError, KernelfieldError
from kernelfield.learning.models.regularise import penalty


def distance(n: int, down: float = 0.0, across: float = 0.0) -> np.ndarray:
    rows, columns = np.mgrid[:n, :n] - n // 2
    return np.hypot(rows - down, columns - across)


def gaussian(sigma: float, n: int = 31, down: float = 0.0, across: float = 0.0) -> np.ndarray:
    """Return a Gaussian of sum 1 over the plane, sampled."""
    return np.exp(-((distance(n, down, across) / sigma) ** 2) / 2) / (2 * np.pi * sigma**2)


def moffat(width: float, n: int = 31, beta: float = 3.5) -> np.ndarray:
    alpha = width / 2 / np.sqrt(2 ** (1 / beta) - 1)
    return (beta - 1) / (np.pi * alpha**2) * (1 + (distance(n) / alpha) ** 2) ** -beta


@pytest.mark.parametrize(("size", "other"), [(31, 31), (25, 30), (40, 23)])
def test_gaussians(size: int, other: int) -> None:
    """The kernel is the Gaussian of the difference of the variances, shifted by the distance of the centres."""
    fit = kf.match_psf(gaussian(1.5, size, 0.3, -0.4), gaussian(2.5, other, -0.1, 0.2), size=25)
    truth = gaussian(2.0, 25, 0.4, -0.6)
    # Cut at six sigmas.
    assert np.abs(fit.kernel.weights - truth).max() < 1.3e-3 * truth.max()
    assert fit.kernel.anchor == (12, 12)
    assert fit.kernel.weights.sum() == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("sizes", [(9, 9), (8, 11), (15, 6)])
def test_equals_least_squares(sizes: tuple[int, int]) -> None:
    """Against a table of the shifted images, cut and extended by zeros about the middles."""
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(n, n + 2)) for n in sizes)
    fit = kf.match_psf(a, b, size=(3, 5), regularise=None)
    columns = []
    for down in range(-1, 2):
        for across in range(-2, 3):
            column = np.zeros(b.shape)
            for r, c in np.ndindex(b.shape):
                i, j = r - b.shape[0] // 2 + down + a.shape[0] // 2, c - b.shape[1] // 2 + across + a.shape[1] // 2
                if 0 <= i < a.shape[0] and 0 <= j < a.shape[1]:
                    column[r, c] = a[i, j]
            columns.append(column.ravel())
    table = np.array(columns).T
    expected, left, _, _ = np.linalg.lstsq(table, b.ravel(), rcond=None)
    assert fit.kernel.weights.ravel() == pytest.approx(expected, abs=1e-10)
    errors = np.sqrt(np.diag(np.linalg.inv(table.T @ table)) * left[0] / (b.size - 15))
    assert fit.stderr.ravel() == pytest.approx(errors, rel=1e-8)
    assert np.diag(fit.covariance) == pytest.approx(errors**2, rel=1e-8)


def test_moffats_with_noise() -> None:
    """Without a penalty the noise is all that is seen; with the likeliest the functions match."""
    rng = np.random.default_rng(1)
    sharp, wide = moffat(3.0), moffat(5.0)
    noisy = [each + 2e-5 * rng.normal(size=each.shape) for each in (sharp, wide)]
    fit = kf.match_psf(*noisy, size=21)
    made = kf.correlate(sharp, fit.kernel, boundary="constant")[8:-8, 8:-8]
    assert np.abs(made - wide[8:-8, 8:-8]).max() < 1e-2 * wide.max()
    plain = kf.match_psf(*noisy, size=21, regularise=None)
    norms = [float((each.kernel.weights**2).sum()) for each in (fit, plain)]
    assert norms[0] < 0.5 * norms[1]
    assert fit.degrees_of_freedom < 0.8 * 21**2


def test_intervals_cover() -> None:
    """Of smooth kernels, as the penalty means them, with noise in the wide function."""
    rng = np.random.default_rng(2)
    sharp = gaussian(1.0, 21)
    smooth = np.linalg.cholesky(np.linalg.inv(penalty((7, 7), "smooth")))
    hits = []
    for _ in range(100):
        truth = (smooth @ rng.normal(size=49)).reshape(7, 7)
        wide = kf.correlate(sharp, truth, boundary="constant")
        fit = kf.match_psf(sharp, wide + 1e-2 * rng.normal(size=wide.shape), size=7, regularise="smooth")
        hits.append(np.abs(fit.kernel.weights - truth) < 1.96 * fit.stderr)
    assert 0.93 <= np.mean(hits) <= 0.97


def test_restrictions() -> None:
    fit = kf.match_psf(moffat(3.0), moffat(4.0), size=15, nonnegative=True, sum_to=1.0, symmetric="radial")
    weights = fit.kernel.weights
    assert weights.min() >= 0.0
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert np.array_equal(weights, weights.T)
    assert np.array_equal(weights, weights[::-1])


def test_a_kernel_that_sharpens_says_so() -> None:
    assert any("it sharpens" in note for note in kf.match_psf(gaussian(2.0), gaussian(1.5), size=15).notes)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"psf_a": np.zeros((5, 5))}, DataError, "psf_a: expected a pixel that is not 0"),
        ({"psf_b": np.zeros((5, 5))}, DataError, "psf_b: expected a pixel that is not 0"),
        ({"psf_b": np.full((5, 5), np.nan)}, DataError, "psf_b: expected finite pixels"),
        ({"psf_b": np.ones((5, 5, 3))}, ArgumentError, "psf_b: expected an image"),
        ({"size": 99}, ArgumentError, "size: expected at most 4000 weights"),
        ({"size": 7, "regularise": None}, ArgumentError, "size: expected at most the 25 pixels of psf_b"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, object], error: type[KernelfieldError], message: str) -> None:
    both = {"psf_a": np.eye(5), "psf_b": np.eye(5)} | arguments
    with pytest.raises(error, match=message):
        kf.match_psf(both.pop("psf_a"), both.pop("psf_b"), **both)


@pytest.mark.parametrize(("shape", "size"), [((8, 11), (7, 11)), ((9, 2), (9, 1)), ((40, 33), (15, 15))])
def test_a_size_that_is_not_given_is_odd_and_fits(shape, size):
    """A light in the middle becomes what lies around it, to the edge of its image."""
    b = np.random.default_rng(0).random(shape)
    fit = kf.match_psf(np.pad([[1.0]], 2), b, regularise=("ridge", 1e-6))
    assert fit.size == size
    assert fit.anchor == (size[0] // 2, size[1] // 2)


@pytest.mark.parametrize(("noise", "sizes", "error"), [(1e-3, (15, 21), 4e-3), (3e-4, (15, 21, 31), 1e-3)])
def test_the_size_is_that_which_the_functions_call_for(noise, sizes, error):
    """The error of the kernel is that which it makes of the function without noise."""
    a, b = moffat(3.0, 41), moffat(4.5, 41)
    noisy = b + noise * b.max() * np.random.default_rng(0).normal(size=b.shape)
    fit = kf.match_psf(a, noisy, regularise="smooth")
    assert fit.size[0] in sizes
    made = kf.correlate(a, fit.kernel, boundary="constant")
    assert np.abs(made - b).max() < error * b.max()


def test_what_is_not_related_or_not_known_is_said():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 41, 41))
    for options in ({}, {"size": 9, "regularise": None}, {"size": 21, "regularise": "ridge"}):
        fit = kf.match_psf(a, b, **options)
        assert fit.verdict == "not linear"
        assert "no more than chance explains" in fit.explanation
    sharp, wide = gaussian(1.5), gaussian(2.5) + 1e-6 * rng.normal(size=(41, 41))[:31, :31]
    loose = kf.match_psf(sharp, wide, size=15, regularise=None)
    assert loose.verdict == "undetermined"
    assert "errors are larger than the weights" in loose.explanation
    assert kf.match_psf(sharp, wide).verdict == "approximate"
    half = kf.correlate(a, kf.kernels.gaussian(1.0), boundary="constant")
    weak = kf.match_psf(a, half / half.std() + 2.0 * b, size=7)
    assert weak.verdict == "approximate"
    assert "explains only" in weak.explanation


def test_size_and_pixels_have_limits_that_are_inside():
    b = np.random.default_rng(0).random((5, 5))
    assert kf.match_psf(np.eye(5), b, size=5, regularise=None).samples == 25
    with pytest.raises(ArgumentError, match="size: expected at most the 25 pixels of psf_b in weights; received 2×13"):
        kf.match_psf(np.eye(5), b, size=(2, 13), regularise=None)


def test_numbers_of_the_residual_are_those_of_least_squares():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 12, 13))
    b += 0.6 * a
    fit = kf.match_psf(a, b, size=3, regularise=None)
    left = b - kf.correlate(a, fit.kernel, boundary="constant")
    square = float((left**2).sum())
    assert fit.r2 == pytest.approx(1.0 - square / float((b**2).sum()), rel=1e-12)
    assert 0.01 < fit.r2 < 0.5
    assert fit.residual_sd == pytest.approx(np.sqrt(square / b.size), rel=1e-12)
    assert (fit.samples, fit.degrees_of_freedom, fit.rank, fit.verdict) == (156, 9.0, 9, "approximate")
    assert f"explains only {100 * fit.r2:.6g} % of the sum of squares" in fit.explanation
    assert f"a standard deviation of {fit.residual_sd:.3g}" in fit.explanation
    total, norm = float(fit.kernel.weights.sum()), float(np.sqrt((fit.kernel.weights**2).sum()))
    assert fit.notes[0] == f"the kernel's sum, the ratio of the fluxes, is {total:.6g}"
    sharpens = [f"it sharpens: independent noise grows {norm / abs(total):.3g} times as much as light"]
    assert list(fit.notes[1:]) == sharpens * (norm > abs(total))


@pytest.mark.parametrize(("weights", "sharpens"), [([[1.0]], False), ([[1.01, -0.01]], True), ([[-1.2, 0.1]], True)])
def test_noise_that_grows_more_than_light(weights, sharpens):
    a = np.pad(np.random.default_rng(0).normal(size=(9, 9)), 3)
    b = kf.correlate(a, weights, boundary="constant")
    notes = kf.match_psf(a, b, size=np.shape(weights), regularise=None).notes
    assert any("sharpens" in note for note in notes) == sharpens


def test_weights_that_the_functions_do_not_tell_have_no_error():
    """A light at the lower right corner is read by weights over it and to its lower right from inside alone."""
    a, b = np.zeros((5, 5)), np.random.default_rng(0).random((5, 5))
    a[4, 4] = 2.0
    fit = kf.match_psf(a, b, size=(3, 5), regularise=None)
    seen = np.zeros((3, 5), bool)
    seen[1:, 2:] = True
    np.testing.assert_array_equal(np.isfinite(fit.stderr), seen)
    np.testing.assert_allclose(fit.kernel.weights[1:, 2:], b[2:, 2:][2::-1, ::-1][:2] / 2.0)
    assert (fit.rank, fit.verdict, fit.covariance, len(fit.undetermined)) == (6, "undetermined", None, 9)
    b = b[:1, :1]
    fit = kf.match_psf(a, b, size=(1, 1), regularise=None)
    assert (fit.verdict, fit.rank, fit.covariance) == ("undetermined", 0, None)
    assert np.isinf(fit.stderr).all()
    assert fit.undetermined.shape == (1, 1, 1)


def test_an_exact_match_has_the_errors_of_rounding():
    a = np.random.default_rng(0).normal(size=(9, 9))
    fit = kf.match_psf(a, 3.0 * a, size=1, regularise=None)
    assert fit.stderr[0, 0] == pytest.approx(3.0 * np.finfo(float).eps, rel=1.0)
    assert fit.stderr[0, 0] > 0.0
