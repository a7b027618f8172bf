from __future__ import annotations

import itertools
import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import kernelfield as kf
from kernelfield.errors import ArgumentError
from kernelfield.receptive.planning import plan
from kernelfield.receptive.stack import Stack

pytestmark = pytest.mark.torch


def windows(kernels, strides, dilations, pooling):
    """Return (pooling, kernel, stride, dilation) of every allowed layer."""
    convolutions = [(False, k, s, d) for k in kernels for s in strides for d in dilations if s == 1 or d == 1]
    return convolutions + [(True, k, s, 1) for k, s in pooling]


def reads(layers, unit=0):
    """Return the elements that a unit reads of an image without borders, from the definition."""
    places = {unit}
    for _, kernel, stride, dilation in reversed(layers):
        places = {i * stride + dilation * t for i in places for t in range(kernel)}
    return places


def allowed(layers, max_stride):
    for depth in range(1, len(layers) + 1):
        part = layers[:depth]
        seen, beside = reads(part), reads(part, 1)
        whole = len(seen) == max(seen) - min(seen) + 1
        passed_over = min(beside) > max(seen) + 1
        if not whole or passed_over or min(beside) > max_stride:
            return False
    return not layers[0][0] and not any(a[0] and b[0] for a, b in itertools.pairwise(layers))


def price(layers, size, channels):
    """Return the multiply-adds, from the definition."""
    total, have = 0, 3
    for depth, (pooling, kernel, _, _) in enumerate(layers, 1):
        step = min(reads(layers[:depth], 1))
        places = len(range(0, size, step))
        out = have if pooling else channels(step)
        total += (places * kernel) ** 2 * out * (1 if pooling else have)
        have = out
    return total


@pytest.mark.parametrize("objective", ["multiply-adds", "depth"])
@pytest.mark.parametrize(("max_layers", "max_stride"), [(5, 8), (4, 8), (5, 2), (4, 1)])
@pytest.mark.parametrize("target", [2, 5, 9, 14])
def test_no_stack_is_cheaper(objective, max_layers, max_stride, target):
    sets = {"kernels": (2, 3), "strides": (1, 2), "dilations": (1, 3), "pooling": ((2, 2), (3, 1))}

    def channels(step):
        return 4 + step

    best = None
    for depth in range(1, max_layers + 1):
        for layers in itertools.product(windows(**sets), repeat=depth):
            if len(reads(layers)) >= target and allowed(layers, max_stride):
                cost = price(layers, 17, channels), depth
                key = cost if objective == "multiply-adds" else cost[::-1]
                best = key if best is None else min(best, key)
        if objective == "depth" and best is not None:
            break
    limits = {"objective": objective, "max_layers": max_layers, "max_stride": max_stride}
    found = plan(target, 17, channels=channels, **sets, **limits)
    cost = found.multiply_adds, found.depth
    assert (cost if objective == "multiply-adds" else cost[::-1]) == best
    assert found.field >= target


STACKS = st.builds(
    plan,
    st.integers(2, 300),
    st.tuples(st.integers(5, 300), st.integers(5, 300)),
    objective=st.sampled_from(["multiply-adds", "depth"]),
    channels=st.sampled_from([2, lambda step: 2 * step]),
    kernels=st.sampled_from([(3,), (2, 3), (4, 5), (3, 5, 7)]),
    max_stride=st.sampled_from([1, 2, 8, 32]),
)


@given(STACKS)
def test_the_graph_sees_what_is_promised(stack: Stack):
    places = {0}
    for node in reversed(stack.graph().nodes[1:]):
        window = node.edges[0].links[0].map
        assert node.edges[0].links[1].map == window
        places = {i * window.step + tap for i in places for tap in window.taps[0]}
    assert places == set(range(min(places), min(places) + stack.field))
    assert stack.field >= stack.target
    steps = [1, *(layer.total_stride for layer in stack.layers)]
    assert min(places) == -sum(layer.padding[0] * step for layer, step in zip(stack.layers, steps))


