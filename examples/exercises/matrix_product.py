"""The operation as a matrix multiplication, by transforming the kernel, or the image, or both.

    python examples/exercises/matrix_product.py [FOLDER]

Transform the kernel into a matrix with one row an output pixel: blocks along the diagonal, each of them constant along
its own diagonals (doubly blocked Toeplitz); times the image as one column. Or transform the image into a matrix with
one row a window (im2col), and the kernel into a column.
"""

import numpy as np
import pictures
from numpy.lib.stride_tricks import sliding_window_view

import kernelfield as kf

X = np.arange(1.0, 21.0).reshape(4, 5)
K = np.array([[1.0, 2.0], [-1.0, -3.0]])
Y = kf.corr2d(X, K)
(h, w), (kh, kw), (oh, ow) = X.shape, K.shape, Y.shape

matrix = np.zeros((oh * ow, h * w))
for i, j in np.ndindex(oh, ow):
    for a, b in np.ndindex(kh, kw):
        matrix[i * ow + j, (i + a) * w + (j + b)] = K[a, b]
windows = sliding_window_view(X, K.shape).reshape(oh * ow, kh * kw)

assert np.array_equal((matrix @ X.ravel()).reshape(Y.shape), Y)
assert np.array_equal((windows @ K.ravel()).reshape(Y.shape), Y)
print(
    f"corr2d gives\n{Y}\nthe {matrix.shape[0]}×{matrix.shape[1]} matrix of the kernel times the image gives the same,"
)
print(f"and so does the {windows.shape[0]}×{windows.shape[1]} matrix of windows times the kernel as a column")
print(f"of the {matrix.size} entries of the first {np.count_nonzero(matrix)} are not 0: programs store these only")

made = pictures.figure(10.0, 7.4, "Cross-correlation as a matrix product")
top, bottom = made.subfigures(2, 1, height_ratios=(1.0, 1.0))
places = top.subplots(1, 4, width_ratios=(20, 1.9, 1.9, 5))
pictures.signed(
    places[0], matrix, "the kernel as a matrix: doubly blocked Toeplitz, 12×20", numbers=".0f", aspect="auto"
)
for edge in range(1, oh):
    places[0].axhline(edge * ow - 0.5, color="0.2", linewidth=1.0)
for edge in range(1, h):
    places[0].axvline(edge * w - 0.5, color="0.2", linewidth=1.0)
pictures.signed(places[1], X.reshape(-1, 1), "· image", peak=60, numbers=".0f", aspect="auto")
pictures.signed(places[2], Y.reshape(-1, 1), "= result", numbers=".0f", aspect="auto")
pictures.signed(places[3], K, "the kernel", numbers=".0f")
places = bottom.subplots(1, 4, width_ratios=(6, 1.9, 1.9, 12))
pictures.signed(places[0], windows, "windows of the image, 12×4", peak=60, numbers=".0f", aspect="auto")
pictures.signed(places[1], K.reshape(-1, 1), "· kernel", numbers=".0f", aspect="auto")
pictures.signed(places[2], Y.reshape(-1, 1), "= result", numbers=".0f", aspect="auto")
pictures.signed(places[3], X, "the image", peak=60, numbers=".0f")
pictures.write(made, __file__)
