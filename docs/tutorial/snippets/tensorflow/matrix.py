import tensorflow as tf

import kernelfield as kf

X = tf.reshape(tf.range(9.0), (3, 3))
K = [[0.0, 1.0], [2.0, 3.0]]
A = kf.as_matrix(K, (3, 3), mode="valid").toarray()  # a row for each output, a column for each pixel
print(A)
print(tf.linalg.matvec(tf.constant(A, tf.float32), tf.reshape(X, [-1])))
