"""Parsing of ONNX models from a path, bytes or a ModelProto. Only the file itself is opened; nothing is unpickled."""

from __future__ import annotations

import io
import os
import stat
from importlib import import_module
from typing import TYPE_CHECKING, Any

from kernelfield.errors import ArgumentError, DataError, DtypeError, FileError, MissingDependencyError
from kernelfield.receptive.frontends.onnx.protobuf import without_weights

if TYPE_CHECKING:
    from onnx import ModelProto

_EXPORT = "export the model to ONNX (torch.onnx.export, tf2onnx, model.export) and give that file"
#: First bytes of files in other formats, the name of the format and the remedy.
_OTHERS: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\x03\x04", "a zip archive, such as torch.save (a pickle) and Keras write; it is not loaded", _EXPORT),
    (b"\x80\x02", "a Python pickle, which could run any program; it is never loaded", _EXPORT),
    (b"\x80\x03", "a Python pickle, which could run any program; it is never loaded", _EXPORT),
    (b"\x80\x04", "a Python pickle, which could run any program; it is never loaded", _EXPORT),
    (b"\x80\x05", "a Python pickle, which could run any program; it is never loaded", _EXPORT),
    (b"\x89HDF", "an HDF5 file of weights", _EXPORT),
    (b"\x1f\x8b", "a compressed file", "unpack it first"),
    (b"\x89PNG", "a picture", "give the model first and the picture as --image"),
    (b"\xff\xd8\xff", "a picture", "give the model first and the picture as --image"),
    (b"version https://git-lfs", "the pointer of a file that git-lfs has not fetched", "run git lfs pull"),
    (b"ORTM", "a model in ONNX Runtime's own format", "give the .onnx file that it was made from"),
)


def load(model: Any) -> ModelProto:
    """Return a parsed model, without the contents of large tensors and external data.

    Parameters
    ----------
    model : str, path-like, bytes or onnx.ModelProto
        A ModelProto is returned as it is.

    Raises
    ------
    MissingDependencyError
        If the package onnx is not installed.
    FileError
        If the file cannot be read.
    DataError
        If it holds no ONNX model; a pickle is reported as one and never loaded.
    """
    try:
        import onnx
    except ImportError:
        raise MissingDependencyError(
            "onnx: expected the package to read an ONNX model with; it is not installed; pip install kernelfield[onnx]"
        ) from None
    if isinstance(model, onnx.ModelProto):
        return _checked(model, "model")
    if isinstance(model, (bytes, bytearray, memoryview)):
        data = bytes(model)
        return _parse(io.BytesIO(data), len(data), "model")
    if not isinstance(model, (str, os.PathLike)):
        raise DtypeError(f"model: expected a path, bytes or an onnx.ModelProto; received a {type(model).__name__}")
    name = os.fsdecode(model)
    if not name or "\0" in name:
        raise ArgumentError(f"model: expected the name of a file; received {name!r}; give the .onnx file")
    try:
        # A FIFO would block on opening.
        if not stat.S_ISREG(os.stat(name).st_mode):
            kind = "a folder" if os.path.isdir(name) else "not a plain file"
            raise FileError(f"{name!r}: expected an ONNX file; this is {kind}; name the file itself")
        with open(name, "rb") as file:
            return _parse(file, os.fstat(file.fileno()).st_size, repr(name))
    except FileError:
        raise
    except FileNotFoundError:
        raise FileError(f"{name!r}: expected an ONNX file; there is none; check the name and the folder") from None
    except OSError as error:
        raise FileError(f"{name!r}: expected a readable file; {error.strerror or error}; check it") from error


def _parse(file: Any, size: int, name: str) -> ModelProto:
    import onnx

    damaged = import_module("google.protobuf.message").DecodeError
    head = file.read(32)
    file.seek(0)
    for start, what, remedy in _OTHERS:
        if head.startswith(start):
            raise DataError(f"{name}: expected an ONNX model; this is {what}; {remedy}")
    if not size:
        raise DataError(f"{name}: expected an ONNX model; the file is empty; export it again")
    try:
        model = onnx.ModelProto.FromString(without_weights(file, size, name))
    except (damaged, UnicodeDecodeError):
        raise DataError(f"{name}: expected an ONNX model; its fields are damaged; export it again") from None
    return _checked(model, name)


def _checked(model: ModelProto, name: str) -> ModelProto:
    if not model.HasField("graph") or not model.graph.node:
        raise DataError(f"{name}: expected an ONNX model; received no graph with nodes; export it again")
    return model
