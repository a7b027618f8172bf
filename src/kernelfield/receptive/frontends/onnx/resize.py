"""Rules of ONNX's Resize and Upsample: sizes or scales in every mode, with the exact support."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from kernelfield.receptive.builder import Value
from kernelfield.receptive.frontends.onnx.attributes import shown
from kernelfield.receptive.frontends.onnx.call import Call, Result
from kernelfield.receptive.resampling import Coordinates, Method, Rounding

#: Largest extent after a resize: every element has its own taps where the ratio is not simple.
_LARGEST = 1 << 15
_METHODS: dict[str, Method] = {"nearest": "nearest", "linear": "linear", "cubic": "cubic"}
_ROUNDINGS: dict[str, Rounding] = {
    "round_prefer_floor": "round_prefer_floor",
    "round_prefer_ceil": "round_prefer_ceil",
    "floor": "floor",
    "ceil": "ceil",
}
_COORDINATES: dict[str, Coordinates] = {
    "half_pixel": "half_pixel",
    "pytorch_half_pixel": "pytorch_half_pixel",
    "align_corners": "align_corners",
    "asymmetric": "asymmetric",
    "tf_half_pixel_for_nn": "tf_half_pixel_for_nn",
}
_OTHERS = ("half_pixel_symmetric", "tf_crop_and_resize")


def resize(call: Call) -> Result:
    """Return the output of Resize."""
    given = call.attributes
    if call.opset < 11:
        return _older(call, 1)
    method = _METHODS[given.word("mode", "nearest", tuple(_METHODS))]
    text = given.word("coordinate_transformation_mode", "half_pixel", (*_COORDINATES, *_OTHERS))
    rounding = _ROUNDINGS[given.word("nearest_mode", "round_prefer_floor", tuple(_ROUNDINGS))]
    policy = given.word("keep_aspect_ratio_policy", "stretch", ("stretch", "not_larger", "not_smaller"))
    antialias = given.flag("antialias")
    rank = len(call.x.shape)
    listed = given.integers("axes")
    axes = list(range(rank)) if listed is None else [call.axis(a) for a in listed]
    if len(set(axes)) != len(axes):
        raise call.error("axes that differ", shown(axes))
    extents = [call.x.shape[a] for a in axes]
    scales = _scales(call, 2, len(axes))
    sizes_given = call.optional(3) is not None and call.tensor(3).shape != (0,)
    if sizes_given == (scales is not None):
        raise call.error("scales or sizes, one of them", "both" if sizes_given else "none")
    if scales is None:
        sizes = call.integers(3, "sizes", len(axes))
        if policy != "stretch" and min(sizes, default=1) > 0:
            choose = min if policy == "not_larger" else max
            ratio = choose(Fraction(s, n) for s, n in zip(sizes, extents))
            # Round half up; the axes share one scale.
            sizes = [math.floor(ratio * n + Fraction(1, 2)) for n in extents]
            scales = [float(ratio)] * len(axes)
    else:
        sizes = [math.floor(s * n) for s, n in zip(scales, extents)]
    if text == "half_pixel_symmetric" and all(s == c * n for s, c, n in zip(sizes, scales or [], extents)):
        text = "half_pixel"
    if text in _OTHERS and sizes != extents:
        shape = list(call.x.shape)
        for axis, size in zip(axes, sizes):
            shape[axis] = size
        return call.unknown(shape=shape)
    coordinates = _COORDINATES.get(text, "half_pixel")
    if coordinates == "align_corners":
        scales = None
    return _resized(call, axes, sizes, scales, method, coordinates, rounding, antialias)


def upsample(call: Call) -> Result:
    """Return the output of Upsample, of operator sets before 10."""
    return _older(call, 1 if call.opset >= 9 else None)


def _older(call: Call, scales_at: int | None) -> Result:
    """Return the output of Upsample and of Resize before operator set 11: output i lies at i / scale."""
    method = call.attributes.word("mode", "nearest", ("nearest", "linear", "bilinear"))
    rank = len(call.x.shape)
    scales = call.attributes.numbers("scales") if scales_at is None else _scales(call, scales_at, rank)
    if scales is None or len(scales) != rank or min(scales, default=1.0) <= 0:
        raise call.error(f"{rank} scales above 0", shown(scales or []))
    sizes = [math.floor(s * n) for s, n in zip(scales, call.x.shape)]
    if method == "nearest" and any(s < 1 for s in scales):
        # Implementations round differently.
        return call.unknown(shape=sizes)
    linear: Method = "nearest" if method == "nearest" else "linear"
    return _resized(call, list(range(rank)), sizes, scales, linear, "asymmetric", "floor", False)


def _scales(call: Call, index: int, count: int) -> list[float] | None:
    """Return the scales; None where they are omitted or empty."""
    if call.optional(index) is None or call.tensor(index).shape == (0,):
        return None
    content = call.content(index, "scales")
    if content.ndim > 1 or content.dtype.kind != "f" or content.size != count:
        raise call.error(f"{count} scales", f"{content.dtype} of shape {content.shape}")
    if not (np.isfinite(content).all() and (content > 0).all() and (content <= _LARGEST).all()):
        raise call.error(f"scales above 0 and up to {_LARGEST}", shown(content.ravel().tolist()))
    return [float(s) for s in content.ravel()]


def _resized(
    call: Call,
    axes: list[int],
    sizes: list[int],
    scales: list[float] | None,
    method: Method,
    coordinates: Coordinates,
    rounding: Rounding,
    antialias: bool,
) -> Value:
    x = call.x
    if not all(1 <= s <= _LARGEST or s == x.shape[a] for a, s in zip(axes, sizes)):
        raise call.error(f"sizes from 1 to {_LARGEST}", shown(sizes), "give a larger input size")
    moved = [i for i, a in enumerate(axes) if sizes[i] != x.shape[a] or (scales is not None and scales[i] != 1)]
    if not moved:
        return call.builder.elementwise(call.name, "identity", x) if x.node is not None else x
    return call.builder.resize(
        call.name,
        x,
        output=[sizes[i] for i in moved],
        spatial_axes=[axes[i] for i in moved],
        method=method,
        coordinates=coordinates,
        scale=None if scales is None else [scales[i] for i in moved],
        nearest_mode=rounding,
        antialias=antialias,
    )


OPERATIONS: dict[str, Callable[[Call], Result]] = {"Resize": resize, "Upsample": upsample}
