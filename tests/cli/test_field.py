from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import kernelfield as kf

SIZE = ("--input-size", "64,96")


def save(path: Path, height: object = "height", operator: str = "Relu", name: str = "second") -> Path:
    """Write a model: two convolutions, the second dilated, an activation or another operator, a global pooling."""
    nodes, weights = [], []
    for source, result, node, channels, dilation in (("image", "a", "first", 3, 1), ("b", "c", name, 4, 3)):
        weights.append(
            helper.make_tensor(f"{node}.weight", TensorProto.FLOAT, [4, channels, 3, 3], [0.0] * 36 * channels)
        )
        window = {"kernel_shape": [3, 3], "dilations": [dilation] * 2, "pads": [dilation] * 4, "strides": [2, 2]}
        nodes.append(helper.make_node("Conv", [source, f"{node}.weight"], [result], node, **window))
    nodes.insert(1, helper.make_node(operator, ["a"], ["b"], "between"))
    nodes.append(helper.make_node("GlobalAveragePool", ["c"], ["y"], "all"))
    image = helper.make_tensor_value_info(
        "image", TensorProto.FLOAT, [1, 3, height, "width" if height == "height" else 96]
    )
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 1, 1])
    between = helper.make_tensor_value_info("b", TensorProto.FLOAT, [1, 4, 32, 48])
    known = [between] if operator != "Relu" else []
    graph = helper.make_graph(nodes, "net", [image], [result], weights, value_info=known)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return save(tmp_path_factory.mktemp("models") / "model.onnx")


def test_the_table(run, model):
    short, long = run("field", model, *SIZE), run("field", model, *SIZE, "--table")
    assert short.status == long.status == 0
    fields = kf.receptive_field(str(model), (64, 96))
    assert short.out == fields.table(pointwise=False) + "\n"
    assert long.out == fields.table() + "\n"
    assert "between" in long.out
    assert "between" not in short.out
    assert "9×9" not in short.out
    assert "15×15" in short.out


def test_a_unit(run, model):
    result = run("field", model, *SIZE, "--unit", "3,0", "--layer", "second")
    assert result.out.splitlines() == [
        "unit (3, 0) of second, map 16×24",
        "rows     5 to 19 of 64",
        "columns  0 to 7 of 96  (without a border -7 to 7)",
        "elements 45, 0.732 % of the image, with holes in a box of 120",
    ]
    both = run("field", model, *SIZE, "--unit", "3,0", "--layer", "second", "--table")
    assert both.out.startswith(result.out)
    assert "15×15" in both.out


def test_without_a_layer_the_last_that_has_such_units(run, model):
    assert run("field", model, *SIZE, "--unit", "3,0").out.startswith("unit (3, 0) of second")


def test_json(run, model):
    record = json.loads(run("field", model, *SIZE, "--json", "--unit", "3,0", "--layer", "second").out)
    unit = record.pop("unit")
    fields = kf.receptive_field(str(model), (64, 96))
    assert record == fields.record()
    mask = fields["second"].mask(3, 0)
    assert unit["elements"] == mask.sum()
    (top, bottom), (left, right) = unit["clipped"]
    assert mask[top:bottom, left:right].sum() == mask.sum()
    assert unit["unclipped"] == [[5, 20], [-7, 8]]


def test_pictures(run, model, pictures, tmp_path):
    plot, network = tmp_path / "field.png", tmp_path / "net.svg"
    asked = "--unit", "3,5", "--image", pictures / "china.png", "--plot", plot, "--network", network
    result = run("field", model, *SIZE, *asked)
    assert result.status == 0
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert network.read_bytes().startswith(b"<?xml")
    assert result.err.splitlines() == [f"note: {plot}: written", f"note: {network}: written"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["field.png", "net.svg"]
    alone = run("field", model, *SIZE, "--plot", plot)
    assert (alone.status, alone.out) == (0, "")


def test_the_size_that_a_model_fixes(run, refused, model, tmp_path):
    fixed = save(tmp_path / "fixed.onnx", height=64)
    assert run("field", fixed).out == run("field", model, *SIZE).out
    assert "input_size: expected" in refused(1, "field", model)
    assert "input_size: expected" in refused(1, "field", fixed, "--input-size", "32,32")


def test_what_is_not_known(run, refused, tmp_path):
    strange = save(tmp_path / "strange.onnx", operator="NonMaxSuppression")
    line = refused(1, "field", strange, *SIZE)
    assert "NonMaxSuppression" in line
    assert "between" in line
    result = run("field", strange, *SIZE, "--unknown", "global")
    assert result.status == 0
    assert "≤ all" in result.out
    assert "at most: " in run("field", strange, *SIZE, "--unknown", "global", "--layer", "second", "--unit", "0,0").out


def test_gates(run, tmp_path):
    path = tmp_path / "gated.onnx"
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["s"], "squeeze"),
        helper.make_node("Sigmoid", ["s"], ["g"], "gate"),
        helper.make_node("Mul", ["image", "g"], ["y"], "scaled"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 8, 8]) for name in ("image", "y")]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    everything = run("field", path, "--unit", "1,1").out
    alone = run("field", path, "--unit", "1,1", "--without-gates").out
    assert "elements 64, 100 %" in everything
    assert "elements 1, 1.56 %" in alone


