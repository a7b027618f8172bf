"""ONNX models built node by node, for the tests of the ONNX frontend and its benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import AttributeProto, FunctionProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper


class Net:
    """Nodes and weights as they are added; every method returns the name of the output."""

    def __init__(self, seed: int = 0) -> None:
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []
        self.functions: list[FunctionProto] = []
        self.rng = np.random.default_rng(seed)

    def add(self, operation: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        name = name or f"{operation}_{len(self.nodes)}"
        domain = "local" if any(f.name == operation for f in self.functions) else ""
        self.nodes.append(helper.make_node(operation, inputs, [f"{name}:0"], name, domain=domain, **attributes))
        return f"{name}:0"

    def weight(self, *shape: int) -> str:
        """Weights from 0.5 to 1.5, so that sums of them are not 0."""
        return self.constant(self.rng.uniform(0.5, 1.5, shape).astype("float32"))

    def zeros(self, *shape: int) -> str:
        """Weights that take no time to make."""
        return self.constant(np.zeros(shape, "float32"))

    def constant(self, values: Any) -> str:
        name = f"constant_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def numbers(self, *values: int) -> str:
        return self.constant(np.array(values, "int64"))

    def conv(self, x: str, channels: int, out: int, kernel: Sequence[int], name: str | None = None, **more: Any) -> str:
        return self.add("Conv", x, self.weight(out, channels // more.get("group", 1), *kernel), name=name, **more)

    def model(self, output: str, shape: Sequence[Any] = (1, 2, "height", "width"), opset: int = 17) -> ModelProto:
        """Return the model, whose input is ``"image"``."""
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
            self.weights,
        )
        imports = [helper.make_opsetid("", opset)]
        if self.functions:
            imports.append(helper.make_opsetid("local", 1))
        return helper.make_model(graph, opset_imports=imports, functions=self.functions, ir_version=9)


def u_net() -> ModelProto:
    """Down and up again: the way up is resized, padded and cropped to sizes that the model itself computes."""
    net = Net(1)
    first = net.conv("image", 2, 4, (3, 3), name="down", pads=[1] * 4)
    low = net.add("MaxPool", first, name="pool", kernel_shape=[2, 2], strides=[2, 2])
    low = net.add("Relu", net.conv(low, 4, 8, (3, 3), name="bottom", auto_pad="SAME_UPPER", dilations=[2, 2]))
    shape = net.add("Shape", first)
    space = net.add("Slice", shape, net.numbers(2), net.numbers(4))
    sizes = net.add("Concat", net.numbers(1, 8), space, axis=0)
    up = net.add("Resize", low, "", "", sizes, name="up", mode="linear", coordinate_transformation_mode="half_pixel")
    joined = net.add("Concat", first, up, name="joined", axis=1)
    out = net.conv(joined, 12, 4, (3, 2), name="mixed", strides=[2, 1])
    # As torch.onnx exports functional.pad: the pads of the last axes are turned around.
    pads = net.add("Concat", net.numbers(1, 0, 2, 1), net.add("ConstantOfShape", net.numbers(4), value=_zero()), axis=0)
    pads = net.add("Reshape", pads, net.numbers(-1, 2))
    pads = net.add("Slice", pads, net.numbers(-1), net.numbers(-(1 << 62)), net.numbers(0), net.numbers(-1))
    pads = net.add("Cast", net.add("Reshape", net.add("Transpose", pads, perm=[1, 0]), net.numbers(-1)), to=7)
    padded = net.add("Pad", out, pads, name="padded", mode="reflect")
    grown = net.add(
        "ConvTranspose", padded, net.weight(4, 3, 3, 3), name="grown", strides=[2, 2], output_padding=[1, 0]
    )
    return net.model(net.add("Sigmoid", grown, name="out"))


def gated() -> ModelProto:
    """Squeeze and excitation, a group normalisation written as a function, depth to space, a branch that is known."""
    net = Net(2)
    x = net.conv("image", 2, 8, (5, 3), name="stem", strides=[1, 2], pads=[2, 1, 2, 1])
    squeezed = net.add("ReduceMean", x, name="squeeze", axes=[2, 3])
    gate = net.add("HardSigmoid", net.conv(squeezed, 8, 8, (1, 1), name="excite"))
    x = net.add("Mul", x, gate, name="scaled")
    net.functions.append(_scaled_relu())
    x = net.add("ScaledRelu", x, name="local", factor=2.0)
    then = _branch("AveragePool", kernel_shape=[2, 2])
    otherwise = _branch("Abs")
    before = net.add("Identity", x, name="before")
    condition = net.add("Greater", net.add("Size", net.numbers(1, 2)), net.constant(np.array(1)))
    x = net.add("If", condition, name="either", then_branch=then(before), else_branch=otherwise(before))
    left, right = f"{x} left", f"{x} right"
    net.nodes.append(helper.make_node("Split", [x, net.numbers(4, 4)], [left, right], "halves", axis=1))
    x = net.add("Add", net.conv(left, 4, 4, (1, 3), name="along", pads=[0, 1, 0, 1]), right, name="sum")
    x = net.add("DepthToSpace", x, name="shuffle", blocksize=2)
    x = net.add("AveragePool", x, name="average", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    return net.model(net.add("LpPool", x, name="norm", kernel_shape=[2, 2], auto_pad="SAME_LOWER"))


def tokens() -> ModelProto:
    """A transformer's block on patches."""
    net = Net(3)
    x = net.conv("image", 2, 6, (4, 4), name="patches", strides=[4, 4])
    x = net.add("Reshape", x, net.numbers(0, 6, -1), name="line")
    x = net.add("Transpose", x, name="tokens", perm=[0, 2, 1])
    normal = net.add("LayerNormalization", x, net.weight(6), name="normal")
    query, key, value = (net.add("MatMul", normal, net.weight(6, 6), name=n) for n in ("query", "key", "value"))
    turned = net.add("Transpose", key, name="turned", perm=[0, 2, 1])
    weights = net.add("Softmax", net.add("MatMul", query, turned, name="scores"), name="weights", axis=-1)
    mixed = net.add("MatMul", weights, value, name="mixed")
    x = net.add("Add", x, mixed, name="residual")
    pooled = net.add("ReduceMean", x, name="mean", axes=[1], keepdims=0)
    return net.model(net.add("Gemm", pooled, net.weight(6, 10), net.weight(10), name="head"))


