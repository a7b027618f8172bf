from mxnet import autograd, np, npx

import kernelfield as kf

npx.set_np()
X = np.ones((6, 8))
X[:, 2:6] = 0
Y = kf.corr2d(X, np.array([[1.0, -1.0]]))

W = np.array([[0.5, 0.25]])
W.attach_grad()
for epoch in range(1, 11):
    with autograd.record():
        loss = ((kf.corr2d(X, W) - Y) ** 2).sum()
    loss.backward()
    W -= 3e-2 * W.grad
    if epoch % 2 == 0:
        print(f"epoch {epoch}, loss {float(loss):.3f}")
print(f"kernel {float(W[0, 0]):.3f}, {float(W[0, 1]):.3f}")
