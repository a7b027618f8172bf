"""Matrix products, Einstein sums and attention: axes that are summed over are read as a whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kernelfield.errors import ArgumentError
from kernelfield.receptive.builder.core import Core, Read
from kernelfield.receptive.builder.promotion import promoted_where
from kernelfield.receptive.builder.value import Value
from kernelfield.receptive.graph import AxisMap, Link

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def matmul(builder: Core, name: str, a: Value, b: Value, *, operation: str = "matrix product") -> Value:
    """Return a matrix product, by NumPy's rules."""
    if not a.ndim or not b.ndim:
        raise ArgumentError(f"{name}: expected matrices or vectors; received a scalar")
    rank = max(a.ndim, b.ndim)
    batch = _LETTERS[: max(0, rank - 2)]
    left = "z" if a.ndim == 1 else batch[len(batch) - a.ndim + 2 :] + "yz"
    right = "z" if b.ndim == 1 else batch[len(batch) - b.ndim + 2 :] + "zx"
    out = batch + ("y" if a.ndim > 1 else "") + ("x" if b.ndim > 1 else "")
    return _product(builder, name, operation, [left, right], out, [a, b])


def einsum(builder: Core, name: str, equation: str, *xs: Value) -> Value:
    """Return an Einstein sum."""
    terms, arrow, out = equation.replace(" ", "").partition("->")
    inputs = terms.split(",")
    if len(inputs) != len(xs):
        raise ArgumentError(f"{name}: expected {len(xs)} operands; received the equation {equation!r}")
    if "..." in equation:
        used = set(equation)
        free = [letter for letter in _LETTERS + _LETTERS.upper() if letter not in used]
        ranks = [
            x.ndim - len(term.replace("...", "")) if "..." in term else 0 for term, x in zip(inputs, xs, strict=True)
        ]
        most = free[: max(ranks)]
        inputs = [
            term.replace("...", "".join(most[len(most) - rank :])) for term, rank in zip(inputs, ranks, strict=True)
        ]
        out = out.replace("...", "".join(most)) if arrow else "".join(most)
    if not arrow:
        letters = "".join(inputs)
        out += "".join(sorted(a for a in set(letters) if letters.count(a) == 1 and a not in out))
    return _product(builder, name, "einsum", inputs, out, list(xs))


def _product(builder: Core, name: str, operation: str, terms: Sequence[str], out: str, xs: Sequence[Value]) -> Value:
    extents: dict[str, int] = {}
    for term, x in zip(terms, xs, strict=True):
        if len(term) != x.ndim or len(set(term)) != len(term) or not term.isalpha():
            raise ArgumentError(f"{name}: expected one letter for each of {x.ndim} axes; received {term!r}")
        for letter, n in zip(term, x.shape, strict=True):
            known = extents.setdefault(letter, n)
            if known != n and 1 not in (known, n):
                raise ArgumentError(f"{name}: expected extents that agree; received {known} and {n}")
            extents[letter] = max(known, n)
    if not set(out) <= set(extents):
        raise ArgumentError(f"{name}: expected letters of the operands; received {out!r}")
    shape = [extents[letter] for letter in out]
    grid = [
        any(letter in term and x.axes[term.index(letter)] is not None and x.shape[term.index(letter)] == n
            for term, x in zip(terms, xs, strict=True))
        for letter, n in zip(out, shape, strict=True)
    ]  # fmt: skip
    numbers = {letter: sum(grid[:u]) for u, letter in enumerate(out) if grid[u]}
    reads = []
    for term, x in zip(terms, xs, strict=True):
        if x.node is None:
            continue
        x = promoted_where(builder, x, [letter in numbers for letter in term])
        links = tuple(
            Link((numbers[term[t]],)) if term[t] in numbers and x.shape[t] == extents[term[t]] else Link((), None)
            for t in x.grid
        )
        reads.append(Read(x, links, labels=_kept(builder, x, term, out)))
    return builder.add(name, operation, shape, grid, reads)


