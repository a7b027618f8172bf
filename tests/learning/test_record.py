from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import kernelfield as kf
from kernelfield.errors import DataError, FileError
from kernelfield.kernels import Kernel
from kernelfield.learning.curve import Curve
from kernelfield.learning.fit import designed
from kernelfield.learning.light import Light
from kernelfield.learning.record import build, parse, read_data, to_record
from kernelfield.learning.varying import Varying

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
    "named": lambda: kf.learn(COLOUR[..., 0], kf.correlate(COLOUR[..., 0], kf.kernels.gaussian(1.1, 3))),
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


def test_one_byte_more_than_the_most_is_read(tmp_path):
    path = tmp_path / "filter.json"
    path.write_bytes(b"12345")
    assert [read_data(path, most) for most in (3, 4, 5, 6)] == [b"1234", *[b"12345"] * 3]


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


def test_no_field_may_be_missing_and_none_is_added():
    record = to_record(FITS["named"]())
    for key in record:
        less = {name: value for name, value in record.items() if name != key}
        for wrong in (less, record | {f"{key}s_": 1}):
            if SCHEMA.is_valid(wrong):
                # Files of earlier versions lack it.
                assert to_record(loaded(wrong)) in (record, record | {key: None})
            else:
                with pytest.raises(DataError, match=key):
                    loaded(wrong)


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


def rich() -> kf.Fit:
    """A fit of three channels in which nothing has the value that a file of an earlier version stands for."""
    rng = np.random.default_rng(2)
    numbers = rng.normal(size=(6, 9))
    errors = rng.random((3, 2, 3)) + 0.1
    errors[1, 0, 2] = math.inf
    varying = Varying(
        1, (40, 50), rng.normal(size=(3, 2, 3)), errors, 1, rng.normal(size=(3, 3)), rng.random((3, 3)) + 0.1,
        rng.normal(size=(2, 3, 3, 3)),
    )  # fmt: skip
    return replace(
        designed(Kernel(KERNEL, anchor=(1, 2)), "a filter"),
        offset=(1.0, -2.5, 0.25),
        channels=("R", "G", "B"),
        boundary="renormalised",
        cval=3.0,
        boundary_candidates=("copy", "renormalised"),
        rank=4,
        undetermined=rng.normal(size=(2, 2, 3)),
        rounding="nearest even",
        losses=(2.0, 1.0),
        layers=(Kernel(np.ones((1, 3))), Kernel(np.ones((2, 1)))),
        gain=2.0,
        scale=0.5,
        outliers=3,
        errors_note="only nearly",
        frame=(3, -4),
        model="mixed",
        bank=rng.normal(size=(3, 2, 2, 3)),
        bank_stderr=rng.random((3, 2, 2, 3)) + 0.1,
        stride=(2, 1),
        light=Light("sRGB", 255.0, 65535.0),
        curve=Curve("after", (0.0, 1.0, 3.0), (0.0, 2.0, 2.5), "a curve"),
        varying=varying,
        degrees_of_freedom=5.5,
        chi_square=1.25,
        covariance=numbers @ numbers.T,
    )


RICH = to_record(rich())


def loaded(record: Any) -> kf.Fit:
    return build(kf.Fit, json.loads(json.dumps(record, allow_nan=False)), "file")


def flat(value: Any) -> Any:
    """A value of a fit as what compares with ``==``."""
    if isinstance(value, (Kernel, Varying, Light, Curve)):
        names = ("weights", "anchor") if isinstance(value, Kernel) else value.__dataclass_fields__
        return [flat(getattr(value, name)) for name in names]
    if isinstance(value, (tuple, list)):
        return [flat(each) for each in value]
    return value.tolist() if isinstance(value, np.ndarray) else value


def test_everything_in_a_fit_is_saved():
    fit, again = rich(), loaded(RICH)
    for name in fit.__dataclass_fields__:
        if name != "covariance":
            assert flat(getattr(again, name)) == flat(getattr(fit, name)), name
    np.testing.assert_allclose(again.covariance, fit.covariance, rtol=1e-8)
    assert to_record(again) == RICH
    assert SCHEMA.is_valid(RICH)


def test_files_of_earlier_versions_are_read_with_what_they_meant():
    plain = designed(kf.kernels.box(3), "box 3×3")
    record = to_record(plain)
    earlier = {
        key: value
        for key, value in record.items()
        if not SCHEMA.is_valid({name: record[name] for name in record if name != key})
    }
    assert len(earlier) < len(record)
    assert to_record(loaded(earlier)) == record


