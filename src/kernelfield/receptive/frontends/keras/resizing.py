"""Rules of Keras' layers that change the size of an image: upsampling, resizing, padding and cropping."""

from __future__ import annotations

from collections.abc import Callable

from kernelfield.receptive.builder import Value
from kernelfield.receptive.frontends.keras.walk import Call, Result
from kernelfield.receptive.frontends.keras.windows import cropped_to_aspect, layout, resize


def upsampling(call: Call) -> Result:
    layer, x = call.operation, call.x
    factors = layer.size if isinstance(layer.size, tuple | list) else (layer.size,)
    data_format = getattr(layer, "data_format", "channels_last")
    _, spatial = layout(data_format, x.ndim)
    sizes = [x.shape[a] * f for a, f in zip(spatial, factors)]
    return resize(call, x, sizes, getattr(layer, "interpolation", "nearest"), data_format)


def resizing(call: Call) -> Result:
    layer, x = call.operation, call.x
    _, spatial = layout(layer.data_format, x.ndim)
    size, output = [x.shape[a] for a in spatial], [layer.height, layer.width]
    if layer.pad_to_aspect_ratio and size[0] * output[1] != size[1] * output[0]:
        return call.unknown()
    if layer.crop_to_aspect_ratio:
        x = _window(call, x, dict(zip(spatial, cropped_to_aspect(size, output))))
    return resize(call, x, output, layer.interpolation, layer.data_format, layer.antialias)


def _window(call: Call, x: Value, ranges: dict[int, tuple[int, int]]) -> Value:
    bounds = [ranges.get(a, (0, n)) for a, n in enumerate(x.shape)]
    if all(bound == (0, n) for bound, n in zip(bounds, x.shape)):
        return x
    starts, stops = zip(*bounds)
    return call.builder.slice(f"{call.name}/crop", x, starts=starts, stops=stops, steps=[1] * x.ndim)


def center_crop(call: Call) -> Result:
    layer, x = call.operation, call.x
    _, spatial = layout(layer.data_format, x.ndim)
    size, output = [x.shape[a] for a in spatial], [layer.height, layer.width]
    if all(n >= m for n, m in zip(size, output)):
        return _window(call, x, {a: ((n - m) // 2, (n - m) // 2 + m) for a, n, m in zip(spatial, size, output)})
    x = _window(call, x, dict(zip(spatial, cropped_to_aspect(size, output))))
    return resize(call, x, output, "bilinear", layer.data_format)


def pad(sign: int) -> Callable[[Call], Result]:
    def rule(call: Call) -> Result:
        layer, x = call.operation, call.x
        pairs = layer.padding if sign > 0 else layer.cropping
        pairs = [pairs] if isinstance(pairs[0], int) else pairs
        _, spatial = layout(getattr(layer, "data_format", "channels_last"), x.ndim)
        before, after = [0] * x.ndim, [0] * x.ndim
        for axis, (b, a) in zip(spatial, pairs):
            before[axis], after[axis] = sign * b, sign * a
        return call.builder.pad(call.name, x, before=before, after=after)

    return rule
