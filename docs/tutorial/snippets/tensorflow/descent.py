import tensorflow as tf

import kernelfield as kf

white, black = tf.ones((6, 2)), tf.zeros((6, 4))
X = tf.concat([white, black, white], axis=1)
Y = kf.corr2d(X, tf.constant([[1.0, -1.0]]))

W = tf.Variable([[0.5, 0.25]])
for epoch in range(1, 11):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum((kf.corr2d(X, W) - Y) ** 2)
    W.assign_sub(3e-2 * tape.gradient(loss, W))
    if epoch % 2 == 0:
        print(f"epoch {epoch}, loss {loss:.3f}")
print(f"kernel {W[0, 0]:.3f}, {W[0, 1]:.3f}")
