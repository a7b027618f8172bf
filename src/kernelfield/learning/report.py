"""Text report of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from kernelfield.learning.fit import Fit

# Wider kernels are not printed.
_WIDEST = 11


def facts(fit: Fit) -> list[tuple[str, str]]:
    """Return the properties of a fit other than its weights, as label and text."""
    rows, columns = fit.size
    name = fit.description
    lines = [("verdict", f"{fit.verdict}: {fit.explanation}"), ("filter", name)]
    if fit.verdict == "not linear":
        left_out = f"{fit.excluded:,} left out (clipped, NaN or masked)" if fit.excluded else "none left out"
        lines.append(("residual", f"standard deviation {fit.residual_sd:.4g}, R² {fit.r2:.9f}, of {rows}×{columns}"))
        lines.append(("samples", f"{fit.samples:,} used, {left_out}"))
        return lines + [("note", note) for note in fit.notes]
    lines.append(
        ("size", f"{rows}×{columns}, anchor (row {fit.anchor[0]}, column {fit.anchor[1]}) over the output pixel")
    )
    if fit.integers is not None:
        whole = "the weights themselves" if fit.divisor == 1 else f"the weights times {fit.divisor}"
        lines.append(("integers", whole))
    offset = fit.offset if isinstance(fit.offset, tuple) else (fit.offset,)
    truncated = ", about -0.5 because the producer truncates" if fit.rounding == "truncated" else ""
    lines.append(("offset", ", ".join(f"{value:.4g}" for value in offset) + truncated))
    if fit.boundary is None:
        lines.append(("boundary", fit.boundary_reason))
    else:
        value = f" ({fit.cval:g})" if fit.boundary == "constant" else ""
        lines.append(("boundary", f"{fit.boundary}{value} ({fit.boundary_reason})"))
    lines.append(("rank", f"{fit.rank} of {rows * columns} directions determined"))
    finite = fit.stderr[np.isfinite(fit.stderr)]
    if finite.size:
        note = f"; {fit.errors_note}" if fit.errors_note else ""
        lines.append(("errors", f"standard errors up to {finite.max():.2g}{note}"))
    lines.append(("residual", f"standard deviation {fit.residual_sd:.4g}, R² {fit.r2:.9f}"))
    left_out = f"{fit.excluded:,} left out ({_reasons(fit)})" if fit.excluded else "none left out"
    lines.append(("samples", f"{fit.samples:,} used, {left_out}"))
    if fit.losses:
        lines.append(
            (
                "losses",
                f"{fit.losses[0]:.4g} before the first of {len(fit.losses)} steps, {fit.losses[-1]:.4g} "
                "before the last",
            )
        )
    lines += [("note", note) for note in fit.notes]
    return lines


def _reasons(fit: Fit) -> str:
    """Return the kinds of pixels that are left out."""
    others = "clipped, NaN or masked"
    if not fit.outliers:
        return others
    return f"{fit.outliers:,} outliers" + (f", others {others}" if fit.excluded > fit.outliers else "")


def table(fit: Fit) -> list[list[str]]:
    """Return the weights as text: integers where known, else with the digits that the errors allow."""
    if fit.integers is not None:
        return [[str(value) for value in row] for row in fit.integers.tolist()]
    finite = fit.stderr[np.isfinite(fit.stderr) & (fit.stderr > 0)]
    digits = 4 if not finite.size else int(np.clip(np.ceil(-np.log10(finite.min())), 3, 8))
    # Adding zero turns -0.0 into 0.0.
    return [[f"{round(value, digits) + 0.0:.{digits}f}" for value in row] for row in fit.kernel.weights.tolist()]


def report(fit: Fit) -> str:
    """Return the text report of a fit, with its weights."""
    lines = [f"{label:<9} {text}" for label, text in facts(fit)]
    if fit.verdict == "not linear":
        return "\n".join(lines)
    cells = table(fit)
    heading = "kernel, as cross-correlation weights (flip both axes for strict convolution)"
    if fit.divisor not in (None, 1):
        heading += f", each over {fit.divisor}"
    lines.append(f"{heading}:")
    if fit.size[1] > _WIDEST:
        lines.append("  (too wide to print; see .kernel)")
    else:
        width = max(len(cell) for row in cells for cell in row)
        lines += ["  " + "  ".join(cell.rjust(width) for cell in row) for row in cells]
    return "\n".join(lines)
