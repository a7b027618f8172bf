"""A fit as a command of ImageMagick or ffmpeg, for pictures of 8 bits."""

from __future__ import annotations

import shlex

import numpy as np

from kernelfield.errors import ArgumentError
from kernelfield.learning.export.recipe import Recipe

_VIRTUAL = {"nearest": "edge", "reflect": "mirror", "wrap": "tile"}
# The largest spread of the channels' offsets that one number stands for, in levels.
_ALIKE = 0.5
# Of ffmpeg: the largest side of a matrix of its convolution, the length of a row or column; weights of all expressions,
# and of one.
_SIDE, _LONGEST, _MOST, _TERMS = 7, 49, 441, 20


def imagemagick(steps: Recipe) -> str:
    """Return a command of ImageMagick 6 or 7 (``convert`` is called ``magick`` in 7), within one level of 8 bits.

    Raises
    ------
    ArgumentError
        For borders that it does not have, a stride, and channels with offsets of their own.
    """
    _no_stride(steps, "imagemagick")
    offset = _one_offset(steps)
    (rows, columns), (top, left) = steps.kernel.shape, steps.kernel.anchor
    if steps.boundary == "constant":
        level = f"{100.0 * min(max(steps.cval / 255.0, 0.0), 1.0):.10g}%"
        border = ["-virtual-pixel", "background", "-background", f"gray({level})"]
    elif steps.boundary in _VIRTUAL:
        border = ["-virtual-pixel", _VIRTUAL[steps.boundary]]
    else:
        raise ArgumentError(
            f"boundary: expected one that ImageMagick has, constant, {', '.join(_VIRTUAL)}; received "
            f"{steps.boundary!r}; export for another target, or choose boundary="
        )
    weights = " ".join(",".join(f"{value:.12g}" for value in row) for row in (steps.kernel.weights / steps.divisor))
    bias = ["-define", f"convolve:bias={100.0 * offset / 255.0:.12g}%"] if offset else []
    kernel = f"{columns}x{rows}+{left}+{top}: {weights}"
    words = ["convert", "before.png", *border, *bias, "-morphology", "Correlate", kernel, "after.png"]
    return f"# {steps.heading}, by kernelfield; within one level of 8 bits\n{shlex.join(words)}\n"


def ffmpeg(steps: Recipe) -> str:
    """Return a command of ffmpeg, for a grey picture, or one of three channels where three were learned.

    Its filter ``convolution`` serves where the weights are integers that sum to the divisor, since versions up to 5.1
    divide by their sum whatever is asked for; else ``geq``, which computes every expression, slowly.

    Raises
    ------
    ArgumentError
        For a kernel of more than 441 weights, a stride, or another number of channels.
    """
    _no_stride(steps, "ffmpeg")
    if steps.dtype != "uint8":
        raise ArgumentError(f"dtype: expected 'uint8' for ffmpeg; received {steps.dtype!r}; leave it out")
    if steps.kernel.weights.size > _MOST:
        size = "{}×{}".format(*steps.kernel.shape)
        raise ArgumentError(
            f"kernel: expected at most {_MOST} weights for ffmpeg; received {size}; export for another target"
        )
    found = _convolution(steps) or _expressions(steps)
    heading = f"# {steps.heading}, by kernelfield; the border is ffmpeg's own"
    return f"{heading}\n{shlex.join(['ffmpeg', '-i', 'before.png', '-vf', found, 'after.png'])}\n"


def _convolution(steps: Recipe) -> str | None:
    """Return ffmpeg's filter ``convolution``, or None where it does not serve."""
    weights, bias = steps.kernel.weights, _half(steps) + steps.offsets[0]
    matrix = _matrix(weights, steps.kernel.anchor)
    plain = steps.whole and float(weights.sum()) == steps.divisor and np.abs(weights).max() < 2**15
    if matrix is None or not plain or bias < 0.0 or len(set(steps.offsets)) > 1 or any(steps.about):
        return None
    mode, numbers = matrix
    text = " ".join(str(int(value)) for value in numbers)
    planes = [f"{i}m='{text}':{i}rdiv={1.0 / steps.divisor:.12g}:{i}bias={bias:.12g}:{i}mode={mode}" for i in range(4)]
    return f"format=gray|gbrp,convolution={':'.join(planes)}"


