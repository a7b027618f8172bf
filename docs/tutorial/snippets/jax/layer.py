import jax
import jax.numpy as jnp
from flax import nnx

import kernelfield as kf
from kernelfield.jax import Conv


class Correlation(nnx.Module):
    def __init__(self, size, rngs):
        self.weight = nnx.Param(jax.random.uniform(rngs.params(), size))
        self.bias = nnx.Param(jnp.zeros(1))

    def __call__(self, x):
        return kf.corr2d(x, self.weight[...]) + self.bias[...]


layer = Correlation((2, 3), nnx.Rngs(0))
print(layer(jnp.ones((6, 8))).shape)

layer = Conv(3, 4, (2, 3), padding="VALID", rngs=nnx.Rngs(0))  # flax.nnx' own call; channels last
print(layer(jnp.ones((1, 6, 8, 3))).shape)
