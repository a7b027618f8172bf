"""Functions that need an optional package name the command that installs it."""

import sys

import numpy as np
import pytest

import kernelfield as kf
from kernelfield.errors import MissingDependencyError

IMAGE = np.random.default_rng(0).random((24, 24))
CALLS = {
    "learn_dictionary": ("sklearn", "learn", lambda: kf.coding.learn_dictionary(IMAGE, size=3, components=4)),
    "receptive_field": ("onnx", "onnx", lambda: kf.receptive_field("model.onnx", (8, 8))),
    "learn": ("mxnet", "mxnet", lambda: kf.descend(IMAGE, IMAGE, size=3, framework="mxnet")),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_command_is_named(name, monkeypatch, tmp_path):
    package, extra, call = CALLS[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    remedy = rf"^[^\n]+ not installed; [^\n]*pip install '?kernelfield\[{extra}\]'?$"
    with pytest.raises(MissingDependencyError, match=remedy):
        call()
    assert list(tmp_path.iterdir()) == []
