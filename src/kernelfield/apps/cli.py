"""The command line: what can be typed, and what becomes of an error.

Only cyclopts is imported here; a command imports its work when it runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Parameter

import kernelfield
from kernelfield.apps.messages import UsageError, fail
from kernelfield.apps.options import clip_ends, kernel_size, whole_numbers
from kernelfield.errors import KernelfieldError

BoundaryName = Literal["reflect", "nearest", "mirror", "wrap", "constant", "copy"]

app = App(
    name="kernelfield",
    help="The convolution kernels that act on images: learn them from a before and an after, and apply them.",
    version=kernelfield.__version__,
    # Markdown would import a parser that takes longer than all the rest.
    help_format="plaintext",
    default_parameter=Parameter(negative=()),
)


@app.command
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


@app.command
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


@app.command
def design(
    name: str | None = None,
    /,
    *,
    list: bool = False,
    json: bool = False,
    plot: Path | None = None,
    save: Path | None = None,
    **parameters: Annotated[str, Parameter(allow_leading_hyphen=True)],
) -> None:
    """Design a kernel: edges, derivatives, blurs, sharpening, Gabor filters.

    The parameters of a kernel are options too, as in: design gabor --orientation 45 --wavelength 8.

    Angles are in degrees, clockwise from the right; a direction is down,right, as 1,1 or -1,0.

    Parameters
    ----------
    name
        Of a kernel in the catalogue.
    list
        Show the names; after a name, its parameters.
    json
        Print the kernel as JSON, which apply reads, and nothing else.
    plot
        Draw weights and frequency response: a .png, .svg or .pdf.
    save
        Write the kernel as JSON to this file.
    parameters
        Of the kernel: numbers, fractions, pairs as 3,5, or words.
    """
    from kernelfield.apps import design as job

    job.run(name, parameters, listing=list, as_json=json, plot=plot, save=save)


@app.command
def field(
    model: Path,
    /,
    *,
    unit: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    layer: str | None = None,
    image: Path | None = None,
    plot: Path | None = None,
    network: Path | None = None,
    json: bool = False,
    table: bool = False,
    input_size: str | None = None,
    unknown: Literal["error", "global"] = "error",
    without_gates: bool = False,
    max_pixels: int | None = None,
) -> None:
    """Say what the layers of a network see of the image, exactly.

    Parameters
    ----------
    model
        A network: ONNX. Weights are not read, and no code in it is run.
    unit
        Say what this unit of a layer sees: its row and column, as 3,3.
    layer
        Name of the layer, the last one that has such units if not given; the table shows the names.
    image
        A photograph to draw the field on.
    plot
        Draw the field of the unit, or of the layer's middle one: a .png, .svg or .pdf.
    network
        Draw the network, coloured by how much of the image its units see: a .png, .svg or .pdf.
    json
        Print the result as JSON, and nothing else.
    table
        Print every layer, those too that only read their own place.
    input_size
        Of the image, as 224,224 (rows, columns), where the model leaves it open.
    unknown
        An operation that is not known is an error, or is taken to read everything.
    without_gates
        Leave out what only scales or shifts, as squeeze-and-excitation does.
    max_pixels
        Refuse a photograph of more pixels before decoding it (500 million if not given).
    """
    from kernelfield.apps import field as job

    job.run(
        model,
        input_size=whole_numbers(input_size, "--input-size", 1),
        layer=layer,
        unit=whole_numbers(unit, "--unit", 0),
        image=image,
        plot=plot,
        network=network,
        as_json=json,
        table=table,
        unknown=unknown,
        gates=not without_gates,
        max_pixels=max_pixels,
    )


@app.command
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


@app.command
def bench(
    *,
    quick: bool = False,
    sizes: str | None = None,
    kernels: str | None = None,
    work: str | None = None,
    json: bool = False,
    plot: Path | None = None,
    save: Path | None = None,
    tune: bool = False,
) -> None:
    """Time kernelfield beside what is installed of OpenCV, SciPy, libvips, PyTorch, TensorFlow and JAX.

    All work alternately, on as many threads; results are compared before they are timed.

    Parameters
    ----------
    quick
        A smaller table, in less than a minute.
    sizes
        Sides of the images, as 2048,4096.
    kernels
        Sizes of the kernels, odd, as 3,7,15.
    work
        Some of dense, rank1, uint8, blur, rgb, bank, small. All if not given.
    json
        Print the figures as JSON, and nothing else.
    plot
        Draw the figures: a .png, .svg or .pdf.
    save
        Also write the figures as JSON to this file.
    tune
        Measure what each method costs on this machine instead, and choose by that from now on. Results stay the same.
    """
    if tune:
        from kernelfield.apps import tune as tuner

        tuner.run(as_json=json, others=quick or any(v is not None for v in (sizes, kernels, work, plot, save)))
        return
    from kernelfield.apps import bench as job

    job.run(quick=quick, sizes=sizes, kernels=kernels, work=work, as_json=json, plot=plot, save=save)


@app.command
def doctor(*, json: bool = False) -> None:
    """Say what this installation runs on, and check that it computes what it should.

    Parameters
    ----------
    json
        Print the result as JSON, and nothing else.
    """
    from kernelfield.apps import doctor as job

    job.run(as_json=json)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Parameters
    ----------
    arguments : sequence of str, optional
        What was typed after ``kernelfield``; that of this process if not given.

    Returns
    -------
    int
        0; 1 for input that cannot be used, 2 for a command that cannot be understood, 130 after Ctrl-C, 141 where
        the reader of the output went away.
    """
    app.suppress_keyboard_interrupt = False
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that has no × shows a question mark.
        sys.stdout.reconfigure(errors="replace")
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    try:
        app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except (CycloptsError, UsageError) as error:
        command = tokens[0] if tokens and tokens[0] in app else ""
        return fail(f"{error} See: {' '.join(filter(None, ('kernelfield', command, '--help')))}", 2)
    except KernelfieldError as error:
        return fail(str(error), 1)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _abandon_stdout()
        return 141
    except MemoryError:
        return fail("not enough memory for this picture; expected a smaller one; cut it or scale it down", 1)
    except OSError as error:
        _abandon_stdout()
        return fail(f"the output cannot be written ({error.strerror or error}); make room or choose another place", 1)
    return 0


def _abandon_stdout() -> None:
    """Let what is left in the buffer of stdout go nowhere, or Python would complain on its way out."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
