import tensorflow as tf

import kernelfield as kf

white, black = tf.ones((6, 2)), tf.zeros((6, 4))
X = tf.concat([white, black, white], axis=1)
K = tf.constant([[1.0, -1.0]])
print(X)
print(kf.corr2d(X, K))
print(kf.corr2d(tf.transpose(X), K))
