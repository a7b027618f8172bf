import torch

import kernelfield as kf

X = torch.ones(6, 8)
X[:, 2:6] = 0
K = torch.tensor([[1.0, -1.0]])
print(X)
print(kf.corr2d(X, K))
print(kf.corr2d(X.T, K))
