"""R² of tiles that were held out: by kernels from the other tiles, of the kind of a fit."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelfield.errors import ArgumentError, DataError, received
from kernelfield.learning.estimate import of_statistics
from kernelfield.learning.filtering import check_plain
from kernelfield.learning.least_squares import solve
from kernelfield.learning.models.bank import outside
from kernelfield.learning.models.encoded import support_of
from kernelfield.learning.models.field_moments import Normal, designs_of, products
from kernelfield.learning.models.joint import gather_joint
from kernelfield.learning.models.phases import covering, interleaved, phases_of
from kernelfield.learning.pair import Pair, prepare
from kernelfield.learning.support import Support

if TYPE_CHECKING:
    from kernelfield.learning.fit import Fit
    from kernelfield.learning.varying import Varying

# Tiles along each axis of which folds are made; multiply-adds of explicit windows, for kernels that vary.
_ACROSS, _EXPLICIT = 8, 1e10


def _fold_of(shape: tuple[int, ...], folds: int) -> np.ndarray:
    """Return the part of the tiles, from 0, that each pixel of an after belongs to."""
    cuts = [np.arange(n) * _ACROSS // n for n in shape]
    # Neighbours along both axes are in different parts.
    fold: np.ndarray = (cuts[0][:, None] + (3 if folds % 3 else 2) * cuts[1]) % folds
    return fold


def held_out_r2(fit: Fit, before: Any, after: Any, folds: int, channel_axis: int | str | None) -> float:
    """Return R² of tiles by the kernels of the others; arguments as in `Fit.held_out_r2`."""
    check_plain(fit if fit.varying is None else replace(fit, varying=None), "fit", strided=True)
    pair = prepare(before, after, channel_axis=channel_axis).without_clipped()
    if not isinstance(folds, int) or not 2 <= folds <= _ACROSS:
        raise ArgumentError(f"folds: expected an integer from 2 to {_ACROSS}; received {received(folds)}")
    fold, support = _fold_of(pair.shapes[1], folds), support_of(fit, pair)
    if fit.stride != (1, 1):
        return _strided(fit, pair, support, fold, folds)
    if fit.varying is not None:
        return _over_field(fit.varying, pair, support, fold, folds)
    parts = [pair.without([fold != k] * len(pair.planes)).statistics(support) for k in range(folds)]
    left = whole = 0.0
    for k, held in enumerate(parts):
        rest = [sum(others[1:], start=others[0]) for others in zip(*(part for i, part in enumerate(parts) if i != k))]
        estimate = of_statistics(rest, support, pair.epsilon)
        for own, of_rest, offset in zip(held, rest, estimate.offsets):
            left += own.unexplained(estimate.kernel, offset)
            # About the mean of the others: that of the held-out pixels is not known either.
            mean = of_rest.after_shift + of_rest.after_total / max(1, of_rest.count)
            whole += own.unexplained(np.zeros(support.size), mean)
    return 1.0 - left / whole if whole > 0.0 else float(left == 0.0)


def _strided(fit: Fit, pair: Pair, given: Support, fold: np.ndarray, folds: int) -> float:
    """Return R² of the pixels of each fold of a pair by the kernel, with a stride, of the others."""
    stride = fit.stride
    support = covering(given, stride)
    numbers, whole = interleaved(support, stride)
    inside = np.setdiff1d(numbers, numbers.ravel()[outside(whole, given, 1)])
    # The row below each plane does not count.
    fold = np.pad(fold, [(0, 1), (0, 0)], constant_values=-1)
    tasks = [phases_of(replace(pair, planes=(plane,)), stride) for plane in pair.planes]
    parts = [[gather_joint(task.without([fold != k]), support)[0] for k in range(folds)] for task in tasks]
    left = total = 0.0
    for k in range(folds):
        rest = [sum(others[1:], start=others[0]) for others in ([j for i, j in enumerate(p) if i != k] for p in parts)]
        moments = [one.moments() for one in rest]
        together = sum(moments[1:], start=moments[0])
        if together.count <= inside.size:
            raise DataError(
                f"before, after: expected more than {inside.size} usable pixels outside a fold; received "
                f"{together.count}; take fewer folds"
            )
        kernel = np.zeros(numbers.size)
        kernel[inside] = solve(
            replace(together, gram=together.gram[np.ix_(inside, inside)], cross=together.cross[inside])
        ).kernel
        for own, of_rest in zip((part[k] for part in parts), rest):
            left += own.unexplained(kernel, of_rest.offset(kernel))
            # About the mean of the others: that of the held-out pixels is not known either.
            total += own.unexplained(np.zeros(kernel.size), of_rest.offset(np.zeros(kernel.size)))
    return 1.0 - left / total if total > 0.0 else float(left == 0.0)


def _over_field(varying: Varying, pair: Pair, support: Support, fold: np.ndarray, folds: int) -> float:
    """Return R² of the middles of the tiles of each fold by the kernel, which varies, of all other pixels."""
    if tuple(varying.shape) != tuple(pair.shapes[1]):
        raise ArgumentError(
            f"after: expected the field of the kernel, {varying.shape[0]}×{varying.shape[1]}; received "
            f"{pair.shapes[1][0]}×{pair.shapes[1][1]}; give the pair that was learned"
        )
    designs = designs_of(pair, support, varying.order, varying.background_order)
    first = designs[0].weights
    width = first + designs[0].background.count + 1
    # What is held out is summed from explicit windows.
    share = min(1.0, float(np.sqrt(_EXPLICIT / (width * width * fold.size * len(pair.planes)))))
    inner = [np.abs((np.arange(n) * _ACROSS / n) % 1.0 - 0.5) < 0.5 * share for n in fold.shape]
    middle = inner[0][:, None] & inner[1]
    whole = [products(plane, design) for plane, design in zip(pair.planes, designs)]
    left = total = 0.0
    for k in range(folds):
        chosen = (middle & (fold == k)).astype(np.float64)
        held = [products(plane, design, chosen) for plane, design in zip(pair.planes, designs)]
        count = sum(all_ - some for (_, all_), (_, some) in zip(whole, held))
        if count <= first:
            raise DataError(
                f"before, after: expected more than {first} usable pixels; received {count}; take fewer folds"
            )
        rest = Normal([a - b for (a, _), (b, _) in zip(whole, held)], first, count)
        kernels = solve(rest.moments()).kernel
        for (own, _), of_rest, background in zip(held, rest.totals, rest.backgrounds(kernels)):
            parameters = np.r_[kernels, background, -1.0]
            left += float(parameters @ own @ parameters)
            # About the mean of the others: the first function of the background is 1.
            mean = of_rest[first, -1] / of_rest[first, first]
            total += float(own[-1, -1] - 2.0 * mean * own[first, -1] + mean**2 * own[first, first])
    return 1.0 - left / total if total > 0.0 else float(left == 0.0)
