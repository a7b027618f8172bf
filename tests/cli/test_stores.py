"""apply and verify of stores on the command line, and commands that read what may be hostile."""

import json
import subprocess
import sys

import numpy as np
import pytest
from cases import image

import kernelfield as kf
from kernelfield.cli import confined, stores
from kernelfield.cli.main import main
from kernelfield.images import write

zarr = pytest.importorskip("zarr")
# JAX, which other tests of the process load, warns of every process that is started under limits.
pytestmark = pytest.mark.filterwarnings("ignore:os.fork")

PIXELS = image("uint8", (300, 400))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    zarr.create_array("in.zarr", data=PIXELS, chunks=(100, 100))
    return tmp_path


def test_a_store_is_filtered_and_verified(capsys):
    assert main(["apply", "gaussian:sigma=2", "in.zarr", "out.zarr", "--then", "sobel"]) == 0
    line = capsys.readouterr().out
    assert line.startswith("out.zarr: 300×400 uint8, 1 tiles, hash ")
    first = kf.learning.filtering.apply(kf.cli.filters.filters_of("gaussian:sigma=2"), PIXELS).pixels
    expected = kf.learning.filtering.apply(kf.cli.filters.filters_of("sobel"), first).pixels
    np.testing.assert_array_equal(zarr.open_array("out.zarr")[...], expected)
    assert main(["verify", "out.zarr"]) == 0
    assert capsys.readouterr().out.startswith("out.zarr: complete; 1 tiles as they were written, hash ")
    assert main(["verify", "out.zarr", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tiles"] == 1
    zarr.open_array("out.zarr", mode="r+")[5, 5] ^= 1
    assert main(["verify", "out.zarr"]) == 1
    assert "1 of 1 tiles have other pixels than were written" in capsys.readouterr().err


def test_large_files_go_tile_by_tile(monkeypatch, capsys):
    monkeypatch.setattr(stores, "_LARGE", 1000)
    np.save("in.npy", PIXELS)
    write("in.tif", PIXELS)
    for name in ("in.npy", "in.tif"):
        for target in ("out.npy", "out.tif"):
            assert main(["apply", "identity", name, target, "--json"]) == 0
            assert json.loads(capsys.readouterr().out)["tiles"] == 1
            np.testing.assert_array_equal(kf.images.read(target).pixels, PIXELS)
    write("in.png", PIXELS)
    assert not stores.is_for_tiles("in.png", "out.tif")
    assert not stores.is_for_tiles("in.npy", "out.png")


@pytest.mark.parametrize(
    ("words", "status", "problem"),
    [
        (["apply", "identity", "in.zarr", "out.zarr", "--format", "png"], 2, "--format: expected none with a store"),
        (["apply", "identity", "in.zarr", "out.zarr", "--level", "3"], 1, "which is no OME-Zarr image"),
        (["apply", "identity", "in.zarr", "in.zarr"], 1, "expected another place than the source"),
        (["apply", "identity", "none.zarr", "out.zarr"], 1, "no Zarr array there"),
        (["apply", "identity", "in.zarr", "out.png"], 1, "expected a name that ends in"),
        (["apply", "identity", "in.png", "out.png", "--resume"], 2, "--resume: expected a Zarr store"),
        (["verify", "none.zarr"], 1, "no such store"),
        (["verify", "in.zarr"], 1, "kernelfield did not write it"),
        (["verify", "in.png"], 1, "expected a Zarr store"),
    ],
)
def test_what_cannot_be_done_is_one_line(words, status, problem, capsys):
    write("in.png", PIXELS)
    assert main(words) == status
    messages = capsys.readouterr().err
    assert problem in messages
    assert messages.count("\n") == 1


def test_untrusted_files_are_read_in_another_process(capfd):
    write("in.png", PIXELS)
    assert main(["apply", "identity", "in.png", "out.png", "--untrusted", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["written"] == "out.png"
    assert main(["apply", "identity", "in.zarr", "out.zarr", "--untrusted"]) == 0
    assert main(["apply", "identity", "none.png", "out.png", "--untrusted"]) == 1
    assert capfd.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("program", "limits", "problem"),
    [
        ("import time; time.sleep(60)", {"seconds": 1}, "took longer than 1 seconds"),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
            {},
            r"ended the process that read them \(SIGSEGV\)",
        ),
        ("bytearray(3 << 30)", {"memory": 2 << 30}, None),
    ],
)
def test_a_decoder_that_misbehaves_ends_with_its_process(program, limits, problem, monkeypatch, capfd, tmp_path):
    started = subprocess.Popen
    monkeypatch.setattr(
        confined.subprocess, "Popen", lambda words, **how: started([sys.executable, "-c", program], **how)
    )
    assert confined.run_confined(["apply"], **limits) == 1
    if problem is not None:
        assert capfd.readouterr().err.count("\n") == 1