def _kept(builder: Core, x: Value, term: str, out: str) -> np.ndarray | None:
    """Return the labels of an operand for the channels of the product."""
    labels = builder.united_channels(x, [t for t, letter in enumerate(term) if letter not in out])
    if labels is None:
        return None
    kept = [letter for letter in out if letter in term]
    labels = labels.transpose([*(term.index(a) for a in kept), *(t for t, a in enumerate(term) if a not in out)])
    extents = dict(zip(kept, labels.shape, strict=False))
    return labels.reshape([extents.get(letter, 1) for letter in out])


def attention(
    builder: Core,
    name: str,
    query: Value,
    key: Value,
    value: Value,
    *,
    allowed: np.ndarray | None = None,
    mask: Value | None = None,
) -> Value:
    """Return the attention of ``(…, L, E)`` queries, which reads its own query and the keys and values.

    Parameters
    ----------
    name : str
    query, key, value : Value
    allowed : array of bool, shape (…, L, S), optional
        The keys that each query may read, where a constant mask says so; all if not given.
    mask : Value, optional
        A mask ``(…, L, S)`` that depends on the image: each query reads its row.
    """
    rank = max(query.ndim, key.ndim, value.ndim)
    shape = [max(sizes) for sizes in zip(*((1,) * (rank - x.ndim) + x.shape for x in (query, key, value)), strict=True)]
    shape[-2:] = [query.shape[-2], value.shape[-1]]
    grid = []
    for t, n in enumerate(shape[:-1]):
        of = [query] if t == rank - 2 else [query, key, value]
        places = [(x, t - rank + x.ndim) for x in of]
        grid.append(any(u >= 0 and x.axes[u] is not None and x.shape[u] == n for x, u in places))
    grid.append(False)
    bound = ""
    some = _Allowed(shape, grid, allowed)
    if some.merged and any(x.axes[-2] is not None for x in (key, value)):
        bound = "upper bound: masks that differ between heads are united"
    # A mask may make queries differ that are alike otherwise.
    reads = []
    for role, x in enumerate((query, key, value)):
        if x.node is None:
            continue
        links = []
        for t in x.grid:
            u = t + rank - x.ndim
            own = u < rank - 2 or (u == rank - 2 and role == 0)
            if own and grid[u] and x.shape[t] == shape[u]:
                links.append(Link((sum(grid[:u]),)))
            elif u == rank - 2 and role:
                links.append(some.link(x.shape[t]))
            else:
                links.append(Link((), None))
        reads.append(Read(x, tuple(links)))
    if mask is not None and mask.node is not None:
        links = []
        for t in mask.grid:
            u = t + rank - mask.ndim
            inside = u < rank - 1 and grid[u] and mask.shape[t] == shape[u]
            links.append(Link((sum(grid[:u]),)) if inside else Link((), None))
        reads.append(Read(mask, tuple(links)))
    return builder.add(name, "attention", shape, grid, reads, bound=bound)


class _Allowed:
    """The keys that each position of the result of an attention may read, by a constant mask."""

    def __init__(self, shape: Sequence[int], grid: list[bool], allowed: np.ndarray | None) -> None:
        self.axes: tuple[int, ...] = ()
        self.table: np.ndarray | None = None
        self.merged = False
        if allowed is None or allowed.all():
            return
        rank = len(shape)
        allowed = allowed.reshape((1,) * (rank - allowed.ndim) + allowed.shape)
        varying = [t for t in range(rank - 1) if (allowed != allowed.take([0], t)).any()]
        # Queries that a mask makes differ are positions.
        if rank - 2 in varying:
            grid[rank - 2] = True
        gone = tuple(t for t in varying if not grid[t])
        self.merged = bool(gone)
        allowed = np.asarray(allowed.any(axis=gone, keepdims=True))
        kept = [t for t in varying if grid[t]]
        for t in range(rank - 1):
            if t not in kept:
                allowed = allowed.take([0], t)
        self.axes = tuple(sum(grid[:t]) for t in kept)
        self.table = allowed.reshape(-1, allowed.shape[-1])

    def link(self, extent: int) -> Link:
        """Return the link to an axis of keys."""
        if self.table is None or self.table.shape[1] != extent:
            return Link((), None)
        taps = tuple(tuple(np.flatnonzero(row).tolist()) for row in self.table)
        return Link(self.axes, AxisMap(len(taps), 0, taps))
