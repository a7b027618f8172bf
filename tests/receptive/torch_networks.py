"""Small networks with every kind of connection that the PyTorch frontend has to follow."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


def conv(a, b, k=3, **options):
    return nn.Conv2d(a, b, k, padding=options.pop("padding", (k - 1) * options.get("dilation", 1) // 2), **options)


class Residual(nn.Module):
    """A bottleneck with batch normalisation, and activations in place that are used twice."""

    def __init__(self, stride=2):
        super().__init__()
        self.conv1, self.bn1 = conv(3, 4, stride=stride), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = conv(4, 4), nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = nn.Sequential(conv(3, 4, 1, stride=stride), nn.BatchNorm2d(4))

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += self.downsample(x)
        return self.relu(y)


class UNet(nn.Module):
    """Down, up by transposed convolution, skips by concatenation with a crop where the sizes are odd."""

    def __init__(self):
        super().__init__()
        self.first, self.second = conv(3, 4), conv(4, 8)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.last = conv(8, 2, padding=0)

    def forward(self, x):
        a = self.first(x).relu()
        b = self.second(F.max_pool2d(a, 2)).relu()
        up = self.up(b)
        return self.last(torch.cat([up, a[..., : up.shape[-2], : up.shape[-1]]], 1))


class Dilated(nn.Module):
    """Atrous pyramid with a global branch that is concatenated with the others."""

    def __init__(self):
        super().__init__()
        self.branches = nn.ModuleList([conv(3, 4, dilation=d) for d in (1, 2, 3)])
        self.glob = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv(3, 4, 1), nn.ReLU())

    def forward(self, x):
        g = F.interpolate(self.glob(x), x.shape[2:])
        return torch.cat([*(b(x) for b in self.branches), g], 1)


class Shuffle(nn.Module):
    """ShuffleNet V2: half of the channels pass, are shuffled with the rest, and split again."""

    def __init__(self):
        super().__init__()
        self.branches = nn.ModuleList(
            [nn.Sequential(conv(2, 2, 1), nn.Conv2d(2, 2, (3, 1), padding=(1, 0), groups=2)) for _ in range(3)]
        )
        self.stem = nn.Conv2d(3, 4, 1)

    def forward(self, x):
        x = self.stem(x)
        for branch in self.branches:
            a, b = x.chunk(2, dim=1)
            x = torch.cat((a, branch(b)), 1)
            n, c, h, w = x.shape
            x = x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)
        return x[:, :2]


class CrossStage(nn.Module):
    """YOLO's C2f: halves of one convolution, one of which goes on, and all of it concatenated."""

    def __init__(self):
        super().__init__()
        self.a, self.m, self.b = conv(3, 4, 1), nn.ModuleList([conv(2, 2), conv(2, 2)]), conv(8, 3, 1)

    def forward(self, x):
        y = list(self.a(x).split((2, 2), 1))
        y.extend(m(y[-1]) for m in self.m)
        return self.b(torch.cat(y, 1))


class Passed(nn.Module):
    """The output holds only channels that pass by all convolutions."""

    def __init__(self):
        super().__init__()
        self.wide, self.deep = nn.Conv2d(3, 2, (1, 5), padding=(0, 2)), nn.Conv2d(3, 2, (5, 1), padding=(2, 0))
        self.each = nn.Conv2d(4, 4, 3, padding=1, groups=4)

    def forward(self, x):
        y = F.silu(self.each(torch.cat([self.wide(x), self.deep(x)], 1)))
        return F.pad(y, (1, 1, 0, 0))[:, 2:]


