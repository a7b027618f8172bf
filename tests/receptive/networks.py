"""Random networks, built at the same time in PyTorch and as a graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import strategies as st

from kernelfield.receptive.builder import Builder, Value
from kernelfield.receptive.graph import Graph

CHANNELS = 2
LARGEST = 13
POOLS = {"max": (F.max_pool1d, F.max_pool2d, F.max_pool3d), "average": (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)}
CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)
TRANSPOSED = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
PADS = {"constant": "constant", "nearest": "replicate", "mirror": "reflect", "wrap": "circular"}


@dataclass
class Network:
    """A network of one output, as a function of an array (of a batch of them) and as a graph."""

    shape: tuple[int, ...]
    builder: Builder = field(default_factory=Builder)
    steps: list[tuple[str, Callable, tuple[str, ...]]] = field(default_factory=list)
    values: dict[str, Value] = field(default_factory=dict)
    #: Values that further operations may read: those of `CHANNELS` channels.
    open: list[str] = field(default_factory=lambda: ["image"])

    def __post_init__(self) -> None:
        self.values["image"] = self.builder.image("image", self.shape, self.spatial)

    @property
    def spatial(self) -> tuple[int, ...]:
        return tuple(range(2, len(self.shape)))

    @property
    def rank(self) -> int:
        return len(self.shape) - 2

    def add(self, function: Callable, read: tuple[str, ...], value: Callable[[str], Value]) -> str:
        """Add an operation to both and return its name."""
        name = f"n{len(self.steps)}"
        self.values[name] = value(name)
        self.steps.append((name, function, read))
        if self.values[name].shape[1] == CHANNELS:
            self.open.append(name)
        return name

    def extents(self, name: str) -> tuple[int, ...]:
        return self.values[name].shape[2:]

    def graph(self) -> Graph:
        return self.builder.graph(self.values[self.steps[-1][0]])

    def __call__(self, array: np.ndarray) -> np.ndarray:
        tensors = {"image": torch.from_numpy(array.astype(np.float64))}
        for name, function, read in self.steps:
            tensors[name] = function(*(tensors[source] for source in read))
            assert tuple(tensors[name].shape[1:]) == self.values[name].shape[1:], name
        return tensors[self.steps[-1][0]].numpy()

    def __repr__(self) -> str:
        return f"Network of {self.shape}: {[(n.name, n.operation, n.detail, n.shape) for n in self.graph()]}"


def weights(shape):
    """Return weights without zeros, the same for the same shape."""
    return torch.from_numpy(np.random.default_rng(sum(shape)).uniform(0.5, 1.0, shape))


def flat(before, after):
    """Return paddings in PyTorch's order: the last axis first."""
    return [n for pair in reversed(list(zip(before, after))) for n in pair]


def each(draw, rank, strategy):
    return tuple(draw(strategy) for _ in range(rank))


def convolution(draw, net, x):
    extents = net.extents(x)
    kernel, stride = each(draw, net.rank, st.integers(1, 4)), each(draw, net.rank, st.integers(1, 3))
    dilation = each(draw, net.rank, st.integers(1, 2))
    before, after = each(draw, net.rank, st.integers(-1, 3)), each(draw, net.rank, st.integers(0, 2))
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation)]
    if any(n + b + a < s or n + b < 1 for n, b, a, s in zip(extents, before, after, spans)):
        return None
    groups = draw(st.sampled_from([1, CHANNELS]))
    weight = weights((CHANNELS, CHANNELS // groups, *kernel))

    def run(tensor):
        padded = F.pad(tensor, flat(before, after))
        return CONVOLUTIONS[net.rank - 1](padded, weight, stride=stride, dilation=dilation, groups=groups)

    settings = {"kernel": kernel, "stride": stride, "dilation": dilation, "before": before, "after": after}
    return net.add(
        run,
        (x,),
        lambda name: net.builder.convolution(
            name,
            net.values[x],
            **settings,
            groups=groups,
            channels_out=CHANNELS,
            channel_axis=1,
            spatial_axes=net.spatial,
        ),
    )


def transposed(draw, net, x):
    kernel, stride = each(draw, net.rank, st.integers(1, 4)), each(draw, net.rank, st.integers(1, 3))
    dilation, padding = each(draw, net.rank, st.integers(1, 2)), each(draw, net.rank, st.integers(0, 1))
    more = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation))
    shape = [
        (n - 1) * s - 2 * p + d * (k - 1) + m + 1
        for n, s, p, d, k, m in zip(net.extents(x), stride, padding, dilation, kernel, more)
    ]
    if not all(1 <= n <= LARGEST for n in shape):
        return None
    weight = weights((CHANNELS, CHANNELS, *kernel))
    return net.add(
        lambda tensor: TRANSPOSED[net.rank - 1](
            tensor, weight, stride=stride, padding=padding, output_padding=more, dilation=dilation
        ),
        (x,),
        lambda name: net.builder.transposed_convolution(
            name,
            net.values[x],
            kernel=kernel,
            stride=stride,
            dilation=dilation,
            before=padding,
            after=padding,
            output_padding=more,
            channels_out=CHANNELS,
            channel_axis=1,
            spatial_axes=net.spatial,
        ),
    )


def pooling(draw, net, x):
    kind = draw(st.sampled_from(sorted(POOLS)))
    kernel, stride = each(draw, net.rank, st.integers(1, 3)), each(draw, net.rank, st.integers(1, 3))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    ceil_mode = draw(st.booleans())
    if any(n + 2 * p < k for n, p, k in zip(net.extents(x), padding, kernel)):
        return None
    return net.add(
        lambda tensor: POOLS[kind][net.rank - 1](tensor, kernel, stride, padding, ceil_mode=ceil_mode),
        (x,),
        lambda name: net.builder.pooling(
            name,
            net.values[x],
            kind=kind,
            kernel=kernel,
            stride=stride,
            dilation=(1,) * net.rank,
            before=padding,
            after=padding,
            ceil_mode=ceil_mode,
            spatial_axes=net.spatial,
        ),
    )


