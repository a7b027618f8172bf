"""Kernels in files of bare weights: NPY, a JSON array of rows, or text with a row on each line."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from kernelfield.errors import ArgumentError, DataError
from kernelfield.kernels import Kernel
from kernelfield.kernels.catalogue import value_of
from kernelfield.learning.fields import number, received, table

NPY = b"\x93NUMPY"
_EXAMPLE = "expected a kernel, rows of numbers"


def read_array(data: bytes, name: str) -> Kernel:
    """Return the kernel in the data of the NPY file `name`."""
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except Exception as error:
        # On damaged files NumPy raises arbitrary exceptions.
        raise DataError(f"{name}: {_EXAMPLE} in NPY; it cannot be decoded ({error}); save it again") from None
    if array.ndim != 2 or array.dtype.kind not in "iuf":
        shape = "×".join(map(str, array.shape))
        raise DataError(
            f"{name}: {_EXAMPLE}, of two dimensions; received {shape or 'a single number'} of {array.dtype}; save one "
            "kernel (kh, kw), a row as kernel[None]"
        )
    return _kernel(array, name)


def read_list(value: list[Any], name: str) -> Kernel:
    """Return the kernel in a JSON array of rows, of the file `name`."""
    try:
        return _kernel(table(number())(value), name)
    except ValueError as error:
        raise DataError(f"{name}: {_EXAMPLE}, as [[1, 2, 1], [2, 4, 2], [1, 2, 1]]; {error}") from None


def read_text(data: bytes, name: str) -> Kernel:
    """Return the kernel in the text of the file `name`: a row a line, numbers or fractions between commas or blanks.

    Semicolons and tabs separate too; the text after a # is a comment.
    """
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise DataError(
            f"{name}: expected a filter as learn --json writes it, or {_EXAMPLE[9:]} as NPY, JSON, CSV or text; "
            "received binary data; is it a picture?"
        ) from None
    rows = []
    for i, line in enumerate(lines, 1):
        content = line.partition("#")[0].strip()
        if content:
            rows.append([_weight(cell, f"{name}, line {i}") for cell in _cells(content)])
            if len(rows[-1]) != len(rows[0]):
                raise DataError(f"{name}, line {i}: expected {len(rows[0])} numbers, received {len(rows[-1])}")
    if not rows:
        raise DataError(f"{name}: {_EXAMPLE}; the file is empty")
    return _kernel(np.array(rows), name)


def _cells(line: str) -> list[str]:
    """Return the parts of a line, between the first kind of separator that it has."""
    for separator in (";", ",", "\t"):
        if separator in line:
            return [cell.strip().strip('"') for cell in line.split(separator)]
    return line.split()


def _weight(cell: str, where: str) -> float:
    """Return a number or fraction."""
    try:
        return float(number()(value_of(cell)))
    except ValueError:
        raise DataError(f"{where}: expected a finite number or a fraction, received {received(cell)}") from None


def _kernel(weights: np.ndarray, name: str) -> Kernel:
    """Return the kernel with these weights."""
    try:
        return Kernel(weights)
    except ArgumentError as error:
        raise DataError(f"{name}: {error}") from None
