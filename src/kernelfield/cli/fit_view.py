"""A fit on the terminal: its name, its verdict, the kernel and the facts about it."""

from __future__ import annotations

import textwrap

from rich.console import Console
from rich.text import Text

from kernelfield.cli.console import entry
from kernelfield.cli.filters import Filters
from kernelfield.cli.kernel_table import print_kernel
from kernelfield.learning import Fit
from kernelfield.learning.report import factor, facts, matrix, table, tables

_COLOURS = {"exact": "green", "approximate": "yellow", "undetermined": "magenta", "not linear": "red"}


def show(console: Console, filters: Filters) -> None:
    """Print one filter, or the filter of each channel below the channel's name."""
    if isinstance(filters, Fit):
        _show(console, filters, "")
        return
    for i, (name, fit) in enumerate(filters.items()):
        if i:
            console.print()
        _show(console, fit, f"{name}: ")


def _show(console: Console, fit: Fit, prefix: str) -> None:
    title = f"{prefix}{fit.description[:1].upper()}{fit.description[1:]}"
    verdict = textwrap.fill(f"{fit.verdict}: {fit.explanation}", console.width)
    end = len(fit.verdict)
    console.print(Text(textwrap.fill(title, console.width), "bold"))
    console.print(Text.assemble((verdict[:end], f"bold {_COLOURS[fit.verdict]}"), verdict[end:]))
    console.print()
    if fit.verdict != "not linear":
        _show_kernel(console, fit)
    for label, text in facts(fit):
        if label not in ("verdict", "filter"):
            console.print(entry(label, text, console.width, "yellow" if label == "note" else ""))


def _show_kernel(console: Console, fit: Fit) -> None:
    """Print the weights; those of a pair that no kernel explains mean nothing and are not shown."""
    if fit.bank is not None and fit.model == "mixed" and fit.size == (1, 1):
        print_kernel(console, fit.bank[:, :, 0, 0], matrix(fit), (0, 0), factor="", symmetric=False)
        return
    if fit.bank is not None:
        weights = fit.bank.reshape(-1, *fit.size)
        for own, (label, cells) in zip(weights, tables(fit)):
            console.print(label.lstrip(", "))
            print_kernel(console, own, cells, fit.anchor, factor="", symmetric=False)
        return
    cells = table(fit)
    rows, columns = fit.size
    centred = fit.anchor == (rows // 2, columns // 2) and rows % 2 == columns % 2 == 1
    symmetric = centred and cells == [row[::-1] for row in cells[::-1]]
    print_kernel(console, fit.kernel.weights, cells, fit.anchor, factor=factor(fit), symmetric=symmetric)
