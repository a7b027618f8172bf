from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import kernelfield as kf
from kernelfield.errors import DataError, FileError
from kernelfield.learning.record import to_record

RNG = np.random.default_rng(5)
GREY = RNG.integers(0, 256, (60, 70)).astype(np.uint8)
COLOUR = RNG.random((40, 50, 3)).astype(np.float32)
KERNEL = [[0.1, -0.2, 0.05], [0.3, 0.6, 0.0]]


def shrug() -> kf.Fit:
    """A fit that cannot tell: infinite errors, undetermined directions."""
    return kf.learn(np.tile(np.arange(30.0), (20, 1)), np.tile(np.arange(30.0), (20, 1)), size=3)


FITS = {
    "rounded": lambda: kf.learn(GREY, kf.correlate(GREY, [[-1, 18, -1]], dtype="uint8", boundary="mirror")),
    "float": lambda: kf.learn(COLOUR[..., 0], kf.correlate(COLOUR[..., 0], KERNEL)),
    "colour": lambda: kf.learn(COLOUR, np.stack([kf.correlate(COLOUR[..., i], KERNEL) for i in range(3)], axis=2)),
    "named": lambda: kf.learn(COLOUR[..., 0], kf.correlate(COLOUR[..., 0], kf.kernels.gaussian(1.1))),
    "undetermined": shrug,
}


@pytest.fixture(params=FITS)
def fit(request) -> kf.Fit:
    return FITS[request.param]()


def test_what_is_saved_is_what_is_loaded(fit, tmp_path):
    fit.save(tmp_path / "filter.json")
    again = kf.Fit.load(tmp_path / "filter.json")
    np.testing.assert_array_equal(again.kernel.weights, fit.kernel.weights)
    np.testing.assert_array_equal(again.stderr, fit.stderr)
    np.testing.assert_array_equal(again.undetermined, fit.undetermined)
    for name in fit.__dataclass_fields__:
        if name not in ("kernel", "stderr", "undetermined", "integers", "parameters", "covariance"):
            assert getattr(again, name) == getattr(fit, name), name
    assert (again.covariance is None) == (fit.covariance is None)
    if fit.covariance is not None:
        np.testing.assert_allclose(again.covariance, fit.covariance, rtol=1e-8)
    assert dict(again.parameters) == dict(fit.parameters)
    assert (again.anchor, again.size) == (fit.anchor, fit.size)
    np.testing.assert_equal(again.integers, fit.integers)
    assert to_record(again) == to_record(fit)


def test_loaded_filters_do_the_same(fit, tmp_path):
    fit.save(tmp_path / "filter.json")
    image = COLOUR if isinstance(fit.offset, tuple) else GREY
    np.testing.assert_array_equal(kf.Fit.load(tmp_path / "filter.json").apply(image), fit.apply(image))


def test_the_file_is_strict_ascii_json(fit, tmp_path):
    fit.save(tmp_path / "filter.json")
    text = (tmp_path / "filter.json").read_bytes().decode("ascii")
    assert text.endswith("}\n")
    assert json.loads(text, parse_constant=pytest.fail)["format"] == 1


def test_an_unknown_error_is_null():
    assert any(None in row for row in to_record(shrug())["stderr"])


@pytest.mark.parametrize("text", ["", "{}", "[]", "3", '{"format": 1}', '{"format": 7}', "[" * 100_000, "NaN"])
def test_something_else_is_refused(tmp_path, text):
    path = tmp_path / "filter.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"filter\.json"):
        kf.Fit.load(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileError, match="cannot be read"):
        kf.Fit.load(tmp_path / "filter.json")


def test_a_large_file_is_not_read(tmp_path):
    path = tmp_path / "filter.json"
    with path.open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(DataError, match="at most 64 MB"):
        kf.Fit.load(path)


def test_nothing_half_written_is_seen(tmp_path, monkeypatch):
    path = tmp_path / "filter.json"
    path.write_text("old")

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(FileError, match="No space left"):
        shrug().save(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


WRONG = [None, True, -1, 2**70, 10**400, 1.5, math.nan, math.inf, "x" * 5000, [], {}, ["x"], [[1, 2]], [[1], [2, 3]]]
SCHEMA = jsonschema.Draft202012Validator(
    json.loads((Path(__file__).parents[2] / "docs" / "reference" / "filter.schema.json").read_text(encoding="utf-8"))
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value inside a JSON value, of arrays the first and last."""
    if path:
        yield path
    keys = list(value) if isinstance(value, dict) else sorted({0, len(value) - 1}) if isinstance(value, list) else ()
    for key in keys:
        if value:
            yield from places(value[key], (*path, key))


def changed(record: Any, path: tuple[Any, ...], value: Any) -> Any:
    record = inner = copy.deepcopy(record)
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return record


def finite(value: Any) -> bool:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return all(map(finite, parts)) and not (isinstance(value, float) and not math.isfinite(value))


@pytest.mark.parametrize("name", ["named", "undetermined"])
def test_every_field_is_checked(tmp_path, name):
    """The schema in docs/ judges independently; what it lets pass may still disagree with another field."""
    record = to_record(FITS[name]())
    path = tmp_path / "filter.json"
    tried = 0
    for place in places(record):
        for value in WRONG:
            wrong = changed(record, place, value)
            path.write_text(json.dumps(wrong))
            fit, message = None, ""
            try:
                fit = kf.Fit.load(path)
            except DataError as error:
                message = str(error)
            if fit is None:
                assert len(message) <= 600
                assert "\n" not in message
                assert str(place[0]) in message
            else:
                assert SCHEMA.is_valid(wrong), (place, value)
                assert finite(wrong), (place, value)
                json.dumps(to_record(fit), allow_nan=False)
            tried += 1
    assert tried > 400


@pytest.mark.parametrize("key", list(to_record(FITS["named"]())))
def test_no_field_may_be_missing_and_none_is_added(tmp_path, key):
    record = to_record(FITS["named"]())
    path = tmp_path / "filter.json"
    less = {name: value for name, value in record.items() if name != key}
    for wrong in (less, record | {f"{key}s_": 1}):
        if SCHEMA.is_valid(wrong):
            # Files of earlier versions lack it.
            path.write_text(json.dumps(wrong))
            assert to_record(kf.Fit.load(path)) in (record, record | {key: None})
            continue
        path.write_text(json.dumps(wrong))
        with pytest.raises(DataError, match=key):
            kf.Fit.load(path)


@pytest.mark.parametrize(
    "change",
    [
        {"size": [3, 5]},
        {"anchor": [9, 0]},
        {"stderr": [[0.0]]},
        {"rank": 10_000},
        {"divisor": 16},
        {"integers": [[1]], "divisor": 1},
        {"undetermined": [[[1.0]]]},
        {"channels": ["R", "G", "B"], "offset": [1.0, 2.0]},
        {"name": "no such family"},
        {"name": "gaussian", "parameters": {}},
    ],
    ids=lambda change: "-".join(change),
)
def test_fields_that_disagree_are_refused(tmp_path, change):
    path = tmp_path / "filter.json"
    path.write_text(json.dumps(to_record(FITS["named"]()) | change))
    with pytest.raises(DataError, match=next(iter(change)) if "name" not in change else "parameters"):
        kf.Fit.load(path)
