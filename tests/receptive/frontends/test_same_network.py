"""One network written in PyTorch, in Keras and in ONNX: the same table."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from receptive.onnx_models import Net
from torch import nn

from kernelfield.receptive.field import ReceptiveField
from kernelfield.receptive.frontends import keras as keras_frontend
from kernelfield.receptive.frontends import onnx as onnx_frontend
from kernelfield.receptive.frontends import torch as torch_frontend

pytestmark = [pytest.mark.torch, pytest.mark.tensorflow]

SIZE = (45, 39)


class Branches(nn.Module):
    """A stem, two branches of different reach, a gate, and a way up."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, (5, 3), stride=2)
        self.near = nn.Conv2d(8, 8, 1)
        self.far = nn.Conv2d(8, 8, 3, padding=2, dilation=2)
        self.pool = nn.AvgPool2d(3, 2)
        self.gate = nn.Conv2d(16, 16, 1)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.last = nn.Conv2d(16, 4, (2, 4))

    def forward(self, x):
        import torch

        x = self.stem(x)
        x = self.pool(torch.cat([self.near(x), self.far(x)], 1))
        x = x * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True)))
        return self.last(self.up(x))


def in_keras():
    layers = keras.layers
    image = layers.Input((*SIZE, 3))
    x = layers.Conv2D(8, (5, 3), strides=2, name="stem")(image)
    far = layers.Conv2D(8, 3, padding="same", dilation_rate=2, name="far")(x)
    x = layers.AveragePooling2D(3, 2, name="pool")(layers.Concatenate()([layers.Conv2D(8, 1, name="near")(x), far]))
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Multiply()([x, layers.Conv2D(16, 1, activation="sigmoid", name="gate")(gate)])
    return keras.Model(image, layers.Conv2D(4, (2, 4), name="last")(layers.UpSampling2D(2, name="up")(x)))


def in_onnx():
    net = Net()
    x = net.conv("image", 3, 8, (5, 3), name="stem", strides=[2, 2])
    near = net.conv(x, 8, 8, (1, 1), name="near")
    far = net.conv(x, 8, 8, (3, 3), name="far", pads=[2] * 4, dilations=[2, 2])
    x = net.add("Concat", near, far, axis=1)
    x = net.add("AveragePool", x, name="pool", kernel_shape=[3, 3], strides=[2, 2])
    gate = net.conv(net.add("GlobalAveragePool", x), 16, 16, (1, 1), name="gate")
    x = net.add("Mul", x, net.add("Sigmoid", gate))
    scales = net.constant(np.array([1, 1, 2, 2], "float32"))
    x = net.add("Resize", x, "", scales, name="up", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    return net.model(net.conv(x, 16, 4, (2, 4), name="last"), (1, 3, *SIZE))


def test_the_same_table():
    fields = [
        ReceptiveField(torch_frontend.graph(Branches().eval(), SIZE)),
        ReceptiveField(keras_frontend.graph(in_keras(), SIZE)),
        ReceptiveField(onnx_frontend.graph(in_onnx(), SIZE)),
    ]
    for gates in (True, False):
        told = fields if gates else [field.without_gates() for field in fields]
        for name in ("stem", "near", "far", "pool", "gate", "up", "last"):
            ours, *others = [field[name] for field in told]
            for other in others:
                for what in ("shape", "size", "stride", "padding", "aligned", "whole", "share"):
                    assert getattr(other, what) == getattr(ours, what), (name, what)
        ours, *others = [field["last"].mask(3, 2) for field in told]
        assert ours.all() == gates
        for other in others:
            assert np.array_equal(other, ours)
