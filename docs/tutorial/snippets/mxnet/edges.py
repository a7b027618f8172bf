from mxnet import np, npx

import kernelfield as kf

npx.set_np()
X = np.ones((6, 8))
X[:, 2:6] = 0
K = np.array([[1.0, -1.0]])
print(X)
print(kf.corr2d(X, K))
print(kf.corr2d(X.T, K))
