"""Each operation of the builder against PyTorch's own, element by element.

The oracle shares no code: one element of the image is made NaN (or, where weights of 0 would spread a NaN, very large),
the operation is run, and what changed is what reads the element.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from kernelfield.errors import ArgumentError, UnsupportedOperation
from kernelfield.receptive.builder import Builder
from kernelfield.receptive.graph import AxisMap, Link
from kernelfield.receptive.relations import reached

NAN, LARGE = float("nan"), 1e6


def relation(function, shape, spatial, axes, amount=NAN):
    """Return what of a function's output changes with each place of its input: (places, *grid of the output)."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(shape, generator=generator, dtype=torch.float64)
    plain = function(x)
    places = list(np.ndindex(*(shape[t] for t in spatial)))
    changed = []
    for place in places:
        index = [slice(None)] * len(shape)
        for t, i in zip(spatial, place, strict=True):
            index[t] = i
        y = x.clone()
        y[tuple(index)] += amount
        out = function(y)
        different = (out != plain) & ~(out.isnan() & plain.isnan())
        channels = tuple(t for t, axis in enumerate(axes) if axis is None)
        changed.append(different.amax(channels).numpy() if channels else different.numpy())
    return np.array(changed)


def agrees(function, build, shape=(1, 2, 5, 7), spatial=(2, 3), amount=NAN, exact=True):
    """Assert that a torch function and what is built of it read the same, and return the graph."""
    builder = Builder()
    value = build(builder, builder.image("image", shape, spatial))
    graph = builder.graph(value)
    assert tuple(function(torch.zeros(shape, dtype=torch.float64)).shape) == value.shape
    assert graph.by_name[value.node].shape == tuple(
        n for n, axis in zip(value.shape, value.axes, strict=True) if axis is not None
    )
    expected = relation(function, shape, spatial, value.axes, amount)
    extents = [shape[t] for t in spatial]
    for place, changed in zip(np.ndindex(*extents), expected, strict=True):
        element = np.zeros(extents, bool)
        element[place] = True
        known = reached(graph, element, value.node)
        assert not (changed & ~known).any(), f"{place}: a unit that reads it is missing"
        if exact:
            assert (changed == known).all(), f"{place}: a unit is said to read it that does not"
    assert exact == (not any(node.bound for node in graph))
    return graph


def weights(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 0.1


PAIR = st.tuples(st.integers(1, 3), st.integers(1, 3))


@given(PAIR, PAIR, PAIR, st.tuples(*[st.integers(-1, 3)] * 4))
def test_convolution(kernel, stride, dilation, pads):
    before, after = pads[:2], pads[2:]
    size = (7, 9)
    if any(n + b + a < d * (k - 1) + 1 for n, b, a, d, k in zip(size, before, after, dilation, kernel, strict=True)):
        return
    w = weights(3, 2, *kernel)
    agrees(
        lambda x: F.conv2d(F.pad(x, (pads[1], pads[3], pads[0], pads[2])), w, stride=stride, dilation=dilation),
        lambda b, x: b.convolution(
            "c", x, kernel=kernel, stride=stride, dilation=dilation, before=before, after=after, channels_out=3,
            channel_axis=1, spatial_axes=(2, 3),
        ),
        shape=(1, 2, *size),
    )  # fmt: skip


@given(PAIR, PAIR, PAIR, st.data())
def test_transposed_convolution(kernel, stride, dilation, data):
    padding = tuple(data.draw(st.integers(0, d * (k - 1))) for d, k in zip(dilation, kernel, strict=True))
    more = tuple(data.draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True))
    size = (3, 4)
    out = [(n - 1) * s - 2 * p + d * (k - 1) + 1 + m
           for n, s, p, d, k, m in zip(size, stride, padding, dilation, kernel, more, strict=True)]  # fmt: skip
    if min(out) < 1:
        return
    w = weights(2, 3, *kernel)
    agrees(
        lambda x: F.conv_transpose2d(x, w, stride=stride, dilation=dilation, padding=padding, output_padding=more),
        lambda b, x: b.transposed_convolution(
            "c", x, kernel=kernel, stride=stride, dilation=dilation, before=padding, after=padding, output_padding=more,
            channels_out=3, channel_axis=1, spatial_axes=(2, 3),
        ),
        shape=(1, 2, *size),
    )  # fmt: skip


