"""``kernelfield learn``: the filter between two pictures, as a report or as JSON."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from cyclopts import Parameter

import kernelfield as kf
from kernelfield.cli.console import output, status
from kernelfield.cli.files import check_figure, check_target, write_figure
from kernelfield.cli.messages import UsageError, note, progress, words
from kernelfield.cli.options import clip_range, kernel_size, noise_levels, penalty, transfer_function, variation
from kernelfield.cli.paths import paired
from kernelfield.cli.pictures import (
    channel_axis_of,
    check_channels,
    colours,
    numbers,
    only_one_stream,
    read_picture,
    shown,
)
from kernelfield.cli.several import MOST_HELD, joined, learned_one_by_one, stacked
from kernelfield.cli.stores import is_store, one_scheduler
from kernelfield.errors import ArgumentError, DataError
from kernelfield.files import write_bytes

if TYPE_CHECKING:
    import numpy as np

    from kernelfield.cli.filters import Filters
    from kernelfield.images.picture import Pixels


def learn(
    before: Path,
    after: Path,
    /,
    *,
    json: bool = False,
    plot: Path | None = None,
    save: Path | None = None,
    report: Path | None = None,
    size: str | None = None,
    max_size: int = 255,
    mask: Path | None = None,
    clip: Annotated[str, Parameter(allow_leading_hyphen=True)] = "auto",
    noise: str | None = None,
    varying: str | None = None,
    background: int = 0,
    weights: Path | None = None,
    regularise: str | None = None,
    nonnegative: bool = False,
    sum_to: float | None = None,
    symmetric: Literal["h", "v", "hv", "square", "point", "radial", "auto"] | None = None,
    support: Path | None = None,
    channel: str | None = None,
    per_channel: bool = False,
    channels: Literal["auto", "shared", "separate", "mixed"] = "auto",
    stride: str | None = None,
    light: str | None = None,
    curve: Literal["none", "auto"] = "none",
    channel_axis: str = "auto",
    page: int | None = None,
    max_pixels: int | None = None,
    untrusted: bool = False,
    method: Literal["exact", "descent"] = "exact",
    framework: Literal["numpy", "torch", "tensorflow", "jax", "mxnet"] = "numpy",
    steps: int = 10,
    lr: float = 0.03,
    optimiser: Literal["sgd", "adam"] = "sgd",
    momentum: float = 0.0,
    seed: int = 0,
    report_every: int = 2,
    level: int = 0,
    scheduler: str | None = None,
    local: int | None = None,
) -> None:
    """Learn the filter that made one picture from another, with its uncertainty.

    Zarr stores, and with --scheduler or --local NPY files and tiled TIFFs, are learned tile by tile.

    Parameters
    ----------
    before
        The picture: PNG, JPEG, TIFF, NPY and others. - is stdin. A pattern in quotes, as "before/*.tif", names several
        pictures, from which one filter is learned.
    after
        The same picture, filtered. As many as befores, matched in the order of their names.
    json
        Print the result as JSON, which apply reads, and nothing else.
    plot
        Also draw before, after, kernel and residual: a .png, .svg or .pdf.
    save
        Also write the result as JSON to this file.
    report
        Also write a report to this .html file: pictures in linked views, kernel with errors, MTF; of several pairs the
        pictures are those of the first.
    size
        Size of the kernel, as 5 or as 3,5 (rows, columns). Searched for by default.
    max_size
        The largest size to search, at most 255.
    mask
        A picture of the same size: pixels where it is 0 do not count.
    clip
        Lowest and highest value of the sensor or format, as 0,4095: pixels clipped there do not count. "auto" takes
        the range of the file's type, "none" trusts every pixel.
    noise
        Standard deviations of the noise in before and after, as 2,0.5: the weights are corrected for that in the
        before.
    varying
        Let the kernel vary over the picture: 2 as polynomials of that degree, 3,4 bilinearly between the nodes of a
        grid, "auto" by the degree that the evidence prefers.
    background
        Degree of the polynomials that are added, 0 for a constant.
    weights
        A picture of the size of after: weights of the squared residuals, 1 / variance.
    regularise
        Penalise rough or large weights, for small pictures: "auto", "ridge", "smooth", a strength as 0.01, or both as
        ridge,0.01.
    nonnegative
        Allow no negative weights.
    sum_to
        The sum of the weights.
    symmetric
        Mirrored left to right (h), top to bottom (v), both (hv), at the diagonals too (square), turned by 180 degrees
        (point), equal at equal distances (radial), or what the evidence prefers (auto).
    support
        A picture of the size of the kernel: weights where it is 0 are 0.
    channel
        Learn from one channel only: R, G or B.
    per_channel
        Learn a filter for each channel, in a file with the channels' names.
    channels
        "shared" learns one kernel for all channels, "separate" one each, "mixed" one for each channel of the after and
        each of the before (sepia, saturation, colour to grey). By default the pair decides.
    stride
        Rows and columns of the before for each pixel of the after, as 2 or 2,3: the kernel of a reduction. By default
        the sizes of the pair decide.
    light
        Learn the filter of light: "sRGB", an exponent as 2.2, or "auto" to find it. By default the numbers as they are.
    curve
        "auto" also learns a tone curve before or after the kernel, where one explains the pair much better.
    channel_axis
        Axis of the channels in NPY and NPZ; none for a stack of grey images (N, H, W), or all pages of a TIFF: one
        filter.
    page
        Page to learn from, counted from 0. By default the first.
    max_pixels
        Refuse pictures of more pixels before decoding them (500 million by default).
    untrusted
        Read in a process of its own, with 4 GiB of address space and ten minutes: for files of unknown origin.
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
    level
        Level of OME-Zarr images, 0 for the finest.
    scheduler
        Address of a Dask scheduler whose workers sum, as tcp://host:8786; they read the same paths.
    local
        Start so many processes here and sum with these.
    """
    if channel is not None and per_channel:
        raise UsageError("--channel, --per-channel: expected one of them; received both.")
    if channels != "auto" and (per_channel or channel is not None or method == "descent"):
        raise UsageError("--channels: expected none with --channel, --per-channel or --method descent; leave it out.")
    options: dict[str, Any] = {"size": kernel_size(size)}
    known: dict[str, Any] = {"varying": variation(varying), "background": background}
    known |= {"regularise": penalty(regularise), "nonnegative": nonnegative, "sum_to": sum_to, "symmetric": symmetric}
    if method == "descent":
        options |= {"framework": framework, "steps": steps, "lr": lr, "optimiser": optimiser, "momentum": momentum}
        options |= {"seed": seed, "report_every": report_every, "report": progress}
        if mask is not None:
            raise UsageError("--mask, --method descent: expected one of them; received both.")
    else:
        options |= {"max_size": max_size, "clip": clip_range(clip), "noise": noise_levels(noise)}
        options |= {"channels": channels, "stride": kernel_size(stride, "--stride")}
        options |= {"light": transfer_function(light), "curve": None if curve == "none" else curve}
    given = {name: value for name, value in (known | {"weights": weights, "support": support}).items() if value}
    if sum_to is not None:
        given["sum_to"] = sum_to
    named_pairs = paired(str(before), str(after))
    if len(named_pairs) == 1:
        before, after = map(Path, named_pairs[0])
    elsewhere = scheduler is not None or local is not None or is_store(str(before)) or is_store(str(after))
    if given and (method == "descent" or elsewhere):
        option = f"--{next(iter(given)).replace('_', '-')}"
        where = "--method descent" if method == "descent" else "pictures that are learned tile by tile"
        raise UsageError(f"{option}: expected none with {where}; leave it out.")
    check_figure(plot)
    check_target(save)
    if report is not None and report.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--report: expected a name that ends in .html; received {str(report)!r}.")
    check_target(report, "--report")
    only_one_stream([str(each) for each in (before, after, mask, weights, support)])
    if elsewhere:
        refused = {"--plot": plot, "--channel": channel, "--page": page, "--max-pixels": max_pixels}
        refused |= {"--report": report, "several pairs": len(named_pairs) > 1}
        refused |= {"--per-channel": per_channel, "--method descent": method == "descent"}
        refused |= {f"--channels {channels}": channels not in ("auto", "shared")}
        refused |= {"--stride": stride, "--light": light, "--curve": curve != "none"}
        options = {k: v for k, v in options.items() if k not in ("channels", "stride", "light", "curve")}
        for option in [name for name, value in refused.items() if value not in (None, False)]:
            raise UsageError(f"{option}: expected none with pictures that are learned tile by tile; leave it out.")
        options |= {"mask": None if mask is None else str(mask), "channel_axis": channel_axis_of(channel_axis)}
        with status("learning the kernel"):
            fit = _learn_tiles(str(before), str(after), level, one_scheduler(scheduler, local), options)
        _show(fit, json, save)
        return
    if level:
        raise UsageError("--level: expected a level of an OME-Zarr image; received other pictures; leave it out.")
    axis = channel_axis_of(channel_axis)
    first = None
    with status("reading"):
        if len(named_pairs) > 1:
            if per_channel or channel is not None or channels in ("separate", "mixed") or method == "descent":
                raise UsageError(
                    "--per-channel, --channel, --channels, --method descent: expected none with several pairs; leave "
                    "them out."
                )
            head = _read_alike(named_pairs[0], None, page, max_pixels)
            first = head[0].pixels, head[1].pixels
            note(f"{len(named_pairs)} pairs, matched by their names in order: {' and '.join(named_pairs[0])}, ...")
            if head[0].pixels.size * len(named_pairs) <= MOST_HELD:
                pictures = _read_many(named_pairs, head, page, max_pixels)
            else:
                pictures = head
        else:
            pictures = _read(str(before), axis, page, max_pixels), _read(str(after), axis, page, max_pixels)
        if channels not in ("auto", "mixed") or per_channel or channel is not None or method == "descent":
            _check_channels(*pictures)
        if mask is not None:
            options["mask"] = _read_mask(str(mask), page, max_pixels)
        if given:
            options |= known
            if weights is not None:
                options["weights"] = _read_plane(str(weights), max_pixels)
            if support is not None:
                options["support"] = _read_plane(str(support), max_pixels) != 0
            if pictures[0].stack and (known["varying"] is not None or background):
                raise UsageError("--varying, --background: expected none with a stack of pictures; choose a --page.")
    if first is not None and not pictures[0].stack:
        refused = {"--mask": mask, "--noise": noise, "--light": light, "--curve": curve != "none"}
        refused |= {f"--{name.replace('_', '-')}": value for name, value in given.items()}
        for option in [name for name, value in refused.items() if value not in (None, False)]:
            raise UsageError(
                f"{option}: expected none with pairs of more than {MOST_HELD:,} numbers, which are learned one after "
                "the other; leave it out, or give fewer pairs."
            )

        def read(number: int) -> tuple[Pixels, Pixels]:
            sources = _read_alike(named_pairs[number], pictures[0].channels, page, max_pixels) if number else pictures
            return sources[0].pixels, sources[1].pixels

        kept = {name: value for name, value in options.items() if name in ("size", "max_size", "clip")}
        one = learned_one_by_one(read, len(named_pairs), pictures[0].colours, kept)
        _finish({"": one}, {"": first}, plot, report, json, save, False)
        return
    pairs = _pairs(*pictures, channel, per_channel)
    if pictures[0].stack:
        options |= {"channels": "shared", "stride": 1} if method == "exact" else {}
    with status("learning the kernel"):
        learner = kf.descend if method == "descent" else kf.learn
        fits = {name: _learn(learner, pair, options) for name, pair in pairs.items()}
    _finish(fits, {name: first or pair.pixels for name, pair in pairs.items()}, plot, report, json, save, per_channel)


def _finish(
    fits: dict[str, kf.Fit],
    pairs: dict[str, tuple[Pixels, Pixels]],
    plot: Path | None,
    report: Path | None,
    json: bool,
    save: Path | None,
    per_channel: bool,
) -> None:
    """Draw, report, print and save what was learned of each pair."""
    filters: Filters = fits if per_channel else next(iter(fits.values()))
    figures = {}
    if plot is not None:
        with status("drawing"):
            figures = {_figure_name(plot, name, len(fits)): fit.plot(*pairs[name]) for name, fit in fits.items()}
    if report is not None:
        with status("writing the report"):
            for name, fit in fits.items():
                _write_report(fit, _figure_name(report, name, len(fits)), pairs[name])
    for path, figure in figures.items():
        write_figure(path, figure)
    if len(figures) > 1:
        note(f"one figure a channel: {', '.join(map(str, figures))}")
    _show(filters, json, save)


def _show(filters: Filters, json: bool, save: Path | None) -> None:
    """Print what was learned, as JSON if asked for, and write it to a file if one is named."""
    from kernelfield.cli import fit_view
    from kernelfield.cli.filters import dump_filters

    text = dump_filters(filters) if json or save is not None else ""
    if save is not None:
        write_bytes(save, text.encode())
    if json:
        sys.stdout.write(text)
    else:
        fit_view.show(output(), filters)


def _learn_tiles(before: str, after: str, level: int, scheduler: str | int | None, options: dict[str, Any]) -> kf.Fit:
    """Return the filter between two stores or files that are read tile by tile."""
    from kernelfield import scale

    return scale.learn(before, after, level=level, scheduler=scheduler, **options)


class _Source(NamedTuple):
    """One picture of a pair: its pixels without alpha, the names of its channels, and its file.

    Of a stack of pictures the planes are the channels; `colours` are those of each picture.
    """

    pixels: Pixels
    channels: tuple[str, ...]
    path: str
    stack: bool = False
    colours: tuple[str, ...] = ("grey",)


class _Pair(NamedTuple):
    """Before and after, with the names of their channels; the planes of a stack lie on the last axis too."""

    pixels: tuple[Pixels, Pixels]
    channels: tuple[str, ...]
    stack: bool = False
    colours: tuple[str, ...] = ("grey",)


def _read(path: str, axis: int | str | None, page: int | None, max_pixels: int | None) -> _Source:
    """Return the pixels of a file."""
    import numpy as np

    picture = read_picture(path, max_pixels, page, axis=axis)
    check_channels(picture, path, axis)
    count = len(picture.pages)
    if axis is None and page is None and count > 1:
        pages = [np.asarray(one) for one in picture.pages]
        if len({one.shape for one in pages}) > 1 or pages[0].ndim != 2:
            shapes = ", ".join(map(str, dict.fromkeys(one.shape for one in pages)))
            raise ArgumentError(f"{shown(path)!r}: expected grey pages of one size; received {shapes}; choose a --page")
        return _Source(np.stack(pages, axis=2), numbers(count), shown(path), True)
    if count > 1 and page is None:
        note(f"{shown(path)}: the first of {count} pages; --page chooses another, --channel-axis none takes all")
    return _Source(*colours(picture, path), shown(path))


def _read_alike(
    names: tuple[str, str], channels: tuple[str, ...] | None, page: int | None, max_pixels: int | None
) -> tuple[_Source, _Source]:
    """Return a pair of several: both of one size and with the same channels, those of the first pair if given."""
    x, y = (_read(name, "auto", page, max_pixels) for name in names)
    if x.pixels.shape != y.pixels.shape or len(channels or x.channels) != len(x.channels):
        kind = "grey" if len(channels or x.channels) == 1 else "colour"
        raise ArgumentError(
            f"{shown(names[1])!r}: expected a {kind} picture of the size of {shown(names[0])!r}, as all pairs of "
            f"several; received shapes {x.pixels.shape} and {y.pixels.shape}; learn others one by one"
        )
    names_of = x.channels if len(x.channels) > 1 else ("grey",)
    return x._replace(colours=names_of), y._replace(colours=names_of)


def _read_many(
    named_pairs: list[tuple[str, str]], head: tuple[_Source, _Source], page: int | None, max_pixels: int | None
) -> tuple[_Source, _Source]:
    """Return several pairs as two stacks of planes; `head` is the first."""
    pairs = [head, *(_read_alike(names, head[0].channels, page, max_pixels) for names in named_pairs[1:])]
    sources = []
    for pictures in zip(*pairs):
        stack = stacked([one.pixels for one in pictures])
        planes = numbers(stack.shape[2])
        sources.append(pictures[0]._replace(pixels=stack, channels=planes, stack=True))
    return sources[0], sources[1]


def _write_report(fit: kf.Fit, path: Path, pair: tuple[Any, Any]) -> None:
    """Write the report of a filter, with the command that learned it."""
    several = any(picture.ndim == 3 for picture in pair)
    fit.report(path, *pair, command=shlex.join(["kernelfield", *words]), channel_axis=2 if several else "auto")


def _check_channels(before: _Source, after: _Source) -> None:
    """Raise unless the two have the same number of channels."""
    if len(before.channels) != len(after.channels):
        names = [", ".join(source.channels[:9]) for source in (before, after)]
        raise ArgumentError(
            f"{after.path!r}: expected {len(before.channels)} channel(s) ({names[0]}) like {before.path!r}; "
            f"received {len(after.channels)} ({names[1]}); convert both to grey or both to colour"
        )


def _read_mask(path: str, page: int | None, max_pixels: int | None) -> np.ndarray:
    """Return where the mask is not 0 in any channel; masks are often painted in colour."""
    picture = read_picture(path, max_pixels)
    pixels = colours(picture if page is None or len(picture.pages) <= page else replace(picture, page=page), path)[0]
    keep: np.ndarray = pixels != 0 if pixels.ndim == 2 else (pixels != 0).max(axis=2)
    if not keep.any():
        raise DataError(f"{shown(path)!r}: expected a mask with pixels that are not 0; received only 0; invert it")
    note(f"{shown(path)}: leaves out {keep.size - int(keep.sum()):,} of {keep.size:,} pixels")
    return keep


def _read_plane(path: str, max_pixels: int | None) -> np.ndarray:
    """Return a picture of numbers, of the first channel where it has several."""
    pixels = colours(read_picture(path, max_pixels), path)[0]
    plane: np.ndarray = pixels if pixels.ndim == 2 else pixels[..., 0]
    return plane


def _pairs(before: _Source, after: _Source, channel: str | None, per_channel: bool) -> dict[str, _Pair]:
    """Return the pairs to learn from, by name: all channels together, one channel, or each."""
    names = before.channels
    if channel is None and not per_channel:
        return {"": _Pair((before.pixels, after.pixels), after.channels, before.stack, before.colours)}
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
    several = any(picture.ndim == 3 for picture in pair.pixels)
    axis = {"channel_axis": 2} if several and learner is kf.learn else {}
    fit = learner(*pair.pixels, **axis, **options)
    return joined(fit, pair.colours) if pair.stack else replace(fit, channels=pair.channels)


def _figure_name(path: Path, channel: str, count: int) -> Path:
    """Return the file for a channel's figure: of several, each has the channel in its name."""
    return path if count == 1 else path.with_stem(f"{path.stem}-{channel}")
