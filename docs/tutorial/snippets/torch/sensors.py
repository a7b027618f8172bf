import math

import torch

import kernelfield as kf
from kernelfield.torch import Filter2d

wave = torch.cos(2 * math.pi * torch.arange(64) / 8)  # stripes, 8 pixels from one to the next
stripes = wave.repeat(64, 1)
for angle in 0, 30, 60, 90:
    sensor = Filter2d(kf.kernels.log_gabor(8, angle), boundary="wrap")
    print(angle, round(sensor(stripes[None, None]).abs().max().item(), 3))
