import numpy as np

import kernelfield as kf

wave = np.cos(2 * np.pi * np.arange(64) / 8)  # stripes, 8 pixels from one to the next
stripes = np.tile(wave, (64, 1))
for angle in 0, 30, 60, 90:
    response = kf.correlate(stripes, kf.kernels.log_gabor(8, angle), boundary="wrap")
    print(angle, abs(response).max().round(3))
