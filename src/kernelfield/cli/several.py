"""Several pairs of pictures: planes of one pair where memory holds them, else one pair after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import kernelfield as kf
from kernelfield.cli.console import status
from kernelfield.cli.messages import note
from kernelfield.errors import ArgumentError

if TYPE_CHECKING:
    import numpy as np

    from kernelfield.images.picture import Pixels

#: Numbers of all befores up to which the pairs are learned together, in memory.
MOST_HELD = 1 << 26


def stacked(pictures: Sequence[Pixels]) -> Pixels:
    """Return pictures as planes on the last axis, colours one after the other; smaller ones have a masked rim."""
    import numpy as np

    shape = tuple(max(one.shape[axis] for one in pictures) for axis in (0, 1))
    planes, outside = [], []
    for one in pictures:
        ends = [(0, n - m) for n, m in zip(shape, one.shape)]
        own = one[..., None] if one.ndim == 2 else one
        planes.append(np.pad(own, [*ends, (0, 0)]))
        outside.append(np.pad(np.zeros(own.shape, bool), [*ends, (0, 0)], constant_values=True))
    stack = np.concatenate(planes, axis=2)
    if all(one.shape[:2] == shape for one in pictures):
        return stack
    masked: np.ndarray = np.ma.array(stack, mask=np.concatenate(outside, axis=2))
    return masked


def joined(fit: kf.Fit, colours: tuple[str, ...]) -> kf.Fit:
    """Return the fit of a stack as one for a single picture of these colours: with the mean of their offsets."""
    offsets = fit.offset if isinstance(fit.offset, tuple) else (fit.offset,)
    means = []
    for channel in range(len(colours)):
        own = offsets[channel :: len(colours)]
        low, high = min(own), max(own)
        if high - low > fit.residual_sd:
            note(f"the images have offsets from {low:.4g} to {high:.4g}; their mean is kept")
        means.append(low if high == low else sum(own) / len(own))
    return replace(fit, offset=tuple(means) if len(means) > 1 else means[0], channels=colours)


def learned_one_by_one(
    read: Callable[[int], tuple[Pixels, Pixels]], count: int, colours: tuple[str, ...], options: dict[str, Any]
) -> kf.Fit:
    """Return one filter of many pairs, of which memory holds one at a time.

    The first pair tells size, border and rounding. Where it is reproduced exactly, the others are compared with what
    its filter makes of them; else sums over all pairs give the kernel.

    Parameters
    ----------
    read : callable
        Returns a pair by its number.
    count : int
    colours : tuple of str
        Names of the channels.
    options : dict
        Of `kernelfield.learn`: size, max_size and clip.
    """
    from kernelfield.learning.estimate import LARGEST_GRAM

    axis: dict[str, Any] = {"channel_axis": 2} if len(colours) > 1 else {}
    head = read(0)
    with status(f"learning the kernel: pair 1 of {count}"):
        first = kf.learn(head[0], head[1], channels="shared", stride=1, **axis, **options)
    first = replace(first, channels=colours)
    if first.verdict in ("not linear", "undetermined"):
        note(f"the answer is that of the first of {count} pairs: it has no certain kernel to compare the others with")
        return first
    if first.verdict == "exact" and head[1].dtype.kind in "iu":
        samples = 0
        for number in range(count):
            with status(f"comparing all pixels: pair {number + 1} of {count}"):
                same, compared = _agrees(first, *(head if number == 0 else read(number)))
            if not same:
                note(f"pair {number + 1} is not what the filter of the first makes of it: sums over all pairs decide")
                break
            samples += compared
        else:
            text = f"every pixel that was compared of {count} pairs is what the filter of the first makes of it"
            return replace(first, samples=samples, excluded=0, notes=(*first.notes, text))
    reach = [max(a, n - 1 - a) for a, n in zip(first.anchor, first.size)]
    size = 2 * reach[0] + 1, 2 * reach[1] + 1
    if size[0] * size[1] > LARGEST_GRAM:
        raise ArgumentError(
            f"size: expected at most {LARGEST_GRAM} weights for pairs that are learned one after the other; received "
            f"{size[0]}×{size[1]}; give a smaller --size"
        )
    learner = kf.KernelLearner(size, clip=options.get("clip", "auto"), channel_axis=axis.get("channel_axis", "auto"))
    for number in range(count):
        with status(f"adding sums: pair {number + 1} of {count}"):
            pair = head if number == 0 else read(number)
            learner = learner.partial_fit(*([one] for one in pair))
    return replace(
        learner.fit_,
        boundary=first.boundary,
        cval=first.cval,
        boundary_candidates=first.boundary_candidates,
        boundary_reason=f"of the first pair: {first.boundary_reason}",
        channels=colours,
    )


def _agrees(fit: kf.Fit, before: Pixels, after: Pixels) -> tuple[bool, int]:
    """Return whether a filter makes the after of a pair of integers, and the pixels that were compared."""
    import numpy as np

    from kernelfield.learning.plot import residual

    known = np.isfinite(residual(fit, before, after))
    return bool((fit.apply(before, dtype=after.dtype)[known] == after[known]).all()), int(known.sum())
