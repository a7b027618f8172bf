import tensorflow as tf

import kernelfield as kf

X = tf.linalg.band_part(tf.ones((5, 6)), -1, 0)  # a diagonal edge
K = tf.constant([[1.0, -1.0]])
print(kf.corr2d(X, K))
print(kf.corr2d(X, tf.transpose(K)))

turned = kf.corr2d(tf.transpose(X), tf.transpose(K))
print(bool(tf.reduce_all(turned == tf.transpose(kf.corr2d(X, K)))))
