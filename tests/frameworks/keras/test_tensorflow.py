from __future__ import annotations

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import kernelfield as kf
from kernelfield.correlation.arguments import check_operation
from kernelfield.engine import layers
from kernelfield.keras import eager
from kernelfield.keras.tensorflow import ADAPTER

BOUNDARIES = ("constant", "nearest", "reflect", "mirror", "wrap")
STEPS = [(1, 1), (2, 1), (2, 3), (2, 2)]
GRID = list(itertools.product(STEPS, STEPS, (1, 2, 4), [(3, 3), (2, 4)]))
# Between them every way to differentiate: splits, depthwise, blocks, kernels spread by zeros.
LACKING = [g for g in GRID if g[3] == (2, 4) and (g[2] > 1 or g[1] != (1, 1)) and g[0] != (2, 3)]
GRID_IDS = [f"stride{s}-dilation{d}-groups{g}-kernel{k}".replace(" ", "") for s, d, g, k in GRID]


def random(*shape, dtype="float32", seed=0):
    return tf.constant(np.random.default_rng([seed, *shape]).normal(size=shape), dtype)


def operation_of(image, kernel, **how):
    defaults = dict(mode="same", boundary="reflect", cval=0.0, origin=None, padding=None, stride=1, dilation=1)
    return check_operation(image, kernel, own_origin=(0, 0), **{**defaults, "groups": 1, **how})


def slopes(function, *tensors):
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        result = function(*tensors)
    return tape.gradient(result, tensors, output_gradients=random(*result.shape, dtype=result.dtype, seed=7))


def close(one, other, tolerance=1e-4):
    for a, b in zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


