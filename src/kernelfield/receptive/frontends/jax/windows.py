"""Rules of JAX's convolution, pooling and padding, which may dilate their input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import gcd

from kernelfield.receptive.builder import Pooling, Value
from kernelfield.receptive.frontends.jax.walk import Call, Result
from kernelfield.receptive.graph import AxisMap, Edge, Link


def convolution(call: Call) -> Result:
    p, (x, w) = call.params, call.values
    lhs, rhs, out = p["dimension_numbers"]
    if w.node is not None or p["batch_group_count"] != 1:
        return call.unknown()
    kernel = [w.shape[i] for i in rhs[2:]]
    before, after = zip(*p["padding"]) if kernel else ((), ())
    count = w.shape[rhs[0]]
    if all(n == 1 for n in p["lhs_dilation"]):
        y = call.builder.convolution(
            call.name,
            x,
            kernel=kernel,
            stride=p["window_strides"],
            dilation=p["rhs_dilation"],
            before=before,
            after=after,
            groups=p["feature_group_count"],
            channels_out=count,
            channel_axis=lhs[1],
            spatial_axes=lhs[2:],
        )
    elif all(n == 1 for n in p["window_strides"]):
        reach = [d * (k - 1) for d, k in zip(p["rhs_dilation"], kernel)]
        y = call.builder.transposed_convolution(
            call.name,
            x,
            kernel=kernel,
            stride=p["lhs_dilation"],
            dilation=p["rhs_dilation"],
            before=[r - b for r, b in zip(reach, before)],
            after=[r - a for r, a in zip(reach, after)],
            output_padding=[0] * len(kernel),
            groups=p["feature_group_count"],
            channels_out=count,
            channel_axis=lhs[1],
            spatial_axes=lhs[2:],
        )
    else:
        maps = [
            dilated_window(*settings)
            for settings in zip(kernel, p["window_strides"], p["rhs_dilation"], before, p["lhs_dilation"])
        ]
        shape = list(x.shape)
        shape[lhs[1]] = count
        for i, axis in enumerate(lhs[2:]):
            shape[axis] = call.shapes[0][out[2 + i]]
        y = mapped(call, "transposed convolution", x, shape, dict(zip(lhs[2:], maps)))
    permutation = [0] * len(out)
    for source, target in zip(lhs, out):
        permutation[target] = source
    return transposed(call, y, permutation)


def dilated_window(size: int, stride: int, dilation: int, before: int, base: int) -> AxisMap:
    """Return the map of a sliding window on an axis dilated by `base`: its elements lie that far apart."""
    period = base // gcd(base, stride)
    taps = []
    for r in range(period):
        places = [r * stride - before + dilation * t for t in range(size)]
        taps.append(tuple(place // base for place in places if place % base == 0))
    return AxisMap(period, period * stride // base, tuple(taps))


def mapped(call: Call, operation: str, x: Value, shape: Sequence[int], maps: dict[int, AxisMap | None]) -> Value:
    """Return the output of an operation with the same axes as `x` and given maps along some of them.

    A map of None reads the whole axis; axes without a map read their own position.
    """
    assert x.node is not None
    kept = sorted(a for a in x.axes if a is not None)
    links = [Link((kept.index(a),)) for a in kept]
    for axis, taps in maps.items():
        place = x.axes[axis]
        if place is not None:
            links[kept.index(place)] = Link((kept.index(place),), taps)
    axes = tuple(None if a is None else kept.index(a) for a in x.axes)
    return call.builder.custom(call.name, operation, [x], [Edge(x.node, tuple(links))], shape=tuple(shape), axes=axes)


def transposed(call: Call, x: Value, permutation: Sequence[int]) -> Value:
    if list(permutation) == list(range(len(permutation))):
        return x
    return call.builder.transpose(f"{call.name}/transpose", x, permutation=tuple(permutation))


def windows(kind: Pooling) -> Callable[[Call], Result]:
    """Return the rule of a reduction over sliding windows."""

    def rule(call: Call) -> Result:
        p, x = call.params, call.values[0]
        size, stride = p["window_dimensions"], p["window_strides"]
        dilation, base = p["window_dilation"], p["base_dilation"]
        axes = [i for i in range(len(size)) if size[i] > 1 or stride[i] > 1 or any(p["padding"][i]) or base[i] > 1]
        if any(v.node is not None for v in call.values[1:]):
            return call.unknown()
        if any(base[i] > 1 for i in axes):
            maps = {i: dilated_window(size[i], stride[i], dilation[i], p["padding"][i][0], base[i]) for i in axes}
            return mapped(call, "pooling", x, call.shapes[0], dict(maps))
        return call.builder.pooling(
            call.name,
            x,
            kind=kind,
            kernel=[size[i] for i in axes],
            stride=[stride[i] for i in axes],
            dilation=[dilation[i] for i in axes],
            before=[p["padding"][i][0] for i in axes],
            after=[p["padding"][i][1] for i in axes],
            spatial_axes=axes,
        )

    return rule


def pad(call: Call) -> Result:
    x, value = call.values
    if value.node is not None or x.node is None:
        return call.unknown()
    low, high, between = zip(*call.params["padding_config"])
    if not any(between):
        return call.builder.pad(call.name, x, before=low, after=high)
    maps = {
        i: dilated_window(1, 1, 1, low[i], between[i] + 1) for i in range(len(low)) if low[i] or high[i] or between[i]
    }
    return mapped(call, "pad", x, call.shapes[0], dict(maps))
