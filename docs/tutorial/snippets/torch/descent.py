import torch

import kernelfield as kf

X = torch.ones(6, 8)
X[:, 2:6] = 0
Y = kf.corr2d(X, torch.tensor([[1.0, -1.0]]))

W = torch.tensor([[0.5, 0.25]], requires_grad=True)
optimiser = torch.optim.SGD([W], lr=3e-2)
for epoch in range(1, 11):
    optimiser.zero_grad()
    loss = ((kf.corr2d(X, W) - Y) ** 2).sum()
    loss.backward()
    optimiser.step()
    if epoch % 2 == 0:
        print(f"epoch {epoch}, loss {loss:.3f}")
print(f"kernel {W[0, 0]:.3f}, {W[0, 1]:.3f}")