def resnet(blocks: Sequence[int], shape: Sequence[int] = (1, 3, 224, 224)) -> ModelProto:
    """ResNet-50 (3, 4, 6, 3) and deeper, the stride in the 3×3 convolution, weights 0."""
    net = Net()

    def conv(x: str, channels: int, out: int, kernel: int, stride: int, name: str) -> str:
        pads = [kernel // 2] * 4
        weight = net.zeros(out, channels, kernel, kernel)
        x = net.add("Conv", x, weight, name=name, strides=[stride] * 2, pads=pads)
        return net.add("BatchNormalization", x, *(net.zeros(out) for _ in range(4)), name=f"{name}.bn")

    x = net.add("Relu", conv("image", 3, 64, 7, 2, "conv1"), name="relu")
    x = net.add("MaxPool", x, name="maxpool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    channels = 64
    for stage, count in enumerate(blocks):
        width = 64 << stage
        for block in range(count):
            name = f"layer{stage + 1}.{block}"
            stride = 2 if block == 0 and stage else 1
            y = net.add("Relu", conv(x, channels, width, 1, 1, f"{name}.conv1"))
            y = net.add("Relu", conv(y, width, width, 3, stride, f"{name}.conv2"))
            y = conv(y, width, 4 * width, 1, 1, f"{name}.conv3")
            if block == 0:
                x = conv(x, channels, 4 * width, 1, stride, f"{name}.downsample")
            channels = 4 * width
            x = net.add("Relu", net.add("Add", x, y), name=name)
    x = net.add("Flatten", net.add("GlobalAveragePool", x, name="avgpool"))
    return net.model(net.add("Gemm", x, net.zeros(1000, channels), name="fc", transB=1), shape)


def densenet(blocks: Sequence[int], shape: Sequence[int] = (1, 3, 224, 224)) -> ModelProto:
    """DenseNet-121 (6, 12, 24, 16), DenseNet-201 (6, 12, 48, 32), weights 0."""
    net = Net()

    def layer(x: str, channels: int, out: int, kernel: int, name: str) -> str:
        x = net.add("BatchNormalization", x, *(net.zeros(channels) for _ in range(4)), name=f"{name}.norm")
        x = net.add("Relu", x)
        return net.add("Conv", x, net.zeros(out, channels, kernel, kernel), name=name, pads=[kernel // 2] * 4)

    x = net.add("Conv", "image", net.zeros(64, 3, 7, 7), name="conv0", strides=[2, 2], pads=[3] * 4)
    x = net.add("MaxPool", x, name="pool0", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    channels = 64
    for stage, count in enumerate(blocks):
        for block in range(count):
            name = f"dense{stage + 1}.{block}"
            y = layer(layer(x, channels, 128, 1, f"{name}.conv1"), 128, 32, 3, f"{name}.conv2")
            x = net.add("Concat", x, y, name=name, axis=1)
            channels += 32
        if stage < len(blocks) - 1:
            x = layer(x, channels, channels // 2, 1, f"transition{stage + 1}")
            channels //= 2
            x = net.add("AveragePool", x, name=f"pool{stage + 1}", kernel_shape=[2, 2], strides=[2, 2])
    x = net.add("Flatten", net.add("GlobalAveragePool", net.add("Relu", x), name="avgpool"))
    return net.model(net.add("Gemm", x, net.zeros(1000, channels), name="fc", transB=1), shape)


def _zero() -> TensorProto:
    return helper.make_tensor("zero", TensorProto.INT64, [1], [0])


def _scaled_relu() -> FunctionProto:
    """A function with an attribute of its own, and an input that may be left out."""
    constant = helper.make_node("Constant", [], ["f"], "factor")
    constant.attribute.append(AttributeProto(name="value_float", ref_attr_name="factor", type=AttributeProto.FLOAT))
    nodes = [
        constant,
        helper.make_node("Mul", ["x", "f"], ["m"], "times"),
        helper.make_node("Clip", ["m", "low"], ["y"], "clip"),
    ]
    imports = [helper.make_opsetid("", 17)]
    return helper.make_function("local", "ScaledRelu", ["x", "low"], ["y"], nodes, imports, ["factor"])


def _branch(operation: str, **attributes: Any) -> Any:
    def of(outer: str) -> Any:
        node = helper.make_node(operation, [outer], ["taken"], operation.lower(), **attributes)
        return helper.make_graph([node], operation, [], [helper.make_tensor_value_info("taken", 1, None)])

    return of
