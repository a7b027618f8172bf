"""Layered layout of a directed graph: ranks from top to bottom, few crossings, short edges.

After Sugiyama, Tagawa and Toda, "Methods for Visual Understanding of Hierarchical System Structures", IEEE Transactions
on Systems, Man, and Cybernetics 11 (1981): ranks by the longest path, a dummy on every rank that an edge passes, the
order within a rank by the mean of the neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

_SWEEPS = 8
# Width of a dummy, which is a line, in widths of a node.
_NARROW = 0.35

Pair = tuple[str, str]


@dataclass(frozen=True)
class Layout:
    """Positions of nodes and routes of edges.

    Parameters
    ----------
    places : dict
        Name of a node to its rank, from 0, and its position within the rank; neighbours are at least 1 apart.
    routes : dict
        Edge to its points (rank, across), one on each rank from its source to its target.
    """

    places: dict[str, tuple[int, float]]
    routes: dict[Pair, list[tuple[int, float]]]


def layout(names: Sequence[str], edges: Iterable[Pair]) -> Layout:
    """Return positions for nodes and routes for edges.

    Parameters
    ----------
    names : sequence of str
        The nodes, each after those it reads.
    edges : iterable of (str, str)
        Source and target.

    Examples
    --------
    >>> layout("abcd", [("a", "b"), ("b", "c"), ("a", "c"), ("c", "d")]).places["c"][0]
    2
    """
    wanted = list(dict.fromkeys(edges))
    rank = dict.fromkeys(names, 0)
    for name in names:
        rank[name] = max((rank[source] + 1 for source, target in wanted if target == name), default=0)
    chains = {pair: _chain(pair, rank) for pair in wanted}
    rows: list[list[str]] = [[] for _ in range(max(rank.values()) + 1)]
    level = dict(rank)
    for pair, chain in chains.items():
        for step, dummy in enumerate(chain[1:-1], rank[pair[0]] + 1):
            level[dummy] = step
    for name in level:
        rows[level[name]].append(name)
    above: dict[str, list[str]] = {name: [] for name in level}
    below: dict[str, list[str]] = {name: [] for name in level}
    for chain in chains.values():
        for upper, lower in pairwise(chain):
            above[lower].append(upper)
            below[upper].append(lower)
    across = {name: float(i) for row in rows for i, name in enumerate(row)}
    for sweep in range(_SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            neighbours = above if sweep % 2 == 0 else below
            wish = {name: _mean([across[n] for n in neighbours[name]], across[name]) for name in row}
            row.sort(key=lambda name: wish[name])
            across.update(zip(row, _apart([wish[name] for name in row], [_width(name, rank) for name in row])))
    # Finally move dummies and nodes to the mean of both sides, for straight lines.
    for row in rows:
        wish = {name: _mean([across[n] for n in above[name] + below[name]], across[name]) for name in row}
        across.update(zip(row, _apart([wish[name] for name in row], [_width(name, rank) for name in row])))
    places = {name: (rank[name], across[name]) for name in names}
    return Layout(places, {pair: [(level[n], across[n]) for n in chain] for pair, chain in chains.items()})


def _chain(pair: Pair, rank: dict[str, int]) -> list[str]:
    """Return the nodes of an edge: its ends, and a dummy for each rank between them."""
    source, target = pair
    return [source, *(f"{source}\0{target}\0{r}" for r in range(rank[source] + 1, rank[target])), target]


def _width(name: str, rank: dict[str, int]) -> float:
    return 1.0 if name in rank else _NARROW


def _mean(numbers: list[float], default: float) -> float:
    return sum(numbers) / len(numbers) if numbers else default


def _apart(wishes: Sequence[float], widths: Sequence[float]) -> list[float]:
    """Return the positions nearest to the wishes (least squares), in their order and without overlap.

    Examples
    --------
    >>> _apart([0.0, 0.0], [1.0, 1.0])
    [-0.5, 0.5]
    """
    starts = [0.0]
    for left, right in pairwise(widths):
        starts.append(starts[-1] + (left + right) / 2)
    # Minus the room that they need, positions only have to ascend: pool adjacent violators.
    blocks: list[tuple[float, int]] = []
    for wish, start in zip(wishes, starts):
        total, count = wish - start, 1
        while blocks and blocks[-1][0] / blocks[-1][1] >= total / count:
            more, others = blocks.pop()
            total, count = total + more, count + others
        blocks.append((total, count))
    levels = [total / count for total, count in blocks for _ in range(count)]
    return [start + place for start, place in zip(starts, levels)]
