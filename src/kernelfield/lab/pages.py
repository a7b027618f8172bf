"""The files of the page, which are part of the package."""

from __future__ import annotations

import gzip
import hashlib
import os
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".gz": "application/gzip",
    ".html": "text/html; charset=utf-8",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".webp": "image/webp",
}


@dataclass(frozen=True)
class Asset:
    """A file of the page: its bytes, media type and entity tag, and the bytes packed by gzip where that helps."""

    data: bytes
    type: str
    tag: str
    packed: bytes | None = None

    @classmethod
    def of(cls, data: bytes, kind: str) -> Asset:
        """Return the asset of a file.

        Examples
        --------
        >>> Asset.of(b"white " * 100, "text/css").packed is None
        False
        """
        packed = gzip.compress(data, 9, mtime=0)
        tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
        return cls(data, kind, tag, packed if len(packed) < len(data) * 0.9 else None)


def assets() -> dict[str, Asset]:
    """Return the files of the page by the path in their address: these are served, and nothing else is.

    Examples
    --------
    >>> assets()["/index.html"].type
    'text/html; charset=utf-8'
    """
    found: dict[str, Asset] = {}
    pending: list[tuple[str, Traversable]] = [("", files("kernelfield.lab") / "assets")]
    while pending:
        path, place = pending.pop()
        if place.is_dir():
            pending += [(f"{path}/{inner.name}", inner) for inner in place.iterdir()]
        elif (kind := _TYPES.get(os.path.splitext(path)[1])) is not None:
            found[path] = Asset.of(place.read_bytes(), kind)
    return found
