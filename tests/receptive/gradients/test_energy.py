"""The gradient energy of a unit whose channels have known gradients: a rounding error of their sum is no gradient."""

from __future__ import annotations

import numpy as np
import pytest

from kernelfield.receptive.gradients.energy import unit_energy
from kernelfield.receptive.gradients.pullback import Pullback

#: The index of the unit's channels in its layer's output.
UNIT = (0, slice(None), 0, 0)


def way_of(terms: np.ndarray, order: np.ndarray) -> Pullback:
    """Return the pullback of a unit whose channels have the gradients `terms`, added in a given order and rounded."""

    def back(seed: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            products = terms[order] * seed[0, order].astype(terms.dtype)
            return np.cumsum(products, axis=0)[-1][None, None].astype(np.float64)

    return Pullback((1, len(terms), 1, 1), str(terms.dtype), back, channels_last=False)


def energy_of(terms: np.ndarray, order: np.ndarray, channels: str = "sum", probes: int = 8) -> np.ndarray:
    return unit_energy(way_of(terms, order), UNIT, (2, 3), channels=channels, probes=probes, seed=5)


def orders(count: int) -> list[np.ndarray]:
    """Return orders of addition, among them one half after the other."""
    return [np.arange(count), *(np.random.default_rng(seed).permutation(count) for seed in range(5))]


# Magnitudes of the channels' gradients. At the second of each dtype only a sum that cancels needs a larger seed.
SIZES = pytest.mark.parametrize(
    ("dtype", "size"),
    [("float32", size) for size in (1e-30, 1e-20, 1.0, 1e30)]
    + [("float64", size) for size in (1e-300, 1e-190, 1.0, 1e300)],
)


@SIZES
@pytest.mark.parametrize("count", [2, 4, 10, 100, 1000])
def test_what_rounding_leaves_of_channels_that_cancel_is_no_gradient(dtype, count, size):
    rng = np.random.default_rng(count)
    half = rng.normal(size=(count // 2, 5, 5)) * size
    terms = np.concatenate([half, -half]).astype(dtype)
    # The rounding of every channel's own gradient, which alone leaves a few units in the last place of the sum.
    lost = terms * (1 + 4 * np.finfo(dtype).eps * rng.uniform(-1, 1, terms.shape))
    for order in orders(count):
        assert energy_of(terms, order, "random").sum() == pytest.approx(1)
        assert not energy_of(terms, order).any()
        assert way_of(lost.astype(dtype), order).back(np.ones((1, count, 1, 1))).any()
        assert not energy_of(lost.astype(dtype), order).any()


@SIZES
@pytest.mark.parametrize("count", [2, 4])
def test_a_gradient_far_smaller_than_those_of_the_channels_is_one(dtype, count, size):
    half = np.random.default_rng(count).normal(size=(count // 2, 5, 5))
    terms = np.concatenate([half, -half])
    # At one element of the image the sum is a small part of the largest gradient: 1e-6 in float32, about 17 units in
    # the last place, and 1e-12 in float64.
    rest = (1e-6 if dtype == "float32" else 1e-12) * np.abs(half).max()
    terms[0, 3, 1] += rest
    for order in orders(count):
        energy = energy_of((terms * size).astype(dtype), order)
        assert energy.sum() == pytest.approx(1)
        assert energy[3, 1] > 0.5


def test_gradients_of_many_channels_are_compared_with_those_of_random_signs():
    half = np.random.default_rng(1).normal(size=(500, 5, 5))
    terms = np.concatenate([half, -half])
    terms[7, 2, 2] += 1e-6
    for order in orders(1000):
        assert energy_of(terms, order)[2, 2] == pytest.approx(1)


@pytest.mark.parametrize("probes", [1, 2])
def test_signs_that_make_channels_cancel(probes):
    # Two of three channels cancel for half of the signs, and the third has no gradient.
    half = np.random.default_rng(3).normal(size=(1, 5, 5))
    terms = np.concatenate([half * (1 + 2e-16), -half, 0 * half])
    seen = set()
    for seed in range(20):
        found = unit_energy(way_of(terms, np.arange(3)), UNIT, (2, 3), channels="random", probes=probes, seed=seed)
        seen.add(bool(found.any()))
        if found.any():
            np.testing.assert_allclose(found, half[0] ** 2 / (half**2).sum(), rtol=1e-12)
    assert seen == {False, True}
