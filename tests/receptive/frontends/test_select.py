"""A model enters the frontend of its own framework, and no other."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from receptive.onnx_models import Net

import kernelfield as kf
from kernelfield.errors import ArgumentError
from kernelfield.receptive.frontends import select
from kernelfield.receptive.frontends.select import framework_of

FRONTENDS = Path(select.__file__).parent


@pytest.fixture
def model(tmp_path):
    """Return the path of a network of two layers."""
    net = Net()
    path = tmp_path / "small.onnx"
    x = net.conv("image", 2, 4, (3, 3), name="first")
    path.write_bytes(net.model(net.conv(x, 4, 4, (3, 3), name="second")).SerializeToString())
    return path


def test_an_onnx_file_loads_the_frontend_of_onnx_alone(model):
    code = (
        "import json, sys, kernelfield as kf\n"
        f"assert kf.receptive_field({str(model)!r}, (9, 9)).output.size == (5, 5)\n"
        "print(json.dumps(sorted(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout)
    prefix = "kernelfield.receptive.frontends."
    frontends = {name.removeprefix(prefix).split(".")[0] for name in loaded if name.startswith(prefix)}
    assert frontends == {"select", "image_size", "onnx"}
    assert not {"torch", "keras", "tensorflow", "jax", "mxnet"} & set(loaded)


def test_an_onnx_file_runs_no_other_frontend_that_is_loaded(model):
    entered = set()

    def profile(frame, event, argument):
        file = Path(frame.f_code.co_filename)
        if event == "call" and file.is_relative_to(FRONTENDS):
            entered.add(file.relative_to(FRONTENDS).parts[0])

    sys.setprofile(profile)
    try:
        kf.receptive_field(model, (9, 9))
    finally:
        sys.setprofile(None)
    assert entered == {"select.py", "image_size.py", "onnx"}


@pytest.mark.parametrize("model", [None, 3, object(), [], {}])
def test_other_objects_are_refused(model):
    with pytest.raises(ArgumentError, match="model: expected a module or function of PyTorch"):
        framework_of(model)


def test_an_error_of_the_model_itself_is_told_in_one_line():
    pytest.importorskip("jax")

    def network(x):
        raise IndexError("out of\nrange")

    with pytest.raises(ArgumentError, match=r"its framework \(jax\) traces .*IndexError \(out of range\)"):
        kf.receptive_field(network, (4, 4))
