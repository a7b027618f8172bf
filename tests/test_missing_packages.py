"""Functions that need an optional package name the command that installs it."""

import sys
from pathlib import Path

import numpy as np
import pytest

import kernelfield as kf
from kernelfield.cli.files import check_figure
from kernelfield.errors import MissingDependencyError

IMAGE = np.random.default_rng(0).random((24, 24))
CALLS = {
    "Kernel.plot": ("matplotlib", "plot", lambda: kf.kernels.sobel().plot()),
    "Fit.plot": ("matplotlib", "plot", lambda: kf.learn(IMAGE, IMAGE, size=3).plot()),
    "Code.plot": ("matplotlib", "plot", lambda: kf.coding.code(IMAGE).plot()),
    "ReceptiveField.draw": ("matplotlib", "plot", lambda: fields().draw()),
    "ReceptiveField.draw_network": ("matplotlib", "plot", lambda: fields().draw_network()),
    "--plot": ("matplotlib", "plot", lambda: check_figure(Path("figure.png"))),
    "learn_dictionary": ("sklearn", "learn", lambda: kf.coding.learn_dictionary(IMAGE, size=3, components=4)),
    "receptive_field": ("onnx", "onnx", lambda: kf.receptive_field("model.onnx", (8, 8))),
    "learn": ("mxnet", "mxnet", lambda: kf.descend(IMAGE, IMAGE, size=3, framework="mxnet")),
}


def fields():
    return kf.receptive_field(kf.receptive.plan(9, 16).graph())


@pytest.mark.parametrize("name", CALLS)
def test_the_command_is_named(name, monkeypatch, tmp_path):
    package, extra, call = CALLS[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    remedy = rf"^[^\n]+ not installed; [^\n]*pip install '?kernelfield\[{extra}\]'?$"
    with pytest.raises(MissingDependencyError, match=remedy):
        call()
    assert list(tmp_path.iterdir()) == []
