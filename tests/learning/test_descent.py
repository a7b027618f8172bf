"""Gradient descent in NumPy, and the textbook's experiments with it."""

from __future__ import annotations

import numpy as np
import pytest
from cases import photograph

import kernelfield as kf
from kernelfield.errors import ArgumentError, DataError, DtypeError

pytestmark = pytest.mark.core


def edges() -> tuple[np.ndarray, np.ndarray]:
    """Return the textbook's pair: a 6×8 image and its edges."""
    image = np.ones((6, 8))
    image[:, 2:6] = 0
    return image, kf.corr2d(image, [[1, -1]])


def by_hand(image, target, kernel, lr, steps):
    """Return losses and kernel of the textbook's loop, its gradient written out."""
    losses = []
    for _ in range(steps):
        residual = image[:, :-1] * kernel[0] + image[:, 1:] * kernel[1] - target
        losses.append((residual**2).sum())
        slope = 2 * np.array([(residual * image[:, :-1]).sum(), (residual * image[:, 1:]).sum()])
        kernel = kernel - lr * slope
    return losses, kernel


def test_ten_steps_as_in_the_textbook():
    image, target = edges()
    lines = []
    fit = kf.descend(image, target, size=(1, 2), initial=[[0.3, -0.2]], report_every=2, report=lines.append)
    losses, kernel = by_hand(image, target, np.array([0.3, -0.2]), 3e-2, 10)
    np.testing.assert_allclose(fit.losses, losses, rtol=1e-12)
    np.testing.assert_allclose(fit.kernel.weights, [kernel], rtol=1e-12)
    assert lines == [f"epoch {n}, loss {losses[n - 1]:.3f}" for n in (2, 4, 6, 8, 10)]
    assert all(a > b for a, b in zip(fit.losses, fit.losses[1:]))
    assert "after 10 steps" in fit.explanation


def test_the_kernel_comes_close_from_most_starts():
    image, target = edges()
    errors = []
    for seed in range(200):
        fit = kf.descend(image, target, size=(1, 2), seed=seed)
        assert all(a > b for a, b in zip(fit.losses, fit.losses[1:]))
        errors.append(np.abs(fit.kernel.weights - [[1, -1]]).max())
    assert np.median(errors) < 0.06
    exact = kf.learn(image, target)
    np.testing.assert_allclose(exact.kernel.weights, [[1, -1]], atol=1e-12)


def test_momentum_as_written_by_hand():
    image, target = edges()
    kernel, velocity, losses = np.array([0.3, -0.2]), np.zeros(2), []
    for _ in range(10):
        loss, _ = by_hand(image, target, kernel, 0.0, 1)
        residual = image[:, :-1] * kernel[0] + image[:, 1:] * kernel[1] - target
        slope = 2 * np.array([(residual * image[:, :-1]).sum(), (residual * image[:, 1:]).sum()])
        velocity = 0.5 * velocity + slope
        kernel = kernel - 0.01 * velocity
        losses += loss
    fit = kf.descend(image, target, initial=[[0.3, -0.2]], momentum=0.5, lr=0.01)
    np.testing.assert_allclose(fit.losses, losses, rtol=1e-12)
    np.testing.assert_allclose(fit.kernel.weights, [kernel], rtol=1e-12)


def test_adam_descends():
    image = np.random.default_rng(1).normal(size=(32, 32))
    truth = np.array([[0.2, 0.5], [-0.3, 0.1]])
    fit = kf.descend(image, kf.corr2d(image, truth), optimiser="adam", lr=0.05, steps=400)
    np.testing.assert_allclose(fit.kernel.weights, truth, atol=0.05)


def test_kernels_in_a_row_are_one():
    image = photograph("camera")[:40, :40] / 255
    target = kf.corr2d(image, kf.kernels.box(3))
    fit = kf.descend(image, target, size=[(3, 1), (1, 3)], optimiser="adam", lr=0.02, steps=600)
    assert len(fit.layers) == 2
    assert fit.size == (3, 3)
    np.testing.assert_allclose(fit.kernel.weights, fit.layers[0].weights @ fit.layers[1].weights, atol=1e-12)
    assert fit.losses[-1] < 1e-3 * fit.losses[0]


