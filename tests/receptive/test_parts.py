"""Concatenations along positions, slices, rolls and windows: the field of every unit, against a probe with NaN."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from receptive.networks import LARGEST, convolution, crop, networks, pooling, turning, upsampling
from receptive.probe import probe
from torch import nn

from kernelfield.receptive import receptive_field

pytestmark = pytest.mark.torch


def joining(draw, net, x):
    """Concatenate two values along an axis of positions, one of them perhaps cut to fit."""
    axis = draw(st.integers(2, 1 + net.rank))
    parts = [x, draw(st.sampled_from(net.open))]
    least = [min(extents) for extents in zip(*map(net.extents, parts))]
    for number, part in enumerate(parts):
        wanted = tuple(n if t == axis else m for t, (n, m) in enumerate(zip(net.extents(part), least), start=2))
        if wanted != net.extents(part):
            parts[number] = cut(net, part, wanted)
    if sum(net.extents(part)[axis - 2] for part in parts) > 2 * LARGEST:
        return None
    if draw(st.booleans()):
        parts.reverse()
    return net.add(
        lambda a, b: torch.cat((a, b), axis),
        tuple(parts),
        lambda name: net.builder.concatenate(name, [net.values[part] for part in parts], axis=axis),
    )


def cut(net, x, extents):
    """Return the first elements of a value along every axis."""
    stops = (1, net.values[x].shape[1], *extents)
    return net.add(
        lambda tensor: tensor[(slice(None), *(slice(n) for n in stops[1:]))],
        (x,),
        lambda name: net.builder.slice(
            name, net.values[x], starts=(0,) * len(stops), stops=stops, steps=(1,) * len(stops)
        ),
    )


def rolling(draw, net, x):
    """Roll along an axis."""
    axis, shift = draw(st.integers(2, 1 + net.rank)), draw(st.integers(-4, 4))
    return net.add(
        lambda tensor: tensor.roll(shift, axis),
        (x,),
        lambda name: net.builder.roll(name, net.values[x], shifts=(shift,), axes=(axis,)),
    )


def windows(draw, net, x):
    """Add to each element the sum of the window that it stands in, as attention in windows does."""
    extents = net.extents(x)
    sizes = [draw(st.sampled_from([d for d in range(1, n + 1) if n % d == 0])) for n in extents]
    apart = [m for n, size in zip(extents, sizes) for m in (n // size, size)]
    inside = tuple(3 + 2 * axis for axis in range(net.rank))
    channels = net.values[x].shape[1]

    def run(tensor):
        split = tensor.reshape(len(tensor), channels, *apart)
        return (split + split.sum(inside, keepdim=True)).reshape(tensor.shape)

    def value(name):
        builder = net.builder
        split = builder.reshape(f"{name}/split", net.values[x], shape=(1, channels, *apart))
        total = builder.reduce(f"{name}/sum", split, axes=inside, keepdims=True, operation="sum")
        both = builder.elementwise(f"{name}/both", "add", split, total, gate_rule=False)
        return builder.reshape(name, both, shape=net.values[x].shape)

    return net.add(run, (x,), value)


OPERATIONS = (convolution, pooling, upsampling, crop, turning, joining, joining, joining, rolling, windows, windows)


@settings(max_examples=120)
@given(networks(ranks=(1, 2, 2), operations=OPERATIONS, most=6))
def test_every_unit_sees_what_a_probe_finds(net):
    field = receptive_field(net.graph())
    output, extents = field.output, net.shape[2:]
    elements = list(np.eye(prod(extents), dtype=bool).reshape(-1, *extents))
    # An axis of extent 1 may have left the grid.
    gone = tuple(t for t, axis in enumerate(net.values[net.steps[-1][0]].axes) if axis is None)
    found = np.array([spoilt.any(axis=gone) for spoilt in probe(net, net.shape, elements, net.spatial, batched=True)])
    outside = {link.map.outside for node in net.graph() for edge in node.edges for link in edge.links if link.map}
    for unit in np.ndindex(output.shape):
        sees = found[(slice(None), *unit)].reshape(extents)
        assert np.array_equal(output.mask(*unit), sees)
        beyond = output.region(*unit, clipped=False)
        for axis, ends in enumerate(output.region(*unit)):
            others = tuple(a for a in range(sees.ndim) if a != axis)
            places = np.flatnonzero(sees.any(axis=others))
            assert (ends.start, ends.stop) == ((places[0], places[-1] + 1) if len(places) else (0, 0))
            # Without a border a unit sees no less, unless a border shows it the other end of the image.
            if len(places) and outside <= {"constant"}:
                assert beyond[axis].start <= ends.start
                assert beyond[axis].stop >= ends.stop
            if len(places) and not output.whole[axis]:
                assert output.narrowest[axis] <= len(beyond[axis]) <= output.size[axis]
    assert str(field)


class Parts(nn.Module):
    """Two convolutions of different strides, joined by a function."""

    def __init__(self, join):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 4, 3, 1, 1), nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 1, 1)
        self.join = join

    def forward(self, x):
        return self.join(self, x)


def tokens(net, x):
    return torch.cat([net.a(x).flatten(2), net.b(x).flatten(2)], 2)


def with_a_class(net, x):
    return torch.cat([torch.zeros(1, 4, 1), net.b(x).flatten(2)], 2)


def circular(net, x):
    y = net.a(x)
    return net.c(torch.cat([y[..., -1:], y, y[..., :1]], 3))


def halves(net, x):
    y = net.a(x)
    return torch.cat([y[..., 32:], y[..., :32]], 3)


# Narrowest and widest field, padding, share of the image, and the unclipped region of some units.
FIGURES = {
    "flattened maps": (tokens, (3, 3), (3, 3), (1, 1), 9, {
        (0,): ((-1, 2), (-1, 2)), (65,): ((0, 3), (0, 3)), (4096,): ((-1, 2), (-1, 2)), (4096 + 33,): ((1, 4), (1, 4)),
        (5119,): ((61, 64), (61, 64)),
    }),
    "a map twice": (lambda net, x: torch.cat([net.a(x)] * 2, 3), (3, 3), (3, 3), (1, 1), 9, {
        (0, 63): ((-1, 2), (62, 65)), (0, 64): ((-1, 2), (-1, 2)), (5, 127): ((4, 7), (62, 65)),
    }),
    "a slice of the first part": (lambda net, x: torch.cat([net.a(x)] * 2, 3)[..., :64], (3, 3), (3, 3), (1, 1), 9, {
        (0, 0): ((-1, 2), (-1, 2)), (63, 63): ((62, 65), (62, 65)),
    }),
    "swapped halves": (halves, (3, 3), (3, 3), (1, -31), 9, {
        (0, 0): ((-1, 2), (31, 34)), (0, 31): ((-1, 2), (62, 65)), (0, 32): ((-1, 2), (-1, 2)),
    }),
    "circular padding": (circular, (5, 5), (5, 66), (2, 1), 5 * 64, {
        (9, 3): ((7, 12), (0, 5)), (9, 1): ((7, 12), (-1, 65)),
    }),
    "a convolution over both": (lambda net, x: net.c(torch.cat([net.a(x)] * 2, 3)), (5, 5), (5, 66), (2, 2), 5 * 64, {
        (0, 0): ((-2, 3), (-2, 3)), (63, 127): ((61, 66), (61, 66)), (9, 63): ((7, 12), (-1, 65)),
    }),
    "a class token": (with_a_class, (3, 3), (3, 3), (None, None), 9, {
        (0,): ((0, 0), (0, 0)), (1,): ((-1, 2), (-1, 2)), (34,): ((1, 4), (1, 4)),
    }),
    "the tokens behind it": (lambda net, x: with_a_class(net, x)[..., 1:], (3, 3), (3, 3), (1, 1), 9, {
        (0,): ((-1, 2), (-1, 2)), (33,): ((1, 4), (1, 4)),
    }),
}  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_each_part_has_its_own_form(name):
    join, narrowest, widest, padding, share, regions = FIGURES[name]
    found = receptive_field(Parts(join), (64, 64)).output
    assert (found.narrowest, found.size, found.padding) == (narrowest, widest, padding)
    assert found.share == pytest.approx(share / 64**2)
    assert found.aligned
    for unit, ends in regions.items():
        assert found.region(*unit, clipped=False) == tuple(range(*end) for end in ends), unit


def test_the_table_tells_the_narrowest_and_the_widest_and_the_cause():
    text = str(receptive_field(Parts(circular), (64, 64)))
    assert "5×5…66" in text
    assert "No form for all units: cat and 1 more; parts are joined along an axis (cat)." in text


def test_a_single_form_comes_back_where_a_slice_takes_one_part():
    found = receptive_field(Parts(lambda net, x: with_a_class(net, x)[..., 1:].reshape(1, 4, 32, 32)), (64, 64)).output
    assert found.closed
    assert (found.size, found.stride, found.padding) == ((3, 3), (2, 2), (1, 1))
