"""Cross-correlation by MXNet's operators: for hybridized blocks, GPUs, 16-bit floats and many channels."""

from __future__ import annotations

from typing import Any

import mxnet as mx
import numpy as np

from kernelfield.geometry import Operation

BFLOAT16 = np.dtype([("bfloat16", np.uint16)])
CPUS = ("cpu", "cpu_pinned", "cpu_shared")
_HALVES = ("float16", "bfloat16")


def dtype_name(dtype: Any) -> str:
    """Return the name of a dtype of MXNet, which has no name of its own for bfloat16."""
    kind = np.dtype(dtype)
    return "bfloat16" if kind == BFLOAT16 else kind.name


def same_interface(tensor: Any, like: Any) -> Any:
    """Return the tensor in the interface of `like`, legacy or NumPy's."""
    numpy_like = isinstance(like, (mx.np.ndarray, mx.sym.np._Symbol))
    return tensor.as_np_ndarray() if numpy_like else tensor.as_nd_ndarray()


def known_shape(symbol: Any) -> tuple[int, ...]:
    """Return the shape of a symbol: 0 or -1 for an unknown axis, () if nothing is known."""
    try:
        return tuple(symbol.infer_shape_partial()[1][0] or ())
    except mx.MXNetError:
        # Operators such as arange_like fail on an unknown shape.
        return ()


def convolution(operation: Operation, image: Any, kernel: Any, channels_last: bool, bias: Any) -> Any:
    """Return the cross-correlation of arrays or symbols, plus a bias (C_out,) for a kernel of four axes, if any."""
    symbolic = isinstance(image, mx.sym.Symbol)
    F = mx.sym if symbolic else mx.nd
    x, w = image.as_nd_ndarray(), kernel.as_nd_ndarray()
    if channels_last:
        x, w = F.transpose(x, axes=(0, 3, 1, 2)), F.transpose(w, axes=(3, 2, 0, 1))
    # The image of a traced block has no shape yet; it has four axes, as a layer's image.
    shape, size = (known_shape(t) if symbolic else t.shape for t in (x, w))
    flat = len(size) == 2
    if flat:
        x, w = F.reshape(x, shape=(-1, 1, *shape[-2:])), F.reshape(w, shape=(1, 1, *size))
    elif len(shape) not in (0, 4):
        x = F.reshape(x, shape=(-1, *shape[-3:]))
    # On a CPU, MXNet has no convolution of 16-bit floats.
    half = dtype_name(x.dtype) if not symbolic and image.context.device_type in CPUS else ""
    b = [] if bias is None else [bias.as_nd_ndarray()]
    if half in _HALVES:
        x, w, *b = (F.cast(t, dtype="float32") for t in (x, w, *b))
    x, pad = _extended(F, operation, x)
    y = F.Convolution(
        x,
        w,
        *b,
        kernel=tuple(size[-2:]),
        num_filter=1 if flat else size[0],
        num_group=operation.groups,
        stride=operation.stride,
        dilate=operation.dilation,
        pad=pad,
        no_bias=not b,
    )
    if half in _HALVES:
        y = y.astype(BFLOAT16 if half == "bfloat16" else half)
    if flat or len(shape) not in (0, 4):
        y = F.reshape(y, shape=operation.output_shape(shape, size))
    return same_interface(F.transpose(y, axes=(0, 2, 3, 1)) if channels_last else y, image)


def _extended(F: Any, operation: Operation, x: Any) -> tuple[Any, tuple[int, int]]:
    """Return the image (N, C, H, W) extended by the boundary, and the zero padding that is left to Convolution."""
    if not operation.pads:
        return x, (0, 0)
    pads = [(w.before, w.after) for w in operation.windows]
    if operation.boundary == "constant":
        if operation.cval == 0 and all(before == after for before, after in pads):
            return x, (pads[0][0], pads[1][0])
        widths = (0, 0, 0, 0, *pads[0], *pads[1])
        return F.pad(x, mode="constant", pad_width=widths, constant_value=operation.cval), (0, 0)
    indices = operation.indices(x.shape) if F is mx.nd else (None, None)
    for axis, pad, index in zip((2, 3), pads, indices):
        if any(pad):
            known = index is not None
            at = mx.nd.array(index, ctx=x.context, dtype="int32") if known else axis_indices(x, axis, pad, operation)
            x = F.take(x, at, axis=axis)
    return x, (0, 0)


def axis_indices(x: Any, axis: int, pad: tuple[int, int], operation: Operation) -> Any:
    """Return `operation.indices` of one axis of a symbol, whose length is not known yet, as a symbol."""
    S = mx.sym
    corner = S.slice_axis(S.slice_axis(x, axis=0, begin=0, end=1), axis=1, begin=0, end=1)
    line = S.contrib.arange_like(S.cast(corner, dtype="float32"), axis=axis)
    n = S.reshape(S.max(line) + 1, shape=(1,))
    parts = [S.arange(-pad[0], 0)] * (pad[0] > 0) + [line]
    parts += [S.broadcast_add(S.arange(0, pad[1]), n)] * (pad[1] > 0)
    at = S.concat(*parts, dim=0)
    if operation.boundary == "nearest":
        at = S.broadcast_minimum(S.relu(at), n - 1)
    elif operation.boundary == "wrap":
        at = S.broadcast_mod(at, n)
    elif operation.boundary == "reflect":
        at = S.broadcast_mod(at, 2 * n)
        at = S.broadcast_minimum(at, S.broadcast_sub(2 * n - 1, at))
    else:
        period = S.broadcast_maximum(2 * n - 2, S.ones_like(n))
        at = S.broadcast_mod(at, period)
        at = S.broadcast_minimum(at, S.broadcast_sub(period, at))
    return S.BlockGrad(at)