class Explosive:
    def __reduce__(self):
        return os.mkdir, (os.environ["KERNELFIELD_TRAP"],)


@pytest.mark.parametrize("suffix", [".onnx", ".pt", ".pkl", ".keras", ".npy"])
def test_pickles_are_never_loaded(refused, tmp_path, monkeypatch, suffix):
    trap = tmp_path / "trap"
    monkeypatch.setenv("KERNELFIELD_TRAP", str(trap))
    path = tmp_path / f"model{suffix}"
    path.write_bytes(pickle.dumps(Explosive()))
    refused(1, "field", path)
    assert not trap.exists()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x00" * 100, b"\x89PNG\r\n\x1a\n"])
def test_files_that_are_no_models(refused, tmp_path, content):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    assert "ONNX" in refused(1, "field", path)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--unit", "a,b"), "--unit: expected whole numbers"),
        (("--unit", "-1,3"), "--unit: expected whole numbers"),
        (("--input-size", "0,5"), "--input-size: expected whole numbers"),
        (("--plot", "field.gif"), "--plot: expected"),
        (("--network", "net.txt"), "--network: expected"),
        (("--image", "photo.png"), "--image: expected --plot too"),
        (("--unknown", "ignore"), "ignore"),
        (("more.onnx",), "more.onnx"),
    ],
)
def test_usage(refused, model, options, says):
    line = refused(2, "field", model, *options)
    assert says in line
    assert line.endswith("See: kernelfield field --help")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--layer", "secnod"), "second"),
        (("--layer", "second", "--unit", "16,0"), "unit: expected"),
        (("--layer", "second", "--unit", "1,1,1"), "unit: expected"),
        (("--plot", "nowhere/field.png"), "choose another place"),
        (("--plot", "field.png", "--image", "missing.png"), "missing.png"),
    ],
)
def test_refused(refused, model, tmp_path, monkeypatch, options, says):
    monkeypatch.chdir(tmp_path)
    assert says in refused(1, "field", model, *SIZE, *options)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_model(refused, tmp_path):
    assert "there is none" in refused(1, "field", tmp_path / "none.onnx")


def test_names_cannot_command_a_terminal(refused, run, tmp_path):
    assert "\x1b" not in refused(1, "field", save(tmp_path / "model.onnx", name="\x1b[31mred"), *SIZE)
    path = save(tmp_path / "model.onnx", name="[red]$x^$")
    result = run("field", path, *SIZE, "--plot", tmp_path / "a.png", "--table")
    assert result.status == 0
    assert "[red]$x^$" in result.out


def test_a_photograph_of_two_channels(refused, model, tmp_path):
    np.save(tmp_path / "odd.npy", np.zeros((9, 9, 2), np.float32))
    line = refused(1, "field", model, *SIZE, "--image", tmp_path / "odd.npy", "--plot", tmp_path / "a.png")
    assert "image: expected" in line
    assert not (tmp_path / "a.png").exists()


def test_no_framework_is_loaded(model):
    code = (
        "import sys\n"
        "from kernelfield.cli.main import main\n"
        f"assert main(['field', {str(model)!r}, '--input-size', '64,96']) == 0\n"
        "assert not {'torch', 'tensorflow', 'jax', 'keras', 'matplotlib'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_csv_and_modules(run, model):
    result = run("field", model, "--input-size", "64", "--csv")
    assert result.status == 0
    fields = kf.receptive_field(str(model), 64)
    assert fields.shape == (64, 64)
    assert result.out == fields.table(layout="csv")
    assert result.out.splitlines()[1].startswith("first,convolution,")
    by_module = run("field", model, "--input-size", "64", "--by", "module")
    assert by_module.out == fields.table(pointwise=False, by="module") + "\n"
    both = run("field", model, *SIZE, "--csv", "--json")
    assert both.status == 2
    assert "--csv: expected one of --json and --csv; received both." in both.err
