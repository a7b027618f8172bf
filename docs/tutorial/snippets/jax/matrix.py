import jax.numpy as jnp

import kernelfield as kf

X = jnp.arange(9.0).reshape(3, 3)
K = [[0.0, 1.0], [2.0, 3.0]]
A = kf.as_matrix(K, (3, 3), mode="valid").toarray()  # a row for each output, a column for each pixel
print(A)
print(jnp.asarray(A) @ X.ravel())
