import os
import platform
import stat
import subprocess
import sys
import time

import numpy as np
import pytest
import scipy.signal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernelfield.engine import code_cache

pytestmark = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="code is kept on x86-64 Linux only"
)

KEY = {"pipeline": ["a", "b"], "version": 1}
NOTES = {"width": 32}
CONTENT = bytes(range(256)) * 40


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("KERNELFIELD_CACHE", str(tmp_path / "deep" / "cache"))
    return tmp_path / "deep" / "cache"


def only_file(folder):
    (path,) = folder.iterdir()
    return path


def test_what_was_stored_is_loaded_and_private(folder):
    assert code_cache.load(KEY) is None
    code_cache.store(KEY, NOTES, CONTENT)
    assert code_cache.load(KEY) == (NOTES, CONTENT)
    assert code_cache.load({**KEY, "version": 2}) is None
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(only_file(folder).stat().st_mode) == 0o600


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_not_loaded_and_is_replaced(folder, data):
    code_cache.store(KEY, NOTES, CONTENT)
    path = only_file(folder)
    whole = path.read_bytes()
    if data.draw(st.booleans()):
        path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    else:
        bad = bytearray(whole)
        bad[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(bad)
    assert code_cache.load(KEY) is None
    code_cache.store(KEY, NOTES, CONTENT)
    assert code_cache.load(KEY) == (NOTES, CONTENT)


def test_a_sound_file_of_another_key_is_not_loaded(folder):
    code_cache.store({**KEY, "version": 2}, NOTES, b"other code")
    other = only_file(folder)
    code_cache.store(KEY, NOTES, CONTENT)
    (own,) = set(folder.iterdir()) - {other}
    other.replace(own)
    assert code_cache.load(KEY) is None


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777, 0o702])
def test_a_folder_that_others_may_write_to_is_not_used(folder, mode):
    code_cache.store(KEY, NOTES, CONTENT)
    folder.chmod(mode)
    assert code_cache.load(KEY) is None
    assert "others" in code_cache.summary()["problem"]
    only_file(folder).unlink()
    code_cache.store(KEY, NOTES, CONTENT)
    assert not list(folder.iterdir())


def test_a_file_that_others_may_write_to_is_not_used(folder):
    code_cache.store(KEY, NOTES, CONTENT)
    only_file(folder).chmod(0o622)
    assert code_cache.load(KEY) is None


def test_the_folder_of_another_user_is_not_used(folder, monkeypatch):
    code_cache.store(KEY, NOTES, CONTENT)
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert code_cache.load(KEY) is None
    assert "another user" in code_cache.summary()["problem"]


def test_a_link_is_not_followed(folder, tmp_path):
    code_cache.store(KEY, NOTES, CONTENT)
    path = only_file(folder)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert code_cache.load(KEY) is None


@pytest.mark.parametrize("place", ["", "/proc/self/nowhere", "/dev/null", "/dev/null/below"])
def test_without_a_folder_nothing_is_kept_and_nothing_fails(monkeypatch, place):
    monkeypatch.setenv("KERNELFIELD_CACHE", place)
    code_cache.store(KEY, NOTES, CONTENT)
    assert code_cache.load(KEY) is None
    assert code_cache.summary()["files"] == 0


def test_where_the_folder_is(monkeypatch, tmp_path):
    monkeypatch.delenv("KERNELFIELD_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert code_cache.location() == tmp_path / "x" / "kernelfield"
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    assert code_cache.location() == tmp_path / ".cache" / "kernelfield"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert code_cache.location() == tmp_path / ".cache" / "kernelfield"
    monkeypatch.setenv("KERNELFIELD_CACHE", "~/mine")
    assert code_cache.location() == tmp_path / "mine"


def test_old_files_are_forgotten(folder):
    code_cache.store(KEY, NOTES, CONTENT)
    long_ago = time.time() - 400 * 24 * 3600
    for name in ("old.code", "killed.part", "someone's.txt"):
        (folder / name).touch()
        os.utime(folder / name, (long_ago, long_ago))
    code_cache.store({**KEY, "version": 2}, NOTES, CONTENT)
    assert len(list(folder.glob("*.code"))) == 2
    assert {p.name for p in folder.iterdir()} >= {"someone's.txt"}
    assert not (folder / "killed.part").exists()


USE = """
import sys, numpy as np, kernelfield as kf
from kernelfield.engine import code_cache
image = np.arange(40 * 50, dtype=np.float32).reshape(40, 50)
result = kf.correlate(image, [[1, 2], [3, 4], [5, 6]], mode="valid")
sys.stdout.buffer.write(result.tobytes())
sys.exit(10 * code_cache.counts["hits"] + code_cache.counts["misses"] + 100 * ("halide" in sys.modules))
"""
EXPECTED = scipy.signal.correlate2d(np.arange(2000.0).reshape(40, 50), [[1, 2], [3, 4], [5, 6]], "valid")


def start():
    environment = {**os.environ, "KERNELFIELD_ENGINE": "halide"}
    return subprocess.Popen([sys.executable, "-c", USE], stdout=subprocess.PIPE, env=environment)


def result_of(process):
    """Return the exit status of a process that runs `USE`, whose result must be right."""
    out = process.communicate(timeout=120)[0]
    assert np.array_equal(np.frombuffer(out, np.float32).reshape(EXPECTED.shape), EXPECTED)
    return process.returncode


def test_processes_that_compile_at_once_leave_whole_files(folder):
    together = [start() for _ in range(3)]
    assert {result_of(process) for process in together} <= {102, 111, 20}
    assert len(list(folder.iterdir())) == 2
    assert all(path.suffix == ".code" for path in folder.iterdir())
    assert result_of(start()) == 20, "found, without Halide"
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:-100])
    assert result_of(start()) == 102, "both compiled again"
    assert result_of(start()) == 20
