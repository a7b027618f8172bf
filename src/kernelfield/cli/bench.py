"""``kernelfield bench``: kernelfield and the installed libraries for the same work, side by side on this machine."""

from __future__ import annotations

import sys
from json import dumps
from pathlib import Path

from kernelfield.cli.console import output, status
from kernelfield.cli.files import check_figure, check_target, write_figure
from kernelfield.cli.messages import UsageError
from kernelfield.cli.options import whole_numbers
from kernelfield.files import write_bytes

_MIN_IMAGE, _MAX_IMAGE, _MAX_KERNEL = 16, 16384, 127


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
    """Time kernelfield beside the installed ones of OpenCV, SciPy, libvips, PyTorch, TensorFlow and JAX.

    Calls alternate and have as many threads each; results are compared before the calls are timed.

    Parameters
    ----------
    quick
        A smaller table, in less than a minute.
    sizes
        Sides of the images, as 2048,4096.
    kernels
        Sizes of the kernels, odd, as 3,7,15.
    work
        Some of dense, rank1, uint8, blur, rgb, bank, small. All by default.
    json
        Print the figures as JSON, and nothing else.
    plot
        Draw the figures: a .png, .svg or .pdf.
    save
        Also write the figures as JSON to this file.
    tune
        Instead measure the cost of each method on this machine, and plan with these costs from now on. Results stay
        the same.
    """
    if tune:
        from kernelfield.cli.tune import tune as measure_costs

        if quick or any(value is not None for value in (sizes, kernels, work, plot, save)):
            raise UsageError("--tune: expected no other option but --json; received others.")
        measure_costs(as_json=json)
        return
    from kernelfield.cli.harness.measure import measure
    from kernelfield.cli.harness.work import cases

    names, sides, widths = _work(work), _sides(sizes), _widths(kernels)
    if sides and widths and max(widths) >= min(sides):
        raise UsageError(f"--kernels: expected kernels smaller than the images; received {max(widths)}, {min(sides)}.")
    check_figure(plot)
    check_target(save)
    record = measure(list(cases(names, sides, widths, quick)), quick)
    text = dumps(record, indent=2, allow_nan=False) + "\n"
    if plot is not None:
        from kernelfield.cli.harness.plot import draw

        with status("drawing"):
            write_figure(plot, draw(record))
    if save is not None:
        write_bytes(save, text.encode())
    if json:
        sys.stdout.write(text)
    else:
        from kernelfield.cli.harness.table import show

        show(output(), record)


def _work(text: str | None) -> tuple[str, ...]:
    """Return the value of --work, in the order of the table."""
    from kernelfield.cli.harness.work import WORK

    if text is None:
        return tuple(WORK)
    names = [part.strip() for part in text.split(",")]
    if unknown := [name for name in names if name not in WORK]:
        raise UsageError(f"--work: expected some of {', '.join(WORK)}; received {unknown[0]!r}.")
    return tuple(name for name in WORK if name in names)


def _sides(text: str | None) -> tuple[int, ...] | None:
    """Return the value of --sizes."""
    sides = whole_numbers(text, "--sizes", _MIN_IMAGE)
    if sides and max(sides) > _MAX_IMAGE:
        raise UsageError(f"--sizes: expected at most {_MAX_IMAGE}; received {max(sides)}.")
    return sides


def _widths(text: str | None) -> tuple[int, ...] | None:
    """Return the value of --kernels."""
    widths = whole_numbers(text, "--kernels", 1)
    if widths and (wrong := [k for k in widths if k % 2 == 0 or k > _MAX_KERNEL]):
        raise UsageError(f"--kernels: expected odd sizes of at most {_MAX_KERNEL}; received {wrong[0]}.")
    return widths
