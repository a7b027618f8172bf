"""ONNX models from files and memory: inferred shapes, unread weights and external data, errors with their location."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import tracemalloc
import warnings

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from receptive.onnx_models import Net, densenet, gated, resnet, tokens, u_net
from torch import nn
from torch.nn import functional

from kernelfield.errors import ArgumentError, DataError, DtypeError, FileError, UnsupportedOperation
from kernelfield.receptive.field import ReceptiveField
from kernelfield.receptive.frontends import torch as torch_frontend
from kernelfield.receptive.frontends.onnx import graph
from kernelfield.receptive.frontends.select import framework_of
from kernelfield.receptive.registry import REGISTERED, register
from kernelfield.receptive.relations import seen

pytestmark = pytest.mark.torch


def one(operation, *extra, shape=(1, 2, "height", "width"), opset=17, **attributes):
    """Return a model of one node."""
    net = Net()
    inputs = [net.constant(e) if isinstance(e, np.ndarray) else e for e in extra]
    return net.model(net.add(operation, "image", *inputs, name="node", **attributes), shape, opset)


KERNEL = np.ones((2, 2, 3, 3), "float32")
NUMBERS = np.array([0, 0, 1, 1, 0, 0, 1, 1])


def test_shapes_that_a_model_computes_follow_the_size():
    for height, width in [(16, 16), (17, 31), (40, 22)]:
        found = {node.name: node.shape for node in graph(u_net(), (height, width))}
        assert found["up"] == (height, width)
        assert found["mixed"] == ((height - 3) // 2 + 1, width - 1)
        rows, columns = found["mixed"]
        # Pads [1, 0, 2, 1] of torch.nn.functional.pad: one before the columns, two before the rows, one behind them.
        assert found["padded"] == (rows + 3, columns + 1)
        assert found["grown"] == (2 * (rows + 2) + 3 + 1, 2 * columns + 3)


def test_a_path_bytes_and_a_parsed_model_are_the_same(tmp_path):
    model = gated()
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    expected = graph(model, (20, 22)).nodes
    for given in (path, str(path), path.read_bytes(), model):
        assert framework_of(given) == "onnx"
        assert graph(given, (20, 22)).nodes == expected
    with pytest.raises(ArgumentError, match="model: expected"):
        framework_of(3)
    with pytest.raises(DtypeError, match="expected a path"):
        graph(3, (20, 22))


def test_resnet_50_with_the_stride_in_its_3x3():
    # Araujo, Norris and Sim, Computing Receptive Fields of Convolutional Neural Networks, Distill 2019, give 483 where
    # the stride is in the first 1×1; in the 3×3 fewer elements are seen.
    field = ReceptiveField(graph(resnet((3, 4, 6, 3))))
    last = field["layer4.2"]
    assert (last.size, last.stride, last.padding) == ((427, 427), (32, 32), (213, 213))
    assert field["layer4.2:0"].name == "layer4.2"
    assert field["avgpool"].whole == (True, True)


def test_densenet_sees_everything_in_its_last_block():
    field = ReceptiveField(graph(densenet((2, 2), (1, 3, 64, 64))))
    assert field["dense2.1"].stride == (8, 8)
    assert field["dense2.1"].aligned


def test_a_channel_slice_of_a_concatenation_reads_its_own_piece():
    net = Net()
    left = net.conv("image", 2, 3, (3, 3), name="left", pads=[1] * 4)
    right = net.conv("image", 2, 3, (1, 1), name="right")
    joined = net.add("Concat", left, right, axis=1)
    net.nodes.append(helper.make_node("Split", [joined, net.numbers(3, 3)], ["first", "second"], "halves", axis=1))
    field = ReceptiveField(graph(net.model(net.add("Relu", "second", name="out")), (8, 8)))
    assert field["out"].size == (1, 1)


def test_names_are_the_models_own():
    net = Net()
    net.nodes.append(helper.make_node("Relu", ["image"], ["after"]))
    field = ReceptiveField(graph(net.model(net.add("Abs", "after", name="last")), (4, 4)))
    assert field.layers == ("after", "last")
    assert field["last:0"].name == "last"


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(8, 4, 3, stride=2, padding=1, output_padding=1)
        self.mix = nn.Conv2d(12, 4, 3, padding=2, dilation=2)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.norm = nn.GroupNorm(2, 4)

    def forward(self, x):
        x = functional.silu(self.stem(x))
        wide = functional.interpolate(x, scale_factor=2, mode="bilinear")
        x = self.mix(torch.cat([wide, self.up(x)], 1))
        x = functional.pad(self.norm(x), (1, 2, 0, 3), mode="reflect")
        return self.pool(x)[:, :, 1:-2, ::2]


def test_a_module_of_torch_reads_the_same_through_onnx():
    model = Small().eval()
    file = io.BytesIO()
    with warnings.catch_warnings():
        # torch.onnx warns about the exporter that needs no further package.
        warnings.simplefilter("ignore")
        axes = {"image": {2: "height", 3: "width"}}
        example = torch.zeros(1, 3, 32, 32)
        torch.onnx.export(model, (example,), file, dynamo=False, input_names=["image"], dynamic_axes=axes)
    ours = graph(file.getvalue(), (20, 26))
    theirs = torch_frontend.graph(model, (1, 3, 20, 26))
    assert ours.nodes[-1].shape == theirs.nodes[-1].shape
    for one_graph, other in ((ours, theirs), (ours.without_gates(), theirs.without_gates())):
        for unit in np.ndindex(*ours.nodes[-1].shape):
            units = np.zeros(ours.nodes[-1].shape, bool)
            units[unit] = True
            read = seen(one_graph, ours.nodes[-1].name, units)
            assert np.array_equal(read, seen(other, theirs.nodes[-1].name, units)), unit


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (one("Conv", KERNEL, strides=[0, 1]), r"'node' \(Conv\), strides: expected 2 whole numbers from 1"),
        (one("Conv", KERNEL, dilations=[-1, 1]), "dilations: expected 2 whole numbers from 1"),
        (one("Conv", KERNEL, group=0), "group: expected a whole number from 1"),
        (one("Conv", KERNEL, group=2), r"expected weights .* for 2 channels and group 2"),
        (one("Conv", KERNEL, pads=[-1, 0, 0, 0]), "pads: expected 4 whole numbers from 0"),
        (one("Conv", KERNEL, pads=[1 << 40, 0, 0, 0]), "pads: expected 4 whole numbers from 0"),
        (one("Conv", KERNEL, kernel_shape=[3]), "kernel_shape: expected 2 whole numbers"),
        (one("Conv", KERNEL, kernel_shape=[3, 2]), r"kernel_shape: expected \[3, 3\] as the weights have"),
        (one("Conv", KERNEL, auto_pad="SAME"), "auto_pad: expected one of NOTSET, SAME_UPPER"),
        (one("Conv", KERNEL, auto_pad="VALID", pads=[1, 1, 1, 1]), "pads: expected none beside auto_pad"),
        (one("Conv", np.ones((2, 2, 9, 9), "float32")), "at least 9 elements along axis 2; received 8; give a larger"),
        (one("Conv", np.ones((2, 2, 3), "float32")), "expected weights of 4 axes"),
        (one("Conv"), "expected input 2; received 1 inputs"),
        (one("MaxPool"), "kernel_shape: expected 2 whole numbers; received none"),
        (one("MaxPool", kernel_shape=[2.5, 2.0]), "kernel_shape: expected whole numbers; received numbers"),
        (one("ConvTranspose", KERNEL, output_shape=[4]), "output_shape: expected 2 whole numbers"),
        (one("Transpose", perm=[0, 0, 1, 2]), "expected a permutation of 4 axes"),
        (one("Concat", axis=7), "expected an axis from -4 to 3; received 7"),
        (one("Softmax", axis=-5), "expected an axis from -4 to 3"),
        (one("Pad", NUMBERS[:3]), "expected pads of 8 whole numbers"),
        (one("Pad", NUMBERS << 50), "expected pads up to"),
        (one("Reshape", np.array([3, -1])), r"expected a shape for the 128 elements of \[1, 2, 8, 8\]"),
        (one("Reshape", np.array([1.0, 2.0])), "expected a shape as a list of whole numbers"),
        (one("Expand", np.array([3, 3, 1, 1])), "broadcasts to; received"),
        (one("Tile", np.array([1, 1, 1 << 40, 1])), "extents up to|fewer than"),
        (one("Resize", "", np.array([1, 1, 1e9, 1], "float32")), "expected scales above 0"),
        (one("Resize", "", np.array([1, 1, np.nan, 1], "float32")), "expected scales above 0"),
        (one("Resize", "", np.array([1, 1, 2, 2], "float32"), mode="lanczos"), "mode: expected one of nearest, linear"),
        (one("Gather", np.array([9]), axis=2), "expected indices from -8 to 7"),
        (one("Slice", np.array([0]), np.array([4]), np.array([2]), np.array([0])), "a step other than 0"),
        (one("DepthToSpace", blocksize=2), "channels divisible by the square of blocksize"),
        (one("Add", np.ones((3, 3), "float32")), "shapes that broadcast to one"),
        (one("MatMul", np.ones((3, 3), "float32")), "matrices that can be multiplied"),
        (one("Relu", opset=6), "expected an operator set from 7 to 28; received 6; convert the model"),
        (one("Relu", opset=99), "received 99"),
        (one("Relu", shape=(1, 2)), "expected an input with batch, channels and spatial axes"),
        (one("Relu", shape=(1, 2, 16, 16)), "input_size: expected 16 along axis 2"),
        (one("Relu", shape=(1, "c", None, None)), "expected an extent for axis 1"),
    ],
)
def test_errors_name_the_node_and_what_is_wrong(model, message):
    with pytest.raises((ArgumentError, DataError), match=message) as caught:
        graph(model, (8, 8))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [(), (8,), (8, 8, 8), (0, 8), (8.5, 8), (1 << 30, 8)])
def test_sizes_are_checked(size):
    with pytest.raises(ArgumentError, match="input_size: expected"):
        graph(one("Relu"), size)


def test_the_size_may_be_the_models_own():
    assert graph(one("Relu", shape=(1, 2, 5, 7))).image.shape == (5, 7)
    assert graph(one("Relu"), (1, 2, 5, 7)).image.shape == (5, 7)
    with pytest.raises(ArgumentError, match="which the model leaves open"):
        graph(one("Relu"))


def test_channels_may_be_last():
    net = Net()
    model = net.model(net.add("Transpose", "image", name="first", perm=[0, 3, 1, 2]), ("n", "h", "w", 3))
    assert graph(model, (5, 7)).nodes[-1].shape == (5, 7)
    assert graph(one("Relu", shape=(1, 8, 8, 2)), channel_axis=1).image.shape == (8, 2)
    assert graph(one("Relu", shape=(1, 8, 8, 2))).image.shape == (8, 8)


def test_one_and_three_dimensions():
    kernel = np.ones((1, 2, 3), "float32")
    assert graph(one("Conv", kernel, shape=(1, 2, "n"), dilations=[2]), (9,)).nodes[-1].shape == (5,)
    kernel = np.ones((1, 2, 3, 2, 1), "float32")
    assert graph(one("Conv", kernel, shape=(1, 2, "d", "h", "w")), (9, 8, 7)).nodes[-1].shape == (7, 7, 7)


def test_the_image_is_chosen_by_name_where_there_are_several():
    net = Net()
    model = net.model(net.add("Add", "image", "other", name="sum"))
    model.graph.input.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, (1, 2, "height", 1)))
    with pytest.raises(ArgumentError, match="the model has 'image', 'other'; give image="):
        graph(model, (4, 6))
    assert graph(model, (4, 6), image="image").nodes[-1].shape == (4, 6)
    with pytest.raises(ArgumentError, match="expected one of 'image', 'other'; received 'x'"):
        graph(model, (4, 6), image="x")
    model.graph.input[1].type.tensor_type.shape.dim[2].dim_param = "unknown"
    with pytest.raises(ArgumentError, match="expected a shape for its input 'other'"):
        graph(model, (4, 6), image="image")


def test_reading_by_values_is_refused_or_an_upper_bound():
    net = Net()
    x = net.conv("image", 2, 2, (3, 3), name="conv", pads=[1] * 4)
    model = net.model(net.add("GridSample", x, net.weight(1, 4, 5, 2), name="sampled"))
    with pytest.raises(UnsupportedOperation, match="'GridSample' in 'sampled'"):
        graph(model, (6, 7))
    with pytest.raises(ArgumentError, match="expected a shape for its output"):
        graph(model, (6, 7), unknown="global")
    model.graph.value_info.append(helper.make_tensor_value_info("sampled:0", TensorProto.FLOAT, (1, 2, 4, 5)))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("sampled:0", TensorProto.FLOAT, (1, 2, 4, 5)))
    last = graph(model, (6, 7), unknown="global").nodes[-1]
    assert "upper bound" in last.bound
    assert last.shape == (4, 5)


def test_a_loop_reads_what_its_body_takes_from_outside():
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["state", "outside"], ["next"])],
        "body",
        [
            helper.make_tensor_value_info(n, t, s)
            for n, t, s in (("i", 7, []), ("go", 9, []), ("state", 1, [1, 2, 6, 6]))
        ],
        [helper.make_tensor_value_info(n, t, s) for n, t, s in (("on", 9, []), ("next", 1, [1, 2, 6, 6]))],
    )
    net = Net()
    net.nodes.append(helper.make_node("Relu", ["image"], ["outside"], "relu"))
    zeros = net.zeros(1, 2, 6, 6)
    net.nodes.append(helper.make_node("Loop", [net.constant(np.array(2)), "", zeros], ["y"], "loop", body=body))
    model = net.model("y")
    with pytest.raises(UnsupportedOperation, match="'Loop' in 'loop'"):
        graph(model, (6, 6))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 2, 6, 6)))
    last = graph(model, (6, 6), unknown="global").nodes[-1]
    assert [edge.source for edge in last.edges] == ["relu"]
    assert last.bound


def test_operators_may_be_registered():
    net = Net()
    net.nodes.append(helper.make_node("Sides", ["image"], ["y"], "own", domain="my.domain", reach=2))
    model = net.model("y")
    model.opset_import.append(helper.make_opsetid("my.domain", 1))
    with pytest.raises(UnsupportedOperation, match=r"'my\.domain::Sides' in 'own'"):
        graph(model, (6, 6))

    @register("my.domain::Sides")
    def sides(builder, name, inputs, attributes):
        reach = attributes["reach"]
        return builder.pooling(
            name,
            inputs[0],
            kind="max",
            kernel=(2 * reach + 1,),
            stride=(1,),
            dilation=(1,),
            before=(reach,),
            after=(reach,),
            spatial_axes=(3,),
        )

    try:
        assert ReceptiveField(graph(model, (6, 6)))["own"].size == (1, 5)
    finally:
        del REGISTERED["my.domain::Sides"]


def test_attention_mixes_all_places():
    field = ReceptiveField(graph(tokens(), (16, 24)))
    assert field["patches"].size == (4, 4)
    assert field["normal"].size == (4, 4)
    assert field["mixed"].whole == (True, True)
    assert field.without_gates()["mixed"].whole == (True, True)


class Trap:
    """An object with a side effect when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, (os.environ["KERNELFIELD_TRAP"],)