def test_same_size_pairs_use_the_valid_part():
    image = np.random.default_rng(0).normal(size=(20, 20))
    fit = kf.descend(image, kf.correlate(image, kf.kernels.sobel()), size=3, lr=5e-4, steps=60)
    np.testing.assert_allclose(fit.kernel.weights, kf.kernels.sobel().weights, atol=0.05)
    assert fit.anchor == (1, 1)


def test_early_stop():
    image, target = edges()
    fit = kf.descend(image, target, size=(1, 2), steps=1000, tolerance=1e-3)
    assert 10 < len(fit.losses) < 1000


def test_batches_of_one_and_their_layouts():
    image, target = edges()
    plain = kf.descend(image, target, size=(1, 2))
    for shape in ((1, 1, 6, -1), (1, 6, -1, 1)):
        fit = kf.descend(image.reshape(shape), target.reshape(shape), size=(1, 2))
        assert fit.losses == plain.losses


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(framework="theano"), ArgumentError, "framework: expected one of numpy, torch"),
        (dict(optimiser="newton"), ArgumentError, "optimiser: expected one of sgd, adam"),
        (dict(steps=0), ArgumentError, "steps: expected an integer of at least 1"),
        (dict(lr=-1.0), ArgumentError, "lr: expected a positive number"),
        (dict(lr=float("nan")), ArgumentError, "lr: expected a positive number"),
        (dict(lr=10.0, steps=1000), DataError, "take a smaller lr"),
        (dict(momentum=1.5), ArgumentError, "momentum: expected at least 0 and less than 1"),
        (dict(momentum=0.5, optimiser="adam"), ArgumentError, "momentum: expected 0 with"),
        (dict(initial=[[1.0]]), ArgumentError, "initial: expected kernels of"),
        (dict(size=3), ArgumentError, "size: expected 1×2 in all"),
        (dict(lr="fast"), ArgumentError, "lr: expected a number; received 'fast'"),
        (dict(lr=1j), ArgumentError, "lr: expected a number"),
        (dict(lr=np.array([0.1, 0.2])), ArgumentError, "lr: expected a number; received ndarray of shape"),
        (dict(lr=True), ArgumentError, "lr: expected a number; received True"),
        (dict(lr=float("inf")), ArgumentError, "lr: expected a positive number"),
        (dict(momentum=None), ArgumentError, "momentum: expected a number; received None"),
        (dict(tolerance="0"), ArgumentError, "tolerance: expected a number; received '0'"),
        (dict(tolerance=-1e-9), ArgumentError, "tolerance: expected at least 0; received -1e-09"),
        (dict(report=None, report_every=1), ArgumentError, "report: expected a function of a line of text"),
        (dict(initial="kernel"), DtypeError, "initial: expected real numbers"),
        (dict(initial=[[1j, 0.0]]), DtypeError, "initial: expected real numbers"),
        (dict(initial=[[1.0], [1.0, 2.0]]), ArgumentError, "initial: expected"),
        (dict(initial=[[np.nan, 0.0]]), ArgumentError, "initial: expected finite weights"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_what_cannot_be_is_refused(options, error, message):
    image, target = edges()
    with pytest.raises(error, match=message):
        kf.descend(image, target, **{"size": (1, 2), **options})
    with pytest.raises(ArgumentError, match="size: expected a size for before and after"):
        kf.descend(image, image)


def test_the_kernel_before_the_first_step_may_be_one_of_the_catalogue():
    image, target = edges()
    start = kf.kernels.Kernel([[0.3, -0.2]])
    assert kf.descend(image, target, initial=start).losses == kf.descend(image, target, initial=[[0.3, -0.2]]).losses


def test_losses_are_saved(tmp_path):
    image, target = edges()
    fit = kf.descend(image, target)
    fit.save(tmp_path / "fit.json")
    again = kf.Fit.load(tmp_path / "fit.json")
    assert again.losses == fit.losses
    assert [layer.weights.tolist() for layer in again.layers] == [layer.weights.tolist() for layer in fit.layers]
