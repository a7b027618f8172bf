"""A fit as a function of C."""

from __future__ import annotations

from kernelfield.learning.export.recipe import Recipe

_TYPES = {"uint8": "uint8_t", "uint16": "uint16_t", "float32": "float", "float64": "double"}
_PLACES = {
    "constant": "return i >= 0 && i < n ? i : -1;",
    "nearest": "return i < 0 ? 0 : i < n ? i : n - 1;",
    "wrap": "i %= n;\n    return i < 0 ? i + n : i;",
    "reflect": "i %= 2 * n;\n    if (i < 0) i += 2 * n;\n    return i < n ? i : 2 * n - 1 - i;",
    "mirror": (
        "if (n == 1) return 0;\n    i %= 2 * n - 2;\n    if (i < 0) i += 2 * n - 2;\n"
        "    return i < n ? i : 2 * n - 2 - i;"
    ),
}
# The rules of kernelfield.learning.rounding.RULES.
_ROUNDED = {
    "nearest": "floor(value + (0.5 + 1e-6))",
    "nearest even": "rint(value)",
    "nearest away": "copysign(floor(fabs(value) + (0.5 + 1e-6)), value)",
    "nearest down": "ceil(value - (0.5 + 1e-6))",
    "to zero": "copysign(floor(fabs(value) + 1e-6), value)",
    "truncated": "floor(value + (0.5 + 1e-6))",
    "up": "ceil(value - (0.5 + 1e-6))",
}
_TEXT = """/* {name}, by kernelfield */
#include <math.h>
#include <stddef.h>
#include <stdint.h>

static const double kernel[{rows}][{columns}] = {{weights}};
static const double offsets[{count}] = {{offsets}};

/* The row or column that stands for one outside an axis of n{note}. */
static ptrdiff_t place(ptrdiff_t i, ptrdiff_t n) {
    {place}
}

/* Filters rows x columns pixels with their channels side by side{kept}; the two must not overlap. */
void kernelfield_filter(const {type} *image, {type} *result, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t channels) {
    for (ptrdiff_t i = 0; i < rows; {down})
        for (ptrdiff_t j = 0; j < columns; {right})
            for (ptrdiff_t c = 0; c < channels; c++) {
{copied}                double value = 0.0{held};
                for (ptrdiff_t a = 0; a < {rows}; a++)
                    for (ptrdiff_t b = 0; b < {columns}; b++) {
                        ptrdiff_t y = place(i + a - {top}, rows), x = place(j + b - {left}, columns);
{sum}                    }
{scaled}                value = value / {divisor} + offsets[{which}];
{finish}                {to} = ({type})value;
            }
}
"""


def c(steps: Recipe) -> str:
    """Return a file of C99 with one function, for pixels of one type; compile it with ``-ffp-contract=off``."""
    (rows, columns), (top, left) = steps.kernel.shape, steps.kernel.anchor
    _, bottom, _, right = steps.margins
    pixel = "image[(y * columns + x) * channels + c]"
    weights = ", ".join("{" + ", ".join(map(repr, row)) + "}" for row in steps.kernel.weights.tolist())
    renormalised = steps.boundary == "renormalised"
    added = f"value += kernel[a][b] * {pixel};"
    indent = " " * 24
    if renormalised:
        summed = f"{indent}if (y < 0 || x < 0) continue;\n{indent}{added}\n{indent}held += kernel[a][b];\n"
    elif steps.inner == "constant":
        summed = f"{indent}value += kernel[a][b] * (y < 0 || x < 0 ? {steps.outside!r} : {pixel});\n"
    else:
        summed = f"{indent}{added}\n"
    copied = (
        f"                if (i < {top} || i >= rows - {bottom} || j < {left} || j >= columns - {right}) {{\n"
        "                    result[(i * columns + j) * channels + c] = image[(i * columns + j) * channels + c];\n"
        "                    continue;\n                }\n"
    )
    total = float(steps.kernel.weights.sum())
    (down, right), to = steps.stride, "result[(i * columns + j) * channels + c]"
    if steps.stride != (1, 1):
        to = f"result[(i / {down} * ((columns + {right - 1}) / {right}) + j / {right}) * channels + c]"
    kept = f";\n   keeps every {down} rows and {right} columns"
    fields = {
        "{to}": to,
        "{kept}": kept if steps.stride != (1, 1) else "",
        "{down}": "i++" if down == 1 else f"i += {down}",
        "{right}": "j++" if right == 1 else f"j += {right}",
        "{name}": steps.heading.replace("*/", "* /"),
        "{{weights}}": "{" + weights + "}",
        "{count}": str(len(steps.offsets)),
        "{{offsets}}": "{" + ", ".join(map(repr, steps.offsets)) + "}",
        "{note}": "; -1 for none" if steps.inner == "constant" else "",
        "{place}": _PLACES[steps.inner],
        "{type}": _TYPES[steps.dtype],
        "{copied}": copied if steps.boundary == "copy" else "",
        "{held}": ", held = 0.0" if renormalised else "",
        "{sum}": summed,
        "{scaled}": f"                value *= {total!r} / held;\n" if renormalised else "",
        "{rows}": str(rows),
        "{columns}": str(columns),
        "{top}": str(top),
        "{left}": str(left),
        "{divisor}": repr(steps.divisor),
        "{which}": "0" if len(steps.offsets) == 1 else "c",
        "{finish}": _finish(steps),
    }
    text = _TEXT
    for field, value in fields.items():
        text = text.replace(field, value)
    return text


def _finish(steps: Recipe) -> str:
    """Return the lines that round and saturate."""
    if not steps.integers:
        return ""
    indent = " " * 16
    lines = [f"value = {_ROUNDED[steps.rounding]};"]
    if any(steps.about):
        which = "0" if len(steps.offsets) == 1 else "c"
        lines = [f"value -= rint(offsets[{which}]);", *lines, f"value += rint(offsets[{which}]);"]
    lines.append(f"value = value < 0.0 ? 0.0 : value > {steps.largest}.0 ? {steps.largest}.0 : value;")
    return "".join(f"{indent}{line}\n" for line in lines)
