import tensorflow as tf

import kernelfield as kf

X = tf.reshape(tf.range(9.0), (3, 3))
K = tf.reshape(tf.range(4.0), (2, 2))
print(kf.corr2d(X, K))
print(tf.reduce_sum(X[0:2, 0:2] * K))
