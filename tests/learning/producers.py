"""Filters of programs that nobody here wrote, with their true kernels: measured from an impulse, not read from `learn`.

``python -m learning.producers docs/compared/producers.md`` in tests/ learns each from photographs: `make producers`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from cases import photograph
from learning.simulator import Score, Truth, score

# Photographs of 8 bits, as wide as most test pictures of these programs.
PLACES = {"camera": (128, 128), "china": (60, 200)}
SIDE = 240


@dataclass(frozen=True)
class Producer:
    """A filter of a program.

    Attributes
    ----------
    program : str
    command : str
        As a user types it; {in} and {out} are files.
    run : callable
        From an image of shape (H, W) to the result, of uint8 or uint16, or floats.
    border : str or None
        True border rule, from the program's manual; None where its rule has no name.
    kind : str or None
        What it is where it is not linear; None for a linear filter.
    names : tuple of str
        Names that are right.
    dtype : type
        In which the impulse is given.
    exact : bool or None
        Whether rounding alone is left; None where either verdict is right.
    weights : numpy.ndarray or None
        Of the program's manual, centred, where 8 bits are too coarse for an impulse.
    """

    program: str
    command: str
    run: Callable[[np.ndarray], np.ndarray]
    border: str | None = None
    kind: str | None = None
    names: tuple[str, ...] = ()
    dtype: Any = np.uint16
    exact: bool | None = None
    weights: np.ndarray | None = None

    def truth(self) -> Truth:
        """Return the kernel by the response to an impulse on grey."""
        if self.kind is not None:
            return Truth(None)
        if self.weights is not None:
            weights, anchor = self.weights, tuple(n // 2 for n in self.weights.shape)
        else:
            weights, anchor = impulse_response(self.run, self.dtype)
        return Truth(weights, anchor, self.names, self.border, self.exact, bars=False)


def impulse_response(run: Callable[[np.ndarray], np.ndarray], dtype: Any) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the cross-correlation weights and anchor of a linear filter, from its response to one pixel."""
    if dtype == np.uint16:
        # Where a sharpening saturates, a smaller impulse.
        for middle, amplitude in ((20_000, 40_000), (20_000, 12_000)):
            response = _response(run, dtype, middle, amplitude)
            if (middle + response * amplitude).max() < 65_500:
                break
        least = 0.51 / amplitude
    elif dtype == np.uint8:
        response, least = _response(run, dtype, 100, 100), 0.004
    else:
        response, least = _response(run, dtype, 0.4, 0.2), 1e-11
    rows, columns = (np.flatnonzero((np.abs(response) > least).any(axis=axis)) for axis in (1, 0))
    anchor = 60 - int(rows[0]), 60 - int(columns[0])
    return response[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], anchor


def _response(run: Callable[[np.ndarray], np.ndarray], dtype: Any, middle: float, amplitude: float) -> np.ndarray:
    """Return the turned response to one pixel on grey, over its amplitude: a mean over several, where it is rounded."""
    flat = np.full((121, 121), middle, dtype)
    ground = run(flat).astype(np.float64)
    shares = (1.0,) if np.dtype(dtype).kind == "f" else (1.0, 0.97, 0.941, 0.887, 0.83)
    total, weight = np.zeros(flat.shape), 0.0
    for size in (dtype(share * amplitude) for share in shares):
        spot = flat.copy()
        spot[60, 60] += size
        total += (run(spot).astype(np.float64) - ground) * float(size)
        weight += float(size) ** 2
    return total[::-1, ::-1] / weight


def fixed_point(run: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return the weights of a separable blur of 8 bits whose lines are integers over 256, from white lines on black."""
    lines = []
    for axis in (0, 1):
        image = np.zeros((121, 121), np.uint8)
        image[(60, slice(None)) if axis == 0 else (slice(None), 60)] = 255
        profile = run(image)
        lines.append(np.trim_zeros(np.rint(profile[:, 60] if axis == 0 else profile[60]).astype(np.int64)))
    return np.outer(*lines)[::-1, ::-1] / (lines[0].sum() * lines[1].sum())


def write_pgm(path: Path, image: np.ndarray) -> None:
    """Write a grey image of 8 or 16 bits, or a colour image (H, W, 3), as PGM or PPM."""
    deep = image.dtype == np.uint16
    magic = "P5" if image.ndim == 2 else "P6"
    header = f"{magic}\n{image.shape[1]} {image.shape[0]}\n{65535 if deep else 255}\n"
    path.write_bytes(header.encode() + image.astype(">u2" if deep else np.uint8).tobytes())


def read_pgm(path: Path) -> np.ndarray:
    """Return the image in a PGM or PPM file as uint8 or uint16."""
    data = path.read_bytes()
    fields = re.match(rb"(P[56])((?:\s+(?:#[^\n]*\n)?\s*\d+){3})\s", data)
    if fields is None:
        raise ValueError(f"{path.name}: no PGM")
    width, height, top = (int(n) for n in re.sub(rb"#[^\n]*\n", b"", fields[2]).split())
    dtype, channels = np.dtype(">u2" if top > 255 else np.uint8), 1 if fields[1] == b"P5" else 3
    pixels = np.frombuffer(data, dtype, width * height * channels, fields.end()).reshape(height, width, channels)
    if top not in (255, 65535):
        raise ValueError(f"{path.name}: {top} levels")
    grey = pixels[..., 0] if channels == 1 or (pixels == pixels[..., :1]).all() else pixels
    return grey.astype(np.uint16 if top > 255 else np.uint8)


def shell(template: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return a filter by a command line, in which {in} and {out} are PGM files."""

    def run(image: np.ndarray) -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "in.pgm"), Path(folder, "out.pgm")
            write_pgm(source, image)
            depth = "16" if image.dtype == np.uint16 else "8"
            # Braces also belong to commands: only these names are replaced.
            words = {"{in}": str(source), "{out}": str(target), "{depth}": depth, "{folder}": folder}
            line = re.sub(r"\{(in|out|depth|folder)\}", lambda m: words[m[0]], template)
            done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, cwd=folder, timeout=120)
            if not target.exists():
                raise RuntimeError(f"{line.split()[0]}: {done.stderr.strip()[-200:]}")
            return read_pgm(target)

    return run


