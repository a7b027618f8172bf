"""Rules of TensorFlow's padding, slices, gathers and reshapes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kernelfield.receptive.builder import Value
from kernelfield.receptive.frontends.tensorflow.walk import Call, Result, strided


def pad(call: Call) -> Result:
    pairs = call.array(1).reshape(-1, 2)
    if call.operation == "PadV2" and call.values[2].node is not None:
        return call.unknown()
    mode = "constant"
    if call.operation == "MirrorPad":
        mode = {"REFLECT": "mirror", "SYMMETRIC": "reflect"}[call.attribute("mode")]
    before, after = ([int(n) for n in pairs[:, i]] for i in (0, 1))
    return call.builder.pad(call.name, call.values[0], before=before, after=after, mode=mode)


def strided_slice(call: Call) -> Result:
    x = call.values[0]
    slices, left = strided(call, x.shape, call.ints(1), call.ints(2), call.ints(3))
    # A stop of -1 would count from the end.
    y = call.builder.slice(
        call.name,
        x,
        starts=[s.start for s in slices],
        stops=[None if s.stop < 0 else s.stop for s in slices],
        steps=[s.step for s in slices],
    )
    return shaped(call, y, left)


def shaped(call: Call, x: Value, shape: Sequence[int]) -> Value:
    return x if x.shape == tuple(shape) else call.builder.reshape(f"{call.name}/shape", x, shape=tuple(shape))


def slices(call: Call) -> Result:
    x = call.values[0]
    starts, sizes = call.ints(1), call.ints(2)
    stops = [n if size < 0 else start + size for n, start, size in zip(x.shape, starts, sizes)]
    return call.builder.slice(call.name, x, starts=starts, stops=stops, steps=[1] * x.ndim)


def split(call: Call) -> Result:
    if call.operation == "Split":
        axis, x = call.ints(0)[0], call.values[1]
        sizes = [x.shape[axis] // call.node.get_attr("num_split")] * call.node.get_attr("num_split")
    else:
        axis, x, sizes = call.ints(2)[0], call.values[0], call.ints(1)
        sizes = [x.shape[axis] - sum(n for n in sizes if n > 0) if n < 0 else n for n in sizes]
    axis %= x.ndim
    results, start = [], 0
    for size in sizes:
        starts, stops = [0] * x.ndim, list(x.shape)
        starts[axis], stops[axis] = start, start + size
        results.append(call.builder.slice(call.name, x, starts=starts, stops=stops, steps=[1] * x.ndim))
        start += size
    return results


def concatenate(call: Call) -> Result:
    axis = call.ints(len(call.operands) - 1)[0]
    xs = call.values[:-1]
    return call.builder.concatenate(call.name, xs, axis=axis % xs[0].ndim) if len(xs) > 1 else xs[0]


def pack(call: Call) -> Result:
    rank = call.values[0].ndim + 1
    axis = call.node.get_attr("axis") % rank
    xs = []
    for value in call.values:
        shape = [*value.shape[:axis], 1, *value.shape[axis:]]
        xs.append(call.builder.reshape(f"{call.name}/axis", value, shape=shape))
    return call.builder.concatenate(call.name, xs, axis=axis) if len(xs) > 1 else xs[0]


def unpack(call: Call) -> Result:
    x, axis = call.values[0], call.node.get_attr("axis") % call.values[0].ndim
    return [call.builder.take(call.name, x, axis=axis, indices=[i], keep_axis=False) for i in range(x.shape[axis])]


def reverse(call: Call) -> Result:
    x = call.values[0]
    for axis in call.ints(1):
        if x.axes[axis] is not None:
            x = call.builder.take(call.name, x, axis=axis % x.ndim, indices=range(x.shape[axis] - 1, -1, -1))
    return x


def gather(call: Call) -> Result:
    x, indices = call.values[0], call.operands[1].array
    axis = call.ints(2)[0] if call.operation == "GatherV2" else 0
    if x.node is None or indices is None or (call.has("batch_dims") and call.node.get_attr("batch_dims")):
        return call.unknown()
    axis %= x.ndim
    y = call.builder.take(call.name, x, axis=axis, indices=[int(i) for i in indices.reshape(-1)])
    return shaped(call, y, [*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]])


def reshape(call: Call) -> Result:
    x = call.values[0]
    if call.operation == "Squeeze":
        dims = [d % x.ndim for d in call.node.get_attr("squeeze_dims")]
        shape = [n for i, n in enumerate(x.shape) if not (i in dims if dims else n == 1)]
    elif call.operation == "ExpandDims":
        axis = call.ints(1)[0] % (x.ndim + 1)
        shape = [*x.shape[:axis], 1, *x.shape[axis:]]
    else:
        shape = call.ints(1)
        known = int(np.prod([n for n in shape if n >= 0]))
        shape = [int(np.prod(x.shape)) // known if n < 0 else n for n in shape]
    return call.builder.reshape(call.name, x, shape=shape)


def transpose(call: Call) -> Result:
    return call.builder.transpose(call.name, call.values[0], permutation=call.ints(1))
