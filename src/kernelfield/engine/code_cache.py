"""Compiled code on disk, in the user's cache folder: what was compiled once is not compiled by the next process.

A file is found by a digest of everything its code depends on, and repeats it inside, behind a checksum: a file that is
damaged, cut short or of another version counts as not there, and is replaced. Files appear whole or not at all, however
many processes write them. Code is only read from a folder and from files that nobody else can write.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import stat
import struct
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

ENVIRONMENT_VARIABLE = "KERNELFIELD_CACHE"

_MAGIC = b"kernelfield-code"
_DIGEST = hashlib.sha256().digest_size
_LARGEST = 64 << 20
_KEPT = 180 * 24 * 3600.0  # seconds

#: How often this process found code on disk, and how often it did not.
counts = {"hits": 0, "misses": 0}


def location() -> Path | None:
    """Return the folder: ``KERNELFIELD_CACHE``, else ``kernelfield`` in ``XDG_CACHE_HOME`` or ``~/.cache``.

    None if the variable is empty: no cache is wanted.
    """
    wish = os.environ.get(ENVIRONMENT_VARIABLE)
    if wish is not None:
        return Path(wish).expanduser().absolute() if wish else None
    home = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(home):  # the XDG base directory specification: a relative path is not valid
        home = os.path.expanduser("~/.cache")
    return Path(home, "kernelfield") if os.path.isabs(home) else None


def state() -> tuple[Path | None, str]:
    """Return the folder and why it is not used: nothing if it is, or will be once it is made."""
    folder = location()
    if folder is None:
        return None, f"{ENVIRONMENT_VARIABLE} is empty" if ENVIRONMENT_VARIABLE in os.environ else "no home folder"
    try:
        found = folder.stat()
    except FileNotFoundError:
        return folder, ""
    except OSError as error:
        return folder, error.strerror or str(error)
    if not stat.S_ISDIR(found.st_mode):
        return folder, "it is not a folder"
    if found.st_uid != os.geteuid():
        return folder, "it belongs to another user"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return folder, "others may write to it"
    return folder, ""


def summary() -> dict[str, Any]:
    """Return the folder, why it is not used, what lies in it, and what this process found there, in JSON's types."""
    folder, problem = state()
    sizes: list[int] = []
    if folder is not None and not problem:
        with suppress(OSError):
            sizes = [path.stat().st_size for path in folder.glob("*.code")]
    return {
        "folder": None if folder is None else str(folder),
        "problem": problem or None,
        "files": len(sizes),
        "bytes": sum(sizes),
        **counts,
    }


def load(key: dict[str, Any]) -> tuple[dict[str, Any], bytes] | None:
    """Return the notes and the content that `store` was given with this key; None if there are none to be trusted."""
    folder, problem = state()
    found = None
    if folder is not None and not problem:
        data = _read(folder / _name(key))
        if data is not None and data[: len(_MAGIC)] == _MAGIC:
            digest, body = data[len(_MAGIC) : len(_MAGIC) + _DIGEST], data[len(_MAGIC) + _DIGEST :]
            if hashlib.sha256(body).digest() == digest:
                found = _taken_apart(body, key)
    counts["hits" if found is not None else "misses"] += 1
    return found


def store(key: dict[str, Any], notes: dict[str, Any], content: bytes) -> None:
    """Keep notes (JSON) and content under a key, where a folder can be written; elsewhere do nothing."""
    folder, problem = state()
    if folder is None or problem:
        return
    header = json.dumps({"key": key, "notes": notes}).encode()
    body = struct.pack("<Q", len(header)) + header + content
    temporary = folder / f".{secrets.token_hex(8)}.part"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        if state()[1]:
            return
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(_MAGIC + hashlib.sha256(body).digest() + body)
        temporary.replace(folder / _name(key))
        _forget(folder)
    except OSError:
        pass  # a full or read-only disk: everything works without
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _forget(folder: Path) -> None:
    """Remove what was written long ago: other versions, what a killed process left. What is still used comes again."""
    oldest = time.time() - _KEPT
    for path in folder.iterdir():
        if path.suffix in (".code", ".part") and path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)


def _name(key: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:40] + ".code"


def _read(path: Path) -> bytes | None:
    """Return the bytes of a file that only this user can write; None if there is none."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            found = os.fstat(file.fileno())
            private = found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            if not (stat.S_ISREG(found.st_mode) and private) or found.st_size > _LARGEST:
                return None
            return file.read()
    except OSError:
        return None


def _taken_apart(body: bytes, key: dict[str, Any]) -> tuple[dict[str, Any], bytes] | None:
    (length,) = struct.unpack_from("<Q", body)
    header = json.loads(body[8 : 8 + length])
    return (header["notes"], body[8 + length :]) if header["key"] == key else None