def _commands(program: str, finish: str, rows: list[tuple[Any, ...]]) -> Iterator[Producer]:
    """Yield producers of a program: (arguments, border, kind, names, weights where an impulse would be clipped)."""
    for arguments, border, kind, *names in rows:
        command = finish.replace("{}", arguments)
        known = [name for name in names if isinstance(name, np.ndarray)]
        words = tuple(name for name in names if isinstance(name, str))
        shown = command.replace(" -depth {depth}", "")
        yield Producer(program, shown, shell(command), border, kind, words, weights=known[0] if known else None)


G, B = ("gaussian", "binomial"), ("box",)


def imagemagick() -> Iterator[Producer]:
    tool, edge = "magick" if shutil.which("magick") else "convert", 9 * _spot() - np.ones((3, 3))
    rows: list[tuple[Any, ...]] = [
        ("-blur 0x1.2", "nearest", None, *G),
        ("-blur 0x3", "nearest", None, *G),
        ("-virtual-pixel tile -blur 0x1.2", "wrap", None, *G),
        ("-virtual-pixel mirror -blur 0x2", "reflect", None, *G),
        ("-virtual-pixel black -blur 0x2", "constant", None, *G),
        ("-gaussian-blur 0x1", "nearest", None, *G),
        ("-gaussian-blur 3x1.5", "nearest", None, *G),
        ("-convolve 1,2,1,2,4,2,1,2,1", "nearest", None, "binomial", "gaussian"),
        ("-convolve 1,0,0,0,2,0,0,3,1", "nearest", None),
        ("-convolve 1,1,1,1,1,1,1,1,1", "nearest", None, *B),
        ("-bias 50% -convolve 1,2,1,0,0,0,-1,-2,-1", "nearest", None, "sobel", np.outer([1, 0, -1], [1, 2, 1])),
        ("-define convolve:scale=! -morphology Convolve Disk:3", "nearest", None, "disk"),
        ("-define convolve:scale=! -morphology Convolve Square:2", "nearest", None, *B),
        ("-morphology Convolve Blur:0x2", "nearest", None, *G),
        ("-morphology Convolve Comet:0x2", "nearest", None, "gaussian"),
        ("-morphology Convolve Gaussian:0x1", "nearest", None, *G),
        ("-define convolve:scale=50%\\! -bias 50% -morphology Convolve Sobel", "nearest", None, "sobel"),
        ("-define convolve:scale=50%\\! -bias 50% -morphology Convolve Laplacian:0", "nearest", None, "laplacian"),
        ("-unsharp 0x1+1+0", "nearest", None, "unsharp", "sharpen"),
        ("-unsharp 0x2+0.5+0", "nearest", None, "unsharp"),
        ("-sharpen 0x1", "nearest", None, "sharpen", "unsharp"),
        ("-motion-blur 0x3+30", "nearest", None, "motion"),
        ("-statistic Mean 3x3", "nearest", None, *B),
        ("-statistic Mean 5x3", "nearest", None, *B),
        ("-roll +7-4", "wrap", None, "shift"),
        ("-evaluate Multiply 0.7 -blur 0x1", "nearest", None, *G),
        ("-negate", None, None, "identity"),
        ("-resize 50% -resize 200%", None, "resized"),
        ("-statistic Median 3x3", None, "order statistic"),
        ("-statistic Maximum 3x3", None, "order statistic"),
        ("-statistic Mode 3x3", None, "order statistic"),
        ("-median 2", None, "order statistic"),
        ("-edge 1", None, None, "laplacian", edge),
        ("-emboss 0x1", None, "emboss, then equalised"),
        ("-charcoal 1", None, "edges, then normalised"),
        ("-despeckle", None, "order statistic"),
        ("-adaptive-blur 0x2", None, "edge-preserving"),
        ("-adaptive-sharpen 0x2", None, "edge-preserving"),
        ("-selective-blur 0x2+10%", None, "edge-preserving"),
        ("-unsharp 0x1+2+0.05", None, "threshold"),
        ("-gamma 0.6", None, "tone curve"),
        ("-equalize", None, "tone curve"),
        ("-sigmoidal-contrast 5", None, "tone curve"),
        ("-solarize 50%", None, "tone curve"),
        ("-threshold 50%", None, "threshold"),
        ("-posterize 4", None, "tone curve"),
        ("-paint 2", None, "order statistic"),
        ("-swirl 40", None, "geometric"),
        ("-flop", None, "geometric"),
        ("-morphology Dilate Square:1", None, "order statistic"),
        ("-canny 0x1+10%+30%", None, "edges"),
        ("-spread 2", None, "pixels moved at random"),
    ]
    return _commands("ImageMagick", f"{tool} {{in}} {{}} -depth {{depth}} {{out}}", rows)


def _spot() -> np.ndarray:
    return np.pad(np.ones((1, 1)), 1)


def graphicsmagick() -> Iterator[Producer]:
    edge = 9 * _spot() - np.ones((3, 3))
    rows: list[tuple[Any, ...]] = [
        ("-blur 0x1.2", "renormalised", None, *G),
        ("-blur 0x3", "renormalised", None, *G),
        ("-gaussian 0x1", "nearest", None, *G),
        ("-convolve 1,2,1,2,4,2,1,2,1", "nearest", None, "binomial", "gaussian"),
        ("-convolve 1,0,0,0,2,0,0,3,1", "nearest", None),
        ("-sharpen 0x1", "nearest", None, "sharpen", "unsharp"),
        ("-unsharp 0x1+1+0", None, None, "unsharp", "sharpen"),
        ("-roll +7-4", "wrap", None, "shift"),
        ("-median 1", None, "order statistic"),
        ("-edge 1", None, None, "laplacian", edge),
        ("-emboss 0x1", None, "emboss, then equalised"),
        ("-gamma 1.7", None, "tone curve"),
        ("-equalize", None, "tone curve"),
        ("-despeckle", None, "order statistic"),
        ("-enhance", None, "edge-preserving"),
        ("-flip", None, "geometric"),
        ("-implode 0.3", None, "geometric"),
    ]
    return _commands("GraphicsMagick", "gm convert {in} {} -depth {depth} {out}", rows)