class Inception(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = conv(3, 2, 1), nn.Sequential(conv(3, 2, 1), nn.Conv2d(2, 2, (1, 7), padding=(0, 3)))
        self.c = nn.Conv2d(3, 2, 3, stride=1, padding="same", dilation=2)

    def forward(self, x):
        pool = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        y = torch.cat([self.a(x), self.b(x), self.c(x), pool], 1)
        return F.max_pool2d(y, 3, 2, ceil_mode=True)


class Dense(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(
            [nn.Sequential(nn.BatchNorm2d(3 + 2 * i), nn.ReLU(), conv(3 + 2 * i, 2)) for i in range(3)]
        )

    def forward(self, x):
        features = [x]
        for layer in self.layers:
            features.append(layer(torch.cat(features, 1)))
        return F.avg_pool2d(torch.cat(features, 1), 2)


class Pyramid(nn.Module):
    """A feature pyramid: top-down by nearest neighbours."""

    def __init__(self):
        super().__init__()
        self.down = nn.ModuleList([conv(3, 4, stride=2), conv(4, 4, stride=2)])
        self.lateral, self.smooth = nn.ModuleList([conv(4, 4, 1), conv(4, 4, 1)]), conv(4, 4)

    def forward(self, x):
        a = self.down[0](x).relu()
        b = self.down[1](a).relu()
        top = F.interpolate(self.lateral[1](b), size=a.shape[-2:], mode="nearest")
        return self.smooth(self.lateral[0](a) + top)


class Squeeze(nn.Module):
    """Squeeze and excitation as in the paper: pooled, flattened, two linear layers."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = conv(3, 4), nn.Sequential(nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 4), nn.Sigmoid())

    def forward(self, x):
        x = self.conv(x)
        n, c, _, _ = x.shape
        return x * self.fc(x.mean((2, 3)).view(n, c)).view(n, c, 1, 1)


class Coordinates(nn.Module):
    """Coordinate attention: pooled along rows and along columns, concatenated, and split again."""

    def __init__(self):
        super().__init__()
        self.mix, self.a, self.b = conv(3, 2, 1), conv(2, 3, 1), conv(2, 3, 1)

    def forward(self, x):
        h, w = x.shape[2:]
        rows, columns = x.mean(3, keepdim=True), x.mean(2, keepdim=True).permute(0, 1, 3, 2)
        y = F.hardswish(self.mix(torch.cat([rows, columns], 2)))
        rows, columns = torch.split(y, [h, w], dim=2)
        return self.a(rows).sigmoid() + self.b(columns.permute(0, 1, 3, 2)).sigmoid()


class Subpixel(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.up, self.down = conv(3, 8, 5), nn.PixelShuffle(2), nn.PixelUnshuffle(3)

    def forward(self, x):
        return self.down(self.up(self.body(x)))


class Focus(nn.Module):
    """Every second place, four times: space to depth by slices."""

    def __init__(self):
        super().__init__()
        self.conv = conv(12, 4)

    def forward(self, x):
        return self.conv(torch.cat([x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)], 1))


class Written(nn.Module):
    """Writes into slices, and reads another view of what it wrote to."""

    def __init__(self):
        super().__init__()
        self.conv = conv(3, 4)

    def forward(self, x):
        y = self.conv(x)
        z = torch.zeros_like(y)
        z[:, :, 1:] = y[:, :, :-1]
        z[:, 0, ::2] = y[:, 1, ::2]
        view = z[:, :, :, 2:]
        view.add_(y[:, :, :, :-2])
        return F.relu_(z)


class Extended(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")
        self.b = nn.Conv2d(4, 4, 3, padding=(1, 2), padding_mode="circular", dilation=(1, 2))
        self.c = nn.Sequential(nn.ReplicationPad2d((2, 0, 1, 1)), nn.Conv2d(4, 2, 3, stride=2))

    def forward(self, x):
        return self.c(self.b(self.a(x))).flip(2).roll(1, 3)


class Windows(nn.Module):
    """A Swin block: shifted windows of 4×4, attention within them."""

    def __init__(self):
        super().__init__()
        self.embed, self.norm, self.qkv, self.out = conv(3, 8, 1), nn.LayerNorm(8), nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x):
        x = self.norm(self.embed(x).permute(0, 2, 3, 1)).roll((-2, -2), (1, 2))
        n, h, w, c = x.shape
        x = x.view(n, h // 4, 4, w // 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, c)
        q, k, v = self.qkv(x).reshape(-1, 16, 3, 2, c // 2).permute(2, 0, 3, 1, 4)
        x = ((q @ k.transpose(-2, -1)) * 0.5).softmax(-1) @ v
        x = self.out(x.transpose(1, 2).reshape(-1, 16, c))
        x = x.view(n, h // 4, w // 4, 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h, w, c)
        return x.roll((2, 2), (1, 2)).permute(0, 3, 1, 2)


class Tokens(nn.Module):
    """A vision transformer with a class token, whose output are the tokens."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 4, stride=4)
        self.cls, self.position = nn.Parameter(torch.zeros(1, 1, 8)), nn.Parameter(torch.zeros(1, 21, 8))
        self.first, self.mlp = nn.LayerNorm(8), nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], 1) + self.position
        y = self.first(x)
        self.seen = None
        x = self.mlp(x) + x
        return x, self.attention(y, y, y, need_weights=False)[0]


