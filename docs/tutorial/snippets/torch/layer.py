import torch
from torch import nn

import kernelfield as kf
from kernelfield.torch import Conv2d


class Correlation(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(size))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return kf.corr2d(x, self.weight) + self.bias


layer = Correlation((2, 3))
print(layer(torch.ones(6, 8)).shape)

layer = Conv2d(3, 4, (2, 3))  # torch.nn's own call
print(layer(torch.ones(1, 3, 6, 8)).shape)
