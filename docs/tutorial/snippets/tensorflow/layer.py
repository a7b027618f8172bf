import keras
import tensorflow as tf

import kernelfield as kf
from kernelfield.keras import Conv2D


class Correlation(keras.layers.Layer):
    def __init__(self, size):
        super().__init__()
        self.weight = self.add_weight(shape=size, initializer="uniform")
        self.bias = self.add_weight(shape=(1,), initializer="zeros")

    def call(self, x):
        return kf.corr2d(x, tf.convert_to_tensor(self.weight)) + self.bias


layer = Correlation((2, 3))
print(layer(tf.ones((6, 8))).shape)

layer = Conv2D(4, (2, 3))  # keras' own call; channels last
print(layer(tf.ones((1, 6, 8, 3))).shape)
