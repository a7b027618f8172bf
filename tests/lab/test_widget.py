"""`kf.Lab` without a notebook: what it gives to the page, and what it answers."""

from __future__ import annotations

import io
import random
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import kernelfield as kf
from kernelfield.errors import ArgumentError, DataError, FileError, MissingDependencyError
from kernelfield.lab.widget import LabWidget, module

EXAMPLES = Path(__file__).parents[2] / "examples"
PAIR = [EXAMPLES / "before.png", EXAMPLES / "after.png"]


@pytest.fixture
def told(monkeypatch) -> list:
    """What widgets send to their pages."""
    sent: list = []
    monkeypatch.setattr(LabWidget, "send", lambda self, content, buffers=None: sent.append((content, buffers)))
    return sent


def ask(widget: LabWidget, op: str, args: dict, *images: np.ndarray) -> None:
    """Ask as a page does whose messages come in another order: marimo's are requests of their own."""
    headers = [{"width": i.shape[1], "height": i.shape[0], "channels": 1, "dtype": "u1"} for i in images]
    message = {"id": 7, "op": op, "args": args, "images": headers}
    pieces = [
        ({**message, "piece": [index, start]}, [memoryview(image.tobytes())[start : start + 1000]])
        for index, image in enumerate(images)
        for start in range(0, image.size, 1000)
    ]
    for content, buffers in random.Random(0).sample(pieces, len(pieces)):
        widget._receive(widget, content, buffers)


def test_a_pair_is_learned_in_this_process(told):
    lab = kf.Lab(*PAIR)
    before, after = (np.asarray(Image.open(path)) for path in PAIR)
    ask(lab, "learn", {}, before, after)
    *stages, (message, _) = told
    shares = [stage["progress"] for stage, _ in stages]
    assert shares == sorted(shares)
    assert 0 <= shares[0] < shares[-1] < 1
    assert {stage["id"] for stage, _ in stages} == {message["id"]} == {7}
    assert lab.fit is None
    lab._record = message["result"]
    fit = kf.learn(before, after)
    assert np.array_equal(lab.fit.kernel.weights, fit.kernel.weights)
    assert lab.fit.verdict == fit.verdict


def test_images_come_back(told):
    image = np.arange(70, dtype=np.uint8).reshape(7, 10)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    request = {"id": 7, "op": "open", "args": {"name": "a.png"}, "images": [{"bytes": len(file.getvalue())}]}
    lab = kf.Lab()
    lab._receive(lab, {**request, "piece": [0, 0]}, [file.getvalue()])
    [(message, [data])] = told
    assert message["images"] == [{"width": 10, "height": 7, "channels": 1, "depth": 8, "dtype": "u1"}]
    assert np.array_equal(np.frombuffer(data, np.uint8).reshape(7, 10), image)


def test_the_kernel_goes_both_ways():
    lab = kf.Lab(kernel=kf.kernels.sobel())
    assert lab.kernel == kf.kernels.sobel()
    lab.kernel = [[1, -1]]
    assert lab._kernel == {"weights": [[1.0, -1.0]], "anchor": [0, 1]}
    lab._kernel = {"weights": [[3]], "anchor": [0, 0]}
    assert lab.kernel == kf.Kernel([[3]])
    assert kf.Lab().kernel is None


@pytest.mark.parametrize("message", [None, {}, {"id": "7", "op": "learn"}, {"id": 7, "op": 3}])
def test_messages_without_meaning_are_left_alone(told, message):
    kf.Lab()._receive(None, message, [b"bytes"])
    assert told == []


def test_what_cannot_be_done_is_one_line(told):
    lab = kf.Lab()
    lab._receive(lab, {"id": 1, "op": "learn", "images": [{"width": 10**9}]}, [])
    lab._receive(lab, {"id": 2, "op": "open", "images": [{"bytes": 3}], "piece": [0, 0]}, [b"four"])
    lab._receive(lab, {"id": 3, "op": "fly"}, [])
    lab._receive(lab, {"id": 4, "op": "code", "args": []}, [])
    for number, place in enumerate(([0, -1], [1, 0], ["0", 0], None, [0]), 5):
        lab._receive(lab, {"id": number, "op": "open", "images": [{"bytes": 9}], "piece": place}, [b"x"])
    assert [message["id"] for message, _ in told] == list(range(1, 10))
    assert all("\n" not in message["error"] for message, _ in told)
    assert "defect" not in str(told)


def test_a_request_that_is_cancelled_is_forgotten(told):
    lab = kf.Lab()
    piece = {"id": 1, "op": "open", "images": [{"bytes": 2}]}
    lab._receive(lab, {**piece, "piece": [0, 0]}, [b"a"])
    lab._receive(lab, {"id": 1, "op": "cancel"}, [])
    lab._receive(lab, {**piece, "piece": [0, 1]}, [b"b"])
    assert (told, lab._coming) == ([], {})


def test_wrong_arguments_are_one_line(tmp_path):
    with pytest.raises(ArgumentError, match="before: expected an image beside the after"):
        kf.Lab(after=np.ones((3, 3)))
    with pytest.raises(ArgumentError, match=r"before: expected numbers of shape \(H, W\)"):
        kf.Lab(np.ones(3))
    with pytest.raises(FileError, match="no such file"):
        kf.Lab(tmp_path / "missing.png")
    with pytest.raises(ArgumentError, match="weights"):
        kf.Lab(kernel=[1, 2, 3])
    lab = kf.Lab()
    lab._record = {"verdict": "exact"}
    with pytest.raises(DataError, match="fit: expected a filter"):
        _ = lab.fit


def test_the_module_holds_all_files_and_imports_nothing_else():
    text = module()
    for name in ("lab.js", "remote.js", "widget.js", "worker.js", "kernels.json.gz"):
        assert f'"{name}"' in text
    assert "start.js" not in re.findall(r'"([\w-]+\.js)":', text)
    assert not re.findall(r"https?://(?!www\.w3\.org)[\w.]+", text), "an address on the network"
    assert len(text) < 1 << 20


@pytest.mark.parametrize("package", ["anywidget", "traitlets"])
def test_a_missing_package_is_named(monkeypatch, package):
    for name in [name for name in sys.modules if name.startswith("kernelfield.lab.widget")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("kernelfield.lab.widget", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=r"not installed; [^\n]*pip install 'kernelfield\[lab\]'$"):
        kf.Lab()
