"""``kernelfield apply``: a learned or designed filter on a picture."""

from __future__ import annotations

import sys
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import kernelfield as kf
from kernelfield.cli.console import status
from kernelfield.cli.files import check_target, read_picture
from kernelfield.cli.messages import note
from kernelfield.errors import ArgumentError

if TYPE_CHECKING:
    import numpy as np

    from kernelfield.cli.filters import Filters
    from kernelfield.images import Picture

# Kernels whose weights sum to less than this share of their magnitudes turn much of a photograph negative.
_SMALL_SUM = 0.05


def apply(
    filter: Path,
    image: Path,
    result: Path,
    /,
    *,
    json: bool = False,
    boundary: Literal["reflect", "nearest", "mirror", "wrap", "constant", "copy"] | None = None,
    max_pixels: int | None = None,
) -> None:
    """Apply a learned or designed filter to a picture.

    Parameters
    ----------
    filter
        The JSON that learn or design wrote with --json or --save; or a designed kernel as gaussian:sigma=2.
    image
        The picture to filter.
    result
        The file to write, of the same type of numbers: .png, .jpg, .tif or .npy.
    json
        Print the name, shape and type of the result as JSON, and nothing else.
    boundary
        Rule for pixels beyond the border. By default that of the filter; copy leaves border pixels as they are.
    max_pixels
        Refuse pictures of more pixels before decoding them (500 million by default).
    """
    from kernelfield.cli.filters import filters_of
    from kernelfield.images import write

    check_target(result)
    filters = filters_of(str(filter))
    picture = read_picture(image, max_pixels)
    for name, fit in {"": filters}.items() if isinstance(filters, kf.Fit) else filters.items():
        _note_doubts(f"{filter}: channel {name}" if name else str(filter), fit, boundary)
        weights = fit.kernel.weights
        if fit.samples == 0 and picture.pixels.dtype.kind == "u" and weights.sum() < _SMALL_SUM * abs(weights).sum():
            note(f"{filter}: its weights sum to about 0 or less; results below 0 become 0; a float picture keeps them")
    with status("filtering"):
        pixels = _apply(filters, picture, boundary)
    with status("writing"):
        write(result, pixels)
    if json:
        record = {"written": str(result), "shape": list(pixels.shape), "dtype": str(pixels.dtype)}
        sys.stdout.write(dumps(record) + "\n")


def _apply(filters: Filters, picture: Picture, boundary: str | None) -> np.ndarray:
    """Return the picture with every channel filtered."""
    import numpy as np

    if isinstance(filters, kf.Fit):
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


def _note_doubts(name: str, fit: kf.Fit, boundary: str | None) -> None:
    """Print the reasons for which the result may not be the expected one."""
    if fit.verdict != "exact":
        note(f"{name}: learned as {fit.verdict}: {fit.explanation}")
    if fit.boundary is None and boundary is None and fit.size != (1, 1):
        note(f"{name}: the border rule is not known; reflect is used; --boundary chooses another")
