"""ONNX's own backend tests of Conv and ConvInteger, run against `kf.correlate`."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import kernelfield as kf

CONV = (
    "test_basic_conv_with_padding",
    "test_basic_conv_without_padding",
    "test_conv_with_autopad_same",
    "test_conv_with_strides_and_asymmetric_padding",
    "test_conv_with_strides_no_padding",
    "test_conv_with_strides_padding",
)
CONV_INTEGER = ("test_convinteger_with_padding", "test_convinteger_without_padding")


@cache
def cases():
    """Return ONNX's node tests by name."""
    with warnings.catch_warnings():
        # The tests of other operators overflow on purpose while they are collected.
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests

        return {case.name: case for case in load_model_tests(kind="node")}


def attributes(node: onnx.NodeProto) -> dict:
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def arguments(node: onnx.NodeProto, shape: tuple[int, ...], kernel: tuple[int, ...]) -> dict:
    """Return what `correlate` takes for the attributes of a Conv node."""
    given = attributes(node)
    stride, dilation = given.get("strides", [1, 1]), given.get("dilations", [1, 1])
    if given.get("auto_pad", b"NOTSET").startswith(b"SAME"):
        padding = []
        for n, size, step, spacing in zip(shape[2:], kernel[2:], stride, dilation):
            total = max(0, (-(-n // step) - 1) * step + spacing * (size - 1) + 1 - n)
            less, more = total // 2, total - total // 2
            padding.append((less, more) if given["auto_pad"] == b"SAME_UPPER" else (more, less))
    else:
        top, left, bottom, right = given.get("pads", [0, 0, 0, 0])
        padding = [(top, bottom), (left, right)]
    return dict(
        padding=padding,
        stride=tuple(stride),
        dilation=tuple(dilation),
        groups=given.get("group", 1),
        boundary="constant",
    )


def test_the_list_is_complete():
    two_dimensional = [name for name in cases() if name.startswith(("test_conv_", "test_basic_conv_"))]
    assert sorted(two_dimensional) == sorted(CONV)
    assert sorted(name for name in cases() if name.startswith("test_convinteger")) == sorted(CONV_INTEGER)


@pytest.mark.parametrize("name", CONV)
def test_conv(name):
    case = cases()[name]
    (node,) = case.model.graph.node
    for inputs, outputs in case.data_sets:
        image, kernel, *rest = (numpy_helper.to_array(i) if not isinstance(i, np.ndarray) else i for i in inputs)
        bias = rest[0] if rest else None
        got = kf.correlate(image, kernel, bias=bias, **arguments(node, image.shape, kernel.shape))
        np.testing.assert_allclose(got, outputs[0], rtol=1e-6)


@pytest.mark.parametrize("name", CONV_INTEGER)
def test_conv_integer(name):
    case = cases()[name]
    (node,) = case.model.graph.node
    for inputs, outputs in case.data_sets:
        image, kernel, *zero_points = (array.astype(np.int32) for array in inputs)
        how = arguments(node, image.shape, kernel.shape)
        # The zero point is what padding stands for, so it is taken away first and zeros are padded.
        if zero_points:
            image = image - zero_points[0]
        if len(zero_points) > 1:
            kernel = kernel - zero_points[1].reshape(-1, 1, 1, 1)
        got = kf.correlate(image, kernel, dtype="int32", **how)
        np.testing.assert_array_equal(got, outputs[0])
