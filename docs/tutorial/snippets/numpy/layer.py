import numpy as np

import kernelfield as kf


class Correlation:
    def __init__(self, size):
        self.weight = np.random.default_rng(0).random(size)
        self.bias = np.zeros(1)

    def __call__(self, x):
        return kf.corr2d(x, self.weight) + self.bias


layer = Correlation((2, 3))
print(layer(np.ones((6, 8))).shape)

weights = np.ones((4, 3, 2, 3))  # 4 feature maps of 3 channels, as the weights of a layer
print(kf.correlate(np.ones((1, 3, 6, 8)), weights, mode="valid").shape)
