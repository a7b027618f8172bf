"""Damaged models: each gives a KernelfieldError or a graph, quickly and in little memory."""

from __future__ import annotations

import random
import tracemalloc

import numpy as np
import onnx
import pytest
from onnx import AttributeProto
from receptive.onnx_models import gated, tokens, u_net

from kernelfield.errors import KernelfieldError
from kernelfield.receptive.frontends.onnx import graph
from kernelfield.receptive.graph import Graph

MODELS = [u_net(), gated(), tokens()]
NUMBERS = [0, -1, 1, 2, 3, 7, 4096, 65536, 1 << 31, 1 << 62, -(1 << 62), (1 << 63) - 1]
WORDS = [b"", b"SAME_UPPER", b"x" * 50, b"\xff\xfe", b"cubic", b"asymmetric"]


def damaged_bytes(model, chance):
    """Flip bits, cut off the end, or insert bytes."""
    data = bytearray(model.SerializeToString())
    kind = chance.randrange(3)
    if kind == 0:
        for _ in range(chance.randrange(1, 9)):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    elif kind == 1:
        del data[chance.randrange(len(data)) :]
    else:
        at = chance.randrange(len(data))
        data[at:at] = chance.randbytes(chance.randrange(1, 9))
    return bytes(data)


def damaged_attribute(model, chance):
    attribute = chance.choice([a for node in model.graph.node for a in node.attribute])
    if attribute.type == AttributeProto.INT:
        attribute.i = chance.choice(NUMBERS)
    elif attribute.type == AttributeProto.STRING:
        attribute.s = chance.choice(WORDS)
    elif attribute.type == AttributeProto.INTS and chance.random() < 0.8:
        numbers = list(attribute.ints)
        numbers[chance.randrange(len(numbers))] = chance.choice(NUMBERS)
        attribute.ints[:] = chance.choice([numbers, numbers[1:], [*numbers, 1]])
    else:
        attribute.type = chance.randrange(15)


def damaged_tensor(model, chance):
    tensor = chance.choice(model.graph.initializer)
    kind = chance.randrange(4)
    if kind == 0 and tensor.dims:
        tensor.dims[chance.randrange(len(tensor.dims))] = chance.choice(NUMBERS)
    elif kind == 1:
        tensor.data_type = chance.randrange(30)
    elif tensor.data_type == onnx.TensorProto.INT64:
        numbers = np.frombuffer(tensor.raw_data, "int64").copy()
        numbers[chance.randrange(len(numbers))] = chance.choice(NUMBERS)
        tensor.raw_data = numbers.tobytes()
    else:
        tensor.raw_data = chance.randbytes(len(tensor.raw_data))


def damaged_graph(model, chance):
    node, other = chance.choice(model.graph.node), chance.choice(model.graph.node)
    kind = chance.randrange(5)
    if kind == 0 and node.input:
        node.input[chance.randrange(len(node.input))] = chance.choice(["", "image", other.output[0]])
    elif kind == 1:
        node.op_type = other.op_type
    elif kind == 2:
        model.graph.node.remove(node)
    elif kind == 3:
        node.output.append("more")
    else:
        model.opset_import[0].version = chance.choice([*NUMBERS, *range(8, 29)])


def damaged(seed):
    """Return one of the models, damaged at random by a seed."""
    chance = random.Random(seed)
    model = MODELS[seed % len(MODELS)]
    how = chance.choice([damaged_bytes, damaged_attribute, damaged_tensor, damaged_graph])
    if how is damaged_bytes:
        return damaged_bytes(model, chance)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    how(copy, chance)
    return copy.SerializeToString()


def outcome(seed, **options):
    """Return a graph or a KernelfieldError; any other error is raised."""
    try:
        return graph(damaged(seed), (32, 40), **options)
    except KernelfieldError as error:
        return error


@pytest.mark.parametrize("first", range(0, 600, 50))
@pytest.mark.parametrize("unknown", ["error", "global"])
def test_damaged_models(first, unknown):
    for seed in range(first, first + 50):
        found = outcome(seed, unknown=unknown)
        assert isinstance(found, Graph) or ("\n" not in str(found) and len(str(found)) < 400), seed


def test_they_take_little_memory():
    tracemalloc.start()
    try:
        for seed in range(100):
            outcome(seed)
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()


def test_some_of_them_are_still_models_and_most_are_not():
    kinds = [type(outcome(seed)).__name__ for seed in range(60)]
    assert {"Graph", "ArgumentError", "DataError"} <= set(kinds)
    assert 3 < kinds.count("Graph") < 40


def bomb(levels):
    """Functions of which each calls the next twice."""
    from onnx import helper

    imports = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    functions = [
        helper.make_function(
            "local",
            f"F{i}",
            ["x"],
            ["z"],
            [helper.make_node(f"F{i + 1}", [a], [b], domain="local") for a, b in (("x", "y"), ("y", "z"))],
            imports,
        )
        for i in range(levels)
    ]
    functions.append(
        helper.make_function("local", f"F{levels}", ["x"], ["y"], [helper.make_node("Relu", ["x"], ["y"])], imports)
    )
    made = helper.make_graph(
        [helper.make_node("F0", ["image"], ["y"], domain="local")],
        "bomb",
        [helper.make_tensor_value_info("image", 1, (1, 1, 4, 4))],
        [helper.make_tensor_value_info("y", 1, None)],
    )
    return helper.make_model(made, opset_imports=imports, functions=functions)


def test_functions_that_grow_without_end_are_stopped():
    assert len(graph(bomb(4)).nodes) == 1 + 2**4
    with pytest.raises(KernelfieldError, match="at most 50000 nodes"):
        graph(bomb(25))
    model = bomb(1)
    model.functions[1].node[0].op_type = "F0"
    model.functions[1].node[0].domain = "local"
    with pytest.raises(KernelfieldError, match="nested at most 32 deep"):
        graph(model)
