"""``kernelfield design``: a kernel of the catalogue, by name."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

import kernelfield as kf
from kernelfield.cli.console import entry, output, status
from kernelfield.cli.files import check_figure, check_target, write_figure
from kernelfield.cli.messages import UsageError
from kernelfield.errors import ArgumentError
from kernelfield.files import write_bytes

Rows = list[tuple[str, ...]]

# Whole weights from here on are printed as decimal fractions of the kernel.
_MAX_INTEGER = 1_000_000


def design(
    name: str | None = None,
    /,
    *,
    list: bool = False,
    compare: str | None = None,
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
        Name of the kernel in the catalogue.
    list
        Show the names; after a name, its parameters.
    compare
        Set kernels side by side, as sobel,scharr,farid:size=7: error of direction, isotropy, frequency response.
    json
        Print the kernel as JSON, which apply reads, and nothing else.
    plot
        Draw weights and frequency response, or the comparison: a .png, .svg or .pdf.
    save
        Write the kernel as JSON to this file.
    parameters
        Parameters of the kernel: numbers, fractions, pairs as 3,5, or words.
    """
    if list:
        _show_list(output(), name)
        return
    if compare is not None:
        _compare(compare, name, json or save is not None, parameters, plot)
        return
    if name is None:
        raise UsageError("design: expected a name; received none; --list shows them.")
    kernel = _make(name, parameters)
    check_figure(plot)
    check_target(save)
    text = ""
    if json or save is not None:
        from kernelfield.cli.filters import as_fit, dump_filters

        text = dump_filters(as_fit(kernel))
    if plot is not None:
        with status("drawing"):
            write_figure(plot, kernel.plot())
    if save is not None:
        write_bytes(save, text.encode())
    if json:
        sys.stdout.write(text)
    else:
        _show(output(), kernel)


def _compare(text: str, name: str | None, filed: bool, parameters: Mapping[str, str], plot: Path | None) -> None:
    """Print a table of kernels side by side, and draw their curves."""
    from kernelfield.kernels.catalogue import several_of

    if name is not None or filed or parameters:
        raise UsageError(
            "--compare: expected no other name, parameter, --json or --save; received some; write the parameters "
            "behind each name, as --compare sobel,farid:size=7"
        )
    check_figure(plot)
    kernels = several_of(text)
    found = kf.kernels.compare([*kernels.values()], [*kernels])
    if plot is not None:
        with status("drawing"):
            write_figure(plot, found.plot())
    _show_comparison(output(), found)


def _show_comparison(console: Console, found: kf.kernels.Comparison) -> None:
    """Print a row for each kernel: size, and the errors at a quarter and at half of the highest frequency."""
    rows: Rows = [
        ("", "size", "direction", "", "isotropy", "", "response", ""),
        ("cycles per pixel", "", *("1/8", "1/4") * 3),
    ]
    for one in found.kernels:
        size = "×".join(map(str, one.kernel.shape))
        cells = []
        for curve, unit in ((one.direction, "°"), (100 * one.isotropy, " %"), (100 * one.error, " %")):
            for at in (1 / 8, 1 / 4):
                value = None if curve is None else found.at(curve, at)
                signed = curve is not None and curve.min() < 0
                cells.append("–" if value is None else f"{value:{'+' if signed else ''}.2f}{unit}".replace("-", "−"))
        rows.append((one.label, size, *cells))
    widths = [max(len(row[i]) for row in rows) for i in range(8)]
    for i, row in enumerate(rows):
        line = row[0].ljust(widths[0]) + "".join(f"  {cell.rjust(width)}" for cell, width in zip(row[1:], widths[1:]))
        console.print(Text(line.rstrip(), "bold" if i == 0 else "dim" if i == 1 else ""), soft_wrap=True)
    console.print()
    note = (
        "direction: largest error of the gradient's angle on plane waves; isotropy: spread of the response over "
        "directions, of its mean; response: along the axis, less that of the exact derivative, or than 1."
    )
    console.print(Text(textwrap.fill(note, console.width), "dim"))


def _make(name: str, parameters: Mapping[str, str]) -> kf.Kernel:
    """Return the kernel; an unknown name or parameter is an error of usage, a value out of range is not."""
    from kernelfield.kernels.catalogue import checked, family, value_of

    given = {key.replace("-", "_"): value for key, value in parameters.items()}
    try:
        family(name)
        checked(name, given)
    except ArgumentError as error:
        raise _usage(error) from None
    return kf.kernels.design(name, **{key: value_of(value) for key, value in given.items()})


def _usage(error: ArgumentError) -> UsageError:
    text = str(error)
    return UsageError(text if text.endswith("?") else f"{text}.")


def _show(console: Console, kernel: kf.Kernel) -> None:
    """Print the name, the weights, and the facts about the kernel."""
    from kernelfield.cli.kernel_table import print_kernel
    from kernelfield.kernels.descriptions import describe

    text = describe(kernel)
    console.print(Text(textwrap.fill(f"{text[:1].upper()}{text[1:]}", console.width), "bold"))
    console.print()
    exact = kernel.integers()
    whole = exact is not None and abs(exact[0]).max() < _MAX_INTEGER
    shown, divisor = exact if whole and exact is not None else (kernel.weights, 1)
    cells = [[f"{value + 0:.4g}" for value in row] for row in shown.tolist()]
    symmetric = kernel.flipped() == kernel
    factor = f"over {divisor}" if divisor > 1 else ""
    print_kernel(console, kernel.weights, cells, kernel.anchor, factor=factor, symmetric=symmetric)
    rows, columns = kernel.shape
    rank = kernel.rank()
    facts = {
        "size": f"{rows}×{columns}, anchor (row {kernel.anchor[0]}, column {kernel.anchor[1]}) over the output pixel",
        "rank": f"{rank}, a column times a row" if rank == 1 else str(rank),
        "does": str(kernel.properties).replace("\n", "; "),
        "given": ", ".join(f"{key} {_plain(value)}" for key, value in kernel.parameters.items()) or "nothing",
        "source": kernel.source or "",
    }
    for label, fact in facts.items():
        console.print(entry(label, fact, console.width))


def _show_list(console: Console, name: str | None) -> None:
    """Print the names of the catalogue with their summaries, or the parameters of one."""
    from kernelfield.kernels.catalogue import family, parameters_of

    if name is None:
        for key, function in kf.kernels.CATALOGUE.items():
            console.print(entry(key, _summary(function.__doc__), console.width, indent=22))
        return
    try:
        function = family(name)
    except ArgumentError as error:
        raise _usage(error) from None
    console.print(Text(textwrap.fill(_summary(function.__doc__), console.width), "bold"))
    for key, parameter in parameters_of(name).items():
        default = "needed" if parameter.default is parameter.empty else f"{_plain(parameter.default)} by default"
        console.print(entry(f"--{key.replace('_', '-')}", default, console.width, indent=22))


def _summary(text: str | None) -> str:
    """Return the first sentence of a family's docstring, without the word Return."""
    line = " ".join((text or "").split("\n\n")[0].split())
    summary = line.removeprefix("Return ").replace("`", "").rstrip(".")
    return f"{summary[:1].upper()}{summary[1:]}"


def _plain(value: object) -> str:
    """Return a parameter as it is typed."""
    if isinstance(value, tuple):
        return ",".join(_plain(part) for part in value)
    return f"{value:.6g}" if isinstance(value, float) else "none" if value is None else str(value)
