"""Removal of the weights from an ONNX file before it is parsed: large tensors are skipped in the protocol buffer.

A file of hundreds of megabytes shrinks to some hundred kilobytes, so neither time nor memory grows with the weights.
Field numbers are those of onnx.proto; the encoding is that of https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from typing import BinaryIO

from kernelfield.errors import DataError

#: Contents above this many bytes are removed; only messages above it are searched.
LARGE = 1 << 16
#: Largest number of bytes of the remaining file.
LARGEST = 256 << 20

_DEEPEST = 64
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_DEAD = "dead"
# For each message the fields that are messages, and those to remove.
_FIELDS: dict[str, dict[int, str]] = {
    "model": {6: _DEAD, 7: "graph", 14: _DEAD, 20: _DEAD, 25: "function"},
    "graph": {1: "node", 5: "tensor", 10: _DEAD, 15: "sparse", 16: _DEAD},
    "function": {7: "node", 8: _DEAD, 11: "attribute"},
    "node": {5: "attribute", 6: _DEAD},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 13: _DEAD, 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {4: _DEAD, 5: _DEAD, 6: _DEAD, 7: _DEAD, 9: _DEAD, 10: _DEAD, 11: _DEAD, 12: _DEAD, 13: _DEAD},
}


def without_weights(file: BinaryIO, size: int, name: str) -> bytes:
    """Return the `size` bytes of a ModelProto in `file` without the contents of its large tensors.

    Raises
    ------
    DataError
        If the bytes are not a protocol buffer, or too many remain; `name` is the file's name in the message.
    """
    try:
        return _Reader(file).message(size, "model", 0)
    except (EOFError, OverflowError) as error:
        raise DataError(f"{name}: expected an ONNX model; {error}; export it again") from None


class _Reader:
    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.at = 0
        self.kept = 0

    def message(self, end: int, kind: str, depth: int) -> bytes:
        """Return the message from here to `end`."""
        if depth > _DEEPEST:
            raise OverflowError(f"its graphs are nested more than {_DEEPEST} deep")
        fields = _FIELDS[kind]
        parts: list[bytes] = []
        start = self.at
        while self.at < end:
            begin = self.at
            tag = self.varint(end)
            wire = tag & 7
            if wire == _VARINT:
                self.varint(end)
            elif wire == _FIXED64:
                self.skip(8, end)
            elif wire == _FIXED32:
                self.skip(4, end)
            elif wire == _BYTES:
                length = self.varint(end)
                body = self.at
                if length > end - body:
                    raise EOFError("it ends too early")
                inner = fields.get(tag >> 3)
                if length > LARGE and inner is not None:
                    parts.append(self.copy(start, begin))
                    self.seek(body)
                    if inner is not _DEAD:
                        kept = self.message(body + length, inner, depth + 1)
                        parts += [_varint(tag), _varint(len(kept)), kept]
                    self.seek(start := body + length)
                else:
                    self.seek(body + length)
            else:
                raise EOFError("its fields are damaged")
        parts.append(self.copy(start, end))
        return b"".join(parts)

    def seek(self, at: int) -> None:
        self.at = at
        self.file.seek(at)

    def skip(self, count: int, end: int) -> None:
        if count > end - self.at:
            raise EOFError("it ends too early")
        self.seek(self.at + count)

    def varint(self, end: int) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self.file.read(1)
            self.at += 1
            if not byte or self.at > end:
                raise EOFError("it ends too early")
            value |= (byte[0] & 127) << shift
            if byte[0] < 128:
                return value
        raise EOFError("its fields are damaged")

    def copy(self, start: int, end: int) -> bytes:
        self.kept += end - start
        if self.kept > LARGEST:
            raise OverflowError(f"it holds more than {LARGEST >> 20} MiB besides its weights")
        self.file.seek(start)
        data = self.file.read(end - start)
        if len(data) != end - start:
            raise EOFError("it ends too early")
        self.seek(end)
        return data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
