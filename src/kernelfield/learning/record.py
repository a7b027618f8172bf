"""Fits as JSON records; docs/reference/filter-json.md describes the format."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelfield.errors import DataError, FileError, KernelfieldError
from kernelfield.geometry import BOUNDARIES
from kernelfield.kernels import Kernel
from kernelfield.kernels.descriptions import describe
from kernelfield.learning.curve import Curve
from kernelfield.learning.field_basis import LARGEST_DEGREE, Basis
from kernelfield.learning.fields import (
    Check,
    list_of,
    mapping_of,
    number,
    object_of,
    one_of,
    optional,
    received,
    table,
    text,
    whole,
)
from kernelfield.learning.light import Light
from kernelfield.learning.rounding import RULES
from kernelfield.learning.varying import Varying

if TYPE_CHECKING:
    from kernelfield.learning.fit import Fit

FORMAT = 1
_LARGEST_FILE = 64 << 20
# Weights up to which the covariance is saved.
_MOST_CORRELATED = 121
# Covariances between fixed kernels up to which they are saved.
_MOST_COVARIANCES = 20_000


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
        "stderr": _unknown_as_none(fit.stderr.tolist()),
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
        "model": fit.model,
        "bank": None if fit.bank is None else fit.bank.tolist(),
        "bank_stderr": None if fit.bank_stderr is None else _unknown_as_none(fit.bank_stderr.tolist()),
        "stride": list(fit.stride),
        "light": None if fit.light is None else asdict(fit.light),
        "curve": None if fit.curve is None else {key: _plain(value) for key, value in asdict(fit.curve).items()},
        "varying": None if fit.varying is None else _of_varying(fit.varying),
        "degrees_of_freedom": fit.degrees_of_freedom,
        "chi_square": fit.chi_square,
        "covariance": None if fit.covariance is None else _triangle(fit.covariance),
    }


def _triangle(covariance: np.ndarray) -> list[list[float]] | None:
    """Return the rows of a covariance up to the diagonal, with nine digits; None for one of too many weights."""
    if len(covariance) > _MOST_CORRELATED:
        return None
    return [[float(f"{value:.9g}") for value in row[: i + 1]] for i, row in enumerate(covariance.tolist())]


def from_record(cls: type[Fit], path: Path) -> Fit:
    """Return the fit read from the file at `path`, checked."""
    return build(cls, read(path), str(path))


def read(path: Path) -> Any:
    """Return the JSON value in a file of at most 64 MB."""
    return parse(read_data(path, _LARGEST_FILE), str(path))


def read_data(path: Path, most: int) -> bytes:
    """Return the data of a file, no more than a byte over `most`."""
    try:
        # A FIFO has no size.
        with path.open("rb") as file:
            return file.read(most + 1)
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from None


def parse(data: bytes, name: str) -> Any:
    """Return the JSON value in the data of the file `name`."""
    if len(data) > _LARGEST_FILE:
        raise DataError(f"{name}: expected a filter of at most 64 MB; received more; is it an image?")
    try:
        return json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise DataError(
            f"{name}: expected JSON text; received binary data; give the file that learn --json wrote"
        ) from None
    except (ValueError, RecursionError):
        raise DataError(f"{name}: expected the JSON that learn --json writes; received something else") from None


def build(cls: type[Fit], record: Any, name: str) -> Fit:
    """Return the fit in a record; `name` begins the message of the DataError that says why there is none."""
    try:
        return _build(cls, record)
    except (KernelfieldError, ValueError) as error:
        raise DataError(f"{name}: expected a filter as learn --json writes it; {error}; learn it again") from None


def _build(cls: type[Fit], record: Any) -> Fit:
    """Return the fit in a record; raise ValueError if a field is wrong or two disagree."""
    if isinstance(record, dict) and record.get("format", FORMAT) != FORMAT:
        raise ValueError(f"format: expected {FORMAT}, received {received(record['format'])}; use the version of it")
    values = _RECORD(record)
    weights, integers, anchor = values["kernel"], values["integers"], values["anchor"]
    shape = weights.shape
    _agree(values["size"] == shape, f"size: expected that of the kernel, {shape}; received {values['size']}")
    _agree(all(a < n for a, n in zip(anchor, shape)), f"anchor: {anchor} lies outside the kernel")
    _agree(values["stderr"].shape == shape, "stderr: it differs from kernel in size")
    _agree(values["rank"] <= weights.size, f"rank: expected at most {weights.size}; received {values['rank']}")
    _agree((integers is None) == (values["divisor"] is None), "integers, divisor: expected both or null for both")
    _agree(integers is None or integers.shape == shape, "integers: they differ from kernel in size")
    _agree(all(each.shape == shape for each in values["undetermined"]), "undetermined: it differs from kernel in size")
    offsets = values["offset"]
    count = len(values["channels"])
    _agree(
        not isinstance(offsets, tuple) or len(offsets) == count,
        f"offset: expected one for each of {count} channels; received {received(record['offset'])}",
    )
    # The name of a mix of channels is not that of a kernel.
    alone = values["model"] == "shared"
    kernel = Kernel(weights, values["name"] if alone else None, values["parameters"] if alone else {}, None, anchor)
    if kernel.name is not None:
        try:
            describe(kernel)
        except (LookupError, TypeError, ValueError):
            raise ValueError(
                f"name, parameters: they are not those of a kernel of the catalogue: {received(kernel.name)}"
            ) from None
    undetermined = np.array(values["undetermined"], dtype=np.float64).reshape(-1, *shape)
    layers = tuple(Kernel(layer) for layer in values["layers"])
    bank, errors = values["bank"], values["bank_stderr"]
    _agree((bank is None) == (errors is None), "bank, bank_stderr: expected both or null for both")
    _agree((bank is None) == (values["model"] == "shared"), "model, bank: expected null for one shared kernel alone")
    if bank is not None:
        _agree(bank.shape == errors.shape, "bank_stderr: it differs from bank in size")
        _agree(bank.shape[2:] == shape, "bank: its kernels differ from kernel in size")
        _agree(len(bank) == count, f"bank: expected kernels for {count} channels; received {len(bank)}")
    covariance = values["covariance"]
    if covariance is not None:
        _agree(len(covariance) == weights.size, "covariance: it differs from kernel in size")
    varying = values["varying"]
    if varying is not None:
        _agree(varying.bank.shape[1:] == shape, "varying: its kernels differ from kernel in size")
        _agree(len(varying.background) == count, f"varying: expected a background for each of {count} channels")
    fields = {key: value for key, value in values.items() if key not in _NOT_OF_A_FIT}
    return cls(**fields | {"kernel": kernel, "undetermined": undetermined, "layers": layers})


def _agree(condition: bool, problem: str) -> None:
    """Raise unless two fields agree."""
    if not condition:
        raise ValueError(problem)


def _scalar(value: Any) -> Any:
    """Return a parameter of a kernel: a number, a string, null or a truth value."""
    if value is None or isinstance(value, (bool, str)):
        return value
    return whole()(value) if isinstance(value, int) else number()(value)


def _parameter(value: Any) -> Any:
    """Return a parameter of a kernel, of which an array becomes a tuple."""
    return list_of(_scalar)(value) if isinstance(value, list) else _scalar(value)


def _offset(value: Any) -> Any:
    """Return the offset: a number, or one for each channel."""
    return list_of(number())(value) if isinstance(value, list) else number()(value)


def _error(value: Any) -> float:
    """Return a standard error, infinite for null."""
    return math.inf if value is None else float(number(0)(value))


def _bank(check: Check) -> Check:
    """Return the check of weights of a layer, which gives a four-dimensional array."""
    rows = list_of(list_of(table(check)))

    def check_bank(value: Any) -> np.ndarray:
        tables = rows(value)
        if len({each.shape for row in tables for each in row}) > 1 or len({len(row) for row in tables}) > 1:
            raise ValueError("expected kernels of one size, as many for each channel; received others")
        return np.array(tables)

    return check_bank


def _transfer(value: Any) -> Any:
    """Return a transfer function: sRGB or an exponent."""
    return one_of("sRGB")(value) if isinstance(value, str) else number(1e-3, 1e3)(value)


def _light(value: Any) -> Light:
    """Return the light of a fit."""
    return Light(**object_of({"transfer": _transfer, "before_white": _WHITE, "after_white": _WHITE}, {})(value))


def _curve(value: Any) -> Curve:
    """Return the curve of a fit."""
    points = list_of(number(), 2)
    fields = {"place": one_of("before", "after"), "inputs": points, "outputs": points, "description": text}
    curve = Curve(**object_of(fields, {})(value))
    if len(curve.inputs) != len(curve.outputs) or not (np.diff(curve.inputs) > 0).all():
        raise ValueError("expected as many outputs as inputs, and inputs that increase; received others")
    return curve


def _of_varying(varying: Varying) -> dict[str, Any]:
    """Return a kernel that varies as lists and numbers."""
    few = varying.covariances is not None and varying.covariances.size <= _MOST_COVARIANCES
    varying = varying if few else replace(varying, covariances=None)
    fields = {key: _plain(value) for key, value in asdict(varying).items()}
    return fields | {key: _unknown_as_none(fields[key]) for key in ("stderr", "background_stderr")}


def _order(value: Any) -> Any:
    """Return the order of variation: a degree, or the nodes of a grid."""
    if isinstance(value, list):
        return list_of(_counted(1, 1000), 2, 2)(value)
    return _counted(0, LARGEST_DEGREE)(value)


def _counted(least: int, most: int) -> Check:
    """Return the check of an integer between two."""

    def check(value: Any) -> int:
        return int(number(least, most)(whole(least)(value)))

    return check


def _tables(check: Check) -> Check:
    """Return the check of several tables of one size, which gives a three-dimensional array."""

    def check_tables(value: Any) -> np.ndarray:
        tables = list_of(table(check), 1)(value)
        if len({each.shape for each in tables}) > 1:
            raise ValueError("expected kernels of one size; received others")
        return np.array(tables)

    return check_tables


def _varying(value: Any) -> Varying:
    """Return a kernel that varies over the field."""
    fields = {
        "order": _order,
        "shape": list_of(whole(1), 2, 2),
        "bank": _tables(number()),
        "stderr": _tables(_error),
        "background_order": _counted(0, LARGEST_DEGREE),
        "background": table(number()),
        "background_stderr": table(_error),
    }
    varying = Varying(**object_of(fields, {"covariances": (optional(_bank(number())), None)})(value))
    counts = varying.functions.count, Basis(varying.background_order, varying.shape).count
    if len(varying.bank) != counts[0] or varying.background.shape[1] != counts[1]:
        raise ValueError(
            f"expected {counts[0]} kernels and {counts[1]} coefficients of the background; received others"
        )
    if varying.stderr.shape != varying.bank.shape or varying.background_stderr.shape != varying.background.shape:
        raise ValueError("expected errors for all weights and coefficients; received others")
    shape = *varying.bank.shape[1:], len(varying.bank), len(varying.bank)
    if varying.covariances is not None and varying.covariances.shape != shape:
        raise ValueError(f"covariances: expected shape {shape}; received {varying.covariances.shape}")
    return varying


def _covariance(value: Any) -> np.ndarray:
    """Return the covariance in its rows up to the diagonal: that of numbers, whose squares bound their products."""
    rows = list_of(list_of(number()), 0, _MOST_CORRELATED)(value)
    if any(len(row) != i + 1 for i, row in enumerate(rows)):
        raise ValueError("expected rows up to the diagonal, of 1, 2, 3, ... numbers; received others")
    found = np.zeros((len(rows), len(rows)))
    for i, row in enumerate(rows):
        found[i, : i + 1] = found[: i + 1, i] = row
    sd = np.sqrt(np.maximum(np.diag(found), 0.0))
    if (np.diag(found) < 0.0).any() or (np.abs(found) > np.outer(sd, sd) * (1.0 + 1e-6)).any():
        raise ValueError("expected a covariance; received numbers that are none")
    return found


_WHITE = number(1e-300)
_TABLE = table(number())
_RULE = one_of(*BOUNDARIES, "copy", "renormalised")
_RECORD = object_of(
    {
        "format": one_of(FORMAT),
        "version": text,
        "verdict": one_of("exact", "approximate", "undetermined", "not linear"),
        "explanation": text,
        "name": optional(text),
        "description": text,
        "parameters": mapping_of(_parameter),
        "size": list_of(whole()),
        "anchor": list_of(whole(0)),
        "kernel": _TABLE,
        "stderr": table(_error),
        "integers": optional(table(whole(), np.int64)),
        "divisor": optional(whole(1)),
        "offset": _offset,
        "rounding": optional(one_of(*RULES)),
        "boundary": optional(_RULE),
        "cval": number(),
        "boundary_candidates": list_of(_RULE),
        "boundary_reason": text,
        "rank": whole(0),
        "undetermined": list_of(_TABLE),
        "r2": number(0, 1),
        "residual_sd": number(0),
        "samples": whole(0),
        "excluded": whole(0),
        "channels": list_of(text, 1),
        "notes": list_of(text),
        "losses": list_of(number()),
        "layers": list_of(_TABLE),
    },
    # Files of earlier versions do not have these.
    {
        "gain": (number(), 1.0),
        "scale": (number(), 1.0),
        "outliers": (whole(0), 0),
        "errors_note": (text, ""),
        "frame": (optional(list_of(whole(), 2, 2)), None),
        "model": (one_of("shared", "separate", "mixed"), "shared"),
        "bank": (optional(_bank(number())), None),
        "bank_stderr": (optional(_bank(_error)), None),
        "stride": (list_of(whole(1), 2, 2), (1, 1)),
        "light": (optional(_light), None),
        "curve": (optional(_curve), None),
        "varying": (optional(_varying), None),
        "degrees_of_freedom": (optional(number(0)), None),
        "chi_square": (optional(number(0)), None),
        "covariance": (optional(_covariance), None),
    },
)
_NOT_OF_A_FIT = ("format", "version", "size", "anchor")


def _unknown_as_none(values: Any) -> Any:
    """Return nested lists of numbers with None for infinite ones."""
    if isinstance(values, list):
        return [_unknown_as_none(value) for value in values]
    return values if math.isfinite(values) else None


def _plain(value: Any) -> Any:
    """Return `value` converted to the types of JSON."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (tuple, list, np.ndarray)):
        return [_plain(item) for item in value]
    return value
