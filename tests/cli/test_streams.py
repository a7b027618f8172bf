"""A lone - is stdin or stdout."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage


def process(*arguments: object, data: bytes = b"") -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "kernelfield", *map(str, arguments)]
    return subprocess.run(command, input=data, capture_output=True, timeout=120)


@pytest.mark.parametrize(
    ("options", "form"), [([], "PNG"), (["--format", "tif"], "TIFF"), (["--format", "webp"], "WEBP")]
)
def test_apply_between_pipes(pictures, pixels, options, form):
    source = pictures / "coins.png"
    done = process("apply", "gaussian:sigma=2", "-", "-", *options, data=source.read_bytes())
    assert (done.returncode, done.stderr) == (0, b"")
    written = Image.open(io.BytesIO(done.stdout))
    assert written.format == form
    expected = ndimage.gaussian_filter(pixels(source).astype(float), 2)
    assert np.abs(np.asarray(written.convert("L")) - expected).max() < 0.501


def test_notes_do_not_mix_with_the_picture(pictures):
    done = process("apply", "sobel", pictures / "coins.png", "-", "--format", "png")
    assert Image.open(io.BytesIO(done.stdout)).size == (384, 303)
    assert done.stderr.startswith(b"note: stdout: ")


def test_a_filter_from_stdin(pictures, pixels, tmp_path):
    design = process("design", "sobel", "--json")
    done = process("apply", "-", pictures / "coins.png", tmp_path / "out.tif", "--dtype", "float32", data=design.stdout)
    assert (done.returncode, done.stderr) == (0, b"")
    expected = ndimage.sobel(pixels(pictures / "coins.png").astype(float), 1)
    np.testing.assert_allclose(np.asarray(Image.open(tmp_path / "out.tif")), expected, atol=1e-3)


@pytest.mark.parametrize("first", [True, False])
def test_learn_from_stdin(pictures, first):
    before, after = pictures / "grey.png", pictures / "grey-sharpen.png"
    names = ("-", after) if first else (before, "-")
    done = process("learn", *names, "--size", "3", "--json", data=(before if first else after).read_bytes())
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["name"] == "sharpen"


def test_arrays_and_masks_from_stdin(tmp_path):
    stack = np.random.default_rng(1).random((5, 30, 40))
    blurred = ndimage.uniform_filter(stack, (0, 3, 3))
    np.save(tmp_path / "after.npy", blurred)
    file = io.BytesIO()
    np.save(file, stack)
    arguments = "learn", "-", tmp_path / "after.npy", "--channel-axis", "none", "--json"
    assert json.loads(process(*arguments, data=file.getvalue()).stdout)["name"] == "box"


def test_the_reader_of_the_picture_goes_away(pictures):
    command = [
        sys.executable,
        "-m",
        "kernelfield",
        "apply",
        "sobel",
        str(pictures / "coins.png"),
        "-",
        "--format",
        "npy",
    ]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    running.stdout.close()
    message = running.stderr.read()
    running.stderr.close()
    assert running.wait(60) == 141
    assert b"error" not in message


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_no_room_for_the_picture(pictures):
    command = [sys.executable, "-m", "kernelfield", "apply", "box", str(pictures / "coins.png"), "-"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert b"No space left" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("learn", "-", "-"), "expected one file from stdin"),
        (("learn", "-", "a.png", "--mask", "-"), "expected one file from stdin"),
        (("apply", "-", "-", "out.png"), "expected one file from stdin"),
        (("apply", "box", "a.png", "-", "--json"), "--json"),
        (("learn", "a.png", "b.png", "--save", "-"), "--save: expected the name of a file"),
        (("learn", "a.png", "b.png", "--plot", "-"), "--plot: expected"),
        (("design", "box", "--save", "-"), "--save: expected the name of a file"),
    ],
)
def test_what_is_refused(refused, arguments, says):
    assert says in refused(2, *arguments)


def test_a_terminal_is_no_picture(refused, pictures, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stdin", Terminal())
    assert "received a terminal" in refused(2, "learn", "-", pictures / "grey.png")
