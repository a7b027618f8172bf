import numpy as np

import kernelfield as kf


def by_hand(X, K):
    h, w = K.shape
    Y = np.zeros((X.shape[0] - h + 1, X.shape[1] - w + 1))
    for i in range(Y.shape[0]):
        for j in range(Y.shape[1]):
            Y[i, j] = (X[i : i + h, j : j + w] * K).sum()
    return Y


X, K = np.arange(9.0).reshape(3, 3), np.ones((2, 2))
print(by_hand(X, K))
print(kf.corr2d(X, np.ones((2, 2))))  # the gradient of the sum of all outputs, for the kernel
