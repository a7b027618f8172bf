import keras

import kernelfield as kf

model = keras.Sequential(
    [keras.Input((4, 4, 1)), keras.layers.Conv2D(1, 2, name="a"), keras.layers.Conv2D(1, 2, name="b")]
)
rf = kf.receptive_field(model)
print(rf)
print(rf.last.region(0, 0))
print(rf.last.mask(0, 0).astype(int))