def test_a_pickle_is_never_loaded(tmp_path, monkeypatch):
    trap = tmp_path / "sprung"
    monkeypatch.setenv("KERNELFIELD_TRAP", str(trap))
    for protocol in range(2, 6):
        path = tmp_path / f"{protocol}.onnx"
        path.write_bytes(pickle.dumps(Trap(), protocol))
        with pytest.raises(DataError, match="a Python pickle, which could run any program; it is never loaded; export"):
            graph(path, (8, 8))
    torch.save({"weights": torch.zeros(2)}, tmp_path / "saved.pt")
    with pytest.raises(DataError, match=r"a zip archive, such as torch.save \(a pickle\)"):
        graph(tmp_path / "saved.pt", (8, 8))
    assert not trap.exists()


def test_files_that_are_no_models(tmp_path):
    path = tmp_path / "x.onnx"
    for content, message in [
        (b"", "the file is empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "this is a picture"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"hello, world", "expected an ONNX model"),
        (helper.make_tensor("t", TensorProto.FLOAT, [2], [1, 2]).SerializeToString(), "expected an ONNX model"),
        (onnx.ModelProto(ir_version=8).SerializeToString(), "received no graph with nodes"),
    ]:
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            graph(path, (8, 8))
    with pytest.raises(FileError, match="there is none"):
        graph(tmp_path / "missing.onnx", (8, 8))
    with pytest.raises(FileError, match="this is a folder"):
        graph(tmp_path, (8, 8))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileError, match="not a plain file"):
        graph(tmp_path / "pipe", (8, 8))
    with pytest.raises(ArgumentError, match="expected the name of a file"):
        graph("a\0b", (8, 8))


