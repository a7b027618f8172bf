"""Exact search for the cheapest stack of layers with a given receptive field."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from kernelfield.errors import ArgumentError
from kernelfield.receptive.stack import Layer, Stack

Objective = Literal["multiply-adds", "depth"]

_OBJECTIVES = ("multiply-adds", "depth")
# The time of the search grows with the target; images are not much larger.
_LARGEST = 1 << 12


def plan(
    target: int,
    input_size: int | Sequence[int],
    *,
    objective: Objective = "multiply-adds",
    channels: int | Callable[[int], int] = 64,
    image_channels: int = 3,
    kernels: Sequence[int] = (3, 5, 7),
    strides: Sequence[int] = (1, 2),
    dilations: Sequence[int] = (1, 2, 4, 8),
    pooling: Sequence[tuple[int, int]] = ((2, 2), (3, 2)),
    max_stride: int = 32,
    max_layers: int | None = None,
) -> Stack:
    """Return a stack of layers whose units see `target` elements of the image along every axis.

    It is the cheapest of all stacks of the allowed layers, without a heuristic. The field and the cost of the remaining
    layers depend only on the field, stride and channels reached so far, so the best stack for each of these states is
    computed once (dynamic programming in the order of the field).

    No field of a layer has holes, and every element of the image is read: a dilation is allowed only where the field
    below is as wide as its gaps. Dilated layers have stride 1, as not every framework supports both; a pooling follows
    a convolution.

    Parameters
    ----------
    target : int
        Elements of the image, along an axis, 2 to 4096. Reached or exceeded; the last layer's units at the border see
        padding too.
    input_size : int or sequence of int
        Extents of the image; one integer is a square.
    objective : {"multiply-adds", "depth"}
        The quantity to minimise; the other one decides between equals.
    channels : int or callable
        Output channels of every convolution; or a function that returns them for a total stride: ``lambda s: 64 * s``
        doubles them whenever the map is halved.
    image_channels : int
        Channels of the image.
    kernels : sequence of int
        Kernel sizes of convolutions, at least 2: a 1×1 convolution does not extend the field.
    strides : sequence of int
        Strides of convolutions.
    dilations : sequence of int
        Dilations of convolutions of stride 1.
    pooling : sequence of (int, int)
        Kernel and stride of poolings; empty for no pooling.
    max_stride : int
        The largest total stride: 32 leaves a map of 7 × 7 for 224 × 224, as in ResNets; 8 is usual for segmentation.
    max_layers : int, optional
        The largest depth.

    Returns
    -------
    Stack
        Prints as a table; `kernelfield.receptive_field` analyses its `graph`.

    Raises
    ------
    ArgumentError
        If an argument is out of range, or no stack of these layers reaches the target.

    Notes
    -----
    A layer with kernel k, stride s and dilation d extends a field r and a total stride j to ``r + d (k - 1) j`` and
    ``j s`` [1]_.

    References
    ----------
    .. [1] Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill, 2019.

    Examples
    --------
    Two 2×2 layers in a row see nine elements:

    >>> print(plan(3, 8, kernels=[2], strides=[1], dilations=[1], pooling=[], image_channels=1, channels=1))
    2 layers, least multiply-adds: a field of 3 (target 3) in an image of 8×8
       layer            map  channels  field  stride  multiply-adds  weights
    1  convolution 2×2  8×8     1 → 1      2       1            256        4
    2  convolution 2×2  8×8     1 → 1      3       1            256        4
       together                                                 512        8
    Channels: 1 of the image, 1 of every convolution.
    Padding keeps ceil(size / stride) places.
    Pooling counts one for each element of its windows; biases and activations are not counted.
    """
    choices = _check(input_size, channels, kernels, strides, dilations, pooling, max_stride)
    _whole(target, "target", 2, _LARGEST)
    _whole(image_channels, "image_channels", 1)
    if objective not in _OBJECTIVES:
        raise ArgumentError(f"objective: expected one of {', '.join(_OBJECTIVES)}; received {objective!r}")
    if max_layers is not None:
        _whole(max_layers, "max_layers", 1)
    best, largest = _search(choices, target, image_channels, objective, max_layers)
    if best is None:
        raise ArgumentError(
            f"target: expected at most {largest}, which these layers reach; received {target}; allow more layers, "
            "larger kernels, strides, dilations or max_stride"
        )
    layers = []
    while best is not None and best.layer is not None:
        layers.append(best.layer)
        best = best.before
    own = "of convolutions as the total stride says" if callable(channels) else f"{channels} of every convolution"
    assumptions = (
        f"Channels: {image_channels} of the image, {own}.",
        "Padding keeps ceil(size / stride) places.",
        "Pooling counts one for each element of its windows; biases and activations are not counted.",
    )
    return Stack(tuple(reversed(layers)), choices.input_size, target, objective, assumptions)


class _State(NamedTuple):
    """All that the cost of the following layers depends on."""

    field: int
    stride: int
    channels: int
    pooled: bool


class _Label(NamedTuple):
    """A stack that reaches a state: its cost in order of importance, its depth, and its last layer."""

    cost: tuple[int, int]
    depth: int
    before: _Label | None = None
    layer: Layer | None = None


@dataclass(frozen=True)
class _Choices:
    """The allowed layers: windows are (pooling, kernel, stride, dilation)."""

    input_size: tuple[int, ...]
    channels: Callable[[int], int]
    windows: tuple[tuple[bool, int, int, int], ...]
    max_stride: int

    def steps(self, state: _State) -> Iterator[tuple[_State, Layer]]:
        """Yield the states that one more layer reaches, with that layer."""
        for pooling, kernel, stride, dilation in self.windows:
            spacing, total = state.stride * dilation, state.stride * stride
            field = state.field + (kernel - 1) * spacing
            # Taps farther apart than the field of their inputs leave holes; units farther apart than their own field
            # skip elements.
            if spacing > state.field or total > min(field, self.max_stride):
                continue
            if pooling and (state.pooled or state.field == 1):
                continue
            shape = tuple(-(-n // total) for n in self.input_size)
            span = dilation * (kernel - 1) + 1
            before = span // 2 if kernel % 2 else (span - stride) // 2
            after = max(
                (m - 1) * stride + span - before - -(-n // state.stride) for m, n in zip(shape, self.input_size)
            )
            out = state.channels if pooling else self.channels(total)
            operation: Literal["convolution", "pooling"] = "pooling" if pooling else "convolution"
            padding = before, before if kernel % 2 else max(0, after)
            maps = shape, state.channels, out, field, total
            yield _State(field, total, out, pooling), Layer(operation, kernel, stride, dilation, padding, *maps)


def _search(
    choices: _Choices, target: int, image_channels: int, objective: str, max_layers: int | None
) -> tuple[_Label | None, int]:
    """Return the best stack with a field of at least `target`, if there is one, and the largest field reached."""
    # Every layer widens the field, so states are complete when their field's turn comes.
    ways: defaultdict[int, dict[_State, list[_Label]]] = defaultdict(dict)
    ways[1][_State(1, 1, image_channels, False)] = [_Label((0, 0), 0)]
    best, largest = None, 1
    for field in range(1, target):
        for state, labels in ways.pop(field, {}).items():
            largest = field
            open_labels = [label for label in labels if max_layers is None or label.depth < max_layers]
            if not open_labels:
                continue
            for after, layer in choices.steps(state):
                price = (layer.multiply_adds, 1) if objective == "multiply-adds" else (1, layer.multiply_adds)
                for label in open_labels:
                    cost = label.cost[0] + price[0], label.cost[1] + price[1]
                    found = _Label(cost, label.depth + 1, label, layer)
                    if after.field < target:
                        _keep(ways[after.field].setdefault(after, []), found, max_layers is None)
                    elif best is None or found.cost < best.cost:
                        best = found
    return best, largest


def _keep(labels: list[_Label], found: _Label, one: bool) -> None:
    """Add a stack unless a cheaper one is as short; without a limit of the depth only the cheapest is kept."""
    if any(label.cost <= found.cost and (one or label.depth <= found.depth) for label in labels):
        return
    labels[:] = [label for label in labels if not (found.cost <= label.cost and (one or found.depth <= label.depth))]
    labels.append(found)


def _check(
    input_size: int | Sequence[int],
    channels: int | Callable[[int], int],
    kernels: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    pooling: Sequence[tuple[int, int]],
    max_stride: int,
) -> _Choices:
    """Return the allowed layers, or raise if an argument is out of range."""
    extents = (input_size,) * 2 if isinstance(input_size, int) else tuple(input_size)
    if not 1 <= len(extents) <= 3:
        raise ArgumentError(f"input_size: expected an integer or 1 to 3 extents; received {input_size!r}")
    for name, numbers, least in (
        ("input_size", extents, 1),
        ("kernels", kernels, 2),
        ("strides", strides, 1),
        ("dilations", dilations, 1),
        ("max_stride", (max_stride,), 1),
    ):
        for number in numbers:
            _whole(number, name, least)
    for pair in pooling:
        if len(pair) != 2:
            raise ArgumentError(f"pooling: expected pairs (kernel, stride); received {pair!r}")
        _whole(pair[0], "pooling", 2)
        _whole(pair[1], "pooling", 1)

    def constant(total_stride: int) -> int:
        number = channels(total_stride) if callable(channels) else channels
        _whole(number, "channels", 1)
        return number

    constant(1)
    convolutions = {(False, k, s, d) for k in kernels for s in strides for d in dilations if s == 1 or d == 1}
    poolings = {(True, k, s, 1) for k, s in pooling}
    return _Choices(extents, constant, (*sorted(convolutions), *sorted(poolings)), max_stride)


def _whole(number: object, name: str, least: int, most: int | None = None) -> None:
    """Raise unless `number` is an integer from `least` to `most`."""
    if isinstance(number, bool) or not isinstance(number, int) or number < least or number > (most or number):
        limits = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ArgumentError(f"{name}: expected an integer {limits}; received {number!r}")