class TestAgainstConv2d:
    """The framework's own convolution as the oracle."""

    @pytest.mark.parametrize(("stride", "dilation", "groups", "size"), GRID, ids=GRID_IDS)
    def test_forward(self, stride, dilation, groups, size):
        image, kernel = random(2, 11, 13, 4), random(*size, 4 // groups, 8)
        how = dict(stride=stride, dilation=dilation, groups=groups, padding=((1, 2), (0, 3)), boundary="constant")
        wanted = tf.nn.conv2d(image, kernel, stride, [[0, 0], [1, 2], [0, 3], [0, 0]], dilations=dilation)
        operation = operation_of((2, 4, 11, 13), (8, 4 // groups, *size), **how)
        close(ADAPTER.correlate(operation, image, kernel, channels_last=True), wanted)
        first = kf.correlate(tf.transpose(image, (0, 3, 1, 2)), tf.transpose(kernel, (3, 2, 0, 1)), **how)
        close(tf.transpose(first, (0, 2, 3, 1)), wanted)

    @pytest.mark.parametrize("stride", [1, (2, 1), (3, 3)])
    @pytest.mark.parametrize("size", [(3, 3), (2, 5), (1, 1)])
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_gradients(self, stride, size, dtype):
        image, kernel = random(2, 9, 8, 3, dtype=dtype), random(*size, 3, 5, dtype=dtype)
        operation = operation_of((2, 3, 9, 8), (5, 3, *size), stride=stride, mode="valid")
        found = slopes(lambda x, k: ADAPTER.correlate(operation, x, k, channels_last=True), image, kernel)
        close(found, slopes(lambda x, k: tf.nn.conv2d(x, k, stride, "VALID"), image, kernel))

    @pytest.mark.parametrize(("stride", "dilation", "groups", "size"), LACKING, ids=str)
    def test_gradients_that_conv2d_lacks_on_a_cpu(self, stride, dilation, groups, size):
        image, kernel = random(2, 11, 13, 4), random(*size, 4 // groups, 8)
        operation = operation_of(
            (2, 4, 11, 13), (8, 4 // groups, *size), stride=stride, dilation=dilation, groups=groups, mode="valid"
        )
        engine = slopes(lambda x, k: ADAPTER.correlate(operation, x, k, channels_last=True), image, kernel)
        native = slopes(lambda x, k: ADAPTER.native(operation, x, k, channels_last=True), image, kernel)
        close(native, engine)


def test_finite_differences():
    how = dict(stride=(2, 1), dilation=(1, 2), groups=2, boundary="mirror")
    tensors = random(1, 4, 5, 6, dtype="float64"), random(4, 2, 3, 2, dtype="float64")
    exact, numeric = tf.test.compute_gradient(lambda x, k: kf.correlate(x, k, **how), tensors)
    for a, b in zip(exact, numeric, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


class TestGraph:
    """Inside `tf.function` the work is TensorFlow's."""

    @pytest.mark.parametrize("jit", [False, True])
    @pytest.mark.parametrize("boundary", BOUNDARIES)
    def test_the_same_numbers_and_gradients(self, boundary, jit):
        how = dict(boundary=boundary, cval=2.0, stride=(1, 2), dilation=(2, 1), groups=2)
        image, kernel = random(2, 4, 7, 6), random(6, 2, 3, 4)
        call = lambda x, k: kf.correlate(x, k, **how)  # noqa: E731
        graph = tf.function(call, jit_compile=jit)
        close(graph(image, kernel), call(image, kernel))
        inside = tf.function(lambda x, k: slopes(call, x, k), jit_compile=jit)
        close(inside(image, kernel), slopes(call, image, kernel))
        close(slopes(graph, image, kernel), slopes(call, image, kernel))

    def test_an_unknown_batch(self):
        graph = tf.function(
            lambda x, k: kf.correlate(x, k, groups=2),
            input_signature=[tf.TensorSpec([None, None, 4, 7, 6]), tf.TensorSpec([6, 2, 3, 3])],
        )
        for lead in ((2, 1), (1, 3)):
            image, kernel = random(*lead, 4, 7, 6), random(6, 2, 3, 3)
            close(graph(image, kernel), kf.correlate(image, kernel, groups=2))
        planes = tf.function(
            lambda x: kf.correlate(x, [[1.0, -1.0]]), input_signature=[tf.TensorSpec([None, None, 5, 6])]
        )
        close(planes(random(2, 3, 5, 6)), kf.correlate(random(2, 3, 5, 6), [[1.0, -1.0]]))

    @pytest.mark.parametrize("boundary", BOUNDARIES)
    def test_an_unknown_size(self, boundary):
        operation = operation_of((1, 2, 2, 3), (4, 2, 5, 4), boundary=boundary, cval=1.0)
        graph = tf.function(
            lambda x, k: ADAPTER.correlate(operation, x, k, channels_last=True),
            input_signature=[tf.TensorSpec([None, None, None, 2]), tf.TensorSpec([5, 4, 2, 4])],
        )
        for size in ((2, 3), (1, 1), (8, 7)):
            image, kernel = random(2, *size, 2), random(5, 4, 2, 4)
            close(graph(image, kernel), ADAPTER.correlate(operation, image, kernel, channels_last=True))

    def test_a_size_that_must_be_known_is_asked_for(self):
        for spec in (tf.TensorSpec([None, 5]), tf.TensorSpec(None)):
            graph = tf.function(lambda x: kf.correlate(x, [[1.0]]), input_signature=[spec])
            with pytest.raises(Exception, match=r"expected a known height and width; received .*set_shape"):
                graph(random(5, 5))

    def test_eager_tensors_that_a_graph_meets(self):
        image, kernel = random(5, 6), tf.Variable(random(3, 3))
        close(tf.function(lambda: kf.correlate(image, kernel))(), kf.correlate(image, kernel))
        inside = tf.function(lambda: slopes(lambda x, k: kf.correlate(x, k), image, tf.identity(kernel)))
        close(inside(), slopes(lambda x, k: kf.correlate(x, k), image, tf.identity(kernel)))

    def test_the_route(self):
        seen = []
        operation = operation_of((5, 6), (3, 3))
        tf.function(lambda x, k: seen.append(ADAPTER.route(operation, x, k)) or x)(random(5, 6), random(3, 3))
        constants = random(5, 6), random(3, 3)
        tf.function(lambda: seen.append(ADAPTER.route(operation, *constants)))()
        assert seen == [("tensorflow", "another device or a trace")] * 2
        assert ADAPTER.route(operation, random(5, 6, dtype="float16"), random(3, 3, dtype="float16")) == (
            "tensorflow",
            "dtype float16",
        )

    def test_datasets_and_vectorized_map(self):
        images, kernel = random(3, 6, 8), random(2, 3)
        wanted = kf.correlate(images, kernel)
        found = list(tf.data.Dataset.from_tensor_slices(images).map(lambda x: kf.correlate(x, kernel)))
        close(found, list(wanted))
        close(tf.vectorized_map(lambda x: kf.correlate(x, kernel), images), wanted)


class TestDifferentiation:
    @pytest.mark.parametrize("make", ["tf", "keras"])
    def test_variables(self, make):
        import keras

        image, values = random(6, 8), random(1, 2)
        kernel = tf.Variable(values) if make == "tf" else keras.Variable(values)
        leaf = kernel if make == "tf" else kernel.value
        assert ADAPTER.recognises(kernel)
        assert ADAPTER.is_concrete(kernel)
        np.testing.assert_array_equal(ADAPTER.to_numpy(kernel), values)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(kf.corr2d(image, kernel) ** 2)
        close(tape.gradient(loss, leaf), gradient_by_conv2d(image, values))
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(ADAPTER.correlate(operation_of((6, 8), (1, 2), mode="valid"), image, kernel) ** 2)
        close(tape.gradient(loss, leaf), gradient_by_conv2d(image, values))

    @pytest.mark.parametrize("needs", [(True, False), (False, True), (True, True)])
    def test_only_what_is_watched_is_computed(self, needs, monkeypatch):
        asked, backward = [], layers.backward

        def spy(operation, image, kernel, gradient, needs=(True, True), *rest):
            asked.append(needs)
            return backward(operation, image, kernel, gradient, needs, *rest)

        monkeypatch.setattr(layers, "backward", spy)
        tensors = random(5, 6), random(3, 3)
        watched = [tensor for tensor, needed in zip(tensors, needs) if needed]
        with tf.GradientTape() as tape:
            tape.watch(watched)
            result = kf.correlate(*tensors)
        assert all(gradient is not None for gradient in tape.gradient(result, watched))
        assert asked == [needs]

    def test_without_a_tape_nothing_is_recorded(self, monkeypatch):
        monkeypatch.setattr(tf, "custom_gradient", lambda function: pytest.fail("custom_gradient was called"))
        kf.correlate(random(5, 6), random(3, 3))
        with tf.GradientTape() as tape:
            tape.watch(kernel := random(3, 3))
            with tape.stop_recording():
                kf.correlate(random(5, 6), kernel)

    def test_a_persistent_tape_gives_the_same_twice(self):
        image, kernel = random(5, 6), random(3, 3)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch((image, kernel))
            result = kf.correlate(image, kernel)
        close(tape.gradient(result, kernel), tape.gradient(result, kernel), 0)

    @pytest.mark.parametrize("last", [False, True])
    @pytest.mark.parametrize(
        "how",
        [dict(boundary="constant", cval=1.5), dict(stride=2, dilation=(2, 1), groups=2, boundary="wrap")],
        ids=["cval", "strides"],
    )
    def test_a_second_time(self, last, how):
        groups = how.get("groups", 1)
        shapes = (1, 4, 5, 6), (4, 4 // groups, 3, 2)
        operation = operation_of(*shapes, **how)
        tensors = [random(*shape, dtype="float64") for shape in shapes]
        if last:
            tensors = [tf.transpose(tensors[0], (0, 2, 3, 1)), tf.transpose(tensors[1], (2, 3, 1, 0))]

        def penalty(method):
            def of(image, kernel):
                with tf.GradientTape() as tape:
                    tape.watch((image, kernel))
                    loss = tf.reduce_sum(method(operation, image, kernel, channels_last=last) ** 3)
                return sum(tf.reduce_sum(g**2) for g in tape.gradient(loss, (image, kernel)))

            return of

        close(slopes(penalty(ADAPTER.correlate), *tensors), slopes(penalty(ADAPTER.native), *tensors), 1e-9)

    def test_a_second_time_with_one_of_the_two(self):
        image, kernel = random(5, 6, dtype="float64"), random(3, 3, dtype="float64")
        with tf.GradientTape() as outer:
            outer.watch(kernel)
            with tf.GradientTape() as inner:
                inner.watch(kernel)
                loss = tf.reduce_sum(kf.correlate(image, kernel) ** 2)
            first = inner.gradient(loss, kernel)
        hessian = outer.jacobian(first, kernel)
        windows = np.stack([kf.correlate(image.numpy(), np.eye(9)[i].reshape(3, 3)).ravel() for i in range(9)])
        np.testing.assert_allclose(tf.reshape(hessian, (9, 9)), 2 * windows @ windows.T, rtol=1e-9)

    def test_jacobian(self):
        image, kernel = random(4, 5, dtype="float64"), random(2, 2, dtype="float64")
        with tf.GradientTape() as tape:
            tape.watch(image)
            result = kf.corr2d(image, kernel)
        found = tf.reshape(tape.jacobian(result, image), (12, 20))
        np.testing.assert_allclose(found @ tf.reshape(image, (20, 1)), tf.reshape(result, (12, 1)), rtol=1e-9)

    @pytest.mark.parametrize("which", [0, 1])
    def test_forwards(self, which):
        tensors = [random(5, 6, dtype="float64"), random(3, 3, dtype="float64")]
        direction = random(*tensors[which].shape, dtype="float64", seed=3)
        with tf.autodiff.ForwardAccumulator(tensors[which], direction) as accumulator:
            result = kf.correlate(*tensors)
        tensors[which] = direction
        close(accumulator.jvp(result), kf.correlate(*tensors), 1e-9)


def gradient_by_conv2d(image, values):
    with tf.GradientTape() as tape:
        tape.watch(values)
        loss = tf.reduce_sum(tf.nn.conv2d(image[None, :, :, None], values[:, :, None, None], 1, "VALID") ** 2)
    return tape.gradient(loss, values)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_short_floats(dtype):
    how = dict(dilation=2, groups=2, boundary="constant")
    image, kernel = random(2, 4, 9, 8), random(4, 2, 3, 3)
    short = tf.cast(image, dtype), tf.cast(kernel, dtype)
    result = kf.correlate(*short, **how)
    assert result.dtype == dtype
    tolerance = 2e-2 if dtype == "float16" else 1e-1
    close(tf.cast(result, "float32"), kf.correlate(image, kernel, **how), tolerance)
    found = slopes(lambda x, k: kf.correlate(x, k, **how), *short)
    assert all(gradient.dtype == dtype for gradient in found)


class TestMemory:
    def test_results_lie_where_the_engine_wrote_them(self, monkeypatch):
        written, forward = [], layers.forward
        monkeypatch.setattr(layers, "forward", lambda operation, *a: written.append(a) or forward(operation, *a))
        image, kernel = random(20, 30), random(3, 3)
        result = kf.correlate(image, kernel)
        assert np.shares_memory(written[0][0], np.asarray(image))
        assert np.shares_memory(written[0][2], np.asarray(result))
        image, kernel = random(1, 20, 30, 1), random(3, 3, 1, 1)
        operation = operation_of((1, 1, 20, 30), (1, 1, 3, 3))
        result = ADAPTER.correlate(operation, image, kernel, channels_last=True)
        assert np.shares_memory(written[1][0], np.asarray(image))
        assert np.shares_memory(written[1][2], np.asarray(result))

    @pytest.mark.parametrize("offset", range(0, 64, 4))
    def test_memory_of_any_alignment(self, offset):
        memory = np.zeros(400, np.uint8)
        start = (offset - memory.__array_interface__["data"][0]) % 64
        array = memory[start : start + 48 * 4].view(np.float32).reshape(6, 8)
        array[...] = np.arange(48).reshape(6, 8)
        tensor = ADAPTER.from_numpy(array, None)
        assert np.shares_memory(np.asarray(tensor), array) == (offset == 0)
        assert float(tf.reduce_sum(tf.square(tensor + tf.tanh(tensor) * 0))) == float((array**2).sum())

    def test_memory_that_cannot_be_shared(self):
        values = np.arange(12.0).reshape(3, 4)
        frozen = values.copy()
        frozen.flags.writeable = False
        for array in (values.T, values[::-1], values[:, ::2], frozen, values[:0], values.astype("int64")):
            np.testing.assert_array_equal(ADAPTER.from_numpy(array, None), array)

    def test_nobody_writes_through_the_view(self):
        assert not ADAPTER.to_numpy(random(3, 4)).flags.writeable

    def test_a_result_outlives_its_arguments(self):
        results = [kf.correlate(random(64, 64, seed=i), random(3, 3)) for i in range(50)]
        for i, result in enumerate(results):
            close(result, kf.correlate(random(64, 64, seed=i).numpy(), random(3, 3).numpy()), 1e-6)


class TestDevices:
    def test_the_device_is_kept(self):
        image = random(5, 6)
        assert kf.correlate(image, [[1.0, -1.0]]).device == image.device
        assert ADAPTER.tensor([1.0], "float32", image).device == image.device

    def test_what_is_no_dense_tensor(self):
        ragged = tf.ragged.constant([[1.0], [2.0, 3.0]])
        sparse = tf.sparse.from_dense([[1.0, 0.0]])
        assert not ADAPTER.recognises(ragged)
        assert not ADAPTER.recognises(sparse)


def test_keras_on_another_framework_is_told():
    code = (
        "from kernelfield.keras.tensorflow import keras_on_tensorflow as k\ntry: k()\nexcept Exception as e: print(e)"
    )
    environment = {**os.environ, "KERAS_BACKEND": "numpy", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert "received numpy; set KERAS_BACKEND=tensorflow" in done.stdout


def test_recognising_does_not_need_the_tape_of_tensorflow(monkeypatch):
    """Where the private function is missing, gradients are registered always."""
    monkeypatch.setattr(eager, "_gradient_types", lambda tensors: 1)
    close(kf.correlate(random(5, 6), random(3, 3)), kf.correlate(random(5, 6).numpy(), random(3, 3).numpy()), 1e-6)
    close(slopes(kf.correlate, random(5, 6), random(3, 3)), slopes(native_2d, random(5, 6), random(3, 3)), 1e-5)


def native_2d(image, kernel):
    return ADAPTER.native(operation_of((5, 6), (3, 3)), image, kernel)
