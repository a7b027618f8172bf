"""``kernelfield apply``: a learned or a designed filter on a picture."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from kernelfield.apps.console import status
from kernelfield.apps.design import as_fit
from kernelfield.apps.files import Filters, check_target, load_filters, read_picture
from kernelfield.apps.messages import note
from kernelfield.errors import ArgumentError
from kernelfield.images import Picture, write
from kernelfield.kernels import CATALOGUE, parse
from kernelfield.learning import Fit


def run(
    filter: Path, image: Path, result: Path, *, boundary: str | None, max_pixels: int | None, as_json: bool
) -> None:
    """Read, filter, write; with `as_json` say on stdout what was written."""
    check_target(result)
    filters = _filters(filter)
    picture = read_picture(image, max_pixels)
    for name, fit in {"": filters}.items() if isinstance(filters, Fit) else filters.items():
        _warn(f"{filter}: channel {name}" if name else str(filter), fit, boundary)
        weights = fit.kernel.weights
        if fit.samples == 0 and picture.pixels.dtype.kind == "u" and weights.sum() < 0.05 * np.abs(weights).sum():
            note(f"{filter}: its weights sum to about 0 or less; results below 0 become 0; a float picture keeps them")
    with status("filtering"):
        pixels = _apply(filters, picture, boundary)
    with status("writing"):
        write(result, pixels)
    if as_json:
        written = {"written": str(result), "shape": list(pixels.shape), "dtype": str(pixels.dtype)}
        sys.stdout.write(json.dumps(written) + "\n")


def _filters(filter: Path) -> Filters:
    """Return the filter in a file or, where there is no such file, the kernel that the text says."""
    text = str(filter)
    name, colon, _ = text.partition(":")
    if not filter.exists() and (name in CATALOGUE or (colon and name.isidentifier())):
        return as_fit(parse(text))
    return load_filters(filter)


def _apply(filters: Filters, picture: Picture, boundary: str | None) -> np.ndarray:
    """Return the picture with every channel filtered."""
    if isinstance(filters, Fit):
        return filters.apply(picture.pixels, boundary=boundary)
    if set(filters) != set(picture.channels):
        raise ArgumentError(
            f"{picture.path!r}: expected the channels {', '.join(filters)}, one for each filter; received "
            f"{', '.join(picture.channels)}; learn without --per-channel"
        )
    if picture.pixels.ndim == 2:
        return filters[picture.channels[0]].apply(picture.pixels, boundary=boundary)
    planes = [filters[name].apply(picture.pixels[..., i], boundary=boundary) for i, name in enumerate(picture.channels)]
    return np.stack(planes, axis=2)


def _warn(name: str, fit: Fit, boundary: str | None) -> None:
    """Say what the user may not expect of the result."""
    if fit.verdict != "exact":
        note(f"{name}: learned as {fit.verdict}: {fit.explanation}")
    if fit.boundary is None and boundary is None and fit.size != (1, 1):
        note(f"{name}: the border rule is not known; reflect is used; --boundary chooses another")
