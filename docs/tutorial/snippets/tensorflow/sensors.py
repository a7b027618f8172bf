import math

import tensorflow as tf

import kernelfield as kf
from kernelfield.keras import Filter2D

wave = tf.cos(2 * math.pi * tf.range(64.0) / 8)  # stripes, 8 pixels from one to the next
stripes = tf.tile(wave[None], (64, 1))
for angle in 0, 30, 60, 90:
    sensor = Filter2D(kf.kernels.log_gabor(8, angle), boundary="wrap")
    print(angle, round(float(tf.reduce_max(abs(sensor(stripes[None, :, :, None])))), 3))
