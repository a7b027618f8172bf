"""Rules of PyTorch's operations that rearrange axes."""

from __future__ import annotations

from typing import Any

from kernelfield.receptive.frontends.torch.call import Call


def reshape(call: Call) -> Any:
    """Return a value in another shape: `view`, `flatten`, `squeeze` and more."""
    return call.builder.reshape(call.name, call.x, shape=call.shape)


def permute(call: Call) -> Any:
    """Return the output of `permute`."""
    return call.builder.transpose(call.name, call.x, permutation=call["dims"])


def transpose(call: Call) -> Any:
    """Return the output of `transpose`, of the last two axes if none are given."""
    x = call.x
    given = [call.get(name) for name in ("dim0", "dim1", "axis0", "axis1") if call.get(name) is not None]
    order = list(range(x.ndim))
    if x.ndim > 1:
        a, b = (x.axis(t) for t in (given or (-2, -1)))
        order[a], order[b] = order[b], order[a]
    return call.builder.transpose(call.name, x, permutation=order)


def movedim(call: Call) -> Any:
    """Return the output of `movedim`."""
    x = call.x
    sources = [x.axis(t) for t in _listed(call["source"])]
    targets = [x.axis(t) for t in _listed(call["destination"])]
    order: list[int | None] = [None] * x.ndim
    for source, target in zip(sources, targets, strict=True):
        order[target] = source
    rest = iter(t for t in range(x.ndim) if t not in sources)
    return call.builder.transpose(call.name, x, permutation=[next(rest) if t is None else t for t in order])


def reverse(call: Call) -> Any:
    """Return `x.T`, with all axes reversed."""
    return call.builder.transpose(call.name, call.x, permutation=range(call.x.ndim)[::-1])


def expand(call: Call) -> Any:
    """Return the output of `expand`, `repeat` and `tile`."""
    return call.builder.expand(call.name, call.x, shape=call.shape)


def depth_to_space(call: Call) -> Any:
    """Return the output of `pixel_shuffle`."""
    return call.builder.depth_to_space(
        call.name, call.x, block=call["upscale_factor"], channel_axis=-3, spatial_axes=(-2, -1), mode="CRD"
    )


def space_to_depth(call: Call) -> Any:
    """Return the output of `pixel_unshuffle`."""
    return call.builder.space_to_depth(
        call.name, call.x, block=call["downscale_factor"], channel_axis=-3, spatial_axes=(-2, -1), mode="CRD"
    )


def channel_shuffle(call: Call) -> Any:
    """Return the output of `channel_shuffle`."""
    builder, x, groups = call.builder, call.x, call["groups"]
    n, c, *space = x.shape
    apart = builder.reshape(f"{call.name}/groups", x, shape=(n, groups, c // groups, *space))
    order = [0, 2, 1, *range(3, apart.ndim)]
    turned = builder.transpose(f"{call.name}/turned", apart, permutation=order)
    return builder.reshape(call.name, turned, shape=x.shape)


def two_parts(call: Call) -> Any:
    """Return the output of `view_as_real`, with a last axis for the real and the imaginary part."""
    wide = call.builder.reshape(f"{call.name}/wide", call.x, shape=(*call.x.shape, 1))
    return call.builder.expand(call.name, wide, shape=call.shape)


def one_part(call: Call) -> Any:
    """Return the output of `view_as_complex`."""
    return call.builder.reduce(call.name, call.x, axes=[-1], keepdims=False, operation="complex")


def _listed(axes: Any) -> list[int]:
    return list(axes) if isinstance(axes, (list, tuple)) else [axes]
