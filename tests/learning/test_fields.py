"""Checks of values from JSON: at each end of what they let pass, and just beyond it."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

from kernelfield.learning.fields import (
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

LARGEST = sys.float_info.max


def listed():
    return list_of(whole(0), 1, 3)


@pytest.mark.parametrize(
    ("check", "value", "found"),
    [
        (lambda: text, "", ""),
        (lambda: number(), LARGEST, LARGEST),
        (lambda: number(), -LARGEST, -LARGEST),
        (lambda: number(), 3, 3.0),
        (lambda: number(0.0), 0, 0.0),
        (lambda: number(most=1.0), 1, 1.0),
        (lambda: number(-1.0, 1.0), -1.0, -1.0),
        (lambda: whole(), 2**63 - 1, 2**63 - 1),
        (lambda: whole(), -(2**63), -(2**63)),
        (lambda: whole(3), 3, 3),
        (lambda: one_of("a", 1), 1, 1),
        (lambda: one_of("a", 1), "a", "a"),
        (lambda: optional(whole(1)), None, None),
        (lambda: optional(whole(1)), 1, 1),
        (listed, [0], (0,)),
        (listed, [0, 1, 2], (0, 1, 2)),
        (lambda: list_of(text), [], ()),
        (lambda: mapping_of(whole()), {"a": 1}, {"a": 1}),
        (lambda: object_of({"a": text}, {"b": (whole(), 7)}), {"a": "x"}, {"a": "x", "b": 7}),
        (lambda: object_of({"a": text}, {"b": (whole(), 7)}), {"a": "x", "b": 8}, {"a": "x", "b": 8}),
    ],
)
def test_what_lies_inside_passes(check, value, found):
    assert check()(value) == found
    assert type(check()(value)) is type(found)


@pytest.mark.parametrize(
    ("check", "value", "message"),
    [
        (lambda: text, 3, "expected a string, received 3"),
        (lambda: number(), True, "expected a finite number, received true"),
        (lambda: number(), "3", "expected a finite number, received '3'"),
        (lambda: number(), math.inf, "expected a finite number, received inf"),
        (lambda: number(), 10**309, "expected a finite number, received 1"),
        (lambda: number(0.5), 0.49, "expected a finite number of at least 0.5, received 0.49"),
        (lambda: number(most=2.0), 2.1, "expected a finite number and at most 2, received 2.1"),
        (lambda: number(0.0, 1.0), 1.5, "expected a finite number of at least 0 and at most 1, received 1.5"),
        (lambda: whole(), 2**63, "expected an integer, received 9223372036854775808"),
        (lambda: whole(), -(2**63) - 1, "expected an integer, received -9223372036854775809"),
        (lambda: whole(), False, "expected an integer, received false"),
        (lambda: whole(), 1.0, "expected an integer, received 1.0"),
        (lambda: whole(3), 2, "expected an integer of at least 3, received 2"),
        (lambda: one_of("a", 1), True, "expected one of 'a', 1; received true"),
        (lambda: one_of("a"), "b", "expected 'a'; received 'b'"),
        (lambda: one_of("a"), ["a"], "expected 'a'; received an array of 1"),
        (lambda: one_of("a"), {}, "expected 'a'; received an object"),
        (lambda: optional(whole(1)), 0, "expected an integer of at least 1, received 0"),
        (listed, [], "expected an array of at least 1, received an array of 0"),
        (listed, [0] * 4, "expected an array of at least 1, received an array of 4"),
        (listed, [0, -1], "expected an integer of at least 0, received -1"),
        (lambda: list_of(text, 2, 2), ["a"], "expected an array of 2, received an array of 1"),
        (lambda: list_of(text), "abc", "expected an array of at least 0, received 'abc'"),
        (lambda: table(whole()), [], "expected an array of at least 1, received an array of 0"),
        (lambda: table(whole()), [[]], "expected an array of at least 1, received an array of 0"),
        (lambda: table(whole()), [[1, 2], [3]], "expected rows of one length, received 2 and others"),
        (lambda: mapping_of(whole()), [], "expected an object, received an array of 0"),
        (lambda: mapping_of(whole()), {"a": 1, "b": "x"}, "b: expected an integer, received 'x'"),
        (lambda: object_of({"a": text}, {}), 3, "expected an object, received 3"),
        (lambda: object_of({"a": text}, {}), {}, "no 'a'"),
        (lambda: object_of({"a": text}, {}), {"a": "x", "c": 1}, "'c' is not a field of it"),
        (lambda: object_of({"a": text}, {"b": (whole(), 7)}), {"a": 3}, "a: expected a string, received 3"),
        (
            lambda: object_of({"a": text}, {"b": (whole(), 7)}),
            {"a": "", "b": None},
            "b: expected an integer, received null",
        ),
    ],
)
def test_what_lies_beyond_is_refused_in_a_line(check, value, message):
    with pytest.raises(ValueError, match=r".") as error:
        check()(value)
    assert str(error.value).startswith(message)


def test_a_table_has_its_type():
    found = table(number(), np.float32)([[1, 2], [3, 4.5]])
    assert found.dtype == np.float32
    assert found.tolist() == [[1.0, 2.0], [3.0, 4.5]]
    assert table(whole(), np.int64)([[2**62]]).tolist() == [[2**62]]


def test_long_values_are_cut():
    assert received("x" * 58) == repr("x" * 58)
    assert received("x" * 59) == f"{repr('x' * 59)[:40]}[...]"
    assert (received(True), received(False), received(0)) == ("true", "false", "0")
