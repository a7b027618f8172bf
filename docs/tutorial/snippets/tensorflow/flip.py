import tensorflow as tf

import kernelfield as kf

X = tf.reshape(tf.square(tf.range(20.0)) % 7, (4, 5))
K = tf.constant([[0.0, 1.0], [2.0, 3.0]])
print(kf.corr2d(X, K))
print(kf.convolve(X, K, mode="valid"))
print(kf.corr2d(X, tf.reverse(K, [0, 1])))

fit = kf.learn(X, kf.convolve(X, K, mode="valid"), size=(2, 2))
print(fit.kernel.weights.round(6) + 0.0)  # no minus at zeros
print(fit.kernel.flipped().weights.round(6) + 0.0)