def upsampling(draw, net, x):
    factors = each(draw, net.rank, st.integers(1, 3))
    output = tuple(n * f for n, f in zip(net.extents(x), factors))
    if max(output) > LARGEST:
        return None
    return net.add(
        lambda tensor: F.interpolate(tensor, output, mode="nearest"),
        (x,),
        lambda name: net.builder.resize(
            name,
            net.values[x],
            output=output,
            spatial_axes=net.spatial,
            method="nearest",
            coordinates="asymmetric",
            nearest_mode="floor",
        ),
    )


def padding(draw, net, x):
    mode = draw(st.sampled_from(sorted(PADS)))
    most = min(net.extents(x)) - 1 if mode != "constant" else 3
    before, after = (
        each(draw, net.rank, st.integers(0, min(3, most))),
        each(draw, net.rank, st.integers(0, min(3, most))),
    )
    if any(n + b + a > LARGEST for n, b, a in zip(net.extents(x), before, after)):
        return None
    return net.add(
        lambda tensor: F.pad(tensor, flat(before, after), mode=PADS[mode]),
        (x,),
        lambda name: net.builder.pad(name, net.values[x], before=(0, 0, *before), after=(0, 0, *after), mode=mode),
    )


def crop(draw, net, x, extents=None):
    """Return a slice of given or random extents; of random extents possibly with steps, reversed or rolled."""
    here = net.extents(x)
    steps = each(draw, net.rank, st.integers(1, 2)) if extents is None else (1,) * net.rank
    starts = tuple(draw(st.integers(0, n - (1 if extents is None else extents[axis]))) for axis, n in enumerate(here))
    stops = tuple(n if extents is None else start + extents[axis] for axis, (n, start) in enumerate(zip(here, starts)))
    places = (slice(None), slice(None), *(slice(*p) for p in zip(starts, stops, steps)))
    return net.add(
        lambda tensor: tensor[places],
        (x,),
        lambda name: net.builder.slice(
            name, net.values[x], starts=(0, 0, *starts), stops=(1, CHANNELS, *stops), steps=(1, 1, *steps)
        ),
    )


def turning(draw, net, x):
    axis = 2 + draw(st.integers(0, net.rank - 1))
    if draw(st.booleans()):
        shift = draw(st.integers(-2, 2))
        return net.add(
            lambda tensor: torch.roll(tensor, shift, axis),
            (x,),
            lambda name: net.builder.roll(name, net.values[x], shifts=(shift,), axes=(axis,)),
        )
    order = list(range(net.extents(x)[axis - 2]))[::-1]
    return net.add(
        lambda tensor: torch.flip(tensor, (axis,)),
        (x,),
        lambda name: net.builder.take(name, net.values[x], axis=axis, indices=order),
    )


def merging(draw, net, x):
    """Return two values cropped to the same extents and added, or side by side: channels mixed, or along space."""
    other = draw(st.sampled_from(net.open))
    extents = tuple(map(min, net.extents(x), net.extents(other)))
    one, two = (crop(draw, net, name, extents) for name in (x, other))
    how = draw(st.sampled_from(["add", "channels", "space"]))
    if how == "add":
        return net.add(
            torch.add, (one, two), lambda name: net.builder.elementwise(name, "add", net.values[one], net.values[two])
        )
    axis = 1 if how == "channels" else 2 + draw(st.integers(0, net.rank - 1))
    if axis > 1 and 2 * extents[axis - 2] > LARGEST:
        return None
    joined = net.add(
        lambda a, b: torch.cat((a, b), axis),
        (one, two),
        lambda name: net.builder.concatenate(name, [net.values[one], net.values[two]], axis=axis),
    )
    if axis > 1:
        return joined
    if draw(st.booleans()):
        return net.add(
            lambda tensor: tensor[:, :CHANNELS],
            (joined,),
            lambda name: net.builder.slice(
                name,
                net.values[joined],
                starts=(0,) * (2 + net.rank),
                stops=(1, CHANNELS, *extents),
                steps=(1,) * (2 + net.rank),
            ),
        )
    ones = (1,) * net.rank
    weight = weights((CHANNELS, 2 * CHANNELS, *ones))
    return net.add(
        lambda tensor: CONVOLUTIONS[net.rank - 1](tensor, weight),
        (joined,),
        lambda name: net.builder.convolution(
            name,
            net.values[joined],
            kernel=ones,
            stride=ones,
            dilation=ones,
            before=(0,) * net.rank,
            after=(0,) * net.rank,
            channels_out=CHANNELS,
            channel_axis=1,
            spatial_axes=net.spatial,
        ),
    )


OPERATIONS = (convolution, convolution, transposed, pooling, upsampling, padding, crop, turning, merging, merging)


@st.composite
def networks(draw, ranks=(1, 2, 2, 3), operations=OPERATIONS, most=6):
    """Return a network of up to `most` operations, each on an earlier value, usually one of the last."""
    rank = draw(st.sampled_from(ranks))
    largest = {1: LARGEST, 2: 11, 3: 5}[rank]
    net = Network((1, CHANNELS, *each(draw, rank, st.integers(3, largest))))
    for _ in range(draw(st.integers(1, most))):
        x = draw(st.sampled_from(net.open[-3:]))
        draw(st.sampled_from(operations))(draw, net, x)
    if not net.steps:
        turning(draw, net, "image")
    return net
