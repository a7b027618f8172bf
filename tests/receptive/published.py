"""Networks with published figures, as in TensorFlow-Slim, with its padding ``SAME``."""

from __future__ import annotations

from kernelfield.receptive.builder import Builder
from kernelfield.receptive.graph import Graph


class Slim:
    """A builder of two axes: layers of a kernel, a stride and a padding, by name."""

    def __init__(self, extent=224):
        self.builder = Builder()
        self.image = self.builder.image("image", (1, 3, extent, extent), (2, 3))

    def conv(self, name, x, kernel=1, stride=1, padding="SAME"):
        return self._window(name, x, kernel, stride, padding, pool=False)

    def pool(self, name, x, kernel, stride, padding="VALID"):
        return self._window(name, x, kernel, stride, padding, pool=True)

    def _window(self, name, x, kernel, stride, padding, pool):
        """`padding` is ``"SAME"``, ``"VALID"`` or a number for both ends."""
        kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
        before, after = [], []
        for n, k in zip(x.shape[2:], kernel):
            total = max(0, (-(-n // stride) - 1) * stride + k - n) if padding == "SAME" else 0
            before.append(total // 2 if isinstance(padding, str) else padding)
            after.append(total - total // 2 if isinstance(padding, str) else padding)
        settings = {
            "kernel": kernel,
            "stride": (stride, stride),
            "dilation": (1, 1),
            "before": before,
            "after": after,
            "spatial_axes": (2, 3),
        }
        if pool:
            return self.builder.pooling(name, x, kind="max", **settings)
        return self.builder.convolution(name, x, **settings, channels_out=8, channel_axis=1)

    def add(self, name, *xs):
        return self.builder.elementwise(name, "add", *xs)

    def join(self, name, *xs):
        return self.builder.concatenate(name, xs, axis=1)

    def path(self, name, x, *layers):
        """Return convolutions in a row, each a kernel or the arguments of `conv`."""
        for number, layer in enumerate(layers):
            x = self.conv(f"{name}/{number}", x, *(layer if isinstance(layer, list) else [layer]))
        return x


def alexnet_v2() -> Graph:
    net = Slim()
    x = net.conv("conv1", net.image, 11, 4, "VALID")
    x = net.pool("pool1", x, 3, 2)
    x = net.conv("conv2", x, 5)
    x = net.pool("pool2", x, 3, 2)
    for name in ("conv3", "conv4", "conv5"):
        x = net.conv(name, x, 3)
    return net.builder.graph(net.pool("pool5", x, 3, 2))


def vgg(counts) -> Graph:
    net = Slim()
    x = net.image
    for block, count in enumerate(counts, 1):
        for number in range(1, count + 1):
            x = net.conv(f"conv{block}_{number}", x, 3)
        x = net.pool(f"pool{block}", x, 2, 2)
    return net.builder.graph(x)


def resnet_v1(counts, stride_in="last") -> Graph:
    """Return a ResNet; `stride_in` says which layer strides.

    ``"last"`` unit of a block (Slim), the ``"first"`` layer of the first unit (He and others, 2015) or the ``"middle"``
    layer of the first unit (PyTorch, which pads the pooling by 1 on both ends).
    """
    net = Slim()
    x = net.conv("conv1", net.image, 7, 2, 3)
    x = net.pool("pool1", x, 3, 2, 1 if stride_in == "middle" else "SAME")
    for block, count in enumerate(counts, 1):
        for number in range(1, count + 1):
            name = f"block{block}/unit_{number}"
            strides = number == count and block < 4 if stride_in == "last" else number == 1 and block > 1
            stride = 2 if strides else 1
            first = stride if stride_in == "first" else 1
            shortcut = net.conv(f"{name}/shortcut", x, 1, stride) if stride > 1 or number == 1 else x
            y = net.conv(f"{name}/conv1", x, 1, first)
            y = net.conv(f"{name}/conv2", y, 3, stride // first, 1)
            x = net.add(name, shortcut, net.conv(f"{name}/conv3", y))
        x = net.add(f"block{block}", x, x)
    return net.builder.graph(x)


def mobilenet_v1() -> Graph:
    net = Slim()
    x = net.conv("Conv2d_0", net.image, 3, 2)
    for number, stride in enumerate([1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1], 1):
        x = net.conv(f"Conv2d_{number}_depthwise", x, 3, stride)
        x = net.conv(f"Conv2d_{number}_pointwise", x)
    return net.builder.graph(x)


def inception_v3(extent=224) -> Graph:
    net = Slim(extent)
    x = net.path("stem", net.image, [3, 2, "VALID"], [3, 1, "VALID"], 3)
    x = net.pool("MaxPool_3a_3x3", x, 3, 2)
    x = net.path("stem2", x, [1, 1, "VALID"], [3, 1, "VALID"])
    x = net.pool("MaxPool_5a_3x3", x, 3, 2)
    for letter in "bcd":
        name = f"Mixed_5{letter}"
        pooled = net.pool(f"{name}/pool", x, 3, 1, "SAME")
        branches = [net.path(f"{name}/a", x, 1), net.path(f"{name}/b", x, 1, 5), net.path(f"{name}/c", x, 1, 3, 3)]
        x = net.join(name, *branches, net.path(f"{name}/d", pooled, 1))
    short, long = net.path("Mixed_6a/a", x, [3, 2, "VALID"]), net.path("Mixed_6a/b", x, 1, 3, [3, 2, "VALID"])
    x = net.join("Mixed_6a", short, long, net.pool("Mixed_6a/pool", x, 3, 2))
    for letter in "bcde":
        name = f"Mixed_6{letter}"
        pooled = net.pool(f"{name}/pool", x, 3, 1, "SAME")
        once = net.path(f"{name}/b", x, 1, [(1, 7)], [(7, 1)])
        twice = net.path(f"{name}/c", x, 1, [(7, 1)], [(1, 7)], [(7, 1)], [(1, 7)])
        x = net.join(name, net.path(f"{name}/a", x, 1), once, twice, net.path(f"{name}/d", pooled, 1))
    short = net.path("Mixed_7a/a", x, 1, [3, 2, "VALID"])
    long = net.path("Mixed_7a/b", x, 1, [(1, 7)], [(7, 1)], [3, 2, "VALID"])
    x = net.join("Mixed_7a", short, long, net.pool("Mixed_7a/pool", x, 3, 2))
    for letter in "bc":
        name = f"Mixed_7{letter}"
        pooled = net.pool(f"{name}/pool", x, 3, 1, "SAME")
        once, twice = net.path(f"{name}/b", x, 1), net.path(f"{name}/c", x, 1, 3)
        split = [
            net.conv(f"{name}/{side}/{i}", y, kernel)
            for side, y in (("b", once), ("c", twice))
            for i, kernel in (("1x3", (1, 3)), ("3x1", (3, 1)))
        ]
        x = net.join(name, net.path(f"{name}/a", x, 1), *split, net.path(f"{name}/d", pooled, 1))
    return net.builder.graph(x)
