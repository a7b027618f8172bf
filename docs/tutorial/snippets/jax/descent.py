import jax
import jax.numpy as jnp

import kernelfield as kf

X = jnp.ones((6, 8)).at[:, 2:6].set(0)
Y = kf.corr2d(X, jnp.array([[1.0, -1.0]]))


def squared_error(W):
    return ((kf.corr2d(X, W) - Y) ** 2).sum()


W = jnp.array([[0.5, 0.25]])
for epoch in range(1, 11):
    loss, slope = jax.value_and_grad(squared_error)(W)
    W -= 3e-2 * slope
    if epoch % 2 == 0:
        print(f"epoch {epoch}, loss {loss:.3f}")
print(f"kernel {W[0, 0]:.3f}, {W[0, 1]:.3f}")
