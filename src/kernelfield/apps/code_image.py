"""``kernelfield code``: a photograph as the responses of sensors."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from kernelfield import coding
from kernelfield.apps.console import output, status
from kernelfield.apps.files import check_target, read_picture, write_file
from kernelfield.apps.messages import UsageError, note
from kernelfield.apps.view import entry
from kernelfield.errors import ArgumentError
from kernelfield.images import Picture, write

_FIGURES = (".png", ".svg", ".pdf")
_LUMINANCE = "0.299 R + 0.587 G + 0.114 B (Rec. ITU-R BT.601), of the numbers stored"


def run(
    photograph: Path,
    *,
    wavelength: float | None,
    iterations: int,
    plot: Path | None,
    reconstruction: Path | None,
    as_json: bool,
    max_pixels: int | None,
    **options: Any,
) -> None:
    """Code, write the files asked for, print; `options` go to `kernelfield.coding.bank`."""
    if plot is not None and plot.suffix.lower() not in _FIGURES:
        raise UsageError(f"--plot: expected a name that ends in {', '.join(_FIGURES)}; received {str(plot)!r}.")
    for target in (plot, reconstruction):
        if target is not None:
            check_target(target)
    if plot is not None:
        from kernelfield.kernels.plot import require

        require()
    if iterations < 1:
        raise ArgumentError(f"iterations: expected an integer of at least 1, received {iterations}")
    # What is wrong with the options is said before a large picture is read.
    coding.bank(wavelength=8.0 if wavelength is None else wavelength, **options)
    with status("reading"):
        picture = read_picture(photograph, max_pixels)
    image = _luminance(picture)
    sensors = coding.bank(wavelength=max(4.0, min(image.shape) / 16) if wavelength is None else wavelength, **options)
    with status("coding"):
        code = coding.code(image, sensors)
    with status("reconstructing"):
        told = code.reconstruct(iterations)
        error = float(np.sqrt(np.mean((image - told) ** 2)) / image.std())
    record = _record(code, error, len(picture.channels) == 3)
    if plot is not None:
        from kernelfield.learning.plot import encode

        with status("drawing"):
            data = encode(code.plot(), plot.suffix.lower().lstrip("."))
        write_file(plot, data)
    if reconstruction is not None:
        write(reconstruction, _bytes(told, picture))
    if as_json:
        sys.stdout.write(json.dumps(record, indent=2, allow_nan=False) + "\n")
    else:
        _show(output(), record)


def _luminance(picture: Picture) -> np.ndarray:
    """Return the picture's luminance."""
    if len(picture.channels) == 1:
        pixels = np.asarray(picture.pixels, np.float64)
        return pixels if pixels.ndim == 2 else pixels[..., 0]
    if picture.channels != ("R", "G", "B"):
        raise ArgumentError(
            f"{picture.path!r}: expected a grey or an RGB picture; received {len(picture.channels)} channels of "
            "unknown meaning; convert it"
        )
    note(f"{picture.path}: colour is reduced to luminance, {_LUMINANCE}")
    return coding.luminance(picture.pixels)


def _bytes(told: np.ndarray, picture: Picture) -> np.ndarray:
    """Return a reconstruction in 8 bits: of the picture's range where that is known, else of its own."""
    pixels = picture.pixels
    if pixels.dtype.kind in "iu":
        low, high = float(np.iinfo(pixels.dtype).min), float(np.iinfo(pixels.dtype).max)
    else:
        low, high = float(pixels.min()), float(pixels.max())
    return np.rint(np.clip((told - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def _record(code: coding.Code, error: float, colour: bool) -> dict[str, Any]:
    """Return the result as it is printed."""
    measures = code.kurtosis(), code.relative_response(), code.sparseness()
    channels = []
    for sensor, responses, *values in zip(code.bank, code.responses, *measures):
        told = [round(float(value), 6) if math.isfinite(value) else None for value in values]
        channels.append(
            {
                "wavelength": sensor.wavelength,
                "orientation": sensor.orientation,
                "bandwidth": sensor.bandwidth,
                "aspect": sensor.aspect,
                "distance": code.bank.sampling * sensor.size,
                "grid": list(responses.shape),
                **dict(zip(("kurtosis", "relative_response", "sparseness"), told)),
            }
        )
    slope: dict[str, float] | None = None
    if min(code.image.shape) >= 32:
        spectrum = coding.amplitude_spectrum(code.image)
        slope = {"slope": round(spectrum.slope, 6), "standard_error": round(spectrum.slope_error, 6)}
    return {
        "shape": list(code.image.shape),
        "luminance": _LUMINANCE if colour else "grey, as stored",
        "channels": channels,
        "samples": code.samples,
        "reconstruction_error": error,
        "amplitude_spectrum": slope,
    }


def _show(console: Console, record: dict[str, Any]) -> None:
    """Print the channels as a table, and what holds for all."""
    height, width = record["shape"]
    console.print(Text(f"{len(record['channels'])} channels of {height}×{width} pixels", "bold"))
    console.print()
    console.print(Text("wavelength  orientation    sensors  kurtosis  strongest tenth  sparseness", "cyan"))
    for channel in record["channels"]:
        rows, columns = channel["grid"]
        kurtosis, strongest, sparse = (
            "none" if channel[name] is None else f"{channel[name]:.{digits}f}"
            for name, digits in (("kurtosis", 1), ("relative_response", 1), ("sparseness", 2))
        )
        line = f"{channel['wavelength']:>7.3g} px  {channel['orientation']:>10.0f}°  {f'{rows}×{columns}':>9}"
        console.print(f"{line}  {kurtosis:>8}  {strongest:>13} ×  {sparse:>10}", soft_wrap=True)
    console.print()
    ratio = record["samples"] / (height * width)
    facts = {
        "sensors": "even and odd at each place; kurtosis beyond a Gaussian's; the strongest tenth against the average",
        "code": f"{record['samples']:,} numbers, {ratio:.3g} a pixel, a blurred remainder included",
        "error": f"the image made of them is off by {record['reconstruction_error']:.3g} of its standard deviation",
    }
    spectrum = record["amplitude_spectrum"]
    if spectrum is not None:
        facts["amplitude"] = (
            f"falls as frequency to the power {spectrum['slope']:.2f} ± {spectrum['standard_error']:.2f}"
        )
    for label, text in facts.items():
        console.print(entry(label, text, console.width, indent=11))
