"""Text report of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kernelfield.kernels.text import aligned

if TYPE_CHECKING:
    from kernelfield.learning.fit import Fit

_CHANNELS = {
    "separate": "each of {} has a kernel of its own",
    "mixed": "mixed, {} to {}: each of the after takes from all of the before",
}
# The part of the offset that is no constant of the producer's, by the rule of rounding.
_ROUNDINGS = {
    "truncated": ", half a level of it because the producer rounds down",
    "up": ", half a level of it because the producer rounds up",
}


def facts(fit: Fit) -> list[tuple[str, str]]:
    """Return the properties of a fit other than its weights, as label and text."""
    rows, columns = fit.size
    name = fit.description
    lines = [("verdict", f"{fit.verdict}: {fit.explanation}"), ("filter", name)]
    if fit.verdict == "not linear":
        lines.append(("residual", f"{_residual(fit)}, of the nearest filter of {rows}×{columns}"))
        lines.append(("samples", _samples(fit)))
        return lines + [("note", note) for note in fit.notes]
    if fit.bank is not None:
        lines.append(("channels", _CHANNELS[fit.model].format(*_counts(fit))))
    if fit.light is not None:
        lines.append(("light", f"{fit.light}: decoded before the kernel, encoded after it"))
    if fit.curve is not None:
        lines.append(("curve", f"{fit.curve.place} the kernel: {fit.curve.description}"))
    if fit.stride != (1, 1):
        lines.append(("stride", "{} rows and {} columns of the before for each pixel".format(*fit.stride)))
    lines.append(
        ("size", f"{rows}×{columns}, anchor (row {fit.anchor[0]}, column {fit.anchor[1]}) over the output pixel")
    )
    if fit.integers is not None:
        whole = "the weights themselves" if fit.divisor == 1 else f"the weights times {fit.divisor}"
        lines.append(("integers", whole if fit.gain == 1 else f"{whole}, over {fit.gain:.6g}"))
    offset = fit.offset if isinstance(fit.offset, tuple) else (fit.offset,)
    lines.append(("offset", ", ".join(f"{value:.4g}" for value in offset) + _ROUNDINGS.get(fit.rounding or "", "")))
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
    lines.append(("residual", _residual(fit)))
    if fit.chi_square is not None:
        lines.append(("chi²", f"{fit.chi_square:.4g} per degree of freedom, for the noise that was given"))
    lines.append(("samples", _samples(fit)))
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


def _residual(fit: Fit) -> str:
    return f"standard deviation {fit.residual_sd:.4g}, R² {fit.r2:.9f}"


def _samples(fit: Fit) -> str:
    """Return the number of pixels used, and of those left out by kind."""
    reasons = "clipped, NaN or masked"
    if fit.outliers:
        reasons = f"{fit.outliers:,} outliers" + (f", others {reasons}" if fit.excluded > fit.outliers else "")
    return f"{fit.samples:,} used, " + (f"{fit.excluded:,} left out ({reasons})" if fit.excluded else "none left out")


def table(fit: Fit) -> list[list[str]]:
    """Return the weights as text: integers where known, else with the digits that the errors allow."""
    if fit.integers is not None:
        return [[str(value) for value in row] for row in fit.integers.tolist()]
    return _cells(fit.kernel.weights, fit.stderr)


def _cells(weights: np.ndarray, stderr: np.ndarray) -> list[list[str]]:
    """Return weights as text, with the digits that their errors allow."""
    finite = stderr[np.isfinite(stderr) & (stderr > 0)]
    digits = 4 if not finite.size else int(np.clip(np.ceil(-np.log10(finite.min())), 3, 8))
    # Adding zero turns -0.0 into 0.0.
    return [[f"{round(value, digits) + 0.0:.{digits}f}" for value in row] for row in weights.tolist()]


def tables(fit: Fit) -> list[tuple[str, list[list[str]]]]:
    """Return the weights of every kernel of a fit as text, each with a label: "" for a single kernel."""
    if fit.bank is None or fit.bank_stderr is None:
        return [("", table(fit))]
    found = []
    for channel, own, errors in zip(fit.channels, fit.bank, fit.bank_stderr):
        for source, (weights, stderr) in enumerate(zip(own, errors)):
            label = f", channel {channel}" if fit.model == "separate" else f", to channel {channel} from {source}"
            found.append((label, _cells(weights, stderr)))
    return found


def matrix(fit: Fit) -> list[list[str]]:
    """Return the matrix of a mix of channels of single pixels as text."""
    assert fit.bank is not None
    assert fit.bank_stderr is not None
    return _cells(fit.bank[:, :, 0, 0], fit.bank_stderr[:, :, 0, 0])


def _counts(fit: Fit) -> tuple[int, int]:
    """Return the channels of the before and of the after."""
    assert fit.bank is not None
    outputs, inputs = fit.bank.shape[:2]
    return (outputs if fit.model == "separate" else inputs), outputs


def factor(fit: Fit) -> str:
    """Return how the numbers of `table` become the weights, as "over 8"; empty if they are the weights."""
    if fit.integers is None:
        return ""
    scale = "" if fit.gain == 1 else f"times {fit.gain:.6g}"
    return f"{scale} {'' if fit.divisor == 1 else f'over {fit.divisor}'}".strip()


def report(fit: Fit) -> str:
    """Return the text report of a fit, with its weights."""
    lines = [f"{label:<9} {text}" for label, text in facts(fit)]
    if fit.verdict == "not linear":
        return "\n".join(lines)
    if fit.model == "mixed" and fit.size == (1, 1):
        lines.append("matrix, a row for each channel of the after:")
        return "\n".join(lines + aligned(matrix(fit), (0, 0)))
    heading = "kernel, as cross-correlation weights (flip both axes for strict convolution)"
    if factor(fit):
        heading += f", each {factor(fit)}"
    for label, cells in tables(fit):
        lines += [f"{heading}{label}:", *aligned(cells, fit.anchor)]
        heading = "kernel"
    return "\n".join(lines)
