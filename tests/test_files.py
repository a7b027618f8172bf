"""Writing: whole or not at all; links, modes, FIFOs and devices stay as they are."""

import os
import stat
import subprocess
import sys
import threading

import pytest

from kernelfield.errors import ArgumentError, FileError
from kernelfield.files import check_writable, write_bytes, writing


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.mark.parametrize("given", [0o600, 0o644, 0o664, 0o755])
def test_the_mode_of_a_file_stays(tmp_path, given):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(given)
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert mode(path) == given
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_new_file_has_the_mode_of_any_other(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_bytes(tmp_path / "a", b"")
        (tmp_path / "b").write_bytes(b"")
    finally:
        os.umask(before)
    assert mode(tmp_path / "a") == mode(tmp_path / "b") == 0o666 & ~umask


def test_links_are_followed(tmp_path):
    (tmp_path / "folder").mkdir()
    real, link, dangling = tmp_path / "folder" / "real", tmp_path / "link", tmp_path / "dangling"
    real.write_bytes(b"old")
    link.symlink_to("folder/real")
    dangling.symlink_to(tmp_path / "folder" / "new")
    write_bytes(link, b"new")
    write_bytes(dangling, b"made")
    assert link.is_symlink()
    assert dangling.is_symlink()
    assert real.read_bytes() == b"new"
    assert (tmp_path / "folder" / "new").read_bytes() == b"made"


def test_a_fifo_is_written_to(tmp_path):
    fifo, link = tmp_path / "fifo", tmp_path / "link"
    os.mkfifo(fifo)
    link.symlink_to(fifo)
    for name in (fifo, link):
        received = []
        reader = threading.Thread(target=lambda into=received: into.append(fifo.read_bytes()))
        reader.start()
        write_bytes(name, b"through" * 10_000)
        reader.join(10)
        assert received == [b"through" * 10_000]
        assert stat.S_ISFIFO(os.lstat(fifo).st_mode)


def test_devices_are_written_to(tmp_path):
    (tmp_path / "null").symlink_to("/dev/null")
    write_bytes(tmp_path / "null", b"x")
    write_bytes("/dev/null", b"x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    with pytest.raises(FileError, match="No space left"):
        write_bytes("/dev/full", b"x")
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
@pytest.mark.parametrize("into", ["pipe", "file"])
def test_what_is_open_already_is_written_to(tmp_path, name, into):
    """A shell's `> file` keeps its file: what was printed before and after is there too."""
    if name == "link":
        name = str(tmp_path / "link")
        os.symlink("/dev/stdout", name)
    code = (
        "import sys; from kernelfield.files import write_bytes; print('before', flush=True);"
        "write_bytes(sys.argv[1], b'between\\n'); sys.stdout.seek(0, 2) if sys.stdout.seekable() else 0; print('after')"
    )
    command = [sys.executable, "-c", code, name]
    if into == "pipe":
        text = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    else:
        with open(tmp_path / "out", "wb") as file:
            subprocess.run(command, stdout=file, check=True)
        text = (tmp_path / "out").read_bytes()
    assert text == b"before\nbetween\nafter\n"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("x")])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    (tmp_path / "a").write_bytes(b"old")

    def fail(name):
        with writing(tmp_path / name) as file:
            file.write(b"half")
            raise error

    for name in ("a", "b"):
        with pytest.raises(FileError if isinstance(error, OSError) else type(error)):
            fail(name)
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_refusals_are_one_bounded_line(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    for path in (tmp_path, tmp_path / "no" / "such", tmp_path / "plain" / "below", tmp_path / ("x" * 300), "a" * 9999):
        for call in (check_writable, lambda path: write_bytes(path, b"")):
            with pytest.raises(FileError) as caught:
                call(path)
            assert "\n" not in str(caught.value)
            assert len(str(caught.value)) < 500
    for path in ("", "a\0b", 3, None):
        for call in (check_writable, lambda path: write_bytes(path, b"")):
            with pytest.raises(ArgumentError, match="expected the name of a file"):
                call(path)
    check_writable(tmp_path / "new")
    check_writable(tmp_path / "plain")
    check_writable("/dev/null")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_file_is_not_replaced(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(0o444)
    for call in (check_writable, lambda path: write_bytes(path, b"new")):
        with pytest.raises(FileError, match="cannot be written"):
            call(path)
    assert path.read_bytes() == b"old"