def ffmpeg() -> Iterator[Producer]:
    # unsharp of 16 bits (5.1) multiplies the blur by 1/256.
    five, three = np.array([1, 4, 6, 4, 1]) / 16, np.array([1, 2, 1]) / 4
    rows: list[tuple[Any, ...]] = [
        ("gblur=sigma=1.5", None, None),
        ("gblur=sigma=0.8:steps=3", None, None),
        ("boxblur=2:1", "reflect", None, *B),
        ("boxblur=1:2", "reflect", None, "bspline"),
        ("avgblur=2", "nearest", None, *B),
        ("avgblur=1:sizeY=3", "nearest", None, *B),
        ("unsharp=5:5:1", "nearest", None, "unsharp", "sharpen", _sharper(np.outer(five, five), 1.0)),
        ("unsharp=3:3:-0.5", "nearest", None, _sharper(np.outer(three, three), -0.5)),
        ("convolution='1 2 1 2 4 2 1 2 1:1 2 1 2 4 2 1 2 1:1 2 1 2 4 2 1 2 1:1 2 1 2 4 2 1 2 1:1/16:1/16:1/16:1/16'",
         None, None, "binomial", "gaussian"),
        ("convolution='0 1 0 2 3 0 0 0 1:0 1 0 2 3 0 0 0 1:0 1 0 2 3 0 0 0 1:0 1 0 2 3 0 0 0 1:1/7:1/7:1/7:1/7'",
         None, None),
        ("negate", None, None, "identity"),
        ("sobel", None, "magnitude"),
        ("prewitt", None, "magnitude"),
        ("median=1", None, "order statistic"),
        ("edgedetect", None, "edges"),
        ("dilation", None, "order statistic"),
        ("hflip", None, "geometric"),
        ("bilateral=sigmaS=2:sigmaR=0.1", None, "edge-preserving"),
        ("nlmeans=s=4", None, "edge-preserving"),
        ("smartblur=1.5:1:10", None, "edge-preserving"),
        ("hqdn3d", None, "edge-preserving"),
        ("eq=gamma=1.5", None, "tone curve"),
        ("eq=contrast=1.4", None, None, "identity", np.array([[1.4]])),
        ("lenscorrection=k1=0.1:k2=0.1", None, "geometric"),
    ]  # fmt: skip
    for row in rows:
        pixels = "format=gray16be," if row[2] is None and not row[0].startswith("eq") else "format=gray,"
        command = f'ffmpeg -y -loglevel error -i {{in}} -vf "{row[0]},{pixels.strip(",")}" {{out}}'
        shown = f'ffmpeg -i {{in}} -vf "{row[0]}" {{out}}'
        deep, shallow = shell(command), shell(command.replace("gray16be", "gray"))
        run = lambda a, deep=deep, shallow=shallow: (deep if a.dtype == np.uint16 else shallow)(a)  # noqa: E731
        words = tuple(name for name in row[3:] if isinstance(name, str))
        weights = next((name for name in row[3:] if isinstance(name, np.ndarray)), None)
        yield Producer("ffmpeg", shown, run, row[1], row[2], words, weights=weights)


def gmic() -> Iterator[Producer]:
    rows: list[tuple[Any, ...]] = [
        ("blur 1.5,1,1", "nearest", None, *G),
        ("blur 1.5", "nearest", None),
        ("boxfilter 5", "nearest", None, *B),
        ("boxfilter 3,0,1,2", "reflect", None, "bspline"),
        ("'(1,2,1;2,4,2;1,2,1)' div. 16 convolve.. . remove.", "nearest", None, "binomial", "gaussian"),
        ("'(1,0,0;0,2,0;0,3,1)' div. 7 correlate.. . remove.", "nearest", None),
        ("'(1,0,0;0,2,0;0,3,1)' div. 7 convolve.. . remove.", "nearest", None),
        ("median 3", None, "order statistic"),
        ("erode 3", None, "order statistic"),
        ("bilateral 3,20", None, "edge-preserving"),
        ("smooth 30", None, "edge-preserving"),
        ("equalize 256", None, "tone curve"),
        ("mirror x", None, "geometric"),
        ("rotate 7,1,1,50%,50%", None, "geometric"),
    ]
    for arguments, border, kind, *names in rows:
        command = f"gmic -v -99 {{in}} {arguments} round cut 0,TOP -o {{out}},TYPE"
        deep, shallow = (
            shell(command.replace("TOP", top).replace("TYPE", kind_))
            for top, kind_ in (("65535", "ushort"), ("255", "uchar"))
        )
        run = lambda a, deep=deep, shallow=shallow: (deep if a.dtype == np.uint16 else shallow)(a)  # noqa: E731
        yield Producer("G'MIC", f"gmic {{in}} {arguments} -o {{out}}", run, border, kind, tuple(names))


def netpbm() -> Iterator[Producer]:
    rows: list[tuple[Any, ...]] = [
        ("pnmsmooth {in}", None, None, *B),
        ("pnmsmooth -width=5 -height=3 {in}", None, None, *B),
        (
            "pnmconvol -matrix='.0625,.125,.0625;.125,.25,.125;.0625,.125,.0625' {in}",
            "copy",
            None,
            "binomial",
            "gaussian",
        ),
        ("pnmconvol -matrix='.1,0,0;0,.3,0;0,.4,.2' {in}", "copy", None),
        ("pamgauss 7 7 -sigma=1.2 >g.pam; pnmconvol -normalize g.pam {in}", "copy", None, *G),
        ("pgmbentley {in}", None, "tone curve and smear"),
        ("pnmgamma 1.8 {in}", None, "tone curve"),
        ("pnmnlfilt 0 1 {in}", None, "order statistic"),
        ("pamflip -leftright {in}", None, "geometric"),
        ("pnminvert {in}", None, None, "identity"),
    ]
    for arguments, border, kind, *names in rows:
        yield Producer("netpbm", arguments, shell(f"{arguments} >{{out}}"), border, kind, tuple(names))


