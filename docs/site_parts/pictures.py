"""Draw the pictures of the site, and of README.md.

``python docs/site_parts/pictures.py`` draws those of README.md anew; `make docs` draws the others.
"""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

import kernelfield as kf
from kernelfield.figures import HEADING, SMALL, bare, draw_numbers, draw_signed, encode, panel_title

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
#: The pictures that README.md shows are files of the repository.
README = ("learn", "field")


def pair() -> tuple[np.ndarray, np.ndarray]:
    """Return the before and the after of examples/."""
    before, after = (np.asarray(Image.open(EXAMPLES / f"{name}.png")) for name in ("before", "after"))
    return before, after


def learned() -> Figure:
    """Return the picture of README.md: before, after, the kernel found, the residual."""
    before, after = pair()
    return kf.learn(before, after).plot(before, after)


def network() -> Any:
    """Return a small residual network of PyTorch, untrained: a stem and three stages of two blocks."""
    import torch
    from torch import nn

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
    import skimage.data

    photograph = skimage.data.astronaut()
    found = kf.receptive_field(network(), (224, 224))
    small = np.asarray(Image.fromarray(photograph).resize((224, 224)), np.float32) / 255
    effective = found.effective(np.moveaxis(small, 2, 0)[None], "layer3", (5, 8))
    return found.draw("layer3", (5, 8), image=photograph, effective=effective)


def found() -> Figure:
    """Return the picture of the first page: a part of before and after, and the filter between them."""
    before, after = pair()
    fit = kf.learn(before, after)
    made = blank(9.6, 3.4)
    axes = made.subplots(1, 3)
    for place, image, title in ((axes[0], before, "before"), (axes[1], after, "after")):
        place.imshow(image[20:260, 110:350], cmap="gray", vmin=0, vmax=255)
        bare(place)
        panel_title(place, title)
    cells(
        axes[2], np.asarray(fit.integers, float), f"the filter, numbers over {fit.divisor}: {fit.name}, {fit.verdict}"
    )
    return made


def cells(axes: Axes, values: np.ndarray, title: str, *, signed: bool = True) -> None:
    """Draw a small array as cells with their numbers."""
    if signed:
        drawn = draw_signed(axes, values, float(np.abs(values).max()), interpolation="nearest")
    else:
        drawn = axes.imshow(values, cmap="gray", vmin=0, vmax=values.max(), interpolation="nearest")
    bare(axes)
    panel_title(axes, title)
    draw_numbers(drawn, [[[f"{value:g}" for value in row] for row in values.tolist()]], 22, 12)


def blank(width: float, height: float, title: str = "") -> Figure:
    """Return an empty figure, its size in inches."""
    made = Figure(figsize=(width, height), dpi=200, layout="constrained")
    if title:
        made.suptitle(title, fontsize=HEADING)
    return made


def window(axes: Axes, row: int, column: int, rows: int, columns: int, colour: str = "#D55E00") -> None:
    """Draw the frame of a window."""
    x, y = column - 0.5, row - 0.5
    axes.plot(
        [x, x + columns, x + columns, x, x], [y, y, y + rows, y + rows, y], color=colour, linewidth=2.2, clip_on=False
    )


def sliding() -> Figure:
    """Return the first step: a window of the image, the kernel, and the output that their products make."""
    image, kernel = np.arange(9.0).reshape(3, 3), np.arange(4.0).reshape(2, 2)
    made = blank(7.4, 2.5, "0·0 + 1·1 + 3·2 + 4·3 = 19")
    left, middle, right = made.subplots(1, 3)
    for axes, values, title in (
        (left, image, "image"),
        (middle, kernel, "kernel"),
        (right, kf.corr2d(image, kernel), "output"),
    ):
        cells(axes, values, title)
    window(left, 0, 0, 2, 2)
    window(right, 0, 0, 1, 1)
    return made


def edges() -> Figure:
    """Return the image of 6×8 with its two edges, and what the kernel [1, -1] makes of it."""
    image = np.ones((6, 8))
    image[:, 2:6] = 0
    made = blank(8.6, 2.9)
    axes = made.subplots(1, 3, width_ratios=(8, 2, 7))
    cells(axes[0], image, "image: 1 white, 0 black", signed=False)
    cells(axes[1], np.array([[1.0, -1.0]]), "kernel")
    cells(axes[2], kf.corr2d(image, [[1, -1]]), "1: white to black, −1: black to white")
    return made


