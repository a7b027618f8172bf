"""An image with diagonal edges: what [1, -1], its transpose and the transposed image give.

    python examples/exercises/diagonal_edges.py [FOLDER]

A diagonal edge is a step along the rows and along the columns at once, so both kernels see it, and each about the same.
Transposing the kernel turns the question; transposing the image too turns the answer with it:
corr2d(X.T, K.T) is corr2d(X, K).T.
"""

import numpy as np
import pictures

import kernelfield as kf

# A dark band from the lower left to the upper right, on white.
rows, columns = np.indices((12, 12))
X = np.where(np.abs(rows + columns - 11) <= 3, 0.0, 1.0)
K = np.array([[1.0, -1.0]])

across = kf.corr2d(X, K)
down = kf.corr2d(X, K.T)
turned = kf.corr2d(X.T, K)

assert np.array_equal(kf.corr2d(X.T, K.T), across.T)
# This image is its own transpose, so the third answer is the first; a band that leans is not.
assert np.array_equal(X, X.T)
assert np.array_equal(turned, across)
steep = np.where(np.abs(2 * columns + rows - 16) <= 4, 0.0, 1.0)

made = pictures.figure(9.4, 4.6, "[1, −1] and its transpose on diagonal edges: red 1, blue −1, white 0, grey no value")
axes = made.subplots(2, 5)
for row, image, name in ((0, X, "X"), (1, steep, "Z")):
    pictures.grey(axes[row, 0], image, f"{name}, 12×12")
    pictures.grey(axes[row, 3], image.T, f"{name}ᵀ")
    answers = (
        (1, image, K, f"{name} with [1, −1]"),
        (2, image, K.T, f"{name} with [1, −1]ᵀ"),
        (4, image.T, K, f"{name}ᵀ with [1, −1]"),
    )
    for column, given, kernel, title in answers:
        pictures.signed(axes[row, column], kf.corr2d(given, kernel), title, bar=False, frame=image.shape)

print("edges seen across, down, and across in the transposed image:")
for name, image in (("X", X), ("Z, steeper", steep)):
    print(f"  {name}:", *(np.count_nonzero(kf.corr2d(*pair)) for pair in ((image, K), (image, K.T), (image.T, K))))
pictures.write(made, __file__)