@given(STACKS)
def test_pytorch_makes_the_same_maps(stack: Stack):
    size, step = stack.input_size, 1
    for layer in stack.layers:
        step *= layer.stride
        assert layer.total_stride == step
        image = torch.empty(1, 1, *size, device="meta")
        padded = torch.nn.functional.pad(image, layer.padding * 2)
        window = torch.nn.Conv2d(1, 1, layer.kernel, layer.stride, dilation=layer.dilation, device="meta")
        assert tuple(window(padded).shape[2:]) == layer.shape
        size = layer.shape


@given(STACKS)
def test_the_algebra_agrees(stack: Stack):
    fields = kf.receptive_field(stack.graph())
    for found, layer in zip(fields, stack.layers, strict=True):
        assert found.shape == layer.shape
        assert found.size == (layer.field,) * 2
        assert found.stride == (layer.total_stride,) * 2
        assert found.aligned
    assert fields.output.larger == (stack.field > min(stack.input_size))


def test_two_layers_of_the_textbook():
    stack = plan(3, (6, 8), kernels=[2], strides=[1], pooling=[])
    assert [(layer.operation, layer.kernel, layer.field) for layer in stack.layers] == [
        ("convolution", 2, 2),
        ("convolution", 2, 3),
    ]


def test_small_strides_are_made_up_for_by_dilation():
    stack = plan(200, 224, max_stride=8)
    assert stack.stride <= 8
    assert max(layer.dilation for layer in stack.layers) > 1
    assert plan(200, 224).multiply_adds <= stack.multiply_adds
    assert plan(200, 224, objective="depth").depth <= plan(200, 224).depth


@pytest.mark.parametrize("size", [50, (50,), (30, 40), (9, 30, 40)])
def test_one_to_three_axes(size):
    stack = plan(20, size)
    axes = 2 if isinstance(size, int) else len(size)
    kernel = stack.layers[0].kernel
    assert len(stack.layers[0].shape) == axes
    assert stack.layers[0].weights == kernel**axes * 3 * 64


def test_record_is_json():
    stack = plan(200, 224)
    record = json.loads(json.dumps(stack.record()))
    assert record["field"] == stack.field == record["layers"][-1]["field"]
    assert record["multiply_adds"] == sum(layer["multiply_adds"] for layer in record["layers"])


def test_a_field_larger_than_the_image_is_said():
    assert "larger than the image" in str(plan(300, 224))
    assert "larger than the image" not in str(plan(64, 224))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"target": 1}, "target: expected an integer from 2"),
        ({"target": 5000}, "target: expected"),
        ({"target": 20.0}, "target: expected"),
        ({"input_size": 0}, "input_size: expected"),
        ({"input_size": (1, 2, 3, 4)}, "1 to 3 extents"),
        ({"kernels": [1, 3]}, "kernels: expected"),
        ({"strides": [0]}, "strides: expected"),
        ({"dilations": [True]}, "dilations: expected"),
        ({"pooling": [(2,)]}, "pooling: expected pairs"),
        ({"pooling": [(1, 2)]}, "pooling: expected"),
        ({"channels": 0}, "channels: expected"),
        ({"channels": lambda step: step / 2}, "channels: expected"),
        ({"image_channels": 0}, "image_channels: expected"),
        ({"objective": "beauty"}, "objective: expected"),
        ({"max_layers": 0}, "max_layers: expected"),
        ({"max_stride": 0}, "max_stride: expected"),
        ({"max_layers": 2}, "expected at most"),
        ({"kernels": [], "pooling": []}, "expected at most 1"),
    ],
)
def test_refused(change, says):
    with pytest.raises(ArgumentError, match=says):
        plan(**{"target": 200, "input_size": 224, **change})


def test_what_is_reached_at_most_is_reached():
    with pytest.raises(ArgumentError, match="at most") as caught:
        plan(2000, 224, max_layers=3)
    most = int(str(caught.value).split("at most ")[1].split(",")[0])
    assert plan(most, 224, max_layers=3).field == most
    with pytest.raises(ArgumentError):
        plan(most + 1, 224, max_layers=3)
