from mxnet import MXNetError, autograd, np, npx

import kernelfield as kf

npx.set_np()


def by_hand(X, K):
    h, w = K.shape
    Y = np.zeros((X.shape[0] - h + 1, X.shape[1] - w + 1))
    for i in range(Y.shape[0]):
        for j in range(Y.shape[1]):
            Y[i, j] = (X[i : i + h, j : j + w] * K).sum()
    return Y


X, K = np.arange(9.0).reshape(3, 3), np.ones((2, 2))
K.attach_grad()
try:
    with autograd.record():
        by_hand(X, K)
except MXNetError as error:
    print(f"{type(error).__name__}: {str(error).strip().splitlines()[-1]}")
with autograd.record():
    total = kf.corr2d(X, K).sum()
total.backward()
print(K.grad)
