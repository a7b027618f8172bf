"""``kernelfield code``: a photograph as the responses of sensors."""

from __future__ import annotations

import math
import sys
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

import kernelfield as kf
from kernelfield.cli.console import entry, output, status
from kernelfield.cli.files import check_figure, check_target, write_figure
from kernelfield.cli.messages import note
from kernelfield.cli.pictures import colours, read_picture, shown
from kernelfield.errors import ArgumentError

if TYPE_CHECKING:
    import numpy as np

_LUMINANCE = "0.299 R + 0.587 G + 0.114 B (Rec. ITU-R BT.601), of the numbers stored"
# The amplitude spectrum of smaller images has too few frequencies.
_MIN_SPECTRUM = 32


def code(
    photograph: Path,
    /,
    *,
    channels: int = 6,
    scales: int = 2,
    wavelength: float | None = None,
    bandwidth: float = 1.0,
    aspect: float = 1.0,
    sampling: float = 1.5,
    iterations: int = 20,
    plot: Path | None = None,
    reconstruction: Path | None = None,
    json: bool = False,
    max_pixels: int | None = None,
) -> None:
    """Code a natural image by sensors, as Field did in 1987, and measure how sparse their responses are.

    Parameters
    ----------
    photograph
        The picture: PNG, JPEG, TIFF or NPY. Colours are reduced to luminance, 0.299 R + 0.587 G + 0.114 B.
    channels
        Kinds of sensors: sizes times orientations.
    scales
        Number of sizes, an octave apart; it divides the number of channels.
    wavelength
        Wavelength of the finest sensors, in pixels. By default a sixteenth of the shorter side, at least 4.
    bandwidth
        Bandwidth of the sensors, in octaves.
    aspect
        Width of the sensors over their length; below 1 their stripes are long.
    sampling
        Distance of neighbouring sensors, in sizes of a sensor.
    iterations
        Steps of least squares that reconstruct the image from the responses.
    plot
        Draw sensors, image and responses: a .png, .svg or .pdf.
    reconstruction
        Write the image reconstructed from the code, with 8 bits: .png, .jpg or .tif.
    json
        Print the result as JSON, and nothing else.
    max_pixels
        Refuse pictures of more pixels before decoding them (500 million by default).
    """
    from kernelfield.images import write

    options: dict[str, Any] = {
        "channels": channels,
        "scales": scales,
        "bandwidth": bandwidth,
        "aspect": aspect,
        "sampling": sampling,
    }
    check_figure(plot)
    check_target(reconstruction, "--reconstruction")
    if iterations < 1:
        raise ArgumentError(f"iterations: expected an integer of at least 1, received {iterations}")
    # Check the options before a large picture is read.
    kf.coding.bank(wavelength=8.0 if wavelength is None else wavelength, **options)
    with status("reading"):
        pixels, names = colours(read_picture(str(photograph), max_pixels), str(photograph))
    image = _luminance(pixels, names, shown(str(photograph)))
    finest = max(4.0, min(image.shape) / 16) if wavelength is None else wavelength
    sensors = kf.coding.bank(wavelength=finest, **options)
    with status("coding"):
        responses = kf.coding.code(image, sensors)
    with status("reconstructing"):
        again = responses.reconstruct(iterations)
        error = math.sqrt(((image - again) ** 2).mean()) / float(image.std())
    record = _record(responses, error, len(names) == 3)
    if plot is not None:
        with status("drawing"):
            write_figure(plot, responses.plot())
    if reconstruction is not None:
        write(reconstruction, _bytes(again, pixels))
    if json:
        sys.stdout.write(dumps(record, indent=2, allow_nan=False) + "\n")
    else:
        _show(output(), record)


def _luminance(pixels: np.ndarray, names: tuple[str, ...], path: str) -> np.ndarray:
    """Return the luminance of a picture in float64."""
    import numpy as np

    if len(names) == 1:
        return np.asarray(pixels, np.float64)
    if names != ("R", "G", "B"):
        raise ArgumentError(
            f"{path!r}: expected a grey or an RGB picture; received {len(names)} channels without names; convert it"
        )
    note(f"{path}: colour is reduced to luminance, {_LUMINANCE}")
    return kf.coding.luminance(pixels)


def _bytes(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Return an image in 8 bits, scaled by the range of the picture's integer type, else by the picture's own range."""
    import numpy as np

    if pixels.dtype.kind in "iu":
        low, high = float(np.iinfo(pixels.dtype).min), float(np.iinfo(pixels.dtype).max)
    else:
        low, high = float(pixels.min()), float(pixels.max())
    return np.rint(np.clip((image - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def _record(code: kf.coding.Code, error: float, colour: bool) -> dict[str, Any]:
    """Return the result in JSON's types."""
    measures = code.kurtosis(), code.relative_response(), code.sparseness()
    channels = []
    for sensor, responses, *values in zip(code.bank, code.responses, *measures):
        rounded = [round(float(value), 6) if math.isfinite(value) else None for value in values]
        channels.append(
            {
                "wavelength": sensor.wavelength,
                "orientation": sensor.orientation,
                "bandwidth": sensor.bandwidth,
                "aspect": sensor.aspect,
                "distance": code.bank.sampling * sensor.size,
                "grid": list(responses.shape),
                **dict(zip(("kurtosis", "relative_response", "sparseness"), rounded)),
            }
        )
    slope: dict[str, float] | None = None
    if min(code.image.shape) >= _MIN_SPECTRUM:
        spectrum = kf.coding.amplitude_spectrum(code.image)
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
    """Print the channels as a table, and the figures of the whole code."""
    height, width = record["shape"]
    console.print(Text(f"{len(record['channels'])} channels of {height}×{width} pixels", "bold"))
    console.print()
    console.print(Text("wavelength  orientation    sensors  kurtosis  strongest tenth  sparseness", "cyan"))
    for channel in record["channels"]:
        rows, columns = channel["grid"]
        kurtosis, strongest, sparseness = (
            "none" if channel[name] is None else f"{channel[name]:.{digits}f}"
            for name, digits in (("kurtosis", 1), ("relative_response", 1), ("sparseness", 2))
        )
        line = f"{channel['wavelength']:>7.3g} px  {channel['orientation']:>10.0f}°  {f'{rows}×{columns}':>9}"
        console.print(f"{line}  {kurtosis:>8}  {strongest:>13} ×  {sparseness:>10}", soft_wrap=True)
    console.print()
    ratio = record["samples"] / (height * width)
    facts = {
        "sensors": "an even and an odd one at each position; excess kurtosis; the strongest tenth over the average",
        "code": f"{record['samples']:,} numbers, {ratio:.3g} a pixel, including a blurred remainder",
        "error": f"the reconstruction is off by {record['reconstruction_error']:.3g} of the image's standard deviation",
    }
    spectrum = record["amplitude_spectrum"]
    if spectrum is not None:
        facts["amplitude"] = (
            f"falls as frequency to the power {spectrum['slope']:.2f} ± {spectrum['standard_error']:.2f}"
        )
    for label, text in facts.items():
        console.print(entry(label, text, console.width, indent=11))
