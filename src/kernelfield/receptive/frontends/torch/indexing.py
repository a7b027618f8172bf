"""Rules of PyTorch's operations that move elements: slices, gathering, padding, rolling, concatenation."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernelfield.receptive.builder import Value
from kernelfield.receptive.frontends.torch.arithmetic import plain_name
from kernelfield.receptive.frontends.torch.call import Call

# PyTorch's padding modes -> the names of scipy.ndimage.
_PADDING = {"constant": "constant", "reflect": "mirror", "replicate": "nearest", "circular": "wrap"}
_END = 1 << 62
# Elements that a scatter puts, and elements that it puts into one place.
_MOST_SCATTERED, _MOST_TURNS = 1 << 20, 64


def _range(n: int, start: int | None, end: int | None, step: int) -> range:
    return range(*slice(start, None if end is None or end >= _END else end, step).indices(n))


def _part(call: Call, name: str, x: Value, axis: int, start: int, stop: int, step: int = 1) -> Value:
    t = x.axis(axis)
    kept = len(_range(x.shape[t], start, stop, step))
    if not kept:
        return call.builder.constant((*x.shape[:t], 0, *x.shape[t + 1 :]))
    starts = [start if u == t else 0 for u in range(x.ndim)]
    stops = [stop if u == t else None for u in range(x.ndim)]
    steps = [step if u == t else 1 for u in range(x.ndim)]
    return call.builder.slice(name, x, starts=starts, stops=stops, steps=steps)


def slice_(call: Call) -> Any:
    """Return ``x[…, start:end:step, …]``."""
    t = call.x.axis(call.get("dim", 0))
    kept = _range(call.x.shape[t], call.get("start"), call.get("end"), call.get("step", 1))
    if kept == range(call.x.shape[t]):
        return call.builder.alias(call.name, call.x)
    return _part(call, call.name, call.x, t, kept.start, kept.stop, kept.step)


def narrow(call: Call) -> Any:
    """Return the output of `narrow`."""
    start, t = call["start"], call.x.axis(call["dim"])
    start = start + call.x.shape[t] if start < 0 else start
    return _part(call, call.name, call.x, t, start, start + call["length"])


def select(call: Call) -> Any:
    """Return ``x[:, i]``."""
    return call.builder.take(call.name, call.x, axis=call["dim"], indices=[call["index"]], keep_axis=False)


def split(call: Call) -> Any:
    """Return the outputs of `split`, `chunk`, `tensor_split` and `unbind`: pieces along an axis."""
    x = call.x
    t = x.axis(call.get("dim", 0))
    if call.operation == "aten::unbind":
        return [
            call.builder.take(f"{call.name}.{i}", x, axis=t, indices=[i], keep_axis=False) for i in range(x.shape[t])
        ]
    pieces, start = [], 0
    for i, piece in enumerate(call.result):
        stop = start + int(piece.shape[t])
        pieces.append(_part(call, f"{call.name}.{i}", x, t, start, stop))
        start = stop
    return pieces


def concatenate(call: Call) -> Any:
    """Return the output of `cat`; tensors without elements are left out, as in PyTorch."""
    xs = [x for x in call.values if x.shape != (0,)]
    return call.builder.concatenate(call.name, xs, axis=call.get("dim", 0))


def stack(call: Call) -> Any:
    """Return the output of `stack`."""
    dim = call.get("dim", 0)
    t = dim + len(call.shape) if dim < 0 else dim
    xs = [
        call.builder.reshape(f"{call.name}/{i}", x, shape=(*x.shape[:t], 1, *x.shape[t:]))
        for i, x in enumerate(call.values)
    ]
    return call.builder.concatenate(call.name, xs, axis=t)


def pad(call: Call) -> Any:
    """Return the output of `F.pad` and the operations below it."""
    x, pads = call.x, list(call["pad"] if "pad" in call.given else call["padding"])
    mode = call.get("mode", "constant")
    for name, word in (("reflection", "reflect"), ("replication", "replicate"), ("circular", "circular")):
        if name in call.operation:
            mode = word
    pairs = len(pads) // 2
    # PyTorch lists the last axis first.
    before = [0] * (x.ndim - pairs) + pads[0::2][::-1]
    after = [0] * (x.ndim - pairs) + pads[1::2][::-1]
    return call.builder.pad(call.name, x, before=before, after=after, mode=_PADDING[mode])


def roll(call: Call) -> Any:
    """Return the output of `roll`; without axes, of the flattened tensor."""
    shifts, axes = call["shifts"], call.get("dims") or []
    shifts = list(shifts) if isinstance(shifts, (list, tuple)) else [shifts]
    if axes:
        return call.builder.roll(call.name, call.x, shifts=shifts, axes=axes)
    flat = call.builder.reshape(f"{call.name}/flat", call.x, shape=(-1,))
    rolled = call.builder.roll(f"{call.name}/rolled", flat, shifts=shifts, axes=[0])
    return call.builder.reshape(call.name, rolled, shape=call.shape)


def flip(call: Call) -> Any:
    """Return the output of `flip`."""
    x = call.x
    axes = {x.axis(t) for t in call["dims"]}
    backwards = [t in axes for t in range(x.ndim)]
    return call.builder.slice(
        call.name,
        x,
        starts=[-1 if back else 0 for back in backwards],
        stops=[None] * x.ndim,
        steps=[-1 if back else 1 for back in backwards],
    )


def index_select(call: Call) -> Any:
    """Return the output of `index_select` with known indices."""
    index = call.array("index")
    if index is None or call["self"].node is None:
        return call.unknown()
    return call.builder.take(call.name, call.x, axis=call["dim"], indices=index.ravel().tolist())


def moved(call: Call) -> Any:
    """Return the output of an operation that moves elements by constant indices: `gather`, `diagonal`, `as_strided`.

    Places that no element fills hold a constant.
    """
    first = next(iter(call.given))
    found = call.rearranged(first) if call.given[first].node is not None else None
    if found is None:
        return call.unknown()
    return call.builder.pick(call.name, plain_name(call), call.given[first], sources=found[None])


def scattered(call: Call) -> Any:
    """Return the output of `scatter_add` and its kind with constant indices: a place reads all that is put there."""
    base, t = call["self"], call["self"].axis(call["dim"])
    source, index = call.get("src") or call.get("source"), call.array("index")
    if index is None or index.size > _MOST_SCATTERED or not index.size:
        return call.unknown()
    if "index_" in call.operation:
        along = [-1 if u == t else 1 for u in range(base.ndim)]
        index = np.broadcast_to(index.reshape(along), [index.size if u == t else n for u, n in enumerate(base.shape)])
    index = index % base.shape[t]
    replaces = plain_name(call) in ("scatter", "index_copy") or call.get("include_self", True) is False
    places = list(np.indices(index.shape))
    places[t] = index
    into = np.ravel_multi_index(tuple(places), base.shape).ravel()
    read = isinstance(source, Value) and source.node is not None
    if read:
        inner = np.ravel_multi_index(tuple(np.indices(index.shape)), source.shape).ravel()
        order = np.argsort(into, kind="stable")
        into, inner = into[order], inner[order]
        # The n-th element that is put into the same place.
        turn = np.arange(len(into)) - np.searchsorted(into, into)
        if int(turn.max()) >= _MOST_TURNS:
            return call.unknown()
        if plain_name(call) in ("scatter", "index_copy"):
            # Of several elements put into one place any one may stay.
            replaces = True
        sources = np.full((int(turn.max()) + 1, int(np.prod(base.shape))), -1)
        sources[turn, into] = inner
        added = call.builder.pick(
            f"{call.name}/put", plain_name(call), source, sources=sources.reshape(-1, *base.shape)
        )
    else:
        added = call.builder.constant(base.shape)
    if replaces and base.node is not None:
        kept = np.arange(int(np.prod(base.shape)))
        kept[into] = -1
        base = call.builder.pick(f"{call.name}/kept", plain_name(call), base, sources=kept.reshape(1, *base.shape))
    return call.builder.elementwise(call.name, plain_name(call), base, added, gate_rule=False)


def index(call: Call) -> Any:
    """Return ``x[:, indices]``: one axis with known indices or a mask, or a lookup in a table of constants."""
    listed = call["indices"]
    places = [t for t, item in enumerate(listed) if item is not None]
    if call.x.node is None:
        return table(call, [v for v in call.values[1:] if v.node is not None])
    found = [array for array in call.arrays("indices") if array is not None]
    if len(places) != 1 or len(found) != 1 or (found[0].dtype == bool and found[0].ndim != 1):
        return moved(call)
    axis, array = places[0], found[0]
    if array.dtype == bool:
        array = np.flatnonzero(array)
    taken = call.builder.take(
        call.name if array.ndim == 1 else f"{call.name}/taken", call.x, axis=axis, indices=array.ravel().tolist()
    )
    return taken if array.ndim == 1 else call.builder.reshape(call.name, taken, shape=call.shape)


def table(call: Call, xs: list[Value]) -> Any:
    """Return constants indexed by a value that depends on the image: `embedding`, a codebook."""
    if len(xs) != 1 or call.shape[: xs[0].ndim] != xs[0].shape:
        return call.unknown()
    x = xs[0]
    more = len(call.shape) - x.ndim
    wide = call.builder.reshape(f"{call.name}/index", x, shape=(*x.shape, *[1] * more))
    return call.builder.expand(call.name, wide, shape=call.shape)


def embedding(call: Call) -> Any:
    """Return the output of `embedding`."""
    indices = call["indices"]
    return call.unknown() if call["weight"].node is not None else table(call, [indices])


def written(call: Call) -> Any:
    """Return a tensor with a slice replaced, the functional form of ``x[…] = y``."""
    x, source, t = call["self"], call["src"], call["self"].axis(call.get("dim", 0))
    n = x.shape[t]
    if "select" in call.operation:
        places = [call["index"] % n]
        source = call.builder.reshape(f"{call.name}/new", source, shape=(*x.shape[:t], 1, *x.shape[t + 1 :]))
    else:
        places = list(_range(n, call.get("start"), call.get("end"), call.get("step", 1)))
    if source.shape != (*x.shape[:t], len(places), *x.shape[t + 1 :]):
        return call.unknown()
    if len(places) == n and places == sorted(places):
        return call.builder.alias(call.name, source)
    both = call.builder.concatenate(f"{call.name}/both", [x, source], axis=t)
    order = list(range(n))
    for new, place in enumerate(places):
        order[place] = n + new
    return call.builder.take(call.name, both, axis=t, indices=order)


def repeat_interleave(call: Call) -> Any:
    """Return the output of `repeat_interleave` with the same number of repeats for all elements."""
    repeats = call.get("repeats")
    if not isinstance(repeats, int):
        return call.unknown()
    x = call.x
    if call.get("dim") is None:
        x = call.builder.reshape(f"{call.name}/flat", x, shape=(-1,))
    t = x.axis(call.get("dim", 0))
    if x.axes[t] is None:
        indices = [i // repeats for i in range(x.shape[t] * repeats)]
        return call.builder.take(call.name, x, axis=t, indices=indices)
    return call.builder.resize(
        call.name,
        x,
        output=[x.shape[t] * repeats],
        spatial_axes=[t],
        method="nearest",
        coordinates="asymmetric",
        nearest_mode="floor",
    )