def descent() -> Figure:
    """Return the loss, step by step, and the way of the two weights to 1 and -1."""
    image = np.ones((6, 8))
    image[:, 2:6] = 0
    target = kf.corr2d(image, [[1, -1]])
    weights = np.array([[0.5, 0.25]])
    losses, way = [], [weights[0].copy()]
    for _ in range(20):
        residual = kf.corr2d(image, weights) - target
        losses.append((residual**2).sum())
        weights = weights - 3e-2 * kf.corr2d(image, 2 * residual)
        way.append(weights[0].copy())
    made = blank(7.6, 3.2)
    left, right = made.subplots(1, 2)
    left.semilogy(range(1, 21), losses, "o-", color="#0072B2", markersize=3)
    left.set_xlabel("step", fontsize=SMALL)
    left.set_xticks(range(0, 21, 5))
    panel_title(left, "loss")
    first, second = np.transpose(way)
    right.plot(first, second, "o-", color="#0072B2", markersize=3)
    right.plot([1], [-1], "x", color="#D55E00", markersize=10)
    right.set_xlabel("first weight", fontsize=SMALL)
    right.set_ylabel("second weight", fontsize=SMALL)
    panel_title(right, "the weights, and the answer")
    for axes in (left, right):
        axes.tick_params(labelsize=SMALL)
        axes.grid(color="0.9")
    return made


def flipped() -> Figure:
    """Return a kernel, the same flipped, and what both do to a single bright pixel."""
    kernel = np.array([[0.0, 1.0], [2.0, 3.0]])
    point = np.zeros((3, 3))
    point[1, 1] = 1
    made = blank(8.6, 2.5)
    axes = made.subplots(1, 4)
    cells(axes[0], kernel, "kernel")
    cells(axes[1], point, "one bright pixel")
    cells(axes[2], kf.corr2d(point, kernel), "cross-correlation: flipped")
    cells(axes[3], kf.convolve(point, kernel, mode="valid"), "convolution: the kernel itself")
    return made


def stacked() -> Figure:
    """Return two layers of 2×2: the units of each, and the nine elements that the last one sees."""
    made = blank(7.4, 2.7)
    for axes, size, title, seen in zip(
        made.subplots(1, 3), (4, 3, 2), ("image, 4×4", "first map, 3×3", "second map, 2×2"), (3, 2, 1)
    ):
        marked = np.zeros((size, size))
        marked[:seen, :seen] = 1
        axes.imshow(marked, cmap="Blues", vmin=0, vmax=2.5)
        axes.set_xticks(np.arange(size + 1) - 0.5, labels=[])
        axes.set_yticks(np.arange(size + 1) - 0.5, labels=[])
        axes.tick_params(length=0)
        axes.grid(color="0.55", linewidth=0.8)
        panel_title(axes, title)
        window(axes, 0, 0, seen, seen)
    return made


#: The name of each picture -> the function that draws it, and its width in pixels.
PICTURES: dict[str, tuple[Callable[[], Figure], int]] = {
    "found": (found, 1200),
    "learn": (learned, 1000),
    "edge": (lambda: kf.kernels.edge((1, 1)).plot(), 1000),
    "log-gabor": (lambda: kf.kernels.log_gabor(8, 30).plot(), 1000),
    "compared": (
        lambda: kf.kernels.compare([kf.kernels.sobel(), kf.kernels.scharr(), kf.kernels.farid()]).plot(),
        1000,
    ),
    "coding": (lambda: kf.coding.code(pair()[0], kf.coding.bank(6)).plot(), 1000),
    "field": (field, 1400),
    "sliding": (sliding, 1000),
    "edges": (edges, 1000),
    "descent": (descent, 1000),
    "flipped": (flipped, 1000),
    "stacked": (stacked, 1000),
}


def save(name: str, folder: Path) -> None:
    """Draw a picture into a folder."""
    figure, width = PICTURES[name]
    picture = Image.open(io.BytesIO(encode(figure(), "png"))).convert("RGB")
    picture = picture.resize((width, round(width * picture.height / picture.width)), Image.Resampling.LANCZOS)
    picture.save(folder / f"{name}.jpg", quality=88, optimize=True)


def draw(folder: Path) -> None:
    """Draw every picture that is not in the folder yet, or is older than the code that it shows."""
    newest = max(path.stat().st_mtime for path in (ROOT / "src").rglob("*.py"))

    def is_there(path: Path, script: Path) -> bool:
        return path.exists() and path.stat().st_mtime > max(newest, script.stat().st_mtime)

    for name in PICTURES:
        if not is_there(folder / f"{name}.jpg", Path(__file__)):
            save(name, folder)
    for script in sorted((EXAMPLES / "exercises").glob("*.py")):
        if script.stem != "pictures" and not is_there(folder / f"{script.stem}.png", script):
            subprocess.run([sys.executable, str(script), str(folder)], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    for readme in README:
        save(readme, ROOT / "docs" / "pictures")
