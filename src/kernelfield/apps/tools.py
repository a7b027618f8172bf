"""The commands beside them: design, field, bench, doctor.

A command imports its work when it runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from kernelfield.apps.options import whole_numbers


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


def doctor(*, json: bool = False) -> None:
    """Say what this installation runs on, and check that it computes what it should.

    Parameters
    ----------
    json
        Print the result as JSON, and nothing else.
    """
    from kernelfield.apps import doctor as job

    job.run(as_json=json)
