"""``kernelfield learn``: the filter between two pictures, as a report or as JSON."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from cyclopts import Parameter

import kernelfield as kf
from kernelfield.cli.console import output, status
from kernelfield.cli.files import check_figure, check_target, read_picture, write_figure, write_file
from kernelfield.cli.messages import UsageError, note, progress
from kernelfield.cli.options import clip_range, kernel_size, noise_levels
from kernelfield.errors import ArgumentError, DataError

if TYPE_CHECKING:
    import numpy as np

    from kernelfield.images import Picture
    from kernelfield.images.picture import Pixels


def learn(
    before: Path,
    after: Path,
    /,
    *,
    json: bool = False,
    plot: Path | None = None,
    save: Path | None = None,
    size: str | None = None,
    max_size: int = 31,
    mask: Path | None = None,
    clip: Annotated[str, Parameter(allow_leading_hyphen=True)] = "auto",
    noise: str | None = None,
    channel: str | None = None,
    per_channel: bool = False,
    max_pixels: int | None = None,
    method: Literal["exact", "descent"] = "exact",
    framework: Literal["numpy", "torch", "tensorflow", "jax", "mxnet"] = "numpy",
    steps: int = 10,
    lr: float = 0.03,
    optimiser: Literal["sgd", "adam"] = "sgd",
    momentum: float = 0.0,
    seed: int = 0,
    report_every: int = 2,
) -> None:
    """Learn the filter that made one picture from another, with its uncertainty.

    Parameters
    ----------
    before
        The picture: PNG, JPEG, TIFF or NPY.
    after
        The same picture, filtered.
    json
        Print the result as JSON, which apply reads, and nothing else.
    plot
        Also draw before, after, kernel and residual: a .png, .svg or .pdf.
    save
        Also write the result as JSON to this file.
    size
        Size of the kernel, as 5 or as 3,5 (rows, columns). Searched for by default.
    max_size
        The largest size to search, at most 63.
    mask
        A picture of the same size: pixels where it is 0 do not count.
    clip
        Lowest and highest value of the sensor or format, as 0,4095: pixels clipped there do not count. "auto" takes
        the range of the file's type, "none" trusts every pixel.
    noise
        Standard deviations of the noise in before and after, as 2,0.5: the weights are corrected for that in the
        before.
    channel
        Learn from one channel only: R, G or B.
    per_channel
        Learn a filter for each channel. By default all channels share one.
    max_pixels
        Refuse pictures of more pixels before decoding them (500 million by default).
    method
        "exact" is least squares; "descent" is gradient descent, as a layer is trained. The options below are for it.
    framework
        The framework whose differentiation and optimisers are used.
    steps
        Maximum number of steps.
    lr
        Learning rate.
    optimiser
        Plain gradient descent, or Adam.
    momentum
        Momentum of sgd.
    seed
        Seed of the kernel before the first step.
    report_every
        Print the loss after every so many steps, on stderr; 0 for never.
    """
    from kernelfield.cli import fit_view
    from kernelfield.cli.filters import Filters, dump_filters

    if channel is not None and per_channel:
        raise UsageError("--channel, --per-channel: expected one of them; received both.")
    options: dict[str, Any] = {"size": kernel_size(size)}
    if method == "descent":
        options |= {"framework": framework, "steps": steps, "lr": lr, "optimiser": optimiser, "momentum": momentum}
        options |= {"seed": seed, "report_every": report_every, "report": progress}
        if mask is not None:
            raise UsageError("--mask, --method descent: expected one of them; received both.")
    else:
        options |= {"max_size": max_size, "clip": clip_range(clip), "noise": noise_levels(noise)}
    check_figure(plot)
    check_target(save)
    with status("reading"):
        pictures = read_picture(before, max_pixels), read_picture(after, max_pixels)
        _check_channels(*pictures)
        if mask is not None:
            options["mask"] = _read_mask(mask, max_pixels)
    pairs = _pairs(*pictures, channel, per_channel)
    with status("learning the kernel"):
        learner = kf.descend if method == "descent" else kf.learn
        fits = {name: _learn(learner, pair, options) for name, pair in pairs.items()}
    filters: Filters = fits if per_channel else next(iter(fits.values()))
    figures = {}
    if plot is not None:
        with status("drawing"):
            figures = {_figure_name(plot, name, len(fits)): fit.plot(*pairs[name].pixels) for name, fit in fits.items()}
    text = dump_filters(filters) if json or save is not None else ""
    if save is not None:
        write_file(save, text.encode())
    for path, figure in figures.items():
        write_figure(path, figure)
    if len(figures) > 1:
        note(f"one figure a channel: {', '.join(map(str, figures))}")
    if json:
        sys.stdout.write(text)
    else:
        fit_view.show(output(), filters)


class _Pair(NamedTuple):
    """Before and after, with the names of their channels."""

    pixels: tuple[Pixels, Pixels]
    channels: tuple[str, ...]


def _check_channels(before: Picture, after: Picture) -> None:
    """Raise unless the two have the same number of channels."""
    if len(before.channels) != len(after.channels):
        names = [", ".join(picture.channels) for picture in (before, after)]
        raise ArgumentError(
            f"{after.path!r}: expected {len(before.channels)} channel(s) ({names[0]}) like {before.path!r}; "
            f"received {len(after.channels)} ({names[1]}); convert both to grey or both to colour"
        )


def _read_mask(path: Path, max_pixels: int | None) -> np.ndarray:
    """Return where the mask is not 0 in any channel; masks are often painted in colour."""
    pixels = read_picture(path, max_pixels).pixels
    keep: np.ndarray = pixels != 0 if pixels.ndim == 2 else (pixels != 0).max(axis=2)
    if not keep.any():
        raise DataError(f"{str(path)!r}: expected a mask with pixels that are not 0; received only 0; invert it")
    note(f"{path}: leaves out {keep.size - int(keep.sum()):,} of {keep.size:,} pixels")
    return keep


def _pairs(before: Picture, after: Picture, channel: str | None, per_channel: bool) -> dict[str, _Pair]:
    """Return the pairs to learn from, by name: all channels together, one channel, or each."""
    names = before.channels
    if channel is None and not per_channel:
        return {"": _Pair((before.pixels, after.pixels), names)}
    chosen = [i for i, name in enumerate(names) if channel is None or name.lower() == channel.lower()]
    if not chosen:
        raise ArgumentError(
            f"--channel: expected one of {', '.join(names)}, the channels of {before.path!r}; received {channel!r}"
        )
    if before.pixels.ndim == 2:
        return {names[0]: _Pair((before.pixels, after.pixels), names)}
    return {names[i]: _Pair((before.pixels[..., i], after.pixels[..., i]), (names[i],)) for i in chosen}


def _learn(learner: Callable[..., kf.Fit], pair: _Pair, options: dict[str, Any]) -> kf.Fit:
    """Return the filter of a pair, with the names of its channels."""
    axis = {"channel_axis": 2} if pair.pixels[0].ndim == 3 and learner is kf.learn else {}
    fit = learner(*pair.pixels, **axis, **options)
    return replace(fit, channels=pair.channels)


def _figure_name(path: Path, channel: str, count: int) -> Path:
    """Return the file for a channel's figure: of several, each has the channel in its name."""
    return path if count == 1 else path.with_stem(f"{path.stem}-{channel}")
