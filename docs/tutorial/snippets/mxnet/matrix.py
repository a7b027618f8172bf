from mxnet import np, npx

import kernelfield as kf

npx.set_np()
X = np.arange(9.0).reshape(3, 3)
K = [[0.0, 1.0], [2.0, 3.0]]
A = kf.as_matrix(K, (3, 3), mode="valid").toarray()  # a row for each output, a column for each pixel
print(A)
print(np.dot(np.array(A, dtype=X.dtype), X.reshape(-1)))
