"""Nothing half done looks done: interrupted jobs are refused by readers, and resumed to the same bytes."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from cases import image

import kernelfield as kf
from kernelfield.cli.main import main
from kernelfield.errors import DataError, FileError
from kernelfield.scale import manifest
from kernelfield.scale.job import Job
from kernelfield.scale.target import Target

zarr = pytest.importorskip("zarr")

KERNEL = np.random.default_rng(5).normal(size=(5, 4))
PIXELS = image("float32", (150, 170))
HOW = {"tile": (40, 60)}


class Stopped(Exception):
    pass


def interrupted(target, monkeypatch, after=5, **how):
    """Begin to filter, and stop after some tiles."""
    write, count = Target.write, itertools.count()

    def some(*arguments):
        if next(count) >= after:
            raise Stopped
        write(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Target, "write", some)
        with pytest.raises(Stopped):
            kf.scale.apply(PIXELS, KERNEL, target, **{**HOW, **how})


@pytest.fixture
def undisturbed(tmp_path):
    return kf.scale.apply(PIXELS, KERNEL, tmp_path / "undisturbed.zarr", **HOW).hash


@pytest.mark.parametrize("name", ["out.zarr", "out.npy", "out.tif"])
def test_what_was_interrupted_is_resumed_to_the_same_bytes(name, undisturbed, tmp_path, monkeypatch):
    target = tmp_path / name
    interrupted(target, monkeypatch)
    assert not target.exists()
    with pytest.raises(FileError, match="not complete"):
        kf.scale.open_source(f"{target}.part")
    with pytest.raises(FileError, match="not complete"):
        kf.scale.verify(f"{target}.part")
    done = kf.scale.apply(PIXELS, KERNEL, target, resume=True, **HOW)
    assert done.hash == undisturbed
    assert 0 < done.resumed < done.tiles
    assert target.exists()
    assert not (tmp_path / f"{name}.part").exists()


def test_in_a_store_in_memory(undisturbed, monkeypatch):
    target = zarr.storage.MemoryStore()
    interrupted(target, monkeypatch)
    with pytest.raises(FileError, match="not complete"):
        kf.scale.open_source(target)
    assert kf.scale.apply(PIXELS, KERNEL, target, resume=True, **HOW).hash == undisturbed
    assert kf.scale.verify(target).hash == undisturbed
    # Nothing is left to do.
    again = kf.scale.apply(PIXELS, KERNEL, target, resume=True, **HOW)
    assert (again.resumed, again.hash) == (again.tiles, undisturbed)


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"kernel": KERNEL + 1}, "filters"), ({"boundary": "wrap"}, "filters"), ({"tile": (64, 64)}, "result")],
)
def test_other_parameters_are_not_resumed(changed, named, tmp_path, monkeypatch):
    interrupted(tmp_path / "out.zarr", monkeypatch)
    how = {"kernel": KERNEL, **HOW, **changed}
    with pytest.raises(FileError, match=f"of another job[^\n]*other {named}"):
        kf.scale.apply(PIXELS, target=tmp_path / "out.zarr", resume=True, **how)
    with pytest.raises(FileError, match="an unfinished result is there"):
        kf.scale.apply(PIXELS, target=tmp_path / "out.zarr", **how)
    kf.scale.apply(PIXELS, target=tmp_path / "out.zarr", overwrite=True, **how)
    kf.scale.verify(tmp_path / "out.zarr")


def test_a_source_that_changed_is_not_resumed(tmp_path, monkeypatch):
    np.save(tmp_path / "in.npy", PIXELS)
    run = Job.run
    with monkeypatch.context() as patch:
        patch.setattr(Job, "run", lambda self, index: run(self, index) if index < 3 else 1 / 0)
        with pytest.raises(ZeroDivisionError):
            kf.scale.apply(tmp_path / "in.npy", KERNEL, tmp_path / "out.zarr", **HOW)
    np.save(tmp_path / "in.npy", PIXELS + 1)
    with pytest.raises(FileError, match="other source"):
        kf.scale.apply(tmp_path / "in.npy", KERNEL, tmp_path / "out.zarr", resume=True, **HOW)


def test_the_old_result_stands_until_the_new_one_is_complete(undisturbed, tmp_path, monkeypatch):
    target = tmp_path / "out.zarr"
    kf.scale.apply(PIXELS + 1, KERNEL, target, **HOW)
    old = kf.scale.verify(target).hash
    interrupted(target, monkeypatch, overwrite=True)
    assert kf.scale.verify(target).hash == old
    kf.scale.apply(PIXELS, KERNEL, target, overwrite=True, **HOW)
    assert kf.scale.verify(target).hash == undisturbed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.zarr", "undisturbed.zarr"]


def test_a_record_cut_off_by_a_crash_counts_for_nothing(undisturbed, tmp_path, monkeypatch):
    interrupted(tmp_path / "out.zarr", monkeypatch)
    records = sorted((tmp_path / "out.zarr.part/.kernelfield/tiles").iterdir())
    records[0].write_bytes(b"")
    records[1].write_bytes(b'{"parameters":')
    assert kf.scale.apply(PIXELS, KERNEL, tmp_path / "out.zarr", resume=True, **HOW).hash == undisturbed
    kf.scale.verify(tmp_path / "out.zarr")


def test_verify_finds_pixels_that_changed(tmp_path):
    kf.scale.apply(PIXELS, KERNEL, tmp_path / "out.zarr", **HOW)
    array = zarr.open_array(tmp_path / "out.zarr", mode="r+")
    array[45, 70] = 3.0
    with pytest.raises(DataError, match=r"1 of 12 tiles have other pixels than were written: 1\.1;"):
        kf.scale.verify(tmp_path / "out.zarr")


def test_verify_finds_a_tile_or_a_record_that_is_lost(tmp_path):
    kf.scale.apply(np.zeros((150, 170)), KERNEL, tmp_path / "out.zarr", **HOW)
    record = tmp_path / "out.zarr/.kernelfield/tiles/0.1.json"
    kept = record.read_text()
    record.unlink()
    with pytest.raises(FileError, match=r"the record of tile 0\.1 is lost"):
        kf.scale.verify(tmp_path / "out.zarr")
    record.write_text(json.dumps({**json.loads(kept), "hash": "0" * 32}))
    with pytest.raises(DataError, match="other pixels"):
        kf.scale.verify(tmp_path / "out.zarr")


def test_verify_refuses_what_has_no_records(tmp_path):
    zarr.create_array(str(tmp_path / "other.zarr"), data=PIXELS)
    np.save(tmp_path / "out.npy", PIXELS)
    for name in ("other.zarr", "out.npy", "none.zarr"):
        with pytest.raises((FileError, ValueError), match=r"^[^\n]+expected[^\n]+$"):
            kf.scale.verify(tmp_path / name)


def check_protection(folder, monkeypatch):
    """Raise unless an interrupted result is refused, and one with other bytes is found."""
    interrupted(folder / "stopped.zarr", monkeypatch)
    with pytest.raises(FileError):
        kf.scale.open_source(folder / "stopped.zarr.part")
    done = kf.scale.apply(PIXELS, KERNEL, folder / "stopped.zarr", resume=True, **HOW)
    assert done.hash == kf.scale.apply(PIXELS, KERNEL, folder / "whole.zarr", **HOW).hash
    zarr.open_array(folder / "whole.zarr", mode="r+")[3, 3] = 7.0
    with pytest.raises(DataError):
        kf.scale.verify(folder / "whole.zarr")


def marker_first(self, record, begin=manifest.Manifest.begin):
    begin(self, record)
    self.place.put(manifest.COMPLETE, json.dumps({"parameters": self.parameters}).encode())


def record_first(self, index, run=Job.run):
    self.manifest.put(index, "0" * 32)
    return run(self, index)


BROKEN = {
    "the marker is written first": (manifest.Manifest, "begin", marker_first),
    "hashes are skipped": (manifest, "hash_of", lambda pixels: "0" * 32),
    "records are written before tiles": (Job, "run", record_first),
    "readers do not ask for the marker": (manifest, "check_complete", lambda place: None),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_build_broken_on_purpose_is_found(name, tmp_path, monkeypatch):
    """The check above has teeth: with each protection taken away it fails."""
    check_protection(tmp_path, monkeypatch)
    owner, attribute, broken = BROKEN[name]
    with monkeypatch.context() as patch:
        patch.setattr(owner, attribute, broken)
        if owner is manifest:
            for module in ("job", "sources", "verifying"):
                if hasattr(sys.modules[f"kernelfield.scale.{module}"], attribute):
                    patch.setattr(f"kernelfield.scale.{module}.{attribute}", broken)
        other = tmp_path / "broken"
        other.mkdir()
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            check_protection(other, monkeypatch)


def test_ctrl_c_stops_within_a_tile_and_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    # The second tile ends when those who make tiles have been told to stop.
    program = (
        "import sys, threading, kernelfield.scale.job as job\n"
        "run, join, begun, stopped = job.Job.run, threading.Thread.join, [], threading.Event()\n"
        "def slow(self, index):\n"
        "    begun.append(index)\n"
        "    print('tile', flush=True)\n"
        "    if len(begun) == 2: stopped.wait(300)\n"
        "    return run(self, index)\n"
        "def joined(self, *how, **more):\n"
        "    if self.name.startswith('tiles'): stopped.set()\n"
        "    return join(self, *how, **more)\n"
        "job.Job.run, threading.Thread.join = slow, joined\n"
        "from kernelfield.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    zarr.create_array(str(tmp_path / "in.zarr"), data=np.ones((8192, 4096), np.uint8), chunks=(512, 512))
    words = ["apply", "sobel", "in.zarr", "out.zarr"]
    environment = {**os.environ, "KERNELFIELD_THREADS": "1"}
    started = subprocess.Popen(
        [sys.executable, "-c", program, *words],
        cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    for _ in range(2):
        started.stdout.readline()
    started.send_signal(signal.SIGINT)
    _, messages = started.communicate(timeout=300)
    assert started.returncode == 130
    # The second tile may be written after the note of its pixels, or be the one that is stopped.
    last = r"note: stopped after [12] of 8 tiles; the same command with --resume goes on"
    assert re.fullmatch(last, messages.splitlines()[-1]), messages
    assert not (tmp_path / "out.zarr").exists()
    monkeypatch.chdir(tmp_path)
    assert main([*words, "--resume"]) == 0
    assert "8 tiles, 2 of them there before" in capsys.readouterr().out
