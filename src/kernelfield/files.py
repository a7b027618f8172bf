"""Files that the package writes: whole or not at all, and nothing replaced that is not a plain file."""

from __future__ import annotations

import errno
import io
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from kernelfield.errors import ArgumentError, FileError, received

_OPEN_FILES = ("/dev/", "/proc/")


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to a file, as `writing` does.

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_bytes(os.path.join(folder, "a.txt"), b"whole")
    ...     os.listdir(folder)
    ['a.txt']
    """
    with writing(path) as file:
        file.write(data)


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Yield a file to write and read, whose content `path` has when the block ends without an error.

    A plain file appears whole or not at all: it is written under a temporary name in the same folder and renamed. Links
    are followed, the mode and owner of a file that is replaced are kept, a new one gets those of the process. FIFOs,
    devices and open files of the process (``/dev/stdout``) are written to when the block ends, never replaced.

    Parameters
    ----------
    path : str or path-like

    Raises
    ------
    ArgumentError
        `path` is no name of a file.
    FileError
        The file cannot be written: a folder, no permission, no space.
    """
    name = file_name(path)
    try:
        if _replaceable(name):
            with _replacing(os.path.realpath(name)) as file:
                yield file
        else:
            content = io.BytesIO()
            yield content
            content.seek(0)
            # Not created: the name may be that of a device that is gone. Appended: a shell may have written before.
            with open(os.open(name, os.O_WRONLY | os.O_APPEND | getattr(os, "O_NOCTTY", 0)), "wb") as special:
                shutil.copyfileobj(content, special)
    except FileError:
        raise
    except OSError as error:
        raise _refusal(name, f"cannot be written ({error.strerror or error})") from error


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise the `FileError` of `writing` for a file that cannot be written, before the work that leads to it."""
    name = file_name(path)
    if not _replaceable(name):
        if not os.access(name, os.W_OK):
            raise _refusal(name, "cannot be written (no permission)")
        return
    target = os.path.realpath(name)
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise _refusal(name, "lies in no folder")
    if not os.access(folder, os.W_OK | os.X_OK) or (os.path.exists(target) and not os.access(target, os.W_OK)):
        raise _refusal(name, "cannot be written (no permission)")


def file_name(path: str | os.PathLike[str]) -> str:
    """Return `path` as text; raise if it cannot name a file."""
    name = os.fsdecode(path) if isinstance(path, str | os.PathLike) else ""
    if not name or "\0" in name:
        raise ArgumentError(f"path: expected the name of a file; received {received(path)}; give a str or pathlib.Path")
    return name


def _replaceable(name: str) -> bool:
    """Return whether a rename may put a new file in the place of `name`; raise for a folder."""
    try:
        mode = os.stat(name).st_mode
    except FileNotFoundError:
        return True
    except OSError as error:
        raise _refusal(name, f"cannot be written ({error.strerror or error})") from error
    if stat.S_ISDIR(mode):
        raise _refusal(name, "is a folder")
    # A file that is open already, as /dev/stdout may be, would go on under a name that is gone.
    link, open_already = os.path.abspath(name), False
    while not open_already and os.path.islink(link):
        open_already = link.startswith(_OPEN_FILES)
        link = os.path.normpath(os.path.join(os.path.dirname(link), os.readlink(link)))
    return stat.S_ISREG(mode) and not open_already


@contextmanager
def _replacing(target: str) -> Iterator[BinaryIO]:
    """Yield a file with a temporary name beside `target`, and rename it at the end."""
    before = os.stat(target) if os.path.exists(target) else None
    if before is not None and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    temporary = os.path.join(os.path.dirname(target), f".kernelfield-{secrets.token_hex(8)}.part")
    try:
        # Not by tempfile: the mode is that of the user's umask. Not by open: some libraries do not know its mode "x".
        with open(temporary, "w+b", opener=lambda name, flags: os.open(name, flags | os.O_EXCL, 0o666)) as file:
            yield file
        if before is not None:
            if hasattr(os, "chown"):
                with suppress(OSError):
                    os.chown(temporary, before.st_uid, before.st_gid)
            os.chmod(temporary, stat.S_IMODE(before.st_mode))
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _refusal(name: str, problem: str) -> FileError:
    return FileError(
        f"{received(name)}: {problem}; expected the name of a file, in a folder that exists, with space and "
        "permission; choose another place"
    )
