"""Requests and answers between the server and its workers: a header in JSON, then the bytes that it announces."""

from __future__ import annotations

import json
import struct
from typing import Any

_LENGTH = struct.Struct("<I")
LENGTH = _LENGTH.size


def head(header: dict[str, Any]) -> bytes:
    r"""Return a header's length and its JSON.

    Examples
    --------
    >>> head({"id": 1})
    b'\t\x00\x00\x00{"id": 1}'
    """
    text = json.dumps(header, allow_nan=False).encode()
    return _LENGTH.pack(len(text)) + text


def length(data: bytes) -> int:
    """Return the length of the header that follows.

    Examples
    --------
    >>> length(head({"id": 1})[:LENGTH])
    9
    """
    return int(_LENGTH.unpack(data)[0])
