import numpy as np
import pytest
from conformance.frameworks import NAMES

import kernelfield as kf
from kernelfield.errors import ArgumentError
from kernelfield.receptive.frontends.image_size import checked_size

pytestmark = pytest.mark.core


@pytest.mark.parametrize(
    ("given", "size", "alone"),
    [
        (None, None, False),
        (7, (7,), True),
        (np.int64(7), (7,), True),
        ((7, 9), (7, 9), False),
        ([np.int32(7), 9], (7, 9), False),
        (np.array([7, 9]), (7, 9), False),
    ],
)
def test_sizes_are_plain_integers(given, size, alone):
    found = checked_size(given)
    assert found == (size, alone)
    assert found[0] is None or all(type(n) is int for n in found[0])


@pytest.mark.parametrize("given", [0, -1, 7.0, True, "7", (), (7, 0), (7, 9.0), (7, True), (7, None), np.ones((2, 2))])
def test_others_are_one_line(given):
    with pytest.raises(ArgumentError, match="input_size: expected whole numbers from 1") as caught:
        checked_size(given)
    assert "\n" not in str(caught.value)


def model(framework):
    if framework == "torch":
        from torch import nn

        return nn.Conv2d(3, 4, 3)
    if framework == "tensorflow":
        import keras

        return keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(4, 3)])
    if framework == "mxnet":
        from mxnet.gluon import nn

        return nn.Conv2D(4, 3, in_channels=3)
    from flax import nnx

    return nnx.Conv(3, 4, (3, 3), padding="VALID", rngs=nnx.Rngs(0))


@pytest.mark.parametrize("framework", NAMES)
@pytest.mark.parametrize("size", [np.array([8, 9]), [np.int64(8), np.int64(9)]], ids=["array", "list"])
def test_every_frontend_takes_sizes_of_numpy(framework, size):
    network = model(framework)
    assert str(kf.receptive_field(network, size)) == str(kf.receptive_field(network, (8, 9)))
