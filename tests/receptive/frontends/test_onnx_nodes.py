"""ONNX's own node tests: inferred shapes equal the recorded ones, and unknown operators are refused by name."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pytest
from onnx import TensorProto, numpy_helper

from kernelfield.errors import ArgumentError, DataError, UnsupportedOperation
from kernelfield.receptive.builder import Builder
from kernelfield.receptive.frontends.onnx.call import Tensor
from kernelfield.receptive.frontends.onnx.walk import OPERATIONS, Walk

# Operators on strings and sequences, and loops, whose shapes no model declares.
SHAPELESS = {"If", "RegexFullMatch", "StringSplit", "Unique", "Loop"}
# Cases of operator set 1.
REFUSED = {"test_not_2d", "test_not_3d", "test_not_4d"}
#: Operators of networks that must not be refused, with how many of their cases are at least accepted.
ACCEPTED = {
    "Conv": 6,
    "ConvTranspose": 10,
    "ConvInteger": 2,
    "QLinearConv": 1,
    "MaxPool": 15,
    "AveragePool": 20,
    "LpPool": 8,
    "Resize": 30,
    "Upsample": 1,
    "Pad": 6,
    "Slice": 8,
    "Split": 10,
    "Concat": 12,
    "Reshape": 10,
    "ReduceMean": 6,
    "Attention": 10,
    "LSTM": 3,
    "Einsum": 4,
}


@cache
def cases():
    with warnings.catch_warnings():
        # The tests of other operators overflow on purpose while they are collected.
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests

        return load_model_tests(kind="node")


def array(value):
    """Return a recorded tensor as an array; None for a sequence or an optional."""
    if isinstance(value, TensorProto):
        value = numpy_helper.to_array(value)
    return np.asarray(value) if isinstance(value, (np.ndarray, np.generic)) else None


def run(case):
    """Translate a case, its first array as the image and all others as constants; return the differences."""
    inputs, outputs = case.data_sets[0]
    arrays = [array(value) for value in inputs]
    if any(a is None for a in arrays):
        return ["sequences"]
    builder = Builder()
    tensors = {}
    image = next((i for i, a in enumerate(arrays) if a.dtype.kind in "fuV" and a.ndim and a.size), None)
    for i, (info, a) in enumerate(zip(case.model.graph.input, arrays)):
        if i == image:
            spatial = range(2, a.ndim) if a.ndim > 2 else [a.ndim - 1]
            tensors[info.name] = Tensor(builder.image(info.name, a.shape, list(spatial)))
        else:
            tensors[info.name] = Tensor(builder.constant(a.shape), None if a.dtype.kind == "O" else a)
    found = Walk(case.model, builder).run(tensors)
    wrong = []
    for info, value in zip(case.model.graph.output, outputs):
        tensor, want = found[info.name], array(value)
        if want is None or tensor.shape != want.shape:
            wrong.append(f"{case.name}: {tensor.shape} for {None if want is None else want.shape}")
        elif not tensor.depends and tensor.content is not None and want.dtype.kind in "biuf":
            got = tensor.content.astype("float64")
            if not np.allclose(got, want.astype("float64"), rtol=1e-3, equal_nan=True):
                wrong.append(f"{case.name}: folded to {got.ravel()[:4]}")
    return wrong


@cache
def outcomes():
    """Return the outcome of each case: a list of differences, or the error."""
    found = {}
    with warnings.catch_warnings():
        # ml_dtypes' casts of the recorded values.
        warnings.simplefilter("ignore", RuntimeWarning)
        for case in cases():
            try:
                found[case.name] = run(case)
            except (ArgumentError, DataError, UnsupportedOperation) as error:
                found[case.name] = error
    return found


def operations(case):
    """Return the types of all nodes of a case, those of functions and branches included."""
    waiting = [*case.model.graph.node, *(node for f in case.model.functions for node in f.node)]
    found = set()
    while waiting:
        node = waiting.pop()
        found.add(node.op_type)
        for attribute in node.attribute:
            waiting += attribute.g.node
    return found


def test_shapes_are_those_recorded():
    wrong = [line for outcome in outcomes().values() if isinstance(outcome, list) for line in outcome]
    assert [line for line in wrong if line != "sequences"] == []
    assert sum(outcome == [] for outcome in outcomes().values()) > 1300


def test_what_is_not_known_is_refused_by_name():
    by_name = {case.name: case for case in cases()}
    for name, outcome in outcomes().items():
        if isinstance(outcome, list):
            continue
        kinds = operations(by_name[name])
        if not isinstance(outcome, UnsupportedOperation):
            assert name in REFUSED or kinds & SHAPELESS, f"{name}: {outcome}"
        assert any(kind in str(outcome) for kind in kinds), f"{name}: {outcome}"
        assert "\n" not in str(outcome)


@pytest.mark.parametrize("operation", sorted(ACCEPTED))
def test_the_operators_of_networks_are_known(operation):
    named = [case.name for case in cases() if [n.op_type for n in case.model.graph.node] == [operation]]
    accepted = [name for name in named if outcomes()[name] == []]
    assert len(accepted) >= ACCEPTED[operation], f"{len(accepted)} of {len(named)}"


def test_every_operator_in_the_table_is_one_of_onnx():
    from onnx import defs

    known = {schema.name for schema in defs.get_all_schemas_with_history() if schema.domain == ""}
    assert set(OPERATIONS) <= known
