import jax.numpy as jnp

import kernelfield as kf

X = jnp.ones((6, 8)).at[:, 2:6].set(0)
K = jnp.array([[1.0, -1.0]])
print(X)
print(kf.corr2d(X, K))
print(kf.corr2d(X.T, K))