def inside(*path: Any) -> Callable[[Any], Any]:
    """The change of one value in a record."""
    return lambda value: changed(RICH, path, value)


def cut(value: Any, *path: Any) -> Any:
    """A record with a list in it cut to its first values."""
    inner = RICH
    for key in path:
        inner = inner[key]
    return changed(RICH, path, inner[:value])


def of_order(order: Any, count: int, key: str = "order") -> Any:
    """A record with a kernel, or a background, that varies with so many functions."""
    varying = RICH["varying"] | {key: order, "covariances": None}
    if key == "order":
        varying |= {"bank": [KERNEL] * count, "stderr": [POSITIVE] * count}
    else:
        varying |= {"background": [[1.0] * count] * 3, "background_stderr": [[1.0] * count] * 3}
    return RICH | {"varying": varying}


def both(change: Callable[[Any], Any]) -> Any:
    """A record with weights and errors of the channels changed alike."""
    return RICH | {"bank": change(RICH["bank"]), "bank_stderr": change(RICH["bank_stderr"])}


POSITIVE = np.abs(KERNEL).tolist()
ONE = {"size": [1, 1], "anchor": [0, 0], "kernel": [[2.0]], "stderr": [[0.0]], "rank": 1, "undetermined": [],
       "integers": None, "divisor": None,
       "covariance": [[0.5]], "varying": None, "channels": ["a"], "offset": [1.0], "bank": [[[[1.0]]]],
       "bank_stderr": [[[[None]]]], "layers": [], "losses": [], "notes": []}  # fmt: skip


INSIDE = [
    RICH | ONE,
    RICH | ONE | {"stride": [1, 1], "outliers": 0, "frame": [-(2**63), 2**63 - 1], "gain": -1.0},
    RICH | ONE | {"covariance": [[0.0]], "rank": 0, "samples": 0, "excluded": 0, "residual_sd": 0, "r2": 0},
    RICH | ONE | {"degrees_of_freedom": 0, "chi_square": 0, "r2": 1, "offset": 1.5},
    RICH | {"model": "separate"},
    both(lambda bank: [row[:1] for row in bank]),
    both(lambda bank: [row * 2 for row in bank]),
    *map(inside("light", "transfer"), (1e-3, 1e3, 1, 2.2, "sRGB")),
    inside("light", "before_white")(1e-300),
    RICH | {"curve": RICH["curve"] | {"inputs": [0.0, 1e-300], "outputs": [3, 1]}},
    inside("curve", "place")("before"),
    of_order(0, 1),
    of_order(5, 21),
    of_order([1, 1], 1),
    of_order([2, 3], 6),
    of_order(0, 1, "background_order"),
    of_order(5, 21, "background_order"),
    inside("varying", "shape")([1, 1]),
    # Correlations of 1, as nine digits write them.
    RICH | ONE | {"kernel": [[1.0, 2.0]], "stderr": [[1.0, 1.0]], "size": [1, 2], "bank": [[[[1.0, 2.0]]]],
                  "bank_stderr": [[[[1.0, 2.0]]]], "covariance": [[4.0], [-2.0000019, 1.0]]},
]  # fmt: skip


def test_what_a_file_may_hold_at_the_least_and_the_most():
    for record in INSIDE:
        found = to_record(loaded(record))
        assert {key: found[key] for key in record} == record


def test_the_schema_has_the_same_limits():
    assert all(SCHEMA.is_valid(record) for record in INSIDE)


def test_a_grid_of_a_thousand_nodes():
    assert len(loaded(of_order([1000, 1], 1000)).varying.bank) == 1000


