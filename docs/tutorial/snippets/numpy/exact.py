import numpy as np

import kernelfield as kf

X = np.ones((6, 8))
X[:, 2:6] = 0
Y = kf.corr2d(X, np.array([[1.0, -1.0]]))

trained = kf.descend(X, Y, size=(1, 2), steps=10, report_every=5)
print(trained.kernel.weights.round(3))

fit = kf.learn(X, Y)
print(fit.verdict, fit.kernel.weights.round(12))
