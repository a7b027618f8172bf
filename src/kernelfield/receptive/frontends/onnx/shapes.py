"""Rules of ONNX operators that rearrange axes, and of those that return shapes and constants."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from kernelfield.receptive.frontends.onnx.attributes import LARGEST_KERNEL, shown
from kernelfield.receptive.frontends.onnx.call import MOST_KNOWN, Call, Result, Tensor


def reshape(call: Call) -> Result:
    """Return the output of Reshape: 0 keeps an extent unless allowzero is set, -1 is inferred."""
    target = call.integers(1, "a shape")
    shape = list(call.x.shape)
    if not call.attributes.flag("allowzero"):
        if any(n == 0 and i >= len(shape) for i, n in enumerate(target)):
            raise call.error(f"a 0 for one of the {len(shape)} axes only", f"the shape {shown(target)}")
        target = [shape[i] if n == 0 else n for i, n in enumerate(target)]
    if target.count(-1) > 1 or min(target, default=1) < -1:
        raise call.error("a shape with one -1 at most", shown(target))
    count, rest = math.prod(shape), math.prod(n for n in target if n != -1)
    if -1 in target and rest and count % rest == 0:
        target[target.index(-1)] = count // rest
    return _reshaped(call, target)


def _reshaped(call: Call, target: list[int]) -> Result:
    x = call.tensor()
    if math.prod(target) != math.prod(x.shape) or min(target, default=0) < 0:
        raise call.error(
            f"a shape for the {math.prod(x.shape)} elements of {shown(x.shape)}",
            shown(target),
            "give the input size that the model was exported for",
        )
    if not x.depends and 0 in target:
        return call.constant(np.zeros(target, "int64"))
    shape = call.checked(target, x.value)
    if not x.depends:
        constant = call.builder.constant(shape)
        return call.shaped(lambda: constant, lambda a: a.reshape(shape), x)
    if x.before is not None and x.before.shape == shape:
        call.builder.alias(call.name, x.before.value)
        return x.before
    return Tensor(call.builder.reshape(call.name, x.value, shape=shape), before=x)


def flatten(call: Call) -> Result:
    """Return the output of Flatten, of two axes."""
    shape = call.x.shape
    axis = call.attributes.integer("axis", 1)
    axis = len(shape) if axis == len(shape) else call.axis(axis, len(shape) or 1)
    return _reshaped(call, [math.prod(shape[:axis]), math.prod(shape[axis:])])


def squeeze(call: Call) -> Result:
    """Return the output of Squeeze, without all axes of extent 1 or the given ones."""
    shape = call.x.shape
    given = call.given(1, "axes")
    axes = [i for i, n in enumerate(shape) if n == 1] if given is None else call.axes(given)
    if any(shape[a] != 1 for a in axes):
        raise call.error("axes of extent 1", f"axes {shown(axes)} of {shown(shape)}")
    return _reshaped(call, [n for i, n in enumerate(shape) if i not in axes])


def unsqueeze(call: Call) -> Result:
    """Return the output of Unsqueeze, with the given axes of the result inserted."""
    given = call.given(1, "axes")
    if given is None:
        raise call.error("axes", "none")
    shape = list(call.x.shape)
    for axis in call.axes(given, len(shape) + len(given)):
        shape.insert(axis, 1)
    return _reshaped(call, shape)


def transpose(call: Call) -> Result:
    """Return the output of Transpose, with the axes reversed by default."""
    x = call.tensor()
    rank = len(x.shape)
    order = call.attributes.integers("perm", 0, max(0, rank - 1), rank)
    order = list(range(rank))[::-1] if order is None else order
    if sorted(order) != list(range(rank)):
        raise call.error(f"a permutation of {rank} axes", shown(order))
    return call.shaped(
        lambda: call.builder.transpose(call.name, x.value, permutation=order), lambda a: a.transpose(order), x
    )


def expand(call: Call) -> Result:
    """Return the output of Expand: tensor and shape broadcast."""
    x = call.tensor()
    target = call.integers(1, "a shape")
    if min(target, default=1) < 1:
        raise call.error("extents from 1", shown(target))
    try:
        shape = call.checked(np.broadcast_shapes(x.shape, tuple(target)), x.value)
    except ValueError:
        raise call.error(f"a shape that {shown(x.shape)} broadcasts to", shown(target)) from None
    return call.shaped(
        lambda: call.builder.expand(call.name, x.value, shape=shape),
        lambda a: np.broadcast_to(a, shape),
        x,
        size=math.prod(shape),
    )


def tile(call: Call) -> Result:
    """Return the output of Tile."""
    x = call.tensor()
    repeats = call.integers(1, "repeats", len(x.shape))
    if min(repeats, default=1) < 1:
        raise call.error("repeats from 1", shown(repeats))
    shape = call.checked([n * r for n, r in zip(x.shape, repeats)], x.value)
    return call.shaped(
        lambda: call.builder.expand(call.name, x.value, shape=shape),
        lambda a: np.tile(a, repeats),
        x,
        size=math.prod(shape),
    )


def depth_to_space(call: Call) -> Result:
    """Return the output of DepthToSpace on (N, C, H, W)."""
    call.rank(4, 4)
    block = call.attributes.integer("blocksize", 0, 1, LARGEST_KERNEL)
    crd = call.attributes.word("mode", "DCR", ("DCR", "CRD")) == "CRD"
    n, channels, height, width = call.x.shape
    if not block or channels % block**2:
        raise call.error("channels divisible by the square of blocksize", f"{channels} and {block}")
    call.checked((n, channels // block**2, height * block, width * block), call.x)
    return call.builder.depth_to_space(
        call.name, call.x, block=block, channel_axis=1, spatial_axes=(2, 3), mode="CRD" if crd else "DCR"
    )


def space_to_depth(call: Call) -> Result:
    """Return the output of SpaceToDepth on (N, C, H, W)."""
    call.rank(4, 4)
    block = call.attributes.integer("blocksize", 0, 1, LARGEST_KERNEL)
    if not block or any(extent % block for extent in call.x.shape[2:]):
        raise call.error("height and width divisible by blocksize", f"{shown(call.x.shape[2:])} and {block}")
    return call.builder.space_to_depth(call.name, call.x, block=block, channel_axis=1, spatial_axes=(2, 3))


def shape_of(call: Call) -> Result:
    """Return the output of Shape, a constant."""
    shape = call.x.shape
    start = call.attributes.integer("start", 0)
    stop = call.attributes.integer("end", len(shape))
    return call.constant(np.array(shape[start:stop], "int64"))


def size_of(call: Call) -> Result:
    """Return the output of Size, a constant."""
    return call.constant(np.array(math.prod(call.x.shape), "int64"))


def identity(call: Call) -> Result:
    """Return the input itself, as a node of its own where it depends on the image."""
    x = call.tensor()
    return call.builder.elementwise(call.name, "identity", x.value) if x.depends else x


def constant(call: Call) -> Result:
    """Return the output of Constant, from the attribute that holds it."""
    given = call.attributes
    proto = given.tensor("value")
    if proto is not None:
        shape = call.checked(tuple(proto.dims), empty=True)
        return Tensor(call.builder.constant(shape), proto)
    if "value_float" in given:
        return call.constant(np.array(given.number("value_float", 0.0), "float32"))
    if "value_int" in given:
        return call.constant(np.array(given.integer("value_int", 0, -(1 << 63), 1 << 63), "int64"))
    floats = given.numbers("value_floats")
    if floats is not None:
        return call.constant(np.array(floats, "float32"))
    integers = given.integers("value_ints", -(1 << 63), 1 << 63)
    if integers is not None:
        return call.constant(np.array(integers, "int64"))
    if "value_string" in given or "value_strings" in given:
        return call.builder.constant(())
    if "sparse_value" in given:
        return call.builder.constant(call.checked(tuple(given.by_name["sparse_value"].sparse_tensor.dims)))
    raise call.error("a value", "none")


def constant_of_shape(call: Call) -> Result:
    """Return the output of ConstantOfShape, by default of float zeros."""
    shape = call.checked(call.integers(0, "a shape"), empty=True)
    if math.prod(shape) > MOST_KNOWN:
        return call.builder.constant(shape)
    proto = call.attributes.tensor("value")
    filled = np.zeros(1, "float32") if proto is None else Tensor(call.builder.constant((1,)), proto).content
    if filled is None or filled.size != 1:
        raise call.error("one value", "another number")
    return call.constant(np.full(shape, filled.ravel()[0]))


def range_of(call: Call) -> Result:
    """Return the output of Range with known arguments."""
    start, limit, delta = (call.content(i, "a number").ravel() for i in range(3))
    if start.size != 1 or limit.size != 1 or delta.size != 1 or delta[0] == 0:
        raise call.error("three numbers, the step not 0", "others")
    count = (float(limit[0]) - float(start[0])) / float(delta[0])
    count = max(0, math.ceil(count)) if math.isfinite(count) else -1
    if not 0 <= count <= MOST_KNOWN:
        raise call.error(f"at most {MOST_KNOWN} numbers", str(count))
    return call.constant((start[0] + np.arange(count) * delta[0]).astype(start.dtype))


def like(call: Call) -> Result:
    """Return a constant of the shape of the input: EyeLike, RandomNormalLike and the like."""
    return call.builder.constant(call.x.shape)


def random(call: Call) -> Result:
    """Return the output of RandomNormal and RandomUniform."""
    shape = call.attributes.integers("shape", 1, 1 << 32)
    if shape is None:
        raise call.error("a shape", "none")
    return call.builder.constant(call.checked(shape))


OPERATIONS: dict[str, Callable[[Call], Result]] = {
    "Reshape": reshape,
    "Flatten": flatten,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Transpose": transpose,
    "Expand": expand,
    "Tile": tile,
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
    "Shape": shape_of,
    "Size": size_of,
    "Identity": identity,
    "Constant": constant,
    "ConstantOfShape": constant_of_shape,
    "Range": range_of,
    "EyeLike": like,
    "RandomNormalLike": like,
    "RandomUniformLike": like,
    "RandomNormal": random,
    "RandomUniform": random,
}
