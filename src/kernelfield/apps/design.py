"""``kernelfield design``: a kernel of the catalogue, by name."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.text import Text

from kernelfield.apps.console import output, status
from kernelfield.apps.files import check_target, dump_filters, write_file
from kernelfield.apps.kernel_table import kernel_lines
from kernelfield.apps.messages import UsageError
from kernelfield.apps.view import entry
from kernelfield.errors import ArgumentError
from kernelfield.kernels import CATALOGUE, Kernel, design
from kernelfield.kernels.phrases import describe
from kernelfield.kernels.specify import checked, family, parameters_of, value_of
from kernelfield.learning import Fit
from kernelfield.learning.record import designed

_FIGURES = (".png", ".svg", ".pdf")


def run(
    name: str | None,
    parameters: Mapping[str, str],
    *,
    listing: bool,
    as_json: bool,
    plot: Path | None,
    save: Path | None,
) -> None:
    """Make the kernel, then write the files asked for, then print."""
    if listing:
        _show_list(output(), name)
        return
    if name is None:
        raise UsageError("design: expected a name; received none; --list shows them.")
    kernel = _make(name, parameters)
    if plot is not None and plot.suffix.lower() not in _FIGURES:
        raise UsageError(f"--plot: expected a name that ends in {', '.join(_FIGURES)}; received {str(plot)!r}.")
    for target in (plot, save):
        if target is not None:
            check_target(target)
    text = dump_filters(as_fit(kernel)) if as_json or save is not None else ""
    if plot is not None:
        from kernelfield.learning.plot import encode

        with status("drawing"):
            data = encode(kernel.plot(), plot.suffix.lower().lstrip("."))
        write_file(plot, data)
    if save is not None:
        write_file(save, text.encode())
    if as_json:
        sys.stdout.write(text)
    else:
        _show(output(), kernel)


def as_fit(kernel: Kernel) -> Fit:
    """Return the kernel as a filter that can be saved and applied."""
    return designed(kernel, describe(kernel))


def _make(name: str, parameters: Mapping[str, str]) -> Kernel:
    """Return the kernel; a name that is not known is a matter of usage, a value that cannot be is not."""
    typed = {key.replace("-", "_"): value for key, value in parameters.items()}
    try:
        family(name)
        checked(name, typed)
    except ArgumentError as error:
        raise _usage(error) from None
    return design(name, **{key: value_of(value) for key, value in typed.items()})


def _usage(error: ArgumentError) -> UsageError:
    text = str(error)
    return UsageError(text if text.endswith("?") else f"{text}.")


def _show(console: Console, kernel: Kernel) -> None:
    """Print what it is, its weights, and the facts about it."""
    text = describe(kernel)
    console.print(Text(textwrap.fill(f"{text[:1].upper()}{text[1:]}", console.width), "bold"))
    console.print()
    integral = kernel.integers()
    whole = integral is not None and np.abs(integral[0]).max() < 1_000_000
    shown = integral[0] if whole and integral is not None else kernel.weights
    cells = [[f"{value + 0:.4g}" for value in row] for row in shown.tolist()]
    for line in kernel_lines(kernel.weights, cells, kernel.anchor, console.width):
        if console.color_system is None:
            line.rstrip()
        console.print(line, soft_wrap=True)
    console.print()
    over = f"each over {integral[1]}; " if whole and integral is not None and integral[1] > 1 else ""
    other = "for convolution they are the same" if kernel.flipped() == kernel else "flip both axes for convolution"
    console.print(Text(f"Cross-correlation weights, {over}{other}.", style="dim"))
    console.print()
    rows, columns = kernel.shape
    rank = kernel.rank()
    facts = {
        "size": f"{rows}×{columns}, anchor (row {kernel.anchor[0]}, column {kernel.anchor[1]}) over the output pixel",
        "sum": f"{round(float(kernel.weights.sum()), 12) + 0.0:.6g}",
        "rank": f"{rank}, a column times a row" if rank == 1 else str(rank),
        "given": ", ".join(f"{key} {_plain(value)}" for key, value in kernel.parameters.items()) or "nothing",
        "source": kernel.source or "",
    }
    for label, fact in facts.items():
        console.print(entry(label, fact, console.width))


def _show_list(console: Console, name: str | None) -> None:
    """Print the names with what they are; of one name the parameters."""
    if name is None:
        for key, function in CATALOGUE.items():
            console.print(entry(key, _summary(function.__doc__), console.width, indent=22))
        return
    try:
        function = family(name)
    except ArgumentError as error:
        raise _usage(error) from None
    console.print(Text(textwrap.fill(_summary(function.__doc__), console.width), "bold"))
    for key, parameter in parameters_of(name).items():
        default = "needed" if parameter.default is parameter.empty else f"{_plain(parameter.default)} if not given"
        console.print(entry(f"--{key.replace('_', '-')}", default, console.width, indent=22))


def _summary(text: str | None) -> str:
    """Return the first sentence of a docstring, which says what a family returns."""
    line = " ".join((text or "").split("\n\n")[0].split())
    what = line.removeprefix("Return ").replace("`", "").rstrip(".")
    return f"{what[:1].upper()}{what[1:]}"


def _plain(value: object) -> str:
    """Return a parameter as it is typed."""
    if isinstance(value, tuple):
        return ",".join(_plain(part) for part in value)
    return f"{value:.6g}" if isinstance(value, float) else "none" if value is None else str(value)
