import torch

import kernelfield as kf

X = torch.tril(torch.ones(5, 6))  # a diagonal edge
K = torch.tensor([[1.0, -1.0]])
print(kf.corr2d(X, K))
print(kf.corr2d(X, K.T))

turned = kf.corr2d(X.T, K.T)
print(torch.equal(turned, kf.corr2d(X, K).T))
