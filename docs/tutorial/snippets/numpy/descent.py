import numpy as np

import kernelfield as kf

X = np.ones((6, 8))
X[:, 2:6] = 0
Y = kf.corr2d(X, np.array([[1.0, -1.0]]))

W = np.array([[0.5, 0.25]])
for epoch in range(1, 11):
    residual = kf.corr2d(X, W) - Y
    loss = (residual**2).sum()
    W -= 3e-2 * kf.corr2d(X, 2 * residual)  # the gradient of the loss for W
    if epoch % 2 == 0:
        print(f"epoch {epoch}, loss {loss:.3f}")
print(f"kernel {W[0, 0]:.3f}, {W[0, 1]:.3f}")
