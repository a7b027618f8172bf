"""Outputs that are no plain files, under every option that writes: nothing is replaced that is not a plain file."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading

import numpy as np
import pytest
import tifffile
from scipy import ndimage

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="special files of POSIX")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A folder with a picture, a filtered one, and a network."""
    onnx = pytest.importorskip("onnx")
    folder = tmp_path_factory.mktemp("small")
    before = np.random.default_rng(0).integers(0, 200, (40, 50)).astype(np.uint8)
    tifffile.imwrite(folder / "before.tif", before)
    tifffile.imwrite(folder / "after.tif", before[::-1])
    helper = onnx.helper
    values = [helper.make_tensor_value_info(name, 1, [1, 1, 9, 9]) for name in "xy"]
    node = helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    model = helper.make_model(helper.make_graph([node], "g", values[:1], values[1:]))
    onnx.save(model, folder / "net.onnx")
    return folder


#: Every option that writes: the words before the target, its ending, and what the file begins with.
WRITERS = {
    "apply": (["apply", "box", "before.tif"], ".tif", b"II"),
    "learn --save": (["learn", "before.tif", "after.tif", "--size", "1", "--save"], ".json", b"{"),
    "learn --plot": (["learn", "before.tif", "after.tif", "--size", "1", "--plot"], ".png", b"\x89PNG"),
    "design --save": (["design", "box", "--save"], ".json", b"{"),
    "design --plot": (["design", "box", "--plot"], ".png", b"\x89PNG"),
    "code --plot": (["code", "before.tif", "--iterations", "1", "--plot"], ".png", b"\x89PNG"),
    "code --reconstruction": (["code", "before.tif", "--iterations", "1", "--reconstruction"], ".png", b"\x89PNG"),
    "field --plot": (["field", "net.onnx", "--plot"], ".png", b"\x89PNG"),
    "field --network": (["field", "net.onnx", "--network"], ".png", b"\x89PNG"),
    "bench --save": (["bench", "--sizes", "16", "--kernels", "3", "--work", "dense", "--save"], ".json", b"{"),
    "bench --plot": (["bench", "--sizes", "16", "--kernels", "3", "--work", "dense", "--plot"], ".png", b"\x89PNG"),
}


@pytest.fixture(params=WRITERS)
def writer(request, run, refused, small, tmp_path, monkeypatch, few_libraries):
    """Run a command that writes to a target; return its status, and what the file has to begin with."""
    words, ending, start = WRITERS[request.param]
    monkeypatch.chdir(small)

    class Writer:
        suffix, begins = ending, start

        def __call__(self, target, status=0):
            result = run(*words, target)
            assert result.status == status, result.err
            return result

        def refused(self, target):
            return refused(1, *words, target)

    return Writer()


def test_special_files(writer, tmp_path):
    """All in one test: each command takes its time."""
    target, link, dangling = (tmp_path / f"{name}{writer.suffix}" for name in ("target", "link", "dangling"))
    hard, fifo, device = (tmp_path / f"{name}{writer.suffix}" for name in ("hard", "fifo", "device"))

    # The mode of the file that a link names is kept, and so is the link; a hard link keeps what it had.
    target.write_bytes(b"old")
    target.chmod(0o600)
    os.link(target, hard)
    link.symlink_to(target.name)
    writer(link)
    assert link.is_symlink()
    assert target.read_bytes().startswith(writer.begins)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600

    dangling.symlink_to(tmp_path / "new")
    writer(dangling)
    assert dangling.is_symlink()
    assert (tmp_path / "new").read_bytes().startswith(writer.begins)

    os.mkfifo(fifo)
    received = []
    reader = threading.Thread(target=lambda: received.append(fifo.read_bytes()))
    reader.start()
    writer(fifo)
    reader.join(60)
    assert received[0].startswith(writer.begins)
    assert stat.S_ISFIFO(fifo.stat().st_mode)

    device.symlink_to("/dev/null")
    writer(device)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert device.is_symlink()

    names = {"target", "link", "dangling", "hard", "fifo", "device"}
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}{writer.suffix}" for name in names} | {"new"}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_device_without_room(writer, tmp_path):
    full = tmp_path / f"full{writer.suffix}"
    full.symlink_to("/dev/full")
    line = writer(full, status=1).err.splitlines()[-1]
    assert line.startswith("kernelfield: error: ")
    assert "No space left" in line
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


def test_places_that_cannot_be_written(writer, tmp_path, monkeypatch):
    folder = tmp_path / f"folder{writer.suffix}"
    folder.mkdir()
    assert "is a folder" in writer.refused(folder)
    assert "lies in no folder" in writer.refused(tmp_path / "nowhere" / f"a{writer.suffix}")
    (tmp_path / "file").write_bytes(b"")
    writer.refused(tmp_path / "file" / f"a{writer.suffix}")
    loop = tmp_path / f"loop{writer.suffix}"
    loop.symlink_to(loop)
    writer.refused(loop)
    writer.refused(tmp_path / f"{'n' * 300}{writer.suffix}")
    # Root, as which tests may run, can write anywhere.
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert "permission" in writer.refused(tmp_path / f"a{writer.suffix}")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["file", folder.name, loop.name])


def test_devices_without_ending(run, pictures):
    assert run("design", "box", "--plot", "/dev/null").status == 0
    assert run("apply", "box", pictures / "coins.png", "/dev/null").status == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="no /dev/stdout")
def test_stdout_by_its_name(pictures):
    command = [sys.executable, "-m", "kernelfield", "apply", "box", str(pictures / "coins.png"), "/dev/stdout"]
    done = subprocess.run(command, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"\x89PNG")


def test_pictures_from_a_fifo(run, pictures, tmp_path):
    fifo = tmp_path / "in.png"
    os.mkfifo(fifo)
    sender = threading.Thread(target=lambda: fifo.write_bytes((pictures / "coins.png").read_bytes()))
    sender.start()
    result = run("apply", "box", fifo, tmp_path / "out.png")
    sender.join(60)
    assert (result.status, result.err) == (0, "")


def test_an_axis_of_channels_from_a_fifo_and_of_a_png(run, refused, pictures, tmp_path):
    array = np.random.default_rng(0).random((3, 20, 30))
    np.save(tmp_path / "in.npy", array)
    fifo = tmp_path / "pipe.npy"
    os.mkfifo(fifo)
    sender = threading.Thread(target=lambda: fifo.write_bytes((tmp_path / "in.npy").read_bytes()))
    sender.start()
    assert run("apply", "box", fifo, tmp_path / "out.npy", "--channel-axis", "0").status == 0
    sender.join(60)
    expected = ndimage.uniform_filter(array, (1, 3, 3), mode="reflect")
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, atol=1e-12)
    line = refused(1, "apply", "box", pictures / "coins.png", tmp_path / "out.png", "--channel-axis", "0")
    assert "--channel-axis" in line
    assert "leave it out" in line
