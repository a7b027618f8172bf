"""ONNX's own backend tests of Conv, ConvInteger and ConvTranspose, run against `kf.correlate` and its gradient."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import kernelfield as kf
from kernelfield.correlation.arguments import check_operation
from kernelfield.engine.layers import backward

CONV = (
    "test_basic_conv_with_padding",
    "test_basic_conv_without_padding",
    "test_conv_with_autopad_same",
    "test_conv_with_strides_and_asymmetric_padding",
    "test_conv_with_strides_no_padding",
    "test_conv_with_strides_padding",
)
CONV_INTEGER = ("test_convinteger_with_padding", "test_convinteger_without_padding")
CONV_TRANSPOSE = (
    "test_convtranspose",
    "test_convtranspose_1d",
    "test_convtranspose_3d",
    "test_convtranspose_autopad_same",
    "test_convtranspose_dilations",
    "test_convtranspose_group_2",
    "test_convtranspose_group_2_image_3",
    "test_convtranspose_kernel_shape",
    "test_convtranspose_output_shape",
    "test_convtranspose_pad",
    "test_convtranspose_pads",
)


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


def begins_and_sizes(array: tuple[int, ...], kernel: tuple[int, ...], given: dict) -> tuple[list[int], list[int]]:
    """Return, for each axis, what a ConvTranspose node cuts off in front, and the size of its result."""
    axes = len(array) - 2
    stride, spacing = given.get("strides", [1] * axes), given.get("dilations", [1] * axes)
    extra = given.get("output_padding", [0] * axes)
    numbers = zip(array[2:], kernel[2:], stride, spacing, extra)
    whole = [s * (n - 1) + d * (k - 1) + 1 + e for n, k, s, d, e in numbers]
    auto = given.get("auto_pad", b"NOTSET")
    if "output_shape" not in given and not auto.startswith(b"SAME"):
        pads = given.get("pads", [0] * 2 * axes)
        return pads[:axes], [w - before - after for w, before, after in zip(whole, pads, pads[axes:])]
    sizes = given.get("output_shape") or [n * s for n, s in zip(array[2:], stride)]
    totals = [w - size for w, size in zip(whole, sizes)]
    # Of an odd total the smaller half is in front for SAME_UPPER only; a total of -1 adds at the end.
    halves = [total // 2 for total in totals]
    return halves if auto == b"SAME_UPPER" else [t - h for t, h in zip(totals, halves)], sizes


def transposed(array: np.ndarray, kernel: np.ndarray, given: dict) -> np.ndarray:
    """Return what a ConvTranspose node over one to three axes does: the gradient of a correlation."""
    begins, sizes = begins_and_sizes(array.shape, kernel.shape, given)
    missing, groups = 5 - array.ndim, given.get("group", 1)
    ones, zeros = [1] * missing, [0] * missing
    stride, spacing = (ones + given.get(name, [1] * (3 - missing)) for name in ("strides", "dilations"))
    (top, *begins), (depth, *plane) = zeros + begins, ones + sizes
    array, kernel = (a.reshape(*a.shape[:2], *ones, *a.shape[2:]) for a in (array, kernel))
    batch, channels = array.shape[0], kernel.shape[1] * groups

    # Each depth is the result of an image whose channels are (channel, depth of the kernel).
    slope, weights = np.moveaxis(array, 2, 1), kernel.reshape(kernel.shape[0], -1, *kernel.shape[3:])
    image = np.zeros((*slope.shape[:2], channels * kernel.shape[2], *plane), array.dtype)
    numbers = zip(slope.shape[3:], weights.shape[2:], stride[1:], spacing[1:], begins, plane)
    ends = [max(0, s * (n - 1) + d * (k - 1) + 1 - begin - size) for n, k, s, d, begin, size in numbers]
    operation = check_operation(
        image.shape,
        weights.shape,
        mode="valid",
        boundary="constant",
        cval=0.0,
        origin=None,
        own_origin=(0, 0),
        padding=list(zip(begins, ends)),
        stride=tuple(stride[1:]),
        dilation=tuple(spacing[1:]),
        groups=groups,
    )
    # A result larger than need be has room for windows beyond the array's.
    outputs = operation.output_shape(image.shape, weights.shape)
    slope = np.pad(slope, [(0, n - m) for n, m in zip(outputs, slope.shape)])
    gradient, _ = backward(operation, image, weights, slope, (True, False))

    layers = gradient.reshape(batch, -1, channels, kernel.shape[2], *plane)
    reach = stride[0] * (layers.shape[1] - 1) + spacing[0] * (layers.shape[3] - 1) + 1
    result = np.zeros((batch, channels, max(reach, top + depth), *plane), array.dtype)
    for i, a in np.ndindex(layers.shape[1], layers.shape[3]):
        result[:, :, stride[0] * i + spacing[0] * a] += layers[:, i, :, a]
    return result[:, :, top : top + depth].reshape(batch, channels, *sizes)


def test_the_list_is_complete():
    two_dimensional = [name for name in cases() if name.startswith(("test_conv_", "test_basic_conv_"))]
    assert sorted(two_dimensional) == sorted(CONV)
    assert sorted(name for name in cases() if name.startswith("test_convinteger")) == sorted(CONV_INTEGER)
    assert sorted(name for name in cases() if name.startswith("test_convtranspose")) == sorted(CONV_TRANSPOSE)


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


@pytest.mark.parametrize("name", CONV_TRANSPOSE)
def test_conv_transpose(name):
    case = cases()[name]
    (node,) = case.model.graph.node
    for (array, kernel, *bias), (expected,) in case.data_sets:
        got = transposed(array, kernel, attributes(node))
        for added in bias:
            got += added.reshape(-1, *[1] * (got.ndim - 2))
        assert got.dtype == expected.dtype
        np.testing.assert_allclose(got, expected, rtol=1e-6)