def _half(steps: Recipe) -> float:
    """Return the constant that is added before ffmpeg adds a half and cuts the fraction off."""
    return {"nearest down": -1e-6, "up": -1e-6, "to zero": -0.5 + 1e-6, "nearest even": 0.0}.get(steps.rounding, 1e-6)


def _expressions(steps: Recipe) -> str:
    """Return ffmpeg's filter ``geq`` with the sums of each channel written out."""
    (top, left), weights = steps.kernel.anchor, steps.kernel.weights
    terms = [
        f"{value:+.12g}*p(X{column - left:+d},Y{row - top:+d})"
        for (row, column), value in np.ndenumerate(weights)
        if value
    ]
    # Its parser takes short expressions only: the sum is kept in variable 1.
    groups = ["".join(terms[i : i + _TERMS]) for i in range(0, len(terms), _TERMS)]
    summed = ";".join(["st(1,0)", *(f"st(1,ld(1){group})" for group in groups)])
    colours = ("lum",) if len(steps.offsets) == 1 else ("r", "g", "b")
    if len(steps.offsets) not in (1, 3):
        raise ArgumentError(
            f"fit: expected one channel or three for ffmpeg; received {len(steps.offsets)}; export for another target"
        )
    parts = []
    for colour, offset, about in zip(colours, steps.offsets, steps.about):
        value = f"ld(1)/{steps.divisor:.12g}{offset - about:+.12g}"
        parts.append(f"{colour}='{summed};st(0,{value});clip({_ROUNDED[steps.rounding]}{about:+.12g},0,255)'")
    return f"format={'gray' if len(colours) == 1 else 'gbrp'},geq={':'.join(parts)}"


# The rules of kernelfield.learning.rounding.RULES, of the value in variable 0.
_ROUNDED = {
    "nearest": "floor(ld(0)+0.500001)",
    "nearest even": "if(eq(ld(0)-floor(ld(0)),0.5),2*floor(ld(0)/2+0.5),floor(ld(0)+0.5))",
    "nearest away": "sgn(ld(0))*floor(abs(ld(0))+0.500001)",
    "nearest down": "ceil(ld(0)-0.500001)",
    "to zero": "sgn(ld(0))*floor(abs(ld(0))+0.000001)",
    "truncated": "floor(ld(0)+0.500001)",
    "up": "ceil(ld(0)-0.500001)",
}


def _matrix(weights: np.ndarray, anchor: tuple[int, int]) -> tuple[str, np.ndarray] | None:
    """Return the mode and the numbers of ffmpeg's filter: odd sides, the anchor in the middle; None if too large."""
    reach = [max(a, n - 1 - a) for a, n in zip(anchor, weights.shape)]
    wide = np.pad(weights, [(r - a, r - (n - 1 - a)) for r, a, n in zip(reach, anchor, weights.shape)])
    if 0 in reach:
        length = max(3, wide.size)
        line = np.pad(wide.ravel(), (length - wide.size) // 2)
        return None if length > _LONGEST else ("column" if reach[1] == 0 and reach[0] else "row", line)
    side = 2 * max(reach) + 1
    return None if side > _SIDE else ("square", np.pad(wide, [((side - n) // 2,) * 2 for n in wide.shape]).ravel())


def _no_stride(steps: Recipe, target: str) -> None:
    """Raise for a filter with a stride: neither program keeps every few pixels, from the first, of what it filters."""
    if steps.stride != (1, 1):
        raise ArgumentError(
            f"fit: expected a filter without a stride for {target}; received stride {steps.stride}; export for numpy, "
            "scipy, opencv, pytorch, onnx or c"
        )


def _one_offset(steps: Recipe) -> float:
    """Return the offset for all channels."""
    if steps.dtype != "uint8":
        raise ArgumentError(f"dtype: expected 'uint8' for imagemagick; received {steps.dtype!r}; leave it out")
    low, high = min(steps.offsets), max(steps.offsets)
    if high - low > _ALIKE:
        raise ArgumentError(
            f"fit: expected one offset for all channels for imagemagick; received {low:.4g} to {high:.4g}; export for "
            "another target, or learn the channels one by one"
        )
    return float(np.mean(steps.offsets))
