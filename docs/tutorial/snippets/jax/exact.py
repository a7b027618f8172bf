import jax.numpy as jnp

import kernelfield as kf

X = jnp.ones((6, 8)).at[:, 2:6].set(0)
Y = kf.corr2d(X, jnp.array([[1.0, -1.0]]))

trained = kf.descend(X, Y, size=(1, 2), framework="jax", steps=10, report_every=5)
print(trained.kernel.weights.round(3))

fit = kf.learn(X, Y)
print(fit.verdict, fit.kernel.weights.round(12))
