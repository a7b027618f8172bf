import math

import jax.numpy as jnp

import kernelfield as kf
from kernelfield.jax import Filter

wave = jnp.cos(2 * math.pi * jnp.arange(64) / 8)  # stripes, 8 pixels from one to the next
stripes = jnp.tile(wave, (64, 1))
for angle in 0, 30, 60, 90:
    sensor = Filter(kf.kernels.log_gabor(8, angle), boundary="wrap")
    print(angle, round(float(abs(sensor(stripes[None, :, :, None])).max()), 3))
