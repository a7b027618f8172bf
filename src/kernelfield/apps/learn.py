"""``kernelfield learn``: pictures in, a report or JSON out."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelfield.apps import view
from kernelfield.apps.console import output, status
from kernelfield.apps.files import Filters, check_target, dump_filters, read_picture, write_file
from kernelfield.apps.messages import UsageError, note, progress
from kernelfield.errors import ArgumentError, DataError
from kernelfield.images import Picture
from kernelfield.learning import Fit
from kernelfield.learning import learn as learn_kernel

if TYPE_CHECKING:
    from kernelfield.images.picture import Pixels

_FIGURES = (".png", ".svg", ".pdf")


def run(
    before: Path,
    after: Path,
    *,
    as_json: bool,
    plot: Path | None,
    save: Path | None,
    mask: Path | None,
    channel: str | None,
    per_channel: bool,
    max_pixels: int | None,
    **options: Any,
) -> None:
    """Learn, then write the files asked for, then print; `options` go to `kernelfield.learn`."""
    if channel is not None and per_channel:
        raise UsageError("--channel, --per-channel: expected one of them; received both.")
    if plot is not None and plot.suffix.lower() not in _FIGURES:
        raise UsageError(f"--plot: expected a name that ends in {', '.join(_FIGURES)}; received {str(plot)!r}.")
    for target in (plot, save):
        if target is not None:
            check_target(target)
    if plot is not None:
        # A missing matplotlib is said before the work, not after it.
        from kernelfield.learning.plot import require

        require()
    with status("reading"):
        pair = read_picture(before, max_pixels), read_picture(after, max_pixels)
        _check_channels(*pair)
        keep = None if mask is None else _read_mask(mask, max_pixels)
    parts = _parts(pair, channel, per_channel)
    with status("learning the kernel"):
        fits = {name: _learn_one(pixels, channels, mask=keep, **options) for name, (pixels, channels) in parts.items()}
    filters: Filters = fits if per_channel else next(iter(fits.values()))
    figures = {}
    if plot is not None:
        with status("drawing"):
            figures = _figures(plot, fits, parts)
    text = dump_filters(filters) if as_json or save is not None else ""
    if save is not None:
        write_file(save, text.encode())
    for path, data in figures.items():
        write_file(path, data)
    if as_json:
        sys.stdout.write(text)
    else:
        view.show(output(), filters)


def _check_channels(before: Picture, after: Picture) -> None:
    """Raise unless the two have the same number of channels."""
    if len(before.channels) != len(after.channels):
        names = [", ".join(picture.channels) for picture in (before, after)]
        raise ArgumentError(
            f"{after.path!r}: expected {len(before.channels)} channel(s) ({names[0]}) like {before.path!r}; "
            f"received {len(after.channels)} ({names[1]}); convert both to grey or both to colour"
        )


def _read_mask(path: Path, max_pixels: int | None) -> np.ndarray:
    """Return where the mask is not 0 in any channel, for people paint masks in colour."""
    pixels = read_picture(path, max_pixels).pixels
    keep = pixels != 0
    if keep.ndim == 3:
        keep = keep.any(axis=2)
    if not keep.any():
        raise DataError(f"{str(path)!r}: expected a mask with pixels that are not 0; received only 0; invert it")
    note(f"{path}: leaves out {keep.size - np.count_nonzero(keep):,} of {keep.size:,} pixels")
    return np.asarray(keep)


def _parts(
    pair: tuple[Picture, Picture], channel: str | None, per_channel: bool
) -> dict[str, tuple[tuple[Pixels, Pixels], tuple[str, ...]]]:
    """Return what to learn from, by name: all the channels together, one, or each."""
    before, after = (picture.pixels for picture in pair)
    names = pair[0].channels
    if channel is None and not per_channel:
        return {"": ((before, after), names)}
    if channel is not None:
        fitting = [i for i, name in enumerate(names) if name.lower() == channel.lower()]
        if not fitting:
            raise ArgumentError(
                f"--channel: expected one of {', '.join(names)}, the channels of {pair[0].path!r}; received {channel!r}"
            )
    else:
        fitting = list(range(len(names)))
    if before.ndim == 2:
        return {names[0]: ((before, after), names)}
    return {names[i]: ((before[..., i], after[..., i]), (names[i],)) for i in fitting}


def _learn_one(pair: tuple[Pixels, Pixels], channels: tuple[str, ...], **options: Any) -> Fit:
    """Return the filter of a pair, its channels called by their names."""
    axis = 2 if pair[0].ndim == 3 else None
    return replace(learn_kernel(*pair, channel_axis=axis, report=progress, **options), channels=channels)


def _figures(
    path: Path, fits: dict[str, Fit], parts: dict[str, tuple[tuple[Pixels, Pixels], tuple[str, ...]]]
) -> dict[Path, bytes]:
    """Return the figures by file name: with several filters the channel is added to the name."""
    from kernelfield.learning.plot import encode, plot

    figures = {}
    for name, fit in fits.items():
        target = path if len(fits) == 1 else path.with_stem(f"{path.stem}-{name}")
        figures[target] = encode(plot(fit, *parts[name][0]), path.suffix.lower().lstrip("."))
    if len(fits) > 1:
        note(f"one figure a channel: {', '.join(str(target) for target in figures)}")
    return figures
