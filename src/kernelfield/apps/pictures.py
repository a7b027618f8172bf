"""The commands on pictures: learn, apply, code.

A command imports its work when it runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from kernelfield.apps.options import clip_ends, kernel_size

BoundaryName = Literal["reflect", "nearest", "mirror", "wrap", "constant", "copy"]


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
    """Learn the filter that made one picture from another, and say how sure that is.

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
        Of the kernel, as 5 or as 3,5 (rows, columns). Found if not given.
    max_size
        The largest size to look for, at most 63.
    mask
        A picture of the same size: pixels where it is 0 do not count.
    clip
        Ends of the range, as 0,4095: pixels cut off there do not spoil the fit. "auto" takes those of the file's
        type, "none" trusts every pixel.
    channel
        Learn from one channel only: R, G or B.
    per_channel
        Learn a filter for each channel. By default all channels share one.
    max_pixels
        Refuse pictures of more pixels before decoding them (500 million if not given).
    method
        "exact" is least squares; "descent" learns as a layer is trained, step by step. The options below are for it.
    framework
        Whose differentiation and optimisers descend.
    steps
        How many steps at the most.
    lr
        Learning rate.
    optimiser
        Plain gradient descent, or Adam.
    momentum
        Of sgd.
    seed
        Of the kernel before the first step.
    report_every
        Print the loss every so many steps, on stderr; 0 for never.
    """
    from kernelfield.apps import learn as job

    job.run(
        before,
        after,
        as_json=json,
        plot=plot,
        save=save,
        size=kernel_size(size),
        max_size=max_size,
        mask=mask,
        clip=clip_ends(clip),
        channel=channel,
        per_channel=per_channel,
        max_pixels=max_pixels,
        method=method,
        framework=framework,
        steps=steps,
        lr=lr,
        optimiser=optimiser,
        momentum=momentum,
        seed=seed,
        report_every=report_every if method == "descent" else 0,
    )


def apply(
    filter: Path,
    image: Path,
    result: Path,
    /,
    *,
    json: bool = False,
    boundary: BoundaryName | None = None,
    max_pixels: int | None = None,
) -> None:
    """Apply a learned or designed filter to a picture.

    Parameters
    ----------
    filter
        What learn or design wrote with --json or --save; or a designed kernel as gaussian:sigma=2.
    image
        The picture to filter.
    result
        The file to write, of the same type of numbers: .png, .jpg, .tif or .npy.
    json
        Print what was written as JSON, and nothing else.
    boundary
        What lies beyond the border. By default as the filter was learned; copy leaves border pixels as they are.
    max_pixels
        Refuse pictures of more pixels before decoding them (500 million if not given).
    """
    from kernelfield.apps import apply as job

    job.run(filter, image, result, boundary=boundary, max_pixels=max_pixels, as_json=json)


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
    """Code a natural image by sensors, as Field did in 1987, and say how sparse their responses are.

    Parameters
    ----------
    photograph
        The picture: PNG, JPEG, TIFF or NPY. Of colours the luminance is taken, 0.299 R + 0.587 G + 0.114 B.
    channels
        Kinds of sensors: sizes times orientations.
    scales
        Sizes, an octave apart; they divide the channels.
    wavelength
        Of the finest sensors, in pixels. A sixteenth of the shorter side if not given, at least 4.
    bandwidth
        Of the sensors, in octaves.
    aspect
        Width of the sensors over their length; below 1 their stripes are long.
    sampling
        Distance of neighbours, in sizes of the sensor.
    iterations
        Of least squares, to make an image of the responses again.
    plot
        Draw sensors, image and responses: a .png, .svg or .pdf.
    reconstruction
        Write the image that the code tells, of 8 bits: .png, .jpg or .tif.
    json
        Print the result as JSON, and nothing else.
    max_pixels
        Refuse pictures of more pixels before decoding them (500 million if not given).
    """
    from kernelfield.apps import code_image as job

    job.run(
        photograph,
        channels=channels,
        scales=scales,
        wavelength=wavelength,
        bandwidth=bandwidth,
        aspect=aspect,
        sampling=sampling,
        iterations=iterations,
        plot=plot,
        reconstruction=reconstruction,
        as_json=json,
        max_pixels=max_pixels,
    )
