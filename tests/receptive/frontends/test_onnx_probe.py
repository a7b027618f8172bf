"""Graphs of ONNX models against ONNX's own reference evaluator: one element of the image is changed at a time.

The evaluator works on arrays and shares no code with the frontend. The element is made large: NaN would spread through
weights of 0 (resizing, the holes of dilation), and the evaluator's pooling leaves it out.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator
from receptive.onnx_models import Net, gated, tokens, u_net

from kernelfield.errors import KernelfieldError
from kernelfield.receptive.frontends.onnx import graph
from kernelfield.receptive.relations import reached

LARGE = 1e4


def changed(model, shape):
    """Yield each position of the image, with the positions of the output that change with it."""
    evaluator = ReferenceEvaluator(model)
    image = np.random.default_rng(0).random(shape).astype("float32")
    with np.errstate(all="ignore"):
        (plain,) = evaluator.run(None, {"image": image})
        assert not np.isnan(plain).any()
        for place in np.ndindex(*shape[2:]):
            other = image.copy()
            other[(slice(None), slice(None), *place)] += LARGE
            (out,) = evaluator.run(None, {"image": other})
            yield place, (out != plain).any(axis=(0, 1)) if out.ndim > 2 else (out != plain).any()


def check(model, shape):
    analysed = graph(model, shape)
    last = analysed.nodes[-1]
    for place, different in changed(model, shape):
        elements = np.zeros(shape[2:], bool)
        elements[place] = True
        told = reached(analysed, elements, last.name)
        assert np.array_equal(told.reshape(np.shape(different)), different), place


def test_u_net():
    model = u_net()
    for node in model.graph.node:
        if node.op_type == "MaxPool":
            # The evaluator's drops NaN.
            node.op_type = "AveragePool"
        elif node.op_type == "Sigmoid":
            # Both numbers would be 1.
            node.op_type = "Identity"
    check(model, (1, 2, 10, 12))


def gated_for_the_evaluator():
    """Return the model with all inputs of its function (it lets none be left out) and a gate that never shuts."""
    model = gated()
    for node in model.graph.node:
        if node.name == "local":
            node.input.append("")
        elif node.op_type == "HardSigmoid":
            node.op_type = "Identity"
    return model


def test_gates_functions_and_branches():
    # Everything is read through the gate.
    model = gated_for_the_evaluator()
    analysed = graph(model, (1, 2, 9, 11))
    for place, different in changed(model, (1, 2, 9, 11)):
        elements = np.zeros((9, 11), bool)
        elements[place] = True
        assert different.all()
        assert reached(analysed, elements, "norm").all()
    assert not reached(analysed.without_gates(), elements, "norm").all()


def test_without_its_gate_a_model_is_the_one_that_has_none():
    model = gated()
    bare = gated_for_the_evaluator()
    (scaled,) = [n for n in bare.graph.node if n.name == "scaled"]
    scaled.input[1] = scaled.input[0]
    analysed = graph(model, (1, 2, 9, 11)).without_gates()
    for place, different in changed(bare, (1, 2, 9, 11)):
        elements = np.zeros((9, 11), bool)
        elements[place] = True
        assert np.array_equal(reached(analysed, elements, "norm"), different), place


def test_a_transformer_block_reads_everything():
    analysed = graph(tokens(), (1, 2, 8, 12))
    assert reached(analysed, np.eye(8, 12, dtype=bool), "head").all()
    own = np.zeros((8, 12), bool)
    own[5, 9] = True
    assert reached(analysed, own, "patches").tolist() == [[False] * 3, [False, False, True]]
    assert reached(analysed, own, "normal").tolist() == [False] * 5 + [True]
    assert reached(analysed, own, "query").tolist() == [False] * 5 + [True]
    assert reached(analysed, own, "mixed").all()


numbers = st.integers(1, 3)
pairs = st.tuples(numbers, numbers)


@st.composite
def windows(draw):
    """A convolution, a transposed one or a pooling with attributes of every kind."""
    operation = draw(st.sampled_from(["Conv", "ConvTranspose", "AveragePool"]))
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    attributes = {"kernel_shape": kernel, "strides": draw(pairs), "dilations": draw(pairs)}
    auto = draw(st.sampled_from(["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    if auto == "NOTSET":
        attributes["pads"] = [draw(st.integers(0, k - 1)) for k in kernel * 2]
    else:
        attributes["auto_pad"] = auto
    if operation == "ConvTranspose" and auto != "VALID":
        attributes["output_padding"] = [draw(st.integers(0, s - 1)) for s in attributes["strides"]]
    if operation == "AveragePool" and auto == "NOTSET":
        attributes["ceil_mode"] = draw(st.integers(0, 1))
        attributes["count_include_pad"] = 1
    return operation, attributes


@settings(max_examples=60, deadline=None)
@given(windows(), st.integers(4, 8), st.integers(4, 8))
def test_windows(window, height, width):
    operation, attributes = window
    # The evaluator has rules of its own for auto_pad but for convolutions without dilation: test_onnx_nodes holds the
    # others against what ONNX has recorded.
    assume("auto_pad" not in attributes or (operation == "Conv" and attributes["dilations"] == (1, 1)))
    net = Net()
    weights = [net.weight(2, 2, *attributes["kernel_shape"])] if operation != "AveragePool" else []
    model = net.model(net.add(operation, "image", *weights, name="window", **attributes), opset=22)
    shape = (1, 2, height, width)
    try:
        graph(model, shape)
    except KernelfieldError as error:
        assert "larger input" in str(error) or "leaves elements" in str(error)  # noqa: PT017
        return
    check(model, shape)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["nearest", "linear", "cubic"]),
    st.sampled_from(["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]),
    st.sampled_from(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]),
    st.tuples(st.integers(2, 9), st.integers(2, 9)),
)
def test_resizing_to_sizes(mode, coordinates, rounding, output):
    net = Net()
    attributes = {"coordinate_transformation_mode": coordinates, "nearest_mode": rounding}
    sizes = net.numbers(1, 2, *output)
    model = net.model(net.add("Resize", "image", "", "", sizes, name="resized", mode=mode, **attributes), opset=19)
    check(model, (1, 2, 5, 6))


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("scale", [0.5, 0.625, 1.25, 2.0, 2.5])
def test_resizing_by_scales(mode, scale):
    net = Net()
    scales = net.constant(np.array([1, 1, scale, 1], "float32"))
    model = net.model(net.add("Resize", "image", "", scales, name="resized", mode=mode), opset=13)
    check(model, (1, 2, 5, 4))


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["constant", "reflect", "edge", "wrap"]), st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_padding(mode, pads):
    net = Net()
    given_pads = net.numbers(0, 0, *pads[:2], 0, 0, *pads[2:])
    model = net.model(net.add("Pad", "image", given_pads, name="padded", mode=mode), opset=19)
    check(model, (1, 2, 4, 5))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_slicing(data):
    starts, ends, steps = [], [], []
    for _ in range(2):
        step = data.draw(st.sampled_from([-2, -1, 1, 2]))
        near, far = data.draw(st.sampled_from([0, 1, 2, -6, -5, -9])), data.draw(st.sampled_from([4, 5, 6, 9, -1, -2]))
        starts.append(near if step > 0 else far)
        ends.append(far if step > 0 else near)
        steps.append(step)
    net = Net()
    inputs = [net.numbers(*values) for values in (starts, ends, (-1, 2), steps)]
    model = net.model(net.add("Slice", "image", *inputs, name="cut"))
    check(model, (1, 2, 6, 6))
