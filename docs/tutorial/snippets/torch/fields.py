from torch import nn

import kernelfield as kf

model = nn.Sequential(nn.Conv2d(1, 1, 2), nn.Conv2d(1, 1, 2))
rf = kf.receptive_field(model, (4, 4))
print(rf)
print(rf.last.region(0, 0))
print(rf.last.mask(0, 0).astype(int))
