import torch

import kernelfield as kf

X = torch.arange(9.0).reshape(3, 3)
K = torch.arange(4.0).reshape(2, 2)
print(kf.corr2d(X, K))
print((X[0:2, 0:2] * K).sum())
