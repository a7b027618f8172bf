"""Sums that add without rounding, in a fixed tree."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kernelfield.learning.sums import Sums, in_tree, joined, levels

WHOLE = st.integers(-(2**52), 2**52)


@given(st.lists(st.lists(WHOLE, min_size=2, max_size=2), min_size=1, max_size=200), st.randoms(use_true_random=False))
def test_integers_add_exactly_in_any_order(rows: list[list[int]], order: random.Random) -> None:
    parts = [Sums.of(row[0], np.array(row, np.float64) * 2.0**30, largest=row) for row in rows]
    order.shuffle(parts)
    cut = order.randint(1, len(parts))
    total = joined([joined(parts[:cut]), *parts[cut:]])
    assert int(total.high[0]) + int(total.low[0]) == sum(row[0] for row in rows)
    assert total.added[0] == float(sum(row[0] for row in rows))
    for i in range(2):
        assert int(total.high[1][i]) + int(total.low[1][i]) == 2**30 * sum(row[i] for row in rows)
        assert total.largest[i] == max(row[i] for row in rows)


def test_sums_beyond_float64_keep_their_last_digit() -> None:
    many = joined([Sums.of(2.0**53), *[Sums.of(1.0)] * 5])
    assert int(many.high[0]) + int(many.low[0]) == 2**53 + 5
    assert joined([many, Sums.of(-(2.0**53))]).added[0] == 5.0


def test_infinite_ends_and_sums_that_overflow_stay_what_they_are() -> None:
    total = Sums.of(np.inf, largest=(-np.inf,)) + Sums.of(1.0, largest=(-np.inf,))
    assert total.added[0] == np.inf
    assert total.largest[0] == -np.inf


@given(st.integers(1, 700))
def test_the_tree_takes_every_leaf_once_and_in_order(count: int) -> None:
    assert in_tree(lambda leaf: [leaf], count) == list(range(count))
    for level in levels(count):
        assert [i for group in level for i in group] == list(range(count))
        count = len(level)
    assert count == 1


def test_rows_are_listed_in_the_order_of_the_tiles() -> None:
    parts = [Sums.of(rows=np.full((n, 2), float(n))) for n in (1, 0, 2)]
    assert joined(parts).rows[:, 0].tolist() == [1.0, 2.0, 2.0]
