"""Rules of MXNet's operators that move elements, in the legacy and the NumPy interface."""

from __future__ import annotations

from kernelfield.geometry import Boundary
from kernelfield.receptive.frontends.mxnet.call import Call, Result


def reshape(call: Call) -> Result:
    """Return a value in another shape, which MXNet infers from the shape codes."""
    return call.builder.reshape(call.name, call.x, shape=call.shapes[0])


def expand(call: Call) -> Result:
    """Return a value that is broadcast or tiled."""
    return call.builder.expand(call.name, call.x, shape=call.shapes[0])


def transpose(call: Call) -> Result:
    """Return the output of transpose and SwapAxis."""
    rank = len(call.x.shape)
    order = list(call.get("axes", ())) or list(range(rank))[::-1]
    if call.operation in ("SwapAxis", "_npi_swapaxes"):
        one, other = int(call.get("dim1", 0)) % rank, int(call.get("dim2", 0)) % rank
        order = list(range(rank))
        order[one], order[other] = other, one
    return call.builder.transpose(call.name, call.x, permutation=order)


def slices(call: Call) -> Result:
    """Return the output of slice, slice_axis, slice_like and Crop."""
    x = call.x
    whole = [slice(None)] * len(x.shape)
    if call.operation == "slice_axis":
        whole[int(call.get("axis", 0))] = slice(int(call.get("begin", 0)), call.get("end"))
    elif call.operation == "slice_like":
        whole = [slice(0, n) for n in call.shapes[0]]
    elif call.operation == "Crop":
        offset = call.numbers("offset", 2, 0)
        for axis, extent in zip((2, 3), call.shapes[0][2:]):
            start = (x.shape[axis] - extent) // 2 if call.get("center_crop", False) else offset[axis - 2]
            whole[axis] = slice(start, start + extent)
    else:
        steps = call.get("step", ()) or [None] * len(whole)
        for axis, parts in enumerate(zip(call.get("begin", ()), call.get("end", ()), steps)):
            whole[axis] = slice(*parts)
    starts, stops, steps = zip(*(s.indices(n) for s, n in zip(whole, x.shape)))
    ends = [None if stop < 0 else stop for stop in stops]
    return call.builder.slice(call.name, x, starts=starts, stops=ends, steps=steps)


def split(call: Call) -> Result:
    """Return the outputs of SliceChannel and split_v2: consecutive pieces, without their axis if squeezed."""
    axis = int(call.get("axis", 1 if call.operation == "SliceChannel" else 0)) % len(call.x.shape)
    squeeze = bool(call.get("squeeze_axis", False))
    pieces, at = [], 0
    for i, shape in enumerate(call.shapes):
        extent = 1 if squeeze else shape[axis]
        starts, stops = [0] * len(call.x.shape), list(call.x.shape)
        starts[axis], stops[axis] = at, at + extent
        at += extent
        name = f"{call.name}:{i}" if len(call.shapes) > 1 else call.name
        piece = call.builder.slice(name, call.x, starts=starts, stops=stops, steps=[1] * len(starts))
        pieces.append(call.builder.reshape(f"{name} squeezed", piece, shape=shape) if squeeze else piece)
    return pieces if at == call.x.shape[axis] else call.unknown()


def concatenate(call: Call) -> Result:
    """Return the output of Concat and of stack, which adds an axis first."""
    axis = int(call.get("dim", call.get("axis", 1 if call.operation == "Concat" else 0)))
    parts = call.inputs
    if call.operation in ("stack", "_npi_stack"):
        axis %= len(call.shapes[0])
        one = [*call.x.shape]
        one.insert(axis, 1)
        parts = [call.builder.reshape(f"{call.name} part", x, shape=one) for x in parts]
    return call.builder.concatenate(call.name, parts, axis=axis)


def flip(call: Call) -> Result:
    """Return a value reversed along some axes."""
    axes = {a % len(call.x.shape) for a in call.axes()}
    steps = [-1 if a in axes else 1 for a in range(len(call.x.shape))]
    starts = [n - 1 if s < 0 else 0 for n, s in zip(call.x.shape, steps)]
    stops = [None if s < 0 else n for n, s in zip(call.x.shape, steps)]
    return call.builder.slice(call.name, call.x, starts=starts, stops=stops, steps=steps)


def repeat(call: Call) -> Result:
    """Return a value with each element repeated along one axis."""
    if call.get("axis") is None:
        return call.unknown()
    axis, many = int(call.get("axis")) % len(call.x.shape), int(call.get("repeats", 1))
    places = [i for i in range(call.x.shape[axis]) for _ in range(many)]
    return call.builder.take(call.name, call.x, axis=axis, indices=places)


def pad(call: Call) -> Result:
    """Return the output of the legacy interface's Pad."""
    modes: dict[str, Boundary] = {"constant": "constant", "edge": "nearest", "reflect": "mirror"}
    width = list(call.get("pad_width", ()))
    return call.builder.pad(
        call.name, call.x, before=width[::2], after=width[1::2], mode=modes[call.get("mode", "constant")]
    )


def shuffle(call: Call) -> Result:
    """Return the output of depth_to_space and space_to_depth."""
    block = int(call.get("block_size", 1))
    if call.operation == "depth_to_space":
        return call.builder.depth_to_space(call.name, call.x, block=block, channel_axis=1, spatial_axes=(2, 3))
    return call.builder.space_to_depth(call.name, call.x, block=block, channel_axis=1, spatial_axes=(2, 3))