@given(PAIR, PAIR, PAIR, st.booleans(), st.data())
def test_pooling(kernel, stride, dilation, ceil_mode, data):
    padding = tuple(data.draw(st.integers(0, k // 2)) for k in kernel)
    size = (6, 8)
    if any(n + 2 * p < d * (k - 1) + 1 for n, p, d, k in zip(size, padding, dilation, kernel, strict=True)):
        return
    agrees(
        lambda x: F.max_pool2d(x, kernel, stride, padding, dilation, ceil_mode),
        lambda b, x: b.pooling(
            "p", x, kind="max", kernel=kernel, stride=stride, dilation=dilation, before=padding, after=padding,
            ceil_mode=ceil_mode, spatial_axes=(2, 3),
        ),
        shape=(1, 2, *size),
    )  # fmt: skip


@given(st.tuples(st.integers(1, 6), st.integers(1, 9)))
def test_adaptive_pooling(output):
    agrees(
        lambda x: F.adaptive_avg_pool2d(x, output),
        lambda b, x: b.adaptive_pooling("p", x, kind="average", output=output, spatial_axes=(2, 3)),
    )


@pytest.mark.parametrize("output", [(5, 7), (10, 14), (15, 21), (3, 4), (4, 11), (1, 1), (20, 2)])
@pytest.mark.parametrize(
    ("torch_mode", "align", "method", "coordinates", "rounding"),
    [
        ("nearest", None, "nearest", "asymmetric", "floor"),
        ("nearest-exact", None, "nearest", "half_pixel", "round_prefer_ceil"),
        ("bilinear", False, "linear", "half_pixel", "floor"),
        ("bilinear", True, "linear", "align_corners", "floor"),
        ("bicubic", False, "cubic", "half_pixel", "floor"),
        ("bicubic", True, "cubic", "align_corners", "floor"),
        ("area", None, "area", "half_pixel", "floor"),
    ],
)
def test_resize(torch_mode, align, method, coordinates, rounding, output):
    agrees(
        lambda x: F.interpolate(x, output, mode=torch_mode, align_corners=align),
        lambda b, x: b.resize(
            "r", x, output=output, spatial_axes=(2, 3), method=method, coordinates=coordinates, nearest_mode=rounding
        ),
        amount=LARGE,
    )


@pytest.mark.parametrize("scale", [2.0, 0.5, 1.7, 3.0, 0.3])
@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_resize_by_a_factor_that_the_sizes_do_not_give(mode, scale):
    method = {"nearest": "nearest", "bilinear": "linear", "bicubic": "cubic"}[mode]
    coordinates = "asymmetric" if mode == "nearest" else "half_pixel"
    output = (int(7 * scale), int(9 * scale))
    agrees(
        lambda x: F.interpolate(x, scale_factor=scale, mode=mode),
        lambda b, x: b.resize(
            "r", x, output=output, spatial_axes=(2, 3), method=method, coordinates=coordinates, scale=(scale, scale),
            nearest_mode="floor",
        ),
        shape=(1, 1, 7, 9), amount=LARGE,
    )  # fmt: skip


@pytest.mark.parametrize("output", [(3, 4), (4, 3), (10, 5), (2, 9)])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_resize_with_antialiasing(mode, output):
    agrees(
        lambda x: F.interpolate(x, output, mode=mode, antialias=True),
        lambda b, x: b.resize(
            "r", x, output=output, spatial_axes=(2, 3), method={"bilinear": "linear", "bicubic": "cubic"}[mode],
            coordinates="half_pixel", antialias=True,
        ),
        shape=(1, 1, 8, 9), amount=LARGE,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("torch_mode", "mode"),
    [("constant", "constant"), ("reflect", "mirror"), ("replicate", "nearest"), ("circular", "wrap")],
)
@pytest.mark.parametrize("pads", [(1, 2, 3, 0), (0, 0, 2, 2)])
def test_pad(torch_mode, mode, pads):
    left, right, top, bottom = pads
    agrees(
        lambda x: F.pad(x, pads, mode=torch_mode),
        lambda b, x: b.pad("p", x, before=(0, 0, top, left), after=(0, 0, bottom, right), mode=mode),
    )


def test_pad_that_crops_and_pads_channels():
    agrees(
        lambda x: F.pad(x, (-1, 2, -2, -1, 1, 0)),
        lambda b, x: b.pad("p", x, before=(0, 1, -2, -1), after=(0, 0, -1, 2)),
    )


@pytest.mark.parametrize(
    ("index", "arguments"),
    [
        ((slice(None), slice(None), slice(1, None, 2), slice(-3, None)), ((0, 0, 1, -3), (None,) * 4, (1, 1, 2, 1))),
        ((slice(None), slice(0, 1), slice(4), slice(2, 6, 3)), ((0, 0, 0, 2), (None, 1, 4, 6), (1, 1, 1, 3))),
    ],
)
def test_slice(index, arguments):
    starts, stops, steps = arguments
    agrees(lambda x: x[index], lambda b, x: b.slice("s", x, starts=starts, stops=stops, steps=steps))


def test_flip_roll_take_and_transpose():
    agrees(
        lambda x: x.flip(2, 3),
        lambda b, x: b.slice("s", x, starts=(0, 0, -1, -1), stops=(None,) * 4, steps=(1, 1, -1, -1)),
    )
    agrees(lambda x: x.roll((2, -3), (2, 3)), lambda b, x: b.roll("r", x, shifts=(2, -3), axes=(2, 3)))
    agrees(lambda x: x[:, :, [3, 0, 0, 2]], lambda b, x: b.take("t", x, axis=2, indices=[3, 0, 0, 2]))
    agrees(lambda x: x[:, :, -2], lambda b, x: b.take("t", x, axis=2, indices=[-2], keep_axis=False))
    agrees(lambda x: x.permute(3, 0, 2, 1), lambda b, x: b.transpose("t", x, permutation=(3, 0, 2, 1)))


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
@pytest.mark.parametrize("layout", ["first", "last"])
def test_depth_to_space_and_back(mode, layout):
    """Against rearrangements of NumPy's kind, channels first and last; the channels' parts too."""

    def to_space(x):
        n, c, h, w = x.shape
        split = (n, 2, 2, c // 4, h, w) if mode == "DCR" else (n, c // 4, 2, 2, h, w)
        order = (0, 3, 4, 1, 5, 2) if mode == "DCR" else (0, 1, 4, 2, 5, 3)
        return x.reshape(split).permute(order).reshape(n, c // 4, 2 * h, 2 * w)

    def to_depth(x):
        n, c, h, w = x.shape
        order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
        return x.reshape(n, c, h // 2, 2, w // 2, 2).permute(order).reshape(n, 4 * c, h // 2, w // 2)

    if mode == "CRD":
        x = torch.rand(1, 8, 4, 6)
        assert (to_space(x) == F.pixel_shuffle(x, 2)).all()
        assert (to_depth(x) == F.pixel_unshuffle(x, 2)).all()
    where = {"channel_axis": 1, "spatial_axes": (2, 3), "mode": mode}
    shifted = (slice(None), slice(None), slice(None, None, -1), slice(None))

    def both(b, x):
        turned = b.slice("turned", x, starts=(0, 0, -1, 0), stops=(None,) * 4, steps=(1, 1, -1, 1))
        return b.concatenate("both", [x, turned], axis=1)

    if layout == "last":
        axes = {"channel_axis": 3, "spatial_axes": (1, 2), "mode": mode}
        first, last = (0, 3, 1, 2), (0, 2, 3, 1)
        agrees(lambda x: to_space(x.permute(first)).permute(last),
               lambda b, x: b.depth_to_space("d", x, block=2, **axes), (1, 3, 2, 8), (1, 2))  # fmt: skip
        agrees(lambda x: to_depth(x.permute(first)).permute(last),
               lambda b, x: b.space_to_depth("d", x, block=2, **axes), (1, 4, 6, 3), (1, 2))  # fmt: skip
        return
    agrees(to_space, lambda b, x: b.depth_to_space("d", x, block=2, **where), (1, 8, 2, 3))
    agrees(to_depth, lambda b, x: b.space_to_depth("d", x, block=2, **where), (1, 2, 4, 6))
    agrees(
        lambda x: to_space(torch.cat([x, x.flip(2)], 1)),
        lambda b, x: b.depth_to_space("d", both(b, x), block=2, **where),
        (1, 2, 4, 3),
    )
    for channel in range(16):
        agrees(
            lambda x, channel=channel: to_depth(torch.cat([x, x[shifted[:2]].flip(2)], 1))[:, [channel]],
            lambda b, x, channel=channel: b.take(
                "t", b.space_to_depth("d", both(b, x), block=2, **where), axis=1, indices=[channel]
            ),
            (1, 2, 4, 6),
        )


@pytest.mark.parametrize(
    ("shape", "spatial", "steps"),
    [
        ((1, 3, 4, 6), (2, 3), [(1, 3, 24)]),
        ((1, 3, 4, 6), (2, 3), [(1, 3, 24), (1, 3, 4, 6)]),
        ((1, 3, 4, 6), (2, 3), [(1, 3, 24), (3, 8, 3)]),
        ((1, 3, 4, 6), (2, 3), [(1, 3, 2, 2, 3, 2)]),
        ((1, 3, 4, 6), (2, 3), [(1, 3, 8, 3)]),
        ((1, 3, 4, 6), (2, 3), [(72,)]),
        ((1, 3, 4, 6), (2, 3), [(72,), (1, 3, 4, 6)]),
        ((1, 3, 4, 6), (2, 3), [(1, -1, 1, 6)]),
        ((1, 3, 4, 6), (2, 3), [(12, 6), (2, 36), (2, 6, 6)]),
        ((1, 4, 6, 3), (1, 2), [(1, 4, 18)]),
        ((1, 4, 6, 3), (1, 2), [(1, 24, 3), (1, 24, 1, 3), (72,)]),
        ((1, 2, 2, 4, 2), (2, 3, 4), [(1, 2, 16), (1, 2, 4, 4)]),
        ((1, 2, 12), (2,), [(1, 2, 3, 4), (1, 6, 4), (1, 24)]),
        ((1, 5, 1, 1), (2, 3), [(1, 5), (1, 5, 1)]),
    ],
)
def test_reshape(shape, spatial, steps):
    def build(b, x):
        for step in steps:
            x = b.reshape("r", x, shape=step)
        return x

    def run(x):
        for step in steps:
            x = x.reshape(step)
        return x

    agrees(run, build, shape, spatial)


def test_windows_of_a_transformer():
    """Reshape, transpose, reshape: attention within windows that were rolled, and back."""

    def split(x):
        return x.reshape(1, 2, 2, 3, 2, 4).permute(0, 1, 3, 2, 4, 5).reshape(6, 4, 4)

    def join(x):
        return x.reshape(1, 2, 3, 2, 2, 4).permute(0, 1, 3, 2, 4, 5).reshape(1, 4, 6, 4)

    def run(x):
        w = split(x.roll((-1, -1), (1, 2)))
        a = (w @ w.transpose(1, 2)).softmax(-1) @ w
        return join(a).roll((1, 1), (1, 2))

    def build(b, x):
        x = b.roll("roll", x, shifts=(-1, -1), axes=(1, 2))
        x = b.reshape("a", x, shape=(1, 2, 2, 3, 2, 4))
        x = b.reshape("b", b.transpose("t", x, permutation=(0, 1, 3, 2, 4, 5)), shape=(6, 4, 4))
        s = b.softmax("s", b.matmul("qk", x, b.transpose("kt", x, permutation=(0, 2, 1))), axis=-1)
        x = b.matmul("v", s, x)
        x = b.reshape("c", x, shape=(1, 2, 3, 2, 2, 4))
        x = b.reshape("d", b.transpose("u", x, permutation=(0, 1, 3, 2, 4, 5)), shape=(1, 4, 6, 4))
        return b.roll("back", x, shifts=(1, 1), axes=(1, 2))

    agrees(run, build, (1, 4, 6, 4), (1, 2))
    agrees(
        lambda x: join(F.scaled_dot_product_attention(split(x), split(x), split(x))),
        lambda b, x: (
            lambda w: b.reshape(
                "d",
                b.transpose("u", b.reshape("c", b.attention("a", w, w, w), shape=(1, 2, 3, 2, 2, 4)),
                            permutation=(0, 1, 3, 2, 4, 5)),
                shape=(1, 4, 6, 4),
            )
        )(b.reshape("b", b.transpose("t", b.reshape("a", x, shape=(1, 2, 2, 3, 2, 4)), permutation=(0, 1, 3, 2, 4, 5)),
                    shape=(6, 4, 4))),
        (1, 4, 6, 4), (1, 2),
    )  # fmt: skip


def test_concatenation_in_space():
    agrees(
        lambda x: torch.cat([x, torch.zeros(1, 2, 3, 7), x.flip(2)], 2),
        lambda b, x: b.concatenate(
            "c",
            [
                x,
                b.constant((1, 2, 3, 7)),
                b.slice("f", x, starts=(0, 0, -1, 0), stops=(None,) * 4, steps=(1, 1, -1, 1)),
            ],
            axis=2,
        ),
    )
    # A row that is the mean of all rows, put in front.
    agrees(
        lambda x: torch.cat([x.mean(2, keepdim=True), x], 2),
        lambda b, x: b.concatenate("c", [b.reduce("m", x, axes=(2,), keepdims=True), x], axis=2),
    )
    # Of a global value it is not told apart which tokens read it.
    agrees(
        lambda x: torch.cat([x.mean(2, keepdim=True), x], 2),
        lambda b, x: b.concatenate("c", [b.reduce("m", x, axes=(2,), keepdims=True), x], axis=2),
        shape=(1, 2, 6), spatial=(2,), exact=False,
    )  # fmt: skip


def shuffled(b, x, first, second):
    """Build: two branches concatenated, their channels shuffled, the second half of them."""
    both = b.concatenate("both", [first(b, x), second(b, x)], axis=1)
    n, c, h, w = both.shape
    apart = b.reshape("apart", both, shape=(n, 2, c // 2, h, w))
    mixed = b.reshape("mixed", b.transpose("turned", apart, permutation=(0, 2, 1, 3, 4)), shape=both.shape)
    return b.slice("half", mixed, starts=(0, c // 2, 0, 0), stops=(None,) * 4, steps=(1,) * 4)


def rows(b, x, name="rows"):
    return b.pooling(name, x, kind="max", kernel=(3, 1), stride=(1, 1), dilation=(1, 1), before=(1, 0), after=(1, 0),
                     spatial_axes=(2, 3))  # fmt: skip


def columns(b, x, name="columns"):
    return b.pooling(name, x, kind="max", kernel=(1, 3), stride=(1, 1), dilation=(1, 1), before=(0, 1), after=(0, 1),
                     spatial_axes=(2, 3))  # fmt: skip


def torch_rows(x):
    return F.max_pool2d(x, (3, 1), 1, (1, 0))


def torch_columns(x):
    return F.max_pool2d(x, (1, 3), 1, (0, 1))


def test_a_channel_slice_reads_only_its_parts():
    cat = lambda x: torch.cat([torch_rows(x), torch_columns(x)], 1)  # noqa: E731
    both = lambda b, x: b.concatenate("both", [rows(b, x), columns(b, x)], axis=1)  # noqa: E731
    part = dict(stops=(None, 2, None, None), starts=(0,) * 4, steps=(1,) * 4)
    agrees(lambda x: cat(x)[:, :2], lambda b, x: b.slice("s", both(b, x), **part))
    agrees(lambda x: cat(x)[:, 1:3], lambda b, x: b.slice("s", both(b, x), starts=(0, 1, 0, 0),
                                                          stops=(None, 3, None, None), steps=(1,) * 4))  # fmt: skip
    # Through operations that keep the channels apart …
    agrees(
        lambda x: torch_columns(cat(x).relu())[:, :2],
        lambda b, x: b.slice("s", columns(b, b.elementwise("relu", "relu", both(b, x)), "again"), **part),
    )
    w = weights(8, 1, 3, 3)
    convolve = dict(kernel=(3, 3), stride=(1, 1), dilation=(1, 1), before=(1, 1), after=(1, 1), channels_out=8,
                    channel_axis=1, spatial_axes=(2, 3))  # fmt: skip
    agrees(
        lambda x: F.conv2d(cat(x), w, padding=1, groups=4)[:, :4],
        lambda b, x: b.slice("s", b.convolution("c", both(b, x), groups=4, **convolve), starts=(0,) * 4,
                             stops=(None, 4, None, None), steps=(1,) * 4),
    )  # fmt: skip
    # … and not through one that mixes them.
    w = weights(8, 4, 3, 3)
    agrees(
        lambda x: F.conv2d(cat(x), w, padding=1)[:, :2],
        lambda b, x: b.slice("s", b.convolution("c", both(b, x), **convolve), **part),
    )
    agrees(lambda x: F.channel_shuffle(cat(x), 2)[:, 2:], lambda b, x: shuffled(b, x, rows, columns))
    agrees(
        lambda x: (cat(x) + torch.cat([x, torch_rows(x)], 1))[:, 2:],
        lambda b, x: b.slice("s", b.elementwise("add", "add", both(b, x), b.concatenate("o", [x, rows(b, x)], axis=1)),
                             starts=(0, 2, 0, 0), stops=(None,) * 4, steps=(1,) * 4),
    )  # fmt: skip


def test_parts_that_become_places():
    """Stacked along an axis that a window, or a reshape, then treats as one of space."""

    def stack(b, x):
        xs = [b.reshape("u", v, shape=(1, 2, 1, 5, 7)) for v in (rows(b, x), columns(b, x), x)]
        return b.concatenate("stack", xs, axis=2)

    def torch_stack(x):
        return torch.stack([torch_rows(x), torch_columns(x), x], 2)

    agrees(
        lambda x: F.max_pool3d(torch_stack(x), (2, 1, 1), 1),
        lambda b, x: b.pooling("p", stack(b, x), kind="max", kernel=(2, 1, 1), stride=(1,) * 3, dilation=(1,) * 3,
                               before=(0,) * 3, after=(0,) * 3, spatial_axes=(2, 3, 4)),
    )  # fmt: skip
    agrees(
        lambda x: torch_stack(x).transpose(2, 3).reshape(1, 2, 15, 7),
        lambda b, x: b.reshape("r", b.transpose("t", stack(b, x), permutation=(0, 1, 3, 2, 4)), shape=(1, 2, 15, 7)),
    )


def test_statistics_and_sums():
    agrees(lambda x: F.instance_norm(x), lambda b, x: b.normalisation("n", x, axes=(2, 3)))
    agrees(lambda x: x.mean(3), lambda b, x: b.reduce("m", x, axes=(3,), keepdims=False))
    agrees(lambda x: x.mean((2, 3), keepdim=True), lambda b, x: b.reduce("m", x, axes=(2, 3), keepdims=True))
    agrees(lambda x: x.softmax(2), lambda b, x: b.softmax("s", x, axis=2))
    agrees(lambda x: x.softmax(1), lambda b, x: b.softmax("s", x, axis=1))
    agrees(lambda x: x.cumsum(3), lambda b, x: b.cumulative("s", x, axis=3))
    agrees(lambda x: x.flip(3).cumsum(3).flip(3), lambda b, x: b.cumulative("s", x, axis=3, reverse=True))
    both = lambda b, x: b.concatenate("both", [rows(b, x), columns(b, x)], axis=1)  # noqa: E731
    part = dict(stops=(None, 2, None, None), starts=(0,) * 4, steps=(1,) * 4)
    for groups in (1, 2, 4):
        agrees(
            lambda x, groups=groups: F.group_norm(torch.cat([torch_rows(x), torch_columns(x)], 1), groups)[:, :2],
            lambda b, x, groups=groups: b.slice(
                "s", b.normalisation("n", both(b, x), axes=(1, 2, 3), channel_groups=groups), **part
            ),
        )


def test_products():
    w = weights(7, 4)
    agrees(lambda x: x @ w, lambda b, x: b.matmul("m", x, b.constant((7, 4))))
    agrees(lambda x: w.T[:, :5] @ x, lambda b, x: b.matmul("m", b.constant((4, 5)), x))
    v = weights(2, 6)
    agrees(
        lambda x: torch.einsum("nchw,cd->nhwd", x, v),
        lambda b, x: b.einsum("e", "nchw,cd->nhwd", x, b.constant((2, 6))),
    )
    agrees(lambda x: torch.einsum("bchw,bcHw->bhHw", x, x), lambda b, x: b.einsum("e", "bchw,bcHw->bhHw", x, x))
    agrees(lambda x: torch.einsum("...ij,...kj", x, x), lambda b, x: b.einsum("e", "...ij,...kj", x, x))
    agrees(lambda x: x[0, 0] @ x[0, 1, 0], lambda b, x: b.matmul(
        "m",
        b.reshape("r", b.slice("s", x, starts=(0,) * 4, stops=(1, 1, None, None), steps=(1,) * 4), shape=(5, 7)),
        b.take("u", b.take("t", b.reshape("v", x, shape=(2, 5, 7)), axis=0, indices=[1], keep_axis=False), axis=0,
               indices=[0], keep_axis=False)))  # fmt: skip


def test_expand_and_tile():
    agrees(lambda x: x.repeat(1, 2, 3, 1), lambda b, x: b.expand("t", x, shape=(1, 4, 15, 7)))
    agrees(
        lambda x: x.mean(3, keepdim=True).expand(1, 2, 5, 4),
        lambda b, x: b.expand("e", b.reduce("m", x, axes=(3,), keepdims=True), shape=(1, 2, 5, 4)),
    )
    agrees(lambda x: x[:, :, :1].expand(4, 1, 2, 3, 7), lambda b, x: b.expand(
        "e", b.slice("s", x, starts=(0,) * 4, stops=(None, None, 1, None), steps=(1,) * 4), shape=(4, 1, 2, 3, 7)
    ))  # fmt: skip


def test_gates():
    builder = Builder()
    x = builder.image("image", (1, 4, 6, 8), (2, 3))
    squeezed = builder.adaptive_pooling("squeeze", x, kind="average", output=(1, 1), spatial_axes=(2, 3))
    scaled = builder.elementwise("scale", "multiply", x, squeezed)
    graph = builder.graph(scaled)
    assert [edge.gate for edge in graph.by_name["scale"].edges] == [False, True]
    one = np.zeros((6, 8), bool)
    one[0, 0] = True
    assert reached(graph, one, "scale").all()
    assert reached(graph.without_gates(), one, "scale").sum() == 1
    # Neither fills the grid: an outer product, not a gate.
    builder = Builder()
    x = builder.image("image", (1, 4, 6, 8), (2, 3))
    along = [builder.reduce(name, x, axes=(axis,), keepdims=True) for name, axis in (("rows", 2), ("columns", 3))]
    assert not any(edge.gate for edge in builder.graph(builder.elementwise("o", "multiply", *along)).nodes[-1].edges)
    # Its own rule off, and other operations.
    for operation, rule in (("multiply", False), ("maximum", True)):
        builder = Builder()
        x = builder.image("image", (1, 4, 6, 8), (2, 3))
        mean = builder.reduce("mean", x, axes=(2, 3), keepdims=True)
        last = builder.elementwise("o", operation, x, mean, gate_rule=rule)
        assert not any(edge.gate for edge in builder.graph(last).nodes[-1].edges)


def test_what_is_not_known():
    b = Builder()
    x = b.image("image", (1, 1, 4, 4), (2, 3))
    with pytest.raises(UnsupportedOperation, match=r"'warp' in 'block\.warp'.*unknown='global'.*register"):
        b.unknown("block.warp", "warp", [x], (1, 1, 4, 4))
    b = Builder(unknown="global")
    node = b.graph(b.unknown("w", "warp", [b.image("image", (1, 1, 4, 4), (2, 3))], (1, 1, 4, 6))).nodes[-1]
    assert node.shape == (4, 6)
    assert node.bound == "upper bound: warp is not known"
    assert b.unknown("v", "warp", [b.constant((3,))], (3,)).node is None
    with pytest.raises(ArgumentError, match="unknown: expected 'error' or 'global'"):
        Builder(unknown="whole")


def test_a_custom_operation():
    b = Builder()
    x = b.image("image", (1, 1, 4, 6), (2, 3))
    y = b.custom("swap", "swap", [x], [(Link((1,)), Link((0,), AxisMap.window(2)))], (1, 1, 5, 4), (None, None, 0, 1))
    assert b.graph(y).by_name["swap"].shape == (5, 4)
    with pytest.raises(ArgumentError, match="expected 2 links"):
        b.custom("swap", "swap", [x], [(Link((1,)),)], (1, 1, 5, 4), (None, None, 0, 1))
    with pytest.raises(ArgumentError, match="axes of the grid in order"):
        b.custom("swap", "swap", [x], [(Link((1,)), Link((0,)))], (1, 1, 5, 4), (None, None, 1, 0))


def test_names_and_pruning():
    b = Builder()
    x = b.image("image", (1, 1, 9, 9), (2, 3))
    first = rows(b, x, "pool")
    second = rows(b, first, "pool")
    rows(b, x, "unused")
    b.alias("block", second)
    graph = b.graph(second)
    assert [node.name for node in graph] == ["image", "pool", "pool#2"]
    assert graph.aliases == {"block": "pool#2"}
    assert "unused" in [node.name for node in b.graph(second, keep=["unused"])]
    assert [node.name for node in b.graph(second, first)][-1] == "pool#2"
    with pytest.raises(ArgumentError, match="depend on the image"):
        b.graph(b.constant((1, 2)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda b, x: b.pooling("p", x, kind="max", kernel=(9, 9), stride=(1, 1), dilation=(1, 1), before=(0, 0),
                                after=(0, 0), spatial_axes=(2, 3)), "large enough for 'p'"),
        (lambda b, x: b.pooling("p", x, kind="max", kernel=(2, 2), stride=(0, 1), dilation=(1, 1), before=(0, 0),
                                after=(0, 0), spatial_axes=(2, 3)), "p: expected a stride of at least 1"),
        (lambda b, x: b.reshape("r", x, shape=(3, 11)), "r: expected a shape of the 32 elements"),
        (lambda b, x: b.expand("e", x, shape=(1, 2, 4, 5)), "e: expected a shape that"),
        (lambda b, x: b.take("t", x, axis=2, indices=[4]), "t: expected indices of an axis of 4"),
        (lambda b, x: b.transpose("t", x, permutation=(0, 1, 2, 2)), "t: expected a permutation of 4 axes"),
        (lambda b, x: b.depth_to_space("d", x, block=2, channel_axis=1, spatial_axes=(2, 3)), "d: expected a block"),
        (lambda b, x: b.space_to_depth("d", x, block=3, channel_axis=1, spatial_axes=(2, 3)), "d: expected extents"),
        (lambda b, x: b.elementwise("a", "add", x, b.constant((3, 4))), "a: expected shapes that broadcast"),
        (lambda b, x: b.matmul("m", x, x), "m: expected extents that agree"),
        (lambda b, x: b.resize("r", x, output=(2, 2), spatial_axes=(2, 3), method="lanczos", coordinates="half_pixel"),
         "method: expected one of"),
        (lambda b, x: b.pad("p", x, before=(0,) * 4, after=(1,) * 4, mode="reflected"), "boundary: expected one of"),
    ],
)  # fmt: skip
def test_errors_name_the_node(call, message):
    b = Builder()
    with pytest.raises(ArgumentError, match=message):
        call(b, b.image("image", (1, 2, 4, 4) if "extents that agree" not in message else (1, 2, 3, 4), (2, 3)))