def octave() -> Iterator[Producer]:
    rows: list[tuple[Any, ...]] = [
        ("conv2(a, ones(3)/9, 'same')", "constant", None, *B),
        ("conv2(a, [1 0 0; 0 2 0; 0 3 1]/7, 'same')", "constant", None),
        ("filter2([1 0 0; 0 2 0; 0 3 1]/7, a)", "constant", None),
        ("conv2(a, [1 2 1; 0 0 0; -1 -2 -1]/8, 'same') + T/2", "constant", None, "sobel"),
        ("conv2(a, ones(4)/16, 'same')", "constant", None, *B),
        ("interp2(a, (1:columns(a)) + 0.5, (1:rows(a))', 'linear', 0)", None, None, "box", "binomial", "shift"),
        ("T * (a / T) .^ 0.7", None, "tone curve"),
        ("a(:, end:-1:1)", None, "geometric"),
        ("sort(cat(3, a, shift(a, 1, 1), shift(a, 1, 2)), 3)(:, :, 2)", None, "order statistic"),
    ]
    script = (
        "f = fopen('{in}'); fgetl(f); d = sscanf(fgetl(f), '%d'); T = sscanf(fgetl(f), '%d'); "
        "if T > 255, p = 'uint16'; else, p = 'uint8'; end; a = fread(f, [d(1), d(2)], p, 0, 'ieee-be')'; fclose(f); "
        "b = min(max(round(EXPRESSION), 0), T); f = fopen('{out}', 'w'); "
        "fprintf(f, 'P5\\n%d %d\\n%d\\n', d(1), d(2), T); fwrite(f, b', p, 0, 'ieee-be'); fclose(f);"
    )
    for expression, border, kind, *names in rows:
        line = script.replace("EXPRESSION", expression).replace('"', '\\"')
        run = shell(f'octave-cli --norc --quiet --eval "{line}"')
        yield Producer("Octave", expression, run, border, kind, tuple(names))


# Python packages. Those of the test environment run in CI.


def _python(program: str, rows: list[tuple[Any, ...]], dtype: Any = np.float64) -> Iterator[Producer]:
    """Yield producers of a package: (text, function, border, kind, names), or with a dtype before the function."""
    for text, function, border, kind, *names in rows:
        chosen = np.uint16 if text.endswith("# 16") else np.uint8 if text.endswith("# 8") else dtype
        known = [name for name in names if isinstance(name, np.ndarray)]
        words = tuple(name for name in names if isinstance(name, str))
        weights = known[0] if known else None
        yield Producer(program, text.split(" #")[0], function, border, kind, words, chosen, weights=weights)


def extended_box(radius: float) -> np.ndarray:
    """Return Pillow's box of a real radius: its ends weigh the fraction (ImageFilter.BoxBlur)."""
    whole = int(radius)
    line = np.ones(2 * whole + 3)
    line[[0, -1]] = radius - whole
    return np.trim_zeros(line) / (2 * radius + 1)


def three_boxes(sigma: float) -> np.ndarray:
    """Return Pillow's GaussianBlur: three extended boxes (Gwosdek et al., SSVM 2011, equations 7, 11 and 14)."""
    square = sigma**2 / 3
    length = np.floor((np.sqrt(12 * square + 1) - 1) / 2)
    part = (2 * length + 1) * (length * (length + 1) - 3 * square) / (6 * (square - (length + 1) ** 2))
    line = extended_box(length + part)
    whole = np.convolve(np.convolve(line, line), line)
    return np.outer(whole, whole)


