"""The frontend of JAX against NaN in JAX itself: an output element is NaN where it reads the only input that is NaN."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from kernelfield.errors import ArgumentError, UnsupportedOperation
from kernelfield.receptive import receptive_field, register, registry
from kernelfield.receptive.frontends.jax.products import table_map
from kernelfield.receptive.frontends.jax.windows import dilated_window

NHWC = ("NHWC", "HWIO", "NHWC")
SIZE = (9, 7)


def reached_by_nan(function, shape):
    """Return, for every element of an image (1, H, W, C), the positions of the output that it reaches: (H, W, h, w)."""
    _, height, width, _ = shape

    def probe(place):
        image = jnp.ones(shape).at[0, place // width, place % width].set(jnp.nan)
        return jnp.isnan(function(image)).any(axis=(0, -1))

    # The compiled function runs once.
    quick = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
    reached = jax.jit(jax.vmap(probe), compiler_options=quick)(jnp.arange(height * width))
    return np.asarray(reached).reshape(height, width, *reached.shape[1:])


def reached_by_gradient(function, shape):
    """Return the same of a linear function: where its Jacobian is not zero."""
    image = jax.random.normal(jax.random.key(1), shape)
    jacobian = jax.jacobian(function)(image)
    # A rounding error counts as zero.
    found = np.asarray(abs(jacobian) > 1e-5 * abs(jacobian).max()).any(axis=(0, 3, 4, 7))
    return found.transpose(2, 3, 0, 1)


def reached_by_us(function, shape):
    field = receptive_field(function, shape)
    return np.stack([[field.projective(i, j) for j in range(shape[2])] for i in range(shape[1])])


def kernel(seed, height, width, channels):
    return jax.random.uniform(jax.random.key(seed), (height, width, channels, 2), minval=0.5, maxval=1.5)


def convolution(draw):
    height, width = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    pads = [(draw(st.integers(-1, 3)), draw(st.integers(0, 3))) for _ in range(2)]
    settings = {
        "window_strides": (draw(st.integers(1, 3)), draw(st.integers(1, 2))),
        "padding": pads,
        "rhs_dilation": (draw(st.integers(1, 2)), draw(st.integers(1, 3))),
        "lhs_dilation": draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (3, 2)])),
    }
    return lambda x: lax.conv_general_dilated(
        x, kernel(1, height, width, x.shape[-1]), dimension_numbers=NHWC, **settings
    )


def pooling(draw):
    window, strides = (1, draw(st.integers(1, 3)), draw(st.integers(1, 3)), 1), (1, draw(st.integers(1, 2)), 2, 1)
    pads = ((0, 0), (1, draw(st.integers(0, 2))), (0, 1), (0, 0))
    return lambda x: lax.reduce_window(x, 0.0, lax.add, window, strides, pads)


def padding(draw):
    low, high, between = draw(st.integers(-2, 2)), draw(st.integers(-1, 3)), draw(st.integers(0, 2))
    mode = draw(st.sampled_from(["reflect", "edge", "wrap", "symmetric", None]))
    if mode is None:
        return lambda x: lax.pad(x, 0.0, ((0, 0, 0), (low, high, between), (1, 0, 0), (0, 0, 0)))
    return lambda x: jnp.pad(x, ((0, 0), (1, 2), (0, 1), (0, 0)), mode=mode)


def moving(draw):
    shift, step = draw(st.integers(-3, 3)), draw(st.integers(1, 3))
    taken = jnp.array(draw(st.lists(st.integers(0, 3), min_size=1, max_size=5)))
    return draw(
        st.sampled_from(
            [
                lambda x: jnp.roll(x, shift, axis=1),
                lambda x: x[:, ::-1],
                lambda x: x[:, 1::step, step - 1 :],
                lambda x: jnp.swapaxes(x, 1, 2),
                lambda x: x[:, :, taken % x.shape[2]],
                lambda x: x[:, taken[:, None] % x.shape[1], taken % x.shape[2]],
                lambda x: jnp.repeat(x, step, axis=1),
                lambda x: jnp.tile(x, (1, 1, 2, 1)),
                lambda x: jnp.concatenate([x, x[:, ::-1]], axis=1),
                lambda x: lax.dynamic_slice(x, (0, 1, 0, 0), (1, x.shape[1] - 1, x.shape[2], x.shape[3])),
                lambda x: jnp.cumsum(x, axis=2),
                lambda x: x * jax.nn.sigmoid(x.mean(axis=(1, 2), keepdims=True)),
                lambda x: x.at[:, 1:2].set(jnp.zeros_like(x[:, 1:2])) if x.shape[1] > 2 else x,
                lambda x: x.reshape(1, x.shape[1] * x.shape[2], x.shape[3]).reshape(x.shape),
            ]
        )
    )


def branching(draw):
    first, second = layer(draw), layer(draw)

    def both(x):
        a, b = first(x), second(x)
        height, width = min(a.shape[1], b.shape[1]), min(a.shape[2], b.shape[2])
        return jnp.concatenate([a[:, :height, :width], b[:, -height:, -width:]], axis=-1)

    return both


def layer(draw):
    kind = draw(st.sampled_from([convolution, convolution, pooling, padding, moving, moving]))
    return kind(draw)


@st.composite
def networks(draw):
    kinds = [draw(st.sampled_from([layer, layer, branching]))(draw) for _ in range(draw(st.integers(1, 4)))]

    def network(x):
        for part in kinds:
            y = part(x)
            # Skip operations that leave no elements, or too many.
            if min(y.shape) and y.shape[1] * y.shape[2] <= 600:
                x = y
        return x

    return network


@settings(max_examples=25)
@given(networks())
def test_what_is_reached_is_what_nan_reaches(network):
    shape = (1, *SIZE, 2)
    try:
        jax.eval_shape(network, jax.ShapeDtypeStruct(shape, "float32"))
    except (ValueError, TypeError):
        return
    wanted = reached_by_nan(network, shape)
    # The grid has no axis of extent 1.
    ours = reached_by_us(network, shape).reshape(wanted.shape)
    if any(part.bound for part in receptive_field(network, shape)):
        assert (wanted <= ours).all()
    else:
        np.testing.assert_array_equal(ours, wanted)


# On the processor XLA's maximum over windows drops NaN beside padding, and its sums over spread elements misplace it.
def test_a_maximum_reads_what_a_sum_reads():
    window, strides, pads = (1, 3, 2, 1), (1, 2, 1, 1), ((0, 0), (1, 1), (0, 1), (0, 0))
    shape = (1, *SIZE, 2)

    def largest(x):
        return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, pads)

    def total(x):
        return lax.reduce_window(x, 0.0, lax.add, window, strides, pads)

    np.testing.assert_array_equal(reached_by_us(largest, shape), reached_by_nan(total, shape))


def test_sums_over_windows_of_elements_apart():
    def network(x):
        pads = ((0, 0), (1, 1), (0, 1), (0, 0))
        return lax.reduce_window(x, 0.0, lax.add, (1, 2, 3, 1), (1, 1, 2, 1), pads, base_dilation=(1, 2, 3, 1))

    shape = (1, *SIZE, 2)
    np.testing.assert_array_equal(reached_by_us(network, shape), reached_by_gradient(network, shape))


def test_sorting_reads_a_column():
    mask = receptive_field(lambda x: jnp.sort(x, axis=1), (1, 4, 3, 1)).output.mask(2, 1)
    assert mask.tolist() == [[False, True, False]] * 4


@pytest.mark.parametrize("method", ["linear", "cubic", "lanczos3", "nearest"])
@pytest.mark.parametrize("size", [(18, 14), (5, 3), (9, 12), (27, 7)])
@pytest.mark.parametrize("antialias", [True, False])
def test_a_resize_reads_where_its_weights_are_not_zero(method, size, antialias):
    def network(x):
        return jax.image.resize(x, (1, *size, 1), method, antialias=antialias)

    shape = (1, *SIZE, 1)
    np.testing.assert_array_equal(reached_by_us(network, shape), reached_by_gradient(network, shape))


def test_a_resize_upwards_is_told_by_its_period():
    pattern = np.zeros((10, 20), bool)
    for j in range(20):
        pattern[[i for i in ((j - 1) // 2, (j + 1) // 2) if 0 <= i < 10], j] = True
    assert table_map(pattern).period == 2
    assert table_map(np.random.default_rng(0).random((6, 5)) > 0.5).period == 5


def test_a_dilated_base_is_a_transposed_convolution():
    assert dilated_window(3, 1, 1, 1, 2).taps == ((0,), (0, 1))
    assert dilated_window(2, 2, 1, 0, 2).step == 1


class Block(nnx.Module):
    def __init__(self, channels, rngs):
        self.conv = nnx.Conv(channels, channels, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(channels, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return x + nnx.relu(self.drop(self.norm(self.conv(x))))


class Network(nnx.Module):
    def __init__(self, rngs):
        self.stem = nnx.Conv(3, 8, (7, 7), strides=2, rngs=rngs)
        self.blocks = nnx.List([Block(8, rngs) for _ in range(2)])
        self.head = nnx.Linear(8, 10, rngs=rngs)

    def __call__(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(axis=(1, 2)))


def test_nnx_modules_are_named_by_their_paths_and_need_no_weights():
    model = nnx.eval_shape(lambda: Network(nnx.Rngs(0)))
    field = receptive_field(model, (64, 48))
    assert [field[name].size for name in ("stem", "blocks.0.conv", "blocks.0", "blocks.1.conv")] == [
        (7, 7),
        (11, 11),
        (11, 11),
        (15, 15),
    ]
    assert field["blocks.0.norm"].operation == "subtract"
    assert field["head"].whole == (True, True)


def test_nnx_modules_are_left_as_they_are():
    model = Network(nnx.Rngs(0))
    before = type(model.stem), model.blocks[0].norm.use_running_average
    receptive_field(model, (32, 32))
    assert before == (type(model.stem), model.blocks[0].norm.use_running_average)


class Linen(linen.Module):
    @linen.compact
    def __call__(self, x, train):
        x = linen.Conv(4, (3, 3), strides=2, name="stem")(x)
        x = linen.BatchNorm(use_running_average=not train)(x)
        x = linen.max_pool(linen.relu(x), (2, 2), (2, 2))
        return linen.ConvTranspose(4, (4, 4), strides=(2, 2))(x)


def test_linen_modules_are_named_by_their_scopes():
    field = receptive_field(Linen(), (1, 32, 32, 3))
    assert field["stem"].size == (3, 3)
    assert field["BatchNorm_0"].size == (3, 3)
    assert field["ConvTranspose_0"].shape == (16, 16)
    assert receptive_field(Linen(), (32, 32), channels=3).layers == field.layers
    with pytest.raises(ArgumentError, match=r"\(1, 32, 32, channels\)"):
        receptive_field(Linen(), (32, 32))


def test_attention_reads_all_places_and_its_gates_too():
    class Mixer(nnx.Module):
        def __init__(self, rngs):
            self.attend = nnx.MultiHeadAttention(2, 8, rngs=rngs, decode=False)

        def __call__(self, x):
            return self.attend(x.reshape(1, -1, x.shape[-1])).reshape(x.shape)

    field = receptive_field(Mixer(nnx.Rngs(0)), (1, 6, 5, 8))
    assert field.output.mask(0, 0).all()
    assert field.without_gates().output.mask(3, 2).all()


def test_squeeze_and_excitation_is_a_gate():
    def network(x):
        return x * jax.nn.sigmoid(x.mean(axis=(1, 2), keepdims=True))

    field = receptive_field(network, (1, 8, 8, 4))
    assert field.output.mask(0, 0).all()
    assert field.without_gates().output.mask(0, 0).sum() == 1


def test_scans_are_unrolled():
    weights = jnp.ones((3, 3, 3, 2, 2))

    def step(x, w):
        return lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=NHWC), x.sum()

    field = receptive_field(lambda x: lax.scan(step, x, weights)[0], (1, 16, 16, 2))
    assert field.output.size == (7, 7)


def test_branches_that_are_known_are_followed():
    def network(x, deep):
        return lax.cond(deep, lambda y: jnp.roll(y, 1, axis=1), lambda y: y, x)

    assert receptive_field(partial(network, deep=True), (1, 8, 8, 1)).output.offset == (-1, 0)


def test_what_is_not_known_is_refused_by_name():
    def network(x):
        return lax.while_loop(lambda y: y.sum() < 100, lambda y: y * 2, x)

    with pytest.raises(UnsupportedOperation, match=r"'while'.*unknown='global'"):
        receptive_field(network, (1, 8, 8, 1))
    field = receptive_field(network, (1, 8, 8, 1), unknown="global")
    assert "while" in field.output.bound
    assert field.output.mask(0, 0).all()


def test_a_kernel_made_of_the_image_is_refused():
    def network(x):
        return lax.conv_general_dilated(x, x[:, :3, :3].transpose(1, 2, 3, 0), (1, 1), "SAME", dimension_numbers=NHWC)

    with pytest.raises(UnsupportedOperation, match="conv_general_dilated"):
        receptive_field(network, (1, 8, 8, 2))


def test_a_primitive_may_be_registered():
    register("erf_inv", lambda builder, name, inputs, attributes: builder.roll(name, inputs[0], shifts=(1,), axes=(1,)))
    try:
        assert receptive_field(lax.erf_inv, (1, 8, 8, 1)).output.offset != (0, 0)
    finally:
        del registry.REGISTERED["erf_inv"]


def test_functions_of_plain_arrays():
    field = receptive_field(lambda x: x[1:, :-1] - x[:-1, 1:], (6, 8))
    assert field.output.shape == (5, 7)
    assert receptive_field(lambda x: x[1:] + x[:-1], (6,)).output.size == (2,)
    assert receptive_field(jax.jit(lambda x: jnp.diff(x, axis=0)), (5, 4, 3), spatial_axes=(0, 1, 2)).shape == (5, 4, 3)


@pytest.mark.parametrize(
    ("size", "words"), [((0, 4), "whole numbers from 1"), ((2, 8, 8, 3), "batch of 1"), ((), "whole numbers from 1")]
)
def test_bad_sizes_are_refused(size, words):
    with pytest.raises(ArgumentError, match=words):
        receptive_field(lambda x: x, size)


def test_a_constant_is_no_network():
    with pytest.raises(ArgumentError, match="depends on the image"):
        receptive_field(lambda x: jnp.zeros(3), (4, 4))
