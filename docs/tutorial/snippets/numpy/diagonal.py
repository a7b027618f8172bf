import numpy as np

import kernelfield as kf

X = np.tril(np.ones((5, 6)))  # a diagonal edge
K = np.array([[1.0, -1.0]])
print(kf.corr2d(X, K))
print(kf.corr2d(X, K.T))

turned = kf.corr2d(X.T, K.T)
print(np.array_equal(turned, kf.corr2d(X, K).T))
