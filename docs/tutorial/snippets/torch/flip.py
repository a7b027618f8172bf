import torch

import kernelfield as kf

X = (torch.arange(20.0) ** 2 % 7).reshape(4, 5)
K = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
print(kf.corr2d(X, K))
print(kf.convolve(X, K, mode="valid"))
print(kf.corr2d(X, K.flip(0, 1)))

fit = kf.learn(X, kf.convolve(X, K, mode="valid"), size=(2, 2))
print(fit.kernel.weights.round(6) + 0.0)  # no minus at zeros
print(fit.kernel.flipped().weights.round(6) + 0.0)