BEYOND = [
    *((cut(1, name), name) for name in ("size", "anchor", "stride", "frame", "kernel", "stderr")),
    *((changed(RICH, (name,), [*RICH[name], 1]), name) for name in ("size", "anchor", "stride", "frame")),
    *((inside(name, i)(0), name) for name in ("size", "stride") for i in (0, 1)),
    *((inside("anchor", i)(n), "anchor") for i, n in ((0, 2), (1, 3), (0, -1), (1, -1))),
    *((changed(RICH, (name,), -1), name) for name in ("outliers", "samples", "excluded", "rank", "divisor")),
    *((changed(RICH, (name,), -0.1), name) for name in ("r2", "residual_sd", "degrees_of_freedom", "chi_square")),
    (inside("format")(2), "format: expected 1, received 2; use the version of it"),
    (inside("r2")(1.1), "r2"),
    (inside("rank")(7), "rank"),
    (inside("stderr", 0, 0)(-0.1), "stderr"),
    (inside("channels")([]), "channels"),
    (inside("channels")(["R", "G"]), "offset"),
    (inside("divisor")(0), "divisor"),
    (inside("integers")(None), "integers"),
    (inside("integers")([[1, 2]]), "integers"),
    (inside("integers", 0, 0)(2**63), "integers"),
    (inside("undetermined", 1)([[1.0]]), "undetermined"),
    (inside("bank")(None), "bank"),
    (inside("bank_stderr")(None), "bank"),
    (RICH | {"bank": None, "bank_stderr": None}, "model, bank"),
    (inside("model")("shared"), "model, bank"),
    (inside("model")("one"), "model"),
    (cut(2, "bank"), "bank_stderr"),
    (both(lambda bank: bank[:2]), "bank: expected kernels for 3"),
    (both(lambda bank: bank + bank[:1]), "bank: expected kernels for 3"),
    (both(lambda bank: [[each[:1] for each in row] for row in bank]), "bank: its kernels"),
    (both(lambda bank: [[[line[:2] for line in each] for each in row] for row in bank]), "bank: its kernels"),
    (both(lambda bank: [bank[0][:1], *bank[1:]]), "bank: expected kernels of one size"),
    (both(lambda bank: [[bank[0][0][:1], bank[0][1]], *bank[1:]]), "bank: expected kernels of one size"),
    (both(lambda bank: [[], [], []]), "bank"),
    *((inside("light", "transfer")(wrong), "light: transfer") for wrong in ("srgb", 9e-4, 1001, None, True)),
    *((inside("light", name)(0), f"light: {name}") for name in ("before_white", "after_white")),
    (inside("light")({"transfer": 2.2}), "light"),
    (inside("curve", "place")("within"), "curve: place"),
    (cut(2, "curve", "outputs"), "as many outputs as inputs"),
    (inside("curve", "inputs")([0.0, 1.0, 1.0]), "inputs that increase"),
    (inside("curve", "inputs")([0.0, 1.0, 0.5]), "inputs that increase"),
    (inside("curve", "inputs")([1.0, 0.5, 2.0]), "inputs that increase"),
    (RICH | {"curve": RICH["curve"] | {"inputs": [0.0], "outputs": [1.0]}}, "curve: inputs"),
    *((of_order(order, 3), "varying: order") for order in (-1, 6, [0, 3], [3, 0], [3], [3, 1, 1], [1001, 1], 1.5)),
    *((of_order(order, 3, "background_order"), "varying: background_order") for order in (-1, 6, [1, 3])),
    (of_order(1, 4), "expected 3 kernels and 3 coefficients"),
    (of_order(1, 2), "expected 3 kernels and 3 coefficients"),
    (of_order(1, 4, "background_order"), "expected 3 kernels and 3 coefficients"),
    *((inside("varying", "shape")(wrong), "varying: shape") for wrong in ([0, 5], [5, 0], [5], [5, 5, 5])),
    (inside("varying", "bank", 0)([[1.0]]), "varying: bank: expected kernels of one size"),
    (inside("varying", "stderr", 2)([[1.0]]), "varying: stderr: expected kernels of one size"),
    (inside("varying", "bank")([]), "varying: bank"),
    (inside("varying", "stderr", 0, 0, 0)(-1), "varying: stderr"),
    (cut(2, "varying", "stderr"), "expected errors for all"),
    (cut(2, "varying", "background_stderr"), "expected errors for all"),
    (inside("varying", "covariances")([[[[1.0]]]]), "covariances: expected shape"),
    (cut(1, "varying", "covariances"), "covariances: expected shape"),
    (RICH | {"varying": RICH["varying"] | {key: RICH["varying"][key][:2]
                                           for key in ("background", "background_stderr")}},
     "varying: expected a background for each of 3"),
    (RICH | {"varying": of_order(1, 3)["varying"] | {"bank": [KERNEL[:1]] * 3, "stderr": [POSITIVE[:1]] * 3}},
     "varying: its kernels"),
    (RICH | {"varying": of_order(1, 3)["varying"] | {"bank": [[r[:2] for r in KERNEL]] * 3,
                                                     "stderr": [[r[:2] for r in POSITIVE]] * 3}},
     "varying: its kernels"),
    (cut(5, "covariance"), "covariance: it differs"),
    (inside("covariance", 1)([1.0]), "covariance: expected rows up to the diagonal"),
    (inside("covariance", 0, 0)(-1e-9), "covariance: expected a covariance"),
    *((changed(RICH | {"covariance": np.tril(np.full((6, 6), 4.0)).tolist()}, ("covariance",),
               [[4.0] * (i + 1) if i != 3 else [4.0, wrong, 4.0, 4.0] for i in range(6)]),
       "covariance: expected a covariance") for wrong in (4.000005, -4.000005, 9.0)),
    (inside("covariance")([[1.0] * (i + 1) for i in range(122)]), "covariance: expected an array"),
]  # fmt: skip


