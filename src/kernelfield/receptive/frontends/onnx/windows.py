"""Rules of ONNX operators with a sliding window: convolution, its transpose, pooling."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from kernelfield.geometry import Window
from kernelfield.receptive.builder import Value
from kernelfield.receptive.frontends.onnx.attributes import LARGEST_EXTENT, LARGEST_KERNEL, shown
from kernelfield.receptive.frontends.onnx.call import Call, Result

_AUTO = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")


@dataclass(frozen=True)
class Windows:
    """The sliding window of a node, with a number for each spatial axis."""

    kernel: list[int]
    stride: list[int]
    dilation: list[int]
    before: list[int]
    after: list[int]
    auto: str


def _windows(call: Call, kernel: Sequence[int] | None) -> Windows:
    """Return the checked attributes of a window over the axes from the third on, with padding or auto_pad."""
    rank = call.rank(3) - 2
    given = call.attributes.integers("kernel_shape", 1, LARGEST_KERNEL, rank)
    if given is None and kernel is None:
        raise call.attributes.error("kernel_shape", f"{rank} whole numbers", "none")
    sizes = list(given or ()) if kernel is None else list(kernel)
    if given is not None and given != sizes:
        raise call.attributes.error("kernel_shape", f"{shown(sizes)} as the weights have", shown(given))
    if not all(1 <= n <= LARGEST_KERNEL for n in sizes):
        raise call.error(f"a kernel of 1 to {LARGEST_KERNEL} elements a side", shown(sizes))
    stride = call.attributes.integers("strides", 1, LARGEST_KERNEL, rank) or [1] * rank
    dilation = call.attributes.integers("dilations", 1, LARGEST_EXTENT, rank) or [1] * rank
    auto = call.attributes.word("auto_pad", "NOTSET", (*_AUTO, ""))
    pads = call.attributes.integers("pads", 0, LARGEST_EXTENT, 2 * rank) or [0] * (2 * rank)
    if auto not in ("NOTSET", ""):
        if any(pads):
            raise call.attributes.error("pads", f"none beside auto_pad {auto}", shown(pads))
        pads = [0] * (2 * rank)
    return Windows(sizes, stride, dilation, pads[:rank], pads[rank:], auto)


def _same(call: Call, w: Windows, extents: Sequence[int]) -> Windows:
    """Return the window with the padding that auto_pad implies, after a check that it fits."""
    before, after = list(w.before), list(w.after)
    if w.auto.startswith("SAME"):
        for i, n in enumerate(extents):
            span = w.dilation[i] * (w.kernel[i] - 1) + 1
            before[i], after[i] = _halves(max(0, (-(-n // w.stride[i]) - 1) * w.stride[i] + span - n), w.auto)
    for i, n in enumerate(extents):
        window = Window(w.kernel[i], before[i], after[i], w.stride[i], w.dilation[i])
        if not window.output_size(n):
            raise call.error(
                f"at least {window.span - before[i] - after[i]} elements along axis {i + 2}",
                str(n),
                "give a larger input size",
            )
    call.checked([n + b + a for n, b, a in zip(extents, before, after)], call.x)
    return Windows(w.kernel, w.stride, w.dilation, before, after, w.auto)


def _halves(total: int, auto: str) -> tuple[int, int]:
    less, more = total // 2, total - total // 2
    return (less, more) if auto == "SAME_UPPER" else (more, less)


def convolution(call: Call) -> Result:
    """Return the output of Conv, ConvInteger and QLinearConv, from the shape of the weights."""
    weights = call.tensor(3 if call.operation == "QLinearConv" else 1)
    x = call.tensor()
    rank = call.rank(3)
    if len(weights.shape) != rank:
        raise call.error(f"weights of {rank} axes", f"the shape {shown(weights.shape)}")
    groups = call.attributes.integer("group", 1, 1)
    channels, out = x.shape[1], weights.shape[0]
    if out < 1 or out % groups or weights.shape[1] * groups != channels:
        raise call.error(
            f"weights (multiple of group, channels / group, …) for {channels} channels and group {groups}",
            f"the shape {shown(weights.shape)}",
        )
    w = _same(call, _windows(call, weights.shape[2:]), x.shape[2:])
    if weights.depends:
        shape = [Window(*a).output_size(n) for n, *a in _columns(x.shape[2:], w)]
        return call.unknown(shape=(x.shape[0], out, *shape))
    made = call.builder.convolution(
        call.name,
        x.value,
        kernel=w.kernel,
        stride=w.stride,
        dilation=w.dilation,
        before=w.before,
        after=w.after,
        groups=groups,
        channels_out=out,
        channel_axis=1,
        spatial_axes=tuple(range(2, rank)),
    )
    return _with_zero_points(call, made, (2, 3) if call.operation == "ConvInteger" else ())


def _columns(extents: Sequence[int], w: Windows) -> list[tuple[int, ...]]:
    return list(zip(extents, w.kernel, w.before, w.after, w.stride, w.dilation))


def _with_zero_points(call: Call, value: Value, inputs: Sequence[int]) -> Value:
    """Return the result minus the zero points that depend on the image."""
    dynamic = [t.value for t in map(call.optional, inputs) if t is not None and t.depends]
    if not dynamic:
        return value
    if any(math.prod(d.shape) != 1 for d in dynamic):
        return call.unknown(shape=value.shape)
    return call.builder.elementwise(f"{call.name} zero point", "subtract", value, *dynamic)


def transposed_convolution(call: Call) -> Result:
    """Return the output of ConvTranspose, with given padding or that implied by output_shape or auto_pad."""
    x, weights = call.tensor(), call.tensor(1)
    rank = call.rank(3)
    if len(weights.shape) != rank:
        raise call.error(f"weights of {rank} axes", f"the shape {shown(weights.shape)}")
    groups = call.attributes.integer("group", 1, 1)
    if x.shape[1] % groups or weights.shape[0] != x.shape[1] or weights.shape[1] < 1:
        raise call.error(
            f"weights (channels, …) for {x.shape[1]} channels and group {groups}", f"the shape {shown(weights.shape)}"
        )
    w = _windows(call, weights.shape[2:])
    if any(k * s > LARGEST_EXTENT for k, s in zip(w.kernel, w.stride)):
        raise call.error(f"kernel times stride up to {LARGEST_EXTENT}", f"{shown(w.kernel)} and {shown(w.stride)}")
    extra = call.attributes.integers("output_padding", 0, LARGEST_KERNEL, rank - 2) or [0] * (rank - 2)
    whole = [
        s * (n - 1) + p + d * (k - 1) + 1 for n, s, p, d, k in zip(x.shape[2:], w.stride, extra, w.dilation, w.kernel)
    ]
    wanted = call.attributes.integers("output_shape", 1, LARGEST_EXTENT)
    if wanted is not None and len(wanted) == rank:
        wanted = wanted[2:]
    if wanted is not None and len(wanted) != rank - 2:
        raise call.attributes.error("output_shape", f"{rank - 2} whole numbers", shown(wanted))
    if wanted is None and w.auto.startswith("SAME"):
        wanted = [n * s for n, s in zip(x.shape[2:], w.stride)]
    before, after = w.before, w.after
    if wanted is not None:
        total = [n - m for n, m in zip(whole, wanted)]
        # Elements beyond the full output hold only the bias.
        extra = [p + max(0, -t) for p, t in zip(extra, total)]
        halves = [_halves(max(0, t), "SAME_UPPER" if w.auto == "SAME_UPPER" else "SAME_LOWER") for t in total]
        before, after = [h[0] for h in halves], [h[1] for h in halves]
        whole = [max(n, m) for n, m in zip(whole, wanted)]
    shape = [n - b - a for n, b, a in zip(whole, before, after)]
    if min(shape) < 1:
        raise call.error("a padding that leaves elements", f"{shown([*before, *after])} of {shown(whole)}")
    shape = list(call.checked((x.shape[0], weights.shape[1] * groups, *shape), x.value))
    if weights.depends:
        return call.unknown(shape=shape)
    return call.builder.transposed_convolution(
        call.name,
        x.value,
        kernel=w.kernel,
        stride=w.stride,
        dilation=w.dilation,
        before=before,
        after=after,
        output_padding=extra,
        groups=groups,
        channels_out=shape[1],
        channel_axis=1,
        spatial_axes=tuple(range(2, rank)),
    )


def pooling(call: Call) -> Result:
    """Return the outputs of MaxPool, AveragePool and LpPool; indices read the same elements."""
    x = call.x
    kinds: dict[str, Literal["max", "average", "lp"]] = {"MaxPool": "max", "AveragePool": "average", "LpPool": "lp"}
    w = _same(call, _windows(call, None), x.shape[2:])
    made = call.builder.pooling(
        call.name,
        x,
        kind=kinds[call.operation],
        kernel=w.kernel,
        stride=w.stride,
        dilation=w.dilation,
        before=w.before,
        after=w.after,
        # SAME and VALID define the size of the output.
        ceil_mode=call.attributes.flag("ceil_mode") and w.auto in ("NOTSET", ""),
        spatial_axes=tuple(range(2, len(x.shape))),
    )
    return [made] * max(1, len(call.outputs))


def global_pooling(call: Call) -> Result:
    """Return the output of GlobalAveragePool, GlobalMaxPool and GlobalLpPool."""
    rank = call.rank(3)
    kinds: dict[str, Literal["max", "average", "lp"]] = {
        "GlobalMaxPool": "max",
        "GlobalAveragePool": "average",
        "GlobalLpPool": "lp",
    }
    return call.builder.adaptive_pooling(
        call.name, call.x, kind=kinds[call.operation], output=[1] * (rank - 2), spatial_axes=tuple(range(2, rank))
    )


OPERATIONS: dict[str, Callable[[Call], Result]] = {
    "Conv": convolution,
    "ConvInteger": convolution,
    "QLinearConv": convolution,
    "ConvTranspose": transposed_convolution,
    **dict.fromkeys(("MaxPool", "AveragePool", "LpPool"), pooling),
    **dict.fromkeys(("GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool"), global_pooling),
}