def _sharper(blur: np.ndarray, amount: float) -> np.ndarray:
    """Return the identity plus `amount` times what a blur takes away."""
    spot = np.zeros(blur.shape)
    spot[blur.shape[0] // 2, blur.shape[1] // 2] = 1
    return spot + amount * (spot - blur)


def pillow() -> Iterator[Producer]:
    from PIL import Image, ImageEnhance, ImageFilter, ImageOps

    def by(work):
        return lambda a: np.asarray(work(Image.fromarray(a)))

    f = ImageFilter
    rings, smooth = np.ones((5, 5)) / 16, np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
    rings[1:-1, 1:-1] = 0
    rows: list[tuple[Any, ...]] = [
        ("filter(ImageFilter.GaussianBlur(2)) # 8", by(lambda i: i.filter(f.GaussianBlur(2))), None, None,
         three_boxes(2)),
        ("filter(ImageFilter.GaussianBlur(0.7)) # 8", by(lambda i: i.filter(f.GaussianBlur(0.7))), "reflect", None,
         three_boxes(0.7)),
        ("filter(ImageFilter.BoxBlur(2)) # 8", by(lambda i: i.filter(f.BoxBlur(2))), "nearest", None, *B,
         np.full((5, 5), 0.04)),
        ("filter(ImageFilter.BoxBlur(1.5)) # 8", by(lambda i: i.filter(f.BoxBlur(1.5))), "nearest", None,
         np.outer(extended_box(1.5), extended_box(1.5))),
        ("filter(ImageFilter.Kernel((3, 3), (1, 0, 0, 0, 2, 0, 0, 3, 1))) # 8",
         by(lambda i: i.filter(f.Kernel((3, 3), (1, 0, 0, 0, 2, 0, 0, 3, 1)))), "copy", None,
         np.array([[0, 3, 1], [0, 2, 0], [1, 0, 0]]) / 7),
        ("filter(ImageFilter.UnsharpMask(2, 100, 0)) # 8", by(lambda i: i.filter(f.UnsharpMask(2, 100, 0))), None, None,
         "unsharp", _sharper(three_boxes(2), 1.0)),
        ("filter(ImageFilter.BLUR) # 8", by(lambda i: i.filter(f.BLUR)), "copy", None, "rings", rings),
        ("ImageEnhance.Sharpness(i).enhance(2) # 8", by(lambda i: ImageEnhance.Sharpness(i).enhance(2)), "copy", None,
         "sharpen", "unsharp", _sharper(smooth, 1.0)),
        ("ImageEnhance.Brightness(i).enhance(0.8) # 8", by(lambda i: ImageEnhance.Brightness(i).enhance(0.8)), None,
         None, "identity", np.array([[0.8]]), np.array([[0.8]])),
        ("filter(ImageFilter.UnsharpMask(2, 150, 6))", by(lambda i: i.filter(f.UnsharpMask(2, 150, 6))), None,
         "threshold"),
        ("filter(ImageFilter.MedianFilter(3))", by(lambda i: i.filter(f.MedianFilter(3))), None, "order statistic"),
        ("filter(ImageFilter.ModeFilter(5))", by(lambda i: i.filter(f.ModeFilter(5))), None, "order statistic"),
        ("filter(ImageFilter.MaxFilter(3))", by(lambda i: i.filter(f.MaxFilter(3))), None, "order statistic"),
        ("ImageOps.equalize", by(ImageOps.equalize), None, "tone curve"),
        ("ImageOps.solarize", by(ImageOps.solarize), None, "tone curve"),
        ("ImageOps.mirror", by(ImageOps.mirror), None, "geometric"),
        ("rotate(3, Image.Resampling.BILINEAR)", by(lambda i: i.rotate(3, Image.Resampling.BILINEAR)), None,
         "geometric"),
        ("reduce, then resize", by(lambda i: i.reduce(2).resize(i.size)), None, "resized"),
    ]  # fmt: skip
    return _python("Pillow", rows)


def opencv() -> Iterator[Producer]:
    import cv2

    own = np.array([[1, 0, 0], [0, 2, 0], [0, 3, 1]]) / 7
    sobel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    tent, mirror = np.array([1, 2, 3, 4, 3, 2, 1]) / 16, "mirror"
    rows: list[tuple[Any, ...]] = [
        ("GaussianBlur(a, (5, 5), 1.1)", lambda a: cv2.GaussianBlur(a, (5, 5), 1.1), mirror, None, *G,
         fixed_point(lambda a: cv2.GaussianBlur(a, (5, 5), 1.1))),
        ("GaussianBlur(a, (0, 0), 2)", lambda a: cv2.GaussianBlur(a, (0, 0), 2), mirror, None, *G,
         fixed_point(lambda a: cv2.GaussianBlur(a, (0, 0), 2))),
        ("GaussianBlur(a, (3, 3), 0) # 16", lambda a: cv2.GaussianBlur(a, (3, 3), 0), mirror, None, *G),
        ("blur(a, (4, 6)) # 16", lambda a: cv2.blur(a, (4, 6)), mirror, None, *B),
        ("blur(a, (21, 21)) # 16", lambda a: cv2.blur(a, (21, 21)), mirror, None, *B),
        ("blur(a, (5, 5), borderType=BORDER_CONSTANT) # 16",
         lambda a: cv2.blur(a, (5, 5), borderType=cv2.BORDER_CONSTANT), "constant", None, *B),
        ("stackBlur(a, (7, 7)) # 8", lambda a: cv2.stackBlur(a, (7, 7)), "nearest", None, "bspline",
         np.outer(tent, tent)),
        ("filter2D(a, -1, own) # 16", lambda a: cv2.filter2D(a, -1, own), mirror, None),
        ("filter2D(a, -1, own, anchor=(0, 2)) # 16", lambda a: cv2.filter2D(a, -1, own, anchor=(0, 2)), mirror, None),
        ("filter2D(a, -1, sobel / 4, delta=128) # 8", lambda a: cv2.filter2D(a, -1, sobel / 4, delta=128), mirror,
         None, "sobel", sobel / 4),
        ("Sobel(a, CV_16S, 1, 0) # 8", lambda a: cv2.Sobel(a, cv2.CV_16S, 1, 0), mirror, None, "sobel"),
        ("Sobel(a, CV_16S, 0, 2, ksize=5) # 8", lambda a: cv2.Sobel(a, cv2.CV_16S, 0, 2, ksize=5), mirror, None,
         "sobel", "derivative"),
        ("Scharr(a, CV_32F, 0, 1) # 8", lambda a: cv2.Scharr(a, cv2.CV_32F, 0, 1), mirror, None, "scharr"),
        ("Laplacian(a, CV_16S) # 8", lambda a: cv2.Laplacian(a, cv2.CV_16S), mirror, None, "laplacian"),
        ("addWeighted(a, 1.8, GaussianBlur(a, (0, 0), 3), -0.8, 0) # 16",
         lambda a: cv2.addWeighted(a, 1.8, cv2.GaussianBlur(a, (0, 0), 3), -0.8, 0), mirror, None, "unsharp"),
        ("medianBlur(a, 5)", lambda a: cv2.medianBlur(a, 5), None, "order statistic"),
        ("bilateralFilter(a, 7, 40, 5)", lambda a: cv2.bilateralFilter(a, 7, 40, 5), None, "edge-preserving"),
        ("fastNlMeansDenoising(a, h=10)", lambda a: cv2.fastNlMeansDenoising(a, h=10), None, "edge-preserving"),
        ("dilate(a, ones(3, 3))", lambda a: cv2.dilate(a, np.ones((3, 3))), None, "order statistic"),
        ("morphologyEx(a, MORPH_GRADIENT)",
         lambda a: cv2.morphologyEx(a, cv2.MORPH_GRADIENT, np.ones((3, 3))), None, "order statistic"),
        ("morphologyEx(a, MORPH_TOPHAT)",
         lambda a: cv2.morphologyEx(a, cv2.MORPH_TOPHAT, np.ones((9, 9))), None, "order statistic"),
        ("Canny(a, 50, 150)", lambda a: cv2.Canny(a, 50, 150), None, "edges"),
        ("adaptiveThreshold(a, 255, …, 11, 2)", lambda a: cv2.adaptiveThreshold(a, 255, 0, 0, 11, 2), None,
         "threshold"),
        ("threshold(a, 0, 255, THRESH_OTSU)", lambda a: cv2.threshold(a, 0, 255, 8)[1], None, "threshold"),
        ("equalizeHist", cv2.equalizeHist, None, "tone curve"),
        ("createCLAHE(2, (8, 8))", lambda a: cv2.createCLAHE(2, (8, 8)).apply(a), None, "local tone curve"),
        ("pyrUp(pyrDown(a))", lambda a: cv2.pyrUp(cv2.pyrDown(a)), None, "resized"),
        ("flip(a, 0)", lambda a: cv2.flip(a, 0), None, "geometric"),
        ("resize 110 %, cropped", lambda a: cv2.resize(a, None, fx=1.1, fy=1.1)[12:-12, 12:-12].copy(), None,
         "geometric"),
    ]  # fmt: skip
    return _python("OpenCV", rows)


def scikit_image() -> Iterator[Producer]:
    from skimage import exposure, filters, morphology, restoration

    disk = morphology.disk

    def unit(function):
        return lambda a: function(a if a.dtype.kind == "f" else a / 255.0)

    rows: list[tuple[Any, ...]] = [
        ("gaussian(a, 1.5)", unit(lambda a: filters.gaussian(a, 1.5)), "nearest", None, *G),
        ("gaussian(a, (1, 3), mode='wrap')", unit(lambda a: filters.gaussian(a, (1, 3), mode="wrap")), "wrap", None,
         *G),
        ("sobel_h", unit(filters.sobel_h), "reflect", None, "sobel"),
        ("scharr_v", unit(filters.scharr_v), "reflect", None, "scharr"),
        ("prewitt_h", unit(filters.prewitt_h), "reflect", None, "prewitt"),
        ("farid_h", unit(filters.farid_h), "reflect", None, "farid"),
        ("roberts_pos_diag", unit(filters.roberts_pos_diag), "reflect", None, "roberts"),
        ("laplace(a)", unit(filters.laplace), "reflect", None, "laplacian"),
        ("difference_of_gaussians(a, 1, 2)", unit(lambda a: filters.difference_of_gaussians(a, 1, 2)), "nearest", None,
         "dog"),
        ("rank.mean(a, disk(2)) # 8", lambda a: filters.rank.mean(a, disk(2)), "renormalised", None, "disk",
         disk(2) / 13),
        ("unsharp_mask(a, 2, 0.6)", unit(lambda a: filters.unsharp_mask(a, 2, 0.6)), None, None, "unsharp"),
        ("sobel", unit(filters.sobel), None, "magnitude"),
        ("median(a, disk(2))", lambda a: filters.median(a, disk(2)), None, "order statistic"),
        ("rank.median", lambda a: filters.rank.median(a, disk(1)), None, "order statistic"),
        ("rank.entropy", lambda a: filters.rank.entropy(a, disk(3)), None, "order statistic"),
        ("rank.mean_bilateral", lambda a: filters.rank.mean_bilateral(a, disk(3), s0=20, s1=20), None,
         "edge-preserving"),
        ("rank.enhance_contrast", lambda a: filters.rank.enhance_contrast(a, disk(2)), None, "order statistic"),
        ("denoise_tv_chambolle", unit(lambda a: restoration.denoise_tv_chambolle(a, 0.1)), None, "edge-preserving"),
        ("denoise_bilateral", unit(lambda a: restoration.denoise_bilateral(a, 5, 0.1, 2)), None, "edge-preserving"),
        ("equalize_adapthist", exposure.equalize_adapthist, None, "local tone curve"),
        ("adjust_gamma(a, 0.7)", lambda a: exposure.adjust_gamma(a, 0.7), None, "tone curve"),
        ("white_tophat", lambda a: morphology.white_tophat(a, disk(3)), None, "order statistic"),
    ]  # fmt: skip
    return _python("scikit-image", rows)


def scipy() -> Iterator[Producer]:
    import scipy.ndimage as ndi
    from scipy import signal

    own = np.array([[1, 0, 0], [0, 2, 0], [0, 3, 1]]) / 7

    def floats(function):
        return lambda a: function(a.astype(np.float64))

    rows: list[tuple[Any, ...]] = [
        ("gaussian_filter(a, 2)", floats(lambda a: ndi.gaussian_filter(a, 2)), "reflect", None, *G),
        ("gaussian_filter(uint8, 1) # 16", lambda a: ndi.gaussian_filter(a, 1), "reflect", None, *G),
        ("gaussian_filter(a, 4, mode='wrap')", floats(lambda a: ndi.gaussian_filter(a, 4, mode="wrap")), "wrap", None,
         *G),
        ("gaussian_filter(a, 1.5, order=(0, 1))", floats(lambda a: ndi.gaussian_filter(a, 1.5, (0, 1))), "reflect",
         None, "gaussian_derivative"),
        ("uniform_filter(a, 4)", floats(lambda a: ndi.uniform_filter(a, 4)), "reflect", None, *B),
        ("uniform_filter(uint8, 3) # 16", lambda a: ndi.uniform_filter(a, 3), "reflect", None, *B),
        ("sobel(a, 0)", floats(lambda a: ndi.sobel(a, 0)), "reflect", None, "sobel"),
        ("prewitt(a, 1)", floats(lambda a: ndi.prewitt(a, 1)), "reflect", None, "prewitt"),
        ("laplace", floats(ndi.laplace), "reflect", None, "laplacian"),
        ("gaussian_laplace(a, 1.2)", floats(lambda a: ndi.gaussian_laplace(a, 1.2)), "reflect", None, "log"),
        ("correlate(a, own, origin=(1, -1))", floats(lambda a: ndi.correlate(a, own, origin=(1, -1))), "reflect",
         None),
        ("convolve(a, own, mode='mirror')", floats(lambda a: ndi.convolve(a, own, mode="mirror")), "mirror", None),
        ("shift(a, (0.3, -1.6), order=1)", floats(lambda a: ndi.shift(a, (0.3, -1.6), order=1)), None, None,
         "shift"),
        ("signal.convolve2d(a, own, 'same')", floats(lambda a: signal.convolve2d(a, own, "same")), "constant", None),
        ("signal.savgol_filter(a, 7, 2)", floats(lambda a: signal.savgol_filter(a, 7, 2)), None, None,
         "savitzky_golay"),
        ("signal.wiener(a, 5)", floats(lambda a: signal.wiener(a, 5)), None, "edge-preserving"),
        ("median_filter(a, 3)", lambda a: ndi.median_filter(a, 3), None, "order statistic"),
        ("percentile_filter(a, 20, 5)", lambda a: ndi.percentile_filter(a, 20, 5), None, "order statistic"),
        ("grey_closing(a, 3)", lambda a: ndi.grey_closing(a, 3), None, "order statistic"),
        ("gaussian_gradient_magnitude(a, 1)", floats(lambda a: ndi.gaussian_gradient_magnitude(a, 1)), None,
         "magnitude"),
        ("generic_filter(a, std, 3)", floats(_deviation), None, "not linear"),
        ("rotate(a, 2, reshape=False)", floats(lambda a: ndi.rotate(a, 2, reshape=False)), None, "geometric"),
    ]  # fmt: skip
    return _python("SciPy", rows)


def _deviation(image: np.ndarray) -> np.ndarray:
    """Return the standard deviation of each 3×3 window."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(image, 1, "edge"), (3, 3))
    return windows.std(axis=(2, 3))


def libvips() -> Iterator[Producer]:
    import pyvips

    def by(work):
        return lambda a: work(pyvips.Image.new_from_array(a)).numpy()

    own = pyvips.Image.new_from_array([[1, 0, 0], [0, 2, 0], [0, 3, 1]], scale=7)
    rows: list[tuple[Any, ...]] = [
        ("gaussblur(1.5, precision='float') # 16", by(lambda i: i.gaussblur(1.5, precision="float").rint()
                                                      .cast(i.format)), "nearest", None, *G),
        ("conv(own) # 16", by(lambda i: i.conv(own).rint().cast(i.format)), "nearest", None),
        ("conv(own, precision='integer')", by(lambda i: i.conv(own, precision="integer")), "nearest", None,
         np.array([[18, 0, 0], [0, 37, 0], [0, 55, 18]]) / 128),
        ("median(3)", by(lambda i: i.median(3)), None, "order statistic"),
        ("rank(3, 3, 8)", by(lambda i: i.rank(3, 3, 8)), None, "order statistic"),
        ("sobel()", by(lambda i: i.sobel()), None, "magnitude"),
        ("hist_equal()", by(lambda i: i.hist_equal()), None, "tone curve"),
        ("gamma(exponent=0.6)", by(lambda i: i.gamma(exponent=0.6)), None, "tone curve"),
        ("fliphor()", by(lambda i: i.fliphor()), None, "geometric"),
    ]  # fmt: skip
    return _python("libvips", rows)


def simpleitk() -> Iterator[Producer]:
    sitk = import_module("SimpleITK")

    def by(work):
        return lambda a: sitk.GetArrayFromImage(work(sitk.GetImageFromArray(a.astype(np.float64))))

    own = sitk.GetImageFromArray(np.array([[1, 0, 0], [0, 2, 0], [0, 3, 1]]) / 7)
    rows: list[tuple[Any, ...]] = [
        ("DiscreteGaussian(a, 2)", by(lambda i: sitk.DiscreteGaussian(i, 2.0)), "nearest", None, "gaussian"),
        ("SmoothingRecursiveGaussian(a, 1.5)", by(lambda i: sitk.SmoothingRecursiveGaussian(i, 1.5)), "nearest", None,
         *G),
        ("Mean(a, [1, 2])", by(lambda i: sitk.Mean(i, [1, 2])), "nearest", None, *B),
        ("BoxMean(a, [2, 2])", by(lambda i: sitk.BoxMean(i, [2, 2])), "renormalised", None, *B),
        ("BinomialBlur(a, 2)", by(lambda i: sitk.BinomialBlur(i, 2)), None, None, "binomial"),
        ("Laplacian(a)", by(lambda i: sitk.Laplacian(i)), "nearest", None, "laplacian"),
        ("Derivative(a, 0, 1)", by(lambda i: sitk.Derivative(i, 0, 1)), "nearest", None, "difference", "derivative"),
        ("Convolution(a, own)", by(lambda i: sitk.Convolution(i, own)), "nearest", None),
        ("UnsharpMask(a, [1, 1], 0.5, 0)", by(lambda i: sitk.UnsharpMask(i, [1.0, 1.0], 0.5, 0.0)), "nearest", None,
         "unsharp"),
        ("Median(a, [1, 1])", by(lambda i: sitk.Median(i, [1, 1])), None, "order statistic"),
        ("Bilateral(a, 2, 20)", by(lambda i: sitk.Bilateral(i, 2.0, 20.0)), None, "edge-preserving"),
        ("CurvatureFlow(a, 0.1, 5)", by(lambda i: sitk.CurvatureFlow(i, 0.1, 5)), None, "edge-preserving"),
        ("GradientMagnitude(a)", by(sitk.GradientMagnitude), None, "magnitude"),
        ("SobelEdgeDetection(a)", by(sitk.SobelEdgeDetection), None, "magnitude"),
        ("Sigmoid(a, 40, 128, 255, 0)", by(lambda i: sitk.Sigmoid(i, 40, 128, 255, 0)), None, "tone curve"),
    ]  # fmt: skip
    return _python("SimpleITK", rows)


def mahotas() -> Iterator[Producer]:
    mh = import_module("mahotas")
    own = np.array([[1.0, 0, 0], [0, 2, 0], [0, 3, 1]]) / 7

    def floats(function):
        return lambda a: function(a.astype(np.float64))

    rows: list[tuple[Any, ...]] = [
        ("gaussian_filter(a, 1.5)", floats(lambda a: mh.gaussian_filter(a, 1.5)), "reflect", None, *G),
        ("convolve(a, own)", floats(lambda a: mh.convolve(a, own)), "reflect", None),
        ("convolve(a, own, mode='ignore')", floats(lambda a: mh.convolve(a, own, mode="ignore")), "constant", None),
        ("mean_filter(a, ones(3, 3))", floats(lambda a: mh.mean_filter(a, np.ones((3, 3)))), "renormalised", None, *B),
        ("laplacian_2D(a)", floats(lambda a: mh.laplacian_2D(a)), "nearest", None, "laplacian", "isotropic_laplacian"),
        ("median_filter(a)", lambda a: mh.median_filter(a), None, "order statistic"),
        ("dilate(a)", lambda a: mh.dilate(a), None, "order statistic"),
        ("sobel(a, just_filter=True)", floats(lambda a: mh.sobel(a, just_filter=True)), None, "magnitude"),
    ]
    return _python("mahotas", rows)


PROGRAMS: dict[str, tuple[Callable[[], Iterator[Producer]], str]] = {
    "Pillow": (pillow, "PIL"),
    "OpenCV": (opencv, "cv2"),
    "scikit-image": (scikit_image, "skimage"),
    "SciPy": (scipy, "scipy"),
    "libvips": (libvips, "pyvips"),
    "SimpleITK": (simpleitk, "SimpleITK"),
    "mahotas": (mahotas, "mahotas"),
    "ImageMagick": (imagemagick, "!convert"),
    "GraphicsMagick": (graphicsmagick, "!gm"),
    "ffmpeg": (ffmpeg, "!ffmpeg"),
    "G'MIC": (gmic, "!gmic"),
    "netpbm": (netpbm, "!pnmconvol"),
    "Octave": (octave, "!octave-cli"),
}
SMALL = ("Pillow", "OpenCV", "scikit-image", "SciPy", "libvips")


def installed(program: str) -> bool:
    """Return whether a program is at hand."""
    needed = PROGRAMS[program][1]
    return bool(shutil.which(needed[1:]) if needed.startswith("!") else find_spec(needed))


def producers(*programs: str) -> list[Producer]:
    """Return the producers of the programs that are installed."""
    return [each for name in programs or PROGRAMS if installed(name) for each in PROGRAMS[name][0]()]


def before(place: str) -> np.ndarray:
    """Return a piece of a photograph."""
    row, column = PLACES[place]
    return photograph(place)[row : row + SIDE, column : column + SIDE].copy()


def judged(producer: Producer, place: str, learn: Callable[..., Any]) -> tuple[Any, Truth, Score]:
    """Return the fit of a producer's result, the truth, and the grade of the fit."""
    image = before(place)
    after, truth = producer.run(image), producer.truth()
    if truth.weights is not None and after.dtype.kind == "f" and producer.program == "scikit-image":
        truth = replace(truth, weights=truth.weights / 255)
    fit = learn(image, after)
    return fit, truth, score(fit, truth)


def _said(fit: Any) -> str:
    rows, columns = fit.size
    border = f", {fit.boundary}" if fit.boundary else ""
    name = f", {fit.description}" if fit.name else ""
    return f"{fit.verdict}: {rows}×{columns}{name}{border}" if fit.verdict != "not linear" else _sign(fit)


def _sign(fit: Any) -> str:
    return f"not linear: {fit.explanation}".replace("|", "/")[:160]


def _true(producer: Producer, truth: Truth) -> str:
    if truth.weights is None:
        return f"not linear: {producer.kind}"
    rows, columns = truth.weights.shape
    names = f", {' or '.join(truth.names)}" if truth.names else ""
    return f"{rows}×{columns}{names}, {truth.border or 'a border of its own'}"


_WORDS = {"right": "right", "nearly": "nearly", "honest": "wrong, says so", "wrong": "**wrong**"}


def main() -> None:
    """Write the table, or print it where no file is named."""
    import kernelfield as kf

    lines, counts = [], dict.fromkeys(_WORDS, 0)
    missing = [name for name in PROGRAMS if not installed(name)]
    for producer in producers():
        for place in PLACES:
            try:
                fit, truth, result = judged(producer, place, kf.learn)
                said, true = _said(fit), _true(producer, truth)
            except (RuntimeError, ValueError, subprocess.TimeoutExpired) as error:
                if isinstance(error, kf.errors.KernelfieldError):
                    result, said = Score("wrong", "", np.zeros(0)), f"{type(error).__name__}: {error}"[:120]
                else:
                    print(f"{producer.program} {producer.command}: did not run: {error}"[:300], file=sys.stderr)
                    continue
            counts[result.grade] += 1
            command = producer.command.replace("|", "\\|")
            grade = _WORDS[result.grade] + (f": {result.why}" if result.why else "")
            lines.append(f"| {producer.program} | `{command}` | {place} | {said} | {true} | {grade} |")
            if result.grade == "wrong":
                print(lines[-1], file=sys.stderr)
    text = _page(lines, counts, missing)
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(text, encoding="utf-8")
    print(", ".join(f"{count} {_WORDS[grade].strip('*')}" for grade, count in counts.items()))


def _page(lines: list[str], counts: dict[str, int], missing: list[str]) -> str:
    total = sum(counts.values())
    tally = ", ".join(f"{count} {_WORDS[grade].strip('*')}" for grade, count in counts.items())
    absent = f" Not installed when this was written: {', '.join(missing)}." if missing else ""
    return (
        f"""# Filters of other programs, learned back

`make producers` runs each command on pieces of {SIDE}×{SIDE} pixels of two photographs, learns the filter from before
and after without further hints, and writes this page. The truth is measured: the response of the command to one bright
pixel on grey. *Wrong* means wrong and confident; *wrong, says so* is a wrong answer that does not claim to be right, or
a refusal of what has an answer. Of {total} pairs: {tally}.{absent}

| program | command | picture | `learn` says | truth | |
| --- | --- | --- | --- | --- | --- |
"""
        + "\n".join(lines)
        + "\n"
    )


if __name__ == "__main__":
    main()
