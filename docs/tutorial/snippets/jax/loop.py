import jax
import jax.numpy as jnp

import kernelfield as kf


def by_hand(X, K):
    h, w = K.shape
    Y = jnp.zeros((X.shape[0] - h + 1, X.shape[1] - w + 1))
    for i in range(Y.shape[0]):
        for j in range(Y.shape[1]):
            Y[i, j] = (X[i : i + h, j : j + w] * K).sum()
    return Y


X, K = jnp.arange(9.0).reshape(3, 3), jnp.ones((2, 2))
try:
    by_hand(X, K)
except TypeError as error:
    print(f"{type(error).__name__}: {str(error).partition('. ')[0]}")
print(jax.grad(lambda K: kf.corr2d(X, K).sum())(K))
