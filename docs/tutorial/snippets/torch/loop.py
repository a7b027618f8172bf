import torch

import kernelfield as kf


def by_hand(X, K):
    h, w = K.shape
    Y = torch.zeros(X.shape[0] - h + 1, X.shape[1] - w + 1, requires_grad=True)
    for i in range(Y.shape[0]):
        for j in range(Y.shape[1]):
            Y[i, j] = (X[i : i + h, j : j + w] * K).sum()
    return Y


X, K = torch.arange(9.0).reshape(3, 3), torch.ones(2, 2, requires_grad=True)
try:
    by_hand(X, K).sum().backward()
except RuntimeError as error:
    print(f"{type(error).__name__}: {error}")
kf.corr2d(X, K).sum().backward()
print(K.grad)
