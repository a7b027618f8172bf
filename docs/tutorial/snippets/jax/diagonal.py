import jax.numpy as jnp

import kernelfield as kf

X = jnp.tril(jnp.ones((5, 6)))  # a diagonal edge
K = jnp.array([[1.0, -1.0]])
print(kf.corr2d(X, K))
print(kf.corr2d(X, K.T))

turned = kf.corr2d(X.T, K.T)
print(jnp.array_equal(turned, kf.corr2d(X, K).T).item())
