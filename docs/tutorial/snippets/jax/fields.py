from flax import nnx

import kernelfield as kf

rngs = nnx.Rngs(0)
model = nnx.Sequential(*(nnx.Conv(1, 1, (2, 2), padding="VALID", rngs=rngs) for _ in range(2)))
rf = kf.receptive_field(model, (1, 4, 4, 1))
print(rf)
print(rf.last.region(0, 0))
print(rf.last.mask(0, 0).astype(int))