def test_only_the_file_itself_is_opened(tmp_path):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(4 * 2 * 2 * 9))
    folder = tmp_path / "models"
    folder.mkdir()
    model = one("Conv", KERNEL, pads=[1, 1, 1, 1])
    (weights,) = model.graph.initializer
    sizes = onnx.TensorProto(name="sizes", data_type=TensorProto.INT64, dims=[4])
    for tensor, location in ((weights, "../secret.bin"), (sizes, str(secret))):
        # Data in the file as well does not make the other file one to open.
        tensor.raw_data = np.array([1, 2, 64, 1]).tobytes()
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
    model.graph.initializer.append(sizes)
    (folder / "conv.onnx").write_bytes(model.SerializeToString())
    model.graph.node[0].output[0] = "middle"
    model.graph.node.append(helper.make_node("Reshape", ["middle", "sizes"], ["node:0"], "shaped"))
    (folder / "reshape.onnx").write_bytes(model.SerializeToString())
    code = (
        "import sys, onnx\n"
        "from kernelfield.receptive.frontends import onnx as frontend\n"
        "from onnx import numpy_helper\n"
        "from kernelfield.errors import ArgumentError\n"
        "opened = []\n"
        "sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == 'open' else None)\n"
        "assert frontend.graph('conv.onnx', (8, 8)).nodes[-1].shape == (8, 8)\n"
        "try:\n    frontend.graph('reshape.onnx', (8, 8))\n"
        "except ArgumentError as error:\n    print(error)\n"
        "print(sorted(p for p in opened if not p.endswith(('.py', '.pyc', '.so'))))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    message, opened = done.stdout.splitlines()
    assert message.startswith("'shaped' (Reshape): expected a shape that is known from the shapes")
    assert opened == "['conv.onnx', 'reshape.onnx']"


def test_weights_are_not_read(tmp_path):
    path = tmp_path / "large.onnx"
    net = Net()
    x = net.add("Conv", "image", net.zeros(1024, 2, 64, 64), name="wide")
    path.write_bytes(net.model(net.conv(x, 1024, 4, (1, 1), name="narrow")).SerializeToString())
    assert path.stat().st_size > 32 << 20
    expected = graph(path, (80, 80)).nodes
    tracemalloc.start()
    try:
        assert graph(path, (80, 80)).nodes == expected
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()
