"""Draw the pictures of these pages and of the README anew.

python docs/pictures/draw.py
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import skimage.data
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import nn

import kernelfield as kf
from kernelfield.figures import encode

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"


class Residual(nn.Module):
    """A block of two convolutions, added to its input."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Identity() if stride == 1 else nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the feature map."""
        return torch.relu(self.conv2(torch.relu(self.conv1(x))) + self.skip(x))


def network() -> nn.Module:
    """Return a small residual network, untrained: a stem and three stages of two blocks."""
    torch.manual_seed(0)
    stem = nn.Sequential(nn.Conv2d(3, 8, 7, 2, padding=3), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1))
    stages = [nn.Sequential(Residual(a, b, s), Residual(b, b, 1)) for a, b, s in ((8, 8, 1), (8, 16, 2), (16, 32, 2))]
    parts = {"stem": stem, **{f"layer{i}": stage for i, stage in enumerate(stages, 1)}}
    made = nn.Sequential()
    for name, part in parts.items():
        made.add_module(name, part)
    return made.eval()


def field() -> Figure:
    """Return the field of a unit of the network on a photograph, with where the gradient goes."""
    photograph = skimage.data.astronaut()
    found = kf.receptive_field(network(), (224, 224))
    small = np.asarray(Image.fromarray(photograph).resize((224, 224)), np.float32) / 255
    effective = found.effective(np.moveaxis(small, 2, 0)[None], "layer3", (5, 8))
    return found.draw("layer3", (5, 8), image=photograph, effective=effective)


def main() -> None:
    before, after = (np.asarray(Image.open(EXAMPLES / f"{name}.png")) for name in ("before", "after"))
    figures = {
        "learn": kf.learn(before, after).plot(before, after),
        "edge": kf.kernels.edge((1, 1)).plot(),
        "log-gabor": kf.kernels.log_gabor(8, 30).plot(),
        "coding": kf.coding.code(before, kf.coding.bank(6)).plot(),
        "field": field(),
    }
    for name, figure in figures.items():
        picture = Image.open(io.BytesIO(encode(figure, "png"))).convert("RGB")
        width = 1400 if name == "field" else 1000
        picture = picture.resize((width, round(width * picture.height / picture.width)), Image.Resampling.LANCZOS)
        picture.save(HERE / f"{name}.jpg", quality=85, optimize=True)


if __name__ == "__main__":
    main()
