import numpy as np

import kernelfield as kf

rng = np.random.default_rng(0)
first, second, image = rng.random((2, 2)), rng.random((2, 2)), rng.random((4, 4))


def unit(image):
    return kf.corr2d(kf.corr2d(image, first), second)[0, 0]


seen = np.zeros((4, 4), int)
for place in np.ndindex(4, 4):
    changed = image.copy()
    changed[place] += 1
    seen[place] = unit(changed) != unit(image)
print(seen)
