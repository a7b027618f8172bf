import math

from mxnet import np, npx

import kernelfield as kf
from kernelfield.mxnet import Filter2D

npx.set_np()
wave = np.cos(2 * math.pi * np.arange(64) / 8)  # stripes, 8 pixels from one to the next
stripes = np.tile(wave, (64, 1))
for angle in 0, 30, 60, 90:
    sensor = Filter2D(kf.kernels.log_gabor(8, angle), boundary="wrap")
    sensor.initialize()
    print(angle, round(float(np.abs(sensor(stripes.reshape(1, 1, 64, 64))).max()), 3))
