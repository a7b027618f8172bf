from __future__ import annotations

import mxnet as mx
import numpy as np
import pytest

import kernelfield as kf
from kernelfield.errors import ArgumentError

RNG = np.random.default_rng(2)


def network(hybrid: bool) -> mx.gluon.HybridBlock:
    mx.random.seed(3)
    net = mx.gluon.nn.HybridSequential()
    net.add(
        mx.gluon.nn.Conv2D(4, 3, padding=1, in_channels=2, activation="tanh"),
        mx.gluon.nn.BatchNorm(in_channels=4),
        mx.gluon.nn.Dropout(0.5),
        mx.gluon.nn.Conv2D(3, 3, in_channels=4),
    )
    net.initialize(mx.init.Normal(0.3))
    if hybrid:
        net.hybridize()
    return net


@pytest.mark.parametrize("hybrid", [False, True])
def test_a_block(hybrid):
    net = network(hybrid)
    image = RNG.normal(size=(2, 10, 9))
    before = net(mx.nd.array(image[None])).asnumpy()
    found = kf.receptive_field(net, (1, 2, 10, 9)).effective(image, unit=(3, 3), channels="each", dither=0)
    assert (found.dtype, found.outside) == ("float64", 0)
    assert found.theory.sum() == np.count_nonzero(found.energy) == 25
    np.testing.assert_array_equal(net(mx.nd.array(image[None])).asnumpy(), before)
    step = 1e-2
    energy = np.zeros(image.shape)
    for index in np.ndindex(image.shape):
        moved = np.stack([image, image])
        moved[(0, *index)] += step
        moved[(1, *index)] -= step
        sides = net(mx.nd.array(moved)).asnumpy()[:, :, 3, 3]
        energy[index] = (((sides[0] - sides[1]) / (2 * step)) ** 2).sum()
    np.testing.assert_allclose(found.energy, energy.sum(axis=0) / energy.sum(), atol=1e-4)


def test_a_layer_cannot_be_named():
    fields = kf.receptive_field(network(False), (1, 2, 10, 9))
    with pytest.raises(ArgumentError, match="the part of it that ends there"):
        fields.effective(RNG.normal(size=(2, 10, 9)), fields.layers[0])
