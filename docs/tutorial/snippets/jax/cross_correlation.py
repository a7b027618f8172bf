import jax.numpy as jnp

import kernelfield as kf

X = jnp.arange(9.0).reshape(3, 3)
K = jnp.arange(4.0).reshape(2, 2)
print(kf.corr2d(X, K))
print((X[0:2, 0:2] * K).sum())
