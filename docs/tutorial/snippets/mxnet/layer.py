from mxnet import init, np, npx
from mxnet.gluon import nn

import kernelfield as kf
from kernelfield.mxnet import Conv2D

npx.set_np()


class Correlation(nn.Block):
    def __init__(self, size):
        super().__init__()
        self.weight = self.params.get("weight", shape=size, init=init.Uniform(1))
        self.bias = self.params.get("bias", shape=(1,), init=init.Zero())

    def forward(self, x):
        return kf.corr2d(x, self.weight.data()) + self.bias.data()


layer = Correlation((2, 3))
layer.initialize()
print(layer(np.ones((6, 8))).shape)

layer = Conv2D(4, (2, 3))  # gluon.nn's own call
layer.initialize()
print(layer(np.ones((1, 3, 6, 8))).shape)