def test_what_lies_beyond_or_disagrees_is_refused():
    for record, field in BEYOND:
        with pytest.raises(DataError, match="learn it again") as error:
            loaded(record)
        assert field in str(error.value)


@pytest.mark.parametrize(("shape", "saved"), [((11, 11), True), ((1, 121), True), ((2, 61), False)])
def test_covariances_of_many_weights_are_not_saved(shape, saved):
    count = shape[0] * shape[1]
    fit = replace(designed(Kernel(np.ones(shape)), "box"), covariance=np.eye(count) / 3.0)
    found = to_record(fit)["covariance"]
    if saved:
        assert [len(row) for row in found] == list(range(1, count + 1))
        assert (found[-1][-1], found[2][:2]) == (0.333333333, [0.0, 0.0])
        np.testing.assert_allclose(loaded(to_record(fit)).covariance, fit.covariance, rtol=1e-8)
    else:
        assert found is None


@pytest.mark.parametrize(("columns", "saved"), [(20, True), (21, False)])
def test_covariances_of_many_kernels_are_not_saved(columns, saved):
    bank = np.ones((10, 10, columns))
    varying = Varying(3, (40, 50), bank, bank, 0, np.ones((1, 1)), np.ones((1, 1)), np.ones((10, columns, 10, 10)))
    record = to_record(replace(designed(Kernel(bank[0]), "box"), varying=varying))
    assert (record["varying"]["covariances"] is not None) == saved
    assert np.shape(record["varying"]["bank"]) == bank.shape


def test_numbers_of_numpy_are_written_as_numbers():
    fit = replace(rich(), offset=np.float32(1.5), curve=Curve("after", (np.float32(0), 1), (np.int64(2), 3), ""))
    record = json.loads(json.dumps(to_record(fit)))
    assert (record["offset"], record["curve"]["inputs"], record["curve"]["outputs"]) == (1.5, [0, 1], [2, 3])


def test_the_name_of_a_mix_is_not_that_of_its_kernel():
    record = to_record(designed(kf.kernels.gaussian(1.1), "Gaussian, sigma 1.1"))
    assert loaded(record).kernel.name == "gaussian"
    assert dict(loaded(record).kernel.parameters) == {"sigma": 1.1, "size": (9, 9)}
    assert [type(n) for n in loaded(record).kernel.parameters["size"]] == [int, int]
    bank = np.array(record["kernel"])[None, None]
    mixed = record | {"model": "mixed", "bank": bank.tolist(), "bank_stderr": np.ones_like(bank).tolist()}
    fit = loaded(mixed)
    assert (fit.name, fit.kernel.name, dict(fit.kernel.parameters)) == ("gaussian", None, {})
    with pytest.raises(DataError, match="not those of a kernel of the catalogue"):
        loaded(record | {"parameters": {"sigma": [1.0, None]}})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\xd8\xff\xe0", "received binary data"),
        (b"{", "received something else"),
        (b"[" * 100_000, "received something else"),
        (b"1" * 5000, "received something else"),
        (b" " * (64 << 20) + b"3", "received more"),
    ],
    ids=("binary", "cut", "deep", "digits", "large"),
)
def test_data_that_are_no_json(data, message):
    with pytest.raises(DataError, match=message):
        parse(data, "file")


def test_the_largest_file_is_read():
    assert parse(b"3" + b" " * ((64 << 20) - 1), "file") == 3
    assert parse(b"\xef\xbb\xbf[1]", "file") == [1]
