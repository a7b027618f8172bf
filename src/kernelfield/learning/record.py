"""Fits as JSON records; docs/filter-json.md describes the format."""

from __future__ import annotations

import json
import math
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelfield.errors import DataError, FileError
from kernelfield.geometry import BOUNDARIES
from kernelfield.kernels import Kernel

if TYPE_CHECKING:
    from kernelfield.learning.fit import Fit

FORMAT = 1
_LARGEST_FILE = 64 << 20
_VERDICTS = ("exact", "approximate", "undetermined", "not linear")


def to_record(fit: Fit) -> dict[str, Any]:
    """Return a fit as lists, numbers and strings that JSON can hold; infinite and unknown values are None."""
    from kernelfield import __version__

    return {
        "format": FORMAT,
        "version": __version__,
        "verdict": fit.verdict,
        "explanation": fit.explanation,
        "name": fit.name,
        "description": fit.description,
        "parameters": {key: _plain(value) for key, value in fit.parameters.items()},
        "size": list(fit.size),
        "anchor": list(fit.anchor),
        "kernel": fit.kernel.weights.tolist(),
        "stderr": [[value if math.isfinite(value) else None for value in row] for row in fit.stderr.tolist()],
        "integers": None if fit.integers is None else fit.integers.tolist(),
        "divisor": fit.divisor,
        "offset": _plain(fit.offset),
        "rounding": fit.rounding,
        "boundary": fit.boundary,
        "cval": fit.cval,
        "boundary_candidates": list(fit.boundary_candidates),
        "boundary_reason": fit.boundary_reason,
        "rank": fit.rank,
        "undetermined": fit.undetermined.tolist(),
        "r2": fit.r2,
        "residual_sd": fit.residual_sd,
        "samples": fit.samples,
        "excluded": fit.excluded,
        "channels": list(fit.channels),
        "notes": list(fit.notes),
        "losses": list(fit.losses),
        "layers": [layer.weights.tolist() for layer in fit.layers],
        "gain": fit.gain,
        "scale": fit.scale,
        "outliers": fit.outliers,
        "errors_note": fit.errors_note,
        "frame": None if fit.frame is None else list(fit.frame),
    }


def from_record(cls: type[Fit], path: Path) -> Fit:
    """Return the fit read from the file at `path`, checked."""
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise DataError(f"{path}: expected a filter of at most 64 MB; received more; is it an image?")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise DataError(
            f"{path}: expected JSON text; received binary data; give the file that learn --json wrote"
        ) from None
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        record = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        raise DataError(f"{path}: expected the JSON that learn --json writes; received something else") from None
    try:
        return build(cls, record)
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise DataError(f"{path}: expected a filter as learn --json writes it; {what}") from None


def build(cls: type[Fit], record: Any) -> Fit:
    """Return the fit in a record; raise LookupError, TypeError or ValueError if the record is invalid."""
    if not isinstance(record, dict):
        raise TypeError(f"received {type(record).__name__}, expected an object")
    if record["format"] != FORMAT:
        raise ValueError(f"format {record['format']} is not {FORMAT}; use the version that wrote it")
    anchor = int(record["anchor"][0]), int(record["anchor"][1])
    weights = np.array(record["kernel"], dtype=np.float64)
    if weights.ndim != 2 or not weights.size or not np.isfinite(weights).all():
        raise ValueError("kernel is not a table of finite numbers")
    if not all(0 <= a < n for a, n in zip(anchor, weights.shape)):
        raise ValueError(f"anchor {anchor} lies outside the kernel")
    stderr = np.array([[np.inf if v is None else v for v in row] for row in record["stderr"]], dtype=np.float64)
    if stderr.shape != weights.shape:
        raise ValueError("stderr and kernel differ in size")
    boundary = record["boundary"]
    if boundary is not None and boundary not in (*BOUNDARIES, "copy", "renormalised"):
        raise ValueError(f"boundary {boundary!r} is not known")
    if record["verdict"] not in _VERDICTS:
        raise ValueError(f"verdict {record['verdict']!r} is not known")
    offset = record["offset"]
    offsets = offset if isinstance(offset, list) else [offset]
    if not offsets or not all(math.isfinite(float(value)) for value in offsets):
        raise ValueError("offset is not finite")
    integers = None if record["integers"] is None else np.array(record["integers"], dtype=np.int64)
    divisor = None if integers is None else int(record["divisor"])
    if integers is not None and (integers.shape != weights.shape or not divisor):
        raise ValueError("integers and divisor do not match the kernel")
    parameters = {key: tuple(v) if isinstance(v, list) else v for key, v in dict(record["parameters"]).items()}
    return cls(
        kernel=Kernel(weights, record["name"], parameters, None, anchor),
        stderr=stderr,
        offset=tuple(float(v) for v in offset) if isinstance(offset, list) else float(offset),
        boundary=boundary,
        cval=float(record["cval"]),
        boundary_candidates=tuple(record["boundary_candidates"]),
        boundary_reason=str(record["boundary_reason"]),
        name=record["name"],
        description=str(record["description"]),
        integers=integers,
        divisor=divisor,
        rank=int(record["rank"]),
        undetermined=np.array(record["undetermined"], dtype=np.float64).reshape(-1, *weights.shape),
        r2=float(record["r2"]),
        residual_sd=float(record["residual_sd"]),
        samples=int(record["samples"]),
        excluded=int(record["excluded"]),
        rounding=record["rounding"],
        verdict=record["verdict"],
        explanation=str(record["explanation"]),
        parameters=parameters,
        notes=tuple(record["notes"]),
        channels=tuple(record["channels"]),
        losses=tuple(float(loss) for loss in record["losses"]),
        layers=tuple(Kernel(layer) for layer in record["layers"]),
        gain=float(record.get("gain", 1.0)),
        scale=float(record.get("scale", 1.0)),
        outliers=int(record.get("outliers", 0)),
        errors_note=str(record.get("errors_note", "")),
        frame=None if record.get("frame") is None else (int(record["frame"][0]), int(record["frame"][1])),
    )


def write_text(path: Path, text: str) -> None:
    """Write `text` to a temporary file beside `path`, then rename it: readers never see a partial file."""
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise FileError(f"{path}: cannot be written: {error.strerror}; choose another place") from None


def _plain(value: Any) -> Any:
    """Return `value` converted to the types of JSON."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (tuple, list, np.ndarray)):
        return [_plain(item) for item in value]
    return value
