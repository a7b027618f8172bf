"""Positions of nodes and routes of edges: no two overlap."""

from __future__ import annotations

from itertools import combinations, pairwise

from hypothesis import given
from hypothesis import strategies as st

from kernelfield.receptive.draw.layout import layout


@given(st.integers(2, 25), st.data())
def test_layouts(count, data):
    names = [str(i) for i in range(count)]
    pairs = data.draw(st.lists(st.sampled_from(list(combinations(names, 2))), max_size=2 * count, unique=True))
    pairs = [(a, b) for a, b in pairs if int(a) < int(b)]
    found = layout(names, pairs)
    assert set(found.places) == set(names)
    taken: dict[int, list[tuple[float, float]]] = {}
    for rank, across in found.places.values():
        taken.setdefault(rank, []).append((across, 0.5))
    for pair in pairs:
        route = found.routes[pair]
        assert route[0] == found.places[pair[0]]
        assert route[-1] == found.places[pair[1]]
        assert [b[0] - a[0] for a, b in pairwise(route)] == [1] * (len(route) - 1)
        assert len(route) > 1
        for rank, across in route[1:-1]:
            taken[rank].append((across, 0.175))
    for row in taken.values():
        row.sort()
        for (left, half), (right, other) in pairwise(row):
            assert right - left >= half + other - 1e-9
