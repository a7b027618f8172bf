import tensorflow as tf

import kernelfield as kf


def by_hand(X, K):
    h, w = K.shape
    Y = tf.zeros((X.shape[0] - h + 1, X.shape[1] - w + 1))
    for i in range(Y.shape[0]):
        for j in range(Y.shape[1]):
            Y[i, j] = tf.reduce_sum(X[i : i + h, j : j + w] * K)
    return Y


X, K = tf.reshape(tf.range(9.0), (3, 3)), tf.Variable(tf.ones((2, 2)))
try:
    by_hand(X, K)
except TypeError as error:
    print(f"{type(error).__name__}: {error}")
with tf.GradientTape() as tape:
    total = tf.reduce_sum(kf.corr2d(X, K))
print(tape.gradient(total, K))