class Mixer(nn.Module):
    """Tokens mixed across positions by a linear layer."""

    def __init__(self):
        super().__init__()
        self.embed, self.mix, self.row = conv(3, 4, 1), nn.Linear(20, 20), nn.Linear(16, 3)

    def forward(self, x):
        return self.row(self.mix(self.embed(x)).transpose(2, 3))


class Involution(nn.Module):
    """Windows unfolded, weighted by the element at their centre, summed, and folded back."""

    def __init__(self):
        super().__init__()
        self.weights, self.unfold = conv(3, 9, 1), nn.Unfold(3, padding=1, dilation=1)

    def forward(self, x):
        n, c, h, w = x.shape
        windows = self.unfold(x).view(n, c, 9, h, w)
        y = (windows * self.weights(x).unsqueeze(1)).sum(2)
        return F.fold(F.unfold(y, (2, 3), stride=(2, 3)), (h, w), (2, 3), stride=(2, 3))


class Recurrent(nn.Module):
    """Rows read from left to right by a GRU."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(3, 5, batch_first=True)

    def forward(self, x):
        n, c, h, w = x.shape
        y, _ = self.gru(x.permute(0, 2, 3, 1).reshape(n * h, w, c))
        return y.reshape(n, h, w, 5)


class Sums(nn.Module):
    """Einstein sums, running sums, statistics of one axis, halves gated by each other."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(3, 4))

    def forward(self, x):
        y = F.glu(torch.einsum("nchw,cd->ndhw", x, self.weight), 1)
        y = F.normalize(y, dim=1) - y.amax(2, keepdim=True)
        return y.cumsum(3) + F.local_response_norm(y, 2)


class Norms(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(conv(3, 4, padding=0), nn.GroupNorm(2, 4), nn.PReLU(), nn.InstanceNorm2d(4))

    def forward(self, x):
        return self.body(x)


class Functional(nn.Module):
    """Weights without layers, used by functions."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(4, 3, 3, 3))

    def forward(self, x):
        y = F.conv2d(x, self.weight, stride=(2, 1), padding=(0, 1))
        y = F.conv_transpose2d(y, x.new_ones(4, 2, 3, 2), stride=(2, 1), output_padding=(1, 0), padding=1)
        y = F.adaptive_avg_pool2d(y, (5, 7)).repeat_interleave(2, dim=3)
        return torch.where(y > 0, y, y.exp())


class Line(nn.Module):
    """One dimension."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(2, 4, 4, stride=3, padding=1), nn.GELU(), nn.ConvTranspose1d(4, 2, 5, stride=2), nn.MaxPool1d(2)
        )

    def forward(self, x):
        return self.layers(x)


class Volume(nn.Module):
    """Three dimensions, of which one is treated by itself."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv3d(2, 3, (1, 3, 3), padding=(0, 1, 1)), nn.Conv3d(3, 2, (3, 1, 1), stride=(2, 1, 2))

    def forward(self, x):
        return F.avg_pool3d(self.b(self.a(x)), (1, 2, 1))


class Stacked(nn.Module):
    """Frames stacked along a third spatial axis and convolved over it; a batch of two joined and split."""

    def __init__(self):
        super().__init__()
        self.frames, self.both = nn.Conv3d(3, 2, (2, 1, 1)), conv(3, 3)

    def forward(self, x):
        a, b = self.both(torch.cat([x, F.max_pool2d(x, 3, 1, 1)], 0)).chunk(2, 0)
        return self.frames(torch.stack([a, x, b], 2))[:, :, 0]


class Smooth(nn.Module):
    """Bilinear upsampling."""

    def __init__(self):
        super().__init__()
        self.down, self.out = conv(3, 4, stride=2), conv(4, 2)

    def forward(self, x):
        return self.out(F.interpolate(self.down(x), scale_factor=2, mode="bilinear", align_corners=True))
