"""One boundary for failures: whatever goes wrong is one line of bounded length, and an exit status."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest

from kernelfield.errors import ArgumentError, DataError, FileError, KernelfieldWarning, MissingDependencyError

LONG = "first line\nsecond line " + "x" * 300_000

FAILURES = [
    MemoryError(),
    OSError(5, "Input/output error", "a-file"),
    OSError("no number"),
    PermissionError(13, "Permission denied", "folder"),
    zlib.error(LONG),
    struct.error("unpack requires a buffer of 4 bytes"),
    ValueError(LONG),
    KeyError("key"),
    RecursionError(LONG),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    AssertionError(),
    ArgumentError(LONG),
    DataError(LONG),
    FileError(LONG),
    MissingDependencyError(LONG),
]


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["kernelfield.images.read", "kernelfield.learn", "kernelfield.kernels.design"])
def test_errors_of_libraries(refused, pictures, monkeypatch, where, error):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(where, fail)
    command = ["design", "box"] if "design" in where else ["learn", pictures / "grey.png", pictures / "grey.png"]
    line = refused(1, *command)
    assert len(line) <= 700
    if isinstance(error, OSError) and error.filename:
        assert error.filename in line
        assert error.strerror in line


def test_the_traceback_is_shown_on_demand(run, monkeypatch):
    monkeypatch.setenv("KERNELFIELD_TRACEBACK", "1")
    err = run("design", "gaussian", "--sigma", "0").err
    assert err.startswith("Traceback")
    assert err.splitlines()[-1].startswith("kernelfield: error: sigma")


def test_warnings_are_notes(run, pictures, monkeypatch):
    import kernelfield as kf

    learn = kf.learn

    def warn(*arguments, **options):
        warnings.warn(LONG, KernelfieldWarning, stacklevel=2)
        return learn(*arguments, **options)

    monkeypatch.setattr("kernelfield.learn", warn)
    result = run("learn", pictures / "grey.png", pictures / "grey-sharpen.png", "--size", "3", "--json")
    assert result.status == 0
    assert json.loads(result.out)["name"] == "sharpen"
    assert result.err.count("\n") == 1
    assert result.err.startswith("note: first line")
    assert len(result.err) < 700


@pytest.mark.parametrize(
    "arguments",
    [
        ["learn", "{long}", "b.png"],
        ["learn", "a.png", "b.png", "--size", "{long}"],
        ["learn", "a.png", "b.png", "--clip", "{long}"],
        ["learn", "a.png", "b.png", "--channel-axis", "{long}"],
        ["learn", "a.png", "b.png", "--max-size", "{long}"],
        ["learn", "a.png", "b.png", "--{long}"],
        ["learn", "a.png", "b.png", "{long}"],
        ["apply", "{long}", "a.png", "b.png"],
        ["apply", "box", "{long}", "b.png"],
        ["apply", "box", "*{long}", "out/"],
        ["apply", "box", "a.png", "{long}/"],
        ["apply", "gaussian:sigma={long}", "a.png", "b.png"],
        ["design", "{long}"],
        ["design", "gaussian", "--{long}", "1"],
        ["design", "gaussian", "--sigma", "{long}"],
        ["field", "{long}"],
        ["code", "{long}"],
        ["bench", "--work", "{long}"],
        ["{long}"],
    ],
)
def test_long_words(run, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    for long in ("9" * 100_000, "é\n" * 3000):
        result = run(*(word.replace("{long}", long) for word in arguments))
        assert result.status in (1, 2)
        assert result.out == ""
        assert result.err.count("\n") == 1
        assert len(result.err) < 2000
    assert os.listdir() == []


def test_a_filter_file_with_a_long_value(refused, run, pictures, tmp_path):
    record = json.loads(run("design", "box", "--json").out) | {"boundary": "x" * 270_000}
    (tmp_path / "f.json").write_text(json.dumps(record))
    line = refused(1, "apply", tmp_path / "f.json", pictures / "coins.png", tmp_path / "out.png")
    assert "boundary: expected one of" in line
    assert len(line) < 700


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": 1, "channels": {}}, "0 channels"),
        ({"channels": {"R": 1}}, "format"),
        ({"format": 2, "channels": {"R": 1}}, "received format 2"),
        ({"format": True, "channels": {"R": 1}}, "received format true"),
        ({"format": 1, "channels": {"R": 1}}, "channel 'R'"),
        ({"format": 1, "channels": {"R": {"format": 7}}}, "channel 'R'"),
        ({"format": 1, "channels": {"R": {}}, "more": 1}, "more"),
    ],
)
def test_filters_of_each_channel(refused, pictures, tmp_path, change, says):
    (tmp_path / "f.json").write_text(json.dumps(change))
    assert says in refused(1, "apply", tmp_path / "f.json", pictures / "coins.png", tmp_path / "out.png")


def test_pixels_and_weights_at_the_ends_of_float64(run, tmp_path):
    np.save(tmp_path / "a.npy", np.full((9, 9), 1e308))
    (tmp_path / "k.txt").write_text("1e308 1e308\n")
    result = run("apply", tmp_path / "k.txt", tmp_path / "a.npy", tmp_path / "b.npy")
    assert "Traceback" not in result.err
    assert all(line.startswith(("note: ", "kernelfield: error: ")) for line in result.err.splitlines())


@pytest.mark.skipif(sys.platform == "win32", reason="a folder that is in use cannot be removed")
def test_a_working_folder_that_is_gone(tmp_path):
    command = f'mkdir "$1" && cd "$1" && rmdir "$1" && exec "{sys.executable}" -m kernelfield learn a.png b.png'
    done = subprocess.run(
        ["sh", "-c", command, "sh", str(tmp_path / "gone")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root can become another user")
def test_a_folder_that_cannot_be_read(run, refused, pictures, tmp_path):
    closed, picture = tmp_path / "closed", pictures / "grey.png"
    closed.mkdir(mode=0o700)
    # Modules that the commands need are imported by root: another user may not read them.
    run("learn", picture, picture, "--size", "1", "--save", tmp_path / "f.json")
    run("apply", "box", picture, tmp_path / "a.png")
    for words in (
        ["learn", closed / "a.png", closed / "b.png"],
        ["apply", closed / "f.json", picture, tmp_path / "b.png"],
        ["apply", "box", closed / "*.png", "out/"],
        ["apply", "box", picture, closed / "b.png"],
        ["design", "box", "--save", closed / "f.json"],
    ):
        os.seteuid(65534)
        try:
            refused(1, *words)
        finally:
            os.seteuid(0)
    assert list(closed.iterdir()) == []
