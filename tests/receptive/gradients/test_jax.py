from __future__ import annotations

import functools

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import kernelfield as kf
from kernelfield.errors import ArgumentError, DataError

RNG = np.random.default_rng(2)


class Network(nnx.Module):
    """Two convolutions, the first followed by layers that differ between training and inference."""

    def __init__(self) -> None:
        rngs = nnx.Rngs(0)
        self.first = nnx.Conv(3, 4, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.last = nnx.Conv(4, 2, (3, 3), rngs=rngs)

    def __call__(self, x):
        return self.last(self.drop(nnx.tanh(self.norm(self.first(x)))))


def differences(function, image: np.ndarray, unit: tuple[int, int], step: float = 1e-4) -> np.ndarray:
    """Return the energy of a unit by moving every element of the image up and down."""
    energy = np.zeros(image.shape)
    with jax.enable_x64(True):
        for index in np.ndindex(image.shape):
            sides = []
            for sign in (1, -1):
                moved = image.copy()
                moved[index] += sign * step
                sides.append(np.asarray(function(moved[None]))[0, unit[0], unit[1]])
            energy[index] = (((sides[0] - sides[1]) / (2 * step)) ** 2).sum()
    return energy.sum(axis=2) / energy.sum()


def test_a_module():
    model = Network()
    image = RNG.normal(size=(8, 9, 3))
    found = kf.receptive_field(model, (1, 8, 9, 3)).effective(image, channels="each", dither=0)
    assert found.dtype == "float64"
    assert found.theory.sum() == np.count_nonzero(found.energy) == 25
    assert found.outside == 0
    assert model.first.kernel[...].dtype == np.float32
    definition, state = nnx.split(model)
    with jax.enable_x64(True):
        twin = nnx.merge(
            definition, jax.tree.map(lambda leaf: leaf.astype(float) if leaf.dtype == "float32" else leaf, state)
        )
    twin.eval()
    np.testing.assert_allclose(found.energy, differences(twin, image, (4, 4)), atol=1e-6)


def test_functions():
    weights = jax.random.normal(jax.random.key(1), (3, 3, 3, 2))
    layout = ("NHWC", "HWIO", "NHWC")

    def convolve(x, weights=weights):
        return jax.lax.conv_general_dilated(x, weights, (1, 1), "SAME", dimension_numbers=layout)

    image = RNG.normal(size=(7, 7, 3))
    expected = (np.asarray(weights, float) ** 2).sum(axis=(2, 3))
    for function, dtype in (
        (convolve, "float32"),
        (jax.jit(convolve), "float32"),
        (functools.partial(convolve, weights=weights), "float64"),
    ):
        found = kf.receptive_field(function, (1, 7, 7, 3)).effective(image, channels="each")
        assert found.dtype == dtype
        np.testing.assert_allclose(found.energy[2:5, 2:5], expected / expected.sum(), rtol=1e-5)


@pytest.mark.parametrize("held", [True, False])
def test_channels_that_cancel(held):
    weights = np.random.default_rng(4).normal(size=(3, 3, 1, 2)).astype(np.float32)
    weights[..., 1] = -weights[..., 0]
    # In the middle, where the weight is small, the sum of the channels is a small part of the largest.
    weights[1, 1] *= np.float32(1e-3)
    nearly = weights.copy()
    nearly[1, 1, 0, 1] += np.float32(1e-6) * np.abs(weights).max()
    layout = ("NHWC", "HWIO", "NHWC")

    def convolve(x, weights):
        return jax.lax.conv_general_dilated(x, weights, (1, 1), "SAME", dimension_numbers=layout)

    image = RNG.normal(size=(7, 7, 1))
    fields = []
    for kernel in (jnp.asarray(weights), jnp.asarray(nearly)):
        # Weights that a function holds stay float32.
        partial = functools.partial(convolve, weights=kernel)
        fields.append(kf.receptive_field((lambda x, f=partial: f(x)) if held else partial, (1, 7, 7, 1)))
    assert fields[0].effective(image).energy.sum() == pytest.approx(1)
    with pytest.raises(DataError, match="no gradient"):
        fields[0].effective(image, channels="sum")
    found = fields[1].effective(image, channels="sum")
    assert found.dtype == ("float32" if held else "float64")
    assert found.energy[3, 3] > 0.9


def test_linen_needs_its_variables():
    module = linen.Conv(2, (3, 3))
    image = RNG.normal(size=(7, 7, 3))
    variables = module.init(jax.random.key(0), image[None])
    with pytest.raises(ArgumentError, match="with its variables"):
        kf.receptive_field(module, (1, 7, 7, 3)).effective(image)
    found = kf.receptive_field(functools.partial(module.apply, variables), (1, 7, 7, 3)).effective(image)
    assert np.count_nonzero(found.energy) == 9


def test_a_layer_cannot_be_named():
    fields = kf.receptive_field(Network(), (1, 8, 9, 3))
    with pytest.raises(ArgumentError, match="a function that ends there"):
        fields.effective(RNG.normal(size=(8, 9, 3)), fields.layers[0])
