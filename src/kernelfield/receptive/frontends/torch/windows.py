"""Rules of PyTorch's operations with a sliding window: convolution, pooling, resizing, unfolding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from kernelfield.receptive.builder import Value
from kernelfield.receptive.frontends.torch.call import Call, several

_WHOLE = 1e-6


def convolution(call: Call) -> Any:
    """Return the output of a convolution of any rank, of its transpose, or of `aten::convolution`, which is both."""
    x, weight = call["input"], call["weight"]
    rank = weight.ndim - 2
    transposed = "transpose" in call.operation or bool(call.get("transposed", False))
    stride, dilation = several(call.get("stride", 1), rank), several(call.get("dilation", 1), rank)
    kernel, padding = weight.shape[2:], call.get("padding", 0)
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        before = tuple(n // 2 for n in total)
        after = tuple(n - n // 2 for n in total)
    else:
        before = after = several(0 if padding == "valid" else padding, rank)
    groups = int(call.get("groups", 1))
    given: dict[str, Any] = {
        "kernel": kernel,
        "stride": stride,
        "dilation": dilation,
        "before": before,
        "after": after,
        "groups": groups,
        "channel_axis": -rank - 1,
        "spatial_axes": range(-rank, 0),
        "weights": weight,
    }
    if not transposed:
        return call.builder.convolution(call.name, x, channels_out=weight.shape[0], **given)
    return call.builder.transposed_convolution(
        call.name,
        x,
        channels_out=weight.shape[1] * groups,
        output_padding=several(call.get("output_padding", 0), rank),
        **given,
    )


def pooling(call: Call) -> Any:
    """Return the output of a maximum or average pooling, with or without indices."""
    rank = int(call.operation.split("pool")[1][0])
    kernel = several(call["kernel_size"], rank)
    padding = several(call.get("padding", 0), rank)
    value = call.builder.pooling(
        call.name,
        call.x,
        kind="max" if "max" in call.operation else "average",
        kernel=kernel,
        # An empty list stands for the kernel size.
        stride=several(call.get("stride") or kernel, rank),
        dilation=several(call.get("dilation", 1), rank),
        before=padding,
        after=padding,
        ceil_mode=bool(call.get("ceil_mode", False)),
        spatial_axes=range(-rank, 0),
    )
    return (value, value) if isinstance(call.result, (tuple, list)) else value


def unpooling(call: Call) -> Any:
    """Return the output of `max_unpool2d` and its kind, by the window of the pooling that found the indices."""
    rank = int(call.operation.split("pool")[1][0])
    found = call.source("indices")
    if found is None or "max_pool" not in str(found.target):
        return call.unknown()
    pool = Call(call.builder, call.constants, found, call.name, found.args, found.kwargs)
    kernel = several(pool["kernel_size"], rank)
    return call.builder.unpooling(
        call.name,
        call["self"],
        call["indices"],
        kernel=kernel,
        stride=several(pool.get("stride") or kernel, rank),
        dilation=several(pool.get("dilation", 1), rank),
        before=several(pool.get("padding", 0), rank),
        output=call.shape[-rank:],
        spatial_axes=range(-rank, 0),
    )


def sampled(call: Call) -> Any:
    """Return the output of `grid_sample` with a constant grid: a place reads the elements around its point."""
    x, grid = call["input"], call.array("grid")
    if grid is None:
        return call.unknown()
    rank = x.ndim - 2
    spatial, output = x.shape[2:], call.shape[2:]
    method = ("linear", "nearest", "cubic")[call["interpolation_mode"]]
    border = ("constant", "nearest", "reflect")[call["padding_mode"]]
    aligned = bool(call["align_corners"])
    taps = []
    for axis, n in enumerate(spatial):
        # The last coordinate of a point is that of the first axis.
        point = grid[0, ..., rank - 1 - axis]
        place = (point + 1) / 2 * (n - 1) if aligned else ((point + 1) * n - 1) / 2
        if border != "constant":
            place = _folded(place, n, border, aligned)
        taps.append(_around(place, n, method, border))
    return call.builder.sampled(call.name, x, taps=taps, output=output, detail=method)


def _folded(place: np.ndarray, n: int, border: str, aligned: bool) -> np.ndarray:
    """Return positions brought inside an axis by clipping or by reflection at its ends."""
    if border == "nearest":
        return np.asarray(np.clip(place, 0, n - 1))
    low, high = (0.0, n - 1.0) if aligned else (-0.5, n - 0.5)
    if high <= low:
        return np.zeros_like(place)
    turn = 2 * (high - low)
    away = np.abs((place - low) % turn)
    return np.asarray(np.clip(np.where(away > high - low, turn - away, away) + low, 0, n - 1))


def _around(place: np.ndarray, n: int, method: str, border: str) -> tuple[tuple[int, ...], ...]:
    """Return the elements of an axis that have a weight at each position."""
    found: list[tuple[int, ...]] = []
    for at in place.ravel().tolist():
        if not math.isfinite(at):
            found.append(())
            continue
        # The arithmetic of the grid leaves less than this of a whole position.
        at = round(at) if abs(at - round(at)) < _WHOLE * n else at
        first = math.floor(at)
        near: Sequence[int]
        if method == "nearest":
            near = (round(at),)
        elif at == first:
            near = (first,)
        else:
            near = (first, first + 1) if method == "linear" else range(first - 1, first + 3)
        if border != "constant":
            near = [min(max(i, 0), n - 1) for i in near]
        found.append(tuple(sorted({i for i in near if 0 <= i < n})))
    return tuple(found)


def adaptive_pooling(call: Call) -> Any:
    """Return the output of a pooling to a given size."""
    rank = int(call.operation.split("pool")[1][0])
    value = call.builder.adaptive_pooling(
        call.name,
        call.x,
        kind="max" if "max" in call.operation else "average",
        output=call.shape[-rank:],
        spatial_axes=range(-rank, 0),
    )
    return (value, value) if isinstance(call.result, (tuple, list)) else value


def resize(call: Call) -> Any:
    """Return the output of an upsampling of any kind."""
    x, operation = call.x, call.operation
    rank = x.ndim - 2
    spatial, output = range(2, x.ndim), call.shape[2:]
    scales = call.get("scale_factors") or [call.get(f"scales{end}") for end in ("_d", "_h", "_w")[-rank:]]
    if rank == 1 and not call.get("scale_factors"):
        scales = [call.get("scales")]
    aligned = bool(call.get("align_corners", False))
    if "nearest" in operation:
        return _nearest(call, x, scales, exact="exact" in operation)
    return call.builder.resize(
        call.name,
        x,
        output=output,
        spatial_axes=spatial,
        method="cubic" if "cubic" in operation else "linear",
        coordinates="align_corners" if aligned else "half_pixel",
        scale=None if aligned else scales,
        antialias=operation.endswith("_aa"),
    )


def _nearest(call: Call, x: Value, scales: Any, exact: bool) -> Value:
    """Return the nearest neighbours, by the float32 arithmetic that PyTorch uses for every dtype."""
    builder = call.builder
    names = [f"{call.name}/{axis}" for axis in range(x.ndim)]
    for t, (n, scale) in enumerate(zip(call.shape[2:], scales, strict=True), start=2):
        m = x.shape[t]
        step = np.float32(1.0 / scale) if scale else np.float32(m) / np.float32(n)
        place = np.arange(n, dtype=np.float32) + np.float32(0.5 if exact else 0)
        index = np.minimum((place * step).astype(np.int64), m - 1)
        if not exact and n in (m, 2 * m):
            index = np.arange(n) * m // n
        plain = (2 * np.arange(n) + 1) * m // (2 * n) if exact else np.arange(n) * m // n
        if x.axes[t] is not None and (index != plain).any():
            x = builder.take(names[t], x, axis=t, indices=index.tolist())
    return builder.resize(
        call.name,
        x,
        output=call.shape[2:],
        spatial_axes=range(2, x.ndim),
        method="nearest",
        coordinates="half_pixel" if exact else "asymmetric",
        nearest_mode="round_prefer_ceil" if exact else "floor",
    )


def unfold_axis(call: Call) -> Any:
    """Return the output of `Tensor.unfold`."""
    return call.builder.unfold(call.name, call.x, axis=call["dimension"], size=call["size"], stride=call["step"])


def im2col(call: Call) -> Any:
    """Return the output of `nn.Unfold`: windows as columns."""
    builder, x = call.builder, call.x
    kernel, stride, padding, dilation = _window(call)
    if any(padding):
        around = (*[0] * (x.ndim - 2), *padding)
        x = builder.pad(f"{call.name}/pad", x, before=around, after=around)
    n = x.ndim
    for a, axis in enumerate(("rows", "columns")):
        x = builder.unfold(
            f"{call.name}/{axis}", x, axis=n - 2 + a, size=kernel[a], stride=stride[a], dilation=dilation[a]
        )
    # (…, C, h, w, kh, kw) -> (…, C, kh, kw, h, w)
    order = [*range(n - 2), n, n + 1, n - 2, n - 1]
    return builder.reshape(call.name, builder.transpose(f"{call.name}/turned", x, permutation=order), shape=call.shape)


def col2im(call: Call) -> Any:
    """Return the output of `nn.Fold`: columns summed where their windows overlap."""
    builder, x = call.builder, call.x
    kernel, stride, padding, dilation = _window(call)
    output = call.shape[-2:]
    places = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip(output, padding, dilation, kernel, stride, strict=True)
    ]
    apart = builder.reshape(f"{call.name}/windows", x, shape=[*x.shape[:-2], call.shape[-3], *kernel, *places])
    return builder.fold(
        call.name, apart, kernel=kernel, stride=stride, dilation=dilation, before=padding, output=output
    )


class _Window(NamedTuple):
    """The arguments of `nn.Unfold` and `nn.Fold`, with a number for each of the two axes."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]


def _window(call: Call) -> _Window:
    return _Window(*(several(call[name], 2) for name in ("kernel_size", "stride", "padding", "dilation")))
