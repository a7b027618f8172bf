import numpy as np

import kernelfield as kf

X = np.arange(9.0).reshape(3, 3)
K = np.arange(4.0).reshape(2, 2)
print(kf.corr2d(X, K))
print((X[0:2, 0:2] * K).sum())
