from mxnet.gluon import nn

import kernelfield as kf

model = nn.HybridSequential()
model.add(nn.Conv2D(1, 2, in_channels=1), nn.Conv2D(1, 2, in_channels=1))
rf = kf.receptive_field(model, (1, 1, 4, 4))
print(rf)
print(rf.last.region(0, 0))
print(rf.last.mask(0, 0).astype(int))
