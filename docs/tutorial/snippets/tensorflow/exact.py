import tensorflow as tf

import kernelfield as kf

white, black = tf.ones((6, 2)), tf.zeros((6, 4))
X = tf.concat([white, black, white], axis=1)
Y = kf.corr2d(X, tf.constant([[1.0, -1.0]]))

trained = kf.descend(X, Y, size=(1, 2), framework="tensorflow", steps=10, report_every=5)
print(trained.kernel.weights.round(3))

fit = kf.learn(X, Y)
print(fit.verdict, fit.kernel.weights.round(12))
