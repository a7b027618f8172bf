"""Rules of ONNX operators that select, pad and join: slice, split, gather, pad, concatenate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from kernelfield.geometry import Boundary
from kernelfield.receptive.builder import Value
from kernelfield.receptive.frontends.onnx.attributes import LARGEST_EXTENT, shown
from kernelfield.receptive.frontends.onnx.call import Call, Result, Tensor

_OUTSIDE: dict[str, Boundary] = {"constant": "constant", "reflect": "mirror", "edge": "nearest", "wrap": "wrap"}


def slice_of(call: Call) -> Result:
    """Return the output of Slice, with attributes up to operator set 9 and inputs since."""
    x = call.tensor()
    starts, ends = call.given(1, "starts"), call.given(2, "ends")
    if starts is None or ends is None:
        raise call.error("starts and ends", "none")
    given = call.given(3, "axes")
    axes = list(range(len(starts))) if given is None else [call.axis(a) for a in given]
    given = call.given(4, "steps") if call.optional(4) is not None else None
    steps = [1] * len(starts) if given is None else given
    if not len(starts) == len(ends) == len(axes) == len(steps) or len(set(axes)) != len(axes) or 0 in steps:
        raise call.error(
            "a start, an end, an axis and a step other than 0 for each axis sliced",
            f"{shown(starts)}, {shown(ends)}, {shown(axes)}, {shown(steps)}",
        )
    if axes and max(axes) >= len(x.shape):
        raise call.error(f"{len(x.shape)} axes at most", f"{len(axes)}")
    whole = [range(n) for n in x.shape]
    for start, end, axis, step in zip(starts, ends, axes, steps):
        whole[axis] = range(x.shape[axis])[start:end:step]
    return _picked(call, call.name, x, whole)


def _picked(call: Call, name: str, x: Tensor, ranges: Sequence[range]) -> Value | Tensor:
    """Return the elements of a tensor in a range for each axis."""
    shape = [len(r) for r in ranges]
    if 0 in shape:
        return call.constant(np.zeros(shape, "int64"))
    if not x.depends:
        constant = call.builder.constant(call.checked(shape))
        return call.shaped(lambda: constant, lambda a: a[np.ix_(*ranges)] if ranges else a, x)
    return _slice(call, name, x.value, ranges)


def _slice(call: Call, name: str, x: Value, ranges: Sequence[range]) -> Value:
    return call.builder.slice(
        name,
        x,
        starts=[r.start for r in ranges],
        stops=[r.stop if r.stop >= 0 else None for r in ranges],
        steps=[r.step for r in ranges],
    )


def split(call: Call) -> Result:
    """Return the outputs of Split: pieces of given sizes, or equal ones, of which the last may be smaller."""
    x = call.tensor()
    axis = call.axis(call.attributes.integer("axis", 0))
    extent = x.shape[axis]
    sizes = call.given(1, "split")
    if sizes is None:
        many = call.attributes.integer("num_outputs", len(call.outputs), 1) if call.opset >= 18 else len(call.outputs)
        if many > max(extent, 1):
            raise call.error(f"at most {extent} pieces", str(many))
        size = -(-extent // many)
        sizes = [min(size, max(0, extent - i * size)) for i in range(many)]
    if min(sizes, default=0) < 0 or sum(sizes) != extent or len(sizes) < len(call.outputs):
        raise call.error(f"{len(call.outputs)} pieces that make up {extent}", shown(sizes))
    pieces: list[Value | Tensor] = []
    at = 0
    for index, size in enumerate(sizes[: len(call.outputs)]):
        ranges = [range(n) for n in x.shape]
        ranges[axis] = range(at, at + size)
        at += size
        name = call.outputs[index] or call.name if len(call.outputs) > 1 else call.name
        pieces.append(_picked(call, name, x, ranges))
    return pieces


def concatenate(call: Call) -> Result:
    """Return the output of Concat."""
    tensors = call.present()
    rank = len(tensors[0].shape)
    axis = call.axis(call.attributes.integer("axis", 0 if call.opset >= 4 else 1), rank)
    for t in tensors[1:]:
        if len(t.shape) != rank or any(a != b for i, (a, b) in enumerate(zip(t.shape, tensors[0].shape)) if i != axis):
            raise call.error(f"shapes like {shown(tensors[0].shape)} but for axis {axis}", shown(t.shape))
    extents = sum(t.shape[axis] for t in tensors)
    if not any(t.depends for t in tensors):
        size = extents * math.prod(n for i, n in enumerate(tensors[0].shape) if i != axis)
        shape = tensors[0].shape[:axis] + (extents,) + tensors[0].shape[axis + 1 :]
        return call.shaped(
            lambda: call.builder.constant(call.checked(shape, empty=True)),
            lambda *parts: np.concatenate(parts, axis),
            *tensors,
            size=size,
        )
    values = [t.value for t in tensors if t.shape[axis]]
    call.checked([extents], next(v for v in values if v.node is not None))
    return call.builder.concatenate(call.name, values, axis=axis)


def gather(call: Call) -> Result:
    """Return the output of Gather with known indices; a table indexed by the image is element-wise."""
    x, indices = call.tensor(0), call.tensor(1)
    axis = call.axis(call.attributes.integer("axis", 0))
    shape = x.shape[:axis] + indices.shape + x.shape[axis + 1 :]
    if indices.depends:
        if x.depends:
            return call.unknown(shape=shape)
        ones = (1,) * axis + indices.shape + (1,) * (len(x.shape) - axis - 1)
        looked = call.builder.reshape(f"{call.name} indices", indices.value, shape=ones)
        return call.builder.expand(call.name, looked, shape=call.checked(shape, x.value))
    if indices.content is None:
        return call.unknown(shape=shape) if x.depends else call.builder.constant(call.checked(shape))
    places = indices.content
    extent = x.shape[axis]
    if places.dtype.kind not in "iu" or (places.size and not -extent <= places.min() <= places.max() < extent):
        raise call.error(f"indices from {-extent} to {extent - 1}", shown(places.ravel().tolist()))
    if not x.depends:
        return call.shaped(
            lambda: call.builder.constant(call.checked(shape, empty=True)),
            lambda a: np.take(a, places, axis),
            x,
            size=math.prod(shape),
        )
    if not places.size:
        raise call.error("an index", "none")
    flat = [int(i) % extent for i in places.ravel()]
    if places.ndim < 2:
        return call.builder.take(call.name, x.value, axis=axis, indices=flat, keep_axis=places.ndim == 1)
    taken = call.builder.take(f"{call.name} flat", x.value, axis=axis, indices=flat)
    return call.builder.reshape(call.name, taken, shape=call.checked(shape, x.value))


def pad(call: Call) -> Result:
    """Return the output of Pad, with attributes up to operator set 10 and inputs since; negative pads crop."""
    x = call.tensor()
    rank = len(x.shape)
    mode = _OUTSIDE[call.attributes.word("mode", "constant", tuple(_OUTSIDE))]
    pads = call.given(1, "pads")
    given = call.given(3, "axes") if call.optional(3) is not None else None
    axes = list(range(rank)) if given is None else [call.axis(a) for a in given]
    if pads is None or len(pads) != 2 * len(axes) or len(set(axes)) != len(axes):
        raise call.error(f"pads of {2 * len(axes)} whole numbers, each axis once", shown(pads or []))
    if any(abs(p) > LARGEST_EXTENT for p in pads):
        raise call.error(f"pads up to {LARGEST_EXTENT}", shown(pads))
    before, after = [0] * rank, [0] * rank
    for axis, first, last in zip(axes, pads[: len(axes)], pads[len(axes) :]):
        before[axis], after[axis] = first, last
    shape = call.checked([b + n + a for b, n, a in zip(before, x.shape, after)], x.value)
    if any(-b >= n or -a >= n for b, n, a in zip(before, x.shape, after)):
        raise call.error("pads that leave elements of the input", shown(pads))
    if not any(pads) and not x.depends:
        return x
    return call.shaped(
        lambda: call.builder.pad(call.name, x.value, before=before, after=after, mode=mode),
        lambda a: _padded(call, a, before, after),
        x,
        size=math.prod(shape),
    )


def _padded(call: Call, a: np.ndarray, before: Sequence[int], after: Sequence[int]) -> np.ndarray:
    kept = a[tuple(slice(max(0, -b), n - max(0, -e)) for b, n, e in zip(before, a.shape, after))]
    widths = [(max(0, b), max(0, e)) for b, e in zip(before, after)]
    mode = call.attributes.text("mode", "constant")
    if mode == "constant":
        fill = call.content(2, "a constant").ravel() if call.optional(2) is not None else np.zeros(1, a.dtype)
        return np.pad(kept, widths, constant_values=fill[:1])
    return np.pad(kept, widths, mode="reflect" if mode == "reflect" else "edge" if mode == "edge" else "wrap")


def center_crop_pad(call: Call) -> Result:
    """Return the output of CenterCropPad: the centre is cropped, or padded with zeros."""
    x = call.x
    sizes = call.integers(1, "a shape")
    given = call.attributes.integers("axes")
    axes = list(range(len(x.shape))) if given is None else [call.axis(a) for a in given]
    if len(sizes) != len(axes) or len(set(axes)) != len(axes) or min(sizes, default=1) < 1:
        raise call.error("an extent from 1 for each axis, each once", shown(sizes))
    before, after = [0] * len(x.shape), [0] * len(x.shape)
    for axis, size in zip(axes, sizes):
        extra = size - x.shape[axis]
        # Cropping and padding both apply the smaller half in front.
        before[axis] = extra // 2 if extra > 0 else -(-extra // 2)
        after[axis] = extra - before[axis]
    call.checked([b + n + a for b, n, a in zip(before, x.shape, after)], x)
    return call.builder.pad(call.name, x, before=before, after=after, mode="constant")


def top(call: Call) -> Result:
    """Return the outputs of TopK: each element may come from anywhere along the axis."""
    x = call.tensor()
    axis = call.axis(call.attributes.integer("axis", -1))
    many = call.integers(1, "K", 1)[0]
    if not 1 <= many <= x.shape[axis]:
        raise call.error(f"K from 1 to {x.shape[axis]}", str(many))
    shape = x.shape[:axis] + (many,) + x.shape[axis + 1 :]
    all_of = call.builder.reduce(call.name, x.value, axes=[axis], keepdims=True, operation="top")
    return [call.builder.expand(call.label(i), all_of, shape=shape) for i in range(2)]


def elements(call: Call) -> Result:
    """Return the outputs of GatherElements, ScatterND, NonZero and the like, which are known for constants only."""
    folds: dict[str, Callable[..., np.ndarray]] = {
        "GatherElements": lambda a, i: np.take_along_axis(a, i, call.axis(call.attributes.integer("axis", 0))),
        "NonZero": lambda a: np.array(np.nonzero(a)),
        "ScatterND": _scatter,
        "Trilu": lambda a, *k: (np.triu if call.attributes.flag("upper", True) else np.tril)(a, *map(int, k)),
    }
    tensors = call.present()
    plain = call.attributes.text("reduction", "none") == "none" and not call.attributes.integer("batch_dims", 0)
    if call.operation in folds and plain and len(call.outputs) == 1:
        return call.shaped(call.unknown, folds[call.operation], *tensors)
    return [call.unknown(i) if call.wants(i) else call.builder.constant(()) for i in range(len(call.outputs))]


def _scatter(a: np.ndarray, indices: np.ndarray, updates: np.ndarray) -> np.ndarray:
    out = a.copy()
    out[tuple(np.moveaxis(indices, -1, 0))] = updates
    return out


#: Operators that read elements depending on values: known for constants only.
BY_VALUES = (
    *("GatherElements", "GatherND", "ScatterElements", "Scatter", "ScatterND", "NonZero", "Compress", "OneHot"),
    *("Unique", "Trilu", "ReverseSequence", "TensorScatter", "GridSample", "AffineGrid", "RoiAlign", "MaxRoiPool"),
    *("NonMaxSuppression", "DeformConv", "MaxUnpool", "Col2Im", "Det", "DFT", "STFT", "ImageDecoder", "Multinomial"),
)

OPERATIONS: dict[str, Callable[[Call], Result]] = {
    "Slice": slice_of,
    "Split": split,
    "Concat": concatenate,
    "Gather": gather,
    "Pad": pad,
    "CenterCropPad": center_crop_pad,
    "TopK": top,
    **dict.fromkeys(BY_VALUES, elements),
}
